//! Sessions against a hub of lists: what they send, what they ask for, and which channels they are on afterwards.

use super::*;
use crate::action::{Answer, End, Join, Question, Subscription, Unanswered};
use crate::auth as signature;
use crate::pushi::auth;
use crate::pushi::name::PERSONAL;
use crate::pushi::settings::ClientEvents;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use tidings_hub::{Cached, Dialects, Joined, Member, MemberList, Missed, Publish};

const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// A session, the channels that it is on, and what it wants to know.
struct World {
    session: Session,
    on: On,
    /// What happened, in short words.
    log: Vec<String>,
    asked: Option<Question>,
    published: Vec<Publish>,
    now: Time,
}

#[derive(Default)]
struct On {
    channels: HashMap<ChannelName, Option<Arc<Member>>>,
    /// Who has a pair with whom, beside what members say.
    pairs: Vec<(&'static str, &'static str, &'static str)>,
}

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        self.channels.get_key_value(channel).map(|(channel, member)| Subscription { channel, member: member.as_ref() })
    }

    fn count(&self) -> usize {
        self.channels.len()
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        Arc::new(MemberList::new(self.channels.get(channel).cloned().flatten().into_iter().collect()))
    }

    fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool {
        self.pairs.iter().any(|pair| *pair == (presence, one, other) || *pair == (presence, other, one))
    }
}

