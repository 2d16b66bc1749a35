//! The one task that writes, on a thread and a connection of its own: it takes all that waits, commits it at once, tells everybody, and looks
//! again. It connects anew for ever; meanwhile whoever writes waits a little and is told.

use super::care::Notes;
use super::link::{Target, connect, fault, migrate, text};
use super::{append, apps, history, registrations, subscriptions};
use crate::store::change::Change;
#[cfg(test)]
use crate::store::change::statement;
use crate::store::error::{Fault, StoreError};
use crate::store::queue::{Job, Queue, faulted};
use crate::store::row::Trigger;
use std::future::poll_fn;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, Statement};

/// How long a job waits for a lost connection. Those after it are told at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a commit may take before the connection is given up.
const COMMIT_MAX: Duration = Duration::from_secs(15);
/// How long to wait after the first attempt to connect, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How many bytes of events go into one statement.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// A connection that writes.
struct Link {
    client: Client,
    append: Statement,
    /// Which of the server's processes it is, and since when.
    backend: (i32, String),
    /// The last id that is known.
    floor: i64,
}

impl Link {
    async fn new(target: &Target) -> Result<Self, StoreError> {
        let failed = |error: Error| fault(&error).error();
        let client = connect(target).await?;
        migrate(&client).await?;
        let append = append::prepare(&client).await.map_err(failed)?;
        let me = "SELECT pid, backend_start::text, (SELECT last_value FROM event_ids) FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let row = client.query_one(me, &[]).await.map_err(failed)?;
        Ok(Self { client, append, backend: (row.get(0), row.get(1)), floor: row.get(2) })
    }
}

pub(super) struct Writer {
    target: Target,
    notes: Arc<Notes>,
    link: Option<Link>,
}

/// Runs on its thread until the queue is closed and empty; tells `opened` how the first connection went.
pub(super) fn run(target: Target, notes: Arc<Notes>, queue: &Queue, opened: &Sender<Result<(), StoreError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = runtime.map_err(|error| StoreError::Unavailable(error.to_string())).and_then(|runtime| {
        let link = runtime.block_on(Link::new(&target))?;
        Ok((runtime, Writer { target, notes, link: Some(link) }))
    });
    match started {
        Ok((runtime, writer)) => {
            // Nobody waits any more if opening was given up.
            let _ = opened.send(Ok(()));
            runtime.block_on(writer.run(queue));
        }
        Err(error) => {
            let _ = opened.send(Err(error));
        }
    }
}

impl Writer {
    async fn run(mut self, queue: &Queue) {
        let mut jobs = Vec::new();
        loop {
            queue.ready().await;
            if self.link.as_ref().is_none_or(|link| link.client.is_closed()) && !self.away(queue).await {
                break;
            }
            let more = queue.take(&mut jobs);
            if jobs.is_empty() && !more {
                break;
            }
            let results = match unwound(self.commit(&mut jobs)).await {
                Some(results) => results,
                None => {
                    self.link = None;
                    faulted(&jobs)
                }
            };
            queue.settle(jobs.drain(..).zip(results));
        }
    }

    /// Connects again. Returns whether there is a connection; if not, the queue was closed and is empty.
    async fn away(&mut self, queue: &Queue) -> bool {
        self.link = None;
        let target = self.target.clone();
        let mut connecting = pin!(reconnect(&target));
        let mut patience = PATIENCE;
        let mut jobs = Vec::new();
        loop {
            tokio::select! {
                biased;
                link = &mut connecting => {
                    self.link = Some(link);
                    return true;
                }
                // Nothing is taken before both are done, so nothing is lost if the other was first.
                () = async { queue.ready().await; sleep(patience).await } => {
                    patience = Duration::ZERO;
                    let more = queue.take(&mut jobs);
                    let lost = StoreError::Unavailable("the connection to PostgreSQL is lost".to_owned());
                    queue.settle(jobs.drain(..).map(|job| (job, Err(lost.clone()))));
                    if !more {
                        return false;
                    }
                }
            }
        }
    }

    /// Commits all jobs at once; if one of them fails, each for itself.
    async fn commit(&mut self, jobs: &mut [Job]) -> Vec<Result<(), StoreError>> {
        match self.together(jobs).await {
            Ok(()) => vec![Ok(()); jobs.len()],
            Err(Fault::Job(_)) if jobs.len() > 1 => self.apart(jobs).await,
            Err(fault) => vec![Err(fault.error()); jobs.len()],
        }
    }

