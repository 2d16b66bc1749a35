//! Who follows what, and what is owed to whom.

use super::{Bench, app, at, data, now, store, trigger};
use crate::store::{Counts, Family, Registration, Store};
use tidings_hub::AppId;

/// I-3.2, I-4.22, I-4.23, I-4.24
pub(super) async fn subscriptions_are_made_once(bench: Bench) {
    let db = bench.open();
    let (first, made) = db.subscribe(&app(), "ann", "news", at(1_000_001), |_| ()).await.unwrap();
    assert!(made && first.id > 0);
    assert_eq!((first.user_id.as_str(), first.channel.as_str(), first.created), ("ann", "news", at(1_000_001)));
    assert_eq!(db.subscribe(&app(), "ann", "news", at(5), |_| ()).await.unwrap(), (first.clone(), false));
    for (user_id, channel) in [("bob", "news"), ("ann", "sports"), ("ann", "presence-x")] {
        assert!(db.subscribe(&app(), user_id, channel, now(), |_| ()).await.unwrap().1);
    }
    assert!(db.subscribe(&AppId::new("other"), "ann", "news", now(), |_| ()).await.unwrap().1, "apps are apart");
    for (user_id, channel, wanted) in [
        (None, None, &["ann news", "bob news", "ann sports", "ann presence-x"][..]),
        (Some("ann"), None, &["ann news", "ann sports", "ann presence-x"]),
        (None, Some("news"), &["ann news", "bob news"]),
        (Some("bob"), Some("news"), &["bob news"]),
        (Some("bob"), Some("none"), &[]),
        (Some("eve"), None, &[]),
    ] {
        let rows = db.subscriptions(&app(), user_id, channel).await.unwrap();
        let found: Vec<String> = rows.iter().map(|row| format!("{} {}", row.user_id, row.channel)).collect();
        assert_eq!(found, wanted, "{user_id:?} {channel:?}");
    }
    assert_eq!(db.unsubscribe(&app(), "ann", "news", |_| ()).await.unwrap(), Some(first.clone()));
    for (user_id, channel) in [("ann", "news"), ("ann", "none"), ("eve", "news")] {
        assert_eq!(db.unsubscribe(&app(), user_id, channel, |_| ()).await.unwrap(), None);
    }
    let (again, made) = db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
    assert!(made && again.id > first.id);
    let aliases = db.aliases(&app(), "ann", 9).await.unwrap();
    assert_eq!((aliases.channels, aliases.more), (["sports", "presence-x", "news"].map(str::to_owned).to_vec(), false));
    let aliases = db.aliases(&app(), "ann", 2).await.unwrap();
    assert_eq!((aliases.channels, aliases.more), (["sports", "presence-x"].map(str::to_owned).to_vec(), true));
}

async fn owed(db: &Store, user_id: &str) -> Vec<String> {
    let found = db.personal_events(&app(), user_id, 0, 100).await.unwrap();
    data(&found).into_iter().map(str::to_owned).collect()
}

/// I-3.3, I-3.5: only events triggered while the subscription existed; ending it takes nothing away.
pub(super) async fn what_came_meanwhile_is_owed(bench: Bench) {
    let db = bench.open();
    store(&db, trigger(&["news"], "before")).await.unwrap();
    db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
    store(&db, trigger(&["news"], "one")).await.unwrap();
    store(&db, trigger(&["sports"], "another channel")).await.unwrap();
    store(&db, trigger(&["personal-ann"], "own")).await.unwrap();
    store(&db, trigger(&["news"], "two")).await.unwrap();
    db.unsubscribe(&app(), "ann", "news", |_| ()).await.unwrap().unwrap();
    store(&db, trigger(&["news"], "missed")).await.unwrap();
    assert_eq!(owed(&db, "ann").await, ["two", "own", "one"]);
    db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
    store(&db, trigger(&["news"], "three")).await.unwrap();
    assert_eq!(owed(&db, "ann").await, ["three", "two", "own", "one"]);
    assert_eq!(owed(&db, "bob").await, [""; 0]);
    assert_eq!(data(&db.personal_events(&app(), "ann", 1, 2).await.unwrap()), ["two", "own"]);
    assert_eq!(db.personal_events(&AppId::new("other"), "ann", 0, 9).await.unwrap(), []);
}

/// I-2.14
pub(super) async fn a_publish_is_owed_once(bench: Bench) {
    let db = bench.open();
    for channel in ["a", "b", "c"] {
        db.subscribe(&app(), "ann", channel, now(), |_| ()).await.unwrap();
    }
    db.subscribe(&app(), "bob", "c", now(), |_| ()).await.unwrap();
    for (channels, data) in [(&["b", "a", "b", "c"][..], "1"), (&["c", "c"], "2"), (&["x", "personal-ann", "a"], "3"), (&["x"], "4")] {
        store(&db, trigger(channels, data)).await.unwrap();
    }
    let found = db.personal_events(&app(), "ann", 0, 9).await.unwrap();
    let told: Vec<(&str, &str)> = found.iter().map(|event| event.channel.as_str()).zip(data(&found)).collect();
    assert_eq!(told, [("personal-ann", "3"), ("c", "2"), ("b", "1")]);
    assert_eq!(owed(&db, "bob").await, ["2", "1"]);
    assert_eq!(db.channel_events(&app(), Some("b"), 0, 9).await.unwrap().len(), 2, "what is named twice is stored twice");
}

