//! What is published, what the hub makes of it, and the encoded forms that all its subscribers share.

use crate::{ChannelName, SocketId, UnixTime};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How many encoded forms of an event can be kept.
pub const ENCODINGS: usize = 16;
/// How many of them, the first, have a place in every event.
const COMMON: usize = 4;

/// A request to publish one event on one or more channels of an app. Whoever builds it has checked sizes and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The channels, in the order that decides where [`Publish::once`] holds. One that is named again is stored again, and no more.
    pub channels: SmallVec<[ChannelName; 1]>,
    /// The event's name.
    pub name: Arc<str>,
    /// The event's data, usually text.
    pub data: Bytes,
    /// The connection that must not get it.
    pub origin: Option<SocketId>,
    /// Who publishes.
    pub source: Source,
    /// To be stored before anybody gets it, under these marks; `None` if it is not to last.
    pub stamps: Option<Stamps>,
    /// Further members of the event where a dialect's frames can carry them: a JSON text without its braces.
    pub extras: Option<Bytes>,
    /// Connections of dialects that say so get it once, by the first channel of the list that they are on.
    pub once: bool,
}

impl Publish {
    /// An event of a server on one channel, not stored.
    #[must_use]
    pub fn new(channel: ChannelName, name: Arc<str>, data: Bytes) -> Self {
        let channels = SmallVec::from_iter([channel]);
        Self { channels, name, data, origin: None, source: Source::Server, stamps: None, extras: None, once: false }
    }
}

/// What tells the stored events of one publish from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps {
    /// When it was published.
    pub at: UnixTime,
    /// An id for each channel, in their order.
    pub mids: SmallVec<[u128; 1]>,
}

/// What tells one stored event from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its id.
    pub mid: u128,
    /// When it was published.
    pub at: UnixTime,
}

/// What few events have beside name and data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its marks in the store.
    pub stamp: Option<Stamp>,
    /// See [`Publish::extras`].
    pub extras: Option<Bytes>,
}

/// Who publishes an event: only a server's events are cached, only a client's become a fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An API or an engine that holds a secret.
    Server,
    /// A subscriber, with its member id on a presence channel.
    Client {
        /// The sender, whether or not it gets its own event.
        socket: SocketId,
        /// The sender's member id.
        user_id: Option<Arc<str>>,
    },
}

/// A member of a presence channel: a user, however many connections it has. Or, if it is enrolled, one connection for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Identifies the user.
    pub user_id: Arc<str>,
    /// What the user's application says of it: a JSON text, taken as it is.
    pub user_info: Option<Bytes>,
    /// All that was said as the member came, its id included, where there is more to it: the JSON text of an object.
    pub object: Option<Bytes>,
    /// Whether it wants a private channel with each other member.
    pub peer: bool,
    /// Set if this is an entry of a channel's roll, which lists connections, whatever the channel's name (Y-8). Nobody else sees it.
    pub enrolment: Option<Enrolment>,
}

/// What a connection brings to a channel's roll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Whether it has the roll shown.
    pub opens: Opens,
    /// How it writes the channel's name, if the first one's way is to hold for all.
    pub spelling: Option<Arc<str>>,
}

/// Whether a connection has those on the roll see each other, until the last one of them has left (Y-8.1, Y-8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// It does not.
    Never,
    /// It does if it is the first.
    IfFirst,
    /// It does.
    Always,
}

impl Member {
    /// A member of whom only the id is known.
    #[must_use]
    pub fn new(user_id: impl Into<Arc<str>>) -> Self {
        Self { user_id: user_id.into(), user_info: None, object: None, peer: false, enrolment: None }
    }

    fn bytes(&self) -> usize {
        self.user_info.as_ref().map_or(0, Bytes::len) + self.object.as_ref().map_or(0, Bytes::len)
    }
}

