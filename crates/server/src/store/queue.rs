//! The queue of the one writer. While a group of jobs is being committed the next one gathers here.

use super::change::Change;
use super::error::StoreError;
use super::row::Trigger;
use crate::clock::unix_time;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

/// How often it is logged that jobs fail: whoever publishes tries again and again.
const COMPLAINT_EVERY_SECONDS: u64 = 10;

/// What a publisher is told after the commit.
pub(crate) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One thing to be written: done as a whole or not at all.
pub(super) enum Job {
    Append(Trigger, Done),
    Change(Box<Change>),
}

impl Job {
    /// Nothing has to be written for it: it only keeps its place.
    pub(super) fn is_barrier(&self) -> bool {
        matches!(self, Self::Append(trigger, _) if trigger.events.is_empty())
    }

    fn events(&self) -> u64 {
        match self {
            Self::Append(trigger, _) => trigger.events.len() as u64,
            Self::Change(_) => 0,
        }
    }

    /// Tells whoever waits for it. What only keeps its place cannot fail.
    pub(super) fn settle(self, result: Result<(), StoreError>) {
        let result = if self.is_barrier() { Ok(()) } else { result };
        // A fault of the one who waits must not take the writer along.
        let told = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Append(_, done) => done(result),
            Self::Change(change) => change.settle(result),
        }));
        if told.is_err() {
            tracing::error!("what follows a commit failed");
        }
    }
}

/// Jobs in the order in which they came.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Jobs that are not settled yet.
    unsettled: AtomicUsize,
    /// When a failure was logged last, in seconds of the calendar.
    complained: AtomicU64,
    events: AtomicU64,
    failures: AtomicU64,
    groups: AtomicU64,
    /// Is called when jobs were settled.
    settled: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What a store has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events committed.
    pub(crate) events: u64,
    /// Jobs of whatever kind that were not.
    pub(crate) failures: u64,
    /// Groups of jobs, each of one commit.
    pub(crate) groups: u64,
    /// Jobs that wait for their commit now.
    pub(crate) waiting: u64,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    /// The writer, if it waits.
    writer: Option<Waker>,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let (complained, events, failures, groups) = (zero(), zero(), zero(), zero());
        let (unsettled, settled) = (AtomicUsize::new(0), OnceLock::new());
        Self { waiting: Mutex::default(), unsettled, complained, events, failures, groups, settled }
    }

    pub(super) fn tally(&self) -> Tally {
        Tally {
            events: self.events.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            waiting: self.len() as u64,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many jobs are not settled.
    pub(super) fn len(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Appends a job; gives it back if the queue is closed.
    pub(super) fn push(&self, job: Job) -> Option<Job> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Some(job);
        }
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        waiting.jobs.push(job);
        let writer = waiting.writer.take();
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
        None
    }

    /// Nothing more is taken in; what waits is still written.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let writer = waiting.writer.take();
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Waits until there is something to take, or nothing will come any more. Nothing is lost if this is dropped midway.
    pub(super) async fn ready(&self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting();
        if !waiting.jobs.is_empty() || waiting.closed {
            return Poll::Ready(());
        }
        waiting.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Puts all that waits into `jobs`, which is empty. Returns whether more may come.
    pub(super) fn take(&self, jobs: &mut Vec<Job>) -> bool {
        let mut waiting = self.waiting();
        std::mem::swap(&mut waiting.jobs, jobs);
        !waiting.closed
    }

    /// Has `tell` called whenever jobs were settled, on the writer's thread.
    pub(super) fn when_settled(&self, tell: impl Fn() + Send + Sync + 'static) {
        // Whoever comes second is not heard; nobody does.
        let _ = self.settled.set(Box::new(tell));
    }

    /// Settles a group, in its order.
    pub(super) fn settle(&self, jobs: impl IntoIterator<Item = (Job, Result<(), StoreError>)>) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        for (job, result) in jobs {
            self.unsettled.fetch_sub(1, Ordering::Relaxed);
            match &result {
                Ok(()) => self.events.fetch_add(job.events(), Ordering::Relaxed),
                Err(error) => {
                    self.complain(error);
                    self.failures.fetch_add(1, Ordering::Relaxed)
                }
            };
            job.settle(result);
        }
        if let Some(tell) = self.settled.get() {
            tell();
        }
    }

    fn complain(&self, error: &StoreError) {
        let now = unix_time().as_micros() / 1_000_000;
        if now.saturating_sub(self.complained.load(Ordering::Relaxed)) >= COMPLAINT_EVERY_SECONDS {
            self.complained.store(now, Ordering::Relaxed);
            tracing::warn!(%error, "what was to be stored is not");
        }
    }
}

/// A thread of the store.
pub(super) type Thread = JoinHandle<()>;

/// Whether it is this one.
pub(super) fn is_current(thread: &Thread) -> bool {
    thread.thread().id() == std::thread::current().id()
}

/// Waits for a thread's end, unless it is this one.
pub(super) fn join(thread: Option<Thread>) {
    if let Some(thread) = thread
        && !is_current(&thread)
        && thread.join().is_err()
    {
        tracing::error!("a thread of the store failed");
    }
}

/// What all jobs of a group are told after a fault of ours.
pub(super) fn faulted(jobs: &[Job]) -> Vec<Result<(), StoreError>> {
    tracing::error!("a fault in the store");
    vec![Err(StoreError::Broken("a fault within it; nothing was stored".to_owned())); jobs.len()]
}
