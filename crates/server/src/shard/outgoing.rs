//! What a shard's connections are owed: one queue each, of references to frames that all of them share.
//!
//! A publish marks: it puts a frame's number into each subscriber's queue. The turn writes: each marked connection gets all it is owed in one write.

use super::bound::{BoundIndex, Bounds, Full};
use crate::wire::Format;
use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use tidings_hub::{Budget, Event};

/// What goes into one write by copying; above it the frames are written from where they are.
const CORK: usize = 32 * 1024;
/// A frame from this size on is not copied.
const COPIED_FRAME_MAX: usize = 8 * 1024;
/// Frames in one vectored write.
const SLICES: usize = 64;

/// The number of a frame in its shard.
type FrameIndex = u32;

/// All queues of a shard, and the frames they refer to.
pub(crate) struct Outgoing {
    frames: Frames,
    /// By the slot of the connection.
    queues: Vec<Queue>,
    /// Connections marked by replies and by fan-outs that fit in one slice.
    first: VecDeque<u32>,
    /// Connections marked by larger fan-outs.
    second: VecDeque<u32>,
    /// What may be owed to one connection, and not yet offered to the kernel, before the shard takes no more from its inbox.
    pending_max: usize,
    /// Queues with more than that.
    heavy: usize,
    /// What bounds some connections more closely than their app.
    bounds: Bounds,
    /// What channels bring to connections that are to be told something else before: events with their lengths, by slot.
    held: HashMap<u32, Held, foldhash::fast::FixedState>,
    cork: Vec<u8>,
    /// The next connection owed the same run needs no copy.
    corked: Corked,
}

/// What the cork buffer holds. Numbers are used again, so it holds only until a frame is freed.
#[derive(Default)]
struct Corked {
    run: Vec<FrameIndex>,
    format: Format,
    freed: u64,
}

/// What one connection is owed. The frames leave in order; a short write only moves the offset.
#[derive(Default)]
struct Queue {
    frames: SmallVec<[FrameIndex; 4]>,
    /// Bytes of the first frame that are gone already.
    offset: u32,
    /// Bytes in all, less the offset.
    owed: u32,
    format: Format,
    mark: Mark,
    /// The kernel took less than it was offered: the queue is the outbox now, written when the socket is writable.
    blocked: bool,
    /// Counted in [`Outgoing::heavy`].
    heavy: bool,
    /// What channels bring goes to [`Outgoing::held`].
    held: bool,
    bound: BoundIndex,
}

#[derive(Default)]
struct Held {
    frames: Vec<(FrameIndex, u32)>,
    bytes: usize,
}

/// On which list a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    None,
    First,
    Second,
}

/// How urgent a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A reply, or a fan-out that fits in one slice.
    First,
    /// A larger fan-out: written slice by slice.
    Second,
}

/// What became of a frame for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queued {
    /// It is owed.
    Yes,
    /// The connection has an outbox that this would overfill: nothing was queued, and the caller closes it as slow.
    Overflow,
    /// The same, but its operator wants it to miss the message: that is counted.
    Dropped,
}

/// What a write achieved.
#[derive(Debug)]
pub(crate) enum Flushed {
    /// Nothing is owed any more.
    All,
    /// The kernel took some and has no room for the rest.
    Blocked {
        /// Whether it took anything.
        progress: bool,
    },
    /// The socket is of no more use.
    Failed(io::Error),
}

impl Outgoing {
    pub(crate) fn new(budget: Arc<Budget>, pending_max: usize, bounds: Bounds) -> Self {
        Self {
            frames: Frames { slots: Vec::new(), free: Vec::new(), freed: 0, budget },
            queues: Vec::new(),
            first: VecDeque::new(),
            second: VecDeque::new(),
            pending_max,
            heavy: 0,
            bounds,
            held: HashMap::default(),
            cork: Vec::with_capacity(CORK),
            corked: Corked::default(),
        }
    }

    /// Makes an empty queue for a connection.
    pub(crate) fn open(&mut self, slot: usize) {
        if self.queues.len() <= slot {
            self.queues.resize_with(slot + 1, Queue::default);
        }
    }

    /// Sets how a connection takes events.
    pub(crate) fn set_format(&mut self, slot: u32, format: Format) {
        self.queues[slot as usize].format = format;
    }

