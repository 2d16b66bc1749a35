//! What is published, and what is wrong with it before any server sees it (P-11.1, P-11.9).

use super::BadCall;
use serde::Serialize;
use tidings_dialect::pusher::name::{self, BadName, Kind, SERVER_TO_USER};

/// Channels of one event (P-18.4).
const CHANNELS_MAX: usize = 100;
/// Characters of an event's name (P-18.2).
const EVENT_NAME_CHARS_MAX: usize = 200;
/// Characters of a channel's name (P-18.1), and of a user's id (P-18.9).
const NAME_CHARS_MAX: usize = 200;
/// Events of one batch (P-18.5).
const BATCH_EVENTS_MAX: usize = 10;

/// An event to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// Where: 1 to 100 channels; an encrypted one only by itself.
    pub channels: Vec<String>,
    /// What: 1 to 200 characters.
    pub name: String,
    /// The data, any text. How long it may be is the server's setting, usually 10,240 bytes (P-18.3).
    pub data: String,
    /// The connection that must not get it (P-11.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// What to answer about the channels: `user_count`, `subscription_count`, or both with a comma between (P-11.4), as
    /// [`Attribute::list`](super::Attribute::list) writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
}

/// An event of a batch: one channel, encrypted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchEvent {
    /// Where.
    pub channel: String,
    /// What: 1 to 200 characters.
    pub name: String,
    /// The data, any text; see [`Publication::data`].
    pub data: String,
    /// The connection that must not get it (P-11.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// What to answer about the channel; see [`Publication::info`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
}

impl Publication {
    /// An event called `name` for all of `channels`, with `data` as it stands.
    #[must_use]
    pub fn new(channels: impl IntoIterator<Item = impl Into<String>>, name: &str, data: impl Into<String>) -> Self {
        let channels = channels.into_iter().map(Into::into).collect();
        Self { channels, name: name.to_owned(), data: data.into(), socket_id: None, info: None }
    }

    /// The same with the JSON text of `data`, which is what most clients parse.
    ///
    /// # Errors
    /// [`BadCall::Data`] if `data` cannot be written as JSON, such as a map whose keys are no texts.
    pub fn json(
        channels: impl IntoIterator<Item = impl Into<String>>,
        name: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Self, BadCall> {
        json(data).map(|data| Self::new(channels, name, data))
    }

    /// The rules of P-11.1 that no server has as a setting, and P-9.5.
    pub(super) fn check(&self) -> Result<(), BadCall> {
        let count = self.channels.len();
        if !(1..=CHANNELS_MAX).contains(&count) {
            return Err(BadCall::ChannelCount { count });
        }
        for channel in &self.channels {
            check_channel(channel)?;
        }
        match self.channels.iter().find(|channel| is_encrypted(channel)) {
            Some(channel) if count > 1 => return Err(BadCall::EncryptedWithOthers { channel: channel.clone() }),
            _ => {}
        }
        check_event(&self.name, self.socket_id.as_deref())
    }
}

impl BatchEvent {
    /// An event called `name` for `channel`, with `data` as it stands.
    #[must_use]
    pub fn new(channel: &str, name: &str, data: impl Into<String>) -> Self {
        Self { channel: channel.to_owned(), name: name.to_owned(), data: data.into(), socket_id: None, info: None }
    }

