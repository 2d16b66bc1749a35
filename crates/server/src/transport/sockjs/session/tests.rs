use super::super::Callback;
use super::*;
use std::time::Duration;

const ONE: ReceiverId = ReceiverId(1);
const TWO: ReceiverId = ReceiverId(2);

/// A session with a clock, and what it wanted done since it was last asked, in short: `1 o` is a chunk to the first receiver, without the line
/// feeds at its end; `1 end`, `1 cut`, `opened`, `closed …`, `over`.
struct World {
    session: Session,
    now: Time,
    actions: Actions,
}

impl World {
    fn open(framing: Framing, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let (now, mut actions) = (Time::from_micros(1_000_000), Actions::new());
        let session = Session::open(Arc::new(settings), ONE, framing, now, &mut actions);
        Self { session, now, actions }
    }

    fn attach(&mut self, receiver: ReceiverId, framing: Framing) {
        self.session.attach(receiver, framing, self.now, &mut self.actions);
    }

    fn queue(&mut self, message: &str) {
        let mut quoted = Vec::new();
        super::super::quote(message, &mut quoted);
        self.session.send(quoted.into(), 0, self.now, &mut self.actions);
    }

    fn send(&mut self, message: &str) {
        self.queue(message);
        self.session.flush(self.now, &mut self.actions);
    }

    fn close(&mut self) {
        self.session.close(Close::new(3000, "Go away!"), self.now, &mut self.actions);
    }

    fn cut(&mut self, receiver: ReceiverId) {
        self.session.cut(receiver, self.now, &mut self.actions);
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.session.tick(self.now, &mut self.actions);
    }

    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let shown = |action| match action {
            Action::Opened => "opened".to_owned(),
            Action::Write { to, chunk } => format!("{} {}", to.0, std::str::from_utf8(&chunk).unwrap().trim_end()),
            Action::Cut(to) => format!("{} cut", to.0),
            Action::End(to) => format!("{} end", to.0),
            Action::Closed(ended) => format!("closed {ended:?}"),
            Action::Over => "over".to_owned(),
        };
        let seen: Vec<String> = self.actions.drain(..).map(shown).collect();
        assert_eq!(seen, expected);
    }
}

fn streaming() -> World {
    let mut world = World::open(Framing::XhrStreaming, |_| {});
    world.expect(&["1 o", "opened"]);
    world
}

fn polled() -> World {
    let mut world = World::open(Framing::Xhr, |_| {});
    world.expect(&["1 o", "1 end", "opened"]);
    world
}

/// S-7.1, S-7.11: on every transport the open frame comes first, and alone where a response has one frame.
#[test]
fn sessions_open_with_their_first_receiver() {
    let callback = || Callback::of_query("c=cb").unwrap();
    for (framing, expected) in [
        (Framing::Xhr, &["1 o", "1 end", "opened"][..]),
        (Framing::XhrStreaming, &["1 o", "opened"]),
        (Framing::EventSource, &["1 data: o", "opened"]),
        (Framing::HtmlFile(callback()), &["1 <script>\np(\"o\");\n</script>", "opened"]),
        (Framing::Jsonp(callback()), &["1 /**/cb(\"o\");", "1 end", "opened"]),
    ] {
        let ends = framing.is_polling();
        let mut world = World::open(framing, |_| {});
        world.expect(expected);
        assert_eq!(world.session.receiver(), if ends { None } else { Some(ONE) });
        assert_eq!(world.session.accepts(), Accepts::Yes);
    }
}

