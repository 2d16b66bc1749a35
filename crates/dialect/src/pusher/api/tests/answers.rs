//! The bodies of the answers.

use super::super::answer::{self, CachedData};
use super::*;
use tidings_hub::{ChannelName, Occupancy};

const NONE: Info = Info { user_count: false, subscription_count: false, cache: false };
const USERS: Info = Info { user_count: true, ..NONE };
const SUBSCRIPTIONS: Info = Info { subscription_count: true, ..NONE };
const COUNTS: Info = Info { user_count: true, ..SUBSCRIPTIONS };
const CACHE: Info = Info { cache: true, ..NONE };

/// Channels with their numbers of subscriptions and members.
fn occupied(channels: &[(&str, u32, u32)]) -> Vec<(ChannelName, Occupancy)> {
    let named = |&(name, subscriptions, members): &_| (ChannelName::parse(name).unwrap(), Occupancy { subscriptions, members });
    channels.iter().map(named).collect()
}

/// P-11.4, P-10.3, P-10.15
#[test]
fn publishes() {
    let channels = occupied(&[("presence-a", 51, 42), ("b", 13, 0)]);
    for (info, expected) in [
        (NONE, "{}"),
        (SUBSCRIPTIONS, r#"{"channels":{"presence-a":{"subscription_count":51},"b":{"subscription_count":13}}}"#),
        (USERS, r#"{"channels":{"presence-a":{"user_count":42},"b":{}}}"#),
        (COUNTS, r#"{"channels":{"presence-a":{"user_count":42,"subscription_count":51},"b":{"subscription_count":13}}}"#),
    ] {
        assert_eq!(answer::published(info, channels.iter().map(|(name, occupancy)| (name, *occupancy))), expected);
    }
}

/// P-11.11
#[test]
fn batches() {
    let channels = occupied(&[("a", 1, 0), ("presence-b", 3, 2), ("presence-c", 0, 0)]);
    for (infos, expected) in [
        ([NONE, NONE, NONE], "{}"),
        ([NONE, USERS, NONE], r#"{"batch":[{},{"user_count":2},{}]}"#),
        ([COUNTS, COUNTS, USERS], r#"{"batch":[{"subscription_count":1},{"user_count":2,"subscription_count":3},{"user_count":0}]}"#),
    ] {
        let events = channels.iter().zip(infos).map(|((name, occupancy), info)| (info, name, *occupancy));
        assert_eq!(answer::batch(events), expected);
    }
}

/// P-11.5, P-4.5, P-10.15: occupied, with the prefix, and nameable by a Pusher client.
#[test]
fn channels() {
    let channels = occupied(&[
        ("presence-a", 5, 4),
        ("presence-gone", 0, 0),
        ("news", 2, 0),
        ("#server-to-user-1", 1, 0),
        ("with space", 1, 0),
        ("peer-a:b&c", 1, 0),
    ]);
    for (prefix, info, expected) in [
        ("", NONE, r#"{"channels":{"presence-a":{},"news":{}}}"#),
        ("", SUBSCRIPTIONS, r#"{"channels":{"presence-a":{"subscription_count":5},"news":{"subscription_count":2}}}"#),
        ("presence-", COUNTS, r#"{"channels":{"presence-a":{"user_count":4,"subscription_count":5}}}"#),
        ("none", NONE, r#"{"channels":{}}"#),
        ("#", NONE, r#"{"channels":{}}"#),
    ] {
        assert_eq!(answer::channels(prefix, info, channels.iter().map(|(name, occupancy)| (name, *occupancy))), expected);
    }
}

/// P-11.6, P-11.13, P-13.5
#[test]
fn one_channel() {
    let here = Occupancy { subscriptions: 3, members: 2 };
    let hit = Some(CachedData { data: "{\"a\":\"é\n\"}".as_bytes(), ttl_seconds: 1799 });
    let no_text = Some(CachedData { data: b"\xff", ttl_seconds: 1 });
    let all = Info { cache: true, ..COUNTS };
    for (info, occupancy, cache, expected) in [
        (NONE, here, hit, r#"{"occupied":true}"#),
        (NONE, Occupancy::default(), None, r#"{"occupied":false}"#),
        (COUNTS, Occupancy::default(), None, r#"{"occupied":false,"user_count":0,"subscription_count":0}"#),
        (USERS, here, None, r#"{"occupied":true,"user_count":2}"#),
        (CACHE, Occupancy::default(), hit, r#"{"occupied":false,"cache":{"data":"{\"a\":\"é\n\"}","ttl":1799}}"#),
        (CACHE, here, None, r#"{"occupied":true,"cache":null}"#),
        (CACHE, here, no_text, r#"{"occupied":true,"cache":null}"#),
        (all, here, None, r#"{"occupied":true,"user_count":2,"subscription_count":3,"cache":null}"#),
    ] {
        assert_eq!(answer::channel(info, occupancy, cache), expected);
    }
}

/// P-11.8
#[test]
fn users() {
    for (ids, expected) in [
        (&[][..], r#"{"users":[]}"#),
        (&["1"], r#"{"users":[{"id":"1"}]}"#),
        (&["1", "a \"quote\" ✓"], r#"{"users":[{"id":"1"},{"id":"a \"quote\" ✓"}]}"#),
    ] {
        assert_eq!(answer::users(ids.iter().copied()), expected);
    }
}

/// P-10.3, P-11.14: a call with nothing to say answers an object.
#[test]
fn nothing_to_say() {
    assert_eq!(answer::EMPTY, "{}");
}

/// P-10.12: whatever a refusal quotes, it is one line.
#[test]
fn refusals_are_one_line() {
    assert_eq!(Refusal::new(400, "a\r\nb\u{85}c"), Refusal { status: 400, body: "a  b c\n".to_owned(), allow: None });
    refused(Err::<(), _>(Refusal::body_too_large(7)), 413, "7 bytes");
}
