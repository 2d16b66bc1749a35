//! The incremental reader of client frames (RFC 6455 section 5). It borrows what it can from the bytes it is fed and owns
//! memory only while a frame is cut short or a fragmented message is in progress.

use std::mem;
use std::ops::Range;

use super::header::{HEADER_BYTES_MAX, Header};
use super::mask::unmask;
use super::{Coding, Fault, Inflater, Opcode};

/// What a client said, reassembled and inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload (P-16.3).
    Ping(&'a [u8]),
    /// The answer to a ping, or a sign of life nobody asked for.
    Pong(&'a [u8]),
    /// The client closes. Whatever follows is ignored.
    Close {
        /// The client's code, if it gave one: one that may travel (RFC 6455 section 7.4).
        code: Option<u16>,
        /// Its reason, perhaps empty.
        reason: &'a str,
    },
}

/// Where one connection is in its stream. Cheap to move: take it out of the connection, feed it, put it back.
///
/// After a fault or a close it is over: it ignores all further input.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    accepted: Coding,
    over: bool,
}

/// The messages in one piece of input; see [`Decoder::feed`].
#[derive(Debug)]
pub struct Messages<'a> {
    decoder: &'a mut Decoder,
    input: &'a mut [u8],
    /// How much of `input` is consumed.
    at: usize,
    /// The last message, where it could not be borrowed from `input`.
    kept: Vec<u8>,
    inflater: &'a mut Inflater,
    message_bytes_max: usize,
}

/// What must be remembered until more input comes.
#[derive(Debug, Default)]
struct Partial {
    /// The first bytes of a header that is cut short.
    head: [u8; HEADER_BYTES_MAX],
    head_len: usize,
    /// The frame whose payload is cut short.
    frame: Option<OpenFrame>,
    /// The data message that frame or a later one belongs to.
    message: Option<OpenMessage>,
    /// The payload so far, if that frame is a control frame.
    control: Vec<u8>,
}

#[derive(Debug)]
struct OpenFrame {
    opcode: Opcode,
    fin: bool,
    /// The mask, turned to the next byte.
    mask: [u8; 4],
    /// How much of the payload is still to come.
    missing: usize,
}

#[derive(Debug)]
struct OpenMessage {
    opcode: Opcode,
    coding: Coding,
    /// Grows with what has come, not with what was announced.
    bytes: Vec<u8>,
    /// How much of `bytes` is known to be UTF-8.
    checked: usize,
}

/// A complete message and where its payload is.
struct Found {
    opcode: Opcode,
    coding: Coding,
    place: Place,
}

enum Place {
    Input(Range<usize>),
    Kept,
}

impl Decoder {
    /// The start of a stream in which messages may be compressed if `accepted` says so.
    #[must_use]
    pub fn new(accepted: Coding) -> Self {
        Self { accepted, ..Self::default() }
    }

