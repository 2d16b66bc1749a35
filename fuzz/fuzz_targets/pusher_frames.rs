//! Messages of a Pusher client, one per line, given to the codec and to a session. Requests that need a signature are given once more with
//! the right one, so that what lies behind it is reached. All a session answers must be readable by our own client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, Input, Subscription, Subscriptions};
use tidings_dialect::auth;
use tidings_dialect::pusher::Session;
use tidings_dialect::pusher::codec::{ClientMessage, Subscribe, decode_client, decode_server, encode_client};
use tidings_dialect::pusher::handshake::Client;
use tidings_hub::{App, Cached, ChannelName, Joined, Member, MemberList, Missed, SocketId, Time, Watched};

const SOCKET_ID: &str = "123.456";

#[derive(Default)]
struct On(HashMap<ChannelName, Option<Arc<Member>>>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let (channel, member) = self.0.get_key_value(channel)?;
        Some(Subscription { channel, member: member.as_ref() })
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        Arc::new(MemberList::new(self.0.get(channel).cloned().flatten().into_iter().collect()))
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let app = App { client_events: true, watchlist_events: true, ..App::new("1", "k", "s") };
    let socket_id = SocketId::from_halves(123, 456).expect("both halves are small");
    let mut session = Session::new(Arc::new(app), "k", socket_id, 7, Client::Other, Time::ZERO);
    let mut on = On::default();
    for (at, line) in text.lines().enumerate() {
        let now = Time::from_micros(at as u64 * 50_000);
        let _ = decode_server(line);
        give(&mut session, &mut on, Input::Text(line), now);
        if let Ok(message) = decode_client(line) {
            round_trip(&message);
            if let Some(signed) = signed(message) {
                give(&mut session, &mut on, Input::Text(&signed), now);
            }
        }
    }
});

/// Gives one input and does what it asks for.
fn give(session: &mut Session, on: &mut On, input: Input<'_>, now: Time) {
    let mut actions = Actions::new();
    session.receive(input, on, now, &mut actions);
    for action in actions {
        match action {
            Action::Send(frame) => {
                let text = std::str::from_utf8(&frame).expect("a frame is text");
                decode_server(text).unwrap_or_else(|error| panic!("{error}: {text}"));
            }
            Action::Subscribe(join) => {
                let members = join.member.clone().map(|member| Arc::new(MemberList::new(vec![member])));
                on.0.insert(join.channel.clone(), join.member);
                let answer = Ok(Joined {
                    serial: 1,
                    members,
                    cache: if join.channel.caches() { Cached::Miss } else { Cached::Off },
                    missed: Missed::default(),
                });
                give(session, on, Input::Subscribed { channel: &join.channel, answer }, now);
            }
            Action::Unsubscribe(channel) => assert!(on.0.remove(&channel).is_some(), "it was on {channel}"),
            Action::Publish(publish) => {
                assert!(std::str::from_utf8(&publish.data).is_ok() && publish.data.len() <= 10_240);
                assert!(publish.channels.iter().all(|channel| on.0.contains_key(channel)) && publish.name.starts_with("client-"));
            }
            Action::SignIn(sign_in) => {
                assert_eq!(session.user_id(), Some(&sign_in.user_id));
                give(session, on, Input::SignedIn(Watched { online: sign_in.watchlist, offline: Vec::new() }), now);
            }
            _ => panic!("no text asks for {action:?}"),
        }
    }
}

/// What a client writes is read as what it meant.
fn round_trip(message: &ClientMessage<'_>) {
    let mut out = Vec::new();
    encode_client(message, &mut out);
    let written = std::str::from_utf8(&out).expect("a message is text");
    // A JSON value inside has no equality but its text.
    assert_eq!(format!("{:?}", decode_client(written)), format!("{:?}", Ok::<_, ()>(message)));
}

/// The same request with the right signature, if it takes one.
fn signed(message: ClientMessage<'_>) -> Option<String> {
    let sign = |parts: &[&str]| format!("k:{}", auth::sign("s", &parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>()));
    let message = match message {
        ClientMessage::Subscribe(Subscribe { channel, channel_data, .. }) => {
            let auth = match &channel_data {
                Some(data) => sign(&[SOCKET_ID, ":", &channel, ":", data]),
                None => sign(&[SOCKET_ID, ":", &channel]),
            };
            ClientMessage::Subscribe(Subscribe { channel, auth: Some(auth.into()), channel_data })
        }
        ClientMessage::SignIn { user_data, .. } => {
            ClientMessage::SignIn { auth: sign(&[SOCKET_ID, "::user::", &user_data]).into(), user_data }
        }
        _ => return None,
    };
    let mut out = Vec::new();
    encode_client(&message, &mut out);
    Some(String::from_utf8(out).expect("a message is text"))
}
