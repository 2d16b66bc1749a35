//! The events of many publishes as one statement.

use crate::store::row::{Trigger, places};
use tokio_postgres::{Client, Error, Statement};

/// Answers with the first id.
const APPEND: &str = "
    WITH base AS MATERIALIZED (SELECT take_event_ids($1) AS id),
    stored AS (
      INSERT INTO events (id, app, channel, place, epoch, serial, mid, owner, at, name, extras, data)
      SELECT base.id + e.n - 1, e.app, e.channel, e.place, e.epoch, e.serial, e.mid, e.owner, e.at, e.name, e.extras, e.data
      FROM base, unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::text[], $9::bigint[],
        $10::bytea[], $11::bytea[], $12::bytea[]) WITH ORDINALITY
        AS e (app, channel, place, epoch, serial, mid, owner, at, name, extras, data, n)
    )
    SELECT id FROM base";

pub(super) async fn prepare(client: &Client) -> Result<Statement, Error> {
    client.prepare(APPEND).await
}

/// Stores publishes, in their order. Returns the first id.
pub(super) async fn append(client: &Client, statement: &Statement, triggers: &[&Trigger]) -> Result<i64, Error> {
    let mut columns = Columns::default();
    for trigger in triggers {
        columns.add(trigger);
    }
    let mids: Vec<&[u8]> = columns.mids.iter().map(|mid| &mid[..]).collect();
    let count = i64::try_from(mids.len()).unwrap_or(i64::MAX);
    let Columns { apps, channels, places, epochs, serials, owners, ats, names, extras, data, .. } = &columns;
    let row =
        client.query_one(statement, &[&count, apps, channels, places, epochs, serials, &mids, owners, ats, names, extras, data]).await?;
    Ok(row.get(0))
}

#[derive(Default)]
struct Columns<'a> {
    apps: Vec<&'a str>,
    channels: Vec<&'a str>,
    places: Vec<Option<i64>>,
    epochs: Vec<i64>,
    serials: Vec<i64>,
    mids: Vec<[u8; 16]>,
    owners: Vec<Option<&'a str>>,
    ats: Vec<i64>,
    names: Vec<&'a [u8]>,
    extras: Vec<Option<&'a [u8]>>,
    data: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, trigger: &'a Trigger) {
        for (event, place) in trigger.events.iter().zip(places(&trigger.events)) {
            self.apps.push(trigger.app.as_str());
            self.channels.push(event.channel.as_str());
            self.places.push(place);
            self.epochs.push(event.epoch.cast_signed());
            self.serials.push(event.serial.cast_signed());
            self.mids.push(event.mid.to_be_bytes());
            self.owners.push(trigger.owner.as_deref());
            self.ats.push(trigger.at.as_micros().cast_signed());
            self.names.push(event.name.as_bytes());
            self.extras.push(event.extras.as_deref());
            self.data.push(&event.data);
        }
    }
}
