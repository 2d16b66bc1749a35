//! The published vectors of the Pusher protocol that concern a connection (P-22.1, P-22.2, P-22.3).

use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, Input, Subscription, Subscriptions};
use tidings_dialect::auth;
use tidings_dialect::pusher::codec::{ClientMessage, Subscribe, encode_client, encode_event};
use tidings_dialect::pusher::handshake::Client;
use tidings_dialect::pusher::name::{self, Kind};
use tidings_dialect::pusher::{Session, member};
use tidings_hub::{App, Body, Budget, ChannelName, Event, Limits, Member, MemberList, Source, Time};

#[derive(Deserialize)]
struct Vector {
    id: String,
    kind: String,
    #[serde(rename = "in")]
    given: Value,
    out: Value,
}

/// Runs `check` on all vectors of a kind.
fn each(kind: &str, check: impl Fn(&Value, &Value, &str)) {
    #[derive(Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    let File { vectors } = serde_json::from_str(include_str!("../pusher-vectors.json")).unwrap();
    let mut count = 0;
    for vector in vectors.iter().filter(|vector| vector.kind == kind) {
        check(&vector.given, &vector.out, &vector.id);
        count += 1;
    }
    assert!(count > 0, "no vector of kind {kind}");
}

fn str_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

struct On(ChannelName, Option<Arc<Member>>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        (self.0.as_str() == channel).then_some(Subscription { channel: &self.0, member: self.1.as_ref() })
    }

    fn count(&self) -> usize {
        1
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

/// A session of the vector's app and socket id.
fn session(app: App, socket_id: &str) -> Session {
    let key = app.keys[0].key.clone();
    let socket_id = name::parse_socket_id(socket_id).unwrap().expect("a socket id that we could give");
    Session::new(Arc::new(app), &key, socket_id, 7, Client::Other, Time::ZERO)
}

/// The actions of one message of a client that is on `channel` alone.
fn actions(session: &mut Session, text: &str, on: &On) -> Vec<Action> {
    let mut actions = Actions::new();
    session.receive(Input::Text(text), on, Time::ZERO, &mut actions);
    actions.into()
}

fn nowhere() -> On {
    On(ChannelName::parse("elsewhere").unwrap(), None)
}

fn encoded(message: &ClientMessage<'_>) -> String {
    let mut out = Vec::new();
    encode_client(message, &mut out);
    String::from_utf8(out).unwrap()
}

/// P-6.1, P-6.2, P-6.3, P-6.4: the signature, and that a session lets in who has it, on its own socket id only.
#[test]
fn channel_auth() {
    each("channel_auth", |given, out, id| {
        let (key, secret) = (str_of(given, "key"), str_of(given, "secret"));
        assert_eq!(auth::sign(secret, &[str_of(out, "string_to_sign").as_bytes()]).as_str(), str_of(out, "signature"), "{id}");
        let message = encoded(&ClientMessage::Subscribe(Subscribe {
            channel: str_of(given, "channel").into(),
            auth: Some(str_of(out, "auth").into()),
            channel_data: given["channel_data"].as_str().map(Into::into),
        }));
        let accepts = |socket_id: &str| match actions(&mut session(App::new("1", key, secret), socket_id), &message, &nowhere()).as_slice()
        {
            [Action::Subscribe(_)] => true,
            // A signature that is right, but without a member and without a signed-in user: P-7.5.
            [Action::Send(error), _] => std::str::from_utf8(error).unwrap().contains("InvalidMember"),
            _ => false,
        };
        assert!(accepts(str_of(given, "socket_id")), "{id}");
        assert!(!accepts("9.9"), "{id}");
    });
}

/// P-6.5
#[test]
fn user_auth() {
    each("user_auth", |given, out, id| {
        let app = App::new("1", str_of(given, "key"), str_of(given, "secret"));
        let message = encoded(&ClientMessage::SignIn { auth: str_of(out, "auth").into(), user_data: str_of(given, "user_data").into() });
        let actions = actions(&mut session(app, str_of(given, "socket_id")), &message, &nowhere());
        assert!(matches!(actions.as_slice(), [Action::SignIn(_)]), "{id}: {actions:?}");
    });
}

/// P-4.1, P-4.2, P-4.3, P-4.4
#[test]
fn channel_name() {
    each("channel_name", |given, out, id| {
        let found = match name::parse(str_of(given, "name"), 200) {
            Ok(name) => {
                let kind = Kind::of(name.as_str());
                let text = match kind {
                    Kind::Public => "public",
                    Kind::Private => "private",
                    Kind::PrivateEncrypted => "private-encrypted",
                    Kind::Presence => "presence",
                    Kind::ServerToUser => "server-to-user",
                };
                json!({ "valid": true, "type": text, "cache": name.caches(), "requires_auth": kind.needs_auth() })
            }
            Err(_) => json!({ "valid": false }),
        };
        assert_eq!(found, *out, "{id}");
    });
}

/// P-2.6
#[test]
fn socket_id() {
    each("socket_id", |given, out, id| {
        assert_eq!(name::parse_socket_id(str_of(given, "socket_id")).is_ok(), out["valid"], "{id}");
    });
}

/// P-7.1, P-7.2, P-18.7, P-18.8
#[test]
fn presence_member() {
    each("presence_member", |given, out, id| {
        let found = match member::parse(str_of(given, "channel_data"), &Limits::default()) {
            Ok(member) => {
                let mut found = json!({ "accept": true, "user_id": &*member.user_id });
                if let Some(info) = member.user_info {
                    found["user_info"] = serde_json::from_slice(&info).unwrap();
                }
                found
            }
            Err(_) => json!({ "accept": false }),
        };
        assert_eq!(found, *out, "{id}");
    });
}

/// P-8.3, P-8.6: what others are told, and what a webhook is made from.
#[test]
fn client_event() {
    each("client_event", |given, out, id| {
        let delivered = &out["delivered"];
        let channel = ChannelName::parse(str_of(delivered, "channel")).unwrap();
        let on = On(channel.clone(), given["sender_user_id"].as_str().map(|id| Arc::new(Member::new(id))));
        let mut session = session(App { client_events: true, ..App::new("1", "k", "s") }, str_of(given, "sender_socket_id"));
        let actions = actions(&mut session, str_of(given, "frame"), &on);
        let [Action::Publish(publish)] = actions.as_slice() else { panic!("{id}: {actions:?}") };

        let mut fact = json!({
            "name": "client_event",
            "channel": publish.channels[0].as_str(),
            "event": &*publish.name,
            "data": std::str::from_utf8(&publish.data).unwrap(),
            "socket_id": publish.origin.unwrap().to_string(),
        });
        if let Source::Client { user_id: Some(user_id), .. } = &publish.source {
            fact["user_id"] = Value::from(&**user_id);
        }
        assert_eq!(fact, out["webhook_event"], "{id}");

        let body =
            Body::Published { name: publish.name.clone(), data: publish.data.clone(), source: publish.source.clone(), attached: None };
        let event = Event::new(channel, 1, 1, publish.origin, body, &Arc::new(Budget::new(usize::MAX)));
        let mut frame = Vec::new();
        encode_event(&event, &mut frame).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&frame).unwrap(), *delivered, "{id}");
    });
}
