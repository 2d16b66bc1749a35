//! What a channel's readers have missed that were away.

use super::queries::Database;
use crate::store::error::StoreError;
use crate::store::history::{Coverage, HistoryRow, PageSize, RUNS_MAX};
use tidings_hub::{AppId, ChannelName, Position};
use tokio_postgres::{Client, Error, Row};

pub(super) async fn begin_run(client: &Client, epoch: u64) -> Result<(), Error> {
    let begin = "INSERT INTO runs (epoch, last) SELECT $1::bigint, last_value FROM event_ids ON CONFLICT DO NOTHING";
    client.execute(begin, &[&epoch.cast_signed()]).await?;
    client.execute("DELETE FROM runs WHERE id <= (SELECT max(id) FROM runs) - $1", &[&RUNS_MAX]).await?;
    Ok(())
}

pub(super) async fn cover(client: &Client, all: &[Coverage]) -> Result<(), Error> {
    let apps: Vec<&str> = all.iter().map(|coverage| coverage.app.as_str()).collect();
    client.execute("DELETE FROM histories WHERE app <> ALL ($1)", &[&apps]).await?;
    // An id of its own, so that whoever was at the last event before it is told from those who come later.
    let note = "
        INSERT INTO histories (app, channels, since) SELECT $1::text, $2::text, take_event_ids(1)
        WHERE $3::boolean OR NOT EXISTS (SELECT 1 FROM histories WHERE app = $1 AND channels = $2)
        ON CONFLICT (app) DO UPDATE SET channels = excluded.channels, since = excluded.since";
    for Coverage { app, channels, anew } in all {
        client.execute(note, &[&app.as_str(), channels, anew]).await?;
    }
    Ok(())
}

/// One statement, so that all it says is of one moment.
const TRACE: &str = "
    SELECT (
      SELECT place FROM (
        SELECT coalesce(
          (SELECT id FROM events WHERE app = $1 AND channel = p.channel AND epoch = p.epoch AND epoch <> 0 AND serial <= p.serial
           ORDER BY serial DESC LIMIT 1),
          (SELECT last FROM runs WHERE epoch = p.epoch)) AS place
      ) AS found
      WHERE place >= (SELECT since FROM histories WHERE app = $1)
      AND place >= (SELECT coalesce(max(id), 0) FROM removed WHERE app = $1 AND channel IN ('', p.channel))
    )
    FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS p (channel, epoch, serial, n) ORDER BY p.n";

/// As many as fit, and one at least.
const BEHIND: &str = "
    SELECT id, epoch, serial, name, data FROM (
      SELECT *, sum(octet_length(data)) OVER (ORDER BY id) - octet_length(data) AS before FROM (
        SELECT id, epoch, serial, name, data FROM events
        WHERE app = $1 AND channel = $2 AND id > $3 AND NOT (epoch = $4 AND serial > $5) ORDER BY id LIMIT $6
      ) AS next
    ) AS page
    WHERE before < $7 ORDER BY id";

impl Database {
    pub(in crate::store) async fn trace(&self, app: &AppId, positions: &[(ChannelName, Position)]) -> Result<Vec<Option<i64>>, StoreError> {
        let channels: Vec<&str> = positions.iter().map(|(channel, _)| channel.as_str()).collect();
        let epochs: Vec<i64> = positions.iter().map(|(_, position)| position.epoch.cast_signed()).collect();
        let serials: Vec<i64> = positions.iter().map(|(_, position)| position.serial.cast_signed()).collect();
        let rows = self.rows(TRACE, &[&app.as_str(), &channels, &epochs, &serials]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    pub(in crate::store) async fn behind(
        &self,
        app: &AppId,
        channel: &ChannelName,
        place: i64,
        until: Position,
        size: PageSize,
    ) -> Result<Option<Vec<HistoryRow>>, StoreError> {
        let (app, channel) = (app.as_str(), channel.as_str());
        let (epoch, serial) = (until.epoch.cast_signed(), until.serial.cast_signed());
        let (events, bytes) = (i64::from(size.events), i64::try_from(size.bytes).unwrap_or(i64::MAX));
        let rows = self.rows(BEHIND, &[&app, &channel, &place, &epoch, &serial, &events, &bytes]).await?;
        // After the events: what was gone as they were read is known to be gone now.
        let gone = "SELECT 1 FROM removed WHERE app = $1 AND channel IN ('', $2) AND id > $3 LIMIT 1";
        let whole = self.rows(gone, &[&app, &channel, &place]).await?.is_empty();
        Ok(whole.then(|| rows.iter().map(history_row).collect()))
    }
}

fn history_row(row: &Row) -> HistoryRow {
    let number = |at: usize| row.get::<_, i64>(at).cast_unsigned();
    let name: &[u8] = row.get(3);
    HistoryRow {
        id: row.get(0),
        position: Position { epoch: number(1), serial: number(2) },
        name: String::from_utf8_lossy(name).into_owned(),
        data: row.get(4),
    }
}
