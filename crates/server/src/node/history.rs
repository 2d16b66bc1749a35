//! Histories: channels of which every event is stored, for readers who were away for longer than memory lasts. The store is told which they are,
//! so that it knows since when nothing is missing.

use super::{AppHandle, Node};
use crate::clock::unix_time;
use crate::store::{Coverage, HistoryRow, PageSize, Store, StoreError};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_dialect::action::{Answer, Page, StorePlace, StoredEvent, Unanswered};
use tidings_hub::{App, AppId, ChannelName, Position, Recents};
use tokio::sync::{Notify, Semaphore};

/// How much of a history is read at once: its reader has taken it before more is read.
const PAGE: PageSize = PageSize { events: 500, bytes: 256 * 1024 };
/// Readers of histories whom the store answers at once.
const READERS_MAX: usize = 8;
/// How long a reader waits for its turn: thousands may come back at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before the store is told again what it did not take.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is logged that histories cannot be read: readers come back by the thousand.
const COMPLAINT_EVERY_SECONDS: u64 = 10;

/// What is to be stored, and what the store knows of it.
pub(super) struct Histories {
    state: Mutex<State>,
    changed: Notify,
    readers: Semaphore,
    /// When a failure was logged last, in seconds of the calendar.
    complained: AtomicU64,
}

#[derive(Default)]
struct State {
    /// For each app that has any, its channels with a history, in words.
    channels: BTreeMap<AppId, String>,
    /// Apps of which something may have been missed, with the change that said so.
    broken: HashMap<AppId, u64>,
    /// How often any of that changed.
    changes: u64,
    /// How much of it the store knows.
    told: u64,
}

impl Default for Histories {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), readers: Semaphore::new(READERS_MAX), complained: AtomicU64::new(0) }
    }
}

impl Histories {
    /// These are the apps from now on.
    pub(super) fn set(&self, apps: &[Arc<App>]) {
        let stores = apps.iter().filter(|app| app.recents.stores_any());
        let channels = stores.map(|app| (app.id.clone(), words(&app.recents))).collect();
        let mut state = self.state();
        if state.channels != channels {
            state.channels = channels;
            state.changes += 1;
            self.changed.notify_one();
        }
    }

    /// Something may have been missed on channels of an app.
    fn break_off(&self, app: &AppId) {
        let mut state = self.state();
        if state.channels.contains_key(app) {
            state.changes += 1;
            let change = state.changes;
            state.broken.insert(app.clone(), change);
            self.changed.notify_one();
        }
    }

    /// What the store is to know, and how many changes that is.
    fn coverage(&self) -> (Vec<Coverage>, u64) {
        let state = self.state();
        let of = |(app, channels): (&AppId, &String)| Coverage {
            app: app.clone(),
            channels: channels.clone(),
            anew: state.broken.contains_key(app),
        };
        (state.channels.iter().map(of).collect(), state.changes)
    }

    /// The store knows as much.
    fn was_told(&self, changes: u64) {
        let mut state = self.state();
        state.told = changes;
        state.broken.retain(|_, change| *change > changes);
    }

    /// Whether what the store says of completeness is so.
    fn is_told(&self) -> bool {
        let state = self.state();
        state.told == state.changes
    }

