//! What has been kept long enough: how it is found, by who reads, and how it is removed, by who writes.

use super::numbers::Touched;
use crate::store::change::Prune;
use crate::store::retention::{Retention, STEP};
use rusqlite::{Connection, OptionalExtension};
use tidings_hub::{AppId, UnixTime};

/// Of what is noted of channels, what says no more than what is noted of their app.
const IDLE_MARKS: &str =
    "WHERE channel <> 0 AND id <= (SELECT whole.id FROM removed AS whole WHERE whole.app = removed.app AND whole.channel = 0)";
/// Pages that a file may keep for what comes next.
const SPARE_PAGES: i64 = 256;

/// Removes one step's worth. Returns how many rows are gone.
pub(super) fn prune(connection: &Connection, what: &Prune) -> rusqlite::Result<usize> {
    match what {
        Prune::Aged { app, ids } => events(connection, (*app, 0), ids),
        Prune::Surplus { app, channel, ids } => events(connection, (*app, *channel), ids),
        Prune::Marks => connection.prepare_cached(&format!("DELETE FROM removed {IDLE_MARKS}"))?.execute([]),
        Prune::Intervals => connection
            .prepare_cached(
                "DELETE FROM subscriptions WHERE id IN (SELECT id FROM subscriptions WHERE until IS NOT NULL AND until < coalesce(
                 (SELECT min(id) FROM events), (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'events')) LIMIT ?1)",
            )?
            .execute([STEP]),
        // Somebody may have needed the name since it was found.
        Prune::Channels(ids) => each(
            connection,
            "DELETE FROM channels WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE channel = ?1)
             AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE channel = ?1)",
            ids,
        ),
        Prune::Sessions(now) => connection
            .prepare_cached("DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions WHERE expires < ?1 LIMIT ?2)")?
            .execute((now.as_micros().cast_signed(), STEP)),
        Prune::Room => room(connection),
    }
}

/// Removes events, and notes up to where they are gone: of a channel, or as channel 0 of the whole app.
fn events(connection: &Connection, (app, channel): (i64, i64), ids: &[i64]) -> rusqlite::Result<usize> {
    let mark = "INSERT INTO removed (app, channel, id) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET id = max(id, excluded.id)";
    if let Some(last) = ids.iter().max() {
        connection.prepare_cached(mark)?.execute((app, channel, last))?;
    }
    each(connection, "DELETE FROM events WHERE id = ?1", ids)
}

fn each(connection: &Connection, sql: &str, ids: &[i64]) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    ids.iter().map(|id| statement.execute([id])).sum()
}

/// Gives pages at the end of the file back to the system. Returns how many.
fn room(connection: &Connection) -> rusqlite::Result<usize> {
    let free = || connection.pragma_query_value::<i64, _>(None, "freelist_count", |row| row.get(0));
    let before = free()?;
    if before <= SPARE_PAGES {
        return Ok(0);
    }
    // It gives back one page for each step of the statement.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({})", (before - SPARE_PAGES).min(SPARE_PAGES)))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(usize::try_from(before - free()?).unwrap_or(0))
}

/// Apps with events.
pub(super) fn apps(connection: &Connection) -> rusqlite::Result<Vec<(i64, AppId)>> {
    let mut statement = connection.prepare_cached("SELECT number, ident FROM app_numbers")?;
    statement.query_map([], |row| Ok((row.get(0)?, AppId::new(row.get_ref(1)?.as_str()?))))?.collect()
}

/// The next events of an app that are too old, and whether there may be more.
pub(super) fn aged(connection: &Connection, app: i64, oldest: i64) -> rusqlite::Result<(Vec<i64>, bool)> {
    let mut statement = connection.prepare_cached("SELECT id, at FROM events WHERE app = ?1 ORDER BY id LIMIT ?2")?;
    let rows: Vec<(i64, i64)> = statement.query_map((app, STEP), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let ids: Vec<i64> = rows.into_iter().filter(|(_, at)| *at < oldest).map(|(id, _)| id).collect();
    let more = ids.len() == STEP;
    Ok((ids, more))
}

/// Channels that may have too many events, each with its app and the last id that is too many.
pub(super) fn crowded(connection: &Connection, touched: &Touched, retention: &Retention) -> rusqlite::Result<Vec<(i64, i64, i64)>> {
    let channels: Vec<i64> = match touched.all {
        true => connection.prepare_cached("SELECT id FROM channels")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?,
        false => touched.channels.iter().copied().collect(),
    };
    let mut app =
        connection.prepare_cached("SELECT n.number, n.ident FROM channels c JOIN app_numbers n ON n.number = c.app WHERE c.id = ?1")?;
    let mut last = connection.prepare_cached("SELECT id FROM events WHERE channel = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2")?;
    let mut crowded = Vec::new();
    for channel in channels {
        let found: Option<(i64, String)> = app.query_row([channel], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((app, ident)) = found else { continue };
        let Some(most) = retention.events_max(&AppId::new(&ident)) else { continue };
        if let Some(id) = last.query_row((channel, most), |row| row.get(0)).optional()? {
            crowded.push((app, channel, id));
        }
    }
    Ok(crowded)
}

/// The next events of a channel up to an id.
pub(super) fn surplus(connection: &Connection, channel: i64, last: i64) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM events WHERE channel = ?1 AND id <= ?2 ORDER BY id LIMIT ?3")?;
    statement.query_map((channel, last, STEP), |row| row.get(0))?.collect()
}

/// The next channels after one that nothing is kept of, and where to go on.
pub(super) fn empty(connection: &Connection, after: i64) -> rusqlite::Result<(Vec<i64>, Option<i64>)> {
    let mut statement = connection.prepare_cached(
        "SELECT id, EXISTS (SELECT 1 FROM events WHERE channel = c.id) OR EXISTS (SELECT 1 FROM subscriptions WHERE channel = c.id)
         FROM channels c WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows: Vec<(i64, bool)> =
        statement.query_map((after, STEP), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let next = if rows.len() == STEP { rows.last().map(|(id, _)| *id) } else { None };
    Ok((rows.into_iter().filter(|(_, used)| !used).map(|(id, _)| id).collect(), next))
}

/// Whether anything of the kind is there, so that no commit is made for nothing: intervals, sessions, marks.
pub(super) fn due(connection: &Connection, now: UnixTime) -> rusqlite::Result<(bool, bool, bool)> {
    let intervals = connection
        .prepare_cached(
            "SELECT 1 FROM subscriptions WHERE until IS NOT NULL AND until < coalesce((SELECT min(id) FROM events),
             (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'events')) LIMIT 1",
        )?
        .exists([])?;
    let sessions =
        connection.prepare_cached("SELECT 1 FROM sessions WHERE expires < ?1 LIMIT 1")?.exists([now.as_micros().cast_signed()])?;
    let marks = connection.prepare_cached(&format!("SELECT 1 FROM removed {IDLE_MARKS} LIMIT 1"))?.exists([])?;
    Ok((intervals, sessions, marks))
}
