//! Queues against plain lists of frames: whatever the kernel takes, each connection gets exactly its frames, in order.

use super::*;
use crate::shard::bound::{Bound, Bounds, Full, Tally};
use mio::net::UnixStream;
use proptest::prelude::*;
use std::io::Read;
use tidings_hub::{Body, ChannelName};

const OUTBOX_MAX: usize = 100_000;
const PENDING_MAX: usize = 64 * 1024;
const FORMATS: [Format; 3] = [Format::Text, Format::Deflate15, Format::Deflate9];

/// A kernel that takes what it is told to.
#[derive(Default)]
struct Kernel {
    /// What each of the next calls takes; 0 for none at all. Afterwards everything.
    takes: VecDeque<usize>,
    taken: Vec<u8>,
    /// Whether the next flush finds no room, as under TLS.
    holds_back: bool,
    interrupted: bool,
    calls: usize,
}

impl Write for Kernel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if std::mem::take(&mut self.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let taken = match self.takes.pop_front() {
            Some(0) if !bytes.is_empty() => return Err(io::ErrorKind::WouldBlock.into()),
            Some(max) => bytes.len().min(max),
            None => bytes.len(),
        };
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(&slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>())
    }

    fn flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.holds_back) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }
}

/// Bytes that no other frame has at that place.
fn content(number: usize, format: Format, len: usize) -> Bytes {
    (0..len).map(|place| (number * 31 + format as usize * 101 + place * 7 + place / 251) as u8).collect::<Vec<_>>().into()
}

/// One connection as the model has it.
#[derive(Default)]
struct Owed {
    frames: VecDeque<Bytes>,
    offset: usize,
    format: Format,
    blocked: bool,
}

impl Owed {
    fn bytes(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum::<usize>() - self.offset
    }

