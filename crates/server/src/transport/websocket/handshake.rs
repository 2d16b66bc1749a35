//! The opening handshake: what an upgrade request must hold, and the answer to it (RFC 6455 section 4.2).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use httparse::Header;
use sha1::{Digest, Sha1};

use super::Agreement;
use super::extension::Malformed;

/// What RFC 6455 section 1.3 appends to a key.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Keys are 16 random bytes; some clients draw 22 random characters instead, which leaves stray bits in the last one.
const KEY_BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A request to become a WebSocket that may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// The client's `Sec-WebSocket-Key`, which [`accept_key`] answers.
    pub key: &'a str,
    /// Compression as negotiated. Set it to `None` to go without.
    pub deflate: Option<Agreement>,
}

/// Why a request does not become a WebSocket. The sentence is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not ask for it (P-2.1).
    #[error("this address speaks WebSocket; send `Upgrade: websocket`")]
    NotAsked,
    /// `Sec-WebSocket-Version` is missing or not 13.
    #[error("Sec-WebSocket-Version must be 13")]
    Version,
    /// The method is not GET.
    #[error("a WebSocket is opened with GET")]
    Method,
    /// The request is older than HTTP/1.1.
    #[error("a WebSocket is opened with HTTP/1.1")]
    Http10,
    /// `Connection` does not list `upgrade`.
    #[error("the Connection header must list `upgrade`; a proxy in between may have removed it")]
    Connection,
    /// `Sec-WebSocket-Key` is missing or not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// A header that may come once came twice (RFC 6455 section 11.3).
    #[error("{0} must not be repeated")]
    Repeated(&'static str),
    /// The offered extensions cannot be read.
    #[error(transparent)]
    Extensions(#[from] Malformed),
}

impl Refusal {
    /// The HTTP status of the answer: 426 where asking in another way helps, else 400.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotAsked | Self::Version => 426,
            Self::Method | Self::Http10 | Self::Connection | Self::Key | Self::Repeated(_) | Self::Extensions(_) => 400,
        }
    }

    /// The headers the answer must carry: with 426, what to ask for (RFC 6455 section 4.4, RFC 9110 section 15.5.22).
    #[must_use]
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            426 => &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            _ => &[],
        }
    }
}

impl<'a> Upgrade<'a> {
    /// Checks a parsed request; `minor_version` is the 1 of HTTP/1.1. The `Host` and the target are not looked at.
    ///
    /// # Errors
    /// [`Refusal`] says which condition fails.
    pub fn check(method: &str, minor_version: u8, headers: &[Header<'a>]) -> Result<Self, Refusal> {
        if !lists(headers, "upgrade", "websocket") {
            return Err(Refusal::NotAsked);
        }
        if method != "GET" {
            return Err(Refusal::Method);
        }
        if minor_version == 0 {
            return Err(Refusal::Http10);
        }
        if !lists(headers, "connection", "upgrade") {
            return Err(Refusal::Connection);
        }
        if single(headers, "Sec-WebSocket-Version")? != Some(b"13") {
            return Err(Refusal::Version);
        }
        let key = single(headers, "Sec-WebSocket-Key")?.and_then(key_of).ok_or(Refusal::Key)?;
        let deflate = Agreement::negotiate(values(headers, "sec-websocket-extensions"))?;
        Ok(Self { key, deflate })
    }

    /// The bytes of the 101 response. No subprotocol is selected, whatever is offered (P-2.10).
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        self.response_with(None)
    }

    /// The same with a subprotocol, which must be a token (W-5.5).
    #[must_use]
    pub fn response_with(&self, protocol: Option<&str>) -> Vec<u8> {
        let mut out = String::with_capacity(288);
        out.push_str("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
        out.push_str(&accept_key(self.key));
        if let Some(agreement) = self.deflate {
            out.push_str("\r\nSec-WebSocket-Extensions: ");
            out.push_str(agreement.answer());
        }
        if let Some(protocol) = protocol {
            out.extend(["\r\nSec-WebSocket-Protocol: ", protocol]);
        }
        out.push_str("\r\n\r\n");
        out.into_bytes()
    }
}

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455 section 4.2.2).
#[must_use]
pub fn accept_key(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize())
}

/// `value`, if it is 16 bytes in base64.
fn key_of(value: &[u8]) -> Option<&str> {
    let mut bytes = [0; 18];
    let len = KEY_BASE64.decode_slice(value, &mut bytes).ok()?;
    if len == 16 { str::from_utf8(value).ok() } else { None }
}

