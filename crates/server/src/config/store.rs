//! `[store]`: where what must last is kept, and for how long.

use super::reader::{Section, read_text};
use crate::store::StoreUrl;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Where what must last is kept. `Debug` hides the password that the URL may hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Store {
    /// A URL that the store can read, with a path that needs no directory.
    pub url: String,
    /// How long events are kept.
    pub history: History,
    /// Bytes; 0 for no limit.
    pub size: u64,
    /// Writes that may wait before publishers do.
    pub queue: usize,
    /// How often what is too much is looked for.
    pub prune_interval: Duration,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, history, size, queue, prune_interval } = self;
        let mut told = f.debug_struct("Store");
        told.field("url", &shown(url)).field("history", history).field("size", size);
        told.field("queue", queue).field("prune_interval", prune_interval).finish()
    }
}

/// How long events are kept (I-3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Zero for ever.
    pub retention: Duration,
    /// Of one channel; 0 for no limit.
    pub channel_events: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { retention: 30 * DAY, channel_events: 10_000 }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// The file beside the configuration.
pub(super) const FILE: &str = "sqlite:tidings.db";

/// What holds where nothing is written.
pub(super) fn default(directory: &Path) -> Store {
    let url = resolved(FILE, directory).expect("the default is right");
    Store { url, history: History::default(), size: 0, queue: 10_000, prune_interval: 10 * SECOND }
}

pub(super) fn store(section: &mut Section<'_, '_>) -> Store {
    let url = url(section);
    let default = default(&section.surroundings().directory);
    Store {
        url: url.unwrap_or(default.url),
        history: history(section),
        size: section.bytes(("size", "", "Bytes that it may take; 0 for no limit. Beyond it nothing new is stored."), 0, 0..=1 << 50)
            as u64,
        queue: section.count(("queue", "", "Writes that may wait before publishers do."), default.queue, 1..=10_000_000),
        prune_interval: section.duration(
            ("prune_interval", "", "How often what is kept for too long is looked for."),
            default.prune_interval,
            SECOND / 10..=DAY,
        ),
    }
}

/// The URL may hold a password: a file may have it, and only what tells nothing of it is shown.
fn url(section: &mut Section<'_, '_>) -> Option<String> {
    let directory = section.directory("url");
    let told = ("url", "", "`sqlite:PATH`, `postgres://user:password@host/database`, or `memory:` for trials.");
    if section.has("url_file") && section.has("url") {
        section.problem("url", "is given twice: keep `url` or `url_file`");
    }
    let written = section.text(told, FILE, |text| resolved(text, &directory), |url| shown(url));
    let Some(file) = section.path_to(("url_file", "", "A file with the URL, where it holds a password.")) else { return written };
    let read = read_text(section.surroundings(), &file).and_then(|text| resolved(&text, &directory));
    match read {
        Ok(url) => Some(url),
        Err(problem) => {
            section.problem("url_file", problem);
            written
        }
    }
}

/// The URL without its password.
fn shown(url: &str) -> String {
    StoreUrl::parse(url, Path::new("")).map(|url| url.to_string()).unwrap_or_default()
}

/// How long events are kept: of all apps, or of one.
pub(super) fn history(section: &mut Section<'_, '_>) -> History {
    let default = History::default();
    History {
        retention: section.duration(
            ("retention", "I-3.8", "How long events are kept; 0 for ever."),
            default.retention,
            Duration::ZERO..=36_600 * DAY,
        ),
        channel_events: section.count(
            ("channel_events", "I-3.8", "How many events of a channel are kept; 0 for all."),
            default.channel_events,
            0..=1_000_000_000,
        ),
    }
}

/// The URL with a path that needs no directory.
fn resolved(text: &str, directory: &Path) -> Result<String, String> {
    Ok(match StoreUrl::parse(text, directory)? {
        StoreUrl::Postgres(url) => url,
        other => other.to_string(),
    })
}
