//! Pushy. An input that begins with a line `POST path?query` is a request to the trigger: then come a line with the content type and the body.
//! All other inputs are messages of a client, one per line, given to a session. What needs a signature is given once more with the right one, so
//! that what lies behind it is reached. All that is answered must be JSON, and what is delivered as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, CommandFailed, Input, Subscription, Subscriptions};
use tidings_dialect::pushi::name::socket_id as uuid;
use tidings_dialect::pushy::api::{self, Request};
use tidings_dialect::pushy::auth::Signature;
use tidings_dialect::pushy::codec::{ClientMessage, Decoded, Transport, decode, encode_event};
use tidings_dialect::pushy::json::{canonical, canonical_with};
use tidings_dialect::pushy::session::Session;
use tidings_dialect::pushy::settings::{Commands, Settings};
use tidings_dialect::pushy::{command, name};
use tidings_hub::{
    App, Body, Budget, Cached, ChannelName, Dialects, Event, Joined, Member, MemberList, Missed, SocketId, Source, Time, UnixTime,
};

const SECRET: &str = "secret";
const NOW: UnixTime = UnixTime::from_millis(1_363_800_000_000);

fuzz_target!(|bytes: &[u8]| {
    check_json(bytes);
    if let Some(rest) = bytes.strip_prefix(b"POST ") {
        return trigger(rest);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut peer = Peer::new();
    peer.give(Input::Opened);
    for (at, line) in text.lines().enumerate() {
        peer.now = Time::from_micros(at as u64 * 20_000);
        peer.give(Input::Text(line));
        if let Some(signed) = signed(line, peer.session.socket_id()) {
            peer.give(Input::Text(&signed));
        }
    }
});

fn app() -> App {
    App { dialects: Dialects { pushy: true, ..Dialects::default() }, ..App::new("1", "key", SECRET) }
}

fn is_json(bytes: &[u8]) {
    serde_json::from_slice::<IgnoredAny>(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()));
}

/// What is in canonical form stays as it is, and is JSON; what is none is none for others too.
fn check_json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match canonical(text) {
        Some(json) => {
            is_json(json.as_bytes());
            assert_eq!(canonical(&json).as_ref(), Some(&json));
            if let Some(object) = canonical_with(text, &[("\"a\"", "1")]) {
                is_json(object.as_bytes());
            }
        }
        None => {
            let deep = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > 128;
            assert!(deep || serde_json::from_str::<&RawValue>(text).is_err(), "{text}");
        }
    }
}

/// A request as it is, and with the key that fits to what it delivers.
fn trigger(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(target), Some(content_type)) = (line(), line()) else { return };
    let body = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let content_type = Some(content_type).filter(|text| !text.is_empty());
    let receive = |path: &str, query: &str| {
        let request = Request { method: "POST", path, query, content_type, body };
        match api::receive(&request, &app(), &Settings::default(), NOW) {
            Ok(trigger) => {
                is_json(&trigger.publish.data);
                let channel = trigger.publish.channels[0].clone();
                let body =
                    Body::Published { name: trigger.publish.name, data: trigger.publish.data, source: Source::Server, attached: None };
                let event = Event::new(channel, 1, 1, None, body, &Arc::new(Budget::new(usize::MAX)));
                let mut frame = Vec::new();
                encode_event(&event, "a", &mut frame).expect("data is text");
                is_json(&frame);
            }
            Err(refusal) => {
                assert!(matches!(refusal.status, 400 | 403 | 404 | 413 | 415), "{refusal:?}");
                is_json(&refusal.answer().body);
            }
        }
    };
    receive(path, query);
    let text = std::str::from_utf8(body).unwrap_or_default();
    let signed = canonical(text).unwrap_or_else(|| "{}".to_owned());
    for text in [signed.as_str(), text, "[]"] {
        let key = Signature::of(&[b"a", b"e", b"1363800000", text.as_bytes(), SECRET.as_bytes()]).hex();
        receive("/pushy/channel/a/trigger", &format!("event=e&timestamp=1363800000&auth_key={key}"));
    }
}

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

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

struct Peer {
    session: Session,
    on: On,
    now: Time,
}

impl Peer {
    fn new() -> Self {
        let settings = Settings { commands: Commands { named: Default::default(), others: true }, ..Settings::default() };
        let socket_id = SocketId::new(0, 1, [7; 16]);
        let session = Session::new(Arc::new(app()), socket_id, Transport::WebSocket, Arc::new(settings), Time::ZERO, NOW);
        Self { session, on: On::default(), now: Time::ZERO }
    }

    /// Gives one input and does what it asks for.
    fn give(&mut self, input: Input<'_>) {
        let mut actions = Actions::new();
        self.session.receive(input, &self.on, self.now, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(message) | Action::SendTo { message, .. } => is_json(&message),
            Action::Subscribe(join) => {
                let members = join.member.clone().into_iter().filter(|_| name::has_roll(&join.channel)).collect();
                assert!(self.on.0.insert(join.channel.clone(), join.member).is_none(), "twice on {}", join.channel);
                let joined =
                    Joined { serial: 1, members: Some(Arc::new(MemberList::new(members))), cache: Cached::Off, missed: Missed::default() };
                self.give(Input::Subscribed { channel: &join.channel, answer: Ok(joined) });
            }
            Action::Unsubscribe(channel) => {
                assert!(self.on.0.remove(&channel).is_some(), "it was on {channel}");
                self.give(Input::Unsubscribed(&channel));
            }
            // What came with a command serves as the endpoint's answer.
            Action::Command(command) => {
                is_json(&command.data);
                let answer = command::answer(200, &command.data, &Settings::default());
                assert!(answer.is_ok() || answer == Err(CommandFailed::default()));
                self.give(Input::Commanded(answer));
            }
            Action::Publish(publish) => is_json(&publish.data),
            Action::Spell { channel, spelling } => assert_eq!(spelling.to_lowercase(), channel.as_str()),
            Action::Close(close) => assert!(matches!(close.code, 1000 | 3000..=4999) && close.reason.len() <= 123),
            action => panic!("no text asks for {action:?}"),
        }
    }
}

/// The same subscribe with the right signature.
fn signed(line: &str, socket_id: SocketId) -> Option<String> {
    let Ok(Decoded::Built(ClientMessage::Subscribe { channel, data, .. })) = decode(line) else { return None };
    let channel: String = serde_json::from_str(channel?.get()).ok()?;
    let text = data.map(|data| canonical(data.get()).expect("it was read as JSON"));
    let covered = text.map(|text| format!(":{text}")).unwrap_or_default();
    let auth = Signature::of(&[format!("{}:{}{covered}:{SECRET}", uuid(socket_id), channel.to_lowercase()).as_bytes()]).hex();
    let data = data.map(|data| format!(",\"data\":{}", data.get())).unwrap_or_default();
    let channel = serde_json::to_string(&channel).expect("a string is JSON");
    Some(format!(r#"{{"command":"subscribe","data":{{"channel":{channel},"auth":"{auth}"{data}}}}}"#))
}
