//! The closes of WebSockets, their codes and reasons (W-1.4, W-4.3, W-6.5, W-7.2). Nothing else knows them. A stream of server-sent events
//! just ends.

use crate::action::{Close, End};
use std::borrow::Cow;

/// The close that ends a session; `compat` as in [`super::settings::Settings::compat`].
#[must_use]
pub fn close(end: End, compat: bool) -> Close {
    let (code, reason) = match end {
        End::Draining => (1001, "server shutting down"),
        End::TooSlow => (1008, "slow consumer"),
        End::OverQuota if compat => (1000, ""),
        End::OverQuota => (1013, "too many connections"),
        End::AppDisabled | End::KeyGone | End::Terminated => (1008, "not served any more"),
        End::Fault => (1011, "the server failed, connect again"),
    };
    Close { code, reason: Cow::Borrowed(reason) }
}

/// The close of a client that says too much: nobody listens to it (W-6.5). For whoever stops reading an overlong message, too.
#[must_use]
pub fn talkative() -> Close {
    Close { code: 1008, reason: Cow::Borrowed("messages of clients are not read") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-1.4, W-4.2, W-4.3, W-6.5, W-7.2
    #[test]
    fn closes_have_the_codes_of_the_rules() {
        for (end, code, reason) in [
            (End::Draining, 1001, "server shutting down"),
            (End::TooSlow, 1008, "slow consumer"),
            (End::OverQuota, 1013, "too many connections"),
            (End::AppDisabled, 1008, "not served any more"),
            (End::KeyGone, 1008, "not served any more"),
            (End::Terminated, 1008, "not served any more"),
            (End::Fault, 1011, "the server failed, connect again"),
        ] {
            let told = Close { code, reason: Cow::Borrowed(reason) };
            assert_eq!(close(end, false), told);
            let compat = if end == End::OverQuota { Close { code: 1000, reason: Cow::Borrowed("") } } else { told };
            assert_eq!(close(end, true), compat);
        }
        assert_eq!(talkative().code, 1008);
    }
}
