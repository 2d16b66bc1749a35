//! What was acknowledged is on disk: servers are killed in the middle of their work, and what they promised is looked for.

use crate::client::{Client, Frame, frame};
use crate::process::{Process, Stored, config, request, schema, with_postgres};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections that publish at once: half of them over REST, half over WebSocket.
const PUBLISHERS: usize = 8;
/// Channels that they share.
const CHANNELS: usize = 3;
/// A process is killed before that many events are acknowledged, or soon after.
const ACKNOWLEDGED_MAX: u64 = 250;

/// Numbers that look like chance and come again with the same seed.
struct Dice(u64);

impl Dice {
    /// With the seed of TIDINGS_TEST_SEED, or a new one, which is told.
    fn new() -> Self {
        let seed = std::env::var("TIDINGS_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = seed.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("TIDINGS_TEST_SEED={seed}");
        Self(seed)
    }

    /// One of `0..sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// One round: publishers, and the moment at which the process dies under them.
struct Round<'p> {
    number: usize,
    process: &'p Process,
    token: &'p str,
    /// All are connected before the first event: the end may come with it.
    ready: Barrier,
    acknowledged: AtomicUsize,
    /// Acknowledged events before the end.
    end: usize,
    /// Whether whoever sees the end sends one more before.
    one_more: bool,
    kill: &'p (dyn Fn() + Sync),
}

/// What a publisher knows when its server has died.
#[derive(Default)]
struct Witness {
    /// How many of its events were acknowledged: the first ones.
    acknowledged: usize,
    /// Events that came over its connection, stored ones all of them.
    seen: Vec<Stored>,
}

impl Round<'_> {
    /// Has everybody publish until the process is dead.
    fn run(&self) -> Vec<Witness> {
        std::thread::scope(|scope| {
            let publish = |publisher| move || if publisher % 2 == 0 { self.over_rest(publisher) } else { self.over_websocket(publisher) };
            let publishers: Vec<_> = (0..PUBLISHERS).map(|publisher| scope.spawn(publish(publisher))).collect();
            publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect()
        })
    }

    fn over_rest(&self, publisher: usize) -> Witness {
        let mut peer = self.process.peer();
        let mut witness = Witness::default();
        self.ready.wait();
        loop {
            let body = json!({ "channel": self.channels(publisher), "data": self.data(publisher, witness.acknowledged) });
            if peer.try_send(request("POST", &format!("/events?sid={}", self.token), &body.to_string())).is_err() {
                return witness;
            }
            self.one_more_was_sent(witness.acknowledged);
            let response = peer.response();
            if response.status == 0 {
                return witness;
            }
            assert_eq!(response.status, 200, "{response:?}");
            witness.acknowledged += 1;
            self.acknowledged();
        }
    }

    fn over_websocket(&self, publisher: usize) -> Witness {
        let mut witness = Witness::default();
        let channel = self.channels(publisher).remove(0);
        let mut client = self.subscriber(&channel);
        self.ready.wait();
        loop {
            let data = self.data(publisher, witness.acknowledged);
            let message = json!({ "event": "counted", "channel": channel, "data": data, "echo": true, "persist": true });
            if client.try_send(frame(0x81, message.to_string().as_bytes())).is_err() {
                return witness;
            }
            self.one_more_was_sent(witness.acknowledged);
            loop {
                let Frame::Text(text) = client.frame() else { return witness };
                let seen = event(&text);
                let own = seen.data == data;
                witness.seen.push(seen);
                if own {
                    break;
                }
            }
            witness.acknowledged += 1;
            self.acknowledged();
        }
    }

    fn subscriber(&self, channel: &str) -> Client {
        let mut client = self.process.client();
        client.subscribe(channel);
        client
    }

    /// The channels of a publisher: one, or for the first of them two at once.
    fn channels(&self, publisher: usize) -> Vec<String> {
        let channel = |number: usize| format!("round-{}-{}", self.number, number % CHANNELS);
        if publisher == 0 { vec![channel(0), channel(1)] } else { vec![channel(publisher)] }
    }

    fn data(&self, publisher: usize, number: usize) -> String {
        format!("{}-{publisher}-{number}", self.number)
    }

    fn acknowledged(&self) {
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 >= self.end && !self.one_more {
            (self.kill)();
        }
    }

