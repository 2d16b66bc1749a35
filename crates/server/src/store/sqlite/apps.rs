//! Apps that are made while the server runs, the settings of all apps, and who is logged in.

use super::reads::time;
use crate::store::change::Edit;
use crate::store::error::Taken;
use crate::store::row::{AppRow, NewApp, SessionRow, SettingsPatch, SettingsRow};
use rusqlite::{Connection, OptionalExtension, Row};
use tidings_hub::{AppId, Key, UnixTime};

fn micros(time: UnixTime) -> i64 {
    time.as_micros().cast_signed()
}

/// Tells those who keep a copy that it is out of date.
fn changed(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE state SET value = value + 1 WHERE name = 'apps_version'")?.execute([])?;
    Ok(())
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT value FROM state WHERE name = 'apps_version'")?.query_row([], |row| row.get(0))
}

fn exists(connection: &Connection, sql: &str, text: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.exists([text])
}

pub(super) fn create(connection: &Connection, app: &NewApp, now: UnixTime) -> rusqlite::Result<Result<AppRow, Taken>> {
    let ident = app.ident.as_str();
    for (sql, text, taken) in [
        ("SELECT 1 FROM apps WHERE ident = ?1", ident, Taken::Ident),
        ("SELECT 1 FROM apps WHERE name = ?1", &app.name, Taken::Name),
        ("SELECT 1 FROM app_keys WHERE key = ?1", &app.key.key, Taken::Key),
    ] {
        if exists(connection, sql, text)? {
            return Ok(Err(taken));
        }
    }
    let insert = "INSERT INTO apps (ident, name, enabled, created, modified) VALUES (?1, ?2, 1, ?3, ?3)";
    connection.prepare_cached(insert)?.execute((ident, &app.name, micros(now)))?;
    add_key(connection, ident, &app.key)?;
    let patch = SettingsPatch { name: Some(app.name.clone()), ..app.settings.clone() };
    write_settings(connection, &app.ident, &patch, now)?;
    let made = one(connection, &app.ident)?;
    Ok(Ok(made.expect("it was inserted above")))
}

fn add_key(connection: &Connection, ident: &str, key: &Key) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO app_keys (ident, key, secret) VALUES (?1, ?2, ?3)")?.execute((ident, &key.key, &key.secret))?;
    Ok(())
}

pub(super) fn edit(connection: &Connection, ident: &AppId, edit: &Edit, now: UnixTime) -> rusqlite::Result<Result<Option<AppRow>, Taken>> {
    let name = ident.as_str();
    if !exists(connection, "SELECT 1 FROM apps WHERE ident = ?1", name)? {
        return Ok(Ok(None));
    }
    match edit {
        Edit::Enabled(enabled) => {
            connection.prepare_cached("UPDATE apps SET enabled = ?2 WHERE ident = ?1")?.execute((name, enabled))?;
        }
        Edit::AddKey { key, keep_old } => {
            if exists(connection, "SELECT 1 FROM app_keys WHERE key = ?1", &key.key)? {
                return Ok(Err(Taken::Key));
            }
            if !keep_old {
                connection.prepare_cached("DELETE FROM app_keys WHERE ident = ?1")?.execute([name])?;
            }
            add_key(connection, name, key)?;
        }
        Edit::RemoveKey(key) => {
            connection.prepare_cached("DELETE FROM app_keys WHERE ident = ?1 AND key = ?2")?.execute((name, key))?;
        }
    }
    connection.prepare_cached("UPDATE apps SET modified = ?2 WHERE ident = ?1")?.execute((name, micros(now)))?;
    changed(connection)?;
    one(connection, ident).map(Ok)
}

const APPS: &str = "SELECT id, ident, name, enabled, created, modified FROM apps";

fn row(row: &Row<'_>) -> rusqlite::Result<AppRow> {
    Ok(AppRow {
        id: row.get(0)?,
        ident: AppId::new(row.get_ref(1)?.as_str()?),
        name: row.get(2)?,
        keys: Vec::new(),
        enabled: row.get(3)?,
        created: time(row.get(4)?),
        modified: time(row.get(5)?),
    })
}

fn one(connection: &Connection, ident: &AppId) -> rusqlite::Result<Option<AppRow>> {
    let found = connection.prepare_cached(&format!("{APPS} WHERE ident = ?1"))?.query_row([ident.as_str()], row).optional()?;
    found.map(|app| with_keys(connection, app)).transpose()
}

/// All of them, in the order in which they were made.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<AppRow>> {
    let mut statement = connection.prepare_cached(&format!("{APPS} ORDER BY id"))?;
    statement.query_map([], row)?.map(|app| with_keys(connection, app?)).collect()
}

