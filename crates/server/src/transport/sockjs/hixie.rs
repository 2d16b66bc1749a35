//! The WebSocket draft of 2010, without I/O (S-6.10): a handshake whose proof follows later, text between two bytes, and nothing else.

use httparse::Header;
use md5::{Digest as _, Md5};
use simdutf8::basic::from_utf8;

/// Bytes that the client sends after the head of its request.
pub const NONCE_BYTES: usize = 8;

/// The end of a connection, from either side.
pub const CLOSE: [u8; 2] = [LAST, FIRST];

const FIRST: u8 = 0x00;
const LAST: u8 = 0xff;

/// A handshake by the draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    numbers: [u32; 2],
    origin: Option<String>,
    host: String,
}

/// Why such a connection cannot go on; it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A key of the handshake gives no number, or there is no `Host`.
    #[error("the handshake has no two numbers")]
    Handshake,
    /// A frame is neither text nor the end.
    #[error("a frame is neither text nor the end")]
    Frame,
    /// Text is not UTF-8.
    #[error("text must be UTF-8")]
    NotUtf8,
    /// A message is longer than the limit.
    #[error("a message has at most {max} bytes")]
    TooBig {
        /// The limit.
        max: usize,
    },
}

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// The end, to be answered with [`CLOSE`].
    Close,
}

impl Handshake {
    /// The handshake in a request for a WebSocket; `None` if it is not by the draft.
    ///
    /// # Errors
    /// [`Fault::Handshake`] if it is, and cannot be answered.
    #[must_use]
    pub fn of(headers: &[Header<'_>]) -> Option<Result<Self, Fault>> {
        let upgrades = value(headers, "upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"));
        if !upgrades || headers.iter().any(|header| header.name.eq_ignore_ascii_case("sec-websocket-version")) {
            return None;
        }
        let keys = [value(headers, "sec-websocket-key1")?, value(headers, "sec-websocket-key2")?];
        let read = || {
            let [one, two] = keys.map(number);
            let host = value(headers, "host")?.to_owned();
            Some(Self { numbers: [one?, two?], origin: value(headers, "origin").map(str::to_owned), host })
        };
        Some(read().ok_or(Fault::Handshake))
    }

    /// The head of the answer, which goes out before the nonce is there. `target` is path and query as they were asked for.
    #[must_use]
    pub fn response(&self, target: &str, secure: bool) -> Vec<u8> {
        let mut head = String::from("HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n");
        if let Some(origin) = &self.origin {
            head.push_str(&format!("Sec-WebSocket-Origin: {origin}\r\n"));
        }
        let scheme = if secure { "wss" } else { "ws" };
        head.push_str(&format!("Sec-WebSocket-Location: {scheme}://{}{target}\r\n\r\n", self.host));
        head.into_bytes()
    }

    /// The body of the answer, which proves that the nonce was read.
    #[must_use]
    pub fn proof(&self, nonce: [u8; NONCE_BYTES]) -> [u8; 16] {
        let [one, two] = self.numbers.map(u32::to_be_bytes);
        Md5::new().chain_update(one).chain_update(two).chain_update(nonce).finalize().into()
    }
}

/// `text` as a frame.
#[must_use]
pub fn text(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(FIRST);
    out.extend_from_slice(text);
    out.push(LAST);
    out
}

/// The first message in `stream` and the bytes that it takes; `None` if it is not whole yet, and what there is has to be kept. After
/// [`Message::Close`] nothing of the stream matters.
///
/// # Errors
/// [`Fault`]; a text has at most `max` bytes.
pub fn first(stream: &[u8], max: usize) -> Result<Option<(Message<'_>, usize)>, Fault> {
    match *stream {
        [] | [LAST] => Ok(None),
        [LAST, FIRST, ..] => Ok(Some((Message::Close, CLOSE.len()))),
        [FIRST, ref rest @ ..] => match memchr::memchr(LAST, &rest[..rest.len().min(max.saturating_add(1))]) {
            Some(len) => Ok(Some((Message::Text(from_utf8(&rest[..len]).map_err(|_| Fault::NotUtf8)?), len + 2))),
            None if rest.len() > max => Err(Fault::TooBig { max }),
            None => Ok(None),
        },
        _ => Err(Fault::Frame),
    }
}

/// Whether `more` behind `begun`, which holds no whole frame, can complete or spoil one; if not, [`first`] needs not look.
#[must_use]
pub fn may_end(begun: &[u8], more: &[u8]) -> bool {
    begun.first() != Some(&FIRST) || memchr::memchr(LAST, more).is_some()
}

fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok()
}