fn app() -> App {
    App { dialects: Dialects { pushi: true, ..Dialects::default() }, ..App::new("app", KEY, SECRET) }
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

impl World {
    fn new(app: App, settings: Settings) -> Self {
        let socket = SocketId::new(0, 1, [7; 16]);
        let session = Session::new(Arc::new(app), KEY, socket, Arc::new(settings), Time::ZERO);
        Self { session, on: On::default(), log: Vec::new(), asked: None, published: Vec::new(), now: Time::ZERO }
    }

    fn plain() -> Self {
        Self::new(app(), Settings::default())
    }

    /// Feeds one input and does what the session asks for.
    fn feed(&mut self, input: Input<'_>) {
        let mut actions = Actions::new();
        self.session.receive(input, &self.on, self.now, &mut actions);
        while let Some(action) = actions.pop_front() {
            self.perform(action, &mut actions);
        }
    }

    fn perform(&mut self, action: Action, actions: &mut Actions) {
        match action {
            Action::Send(frame) => self.log.push(short(&frame)),
            Action::Ping(payload) => self.log.push(format!("ping {}", payload.len())),
            Action::Subscribe(Join { channel, member, notices, .. }) => {
                assert_eq!(notices, member.is_some());
                assert!(self.on.channels.insert(channel.clone(), member).is_none(), "{channel} twice");
                self.log.push(format!("+{channel}"));
                self.confirm(&channel, actions);
            }
            Action::Refresh(Join { channel, member, .. }) => {
                assert!(self.on.channels.insert(channel.clone(), member).is_some(), "not on {channel}");
                self.log.push(format!("~{channel}"));
                self.confirm(&channel, actions);
            }
            Action::Unsubscribe(channel) => {
                assert!(self.on.channels.remove(&channel).is_some(), "not on {channel}");
                self.log.push(format!("-{channel}"));
                self.session.receive(Input::Unsubscribed(&channel), &self.on, self.now, actions);
            }
            Action::Publish(publish) => {
                self.log.push(format!("publish {}", publish.channels[0]));
                self.published.push(publish);
            }
            Action::Store(publish) => {
                self.log.push(format!("store {}", publish.channels[0]));
                self.published.push(publish);
            }
            Action::Ask(question) => {
                self.log.push(match &question {
                    Question::Follows { user_id, max } => format!("whom does {user_id} follow, of {max}?"),
                    Question::Latest { channel, skip, count } => format!("latest of {channel} {skip} {count}?"),
                    Question::Personal { user_id, skip, count } => format!("events of {user_id} {skip} {count}?"),
                    question => panic!("{question:?}"),
                });
                assert!(self.asked.replace(question).is_none(), "one question at a time");
            }
            Action::Hold => self.log.push("hold".to_owned()),
            Action::Release => self.log.push("release".to_owned()),
            Action::Close(close) => self.log.push(format!("close {}", close.code)),
            Action::Command(_) | Action::SendTo { .. } | Action::Spell { .. } => panic!("{action:?}"),
            Action::SignIn(_) | Action::Authorized | Action::SendBinary(_) | Action::Pong | Action::AskThen(_) | Action::Await => {
                panic!("{action:?}")
            }
        }
    }

    fn confirm(&mut self, channel: &ChannelName, actions: &mut Actions) {
        let members = channel.as_str().starts_with("presence-").then(|| self.on.members(channel.as_str()));
        let joined = Joined { serial: 0, members, cache: Cached::Off, missed: Missed::default() };
        self.session.receive(Input::Subscribed { channel, answer: Ok(joined) }, &self.on, self.now, actions);
    }

    fn say(&mut self, message: &Value) -> String {
        self.feed(Input::Text(&message.to_string()));
        self.said()
    }

    fn answer(&mut self, answer: Result<Answer, Unanswered>) -> String {
        self.asked.take().expect("a question is open");
        self.feed(Input::Answered(answer));
        self.said()
    }

    fn follow(&mut self, channel: &str, alias: &str, added: bool) -> String {
        self.feed(Input::Follow { channel: &name(channel), alias: &name(alias), added });
        self.said()
    }

    fn said(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }

    fn auth(&self, channel: &str) -> String {
        format!("{KEY}:{}", auth::sign(SECRET, &super::super::name::socket_id(self.session.socket_id()), channel))
    }

    fn subscribe(&mut self, channel: &str) -> String {
        self.say(&json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": self.auth(channel)}}))
    }

    fn unsubscribe(&mut self, channel: &str) -> String {
        self.say(&json!({"event": "pusher:unsubscribe", "data": {"channel": channel}}))
    }

    fn come(&mut self, channel: &str, channel_data: &Value) -> String {
        self.say(
            &json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": self.auth(channel), "channel_data": channel_data}}),
        )
    }

    fn send(&mut self, channel: &str) -> String {
        self.say(&json!({"event": "m", "channel": channel, "data": "d"}))
    }

    fn channels(&self) -> String {
        let channels: BTreeSet<&str> = self.on.channels.keys().map(ChannelName::as_str).collect();
        channels.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn follows(found: &[(&str, &[&str])]) -> Result<Answer, Unanswered> {
    let list = |channels: &&[&str]| channels.iter().map(|channel| name(channel)).collect();
    Ok(Answer::Follows(found.iter().map(|(user, channels)| (Arc::from(*user), list(channels))).collect()))
}

fn events() -> Result<Answer, Unanswered> {
    Ok(Answer::Events("[7]".into()))
}

/// A frame in few words: what was told of which channel, of a record what it lists, of an error its code.
fn short(frame: &[u8]) -> String {
    let frame: Value = serde_json::from_slice(frame).unwrap();
    let (event, channel) = (frame["event"].as_str().unwrap(), frame["channel"].as_str());
    let data: Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
    let word = match event {
        "pusher:connection_established" => return "hello".to_owned(),
        "pusher:pong" => return "pong".to_owned(),
        "pusher:error" => {
            return format!("error {} {} {}", data["code"], data["event"].as_str().unwrap(), channel.unwrap()).trim_end().to_owned();
        }
        "pusher_internal:subscription_succeeded" => "on",
        "pusher_internal:unsubscription_succeeded" => "off",
        "pusher_internal:latest" => "latest",
        other => panic!("{other}"),
    };
    assert_eq!(data["name"].as_str(), channel);
    let mut text = format!("{word} {}", channel.unwrap());
    for (what, list) in [("alias", &data["alias"]), ("events", &data["events"])] {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            text.push_str(&format!(" {what} {list}"));
        }
    }
    if data["members"].as_object().is_some_and(|members| !members.is_empty()) {
        text.push_str(&format!(" {}", data["members"]));
    }
    text
}

/// I-1.3, I-1.4, I-1.5, I-1.6, I-2.4
#[test]
fn a_channel_is_entered_and_left() {
    let mut world = World::plain();
    world.feed(Input::Opened);
    assert_eq!(world.said(), "hello");
    assert_eq!(world.subscribe("global"), "+global, on global");
    assert_eq!(world.subscribe("global"), "on global", "again: a refresh");
    assert_eq!(world.unsubscribe("global"), "-global, off global");
    assert_eq!(world.unsubscribe("global"), "error 403 pusher:unsubscribe global");
    assert_eq!(world.subscribe("private-a"), "+private-a, on private-a");
    world.feed(Input::Text(""));
    assert_eq!(world.said(), "", "an empty message is ignored");
    assert_eq!(world.say(&json!({"event": "pusher:ping", "data": {}})), "pong");
    world.feed(Input::Binary(br#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#));
    assert_eq!(world.said(), "+news, on news", "binary messages are read too (I-1.2)");
    world.feed(Input::Binary(b"\xff"));
    assert_eq!(world.said(), "error 400");
}

/// I-2.2, I-2.12, I-8.5
#[test]
fn signatures_are_needed() {
    let mut world = World::plain();
    let mut say = |data: Value| world.say(&json!({"event": "pusher:subscribe", "data": data}));
    for channel in ["private-x", "presence-x", "personal-x", "peer-x:a&b"] {
        let expected = format!("error 401 pusher:subscribe {channel}");
        assert_eq!(say(json!({ "channel": channel })), expected);
        assert_eq!(say(json!({ "channel": channel, "auth": "k:00" })), expected);
    }
    for (channel, code) in [("", 400), ("#x", 400), (&*"x".repeat(201), 400), ("a\nb", 400)] {
        assert_eq!(say(json!({ "channel": channel })), format!("error {code} pusher:subscribe {channel}").trim_end());
    }
    let plain = json!("{\"user_id\":\"1\"}");
    assert_eq!(world.come("presence-x", &plain), "error 401 pusher:subscribe presence-x", "a text must be signed");
    let socket = super::super::name::socket_id(world.session.socket_id());
    let signed = signature::sign(SECRET, &[format!("{socket}:presence-x:{{\"user_id\":\"1\"}}").as_bytes()]);
    let data = json!({"channel": "presence-x", "auth": format!("{KEY}:{signed}"), "channel_data": plain});
    let entered = world.say(&json!({"event": "pusher:subscribe", "data": data}));
    assert_eq!(entered, r#"+presence-x, on presence-x {"1":{"user_id":"1"}}"#);
}

/// I-8.5, I-2.13: an app that other dialects share has the safe defaults.
#[test]
fn a_shared_app_wants_signatures() {
    let shared = App { dialects: Dialects { pushi: true, pusher: true, ..Dialects::default() }, ..app() };
    let mut world = World::new(shared, Settings::default());
    assert_eq!(world.come("presence-x", &json!({"user_id": "1"})), "error 401 pusher:subscribe presence-x");
    world.subscribe("news");
    assert_eq!(world.send("news"), "error 403 m news");
    world.subscribe("private-x");
    assert_eq!(world.send("private-x"), "store private-x");
}

/// I-2.4, I-2.6
#[test]
fn members_say_who_they_are() {
    let mut world = World::plain();
    let entered = world.come("presence-r", &json!({"user_id": 7, "x": 1}));
    assert_eq!(entered, r#"+presence-r, on presence-r {"7":{"user_id":7,"x":1}}"#);
    assert_eq!(world.come("presence-r", &json!({"user_id": "b"})), r#"~presence-r, on presence-r {"b":{"user_id":"b"}}"#);
    assert_eq!(world.come("presence-r", &json!({"name": "n"})), "error 400 pusher:subscribe presence-r");
    assert_eq!(world.come("presence-r", &json!({"user_id": "b", "x": "y".repeat(20_000)})), "error 413 pusher:subscribe presence-r");
    assert_eq!(world.come("private-r", &json!({"user_id": "b"})), "+private-r, on private-r", "elsewhere it is nothing");
    assert_eq!(world.subscribe("presence-q"), "+presence-q, on presence-q", "a silent listener");
}

/// I-1.8, I-2.13
#[test]
fn clients_publish_where_they_are() {
    let mut world = World::plain();
    assert_eq!(world.send("news"), "error 403 m news");
    world.subscribe("news");
    assert_eq!(world.send("news"), "store news");
    let sent = world.published.pop().unwrap();
    assert_eq!((sent.origin, &sent.data[..], sent.once), (Some(world.session.socket_id()), &b"d"[..], false));
    for (data, text) in [(json!({"a": 1}), "{\"a\":1}"), (json!(5), "5"), (json!(null), "null"), (json!(""), "")] {
        world.say(&json!({"event": "m", "channel": "news", "data": data, "echo": true, "persist": false}));
        assert_eq!(world.said(), "");
        let sent = world.published.pop().unwrap();
        assert_eq!((sent.origin, &sent.data[..]), (None, text.as_bytes()));
    }
    world.come("presence-r", &json!({"user_id": "u"}));
    world.send("presence-r");
    let sent = world.published.pop().unwrap();
    let tidings_hub::Source::Client { user_id, socket } = sent.source else { panic!("a client") };
    assert_eq!((user_id.as_deref(), socket), (Some("u"), world.session.socket_id()));
    world.feed(Input::NotStored { channel: &name("news"), event: "m", why: "the disk is full" });
    assert_eq!(world.said(), "error 500 m news");
}

/// I-1.11, I-1.14
#[test]
fn events_are_bounded() {
    let mut world = World::new(app(), Settings { event_bytes: 100, client_events_per_second: 3, ..Settings::default() });
    world.subscribe("news");
    assert_eq!(world.say(&json!({"event": "m", "channel": "news", "data": "x".repeat(100)})), "error 413 m news");
    assert_eq!((0..4).map(|_| world.send("news")).collect::<Vec<_>>(), ["store news", "store news", "store news", "error 429 m news"]);
    let mut off = World::new(app(), Settings { client_events: Some(ClientEvents::Off), ..Settings::default() });
    off.subscribe("private-x");
    assert_eq!(off.send("private-x"), "error 403 m private-x");
    let mut few = World::new(app(), Settings { subscriptions: 1, ..Settings::default() });
    few.subscribe("a");
    assert_eq!(few.subscribe("b"), "error 413 pusher:subscribe b");
    assert_eq!(few.subscribe("personal-u"), "error 413 pusher:subscribe personal-u");
}

/// I-1.11: after ten in a row, and only in a row.
#[test]
fn who_babbles_is_closed() {
    let mut world = World::plain();
    for round in 0..2 {
        for _ in 0..9 {
            world.feed(Input::Text("nope"));
            assert_eq!(world.said(), "error 400", "{round}");
        }
        assert_eq!(world.say(&json!({"event": "pusher:ping"})), "pong");
    }
    (0..10).for_each(|_| world.feed(Input::Text("[]")));
    assert!(world.said().ends_with("error 400, error 400, close 4400"));
    world.feed(Input::Text("nope"));
    assert_eq!(world.said(), "", "a closed session is deaf");
}

/// I-6.2: `on_error = "close"`.
#[test]
fn errors_can_close() {
    for (message, code) in [
        (json!({"event": "x"}), 4400),
        (json!({"event": "pusher:subscribe", "data": {"channel": "private-x"}}), 4401),
        (json!({"event": "pusher:latest", "data": {"channel": "x"}}), 4403),
    ] {
        let mut world = World::new(app(), Settings { on_error: OnError::Close, ..Settings::default() });
        assert_eq!(world.say(&message), format!("close {code}"));
    }
}

/// I-1.7, I-2.12, I-3.7
#[test]
fn stored_events_are_asked_for() {
    let mut world = World::plain();
    let latest = |channel: &str, more: Value| {
        let mut data = more;
        data["channel"] = json!(channel);
        json!({"event": "pusher:latest", "data": data})
    };
    assert_eq!(world.say(&latest("news", json!({}))), "error 403 pusher:latest news");
    world.subscribe("news");
    for (more, expected) in [
        (json!({}), "0 10"),
        (json!({"skip": 3, "count": 4}), "3 4"),
        (json!({"skip": -3, "count": -4}), "0 10"),
        (json!({"count": 0}), "0 10"),
        (json!({"count": 501, "skip": 9_999_999_999_i64}), "4294967295 500"),
    ] {
        assert_eq!(world.say(&latest("news", more)), format!("latest of news {expected}?"));
        assert_eq!(world.answer(events()), "latest news events [7]");
    }
    world.say(&latest("news", json!({})));
    assert_eq!(world.answer(Err(Unanswered::Unavailable("away".into()))), "error 500 pusher:latest news");
    world.come("presence-b", &json!({"user_id": "u"}));
    assert_eq!(world.say(&latest("peer-b:u&v", json!({}))), "latest of peer-b:u&v 0 10?", "eligible");
    world.answer(events());
    assert_eq!(world.say(&latest("peer-b:v&w", json!({}))), "error 403 pusher:latest peer-b:v&w");
}

/// I-2.10, I-2.12, I-2.13
#[test]
fn pairs_speak_while_they_are_active() {
    let mut world = World::plain();
    world.come("presence-b", &json!({"user_id": "u", "peer": true}));
    assert_eq!(world.send("peer-b:u&v"), "error 403 m peer-b:u&v", "eligible is not enough");
    world.on.pairs.push(("presence-b", "u", "v"));
    assert_eq!(world.send("peer-b:u&v"), "store peer-b:u&v");
    assert_eq!(world.send("peer-b:v&u"), "error 403 m peer-b:v&u", "another channel");
    assert_eq!(world.unsubscribe("peer-b:u&v"), "off peer-b:u&v", "no effect");
    let direct = json!({"event": "pusher:subscribe", "data": {"channel": "peer-b:t&u"}});
    assert_eq!(world.say(&direct), "+peer-b:t&u, on peer-b:t&u", "without a signature");
    assert_eq!(world.send("peer-b:t&u"), "store peer-b:t&u");
}

/// I-2.9, I-3.6
#[test]
fn a_personal_channel_leads_to_others() {
    let mut world = World::plain();
    world.subscribe("news");
    assert_eq!(world.subscribe("personal-u"), "hold, +personal-u, whom does u follow, of 998?");
    assert_eq!(world.answer(follows(&[("u", &["news", "private-vip"])])), "+private-vip, events of u 0 10?");
    assert_eq!(world.answer(events()), r#"on personal-u alias ["news","private-vip"] events [7], release"#);
    assert_eq!(world.subscribe("personal-u"), "events of u 0 10?", "again");
    assert_eq!(world.answer(events()), r#"on personal-u alias ["news","private-vip"] events [7]"#);
    assert_eq!(world.say(&json!({"event": "pusher:latest", "data": {"channel": "personal-u"}})), "events of u 0 10?");
    assert_eq!(world.answer(events()), r#"latest personal-u alias ["news","private-vip"] events [7]"#);
    assert_eq!(world.unsubscribe("personal-u"), "events of u 0 10?");
    assert_eq!(
        world.answer(events()),
        r#"-personal-u, -private-vip, off personal-u alias ["news","private-vip"] events [7]"#,
        "what was subscribed to by itself stays (b)"
    );
    assert_eq!(world.channels(), "news");
}

/// I-2.9 (b): each subscription counts by where it comes from.
#[test]
fn origins_are_counted() {
    let mut world = World::plain();
    world.subscribe("personal-u");
    world.answer(follows(&[("u", &["a", "b"])]));
    world.answer(events());
    assert_eq!(world.subscribe("a"), "on a", "it is there already");
    assert_eq!(world.unsubscribe("a"), "off a", "and stays");
    assert_eq!(world.unsubscribe("b"), "-b, off b", "what it has by the personal channel alone it may leave");
    world.subscribe("b");
    world.subscribe("a");
    world.unsubscribe("personal-u");
    world.answer(events());
    assert_eq!(world.channels(), "a b");
}

/// I-2.9: a personal channel may lead to another, each once.
#[test]
fn personal_channels_chain() {
    let mut world = World::plain();
    world.subscribe("personal-u");
    world.answer(follows(&[("u", &["a", "personal-v"]), ("v", &["b", "personal-u"])]));
    assert_eq!(world.answer(events()), r#"on personal-u alias ["a","personal-v"] events [7], release"#);
    assert_eq!(world.channels(), "a b personal-u personal-v");
    assert_eq!(world.subscribe("personal-v"), "events of v 0 10?");
    world.answer(events());
    world.unsubscribe("personal-u");
    world.answer(events());
    assert_eq!(world.channels(), "a b personal-u personal-v", "v leads to u");
    world.unsubscribe("personal-v");
    world.answer(events());
    assert_eq!(world.channels(), "");
}

/// I-2.9 (c): what changes in the store changes here at once, or as soon as the session has its answer.
#[test]
fn changes_are_followed() {
    let mut world = World::plain();
    world.subscribe("personal-u");
    assert_eq!(world.follow("personal-u", "late", true), "", "an answer is awaited");
    assert_eq!(world.follow("personal-u", "gone", false), "");
    world.answer(follows(&[("u", &["a", "gone"])]));
    assert_eq!(world.answer(events()), r#"on personal-u alias ["a","gone"] events [7], release, +late, -gone"#);
    assert_eq!(world.follow("personal-u", "b", true), "+b");
    assert_eq!(world.follow("personal-u", "b", true), "", "once");
    assert_eq!(world.follow("personal-u", "a", false), "-a");
    assert_eq!(world.follow("personal-x", "c", true), "", "not on that");
    assert_eq!(world.follow("personal-u", "personal-v", true), "+personal-v, whom does v follow, of 996?");
    assert_eq!(world.follow("personal-u", "d", true), "");
    assert_eq!(world.answer(follows(&[("v", &["e"])])), "+e, +d");
    assert_eq!(world.follow("personal-u", "personal-v", false), "-e, -personal-v");
    assert_eq!(world.channels(), "b d late personal-u");
}

/// I-1.11, I-8.8: nothing is left of a personal channel that cannot be had.
#[test]
fn a_personal_channel_may_fail() {
    let mut world = World::plain();
    world.subscribe("a");
    world.subscribe("personal-u");
    let too_many = Err(Unanswered::TooMany { max: 998 });
    assert_eq!(world.answer(too_many), "-personal-u, release, error 413 pusher:subscribe personal-u");
    world.subscribe("personal-u");
    world.answer(follows(&[("u", &["a", "b"])]));
    let away = || Err(Unanswered::Unavailable("away".into()));
    assert_eq!(world.answer(away()), "-b, -personal-u, release, error 500 pusher:subscribe personal-u");
    assert_eq!(world.channels(), "a");
    world.subscribe("personal-u");
    world.answer(follows(&[("u", &["a", "b"])]));
    world.answer(events());
    world.unsubscribe("personal-u");
    assert_eq!(world.answer(away()), "error 500 pusher:unsubscribe personal-u");
    assert_eq!(world.channels(), "a b personal-u", "nothing changed");
}

/// I-1.12
#[test]
fn the_server_ends_connections() {
    for (end, expected) in [
        (End::Draining, "close 1001"),
        (End::TooSlow, "close 1008"),
        (End::Fault, "error 500, close 1011"),
        (End::KeyGone, "error 404, close 4001"),
    ] {
        let mut world = World::plain();
        world.feed(Input::End(end));
        assert_eq!(world.said(), expected);
    }
    let mut world = World::plain();
    world.feed(Input::Reloaded(Arc::new(app())));
    assert_eq!(world.said(), "");
    world.feed(Input::Reloaded(Arc::new(App { enabled: false, ..app() })));
    assert_eq!(world.said(), "error 404, close 4001");
}

/// I-1.13: never by default; and nobody is closed who never answered.
#[test]
fn pings_are_harmless() {
    assert_eq!(World::plain().session.next_timeout(), NEVER);
    let seconds = |seconds: u64| Time::from_micros(seconds * 1_000_000);
    let mut world = World::new(app(), Settings { ping_interval: Some(std::time::Duration::from_secs(10)), ..Settings::default() });
    let tick = |world: &mut World, at: u64| {
        world.now = seconds(at);
        world.feed(Input::Tick);
        world.said()
    };
    assert_eq!(tick(&mut world, 9), "");
    assert_eq!(tick(&mut world, 10), "ping 35");
    assert_eq!(tick(&mut world, 20), "ping 35", "it may not be able to answer");
    world.feed(Input::Pong(b""));
    assert_eq!(tick(&mut world, 30), "ping 35");
    assert_eq!(tick(&mut world, 40), "close 1001");
}

/// There are many of them.
#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 112, "{}", size_of::<Session>());
}

const CHANNELS: [&str; 4] = ["a", "b", "personal-u", "personal-v"];

#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize),
    Unsubscribe(usize),
    Follow(usize, usize, bool),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// I-8 (3): the connection is on what it subscribed to by itself and on all that its personal channels lead to, and on nothing else.
    #[test]
    fn origins_add_up(steps in prop::collection::vec(prop_oneof![
        (0..4_usize).prop_map(Step::Subscribe),
        (0..4_usize).prop_map(Step::Unsubscribe),
        (2..4_usize, 0..4_usize, any::<bool>()).prop_map(|(at, alias, added)| Step::Follow(at, alias, added)),
    ], 1..40)) {
        let mut world = World::plain();
        let mut stored: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut entered: BTreeSet<&str> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Subscribe(at) => {
                    world.subscribe(CHANNELS[at]);
                    entered.insert(CHANNELS[at]);
                }
                // Leaving what one has by a personal channel alone is another matter.
                Step::Unsubscribe(at) if entered.remove(CHANNELS[at]) => drop(world.unsubscribe(CHANNELS[at])),
                Step::Unsubscribe(_) => {}
                Step::Follow(at, alias, added) => {
                    let list = stored.entry(CHANNELS[at]).or_default();
                    list.retain(|other| *other != CHANNELS[alias]);
                    if added {
                        list.push(CHANNELS[alias]);
                    }
                    // Only those who are on the channel are told.
                    if world.on.channels.contains_key(CHANNELS[at]) {
                        world.follow(CHANNELS[at], CHANNELS[alias], added);
                    }
                }
            }
            while let Some(question) = world.asked.clone() {
                let answer = match question {
                    Question::Follows { user_id, .. } => follows_of(&stored, &user_id),
                    _ => events(),
                };
                world.answer(answer);
            }
            let mut expected = entered.clone();
            let mut open: Vec<&str> = entered.iter().copied().collect();
            while let Some(channel) = open.pop() {
                for alias in stored.get(channel).into_iter().flatten() {
                    if expected.insert(alias) {
                        open.push(alias);
                    }
                }
            }
            prop_assert_eq!(world.channels(), expected.into_iter().collect::<Vec<_>>().join(" "));
        }
    }
}

fn follows_of(stored: &HashMap<&str, Vec<&str>>, user_id: &str) -> Result<Answer, Unanswered> {
    let mut found: Vec<(Arc<str>, Vec<ChannelName>)> = Vec::new();
    let mut open = vec![Arc::<str>::from(user_id)];
    while let Some(user) = open.pop() {
        let channels: Vec<_> = stored.get(&*format!("{PERSONAL}{user}")).into_iter().flatten().map(|channel| name(channel)).collect();
        for next in channels.iter().filter_map(|channel| channel.as_str().strip_prefix(PERSONAL)) {
            if found.iter().all(|(known, _)| **known != *next) && *next != *user && open.iter().all(|known| **known != *next) {
                open.push(Arc::from(next));
            }
        }
        found.push((user, channels));
    }
    Ok(Answer::Follows(found))
}
