//! The encoded forms of an event: each made once per process, shared by all connections that take it.

use crate::transport::chunked::chunk;
use crate::transport::sockjs::{self, hixie};
use crate::transport::websocket::{Agreement, Deflater, Window, frame};
use bytes::Bytes;
use tidings_dialect::pusher::codec;
use tidings_dialect::sse::codec::{At, Stream};
use tidings_dialect::wspush::settings::Frames;
use tidings_dialect::{pushi, pushy, sse, wspush};
use tidings_hub::{Body, ENCODINGS, Event};

/// How a connection takes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// The Pusher dialect in WebSocket text frames.
    #[default]
    Text,
    /// The same, compressed with a window of 15 bits.
    Deflate15,
    /// The same, for a client that insists on a small window.
    Deflate9,
    /// The Pushi dialect in WebSocket text frames.
    Pushi,
    /// The Pusher dialect as strings of JSON, which SockJS puts into its frames.
    Quoted,
    /// The Pushy dialect in WebSocket text frames.
    Pushy,
    /// The Pushy dialect in frames of SockJS, in WebSocket text frames.
    PushyFramed,
    /// The Pushy dialect as strings of JSON, which SockJS puts into its frames.
    PushyQuoted,
    /// [`Format::Pushy`], compressed with a window of 15 bits.
    PushyDeflate15,
    /// The same, for a client that insists on a small window.
    PushyDeflate9,
    /// [`Format::PushyFramed`], compressed with a window of 15 bits.
    PushyFramedDeflate15,
    /// The same, for a client that insists on a small window.
    PushyFramedDeflate9,
    /// Server-sent events of a stream of one channel, in chunks of HTTP/1.1.
    Stream,
    /// The data of events as they are, in WebSocket frames that are text where the data is (W-6.3).
    Bare,
    /// The same, all frames binary.
    BareBinary,
    /// The data of events as server-sent events, in chunks of HTTP/1.1 (W-6.6).
    BareStream,
    /// The Pushy dialect in frames of SockJS, as the WebSocket draft of 2010 has them. Few take that.
    PushyDraft,
    /// As the connection's own session writes it: streams of several channels, where each reader is elsewhere, and those over HTTP/1.0.
    Own,
}

/// How many formats are shared, the first of all. The others are made for each connection.
pub(crate) const SHARED: usize = 16;
const _: () = assert!(SHARED == ENCODINGS && Format::BareStream as usize == SHARED - 1);

impl Format {
    /// Whether its dialect shows a publish on several channels once (I-2.14).
    #[inline]
    pub(crate) fn has_each_publish_once(self) -> bool {
        self == Self::Pushi
    }

    /// This format for a connection that agreed to compression, where there is such a form.
    pub(crate) fn deflated(self, deflate: Option<Agreement>) -> Self {
        match (self, deflate.map(Agreement::window)) {
            (Self::Text, Some(Window::Large)) => Self::Deflate15,
            (Self::Text, Some(Window::Small)) => Self::Deflate9,
            (Self::Pushy, Some(Window::Large)) => Self::PushyDeflate15,
            (Self::Pushy, Some(Window::Small)) => Self::PushyDeflate9,
            (Self::PushyFramed, Some(Window::Large)) => Self::PushyFramedDeflate15,
            (Self::PushyFramed, Some(Window::Small)) => Self::PushyFramedDeflate9,
            (plain, _) => plain,
        }
    }

    /// What it is before it is compressed, and with which window it is.
    fn plain(self) -> Option<(Self, Window)> {
        match self {
            Self::Deflate15 => Some((Self::Text, Window::Large)),
            Self::Deflate9 => Some((Self::Text, Window::Small)),
            Self::PushyDeflate15 => Some((Self::Pushy, Window::Large)),
            Self::PushyDeflate9 => Some((Self::Pushy, Window::Small)),
            Self::PushyFramedDeflate15 => Some((Self::PushyFramed, Window::Large)),
            Self::PushyFramedDeflate9 => Some((Self::PushyFramed, Window::Small)),
            _ => None,
        }
    }
}

