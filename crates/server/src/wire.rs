//! The encoded forms of an event: each made once per process, shared by all connections that take it.

use crate::transport::websocket::{Agreement, Deflater, Window, frame};
use bytes::Bytes;
use tidings_dialect::pusher::codec;
use tidings_hub::{ENCODINGS, Event};

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
}

/// How many formats there are.
pub(crate) const FORMATS: usize = 3;
const _: () = assert!(FORMATS == ENCODINGS);

impl Format {
    /// The format of a connection that agreed to this.
    pub(crate) fn of(deflate: Option<Agreement>) -> Self {
        match deflate.map(Agreement::window) {
            None => Self::Text,
            Some(Window::Large) => Self::Deflate15,
            Some(Window::Small) => Self::Deflate9,
        }
    }
}

/// What encoding needs beside the event; one for each shard.
#[derive(Default)]
pub(crate) struct Encoder {
    text: Vec<u8>,
    deflater: Deflater,
}

impl Encoder {
    /// The event's frame, made if nobody has. Empty if the dialect cannot say it.
    pub(crate) fn encode<'e>(&mut self, event: &'e Event, format: Format) -> &'e Bytes {
        event.encoded(format as usize, || self.make(event, format))
    }

    fn make(&mut self, event: &Event, format: Format) -> Bytes {
        let window = match format {
            Format::Text => return self.text(event),
            Format::Deflate15 => Window::Large,
            Format::Deflate9 => Window::Small,
        };
        let plain = event.encoded(Format::Text as usize, || self.text(event));
        let payload = frame::payload(plain);
        self.deflater.compress(payload, window).map_or_else(|| plain.clone(), frame::text_deflated)
    }

    fn text(&mut self, event: &Event) -> Bytes {
        self.text.clear();
        match codec::encode_event(event, &mut self.text) {
            Ok(()) => frame::text(&self.text),
            Err(_) => Bytes::new(),
        }
    }
}
