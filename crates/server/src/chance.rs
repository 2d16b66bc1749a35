//! The one source of chance.

use std::cell::RefCell;

/// Bytes asked of the system at once: ids are made far more often than a call to it is worth.
const POOL: usize = 4096;

thread_local! {
    static POOLED: RefCell<(Box<[u8; POOL]>, usize)> = RefCell::new((Box::new([0; POOL]), POOL));
}

/// 64 hex digits: a key, a secret, a token.
pub(crate) fn hex64() -> String {
    let mut digits = [0; 64];
    tidings_dialect::auth::hex(&bytes::<32>(), &mut digits);
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// A UUID of version 4.
pub(crate) fn uuid() -> u128 {
    let random = u128::from_le_bytes(bytes());
    random & !(0xf << 76) & !(3 << 62) | 4 << 76 | 2 << 62
}

/// Random bytes that nobody can guess, each handed out once.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= POOL) };
    POOLED.with_borrow_mut(|(pool, used)| {
        if *used + N > POOL {
            getrandom::fill(&mut pool[..]).expect("the system has a source of random bytes");
            *used = 0;
        }
        let taken = &mut pool[*used..*used + N];
        *used += N;
        let bytes = <[u8; N]>::try_from(&*taken).expect("the slice has that length");
        taken.fill(0);
        bytes
    })
}
