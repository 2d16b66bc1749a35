//! The table against a list of pairs.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidings_hub::{App, Budget, Hub, Inbox, Options, SocketId, Time};

/// Channels of a hub that nobody else uses.
fn channels(count: usize) -> Vec<Arc<Channel>> {
    let inboxes = vec![Arc::new(Inbox::new(1, || {}))];
    let hub = Hub::new(Options { epoch: 0, hash_seed: 0, inboxes, facts_max: 1, budget: Arc::new(Budget::new(0)), recent_bytes_max: 0 });
    let app = Arc::new(App::new("1", "key", "secret"));
    let channels = hub.app(&app);
    let socket = SocketId::new(0, 0, [0; 16]);
    let join = |place| channels.subscribe(&app, &ChannelName::parse(&format!("c{place}")).unwrap(), socket, None, None, Time::ZERO);
    (0..count).map(|place| join(place).unwrap().0).collect()
}

/// The serial at the join, and the member.
type Membership = (u64, Option<Arc<Member>>);

/// A table, and what it should hold: by connection, the channel's place with the serial and the user of the join.
struct Pair {
    channels: Vec<Arc<Channel>>,
    table: Table,
    model: BTreeMap<(u32, usize), Membership>,
    serial: u64,
}

impl Pair {
    fn new(channels: usize, connections: usize) -> Self {
        let mut table = Table::default();
        table.reserve(connections - 1);
        Self { channels: self::channels(channels), table, model: BTreeMap::new(), serial: 0 }
    }

    /// Joins, or leaves where it is on the channel already.
    fn toggle(&mut self, slot: u32, channel: usize) {
        self.serial += 1;
        if let Some((_, member)) = self.model.remove(&(slot, channel)) {
            let left = self.table.leave(slot, self.channels[channel].name.as_str()).expect("it is on it");
            assert!(Arc::ptr_eq(&left.channel, &self.channels[channel]));
            assert_eq!(left.member, member);
        } else {
            let member = self.serial.is_multiple_of(2).then(|| Arc::new(Member::new(format!("u{}", self.serial))));
            let notices = self.serial.is_multiple_of(3);
            self.table.join(slot, &self.channels[channel], self.serial, member.clone(), notices);
            self.model.insert((slot, channel), (self.serial, member));
        }
        assert!(self.table.leave(slot, "no such channel").is_none());
    }

    fn leave_all(&mut self, slot: u32) {
        while let Some(left) = self.table.leave_last(slot) {
            let channel = self.channels.iter().position(|channel| Arc::ptr_eq(channel, &left.channel)).unwrap();
            let (_, member) = self.model.remove(&(slot, channel)).expect("it was on it");
            assert_eq!(left.member, member);
        }
    }

    fn compare(&self, connections: u32) {
        assert_eq!(self.table.len(), self.model.len());
        for slot in 0..connections {
            let mut in_order: Vec<_> = self.model.iter().filter(|((other, _), _)| *other == slot).collect();
            in_order.sort_unstable_by_key(|(_, (serial, _))| *serial);
            let in_order: Vec<_> = in_order.into_iter().map(|((_, channel), _)| self.channels[*channel].id).collect();
            assert_eq!(self.table.list(slot).iter().map(|(channel, _)| channel.id).collect::<Vec<_>>(), in_order);
            assert_eq!(self.table.count(slot), self.model.keys().filter(|(other, _)| *other == slot).count());
            for (place, channel) in self.channels.iter().enumerate() {
                let found = self.table.find(slot, channel.name.as_str()).map(|found| (found.channel.clone(), found.member.cloned()));
                let expected = self.model.get(&(slot, place)).map(|(_, member)| (channel.name.clone(), member.clone()));
                assert_eq!(found, expected, "{slot} on {place}");
            }
        }
        for (place, channel) in self.channels.iter().enumerate() {
            let mut subscribers: Vec<_> = self.table.subscribers(channel.id).iter().map(|one| (one.slot, one.joined)).collect();
            subscribers.sort_unstable();
            assert!(self.table.subscribers(channel.id).iter().all(|one| one.wants_notices() == one.joined.is_multiple_of(3)));
            assert!(
                self.table.subscribers(channel.id).iter().all(|one| self.table.joined(one.slot, channel.name.as_str()) == Some(one.joined))
            );
            let expected: Vec<_> =
                self.model.iter().filter(|((_, other), _)| *other == place).map(|((slot, _), (joined, _))| (*slot, *joined)).collect();
            assert_eq!(subscribers, expected, "on {place}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// More channels than [`INDEX_FROM`], few enough connections that each is on many.
    #[test]
    fn any_life_goes_as_the_list_says(steps in prop::collection::vec((0..4_u32, 0..24_usize, 0..40_u8), 1..200)) {
        let mut pair = Pair::new(24, 4);
        for (slot, channel, chance) in steps {
            if chance == 0 {
                pair.leave_all(slot);
            } else {
                pair.toggle(slot, channel);
            }
            pair.compare(4);
        }
        for slot in 0..4 {
            pair.leave_all(slot);
        }
        pair.compare(4);
        prop_assert!(pair.table.channels.is_empty() && pair.table.by_id.is_empty());
    }
}

/// The list is looked up by a map from a certain length on, and by itself again once it was empty.
#[test]
fn a_long_list_has_an_index() {
    let mut pair = Pair::new(3 * INDEX_FROM, 2);
    for channel in 0..3 * INDEX_FROM {
        pair.toggle(1, channel);
        assert_eq!(pair.table.connections[1].by_name.is_some(), channel >= INDEX_FROM, "{channel}");
        pair.compare(2);
    }
    for channel in (0..3 * INDEX_FROM).step_by(2) {
        pair.toggle(1, channel);
        pair.compare(2);
    }
    pair.leave_all(1);
    assert!(pair.table.connections[1].by_name.is_none() && !pair.table.connections[1].list.spilled());
}

/// A crowd that left gives its memory back.
#[test]
fn a_channel_shrinks_with_its_subscribers() {
    let mut pair = Pair::new(1, 1000);
    (0..1000).for_each(|slot| pair.toggle(slot, 0));
    (0..999).for_each(|slot| pair.toggle(slot, 0));
    let (_, channel) = pair.table.channels.iter().next().unwrap();
    assert!(channel.subscribers.capacity() <= 8, "{}", channel.subscribers.capacity());
    pair.compare(1000);
}

#[test]
fn a_connection_that_never_joined_is_on_nothing() {
    let mut table = Table::default();
    assert!(table.leave(7, "c").is_none() && table.leave_last(7).is_none() && table.find(7, "c").is_none());
    assert_eq!((table.count(7), table.len(), table.subscribers(1).len()), (0, 0, 0));
}

/// What a subscription costs here: on both sides.
#[test]
fn sizes_are_known() {
    assert_eq!((size_of::<Subscriptions>(), size_of::<Entry>(), size_of::<Subscriber>()), (40, 24, 16));
}
