//! The one clock of the process.

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tidings_hub::{Time, UnixTime};

/// Tells the time since the process started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// How far a test has moved it.
    #[cfg(test)]
    ahead_micros: &'static std::sync::atomic::AtomicU64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
            #[cfg(test)]
            ahead_micros: Box::leak(Box::default()),
        }
    }

    pub(crate) fn now(self) -> Time {
        let now = Time::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX));
        #[cfg(test)]
        let now = now + std::time::Duration::from_micros(self.ahead_micros.load(std::sync::atomic::Ordering::SeqCst));
        now
    }

    /// Moves it forward. Whoever sleeps by it must be woken.
    #[cfg(test)]
    pub(crate) fn advance(self, by: std::time::Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.ahead_micros.fetch_add(micros, std::sync::atomic::Ordering::SeqCst);
    }
}

/// The calendar's time now.
pub(crate) fn unix_time() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
