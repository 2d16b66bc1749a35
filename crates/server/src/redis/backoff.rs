//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A connection that held this long was one: what comes after it is a new beginning.
const LASTED: Duration = Duration::from_secs(5);

/// Doubles from a tenth of a second to five (W-2.5).
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure: half of it is certain, the rest up to chance, so that servers that lost their Redis together do not
    /// come back together.
    pub(super) fn failed(&mut self, chance: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        whole / 2 + whole.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
    }

    /// A connection was held for `lasted`.
    pub(super) fn held(&mut self, lasted: Duration) {
        if lasted >= LASTED {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-2.5.
    #[test]
    fn waits_double_up_to_a_bound() {
        let waits = |chance: u32, count: usize| {
            let mut backoff = Backoff::default();
            (0..count).map(|_| backoff.failed(chance).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(u32::MAX, 8), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(waits(0, 8), [50, 100, 200, 400, 800, 1600, 2500, 2500]);
        let mut backoff = Backoff { failures: u32::MAX - 1 };
        assert_eq!(backoff.failed(u32::MAX), LONGEST);
        backoff.held(LASTED - Duration::from_millis(1));
        assert_eq!(Backoff { failures: 9 }.failed(u32::MAX), LONGEST);
        backoff.held(LASTED);
        assert_eq!(backoff.failed(u32::MAX), FIRST);
    }
}
