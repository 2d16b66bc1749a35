//! Webhooks as Pusher sends them: which facts an endpoint wants, how they are written, how a request is signed.

use crate::auth;
use bytes::Bytes;
use serde::Serialize;
use std::io::Write;
use tidings_hub::{Fact, FactKind, Key, UnixTime, Webhook};

/// The `Content-Type` of every request: receivers compare the whole value (P-12.1).
pub const CONTENT_TYPE: &str = "application/json";

/// The names of all events that an endpoint may ask for (P-12.4).
pub const EVENTS: [&str; 7] =
    ["channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss", "subscription_count"];

/// The name under which a fact is told (P-12.4).
#[must_use]
pub fn name(kind: &FactKind) -> &'static str {
    match kind {
        FactKind::Occupied => "channel_occupied",
        FactKind::Vacated => "channel_vacated",
        FactKind::MemberAdded { .. } => "member_added",
        FactKind::MemberRemoved { .. } => "member_removed",
        FactKind::ClientEvent { .. } => "client_event",
        FactKind::CacheMiss => "cache_miss",
        FactKind::SubscriptionCount(_) => "subscription_count",
    }
}

/// Whether `webhook` asks for `fact`: by event name, and by the channel's beginning and end, which must both match (P-12.8).
#[must_use]
pub fn wants(webhook: &Webhook, fact: &Fact) -> bool {
    let channel = fact.channel.as_str();
    webhook.events.as_ref().is_none_or(|events| events.iter().any(|event| event == name(&fact.kind)))
        && webhook.channel_prefix.as_ref().is_none_or(|prefix| channel.starts_with(prefix.as_str()))
        && webhook.channel_suffix.as_ref().is_none_or(|suffix| channel.ends_with(suffix.as_str()))
}

/// One event of a body, as a JSON object (P-12.4). `None` if it holds data that is not UTF-8, which no JSON text can carry.
#[must_use]
pub fn event(fact: &Fact) -> Option<Bytes> {
    let mut event = Event { name: name(&fact.kind), channel: fact.channel.as_str(), ..Event::default() };
    match &fact.kind {
        FactKind::Occupied | FactKind::Vacated | FactKind::CacheMiss => {}
        FactKind::MemberAdded { user_id } | FactKind::MemberRemoved { user_id } => event.user_id = Some(user_id),
        FactKind::SubscriptionCount(count) => event.subscription_count = Some(*count),
        FactKind::ClientEvent { event: name, data, socket_id, user_id } => {
            event.event = Some(name);
            event.data = Some(std::str::from_utf8(data).ok()?);
            event.socket_id = socket_id.map(|id| id.to_string());
            event.user_id = user_id.as_deref();
        }
    }
    Some(Bytes::from(serde_json::to_vec(&event).expect("strings and numbers are always JSON")))
}

/// The body of a request: `events`, each made by [`event`], in order, created at `time` (P-12.2).
#[must_use]
pub fn body<'a>(time: UnixTime, events: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut body = Vec::new();
    write!(body, r#"{{"time_ms":{},"events":["#, time.as_millis()).expect("a Vec takes all that is written");
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    Bytes::from(body)
}