/// S-7.2, S-7.4: what is queued leaves together, with the next receiver or at the end of a turn.
#[test]
fn messages_that_wait_leave_together() {
    let mut world = polled();
    world.send("a");
    world.send("b");
    assert!(!world.session.is_marked());
    world.expect(&[]);
    world.attach(TWO, Framing::Xhr);
    world.expect(&[r#"2 a["a","b"]"#, "2 end"]);

    world.attach(ReceiverId(3), Framing::EventSource);
    world.expect(&[]);
    world.queue("50%");
    world.queue("d");
    assert!(world.session.is_marked());
    world.expect(&[]);
    world.session.flush(world.now, &mut world.actions);
    assert!(!world.session.is_marked());
    world.expect(&[r#"3 data: a["50%25","d"]"#]);
    world.send("e");
    world.expect(&[r#"3 data: a["e"]"#]);
}

/// S-5.2, S-7.2: a poll that waits gets what comes, once.
#[test]
fn polls_wait_for_one_frame() {
    let mut world = polled();
    world.attach(TWO, Framing::Xhr);
    world.expect(&[]);
    world.send("a");
    world.expect(&[r#"2 a["a"]"#, "2 end"]);
    world.send("b");
    world.expect(&[]);
}

/// S-7.2, S-7.3: the second receiver is sent away, whatever its transport; the first notices nothing.
#[test]
fn one_receiver_at_a_time() {
    let mut world = streaming();
    for (framing, refusal) in [
        (Framing::XhrStreaming, "2 c[2010,\"Another connection still open\"]"),
        (Framing::Xhr, "2 c[2010,\"Another connection still open\"]"),
        (Framing::EventSource, "2 data: c[2010,\"Another connection still open\"]"),
        (Framing::Jsonp(Callback::of_query("c=f").unwrap()), "2 /**/f(\"c[2010,\\\"Another connection still open\\\"]\");"),
    ] {
        let timeout = world.session.next_timeout();
        world.attach(TWO, framing);
        world.expect(&[refusal, "2 end"]);
        world.cut(TWO);
        world.expect(&[]);
        assert_eq!(world.session.next_timeout(), timeout);
        world.send("a");
        world.expect(&[r#"1 a["a"]"#]);
    }
}

/// S-5.10: the case of the conformance suite, and its edges.
#[test]
fn responses_end_at_their_limit() {
    let mut world = World::open(Framing::XhrStreaming, |settings| settings.response_limit = 4096);
    world.expect(&["1 o", "opened"]);
    let message = "x".repeat(128);
    let frame = format!("1 a[\"{message}\"]");
    for _ in 0..30 {
        world.send(&message);
        world.expect(&[&frame]);
    }
    world.send(&message);
    world.expect(&[&frame, "1 end"]);
    world.send(&message);
    world.expect(&[]);

    // `o` and its line end are 2 bytes, a frame of one letter is 7.
    for (limit, ends) in [(8, true), (9, true), (10, false)] {
        let mut world = World::open(Framing::XhrStreaming, |settings| settings.response_limit = limit);
        world.send("a");
        assert_eq!(world.session.receiver().is_none(), ends, "{limit}");
    }
    let mut world = World::open(Framing::XhrStreaming, |settings| settings.response_limit = 2);
    world.expect(&["1 o", "1 end", "opened"]);
}

/// S-7.2, S-7.5, S-7.9: the close frame ends the response and is given to all who come until the time is up.
#[test]
fn close_frames_are_given_again_and_again() {
    let mut world = streaming();
    world.close();
    world.expect(&["closed Closed", r#"1 c[3000,"Go away!"]"#, "1 end"]);
    assert_eq!(world.session.accepts(), Accepts::Dropped);
    world.close();
    world.send("late");
    world.expect(&[]);
    for framing in [Framing::Xhr, Framing::XhrStreaming, Framing::Xhr] {
        world.wait(4_999);
        world.attach(TWO, framing);
        world.expect(&[r#"2 c[3000,"Go away!"]"#, "2 end"]);
    }
    world.wait(4_999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["over"]);
    assert_eq!(world.session.accepts(), Accepts::No);
}

/// S-7.2: a close that finds nobody waits, and what was queued before it goes first.
#[test]
fn what_was_queued_goes_before_the_close() {
    let mut world = polled();
    world.send("a");
    world.close();
    world.expect(&["closed Closed"]);
    world.attach(TWO, Framing::Xhr);
    world.expect(&[r#"2 a["a"]"#, "2 end"]);
    world.attach(TWO, Framing::Xhr);
    world.expect(&[r#"2 c[3000,"Go away!"]"#, "2 end"]);

    let mut world = polled();
    world.send("a");
    world.close();
    world.attach(TWO, Framing::XhrStreaming);
    world.expect(&["closed Closed", r#"2 a["a"]"#, r#"2 c[3000,"Go away!"]"#, "2 end"]);

    let mut world = streaming();
    world.queue("a");
    world.close();
    world.expect(&[r#"1 a["a"]"#, "closed Closed", r#"1 c[3000,"Go away!"]"#, "1 end"]);

    let mut world = polled();
    world.attach(TWO, Framing::Xhr);
    world.queue("a");
    world.close();
    world.expect(&[r#"2 a["a"]"#, "2 end", "closed Closed"]);
}

/// P-19.3: a poll of Pusher's fallback takes all there is to say, and so does the one that comes after the close.
#[test]
fn a_poll_may_take_the_close_too() {
    let all = |settings: &mut Settings| settings.polls_take_all = true;
    let mut world = World::open(Framing::Xhr, all);
    world.attach(TWO, Framing::Xhr);
    world.expect(&["1 o", "1 end", "opened"]);
    world.queue("last");
    world.close();
    world.expect(&["closed Closed", "2 a[\"last\"]\nc[3000,\"Go away!\"]", "2 end"]);
    world.attach(ReceiverId(3), Framing::Xhr);
    world.expect(&["3 c[3000,\"Go away!\"]", "3 end"]);

    let mut world = World::open(Framing::Xhr, all);
    world.queue("last");
    world.close();
    world.attach(TWO, Framing::Xhr);
    world.expect(&["1 o", "1 end", "opened", "closed Closed", "2 a[\"last\"]\nc[3000,\"Go away!\"]", "2 end"]);
    world.wait(5000);
    world.expect(&["over"]);
}

/// P-19.7: who asks for a sign of life gets an empty frame, or whatever comes before it.
#[test]
fn signs_of_life_are_given_when_asked_for() {
    let mut world = streaming();
    world.session.reassure(world.now, &mut world.actions);
    world.expect(&["1 a[]"]);
    world.queue("a");
    world.session.reassure(world.now, &mut world.actions);
    world.expect(&["1 a[\"a\"]"]);

    let mut world = polled();
    world.session.reassure(world.now, &mut world.actions);
    world.session.reassure(world.now, &mut world.actions);
    world.expect(&[]);
    world.attach(TWO, Framing::Xhr);
    world.expect(&["2 a[]", "2 end"]);
    world.attach(ReceiverId(3), Framing::Xhr);
    world.expect(&[]);
}

/// P-19.6, P-19.8: a response may break off without an end of the session, and a full one is left to its client.
#[test]
fn sessions_may_outlive_their_responses() {
    let outlive = |settings: &mut Settings| (settings.outlives_responses, settings.response_limit) = (true, 2049 + 20);
    let mut world = World::open(Framing::XhrStreaming, outlive);
    world.send("a");
    world.expect(&["1 o", "opened", "1 a[\"a\"]"]);
    world.cut(ONE);
    world.send("b");
    world.attach(TWO, Framing::XhrStreaming);
    world.expect(&["2 a[\"b\"]"]);
    world.send("longer than that");
    world.send("later");
    world.expect(&["2 a[\"longer than that\"]"]);
    assert_eq!(world.session.receiver(), None);
    world.cut(TWO);
    world.attach(ReceiverId(3), Framing::XhrStreaming);
    world.expect(&["3 a[\"later\"]"]);
    // As long as its client finds it: 11 and 8 characters, then 7.
    world.send("öö");
    assert_eq!(world.session.receiver(), Some(ReceiverId(3)));
    world.send("ö");
    assert_eq!(world.session.receiver(), None);
    world.wait(5000);
    world.expect(&["3 a[\"öö\"]", "3 a[\"ö\"]", "closed Abandoned", "3 end", "over"]);
}

/// S-7.5, S-7.10: who does not come back is gone, and the application hears of it once.
#[test]
fn sessions_without_receiver_end() {
    let mut world = polled();
    world.send("a");
    world.wait(4_999);
    world.expect(&[]);
    assert_eq!(world.session.next_timeout().since(world.now), Duration::from_millis(1));
    world.wait(1);
    world.expect(&["closed Abandoned", "over"]);
    world.wait(60_000);
    world.close();
    world.cut(ONE);
    world.send("b");
    world.expect(&[]);
    assert_eq!(world.session.next_timeout(), Time::from_micros(u64::MAX));

    let mut world = polled();
    world.wait(4_000);
    world.attach(TWO, Framing::Xhr);
    world.wait(20_000);
    world.expect(&[]);
}

/// S-7.7: a heartbeat for whoever waits; it ends a poll, and traffic stands in for it.
#[test]
fn receivers_that_wait_get_heartbeats() {
    let mut world = polled();
    world.wait(3_000);
    world.attach(TWO, Framing::Xhr);
    world.wait(24_999);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["2 h", "2 end"]);
    world.wait(4_999);
    world.expect(&[]);

    for (framing, heartbeat) in [
        (Framing::XhrStreaming, "1 h"),
        (Framing::EventSource, "1 data: h"),
        (Framing::HtmlFile(Callback::of_query("c=f").unwrap()), "1 <script>\np(\"h\");\n</script>"),
    ] {
        let mut world = World::open(framing, |_| {});
        world.actions.clear();
        for _ in 0..3 {
            world.wait(25_000);
            world.expect(&[heartbeat]);
        }
        world.wait(20_000);
        world.send("a");
        world.actions.clear();
        world.wait(24_999);
        world.expect(&[]);
        world.wait(1);
        world.expect(&[heartbeat]);
    }
}

/// S-7.6: a response that breaks off may have lost frames. The application hears at once, receivers when they come, senders too.
#[test]
fn broken_responses_end_the_session() {
    let mut waiting = polled();
    waiting.attach(ONE, Framing::Xhr);
    // Its last response was ended, but could not be sent whole.
    let ended = polled();
    for mut world in [streaming(), waiting, ended] {
        world.queue("a");
        world.cut(ONE);
        world.expect(&["closed Interrupted"]);
        assert_eq!((world.session.accepts(), world.session.receiver()), (Accepts::No, None));
        world.send("b");
        world.close();
        world.cut(ONE);
        world.expect(&[]);
        world.wait(4_999);
        world.attach(TWO, Framing::Xhr);
        world.expect(&[r#"2 c[1002,"Connection interrupted"]"#, "2 end"]);
        world.wait(5_000);
        world.expect(&["over"]);
    }
}

/// S-7.6: only the last response counts, and after the close none does.
#[test]
fn other_broken_responses_do_not_matter() {
    let mut world = polled();
    world.attach(TWO, Framing::XhrStreaming);
    world.cut(ONE);
    world.send("a");
    world.expect(&[r#"2 a["a"]"#]);
    world.close();
    world.cut(TWO);
    world.expect(&["closed Closed", r#"2 c[3000,"Go away!"]"#, "2 end"]);
    world.attach(ReceiverId(3), Framing::Xhr);
    world.expect(&[r#"3 c[3000,"Go away!"]"#, "3 end"]);
}

/// S-8.3.
#[test]
fn queues_are_bounded() {
    // By number.
    let mut world = World::open(Framing::Xhr, |settings| settings.queue_messages = 2);
    world.actions.clear();
    world.send("a");
    world.send("b");
    world.expect(&[]);
    world.send("c");
    world.expect(&["closed Slow"]);
    world.attach(TWO, Framing::XhrStreaming);
    world.expect(&[r#"2 c[3001,"Slow consumer"]"#, "2 end"]);

    // By size: a message of three letters has five bytes with its quotes.
    for (bytes, fits) in [(10, true), (9, false)] {
        let mut world = World::open(Framing::Xhr, |settings| settings.queue_bytes = bytes);
        world.actions.clear();
        world.send("abc");
        world.send("def");
        world.expect(if fits { &[] } else { &["closed Slow"] });
    }
    // One always fits.
    let mut world = World::open(Framing::Xhr, |settings| settings.queue_bytes = 1);
    world.actions.clear();
    world.send("abc");
    world.expect(&[]);
}

/// S-8.3: what the socket has not taken counts, and is given up for the last word.
#[test]
fn what_the_socket_owes_counts() {
    for (owed, fits) in [(0, true), (90, true), (91, false)] {
        let mut world = World::open(Framing::XhrStreaming, |settings| settings.queue_bytes = 100);
        world.actions.clear();
        world.session.send(Bytes::from_static(b"\"12345678\""), owed, world.now, &mut world.actions);
        world.session.flush(world.now, &mut world.actions);
        world.expect(match fits {
            true => &[r#"1 a["12345678"]"#],
            false => &["1 cut", "closed Slow", r#"1 c[3001,"Slow consumer"]"#, "1 end"],
        });
    }
}

/// S-8.5.
#[test]
fn receivers_hear_that_the_server_stops() {
    let mut world = polled();
    world.attach(TWO, Framing::Xhr);
    world.session.close(Close::SHUTDOWN, world.now, &mut world.actions);
    world.expect(&["closed Closed", r#"2 c[3002,"Server shutting down"]"#, "2 end"]);
}

/// A tick that comes early does nothing, and none is due before the moment that was told.
#[test]
fn ticks_are_harmless() {
    let mut world = streaming();
    for _ in 0..10 {
        world.wait(1_000);
    }
    world.expect(&[]);
    let timeout = world.session.next_timeout();
    world.session.tick(timeout, &mut world.actions);
    world.expect(&["1 h"]);
    assert!(world.session.next_timeout() > timeout);
}

/// Thousands of sessions wait for their next poll.
#[test]
fn sessions_are_small() {
    assert!(size_of::<Session>() <= 176, "{}", size_of::<Session>());
    let mut world = World::open(Framing::Xhr, |_| {});
    for at in 0..100 {
        world.send(&at.to_string());
    }
    world.attach(TWO, Framing::Xhr);
    assert!(!world.session.pending.spilled(), "nothing waits: nothing is owned");
}