    /// Takes the next bytes of the stream, which are unmasked in place, and yields the messages they complete. Drain it:
    /// input that no call of [`Messages::next_message`] reached is lost. `message_bytes_max` bounds a message, fragments
    /// added up, as it travels and inflated.
    pub fn feed<'a>(&'a mut self, input: &'a mut [u8], message_bytes_max: usize, inflater: &'a mut Inflater) -> Messages<'a> {
        Messages { decoder: self, input, at: 0, kept: Vec::new(), inflater, message_bytes_max }
    }

    /// Whether nothing is in progress: no frame cut short, no fragmented message. Then the decoder owns no memory.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Reads until a message is complete; `None` when the input is used up.
    fn find(&mut self, input: &mut [u8], at: &mut usize, kept: &mut Vec<u8>, max: usize) -> Result<Option<Found>, Fault> {
        loop {
            if !self.is_inside_frame() {
                let Some(header) = self.read_header(input, at)? else {
                    return Ok(None);
                };
                let payload_len = self.admit(&header, max)?;
                let ends_message = header.opcode.is_control() || header.fin && header.opcode != Opcode::Continuation;
                if ends_message && let Some(payload) = input[*at..].get_mut(..payload_len) {
                    unmask(payload, header.mask);
                    let start = mem::replace(at, *at + payload_len);
                    return Ok(Some(Found { opcode: header.opcode, coding: header.coding, place: Place::Input(start..*at) }));
                }
                self.partial.get_or_insert_default().open(&header, payload_len);
            }
            let partial = self.partial.as_mut().expect("a frame is open");
            *at += partial.fill(&mut input[*at..])?;
            if partial.frame.as_ref().is_some_and(|frame| frame.missing > 0) {
                return Ok(None);
            }
            if let Some(found) = partial.close(kept) {
                return Ok(Some(found));
            }
        }
    }

    fn is_inside_frame(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.frame.is_some())
    }

    /// Reads the next header; `None` if it is cut short, its bytes then being remembered.
    fn read_header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Fault> {
        let rest = &input[*at..];
        let held = self.partial.as_ref().map_or(0, |partial| partial.head_len);
        if held == 0
            && let Some((header, len)) = Header::read(rest, self.accepted)?
        {
            *at += len;
            return Ok(Some(header));
        }
        if rest.is_empty() {
            return Ok(None);
        }
        let partial = self.partial.get_or_insert_default();
        let added = rest.len().min(HEADER_BYTES_MAX - held);
        partial.head[held..held + added].copy_from_slice(&rest[..added]);
        match Header::read(&partial.head[..held + added], self.accepted)? {
            Some((header, len)) => {
                partial.head_len = 0;
                *at += len - held;
                Ok(Some(header))
            }
            None => {
                partial.head_len = held + added;
                *at += added;
                Ok(None)
            }
        }
    }

    /// Checks that the frame may come now and that its message keeps to the limit, before any of its payload is looked at.
    fn admit(&self, header: &Header, max: usize) -> Result<usize, Fault> {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let (bytes, coding) = match (header.opcode, message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) | (Opcode::Text | Opcode::Binary, None) => (0, header.coding),
            (Opcode::Continuation, Some(message)) => (message.bytes.len(), message.coding),
            (Opcode::Continuation, None) => return Err(Fault::NothingToContinue),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Fault::MessageUnfinished),
        };
        let room = match coding {
            // The length of a control frame has a limit of its own.
            _ if header.opcode.is_control() => usize::MAX,
            Coding::Plain => max,
            // What does not compress grows a little; the limit is for what comes out.
            Coding::Deflated => max.saturating_add(max / 8 + 16),
        };
        match usize::try_from(header.payload_len) {
            Ok(len) if len <= room.saturating_sub(bytes) => Ok(len),
            _ => Err(Fault::TooBig { max }),
        }
    }
}

impl Messages<'_> {
    /// What was not looked at yet. Whoever stops before the end feeds it again.
    pub fn rest(&self) -> &[u8] {
        &self.input[self.at..]
    }

    /// The next complete message, or `None` when the input is used up; a frame cut short waits in the decoder.
    ///
    /// # Errors
    /// The client broke the protocol or the limit: answer with [`Fault::code`] and close. The decoder is over.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, Fault> {
        let Self { decoder, input, at, kept, inflater, message_bytes_max: max } = self;
        if decoder.over {
            return Ok(None);
        }
        let message = match decoder.find(input, at, kept, *max) {
            Ok(Some(found)) => {
                let payload = match found.place {
                    Place::Input(range) => &input[range],
                    Place::Kept => kept,
                };
                let inflated = match found.coding {
                    Coding::Plain => Ok(payload),
                    Coding::Deflated => inflater.inflate(payload, *max),
                };
                inflated.and_then(|payload| read_message(found.opcode, payload)).map(Some)
            }
            Ok(None) => Ok(None),
            Err(fault) => Err(fault),
        };
        decoder.over = matches!(message, Err(_) | Ok(Some(Message::Close { .. })));
        if decoder.over || decoder.partial.as_ref().is_some_and(|partial| partial.is_empty()) {
            decoder.partial = None;
        }
        message
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.head_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Begins an admitted frame.
    fn open(&mut self, header: &Header, payload_len: usize) {
        let &Header { opcode, fin, coding, mask, .. } = header;
        if matches!(opcode, Opcode::Text | Opcode::Binary) {
            self.message = Some(OpenMessage { opcode, coding, bytes: Vec::new(), checked: 0 });
        }
        self.frame = Some(OpenFrame { opcode, fin, mask, missing: payload_len });
    }

    /// Moves payload of the open frame out of `rest`, and says how much.
    fn fill(&mut self, rest: &mut [u8]) -> Result<usize, Fault> {
        let frame = self.frame.as_mut().expect("a frame is open");
        let taken = frame.missing.min(rest.len());
        let payload = &mut rest[..taken];
        unmask(payload, frame.mask);
        frame.mask.rotate_left(taken % 4);
        frame.missing -= taken;
        match &mut self.message {
            Some(message) if !frame.opcode.is_control() => message.extend(payload)?,
            _ => self.control.extend_from_slice(payload),
        }
        Ok(taken)
    }

    /// Ends the open frame; if that ends a message too, its payload goes to `kept`.
    fn close(&mut self, kept: &mut Vec<u8>) -> Option<Found> {
        let frame = self.frame.take().expect("a frame is open");
        let (opcode, coding) = if frame.opcode.is_control() {
            *kept = mem::take(&mut self.control);
            (frame.opcode, Coding::Plain)
        } else {
            let message = self.message.take_if(|_| frame.fin)?;
            *kept = message.bytes;
            (message.opcode, message.coding)
        };
        Some(Found { opcode, coding, place: Place::Kept })
    }
}

