//! Webhooks as they reach an application: genuine or not, and what they say (section 12 of `pusher.md`).

use super::WebhookError;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use tidings_dialect::auth;
use tidings_hub::Key;

/// The headers of a request by which it is judged, each empty if it is missing. A [`HeaderMap`] becomes one by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookHeaders<'a> {
    /// `Content-Type`.
    pub content_type: &'a str,
    /// `X-Pusher-Key`.
    pub key: &'a str,
    /// `X-Pusher-Signature`.
    pub signature: &'a str,
}

/// A webhook that is genuine.
///
/// ```
/// use tidings_client::{Key, Webhook, WebhookError, WebhookEvent};
///
/// /// Takes a request as the web framework hands it over.
/// fn take(headers: &http::HeaderMap, body: &[u8], keys: &[Key]) -> Result<(), WebhookError> {
///     for event in Webhook::verify(headers, body, keys)?.events {
///         if let WebhookEvent::ChannelOccupied { channel } = event {
///             println!("somebody is on {channel}");
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// When it was made. It may be tried again for some minutes after that (P-12.6).
    pub created: SystemTime,
    /// What happened, in order within a channel (P-12.5).
    pub events: Vec<WebhookEvent>,
}

/// What happened (P-12.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookEvent {
    /// The first subscriber came.
    ChannelOccupied {
        /// The channel.
        channel: String,
    },
    /// The last subscriber left, and nobody came for some seconds (P-12.7).
    ChannelVacated {
        /// The channel.
        channel: String,
    },
    /// A user came to a presence channel.
    MemberAdded {
        /// The channel.
        channel: String,
        /// The user.
        user_id: String,
    },
    /// A user left a presence channel, and did not come back for some seconds (P-12.7).
    MemberRemoved {
        /// The channel.
        channel: String,
        /// The user.
        user_id: String,
    },
    /// A client published.
    ClientEvent {
        /// The channel.
        channel: String,
        /// The event's name, which starts with `client-`.
        event: String,
        /// Its data; on encrypted channels, the envelope.
        data: String,
        /// The connection that published.
        socket_id: String,
        /// Its user, on presence channels.
        user_id: Option<String>,
    },
    /// Somebody subscribed to a cache channel that remembers nothing. Publish there what subscribers are to begin with.
    CacheMiss {
        /// The channel.
        channel: String,
    },
    /// The number of subscribers has changed.
    SubscriptionCount {
        /// The channel.
        channel: String,
        /// How many there are.
        subscription_count: u64,
    },
    /// Something that is not known here, or that does not have the members it should.
    Other {
        /// Its name; empty if it has none.
        name: String,
        /// All that was said, its name included.
        members: Map<String, Value>,
    },
}

#[derive(Deserialize)]
struct Body {
    time_ms: u64,
    events: Vec<Map<String, Value>>,
}

impl Webhook {
    /// Checks that a request was signed with one of `keys` and reads it. Give the body as it came in, byte for byte: another JSON text of
    /// the same value has another signature (P-12.3). While a key is being replaced, give the old one and the new one.
    ///
    /// # Errors
    /// [`WebhookError`] if it is not genuine, or no webhook. Nothing of it can be believed then.
    pub fn verify<'a>(headers: impl Into<WebhookHeaders<'a>>, body: &[u8], keys: &[Key]) -> Result<Self, WebhookError> {
        let headers = headers.into();
        // Some frameworks add a charset, which says nothing new.
        let essence = headers.content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(WebhookError::ContentType { content_type: headers.content_type.to_owned() });
        }
        let mut named = keys.iter().filter(|key| key.key == headers.key).peekable();
        if named.peek().is_none() {
            return Err(WebhookError::UnknownKey { key: headers.key.to_owned() });
        }
        if !named.any(|key| auth::sign(&key.secret, &[body]).matches(headers.signature)) {
            return Err(WebhookError::WrongSignature);
        }
        let not_understood = |reason: String| WebhookError::NotUnderstood { reason };
        let Body { time_ms, events } = serde_json::from_slice(body).map_err(|error| not_understood(error.to_string()))?;
        let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(time_ms));
        let created = created.ok_or_else(|| not_understood("time_ms is beyond all time".to_owned()))?;
        Ok(Self { created, events: events.into_iter().map(WebhookEvent::read).collect() })
    }

    /// Refuses a webhook that was made more than `max` before `now`, so that nobody can send an old one again for long. Pusher and
    /// Tidings try a webhook again for 5 minutes (P-12.6), so less than that loses some.
    ///
    /// # Errors
    /// [`WebhookError::TooOld`].
    pub fn check_age(self, now: SystemTime, max: Duration) -> Result<Self, WebhookError> {
        // A clock that is behind is no reason to doubt a signature.
        let age = now.duration_since(self.created).unwrap_or_default();
        if age > max { Err(WebhookError::TooOld { age, max }) } else { Ok(self) }
    }
}

