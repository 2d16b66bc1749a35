//! What a channel's readers have missed that were away.

use super::Sqlite;
use super::numbers;
use crate::store::error::StoreError;
use crate::store::history::{Coverage, HistoryRow, PageSize, RUNS_MAX};
use rusqlite::{Connection, OptionalExtension, Row};
use tidings_hub::{AppId, ChannelName, Position};

/// The last id that was given to an event.
const LAST: &str = "(SELECT seq FROM sqlite_sequence WHERE name = 'events')";

impl Sqlite {
    pub(in crate::store) async fn trace(
        &self,
        app: &AppId,
        positions: Vec<(ChannelName, Position)>,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let app = app.clone();
        self.readers.read(move |connection| trace(connection, &app, &positions)).await
    }

    pub(in crate::store) async fn behind(
        &self,
        app: &AppId,
        channel: &ChannelName,
        place: i64,
        until: Position,
        size: PageSize,
    ) -> Result<Option<Vec<HistoryRow>>, StoreError> {
        let (app, channel) = (app.clone(), channel.clone());
        self.readers.read(move |connection| behind(connection, &app, &channel, place, until, size)).await
    }
}

pub(super) fn begin_run(connection: &Connection, epoch: u64) -> rusqlite::Result<()> {
    let begin = format!("INSERT INTO runs (epoch, last) VALUES (?1, {LAST}) ON CONFLICT DO NOTHING");
    connection.prepare_cached(&begin)?.execute([epoch.cast_signed()])?;
    connection.prepare_cached("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - ?1")?.execute([RUNS_MAX])?;
    Ok(())
}

pub(super) fn cover(connection: &Connection, all: &[Coverage]) -> rusqlite::Result<()> {
    let mut apps = connection.prepare_cached("SELECT h.app, n.ident FROM histories h JOIN app_numbers n ON n.number = h.app")?;
    let known: Vec<(i64, String)> = apps.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut end = connection.prepare_cached("DELETE FROM histories WHERE app = ?1")?;
    for (number, ident) in known {
        if all.iter().all(|coverage| coverage.app.as_str() != ident) {
            end.execute([number])?;
        }
    }
    let mut goes_on = connection.prepare_cached("SELECT 1 FROM histories WHERE app = ?1 AND channels = ?2")?;
    // An id of its own, so that whoever was at the last event before it is told from those who come later.
    let mut begin = connection.prepare_cached("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'events'")?;
    let mut note =
        connection.prepare_cached(&format!("INSERT OR REPLACE INTO histories (app, channels, since) VALUES (?1, ?2, {LAST})"))?;
    for Coverage { app, channels, anew } in all {
        let number = numbers::make_app(connection, app)?;
        if *anew || !goes_on.exists((number, channels))? {
            begin.execute([])?;
            note.execute((number, channels))?;
        }
    }
    Ok(())
}

fn trace(connection: &Connection, app: &AppId, positions: &[(ChannelName, Position)]) -> rusqlite::Result<Vec<Option<i64>>> {
    let nowhere = || Ok(vec![None; positions.len()]);
    let Some(app) = numbers::app(connection, app)? else { return nowhere() };
    let mut since = connection.prepare_cached("SELECT since FROM histories WHERE app = ?1")?;
    let Some(since) = since.query_row([app], |row| row.get::<_, i64>(0)).optional()? else { return nowhere() };
    let mut place = connection.prepare_cached(
        "SELECT coalesce(
         (SELECT id FROM events WHERE channel = ?1 AND epoch = ?2 AND epoch <> 0 AND serial <= ?3 ORDER BY serial DESC LIMIT 1),
         (SELECT last FROM runs WHERE epoch = ?2))",
    )?;
    let mut places = Vec::with_capacity(positions.len());
    for (channel, position) in positions {
        // One of which nothing is stored has no number.
        let channel = numbers::channel(connection, app, channel.as_str())?.unwrap_or(0);
        let at = (channel, position.epoch.cast_signed(), position.serial.cast_signed());
        let found: Option<i64> = place.query_row(at, |row| row.get(0))?;
        let whole_from = since.max(removed(connection, app, channel)?);
        places.push(found.filter(|place| *place >= whole_from));
    }
    Ok(places)
}

fn behind(
    connection: &Connection,
    app: &AppId,
    channel: &ChannelName,
    place: i64,
    until: Position,
    size: PageSize,
) -> rusqlite::Result<Option<Vec<HistoryRow>>> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(None) };
    let channel = numbers::channel(connection, app, channel.as_str())?.unwrap_or(0);
    if removed(connection, app, channel)? > place {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT id, epoch, serial, name, data FROM events
         WHERE channel = ?1 AND id > ?2 AND NOT (epoch = ?3 AND serial > ?4) ORDER BY id LIMIT ?5",
    )?;
    let mut rows = statement.query((channel, place, until.epoch.cast_signed(), until.serial.cast_signed(), size.events))?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let row = history_row(row)?;
        bytes += row.data.len();
        found.push(row);
        if bytes >= size.bytes {
            break;
        }
    }
    Ok(Some(found))
}

/// The last event that could be one of the channel's and is gone.
fn removed(connection: &Connection, app: i64, channel: i64) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(id), 0) FROM removed WHERE app = ?1 AND channel IN (0, ?2)")?;
    statement.query_row((app, channel), |row| row.get(0))
}

fn history_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let number = |at: usize| row.get::<_, i64>(at).map(i64::cast_unsigned);
    let position = Position { epoch: number(1)?, serial: number(2)? };
    Ok(HistoryRow { id: row.get(0)?, position, name: row.get(3)?, data: row.get(4)? })
}