impl OpenMessage {
    fn extend(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(payload);
        if self.opcode == Opcode::Text && self.coding == Coding::Plain {
            self.check_utf8()?;
        }
        Ok(())
    }

    /// Fails as soon as no continuation could make the text valid; a character cut short at the end is not looked at yet.
    fn check_utf8(&mut self) -> Result<(), Fault> {
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Fault::NotUtf8),
        }
        Ok(())
    }
}

fn read_message(opcode: Opcode, payload: &[u8]) -> Result<Message<'_>, Fault> {
    Ok(match opcode {
        Opcode::Text => Message::Text(utf8(payload)?),
        Opcode::Binary => Message::Binary(payload),
        Opcode::Ping => Message::Ping(payload),
        Opcode::Pong => Message::Pong(payload),
        Opcode::Close => read_close(payload)?,
        Opcode::Continuation => unreachable!("a message has the opcode of its first frame"),
    })
}

/// Reads the payload of a close frame (RFC 6455 sections 5.5.1 and 7.4).
fn read_close(payload: &[u8]) -> Result<Message<'_>, Fault> {
    match *payload {
        [] => Ok(Message::Close { code: None, reason: "" }),
        [_] => Err(Fault::CloseCut),
        [high, low, ref reason @ ..] => match u16::from_be_bytes([high, low]) {
            code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Message::Close { code: Some(code), reason: utf8(reason)? }),
            code => Err(Fault::CloseCode(code)),
        },
    }
}

fn utf8(payload: &[u8]) -> Result<&str, Fault> {
    simdutf8::basic::from_utf8(payload).map_err(|_| Fault::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_came_not_what_was_announced() {
        let (mut decoder, mut inflater) = (Decoder::default(), Inflater::default());
        // 65,536 bytes announced, ten sent.
        let mut input = [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..], &[0; 10]].concat();
        assert_eq!(decoder.feed(&mut input, 65536, &mut inflater).next_message(), Ok(None));
        let message = decoder.partial.as_ref().and_then(|partial| partial.message.as_ref()).expect("a message is open");
        assert_eq!(message.bytes.len(), 10);
        assert!(message.bytes.capacity() <= 64, "{}", message.bytes.capacity());
        // One byte more than the limit, the most there can be, and more than there can be.
        for len in [65537, i64::MAX as u64, u64::MAX] {
            let mut decoder = Decoder::default();
            let mut input = [&[0x82, 0xff][..], &len.to_be_bytes(), &[1, 2, 3, 4]].concat();
            assert!(decoder.feed(&mut input, 65536, &mut inflater).next_message().is_err());
            assert!(decoder.partial.is_none());
        }
    }
}
