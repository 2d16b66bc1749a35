//! Who follows which channel (I-3.2). What a user is owed follows from when he began and ended to follow, so nothing is written per event.

use super::numbers;
use super::reads::time;
use crate::store::change::Pair;
use crate::store::row::{Aliases, SubscriptionRow};
use rusqlite::{Connection, OptionalExtension, Row};
use tidings_hub::{AppId, UnixTime};

const COLUMNS: &str = "SELECT s.id, s.user_id, c.name, s.created FROM subscriptions s JOIN channels c ON c.id = s.channel";

fn row(row: &Row<'_>) -> rusqlite::Result<SubscriptionRow> {
    Ok(SubscriptionRow { id: row.get(0)?, user_id: row.get(1)?, channel: row.get(2)?, created: time(row.get(3)?) })
}

/// The subscription, and whether it was made now.
pub(super) fn subscribe(connection: &Connection, pair: &Pair, now: UnixTime) -> rusqlite::Result<(SubscriptionRow, bool)> {
    let app = numbers::make_app(connection, &pair.app)?;
    let channel = numbers::make_channel(connection, app, &pair.channel)?;
    if let Some(row) = open(connection, app, &pair.user_id, channel)? {
        return Ok((row, false));
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO subscriptions (app, user_id, channel, since, created)
         VALUES (?1, ?2, ?3, (SELECT seq FROM sqlite_sequence WHERE name = 'events'), ?4)",
    )?;
    let id = insert.insert((app, &pair.user_id, channel, now.as_micros().cast_signed()))?;
    Ok((SubscriptionRow { id, user_id: pair.user_id.clone(), channel: pair.channel.clone(), created: now }, true))
}

fn open(connection: &Connection, app: i64, user_id: &str, channel: i64) -> rusqlite::Result<Option<SubscriptionRow>> {
    let sql = format!("{COLUMNS} WHERE s.app = ?1 AND s.user_id = ?2 AND s.channel = ?3 AND s.until IS NULL");
    connection.prepare_cached(&sql)?.query_row((app, user_id, channel), row).optional()
}

/// Ends a subscription. What came while it lasted stays owed.
pub(super) fn unsubscribe(connection: &Connection, pair: &Pair) -> rusqlite::Result<Option<SubscriptionRow>> {
    let Some(app) = numbers::app(connection, &pair.app)? else { return Ok(None) };
    let Some(channel) = numbers::channel(connection, app, &pair.channel)? else { return Ok(None) };
    let Some(ended) = open(connection, app, &pair.user_id, channel)? else { return Ok(None) };
    // One that nothing came by leaves nothing behind, so that coming and going does not pile up.
    let owed = "SELECT 1 FROM events e JOIN subscriptions s ON e.channel = s.channel AND e.id > s.since WHERE s.id = ?1 LIMIT 1";
    let end = match connection.prepare_cached(owed)?.exists([ended.id])? {
        true => "UPDATE subscriptions SET until = (SELECT seq FROM sqlite_sequence WHERE name = 'events') WHERE id = ?1",
        false => "DELETE FROM subscriptions WHERE id = ?1",
    };
    connection.prepare_cached(end)?.execute([ended.id])?;
    Ok(Some(ended))
}

/// The subscriptions of an app in the order in which they were made, of one user or all, to one channel or all.
pub(super) fn list(
    connection: &Connection,
    app: &AppId,
    user_id: Option<&str>,
    channel: Option<&str>,
) -> rusqlite::Result<Vec<SubscriptionRow>> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(Vec::new()) };
    let channel = match channel {
        None => None,
        Some(name) => match numbers::channel(connection, app, name)? {
            None => return Ok(Vec::new()),
            id => id,
        },
    };
    let by = match (user_id, channel) {
        (Some(_), Some(_)) => "s.user_id = ?2 AND s.channel = ?3",
        (Some(_), None) => "s.user_id = ?2 AND ?3 IS NULL",
        (None, Some(_)) => "s.channel = ?3 AND ?2 IS NULL",
        (None, None) => "?2 IS NULL AND ?3 IS NULL",
    };
    let sql = format!("{COLUMNS} WHERE s.app = ?1 AND {by} AND s.until IS NULL ORDER BY s.id");
    connection.prepare_cached(&sql)?.query_map((app, user_id, channel), row)?.collect()
}

/// The first channels that a user follows.
pub(super) fn aliases(connection: &Connection, app: &AppId, user_id: &str, max: usize) -> rusqlite::Result<Aliases> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(Aliases { channels: Vec::new(), more: false }) };
    // By this index they come in the order in which they were made; no other is as good when there are many.
    let mut statement = connection.prepare_cached(
        "SELECT c.name FROM subscriptions s INDEXED BY subscriptions_of_user JOIN channels c ON c.id = s.channel
         WHERE s.app = ?1 AND s.user_id = ?2 AND s.until IS NULL ORDER BY s.id LIMIT ?3",
    )?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1);
    let mut channels: Vec<String> = statement.query_map((app, user_id, limit), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let more = channels.len() > max;
    channels.truncate(max);
    Ok(Aliases { channels, more })
}
