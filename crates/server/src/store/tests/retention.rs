//! What is kept, and for how long.

use super::{Bench, app, at, data, event, now, store, trigger, trigger_of};
use crate::store::{SessionRow, Store};
use std::time::Duration;
use tidings_hub::{AppId, UnixTime};

pub(super) async fn prune(db: &Store) {
    let db = db.clone();
    tokio::task::spawn_blocking(move || db.prune()).await.unwrap();
}

async fn kept(db: &Store, app: &AppId, channel: &str) -> Vec<String> {
    let found = db.channel_events(app, Some(channel), 0, 5000).await.unwrap();
    data(&found).into_iter().map(str::to_owned).collect()
}

fn hours_ago(hours: u64) -> UnixTime {
    at(now().as_micros() - hours * 3_600_000_000)
}

/// I-3.8
pub(super) async fn old_events_go(mut bench: Bench) {
    let (forever, shortly) = (AppId::new("forever"), AppId::new("shortly"));
    bench.retention.age = Duration::from_secs(24 * 60 * 60);
    bench.retention.apps.insert(forever.clone(), (Duration::ZERO, 0));
    bench.retention.apps.insert(shortly.clone(), (Duration::from_secs(60 * 60), 0));
    let db = bench.open();
    for app in [&app(), &forever, &shortly] {
        for hours in [25, 23, 2, 0] {
            store(&db, trigger_of(app, hours_ago(hours), [event("news", &hours.to_string())])).await.unwrap();
        }
    }
    prune(&db).await;
    assert_eq!(kept(&db, &app(), "news").await, ["0", "2", "23"]);
    assert_eq!(kept(&db, &forever, "news").await, ["0", "2", "23", "25"]);
    assert_eq!(kept(&db, &shortly, "news").await, ["0"]);
}

/// I-3.8: pruning never changes ids.
pub(super) async fn too_many_events_go(mut bench: Bench) {
    let own = AppId::new("own");
    bench.retention.events = 3;
    bench.retention.apps.insert(own.clone(), (Duration::ZERO, 1));
    let db = bench.open();
    for number in 0..1200 {
        db.append(trigger(&["news"], &number.to_string()), Box::new(|result| result.unwrap()));
    }
    store(&db, trigger(&["quiet", "quiet", "quiet"], "x")).await.unwrap();
    store(&db, trigger_of(&own, now(), [event("news", "1"), event("news", "2")])).await.unwrap();
    let before = db.channel_events(&app(), Some("news"), 0, 3).await.unwrap();
    prune(&db).await;
    assert_eq!(db.channel_events(&app(), Some("news"), 0, 5000).await.unwrap(), before);
    assert_eq!(kept(&db, &app(), "quiet").await, ["x", "x", "x"]);
    assert_eq!(kept(&db, &own, "news").await, ["2"]);
    // The first round looked at everything, the next at what came since.
    store(&db, trigger(&["quiet"], "y")).await.unwrap();
    prune(&db).await;
    assert_eq!(kept(&db, &app(), "quiet").await, ["y", "x", "x"]);
    store(&db, trigger(&["news"], "last")).await.unwrap();
    let last = &db.channel_events(&app(), Some("news"), 0, 1).await.unwrap()[0];
    assert!(last.id > before[0].id);
}

pub(super) async fn what_nothing_is_left_of_goes(mut bench: Bench) {
    bench.retention.age = Duration::from_secs(60 * 60);
    let db = bench.open();
    let old = |channel| trigger_of(&app(), hours_ago(2), [event(channel, "old")]);
    for channel in ["gone", "followed"] {
        db.subscribe(&app(), "ann", channel, now(), |_| ()).await.unwrap();
        store(&db, old(channel)).await.unwrap();
    }
    db.unsubscribe(&app(), "ann", "gone", |_| ()).await.unwrap().unwrap();
    for (number, expires) in [(1, hours_ago(1)), (2, at(u64::MAX / 4))] {
        db.put_session(SessionRow { token_hash: [number; 32], app: app(), mark: Vec::new(), expires }).await.unwrap();
    }
    prune(&db).await;
    assert_eq!(db.session(&[1; 32]).await.unwrap(), None);
    assert!(db.session(&[2; 32]).await.unwrap().is_some());
    // One interval is left, the open one. Whoever finds another divides by zero.
    db.execute("UPDATE subscriptions SET since = 1 / (since - since) WHERE until IS NOT NULL").await.unwrap();
    assert_eq!(db.aliases(&app(), "ann", 9).await.unwrap().channels, ["followed"]);
    // A channel whose name was removed is as good as any.
    store(&db, trigger(&["gone", "followed"], "new")).await.unwrap();
    assert_eq!(kept(&db, &app(), "gone").await, ["new"]);
    let owed = db.personal_events(&app(), "ann", 0, 9).await.unwrap();
    assert_eq!(owed.iter().map(|event| event.channel.as_str()).collect::<Vec<_>>(), ["followed"]);
}
