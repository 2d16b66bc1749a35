//! What goes wrong: ends, faults, other processes, other releases, full disks.

use super::retention::prune;
use super::{Bench, app, data, event, now, store, trigger, trigger_of};
use crate::store::change::FAULT;
use crate::store::row::NewEvent;
use crate::store::{NewApp, SettingsPatch, Store, StoreError};
use bytes::Bytes;
use tidings_hub::{AppId, Key};

async fn close(db: &Store) {
    let db = db.clone();
    tokio::task::spawn_blocking(move || db.close()).await.unwrap();
}

pub(super) async fn a_closed_store_says_so(bench: Bench) {
    let db = bench.open();
    db.append(trigger(&["news"], "1"), Box::new(|result| result.unwrap()));
    close(&db).await;
    close(&db).await;
    assert!(matches!(store(&db, trigger(&["news"], "2")).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(db.unsubscribe(&app(), "ann", "news", |_| ()).await, Err(StoreError::Unavailable(_))));
    assert_eq!(store(&db, trigger(&[], "")).await, Ok(()), "what is not stored cannot fail");
    db.settled().await;
}

pub(super) async fn a_fault_of_who_waits_harms_nobody(bench: Bench) {
    let db = bench.open();
    db.append(trigger(&["news"], "1"), Box::new(|_| panic!("on purpose")));
    store(&db, trigger(&["news"], "2")).await.unwrap();
    assert_eq!(data(&db.channel_events(&app(), Some("news"), 0, 9).await.unwrap()), ["2", "1"]);
}

/// Invariant 7: what is stored and acknowledged is on disk.
pub(super) async fn a_healthy_store_is_durable(bench: Bench) {
    let db = bench.open();
    db.durability().await.unwrap();
    db.ping().await.unwrap();
}

pub(super) async fn a_fault_costs_its_group_only(bench: Bench) {
    let db = bench.open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    assert!(matches!(db.execute(FAULT).await, Err(StoreError::Broken(_))));
    store(&db, trigger(&["news", "new"], "2")).await.unwrap();
    db.durability().await.unwrap();
    assert_eq!(data(&db.channel_events(&app(), Some("news"), 0, 9).await.unwrap()), ["2", "1"]);
}

/// The last owner may be what follows a commit.
pub(super) async fn it_may_end_on_its_own_thread(bench: Bench) {
    let db = bench.open();
    let (sender, told) = tokio::sync::oneshot::channel();
    let last = db.clone();
    db.append(
        trigger(&["news"], "1"),
        Box::new(move |result| {
            drop(last);
            sender.send(result).unwrap();
        }),
    );
    drop(db);
    assert_eq!(told.await.unwrap(), Ok(()));
}

pub(super) async fn commits_that_are_not_safe_are_told(bench: Bench) {
    let db = bench.open();
    // The writer is made to believe that what the system has taken is written.
    if db.execute("COMMIT; PRAGMA synchronous = NORMAL; BEGIN").await.is_err() {
        db.execute("SET synchronous_commit = off").await.unwrap();
    }
    let error = db.durability().await.unwrap_err();
    assert!(error.to_string().contains("not safe"), "{error}");
}

pub(super) async fn a_restart_keeps_all(bench: Bench) {
    let db = bench.open();
    let new = NewApp {
        ident: AppId::new("one"),
        name: "One".to_owned(),
        key: Key { key: "k".to_owned(), secret: "s".to_owned() },
        settings: SettingsPatch::default(),
    };
    let made = db.create_app(new, now()).await.unwrap();
    db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
    for number in 0..100 {
        db.append(trigger(&["news"], &number.to_string()), Box::new(|result| result.unwrap()));
    }
    close(&db).await;
    drop(db);
    let db = bench.open();
    assert_eq!(db.apps().await.unwrap(), [made]);
    let found = db.personal_events(&app(), "ann", 0, 1000).await.unwrap();
    assert_eq!(data(&found), (0..100).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    store(&db, trigger(&["news"], "next")).await.unwrap();
    let next = &db.channel_events(&app(), None, 0, 1).await.unwrap()[0];
    assert!(next.id > found[0].id);
}

pub(super) async fn two_stores_see_each_other(bench: Bench) {
    let (one, two) = (bench.open(), bench.open());
    let before = two.apps_version().await.unwrap();
    one.put_settings(&app(), SettingsPatch::default(), now()).await.unwrap();
    assert!(two.apps_version().await.unwrap() > before);
    two.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
    for number in 0..50 {
        for db in [&one, &two] {
            db.append(trigger(&["news", "x", "news"], &number.to_string()), Box::new(|result| result.unwrap()));
        }
    }
    one.settled().await;
    two.settled().await;
    for db in [&one, &two] {
        assert_eq!(db.channel_events(&app(), None, 0, 1000).await.unwrap().len(), 300);
        assert_eq!(db.personal_events(&app(), "ann", 0, 1000).await.unwrap().len(), 100);
    }
    close(&one).await;
    store(&two, trigger(&["news"], "alone")).await.unwrap();
}

/// A store of an earlier release has all it had, and room for what is new.
pub(super) async fn the_past_is_brought_up_to_date(bench: Bench) {
    let db = bench.open();
    let patch = SettingsPatch { smtp_url: Some(Some("smtp://x".to_owned())), ..SettingsPatch::default() };
    db.put_settings(&app(), patch, now()).await.unwrap();
    for column in ["apn_key_id", "apn_team_id", "apn_topic"] {
        db.execute(&format!("ALTER TABLE app_settings DROP COLUMN {column}")).await.unwrap();
    }
    for table in ["runs", "histories", "removed"] {
        db.execute(&format!("DROP TABLE {table}")).await.unwrap();
    }
    db.execute("DROP INDEX events_of_position").await.unwrap();
    db.execute("DELETE FROM schema_version WHERE version > 1").await.unwrap();
    close(&db).await;
    let db = bench.open();
    let patch = SettingsPatch { apn_topic: Some(Some("app.example".to_owned())), ..SettingsPatch::default() };
    db.put_settings(&app(), patch, now()).await.unwrap();
    let row = db.app_settings(&app()).await.unwrap().unwrap();
    assert_eq!((row.apn_topic.as_deref(), row.smtp_url.as_deref()), (Some("app.example"), Some("smtp://x")));
    db.begin_run(1).await.unwrap();
}

pub(super) async fn the_future_is_refused(bench: Bench) {
    let db = bench.open();
    db.execute("INSERT INTO schema_version VALUES (99)").await.unwrap();
    close(&db).await;
    let error = bench.try_open().err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}

pub(super) async fn many_may_open_at_once(bench: Bench) {
    let stores: Vec<Store> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let options = bench.options();
                scope.spawn(|| Store::open(options).unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, db) in stores.iter().enumerate() {
        store(db, trigger(&["news"], &number.to_string())).await.unwrap();
    }
    assert_eq!(stores[0].channel_events(&app(), Some("news"), 0, 99).await.unwrap().len(), 8);
}

/// Bytes that nothing can make smaller.
fn large() -> NewEvent {
    let data: Vec<u8> = (0..100).flat_map(|_| crate::chance::bytes::<1024>()).collect();
    NewEvent { data: Bytes::from(data), ..event("news", "") }
}

pub(super) async fn a_full_store_refuses_and_recovers(bench: Bench) {
    let bench = Bench { size_max: 4 << 20, ..bench };
    let db = bench.open();
    let mut stored = 0;
    let error = loop {
        match store(&db, trigger_of(&app(), now(), [large()])).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        prune(&db).await;
        assert!(stored < 100, "more than the limit");
    };
    assert_eq!(error, StoreError::Full);
    assert!(error.to_string().contains("store.size") && stored > 10, "{stored}: {error}");
    assert_eq!(db.channel_events(&app(), None, 0, 1000).await.unwrap().len(), stored, "what was stored is there");
    close(&db).await;
    drop(db);
    let mut bench = bench;
    bench.retention.events = 2;
    let db = bench.open();
    prune(&db).await;
    for _ in 0..5 {
        store(&db, trigger_of(&app(), now(), [large()])).await.unwrap();
    }
}
