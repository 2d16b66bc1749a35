//! The hub: all apps' channels, and the timers that run them.

use crate::shared::Shared;
use crate::{App, AppId, Budget, Channels, FactQueue, Inbox, Time};
use hashbrown::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What a hub is made of.
#[derive(Debug)]
pub struct Options {
    /// Tells this hub's serials from those of any other; with a serial it makes a position.
    pub epoch: u64,
    /// Seeds the hash of channel names, so that nobody outside can aim at one bucket.
    pub hash_seed: u64,
    /// The inboxes of the shards, in the order of their numbers.
    pub inboxes: Vec<Arc<Inbox>>,
    /// How many facts may wait.
    pub facts_max: usize,
    /// What the node's events and queues may hold.
    pub budget: Arc<Budget>,
    /// What the recent events of all channels may take.
    pub recent_bytes_max: usize,
}

/// All channels of a node.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    hash_seed: u64,
    apps: RwLock<HashMap<AppId, Arc<Channels>, foldhash::fast::FixedState>>,
}

impl Hub {
    /// A hub without apps.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let Options { epoch, hash_seed, inboxes, facts_max, budget, recent_bytes_max } = options;
        Self { shared: Arc::new(Shared::new(epoch, inboxes, facts_max, budget, recent_bytes_max)), hash_seed, apps: RwLock::default() }
    }

    /// The channels of `app`, made if the app is new; its settings hold from now on.
    pub fn app(&self, app: &Arc<App>) -> Arc<Channels> {
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(channels) = apps.get(&app.id) {
            channels.reload(Arc::clone(app));
            return Arc::clone(channels);
        }
        let channels = Channels::new(Arc::clone(&self.shared), Arc::clone(app), self.hash_seed);
        apps.insert(app.id.clone(), Arc::clone(&channels));
        channels
    }

    /// Forgets an app. Those who still hold its channels may finish with them.
    pub fn forget(&self, app: &AppId) {
        if self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(app).is_some() {
            // Its channels may still go on. Should the app come back, theirs must not give the same serials again.
            self.shared.leap();
        }
    }

    /// The epoch given at the start.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// The inboxes of the shards.
    #[must_use]
    pub fn inboxes(&self) -> &[Arc<Inbox>] {
        &self.shared.inboxes
    }

    /// What those outside are told.
    #[must_use]
    pub fn facts(&self) -> &Arc<FactQueue> {
        &self.shared.facts
    }

    /// What events and queues hold.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.shared.budget
    }

    /// Bytes of recent events that channels keep.
    #[must_use]
    pub fn recent_bytes(&self) -> usize {
        self.shared.recent.used()
    }

    /// How many channels there are.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).values().map(|channels| channels.len()).sum()
    }

    /// When [`Hub::tick`] must be called next. An event may bring it forward; whoever waits looks at least once a second.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.shared.next_deadline()
    }

    /// How many timers wait, those of channels that are gone included.
    #[cfg(test)]
    pub(crate) fn timers_len(&self) -> usize {
        self.shared.timers_len()
    }

    /// Does all that is due at `now`.
    pub fn tick(&self, now: Time) {
        while let Some(timer) = self.shared.due(now) {
            if let Some(channel) = timer.channel.upgrade()
                && let Some(channels) = channel.of.upgrade()
            {
                channels.tick(&channel, timer.due, now);
            }
        }
    }
}