    /// Compares what the kernel took with what should come.
    fn take(&mut self, mut taken: &[u8]) {
        while let Some(first) = self.frames.front() {
            let rest = &first[self.offset..];
            let len = rest.len().min(taken.len());
            assert_eq!(taken[..len], rest[..len]);
            taken = &taken[len..];
            if len < rest.len() {
                self.offset += len;
                break;
            }
            self.frames.pop_front();
            self.offset = 0;
        }
        assert!(taken.is_empty(), "{} bytes that nobody is owed", taken.len());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { slot: usize, len: usize },
    FanOut { slots: Vec<usize>, len: usize, urgency: Urgency },
    Flush { slot: usize, takes: Vec<usize>, holds_back: bool, interrupted: bool },
    Turn { urgency: Urgency, count: usize },
    Cut { slot: usize },
    Reopen { slot: usize, format: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..SLOTS;
    let len = prop_oneof![1 => Just(0), 12 => 1..300_usize, 2 => 8_000..9_000_usize, 1 => 20_000..80_000_usize];
    let urgency = prop_oneof![Just(Urgency::First), Just(Urgency::Second)];
    let slots = prop_oneof![
        2 => Just((0..SLOTS).collect::<Vec<_>>()),
        1 => proptest::sample::subsequence((0..SLOTS).collect::<Vec<_>>(), 0..=SLOTS)
    ];
    let takes = prop::collection::vec(prop_oneof![Just(0), 1..40_usize, 40..5_000_usize, Just(usize::MAX)], 0..3);
    let chance = proptest::bool::weighted(0.1);
    prop_oneof![
        3 => (slot.clone(), len.clone()).prop_map(|(slot, len)| Step::Push { slot, len }),
        6 => (slots, len, urgency.clone()).prop_map(|(slots, len, urgency)| Step::FanOut { slots, len, urgency }),
        4 => (slot.clone(), takes, chance, chance)
            .prop_map(|(slot, takes, holds_back, interrupted)| Step::Flush { slot, takes, holds_back, interrupted }),
        3 => (urgency, 1..SLOTS + 1).prop_map(|(urgency, count)| Step::Turn { urgency, count }),
        1 => slot.clone().prop_map(|slot| Step::Cut { slot }),
        1 => (slot, 0..FORMATS.len()).prop_map(|(slot, format)| Step::Reopen { slot, format }),
    ]
}

const SLOTS: usize = 5;

/// The queues, and what they should hold.
struct Pair {
    outgoing: Outgoing,
    budget: Arc<Budget>,
    owed: [Owed; SLOTS],
    frames: usize,
}

impl Pair {
    fn new() -> Self {
        let budget = Arc::new(Budget::new(usize::MAX));
        let mut outgoing = Outgoing::new(Arc::clone(&budget), PENDING_MAX, Bounds::default());
        (0..SLOTS).for_each(|slot| outgoing.open(slot));
        Self { outgoing, budget, owed: Default::default(), frames: 0 }
    }

    fn expect(&mut self, slot: usize, frame: Bytes, queued: Queued) {
        let owed = &mut self.owed[slot];
        let overflows = owed.blocked && owed.bytes() > 0 && owed.bytes() + frame.len() > OUTBOX_MAX;
        assert_eq!(queued, if overflows { Queued::Overflow } else { Queued::Yes });
        if !overflows {
            owed.frames.push_back(frame);
        }
    }

    fn push(&mut self, slot: usize, len: usize) {
        self.frames += 1;
        let frame = content(self.frames, Format::Text, len);
        let queued = self.outgoing.push(slot as u32, frame.clone(), OUTBOX_MAX);
        self.expect(slot, frame, queued);
    }

    fn fan_out(&mut self, slots: &[usize], len: usize, urgency: Urgency) {
        self.frames += 1;
        let event = event(&self.budget);
        let index = self.outgoing.begin(Arc::clone(&event));
        for &slot in slots {
            let format = self.outgoing.format(slot as u32);
            assert_eq!(format, self.owed[slot].format);
            // Each format has a length of its own.
            let frame = event.encoded(format as usize, || content(self.frames, format, len + format as usize)).clone();
            let queued = self.outgoing.mark_event(slot as u32, index, frame.len() as u32, OUTBOX_MAX, urgency);
            self.expect(slot, frame, queued);
        }
        self.outgoing.finish(index);
    }

    fn flush(&mut self, slot: usize, mut kernel: Kernel) {
        let owed = &mut self.owed[slot];
        let holds_back = kernel.holds_back;
        let flushed = self.outgoing.flush(slot as u32, &mut kernel);
        owed.take(&kernel.taken);
        match flushed {
            Flushed::All => {
                assert!(owed.frames.is_empty() && !holds_back);
                owed.blocked = false;
            }
            Flushed::Blocked { progress } => {
                assert!(!owed.frames.is_empty() || holds_back);
                assert_eq!(progress, !kernel.taken.is_empty());
                owed.blocked = true;
            }
            Flushed::Failed(error) => panic!("{error}"),
        }
    }

    fn turn(&mut self, urgency: Urgency, count: usize) {
        for _ in 0..count {
            let Some(slot) = self.outgoing.next_marked(urgency) else { break };
            self.flush(slot as usize, Kernel::default());
        }
    }

    fn cut(&mut self, slot: usize) {
        self.outgoing.cut(slot as u32);
        let owed = &mut self.owed[slot];
        owed.frames.truncate(usize::from(owed.offset > 0));
    }

    fn reopen(&mut self, slot: usize, format: Format) {
        self.outgoing.close(slot as u32);
        self.outgoing.open(slot);
        self.outgoing.set_format(slot as u32, format);
        self.owed[slot] = Owed { format, ..Owed::default() };
    }

    fn compare(&self) {
        for (slot, owed) in (0..).zip(&self.owed) {
            assert_eq!((self.outgoing.owed(slot), self.outgoing.is_blocked(slot)), (owed.bytes(), owed.blocked), "{slot}");
        }
        assert_eq!(self.outgoing.is_heavy(), self.owed.iter().any(|owed| !owed.blocked && owed.bytes() > PENDING_MAX));
        assert!(self.outgoing.has_marked() || self.owed.iter().all(|owed| owed.blocked || owed.frames.is_empty()), "one is forgotten");
    }

    /// All is written, all are closed: nothing is left.
    fn end(mut self) {
        self.turn(Urgency::First, usize::MAX);
        self.turn(Urgency::Second, usize::MAX);
        for slot in (0..SLOTS).filter(|&slot| self.outgoing.is_blocked(slot as u32)).collect::<Vec<_>>() {
            self.flush(slot, Kernel::default());
        }
        self.compare();
        assert!(self.owed.iter().all(|owed| owed.frames.is_empty()) && !self.outgoing.has_marked());
        assert_eq!((self.budget.used(), self.budget.events()), (0, 0));
        assert_eq!(self.outgoing.frames.free.len(), self.outgoing.frames.slots.len());
    }
}

fn event(budget: &Arc<Budget>) -> Arc<Event> {
    Arc::new(Event::new(ChannelName::parse("c").unwrap(), 1, 1, None, Body::SubscriptionCount(1), budget))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// P-3.8, P-18.19: no byte is lost, repeated or out of place, whatever happens in between.
    #[test]
    fn each_connection_gets_its_frames_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new();
        for step in steps {
            match step {
                Step::Push { slot, len } => pair.push(slot, len),
                Step::FanOut { slots, len, urgency } => pair.fan_out(&slots, len, urgency),
                Step::Flush { slot, takes, holds_back, interrupted } => {
                    // What holds back is what was taken before: nothing goes out meanwhile.
                    let takes = if holds_back { VecDeque::new() } else { takes.into() };
                    pair.flush(slot, Kernel { takes, holds_back, interrupted, ..Kernel::default() });
                }
                Step::Turn { urgency, count } => pair.turn(urgency, count),
                Step::Cut { slot } => pair.cut(slot),
                Step::Reopen { slot, format } => pair.reopen(slot, FORMATS[format]),
            }
            pair.compare();
        }
        pair.end();
    }
}

/// Everything a connection is owed goes out in one call while it fits.
#[test]
fn a_turn_makes_one_write() {
    for (lens, calls) in [
        (&[100][..], 1),
        (&[100, 200, 300], 1),
        (&[0, 100], 1),
        (&[9_000, 100], 1),
        (&[100, 30_000, 30_000], 1),
        (&[100; 300], 1),
        (&[600; 64], 1),
        (&[600; 65], 2),
    ] {
        let mut pair = Pair::new();
        lens.iter().for_each(|&len| pair.push(0, len));
        let mut kernel = Kernel::default();
        assert!(matches!(pair.outgoing.flush(0, &mut kernel), Flushed::All));
        assert_eq!((kernel.taken.len(), kernel.calls), (lens.iter().sum(), calls), "{lens:?}");
        pair.owed[0].take(&kernel.taken);
        pair.outgoing.next_marked(Urgency::First);
        pair.end();
    }
}

#[test]
fn a_connection_is_heavy_above_the_limit_of_the_configuration() {
    let mut outgoing = Outgoing::new(Arc::new(Budget::new(1 << 20)), 10, Bounds::default());
    outgoing.open(0);
    assert_eq!(outgoing.push(0, Bytes::from_static(&[0; 10]), usize::MAX), Queued::Yes);
    assert!(!outgoing.is_heavy());
    assert_eq!(outgoing.push(0, Bytes::from_static(&[0; 1]), usize::MAX), Queued::Yes);
    assert!(outgoing.is_heavy());
    outgoing.cut(0);
    assert!(!outgoing.is_heavy());
}

/// Connections owed the same run share one copy; a number used again for another frame is no excuse for the old bytes.
#[test]
fn equal_runs_share_the_cork_until_a_frame_is_freed() {
    let mut pair = Pair::new();
    pair.fan_out(&[0, 1, 2], 50, Urgency::First);
    pair.fan_out(&[0, 1, 2], 60, Urgency::First);
    pair.turn(Urgency::First, 2);
    assert_eq!(pair.outgoing.corked.run, [0, 1]);
    let corked = pair.outgoing.cork.clone();
    pair.turn(Urgency::First, 1);
    assert_eq!(pair.outgoing.cork, corked);
    // Both are freed now. Two single frames turn the free numbers around, and the next run is of the same numbers.
    pair.fan_out(&[3], 70, Urgency::First);
    pair.fan_out(&[4], 80, Urgency::First);
    pair.turn(Urgency::First, 2);
    pair.fan_out(&[3, 4], 50, Urgency::First);
    pair.fan_out(&[3, 4], 60, Urgency::First);
    assert_eq!((&pair.outgoing.queues[3].frames[..], &pair.outgoing.corked.run[..]), (&[0, 1][..], &[0, 1][..]));
    pair.turn(Urgency::First, 2);
    pair.end();
}

/// One format's copy is not another's.
#[test]
fn the_cork_is_of_one_format() {
    let mut pair = Pair::new();
    pair.reopen(1, Format::Deflate15);
    for _ in 0..2 {
        pair.fan_out(&[0, 1, 2], 50, Urgency::First);
    }
    pair.turn(Urgency::First, 3);
    pair.end();
}

/// An urgent mark overtakes one that waits for its slice, and one write serves both.
#[test]
fn an_urgent_mark_overtakes() {
    let mut pair = Pair::new();
    pair.fan_out(&[0, 1, 2], 10, Urgency::Second);
    pair.push(2, 20);
    assert_eq!(pair.outgoing.next_marked(Urgency::First), Some(2));
    pair.flush(2, Kernel::default());
    assert_eq!(pair.outgoing.next_marked(Urgency::First), None);
    for slot in [0, 1] {
        assert_eq!(pair.outgoing.next_marked(Urgency::Second), Some(slot));
        pair.flush(slot as usize, Kernel::default());
    }
    assert_eq!(pair.outgoing.next_marked(Urgency::Second), None);
    pair.end();
}

/// P-18.19: the bound is on what the kernel refused; before that nothing overflows, and one frame always fits an empty outbox.
#[test]
fn only_a_blocked_connection_overflows() {
    let mut pair = Pair::new();
    let block = |pair: &mut Pair| pair.flush(0, Kernel { takes: VecDeque::from([0]), ..Kernel::default() });
    for _ in 0..3 {
        pair.push(0, OUTBOX_MAX);
    }
    assert!(pair.outgoing.is_heavy());
    block(&mut pair);
    assert!(!pair.outgoing.is_heavy());
    pair.push(0, 1);
    assert_eq!(pair.outgoing.owed(0), 3 * OUTBOX_MAX, "refused");
    pair.cut(0);
    assert_eq!(pair.outgoing.owed(0), 0);
    pair.push(0, 2 * OUTBOX_MAX);
    assert_eq!(pair.outgoing.owed(0), 2 * OUTBOX_MAX, "alone in an empty outbox");
    pair.compare();
    pair.end();
}

/// A peer that is cut off still gets the end of the frame that it has the beginning of.
#[test]
fn cutting_keeps_the_frame_in_progress() {
    let mut pair = Pair::new();
    (0..3).for_each(|_| pair.push(0, 100));
    pair.flush(0, Kernel { takes: VecDeque::from([130]), ..Kernel::default() });
    pair.cut(0);
    assert_eq!(pair.outgoing.owed(0), 70);
    pair.push(0, 5);
    assert_eq!(pair.outgoing.owed(0), 75);
    pair.end();
}

/// A kernel of its own: small buffers, and everything there is to take arrives.
#[test]
fn a_real_socket_gets_all_of_it() {
    let (near, mut far) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&near).set_send_buffer_size(4096).unwrap();
    let mut socket = crate::shard::socket::Socket::Unix(near);
    let mut pair = Pair::new();
    let mut expected = Vec::new();
    for round in 0..60 {
        for len in [10 + round, 3_000, 9_500, 1] {
            pair.frames += 1;
            let frame = content(pair.frames, Format::Text, len);
            expected.extend_from_slice(&frame);
            assert_eq!(pair.outgoing.push(0, frame, usize::MAX), Queued::Yes);
        }
    }
    let (mut received, mut blocked) = (Vec::new(), 0);
    let mut buffer = vec![0; 10_000];
    loop {
        let flushed = pair.outgoing.flush(0, &mut socket);
        while let Ok(read @ 1..) = far.read(&mut buffer) {
            received.extend_from_slice(&buffer[..read]);
        }
        match flushed {
            Flushed::All => break,
            Flushed::Blocked { .. } => blocked += 1,
            Flushed::Failed(error) => panic!("{error}"),
        }
    }
    assert!(received == expected, "{} of {} bytes", received.len(), expected.len());
    assert!(blocked > 1, "the kernel took it at once");
    drop(far);
    pair.push(0, 10);
    assert!(matches!(pair.outgoing.flush(0, &mut socket), Flushed::Failed(_)));
    pair.outgoing.close(0);
    assert_eq!(pair.budget.used(), 0);
}

