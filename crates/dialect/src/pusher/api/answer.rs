//! The bodies of the answers: JSON objects, status 200 (P-10.3). Whoever performs a call supplies what is true at the moment.

use super::Info;
use crate::pusher::name::{self, Kind};
use bytes::Bytes;
use tidings_hub::{CHANNEL_NAME_BYTES_MAX, ChannelName, Occupancy};

/// The answer of a call that has nothing to say.
pub const EMPTY: Bytes = Bytes::from_static(b"{}");

/// The answer to a publish: what `info` asks for of each distinct channel (P-11.4).
#[must_use]
pub fn published<'a>(info: Info, channels: impl IntoIterator<Item = (&'a ChannelName, Occupancy)>) -> Bytes {
    if info.is_empty() {
        return EMPTY;
    }
    named(channels.into_iter().map(|(channel, occupancy)| (channel.as_str(), occupancy)), info)
}

/// The answer to a batch: an object per event, in order, if any event asks for something (P-11.11).
/// An event that asks for nothing may come with any occupancy.
#[must_use]
pub fn batch<'a>(events: impl IntoIterator<Item = (Info, &'a ChannelName, Occupancy)> + Clone) -> Bytes {
    if events.clone().into_iter().all(|(info, ..)| info.is_empty()) {
        return EMPTY;
    }
    let mut json = br#"{"batch":["#.to_vec();
    for (index, (info, channel, occupancy)) in events.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        json.push(b'{');
        counts(&mut json, channel.as_str(), info, occupancy);
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
    json.into()
}

/// The answer to a question for channels: those that are occupied and start with `prefix` (P-11.5).
/// Left out are channels of signed-in users (P-4.5) and names that no Pusher client can use.
#[must_use]
pub fn channels<'a>(prefix: &str, info: Info, occupied: impl IntoIterator<Item = (&'a ChannelName, Occupancy)>) -> Bytes {
    let listed = occupied.into_iter().map(|(channel, occupancy)| (channel.as_str(), occupancy));
    named(listed.filter(|(channel, occupancy)| channel.starts_with(prefix) && occupancy.subscriptions > 0 && is_listed(channel)), info)
}

/// What a cache channel remembers, for [`channel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedData<'a> {
    /// The last event's data.
    pub data: &'a [u8],
    /// Whole seconds that it stays.
    pub ttl_seconds: u64,
}

/// The answer to a question for one channel (P-11.6, P-11.13). Data that is no text counts as none.
#[must_use]
pub fn channel(info: Info, occupancy: Occupancy, cache: Option<CachedData<'_>>) -> Bytes {
    let mut json = br#"{"occupied":"#.to_vec();
    json.extend_from_slice(if occupancy.subscriptions > 0 { b"true" } else { b"false" });
    if info.user_count {
        member(&mut json, "user_count", occupancy.members.into());
    }
    if info.subscription_count {
        member(&mut json, "subscription_count", occupancy.subscriptions.into());
    }
    if info.cache {
        json.extend_from_slice(br#","cache":"#);
        match cache.and_then(|cache| Some((std::str::from_utf8(cache.data).ok()?, cache.ttl_seconds))) {
            Some((data, ttl_seconds)) => {
                json.extend_from_slice(br#"{"data":"#);
                string(&mut json, data);
                member(&mut json, "ttl", ttl_seconds);
                json.push(b'}');
            }
            None => json.extend_from_slice(b"null"),
        }
    }
    json.push(b'}');
    json.into()
}

/// The answer to a question for the members of a presence channel (P-11.8).
#[must_use]
pub fn users<'a>(user_ids: impl IntoIterator<Item = &'a str>) -> Bytes {
    let mut json = br#"{"users":["#.to_vec();
    for (index, user_id) in user_ids.into_iter().enumerate() {
        json.extend_from_slice(if index > 0 { br#",{"id":"# } else { br#"{"id":"# });
        string(&mut json, user_id);
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
    json.into()
}

fn is_listed(channel: &str) -> bool {
    Kind::of(channel) != Kind::ServerToUser && name::parse(channel, CHANNEL_NAME_BYTES_MAX).is_ok()
}

/// An object with an object for each channel; an empty one stays an object (P-10.15).
fn named<'a>(channels: impl IntoIterator<Item = (&'a str, Occupancy)>, info: Info) -> Bytes {
    let mut json = br#"{"channels":{"#.to_vec();
    for (index, (channel, occupancy)) in channels.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        string(&mut json, channel);
        json.extend_from_slice(b":{");
        counts(&mut json, channel, info, occupancy);
        json.push(b'}');
    }
    json.extend_from_slice(b"}}");
    json.into()
}

/// The counts asked for, as members; what does not apply to the channel is left out (P-11.4).
fn counts(json: &mut Vec<u8>, channel: &str, info: Info, occupancy: Occupancy) {
    if info.user_count && Kind::of(channel) == Kind::Presence {
        member(json, "user_count", occupancy.members.into());
    }
    if info.subscription_count {
        member(json, "subscription_count", occupancy.subscriptions.into());
    }
}

/// Appends a member with a number, and a comma before it unless it is the first of its object.
fn member(json: &mut Vec<u8>, name: &str, number: u64) {
    if json.last() != Some(&b'{') {
        json.push(b',');
    }
    json.push(b'"');
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn string(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a string can be written to memory");
}