impl WebhookEvent {
    /// The channel; none if it names none.
    #[must_use]
    pub fn channel(&self) -> Option<&str> {
        match self {
            Self::ChannelOccupied { channel }
            | Self::ChannelVacated { channel }
            | Self::MemberAdded { channel, .. }
            | Self::MemberRemoved { channel, .. }
            | Self::ClientEvent { channel, .. }
            | Self::CacheMiss { channel }
            | Self::SubscriptionCount { channel, .. } => Some(channel),
            Self::Other { members, .. } => members.get("channel").and_then(Value::as_str),
        }
    }

    fn read(members: Map<String, Value>) -> Self {
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let known = || {
            let channel = text("channel")?;
            Some(match members.get("name")?.as_str()? {
                "channel_occupied" => Self::ChannelOccupied { channel },
                "channel_vacated" => Self::ChannelVacated { channel },
                "member_added" => Self::MemberAdded { channel, user_id: text("user_id")? },
                "member_removed" => Self::MemberRemoved { channel, user_id: text("user_id")? },
                "client_event" => Self::ClientEvent {
                    channel,
                    event: text("event")?,
                    data: text("data")?,
                    socket_id: text("socket_id")?,
                    user_id: text("user_id"),
                },
                "cache_miss" => Self::CacheMiss { channel },
                "subscription_count" => {
                    Self::SubscriptionCount { channel, subscription_count: members.get("subscription_count")?.as_u64()? }
                }
                _ => return None,
            })
        };
        match known() {
            Some(event) => event,
            None => Self::Other { name: text("name").unwrap_or_default(), members },
        }
    }
}

