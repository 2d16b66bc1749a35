//! What transcripts cannot show: the size of a session, its timer, and what it asks for.

use super::*;
use crate::action::{End, Join, SignIn, Subscription};
use crate::auth;
use std::collections::HashMap;
use tidings_hub::{Cached, ChannelName, Dialects, Joined, Key, Member, MemberList, Missed, Source, Watched};

/// The channels a connection is on, with its member there.
#[derive(Default)]
struct On(HashMap<ChannelName, Option<Arc<Member>>>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        self.0.get_key_value(channel).map(|(channel, member)| Subscription { channel, member: member.as_ref() })
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

fn on(channel: &str, user_id: Option<&str>) -> On {
    On(HashMap::from([(ChannelName::parse(channel).unwrap(), user_id.map(|id| Arc::new(Member::new(id))))]))
}

fn seconds(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn app() -> App {
    App::new("1", "k", "s")
}

fn session(app: App) -> Session {
    Session::new(Arc::new(app), "k", SocketId::from_halves(123, 456).unwrap(), 7, Client::Other, Time::ZERO)
}

/// The actions that `input` gives rise to.
fn after(session: &mut Session, input: Input<'_>, subscriptions: &On, now: Time) -> Vec<Action> {
    let mut actions = Actions::new();
    session.receive(input, subscriptions, now, &mut actions);
    actions.into()
}

fn signed(event: &str, rest: &str, text: &str) -> String {
    format!(r#"{{"event":"pusher:{event}","data":{{{rest},"auth":"k:{}"}}}}"#, auth::sign("s", &[text.as_bytes()]))
}

fn joined() -> Joined {
    Joined { serial: 1, members: None, cache: Cached::Off, missed: Missed::default() }
}

#[test]
fn a_session_is_small() {
    assert_eq!(size_of::<Session>(), 80);
}

/// P-16.1, P-16.5: frames move the deadline, the server's own frames do not.
#[test]
fn only_the_peer_moves_the_deadline() {
    let mut session = session(app());
    let none = On::default();
    let mut deadline = |input: Input<'_>, at: u64| {
        after(&mut session, input, &none, seconds(at));
        session.next_timeout()
    };
    assert_eq!(deadline(Input::Opened, 0), seconds(150));
    assert_eq!(deadline(Input::Text(r#"{"event":"pusher:pong"}"#), 10), seconds(160));
    assert_eq!(deadline(Input::Ping, 20), seconds(170));
    assert_eq!(deadline(Input::Pong(b""), 30), seconds(180));
    assert_eq!(deadline(Input::Watched { user_id: "u", online: true }, 40), seconds(180));
    assert_eq!(deadline(Input::Tick, 179), seconds(180), "an early tick does nothing");
    assert_eq!(deadline(Input::Tick, 190), seconds(220), "a late probe still has its time to be answered");
    assert_eq!(deadline(Input::Text("nonsense"), 200), seconds(350));
}

/// P-8.3, P-8.6: a client event is published with its sender, and with a member id on presence channels only.
#[test]
fn a_client_event_names_its_sender() {
    for (channel, user_id, expected) in
        [("presence-a", Some("u1"), Some("u1")), ("private-a", Some("u1"), None), ("private-encrypted-a", None, None)]
    {
        let mut session = session(App { client_events: true, ..app() });
        let frame = format!(r#"{{"event":"client-x","channel":"{channel}","data":{{ "a": 1 }},"user_id":"forged"}}"#);
        let actions = after(&mut session, Input::Text(&frame), &on(channel, user_id), Time::ZERO);
        let [Action::Publish(publish)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(publish.channels.as_slice(), [ChannelName::parse(channel).unwrap()]);
        assert_eq!((&*publish.name, publish.data.as_ref()), ("client-x", br#"{"a":1}"# as &[u8]));
        assert_eq!(publish.origin, Some(session.socket_id()));
        assert_eq!(publish.source, Source::Client { socket: session.socket_id(), user_id: expected.map(Arc::from) });
    }
}

/// P-7.5, P-15.6: who signed in joins as that user; the session tells who it is.
#[test]
fn a_signed_in_user_joins_as_itself() {
    let mut session = session(App { watchlist_events: true, ..app() });
    let none = On::default();
    assert_eq!(session.user_id(), None);
    let user_data = r#"{"id":"u1","user_info":{ "n": "é" },"watchlist":["a",7,"b","a",null]}"#;
    let quoted = serde_json::to_string(user_data).unwrap();
    let frame = signed("signin", &format!(r#""user_data":{quoted}"#), &format!("123.456::user::{user_data}"));
    let actions = after(&mut session, Input::Text(&frame), &none, Time::ZERO);
    let [Action::SignIn(SignIn { user_id, watchlist })] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((&**user_id, watchlist.as_slice()), ("u1", [Arc::from("a"), Arc::from("b")].as_slice()));
    assert_eq!(session.user_id().map(|id| &**id), Some("u1"));
    after(&mut session, Input::SignedIn(Watched::default()), &none, Time::ZERO);

    let frame = signed("subscribe", r#""channel":"presence-a""#, "123.456:presence-a");
    let actions = after(&mut session, Input::Text(&frame), &none, Time::ZERO);
    let [Action::Subscribe(Join { member: Some(member), .. })] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((&*member.user_id, member.user_info.as_deref()), ("u1", Some("{\"n\":\"é\"}".as_bytes())));
}

/// P-15.12: told once, by the first confirmed subscription that needed a signature.
#[test]
fn authorisation_is_told_once() {
    let mut session = session(App { authorized_connections: true, ..app() });
    let none = On::default();
    let mut authorizes = |channel: &str| {
        let channel = ChannelName::parse(channel).unwrap();
        let actions = after(&mut session, Input::Subscribed { channel: &channel, answer: Ok(joined()) }, &none, Time::ZERO);
        (actions.iter().any(|action| matches!(action, Action::Authorized)), session.next_timeout())
    };
    assert_eq!(authorizes("news"), (false, seconds(30)));
    assert_eq!(authorizes("private-a"), (true, seconds(150)));
    assert_eq!(authorizes("presence-a"), (false, seconds(150)));
}

/// P-2.3 row 7, P-17.5: a reload closes who no longer belongs, and its settings hold for the rest.
#[test]
fn a_reload_holds_at_once() {
    let none = On::default();
    let pair = |key: &str| Key { key: key.to_owned(), secret: "s".to_owned() };
    for (reloaded, expected) in [
        (App { enabled: false, ..app() }, Some(4003)),
        (App { keys: vec![pair("other")], ..app() }, Some(4009)),
        (App { dialects: Dialects { pushi: true, pusher: false, ..Dialects::default() }, ..app() }, Some(4009)),
        (App { keys: vec![pair("other"), pair("k")], ..app() }, None),
    ] {
        let mut session = session(app());
        let actions = after(&mut session, Input::Reloaded(Arc::new(reloaded)), &none, Time::ZERO);
        let code = actions.iter().find_map(|action| if let Action::Close(close) = action { Some(close.code) } else { None });
        assert_eq!(code, expected);
        assert_eq!(session.key(), "k");
        assert_eq!(session.next_timeout() == NEVER, expected.is_some());
    }
    let mut session = session(app());
    after(&mut session, Input::Reloaded(Arc::new(App { authorized_connections: true, ..app() })), &none, seconds(100));
    assert_eq!(session.next_timeout(), seconds(130), "the time to authorise begins with the reload");
}

/// P-3.3: who publishes where events are stored hears of it only if that fails.
#[test]
fn an_event_that_is_not_stored_is_told() {
    let (mut session, channel) = (session(app()), ChannelName::parse("private-a").unwrap());
    let failed = Input::NotStored { channel: &channel, event: "client-e", why: "the disk of the store is full" };
    let actions = after(&mut session, failed, &On::default(), Time::ZERO);
    let [Action::Send(frame)] = actions.as_slice() else { panic!("{actions:?}") };
    let text = "The event client-e on channel private-a was not stored, and nobody got it: the disk of the store is full";
    assert_eq!(*frame, ServerMessage::Error { code: None, message: text.into() }.encode());
}

/// P-17.2: after its close a session is deaf.
#[test]
fn nothing_follows_a_close() {
    let mut session = session(app());
    let none = On::default();
    let actions = after(&mut session, Input::End(End::TooSlow), &none, Time::ZERO);
    assert!(matches!(actions.as_slice(), [Action::Send(_), Action::Close(close)] if close.code == 4100), "{actions:?}");
    for input in [Input::Opened, Input::Text(r#"{"event":"pusher:ping"}"#), Input::Binary(b""), Input::End(End::Draining), Input::Tick] {
        assert!(after(&mut session, input, &none, seconds(1_000)).is_empty());
    }
}

/// P-3.8 (c): answers that come later still go to the sign-in they belong to.
#[test]
fn sign_ins_are_answered_in_order() {
    let mut session = session(app());
    let none = On::default();
    for user_data in [r#"{"id":"u"}"#, r#"{"id":"u","user_info":{}}"#] {
        let quoted = serde_json::to_string(user_data).unwrap();
        let frame = signed("signin", &format!(r#""user_data":{quoted}"#), &format!("123.456::user::{user_data}"));
        assert_eq!(after(&mut session, Input::Text(&frame), &none, Time::ZERO).len(), 1);
    }
    for user_data in [r#"{"id":"u"}"#, r#"{"id":"u","user_info":{}}"#] {
        let actions = after(&mut session, Input::SignedIn(Watched::default()), &none, Time::ZERO);
        let [Action::Send(frame)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(*frame, ServerMessage::SignedIn { user_data: user_data.into() }.encode());
    }
    assert!(after(&mut session, Input::SignedIn(Watched::default()), &none, Time::ZERO).is_empty());
}
