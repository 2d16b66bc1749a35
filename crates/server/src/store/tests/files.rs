//! What only a file can do.

use super::retention::prune;
use super::{Bench, app, data, now, store, trigger};
use crate::store::{BackupError, Store, StoreError, StoreUrl};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn path(bench: &Bench) -> &Path {
    match &bench.url {
        StoreUrl::Sqlite(path) => path,
        other => panic!("{other} is no file"),
    }
}

fn beside(bench: &Bench, name: &str) -> PathBuf {
    path(bench).with_file_name(name)
}

pub(super) async fn a_copy_is_made_while_others_write(bench: Bench) {
    let db = bench.open();
    for number in 0..2000 {
        db.append(trigger(&["news"], &number.to_string()), Box::new(|result| result.unwrap()));
    }
    db.settled().await;
    let ending = Arc::new(AtomicBool::new(false));
    let (writes, ends) = (db.clone(), Arc::clone(&ending));
    let writing = tokio::spawn(async move {
        let mut number = 2000;
        while !ends.load(Ordering::Relaxed) {
            store(&writes, trigger(&["news"], &number.to_string())).await.unwrap();
            number += 1;
        }
        number
    });
    let (url, copy) = (bench.url.clone(), beside(&bench, "copy.db"));
    tokio::task::spawn_blocking(move || Store::backup(&url, &copy)).await.unwrap().unwrap();
    ending.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    let copy = Bench { url: StoreUrl::Sqlite(beside(&bench, "copy.db")), ..bench };
    assert_eq!(std::fs::metadata(path(&copy)).unwrap().permissions().mode() & 0o777, 0o600);
    let db = copy.open();
    let found = db.channel_events(&app(), Some("news"), 0, u32::MAX).await.unwrap();
    assert!((2000..=written).contains(&found.len()), "{} of {written}", found.len());
    // One moment of it, without holes.
    assert_eq!(data(&found), (0..found.len()).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    store(&db, trigger(&["news"], "on")).await.unwrap();
}

pub(super) async fn a_copy_goes_into_a_new_file_only(bench: Bench) {
    drop(bench.open());
    let there = beside(&bench, "there");
    std::fs::write(&there, "mine").unwrap();
    assert_eq!(Store::backup(&bench.url, &there), Err(BackupError::Exists));
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "mine");
    let copied = Store::backup(&StoreUrl::Sqlite(there), &beside(&bench, "copy"));
    assert!(
        matches!(&copied, Err(BackupError::Store(StoreError::Broken(text))) if text.contains("/there is no sound database")),
        "{copied:?}"
    );
    let missing = StoreUrl::Sqlite(beside(&bench, "missing.db"));
    assert_eq!(Store::backup(&missing, &beside(&bench, "copy")), Err(BackupError::Missing));
    assert!(!beside(&bench, "missing.db").exists() && !beside(&bench, "copy").exists());
    assert_eq!(Store::backup(&StoreUrl::Memory, &beside(&bench, "copy")), Err(BackupError::Memory));
    assert!(matches!(Store::backup(&bench.url, Path::new("/nowhere/copy")), Err(BackupError::Unmade(_))));
}

/// It holds secrets.
pub(super) async fn nobody_else_may_read_the_file(bench: Bench) {
    let db = bench.open();
    store(&db, trigger(&["news"], "")).await.unwrap();
    for name in ["tidings.db", "tidings.db-wal", "tidings.db-shm"] {
        assert_eq!(std::fs::metadata(beside(&bench, name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

pub(super) async fn what_is_no_database_is_refused(bench: Bench) {
    std::fs::write(path(&bench), "a shopping list, long enough to be looked at".repeat(100)).unwrap();
    let error = bench.try_open().err().unwrap();
    assert!(matches!(&error, StoreError::Broken(text) if text.contains("tidings.db")), "{error}");
    let nowhere = Bench { url: StoreUrl::Sqlite("/nowhere/tidings.db".into()), ..bench };
    let error = nowhere.try_open().err().unwrap();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("/nowhere/tidings.db")), "{error}");
}

pub(super) async fn a_lost_connection_is_made_again(bench: Bench) {
    let db = bench.open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    // From now on the connection refuses to write.
    db.execute("PRAGMA query_only = ON").await.unwrap();
    assert!(matches!(store(&db, trigger(&["news"], "2")).await, Err(StoreError::Unavailable(_))));
    store(&db, trigger(&["news"], "3")).await.unwrap();
    db.durability().await.unwrap();
    assert_eq!(data(&db.channel_events(&app(), Some("news"), 0, 9).await.unwrap()), ["3", "1"]);
}

pub(super) async fn the_journal_stays_small(bench: Bench) {
    let db = bench.open();
    let text = "x".repeat(64 * 1024);
    for _ in 0..2000 {
        while !db.has_room() {
            db.settled().await;
        }
        db.append(trigger(&["news"], &text), Box::new(|result| result.unwrap()));
    }
    db.settled().await;
    let journal = std::fs::metadata(beside(&bench, "tidings.db-wal")).unwrap().len();
    assert!(journal < 100 << 20, "{journal} bytes of journal for 125 MiB of events");
    db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
}

pub(super) async fn the_file_gives_room_back(bench: Bench) {
    let mut bench = bench;
    bench.retention.events = 1;
    let db = bench.open();
    let text = "x".repeat(64 * 1024);
    for _ in 0..200 {
        db.append(trigger(&["news"], &text), Box::new(|result| result.unwrap()));
    }
    db.settled().await;
    // A round gives back some, so that nobody waits for long.
    for _ in 0..20 {
        prune(&db).await;
    }
    let closing = db.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.unwrap();
    let size = std::fs::metadata(path(&bench)).unwrap().len();
    assert!(size < 2 << 20, "{size} bytes for one event of 64 KiB");
}
