//! From what the hub has for a shard to what its connections are owed.

use super::Shard;
use super::outgoing::{Outgoing, Queued, Urgency};
use super::table::Subscriber;
use crate::connection::{Connection, Core, Verdict};
use crate::wire::{Encoder, Format, SHARED};
use bytes::Bytes;
use hashbrown::HashSet;
use slab::Slab;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tidings_dialect::action::Input;
use tidings_hub::{Body, ChannelName, Event, Sent, SocketId};

/// The slots that had an event of the publish already, where a dialect wants each publish once.
type Served = HashSet<u32, foldhash::fast::FixedState>;

/// Marks a slot among the overflowed as hit by a fault.
const FAULT: u32 = 1 << 31;

/// An event that could not be encoded.
struct Unencoded;

/// One event on its way to the connections.
struct FanOut<'a> {
    event: &'a Arc<Event>,
    outgoing: &'a mut Outgoing,
    encoder: &'a mut Encoder,
    overflowed: &'a mut Vec<u32>,
    served: Option<&'a mut Served>,
    outbox_max: usize,
    urgency: Urgency,
    index: u32,
    lens: [Option<u32>; SHARED],
    deliveries: u64,
    unspeakable: u64,
    /// Who is told another spelling of the channel's name.
    spelled: Vec<u32>,
    /// Whose sessions write it themselves.
    own: Vec<u32>,
}

impl Shard {
    /// Owes an event to each subscriber of its channel here, and to `sockets`.
    pub(super) fn fan_out(&mut self, event: &Arc<Event>, sockets: &[SocketId]) {
        self.fan_out_once(event, sockets, None);
        self.close_overflowed();
    }

    /// Owes the events of one publish, of which some connections get the first only that is for them (I-2.14).
    pub(super) fn fan_out_each(&mut self, list: &[Sent]) {
        let mut served = Served::default();
        for sent in list {
            self.fan_out_once(&sent.event, &sent.sockets, Some(&mut served));
        }
        self.close_overflowed();
    }

    fn fan_out_once(&mut self, event: &Arc<Event>, sockets: &[SocketId], served: Option<&mut Served>) {
        let Core { table, outgoing, stats, node, number, .. } = &mut self.core;
        let subscribers = table.subscribers(event.channel_id);
        let first = subscribers.first().map(|subscriber| subscriber.slot).or_else(|| sockets.first().map(|socket| socket.place() as u32));
        let Some(first) = first else { return };
        let outbox_max = self.connections.get(first as usize).map_or(usize::MAX, Connection::outbox_max);
        let urgency = if subscribers.len() <= node.limits.slice_connections { Urgency::First } else { Urgency::Second };
        let except = event.origin.filter(|origin| origin.shard() == *number).and_then(|origin| slot_of(&self.connections, origin));
        let notice = !matches!(event.body, Body::Published { .. });
        let index = outgoing.begin(Arc::clone(event));
        let (encoder, overflowed) = (&mut self.encoder, &mut self.overflowed);
        let lens = [None; SHARED];
        let mut fan_out = FanOut {
            event,
            outgoing,
            encoder,
            overflowed,
            served,
            outbox_max,
            urgency,
            index,
            lens,
            deliveries: 0,
            unspeakable: 0,
            spelled: Vec::new(),
            own: Vec::new(),
        };
        for subscriber in subscribers {
            let passed_over = subscriber.joined >= event.serial || except == Some(subscriber.slot) || notice && !subscriber.wants_notices();
            if !passed_over {
                fan_out.owe_to(*subscriber);
            }
        }
        for slot in sockets.iter().filter_map(|socket| slot_of(&self.connections, *socket)) {
            let subscribed = table.joined(slot, event.channel.as_str()).is_some_and(|joined| joined < event.serial);
            if !subscribed && except != Some(slot) {
                fan_out.owe(slot);
            }
        }
        for slot in std::mem::take(&mut fan_out.spelled) {
            if let Some(spelling) = table.spelling(slot, event.channel_id) {
                fan_out.owe_spelled(slot, spelling);
            }
        }
        for slot in std::mem::take(&mut fan_out.own) {
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                fan_out.owe_own(slot, |event| connection.own_form(event));
            }
        }
        stats.deliveries.add(fan_out.deliveries);
        if !notice {
            stats.unspeakable.add(fan_out.unspeakable);
        }
        outgoing.finish(index);
    }

    fn close_overflowed(&mut self) {
        for slot in std::mem::take(&mut self.overflowed) {
            let (slot, fault) = (slot & !FAULT, slot & FAULT != 0);
            self.call(slot, |connection, core, _| {
                if fault {
                    connection.fault(core)
                } else {
                    connection.too_slow(core)
                }
                Verdict::Keep
            });
            self.flush(slot);
        }
    }

    /// Tells those who are on a channel that follows others that it follows one more, or one less.
    pub(super) fn follow(&mut self, channel_id: u64, alias: &ChannelName, added: bool) {
        let slots: Vec<_> = self.core.table.subscribers(channel_id).iter().map(|subscriber| subscriber.slot).collect();
        let Some(channel) = self.core.table.name(channel_id).cloned() else { return };
        for slot in slots {
            self.call(slot, |connection, core, _| {
                connection.step(Input::Follow { channel: &channel, alias, added }, core);
                Verdict::Keep
            });
        }
    }

    /// Closes all subscribers of a channel that a fault left unusable: they would miss what they cannot know of.
    pub(super) fn lose(&mut self, channel_id: u64) {
        let slots: Vec<_> = self.core.table.subscribers(channel_id).iter().map(|subscriber| subscriber.slot).collect();
        for slot in slots {
            self.call(slot, |connection, core, _| {
                connection.fault(core);
                Verdict::Keep
            });
        }
    }
}

