//! Who listens to what on one shard: connection → channels, channel → dense array of connections. Nothing here is shared.

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;
use std::sync::Arc;
use tidings_dialect::action::Subscription;
use tidings_hub::{Channel, ChannelName, Member};

/// From so many subscriptions on, a connection's list is looked up by a map.
const INDEX_FROM: usize = 16;

type ById = HashMap<u64, u32, foldhash::fast::FixedState>;
type ByName = HashMap<ChannelName, u32, foldhash::quality::RandomState>;

/// The truth about who listens.
#[derive(Default)]
pub(crate) struct Table {
    channels: Slab<LocalChannel>,
    by_id: ById,
    /// By the slot of the connection.
    connections: Vec<Subscriptions>,
    subscriptions: usize,
    joins: u64,
    /// How connections that say so are told a channel's name, by slot and by the channel's number (Y-5.4).
    spellings: HashMap<(u32, u64), Arc<str>, foldhash::fast::FixedState>,
}

/// A channel with at least one subscriber here.
struct LocalChannel {
    hub: Arc<Channel>,
    subscribers: Vec<Subscriber>,
}

/// One subscriber of a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    /// The slot of its connection.
    pub(crate) slot: u32,
    /// Where the connection's list holds this subscription; in the highest bit whether it wants no notices, in the next whether it is told
    /// another spelling of the channel's name.
    entry_and_flags: u32,
    /// It gets events with later serials only.
    pub(crate) joined: u64,
}

/// A connection has fewer subscriptions than this; the bits are free.
const QUIET: u32 = 1 << 31;
const SPELLED: u32 = 1 << 30;
const FLAGS: u32 = QUIET | SPELLED;

impl Subscriber {
    /// Whether it is told of members that come and go, and of counts.
    pub(crate) fn wants_notices(self) -> bool {
        self.entry_and_flags & QUIET == 0
    }

    /// Whether it is told the channel's name in another spelling.
    #[inline]
    pub(crate) fn is_spelled(self) -> bool {
        self.entry_and_flags & SPELLED != 0
    }

    fn entry(self) -> usize {
        (self.entry_and_flags & !FLAGS) as usize
    }

    fn set_entry(&mut self, entry: u32) {
        self.entry_and_flags = self.entry_and_flags & FLAGS | entry;
    }
}

/// The channels of one connection.
#[derive(Default)]
struct Subscriptions {
    list: SmallVec<[Entry; 1]>,
    by_name: Option<Box<ByName>>,
}

struct Entry {
    channel: u32,
    place: u32,
    /// Its place among all joins of the shard; in this order a connection's channels are listed.
    order: u64,
    member: Option<Arc<Member>>,
}

/// What a connection had, handed back when it leaves.
pub(crate) struct Left {
    pub(crate) channel: Arc<Channel>,
    pub(crate) member: Option<Arc<Member>>,
}