impl<'a> From<&'a HeaderMap> for WebhookHeaders<'a> {
    fn from(headers: &'a HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { content_type: text("content-type"), key: text("x-pusher-key"), signature: text("x-pusher-signature") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vectors() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../../dialect/tests/pusher-vectors.json")).unwrap();
        file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == "webhook_sign").cloned().collect()
    }

    fn key(name: &str, secret: &str) -> Key {
        Key { key: name.to_owned(), secret: secret.to_owned() }
    }

    /// Verifies a body that was rightly signed.
    fn signed(body: &str) -> Result<Webhook, WebhookError> {
        let signature = auth::sign("secret", &[body.as_bytes()]);
        let headers = WebhookHeaders { content_type: "application/json", key: "key", signature: signature.as_str() };
        Webhook::verify(headers, body.as_bytes(), &[key("key", "secret")])
    }

    /// P-12.1 to P-12.4, P-22.3
    #[test]
    fn webhooks_of_the_vectors_are_genuine_and_read() {
        let channel = || "c1".to_owned();
        let presence = || "presence-b".to_owned();
        let user_id = || "u1".to_owned();
        let expected = [
            ("V-050", vec![WebhookEvent::ChannelOccupied { channel: channel() }]),
            (
                "V-051",
                vec![
                    WebhookEvent::ChannelVacated { channel: channel() },
                    WebhookEvent::MemberRemoved { channel: presence(), user_id: user_id() },
                ],
            ),
            (
                "V-052",
                vec![WebhookEvent::ClientEvent {
                    channel: presence(),
                    event: "client-x".into(),
                    data: "{\"m\":\"Zoë ✓\"}".into(),
                    socket_id: "123.456".into(),
                    user_id: Some(user_id()),
                }],
            ),
            ("V-053", vec![WebhookEvent::CacheMiss { channel: "cache-c".into() }]),
            ("V-054", vec![WebhookEvent::SubscriptionCount { channel: channel(), subscription_count: 7 }]),
            ("V-055", vec![WebhookEvent::MemberAdded { channel: presence(), user_id: user_id() }]),
        ];
        let vectors = vectors();
        assert_eq!(vectors.len(), expected.len());
        for (vector, (id, events)) in vectors.iter().zip(expected) {
            assert_eq!(vector["id"], id);
            let text = |name: &str| vector["in"][name].as_str().unwrap();
            let mut headers = HeaderMap::new();
            for (name, value) in vector["out"]["headers"].as_object().unwrap() {
                let name: http::HeaderName = name.parse().unwrap();
                headers.insert(name, value.as_str().unwrap().parse().unwrap());
            }
            let keys = [key("another", "secret"), key(text("key"), text("secret"))];
            let webhook = Webhook::verify(&headers, text("body").as_bytes(), &keys).unwrap();
            let time_ms = serde_json::from_str::<Value>(text("body")).unwrap()["time_ms"].as_u64().unwrap();
            assert_eq!(webhook, Webhook { created: SystemTime::UNIX_EPOCH + Duration::from_millis(time_ms), events }, "{id}");
        }
    }

    /// P-12.1, P-12.3
    #[test]
    fn what_is_not_genuine_is_refused() {
        let body = r#"{"time_ms":1,"events":[]}"#;
        let signature = auth::sign("secret", &[body.as_bytes()]);
        let right = WebhookHeaders { content_type: "application/json", key: "key", signature: signature.as_str() };
        let keys = [key("key", "secret"), key("new", "newer")];
        let check = |headers: WebhookHeaders<'_>, body: &str, keys: &[Key]| Webhook::verify(headers, body.as_bytes(), keys).map(|_| ());
        assert_eq!(check(right, body, &keys), Ok(()));
        assert_eq!(check(WebhookHeaders { content_type: "Application/JSON; charset=utf-8", ..right }, body, &keys), Ok(()));
        // A secret that was changed under the same key: both are good for a while.
        assert_eq!(check(right, body, &[key("key", "changed"), key("key", "secret")]), Ok(()));
        for content_type in ["", "text/plain", "application/jsonx"] {
            let expected = Err(WebhookError::ContentType { content_type: content_type.into() });
            assert_eq!(check(WebhookHeaders { content_type, ..right }, body, &keys), expected);
        }
        for name in ["", "other", "KEY"] {
            assert_eq!(check(WebhookHeaders { key: name, ..right }, body, &keys), Err(WebhookError::UnknownKey { key: name.into() }));
        }
        assert_eq!(check(right, body, &[]), Err(WebhookError::UnknownKey { key: "key".into() }));
        let upper = signature.as_str().to_uppercase();
        let long = format!("{signature}0");
        for wrong in ["", "0", &upper, &long, auth::sign("newer", &[body.as_bytes()]).as_str()] {
            assert_eq!(check(WebhookHeaders { signature: wrong, ..right }, body, &keys), Err(WebhookError::WrongSignature), "{wrong}");
        }
        assert_eq!(check(WebhookHeaders { key: "new", ..right }, body, &keys), Err(WebhookError::WrongSignature));
        // The same value in another text.
        assert_eq!(check(right, r#"{"time_ms": 1,"events":[]}"#, &keys), Err(WebhookError::WrongSignature));
        assert_eq!(check(right, "", &keys), Err(WebhookError::WrongSignature));
        assert_eq!(WebhookHeaders::from(&HeaderMap::new()), WebhookHeaders::default());
    }

    /// P-12.4: what later servers may tell is kept, and does not stand in the way of the rest.
    #[test]
    fn what_is_not_known_is_kept() {
        let events = json!([
            { "name": "moon_rose", "channel": "sky", "phase": 3 },
            { "name": "member_added", "channel": "presence-a" },
            { "channel": "a" },
            { "name": "channel_occupied", "channel": "a", "more": true },
        ]);
        let webhook = signed(&json!({ "time_ms": 5, "events": events, "more": {} }).to_string()).unwrap();
        let other = |name: &str, at: usize| WebhookEvent::Other { name: name.into(), members: events[at].as_object().unwrap().clone() };
        let known = WebhookEvent::ChannelOccupied { channel: "a".into() };
        assert_eq!(webhook.events, [other("moon_rose", 0), other("member_added", 1), other("", 2), known]);
        assert_eq!(
            webhook.events.iter().map(WebhookEvent::channel).collect::<Vec<_>>(),
            [Some("sky"), Some("presence-a"), Some("a"), Some("a")]
        );
    }

    /// P-12.2
    #[test]
    fn what_is_genuine_may_still_be_no_webhook() {
        let deep = format!(r#"{{"time_ms":1,"events":[{{"a":{}{}}}]}}"#, "[".repeat(5000), "]".repeat(5000));
        for body in ["", "[]", "{}", r#"{"time_ms":"1","events":[]}"#, r#"{"time_ms":1,"events":[1]}"#, r#"{"time_ms":1}"#, &deep] {
            assert!(matches!(signed(body), Err(WebhookError::NotUnderstood { .. })), "{body:.80}");
        }
    }

    /// P-12.2
    #[test]
    fn an_old_webhook_can_be_refused() {
        let webhook = signed(r#"{"time_ms":1000000,"events":[]}"#).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let max = Duration::from_secs(300);
        for now in [900, 1000, 1300] {
            assert_eq!(webhook.clone().check_age(at(now), max).unwrap(), webhook, "{now}");
        }
        let expected = WebhookError::TooOld { age: Duration::from_secs(301), max };
        assert_eq!(webhook.check_age(at(1301), max).unwrap_err(), expected);
    }
}
