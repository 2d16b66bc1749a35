//! Who follows which channel (I-3.2), and what a user is owed (I-3.5).

use super::queries::{Database, time};
use crate::store::change::Pair;
use crate::store::error::StoreError;
use crate::store::merge::bounded;
use crate::store::row::{Aliases, EventRow, SubscriptionRow};
use tidings_hub::{AppId, UnixTime};
use tokio_postgres::{Client, Error, Row};

const COLUMNS: &str = "id, user_id, channel, created";
const OPEN: &str = "app = $1 AND user_id = $2 AND channel = $3 AND until IS NULL";

fn row(row: &Row) -> SubscriptionRow {
    SubscriptionRow { id: row.get(0), user_id: row.get(1), channel: row.get(2), created: time(row.get(3)) }
}

/// The subscription, and whether it was made now.
pub(super) async fn subscribe(client: &Client, pair: &Pair, now: UnixTime) -> Result<(SubscriptionRow, bool), Error> {
    let insert = format!(
        "INSERT INTO subscriptions (app, user_id, channel, since, created)
         VALUES ($1, $2, $3, (SELECT last_value FROM event_ids), $4)
         ON CONFLICT (app, user_id, channel) WHERE until IS NULL DO NOTHING RETURNING {COLUMNS}"
    );
    let find = format!("SELECT {COLUMNS} FROM subscriptions WHERE {OPEN}");
    let app = pair.app.as_str();
    loop {
        if let Some(made) = client.query_opt(&insert, &[&app, &pair.user_id, &pair.channel, &now.as_micros().cast_signed()]).await? {
            return Ok((row(&made), true));
        }
        // Between the two another process may end it.
        if let Some(found) = client.query_opt(&find, &[&app, &pair.user_id, &pair.channel]).await? {
            return Ok((row(&found), false));
        }
    }
}

/// Ends a subscription. What came while it lasted stays owed.
pub(super) async fn unsubscribe(client: &Client, pair: &Pair) -> Result<Option<SubscriptionRow>, Error> {
    let end = format!("UPDATE subscriptions SET until = (SELECT last_value FROM event_ids) WHERE {OPEN} RETURNING {COLUMNS}");
    let ended = client.query_opt(&end, &[&pair.app.as_str(), &pair.user_id, &pair.channel]).await?;
    let Some(ended) = ended.as_ref().map(row) else { return Ok(None) };
    // One that nothing came by leaves nothing behind, so that coming and going does not pile up.
    let empty = "DELETE FROM subscriptions s WHERE id = $1 AND NOT EXISTS
        (SELECT 1 FROM events e WHERE e.app = s.app AND e.channel = s.channel AND e.id > s.since AND e.id <= s.until)";
    client.execute(empty, &[&ended.id]).await?;
    Ok(Some(ended))
}

impl Database {
    pub(in crate::store) async fn subscriptions(
        &self,
        app: &AppId,
        user_id: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Vec<SubscriptionRow>, StoreError> {
        let by = [("user_id", user_id), ("channel", channel)];
        Ok(self
            .filtered(&format!("SELECT {COLUMNS} FROM subscriptions WHERE app = $1 AND until IS NULL"), &[&app.as_str()], &by)
            .await?
            .iter()
            .map(row)
            .collect())
    }

    pub(in crate::store) async fn aliases(&self, app: &AppId, user_id: &str, max: usize) -> Result<Aliases, StoreError> {
        let limit = i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1);
        let sql = "SELECT channel FROM subscriptions WHERE app = $1 AND user_id = $2 AND until IS NULL ORDER BY id LIMIT $3";
        let rows = self.rows(sql, &[&app.as_str(), &user_id, &limit]).await?;
        let more = rows.len() > max;
        Ok(Aliases { channels: rows.iter().take(max).map(|row| row.get(0)).collect(), more })
    }

    pub(in crate::store) async fn personal_events(
        &self,
        app: &AppId,
        user_id: &str,
        skip: u32,
        count: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let (skip, count) = bounded(skip, count);
        // The newest of each interval; of events of one publish, whose ids without their places are the same, the first.
        let sql = "
            WITH intervals AS (
              SELECT channel, since, coalesce(until, 9223372036854775807) AS until FROM subscriptions WHERE app = $1 AND user_id = $2
              UNION ALL SELECT 'personal-' || $2, 0, 9223372036854775807
            ), owed AS (
              SELECT min(e.id) AS id FROM intervals i CROSS JOIN LATERAL (
                SELECT id, place FROM events
                WHERE app = $1 AND channel = i.channel AND id > i.since AND id <= i.until AND place IS NOT NULL
                ORDER BY id DESC LIMIT $3
              ) e GROUP BY e.id - e.place ORDER BY 1 DESC OFFSET $4 LIMIT $5
            )
            SELECT id, channel, mid, owner, at, name, data, extras FROM events JOIN owed USING (id) ORDER BY id DESC";
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.events(sql, &[&app.as_str(), &user_id, &number(skip + count), &number(skip), &number(count)]).await
    }
}
