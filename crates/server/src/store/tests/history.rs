//! What a channel's readers have missed that were away, and whether that is all.

use super::retention::prune;
use super::{Bench, app, at, event, now, store, trigger_of};
use crate::store::history::{Coverage, PageSize, RUNS_MAX};
use crate::store::row::NewEvent;
use crate::store::{HistoryRow, Store};
use std::time::Duration;
use tidings_hub::{AppId, ChannelName, Position};
use tokio::task::JoinSet;

const LARGE: PageSize = PageSize { events: 1000, bytes: 1 << 20 };

fn name(channel: &str) -> ChannelName {
    ChannelName::parse(channel).unwrap()
}

fn position((epoch, serial): (u64, u64)) -> Position {
    Position { epoch, serial }
}

/// An event at a position, with that for its data.
fn placed(channel: &str, epoch: u64, serial: u64) -> NewEvent {
    NewEvent { epoch, serial, ..event(channel, &format!("{epoch}@{serial}")) }
}

async fn publish(db: &Store, channel: &str, epoch: u64, serial: u64) {
    store(db, trigger_of(&app(), now(), [placed(channel, epoch, serial)])).await.unwrap();
}

async fn cover(db: &Store, channels: &str, anew: bool) {
    db.cover(vec![Coverage { app: app(), channels: channels.to_owned(), anew }]).await.unwrap();
}

async fn trace(db: &Store, channel: &str, at: (u64, u64)) -> Option<i64> {
    let places = db.trace(&app(), vec![(name(channel), position(at))]).await.unwrap();
    assert_eq!(places.len(), 1);
    places[0]
}

async fn behind(db: &Store, channel: &str, place: i64, size: PageSize) -> Option<Vec<HistoryRow>> {
    db.behind(&app(), &name(channel), place, position((u64::MAX, 0)), size).await.unwrap()
}

