use super::*;

/// A session with a clock, and what it wanted done, in short: `o` is a text message, `ping`, `cut`, `close …`, `opened`, `closed …`.
struct World {
    session: WebSocketSession,
    now: Time,
    actions: WebSocketActions,
}

impl World {
    fn open(kind: WebSocketKind, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let (now, mut actions) = (Time::from_micros(1_000_000), WebSocketActions::new());
        let session = WebSocketSession::open(Arc::new(settings), kind, now, &mut actions);
        let mut world = Self { session, now, actions };
        world.expect(if kind == WebSocketKind::Raw { &["opened"] } else { &["o", "opened"] });
        world
    }

    fn send(&mut self, message: &'static str, owed: usize) {
        self.session.send(Bytes::from_static(message.as_bytes()), owed, &mut self.actions);
    }

    fn close(&mut self) {
        self.session.close(Close::new(3000, "Go away!"), &mut self.actions);
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.session.tick(self.now, &mut self.actions);
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let shown = |action| match action {
            WebSocketAction::Opened => "opened".to_owned(),
            WebSocketAction::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            WebSocketAction::Ping => "ping".to_owned(),
            WebSocketAction::Cut => "cut".to_owned(),
            WebSocketAction::Close { code, reason } => format!("close {code} {reason}"),
            WebSocketAction::Closed(ended) => format!("closed {ended:?}"),
        };
        let seen: Vec<String> = self.actions.drain(..).map(shown).collect();
        assert_eq!(seen, expected);
    }

    #[track_caller]
    fn takes(&mut self, text: &str, expected: &[&str]) {
        let messages = self.session.text(text, &mut self.actions);
        let shown = |message| match message {
            Inbound::Text(text) => text.into_owned(),
            Inbound::Other(json) => format!("!{json}"),
        };
        assert_eq!(messages.into_iter().map(shown).collect::<Vec<_>>(), expected, "{text}");
    }
}