/// Something that happened on a channel, at its place in the channel's one order.
#[derive(Debug)]
pub struct Event {
    /// Where.
    pub channel: ChannelName,
    /// The hub's number for the channel; never used again.
    pub channel_id: u64,
    /// Its place in the channel's order.
    pub serial: u64,
    /// The connection that must not get it.
    pub origin: Option<SocketId>,
    /// What.
    pub body: Body,
    encodings: [OnceLock<Bytes>; COMMON],
    /// Forms that few events have.
    rare: OnceLock<Box<[OnceLock<Bytes>; ENCODINGS - COMMON]>>,
    charge: Charge,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Body {
    /// An event was published.
    Published {
        /// Its name.
        name: Arc<str>,
        /// Its data.
        data: Bytes,
        /// Who published it.
        source: Source,
        /// What few events have.
        attached: Option<Box<Attached>>,
    },
    /// A user came into a presence channel.
    MemberAdded(Arc<Member>),
    /// The last connection of a user left it; that connection's own member.
    MemberRemoved(Arc<Member>),
    /// A connection was put on the channel's roll.
    Enrolled(Arc<Member>),
    /// A connection was struck off the channel's roll.
    Struck(Arc<Member>),
    /// The number of subscribers changed.
    SubscriptionCount(u32),
    /// Events may have been lost before they came here, whoever is to blame.
    Gap,
}

impl Event {
    /// An event at its place, counted against `budget` until it is dropped.
    #[must_use]
    pub fn new(channel: ChannelName, channel_id: u64, serial: u64, origin: Option<SocketId>, body: Body, budget: &Arc<Budget>) -> Self {
        let bytes = match &body {
            Body::Published { data, attached, .. } => data.len() + attached.as_ref().map_or(0, |attached| attached.bytes()),
            Body::MemberAdded(member) | Body::MemberRemoved(member) => member.bytes(),
            Body::Enrolled(member) | Body::Struck(member) => member.bytes(),
            Body::SubscriptionCount(_) | Body::Gap => 0,
        };
        let charge = Charge::new(budget, bytes + size_of::<Self>());
        let encodings = [const { OnceLock::new() }; COMMON];
        Self { channel, channel_id, serial, origin, body, encodings, rare: OnceLock::new(), charge }
    }

    /// The encoded form in `slot`, made by `encode` the first time anybody asks. A panic in `encode` leaves the slot empty.
    pub fn encoded(&self, slot: usize, encode: impl FnOnce() -> Bytes) -> &Bytes {
        let place = match self.encodings.get(slot) {
            Some(place) => place,
            None => &self.rare.get_or_init(Box::default)[slot - COMMON],
        };
        place.get_or_init(|| {
            let bytes = encode();
            self.charge.grow(bytes.len());
            bytes
        })
    }
}

impl Attached {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.extras.as_ref().map_or(0, Bytes::len)
    }
}

impl Event {
    /// The marks of a stored event.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        match &self.body {
            Body::Published { attached: Some(attached), .. } => attached.stamp,
            _ => None,
        }
    }

    /// The encoded form in `slot`, if somebody made it.
    #[must_use]
    pub fn encoding(&self, slot: usize) -> Option<&Bytes> {
        match self.encodings.get(slot) {
            Some(place) => place.get(),
            None => self.rare.get()?[slot - COMMON].get(),
        }
    }
}

/// How many bytes the node holds in events and queues, against what it may hold. Each buffer counts once, when made and when dropped.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    events: AtomicUsize,
    max: usize,
}

impl Budget {
    /// An empty budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), events: AtomicUsize::new(0), max }
    }

    /// Bytes held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }

    /// Events alive now.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }

    /// Whether new work should be refused.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used() >= self.max
    }

    /// Counts `bytes` that somebody holds until [`Budget::release`].
    pub fn hold(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what [`Budget::hold`] counted.
    pub fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An event's part of the budget, given back when the event goes.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Charge {
    fn new(budget: &Arc<Budget>, bytes: usize) -> Self {
        budget.hold(bytes);
        budget.events.fetch_add(1, Ordering::Relaxed);
        Self { budget: Arc::clone(budget), bytes: AtomicUsize::new(bytes) }
    }

    fn grow(&self, bytes: usize) {
        self.budget.hold(bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(*self.bytes.get_mut());
        self.budget.events.fetch_sub(1, Ordering::Relaxed);
    }
}