fn data(rows: &[HistoryRow]) -> String {
    let shown = |row: &HistoryRow| {
        let data = String::from_utf8(row.data.clone()).unwrap();
        assert_eq!(data, format!("{}@{}", row.position.epoch, row.position.serial));
        data
    };
    rows.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// What somebody has missed who was at that position; `gap` if that cannot be said.
async fn missed(db: &Store, channel: &str, at: (u64, u64)) -> String {
    let Some(place) = trace(db, channel, at).await else { return "gap".to_owned() };
    behind(db, channel, place, LARGE).await.map_or_else(|| "gap".to_owned(), |rows| data(&rows))
}

pub(super) async fn who_was_away_finds_what_came(bench: Bench) {
    let db = bench.open();
    cover(&db, "all", false).await;
    // Numbers of runs are any 64 bits.
    let (one, two, never) = (u64::MAX - 1, 7, 8);
    db.begin_run(one).await.unwrap();
    for (channel, serial) in [("news", 5), ("other", 6), ("news", 8)] {
        publish(&db, channel, one, serial).await;
    }
    db.begin_run(two).await.unwrap();
    db.begin_run(two).await.unwrap();
    for (channel, serial) in [("other", 1), ("news", 3), ("news", 4)] {
        publish(&db, channel, two, serial).await;
    }
    // Stored without a history.
    publish(&db, "news", 0, 4).await;
    let all = format!("{one}@8 {two}@3 {two}@4 0@4");
    for (channel, at, wanted) in [
        ("news", (one, 5), &*all),
        ("news", (one, 7), &all),
        ("news", (one, 8), &format!("{two}@3 {two}@4 0@4")),
        ("news", (one, u64::MAX >> 1), &format!("{two}@3 {two}@4 0@4")),
        // Before the first of that run: behind all that was there when it began.
        ("news", (one, 4), &format!("{one}@5 {all}")),
        ("news", (two, 2), &format!("{two}@3 {two}@4 0@4")),
        ("news", (two, 3), &format!("{two}@4 0@4")),
        ("news", (two, 4), "0@4"),
        ("other", (one, 6), &format!("{two}@1")),
        // Nothing was ever stored of these.
        ("quiet", (one, 9), ""),
        ("quiet", (two, 9), ""),
        ("news", (never, 3), "gap"),
        ("news", (0, 4), "gap"),
        ("quiet", (never, 3), "gap"),
    ] {
        assert_eq!(missed(&db, channel, at).await, *wanted, "{channel} {at:?}");
    }
    let places = db.trace(&app(), vec![(name("news"), position((two, 4))), (name("news"), position((never, 1)))]).await.unwrap();
    assert_eq!(places.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    assert_eq!(db.trace(&AppId::new("nobody"), vec![(name("news"), position((two, 4)))]).await.unwrap(), [None]);
    // What is told live is left out, but not what others have stored meanwhile.
    let place = trace(&db, "news", (two, 2)).await.unwrap();
    let until = db.behind(&app(), &name("news"), place, position((two, 3)), LARGE).await.unwrap().unwrap();
    assert_eq!(data(&until), format!("{two}@3 0@4"));
}

pub(super) async fn a_history_is_read_page_by_page(bench: Bench) {
    let db = bench.open();
    db.begin_run(1).await.unwrap();
    for serial in 1..=9 {
        publish(&db, "news", 1, serial).await;
        publish(&db, "other", 1, serial).await;
    }
    for (events, bytes, wanted) in [
        (4, 1000, "1@1 1@2 1@3 1@4|1@5 1@6 1@7 1@8|1@9"),
        (3, 1000, "1@1 1@2 1@3|1@4 1@5 1@6|1@7 1@8 1@9|"),
        (1000, 7, "1@1 1@2 1@3|1@4 1@5 1@6|1@7 1@8 1@9|"),
        (1000, 1, "1@1|1@2|1@3|1@4|1@5|1@6|1@7|1@8|1@9|"),
        (1000, 1000, "1@1 1@2 1@3 1@4 1@5 1@6 1@7 1@8 1@9"),
    ] {
        let size = PageSize { events, bytes };
        let (mut pages, mut place) = (Vec::new(), 0);
        loop {
            let rows = behind(&db, "news", place, size).await.unwrap();
            pages.push(data(&rows));
            if !size.is_filled_by(&rows) {
                break;
            }
            place = rows.last().unwrap().id;
        }
        assert_eq!(pages.join("|"), wanted, "{events} {bytes}");
    }
}

/// Events that were not stored are missing in between: nothing is said about the time before all were.
pub(super) async fn a_history_begins_when_all_is_stored(bench: Bench) {
    let db = bench.open();
    db.begin_run(1).await.unwrap();
    publish(&db, "news", 1, 1).await;
    assert_eq!(missed(&db, "news", (1, 1)).await, "gap", "nobody says that all is stored");
    cover(&db, "news", false).await;
    publish(&db, "news", 1, 2).await;
    publish(&db, "news", 1, 3).await;
    for again in ["the first time", "after a restart"] {
        // Whoever was at the last event before that is not known to have missed nothing since.
        for (serial, wanted) in [(1, "gap"), (2, "1@3"), (3, "")] {
            assert_eq!(missed(&db, "news", (1, serial)).await, wanted, "{again}");
        }
        assert_eq!(missed(&db, "quiet", (1, 5)).await, "gap", "the run began before");
        cover(&db, "news", false).await;
    }
    cover(&db, "news", true).await;
    assert_eq!(missed(&db, "news", (1, 3)).await, "gap");
    publish(&db, "news", 1, 4).await;
    assert_eq!((missed(&db, "news", (1, 3)).await, missed(&db, "news", (1, 4)).await), ("gap".to_owned(), String::new()));
    cover(&db, "news*", false).await;
    assert_eq!(missed(&db, "news", (1, 4)).await, "gap");
    publish(&db, "news", 1, 5).await;
    assert_eq!(missed(&db, "news", (1, 5)).await, "");
    let other = Coverage { app: AppId::new("other"), channels: "*".to_owned(), anew: false };
    db.cover(vec![other]).await.unwrap();
    assert_eq!(missed(&db, "news", (1, 5)).await, "gap");
    cover(&db, "news*", false).await;
    db.begin_run(2).await.unwrap();
    assert_eq!(missed(&db, "quiet", (2, 5)).await, "");
}

/// What was removed because there was too much is missing on its channel, and on no other.
pub(super) async fn a_channel_that_was_cut_says_so(mut bench: Bench) {
    bench.retention.events = 3;
    let db = bench.open();
    cover(&db, "all", false).await;
    db.begin_run(1).await.unwrap();
    publish(&db, "other", 1, 1).await;
    for serial in 1..=5 {
        publish(&db, "news", 1, serial).await;
    }
    let place = trace(&db, "news", (1, 1)).await.unwrap();
    assert_eq!(missed(&db, "news", (1, 0)).await, "1@1 1@2 1@3 1@4 1@5");
    prune(&db).await;
    for (channel, serial, wanted) in [
        ("news", 0, "gap"),
        ("news", 1, "gap"),
        ("news", 2, "gap"),
        ("news", 3, "1@4 1@5"),
        ("news", 5, ""),
        ("other", 0, "1@1"),
        ("quiet", 1, ""),
    ] {
        assert_eq!(missed(&db, channel, (1, serial)).await, wanted, "{channel} {serial}");
    }
    assert_eq!(behind(&db, "news", place, LARGE).await, None, "whoever had begun to read is told");
    prune(&db).await;
    assert_eq!(missed(&db, "news", (1, 2)).await, "gap");
}

/// What was removed for its age is missing on every channel of its app that has nothing older.
pub(super) async fn an_app_whose_events_aged_says_so(mut bench: Bench) {
    bench.retention.age = Duration::from_secs(60 * 60);
    bench.retention.events = 2;
    let db = bench.open();
    cover(&db, "all", false).await;
    db.begin_run(1).await.unwrap();
    assert!(trace(&db, "quiet", (1, 9)).await.is_some());
    for serial in 1..=3 {
        publish(&db, "cut", 1, serial).await;
    }
    prune(&db).await;
    assert_eq!((missed(&db, "cut", (1, 1)).await, missed(&db, "cut", (1, 2)).await), ("gap".to_owned(), "1@3".to_owned()));
    let hours_ago = |hours: u64| at(now().as_micros() - hours * 3_600_000_000);
    for (hours, channel, serial) in [(3, "news", 1), (3, "news", 2), (3, "news", 3), (2, "news", 4), (0, "news", 5), (0, "other", 1)] {
        store(&db, trigger_of(&app(), hours_ago(hours), [placed(channel, 1, serial)])).await.unwrap();
    }
    prune(&db).await;
    db.begin_run(2).await.unwrap();
    publish(&db, "quiet", 2, 1).await;
    for (channel, at, wanted) in [
        ("news", (1, 3), "gap"),
        ("news", (1, 4), "gap"),
        ("news", (1, 5), ""),
        ("other", (1, 1), ""),
        // The last old one came after these.
        ("cut", (1, 2), "gap"),
        // It cannot be told that nothing of these was there.
        ("other", (1, 0), "gap"),
        ("quiet", (1, 9), "gap"),
        ("quiet", (2, 0), "2@1"),
        ("another", (2, 5), ""),
    ] {
        assert_eq!(missed(&db, channel, at).await, wanted, "{channel} {at:?}");
    }
    // What is noted of single channels went, as it says no more than what is noted of all: whoever finds it divides by zero.
    if db.execute("UPDATE removed SET id = 1 / (id - id) WHERE channel <> 0").await.is_err() {
        db.execute("UPDATE removed SET id = 1 / (id - id) WHERE channel <> ''").await.unwrap();
    }
    assert_eq!((missed(&db, "news", (1, 3)).await, missed(&db, "cut", (1, 1)).await), ("gap".to_owned(), "gap".to_owned()));
}

/// Another server on the same database: what it stored comes as well, once.
pub(super) async fn two_runs_at_once_are_both_told(bench: Bench) {
    let (one, two) = (bench.open(), bench.open());
    cover(&one, "all", false).await;
    cover(&two, "all", false).await;
    one.begin_run(1).await.unwrap();
    two.begin_run(2).await.unwrap();
    for (db, run, serial) in [(&one, 1, 1), (&two, 2, 1), (&one, 1, 2), (&two, 2, 2)] {
        publish(db, "news", run, serial).await;
    }
    for (at, wanted) in [((1, 1), "2@1 1@2 2@2"), ((2, 1), "1@2 2@2"), ((1, 2), "2@2"), ((2, 0), "1@1 2@1 1@2 2@2")] {
        assert_eq!(missed(&one, "news", at).await, wanted);
        assert_eq!(missed(&two, "news", at).await, wanted);
    }
}

pub(super) async fn old_runs_are_forgotten(bench: Bench) {
    let db = bench.open();
    cover(&db, "all", false).await;
    for run in [1, 2] {
        db.begin_run(run).await.unwrap();
    }
    let mut runs = JoinSet::new();
    for run in 3..=RUNS_MAX.cast_unsigned() + 1 {
        let db = db.clone();
        runs.spawn(async move { db.begin_run(run).await });
    }
    while let Some(begun) = runs.join_next().await {
        begun.unwrap().unwrap();
    }
    assert_eq!((missed(&db, "news", (1, 1)).await, missed(&db, "news", (2, 1)).await), ("gap".to_owned(), String::new()));
}