/// S-6.4, S-6.9.
#[test]
fn messages_go_out() {
    for (kind, expected) in [(WebSocketKind::Framed, r#"a["m"]"#), (WebSocketKind::Hixie, r#"a["m"]"#), (WebSocketKind::Raw, r#""m""#)] {
        let mut world = World::open(kind, |_| {});
        world.send(r#""m""#, 0);
        world.expect(&[expected]);
    }
}

/// S-6.5, S-6.9.
#[test]
fn messages_come_in() {
    let mut framed = World::open(WebSocketKind::Framed, |_| {});
    framed.takes("", &[]);
    framed.takes("[]", &[]);
    framed.takes(r#"["a","b"]"#, &["a", "b"]);
    framed.takes(r#""a""#, &["a"]);
    framed.takes("[1]", &["!1"]);
    let mut raw = World::open(WebSocketKind::Raw, |_| {});
    for text in ["", "[\"a\"", "\"a\""] {
        raw.takes(text, &[text]);
    }
    assert_eq!(raw.session.binary(b"\xff", &mut raw.actions), Some(&b"\xff"[..]));
    framed.expect(&[]);
    raw.expect(&[]);
}

/// S-6.5, S-8.1: what cannot be read ends the session, without a frame that says so.
#[test]
fn messages_that_cannot_be_read() {
    for (text, close) in [
        ("[\"a", "close 3000 Broken framing."),
        ("a", "close 3000 Broken framing."),
        ("[\"123456\"]", "close 1009 Payload too large."),
        ("[\"1\",\"2\",\"3\"]", "close 1009 Payload too large."),
    ] {
        let mut world = World::open(WebSocketKind::Framed, |settings| {
            settings.message_bytes = 5;
            settings.request_messages = 2;
        });
        world.takes(text, &[]);
        world.expect(&[close, "closed Broken"]);
        world.takes("[\"a\"]", &[]);
        world.send("\"a\"", 0);
        world.close();
        world.session.left(&mut world.actions);
        world.expect(&[]);
    }
    let mut world = World::open(WebSocketKind::Framed, |_| {});
    assert_eq!(world.session.binary(b"x", &mut world.actions), None);
    world.expect(&["close 1003 Binary messages are not taken.", "closed Broken"]);
}

/// S-6.6, S-6.9, S-7.10, S-8.5.
#[test]
fn closing() {
    for (kind, closed, stopped) in [
        (
            WebSocketKind::Framed,
            &[r#"c[3000,"Go away!"]"#, "close 1000 Normal closure", "closed Closed"][..],
            &[r#"c[3002,"Server shutting down"]"#, "close 1000 Normal closure", "closed Closed"][..],
        ),
        (WebSocketKind::Raw, &["close 3000 Go away!", "closed Closed"], &["close 1001 Server shutting down", "closed Closed"]),
    ] {
        let mut world = World::open(kind, |_| {});
        world.close();
        world.expect(closed);
        world.close();
        world.session.shut_down(&mut world.actions);
        world.session.left(&mut world.actions);
        world.wait(100);
        world.takes("\"a\"", &[]);
        assert_eq!(world.session.binary(b"a", &mut world.actions), None);
        world.expect(&[]);
        assert_eq!(world.session.next_timeout(), NEVER);

        let mut world = World::open(kind, |_| {});
        world.session.shut_down(&mut world.actions);
        world.expect(stopped);

        let mut world = World::open(kind, |_| {});
        world.session.left(&mut world.actions);
        world.session.left(&mut world.actions);
        world.expect(&["closed Left"]);
    }
}

/// S-6.8, S-6.9, S-6.10.
#[test]
fn heartbeats() {
    for (kind, setting, expected) in [
        (WebSocketKind::Framed, Heartbeat::Both, &["h", "ping"][..]),
        (WebSocketKind::Framed, Heartbeat::Ping, &["ping"]),
        (WebSocketKind::Framed, Heartbeat::Frame, &["h"]),
        (WebSocketKind::Raw, Heartbeat::Both, &["ping"]),
        (WebSocketKind::Raw, Heartbeat::Frame, &["ping"]),
        (WebSocketKind::Hixie, Heartbeat::Both, &["h"]),
        (WebSocketKind::Hixie, Heartbeat::Ping, &["h"]),
    ] {
        let mut world = World::open(kind, |settings| settings.ws_heartbeat = setting);
        for _ in 0..3 {
            world.wait(24);
            world.expect(&[]);
            world.wait(1);
            world.expect(expected);
            world.session.heard();
        }
    }
}

/// S-6.8: nothing at all within 10 s of a ping.
#[test]
fn silence_ends_a_session() {
    for (kind, end) in [
        (WebSocketKind::Framed, &[r#"c[3000,"No response from heartbeat"]"#, "close 1000 Normal closure", "closed Silent"][..]),
        (WebSocketKind::Raw, &["close 3000 No response from heartbeat", "closed Silent"]),
    ] {
        let mut world = World::open(kind, |_| {});
        world.wait(25);
        world.actions.clear();
        assert_eq!(world.session.next_timeout().since(world.now), GRACE);
        world.wait(9);
        world.expect(&[]);
        world.wait(1);
        world.expect(end);
    }
    for kind in [WebSocketKind::Framed, WebSocketKind::Raw] {
        let mut world = World::open(kind, |_| {});
        world.wait(25);
        world.actions.clear();
        world.wait(9);
        world.session.text("[]", &mut world.actions);
        world.wait(15);
        world.expect(&[]);
    }
    let mut unasked = World::open(WebSocketKind::Framed, |settings| settings.ws_heartbeat = Heartbeat::Frame);
    for _ in 0..3 {
        unasked.wait(25);
        unasked.expect(&["h"]);
    }
    // Pings that come more often than the patience ends do not renew it.
    let mut hasty = World::open(WebSocketKind::Raw, |settings| settings.heartbeat_delay = Duration::from_secs(4));
    for _ in 0..3 {
        hasty.wait(4);
        hasty.expect(&["ping"]);
    }
    hasty.wait(2);
    hasty.expect(&["close 3000 No response from heartbeat", "closed Silent"]);
}

/// S-8.3.
#[test]
fn slow_clients_are_closed() {
    for (kind, end) in [
        (WebSocketKind::Framed, &["cut", r#"c[3001,"Slow consumer"]"#, "close 1000 Normal closure", "closed Slow"][..]),
        (WebSocketKind::Raw, &["cut", "close 3001 Slow consumer", "closed Slow"]),
    ] {
        let mut world = World::open(kind, |settings| settings.queue_bytes = 10);
        world.send("\"123456789\"", 0);
        world.send("\"1\"", 7);
        assert_eq!(world.actions.len(), 2);
        world.actions.clear();
        world.send("\"1\"", 8);
        world.expect(end);
    }
}

/// S-6.5, S-8.1: the length at which the WebSocket itself stops reading.
#[test]
fn lengths() {
    for (kind, max) in [(WebSocketKind::Framed, 1 << 20), (WebSocketKind::Hixie, 1 << 20), (WebSocketKind::Raw, 64 << 10)] {
        assert_eq!(World::open(kind, |_| {}).session.message_bytes_max(), max);
    }
    assert!(size_of::<WebSocketSession>() <= 64, "{}", size_of::<WebSocketSession>());
}