    /// The same with the JSON text of `data`.
    ///
    /// # Errors
    /// As [`Publication::json`].
    pub fn json(channel: &str, name: &str, data: &(impl Serialize + ?Sized)) -> Result<Self, BadCall> {
        json(data).map(|data| Self::new(channel, name, data))
    }
}

/// The rules of P-11.9 that no server has as a setting.
pub(super) fn check_batch(events: &[BatchEvent]) -> Result<(), BadCall> {
    let count = events.len();
    if !(1..=BATCH_EVENTS_MAX).contains(&count) {
        return Err(BadCall::BatchSize { count });
    }
    events.iter().try_for_each(|event| {
        check_channel(&event.channel)?;
        check_event(&event.name, event.socket_id.as_deref())
    })
}

/// P-4.1.
pub(super) fn check_channel(channel: &str) -> Result<(), BadCall> {
    parse_channel(channel).map_err(|reason| BadCall::Channel { channel: channel.to_owned(), reason })
}

/// P-4.1.
pub(super) fn parse_channel(channel: &str) -> Result<(), BadName> {
    name::parse(channel, NAME_CHARS_MAX).map(|_| ())
}

/// P-18.9.
pub(super) fn check_user_id(user_id: &str) -> Result<(), BadCall> {
    let bad = |reason| Err(BadCall::UserId { user_id: user_id.to_owned(), reason });
    match user_id.chars().count() {
        0 => bad(BadName::Empty),
        1..=NAME_CHARS_MAX => Ok(()),
        _ => bad(BadName::TooLong { max: NAME_CHARS_MAX }),
    }
}

/// The channel of the signed-in user `user_id`, which only some ids can have (P-15.7).
pub(super) fn check_user_channel(user_id: &str) -> Result<String, BadCall> {
    let channel = format!("{SERVER_TO_USER}{user_id}");
    match parse_channel(&channel) {
        Ok(()) => Ok(channel),
        Err(reason) => Err(BadCall::UserId { user_id: user_id.to_owned(), reason }),
    }
}

/// Whether what is published on `channel` must be sealed (P-4.2, P-9.1).
pub(super) fn is_encrypted(channel: &str) -> bool {
    Kind::of(channel) == Kind::PrivateEncrypted
}

fn check_event(name: &str, socket_id: Option<&str>) -> Result<(), BadCall> {
    let chars = name.chars().count();
    if !(1..=EVENT_NAME_CHARS_MAX).contains(&chars) {
        return Err(BadCall::EventName { chars });
    }
    if name::is_reserved_event(name) {
        return Err(BadCall::ReservedEvent { name: name.to_owned() });
    }
    match socket_id {
        Some(id) if name::parse_socket_id(id).is_err() => Err(BadCall::SocketId { socket_id: id.to_owned() }),
        _ => Ok(()),
    }
}

/// The JSON text of `data`.
pub(super) fn json(data: &(impl Serialize + ?Sized)) -> Result<String, BadCall> {
    serde_json::to_string(data).map_err(|error| BadCall::Data { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn publication(channels: &[&str], name: &str) -> Publication {
        Publication::new(channels.iter().copied(), name, "{}")
    }

    /// P-9.5, P-11.1, P-18.1, P-18.2, P-18.4
    #[test]
    fn an_event_is_checked_before_it_is_sent() {
        let many = |count| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>();
        let (hundred, more) = (many(100), many(101));
        let bad_channel = |channel: &str, reason| Err(BadCall::Channel { channel: channel.into(), reason });
        let long = "x".repeat(201);
        for (channels, name, expected) in [
            (&["news"] as &[&str], "headline", Ok(())),
            (&["news", "news", "presence-a", "#server-to-user-1"], "App\\Events\\Shipped:v2", Ok(())),
            (&["private-encrypted-a"], "é", Ok(())),
            (&hundred.iter().map(String::as_str).collect::<Vec<_>>(), "a", Ok(())),
            (&more.iter().map(String::as_str).collect::<Vec<_>>(), "a", Err(BadCall::ChannelCount { count: 101 })),
            (&[], "a", Err(BadCall::ChannelCount { count: 0 })),
            (&["news", "a b"], "a", bad_channel("a b", BadName::Alphabet)),
            (&[""], "a", bad_channel("", BadName::Empty)),
            (&[&long], "a", bad_channel(&long, BadName::TooLong { max: 200 })),
            (&["news"], "", Err(BadCall::EventName { chars: 0 })),
            (&["news"], &"é".repeat(200), Ok(())),
            (&["news"], &"é".repeat(201), Err(BadCall::EventName { chars: 201 })),
            (&["news"], "pusher:x", Err(BadCall::ReservedEvent { name: "pusher:x".into() })),
            (&["a", "private-encrypted-a"], "a", Err(BadCall::EncryptedWithOthers { channel: "private-encrypted-a".into() })),
        ] {
            assert_eq!(publication(channels, name).check(), expected, "{channels:?} {name}");
        }
    }

    /// P-22.3: the vectors of P-4.1 and P-2.6.
    #[test]
    fn names_and_socket_ids_are_judged_as_in_the_vectors() {
        let file: Value = serde_json::from_str(include_str!("../../../dialect/tests/pusher-vectors.json")).unwrap();
        let mut seen = 0;
        for vector in file["vectors"].as_array().unwrap() {
            let text = |name: &str| vector["in"][name].as_str().unwrap();
            let right = match vector["kind"].as_str().unwrap() {
                "channel_name" => check_channel(text("name")).is_ok(),
                "socket_id" => check_event("a", Some(text("socket_id"))).is_ok(),
                _ => continue,
            };
            assert_eq!(right, vector["out"]["valid"].as_bool().unwrap(), "{}", vector["id"]);
            seen += 1;
        }
        assert!(seen >= 55, "{seen}");
    }

    /// P-11.9, P-18.5
    #[test]
    fn a_batch_is_checked_event_by_event() {
        let event = BatchEvent::new("private-encrypted-a", "a", "1");
        assert_eq!(check_batch(&vec![event.clone(); 10]), Ok(()));
        for count in [0, 11] {
            assert_eq!(check_batch(&vec![event.clone(); count]), Err(BadCall::BatchSize { count }));
        }
        for (bad, expected) in [
            (BatchEvent::new("a/b", "a", "1"), BadCall::Channel { channel: "a/b".into(), reason: BadName::Alphabet }),
            (BatchEvent::new("a", "", "1"), BadCall::EventName { chars: 0 }),
            (BatchEvent { socket_id: Some("1".into()), ..event.clone() }, BadCall::SocketId { socket_id: "1".into() }),
        ] {
            assert_eq!(check_batch(&[event.clone(), bad]), Err(expected));
        }
    }

    /// P-15.7, P-18.9
    #[test]
    fn an_id_that_signs_in_may_still_have_no_channel() {
        let bad = |user_id: &str, reason| BadCall::UserId { user_id: user_id.to_owned(), reason };
        let long = "u".repeat(201);
        for (user_id, terminate, channel) in [
            ("u1", Ok(()), Ok("#server-to-user-u1".to_owned())),
            ("Zoë /1", Ok(()), Err(bad("Zoë /1", BadName::Alphabet))),
            ("", Err(bad("", BadName::Empty)), Err(bad("", BadName::Empty))),
            (&long, Err(bad(&long, BadName::TooLong { max: 200 })), Err(bad(&long, BadName::TooLong { max: 200 }))),
        ] {
            assert_eq!(check_user_id(user_id), terminate, "{user_id}");
            assert_eq!(check_user_channel(user_id), channel, "{user_id}");
        }
    }

    #[test]
    fn data_is_any_text_or_what_json_can_say() {
        let value = json!({ "title": "Zoë", "n": 1 });
        assert_eq!(Publication::json(["a"], "b", &value).unwrap(), Publication::new(["a"], "b", r#"{"n":1,"title":"Zoë"}"#));
        assert_eq!(BatchEvent::json("a", "b", "text").unwrap(), BatchEvent::new("a", "b", r#""text""#));
        let unwritable = BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(Publication::json(["a"], "b", &unwritable), Err(BadCall::Data { .. })));
        assert!(matches!(BatchEvent::json("a", "b", &unwritable), Err(BadCall::Data { .. })));
    }
}
