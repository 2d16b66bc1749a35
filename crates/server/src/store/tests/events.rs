//! Events: in, and out again.

use super::{Bench, app, at, data, event, now, store, trigger, trigger_of};
use crate::store::row::{NewEvent, Trigger};
use crate::store::{EventRow, StoreError};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use tidings_hub::{AppId, ChannelName};

/// I-3.1, I-3.4
pub(super) async fn what_is_stored_is_found(bench: Bench) {
    let db = bench.open();
    let moment = at(1_700_000_000_123_456);
    let full = NewEvent {
        mid: u128::MAX - 5,
        name: Arc::from("greeting"),
        data: Bytes::from_static(b"\x00\xff any bytes"),
        extras: Some(Bytes::from_static(br#""persist":true"#)),
        ..event("news", "")
    };
    let owned = Trigger { owner: Some("socket".to_owned()), ..trigger_of(&app(), moment, [full]) };
    store(&db, owned).await.unwrap();
    let found = db.channel_events(&app(), Some("news"), 0, 10).await.unwrap();
    let [row] = &found[..] else { panic!("{found:?}") };
    let wanted = EventRow {
        id: row.id,
        channel: "news".to_owned(),
        mid: u128::MAX - 5,
        owner: Some("socket".to_owned()),
        at: moment,
        name: "greeting".to_owned(),
        data: b"\x00\xff any bytes".to_vec(),
        extras: Some(br#""persist":true"#.to_vec()),
    };
    assert_eq!(*row, wanted);
    assert!(row.id > 0);
}

pub(super) async fn dones_come_in_the_order_of_the_calls(bench: Bench) {
    let db = bench.open();
    let (sender, dones) = channel();
    for number in 0..2000 {
        let sender = sender.clone();
        // Some are barriers, which have nothing to wait for but their place.
        let channels: &[&str] = if number % 5 == 0 { &[] } else { &["news"] };
        db.append(trigger(channels, &number.to_string()), Box::new(move |result| sender.send((number, result)).unwrap()));
    }
    drop(sender);
    let told = tokio::task::spawn_blocking(|| dones.into_iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(told, (0..2000).map(|number| (number, Ok(()))).collect::<Vec<_>>());
    let found = db.channel_events(&app(), Some("news"), 0, 5000).await.unwrap();
    let wanted: Vec<String> = (0..2000).rev().filter(|number| number % 5 != 0).map(|number| number.to_string()).collect();
    assert_eq!(data(&found), wanted);
}

/// I-3.4: read-your-writes
pub(super) async fn a_barrier_keeps_its_place(bench: Bench) {
    let db = bench.open();
    db.settled().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    for (name, channels) in [("before", &["news"][..]), ("barrier", &[]), ("after", &["news"])] {
        let told = Arc::clone(&told);
        db.append(trigger(channels, name), Box::new(move |result| told.lock().unwrap().push((name, result))));
    }
    db.settled().await;
    assert_eq!(*told.lock().unwrap(), [("before", Ok(())), ("barrier", Ok(())), ("after", Ok(()))]);
    assert_eq!(data(&db.channel_events(&app(), Some("news"), 0, 9).await.unwrap()), ["after", "before"]);
}

/// Makes the database refuse events of the name `bad`.
async fn refuse_bad(db: &crate::store::Store) {
    let sqlite = "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN NEW.name = 'bad' BEGIN SELECT raise(ABORT, 'refused'); END";
    if db.execute(sqlite).await.is_err() {
        db.execute("ALTER TABLE events ADD CONSTRAINT refuse CHECK (name <> 'bad'::bytea)").await.unwrap();
    }
}

fn bad(channel: &str) -> NewEvent {
    NewEvent { name: Arc::from("bad"), ..event(channel, "bad") }
}

pub(super) async fn a_bad_job_fails_alone(bench: Bench) {
    let db = bench.open();
    refuse_bad(&db).await;
    let before = db.tally().failures;
    let (sender, dones) = channel();
    for number in 0..50 {
        let sender = sender.clone();
        let trigger = if number % 10 == 3 { trigger_of(&app(), now(), [bad("news")]) } else { trigger(&["news"], &number.to_string()) };
        db.append(trigger, Box::new(move |result| sender.send((number, result)).unwrap()));
    }
    drop(sender);
    let told = tokio::task::spawn_blocking(|| dones.into_iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(told.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    for (number, result) in told {
        match result {
            Ok(()) => assert_ne!(number % 10, 3),
            Err(StoreError::Broken(text)) => assert!(number % 10 == 3 && text.contains("refuse"), "{number}: {text}"),
            Err(error) => panic!("{number}: {error}"),
        }
    }
    assert_eq!(db.channel_events(&app(), Some("news"), 0, 99).await.unwrap().len(), 45);
    let tally = db.tally();
    assert_eq!((tally.events, tally.failures - before, tally.waiting), (45, 5, 0));
    assert!(tally.groups > 0);
}

/// I-3.4: a storage failure delivers nothing, so nothing of the publish may be there.
pub(super) async fn publishes_are_whole(bench: Bench) {
    let db = bench.open();
    refuse_bad(&db).await;
    let broken = trigger_of(&app(), now(), [event("a", "1"), event("new", "1"), bad("b"), event("c", "1")]);
    assert!(matches!(store(&db, broken).await, Err(StoreError::Broken(_))));
    assert_eq!(db.channel_events(&app(), None, 0, 9).await.unwrap(), []);
    // What was undone is not remembered either.
    store(&db, trigger(&["new", "a", "new"], "2")).await.unwrap();
    let found = db.channel_events(&app(), None, 0, 9).await.unwrap();
    let channels: Vec<&str> = found.iter().map(|event| event.channel.as_str()).collect();
    assert_eq!(channels, ["new", "a", "new"]);
    assert_eq!(found[0].id - found[2].id, 2, "ids of a publish follow each other");
}

/// Texts that would do harm if they were ever taken for something else.
const TEXTS: [&str; 10] = [
    "'; DROP TABLE events; --",
    "\"quoted\"",
    "a%b_c\\d",
    "{a,\"b\",NULL}",
    "NULL",
    "$1 ?1 :a @b",
    "Zoë ✓ 𝄞 \u{200f}\u{feff}",
    "e\u{301}",
    " spaces ",
    "\u{10ffff}\u{fffd}",
];

pub(super) async fn any_text_is_kept(bench: Bench) {
    let db = bench.open();
    for text in TEXTS {
        let app = AppId::new(text);
        let event = NewEvent { name: Arc::from(format!("{text}\0\n")), extras: Some(Bytes::from(text)), ..event("x", text) };
        let event = NewEvent { channel: ChannelName::parse(text).unwrap(), ..event };
        store(&db, Trigger { owner: Some(text.to_owned()), ..trigger_of(&app, now(), [event]) }).await.unwrap();
        db.subscribe(&app, text, text, now(), |_| ()).await.unwrap();
    }
    for text in TEXTS {
        let app = AppId::new(text);
        let found = db.channel_events(&app, Some(text), 0, 9).await.unwrap();
        let [row] = &found[..] else { panic!("{text}: {found:?}") };
        assert_eq!((row.channel.as_str(), row.owner.as_deref(), row.name.clone()), (text, Some(text), format!("{text}\0\n")));
        assert_eq!((&row.data[..], row.extras.as_deref()), (text.as_bytes(), Some(text.as_bytes())));
        assert_eq!(db.aliases(&app, text, 9).await.unwrap().channels, [text]);
        assert_eq!(db.subscriptions(&app, Some(text), Some(text)).await.unwrap().len(), 1);
    }
}

/// I-3.5, I-4.17
pub(super) async fn reading_back_and_forth(bench: Bench) {
    let db = bench.open();
    for number in 0..10 {
        store(&db, trigger(&[if number % 2 == 0 { "even" } else { "odd" }], &number.to_string())).await.unwrap();
    }
    store(&db, trigger_of(&AppId::new("other"), now(), [event("even", "x")])).await.unwrap();
    for (channel, skip, count, wanted) in [
        (Some("even"), 0, 2, &["8", "6"][..]),
        (Some("even"), 3, 9, &["2", "0"]),
        (Some("even"), 5, 9, &[]),
        (Some("even"), 0, 0, &[]),
        (Some("none"), 0, 9, &[]),
        (None, 0, 3, &["9", "8", "7"]),
        (None, 8, u32::MAX, &["1", "0"]),
    ] {
        let found = db.channel_events(&app(), channel, skip, count).await.unwrap();
        assert_eq!(data(&found), wanted, "{channel:?} {skip} {count}");
    }
    assert_eq!(db.channel_events(&AppId::new("nobody"), None, 0, 9).await.unwrap(), []);
}

pub(super) async fn room_ends_at_the_mark(bench: Bench) {
    let db = Bench { queue_max: 2, ..bench }.open();
    assert!(db.has_room());
    let (release, held) = channel::<()>();
    // The writer stands still in the first, so that the others wait.
    db.append(trigger(&[], ""), Box::new(move |_| held.recv().unwrap()));
    db.append(Trigger { events: SmallVec::new(), ..trigger(&[], "") }, Box::new(|_| ()));
    db.append(trigger(&["news"], ""), Box::new(|_| ()));
    assert!(!db.has_room());
    release.send(()).unwrap();
    db.settled().await;
    assert!(db.has_room());
}
