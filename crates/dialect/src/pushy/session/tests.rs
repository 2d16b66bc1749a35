//! Sessions alone: what they answer to whatever comes, and where their limits are. Dialogues with a hub are among the crate's other tests.

use super::*;
use crate::action::{CommandFailed, Join, Reply, Subscription};
use crate::pushy::auth::Signature;
use crate::pushy::settings::{ChannelNames, Commands, Presence};
use proptest::prelude::*;
use std::time::Duration;
use tidings_hub::{Cached, Dialects, Joined, Member, MemberList, Missed, Opens, Refused};

/// A session, and the channels that it is on.
struct World {
    session: Session,
    on: On,
    now: Time,
    /// What the hub answers to the next subscribe.
    refused: Option<Refused>,
    joins: Vec<Join>,
}

#[derive(Default)]
struct On {
    channels: Vec<ChannelName>,
    /// Those that others are on.
    others: Vec<&'static str>,
}

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let channel = self.channels.iter().find(|name| name.as_str() == channel)?;
        Some(Subscription { channel, member: None })
    }

    fn count(&self) -> usize {
        self.channels.len()
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }

    fn exists(&self, channel: &str) -> bool {
        self.others.contains(&channel) || self.find(channel).is_some()
    }
}

fn app() -> App {
    App { dialects: Dialects { pushy: true, ..Dialects::default() }, ..App::new("1", "k", "secret") }
}

impl World {
    fn new(settings: Settings) -> Self {
        let socket = SocketId::new(0, 1, [7; 16]);
        let unix = UnixTime::from_millis(1_363_800_000_000);
        let session = Session::new(Arc::new(app()), socket, Transport::WebSocket, Arc::new(settings), Time::ZERO, unix);
        Self { session, on: On::default(), now: Time::ZERO, refused: None, joins: Vec::new() }
    }

    fn plain() -> Self {
        Self::new(Settings::default())
    }

