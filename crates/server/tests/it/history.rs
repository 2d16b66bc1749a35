//! Channels with a history: servers are killed and started again, and streams go on where they were.

use crate::client::{Client, publish, signed};
use crate::outage::Disk;
use crate::process::{Process, schema, with_postgres};
use crate::redis::{Redis, with_redis};
use crate::scene::eventually;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const SQLITE: &str = "[store]\nurl = \"sqlite:tidings.db\"\n";
/// Few events stay in memory, so that the store is asked.
const KEPT: &str = "recent = [{ channels = \"news-*\", events = 2, stored = true }]\n";

/// One app, of which some channels have a history. `app` are further settings of it, `more` further sections.
fn config(app: &str, more: &str) -> String {
    let mut text = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n".to_owned();
    text += app;
    text += "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"sse\"]\n[log]\nformat = \"json\"\n";
    text += "[drain]\ndrain = \"0 s\"\nwebhooks = \"0 s\"\n";
    if !more.contains("[limits]") {
        text += "[limits]\nshards = 2\nclose_wait = \"200 ms\"\n";
    }
    text + more
}

/// A block of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    event: String,
    id: String,
    data: String,
}

struct Stream {
    client: Client,
    text: String,
}

impl Stream {
    fn open(process: &Process, channels: &[&str], last: Option<&str>) -> Self {
        let mut query = "key=key".to_owned();
        channels.iter().for_each(|channel| write!(query, "&channel={channel}").unwrap());
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let mut client = process.peer();
        client.send(format!("GET /apps/1/sse?{query} HTTP/1.1\r\nHost: localhost\r\n{last}\r\n"));
        assert_eq!(client.head().status, 200);
        Self { client, text: String::new() }
    }

    fn next(&mut self) -> Block {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned();
                let block = Block { event: field("event"), id: field("id"), data: field("data") };
                if block.event.is_empty() {
                    continue;
                }
                return block;
            }
            self.text += &self.client.chunk().expect("the stream goes on");
        }
    }

    /// What it begins with: whether all that was missed follows.
    fn resumes(&mut self) -> bool {
        let block = self.next();
        assert_eq!(block.event, "tidings:subscribed");
        let data: Value = serde_json::from_str(&block.data).unwrap();
        data["resumed"].as_bool().unwrap()
    }

    /// The data of the next events.
    fn take(&mut self, count: usize) -> Vec<Block> {
        (0..count).map(|_| self.next()).collect()
    }
}

fn data(blocks: &[Block]) -> String {
    blocks.iter().map(|block| block.data.as_str()).collect::<Vec<_>>().join(" ")
}

/// Publishes many, ten at once, each with its number.
fn publish_many(peer: &mut Client, channel: &str, numbers: std::ops::Range<usize>, data: &str) {
    for ten in numbers.collect::<Vec<_>>().chunks(10) {
        let batch: Vec<_> =
            ten.iter().map(|number| json!({ "name": "e", "channel": channel, "data": format!("{number}{data}") })).collect();
        let response = peer.ask(signed("POST", "/apps/1/batch_events", &json!({ "batch": batch }).to_string(), ""));
        assert_eq!((response.status, response.body.as_str()), (200, "{}"));
    }
}

/// Restarts on one store, with three runs in the end; then comes back with every id that was ever told.
fn goes_on(directory: &Path, store: &str, channels: &[&str]) {
    let config = config(KEPT, store);
    let mut process = Process::start(directory, &config);
    let mut stream = Stream::open(&process, channels, None);
    let mut told = vec![stream.next()];
    let mut number = 0;
    for run in 0..3 {
        let mut peer = process.peer();
        for at in 0..7 {
            peer.publish(channels[at % channels.len()], "e", &number.to_string());
            number += 1;
            // The reader sees some of each run as it happens, and is gone for the rest.
            if run == 0 && at < 3 {
                told.push(stream.next());
            }
        }
        process.kill();
        process = Process::start(directory, &config);
    }
    let last = told.last().unwrap().id.clone();
    let mut stream = Stream::open(&process, channels, Some(&last));
    assert!(stream.resumes());
    told.extend(stream.take(number - 3));
    process.peer().publish(channels[0], "e", "live");
    assert_eq!(stream.next().data, "live");
    // Of each channel every event once and in its order, wherever a reader was cut off.
    let of = |channel: usize, from: &[Block]| -> Vec<usize> {
        let numbers = from.iter().filter_map(|block| block.data.parse::<usize>().ok());
        numbers.filter(|number| number % 7 % channels.len() == channel).collect()
    };
    for channel in 0..channels.len() {
        let all: Vec<usize> = (0..number).filter(|number| number % 7 % channels.len() == channel).collect();
        assert_eq!(of(channel, &told), all);
    }
    for cut in 0..told.len() {
        let (_, rest) = told.split_at(cut + 1);
        let mut stream = Stream::open(&process, channels, Some(&told[cut].id));
        assert!(stream.resumes(), "cut off at {cut}");
        let again = stream.take(rest.len() + 1);
        assert!(again.iter().any(|block| block.data == "live"));
        for channel in 0..channels.len() {
            assert_eq!(of(channel, &again), of(channel, rest), "cut off at {cut}");
        }
    }
    process.stop();
}

