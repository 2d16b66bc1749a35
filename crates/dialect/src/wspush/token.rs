//! Tokens: who may have one, and which channel it is (section 3 of the rules).

use super::settings::{Key, Settings};
use crate::auth::{equal, hmac_sha256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::borrow::Cow;
use std::fmt;
use tidings_hub::{Access, ChannelName};

/// The longest token that is not signed, or by HMAC-MD5, in bytes (W-3.2).
const BYTES_MAX: usize = 64;
/// The longest that HMAC-SHA-256 signed (W-3.7).
const SHA256_BYTES_MAX: usize = 128;
/// Bytes of a code of HMAC-MD5.
const MD5_BYTES: usize = 16;
/// Bytes of a code of HMAC-SHA-256.
const SHA256_BYTES: usize = 32;
/// The longest name of a channel that other dialects share, in bytes.
const SHARED_NAME_BYTES_MAX: usize = 200;
/// What the names of a relay's own channels begin with. No other dialect lets anybody onto a channel that begins with `#`.
const OWN: &str = "#wspush-";

/// What is escaped in the name of a relay's own channel.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in the relay's name, which the first `-` ends.
const RELAY_ESCAPED: AsciiSet = ESCAPED.add(b'-');

/// What a client connects with, and what stands behind the prefix in a Redis channel. Never empty. It does not show in `Debug`: whoever has
/// it may listen.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Box<[u8]>);

impl Token {
    /// The token that the query of a request names, if the relay takes it (W-3.1 to W-3.3, W-3.6, W-3.7).
    #[must_use]
    pub fn of_query(query: &str, settings: &Settings) -> Option<Self> {
        let token = named(query)?;
        let keys = &settings.keys;
        let good = if keys.sign() { payload(&token, settings).is_some() } else { (1..=BYTES_MAX).contains(&token.len()) };
        good.then(|| Self(token.into()))
    }

    /// The token that the rest of a Redis channel's name is, if anybody can have it (W-2.2, W-2.3). Whether it is signed as it must be shows
    /// in [`Token::channel`].
    #[must_use]
    pub fn of_redis(rest: &[u8]) -> Option<Self> {
        (1..=SHA256_BYTES_MAX).contains(&rest.len()).then(|| Self(rest.into()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The channel whose events its clients get. An unsigned token is the public channel of that name, a signed one the private channel that
    /// its payload names; all others, which no other dialect could name or let anybody onto, are channels of the relay's own. So is a token
    /// that should be signed and is not: its channel is nobody's.
    ///
    /// # Panics
    /// If the relay's name is too long, which its settings forbid.
    #[must_use]
    pub fn channel(&self, settings: &Settings) -> ChannelName {
        let shared = if settings.apart { None } else { self.shared(settings) };
        shared.unwrap_or_else(|| {
            let relay = percent_encode(settings.relay.as_bytes(), &RELAY_ESCAPED);
            let name = format!("{OWN}{relay}-{}", percent_encode(&self.0, &ESCAPED));
            ChannelName::parse(&name).expect("a relay's name and a token, all escaped, are shorter than the name of a channel")
        })
    }

    /// The channel that it shares with other dialects.
    fn shared(&self, settings: &Settings) -> Option<ChannelName> {
        let (name, access) = if settings.keys.sign() {
            let payload = payload(&self.0, settings)?;
            (format!("private-{}", std::str::from_utf8(&payload).ok()?), Access::Private)
        } else {
            let token = (self.0.len() <= BYTES_MAX).then_some(&self.0)?;
            (std::str::from_utf8(token).ok()?.to_owned(), Access::Public)
        };
        let short = name.len() <= SHARED_NAME_BYTES_MAX;
        ChannelName::parse(&name).ok().filter(|name| short && name.access() == access)
    }
}

/// Whether messages of the relay may be on that channel.
#[must_use]
pub fn carries(channel: &ChannelName, settings: &Settings) -> bool {
    let own = || channel.as_str().strip_prefix(OWN).and_then(|rest| rest.split_once('-'));
    match channel.access() {
        Access::Reserved => own().is_some_and(|(relay, _)| percent_decode_str(relay).eq(settings.relay.bytes())),
        Access::Public => !settings.apart && !settings.keys.sign(),
        Access::Private => !settings.apart && settings.keys.sign() && channel.as_str().starts_with("private-"),
        Access::Presence => false,
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The first value of `token` in a query. Parts that hold a semicolon or do not decode are passed over (W-3.1).
fn named(query: &str) -> Option<Vec<u8>> {
    let parts = query.split('&').filter(|part| !part.contains(';'));
    let mut decoded = parts.filter_map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode(name)?, decode(value)?))
    });
    decoded.find(|(name, _)| &name[..] == b"token").map(|(_, value)| value.into_owned())
}

/// Decodes a name or a value of a query; `None` if a `%` does not begin two hex digits.
fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.bytes().all(|byte| byte != b'%' && byte != b'+') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut escapes = text.split('%').skip(1);
    if !escapes.all(|escape| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2) {
        return None;
    }
    Some(percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>().into())
}

/// What a signed token says, if one of the relay's keys signed it and it is written in the one way there is (W-3.3, W-3.6, W-3.7).
fn payload(token: &[u8], settings: &Settings) -> Option<Vec<u8>> {
    if token.len() > SHA256_BYTES_MAX {
        return None;
    }
    // The engine refuses padding, line breaks and unused bits that are set, so a payload has one token.
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let by_md5 = |key: &Key| token.len() <= BYTES_MAX && signed(&bytes, |payload| hmac_md5(key, payload));
    let by_sha256 = |key: &Key| signed(&bytes, |payload| hmac_sha256(key.as_bytes(), &[payload]));
    let code = if settings.keys.md5.as_ref().is_some_and(by_md5) {
        MD5_BYTES
    } else if settings.keys.sha256.as_ref().is_some_and(by_sha256) {
        SHA256_BYTES
    } else {
        return None;
    };
    bytes.truncate(bytes.len() - code);
    Some(bytes)
}

/// Whether `bytes` are a payload of at least a byte and its code.
fn signed<const N: usize>(bytes: &[u8], code: impl FnOnce(&[u8]) -> [u8; N]) -> bool {
    let split = bytes.split_last_chunk::<N>().filter(|(payload, _)| !payload.is_empty());
    split.is_some_and(|(payload, given)| equal(given, &code(payload)))
}

fn hmac_md5(key: &Key, payload: &[u8]) -> [u8; MD5_BYTES] {
    let mac = Hmac::<Md5>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.chain_update(payload).finalize().into_bytes().into()
}
