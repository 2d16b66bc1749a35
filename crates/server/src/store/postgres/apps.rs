//! Apps that are made while the server runs, the settings of all apps, and who is logged in.

use super::queries::{Database, time};
use crate::store::change::Edit;
use crate::store::error::{StoreError, Taken};
use crate::store::row::{AppRow, NewApp, SessionRow, SettingsPatch, SettingsRow};
use tidings_hub::{AppId, Key, UnixTime};
use tokio_postgres::{Client, Error, Row};

fn micros(time: UnixTime) -> i64 {
    time.as_micros().cast_signed()
}

/// One process at a time changes apps, so that what was found free stays free.
async fn alone(client: &Client) -> Result<(), Error> {
    client.batch_execute("SELECT 1 FROM state WHERE name = 'apps_version' FOR UPDATE").await
}

/// Tells those who keep a copy that it is out of date.
async fn changed(client: &Client) -> Result<(), Error> {
    client.batch_execute("UPDATE state SET value = value + 1 WHERE name = 'apps_version'").await
}

async fn exists(client: &Client, sql: &str, text: &str) -> Result<bool, Error> {
    Ok(client.query_opt(sql, &[&text]).await?.is_some())
}

pub(super) async fn create(client: &Client, app: &NewApp, now: UnixTime) -> Result<Result<AppRow, Taken>, Error> {
    alone(client).await?;
    let ident = app.ident.as_str();
    for (sql, text, taken) in [
        ("SELECT 1 FROM apps WHERE ident = $1", ident, Taken::Ident),
        ("SELECT 1 FROM apps WHERE name = $1", &app.name, Taken::Name),
        ("SELECT 1 FROM app_keys WHERE key = $1", &app.key.key, Taken::Key),
    ] {
        if exists(client, sql, text).await? {
            return Ok(Err(taken));
        }
    }
    let insert = "INSERT INTO apps (ident, name, enabled, created, modified) VALUES ($1, $2, true, $3, $3) RETURNING id";
    let id = client.query_one(insert, &[&ident, &app.name, &micros(now)]).await?.get(0);
    add_key(client, ident, &app.key).await?;
    let patch = SettingsPatch { name: Some(app.name.clone()), ..app.settings.clone() };
    write_settings(client, &app.ident, &patch, now).await?;
    let (ident, name, keys) = (app.ident.clone(), app.name.clone(), vec![app.key.clone()]);
    Ok(Ok(AppRow { id, ident, name, keys, enabled: true, created: now, modified: now }))
}

async fn add_key(client: &Client, ident: &str, key: &Key) -> Result<u64, Error> {
    client.execute("INSERT INTO app_keys (ident, key, secret) VALUES ($1, $2, $3)", &[&ident, &key.key, &key.secret]).await
}

pub(super) async fn edit(client: &Client, ident: &AppId, edit: &Edit, now: UnixTime) -> Result<Result<Option<AppRow>, Taken>, Error> {
    let name = ident.as_str();
    alone(client).await?;
    if !exists(client, "SELECT 1 FROM apps WHERE ident = $1", name).await? {
        return Ok(Ok(None));
    }
    match edit {
        Edit::Enabled(enabled) => client.execute("UPDATE apps SET enabled = $2 WHERE ident = $1", &[&name, enabled]).await?,
        Edit::AddKey { key, keep_old } => {
            if exists(client, "SELECT 1 FROM app_keys WHERE key = $1", &key.key).await? {
                return Ok(Err(Taken::Key));
            }
            if !keep_old {
                client.execute("DELETE FROM app_keys WHERE ident = $1", &[&name]).await?;
            }
            add_key(client, name, key).await?
        }
        Edit::RemoveKey(key) => client.execute("DELETE FROM app_keys WHERE ident = $1 AND key = $2", &[&name, key]).await?,
    };
    client.execute("UPDATE apps SET modified = $2 WHERE ident = $1", &[&name, &micros(now)]).await?;
    changed(client).await?;
    Ok(Ok(client.query_opt(&format!("{APPS} WHERE ident = $1"), &[&name]).await?.as_ref().map(row)))
}

const APPS: &str = "SELECT id, ident, name, enabled, created, modified,
    ARRAY(SELECT key FROM app_keys k WHERE k.ident = apps.ident ORDER BY k.id DESC),
    ARRAY(SELECT secret FROM app_keys k WHERE k.ident = apps.ident ORDER BY k.id DESC) FROM apps";

fn row(row: &Row) -> AppRow {
    let (keys, secrets): (Vec<String>, Vec<String>) = (row.get(6), row.get(7));
    AppRow {
        id: row.get(0),
        ident: AppId::new(row.get(1)),
        name: row.get(2),
        keys: keys.into_iter().zip(secrets).map(|(key, secret)| Key { key, secret }).collect(),
        enabled: row.get(3),
        created: time(row.get(4)),
        modified: time(row.get(5)),
    }
}