#[test]
fn a_stream_goes_on_after_restarts() {
    for channels in [&["news-a"][..], &["news-a", "news-b", "news-c"]] {
        let directory = tempfile::tempdir().unwrap();
        goes_on(directory.path(), SQLITE, channels);
        if with_postgres() {
            goes_on(directory.path(), &format!("[store]\nurl = \"{}\"\n", schema()), channels);
        }
    }
}

/// A channel on which nothing happens is no reason for a gap, nor is one that keeps no history and on which nothing was missed.
#[test]
fn quiet_channels_have_missed_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(KEPT, SQLITE);
    let process = Process::start(directory.path(), &config);
    let channels = ["news-quiet", "news-a", "news-never"];
    let begun = Stream::open(&process, &channels, None).next();
    process.peer().publish("news-a", "e", "1");
    process.kill();
    let process = Process::start(directory.path(), &config);
    let mut stream = Stream::open(&process, &channels, Some(&begun.id));
    assert!(stream.resumes());
    assert_eq!(stream.next().data, "1");
    let quiet = Stream::open(&process, &channels, None).next();
    process.kill();
    let process = Process::start(directory.path(), &config);
    assert!(Stream::open(&process, &channels, Some(&quiet.id)).resumes());
    // Other channels keep what they have in memory alone.
    let plain = Stream::open(&process, &["plain", "news-a"], None).next();
    process.kill();
    let process = Process::start(directory.path(), &config);
    let mut stream = Stream::open(&process, &["plain", "news-a"], Some(&plain.id));
    assert!(!stream.resumes());
    assert_eq!(stream.next().data, r#"{"channel":"plain"}"#);
    process.stop();
}

/// What happens during a long replay comes after it, and its reader may take its time: a replay is never more than it can hold.
#[test]
fn a_long_history_is_told_while_others_publish() {
    let directory = tempfile::tempdir().unwrap();
    let small = "[limits]\nshards = 1\npending_bytes = \"16 KiB\"\n";
    let app = format!("{KEPT}limits = {{ outbox_bytes = \"256 KiB\", event_bytes = \"64 KiB\" }}\n");
    let process = Process::start(directory.path(), &config(&app, &format!("{small}{SQLITE}")));
    let channels = ["news-a", "news-b"];
    let begun = Stream::open(&process, &channels, None).next();
    let mut peer = process.peer();
    // More than a page of small ones, and more bytes than may be owed of large ones.
    publish_many(&mut peer, "news-a", 0..1200, "");
    let large = " ".repeat(10_000);
    publish_many(&mut peer, "news-b", 0..200, &large);
    let mut seen = [0, 0];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut peer = process.peer();
            (1200..1500).for_each(|number| peer.publish("news-a", "e", &number.to_string()));
        });
        let mut stream = Stream::open(&process, &channels, Some(&begun.id));
        assert!(stream.resumes());
        for _ in 0..1500 + 200 {
            let block = stream.next();
            assert_eq!(block.event, "e", "{block:?}");
            let channel = usize::from(block.data.ends_with(' '));
            let number: usize = block.data.trim_end().parse().unwrap();
            assert_eq!(number, seen[channel], "channel {channel}");
            seen[channel] += 1;
        }
    });
    assert_eq!(seen, [1500, 200]);
    process.stop();
}

