//! `[sse]` and `[recent]`: streams of server-sent events, and what channels keep for those who come back.

use super::reader::{Section, given};
use std::time::Duration;
use tidings_dialect::sse::session::Settings;
use tidings_hub::{Keep, Pattern, Window};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const GIB: u64 = 1 << 30;

/// What channels keep for those who come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Of a channel that somebody reads who may be cut off.
    pub window: Window,
    /// Of all channels together.
    pub memory_bytes: usize,
}

pub(super) fn sse(section: &mut Section<'_, '_>) -> Settings {
    let default = Settings::default();
    Settings {
        retry: section.duration(
            ("retry", "", "How long a reader that was cut off is asked to wait before it comes back."),
            default.retry,
            MILLISECOND..=HOUR,
        ),
        heartbeat: section.duration(("heartbeat", "", "How often a stream shows that it lives."), default.heartbeat, SECOND / 10..=HOUR),
    }
}

pub(super) fn recent(section: &mut Section<'_, '_>) -> Recent {
    let window = window(section);
    let memory_bytes = section.bytes(("memory_bytes", "", "Bytes that all channels together may keep."), 64 << 20, 0..=1 << 40);
    Recent { window, memory_bytes }
}

/// Channels of an app that keep their events whoever reads them.
pub(super) fn kept(section: &mut Section<'_, '_>) -> Keep {
    let missing = !section.has("channels");
    let told = ("channels", "", "A name, or the beginning of names with a star behind it: `news-*`.");
    let pattern = section.text(told, "", pattern, Pattern::to_string);
    if missing {
        section.problem("channels", "is missing; write a name, or the beginning of names with a star behind it, such as \"news-*\"");
    }
    let pattern = pattern.unwrap_or_else(|| Pattern::parse("*").expect("a star is a pattern"));
    let window = window(section);
    let told = (
        "stored",
        "",
        "Every event is stored before anybody gets it, and who was away for longer is told what is stored. Needs a [store].",
    );
    Keep { pattern, window, stored: section.flag(told, false) }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let wrong =
        || format!("{} is no pattern; write a name, or the beginning of names with one star behind it", super::problem::quoted(text));
    Pattern::parse(given(text)?).ok_or_else(wrong)
}

fn window(section: &mut Section<'_, '_>) -> Window {
    let default = Window::default();
    Window {
        events: section.count(("events", "", "Events that a channel keeps; 0 for none."), default.events, 0..=1_000_000),
        bytes: section.bytes(("bytes", "", "Bytes that they may take."), default.bytes, 0..=GIB),
        age: section.duration(
            ("window", "", "How old they may be, and how long a channel keeps on when its last reader has left."),
            default.age,
            SECOND / 10..=24 * HOUR,
        ),
    }
}
