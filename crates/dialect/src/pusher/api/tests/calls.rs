//! The calls that ask and the one that closes.

use super::*;
use tidings_hub::ChannelName;

fn named(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn info(attributes: &str) -> Info {
    Info {
        user_count: attributes.contains("user_count"),
        subscription_count: attributes.contains("subscription_count"),
        cache: attributes.contains("cache"),
    }
}

/// P-11.5
#[test]
fn channels() {
    for (params, prefix, attributes) in [
        (&[][..], "", ""),
        (&[("filter_by_prefix", "private-")], "private-", ""),
        (&[("filter_by_prefix", "presence-"), ("info", "user_count")], "presence-", "user_count"),
        (&[("Filter_By_Prefix", "presence-a"), ("INFO", "user_count,subscription_count")], "presence-a", "user_count,subscription_count"),
        (&[("info", "subscription_count")], "", "subscription_count"),
        (&[("info", "")], "", ""),
        (&[("info", " subscription_count , ")], "", "subscription_count"),
    ] {
        let expected = Call::Channels { prefix: prefix.to_owned(), info: info(attributes) };
        assert_eq!(get("/apps/1001/channels", params), Ok(expected), "{params:?}");
    }
    const ONLY_PRESENCE: &str =
        "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n";
    for (params, says) in [
        (&[("info", "user_count")][..], ONLY_PRESENCE),
        (&[("info", "user_count"), ("filter_by_prefix", "presence")], ONLY_PRESENCE),
        (&[("info", "user_count"), ("filter_by_prefix", "private-")], ONLY_PRESENCE),
        (&[("info", "members")], "info should be a comma separated list of attributes"),
        (&[("info", "cache")], "info should be a comma separated list of attributes"),
        (&[("info", "subscription_count"), ("info", "x")], "more than one info"),
    ] {
        refused(get("/apps/1001/channels", params), 400, says);
    }
}

/// P-11.6, P-11.7, P-10.12
#[test]
fn one_channel() {
    for (segment, name, attributes) in [
        ("c1", "c1", ""),
        ("c1", "c1", "subscription_count"),
        ("presence-b", "presence-b", "user_count,subscription_count"),
        ("presence-cache-b", "presence-cache-b", "user_count,subscription_count,cache"),
        ("private-encrypted-cache-x", "private-encrypted-cache-x", "cache"),
        ("a;b,c=d@e", "a;b,c=d@e", ""),
        ("a%3Bb%2cc%3Dd%40e", "a;b,c=d@e", ""),
        ("%23server-to-user-7", "#server-to-user-7", "subscription_count"),
    ] {
        let outcome = get(&format!("/apps/1001/channels/{segment}"), &[("info", attributes)]);
        assert_eq!(outcome, Ok(Call::Channel { name: named(name), info: info(attributes) }), "{segment}");
    }
    for (segment, attributes, says) in [
        ("c1", "user_count", "Cannot retrieve the user count unless the channel is a presence channel\n"),
        ("c1", "cache", "cache channel"),
        ("my-cache-x", "cache", "cache channel"),
        ("c1", "occupied", "info should be a comma separated list of attributes"),
        ("a%20b", "", "a b"),
        ("a+b", "", "a+b"),
        ("a%2Fb", "", "a/b"),
        ("%ff", "", "UTF-8"),
        ("%00", "", "cannot be used"),
        ("%", "", "cannot be used"),
    ] {
        refused(get(&format!("/apps/1001/channels/{segment}"), &[("info", attributes)]), 400, says);
    }
    refused(get(&format!("/apps/1001/channels/{}", "x".repeat(201)), &[]), 400, "200 characters");
}

/// P-11.8, P-10.12
#[test]
fn users() {
    assert_eq!(get("/apps/1001/channels/presence-b/users", &[]), Ok(Call::Users { name: named("presence-b") }));
    for segment in ["b", "private-b", "presence", "%23server-to-user-1"] {
        let refusal = get(&format!("/apps/1001/channels/{segment}/users"), &[]).unwrap_err();
        assert_eq!((refusal.status, refusal.body.as_str()), (400, "Users can only be retrieved for presence channels\n"), "{segment}");
    }
    refused(get("/apps/1001/channels/presence-%20/users", &[]), 400, "presence- ");
}

/// P-11.13
#[test]
fn stats() {
    for (name, attributes) in [("c1", ""), ("presence-b", "user_count")] {
        let outcome = get(&format!("/apps/1001/channels/{name}/stats"), &[("info", "ignored")]);
        assert_eq!(outcome, Ok(Call::Channel { name: named(name), info: info(attributes) }));
    }
}

/// P-11.14
#[test]
fn terminate() {
    for (segment, user_id) in [("u1", "u1"), ("a%2Fb%20%C3%BC", "a/b ü"), ("a+b", "a+b"), ("%", "%")] {
        for body in ["", "{}", r#"{"x":1}"#] {
            let outcome = post(&format!("/apps/1001/users/{segment}/terminate_connections"), body);
            assert_eq!(outcome, Ok(Call::Terminate { user_id: user_id.to_owned() }));
        }
    }
    refused(post("/apps/1001/users/%ff/terminate_connections", ""), 400, "UTF-8");
}

/// P-11.15: a user is published to by channel name.
#[test]
fn publishing_to_a_user() {
    let (publish, _) = event(r##"{"name":"ev","data":"1","channel":"#server-to-user-7"}"##);
    assert_eq!(publish.channels[..], [named("#server-to-user-7")]);
}