    fn one_more_was_sent(&self, own: usize) {
        if own > 0 && self.one_more && self.acknowledged.load(Ordering::Relaxed) >= self.end {
            (self.kill)();
        }
    }

    /// What was acknowledged is there once, in its order; of each publisher at most one event that was not.
    fn verify(&self, witnesses: &[Witness], process: &Process) {
        for channel in 0..CHANNELS {
            let name = format!("round-{}-{channel}", self.number);
            let history = process.history(self.token, Some(&name));
            let mut found: HashMap<usize, Vec<usize>> = HashMap::new();
            for stored in &history {
                let mut parts = stored.data.split('-').map(|part| part.parse::<usize>().unwrap());
                assert_eq!(parts.next(), Some(self.number));
                found.entry(parts.next().unwrap()).or_default().push(parts.next().unwrap());
            }
            for (publisher, witness) in witnesses.iter().enumerate().filter(|(publisher, _)| self.channels(*publisher).contains(&name)) {
                let found = found.remove(&publisher).unwrap_or_default();
                let all: Vec<usize> = (0..found.len()).collect();
                assert_eq!(found, all, "the order of publisher {publisher} on {name}");
                let extent = witness.acknowledged..=witness.acknowledged + 1;
                assert!(extent.contains(&found.len()), "{} of publisher {publisher} on {name}, not {extent:?}", found.len());
            }
            assert!(found.is_empty(), "events of nobody: {found:?}");
            let stored: HashSet<&str> = history.iter().map(|stored| stored.mid.as_str()).collect();
            assert_eq!(stored.len(), history.len(), "ids come once");
            let seen = witnesses.iter().flat_map(|witness| &witness.seen).filter(|seen| seen.channel == name);
            seen.for_each(|seen| assert!(history.contains(seen), "{seen:?} was delivered and is not stored"));
        }
    }
}

/// An event with its id: it was stored before it was delivered.
fn event(text: &str) -> Stored {
    let message: Value = serde_json::from_str(text).unwrap();
    let part = |name: &str| message[name].as_str().unwrap_or_else(|| panic!("no {name}: {text}")).to_owned();
    Stored { mid: part("mid"), channel: part("channel"), data: part("data") }
}

/// Kills processes on one store, one after the other.
fn survives(rounds: usize, directory: &Path, store: &str) {
    let mut dice = Dice::new();
    let config = config(store, "");
    let mut process = Process::start(directory, &config);
    let token = process.login();
    let mut expected = 0..=0;
    for number in 0..rounds {
        // Whoever is known may publish on the fast way.
        process.json("GET", &format!("/sockets?sid={token}"), "");
        let kill = process.killer();
        let (end, one_more) = (1 + dice.roll(ACKNOWLEDGED_MAX) as usize, dice.roll(2) == 0);
        let round = Round {
            number,
            process: &process,
            token: &token,
            ready: Barrier::new(PUBLISHERS),
            acknowledged: AtomicUsize::new(0),
            end,
            one_more,
            kill: &kill,
        };
        let witnesses = round.run();
        let next = Process::start(directory, &config);
        round.verify(&witnesses, &next);
        let acknowledged: usize = witnesses.iter().map(|witness| witness.acknowledged).sum();
        assert!(acknowledged >= end);
        // The first publisher stores two each time.
        let least = acknowledged + witnesses[0].acknowledged;
        expected = expected.start() + least..=expected.end() + least + PUBLISHERS + 1;
        process = next;
    }
    let history = process.history(&token, None);
    let ids: HashSet<&str> = history.iter().map(|stored| stored.mid.as_str()).collect();
    assert_eq!(ids.len(), history.len(), "ids come once");
    assert!(expected.contains(&history.len()), "{} events, not {expected:?}", history.len());
    process.stop();
}

/// I-3.4, I-3.1: a file of SQLite has all that was acknowledged, however often its process is killed.
#[test]
fn a_file_keeps_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    survives(50, directory.path(), "sqlite:tidings.db");
}

/// I-3.4, I-3.1: so has PostgreSQL.
#[test]
fn postgres_keeps_what_was_acknowledged() {
    if with_postgres() {
        let directory = tempfile::tempdir().unwrap();
        survives(10, directory.path(), &schema());
    }
}
