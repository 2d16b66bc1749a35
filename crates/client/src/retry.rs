//! When to connect again after a connection ended, decided by the close code (P-17.3) and by how often it failed in a row.

use crate::ConnectionError;
use std::time::Duration;

/// The longest wait before the next attempt, before chance has its part.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The first wait.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How to go on after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Not at all: the next attempt would end the same way.
    Never,
    /// At once; with [`Retry::BackOff`] if that was tried and failed.
    AtOnce,
    /// After a second at least, twice as long each further time, and up to half as long again by chance: a server that had too many must
    /// not have all of them back together.
    Growing,
    /// The same, shortened by up to half by chance, so that clients who lost one server do not return all together.
    BackOff,
}

impl Retry {
    /// What P-17.3 asks for after `error`.
    pub(crate) fn after(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::Closed { code, .. } => Self::of_code(*code),
            // The server knows the request and refuses it; 5xx, 408, 425 and 429 pass by themselves.
            ConnectionError::NotUpgraded { status, .. } if !status.is_server_error() && !matches!(status.as_u16(), 408 | 425 | 429) => {
                Self::Never
            }
            _ => Self::BackOff,
        }
    }

    fn of_code(code: u16) -> Self {
        match code {
            4000..=4099 => Self::Never,
            4100..=4199 => Self::Growing,
            4200..=4299 => Self::AtOnce,
            _ => Self::BackOff,
        }
    }

    /// How long to wait after the failure number `failures` in a row, counted from 0. `chance` is any random number.
    pub(crate) fn wait(self, failures: u32, chance: u32) -> Option<Duration> {
        let half = 0.5 * f64::from(chance) / f64::from(u32::MAX);
        let growing = WAIT_MIN.saturating_mul(1 << failures.min(10)).min(WAIT_MAX);
        match self {
            Self::Never => None,
            Self::AtOnce if failures == 0 => Some(Duration::ZERO),
            Self::Growing => Some(growing.mul_f64(1.0 + half)),
            Self::AtOnce | Self::BackOff => Some(growing.mul_f64(1.0 - half)),
        }
    }
}

/// What a person should know about a close code that ends the connection for good; nothing for all others.
pub(crate) fn advice(code: u16) -> &'static str {
    match code {
        4000 => "\nthe app wants TLS: use https:// or wss://",
        4001 => "\ncheck the app's key and the address of the server",
        4004 => "\nthe app has all the connections it may have",
        _ if Retry::of_code(code) == Retry::Never => "\nconnecting again would end the same way",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(code: u16) -> ConnectionError {
        ConnectionError::Closed { code, reason: String::new() }
    }

    /// P-17.3
    #[test]
    fn the_class_of_the_code_decides() {
        for (code, retry) in [
            (1000, Retry::BackOff),
            (1006, Retry::BackOff),
            (3999, Retry::BackOff),
            (4000, Retry::Never),
            (4099, Retry::Never),
            (4100, Retry::Growing),
            (4199, Retry::Growing),
            (4200, Retry::AtOnce),
            (4299, Retry::AtOnce),
            (4300, Retry::BackOff),
        ] {
            assert_eq!(Retry::after(&closed(code)), retry, "{code}");
        }
    }

    #[test]
    fn a_refused_upgrade_is_final_unless_it_may_pass() {
        for (status, retry) in
            [(301, Retry::Never), (404, Retry::Never), (429, Retry::BackOff), (502, Retry::BackOff), (503, Retry::BackOff)]
        {
            let error = ConnectionError::NotUpgraded {
                url: "http://localhost".parse().unwrap(),
                status: http::StatusCode::from_u16(status).unwrap(),
                text: String::new(),
            };
            assert_eq!(Retry::after(&error), retry, "{status}");
        }
    }

    #[test]
    fn waits_grow_to_their_bound() {
        let millis = |retry: Retry, failures, chance| retry.wait(failures, chance).map(|wait| wait.as_millis());
        for (failures, growing, shortest) in
            [(0, 1_000, 500), (1, 2_000, 1_000), (4, 16_000, 8_000), (5, 30_000, 15_000), (u32::MAX, 30_000, 15_000)]
        {
            assert_eq!(millis(Retry::Never, failures, 7), None);
            assert_eq!(millis(Retry::Growing, failures, 0), Some(growing));
            assert_eq!(millis(Retry::Growing, failures, u32::MAX), Some(growing + growing / 2));
            assert_eq!(millis(Retry::BackOff, failures, 0), Some(growing));
            assert_eq!(millis(Retry::BackOff, failures, u32::MAX), Some(shortest));
        }
        assert_eq!(millis(Retry::AtOnce, 0, u32::MAX), Some(0));
        assert_eq!(millis(Retry::AtOnce, 1, 0), Some(2_000));
    }
}
