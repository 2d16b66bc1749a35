//! What a user is owed (I-3.5): the events of his channels while he followed them, and those of his own channel.

use super::numbers;
use super::reads::events_by_id;
use crate::store::merge::{Interval, Placed, owed};
use crate::store::row::EventRow;
use rusqlite::Connection;
use tidings_hub::AppId;

pub(super) fn personal_events(
    connection: &Connection,
    app: &AppId,
    user_id: &str,
    skip: u32,
    count: u32,
) -> rusqlite::Result<Vec<EventRow>> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(Vec::new()) };
    let own = numbers::channel(connection, app, &format!("personal-{user_id}"))?;
    let mut intervals: Vec<Interval> = own.map(|channel| Interval { channel, since: 0, until: i64::MAX }).into_iter().collect();
    let mut statement =
        connection.prepare_cached("SELECT channel, since, coalesce(until, ?3) FROM subscriptions WHERE app = ?1 AND user_id = ?2")?;
    let found = statement
        .query_map((app, user_id, i64::MAX), |row| Ok(Interval { channel: row.get(0)?, since: row.get(1)?, until: row.get(2)? }))?;
    for interval in found {
        intervals.push(interval?);
    }
    let mut newest = connection.prepare_cached(
        "SELECT id, place FROM events WHERE channel = ?1 AND id > ?2 AND id <= ?3 AND place IS NOT NULL ORDER BY id DESC LIMIT ?4",
    )?;
    let ids = owed(intervals, (skip, count), |interval, limit| {
        let rows = newest.query_map((interval.channel, interval.since, interval.until, limit), |row| {
            Ok(Placed { id: row.get(0)?, place: row.get(1)? })
        })?;
        rows.collect::<rusqlite::Result<Vec<Placed>>>()
    })?;
    events_by_id(connection, &ids)
}