const SETTINGS: &str = "SELECT name, description, meta, apn_sandbox, apn_key, apn_cer, apn_key_id, apn_team_id, apn_topic, vapid_key,
        vapid_email, smtp_url, created, modified
    FROM app_settings WHERE ident = $1";

fn settings(row: &Row) -> SettingsRow {
    SettingsRow {
        name: row.get(0),
        description: row.get(1),
        meta: row.get(2),
        apn_sandbox: row.get(3),
        apn_key: row.get(4),
        apn_cer: row.get(5),
        apn_key_id: row.get(6),
        apn_team_id: row.get(7),
        apn_topic: row.get(8),
        vapid_key: row.get(9),
        vapid_email: row.get(10),
        smtp_url: row.get(11),
        created: time(row.get(12)),
        modified: time(row.get(13)),
    }
}

pub(super) async fn put_settings(
    client: &Client,
    ident: &AppId,
    patch: &SettingsPatch,
    now: UnixTime,
) -> Result<Result<SettingsRow, Taken>, Error> {
    alone(client).await?;
    if let Some(name) = &patch.name
        && client.query_opt("SELECT 1 FROM apps WHERE name = $1 AND ident <> $2", &[name, &ident.as_str()]).await?.is_some()
    {
        return Ok(Err(Taken::Name));
    }
    // An app of the configuration has no row.
    let update = "UPDATE apps SET name = coalesce($2, name), modified = $3 WHERE ident = $1";
    client.execute(update, &[&ident.as_str(), &patch.name, &micros(now)]).await?;
    write_settings(client, ident, patch, now).await.map(Ok)
}

async fn write_settings(client: &Client, ident: &AppId, patch: &SettingsPatch, now: UnixTime) -> Result<SettingsRow, Error> {
    let found = client.query_opt(SETTINGS, &[&ident.as_str()]).await?;
    let mut row = found.as_ref().map_or(SettingsRow { created: now, ..SettingsRow::default() }, settings);
    patch.apply(&mut row, now);
    client.execute("DELETE FROM app_settings WHERE ident = $1", &[&ident.as_str()]).await?;
    client
        .execute(
            "INSERT INTO app_settings (ident, name, description, meta, apn_sandbox, apn_key, apn_cer, apn_key_id, apn_team_id, apn_topic,
                vapid_key, vapid_email, smtp_url, created, modified)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            &[
                &ident.as_str(),
                &row.name,
                &row.description,
                &row.meta,
                &row.apn_sandbox,
                &row.apn_key,
                &row.apn_cer,
                &row.apn_key_id,
                &row.apn_team_id,
                &row.apn_topic,
                &row.vapid_key,
                &row.vapid_email,
                &row.smtp_url,
                &micros(row.created),
                &micros(row.modified),
            ],
        )
        .await?;
    changed(client).await?;
    Ok(row)
}

pub(super) async fn put_session(client: &Client, session: &SessionRow) -> Result<(), Error> {
    let put = "INSERT INTO sessions (token_hash, app, mark, expires) VALUES ($1, $2, $3, $4)
        ON CONFLICT (token_hash) DO UPDATE SET app = excluded.app, mark = excluded.mark, expires = excluded.expires";
    client.execute(put, &[&&session.token_hash[..], &session.app.as_str(), &session.mark, &micros(session.expires)]).await?;
    Ok(())
}

/// Whether there was one.
pub(super) async fn touch_session(client: &Client, token_hash: &[u8; 32], expires: UnixTime) -> Result<bool, Error> {
    Ok(client.execute("UPDATE sessions SET expires = $2 WHERE token_hash = $1", &[&&token_hash[..], &micros(expires)]).await? > 0)
}

/// Whether there was one.
pub(super) async fn delete_session(client: &Client, token_hash: &[u8; 32]) -> Result<bool, Error> {
    Ok(client.execute("DELETE FROM sessions WHERE token_hash = $1", &[&&token_hash[..]]).await? > 0)
}

impl Database {
    pub(in crate::store) async fn apps(&self) -> Result<Vec<AppRow>, StoreError> {
        Ok(self.rows(&format!("{APPS} ORDER BY id"), &[]).await?.iter().map(row).collect())
    }

    pub(in crate::store) async fn apps_version(&self) -> Result<u64, StoreError> {
        let rows = self.rows("SELECT value FROM state WHERE name = 'apps_version'", &[]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned()))
    }

    pub(in crate::store) async fn app_settings(&self, ident: &AppId) -> Result<Option<SettingsRow>, StoreError> {
        Ok(self.rows(SETTINGS, &[&ident.as_str()]).await?.first().map(settings))
    }

    pub(in crate::store) async fn session(&self, token_hash: [u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        let rows = self.rows("SELECT app, mark, expires FROM sessions WHERE token_hash = $1", &[&&token_hash[..]]).await?;
        Ok(rows.first().map(|row| SessionRow { token_hash, app: AppId::new(row.get(0)), mark: row.get(1), expires: time(row.get(2)) }))
    }
}
