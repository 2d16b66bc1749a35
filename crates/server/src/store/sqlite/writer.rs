//! The one thread that writes: it takes all that waits, commits it at once, tells everybody, and looks again.

use super::numbers::{Numbers, Touched};
use super::{Place, Shared, apps, connect, fault, history, lock, prune, registrations, subscriptions};
#[cfg(test)]
use crate::store::change::statement;
use crate::store::change::{Change, Prune};
use crate::store::error::{Fault, StoreError};
use crate::store::queue::{Job, Queue, faulted};
use crate::store::row::{Trigger, places};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in the journal, more or less, after which they are written into the file.
const FOLD_BYTES: usize = 8 * 1024 * 1024;
/// What an event writes beside its data: pages of indexes.
const EVENT_PAGES_BYTES: usize = 8 * 1024;

pub(super) struct Writer {
    place: Place,
    size_max: u64,
    connection: Shared,
    /// The connection is of no use any more.
    lost: bool,
    state: State,
    touched: Arc<Mutex<Touched>>,
}

/// What the writer knows of the database beside what is in it.
#[derive(Default)]
struct State {
    numbers: Numbers,
    /// Changes when another process writes.
    version: i64,
    /// The channels of this transaction.
    touched: Vec<i64>,
    bytes: usize,
}

impl Writer {
    pub(super) fn new(place: Place, size_max: u64, connection: Shared) -> Self {
        let touched = Arc::new(Mutex::new(Touched { all: true, ..Touched::default() }));
        Self { place, size_max, connection, lost: false, state: State::default(), touched }
    }

    /// The channels that got events, for whoever removes what is too much.
    pub(super) fn touched(&self) -> Arc<Mutex<Touched>> {
        Arc::clone(&self.touched)
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without sockets and timers needs nothing");
        let mut jobs = Vec::new();
        loop {
            runtime.block_on(queue.ready());
            let more = queue.take(&mut jobs);
            if jobs.is_empty() && !more {
                break;
            }
            let results = catch_unwind(AssertUnwindSafe(|| self.commit(&mut jobs))).unwrap_or_else(|_| {
                self.lost = true;
                faulted(&jobs)
            });
            queue.settle(jobs.drain(..).zip(results));
            // After everybody was told, so that the next group waits and not this one. A thread of its own for it would never catch up with a
            // busy writer, and the journal would grow without end.
            if self.state.bytes > FOLD_BYTES {
                self.state.bytes = 0;
                self.fold("PASSIVE");
            }
        }
        self.fold("TRUNCATE");
    }

    /// Commits all jobs at once; if one of them fails, each for itself.
    fn commit(&mut self, jobs: &mut [Job]) -> Vec<Result<(), StoreError>> {
        match self.together(jobs) {
            Ok(()) => vec![Ok(()); jobs.len()],
            Err(Fault::Job(_)) if jobs.len() > 1 => self.apart(jobs),
            Err(fault) => vec![Err(fault.error()); jobs.len()],
        }
    }

    fn apart(&mut self, jobs: &mut [Job]) -> Vec<Result<(), StoreError>> {
        let mut end = None;
        jobs.iter_mut()
            .map(|job| match &end {
                Some(error) => Err(StoreError::clone(error)),
                None => self.together(std::slice::from_mut(job)).map_err(|fault| match fault {
                    Fault::Job(error) => error,
                    Fault::Group(error) | Fault::Connection(error) => end.insert(error).clone(),
                }),
            })
            .collect()
    }

    fn together(&mut self, jobs: &mut [Job]) -> Result<(), Fault> {
        if jobs.iter().all(Job::is_barrier) {
            return Ok(());
        }
        self.reconnect()?;
        let connection = lock(&self.connection);
        let done = self.state.transaction(&connection, jobs);
        if let Err(fault) = &done {
            self.state.undo(&connection);
            self.lost = matches!(fault, Fault::Connection(_));
        }
        drop(connection);
        if done.is_ok() && !self.state.touched.is_empty() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).add(self.state.touched.drain(..));
        }
        done
    }

    /// A new connection if the last one was lost. What is in memory only cannot be opened again.
    fn reconnect(&mut self) -> Result<(), Fault> {
        if !self.lost {
            return Ok(());
        }
        // After a fault it may still hold the lock of its transaction.
        self.state.undo(&lock(&self.connection));
        if let Place::File(_) = self.place {
            let connection = connect(&self.place, self.size_max).map_err(Fault::Connection)?;
            *lock(&self.connection) = connection;
            tracing::info!("the store was opened again");
        }
        self.lost = false;
        Ok(())
    }

    /// Writes what is in the journal into the file.
    fn fold(&self, mode: &str) {
        let connection = lock(&self.connection);
        // It does less, or nothing, while others read or write; then the next time does more.
        if let Err(error) = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())) {
            tracing::warn!(%error, "the store's journal cannot be written into its file");
        }
    }
}