/// The values of all headers called `name`, in any case.
fn values<'h, 'a>(headers: &'h [Header<'a>], name: &'static str) -> impl Iterator<Item = &'a [u8]> + use<'h, 'a> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// Whether a comma list, spread over any number of headers, holds `token` in any case.
fn lists(headers: &[Header<'_>], name: &'static str, token: &str) -> bool {
    let mut items = values(headers, name).flat_map(|value| value.split(|byte| *byte == b','));
    items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// The value of a header that may come once.
fn single<'a>(headers: &[Header<'a>], name: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = values(headers, name);
    let value = values.next().map(<[u8]>::trim_ascii);
    if values.next().is_some() { Err(Refusal::Repeated(name)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 1.2 of RFC 6455.
    const RFC_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// Parses a request as the listener does and checks it.
    fn check<T>(request: &str, seen: impl FnOnce(Result<Upgrade<'_>, Refusal>) -> T) -> T {
        let request = request.replace('\n', "\r\n") + "\r\n\r\n";
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut headers);
        assert!(parsed.parse(request.as_bytes()).unwrap().is_complete(), "{request}");
        seen(Upgrade::check(parsed.method.unwrap(), parsed.version.unwrap(), parsed.headers))
    }

    const GOOD: &str = "GET /app/key HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn accepts_the_key_of_the_rfc() {
        // RFC 6455 section 1.3.
        assert_eq!(accept_key(RFC_KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let response = check(GOOD, |upgrade| upgrade.unwrap().response());
        assert_eq!(
            String::from_utf8(response).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }

    #[test]
    fn good_requests() {
        for (what, instead) in [
            ("", ""),
            ("Upgrade: websocket", "uPGRADE: WebSocket"),
            ("Upgrade: websocket", "Upgrade: h2c\nUpgrade: foo , websocket"),
            ("Connection: Upgrade", "connection: keep-alive, upgrade"),
            ("Connection: Upgrade", "Connection: keep-alive\nConnection: Upgrade"),
            ("Sec-WebSocket-Version: 13", "sec-websocket-version:   13  "),
            // Stray bits in the last character.
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
            // P-2.10.
            ("Host: a", "Host: a\nSec-WebSocket-Protocol: chat, superchat"),
        ] {
            let response = check(&GOOD.replacen(what, instead, 1), |upgrade| upgrade.expect(instead).response());
            let response = String::from_utf8(response).unwrap();
            assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
            assert!(!response.contains("Sec-WebSocket-Protocol"), "{response}");
        }
    }

    #[test]
    fn refused_requests() {
        for (what, instead, refusal, status) in [
            ("Upgrade: websocket\n", "", Refusal::NotAsked, 426),
            ("Upgrade: websocket", "Upgrade: h2c", Refusal::NotAsked, 426),
            ("Upgrade: websocket", "Upgrade: websockets", Refusal::NotAsked, 426),
            ("GET", "POST", Refusal::Method, 400),
            ("HTTP/1.1", "HTTP/1.0", Refusal::Http10, 400),
            ("Connection: Upgrade\n", "", Refusal::Connection, 400),
            ("Connection: Upgrade", "Connection: keep-alive", Refusal::Connection, 400),
            ("Sec-WebSocket-Version: 13\n", "", Refusal::Version, 426),
            ("Version: 13", "Version: 8", Refusal::Version, 426),
            ("Version: 13", "Version: 13, 8", Refusal::Version, 426),
            ("Version: 13", "Version: 13\nSec-WebSocket-Version: 13", Refusal::Repeated("Sec-WebSocket-Version"), 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "X: y", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWE=", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWFhYWFhYWFhYWFh", Refusal::Key, 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBs*SBub25jZQ==", Refusal::Key, 400),
            ("Host: a", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", Refusal::Repeated("Sec-WebSocket-Key"), 400),
            ("Host: a", "Sec-WebSocket-Extensions: ;", Refusal::Extensions(Malformed), 400),
        ] {
            let seen = check(&GOOD.replacen(what, instead, 1), |upgrade| upgrade.unwrap_err());
            assert_eq!((seen, seen.status()), (refusal, status), "{instead}");
            let names_the_version = seen.headers().contains(&("Sec-WebSocket-Version", "13"));
            assert_eq!(names_the_version, status == 426, "{instead}");
        }
    }

    #[test]
    fn compression_is_answered_once() {
        let request = GOOD.replacen("Host: a", "Sec-WebSocket-Extensions: foo\nSEC-WEBSOCKET-EXTENSIONS: permessage-deflate", 1);
        check(&request, |upgrade| {
            let mut upgrade = upgrade.unwrap();
            let offered =
                "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n";
            assert!(String::from_utf8(upgrade.response()).unwrap().ends_with(offered));
            upgrade.deflate = None;
            assert!(!String::from_utf8(upgrade.response()).unwrap().contains("Extensions"));
        });
    }
}
