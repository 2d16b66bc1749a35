//! The connections that read. They are opened when they are needed, few at a time, and used again.

use super::{BUSY, STATEMENTS, Shared, lock};
use crate::store::error::StoreError;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How many queries run at once.
const READERS_MAX: usize = 4;

pub(super) struct Readers {
    source: Source,
    permits: Arc<Semaphore>,
    runtime: Handle,
}

enum Source {
    /// Who writes and who reads take turns.
    Shared(Shared),
    Pool {
        path: PathBuf,
        idle: Mutex<Vec<Connection>>,
    },
}

impl Readers {
    pub(super) fn shared(connection: Shared, runtime: Handle) -> Self {
        Self { source: Source::Shared(connection), permits: Arc::new(Semaphore::new(READERS_MAX)), runtime }
    }

    pub(super) fn pool(path: PathBuf, runtime: Handle) -> Self {
        Self { source: Source::Pool { path, idle: Mutex::default() }, permits: Arc::new(Semaphore::new(READERS_MAX)), runtime }
    }

    /// Runs a query where it may take its time.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::Unavailable("the server is ending".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| ended())?;
        let readers = Arc::clone(self);
        let run = move || {
            let found = readers.read_here(query);
            drop(permit);
            found
        };
        self.runtime.spawn_blocking(run).await.map_err(|_| ended())?
    }

    /// Runs a query on this thread. It sees one state of the database, however many statements it has.
    pub(super) fn read_here<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        match &self.source {
            Source::Shared(connection) => snapshot(&lock(connection), query).map_err(|error| failed(&error)),
            Source::Pool { path, idle } => {
                let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = taken.map_or_else(|| connect(path), Ok).map_err(|error| failed(&error))?;
                // After a failure the connection is not used again: whatever it was may stick to it.
                let found = snapshot(&connection, query).map_err(|error| failed(&error))?;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                Ok(found)
            }
        }
    }

    /// No connection is kept open any longer than a query needs it.
    pub(super) fn close(&self) {
        if let Source::Pool { idle, .. } = &self.source {
            idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn snapshot<T>(connection: &Connection, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let found = query(&transaction)?;
    transaction.commit()?;
    Ok(found)
}

fn failed(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Broken(error.to_string()),
    }
}
