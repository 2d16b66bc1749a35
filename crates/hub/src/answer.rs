//! What the hub answers: to a subscribe, to a sign-in, to a question.

use crate::{Event, Member, Missed};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// What a subscriber finds when it joins: the channel as it is at one serial. What the channel's later events say fits to it without a gap or a repeat.
#[derive(Debug)]
pub struct Joined {
    /// The channel's serial at the join; the subscriber gets only later events.
    pub serial: u64,
    /// The members, the new one included, on a presence channel; for one that enrolled, those on the roll if it is open.
    pub members: Option<Arc<MemberList>>,
    /// What the channel remembers.
    pub cache: Cached,
    /// What a reader that came back has missed; nothing for others.
    pub missed: Missed,
}

/// What a channel remembers of its last event.
#[derive(Debug)]
pub enum Cached {
    /// It does not cache.
    Off,
    /// It caches and holds nothing.
    Miss,
    /// Its last event.
    Hit(Arc<Event>),
}

/// The members of a presence channel at one moment, shared by all who ask until somebody comes or goes.
#[derive(Debug, Default)]
pub struct MemberList {
    /// Distinct users, in no promised order; of a roll the connections, in the order in which they came.
    pub members: Vec<Arc<Member>>,
    encoded: [OnceLock<Bytes>; MEMBER_LISTS],
}

/// How many dialects keep their form of a list of members.
pub const MEMBER_LISTS: usize = 3;

impl MemberList {
    /// A list whose form nobody has asked for yet.
    #[must_use]
    pub fn new(members: Vec<Arc<Member>>) -> Self {
        Self { members, encoded: Default::default() }
    }

    /// A dialect's form of the list, made by `encode` the first time anybody asks. Each dialect has a slot below [`MEMBER_LISTS`].
    pub fn encoded(&self, slot: usize, encode: impl FnOnce(&[Arc<Member>]) -> Bytes) -> &Bytes {
        self.encoded[slot].get_or_init(|| encode(&self.members))
    }
}

/// Why the hub refuses a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The presence channel has all the members it may have.
    #[error("the channel already has {max} members; raise `limits.presence_members` or split the channel")]
    MembersFull {
        /// The app's limit.
        max: u32,
    },
    /// The connection has all the subscriptions it may have.
    #[error("this connection already has {max} subscriptions; raise `limits.subscriptions` or use another connection")]
    SubscriptionsFull {
        /// The app's limit.
        max: u32,
    },
    /// A fault left the channel unusable just now; subscribing again makes a new one.
    #[error("the channel was lost to an internal fault; subscribe again")]
    Lost,
}

/// Who of a watchlist is there when somebody signs in. Both lists keep the watchlist's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Signed in somewhere.
    pub online: Vec<Arc<str>>,
    /// Not signed in.
    pub offline: Vec<Arc<str>>,
}

/// How many are on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Subscribed connections.
    pub subscriptions: u32,
    /// Distinct members; 0 where there is no presence.
    pub members: u32,
}
