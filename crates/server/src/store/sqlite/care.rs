//! The thread that looks after the database: it has removed what was kept long enough. It only reads by itself; what must be written goes
//! through the writer, in small steps, so that publishers get in between.

use super::numbers::Touched;
use super::prune;
use super::readers::Readers;
use crate::clock::unix_time;
use crate::store::change::{Change, Prune, Reply};
use crate::store::error::StoreError;
use crate::store::queue::{Job, Queue, Thread, join};
use crate::store::retention::Retention;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Steps of 500 names that are looked through in one round.
const NAME_STEPS: usize = 20;

/// What the thread is asked for.
enum Ring {
    #[cfg(test)]
    Prune(SyncSender<Result<(), StoreError>>),
    Stop,
}

/// The thread, for its owner.
pub(super) struct Care {
    rings: SyncSender<Ring>,
    ending: Arc<AtomicBool>,
    thread: Mutex<Option<Thread>>,
}

impl Care {
    pub(super) fn start(
        readers: &Arc<Readers>,
        queue: &Arc<Queue>,
        retention: Retention,
        touched: Arc<Mutex<Touched>>,
    ) -> Result<Self, StoreError> {
        let (rings, received) = sync_channel(8);
        let ending = Arc::new(AtomicBool::new(false));
        let (readers, queue) = (Arc::clone(readers), Arc::clone(queue));
        let mut rounds = Rounds { readers, queue, retention, touched, ending: Arc::clone(&ending), names_after: 0 };
        let thread = std::thread::Builder::new()
            .name("store-care".to_owned())
            .spawn(move || rounds.run(&received))
            .map_err(|error| StoreError::Unavailable(format!("no thread could be started ({error})")))?;
        Ok(Self { rings, ending, thread: Mutex::new(Some(thread)) })
    }

    /// Tells the thread to end.
    pub(super) fn stop(&self) {
        self.ending.store(true, Ordering::Relaxed);
        // It may have ended already; if it has not read the last ring, it will look before the next step.
        let _ = self.rings.try_send(Ring::Stop);
    }

    /// Waits for its end, while the writer still writes: it may wait for that.
    pub(super) fn join(&self) {
        join(self.thread.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Has one round made, and waits for its end.
    #[cfg(test)]
    pub(super) fn now(&self) {
        let (done, wait) = sync_channel(1);
        self.rings.send(Ring::Prune(done)).unwrap();
        wait.recv().unwrap().unwrap();
    }
}

struct Rounds {
    readers: Arc<Readers>,
    queue: Arc<Queue>,
    retention: Retention,
    touched: Arc<Mutex<Touched>>,
    /// A round that is under way is left.
    ending: Arc<AtomicBool>,
    /// Up to which channel names have been looked through.
    names_after: i64,
}

impl Rounds {
    fn run(&mut self, rings: &Receiver<Ring>) {
        loop {
            match rings.recv_timeout(self.retention.every) {
                #[cfg(test)]
                Ok(Ring::Prune(done)) => {
                    done.send(self.look()).unwrap();
                }
                Ok(Ring::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.round(),
            }
            if self.ending.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Looks through everything once.
    fn round(&mut self) {
        if let Err(error) = self.look()
            && !self.ending.load(Ordering::Relaxed)
        {
            tracing::warn!(%error, "old events cannot be removed from the store");
            // What was touched is not known any more.
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).all = true;
        }
    }

    fn look(&mut self) -> Result<(), StoreError> {
        self.events()?;
        self.names()?;
        self.rest()
    }

    fn events(&self) -> Result<(), StoreError> {
        let now = unix_time();
        for (number, app) in self.readers.read_here(prune::apps)? {
            let Some(oldest) = self.retention.oldest(&app, now) else { continue };
            loop {
                let (ids, more) = self.readers.read_here(|connection| prune::aged(connection, number, oldest))?;
                self.remove(Prune::Aged { app: number, ids })?;
                if !more {
                    break;
                }
            }
        }
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        for (app, channel, last) in self.readers.read_here(|connection| prune::crowded(connection, &touched, &self.retention))? {
            loop {
                let ids = self.readers.read_here(|connection| prune::surplus(connection, channel, last))?;
                if ids.is_empty() {
                    break;
                }
                self.remove(Prune::Surplus { app, channel, ids })?;
            }
        }
        Ok(())
    }

    /// Some more of the channels' names, from where the last round stopped.
    fn names(&mut self) -> Result<(), StoreError> {
        for _ in 0..NAME_STEPS {
            let after = self.names_after;
            let (ids, next) = self.readers.read_here(|connection| prune::empty(connection, after))?;
            self.remove(Prune::Channels(ids))?;
            self.names_after = next.unwrap_or(0);
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn rest(&self) -> Result<(), StoreError> {
        let now = unix_time();
        loop {
            let (intervals, sessions, marks) = self.readers.read_here(|connection| prune::due(connection, now))?;
            if intervals {
                self.remove(Prune::Intervals)?;
            }
            if sessions {
                self.remove(Prune::Sessions(now))?;
            }
            if marks {
                self.remove(Prune::Marks)?;
            }
            if !intervals && !sessions {
                break;
            }
        }
        self.remove(Prune::Room)?;
        Ok(())
    }

    /// Has the writer do one step, and waits for it.
    fn remove(&self, what: Prune) -> Result<(), StoreError> {
        if matches!(&what, Prune::Aged { ids, .. } | Prune::Surplus { ids, .. } | Prune::Channels(ids) if ids.is_empty()) {
            return Ok(());
        }
        let (reply, answer) = Reply::new();
        let ended = || StoreError::Unavailable("the store is closed".to_owned());
        if self.ending.load(Ordering::Relaxed) {
            return Err(ended());
        }
        if self.queue.push(Job::Change(Box::new(Change::Prune(what, reply)))).is_some() {
            return Err(ended());
        }
        answer.blocking_recv().map_err(|_| ended())?.map(|_rows| ())
    }
}
