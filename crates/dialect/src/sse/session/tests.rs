//! Streams on a real hub: what a reader is told that comes, is cut off anywhere and comes back.

use super::super::request::{Load, Request, admit, unsigned_query};
use super::*;
use crate::action::Subscription;
use proptest::prelude::*;
use std::collections::HashMap;
use tidings_hub::{
    Body, Budget, Channel, Channels, Dialects, Hub, Inbox, Item, MemberList, NoJournal, Options, Publish, Recents, UnixTime, Window,
};

struct World {
    hub: Hub,
    app: Arc<App>,
    channels: Arc<Channels>,
    now: Time,
}

/// A stream as its connection has it, and what its reader has not read yet.
struct Open {
    session: Session,
    joined: Vec<(Arc<Channel>, u64)>,
    sent: Vec<String>,
    ended: bool,
}

/// What the session of a stream is subscribed to as far as others could ask: nothing.
pub(super) struct Nothing;

impl Subscriptions for Nothing {
    fn find(&self, _: &str) -> Option<Subscription<'_>> {
        None
    }

    fn count(&self) -> usize {
        0
    }

    fn members(&self, _: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _: &str, _: &str, _: &str) -> bool {
        false
    }
}

fn socket() -> SocketId {
    SocketId::new(0, 0, [1; 16])
}

fn names(names: &[&str]) -> Vec<ChannelName> {
    names.iter().map(|name| ChannelName::parse(name).unwrap()).collect()
}

impl World {
    fn new(epoch: u64, events: usize) -> Self {
        let inboxes = vec![Arc::new(Inbox::new(usize::MAX, || {}))];
        let budget = Arc::new(Budget::new(usize::MAX));
        let hub = Hub::new(Options { epoch, hash_seed: 1, inboxes, facts_max: 10, budget, recent_bytes_max: usize::MAX });
        let window = Window { events, ..Window::default() };
        let dialects = Dialects { sse: true, ..Dialects::default() };
        let app = Arc::new(App { dialects, recents: Recents { window, ..Recents::default() }, ..App::new("1", "k", "secret") });
        let channels = hub.app(&app);
        Self { hub, app, channels, now: Time::from_micros(1_000_000) }
    }

    fn publish(&self, channel: &str, data: &str) {
        let publish = Publish::new(ChannelName::parse(channel).unwrap(), Arc::from("e"), data.to_owned().into());
        self.channels.publish(&self.app, &[publish], self.now, &NoJournal);
    }

    fn open(&self, channels: &[&str], last: Option<&str>) -> Open {
        let query = unsigned_query("k", &names(channels));
        let request = Request { method: "GET", query: &query, last_event_id: last, origin: None };
        let wanted = admit(Some(&self.app), &request, Load::default(), UnixTime::default()).unwrap();
        let session = Session::new(wanted, socket(), self.hub.epoch(), Arc::default(), self.now);
        let mut open = Open { session, joined: Vec::new(), sent: Vec::new(), ended: false };
        self.feed(&mut open, Input::Opened);
        open
    }

    fn feed(&self, open: &mut Open, input: Input<'_>) {
        let mut actions = Actions::new();
        open.session.receive(input, &Nothing, self.now, &mut actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Send(text) => open.send(&text),
                Action::Subscribe(join) => {
                    let (channel, joined) =
                        self.channels.subscribe(&self.app, &join.channel, socket(), None, join.since, self.now).unwrap();
                    open.joined.push((channel, joined.serial));
                    let input = Input::Subscribed { channel: &join.channel, answer: Ok(joined) };
                    open.session.receive(input, &Nothing, self.now, &mut actions);
                }
                Action::Close(_) => open.ended = true,
                action => panic!("{action:?}"),
            }
        }
    }

    /// Has the stream get what waits for its shard.
    fn deliver(&self, open: Option<&mut Open>) {
        let mut items = Vec::new();
        self.hub.inboxes()[0].take(&mut items);
        let Some(open) = open else { return };
        for item in items {
            let Item::Event(event) = item else { continue };
            let joined = open.joined.iter().find(|(channel, _)| channel.id == event.channel_id);
            if joined.is_some_and(|(_, joined)| *joined < event.serial)
                && let Some(block) = open.session.block(&event)
            {
                open.send(&block);
            }
        }
    }

    fn close(&self, open: &Open) {
        for (channel, _) in &open.joined {
            self.channels.unsubscribe(&self.app, channel, socket(), None, true, self.now);
        }
    }

    /// Opens a stream, does `then`, and tells what it was sent in short.
    fn told(&self, channels: &[&str], last: Option<&str>, then: impl FnOnce()) -> String {
        let mut open = self.open(channels, last);
        then();
        self.deliver(Some(&mut open));
        self.close(&open);
        open.sent.iter().map(|block| short(block)).collect::<Vec<_>>().join(" | ")
    }
}

impl Open {
    fn send(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        self.sent.extend(text.split_inclusive("\n\n").map(str::to_owned));
    }
}

fn field<'b>(block: &'b str, name: &str) -> &'b str {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