    async fn apart(&mut self, jobs: &mut [Job]) -> Vec<Result<(), StoreError>> {
        let mut end: Option<StoreError> = None;
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            if let Some(error) = &end {
                results.push(Err(error.clone()));
                continue;
            }
            results.push(self.together(std::slice::from_mut(job)).await.map_err(|fault| match fault {
                Fault::Job(error) => error,
                Fault::Group(error) | Fault::Connection(error) => end.insert(error).clone(),
            }));
        }
        results
    }

    async fn together(&mut self, jobs: &mut [Job]) -> Result<(), Fault> {
        if jobs.iter().all(Job::is_barrier) {
            return Ok(());
        }
        if self.notes.full() && jobs.iter().any(|job| matches!(job, Job::Append(..)) && !job.is_barrier()) {
            return Err(Fault::Job(StoreError::Full));
        }
        let Some(link) = &mut self.link else {
            return Err(Fault::Connection(StoreError::Unavailable("the connection to PostgreSQL is lost".to_owned())));
        };
        let done = match timeout(COMMIT_MAX, link.transaction(jobs)).await {
            Ok(done) => done,
            Err(_) => Err(Fault::Connection(StoreError::Unavailable("PostgreSQL does not answer".to_owned()))),
        };
        match done {
            Ok(()) => self.notes.touch(jobs),
            Err(Fault::Connection(error)) => return self.doubtful(jobs, error).await,
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// The connection was lost, maybe after the commit: asks whether the jobs are there.
    async fn doubtful(&mut self, jobs: &[Job], error: StoreError) -> Result<(), Fault> {
        let Some(old) = self.link.take() else { return Err(Fault::Connection(error)) };
        let mids = jobs.iter().filter_map(|job| match job {
            Job::Append(trigger, _) => trigger.events.first().map(|event| event.mid),
            Job::Change(_) => None,
        });
        let unknown = |error| Fault::Connection(StoreError::Unavailable(format!("{error}; it is not known whether anything was stored")));
        let Some(mid) = mids.into_iter().next() else { return Err(unknown(error)) };
        let asked = async {
            let link = reconnect(&self.target).await;
            let found = link.holds(&old, mid).await;
            (link, found)
        };
        match timeout(PATIENCE, asked).await {
            Ok((link, Ok(found))) => {
                self.link = Some(link);
                if found { Ok(()) } else { Err(Fault::Group(error)) }
            }
            Ok((_, Err(again))) => Err(unknown(StoreError::Unavailable(text(&again)))),
            Err(_) => Err(unknown(error)),
        }
    }
}

/// Connects, however often it takes.
async fn reconnect(target: &Target) -> Link {
    let (mut pause, longest) = PAUSE;
    loop {
        match timeout(COMMIT_MAX, Link::new(target)).await {
            Ok(Ok(link)) => {
                tracing::info!("connected to PostgreSQL again");
                return link;
            }
            Ok(Err(error)) => tracing::warn!(%error, "no connection to PostgreSQL"),
            Err(_) => tracing::warn!("no connection to PostgreSQL in time"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

impl Link {
    /// Whether the event is there, once nothing that `old` began can still be committed.
    async fn holds(&self, old: &Self, mid: u128) -> Result<bool, Error> {
        let (pid, since) = &old.backend;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2";
        while !self.client.query(end, &[pid, since]).await?.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        let find = "SELECT EXISTS (SELECT 1 FROM events WHERE id > $1 AND mid = $2)";
        Ok(self.client.query_one(find, &[&old.floor, &&mid.to_be_bytes()[..]]).await?.get(0))
    }

    async fn transaction(&mut self, jobs: &mut [Job]) -> Result<(), Fault> {
        let steps = steps(jobs);
        // One statement is a transaction of its own, and costs one way there and back.
        if let [Step::Append(range)] = &steps[..] {
            return self.append(&jobs[range.clone()]).await.map_err(|error| fault(&error));
        }
        let done = self.all(jobs, steps).await;
        if matches!(done, Err(Fault::Job(_) | Fault::Group(_))) {
            self.client.batch_execute("ROLLBACK").await.map_err(|error| fault(&error))?;
        }
        done
    }

    async fn all(&mut self, jobs: &mut [Job], steps: Vec<Step>) -> Result<(), Fault> {
        let failed = |error: Error| fault(&error);
        self.client.batch_execute("BEGIN").await.map_err(failed)?;
        for step in steps {
            match step {
                Step::Append(range) => self.append(&jobs[range]).await.map_err(failed)?,
                Step::Change(at) => {
                    if let Job::Change(change) = &mut jobs[at] {
                        self.change(change).await?;
                    }
                }
            }
        }
        self.client.batch_execute("COMMIT").await.map_err(failed)
    }

    async fn append(&mut self, jobs: &[Job]) -> Result<(), Error> {
        let triggers: Vec<&Trigger> = jobs.iter().filter(|job| !job.is_barrier()).filter_map(trigger).collect();
        if !triggers.is_empty() {
            self.floor = append::append(&self.client, &self.append, &triggers).await? - 1;
        }
        Ok(())
    }

    async fn change(&self, change: &mut Change) -> Result<(), Fault> {
        let client = &self.client;
        if let Change::Durability(reply) = change {
            durability(client).await?;
            reply.set(());
            return Ok(());
        }
        self.write(change).await.map_err(|error| fault(&error))
    }

    async fn write(&self, change: &mut Change) -> Result<(), Error> {
        let client = &self.client;
        match change {
            Change::Subscribe(pair, now, reply) => reply.set(subscriptions::subscribe(client, pair, *now).await?),
            Change::Unsubscribe(pair, reply) => reply.set(subscriptions::unsubscribe(client, pair).await?),
            Change::Register(register, reply) => reply.set(registrations::register(client, register).await?),
            Change::Unregister(targets, reply) => reply.set(registrations::unregister(client, targets).await?),
            Change::CreateApp(app, now, reply) => reply.set(apps::create(client, app, *now).await?),
            Change::EditApp(ident, edit, now, reply) => reply.set(apps::edit(client, ident, edit, *now).await?),
            Change::PutSettings(ident, patch, now, reply) => reply.set(apps::put_settings(client, ident, patch, *now).await?),
            Change::BeginRun(epoch, reply) => reply.set(history::begin_run(client, *epoch).await?),
            Change::Cover(all, reply) => reply.set(history::cover(client, all).await?),
            Change::PutSession(session, reply) => reply.set(apps::put_session(client, session).await?),
            Change::TouchSession(token_hash, expires, reply) => reply.set(apps::touch_session(client, token_hash, *expires).await?),
            Change::DeleteSession(token_hash, reply) => reply.set(apps::delete_session(client, token_hash).await?),
            // Here others remove what was kept long enough: they and who writes are not in each other's way.
            Change::Durability(_) | Change::Prune(..) => {}
            #[cfg(test)]
            Change::Execute(sql, reply) => reply.set(client.batch_execute(statement(sql)).await?),
        }
        Ok(())
    }
}

/// What comes of it, or nothing if it panics.
async fn unwound<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What is done at once.
enum Step {
    /// Publishes that follow each other.
    Append(Range<usize>),
    Change(usize),
}

fn trigger(job: &Job) -> Option<&Trigger> {
    match job {
        Job::Append(trigger, _) => Some(trigger),
        Job::Change(_) => None,
    }
}

/// The jobs as few statements, none of them larger than it should be.
fn steps(jobs: &[Job]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut bytes = 0;
    for (at, job) in jobs.iter().enumerate() {
        let Some(trigger) = trigger(job) else {
            steps.push(Step::Change(at));
            continue;
        };
        let own: usize = trigger.events.iter().map(|event| event.data.len() + 256).sum();
        match steps.last_mut() {
            Some(Step::Append(range)) if bytes + own <= STATEMENT_BYTES => range.end = at + 1,
            _ => {
                steps.push(Step::Append(at..at + 1));
                bytes = 0;
            }
        }
        bytes += own;
    }
    steps
}

/// Whether a commit is on disk when it says so.
async fn durability(client: &Client) -> Result<(), Fault> {
    let row = client.query_one("SELECT current_setting('synchronous_commit')", &[]).await.map_err(|error| fault(&error))?;
    match row.get(0) {
        "off" => Err(Fault::Job(StoreError::Broken("its commits are not safe: synchronous_commit is off".to_owned()))),
        _ => Ok(()),
    }
}
