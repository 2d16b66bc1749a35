//! Streams of client frames and what the decoder makes of them: whole, cut everywhere, with bytes to spare.

mod autobahn;
mod compressed;
mod streams;

use super::frame::frame_len;
use super::{Coding, Decoder, Fault, Inflater, Message, Opcode};

/// The limit used by the tables, in bytes (P-2.8).
const MAX: usize = 65536;

/// What a decoder said, with a copy of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

impl Heard {
    fn ends_the_stream(&self) -> bool {
        matches!(self, Self::Close(..) | Self::Fault(_))
    }
}

impl From<Message<'_>> for Heard {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(data) => Self::Binary(data.to_vec()),
            Message::Ping(payload) => Self::Ping(payload.to_vec()),
            Message::Pong(payload) => Self::Pong(payload.to_vec()),
            Message::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }
}

fn text(text: &str) -> Heard {
    Heard::Text(text.to_owned())
}

fn ping(payload: &[u8]) -> Heard {
    Heard::Ping(payload.to_vec())
}

fn pong(payload: &[u8]) -> Heard {
    Heard::Pong(payload.to_vec())
}

/// A masked client frame. `first` is its first byte: FIN, the reserved bits, the opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [0x37, 0xfa, 0x21, 0x3d])
}

fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = Vec::new();
    super::frame::put_header(&mut out, Opcode::Text, Coding::Plain, payload.len());
    assert_eq!(out.len() + payload.len(), frame_len(payload.len()));
    out[0] = first;
    out[1] |= 0x80;
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// Feeds one piece after the other, and says what was heard and whether the decoder ended idle.
fn hear<'a>(accepted: Coding, max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Heard>, bool) {
    let mut decoder = Decoder::new(accepted);
    let mut inflater = Inflater::default();
    let mut heard = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut messages = decoder.feed(&mut piece, max, &mut inflater);
        loop {
            match messages.next_message() {
                Ok(Some(message)) => heard.push(message.into()),
                Ok(None) => break,
                Err(fault) => heard.push(Heard::Fault(fault)),
            }
        }
    }
    (heard, decoder.is_idle())
}

/// Cuts `stream` at places drawn from `seed`.
fn pieces(stream: &[u8], seed: u64) -> Vec<&[u8]> {
    let (mut state, mut rest, mut pieces) = (seed, stream, Vec::new());
    while !rest.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let longest = 1 << (state >> 61 << 1);
        let (piece, after) = rest.split_at(rest.len().min(1 + (state >> 33) as usize % longest));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Checks that `stream` says `expected` however it is cut, and whatever follows it.
fn check(what: &str, accepted: Coding, max: usize, stream: &[u8], expected: &[Heard]) {
    let (heard, idle) = hear(accepted, max, [stream]);
    assert_eq!(heard, expected, "{what}: whole");
    assert_eq!(hear(accepted, max, stream.chunks(1)), (heard, idle), "{what}: byte by byte");
    for seed in 0..16 {
        assert_eq!(hear(accepted, max, pieces(stream, seed)), (expected.to_vec(), idle), "{what}: cut by seed {seed}");
    }
    let spare = frame(0x89, b"spare");
    for kept in 0..=spare.len() {
        let longer = [stream, &spare[..kept]].concat();
        let mut expected = expected.to_vec();
        if kept == spare.len() && !expected.last().is_some_and(Heard::ends_the_stream) {
            expected.push(ping(b"spare"));
        }
        assert_eq!(hear(accepted, max, [&longer[..]]).0, expected, "{what}: with {kept} bytes to spare");
    }
}

/// [`check`] without compression and with the usual limit.
fn check_plain(what: &str, frames: &[Vec<u8>], expected: &[Heard]) {
    check(what, Coding::Plain, MAX, &frames.concat(), expected);
}