    /// Sets what bounds a connection beside its app's limit.
    pub(crate) fn set_bound(&mut self, slot: u32, bound: BoundIndex) {
        self.queues[slot as usize].bound = bound;
    }

    /// What bounds some connections more closely, with what became of their events.
    pub(crate) fn bounds(&mut self) -> &mut Bounds {
        &mut self.bounds
    }

    /// Notes that a connection's dialect had no words for an event.
    #[cold]
    pub(crate) fn count_unspeakable(&mut self, slot: u32) {
        self.bounds.count(self.queues[slot as usize].bound, |tally| tally.unspeakable += 1);
    }

    /// Drops what a connection is owed; it ended.
    pub(crate) fn close(&mut self, slot: u32) {
        let queue = std::mem::take(&mut self.queues[slot as usize]);
        self.heavy -= usize::from(queue.heavy);
        for index in queue.frames {
            self.frames.release(index);
        }
        self.forget_held(slot);
    }

    /// Keeps back what channels bring to a connection, until [`Outgoing::release`].
    pub(crate) fn hold(&mut self, slot: u32) {
        self.queues[slot as usize].held = true;
        self.held.entry(slot).or_default();
    }

    /// Owes what was kept back.
    pub(crate) fn release(&mut self, slot: u32) {
        self.queues[slot as usize].held = false;
        for (index, len) in self.held.remove(&slot).unwrap_or_default().frames {
            // It was bounded as it came.
            self.mark(slot, index, len, usize::MAX, Urgency::First);
        }
    }

    /// Takes what is owed to a connection that has no socket, frame by frame.
    pub(crate) fn take(&mut self, slot: u32, mut to: impl FnMut(Bytes)) {
        let queue = &mut self.queues[slot as usize];
        let (frames, format) = (std::mem::take(&mut queue.frames), queue.format);
        queue.owed = 0;
        for index in frames {
            to(self.frames.shared(index, format));
            self.frames.release(index);
        }
        self.weigh(slot);
    }

    /// Sees to it that the connection is written in this turn, even if it is owed nothing: what follows its last byte is done then.
    pub(crate) fn touch(&mut self, slot: u32) {
        let queue = &mut self.queues[slot as usize];
        if queue.mark != Mark::First {
            queue.mark = Mark::First;
            self.first.push_back(slot);
        }
    }

    fn forget_held(&mut self, slot: u32) {
        if self.held.is_empty() {
            return;
        }
        for (index, _) in self.held.remove(&slot).unwrap_or_default().frames {
            self.frames.release(index);
        }
    }

    /// Drops all that is owed but the frame in progress, so that a last word to a peer that does not read stays within bounds.
    pub(crate) fn cut(&mut self, slot: u32) {
        let queue = &mut self.queues[slot as usize];
        let keep = usize::from(queue.offset > 0);
        let frames: SmallVec<[FrameIndex; 4]> = queue.frames.drain(keep..).collect();
        queue.owed = queue.frames.first().map_or(0, |&index| self.frames.len(index, queue.format) - queue.offset);
        for index in frames {
            self.frames.release(index);
        }
        self.forget_held(slot);
        self.weigh(slot);
    }

    /// Queues a frame, or any bytes, of this connection's own.
    pub(crate) fn push(&mut self, slot: u32, bytes: Bytes, outbox_max: usize) -> Queued {
        let len = bytes.len() as u32;
        let index = self.frames.insert(Content::Own(bytes));
        let queued = self.mark(slot, index, len, outbox_max, Urgency::First);
        if queued != Queued::Yes {
            self.frames.release(index);
        }
        queued
    }

    /// Queues an event in a form of this connection's own.
    pub(crate) fn push_event(&mut self, slot: u32, bytes: Bytes, outbox_max: usize) -> Queued {
        let len = bytes.len() as u32;
        let index = self.frames.insert(Content::OwnEvent(bytes));
        let queued = self.mark_or_keep(slot, index, len, outbox_max, Urgency::First);
        if queued != Queued::Yes {
            self.frames.release(index);
        }
        queued
    }