/// What was removed, and what was never stored, is a gap.
#[test]
fn what_is_not_stored_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let few = "[store]\nurl = \"sqlite:tidings.db\"\nchannel_events = 5\nprune_interval = \"100 ms\"\n";
    let process = Process::start(directory.path(), &config(KEPT, few));
    let channels = ["news-a"];
    let mut stream = Stream::open(&process, &channels, None);
    let begun = stream.next();
    let mut peer = process.peer();
    (0..20).for_each(|number| peer.publish("news-a", "e", &number.to_string()));
    let told = stream.take(20);
    drop(stream);
    // It goes on from what is still there.
    let mut stream = Stream::open(&process, &channels, Some(&told[16].id));
    assert!(stream.resumes());
    assert_eq!(data(&stream.take(3)), "17 18 19");
    eventually("a history that was cut", || {
        let mut stream = Stream::open(&process, &channels, Some(&begun.id));
        (!stream.resumes()).then(|| {
            assert_eq!(stream.next().event, "tidings:gap");
            // What memory has follows all the same.
            assert_eq!(data(&stream.take(2)), "18 19");
        })
    });
    process.kill();
    // Nothing is stored for a while: nobody knows what there was.
    let process = Process::start(directory.path(), &config("", few));
    process.peer().publish("news-a", "e", "lost");
    process.kill();
    let process = Process::start(directory.path(), &config(KEPT, few));
    let mut stream = Stream::open(&process, &channels, Some(&told[19].id));
    assert!(!stream.resumes());
    let gap = stream.next();
    assert_eq!((gap.event.as_str(), gap.data.as_str()), ("tidings:gap", r#"{"channel":"news-a"}"#));
    // From there on it is whole again.
    process.peer().publish("news-a", "e", "20");
    process.kill();
    let process = Process::start(directory.path(), &config(KEPT, few));
    let mut stream = Stream::open(&process, &channels, Some(&gap.id));
    assert!(stream.resumes());
    assert_eq!(stream.next().data, "20");
    process.stop();
}

/// A reload that switches a history off and on again.
#[test]
fn a_reload_ends_and_begins_histories() {
    let directory = tempfile::tempdir().unwrap();
    let (on, off) = (config(KEPT, SQLITE), config("recent = [{ channels = \"news-*\", events = 2 }]\n", SQLITE));
    let process = Process::start(directory.path(), &on);
    let channels = ["news-a"];
    let mut peer = process.peer();
    let mut stream = Stream::open(&process, &channels, None);
    let begun = stream.next();
    (0..4).for_each(|number| peer.publish("news-a", "e", &number.to_string()));
    let told = stream.take(4);
    let resumes = |last: &str| Stream::open(&process, &channels, Some(last)).resumes();
    assert!(resumes(&begun.id));
    std::fs::write(directory.path().join("tidings.toml"), &off).unwrap();
    process.reload();
    eventually("a history that has ended", || (!resumes(&begun.id)).then_some(()));
    (4..8).for_each(|number| peer.publish("news-a", "e", &number.to_string()));
    stream.take(4);
    std::fs::write(directory.path().join("tidings.toml"), &on).unwrap();
    process.reload();
    // Once an event can be found in the store it begins again; what came before that is a gap for ever.
    let first = eventually("a history that has begun", || {
        peer.publish("news-a", "e", "x");
        let first = stream.next();
        (0..3).for_each(|_| peer.publish("news-a", "e", "x"));
        stream.take(3);
        resumes(&first.id).then_some(first)
    });
    assert!(!resumes(&begun.id) && !resumes(&told[3].id) && resumes(&first.id));
    process.stop();
}

/// Whoever publishes is told if it cannot be stored, and nobody gets it. Other channels go on.
fn publishers_are_told(store: &str, why: &str) {
    let directory = tempfile::tempdir().unwrap();
    let app = "recent = [{ channels = \"news-*\", stored = true }, { channels = \"private-news\", stored = true }]\nlimits = { event_bytes = \"64 KiB\" }\n";
    let process = Process::start(directory.path(), &config(app, store));
    let mut subscriber = Client::open(crate::client::dial(&process.address));
    for channel in ["news-a", "plain", "private-news"] {
        subscriber.subscribe(channel);
    }
    let mut peer = process.peer();
    let large = "x".repeat(40_000);
    let refused = (0..100).find_map(|_| {
        let response = peer.ask(publish("news-a", "e", &large));
        match response.status {
            200 => {
                assert_eq!(subscriber.data_of("e"), large);
                None
            }
            _ => Some(response),
        }
    });
    let refused = refused.expect("a store that is full");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.body.contains("Not stored, and not published") && refused.body.contains(why), "{refused:?}");
    let one = json!({ "name": "e", "channel": "news-a", "data": large });
    for (path, body) in [
        ("/apps/1/batch_events", json!({ "batch": [one] })),
        ("/apps/1/events", json!({ "name": "e", "channels": ["plain", "news-a"], "data": large })),
    ] {
        assert_eq!(peer.ask(signed("POST", path, &body.to_string(), "")).status, 503, "{path}");
    }
    subscriber.say(&json!({ "event": "client-e", "channel": "private-news", "data": large }).to_string());
    let error: Value = serde_json::from_str(&subscriber.data_of("pusher:error")).unwrap();
    let told = error["message"].as_str().unwrap();
    assert!(told.contains("client-e on channel private-news was not stored, and nobody got it"), "{told}");
    peer.publish("plain", "after", "1");
    assert_eq!(subscriber.data_of("after"), "1", "nothing of what was refused");
    eventually("the line in the log", || process.log().contains("what was to be stored is not").then_some(()));
    process.stop();
}

