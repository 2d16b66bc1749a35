//! Targets that want the events of a channel: hooks, devices, mailboxes, browsers (I-4.31 to I-4.37).

use super::queries::{Database, time};
use crate::store::change::{Register, Targets};
use crate::store::error::StoreError;
use crate::store::row::{Counts, Family, FamilyCount, Registration, RegistrationRow};
use tidings_hub::AppId;
use tokio_postgres::{Client, Error, Row};

const COLUMNS: &str = "id, target, channel, p256dh, auth, created";

fn row(family: Family) -> impl Fn(&Row) -> RegistrationRow {
    move |row| {
        let registration = Registration { family, target: row.get(1), channel: row.get(2), p256dh: row.get(3), auth: row.get(4) };
        RegistrationRow { id: row.get(0), registration, created: time(row.get(5)) }
    }
}

pub(super) async fn register(client: &Client, register: &Register) -> Result<RegistrationRow, Error> {
    let (app, wanted) = (register.app.as_str(), &register.registration);
    let family = wanted.family as i64;
    if register.replace {
        client
            .execute("DELETE FROM registrations WHERE app = $1 AND family = $2 AND target = $3", &[&app, &family, &wanted.target])
            .await?;
    }
    let insert = format!(
        "INSERT INTO registrations (app, family, target, channel, p256dh, auth, created) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (app, family, target, channel) DO NOTHING RETURNING {COLUMNS}"
    );
    let find = format!("SELECT {COLUMNS} FROM registrations WHERE app = $1 AND family = $2 AND target = $3 AND channel = $4");
    let created = register.now.as_micros().cast_signed();
    loop {
        let made =
            client.query_opt(&insert, &[&app, &family, &wanted.target, &wanted.channel, &wanted.p256dh, &wanted.auth, &created]).await?;
        if let Some(made) = made {
            return Ok(row(wanted.family)(&made));
        }
        // Between the two another process may remove it.
        if let Some(found) = client.query_opt(&find, &[&app, &family, &wanted.target, &wanted.channel]).await? {
            return Ok(row(wanted.family)(&found));
        }
    }
}

/// Removes the registrations of a target, and returns them.
pub(super) async fn unregister(client: &Client, targets: &Targets) -> Result<Vec<RegistrationRow>, Error> {
    let delete = format!(
        "WITH gone AS (
           DELETE FROM registrations WHERE app = $1 AND family = $2 AND target = $3 AND channel = coalesce($4, channel) RETURNING {COLUMNS}
         ) SELECT * FROM gone ORDER BY id"
    );
    let rows = client.query(&delete, &[&targets.app.as_str(), &(targets.family as i64), &targets.target, &targets.channel]).await?;
    Ok(rows.iter().map(row(targets.family)).collect())
}

impl Database {
    pub(in crate::store) async fn registrations(
        &self,
        app: &AppId,
        family: Family,
        target: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<RegistrationRow>, StoreError> {
        let by = [("target", target), ("channel", channel)];
        let sql = format!("SELECT {COLUMNS} FROM registrations WHERE app = $1 AND family = $2");
        Ok(self.filtered(&sql, &[&app.as_str(), &(family as i64)], &by).await?.iter().map(row(family)).collect())
    }

    pub(in crate::store) async fn counts(&self) -> Result<Counts, StoreError> {
        let number = |row: &Row, at: usize| row.get::<_, i64>(at).cast_unsigned();
        let apps = self.rows("SELECT count(*) FROM apps", &[]).await?;
        let mut counts = Counts { apps: apps.first().map_or(0, |row| number(row, 0)), ..Counts::default() };
        for row in self.rows("SELECT family, count(*), count(DISTINCT app) FROM registrations GROUP BY family", &[]).await? {
            let family = Family::ALL.iter().position(|family| *family as i64 == row.get::<_, i64>(0));
            if let Some(family) = family {
                counts.registrations[family] = FamilyCount { registrations: number(&row, 1), apps: number(&row, 2) };
            }
        }
        Ok(counts)
    }
}
