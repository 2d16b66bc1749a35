//! The store in PostgreSQL, which several processes may share: one connection that writes, a pool that reads.

mod append;
mod apps;
mod care;
mod history;
mod link;
mod queries;
mod registrations;
mod subscriptions;
mod writer;

use super::error::StoreError;
use super::queue::{Queue, Thread, join};
use super::retention::Retention;
use care::{Care, Notes};
use link::Target;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub(super) use queries::Database;

/// What the store's front needs of PostgreSQL.
pub(super) struct Postgres {
    pub(super) queue: Arc<Queue>,
    pub(super) database: Database,
    #[cfg(test)]
    care: Care,
    rounds: JoinHandle<()>,
    writer: Mutex<Option<Thread>>,
}

impl Postgres {
    /// Connects, brings the tables up to date, and starts what writes and looks after them.
    pub(super) fn open(url: &str, size_max: u64, retention: Retention, runtime: Handle) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::new());
        let notes = Arc::new(Notes::new());
        let target = Target::new(url)?;
        let (sender, opened) = std::sync::mpsc::channel();
        let (own_target, own_queue, own_notes) = (target.clone(), Arc::clone(&queue), Arc::clone(&notes));
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer::run(own_target, own_notes, &own_queue, &sender))
            .map_err(|error| StoreError::Unavailable(format!("no thread could be started ({error})")))?;
        opened.recv().map_err(|_| StoreError::Broken("its thread failed".to_owned()))??;
        let database = Database::new(target, runtime.clone())?;
        let care = Care { database: database.clone(), notes, retention: Arc::new(retention), size_max };
        let rounds = runtime.spawn(care.clone().run());
        Ok(Self {
            queue,
            database,
            #[cfg(test)]
            care,
            rounds,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// Writes what waits, and ends the thread.
    pub(super) fn close(&self) {
        self.rounds.abort();
        self.queue.close();
        join(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    #[cfg(test)]
    pub(super) fn prune(&self) {
        Handle::current().block_on(self.care.look()).unwrap();
    }
}