/// A crowd of frames that left gives its memory back.
#[test]
fn the_frame_table_shrinks_once_it_is_empty() {
    let mut pair = Pair::new();
    (0..2000).for_each(|_| pair.push(0, 1));
    assert_eq!(pair.outgoing.frames.slots.len(), 2000);
    pair.flush(0, Kernel::default());
    assert!(pair.outgoing.frames.slots.is_empty() && !pair.outgoing.queues[0].frames.spilled());
    pair.fan_out(&[0, 1], 10, Urgency::First);
    pair.end();
}

/// A connection with a bound of its own, and whatever else the kernel says, is told by the kernel to wait.
struct Bounded {
    outgoing: Outgoing,
    budget: Arc<Budget>,
}

impl Bounded {
    fn new(messages: usize, bytes: usize, full: Full) -> Self {
        let budget = Arc::new(Budget::new(1 << 20));
        let bound = Bound { messages, bytes, full };
        let mut outgoing = Outgoing::new(Arc::clone(&budget), 1 << 20, Bounds::new([bound]));
        outgoing.open(0);
        outgoing.set_bound(0, BoundIndex::of(0));
        Self { outgoing, budget }
    }

    /// Owes an event whose form is `text`.
    fn event(&mut self, text: &'static str) -> Queued {
        self.outgoing.push_event(0, Bytes::from_static(text.as_bytes()), OUTBOX_MAX)
    }