/// The headers that go with exactly this `body`, signed with the app's oldest key (P-12.1, P-12.3).
#[must_use]
pub fn headers(key: &Key, body: &[u8]) -> [(&'static str, String); 3] {
    [
        ("Content-Type", CONTENT_TYPE.to_owned()),
        ("X-Pusher-Key", key.key.clone()),
        ("X-Pusher-Signature", auth::sign(&key.secret, &[body]).to_string()),
    ]
}

/// Whether an endpoint may set the header `name` itself: not those by which the receiver judges the request (P-12.1).
#[must_use]
pub fn may_add(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name != "content-type" && !name.starts_with("x-pusher-")
}

/// The members in the order in which Pusher writes them.
#[derive(Default, Serialize)]
struct Event<'a> {
    name: &'a str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidings_hub::{AppId, ChannelName, SocketId};

    fn fact(channel: &str, kind: FactKind) -> Fact {
        Fact { app: AppId::new("a"), channel: ChannelName::parse(channel).unwrap(), serial: 1, kind }
    }

    fn client_event(data: &'static [u8], user_id: Option<&str>) -> FactKind {
        FactKind::ClientEvent {
            event: Arc::from("client-x"),
            data: Bytes::from_static(data),
            socket_id: SocketId::from_halves(123, 456),
            user_id: user_id.map(Arc::from),
        }
    }

    fn written(channel: &str, kind: FactKind) -> String {
        String::from_utf8(event(&fact(channel, kind)).unwrap().to_vec()).unwrap()
    }

    /// P-12.1, P-12.3: the vectors that the official libraries accept.
    #[test]
    fn signatures_are_those_of_the_vectors() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/pusher-vectors.json")).unwrap();
        let vectors: Vec<_> = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == "webhook_sign").collect();
        assert!(vectors.len() >= 6);
        for vector in vectors {
            let text = |name: &str| vector["in"][name].as_str().unwrap().to_owned();
            let ours = headers(&Key { key: text("key"), secret: text("secret") }, text("body").as_bytes());
            let theirs = vector["out"]["headers"].as_object().unwrap();
            assert_eq!(theirs.len(), ours.len());
            for (name, value) in &ours {
                assert_eq!(theirs[*name], *value, "{} {name}", vector["id"]);
            }
        }
    }

    /// P-12.2, P-12.4: the same facts give the bodies of the vectors, byte for byte.
    #[test]
    fn bodies_are_those_of_the_vectors() {
        let user_id: Arc<str> = Arc::from("u1");
        let facts = [
            ("V-050", vec![fact("c1", FactKind::Occupied)]),
            ("V-051", vec![fact("c1", FactKind::Vacated), fact("presence-b", FactKind::MemberRemoved { user_id: Arc::clone(&user_id) })]),
            ("V-052", vec![fact("presence-b", client_event("{\"m\":\"Zoë ✓\"}".as_bytes(), Some("u1")))]),
            ("V-053", vec![fact("cache-c", FactKind::CacheMiss)]),
            ("V-054", vec![fact("c1", FactKind::SubscriptionCount(7))]),
            ("V-055", vec![fact("presence-b", FactKind::MemberAdded { user_id })]),
        ];
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/pusher-vectors.json")).unwrap();
        for (id, facts) in facts {
            let vector = file["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == id).unwrap();
            let expected = vector["in"]["body"].as_str().unwrap();
            let time = serde_json::from_str::<serde_json::Value>(expected).unwrap()["time_ms"].as_u64().unwrap();
            let events: Vec<Bytes> = facts.iter().map(|fact| event(fact).unwrap()).collect();
            let body = body(UnixTime::from_millis(time), events.iter().map(|event| &event[..]));
            assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "{id}");
        }
    }

    /// P-12.4: members that do not apply are left out; data is a string whatever it holds.
    #[test]
    fn a_client_event_has_the_members_that_apply() {
        assert_eq!(
            written("private-c", client_event(b"\"hi\"", None)),
            r#"{"name":"client_event","channel":"private-c","event":"client-x","data":"\"hi\"","socket_id":"123.456"}"#
        );
        assert_eq!(event(&fact("private-c", client_event(b"\xff", None))), None);
    }

    /// P-12.8
    #[test]
    fn an_endpoint_gets_what_it_asks_for() {
        let webhook = |events: Option<&[&str]>, prefix: Option<&str>, suffix: Option<&str>| Webhook {
            url: "https://example.com/".to_owned(),
            events: events.map(|events| events.iter().map(|&event| event.to_owned()).collect()),
            channel_prefix: prefix.map(str::to_owned),
            channel_suffix: suffix.map(str::to_owned),
            headers: Vec::new(),
        };
        for (events, prefix, suffix, channel, wanted) in [
            (None, None, None, "news", true),
            (Some(&["channel_occupied"][..]), None, None, "news", true),
            (Some(&["channel_vacated", "cache_miss"][..]), None, None, "news", false),
            (Some(&[][..]), None, None, "news", false),
            (None, Some("chat-"), None, "chat-1", true),
            (None, Some("chat-"), None, "my-chat-1", false),
            (None, None, Some("-de"), "chat-de", true),
            (None, None, Some("-de"), "chat-den", false),
            (None, Some("chat-"), Some("-de"), "chat-1-de", true),
            (None, Some("chat-"), Some("-de"), "chat-1-fr", false),
            (None, Some("chat-"), Some("-de"), "talk-1-de", false),
            (Some(&["channel_vacated"][..]), Some("chat-"), Some("-de"), "chat-1-de", false),
        ] {
            let webhook = webhook(events, prefix, suffix);
            assert_eq!(wants(&webhook, &fact(channel, FactKind::Occupied)), wanted, "{webhook:?} {channel}");
        }
    }

    #[test]
    fn every_fact_has_a_name_that_can_be_asked_for() {
        let user_id: Arc<str> = Arc::from("u");
        let kinds = [
            FactKind::Occupied,
            FactKind::Vacated,
            FactKind::MemberAdded { user_id: Arc::clone(&user_id) },
            FactKind::MemberRemoved { user_id },
            client_event(b"", None),
            FactKind::CacheMiss,
            FactKind::SubscriptionCount(1),
        ];
        assert_eq!(kinds.each_ref().map(name), EVENTS);
    }

    /// P-12.1: custom headers do not override ours.
    #[test]
    fn our_headers_cannot_be_set() {
        for (name, may) in [("Content-Type", false), ("x-PUSHER-key", false), ("X-Pusher-Signature", false), ("Authorization", true)] {
            assert_eq!(may_add(name), may, "{name}");
        }
    }
}