pub(super) async fn coming_and_going_leaves_nothing(bench: Bench) {
    let db = bench.open();
    for _ in 0..20 {
        db.subscribe(&app(), "ann", "news", now(), |_| ()).await.unwrap();
        db.unsubscribe(&app(), "ann", "news", |_| ()).await.unwrap().unwrap();
    }
    // Whoever finds a row divides by zero.
    db.execute("UPDATE subscriptions SET since = 1 / (since - since)").await.unwrap();
}

pub(super) async fn a_user_may_follow_very_many(bench: Bench) {
    const MANY: usize = 100_000;
    let db = bench.open();
    db.subscribe(&app(), "ann", "first", now(), |_| ()).await.unwrap();
    store(&db, trigger(&["first"], "1")).await.unwrap();
    many(&db, MANY).await;
    store(&db, trigger(&["many-77"], "2")).await.unwrap();
    let aliases = db.aliases(&app(), "ann", 100).await.unwrap();
    assert_eq!((aliases.channels.len(), aliases.channels[0].as_str(), aliases.more), (100, "first", true));
    assert_eq!(db.aliases(&app(), "ann", MANY + 1).await.unwrap().channels.len(), MANY + 1);
    assert_eq!(owed(&db, "ann").await, ["2", "1"]);
}

/// Subscriptions of one user, made by the database itself.
async fn many(db: &Store, count: usize) {
    let sqlite = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO channels (app, name) SELECT 1, 'many-' || i FROM n;
         INSERT INTO subscriptions (app, user_id, channel, since, created)
         SELECT app, 'ann', id, 1, 1 FROM channels WHERE name LIKE 'many-%'"
    );
    if db.execute(&sqlite).await.is_err() {
        let postgres = format!(
            "INSERT INTO subscriptions (app, user_id, channel, since, created)
             SELECT 'app', 'ann', 'many-' || i, 1, 1 FROM generate_series(1, {count}) i"
        );
        db.execute(&postgres).await.unwrap();
    }
}

fn registration(family: Family, target: &str, channel: &str) -> Registration {
    Registration { family, target: target.to_owned(), channel: channel.to_owned(), p256dh: None, auth: None }
}

/// I-4.30, I-4.31, I-4.32, I-4.34, I-4.35, I-4.37
pub(super) async fn registrations_come_and_go(bench: Bench) {
    let db = bench.open();
    let browser = Registration {
        p256dh: Some("key".to_owned()),
        auth: Some("secret".to_owned()),
        ..registration(Family::WebPush, "https://push/1", "news")
    };
    let first = db.register(&app(), browser.clone(), false, at(9_000_000)).await.unwrap();
    assert_eq!((&first.registration, first.created), (&browser, at(9_000_000)));
    assert_eq!(db.register(&app(), browser, false, now()).await.unwrap(), first, "the one that is there");
    for (family, target, channel) in [
        (Family::Web, "https://a/", "news"),
        (Family::Web, "https://a/", "sports"),
        (Family::Web, "https://b/", "news"),
        (Family::Apn, "ff", "news"),
    ] {
        db.register(&app(), registration(family, target, channel), false, now()).await.unwrap();
    }
    db.register(&AppId::new("other"), registration(Family::Web, "https://a/", "news"), false, now()).await.unwrap();
    for (target, channel, wanted) in [
        (None, None, &["https://a/ news", "https://a/ sports", "https://b/ news"][..]),
        (Some("https://a/"), None, &["https://a/ news", "https://a/ sports"]),
        (None, Some("news"), &["https://a/ news", "https://b/ news"]),
        (Some("https://b/"), Some("sports"), &[]),
    ] {
        assert_eq!(listed(&db, target, channel).await, wanted);
    }
    let count = |family: Family, counts: &Counts| {
        let count = counts.registrations[Family::ALL.iter().position(|other| *other == family).unwrap()];
        (count.registrations, count.apps)
    };
    let counts = db.counts().await.unwrap();
    assert_eq!(Family::ALL.map(|family| count(family, &counts)), [(4, 2), (1, 1), (0, 0), (1, 1)]);
    db.register(&app(), registration(Family::Web, "https://a/", "news"), true, now()).await.unwrap();
    assert_eq!(listed(&db, None, None).await, ["https://b/ news", "https://a/ news"]);
    let gone = db.unregister(&app(), Family::Web, "https://b/", Some("news")).await.unwrap();
    assert_eq!(gone.iter().map(|row| row.registration.target.as_str()).collect::<Vec<_>>(), ["https://b/"]);
    assert_eq!(db.unregister(&app(), Family::Web, "https://b/", None).await.unwrap(), []);
    assert_eq!(db.unregister(&app(), Family::WebPush, "https://push/1", None).await.unwrap(), [first]);
    assert_eq!(listed(&db, None, None).await, ["https://a/ news"]);
}

async fn listed(db: &Store, target: Option<&str>, channel: Option<&str>) -> Vec<String> {
    let rows = db.registrations(&app(), Family::Web, target, channel).await.unwrap();
    rows.iter().map(|row| format!("{} {}", row.registration.target, row.registration.channel)).collect()
}