impl State {
    fn transaction(&mut self, connection: &Connection, jobs: &mut [Job]) -> Result<(), Fault> {
        let failed = |error: rusqlite::Error| fault(connection, &error);
        connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(failed)?;
        self.look_around(connection).map_err(failed)?;
        for job in jobs {
            self.run(connection, job)?;
        }
        connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map_err(failed)?;
        Ok(())
    }

    fn undo(&mut self, connection: &Connection) {
        self.numbers.forget();
        self.touched.clear();
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the store cannot undo what it began");
        }
    }

    /// Forgets what another process may have changed.
    fn look_around(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version != self.version {
            self.version = version;
            self.numbers.forget();
        }
        Ok(())
    }

    fn run(&mut self, connection: &Connection, job: &mut Job) -> Result<(), Fault> {
        let done = match job {
            Job::Append(trigger, _) => self.append(connection, trigger),
            Job::Change(change) => match &mut **change {
                Change::Durability(reply) => {
                    durability(connection)?;
                    reply.set(());
                    Ok(())
                }
                change => self.change(connection, change),
            },
        };
        done.map_err(|error| fault(connection, &error))
    }

    fn append(&mut self, connection: &Connection, trigger: &Trigger) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO events (app, channel, place, epoch, serial, mid, owner, at, name, extras, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for (event, place) in trigger.events.iter().zip(places(&trigger.events)) {
            let (app, channel) = self.numbers.of(connection, &trigger.app, &event.channel)?;
            statement.execute((
                app,
                channel,
                place,
                event.epoch.cast_signed(),
                event.serial.cast_signed(),
                event.mid.to_be_bytes(),
                &trigger.owner,
                trigger.at.as_micros().cast_signed(),
                &*event.name,
                event.extras.as_deref(),
                &*event.data,
            ))?;
            self.touched.push(channel);
            self.bytes += event.data.len() + EVENT_PAGES_BYTES;
        }
        Ok(())
    }

    fn change(&mut self, connection: &Connection, change: &mut Change) -> rusqlite::Result<()> {
        match change {
            Change::Subscribe(pair, now, reply) => reply.set(subscriptions::subscribe(connection, pair, *now)?),
            Change::Unsubscribe(pair, reply) => reply.set(subscriptions::unsubscribe(connection, pair)?),
            Change::Register(register, reply) => reply.set(registrations::register(connection, register)?),
            Change::Unregister(targets, reply) => reply.set(registrations::unregister(connection, targets)?),
            Change::CreateApp(app, now, reply) => reply.set(apps::create(connection, app, *now)?),
            Change::EditApp(ident, edit, now, reply) => reply.set(apps::edit(connection, ident, edit, *now)?),
            Change::PutSettings(ident, patch, now, reply) => reply.set(apps::put_settings(connection, ident, patch, *now)?),
            Change::PutSession(session, reply) => reply.set(apps::put_session(connection, session)?),
            Change::TouchSession(token_hash, expires, reply) => reply.set(apps::touch_session(connection, token_hash, *expires)?),
            Change::DeleteSession(token_hash, reply) => reply.set(apps::delete_session(connection, token_hash)?),
            Change::BeginRun(epoch, reply) => reply.set(history::begin_run(connection, *epoch)?),
            Change::Cover(all, reply) => reply.set(history::cover(connection, all)?),
            Change::Durability(reply) => reply.set(()),
            Change::Prune(what, reply) => {
                if let Prune::Channels(_) = what {
                    self.numbers.forget();
                }
                reply.set(prune::prune(connection, what)?);
            }
            #[cfg(test)]
            Change::Execute(sql, reply) => reply.set(connection.execute_batch(statement(sql))?),
        }
        Ok(())
    }
}

/// Whether a commit is on disk when it says so.
fn durability(connection: &Connection) -> Result<(), Fault> {
    let failed = |error: rusqlite::Error| fault(connection, &error);
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(failed)?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    match (mode.as_str(), synchronous) {
        // FULL, or EXTRA.
        ("wal", 2..) | ("memory", _) => Ok(()),
        _ => Err(Fault::Job(StoreError::Broken(format!("its commits are not safe: journal_mode is {mode}, synchronous is {synchronous}")))),
    }
}
