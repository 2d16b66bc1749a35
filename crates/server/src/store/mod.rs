//! What must last: stored events, who follows which channel, registrations, apps made at run time, sessions. Behind one interface stand a file
//! of SQLite and PostgreSQL; what they do is the same, and one suite of tests says so. Nothing here knows a dialect.

mod change;
mod error;
mod history;
mod merge;
mod migration;
mod postgres;
mod queue;
mod retention;
mod row;
mod sqlite;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use error::{BackupError, CreateError, StoreError};
pub(crate) use history::{Coverage, HistoryRow, PageSize};
pub(crate) use queue::{Done, Tally};
pub(crate) use retention::Retention;
pub(crate) use row::{
    Aliases, AppRow, Counts, EventRow, Family, NewApp, NewEvent, Registration, RegistrationRow, SessionRow, SettingsPatch, SettingsRow,
    SubscriptionRow, Trigger,
};
pub(crate) use url::StoreUrl;

use crate::clock::unix_time;
use change::{Answer, Change, Edit, Pair, Register, Reply, Targets};
use postgres::Postgres;
use queue::{Job, Queue};
use smallvec::SmallVec;
use sqlite::Sqlite;
use std::path::Path;
use std::sync::Arc;
use tidings_hub::{AppId, Key, UnixTime};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What a store needs to know.
pub(crate) struct Options {
    pub(crate) url: StoreUrl,
    pub(crate) retention: Retention,
    /// Bytes. Zero: without limit.
    pub(crate) size_max: u64,
    /// How many jobs may wait before publishers should.
    pub(crate) queue_max: usize,
    /// Where queries run.
    pub(crate) runtime: Handle,
}

/// The store. Clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    queue_max: usize,
    runtime: Handle,
}

enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the store, brings its tables up to date, and starts what writes. It blocks.
    ///
    /// # Errors
    /// [`StoreError`]: it cannot be reached, or holds what this release does not know.
    pub(crate) fn open(options: Options) -> Result<Self, StoreError> {
        let Options { url, retention, size_max, queue_max, runtime } = options;
        let backend = match &url {
            StoreUrl::Memory | StoreUrl::Sqlite(_) => Backend::Sqlite(Sqlite::open(&url, size_max, retention, runtime.clone())?),
            StoreUrl::Postgres(url) => Backend::Postgres(Postgres::open(url, size_max, retention, runtime.clone())?),
        };
        Ok(Self { inner: Arc::new(Inner { backend, queue_max, runtime }) })
    }

    fn queue(&self) -> &Queue {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => &sqlite.queue,
            Backend::Postgres(postgres) => &postgres.queue,
        }
    }

    fn push(&self, job: Job) {
        if let Some(job) = self.queue().push(job) {
            // Whoever calls may hold locks that the one who waits needs.
            self.inner.runtime.spawn_blocking(|| job.settle(Err(closed())));
        }
    }

    async fn change<T>(&self, (change, answer): (Change, Answer<T>)) -> Result<T, StoreError> {
        self.push(Job::Change(Box::new(change)));
        answer.await.map_err(|_| closed())?
    }

    /// Queues the events of one publish; never waits, never fails. Commits happen in the order of the calls. `done` runs on the writer's thread
    /// after the commit that holds them, or with why there is none; all `done`s run in the order of the calls. Without events it only keeps
    /// its place among them.
    pub(crate) fn append(&self, trigger: Trigger, done: Done) {
        self.push(Job::Append(trigger, done));
    }

    /// Whether another job may be queued: fewer than `queue_max` are unsettled.
    pub(crate) fn has_room(&self) -> bool {
        self.queue().len() < self.inner.queue_max
    }

    /// Has `tell` called whenever jobs were settled and others may be queued, on the writer's thread.
    pub(crate) fn when_settled(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.queue().when_settled(tell);
    }

    /// What it has done so far.
    pub(crate) fn tally(&self) -> Tally {
        self.queue().tally()
    }

    /// Waits until everything queued before this call is committed or has failed, so that a query finds it.
    pub(crate) async fn settled(&self) {
        let (sender, settled) = oneshot::channel();
        let nothing = Trigger { app: AppId::new(""), at: UnixTime::default(), owner: None, events: SmallVec::new() };
        self.append(nothing, Box::new(|_| drop(sender)));
        // It is dropped, never sent.
        let _: Result<(), _> = settled.await;
    }

    /// The events of a channel, or of the whole app, newest first.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn channel_events(
        &self,
        app: &AppId,
        channel: Option<&str>,
        skip: u32,
        count: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.channel_events(app, channel, skip, count).await,
            Backend::Postgres(postgres) => postgres.database.channel_events(app, channel, skip, count).await,
        }
    }

    /// What a user is owed (I-3.5), newest first: events of the channels that he followed when they came, and of his personal channel; of each
    /// publish only the event of the first listed channel (I-2.14). At most the newest thousand (I-3.8).
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn personal_events(&self, app: &AppId, user_id: &str, skip: u32, count: u32) -> Result<Vec<EventRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.personal_events(app, user_id, skip, count).await,
            Backend::Postgres(postgres) => postgres.database.personal_events(app, user_id, skip, count).await,
        }
    }

    /// The first `max` channels that a user follows.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn aliases(&self, app: &AppId, user_id: &str, max: usize) -> Result<Aliases, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.aliases(app, user_id, max).await,
            Backend::Postgres(postgres) => postgres.database.aliases(app, user_id, max).await,
        }
    }

    /// The subscriptions of one user or all, to one channel or all, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn subscriptions(
        &self,
        app: &AppId,
        user_id: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<SubscriptionRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.subscriptions(app, user_id, channel).await,
            Backend::Postgres(postgres) => postgres.database.subscriptions(app, user_id, channel).await,
        }
    }

    /// The registrations of one target or all, for one channel or all, in the order in which they were made.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn registrations(
        &self,
        app: &AppId,
        family: Family,
        target: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<RegistrationRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.registrations(app, family, target, channel).await,
            Backend::Postgres(postgres) => postgres.database.registrations(app, family, target, channel).await,
        }
    }

    /// The apps that were made at run time, in that order.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn apps(&self) -> Result<Vec<AppRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.apps().await,
            Backend::Postgres(postgres) => postgres.database.apps().await,
        }
    }

    /// A number that grows with each change of an app or of its settings, whichever process makes it.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn apps_version(&self) -> Result<u64, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.apps_version().await,
            Backend::Postgres(postgres) => postgres.database.apps_version().await,
        }
    }

    /// The settings of an app, if any were ever put.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn app_settings(&self, ident: &AppId) -> Result<Option<SettingsRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.app_settings(ident).await,
            Backend::Postgres(postgres) => postgres.database.app_settings(ident).await,
        }
    }

    /// A session, ended or not: the caller looks at `expires`.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn session(&self, token_hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.session(*token_hash).await,
            Backend::Postgres(postgres) => postgres.database.session(*token_hash).await,
        }
    }

    /// How many apps and registrations there are.
    ///
    /// # Errors
    /// [`StoreError`]: the query failed.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.counts().await,
            Backend::Postgres(postgres) => postgres.database.counts().await,
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`]: it does not.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.apps_version().await.map(drop)
    }

    /// Has a user follow a channel. Returns the subscription, and whether it was made now; `first` is shown that on the writer's thread, in the
    /// order of the commits, even if this is dropped midway.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn subscribe(
        &self,
        app: &AppId,
        user_id: &str,
        channel: &str,
        now: UnixTime,
        first: impl FnOnce(&(SubscriptionRow, bool)) + Send + 'static,
    ) -> Result<(SubscriptionRow, bool), StoreError> {
        let (reply, answer) = Reply::shown_to(first);
        self.change((Change::Subscribe(pair(app, user_id, channel), now, reply), answer)).await
    }

    /// Ends a subscription and returns it, if there was one; `first` is shown it as above. What came meanwhile stays owed.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn unsubscribe(
        &self,
        app: &AppId,
        user_id: &str,
        channel: &str,
        first: impl FnOnce(&Option<SubscriptionRow>) + Send + 'static,
    ) -> Result<Option<SubscriptionRow>, StoreError> {
        let (reply, answer) = Reply::shown_to(first);
        self.change((Change::Unsubscribe(pair(app, user_id, channel), reply), answer)).await
    }

    /// Makes a registration, or returns the one that is there. With `replace`, all that the target has in the app and family goes first.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn register(
        &self,
        app: &AppId,
        registration: Registration,
        replace: bool,
        now: UnixTime,
    ) -> Result<RegistrationRow, StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::Register(Register { app: app.clone(), registration, replace, now }, reply), answer)).await
    }

    /// Removes the registrations of a target, for one channel or all, and returns them.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn unregister(
        &self,
        app: &AppId,
        family: Family,
        target: &str,
        channel: Option<&str>,
    ) -> Result<Vec<RegistrationRow>, StoreError> {
        let targets = Targets { app: app.clone(), family, target: target.to_owned(), channel: channel.map(str::to_owned) };
        let (reply, answer) = Reply::new();
        self.change((Change::Unregister(targets, reply), answer)).await
    }

    /// Makes an app, enabled.
    ///
    /// # Errors
    /// [`CreateError`]: its id, name or key is another's, or the store failed; nothing was changed.
    pub(crate) async fn create_app(&self, app: NewApp, now: UnixTime) -> Result<AppRow, CreateError> {
        let (reply, answer) = Reply::new();
        Ok(self.change((Change::CreateApp(app, now, reply), answer)).await??)
    }

    async fn edit(&self, ident: &AppId, edit: Edit) -> Result<Option<AppRow>, CreateError> {
        let (reply, answer) = Reply::new();
        Ok(self.change((Change::EditApp(ident.clone(), edit, unix_time(), reply), answer)).await??)
    }

    /// Switches an app on or off. `None` if there is no such app here.
    ///
    /// # Errors
    /// [`CreateError`]: nothing was changed.
    pub(crate) async fn set_enabled(&self, ident: &AppId, enabled: bool) -> Result<Option<AppRow>, CreateError> {
        self.edit(ident, Edit::Enabled(enabled)).await
    }

    /// Gives an app a new key, which becomes its first. `None` if there is no such app here.
    ///
    /// # Errors
    /// [`CreateError`]: the key is another's, or the store failed; nothing was changed.
    pub(crate) async fn rotate_key(&self, ident: &AppId, key: Key, keep_old: bool) -> Result<Option<AppRow>, CreateError> {
        self.edit(ident, Edit::AddKey { key, keep_old }).await
    }

    /// Takes a key from an app, the last one too. `None` if there is no such app here.
    ///
    /// # Errors
    /// [`CreateError`]: nothing was changed.
    pub(crate) async fn remove_key(&self, ident: &AppId, key: &str) -> Result<Option<AppRow>, CreateError> {
        self.edit(ident, Edit::RemoveKey(key.to_owned())).await
    }

    /// Changes some settings of an app, made here or not. A new name is the app's name too.
    ///
    /// # Errors
    /// [`CreateError`]: the name is that of another app made here, or the store failed; nothing was changed.
    pub(crate) async fn put_settings(&self, ident: &AppId, patch: SettingsPatch, now: UnixTime) -> Result<SettingsRow, CreateError> {
        let (reply, answer) = Reply::new();
        Ok(self.change((Change::PutSettings(ident.clone(), patch, now, reply), answer)).await??)
    }

    /// Keeps a session.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn put_session(&self, session: SessionRow) -> Result<(), StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::PutSession(session, reply), answer)).await
    }

    /// Moves a session's end. Returns whether there is such a session.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn touch_session(&self, token_hash: &[u8; 32], expires: UnixTime) -> Result<bool, StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::TouchSession(*token_hash, expires, reply), answer)).await
    }

    /// Ends a session. Returns whether there was one.
    ///
    /// # Errors
    /// [`StoreError`]: nothing was changed.
    pub(crate) async fn delete_session(&self, token_hash: &[u8; 32]) -> Result<bool, StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::DeleteSession(*token_hash, reply), answer)).await
    }

    /// Whether what is committed is on disk, and the writer at work.
    ///
    /// # Errors
    /// [`StoreError`] says what is not as it should be.
    pub(crate) async fn durability(&self) -> Result<(), StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::Durability(reply), answer)).await
    }

    /// Copies a file of SQLite that may be in use into a new file. It blocks.
    ///
    /// # Errors
    /// [`BackupError`]: there is no such store, the file exists, or the database has its own tool for it.
    pub(crate) fn backup(url: &StoreUrl, file: &Path) -> Result<(), BackupError> {
        match url {
            StoreUrl::Sqlite(path) => sqlite::backup::backup(path, file),
            StoreUrl::Memory => Err(BackupError::Memory),
            StoreUrl::Postgres(_) => Err(BackupError::Postgres),
        }
    }

    /// Writes what waits, and ends the threads. It blocks. Whoever comes later is told that the store is closed.
    pub(crate) fn close(&self) {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.close(),
            Backend::Postgres(postgres) => postgres.close(),
        }
    }

    /// Has everything removed that was kept long enough.
    #[cfg(test)]
    fn prune(&self) {
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.prune(),
            Backend::Postgres(postgres) => postgres.prune(),
        }
    }

    /// Does what no caller can ask for.
    #[cfg(test)]
    async fn execute(&self, sql: &str) -> Result<(), StoreError> {
        let (reply, answer) = Reply::new();
        self.change((Change::Execute(sql.to_owned(), reply), answer)).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.close(),
            Backend::Postgres(postgres) => postgres.close(),
        }
    }
}

fn pair(app: &AppId, user_id: &str, channel: &str) -> Pair {
    Pair { app: app.clone(), user_id: user_id.to_owned(), channel: channel.to_owned() }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
