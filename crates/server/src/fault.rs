//! Panics on purpose, for tests of what a fault costs.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a fault can strike.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Place {
    Session = 1,
    Encode = 2,
    Write = 3,
}

static ARMED: AtomicU8 = AtomicU8::new(0);

/// Has the next call of [`strike`] at `place` panic, once.
pub(crate) fn arm(place: Place) {
    ARMED.store(place as u8, Ordering::SeqCst);
}

/// Panics if it was armed for `place`.
pub(crate) fn strike(place: Place) {
    if ARMED.compare_exchange(place as u8, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        panic!("a fault on purpose: {place:?}");
    }
}
