//! The frames the server sends: unmasked and never fragmented (RFC 6455 section 5.2). Reading is `decoder.rs`.

use bytes::Bytes;

/// The longest header of a server frame, in bytes.
pub const HEADER_BYTES_MAX: usize = 10;

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// The longest reason of a close frame, in bytes: its code takes two.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// The bit of the first byte that ends a message.
pub(super) const FIN: u8 = 0x80;
/// The bit of the first byte that marks a compressed message (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;
/// The two bits of the first byte that nobody has given a meaning.
pub(super) const RSV2_RSV3: u8 = 0x30;

/// What a frame is (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message in progress. The server never sends it.
    Continuation = 0,
    /// UTF-8.
    Text = 1,
    /// Any bytes.
    Binary = 2,
    /// The end of the connection.
    Close = 8,
    /// To be echoed.
    Ping = 9,
    /// The echo.
    Pong = 10,
}

/// How the payload of a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    #[default]
    Plain,
    /// By permessage-deflate (RFC 7692).
    Deflated,
}

impl Opcode {
    /// The opcode in the low half of a frame's first byte, if it is a defined one.
    pub(super) fn of(first: u8) -> Option<Self> {
        Some(match first & 0x0f {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this kind may come between the fragments of a message.
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The length of a whole server frame with a payload of `payload_len` bytes.
#[must_use]
pub const fn frame_len(payload_len: usize) -> usize {
    payload_len
        + match payload_len {
            0..126 => 2,
            126..=0xffff => 4,
            _ => HEADER_BYTES_MAX,
        }
}

/// Appends the header of an unfragmented frame whose payload of `payload_len` bytes the caller appends next.
pub fn put_header(out: &mut Vec<u8>, opcode: Opcode, coding: Coding, payload_len: usize) {
    let rsv1 = match coding {
        Coding::Plain => 0,
        Coding::Deflated => RSV1,
    };
    let first = FIN | rsv1 | opcode as u8;
    match payload_len {
        0..126 => out.extend_from_slice(&[first, payload_len as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
}

/// A whole frame around a copy of `payload`, in one allocation of exactly its size.
#[must_use]
pub fn encode(opcode: Opcode, coding: Coding, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(frame_len(payload.len()));
    put_header(&mut out, opcode, coding, payload.len());
    out.extend_from_slice(payload);
    Bytes::from(out)
}

/// A text frame. `payload` is UTF-8.
#[must_use]
pub fn text(payload: impl AsRef<[u8]>) -> Bytes {
    encode(Opcode::Text, Coding::Plain, payload.as_ref())
}

/// A text frame whose payload [`Deflater::compress`](super::Deflater::compress) wrote.
#[must_use]
pub fn text_deflated(compressed: &[u8]) -> Bytes {
    encode(Opcode::Text, Coding::Deflated, compressed)
}

/// The payload of a whole frame of ours.
#[must_use]
pub fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        None => 0,
        Some(126) => 4,
        Some(127) => 10,
        Some(_) => 2,
    };
    frame.get(header..).unwrap_or_default()
}

/// A ping; `payload` is cut at [`CONTROL_BYTES_MAX`].
#[must_use]
pub fn ping(payload: &[u8]) -> Bytes {
    control(Opcode::Ping, payload)
}

/// The answer to a ping with that payload (P-16.3); `payload` is cut at [`CONTROL_BYTES_MAX`].
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, payload)
}

/// A close frame. The reason is cut between two characters at [`REASON_BYTES_MAX`], and left out where there is no code.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else {
        return control(Opcode::Close, &[]);
    };
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    let mut out = Vec::with_capacity(frame_len(2 + reason.len()));
    put_header(&mut out, Opcode::Close, Coding::Plain, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    Bytes::from(out)
}

fn control(opcode: Opcode, payload: &[u8]) -> Bytes {
    encode(opcode, Coding::Plain, &payload[..payload.len().min(CONTROL_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::Value;

    #[test]
    fn lengths_take_their_shortest_form() {
        // RFC 6455 section 5.2.
        for (len, header) in [
            (0, &[0x81, 0][..]),
            (1, &[0x81, 1]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65535, &[0x81, 126, 0xff, 0xff]),
            (65536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            (70000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]),
        ] {
            let payload = vec![b'x'; len];
            let frame = text(&payload);
            assert_eq!(frame[..header.len()], *header, "length {len}");
            assert_eq!(frame[header.len()..], payload, "length {len}");
            assert_eq!(frame.len(), frame_len(len), "length {len}");
        }
    }

    #[test]
    fn examples_of_the_rfc() {
        // RFC 6455 section 5.7.
        assert_eq!(text("Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(ping(b"Hello")[..], [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        assert_eq!(encode(Opcode::Binary, Coding::Plain, &[0; 256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(encode(Opcode::Binary, Coding::Plain, &[0; 65536])[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        // RFC 7692 section 7.2.3.1.
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(text_deflated(&hello)[..], [0xc1, 0x07, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    }

    #[test]
    fn control_frames_keep_to_125_bytes() {
        // RFC 6455 section 5.5.
        assert_eq!(pong(&[7; 126])[..], [&[0x8a, 125][..], &[7; 125]].concat());
        assert_eq!(close(None, "dropped")[..], [0x88, 0]);
        assert_eq!(close(Some(1000), "")[..], [0x88, 2, 0x03, 0xe8]);
        assert_eq!(close(Some(4200), "bye")[..], [0x88, 5, 0x10, 0x68, b'b', b'y', b'e']);
        for (reason, kept) in
            [("a".repeat(123), 123), ("a".repeat(124), 123), ("ü".repeat(62), 122), ("a".to_owned() + &"€".repeat(60), 121)]
        {
            let frame = close(Some(4100), &reason);
            assert_eq!(frame[1] as usize, 2 + kept, "{reason}");
            assert_eq!(frame[4..], reason.as_bytes()[..kept], "{reason}");
        }
    }

    /// W-4.2, W-6.1, W-6.2, W-6.4, W-8.1: the bytes that wspush's vectors name.
    #[test]
    fn frames_of_wspush() {
        let vectors: Value = serde_json::from_str(include_str!("../../../../dialect/tests/wspush-vectors.json")).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let frames = vectors["ws_frames"].as_array().unwrap();
        assert!(frames.len() > 5);
        for vector in frames {
            let payload = match vector["message_base64"].as_str() {
                Some(text) => BASE64_STANDARD.decode(text).unwrap(),
                None => vec![b'x'; usize::try_from(vector["length"].as_u64().unwrap()).unwrap()],
            };
            let header = vector["original_header_hex"].as_str().unwrap();
            for (opcode, first) in [(Opcode::Text, "81"), (Opcode::Binary, "82")] {
                let frame = encode(opcode, Coding::Plain, &payload);
                assert_eq!(hex(&frame[..header.len() / 2]), format!("{first}{}", &header[2..]), "{vector}");
                assert_eq!(frame[header.len() / 2..], payload, "{vector}");
            }
        }
        let pings = &vectors["pings"];
        assert_eq!(hex(&pong(b"")), pings["ws_default_hex"].as_str().unwrap());
        let said = &pings["ws_with_payload"];
        assert_eq!(hex(&text(said["payload"].as_str().unwrap().as_bytes())), said["hex"].as_str().unwrap());
        assert_eq!(hex(&close(Some(1000), "")), vectors["over_limit"]["ws_hex"].as_str().unwrap());
    }
}
