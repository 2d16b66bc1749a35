//! Why the store did not do what it was asked, for a caller who branches and for a reader who has to act.

/// Why something was not stored or not found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The operator's own limit. It goes by itself once old events have been removed.
    #[error("the store has reached its limit `store.size`; raise it or shorten `store.retention`")]
    Full,
    /// The disk's.
    #[error("the disk of the store is full; make room on it")]
    DiskFull,
    /// It may be back soon.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It will not go by itself.
    #[error("the store failed: {0}")]
    Broken(String),
}

/// Why an app or a key was not made, or a name not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CreateError {
    #[error("an app has this name already; choose another")]
    NameTaken,
    #[error("an app has this id already; choose another")]
    IdentTaken,
    #[error("an app has this key already; choose another")]
    KeyTaken,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a store was not copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackupError {
    #[error("it does not exist; name another with --store, or a configuration with --config")]
    Missing,
    #[error("what is in memory is known to its server alone")]
    Memory,
    #[error("PostgreSQL has a tool of its own for that, pg_dump")]
    Postgres,
    #[error("that file exists; name one that does not")]
    Exists,
    #[error("that file cannot be made: {0}")]
    Unmade(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is taken already: an answer of the database, no failure of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Name,
    Ident,
    Key,
}

impl From<Taken> for CreateError {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Name => Self::NameTaken,
            Taken::Ident => Self::IdentTaken,
            Taken::Key => Self::KeyTaken,
        }
    }
}

/// How far a failure within a group of jobs reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Only the job at fault: the others can be done without it.
    Job(StoreError),
    /// All of them: the next group may fare better.
    Group(StoreError),
    /// All of them, and the connection is of no use any more.
    Connection(StoreError),
}

impl Fault {
    pub(super) fn error(self) -> StoreError {
        match self {
            Self::Job(error) | Self::Group(error) | Self::Connection(error) => error,
        }
    }
}
