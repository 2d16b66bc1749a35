//! What is written beside events: each change is a value, so that a group that failed can be done again one by one.

use super::error::{StoreError, Taken};
use super::history::Coverage;
use super::row::{AppRow, Family, NewApp, Registration, RegistrationRow, SessionRow, SettingsPatch, SettingsRow, SubscriptionRow};
use tidings_hub::{AppId, Key, UnixTime};
use tokio::sync::oneshot;

/// Where the answer to a change goes once it is committed.
pub(super) struct Reply<T> {
    value: Option<T>,
    first: Option<First<T>>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

/// Who is shown the answer before whoever waits for it.
type First<T> = Box<dyn FnOnce(&T) + Send>;

/// Where the answer comes from.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

impl<T> Reply<T> {
    pub(super) fn new() -> (Self, Answer<T>) {
        let (sender, answer) = oneshot::channel();
        (Self { value: None, first: None, sender }, answer)
    }

    /// Shows the answer to `first` as well, on the writer's thread: in the order of the commits, and whether or not somebody still waits for it.
    pub(super) fn shown_to(first: impl FnOnce(&T) + Send + 'static) -> (Self, Answer<T>) {
        let (reply, answer) = Self::new();
        (Self { first: Some(Box::new(first)), ..reply }, answer)
    }

    /// Keeps what the answer will be if the commit succeeds.
    pub(super) fn set(&mut self, value: T) {
        self.value = Some(value);
    }

    fn settle(self, committed: Result<(), StoreError>) {
        let undone = || StoreError::Broken("the change was not done".to_owned());
        let answer = committed.and_then(|()| self.value.ok_or_else(undone));
        if let (Ok(value), Some(first)) = (&answer, self.first) {
            first(value);
        }
        // Whoever asked may have gone.
        let _ = self.sender.send(answer);
    }
}

/// A user and a channel of an app.
pub(super) struct Pair {
    pub(super) app: AppId,
    pub(super) user_id: String,
    pub(super) channel: String,
}

/// Targets of an app, of one channel or of all.
pub(super) struct Targets {
    pub(super) app: AppId,
    pub(super) family: Family,
    pub(super) target: String,
    pub(super) channel: Option<String>,
}

/// A registration to be made.
pub(super) struct Register {
    pub(super) app: AppId,
    pub(super) registration: Registration,
    /// What the target has in the app and family goes first.
    pub(super) replace: bool,
    pub(super) now: UnixTime,
}

/// What is done to an app that exists.
pub(super) enum Edit {
    Enabled(bool),
    AddKey { key: Key, keep_old: bool },
    RemoveKey(String),
}

/// What the background removes, at most [`STEP`](super::retention::STEP) rows at a time.
pub(super) enum Prune {
    /// Events of an app that are too old, by their ids.
    Aged { app: i64, ids: Vec<i64> },
    /// Events of a channel that are too many, by their ids in their order.
    Surplus { app: i64, channel: i64, ids: Vec<i64> },
    /// Intervals of subscriptions from before the oldest event.
    Intervals,
    /// Names of channels of which nothing is left, by their ids.
    Channels(Vec<i64>),
    /// What was noted of events of single channels that are gone, where those of the whole app are gone from later on.
    Marks,
    /// Sessions that ended before this moment.
    Sessions(UnixTime),
    /// Room that the file does not need any more goes back to the system.
    Room,
}

/// One change, with the way back for its answer.
pub(super) enum Change {
    Subscribe(Pair, UnixTime, Reply<(SubscriptionRow, bool)>),
    Unsubscribe(Pair, Reply<Option<SubscriptionRow>>),
    Register(Register, Reply<RegistrationRow>),
    Unregister(Targets, Reply<Vec<RegistrationRow>>),
    CreateApp(NewApp, UnixTime, Reply<Result<AppRow, Taken>>),
    EditApp(AppId, Edit, UnixTime, Reply<Result<Option<AppRow>, Taken>>),
    PutSettings(AppId, SettingsPatch, UnixTime, Reply<Result<SettingsRow, Taken>>),
    PutSession(SessionRow, Reply<()>),
    TouchSession([u8; 32], UnixTime, Reply<bool>),
    DeleteSession([u8; 32], Reply<bool>),
    /// A server with this number runs.
    BeginRun(u64, Reply<()>),
    /// These are all the histories that are kept.
    Cover(Vec<Coverage>, Reply<()>),
    Durability(Reply<()>),
    /// Answered with the number of rows that are gone.
    Prune(Prune, Reply<usize>),
    #[cfg(test)]
    Execute(String, Reply<()>),
}

impl Change {
    /// Answers: after the commit, or with why there was none.
    pub(super) fn settle(self, committed: Result<(), StoreError>) {
        match self {
            Self::Subscribe(.., reply) => reply.settle(committed),
            Self::Unsubscribe(.., reply) => reply.settle(committed),
            Self::Register(.., reply) => reply.settle(committed),
            Self::Unregister(.., reply) => reply.settle(committed),
            Self::CreateApp(.., reply) => reply.settle(committed),
            Self::EditApp(.., reply) => reply.settle(committed),
            Self::PutSettings(.., reply) => reply.settle(committed),
            Self::PutSession(_, reply) | Self::Durability(reply) => reply.settle(committed),
            Self::BeginRun(_, reply) | Self::Cover(_, reply) => reply.settle(committed),
            Self::TouchSession(.., reply) | Self::DeleteSession(_, reply) => reply.settle(committed),
            Self::Prune(_, reply) => reply.settle(committed),
            #[cfg(test)]
            Self::Execute(_, reply) => reply.settle(committed),
        }
    }
}

/// What [`Change::Execute`] runs, unless it is to be a fault.
#[cfg(test)]
pub(super) fn statement(sql: &str) -> &str {
    assert_ne!(sql, FAULT, "on purpose");
    sql
}

/// Has the writer panic instead of executing it.
#[cfg(test)]
pub(super) const FAULT: &str = "FAULT";