    /// Begins a fan-out: takes the event into the table. [`Outgoing::finish`] ends it.
    pub(crate) fn begin(&mut self, event: Arc<Event>) -> FrameIndex {
        self.frames.insert(Content::Event(event))
    }

    /// Owes a frame of the fan-out, `len` bytes in the connection's format, to one connection.
    pub(crate) fn mark_event(&mut self, slot: u32, index: FrameIndex, len: u32, outbox_max: usize, urgency: Urgency) -> Queued {
        let queued = self.mark_or_keep(slot, index, len, outbox_max, urgency);
        if queued == Queued::Yes {
            self.frames.slots[index as usize].references += 1;
        }
        queued
    }

    /// Marks, unless what channels bring is kept back.
    #[inline]
    fn mark_or_keep(&mut self, slot: u32, index: FrameIndex, len: u32, outbox_max: usize, urgency: Urgency) -> Queued {
        if !self.held.is_empty() && self.queues[slot as usize].held {
            return self.keep_back(slot, index, len, outbox_max);
        }
        self.mark(slot, index, len, outbox_max, urgency)
    }

    #[cold]
    fn keep_back(&mut self, slot: u32, index: FrameIndex, len: u32, outbox_max: usize) -> Queued {
        let held = self.held.entry(slot).or_default();
        if held.bytes > 0 && held.bytes + len as usize > outbox_max {
            return Queued::Overflow;
        }
        held.bytes += len as usize;
        held.frames.push((index, len));
        Queued::Yes
    }

    /// Ends a fan-out: the table's own reference goes.
    pub(crate) fn finish(&mut self, index: FrameIndex) {
        self.frames.release(index);
    }

    #[inline]
    fn mark(&mut self, slot: u32, index: FrameIndex, len: u32, outbox_max: usize, urgency: Urgency) -> Queued {
        let queue = &mut self.queues[slot as usize];
        if queue.blocked {
            return self.mark_blocked(slot, index, len, outbox_max);
        }
        queue.frames.push(index);
        queue.owed += len;
        if queue.owed as usize > self.pending_max && !queue.heavy {
            queue.heavy = true;
            self.heavy += 1;
        }
        match (queue.mark, urgency) {
            (Mark::None | Mark::Second, Urgency::First) => {
                queue.mark = Mark::First;
                self.first.push_back(slot);
            }
            (Mark::None, Urgency::Second) => {
                queue.mark = Mark::Second;
                self.second.push_back(slot);
            }
            _ => {}
        }
        Queued::Yes
    }

    /// The same once the kernel takes no more.
    #[cold]
    fn mark_blocked(&mut self, slot: u32, index: FrameIndex, len: u32, outbox_max: usize) -> Queued {
        let queue = &mut self.queues[slot as usize];
        if queue.bound.is_set() && outbox_max < usize::MAX {
            return self.mark_bounded(slot, index, len);
        }
        if queue.owed > 0 && queue.owed as usize + len as usize > outbox_max {
            return Queued::Overflow;
        }
        queue.frames.push(index);
        queue.owed += len;
        Queued::Yes
    }

    /// The same where the connection has a bound of its own.
    fn mark_bounded(&mut self, slot: u32, index: FrameIndex, len: u32) -> Queued {
        let bound = self.queues[slot as usize].bound;
        let Some(limit) = self.bounds.find(bound) else { return Queued::Overflow };
        loop {
            let queue = &self.queues[slot as usize];
            // What has begun to leave does not wait any more.
            let waiting = queue.frames.len() - usize::from(queue.offset > 0);
            let fits = waiting == 0 || queue.owed as usize + len as usize <= limit.bytes;
            if waiting < limit.messages && fits {
                break;
            }
            match limit.full {
                Full::Close => return Queued::Overflow,
                Full::DropOldest if self.drop_oldest(slot) => self.bounds.count(bound, |tally| tally.dropped += 1),
                Full::Drop | Full::DropOldest => {
                    self.bounds.count(bound, |tally| tally.dropped += 1);
                    return Queued::Dropped;
                }
            }
        }
        let queue = &mut self.queues[slot as usize];
        queue.frames.push(index);
        queue.owed += len;
        Queued::Yes
    }