    /// Feeds one input, does what the session asks for, and tells in short what came of it.
    fn feed(&mut self, input: Input<'_>) -> Vec<String> {
        let (mut actions, mut log) = (Actions::new(), Vec::new());
        self.session.receive(input, &self.on, self.now, &mut actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Send(message) => log.push(short(&message)),
                Action::Subscribe(join) => {
                    let answer = match self.refused.take() {
                        None => {
                            self.on.channels.push(join.channel.clone());
                            Ok(Joined { serial: 1, members: None, cache: Cached::Off, missed: Missed::default() })
                        }
                        Some(refused) => Err(refused),
                    };
                    self.session.receive(Input::Subscribed { channel: &join.channel, answer }, &self.on, self.now, &mut actions);
                    self.joins.push(join);
                }
                Action::Unsubscribe(channel) => {
                    self.on.channels.retain(|other| *other != channel);
                    self.session.receive(Input::Unsubscribed(&channel), &self.on, self.now, &mut actions);
                }
                Action::Spell { channel, spelling } => log.push(format!("spell {channel} {spelling}")),
                Action::Command(command) => log.push(format!("command {} {}", command.name, String::from_utf8_lossy(&command.data))),
                Action::Close(close) => log.push(format!("close {} {}", close.code, close.reason)),
                action => panic!("{action:?}"),
            }
        }
        log
    }

    fn send(&mut self, text: &str) -> String {
        self.feed(Input::Text(text)).join(", ")
    }

    fn subscribe(&mut self, channel: &str) -> String {
        self.send(&format!(r#"{{"command":"subscribe","data":{{"channel":"{channel}"}}}}"#))
    }

    /// Subscribes to a private channel with a signature over `data`.
    fn signed(&mut self, channel: &str, data: Option<&str>) -> String {
        let socket_id = crate::pushi::name::socket_id(self.session.socket_id());
        let covered = data.map(|data| format!(":{}", super::super::json::canonical(data).unwrap())).unwrap_or_default();
        let auth = Signature::of(&[format!("{socket_id}:{channel}{covered}:secret").as_bytes()]).hex();
        let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
        self.send(&format!(r#"{{"command":"subscribe","data":{{"channel":"{channel}","auth":"{auth}"{data}}}}}"#))
    }
}

/// The event's name without its prefix, with what tells it from others.
fn short(message: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(message).unwrap();
    let data = &value["data"];
    let what = ["code", "reason", "channel"].iter().find_map(|name| data[name].as_str()).unwrap_or_default();
    format!("{} {what}", value["event"].as_str().unwrap().trim_start_matches("pushy:"))
}

/// Y-3.2, Y-3.6, S-3.7, S-6.9
#[test]
fn a_connection_is_greeted_and_what_is_no_text_is_bogus() {
    let mut world = World::plain();
    assert_eq!(world.feed(Input::Opened), ["connect "]);
    assert_eq!(world.feed(Input::NotText), ["error 100"]);
    assert_eq!(world.feed(Input::Binary(b"\xff")), ["error 100"]);
    assert_eq!(world.feed(Input::Binary(br#"{"command":"subscribe","data":{"channel":"a"}}"#)), ["subscription-success a"]);
    assert_eq!(world.send(r#"{"event":"x"}"#), "");
}

/// Y-3.8, Y-5.1, Y-5.3, Y-5.5, Y-7.6, Y-7.7, Y-10.1, Y-10.13: no input hurts, and each has its answer.
#[test]
fn every_command_has_its_answer() {
    let mut world = World::plain();
    world.on.others = vec!["busy", "private-busy"];
    for (message, expected) in [
        (r#"{"command":"nosuch"}"#, "error 200"),
        (r#"{"command":"constructor","data":{}}"#, "error 200"),
        (r#"{"command":"subscribe"}"#, "error 300"),
        (r#"{"command":"subscribe","data":{"channel":0}}"#, "error 300"),
        (r#"{"command":"subscribe","data":{"channel":5}}"#, "error 301"),
        (r#"{"command":"subscribe","data":{"channel":["a"]}}"#, "error 301"),
        (r#"{"command":"subscribe","data":{"channel":"\ud800"}}"#, "error 301"),
        (r#"{"command":"subscribe","data":{"channel":"a\u0000"}}"#, "error 301"),
        (r##"{"command":"subscribe","data":{"channel":"#server-to-user-1"}}"##, "error 301"),
        (r#"{"command":"subscribe","data":5}"#, "error 400"),
        (r#"{"command":"subscribe","data":{"channel":"push"}}"#, "subscription-success push"),
        (
            r#"{"command":"subscribe","data":{"channel":"Constructor","auth":5,"data":"x"}}"#,
            "spell constructor Constructor, subscription-success Constructor",
        ),
        (r#"{"command":"subscribe","data":{"channel":"CONSTRUCTOR"}}"#, "subscription-failed Already subscribed to this channel"),
        (r#"{"command":"subscribe","data":{"channel":"Private-x"}}"#, "subscription-needauth Private-x"),
        (r#"{"command":"subscribe","data":{"channel":"private-x","auth":" \t\ufeff "}}"#, "subscription-needauth private-x"),
        (r#"{"command":"subscribe","data":{"channel":"private-x","auth":null}}"#, "subscription-needauth private-x"),
        (r#"{"command":"subscribe","data":{"channel":"private-x","auth":5}}"#, "subscription-failed Invalid credentials"),
        (r#"{"command":"subscribe","data":{"channel":"private-x","auth":{}}}"#, "subscription-failed Invalid credentials"),
        (r#"{"command":"subscribe","data":{"channel":"private-x","auth":"bad"}}"#, "subscription-failed Invalid credentials"),
        (r#"{"command":"unsubscribe","data":{}}"#, "error 300"),
        (r#"{"command":"unsubscribe","data":{"channel":5}}"#, "error 301"),
        (r#"{"command":"unsubscribe","data":{"channel":"Busy"}}"#, "error 403"),
        (r#"{"command":"unsubscribe","data":{"channel":"nobody"}}"#, "error 404"),
        (r#"{"command":"unsubscribe","data":{"channel":"PUSH"}}"#, "subscription-end PUSH"),
        (r#"{"command":"unsubscribe","data":{"channel":"push"}}"#, "error 404"),
    ] {
        assert_eq!(world.send(message), expected, "{message}");
    }
}

/// Y-7.8: the fifth time in ten seconds is the last, for this channel.
#[test]
fn a_signature_is_asked_for_five_times() {
    let mut world = World::plain();
    for _ in 0..5 {
        assert_eq!(world.subscribe("private-a"), "subscription-needauth private-a");
    }
    assert_eq!(world.subscribe("PRIVATE-A"), "subscription-failed Invalid credentials");
    assert_eq!(world.subscribe("private-b"), "subscription-needauth private-b");
    assert_eq!(world.signed("private-a", None), "subscription-success private-a");
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.send(r#"{"command":"subscribe","data":{"channel":"private-b","auth":""}}"#), "subscription-needauth private-b");
}

/// Y-11.1: messages of whatever kind.
#[test]
fn messages_have_a_rate() {
    let mut world = World::plain();
    let bogus = |world: &mut World| (0..300).map(|_| world.send("bogus")).filter(|answer| answer == "error 100").count();
    assert_eq!((bogus(&mut world), world.send("bogus").as_str()), (200, "error 429"));
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(bogus(&mut world), 100);
}

/// Y-8.11, Y-11.1
#[test]
fn channels_names_and_data_have_limits() {
    let mut world = World::new(Settings { subscriptions: 2, presence_data_bytes: 10, ..Settings::default() });
    assert_eq!(world.subscribe(&"é".repeat(201)), "error 301");
    assert_eq!(world.signed("private-a", Some(r#""12345678901""#)), "subscription-failed Presence data too large");
    assert_eq!(world.signed("private-a", Some(r#"{"a":12345}"#)), "subscription-failed Presence data too large");
    assert_eq!(world.signed("private-a", Some(r#""\u00e9\u00e9\u00e9\u00e9\u00e9""#)), "subscription-success private-a");
    assert_eq!((world.subscribe("b").as_str(), world.subscribe("c").as_str()), ("subscription-success b", "error 429"));
    assert_eq!(world.subscribe("b"), "subscription-failed Already subscribed to this channel", "which is looked at first");
    assert_eq!(world.session.message_bytes_max(), 65_536);
}

/// What the hub refuses is told in the client's words, as it wrote the name.
#[test]
fn a_refusal_of_the_hub_is_told() {
    let mut world = World::plain();
    for (refused, expected) in [
        (Refused::MembersFull { max: 1 }, "subscription-failed Too many members in this channel"),
        (Refused::SubscriptionsFull { max: 1 }, "error 429"),
        (Refused::Lost, "subscription-failed Internal error, subscribe again"),
    ] {
        world.refused = Some(refused);
        assert_eq!(world.subscribe("Hello"), expected);
    }
    assert_eq!(world.subscribe("hello"), "subscription-success hello");
}

/// Y-8.1, Y-8.2, Y-8.4, Y-5.4: what a connection brings to the roll.
#[test]
fn members_say_what_opens_a_roll() {
    for (presence, channel_names, channel, data, expected) in [
        (Presence::First, ChannelNames::Subscriber, "private-a", Some("null"), Some((Opens::IfFirst, None))),
        (Presence::Any, ChannelNames::Subscriber, "private-a", Some("{}"), Some((Opens::Always, None))),
        (Presence::Any, ChannelNames::Lower, "private-a", None, Some((Opens::Never, None))),
        (Presence::First, ChannelNames::Creator, "private-a", None, Some((Opens::Never, Some("private-a")))),
        (Presence::Any, ChannelNames::Creator, "presence-a", Some("{}"), Some((Opens::Never, Some("presence-a")))),
        (Presence::Any, ChannelNames::Subscriber, "presence-a", Some("{}"), None),
    ] {
        let mut world = World::new(Settings { presence, channel_names, ..Settings::default() });
        world.now = Time::from_micros(1_500_000);
        assert_eq!(world.signed(channel, data), format!("subscription-success {channel}"));
        let Join { member, notices, .. } = world.joins.pop().unwrap();
        assert_eq!(notices, channel.starts_with("private-"));
        let enrolment = member.as_ref().and_then(|member| member.enrolment.clone());
        assert_eq!(
            enrolment.map(|enrolment| (enrolment.opens, enrolment.spelling)),
            expected.map(|(opens, text)| (opens, text.map(Arc::from)))
        );
        if let Some(Member { object: Some(object), .. }) = member.as_deref() {
            assert!(std::str::from_utf8(object).unwrap().starts_with(r#"{"subscribed":1363800001500,"memberId":""#), "{object:?}");
        }
    }
}

/// Y-9.2, Y-9.6, Y-9.8
#[test]
fn a_command_is_run_or_fails() {
    let commands = Commands { named: ["chat".to_owned(), "subscribe".to_owned()].into(), others: false };
    let mut world = World::new(Settings { commands, ..Settings::default() });
    assert_eq!(world.send(r#"{"command":"Chat"}"#), "command chat null");
    assert_eq!(world.feed(Input::Commanded(Err(CommandFailed::default()))), ["error 500"]);
    assert_eq!(world.feed(Input::Commanded(Err(CommandFailed::default()))), [] as [&str; 0], "nobody asked");
    assert_eq!(world.send(r#"{"command":"chat","data":"x"}"#), "command chat \"x\"");
    let own = CommandFailed { code: "17".into(), message: "no".into() };
    assert_eq!(world.feed(Input::Commanded(Err(own))), ["error 17"]);
    assert_eq!(world.send(r#"{"command":"chat"}"#), "command chat null");
    assert_eq!(world.feed(Input::Commanded(Ok(Reply::default()))), [] as [&str; 0]);
    // What the protocol has is never replaced.
    assert_eq!(world.subscribe("a"), "subscription-success a");
}

/// S-7.8, S-8.5: the last word, and nothing after it.
#[test]
fn the_end_is_the_end() {
    let gone = |change: fn(&mut App)| {
        let mut app = app();
        change(&mut app);
        Input::Reloaded(Arc::new(app))
    };
    for (input, expected) in [
        (Input::End(End::Draining), vec!["close 3002 Server shutting down"]),
        (Input::End(End::TooSlow), vec!["close 3001 Slow consumer"]),
        (gone(|app| app.enabled = false), vec!["close 4001 The application is disabled"]),
        (gone(|app| app.dialects.pushy = false), vec!["close 4001 The application is disabled"]),
        (gone(|app| app.name = "other".to_owned()), vec![]),
    ] {
        let mut world = World::plain();
        let ended = !expected.is_empty();
        assert_eq!(world.feed(input), expected);
        assert_eq!(world.send("bogus").is_empty(), ended);
    }
    assert_eq!(World::plain().session.next_timeout(), Time::from_micros(u64::MAX));
}

proptest! {
    /// Y-10.1: no message ends anything but itself.
    #[test]
    fn whatever_comes_is_answered(messages in prop::collection::vec(message(), 0..20)) {
        let commands = Commands { named: Default::default(), others: true };
        let mut world = World::new(Settings { commands, ..Settings::default() });
        for message in messages {
            let answers = world.feed(Input::Text(&message));
            prop_assert!(answers.iter().all(|answer| !answer.starts_with("close")), "{:?}", answers);
            if answers.iter().any(|answer| answer.starts_with("command")) {
                world.feed(Input::Commanded(Ok(Reply { unsubscribe: vec!["a".to_owned(), "B".to_owned()], ..Reply::default() })));
            }
        }
        prop_assert_eq!(world.send("bogus"), "error 100");
    }
}

fn message() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null"),
        Just("5"),
        Just("\"a\""),
        Just("\"B\""),
        Just("\"private-x\""),
        Just("{}"),
        Just("[]"),
        Just("true"),
        Just("\"\\ud800\"")
    ];
    let command = prop_oneof![Just("subscribe"), Just("UnSubscribe"), Just("chat"), Just("")];
    prop_oneof![
        any::<String>(),
        (command, value.clone(), value.clone(), value).prop_map(|(command, channel, auth, data)| {
            format!(r#"{{"command":"{command}","data":{{"channel":{channel},"auth":{auth},"data":{data}}}}}"#)
        }),
    ]
}
