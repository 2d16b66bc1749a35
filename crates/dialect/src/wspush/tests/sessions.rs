//! Sessions alone: when they speak, and how they end.

use crate::action::{Action, Actions, End, Input, Subscription, Subscriptions};
use crate::wspush::close::talkative;
use crate::wspush::session::{Carrier, Session};
use crate::wspush::settings::{Frames, Settings};
use crate::wspush::token::Token;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, Cached, ChannelName, Dialects, Joined, MemberList, Missed, Refused, SocketId, Time};

struct Nothing;

impl Subscriptions for Nothing {
    fn find(&self, _channel: &str) -> Option<Subscription<'_>> {
        None
    }

    fn count(&self) -> usize {
        0
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

const START: Time = Time::from_micros(7_000_000);

fn at(seconds: u64) -> Time {
    START + Duration::from_secs(seconds)
}

fn session(carrier: Carrier, settings: Settings) -> Session {
    Session::new(&Token::of_redis(b"Foo").unwrap(), SocketId::new(0, 1, [7; 16]), carrier, Arc::new(settings), START)
}

fn feed(session: &mut Session, input: Input<'_>, now: Time) -> Vec<Action> {
    let mut actions = Actions::new();
    session.receive(input, &Nothing, now, &mut actions);
    actions.into()
}

fn closed(actions: &[Action]) -> Option<(u16, &str)> {
    match actions {
        [] => None,
        [Action::Close(close)] => Some((close.code, &close.reason)),
        actions => panic!("{actions:?}"),
    }
}

fn joined(channel: &ChannelName) -> Input<'_> {
    Input::Subscribed { channel, answer: Ok(Joined { serial: 1, members: None, cache: Cached::Off, missed: Missed::default() }) }
}

/// W-6.11: it is on its channel and says nothing of it.
#[test]
fn a_session_opens_in_silence() {
    for carrier in [Carrier::WebSocket, Carrier::Stream] {
        let mut session = session(carrier, Settings::default());
        let opened = feed(&mut session, Input::Opened, START);
        let [Action::Subscribe(join)] = &opened[..] else { panic!("{opened:?}") };
        assert_eq!((join.channel.as_str(), &join.member, join.notices), ("Foo", &None, false));
        assert_eq!((session.carrier(), session.channel()), (carrier, &join.channel));
        assert!(feed(&mut session, joined(&join.channel), START).is_empty());
        let refused = Input::Subscribed { channel: &join.channel, answer: Err(Refused::Lost) };
        assert_eq!(closed(&feed(&mut session, refused, START)).map(|(code, _)| code), Some(1011));
    }
}

/// W-8.1 to W-8.3
#[test]
fn heartbeats_come_whatever_else_does() {
    let ping = |ping: &'static str, frames| Settings { ping: Some(Bytes::from(ping)), frames, ..Settings::default() };
    for (carrier, settings, expected) in [
        (Carrier::WebSocket, Settings::default(), "Pong"),
        (Carrier::WebSocket, ping("{1}", Frames::Text), "Send(b\"{1}\")"),
        (Carrier::WebSocket, ping("a\nb", Frames::Binary), "SendBinary(b\"a\\nb\")"),
        (Carrier::Stream, Settings::default(), "Send(b\"ping:\\n\\n\")"),
        (Carrier::Stream, ping("a\nb", Frames::Binary), "Send(b\"data:a\\ndata:b\\n\\n\")"),
    ] {
        let mut session = session(carrier, settings);
        for beat in 1..=3 {
            assert_eq!(session.next_timeout(), at(45 * beat));
            assert!(feed(&mut session, Input::Tick, at(45 * beat - 1)).is_empty());
            assert!(feed(&mut session, Input::Ping, at(45 * beat - 1)).is_empty());
            // A little late, and the next one is not.
            let beats = feed(&mut session, Input::Tick, at(45 * beat) + Duration::from_millis(10));
            assert_eq!(format!("{beats:?}"), format!("[{expected}]"));
        }
        // A machine that slept makes up for nothing.
        assert_eq!((feed(&mut session, Input::Tick, at(1000)).len(), session.next_timeout()), (1, at(1045)));
    }
    let brisk = Settings { ping_interval: Duration::from_secs(1), ..Settings::default() };
    assert_eq!(session(Carrier::Stream, brisk).next_timeout(), at(1));
}

/// W-6.5, W-10.2
#[test]
fn clients_may_say_a_little() {
    let talk = talkative();
    let told = Some((talk.code, &*talk.reason));
    let (most, more) = ("x".repeat(4096), "x".repeat(4097));
    let mut talker = session(Carrier::WebSocket, Settings::default());
    assert!(feed(&mut talker, Input::Opened, START).len() == 1);
    for second in 0..3 {
        for _ in 0..5 {
            assert_eq!(closed(&feed(&mut talker, Input::Text(&most), at(second))), None);
            assert_eq!(closed(&feed(&mut talker, Input::Binary(b""), at(second))), None);
        }
        assert!(feed(&mut talker, Input::Ping, at(second)).is_empty() && feed(&mut talker, Input::Pong(b"x"), at(second)).is_empty());
    }
    assert_eq!(closed(&feed(&mut talker, Input::NotText, at(2))), told);
    for input in [Input::Text(&more), Input::Binary(more.as_bytes())] {
        assert_eq!(closed(&feed(&mut session(Carrier::WebSocket, Settings::default()), input, START)), told);
    }
}

/// W-1.4, W-4.2, W-4.3, W-7.2, W-10.12
#[test]
fn the_end_is_the_end() {
    let app = |change: fn(&mut App)| {
        let mut app = App { dialects: Dialects { wspush: true, ..Dialects::default() }, ..App::new("1", "k", "s") };
        change(&mut app);
        Input::Reloaded(Arc::new(app))
    };
    for (input, expected) in [
        (Input::End(End::Draining), Some(1001)),
        (Input::End(End::TooSlow), Some(1008)),
        (Input::End(End::OverQuota), Some(1000)),
        (Input::End(End::Fault), Some(1011)),
        (app(|app| app.enabled = false), Some(1008)),
        (app(|app| app.dialects.wspush = false), Some(1008)),
        (app(|app| app.name = "other".to_owned()), None),
    ] {
        let mut session = session(Carrier::WebSocket, Settings { compat: true, ..Settings::default() });
        assert_eq!(closed(&feed(&mut session, input, START)).map(|(code, _)| code), expected);
        let over = expected.is_some();
        assert_eq!(session.next_timeout(), if over { Time::from_micros(u64::MAX) } else { at(45) });
        assert_eq!(feed(&mut session, Input::Tick, at(60)).is_empty(), over);
    }
}