impl Table {
    /// Makes room for a connection's list.
    pub(crate) fn reserve(&mut self, slot: usize) {
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, Subscriptions::default);
        }
    }

    /// Puts a connection, which is not on it yet, on a channel.
    pub(crate) fn join(&mut self, slot: u32, channel: &Arc<Channel>, joined: u64, member: Option<Arc<Member>>, notices: bool) {
        let channels = &mut self.channels;
        let local = *self.by_id.entry(channel.id).or_insert_with(|| {
            let channel = LocalChannel { hub: Arc::clone(channel), subscribers: Vec::new() };
            u32::try_from(channels.insert(channel)).expect("a shard has fewer channels than connections can name")
        });
        let subscribers = &mut self.channels[local as usize].subscribers;
        let list = &mut self.connections[slot as usize];
        let entry = list.list.len() as u32;
        list.list.push(Entry { channel: local, place: subscribers.len() as u32, order: self.joins, member });
        self.joins += 1;
        subscribers.push(Subscriber { slot, entry_and_flags: entry | if notices { 0 } else { QUIET }, joined });
        self.subscriptions += 1;
        if let Some(by_name) = &mut list.by_name {
            by_name.insert(channel.name.clone(), entry);
        } else if list.list.len() > INDEX_FROM {
            let name = |entry: &Entry| self.channels[entry.channel as usize].hub.name.clone();
            list.by_name = Some(Box::new(list.list.iter().zip(0..).map(|(entry, at)| (name(entry), at)).collect()));
        }
    }

    /// Takes a connection off a channel; `None` if it is not on it.
    pub(crate) fn leave(&mut self, slot: u32, name: &str) -> Option<Left> {
        let entry = self.position(slot, name)?;
        Some(self.remove(slot, entry))
    }

    /// Takes a connection off one of its channels, the last it joined; `None` if it is on none.
    pub(crate) fn leave_last(&mut self, slot: u32) -> Option<Left> {
        let entry = self.connections.get(slot as usize)?.list.len().checked_sub(1)?;
        Some(self.remove(slot, entry))
    }

    fn remove(&mut self, slot: u32, entry: usize) -> Left {
        let connection = &mut self.connections[slot as usize];
        let Entry { channel: local, place, member, .. } = connection.list.swap_remove(entry);
        if connection.list.is_empty() {
            *connection = Subscriptions::default();
        }
        if let Some(moved) = connection.list.get(entry) {
            let channel = &mut self.channels[moved.channel as usize];
            channel.subscribers[moved.place as usize].set_entry(entry as u32);
            if let Some(by_name) = &mut connection.by_name {
                by_name.insert(channel.hub.name.clone(), entry as u32);
            }
        }
        let LocalChannel { hub, subscribers } = &mut self.channels[local as usize];
        if let Some(by_name) = &mut connection.by_name {
            by_name.remove(&hub.name);
        }
        let channel = Arc::clone(hub);
        if subscribers.swap_remove(place as usize).is_spelled() {
            self.spellings.remove(&(slot, channel.id));
        }
        if let Some(moved) = subscribers.get(place as usize) {
            self.connections[moved.slot as usize].list[moved.entry()].place = place;
        }
        if subscribers.is_empty() {
            self.by_id.remove(&channel.id);
            self.channels.remove(local as usize);
        } else if subscribers.len() < subscribers.capacity() / 4 {
            subscribers.shrink_to(subscribers.len() * 2);
        }
        self.subscriptions -= 1;
        if self.channels.is_empty() {
            // A crowd that left should not leave its memory behind.
            self.channels = Slab::new();
            self.by_id = ById::default();
        }
        Left { channel, member }
    }

    /// Changes what a connection is on a channel; `None` if it is not on it. Returns the channel and what it was.
    pub(crate) fn replace(&mut self, slot: u32, name: &str, member: Option<Arc<Member>>, notices: bool) -> Option<Option<Arc<Member>>> {
        let entry = self.position(slot, name)?;
        let entry = &mut self.connections[slot as usize].list[entry];
        let subscriber = &mut self.channels[entry.channel as usize].subscribers[entry.place as usize];
        subscriber.entry_and_flags = subscriber.entry_and_flags & !QUIET | if notices { 0 } else { QUIET };
        Some(std::mem::replace(&mut entry.member, member))
    }

    /// From here on a connection is told the name of a channel that it is on like this.
    pub(crate) fn spell(&mut self, slot: u32, name: &str, spelling: Arc<str>) {
        let Some(entry) = self.position(slot, name) else { return };
        let entry = &self.connections[slot as usize].list[entry];
        let channel = &mut self.channels[entry.channel as usize];
        channel.subscribers[entry.place as usize].entry_and_flags |= SPELLED;
        self.spellings.insert((slot, channel.hub.id), spelling);
    }

    /// How a connection is told the name of a channel, if in another way than all others.
    pub(crate) fn spelling(&self, slot: u32, channel_id: u64) -> Option<&Arc<str>> {
        self.spellings.get(&(slot, channel_id))
    }

    /// The hub's channel and the connection's member there, if the connection is on it.
    pub(crate) fn on(&self, slot: u32, name: &str) -> Option<(&Arc<Channel>, Option<&Arc<Member>>)> {
        let entry = &self.connections[slot as usize].list[self.position(slot, name)?];
        Some((&self.channels[entry.channel as usize].hub, entry.member.as_ref()))
    }

    /// The serial after which a connection gets the events of a channel, if it is on it.
    pub(crate) fn joined(&self, slot: u32, name: &str) -> Option<u64> {
        let entry = &self.connections[slot as usize].list[self.position(slot, name)?];
        Some(self.channels[entry.channel as usize].subscribers[entry.place as usize].joined)
    }

    /// The channels of a connection in the order in which it joined them, with its members there.
    pub(crate) fn list(&self, slot: u32) -> Vec<(&Arc<Channel>, Option<&Arc<Member>>)> {
        let mut entries: Vec<_> = self.connections.get(slot as usize).map_or(&[][..], |connection| &connection.list).iter().collect();
        entries.sort_unstable_by_key(|entry| entry.order);
        entries.into_iter().map(|entry| (&self.channels[entry.channel as usize].hub, entry.member.as_ref())).collect()
    }

    /// The subscribers of a channel here.
    pub(crate) fn subscribers(&self, channel_id: u64) -> &[Subscriber] {
        self.by_id.get(&channel_id).map_or(&[], |&local| &self.channels[local as usize].subscribers)
    }

    /// The name of a channel that somebody here is on.
    pub(crate) fn name(&self, channel_id: u64) -> Option<&ChannelName> {
        self.by_id.get(&channel_id).map(|&local| &self.channels[local as usize].hub.name)
    }

    /// How many channels a connection is on.
    pub(crate) fn count(&self, slot: u32) -> usize {
        self.connections.get(slot as usize).map_or(0, |connection| connection.list.len())
    }

    /// How many subscriptions there are.
    pub(crate) fn len(&self) -> usize {
        self.subscriptions
    }

    /// The connection's subscription to the channel of that name.
    pub(crate) fn find(&self, slot: u32, name: &str) -> Option<Subscription<'_>> {
        let entry = self.position(slot, name)?;
        let entry = &self.connections[slot as usize].list[entry];
        Some(Subscription { channel: &self.channels[entry.channel as usize].hub.name, member: entry.member.as_ref() })
    }

    fn position(&self, slot: u32, name: &str) -> Option<usize> {
        let connection = self.connections.get(slot as usize)?;
        match &connection.by_name {
            Some(by_name) => by_name.get(name).map(|&entry| entry as usize),
            None => connection.list.iter().position(|entry| self.channels[entry.channel as usize].hub.name.as_str() == name),
        }
    }
}

#[cfg(test)]
mod tests;
