//! The numbers of apps and channels, which stand in events for their names, and what the writer remembers of them.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension};
use tidings_hub::{AppId, ChannelName};

/// How many channels are remembered. Beyond it all are forgotten and asked for again.
const REMEMBERED_MAX: usize = 65_536;
/// How many channels are noted one by one for whoever removes what is too much.
const TOUCHED_MAX: usize = 65_536;

/// What the writer remembers. It must be forgotten when anybody else writes, and when a transaction is undone.
#[derive(Default)]
pub(super) struct Numbers {
    apps: HashMap<AppId, Known, RandomState>,
    count: usize,
}

struct Known {
    number: i64,
    channels: HashMap<ChannelName, i64, RandomState>,
}

impl Numbers {
    pub(super) fn forget(&mut self) {
        self.apps.clear();
        self.count = 0;
    }

    /// The numbers of an app and of one of its channels, made if they are missing.
    pub(super) fn of(&mut self, connection: &Connection, app: &AppId, channel: &ChannelName) -> rusqlite::Result<(i64, i64)> {
        if let Some(known) = self.apps.get(app)
            && let Some(id) = known.channels.get(channel)
        {
            return Ok((known.number, *id));
        }
        if self.count >= REMEMBERED_MAX {
            self.forget();
        }
        let number = match self.apps.get(app) {
            Some(known) => known.number,
            None => make_app(connection, app)?,
        };
        let id = make_channel(connection, number, channel.as_str())?;
        let known = self.apps.entry(app.clone()).or_insert_with(|| Known { number, channels: HashMap::default() });
        known.channels.insert(channel.clone(), id);
        self.count += 1;
        Ok((number, id))
    }
}

/// The number of an app that has one.
pub(super) fn app(connection: &Connection, app: &AppId) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached("SELECT number FROM app_numbers WHERE ident = ?1")?.query_row([app.as_str()], |row| row.get(0)).optional()
}

/// The number of an app, made if it has none.
pub(super) fn make_app(connection: &Connection, ident: &AppId) -> rusqlite::Result<i64> {
    if let Some(number) = app(connection, ident)? {
        return Ok(number);
    }
    connection.prepare_cached("INSERT INTO app_numbers (ident) VALUES (?1)")?.insert([ident.as_str()])
}

/// The number of a channel that has one.
pub(super) fn channel(connection: &Connection, app: i64, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM channels WHERE app = ?1 AND name = ?2")?;
    statement.query_row((app, name), |row| row.get(0)).optional()
}

/// The number of a channel, made if it has none.
pub(super) fn make_channel(connection: &Connection, app: i64, name: &str) -> rusqlite::Result<i64> {
    if let Some(id) = channel(connection, app, name)? {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO channels (app, name) VALUES (?1, ?2)")?.insert((app, name))
}

/// The channels that got events since somebody looked.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) channels: HashSet<i64, RandomState>,
    /// There were too many to be noted, or nobody looked since the start.
    pub(super) all: bool,
}

impl Touched {
    pub(super) fn add(&mut self, channels: impl IntoIterator<Item = i64>) {
        if self.all {
            return;
        }
        self.channels.extend(channels);
        if self.channels.len() > TOUCHED_MAX {
            *self = Self { all: true, ..Self::default() };
        }
    }
}
