//! How long events are kept. What is too old or too much is removed in the background, in small steps.

use std::collections::HashMap;
use std::time::Duration;
use tidings_hub::{AppId, UnixTime};

/// How many rows one step removes: publishers wait behind a step.
pub(super) const STEP: usize = 500;

/// How long events are kept, and how many of a channel (I-3.8).
#[derive(Clone, Debug)]
pub(crate) struct Retention {
    /// Zero: without limit.
    pub(crate) age: Duration,
    /// Of one channel. Zero: without limit.
    pub(crate) events: u64,
    /// Apps for which other limits hold.
    pub(crate) apps: HashMap<AppId, (Duration, u64)>,
    /// How often what is too much is looked for.
    pub(crate) every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 24 * 60 * 60), events: 10_000, apps: HashMap::new(), every: Duration::from_secs(10) }
    }
}

impl Retention {
    fn of(&self, app: &AppId) -> (Duration, u64) {
        self.apps.get(app).copied().unwrap_or((self.age, self.events))
    }

    /// Events of `app` from before this moment, in microseconds since 1970, have been kept long enough.
    pub(super) fn oldest(&self, app: &AppId, now: UnixTime) -> Option<i64> {
        let (age, _) = self.of(app);
        let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        (age > 0).then(|| i64::try_from(now.as_micros().saturating_sub(age)).unwrap_or(i64::MAX))
    }

    /// How many events a channel of `app` keeps.
    pub(super) fn events_max(&self, app: &AppId) -> Option<i64> {
        let (_, events) = self.of(app);
        (events > 0).then(|| i64::try_from(events).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-3.8
    #[test]
    fn zero_is_without_limit_and_apps_have_their_own() {
        let (usual, own) = (AppId::new("usual"), AppId::new("own"));
        let mut retention = Retention::default();
        let now = UnixTime::from_micros(40 * 24 * 60 * 60 * 1_000_000);
        assert_eq!(retention.oldest(&usual, now), Some(10 * 24 * 60 * 60 * 1_000_000));
        assert_eq!(retention.events_max(&usual), Some(10_000));
        retention.apps.insert(own.clone(), (Duration::ZERO, 0));
        assert_eq!((retention.oldest(&own, now), retention.events_max(&own)), (None, None));
        assert_eq!(retention.oldest(&usual, UnixTime::from_micros(5)), Some(0));
    }
}