fn with_keys(connection: &Connection, mut app: AppRow) -> rusqlite::Result<AppRow> {
    let mut statement = connection.prepare_cached("SELECT key, secret FROM app_keys WHERE ident = ?1 ORDER BY id DESC")?;
    let keys = statement.query_map([app.ident.as_str()], |row| Ok(Key { key: row.get(0)?, secret: row.get(1)? }))?;
    app.keys = keys.collect::<rusqlite::Result<_>>()?;
    Ok(app)
}

pub(super) fn settings(connection: &Connection, ident: &AppId) -> rusqlite::Result<Option<SettingsRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, description, meta, apn_sandbox, apn_key, apn_cer, apn_key_id, apn_team_id, apn_topic, vapid_key, vapid_email,
                smtp_url, created, modified
         FROM app_settings WHERE ident = ?1",
    )?;
    let row = |row: &Row<'_>| {
        Ok(SettingsRow {
            name: row.get(0)?,
            description: row.get(1)?,
            meta: row.get(2)?,
            apn_sandbox: row.get(3)?,
            apn_key: row.get(4)?,
            apn_cer: row.get(5)?,
            apn_key_id: row.get(6)?,
            apn_team_id: row.get(7)?,
            apn_topic: row.get(8)?,
            vapid_key: row.get(9)?,
            vapid_email: row.get(10)?,
            smtp_url: row.get(11)?,
            created: time(row.get(12)?),
            modified: time(row.get(13)?),
        })
    };
    statement.query_row([ident.as_str()], row).optional()
}

pub(super) fn put_settings(
    connection: &Connection,
    ident: &AppId,
    patch: &SettingsPatch,
    now: UnixTime,
) -> rusqlite::Result<Result<SettingsRow, Taken>> {
    if let Some(name) = &patch.name {
        let mut other = connection.prepare_cached("SELECT 1 FROM apps WHERE name = ?1 AND ident <> ?2")?;
        if other.exists((name, ident.as_str()))? {
            return Ok(Err(Taken::Name));
        }
    }
    // An app of the configuration has no row.
    let update = "UPDATE apps SET name = coalesce(?2, name), modified = ?3 WHERE ident = ?1";
    connection.prepare_cached(update)?.execute((ident.as_str(), &patch.name, micros(now)))?;
    write_settings(connection, ident, patch, now).map(Ok)
}

fn write_settings(connection: &Connection, ident: &AppId, patch: &SettingsPatch, now: UnixTime) -> rusqlite::Result<SettingsRow> {
    let mut row = settings(connection, ident)?.unwrap_or(SettingsRow { created: now, ..SettingsRow::default() });
    patch.apply(&mut row, now);
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO app_settings (ident, name, description, meta, apn_sandbox, apn_key, apn_cer, apn_key_id, apn_team_id,
            apn_topic, vapid_key, vapid_email, smtp_url, created, modified)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    statement.execute((
        ident.as_str(),
        &row.name,
        &row.description,
        &row.meta,
        row.apn_sandbox,
        &row.apn_key,
        &row.apn_cer,
        &row.apn_key_id,
        &row.apn_team_id,
        &row.apn_topic,
        &row.vapid_key,
        &row.vapid_email,
        &row.smtp_url,
        micros(row.created),
        micros(row.modified),
    ))?;
    changed(connection)?;
    Ok(row)
}

pub(super) fn session(connection: &Connection, token_hash: &[u8; 32]) -> rusqlite::Result<Option<SessionRow>> {
    let mut statement = connection.prepare_cached("SELECT app, mark, expires FROM sessions WHERE token_hash = ?1")?;
    let row = |row: &Row<'_>| {
        let app = AppId::new(row.get_ref(0)?.as_str()?);
        Ok(SessionRow { token_hash: *token_hash, app, mark: row.get(1)?, expires: time(row.get(2)?) })
    };
    statement.query_row([token_hash], row).optional()
}

pub(super) fn put_session(connection: &Connection, session: &SessionRow) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO sessions (token_hash, app, mark, expires) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute((session.token_hash, session.app.as_str(), &session.mark, micros(session.expires)))?;
    Ok(())
}

/// Whether there was one.
pub(super) fn touch_session(connection: &Connection, token_hash: &[u8; 32], expires: UnixTime) -> rusqlite::Result<bool> {
    let update = "UPDATE sessions SET expires = ?2 WHERE token_hash = ?1";
    Ok(connection.prepare_cached(update)?.execute((token_hash, micros(expires)))? > 0)
}

/// Whether there was one.
pub(super) fn delete_session(connection: &Connection, token_hash: &[u8; 32]) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached("DELETE FROM sessions WHERE token_hash = ?1")?.execute([token_hash])? > 0)
}
