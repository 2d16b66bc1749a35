//! Events as they were stored.

use super::numbers;
use crate::store::row::EventRow;
use rusqlite::{Connection, Row};
use tidings_hub::{AppId, UnixTime};

const COLUMNS: &str =
    "SELECT e.id, c.name, e.mid, e.owner, e.at, e.name, e.data, e.extras FROM events e JOIN channels c ON c.id = e.channel";

/// A moment as it is kept: microseconds since 1970.
pub(super) fn time(micros: i64) -> UnixTime {
    UnixTime::from_micros(micros.cast_unsigned())
}

fn row(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: row.get(0)?,
        channel: row.get(1)?,
        mid: u128::from_be_bytes(row.get(2)?),
        owner: row.get(3)?,
        at: time(row.get(4)?),
        name: row.get(5)?,
        data: row.get(6)?,
        extras: row.get(7)?,
    })
}

/// The events of a channel or of the whole app, newest first.
pub(super) fn channel_events(
    connection: &Connection,
    app: &AppId,
    channel: Option<&str>,
    skip: u32,
    count: u32,
) -> rusqlite::Result<Vec<EventRow>> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(Vec::new()) };
    let (by, number) = match channel {
        None => ("e.app", app),
        Some(name) => match numbers::channel(connection, app, name)? {
            None => return Ok(Vec::new()),
            Some(id) => ("e.channel", id),
        },
    };
    let sql = format!("{COLUMNS} WHERE {by} = ?1 ORDER BY e.id DESC LIMIT ?2 OFFSET ?3");
    connection.prepare_cached(&sql)?.query_map((number, count, skip), row)?.collect()
}

/// Events in the order of their ids in the list.
pub(super) fn events_by_id(connection: &Connection, ids: &[i64]) -> rusqlite::Result<Vec<EventRow>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} WHERE e.id = ?1"))?;
    ids.iter().map(|id| statement.query_row([id], row)).collect()
}
