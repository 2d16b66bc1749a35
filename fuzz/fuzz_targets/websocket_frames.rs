//! The WebSocket decoder never panics, keeps to its limit, and does not care how its input is cut.
//! The first byte of the input chooses compression, the second where the stream is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings_server::transport::websocket::{Coding, Decoder, Fault, Inflater, Message};

const MESSAGE_BYTES_MAX: usize = 1024;

/// Everything a decoder said, with the data of its messages copied.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<String>,
    fault: Option<Fault>,
}

fuzz_target!(|data: &[u8]| {
    let &[coding, cut, ref stream @ ..] = data else {
        return;
    };
    let coding = if coding & 1 == 0 { Coding::Plain } else { Coding::Deflated };
    let (head, tail) = stream.split_at(usize::from(cut).min(stream.len()));
    assert_eq!(hear(coding, &[stream]), hear(coding, &[head, tail]));
});

fn hear(coding: Coding, parts: &[&[u8]]) -> Heard {
    let mut heard = Heard::default();
    let mut decoder = Decoder::new(coding);
    let mut inflater = Inflater::default();
    for part in parts {
        let mut part = part.to_vec();
        let mut messages = decoder.feed(&mut part, MESSAGE_BYTES_MAX, &mut inflater);
        loop {
            match messages.next_message() {
                Ok(Some(message)) => {
                    check(&message);
                    heard.messages.push(format!("{message:?}"));
                }
                Ok(None) => break,
                Err(fault) => {
                    assert!(heard.fault.replace(fault).is_none(), "a decoder that is over stays silent");
                    break;
                }
            }
        }
    }
    heard
}

fn check(message: &Message<'_>) {
    match message {
        Message::Text(text) => assert!(text.len() <= MESSAGE_BYTES_MAX),
        Message::Binary(data) => assert!(data.len() <= MESSAGE_BYTES_MAX),
        Message::Ping(payload) | Message::Pong(payload) => assert!(payload.len() <= 125),
        Message::Close { reason, .. } => assert!(reason.len() <= 123),
    }
}
