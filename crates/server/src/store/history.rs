//! What a channel's readers have missed that were away: found by the position that they were at, as long as nothing of it is gone.
//!
//! A position is a place among the events of its channel: behind the last of that run that has no later serial, or, if there is none, behind
//! all that was stored before the run. It is known to lack nothing if the app's events have been stored all the time since, and none of the
//! channel's that came behind it has been removed.

use super::change::{Change, Reply};
use super::{Backend, Store, StoreError};
use tidings_hub::{AppId, ChannelName, Position};

/// How many runs of servers are known. Who was in an earlier one is told that something may be missing.
pub(super) const RUNS_MAX: i64 = 1000;

/// Of which channels of an app every event is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Coverage {
    pub(crate) app: AppId,
    /// Names them, in words that are the same as long as they are.
    pub(crate) channels: String,
    /// Something was missed in spite of that: it begins anew.
    pub(crate) anew: bool,
}

/// A stored event of a channel that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryRow {
    pub(crate) id: i64,
    pub(crate) position: Position,
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

/// How much is read at once: at least one event, and then no more than fits both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    pub(crate) events: u32,
    pub(crate) bytes: usize,
}

impl Store {
    /// Notes that a server runs whose positions have this number.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn begin_run(&self, epoch: u64) -> Result<(), StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::BeginRun(epoch, reply), answer)).await
    }

    /// Notes of which channels every event is stored from now on, of all apps. Where that was so before, it has been so since then. A run begins after
    /// that: what it stores comes later.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn cover(&self, all: Vec<Coverage>) -> Result<(), StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::Cover(all, reply), answer)).await
    }

    /// The places of positions on channels of one app, in their order: behind each is all that was published later. `None` where it is not known, or
    /// something is gone.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn trace(&self, app: &AppId, positions: Vec<(ChannelName, Position)>) -> Result<Vec<Option<i64>>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.trace(app, positions).await,
            Backend::Postgres(postgres) => postgres.database.trace(app, &positions).await,
        }
    }

    /// The next events of a channel behind a place, the oldest first, without those of the run of `until` that came later. `None` if something
    /// behind the place is gone.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn behind(
        &self,
        app: &AppId,
        channel: &ChannelName,
        place: i64,
        until: Position,
        size: PageSize,
    ) -> Result<Option<Vec<HistoryRow>>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.behind(app, channel, place, until, size).await,
            Backend::Postgres(postgres) => postgres.database.behind(app, channel, place, until, size).await,
        }
    }
}

impl PageSize {
    /// Whether these rows fill it, so that there may be more.
    pub(crate) fn is_filled_by(self, rows: &[HistoryRow]) -> bool {
        rows.len() >= self.events as usize || rows.iter().map(|row| row.data.len()).sum::<usize>() >= self.bytes
    }
}
