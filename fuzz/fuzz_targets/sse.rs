//! Streams of server-sent events. An input is a query, on the next line an id, and below that an event's data. What a query asks for is answered
//! within the rules; an id reads back as it was; and a browser reads of a block the event that went into it, and nothing that its data brought along.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tidings_dialect::sse::codec::{Id, Stream, encode_event};
use tidings_dialect::sse::request::{CHANNELS_MAX, Load, Request, admit, signed_query};
use tidings_hub::{Access, App, Body, Budget, ChannelName, Dialects, Event, Source, UnixTime};

const NOW: u64 = 1_700_000_000;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let [query, id, data] = [(); 3].map(|()| parts.next().unwrap_or_default());
    if let Ok(id) = std::str::from_utf8(id) {
        if let Ok(query) = std::str::from_utf8(query) {
            asked(query, id);
        }
        if let Some(read) = Id::parse(id) {
            assert_eq!(Id::parse(&read.to_string()), Some(read));
        }
        said(id, data);
    }
});

fn app() -> App {
    App { dialects: Dialects { sse: true, ..Dialects::default() }, ..App::new("1", "k", "secret") }
}

fn asked(query: &str, id: &str) {
    let now = UnixTime::from_millis(NOW * 1000);
    let ask = |query: &str| {
        let request = Request { method: "GET", query, last_event_id: Some(id), origin: None };
        admit(Some(&app()), &request, Load::default(), now)
    };
    match ask(query) {
        Err(refusal) => assert!((400..=503).contains(&refusal.status()) && !refusal.to_string().is_empty()),
        Ok(wanted) => {
            assert!((1..=CHANNELS_MAX).contains(&wanted.channels.len()));
            assert!(query.contains("auth") || wanted.channels.iter().all(|channel| channel.access() == Access::Public));
            let signed = signed_query("1", ("k", "secret"), &wanted.channels, NOW + 60);
            assert_eq!(ask(&signed).expect("it is signed").channels, wanted.channels);
        }
    }
}

fn said(name: &str, data: &[u8]) {
    let channel = ChannelName::parse("c").expect("it is one");
    let body = Body::Published { name: Arc::from(name), data: data.to_vec().into(), source: Source::Server, attached: None };
    let event = Event::new(channel.clone(), 1, 2, None, body, &Arc::new(Budget::new(usize::MAX)));
    let (stream, mut out) = (Stream::new(7, [&channel]), Vec::new());
    if encode_event(&event, (stream, &[2]), &mut out).is_err() {
        assert!(out.is_empty() && (std::str::from_utf8(data).is_err() || name.contains(['\r', '\n', '\0'])));
        return;
    }
    let text = std::str::from_utf8(&out).expect("only text can be said");
    let read = browser(text);
    let data = std::str::from_utf8(data).expect("only text can be said").replace("\r\n", "\n").replace('\r', "\n");
    let id = Id { stream, serials: vec![2] }.to_string();
    assert_eq!(read, [(name.to_owned(), id, data)]);
}

/// What a browser makes of a stream: name, last id and data of each event.
fn browser(text: &str) -> Vec<(String, String, String)> {
    let (mut events, mut name, mut id, mut data) = (Vec::new(), String::new(), String::new(), String::new());
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if !data.is_empty() {
                    data.pop();
                    events.push((std::mem::take(&mut name), id.clone(), std::mem::take(&mut data)));
                }
                name.clear();
            }
            "event" => value.clone_into(&mut name),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            "data" => {
                data.push_str(value);
                data.push('\n');
            }
            _ => {}
        }
    }
    events
}
