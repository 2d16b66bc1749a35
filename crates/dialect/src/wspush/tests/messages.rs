//! Messages as frames and blocks, and as a browser reads them.

use super::{list, message_of, text, vectors};
use crate::wspush::message::{self, Frame, Unsaid};
use crate::wspush::settings::{Frames, Settings};
use bytes::Bytes;
use proptest::prelude::*;

fn block(message: &[u8]) -> Result<Vec<u8>, Unsaid> {
    let mut out = b"before".to_vec();
    let said = message::block(message, &mut out);
    let block = out.strip_prefix(b"before").unwrap().to_vec();
    assert_eq!(said.is_err(), block.is_empty());
    said.map(|()| block)
}

/// Reads blocks as browsers do, by the algorithm of the HTML standard: names and data of the events.
fn read(stream: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(stream).unwrap();
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), String::new());
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if line.is_empty() {
            if let Some(data) = std::mem::take(&mut data).strip_suffix('\n') {
                events.push((std::mem::take(&mut name), data.to_owned()));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = format!("{data}{value}\n"),
            "event" => value.clone_into(&mut name),
            "id" | "retry" => panic!("{field}"),
            _ => {}
        }
    }
    events
}

/// W-6.6, W-6.7, W-6.8, W-6.9, W-6.10, W-10.3
#[test]
fn the_vectors_are_written_and_read() {
    for vector in list(&vectors(), "sse_messages") {
        let (name, message) = (text(vector, "name"), message_of(vector));
        match (block(&message), vector["tidings_wire"].as_str()) {
            (Ok(block), Some(wire)) => {
                assert_eq!(std::str::from_utf8(&block).unwrap(), wire, "{name}");
                let read: Vec<_> = read(&block).into_iter().map(|(_, data)| data).collect();
                assert_eq!(serde_json::json!(read), vector["tidings_client_data"], "{name}");
            }
            (Err(Unsaid::Empty), None) => {}
            (Err(Unsaid::NotUtf8), Some("SKIP")) => {}
            (found, wire) => panic!("{name}: {found:?} for {wire:?}"),
        }
    }
}

/// W-6.1, W-6.2, W-6.3
#[test]
fn a_frame_says_what_is_in_it() {
    for vector in list(&vectors(), "ws_frames") {
        let message = message_of(vector);
        for (frames, named) in [(Frames::Text, "text"), (Frames::Binary, "binary")] {
            let opcode = match message::frame(&message, frames) {
                Frame::Text => 1,
                Frame::Binary => 2,
            };
            assert_eq!(opcode, vector["tidings_opcode"][named].as_u64().unwrap(), "{} {named}", text(vector, "name"));
        }
    }
}

/// W-8.1, W-8.2
#[test]
fn a_heartbeat_is_a_field_or_a_message() {
    let vectors = &vectors()["pings"];
    let beat = |ping: Option<&'static [u8]>| message::heartbeat(&Settings { ping: ping.map(Bytes::from_static), ..Settings::default() });
    assert_eq!(beat(None), text(vectors, "sse_default"));
    assert_eq!(beat(Some(b"{\"ping\":1}")), text(&vectors["sse_with_payload"], "wire"));
    assert_eq!(beat(Some(b"a\r b")), "data:a\ndata:  b\n\n");
    assert_eq!((beat(Some(b"")), beat(Some(b"\xff"))), (beat(None), beat(None)));
    assert_eq!(Settings::default().ping_interval.as_secs(), vectors["interval_seconds"].as_u64().unwrap());
}

proptest! {
    /// W-6.8: a browser reads what was published, with LF for each end of a line, and nothing else.
    #[test]
    fn nothing_is_lost_and_nothing_slips_in(message in "([\r\n :]|data|id|event|retry|\u{0}|\u{feff}|é|.){0,30}") {
        let expected = message.replace("\r\n", "\n").replace('\r', "\n");
        let events = match block(message.as_bytes()) {
            Ok(block) => read(&[&block[..], &block].concat()),
            Err(why) => {
                prop_assert_eq!((why, message.as_str()), (Unsaid::Empty, ""));
                return Ok(());
            }
        };
        let event = (String::new(), expected);
        prop_assert_eq!(events, [event.clone(), event]);
    }

    /// W-6.10
    #[test]
    fn what_is_no_text_is_left_out(message in prop::collection::vec(any::<u8>(), 0..30)) {
        let why = block(&message).err();
        let is_text = std::str::from_utf8(&message).is_ok();
        prop_assert_eq!(why, if message.is_empty() { Some(Unsaid::Empty) } else { (!is_text).then_some(Unsaid::NotUtf8) });
        prop_assert_eq!(message::frame(&message, Frames::Text) == Frame::Text, is_text);
    }
}

/// The size of what is written is that of the message and of its lines.
#[test]
fn huge_messages_are_written() {
    let lines = vec![b'\n'; 1 << 20];
    assert_eq!(block(&lines).unwrap().len(), ((1 << 20) + 1) * 6 + 1);
    let line = vec![b' '; 1 << 20];
    assert_eq!(block(&line).unwrap().len(), (1 << 20) + 8);
}
