//! What an operator may set for a relay. Plain values; the defaults are those of the rules.

use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest name of a relay, in bytes: it is part of channels' names.
pub const RELAY_BYTES_MAX: usize = 100;

/// How one relay behaves, and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its name, at most [`RELAY_BYTES_MAX`]; empty if it has none.
    pub relay: Arc<str>,
    /// What signs tokens.
    pub keys: Keys,
    /// Whether all its tokens keep to themselves: none is a channel of other dialects.
    pub apart: bool,
    /// Connections that one token may have (W-4.1).
    pub connections_per_token: u32,
    /// Messages that may wait for one client (W-7.2).
    pub queue_messages: u32,
    /// Bytes of them.
    pub queue_bytes: usize,
    /// What becomes of a client for which more would wait.
    pub slow: Slow,
    /// What a heartbeat says (W-8.1); nothing if `None`. Never empty.
    pub ping: Option<Bytes>,
    /// The time between two heartbeats (W-8.1).
    pub ping_interval: Duration,
    /// The frames that messages travel in.
    pub frames: Frames,
    /// Origins whose pages may connect; `None` for all (W-5.6).
    pub origins: Option<Vec<String>>,
    /// Whether clients are refused as in the original (W-4.2, W-5.6).
    pub compat: bool,
}

/// What signs tokens. If both are there, either may have signed; if none is, tokens are not signed (W-3.3, W-3.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The key of HMAC-MD5.
    pub md5: Option<Key>,
    /// The key of HMAC-SHA-256.
    pub sha256: Option<Key>,
}

impl Keys {
    /// Whether tokens must be signed.
    #[must_use]
    pub fn sign(&self) -> bool {
        self.md5.is_some() || self.sha256.is_some()
    }
}

/// A key, which is not empty. It never shows in `Debug` (W-9.2).
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is not what the rules call base64.
    #[error("is no key: write it in base64 with the alphabet of URLs (A-Z a-z 0-9 - _) and without padding")]
    NotBase64,
    /// It says nothing.
    #[error("is empty; make a key with `openssl rand -base64 32 | tr '+/' '-_' | tr -d '='`")]
    Empty,
}

impl Key {
    /// Reads a key as flags have it: base64 with the alphabet of URLs and without padding (W-1.1, W-1.3). Like the original's decoder it
    /// passes over line breaks, as a key that was read from a file may have them.
    ///
    /// # Errors
    /// [`BadKey`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        use base64::Engine as _;
        let text = text.replace(['\r', '\n'], "");
        let bytes = LENIENT.decode(text).map_err(|_| BadKey::NotBase64)?;
        if bytes.is_empty() { Err(BadKey::Empty) } else { Ok(Self(bytes)) }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Keys are written once and by hand: the last character's unused bits hurt nobody.
const LENIENT: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    base64::engine::general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What becomes of a client for which more would wait than may (W-7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It is closed, and may connect again.
    Close,
    /// It does not get the message that is new.
    Drop,
    /// It does not get the message that waits longest.
    DropOldest,
}

/// The frames that messages travel in (W-6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// Text where the message is text.
    Text,
    /// Binary whatever it is.
    Binary,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            relay: Arc::from(""),
            keys: Keys::default(),
            apart: false,
            connections_per_token: 15,
            queue_messages: 256,
            queue_bytes: 1024 * 1024,
            slow: Slow::Close,
            ping: None,
            ping_interval: Duration::from_secs(45),
            frames: Frames::Text,
            origins: None,
            compat: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-1.1, W-1.3, W-3.4
    #[test]
    fn a_key_is_base64() {
        for (text, expected) in [
            ("c3VwZXIgc2VjcmV0IGtleQ", Ok(&b"super secret key"[..])),
            ("c3VwZXIgc2VjcmV0IGtleQ\n", Ok(b"super secret key")),
            ("_-8", Ok(b"\xff\xef")),
            ("_-9", Ok(b"\xff\xef")),
            ("", Err(BadKey::Empty)),
            ("\r\n", Err(BadKey::Empty)),
            ("c3VwZXIgc2VjcmV0IGtleQ==", Err(BadKey::NotBase64)),
            ("/+8", Err(BadKey::NotBase64)),
            ("super secret key", Err(BadKey::NotBase64)),
            ("a", Err(BadKey::NotBase64)),
            ("é", Err(BadKey::NotBase64)),
        ] {
            let key = Key::parse(text);
            assert_eq!(key.as_ref().map(Key::as_bytes).map_err(|bad| *bad), expected, "{text:?}");
        }
    }

    /// W-9.2
    #[test]
    fn a_key_does_not_show() {
        let keys = Keys { md5: Key::parse("c3VwZXIgc2VjcmV0IGtleQ").ok(), sha256: None };
        let shown = format!("{:?}", Settings { keys, ..Settings::default() });
        assert!(shown.contains("md5: Some(Key(…)), sha256: None") && !shown.contains("super"), "{shown}");
    }
}