/// What a relay brings is stored too; what its Redis had while the server was not there is a gap, as nobody knows it.
#[test]
fn a_relay_cannot_know_what_it_missed() {
    if !with_redis() {
        return;
    }
    let (redis, directory) = (Redis::start(), tempfile::tempdir().unwrap());
    let config = config(KEPT, &format!("[[wspush]]\napp = \"1\"\nredis = \"127.0.0.1:{}\"\n{SQLITE}", redis.port));
    let process = Process::start(directory.path(), &config);
    redis.until_subscribed(1);
    let mut connection = redis.connect();
    let channels = ["news-a"];
    let mut stream = Stream::open(&process, &channels, None);
    stream.next();
    let publish = |connection: &mut _, data: &str| crate::redis::publish(connection, b"example.news-a", data.as_bytes());
    (0..5).for_each(|number| assert_eq!(publish(&mut connection, &number.to_string()), 1));
    let told = stream.take(5);
    assert_eq!(data(&told), "0 1 2 3 4");
    eventually("a history that has begun", || {
        let mut stream = Stream::open(&process, &channels, Some(&told[0].id));
        stream.resumes().then(|| assert_eq!(data(&stream.take(4)), "1 2 3 4"))
    });
    process.kill();
    redis.until_subscribed(0);
    assert_eq!(publish(&mut connection, "lost"), 0);
    let process = Process::start(directory.path(), &config);
    redis.until_subscribed(1);
    let mut stream = Stream::open(&process, &channels, Some(&told[4].id));
    assert!(!stream.resumes());
    assert_eq!(stream.next().event, "tidings:gap");
    assert_eq!(publish(&mut connection, "5"), 1);
    assert_eq!(stream.next().data, "5");
    process.stop();
}

#[test]
fn a_full_store_is_told_to_publishers() {
    publishers_are_told("[store]\nurl = \"sqlite:tidings.db\"\nsize = \"1 MiB\"\n", "store.size");
    // Only root can make a disk for it.
    if let Some(disk) = Disk::new() {
        publishers_are_told(&format!("[store]\nurl = \"{}\"\n", disk.store()), "the disk of the store is full");
    }
}

/// Kills a server under its publishers: a stream that goes on has all that was acknowledged, once and in order, and of each publisher at most one
/// event more.
#[test]
fn a_stream_has_all_that_was_acknowledged() {
    const PUBLISHERS: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    let config = config(KEPT, SQLITE);
    let mut process = Process::start(directory.path(), &config);
    let channels = ["news-a", "news-b"];
    let mut last = Stream::open(&process, &channels, None).next().id;
    for round in 0..8 {
        let (kill, acknowledged) = (process.killer(), AtomicUsize::new(0));
        let end = 10 + 23 * round % 60;
        let counts: Vec<usize> = std::thread::scope(|scope| {
            let publisher = |publisher: usize| {
                let (process, kill, acknowledged) = (&process, &kill, &acknowledged);
                move || {
                    let mut peer = process.peer();
                    for number in 0.. {
                        let data = format!("{round} {publisher} {number}");
                        if peer.try_send(publish(channels[publisher % 2], "e", &data)).is_err() || peer.response().status != 200 {
                            return number;
                        }
                        if acknowledged.fetch_add(1, Ordering::Relaxed) + 1 >= end {
                            kill();
                        }
                    }
                    unreachable!("it is killed in the end");
                }
            };
            let publishers: Vec<_> = (0..PUBLISHERS).map(|number| scope.spawn(publisher(number))).collect();
            publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect()
        });
        process = Process::start(directory.path(), &config);
        let mut stream = Stream::open(&process, &channels, Some(&last));
        assert!(stream.resumes());
        let mut peer = process.peer();
        channels.iter().for_each(|channel| peer.publish(channel, "end", ""));
        let (mut seen, mut ends) = (HashMap::<usize, usize>::new(), 0);
        while ends < 2 {
            let block = stream.next();
            if block.event == "end" {
                ends += 1;
                last = block.id;
                continue;
            }
            let parts: Vec<usize> = block.data.split(' ').map(|part| part.parse().unwrap()).collect();
            let next = seen.entry(parts[1]).or_default();
            assert_eq!((parts[0], parts[2]), (round, *next));
            *next += 1;
        }
        for (publisher, acknowledged) in counts.into_iter().enumerate() {
            let seen = seen.get(&publisher).copied().unwrap_or(0);
            assert!((acknowledged..=acknowledged + 1).contains(&seen), "{seen} of {acknowledged} of publisher {publisher}");
        }
    }
    process.stop();
}
