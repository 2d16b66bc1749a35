//! Who listens to what on one shard: connection → channels, channel → dense array of connections. Nothing here is shared.

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;
use std::sync::Arc;
use tidings_dialect::action::Subscription;
use tidings_hub::{Channel, ChannelName};

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
    /// Where the connection's list holds this subscription.
    entry: u32,
    /// It gets events with later serials only.
    pub(crate) joined: u64,
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
    user_id: Option<Arc<str>>,
}

/// What a connection had, handed back when it leaves.
pub(crate) struct Left {
    pub(crate) channel: Arc<Channel>,
    pub(crate) user_id: Option<Arc<str>>,
}

impl Table {
    /// Makes room for a connection's list.
    pub(crate) fn reserve(&mut self, slot: usize) {
        if self.connections.len() <= slot {
            self.connections.resize_with(slot + 1, Subscriptions::default);
        }
    }

    /// Puts a connection, which is not on it yet, on a channel.
    pub(crate) fn join(&mut self, slot: u32, channel: &Arc<Channel>, joined: u64, user_id: Option<Arc<str>>) {
        let channels = &mut self.channels;
        let local = *self.by_id.entry(channel.id).or_insert_with(|| {
            let channel = LocalChannel { hub: Arc::clone(channel), subscribers: Vec::new() };
            u32::try_from(channels.insert(channel)).expect("a shard has fewer channels than connections can name")
        });
        let subscribers = &mut self.channels[local as usize].subscribers;
        let list = &mut self.connections[slot as usize];
        let entry = list.list.len() as u32;
        list.list.push(Entry { channel: local, place: subscribers.len() as u32, user_id });
        subscribers.push(Subscriber { slot, entry, joined });
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
        let Entry { channel: local, place, user_id } = connection.list.swap_remove(entry);
        if connection.list.is_empty() {
            *connection = Subscriptions::default();
        }
        if let Some(moved) = connection.list.get(entry) {
            let channel = &mut self.channels[moved.channel as usize];
            channel.subscribers[moved.place as usize].entry = entry as u32;
            if let Some(by_name) = &mut connection.by_name {
                by_name.insert(channel.hub.name.clone(), entry as u32);
            }
        }
        let LocalChannel { hub, subscribers } = &mut self.channels[local as usize];
        if let Some(by_name) = &mut connection.by_name {
            by_name.remove(&hub.name);
        }
        let channel = Arc::clone(hub);
        subscribers.swap_remove(place as usize);
        if let Some(moved) = subscribers.get(place as usize) {
            self.connections[moved.slot as usize].list[moved.entry as usize].place = place;
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
        Left { channel, user_id }
    }

    /// The subscribers of a channel here.
    pub(crate) fn subscribers(&self, channel_id: u64) -> &[Subscriber] {
        self.by_id.get(&channel_id).map_or(&[], |&local| &self.channels[local as usize].subscribers)
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
        Some(Subscription { channel: &self.channels[entry.channel as usize].hub.name, user_id: entry.user_id.as_ref() })
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