/// `event@serials data`.
fn short(block: &str) -> String {
    let serials = field(block, "id").split_once('-').map_or("", |(_, serials)| serials);
    format!("{}@{serials} {}", field(block, "event").trim_start_matches("tidings:"), field(block, "data"))
}

fn id(world: &World, channels: &[&str], serials: &[u64]) -> String {
    let positions: Vec<_> = serials.iter().map(|&serial| Position { epoch: world.hub.epoch(), serial }).collect();
    Id::new(&names(channels), &positions).to_string()
}

#[test]
fn a_stream_goes_on_where_its_reader_was() {
    let world = World::new(7, 3);
    let a = ["a"];
    assert_eq!(world.told(&a, None, || world.publish("a", "1")), r#"subscribed@0 {"channels":["a"]} | e@1 1"#);
    for data in ["2", "3"] {
        world.publish("a", data);
    }
    let last = id(&world, &a, &[1]);
    assert_eq!(
        world.told(&a, Some(&last), || world.publish("a", "4")),
        r#"subscribed@1 {"channels":["a"],"resumed":true} | e@2 2 | e@3 3 | e@4 4"#
    );
    let old = id(&world, &a, &[0]);
    assert_eq!(
        world.told(&a, Some(&old), || {}),
        r#"subscribed@ {"channels":["a"],"resumed":false} | gap@1 {"channel":"a"} | e@2 2 | e@3 3 | e@4 4"#
    );
    for unknown in ["yesterday", "12-3", &id(&world, &["b"], &[4]), &id(&world, &["a", "b"], &[4, 0])] {
        let told = world.told(&a, Some(unknown), || world.publish("a", "x"));
        assert!(told.contains(r#"{"channels":["a"],"resumed":false} | gap@"#), "{unknown}: {told}");
    }
}

#[test]
fn a_stream_of_several_tells_where_its_reader_is_on_each() {
    let world = World::new(7, 100);
    let ab = ["a", "b"];
    let told = world.told(&ab, None, || {
        world.publish("b", "1");
        world.publish("a", "2");
        world.publish("b", "3");
    });
    assert_eq!(told, r#"subscribed@0.0 {"channels":["a","b"]} | e@0.1 1 | e@1.1 2 | e@1.2 3"#);
    world.publish("a", "4");
    world.publish("b", "5");
    // Cut after the first event: the second of b is still owed, with what came since.
    let last = id(&world, &ab, &[0, 1]);
    assert_eq!(
        world.told(&ab, Some(&last), || world.publish("a", "6")),
        r#"subscribed@0.1 {"channels":["a","b"],"resumed":true} | e@1.1 2 | e@2.1 4 | e@2.2 3 | e@2.3 5 | e@3.3 6"#
    );
}

#[test]
fn another_run_of_the_server_is_a_gap() {
    let (old, new) = (World::new(7, 100), World::new(8, 100));
    let told = new.told(&["a"], Some(&id(&old, &["a"], &[0])), || new.publish("a", "1"));
    assert_eq!(told, r#"subscribed@ {"channels":["a"],"resumed":false} | gap@0 {"channel":"a"} | e@1 1"#);
}

#[test]
fn a_gap_before_the_hub_is_told_at_its_place() {
    let world = World::new(7, 100);
    let told = world.told(&["a", "b"], None, || {
        world.publish("a", "1");
        world.channels.gap(|channel| channel.as_str() == "a", world.now);
        world.publish("a", "2");
    });
    assert_eq!(told, r#"subscribed@0.0 {"channels":["a","b"]} | e@1.0 1 | gap@2.0 {"channel":"a"} | e@3.0 2"#);
}

#[test]
fn a_stream_shows_that_it_lives_and_ends_when_it_must() {
    let mut world = World::new(7, 100);
    let mut open = world.open(&["a"], None);
    assert_eq!(open.session.next_timeout(), world.now + Duration::from_secs(25));
    world.now = world.now + Duration::from_secs(25);
    world.feed(&mut open, Input::Tick);
    assert_eq!(open.sent.pop().unwrap(), ":\n\n");
    assert_eq!(open.session.next_timeout(), world.now + Duration::from_secs(25));
    // The client says nothing that means something.
    for input in [Input::Text("x"), Input::Binary(b"x"), Input::NotText, Input::Ping] {
        world.feed(&mut open, input);
    }
    world.feed(&mut open, Input::Reloaded(Arc::clone(&world.app)));
    assert!(!open.ended && open.sent.len() == 1);
    for changed in [
        App { enabled: false, ..(*world.app).clone() },
        App { dialects: Dialects::default(), ..(*world.app).clone() },
        App { keys: App::new("1", "other", "s").keys, ..(*world.app).clone() },
    ] {
        let mut open = world.open(&["a"], None);
        world.feed(&mut open, Input::Reloaded(Arc::new(changed)));
        assert!(open.ended);
    }
    world.feed(&mut open, Input::End(End::Draining));
    assert!(open.ended);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    /// Events of others come in between that have a serial and are nothing for a stream.
    Count(usize),
    /// The reader reads so many blocks more.
    Read(usize),
    Cut,
    Come,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize).prop_map(Step::Publish),
        1 => (0..3usize).prop_map(Step::Count),
        4 => (1..6usize).prop_map(Step::Read),
        2 => Just(Step::Cut),
        3 => Just(Step::Come),
    ]
}

/// What a reader has seen of each channel.
#[derive(Default)]
struct Reader {
    last: Option<String>,
    seen: HashMap<String, u64>,
    /// Channels of which it was told that it may have missed some.
    gaps: Vec<String>,
}

impl Reader {
    /// Comes, or comes back: one that has read nothing before is owed nothing of what was before.
    fn begin(&mut self, channels: &[&str], published: &[u64]) {
        if self.last.is_none() {
            self.seen = channels.iter().map(|channel| (*channel).to_owned()).zip(published.iter().copied()).collect();
        }
    }

    /// Reads a block; whatever is missing must have been told before, and nothing comes twice.
    fn read(&mut self, block: &str) {
        // A block without an id leaves the reader where it was.
        if block.contains("\nid: ") {
            self.last = Some(field(block, "id").to_owned());
        }
        let data = field(block, "data");
        match field(block, "event") {
            "tidings:subscribed" => {}
            "tidings:gap" => {
                let channel = data.split('"').nth(3).unwrap().to_owned();
                self.gaps.push(channel);
            }
            _ => {
                let (channel, number) = data.split_once(' ').unwrap();
                let number: u64 = number.parse().unwrap();
                let before = self.seen.insert(channel.to_owned(), number).unwrap_or(0);
                let gap = self.gaps.iter().position(|gap| gap == channel).map(|place| self.gaps.remove(place)).is_some();
                assert!(number == before + 1 || number > before && gap, "{channel}: {number} after {before}, gap told: {gap}");
            }
        }
    }
}

proptest! {
    /// However often a reader is cut off, and wherever: every event once and in order, or a gap that is told.
    #[test]
    fn nothing_is_lost_silently(steps in proptest::collection::vec(step(), 1..120), kept in 1..12usize, count in 1..4usize) {
        let world = World::new(7, kept);
        let channels = &["a", "b", "c"][..count];
        let (mut published, mut reader, mut read) = (vec![0u64; count], Reader::default(), 0);
        let mut open = Some(world.open(channels, None));
        for step in steps {
            match step {
                Step::Publish(place) => {
                    let place = place % count;
                    published[place] += 1;
                    world.publish(channels[place], &format!("{} {}", channels[place], published[place]));
                }
                Step::Count(place) => {
                    let name = ChannelName::parse(channels[place % count]).unwrap();
                    let member = Arc::new(tidings_hub::Member::new("u"));
                    let other = SocketId::new(0, 1, [2; 16]);
                    let (channel, _) = world.channels.subscribe(&world.app, &name, other, Some(Arc::clone(&member)), None, world.now).unwrap();
                    world.channels.unsubscribe(&world.app, &channel, other, Some(&member), false, world.now);
                }
                Step::Read(blocks) => {
                    world.deliver(open.as_mut());
                    if let Some(open) = &open {
                        open.sent.iter().skip(read).take(blocks).for_each(|block| reader.read(block));
                        read = open.sent.len().min(read + blocks);
                    }
                }
                Step::Cut => {
                    if let Some(open) = open.take() {
                        world.close(&open);
                    }
                    world.deliver(None);
                }
                Step::Come if open.is_none() => {
                    world.deliver(None);
                    reader.begin(channels, &published);
                    open = Some(world.open(channels, reader.last.as_deref()));
                    read = 0;
                }
                Step::Come => {}
            }
        }
        // In the end the reader comes back for good.
        if let Some(open) = open.take() {
            world.close(&open);
        }
        world.deliver(None);
        reader.begin(channels, &published);
        let open = world.open(channels, reader.last.as_deref());
        open.sent.iter().for_each(|block| reader.read(block));
        for (place, channel) in channels.iter().enumerate() {
            let seen = reader.seen.get(*channel).copied().unwrap_or(0);
            let missed = reader.gaps.iter().any(|gap| gap == channel);
            prop_assert!(seen == published[place] || missed, "{channel}: {seen} of {}", published[place]);
        }
        world.close(&open);
    }
}

/// The form that all streams of one channel share is the one that their sessions write.
#[test]
fn the_shared_form_is_the_sessions_own() {
    let world = World::new(7, 100);
    let mut open = world.open(&["a"], None);
    world.publish("a", "x");
    let mut items = Vec::new();
    world.hub.inboxes()[0].take(&mut items);
    let Some(Item::Event(event)) = items.pop() else { panic!("an event is there") };
    assert!(matches!(event.body, Body::Published { .. }));
    let mut shared = Vec::new();
    codec::encode_event(&event, At::Now(Stream::new(7, [&event.channel]), &[event.serial]), &mut shared).unwrap();
    assert_eq!(open.session.block(&event).unwrap(), shared);
    assert!(open.session.reads_one());
}
