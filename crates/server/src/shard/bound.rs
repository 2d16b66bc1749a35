//! Bounds of what may wait for connections whose operator has set one, beside that of their app, and what becomes of more.

use super::Shard;
use crate::connection::Core;
use crate::node::Node;
use tidings_dialect::wspush::settings::Slow;

/// How much may wait for one connection once the kernel takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) full: Full,
}

/// What becomes of a message for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its connection is closed as slow.
    Close,
    /// It is dropped.
    Drop,
    /// The one that has waited longest is dropped.
    DropOldest,
}

/// What became of events for the connections of one bound, since somebody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The kernel has all of them.
    pub(crate) delivered: u64,
    /// There was no room.
    pub(crate) dropped: u64,
    /// The dialect had no words for them.
    pub(crate) unspeakable: u64,
}

/// Which bound holds for a connection; by default that of its app alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BoundIndex(u8);

/// The bounds that there are, each with its tally.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    list: Vec<(Bound, Tally)>,
    tallied: bool,
}

impl BoundIndex {
    /// The place in the list of bounds; those beyond the 255th share one.
    pub(crate) fn of(place: usize) -> Self {
        Self(u8::try_from(place + 1).unwrap_or(u8::MAX))
    }

    pub(crate) fn is_set(self) -> bool {
        self.0 > 0
    }

    fn place(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

impl Bounds {
    pub(crate) fn new(bounds: impl IntoIterator<Item = Bound>) -> Self {
        Self { list: bounds.into_iter().map(|bound| (bound, Tally::default())).collect(), tallied: false }
    }

    /// What relays allow to wait for their clients, in the order of the relays (W-7.2).
    pub(crate) fn of_relays(node: &Node) -> Self {
        Self::new(node.relays.iter().map(|relay| {
            let settings = &relay.session;
            let full = match settings.slow {
                Slow::Close => Full::Close,
                Slow::Drop => Full::Drop,
                Slow::DropOldest => Full::DropOldest,
            };
            Bound { messages: settings.queue_messages as usize, bytes: settings.queue_bytes, full }
        }))
    }

    pub(crate) fn find(&self, index: BoundIndex) -> Option<Bound> {
        self.list.get(index.place()?).map(|(bound, _)| *bound)
    }

    pub(crate) fn count(&mut self, index: BoundIndex, add: impl FnOnce(&mut Tally)) {
        if let Some((_, tally)) = index.place().and_then(|place| self.list.get_mut(place)) {
            add(tally);
            self.tallied = true;
        }
    }

    /// Takes what was counted, if anything was: the tallies in the order of the bounds.
    pub(crate) fn take(&mut self) -> Option<impl Iterator<Item = Tally>> {
        std::mem::take(&mut self.tallied).then(|| self.list.iter_mut().map(|(_, tally)| std::mem::take(tally)))
    }
}

impl Shard {
    /// Tells relays what became of the messages for their clients.
    pub(super) fn tally(&mut self) {
        let Core { outgoing, node, .. } = &mut self.core;
        let Some(tallies) = outgoing.bounds().take() else { return };
        for (relay, tally) in node.relays.iter().zip(tallies) {
            relay.counts.successful_deliveries.add(tally.delivered);
            relay.counts.dropped.add(tally.dropped);
            relay.counts.invalid_utf8.add(tally.unspeakable);
        }
    }
}
