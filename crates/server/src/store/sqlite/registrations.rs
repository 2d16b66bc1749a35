//! Targets that want the events of a channel: hooks, devices, mailboxes, browsers (I-4.31 to I-4.37).

use super::numbers;
use super::reads::time;
use crate::store::change::{Register, Targets};
use crate::store::row::{Counts, Family, FamilyCount, Registration, RegistrationRow};
use rusqlite::{Connection, OptionalExtension, Row};
use tidings_hub::AppId;

const COLUMNS: &str = "id, target, channel, p256dh, auth, created";

fn row(family: Family) -> impl Fn(&Row<'_>) -> rusqlite::Result<RegistrationRow> {
    move |row| {
        let registration = Registration { family, target: row.get(1)?, channel: row.get(2)?, p256dh: row.get(3)?, auth: row.get(4)? };
        Ok(RegistrationRow { id: row.get(0)?, registration, created: time(row.get(5)?) })
    }
}

pub(super) fn register(connection: &Connection, register: &Register) -> rusqlite::Result<RegistrationRow> {
    let wanted = &register.registration;
    let app = numbers::make_app(connection, &register.app)?;
    let family = wanted.family as i64;
    if register.replace {
        let delete = "DELETE FROM registrations WHERE app = ?1 AND family = ?2 AND target = ?3";
        connection.prepare_cached(delete)?.execute((app, family, &wanted.target))?;
    }
    let find = format!("SELECT {COLUMNS} FROM registrations WHERE app = ?1 AND family = ?2 AND target = ?3 AND channel = ?4");
    let found =
        connection.prepare_cached(&find)?.query_row((app, family, &wanted.target, &wanted.channel), row(wanted.family)).optional()?;
    if let Some(row) = found {
        return Ok(row);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO registrations (app, family, target, channel, p256dh, auth, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let created = register.now.as_micros().cast_signed();
    let id = insert.insert((app, family, &wanted.target, &wanted.channel, &wanted.p256dh, &wanted.auth, created))?;
    Ok(RegistrationRow { id, registration: wanted.clone(), created: register.now })
}

/// Removes the registrations of a target, and returns them.
pub(super) fn unregister(connection: &Connection, targets: &Targets) -> rusqlite::Result<Vec<RegistrationRow>> {
    let found = list(connection, &targets.app, targets.family, Some(&targets.target), targets.channel.as_deref())?;
    let mut delete = connection.prepare_cached("DELETE FROM registrations WHERE id = ?1")?;
    for row in &found {
        delete.execute([row.id])?;
    }
    Ok(found)
}

/// The registrations of an app and family in the order in which they were made, of one target or all, for one channel or all.
pub(super) fn list(
    connection: &Connection,
    app: &AppId,
    family: Family,
    target: Option<&str>,
    channel: Option<&str>,
) -> rusqlite::Result<Vec<RegistrationRow>> {
    let Some(app) = numbers::app(connection, app)? else { return Ok(Vec::new()) };
    let by = match (target, channel) {
        (Some(_), Some(_)) => "target = ?3 AND channel = ?4",
        (Some(_), None) => "target = ?3 AND ?4 IS NULL",
        (None, Some(_)) => "channel = ?4 AND ?3 IS NULL",
        (None, None) => "?3 IS NULL AND ?4 IS NULL",
    };
    let sql = format!("SELECT {COLUMNS} FROM registrations WHERE app = ?1 AND family = ?2 AND {by} ORDER BY id");
    connection.prepare_cached(&sql)?.query_map((app, family as i64, target, channel), row(family))?.collect()
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    let mut counts = Counts { apps: connection.query_row("SELECT count(*) FROM apps", [], |row| row.get(0))?, ..Counts::default() };
    let mut statement = connection.prepare_cached("SELECT count(*), count(DISTINCT app) FROM registrations WHERE family = ?1")?;
    for (family, count) in Family::ALL.iter().zip(&mut counts.registrations) {
        *count = statement.query_row([*family as i64], |row| Ok(FamilyCount { registrations: row.get(0)?, apps: row.get(1)? }))?;
    }
    Ok(counts)
}
