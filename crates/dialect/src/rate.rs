//! A rate as a bucket: full it holds a second's worth, or more.

use std::time::Duration;
use tidings_hub::Time;

/// Takes a token from a bucket that holds `rate` and gains `rate` a second (P-8.4). `full_at` is when the bucket is full again: each token
/// taken moves it by the time that one token needs.
pub(crate) fn take_token(full_at: &mut Time, rate: u32, now: Time) -> bool {
    take_token_of(full_at, rate, rate, now)
}

/// The same from a bucket that holds `burst`.
pub(crate) fn take_token_of(full_at: &mut Time, rate: u32, burst: u32, now: Time) -> bool {
    let Some(others) = burst.checked_sub(1).filter(|_| rate > 0) else {
        return false;
    };
    let one = Duration::from_secs(1) / rate;
    let start = (*full_at).max(now);
    if start.since(now) > one * others {
        return false;
    }
    *full_at = start + one;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(full_at: &mut Time, rate: u32, millis: u64, attempts: usize) -> usize {
        (0..attempts).filter(|_| take_token(full_at, rate, Time::from_micros(millis * 1000))).count()
    }

    /// P-8.4, P-18.11: ten at once, then ten a second; what is refused costs nothing.
    #[test]
    fn a_bucket_holds_a_second() {
        let mut full_at = Time::ZERO;
        assert_eq!(taken(&mut full_at, 10, 5_000, 100), 10);
        assert_eq!(taken(&mut full_at, 10, 5_099, 100), 0);
        assert_eq!(taken(&mut full_at, 10, 5_100, 100), 1);
        assert_eq!(taken(&mut full_at, 10, 5_600, 100), 5);
        assert_eq!(taken(&mut full_at, 10, 60_000, 100), 10);
    }

    /// Y-11.1
    #[test]
    fn a_burst_may_be_more_than_a_second() {
        let mut full_at = Time::ZERO;
        let mut taken =
            |millis: u64| (0..1_000).filter(|_| take_token_of(&mut full_at, 100, 200, Time::from_micros(millis * 1000))).count();
        assert_eq!((taken(5_000), taken(5_000), taken(5_010), taken(6_010), taken(60_000)), (200, 0, 1, 100, 200));
        assert!(!take_token_of(&mut Time::ZERO.clone(), 0, 5, Time::ZERO) && !take_token_of(&mut Time::ZERO.clone(), 5, 0, Time::ZERO));
    }

    #[test]
    fn odd_rates_are_kept() {
        for rate in [0, 1, 3, 7, 1_000] {
            let mut full_at = Time::ZERO;
            assert_eq!(taken(&mut full_at, rate, 0, 5_000), rate as usize, "{rate}");
            assert_eq!(taken(&mut full_at, rate, 10_000, 5_000), rate as usize, "{rate}");
        }
    }
}