    /// Has the kernel take so many bytes and no more, and tells what they were.
    fn take(&mut self, bytes: usize) -> String {
        let mut kernel = Kernel { takes: VecDeque::from([bytes, 0]), ..Kernel::default() };
        assert!(matches!(self.outgoing.flush(0, &mut kernel), Flushed::Blocked { .. }));
        String::from_utf8(kernel.taken).unwrap()
    }

    /// Has the kernel take everything.
    fn rest(&mut self) -> String {
        let mut kernel = Kernel::default();
        assert!(matches!(self.outgoing.flush(0, &mut kernel), Flushed::All));
        assert_eq!(self.budget.used(), 0);
        String::from_utf8(kernel.taken).unwrap()
    }

    fn tally(&mut self) -> Tally {
        self.outgoing.bounds().take().and_then(|mut tallies| tallies.next()).unwrap_or_default()
    }
}

/// W-7.2: before the kernel refuses there is no queue, and what it has begun is not taken back.
#[test]
fn a_bound_holds_once_the_kernel_takes_no_more() {
    for (full, answer, rest, dropped) in [
        (Full::Close, Queued::Overflow, "cddee", 0),
        (Full::Drop, Queued::Dropped, "cddee", 1),
        (Full::DropOldest, Queued::Yes, "ceeff", 1),
    ] {
        let mut bounded = Bounded::new(2, 1000, full);
        for text in ["aa", "bb", "cc", "dd"] {
            assert_eq!(bounded.event(text), Queued::Yes);
        }
        assert_eq!(bounded.take(5), "aabbc");
        assert_eq!(bounded.event("ee"), Queued::Yes, "{full:?}");
        assert_eq!(bounded.event("ff"), answer, "{full:?}");
        assert_eq!(bounded.rest(), rest, "{full:?}");
        assert_eq!(bounded.tally(), Tally { delivered: 5, dropped, unspeakable: 0 }, "{full:?}");
        assert_eq!(bounded.tally(), Tally::default());
    }
}