    fn complain(&self, error: &StoreError) {
        let now = unix_time().as_secs();
        if now.saturating_sub(self.complained.swap(now, Ordering::Relaxed)) >= COMPLAINT_EVERY_SECONDS {
            tracing::warn!(%error, "what readers have missed cannot be read; they are told so");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The patterns up to the last with a history: an earlier one takes channels from it.
fn words(recents: &Recents) -> String {
    let last = recents.patterns.iter().rposition(|keep| keep.stored).map_or(0, |last| last + 1);
    let mut words = String::new();
    for keep in &recents.patterns[..last] {
        // Writing to a text does not fail.
        let _ = writeln!(words, "{}{}", if keep.stored { "" } else { "not " }, keep.pattern);
    }
    words
}

impl Node {
    /// Tells the store, if there is one, of this run, and which histories there are.
    ///
    /// # Errors
    /// [`StoreError`]: it knows nothing of it.
    pub(crate) async fn begin_histories(&self) -> Result<(), StoreError> {
        let Some(store) = self.store() else { return Ok(()) };
        // What their Redis had while no server ran is not stored.
        self.relays.iter().for_each(|relay| self.histories.break_off(&relay.config.app));
        self.tell_histories(store).await?;
        // After that: its readers have missed nothing of what was not stored before.
        store.begin_run(self.hub.epoch()).await
    }

    async fn tell_histories(&self, store: &Store) -> Result<(), StoreError> {
        let (all, changes) = self.histories.coverage();
        store.cover(all).await?;
        self.histories.was_told(changes);
        Ok(())
    }

    /// Tells the store what changes, for ever.
    pub(crate) async fn keep_histories(self: Arc<Self>) {
        let Some(store) = self.store() else { return };
        loop {
            self.histories.changed.notified().await;
            while let Err(error) = self.tell_histories(store).await {
                tracing::warn!(%error, "the store cannot be told which channels have a history");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Events of channels may have been lost before they came here: whoever listens and can be told is told, and so is who comes back later.
    pub(super) fn gap(&self, handle: &AppHandle, wanted: impl Fn(&ChannelName) -> bool) {
        self.break_history(handle);
        handle.channels.gap(wanted, self.clock.now());
    }

    /// Nobody goes on from what is stored before this moment.
    pub(super) fn break_history(&self, handle: &AppHandle) {
        self.histories.break_off(&handle.app.id);
    }

    /// Where in the store readers were.
    pub(super) async fn trace(&self, store: &Store, app: &AppId, positions: Vec<(ChannelName, Position)>) -> Result<Answer, Unanswered> {
        if !self.histories.is_told() {
            return Ok(Answer::Traced(vec![None; positions.len()]));
        }
        let places = self.read_history(store.trace(app, positions)).await?;
        Ok(Answer::Traced(places.into_iter().map(|place| place.map(StorePlace)).collect()))
    }

    /// Some of what a channel has behind a place.
    pub(super) async fn behind(
        &self,
        store: &Store,
        app: &AppId,
        channel: &ChannelName,
        place: StorePlace,
        until: Position,
    ) -> Result<Answer, Unanswered> {
        let rows = self.read_history(store.behind(app, channel, place.0, until, PAGE)).await?;
        Ok(Answer::Behind(rows.map(page)))
    }

    /// Reads when it is the reader's turn, and there is room for what it will be owed.
    async fn read_history<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, Unanswered> {
        let turn = async {
            let turn = self.histories.readers.acquire().await;
            self.room().await;
            turn
        };
        let read = match tokio::time::timeout(PATIENCE, turn).await {
            Ok(_turn) => read.await,
            Err(_) => Err(StoreError::Unavailable("too many want to know at once".to_owned())),
        };
        read.map_err(|error| {
            self.histories.complain(&error);
            Unanswered::Unavailable(error.to_string())
        })
    }
}

fn page(rows: Vec<HistoryRow>) -> Page {
    let next = rows.last().filter(|_| PAGE.is_filled_by(&rows)).map(|last| StorePlace(last.id));
    let event = |row: HistoryRow| StoredEvent { position: row.position, name: row.name, data: Bytes::from(row.data) };
    Page { events: rows.into_iter().map(event).collect(), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::{Keep, Pattern, Window};

    fn recents(patterns: &[(&str, bool)]) -> Recents {
        let keep = |(pattern, stored): &(&str, bool)| Keep {
            pattern: Pattern::parse(pattern).unwrap(),
            window: Window::default(),
            stored: *stored,
        };
        Recents { patterns: patterns.iter().map(keep).collect(), ..Recents::default() }
    }

    fn apps(patterns: &[(&str, bool)]) -> [Arc<App>; 1] {
        [Arc::new(App { recents: recents(patterns), ..App::new("1", "key", "secret") })]
    }

    #[test]
    fn words_say_which_channels_are_stored() {
        let same = words(&recents(&[("secret-*", false), ("*", true)]));
        assert_eq!(same, words(&recents(&[("secret-*", false), ("*", true), ("never", false)])));
        for other in [&[("*", true)][..], &[("*", true), ("secret-*", false)], &[("secret-*", true), ("*", true)], &[("*", false)]] {
            assert_ne!(same, words(&recents(other)), "{other:?}");
        }
        assert_eq!(words(&recents(&[("*", false)])), "");
    }

    /// What changes while the store is being told is not told yet.
    #[test]
    fn only_what_was_told_is_told() {
        let histories = Histories::default();
        assert!(histories.is_told());
        histories.set(&apps(&[("*", false)]));
        assert!(histories.is_told(), "nothing to tell");
        histories.set(&apps(&[("*", true)]));
        let (_, before) = histories.coverage();
        histories.set(&apps(&[("a", true)]));
        histories.was_told(before);
        assert!(!histories.is_told());
        let (all, now) = histories.coverage();
        assert_eq!(all, [Coverage { app: AppId::new("1"), channels: "a\n".to_owned(), anew: false }]);
        histories.was_told(now);
        assert!(histories.is_told());
        histories.set(&apps(&[("a", true)]));
        histories.break_off(&AppId::new("2"));
        assert!(histories.is_told(), "the same, and nothing of what is stored is broken");
        histories.break_off(&AppId::new("1"));
        let (broken, before) = histories.coverage();
        histories.break_off(&AppId::new("1"));
        histories.was_told(before);
        assert!(broken[0].anew && !histories.is_told());
        let (broken, now) = histories.coverage();
        histories.was_told(now);
        assert!(broken[0].anew && histories.is_told() && !histories.coverage().0[0].anew);
    }
}
