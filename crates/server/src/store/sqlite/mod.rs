//! The store as a file of SQLite, or in memory: one connection that writes, a few that read.

mod apps;
pub(super) mod backup;
mod care;
mod history;
mod numbers;
mod personal;
mod prune;
mod queries;
mod readers;
mod reads;
mod registrations;
mod subscriptions;
mod writer;

use super::StoreUrl;
use super::error::{Fault, StoreError};
use super::migration::{self, Migration};
use super::queue::{Queue, Thread, is_current, join};
use super::retention::Retention;
use care::Care;
use readers::Readers;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

const MIGRATIONS: [Migration; 3] = [
    Migration { version: 1, sql: include_str!("0001.sql") },
    Migration { version: 2, sql: include_str!("0002.sql") },
    Migration { version: 3, sql: include_str!("0003.sql") },
];
/// How long one process waits for another that writes.
const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps ready.
const STATEMENTS: usize = 64;
/// How near to the limit a file counts as full: an event that did not fit leaves some room behind.
const PAGES_NEAR: i64 = 512;

/// A connection that several threads may use. One at a time.
type Shared = Arc<Mutex<Connection>>;

fn lock(connection: &Shared) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the database is.
#[derive(Clone, Debug)]
enum Place {
    Memory,
    File(PathBuf),
}

/// What the store's front needs of SQLite.
pub(super) struct Sqlite {
    pub(super) queue: Arc<Queue>,
    readers: Arc<Readers>,
    care: Care,
    writer: Mutex<Option<Thread>>,
}

impl Sqlite {
    /// Opens and migrates the database, and starts the threads that write and look after it.
    pub(super) fn open(url: &StoreUrl, size_max: u64, retention: Retention, runtime: Handle) -> Result<Self, StoreError> {
        let place = match url {
            StoreUrl::Sqlite(path) => Place::File(path.clone()),
            StoreUrl::Memory | StoreUrl::Postgres(_) => Place::Memory,
        };
        let mut connection = connect(&place, size_max)?;
        migrate(&mut connection)?;
        let connection: Shared = Arc::new(Mutex::new(connection));
        let readers = Arc::new(match &place {
            Place::Memory => Readers::shared(Arc::clone(&connection), runtime),
            Place::File(path) => Readers::pool(path.clone(), runtime),
        });
        let queue = Arc::new(Queue::new());
        let writer = writer::Writer::new(place.clone(), size_max, connection);
        let touched = writer.touched();
        let care = Care::start(&readers, &queue, retention, touched)?;
        let own = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&own))
            .map_err(|error| StoreError::Unavailable(format!("no thread could be started ({error})")))?;
        Ok(Self { queue, readers, care, writer: Mutex::new(Some(thread)) })
    }

    /// Writes what waits, folds the journal into the file, and ends the threads.
    pub(super) fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.care.stop();
        // What follows a commit may be the last owner; then the writer cannot do what others wait for.
        if !writer.as_ref().is_some_and(is_current) {
            self.care.join();
        }
        self.readers.close();
        self.queue.close();
        join(writer);
    }

    #[cfg(test)]
    pub(super) fn prune(&self) {
        self.care.now();
    }
}

/// A connection that writes.
fn connect(place: &Place, size_max: u64) -> Result<Connection, StoreError> {
    let connection = match place {
        Place::Memory => Connection::open_in_memory(),
        Place::File(path) => {
            private(path)?;
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        }
    };
    let connection = connection.map_err(|error| opening(place, &error))?;
    settle_in(&connection, size_max).map_err(|error| opening(place, &error))?;
    Ok(connection)
}

fn settle_in(connection: &Connection, size_max: u64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Before the first table: it cannot be switched on later.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // The writer does it when nobody waits for him.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    if size_max > 0 {
        let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        connection.pragma_update_and_check(None, "max_page_count", (size_max / page).max(1), |_| Ok(()))?;
    }
    Ok(())
}

/// Makes the file if it is missing, readable for nobody else: it holds secrets.
fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(StoreError::Unavailable(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn opening(place: &Place, error: &rusqlite::Error) -> StoreError {
    let place = match place {
        Place::Memory => "memory".to_owned(),
        Place::File(path) => path.display().to_string(),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Broken(format!("{place} is no sound database of SQLite ({error})"))
        }
        Some(ErrorCode::DiskFull) => StoreError::DiskFull,
        _ => StoreError::Unavailable(format!("{place}: {error}")),
    }
}

/// Brings the tables up to date, one process at a time.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Broken(format!("its tables could not be made ({error})"));
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => StoreError::Unavailable("another process holds the database".to_owned()),
            _ => failed(error),
        })?;
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT").map_err(failed)?;
    let found: i64 = transaction.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0)).map_err(failed)?;
    for migration in migration::missing(&MIGRATIONS, found)? {
        transaction.execute_batch(migration.sql).map_err(failed)?;
        transaction.execute("INSERT INTO schema_version VALUES (?1)", [migration.version]).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// How far a failure reaches.
fn fault(connection: &Connection, error: &rusqlite::Error) -> Fault {
    let text = || error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) if near_limit(connection) => Fault::Job(StoreError::Full),
        Some(ErrorCode::DiskFull) => Fault::Group(StoreError::DiskFull),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Fault::Group(StoreError::Unavailable("another process holds the database".to_owned()))
        }
        Some(ErrorCode::OutOfMemory | ErrorCode::FileLockingProtocolFailed) => Fault::Group(StoreError::Unavailable(text())),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
            Fault::Connection(StoreError::Unavailable(text()))
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Fault::Connection(StoreError::Broken(text())),
        _ => Fault::Job(StoreError::Broken(text())),
    }
}

/// Whether it is our limit that was reached, and not the disk's.
fn near_limit(connection: &Connection) -> bool {
    let pragma = |name| connection.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    match (pragma("page_count"), pragma("max_page_count")) {
        (Ok(pages), Ok(most)) => pages + PAGES_NEAR >= most,
        _ => false,
    }
}