/// W-7.5, W-7.1: one message waits and no more, as in the original; but who reads in time misses nothing of a burst (W-10.4).
#[test]
fn a_bound_of_one_drops_as_the_original() {
    let mut bounded = Bounded::new(1, 1000, Full::Drop);
    for text in ["aa", "bb", "cc"] {
        assert_eq!(bounded.event(text), Queued::Yes);
    }
    assert_eq!(bounded.take(5), "aabbc");
    assert_eq!((bounded.event("dd"), bounded.event("ee")), (Queued::Yes, Queued::Dropped));
    assert_eq!(bounded.rest(), "cdd");
    assert_eq!(bounded.event("ff"), Queued::Yes);
    assert_eq!(bounded.rest(), "ff");
    assert_eq!(bounded.tally(), Tally { delivered: 5, dropped: 1, unspeakable: 0 });
}

/// W-7.2: bytes bound as well; what is larger than all of them fits an empty queue.
#[test]
fn a_bound_counts_bytes() {
    let mut bounded = Bounded::new(100, 10, Full::DropOldest);
    assert_eq!(bounded.event("0123456789abcdef"), Queued::Yes);
    assert_eq!(bounded.take(0), "");
    for text in ["xxxxxx", "yyyyyy"] {
        assert_eq!(bounded.event(text), Queued::Yes);
    }
    assert_eq!(bounded.rest(), "yyyyyy");
    assert_eq!(bounded.tally(), Tally { delivered: 1, dropped: 2, unspeakable: 0 });
    let mut bounded = Bounded::new(100, 10, Full::Drop);
    bounded.event("aaaaaa");
    assert_eq!(bounded.take(1), "a");
    assert_eq!((bounded.event("bb"), bounded.event("cccccc"), bounded.event("dd")), (Queued::Yes, Queued::Dropped, Queued::Yes));
    assert_eq!(bounded.rest(), "aaaaabbdd");
}

/// What is no event, such as the head of a response or its end, is never dropped, and a last word always has room.
#[test]
fn a_bound_drops_events_only() {
    let mut bounded = Bounded::new(2, 1000, Full::DropOldest);
    let own = |bounded: &mut Bounded, text: &'static str, max| bounded.outgoing.push(0, Bytes::from_static(text.as_bytes()), max);
    assert_eq!(own(&mut bounded, "head.", usize::MAX), Queued::Yes);
    assert_eq!(bounded.take(0), "");
    for text in ["a.", "b.", "c."] {
        assert_eq!(bounded.event(text), Queued::Yes);
    }
    assert_eq!(own(&mut bounded, "end.", usize::MAX), Queued::Yes);
    assert_eq!(own(&mut bounded, "ping.", OUTBOX_MAX), Queued::Dropped, "no event is left to make room");
    assert_eq!(bounded.rest(), "head.end.");
    assert_eq!(bounded.tally().delivered, 0);
}

/// What an idle connection costs here.
#[test]
fn sizes_are_known() {
    assert_eq!((size_of::<Queue>(), size_of::<Frame>()), (40, 48));
}