/// What encoding needs beside the event; one for each shard.
#[derive(Default)]
pub(crate) struct Encoder {
    text: Vec<u8>,
    deflater: Deflater,
    /// The hub's, which stands in the ids of server-sent events.
    epoch: u64,
}

impl Encoder {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The event's frame, made if nobody has. Empty if the dialect cannot say it.
    pub(crate) fn encode<'e>(&mut self, event: &'e Event, format: Format) -> &'e Bytes {
        event.encoded(format as usize, || self.make(event, format))
    }

    fn make(&mut self, event: &Event, format: Format) -> Bytes {
        if let Some((plain, window)) = format.plain() {
            let plain = event.encoded(plain as usize, || self.make(event, plain));
            return self.deflated(plain, window);
        }
        match format {
            Format::Text => self.text(event),
            Format::Pushi => self.pushi(event),
            Format::Quoted => self.quoted(event),
            Format::Stream => self.stream(event),
            Format::Bare => bare(event, Frames::Text),
            Format::BareBinary => bare(event, Frames::Binary),
            Format::BareStream => self.bare_stream(event),
            _ => self.spelled(event, event.channel.as_str(), format).unwrap_or_default(),
        }
    }

    /// A frame, compressed if that makes it smaller.
    fn deflated(&mut self, plain: &Bytes, window: Window) -> Bytes {
        if plain.is_empty() {
            return Bytes::new();
        }
        self.deflater.compress(frame::payload(plain), window).map_or_else(|| plain.clone(), frame::text_deflated)
    }

    fn pushi(&mut self, event: &Event) -> Bytes {
        self.text.clear();
        match pushi::codec::encode_event(event, &mut self.text) {
            Ok(()) => frame::text(&self.text),
            Err(_) => Bytes::new(),
        }
    }

    /// The event as clients of Pushy get it that are told the channel's name like this. `None` if the dialect, or the format, cannot say it.
    pub(crate) fn spelled(&mut self, event: &Event, spelling: &str, format: Format) -> Option<Bytes> {
        if let Some((plain, window)) = format.plain() {
            let plain = self.spelled(event, spelling, plain)?;
            return Some(self.deflated(&plain, window));
        }
        self.text.clear();
        pushy::codec::encode_event(event, spelling, &mut self.text).ok()?;
        match format {
            Format::Pushy => Some(frame::text(&self.text)),
            Format::PushyFramed => Some(frame::text(sockjs::Frame::Messages(&[quoted(&self.text)]).encode())),
            Format::PushyQuoted => Some(quoted(&self.text)),
            Format::PushyDraft => Some(hixie::text(&sockjs::Frame::Messages(&[quoted(&self.text)]).encode()).into()),
            _ => None,
        }
    }

    fn stream(&mut self, event: &Event) -> Bytes {
        self.text.clear();
        let stream = Stream::new(self.epoch, [&event.channel]);
        match sse::codec::encode_event(event, At::Now(stream, &[event.serial]), &mut self.text) {
            Ok(()) => chunk(&self.text),
            Err(_) => Bytes::new(),
        }
    }

    fn bare_stream(&mut self, event: &Event) -> Bytes {
        let Body::Published { data, .. } = &event.body else { return Bytes::new() };
        self.text.clear();
        match wspush::message::block(data, &mut self.text) {
            Ok(()) => chunk(&self.text),
            Err(_) => Bytes::new(),
        }
    }

    fn quoted(&mut self, event: &Event) -> Bytes {
        let plain = event.encoded(Format::Text as usize, || self.text(event));
        if plain.is_empty() { Bytes::new() } else { quoted(frame::payload(plain)) }
    }

    fn text(&mut self, event: &Event) -> Bytes {
        self.text.clear();
        match codec::encode_event(event, &mut self.text) {
            Ok(()) => frame::text(&self.text),
            Err(_) => Bytes::new(),
        }
    }
}

