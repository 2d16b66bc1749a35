//! The walls of the house: who may know whom. What a room takes in is read from its sources, comments and tests left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The rooms of the server, each with the rooms it may know.
const ROOMS: [(&str, &[&str]); 26] = [
    ("main", &[]),
    ("run", EVERY_ROOM),
    ("cli", EVERY_ROOM),
    ("listener", &["address", "config", "http", "node", "shard", "tls"]),
    ("tls", &["config", "http", "listener", "node", "shard"]),
    ("http", &["api", "config", "connection", "listener", "metrics", "node", "page", "shard", "transport"]),
    ("api", &["chance", "clock", "config", "http", "listener", "metrics", "node", "shard", "store"]),
    ("page", &["config", "http", "listener", "node"]),
    ("metrics", &["cli", "deliver", "http", "node", "shard", "store"]),
    ("log", &["api", "config"]),
    // For benchmarks only.
    ("world", EVERY_ROOM),
    ("bench", EVERY_ROOM),
    ("shard", &["connection", "http", "listener", "node", "store", "transport", "wire"]),
    ("connection", &["api", "chance", "clock", "config", "http", "listener", "node", "shard", "store", "transport", "wire"]),
    ("wire", &["transport"]),
    ("node", &["address", "api", "chance", "clock", "command", "config", "deliver", "http", "shard", "store"]),
    ("deliver", &["config"]),
    ("command", &["node"]),
    ("store", &["clock"]),
    ("relay", &["node", "redis"]),
    ("redis", &["chance", "config"]),
    ("address", &[]),
    ("transport", &[]),
    ("config", &["store", "transport"]),
    ("clock", &[]),
    ("chance", &[]),
];

/// Those who wire may know everybody.
const EVERY_ROOM: &[&str] = &["*"];

/// What the crates may know of each other.
const CRATES: [(&str, &[&str]); 4] = [
    ("hub", &[]),
    ("dialect", &["tidings_hub"]),
    ("client", &["tidings_dialect", "tidings_hub"]),
    ("server", &["tidings_client", "tidings_dialect", "tidings_hub"]),
];

/// Crates of others that only some rooms of the server may know.
const OUTSIDE: [(&str, &[&str]); 23] = [
    ("clap", &["cli"]),
    ("tidings_client", &["cli"]),
    ("anstyle", &["cli"]),
    ("toml", &["config"]),
    ("flate2", &["transport"]),
    ("simdutf8", &["transport"]),
    ("sha1", &["transport"]),
    ("httparse", &["http", "transport"]),
    ("ppp", &["http"]),
    // Serving is one room's business, posting another's.
    ("hyper", &["deliver", "http"]),
    ("hyper_util", &["deliver", "http"]),
    ("hyper_rustls", &["deliver"]),
    ("webpki_roots", &["deliver", "redis", "store"]),
    ("redis", &["redis"]),
    ("combine", &["redis"]),
    ("prometheus_client", &["metrics"]),
    ("slab", &["shard"]),
    ("rusqlite", &["store"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("deadpool_postgres", &["store"]),
    ("sd_notify", &["run"]),
    ("listenfd", &["listener", "run"]),
];

/// What only some rooms of the server may say, whatever they know.
const SAYINGS: [(&str, &[&str]); 9] = [
    ("env::var", &["config"]),
    ("Instant::now", &["api", "clock", "deliver", "redis"]),
    ("SystemTime::now", &["cli", "clock", "deliver", "http"]),
    ("getrandom::fill", &["chance", "config"]),
    ("channels.publish(", &["bench", "node"]),
    ("channels.subscribe(", &["bench", "node"]),
    ("channels.unsubscribe(", &["bench", "node"]),
    ("channels.sign_in(", &["node"]),
    ("channels.sign_out(", &["node"]),
];

/// What neither the domain nor the protocols may know: sockets, clocks, chance, files, threads.
const IMPURE: [&str; 13] = [
    "std::net",
    "std::os",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "getrandom",
    "mio",
    "tokio::time",
    "tokio::net",
    "tokio::spawn",
];

/// One source file without comments and tests.
struct Source {
    /// From the crates' directory.
    path: PathBuf,
    code: String,
}

fn sources(of: &str) -> Vec<Source> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut directories = vec![crates.join(of).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "tests" {
                directories.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(crates).unwrap().to_owned(), code: code(&text) });
            }
        }
    }
    assert!(!found.is_empty(), "{of} has sources");
    found
}

