//! The task that looks after the database: it removes what was kept long enough, in small steps, and measures how much there is. Several
//! processes may do so at once; they are not in each other's way.

use super::queries::{Database, Parameter};
use crate::clock::unix_time;
use crate::store::error::StoreError;
use crate::store::queue::Job;
use crate::store::retention::{Retention, STEP};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_hub::{AppId, ChannelName};
use tokio_postgres::Row;

/// How many channels are noted one by one.
const TOUCHED_MAX: usize = 65_536;
/// What an event costs beside what it holds, with its places in indexes.
const EVENT_BYTES: i64 = 400;
const STEP_ROWS: i64 = STEP as i64;

/// What the one who writes and the one who looks after it tell each other.
pub(super) struct Notes {
    full: AtomicBool,
    /// `None`: too many to be noted, or nobody looked since the start.
    touched: Mutex<Option<HashSet<(AppId, ChannelName)>>>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self { full: AtomicBool::new(false), touched: Mutex::new(None) }
    }

    /// Whether there is more than there may be.
    pub(super) fn full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    fn touched(&self) -> MutexGuard<'_, Option<HashSet<(AppId, ChannelName)>>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the channels that got events.
    pub(super) fn touch(&self, jobs: &[Job]) {
        let mut touched = self.touched();
        let Some(channels) = &mut *touched else { return };
        for job in jobs {
            if let Job::Append(trigger, _) = job {
                channels.extend(trigger.events.iter().map(|event| (trigger.app.clone(), event.channel.clone())));
            }
        }
        if channels.len() > TOUCHED_MAX {
            *touched = None;
        }
    }
}

#[derive(Clone)]
pub(super) struct Care {
    pub(super) database: Database,
    pub(super) notes: Arc<Notes>,
    pub(super) retention: Arc<Retention>,
    pub(super) size_max: u64,
}

impl Care {
    /// Looks through everything, again and again.
    pub(super) async fn run(self) {
        loop {
            tokio::time::sleep(self.retention.every).await;
            self.round().await;
        }
    }