/// The data of an event in a frame, and nothing else (W-6.1).
fn bare(event: &Event, frames: Frames) -> Bytes {
    let Body::Published { data, .. } = &event.body else { return Bytes::new() };
    match wspush::message::frame(data, frames) {
        wspush::message::Frame::Text => frame::text(data),
        wspush::message::Frame::Binary => frame::encode(frame::Opcode::Binary, frame::Coding::Plain, data),
    }
}

/// A message as a string of JSON. What is no text cannot be said, and was not made.
fn quoted(text: &[u8]) -> Bytes {
    let mut quoted = Vec::new();
    sockjs::quote(std::str::from_utf8(text).unwrap_or_default(), &mut quoted);
    quoted.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::websocket::Inflater;
    use bytes::Bytes;
    use std::sync::Arc;
    use tidings_hub::{Budget, ChannelName, Source};

    const FORMATS: [Format; 3] = [Format::Text, Format::Deflate15, Format::Deflate9];

    fn event(data: impl Into<Bytes>, budget: &Arc<Budget>) -> Event {
        let body = Body::Published { name: Arc::from("e"), data: data.into(), source: Source::Server, attached: None };
        Event::new(ChannelName::parse("c").unwrap(), 1, 1, None, body, budget)
    }

    fn text(data: &str) -> String {
        format!(r#"{{"event":"e","channel":"c","data":"{data}"}}"#)
    }

    /// P-3.7: the plain frame and both compressed ones say the same.
    #[test]
    fn all_forms_say_the_same() {
        let (budget, mut encoder, mut inflater) = (Arc::new(Budget::new(usize::MAX)), Encoder::default(), Inflater::default());
        for data in ["", "hi", "ab".repeat(5_000).as_str()] {
            let event = event(data.to_owned(), &budget);
            let plain = encoder.encode(&event, Format::Text).clone();
            assert_eq!(plain, frame::text(text(data)));
            for format in [Format::Deflate15, Format::Deflate9] {
                let frame = encoder.encode(&event, format);
                if data.len() < 256 {
                    assert_eq!(frame, &plain, "too short to compress: the very same bytes");
                    assert_eq!(frame.as_ptr(), plain.as_ptr());
                } else {
                    assert!(frame.len() < plain.len() / 10);
                    assert_eq!(inflater.inflate(frame::payload(frame), 20_000).unwrap(), frame::payload(&plain));
                }
            }
        }
    }

    /// Bytes that do not shrink travel as they are, in every format.
    #[test]
    fn what_does_not_shrink_stays_plain() {
        let mut state = 1_u64;
        let mut chance = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + ((state >> 40) % 90) as u8)
        };
        // Neither a quote nor a backslash, which would be escaped.
        let data: String = (0..300).map(|_| chance()).map(|c| if matches!(c, '"' | '\\') { 'x' } else { c }).collect();
        let (budget, mut encoder) = (Arc::new(Budget::new(usize::MAX)), Encoder::default());
        let event = event(data.clone(), &budget);
        for format in FORMATS {
            let len = encoder.encode(&event, format).len();
            assert!(len <= frame::frame_len(text(&data).len()), "{format:?}");
        }
    }

    /// Whoever asks first makes the form, in whatever order; the others share its bytes.
    #[test]
    fn each_form_is_made_once() {
        for order in [FORMATS, [Format::Deflate9, Format::Text, Format::Deflate15]] {
            let (budget, mut encoder) = (Arc::new(Budget::new(usize::MAX)), Encoder::default());
            let event = event("x".repeat(1000), &budget);
            let first = order.map(|format| encoder.encode(&event, format).as_ptr());
            let used = budget.used();
            let again = order.map(|format| Encoder::default().encode(&event, format).as_ptr());
            assert_eq!((first, used), (again, budget.used()));
            drop(event);
            assert_eq!(budget.used(), 0);
        }
    }

    /// What is no text cannot be said in this dialect: an empty frame, in every format.
    #[test]
    fn what_cannot_be_said_is_an_empty_frame() {
        let budget = Arc::new(Budget::new(usize::MAX));
        for format in FORMATS {
            let event = event(&b"\xff\xfe"[..], &budget);
            assert!(Encoder::default().encode(&event, format).is_empty(), "{format:?}");
        }
    }
}
