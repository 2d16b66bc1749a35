//! What a server answers, read from its JSON (P-11.4 to P-11.8, P-11.11).

use super::PublishError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the server answered: a JSON object, `{}` when there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The object as text.
    pub text: String,
}

/// What a server can tell of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// How many distinct users are there; presence channels only.
    UserCount,
    /// How many connections are subscribed. Pusher's own service has it as a setting of the app.
    SubscriptionCount,
    /// What the channel remembers; cache channels only, and only of one channel at a time.
    Cache,
}

/// How many are on a channel, as far as it was asked for and applies to the channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Distinct users of a presence channel.
    pub user_count: Option<u64>,
    /// Subscribed connections.
    pub subscription_count: Option<u64>,
}

/// One channel as the server sees it. A channel that nobody has heard of is as good as one that is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ChannelState {
    /// Whether anybody is subscribed.
    pub occupied: bool,
    /// How many, as far as it was asked for.
    #[serde(flatten)]
    pub counts: Counts,
    /// The last event of a cache channel, if it was asked for and there is one.
    #[serde(default)]
    pub cache: Option<Cached>,
}

/// What a cache channel remembers of its last event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cached {
    /// The data; of an encrypted channel, the envelope.
    pub data: String,
    /// How long it stays, in whole seconds.
    #[serde(rename = "ttl", deserialize_with = "seconds")]
    pub time_to_live: Duration,
}

#[derive(Deserialize)]
pub(super) struct Channels {
    pub(super) channels: BTreeMap<String, Counts>,
}

#[derive(Deserialize)]
pub(super) struct Users {
    users: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

impl Users {
    pub(super) fn ids(self) -> Vec<String> {
        self.users.into_iter().map(|user| user.id).collect()
    }
}

impl Attribute {
    /// The attributes as servers want them: their names with commas between.
    #[must_use]
    pub fn list(attributes: &[Self]) -> String {
        attributes.iter().map(|attribute| attribute.name()).collect::<Vec<_>>().join(",")
    }

    fn name(self) -> &'static str {
        match self {
            Self::UserCount => "user_count",
            Self::SubscriptionCount => "subscription_count",
            Self::Cache => "cache",
        }
    }
}

impl Answer {
    /// Reads the answer into something of the caller's.
    ///
    /// # Errors
    /// [`PublishError::NotUnderstood`] if it has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, PublishError> {
        serde_json::from_str(&self.text).map_err(|error| PublishError::NotUnderstood { reason: error.to_string(), text: self.text.clone() })
    }

    /// What an answer to a publish says of each channel (P-11.4). Nothing if nothing was asked for, or if the server does not know how: the
    /// event is published all the same.
    #[must_use]
    pub fn channels(&self) -> BTreeMap<String, Counts> {
        self.json::<Channels>().map(|answer| answer.channels).unwrap_or_default()
    }

    /// What an answer to a batch says of each event's channel (P-11.11): as many as there are events, or none.
    #[must_use]
    pub fn batch(&self) -> Vec<Counts> {
        #[derive(Deserialize)]
        struct Batch {
            batch: Vec<Counts>,
        }
        self.json::<Batch>().map(|answer| answer.batch).unwrap_or_default()
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer { text: text.to_owned() }
    }

    /// P-11.4, P-11.11, P-21.25: a publish has happened, whatever is said about it.
    #[test]
    fn a_publish_tells_what_was_asked_for_and_what_the_server_knows() {
        let full = r#"{"channels":{"presence-a":{"user_count":42,"subscription_count":51},"b":{"subscription_count":13},"c":{}}}"#;
        let counts = |user_count, subscription_count| Counts { user_count, subscription_count };
        let expected = [("b", counts(None, Some(13))), ("c", counts(None, None)), ("presence-a", counts(Some(42), Some(51)))];
        assert_eq!(answer(full).channels(), expected.map(|(name, counts)| (name.to_owned(), counts)).into());
        let batch = r#"{"batch":[{"subscription_count":1},{}]}"#;
        assert_eq!(answer(batch).batch(), [counts(None, Some(1)), counts(None, None)]);
        for text in ["{}", "{\"ok\":true}", "", "[]", "OK", "{\"channels\":{\"a\":{\"user_count\":-1}}}"] {
            assert!(answer(text).channels().is_empty() && answer(text).batch().is_empty(), "{text}");
        }
    }

    /// P-11.6
    #[test]
    fn a_channels_state_has_what_was_asked_for() {
        let state = |text: &str| answer(text).json::<ChannelState>();
        assert_eq!(state(r#"{"occupied":false}"#).unwrap(), ChannelState::default());
        let cached = Cached { data: "{}".into(), time_to_live: Duration::from_secs(1799) };
        assert_eq!(
            state(r#"{"occupied":true,"user_count":1,"subscription_count":2,"cache":{"data":"{}","ttl":1799}}"#).unwrap(),
            ChannelState { occupied: true, counts: Counts { user_count: Some(1), subscription_count: Some(2) }, cache: Some(cached) }
        );
        assert_eq!(state(r#"{"occupied":true,"cache":null,"other":[]}"#).unwrap().cache, None);
        for text in ["{}", "", "[]", r#"{"occupied":"yes"}"#, r#"{"occupied":true,"cache":{"data":1}}"#] {
            assert!(matches!(state(text), Err(PublishError::NotUnderstood { text: kept, .. }) if kept == text), "{text}");
        }
    }

    /// P-11.8
    #[test]
    fn users_are_their_ids() {
        let users = |text: &str| answer(text).json::<Users>().map(Users::ids);
        assert_eq!(users(r#"{"users":[{"id":"1"},{"id":"é","more":0}]}"#).unwrap(), ["1", "é"]);
        assert_eq!(users(r#"{"users":[]}"#).unwrap(), [""; 0]);
        for text in ["{}", r#"{"users":{}}"#, r#"{"users":["1"]}"#, r#"{"users":[{"id":1}]}"#] {
            assert!(users(text).is_err(), "{text}");
        }
    }

    #[test]
    fn attributes_are_written_with_commas() {
        for (attributes, expected) in [
            (&[] as &[Attribute], ""),
            (&[Attribute::Cache], "cache"),
            (&[Attribute::UserCount, Attribute::SubscriptionCount], "user_count,subscription_count"),
        ] {
            assert_eq!(Attribute::list(attributes), expected);
        }
    }
}
