//! A message as its clients get it (sections 6 and 8 of the rules): which WebSocket frame, or the block of a stream of server-sent events.

use super::settings::{Frames, Settings};
use bytes::Bytes;
use memchr::memchr2;

/// What a stream of server-sent events gets every now and then, if the operator says nothing: a field that browsers pass over (W-8.1).
const PING: &[u8] = b"ping:\n\n";

/// The frame that a message travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text,
    /// A binary frame.
    Binary,
}

/// Why a stream of server-sent events gets nothing of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsaid {
    /// It is empty, which is no fault (W-6.7).
    Empty,
    /// It is not UTF-8, which is counted (W-6.10).
    NotUtf8,
}

/// The frame that `message` travels in, as it is and in one piece (W-6.1 to W-6.4).
#[must_use]
pub fn frame(message: &[u8], frames: Frames) -> Frame {
    match frames {
        Frames::Text if std::str::from_utf8(message).is_ok() => Frame::Text,
        Frames::Text | Frames::Binary => Frame::Binary,
    }
}

/// Appends the block that says `message` on a stream of server-sent events (W-6.6).
///
/// # Errors
/// [`Unsaid`] says why there is no such block; nothing is appended.
pub fn block(message: &[u8], out: &mut Vec<u8>) -> Result<(), Unsaid> {
    if message.is_empty() {
        return Err(Unsaid::Empty);
    }
    if std::str::from_utf8(message).is_err() {
        return Err(Unsaid::NotUtf8);
    }
    out.reserve(message.len() + "data:\n\n".len());
    let mut rest = Some(message);
    while let Some(text) = rest {
        let line;
        (line, rest) = first_line(text);
        out.extend_from_slice(b"data:");
        // Browsers take one space away (W-6.9).
        if line.first() == Some(&b' ') {
            out.push(b' ');
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
    Ok(())
}

/// The first line, and what follows its end: CR LF, CR or LF (W-6.8).
fn first_line(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(end) = memchr2(b'\r', b'\n', text) else { return (text, None) };
    let (line, rest) = text.split_at(end);
    let rest = rest.strip_prefix(b"\r\n").unwrap_or(&rest[1..]);
    (line, Some(rest))
}

/// The block that is a heartbeat (W-8.1).
#[must_use]
pub fn heartbeat(settings: &Settings) -> Bytes {
    let mut said = Vec::new();
    match settings.ping.as_deref().map(|ping| block(ping, &mut said)) {
        Some(Ok(())) => Bytes::from(said),
        Some(Err(_)) | None => Bytes::from_static(PING),
    }
}