/// All but comments and what is there for tests only.
fn code(text: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let text = text.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(String::new(), |code, line| code + line + "\n");
    let mut parts = text.split(TEST);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + &part[thing(part)..])
}

/// How long the thing is that an attribute stands before: an item, a statement, a field, an arm.
fn thing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | ',' | '}') {
            return at + 1;
        }
    }
    text.len()
}

/// The room that a file of the server is in.
fn room(source: &Source) -> String {
    let first = source.path.components().nth(2).unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The names that follow `crate::` anywhere.
fn known(code: &str) -> BTreeSet<&str> {
    code.match_indices("crate::")
        .filter(|(at, _)| !code[..*at].ends_with(['$', '_']))
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
        })
        .collect()
}

/// Whether the crate of that name is spoken of: the name as the start of a path.
fn speaks_of(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let starts = !code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.' | '"'));
        starts && code[at + name.len()..].starts_with("::")
    })
}

/// All that breaks a rule, so that one run shows everything.
fn nothing(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn rooms_know_only_their_own() {
    let table: BTreeMap<_, _> = ROOMS.into_iter().collect();
    let mut broken = Vec::new();
    for source in sources("server") {
        let room = room(&source);
        // What declares the rooms, and what is there for tests only.
        if ["lib", "fault"].contains(&room.as_str()) {
            continue;
        }
        let Some(allowed) = table.get(room.as_str()) else {
            broken.push(format!("{}: the room `{room}` is not on the plan", source.path.display()));
            continue;
        };
        for other in known(&source.code) {
            let own = other == room || other == "fault";
            if !own && *allowed != EVERY_ROOM && !allowed.contains(&other) {
                broken.push(format!("{}: `{room}` may not know `crate::{other}`", source.path.display()));
            }
        }
    }
    nothing(broken);
}

/// The domain knows nobody, the protocols know the domain, and neither knows the world.
#[test]
fn crates_know_only_those_below() {
    let mut broken = Vec::new();
    for (name, allowed) in CRATES {
        for source in sources(name) {
            for other in ["tidings_hub", "tidings_dialect", "tidings_client", "tidings_server"] {
                // The binary is a crate of its own beside the library.
                let own = other == format!("tidings_{name}");
                if !own && !allowed.contains(&other) && speaks_of(&source.code, other) {
                    broken.push(format!("{}: may not know `{other}`", source.path.display()));
                }
            }
            let pure = ["hub", "dialect"].contains(&name);
            for word in IMPURE.iter().filter(|word| pure && source.code.contains(**word)) {
                broken.push(format!("{}: may not know `{word}`", source.path.display()));
            }
        }
    }
    nothing(broken);
}

#[test]
fn crates_of_others_have_their_rooms() {
    let mut broken = Vec::new();
    for source in sources("server") {
        let room = room(&source);
        for (name, rooms) in OUTSIDE {
            if !rooms.contains(&room.as_str()) && speaks_of(&source.code, name) {
                broken.push(format!("{}: `{name}` is known in {} only", source.path.display(), rooms.join(", ")));
            }
        }
    }
    nothing(broken);
}

/// The environment, the clock, chance, and the one door to the channels.
#[test]
fn some_things_are_said_in_one_room_only() {
    let mut broken = Vec::new();
    for source in sources("server") {
        let room = room(&source);
        for (words, rooms) in SAYINGS {
            if !rooms.contains(&room.as_str()) && source.code.contains(words) {
                broken.push(format!("{}: `{words}` is said in {} only", source.path.display(), rooms.join(", ")));
            }
        }
    }
    nothing(broken);
}

/// The reader itself: it must not overlook anything.
#[test]
fn the_plan_is_read_rightly() {
    let text = "use crate::node::{self, Node}; // crate::page\nfn f() { crate::tls::start(); hyper::x(); my_mio::y() }\n#[cfg(test)]\nmod tests {\n use crate::cli;";
    let code = code(text);
    assert_eq!(known(&code), BTreeSet::from(["node", "tls"]));
    assert!(speaks_of(&code, "hyper") && !speaks_of(&code, "mio") && !speaks_of(&code, "page"));
    // A list of rooms in braces would hide their names.
    nothing(
        sources("server")
            .iter()
            .filter(|source| source.code.contains("crate::{"))
            .map(|source| source.path.display().to_string())
            .collect(),
    );
}