impl FanOut<'_> {
    #[inline]
    fn owe_to(&mut self, subscriber: Subscriber) {
        if subscriber.is_spelled() {
            self.spelled.push(subscriber.slot);
        } else {
            self.owe(subscriber.slot);
        }
    }

    /// Owes the event in a form of the connection's own, such as with another spelling of the channel's name (Y-5.4).
    #[cold]
    fn owe_spelled(&mut self, slot: u32, spelling: &str) {
        let format = self.outgoing.format(slot);
        let made = catch_unwind(AssertUnwindSafe(|| self.encoder.spelled(self.event, spelling, format)));
        self.owe_made(slot, made);
    }

    /// Owes the event as the connection's own session writes it.
    #[cold]
    fn owe_own(&mut self, slot: u32, write: impl FnOnce(&Event) -> Option<Bytes>) {
        let made = catch_unwind(AssertUnwindSafe(|| write(self.event)));
        self.owe_made(slot, made);
    }

    fn owe_made(&mut self, slot: u32, made: std::thread::Result<Option<Bytes>>) {
        match made {
            Ok(None) => self.count_unspeakable(slot),
            Ok(Some(bytes)) => match self.outgoing.push_event(slot, bytes, self.outbox_max) {
                Queued::Yes => self.deliveries += 1,
                Queued::Overflow => self.overflowed.push(slot),
                Queued::Dropped => {}
            },
            Err(_) => self.overflowed.push(slot | FAULT),
        }
    }

    #[inline]
    fn owe(&mut self, slot: u32) {
        let format = self.outgoing.format(slot);
        let len = match self.lens.get(format as usize) {
            Some(Some(len)) => *len,
            None if format == Format::Own => return self.own.push(slot),
            None => return self.owe_spelled(slot, self.event.channel.as_str()),
            Some(None) => match encode(self.encoder, self.event, format) {
                Ok(len) => *self.lens[format as usize].insert(len),
                Err(Unencoded) => return self.overflowed.push(slot | FAULT),
            },
        };
        if len == 0 {
            return self.count_unspeakable(slot);
        }
        if self.served.is_some() && self.was_served(slot, format) {
            return;
        }
        match self.outgoing.mark_event(slot, self.index, len, self.outbox_max, self.urgency) {
            Queued::Yes => self.deliveries += 1,
            Queued::Overflow => self.overflowed.push(slot),
            Queued::Dropped => {}
        }
    }

    /// Notes that the dialect has no words for the event. An empty one that is no block of a stream is no fault (W-6.7).
    fn count_unspeakable(&mut self, slot: u32) {
        self.unspeakable += 1;
        if matches!(&self.event.body, Body::Published { data, .. } if !data.is_empty()) {
            self.outgoing.count_unspeakable(slot);
        }
    }

    /// Whether the connection had an event of the publish before, and is not to have another.
    #[cold]
    fn was_served(&mut self, slot: u32, format: Format) -> bool {
        format.has_each_publish_once() && self.served.as_mut().is_some_and(|served| !served.insert(slot))
    }
}

/// The slot of a connection, if it is still there.
fn slot_of(connections: &Slab<Connection>, socket: SocketId) -> Option<u32> {
    let found = connections.get(socket.place()).filter(|connection| connection.socket_id() == Some(socket));
    found.map(|connection| connection.slot)
}

/// The length of the event's frame in `format`, which is made if nobody has. 0 if the dialect cannot say it.
fn encode(encoder: &mut Encoder, event: &Event, format: Format) -> Result<u32, Unencoded> {
    catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        crate::fault::strike(crate::fault::Place::Encode);
        encoder.encode(event, format).len() as u32
    }))
    .map_err(|_| Unencoded)
}