    /// Drops the event that has waited longest, unless its first bytes are gone. `false` if there is none.
    fn drop_oldest(&mut self, slot: u32) -> bool {
        let queue = &mut self.queues[slot as usize];
        let begun = usize::from(queue.offset > 0);
        let frames = &self.frames;
        let Some(place) = (begun..queue.frames.len()).find(|&place| frames.is_event(queue.frames[place])) else { return false };
        let index = queue.frames.remove(place);
        queue.owed -= self.frames.len(index, queue.format);
        self.frames.release(index);
        true
    }

    /// The format in which a connection takes events.
    #[inline]
    pub(crate) fn format(&self, slot: u32) -> Format {
        self.queues[slot as usize].format
    }

    /// Bytes owed to a connection.
    pub(crate) fn owed(&self, slot: u32) -> usize {
        self.queues[slot as usize].owed as usize
    }

    /// Whether the kernel has no room for what the connection is owed.
    pub(crate) fn is_blocked(&self, slot: u32) -> bool {
        self.queues[slot as usize].blocked
    }

    /// Whether some connection is owed more than the shard may put off: nothing new is taken in until it is written.
    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy > 0
    }

    /// Whether a connection waits to be written.
    pub(crate) fn has_marked(&self) -> bool {
        !self.first.is_empty() || !self.second.is_empty()
    }

    /// The next connection to write: of the urgent ones, or of the slice.
    pub(crate) fn next_marked(&mut self, urgency: Urgency) -> Option<u32> {
        let (list, mark) = match urgency {
            Urgency::First => (&mut self.first, Mark::First),
            Urgency::Second => (&mut self.second, Mark::Second),
        };
        loop {
            let slot = list.pop_front()?;
            // It may have been written through the other list, or have ended, meanwhile.
            let queue = &mut self.queues[slot as usize];
            if queue.mark == mark {
                queue.mark = Mark::None;
                return Some(slot);
            }
        }
    }

    /// Writes what the connection is owed: once, if the kernel takes it all.
    pub(crate) fn flush(&mut self, slot: u32, socket: &mut impl Write) -> Flushed {
        let mut progress = false;
        loop {
            let queue = &self.queues[slot as usize];
            if queue.frames.is_empty() {
                return self.flushed(slot, socket, progress);
            }
            let (offered, taken) = match self.write_once(slot, socket) {
                (offered, Ok(taken)) => (offered, taken),
                (_, Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                (offered, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => (offered, 0),
                (_, Err(error)) => return Flushed::Failed(error),
            };
            progress |= taken > 0;
            self.advance(slot, taken);
            if taken < offered {
                self.block(slot);
                return Flushed::Blocked { progress };
            }
        }
    }

    /// The queue is empty; a socket that encrypts may still hold something back.
    fn flushed(&mut self, slot: u32, socket: &mut impl Write, progress: bool) -> Flushed {
        match socket.flush() {
            Ok(()) => {
                let queue = &mut self.queues[slot as usize];
                queue.blocked = false;
                if queue.frames.spilled() {
                    queue.frames = SmallVec::new();
                }
                self.weigh(slot);
                Flushed::All
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.block(slot);
                Flushed::Blocked { progress }
            }
            Err(error) => Flushed::Failed(error),
        }
    }

    fn block(&mut self, slot: u32) {
        self.queues[slot as usize].blocked = true;
        self.weigh(slot);
    }

    /// Only what the kernel was not offered yet is our debt.
    fn weigh(&mut self, slot: u32) {
        let queue = &mut self.queues[slot as usize];
        let heavy = !queue.blocked && queue.owed as usize > self.pending_max;
        if queue.heavy && !heavy {
            queue.heavy = false;
            self.heavy -= 1;
        }
    }

    /// Offers the kernel what fits one write. Returns how much was offered and how much it took.
    fn write_once(&mut self, slot: u32, socket: &mut impl Write) -> (usize, io::Result<usize>) {
        let Self { queues, frames, cork, corked, .. } = self;
        let Queue { frames: run, offset, owed, format, .. } = &queues[slot as usize];
        let (offset, format) = (*offset as usize, *format);
        let first = &frames.bytes(run[0], format)[offset..];
        if run.len() == 1 {
            return (first.len(), socket.write(first));
        }
        if *owed as usize > CORK || first.len() > COPIED_FRAME_MAX {
            let mut slices: SmallVec<[IoSlice<'_>; SLICES]> = SmallVec::new();
            slices.push(IoSlice::new(first));
            slices.extend(run[1..].iter().take(SLICES - 1).map(|&index| IoSlice::new(frames.bytes(index, format))));
            let offered = slices.iter().map(|slice| slice.len()).sum();
            return (offered, socket.write_vectored(&slices));
        }
        if offset > 0 || corked.freed != frames.freed || corked.format != format || corked.run[..] != run[..] {
            cork.clear();
            cork.extend_from_slice(first);
            for &index in &run[1..] {
                cork.extend_from_slice(frames.bytes(index, format));
            }
            corked.run.clear();
            if offset == 0 {
                corked.run.extend_from_slice(run);
                (corked.format, corked.freed) = (format, frames.freed);
            }
        }
        (cork.len(), socket.write(cork))
    }

    /// Forgets `taken` bytes that the kernel has.
    fn advance(&mut self, slot: u32, taken: usize) {
        let Self { queues, frames, bounds, .. } = self;
        let queue = &mut queues[slot as usize];
        queue.owed -= taken as u32;
        let mut left = taken + queue.offset as usize;
        let (mut sent, mut events) = (0, 0);
        for &index in &queue.frames {
            let len = frames.len(index, queue.format) as usize;
            if left < len {
                break;
            }
            left -= len;
            sent += 1;
            if queue.bound.is_set() {
                events += u64::from(frames.is_event(index));
            }
            frames.release(index);
        }
        queue.frames.drain(..sent);
        queue.offset = left as u32;
        if events > 0 {
            bounds.count(queue.bound, |tally| tally.delivered += events);
        }
    }
}

/// The frames that queues refer to. Numbers are used again.
struct Frames {
    slots: Vec<Frame>,
    free: Vec<FrameIndex>,
    /// How many were freed so far.
    freed: u64,
    budget: Arc<Budget>,
}

struct Frame {
    content: Content,
    references: u32,
}

enum Content {
    Free,
    /// Shared with other shards; its encoded forms count against the budget by themselves.
    Event(Arc<Event>),
    Own(Bytes),
    /// An event in a form of one connection's own.
    OwnEvent(Bytes),
}

impl Frames {
    fn insert(&mut self, content: Content) -> FrameIndex {
        if let Content::Own(bytes) | Content::OwnEvent(bytes) = &content {
            self.budget.hold(bytes.len());
        }
        let frame = Frame { content, references: 1 };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = frame;
            return index;
        }
        self.slots.push(frame);
        FrameIndex::try_from(self.slots.len() - 1).expect("the byte budget holds fewer frames than 2^32")
    }

    /// Gives one reference back; the last frees the frame.
    fn release(&mut self, index: FrameIndex) {
        let frame = &mut self.slots[index as usize];
        frame.references -= 1;
        if frame.references > 0 {
            return;
        }
        if let Content::Own(bytes) | Content::OwnEvent(bytes) = std::mem::replace(&mut frame.content, Content::Free) {
            self.budget.release(bytes.len());
        }
        self.freed += 1;
        self.free.push(index);
        if self.free.len() == self.slots.len() && self.slots.len() > 1024 {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
    }

    fn is_event(&self, index: FrameIndex) -> bool {
        matches!(self.slots[index as usize].content, Content::Event(_) | Content::OwnEvent(_))
    }

    fn bytes(&self, index: FrameIndex, format: Format) -> &[u8] {
        match &self.slots[index as usize].content {
            Content::Event(event) => event.encoding(format as usize).map_or(&[], |bytes| bytes),
            Content::Own(bytes) | Content::OwnEvent(bytes) => bytes,
            Content::Free => &[],
        }
    }

    fn shared(&self, index: FrameIndex, format: Format) -> Bytes {
        match &self.slots[index as usize].content {
            Content::Event(event) => event.encoding(format as usize).cloned().unwrap_or_default(),
            Content::Own(bytes) | Content::OwnEvent(bytes) => bytes.clone(),
            Content::Free => Bytes::new(),
        }
    }

    fn len(&self, index: FrameIndex, format: Format) -> u32 {
        self.bytes(index, format).len() as u32
    }
}

#[cfg(test)]
mod tests;
