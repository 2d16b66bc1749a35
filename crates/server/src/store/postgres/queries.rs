//! The connections that read, and what they read.

use super::link::{Target, fault, text};
use crate::store::error::StoreError;
use crate::store::row::EventRow;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use std::time::Duration;
use tidings_hub::{AppId, UnixTime};
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How many queries run at once.
const READERS_MAX: usize = 8;
/// How long a query waits for a connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// The database as its readers see it.
#[derive(Clone)]
pub(in crate::store) struct Database {
    pool: Pool,
    runtime: Handle,
}

pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// A moment as it is kept: microseconds since 1970.
pub(super) fn time(micros: i64) -> UnixTime {
    UnixTime::from_micros(micros.cast_unsigned())
}

fn event(row: &Row) -> EventRow {
    let (mid, name): (&[u8], &[u8]) = (row.get(2), row.get(5));
    EventRow {
        id: row.get(0),
        channel: row.get(1),
        mid: u128::from_be_bytes(mid.try_into().unwrap_or_default()),
        owner: row.get(3),
        at: time(row.get(4)),
        name: String::from_utf8_lossy(name).into_owned(),
        data: row.get(6),
        extras: row.get(7),
    }
}

impl Database {
    pub(super) fn new(target: Target, runtime: Handle) -> Result<Self, StoreError> {
        let manager = Manager::from_config(target.config, target.tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(READERS_MAX)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECTION_WAIT))
            .create_timeout(Some(CONNECTION_WAIT))
            .recycle_timeout(Some(CONNECTION_WAIT))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { pool, runtime })
    }

    /// A connection, carried by the runtime whoever asks.
    async fn client(&self) -> Result<Object, StoreError> {
        let pool = self.pool.clone();
        let taken = self.runtime.spawn(async move { pool.get().await }).await;
        taken.map_err(|_| StoreError::Unavailable("the server is ending".to_owned()))?.map_err(|error| match error {
            PoolError::Backend(error) => StoreError::Unavailable(text(&error)),
            PoolError::Timeout(_) => StoreError::Unavailable("no connection to PostgreSQL is free".to_owned()),
            error => StoreError::Unavailable(error.to_string()),
        })
    }

    /// Runs a query; again if its connection turns out to be a dead one.
    pub(super) async fn rows(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut dead = 0;
        loop {
            let client = self.client().await?;
            let found = match client.prepare_cached(sql).await {
                Ok(statement) => client.query(&statement, parameters).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(rows) => return Ok(rows),
                // All connections may have died at once.
                Err(_) if client.is_closed() && dead <= READERS_MAX => dead += 1,
                Err(error) => return Err(fault(&error).error()),
            }
        }
    }

    /// Runs a statement. Returns how many rows it changed.
    pub(super) async fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<usize, StoreError> {
        let client = self.client().await?;
        let changed = async { client.execute(&client.prepare_cached(sql).await?, parameters).await };
        changed.await.map(|count| usize::try_from(count).unwrap_or(usize::MAX)).map_err(|error| fault(&error).error())
    }

    /// Runs a query that ends with `WHERE …`, with further conditions where there is a value, ordered by id.
    pub(super) async fn filtered(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
        by: &[(&str, Option<&str>)],
    ) -> Result<Vec<Row>, StoreError> {
        let mut sql = sql.to_owned();
        let mut all = parameters.to_vec();
        for (column, value) in by {
            if let Some(value) = value {
                all.push(value);
                sql += &format!(" AND {column} = ${}", all.len());
            }
        }
        self.rows(&(sql + " ORDER BY id"), &all).await
    }

    pub(super) async fn events(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<EventRow>, StoreError> {
        Ok(self.rows(sql, parameters).await?.iter().map(event).collect())
    }

    pub(in crate::store) async fn channel_events(
        &self,
        app: &AppId,
        channel: Option<&str>,
        skip: u32,
        count: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (columns, app) = ("SELECT id, channel, mid, owner, at, name, data, extras FROM events", app.as_str());
        let (skip, count) = (i64::from(skip), i64::from(count));
        match channel {
            None => self.events(&format!("{columns} WHERE app = $1 ORDER BY id DESC LIMIT $2 OFFSET $3"), &[&app, &count, &skip]).await,
            Some(channel) => {
                let sql = format!("{columns} WHERE app = $1 AND channel = $2 ORDER BY id DESC LIMIT $3 OFFSET $4");
                self.events(&sql, &[&app, &channel, &count, &skip]).await
            }
        }
    }
}