/// The number in a key: its digits, read as one number, divided by the count of its spaces.
fn number(key: &str) -> Option<u32> {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let (number, spaces) = (digits.parse::<u64>().ok()?, key.bytes().filter(|byte| *byte == b' ').count() as u64);
    if number.checked_rem(spaces)? != 0 {
        return None;
    }
    u32::try_from(number / spaces).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] = [("Sec-WebSocket-Key1", "4 @1  46546xW%0l 1 5"), ("Sec-WebSocket-Key2", "12998 5 Y3 1  .P00")];

    fn read(headers: &[(&'static str, &'static str)]) -> Option<Result<Handshake, Fault>> {
        let headers: Vec<_> = headers.iter().map(|&(name, value)| Header { name, value: value.as_bytes() }).collect();
        Handshake::of(&headers)
    }

    fn good() -> Handshake {
        read(&[("upgrade", "WebSocket"), KEYS[0], KEYS[1], ("Host", "a:1")]).unwrap().unwrap()
    }

    /// S-6.10: the vectors.
    #[test]
    fn proofs() {
        assert_eq!(good().numbers, [829_309_203, 259_970_620]);
        let expected = [0xca, 0x34, 0x00, 0xd8, 0xa5, 0x08, 0x47, 0x97, 0x2c, 0xd5, 0x71, 0x5a, 0xba, 0xbf, 0x43, 0x7b];
        assert_eq!(good().proof(*b"aaaaaaaa"), expected);
        assert_eq!(good().proof(*b"^n:ds[4U"), *b"8jKS'y:G*Co,Wxa-");
    }

    /// S-6.10.
    #[test]
    fn handshakes_are_recognised() {
        let (upgrade, host) = (("Upgrade", "WebSocket"), ("Host", "a"));
        for (headers, expected) in [
            (&[upgrade, KEYS[0], KEYS[1], host][..], Some(true)),
            (&[upgrade, KEYS[0], KEYS[1], host, ("Sec-WebSocket-Version", "13")], None),
            (&[upgrade, KEYS[0], host], None),
            (&[KEYS[0], KEYS[1], host], None),
            (&[("Upgrade", "h2c"), KEYS[0], KEYS[1], host], None),
            (&[upgrade, KEYS[0], KEYS[1]], Some(false)),
            (&[upgrade, KEYS[0], ("Sec-WebSocket-Key2", "12"), host], Some(false)),
        ] {
            assert_eq!(read(headers).map(|read| read.is_ok()), expected, "{headers:?}");
        }
    }

    /// S-6.10.
    #[test]
    fn keys_give_numbers() {
        for (key, expected) in [
            ("12 ", Some(12)),
            ("1a2  b", Some(6)),
            ("13  ", None),
            ("12", None),
            (" ", None),
            ("", None),
            ("4294967295 ", Some(u32::MAX)),
            ("4294967296 ", None),
            ("99999999999999999999 ", None),
        ] {
            assert_eq!(number(key), expected, "{key}");
        }
    }

    /// S-6.10.
    #[test]
    fn answers() {
        let plain = String::from_utf8(good().response("/echo/0/0/websocket?a", false)).unwrap();
        assert_eq!(
            plain,
            "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Location: ws://a:1/echo/0/0/websocket?a\r\n\r\n"
        );
        let with_origin = Handshake { origin: Some("http://b".to_owned()), ..good() };
        let secure = String::from_utf8(with_origin.response("/x", true)).unwrap();
        assert!(secure.contains("\r\nSec-WebSocket-Origin: http://b\r\nSec-WebSocket-Location: wss://a:1/x\r\n\r\n"), "{secure}");
    }

    /// S-6.10: the stream whole, byte by byte and with bytes to spare.
    #[test]
    fn frames() {
        assert_eq!(text(b"o"), [0x00, 0x6f, 0xff]);
        for (stream, expected) in [
            (&b""[..], Ok(None)),
            (b"\x00", Ok(None)),
            (b"\xff", Ok(None)),
            (b"\x00abcde", Ok(None)),
            (b"\x00\xff", Ok(Some((Message::Text(""), 2)))),
            (b"\x00abcde\xff", Ok(Some((Message::Text("abcde"), 7)))),
            (b"\x00\xc3\xa9\xff\x00", Ok(Some((Message::Text("é"), 4)))),
            (b"\xff\x00", Ok(Some((Message::Close, 2)))),
            (b"\xff\x00x", Ok(Some((Message::Close, 2)))),
            (b"\x00abcdef", Err(Fault::TooBig { max: 5 })),
            (b"\x00abcdef\xff", Err(Fault::TooBig { max: 5 })),
            (b"\x00\x80\xff", Err(Fault::NotUtf8)),
            (b"\x81\x00", Err(Fault::Frame)),
            (b"\xff\x01", Err(Fault::Frame)),
        ] {
            assert_eq!(first(stream, 5), expected, "{stream:?}");
        }
        let stream = b"\x00ab\xff";
        for len in 0..stream.len() {
            assert_eq!(first(&stream[..len], 5), Ok(None), "{len}");
        }
        for (begun, more, expected) in
            [(&b""[..], &b"x"[..], true), (b"\xff", b"x", true), (b"\x00a", b"b\xff", true), (b"\x00a", b"b\x00", false)]
        {
            assert_eq!(may_end(begun, more), expected, "{begun:?} {more:?}");
        }
    }
}