    /// Looks through everything once.
    async fn round(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "old events cannot be removed from the store");
            // What was touched is not known any more.
            *self.notes.touched() = None;
        }
    }

    pub(super) async fn look(&self) -> Result<(), StoreError> {
        self.aged().await?;
        self.crowded().await?;
        let oldest = "coalesce((SELECT min(id) FROM events), (SELECT last_value + 1 FROM event_ids))";
        self.all(&format!("DELETE FROM subscriptions WHERE id IN (SELECT id FROM subscriptions WHERE until < {oldest} LIMIT {STEP})"))
            .await?;
        let idle = "channel <> '' AND id <= (SELECT whole.id FROM removed AS whole WHERE whole.app = removed.app AND whole.channel = '')";
        self.database.execute(&format!("DELETE FROM removed WHERE {idle}"), &[]).await?;
        let now = unix_time().as_micros().cast_signed();
        self.all(&format!("DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions WHERE expires < {now} LIMIT {STEP})"))
            .await?;
        self.measure().await
    }

    /// Repeats a step until nothing is left to do.
    async fn all(&self, sql: &str) -> Result<(), StoreError> {
        while self.database.execute(sql, &[]).await? == STEP {}
        Ok(())
    }

    async fn aged(&self) -> Result<(), StoreError> {
        // Jumps from app to app by the index.
        let apps = "
            WITH RECURSIVE a AS (
              (SELECT app FROM events ORDER BY app LIMIT 1)
              UNION ALL SELECT (SELECT app FROM events WHERE app > a.app ORDER BY app LIMIT 1) FROM a WHERE a.app IS NOT NULL
            ) SELECT app FROM a WHERE app IS NOT NULL";
        let delete = "
            WITH gone AS (
              DELETE FROM events WHERE id IN
              (SELECT id FROM (SELECT id, at FROM events WHERE app = $1 ORDER BY id LIMIT $3) AS first WHERE at < $2) RETURNING id
            ),
            mark AS (
              INSERT INTO removed (app, channel, id) SELECT $1, '', max(id) FROM gone HAVING count(*) > 0
              ON CONFLICT (app, channel) DO UPDATE SET id = greatest(removed.id, excluded.id)
            )
            SELECT count(*) FROM gone";
        let now = unix_time();
        for row in self.database.rows(apps, &[]).await? {
            let app: &str = row.get(0);
            let Some(oldest) = self.retention.oldest(&AppId::new(app), now) else { continue };
            while self.number(delete, &[&app, &oldest, &STEP_ROWS]).await? == STEP as u64 {}
        }
        Ok(())
    }

    /// Removes what is too much, of the channels that got events since the last time.
    async fn crowded(&self) -> Result<(), StoreError> {
        let touched = self.notes.touched().replace(HashSet::new());
        let channels = match touched {
            Some(touched) => touched.into_iter().map(|(app, channel)| (app, channel.as_str().to_owned())).collect(),
            None => self.channels().await?,
        };
        let last = "SELECT id FROM events WHERE app = $1 AND channel = $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
        let delete = "
            WITH gone AS (
              DELETE FROM events WHERE id IN
              (SELECT id FROM events WHERE app = $1 AND channel = $2 AND id <= $3 ORDER BY id LIMIT $4) RETURNING id
            ),
            mark AS (
              INSERT INTO removed (app, channel, id) SELECT $1, $2, max(id) FROM gone HAVING count(*) > 0
              ON CONFLICT (app, channel) DO UPDATE SET id = greatest(removed.id, excluded.id)
            )
            SELECT count(*) FROM gone";
        for (app, channel) in channels {
            let Some(most) = self.retention.events_max(&app) else { continue };
            let found = self.database.rows(last, &[&app.as_str(), &channel, &most]).await?;
            let Some(last) = found.first().map(|row| row.get::<_, i64>(0)) else { continue };
            while self.number(delete, &[&app.as_str(), &channel, &last, &STEP_ROWS]).await? == STEP as u64 {}
        }
        Ok(())
    }

    /// All channels with events; jumps from one to the next by the index.
    async fn channels(&self) -> Result<Vec<(AppId, String)>, StoreError> {
        let channels = "
            WITH RECURSIVE c AS (
              (SELECT app, channel FROM events ORDER BY app, channel LIMIT 1)
              UNION ALL SELECT n.app, n.channel FROM c CROSS JOIN LATERAL
              (SELECT app, channel FROM events e WHERE (e.app, e.channel) > (c.app, c.channel) ORDER BY app, channel LIMIT 1) n
            ) SELECT app, channel FROM c";
        let channel = |row: &Row| (AppId::new(row.get(0)), row.get(1));
        Ok(self.database.rows(channels, &[]).await?.iter().map(channel).collect())
    }

    /// Whether there is more than there may be. What was removed leaves room in the tables, which does not count.
    async fn measure(&self) -> Result<(), StoreError> {
        if self.size_max == 0 {
            return Ok(());
        }
        let tables = "
            SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
        let taken = self.number(tables, &[]).await?;
        let held = "SELECT coalesce(sum(octet_length(data) + coalesce(octet_length(extras), 0) + $1::bigint), 0)::bigint FROM events";
        let full = taken > self.size_max && {
            let rows = self.database.rows(held, &[&EVENT_BYTES]).await?;
            // Some room is left over in all pages.
            rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()) > self.size_max / 10 * 9
        };
        if self.notes.full.swap(full, Ordering::Relaxed) != full {
            match full {
                true => tracing::warn!(bytes = taken, "the store has reached its limit"),
                false => tracing::info!(bytes = taken, "the store has room again"),
            }
        }
        Ok(())
    }

    async fn number(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, StoreError> {
        Ok(self.database.rows(sql, parameters).await?.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    }
}
