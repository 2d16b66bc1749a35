//! Signatures that several dialects share: HMAC-SHA256 over text in parts, as lower-case hex, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;
use tidings_hub::App;

/// A signature as it stands in a message: 64 lower-case hex digits (P-6.1).
#[derive(Clone, Copy)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }

    /// Whether `given` is this signature, found out in a time that does not tell where they differ. Upper-case digits do not match (P-6.2).
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        equal(&self.0, given.as_bytes())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// So that no log line shows a valid signature.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// HMAC-SHA256 of all `parts` one after the other, with `secret` as the key. Allocates nothing.
#[must_use]
pub fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The same as lower-case hex (P-6.1).
#[must_use]
pub fn sign(secret: &str, parts: &[&[u8]]) -> Signature {
    sign_with(secret.as_bytes(), parts)
}

/// The same with a key that is no text.
#[must_use]
pub fn sign_with(key: &[u8], parts: &[&[u8]]) -> Signature {
    let mut digits = [0; 64];
    hex(&hmac_sha256(key, parts), &mut digits);
    Signature(digits)
}

/// Writes `bytes` as lower-case hex digits into `digits`.
///
/// # Panics
/// If `digits` is not exactly twice as long as `bytes`.
pub fn hex(bytes: &[u8], digits: &mut [u8]) {
    assert_eq!(digits.len(), 2 * bytes.len(), "a byte has two digits");
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

/// Whether `a` and `b` are the same bytes. The time tells their lengths, not where they differ.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Splits `key:signature` at the first colon, since keys contain none (P-6.2).
#[must_use]
pub fn split(auth: &str) -> Option<(&str, &str)> {
    auth.split_once(':')
}

/// Why an `auth` proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It has no colon, or what precedes it is no key of the app.
    UnknownKey,
    /// The signature is not that of the text.
    WrongSignature,
}

/// Checks that `auth` is a `key:signature` of `app` for the text in `parts` (P-5.2 rows 5 and 6, P-15.1).
///
/// # Errors
/// [`Unproven`] says what is wrong; neither tells the expected signature.
pub fn verify(app: &App, auth: &str, parts: &[&[u8]]) -> Result<(), Unproven> {
    let (key, signature) = split(auth).ok_or(Unproven::UnknownKey)?;
    let secret = app.secret(key).ok_or(Unproven::UnknownKey)?;
    if sign(secret, parts).matches(signature) { Ok(()) } else { Err(Unproven::WrongSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED_EXAMPLE: &str = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";

    /// P-6.1
    #[test]
    fn parts_are_signed_as_one_text() {
        let secret = "7ad3773142a6692b25b8";
        for parts in [&[b"1234.1234:private-foobar" as &[u8]] as &[&[u8]], &[b"1234.1234", b":", b"", b"private-foobar"]] {
            assert_eq!(sign(secret, parts).as_str(), WORKED_EXAMPLE);
        }
    }

    /// P-6.2
    #[test]
    fn an_auth_proves_only_what_its_key_signed() {
        let app = App::new("1", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        let text: &[&[u8]] = &[b"1234.1234:private-foobar"];
        for (auth, expected) in [
            (format!("278d425bdf160c739803:{WORKED_EXAMPLE}"), Ok(())),
            (format!("278d425bdf160c739803:{}", WORKED_EXAMPLE.to_uppercase()), Err(Unproven::WrongSignature)),
            (format!("278d425bdf160c739803::user::{WORKED_EXAMPLE}"), Err(Unproven::WrongSignature)),
            ("278d425bdf160c739803:".to_owned(), Err(Unproven::WrongSignature)),
            (format!("other:{WORKED_EXAMPLE}"), Err(Unproven::UnknownKey)),
            (format!(":{WORKED_EXAMPLE}"), Err(Unproven::UnknownKey)),
            (WORKED_EXAMPLE.to_owned(), Err(Unproven::UnknownKey)),
        ] {
            assert_eq!(verify(&app, &auth, text), expected, "{auth}");
        }
    }

    #[test]
    fn a_signature_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", sign("s", &[])), "Signature(…)");
    }
}
