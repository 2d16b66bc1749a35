//! permessage-deflate (RFC 7692): one compressed frame for all who take it.

use crate::client::{Client, Frame, PATH, frame, publish};
use crate::scene::Scene;
use flate2::{Decompress, FlushDecompress};
use tidings_server::transport::websocket::{Deflater, Window};

const COMPRESSED: &str =
    "[websocket]\ncompression = true\n[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n";

/// What a client whose window has so many bits reads in a compressed message.
fn inflate(payload: &[u8], bits: u8) -> String {
    let mut text = Vec::with_capacity(64 * 1024);
    let mut state = Decompress::new_with_window_bits(false, bits);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    state.decompress_vec(&whole, &mut text, FlushDecompress::Sync).unwrap();
    assert_eq!(state.total_in() as usize, whole.len(), "all of it was used");
    String::from_utf8(text).unwrap()
}

fn open(scene: &Scene, offer: &str) -> Client {
    let mut client = scene.peer();
    client.enter(PATH, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    client.subscribe("private-a");
    client
}

/// P-2.10: clients of both windows and those without get the same events; short ones go plain to all.
#[test]
fn one_event_reaches_clients_of_all_kinds() {
    let scene = Scene::new(COMPRESSED);
    let mut large = open(&scene, "permessage-deflate; client_max_window_bits");
    let mut small = open(&scene, "permessage-deflate; server_max_window_bits=9");
    let mut plain = scene.client();
    plain.subscribe("private-a");
    assert!(large.extensions.as_deref().is_some_and(|answer| answer.contains("server_no_context_takeover")));
    assert!(small.extensions.as_deref().is_some_and(|answer| answer.contains("server_max_window_bits=9")));
    assert_eq!(plain.extensions, None);
    let mut publisher = scene.peer();
    for round in 0..50 {
        // Repeats lie further apart than the small window is wide.
        let data: String = (0..20).map(|part| format!("{:?}", vec![round * 20 + part; 40])).collect();
        publisher.publish("private-a", "e", &data);
        let Frame::Text(text) = plain.frame() else { panic!("the plain one") };
        for (client, bits) in [(&mut large, 15), (&mut small, 9)] {
            match client.frame() {
                Frame::Deflated(payload) => assert_eq!(inflate(&payload, bits), text),
                other => panic!("{other:?}"),
            }
        }
        publisher.publish("private-a", "e", "short");
        for client in [&mut large, &mut small, &mut plain] {
            assert_eq!(client.data_of("e"), "short");
        }
    }
    scene.server.stop();
}

/// P-2.10, P-2.8: what a client compresses is understood, and does not get past the limit by being small.
#[test]
fn clients_may_compress_too() {
    let scene = Scene::new(COMPRESSED);
    let [mut sender, mut other] = ["permessage-deflate", "permessage-deflate"].map(|offer| open(&scene, offer));
    let mut deflater = Deflater::default();
    let data = "compress me ".repeat(100);
    let message = serde_json::json!({ "event": "client-e", "channel": "private-a", "data": data }).to_string();
    let payload = deflater.compress(message.as_bytes(), Window::Large).unwrap().to_vec();
    // Whole, and in two fragments of which only the first says that it is compressed.
    let (front, back) = payload.split_at(payload.len() / 2);
    for bytes in [frame(0xc1, &payload), [frame(0x41, front), frame(0x80, back)].concat()] {
        sender.send(bytes);
        match other.frame() {
            Frame::Deflated(payload) => assert_eq!(crate::client::event(&inflate(&payload, 15)).2, data),
            other => panic!("{other:?}"),
        }
    }
    let bomb = deflater.compress(&vec![b' '; 1 << 20], Window::Large).unwrap().to_vec();
    assert!(bomb.len() < 10_000);
    sender.send(frame(0xc1, &bomb));
    assert!(matches!(sender.frame(), Frame::Close(1009, _)));
    // Without an agreement the bit is a fault.
    let mut plain = scene.client();
    plain.send(frame(0xc1, &payload));
    assert!(matches!(plain.frame(), Frame::Close(1002, _)));
    assert_eq!(scene.peer().ask(publish("private-a", "e", "1")).status, 200);
    assert_eq!(other.data_of("e"), "1");
    scene.server.stop();
}

/// P-2.10: where the operator has not asked for it, it is not agreed to.
#[test]
fn nobody_compresses_unless_asked_to() {
    let scene = Scene::new("");
    let mut client = open(&scene, "permessage-deflate; client_max_window_bits");
    assert_eq!(client.extensions, None);
    scene.peer().publish("private-a", "e", &"x".repeat(5000));
    assert_eq!(client.data_of("e").len(), 5000);
    scene.server.stop();
}

const PUSHY: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"pushy\"]\n\
                     [[pushy]]\napp = \"1\"\nsockjs = { permessage_deflate = true }\n";

/// A WebSocket of Pushy, with frames of SockJS or without, on the channel `news`, and how its messages come.
fn pushy(scene: &Scene, path: &str, offer: &str) -> (Client, Option<String>) {
    let mut client = scene.peer();
    let response = client.ask(crate::client::handshake(path, &format!("Sec-WebSocket-Extensions: {offer}\r\n")));
    assert_eq!(response.status, 101, "{response:?}");
    let subscribe = r#"{"command":"subscribe","data":{"channel":"news"}}"#;
    let framed = !path.ends_with("socket/websocket");
    client.say(&if framed { serde_json::json!([subscribe]).to_string() } else { subscribe.to_owned() });
    let said = |frame| if let Frame::Text(text) = frame { text } else { panic!("{frame:?}") };
    while !said(client.frame()).contains("subscription-success") {}
    (client, response.header("sec-websocket-extensions").map(str::to_owned))
}

/// S-6.3: the WebSockets of SockJS are compressed where the operator says so, for clients of both windows, with frames and without.
#[test]
fn sockjs_is_compressed_too() {
    let scene = Scene::new(PUSHY);
    for (path, framed) in [("/pushy/socket/websocket", false), ("/pushy/socket/000/s/websocket", true)] {
        for (offer, bits) in [("permessage-deflate; client_max_window_bits", 15), ("permessage-deflate; server_max_window_bits=9", 9)] {
            let (mut client, agreed) = pushy(&scene, path, offer);
            assert!(agreed.unwrap().contains("server_no_context_takeover"));
            let data = "all of it again and again, ".repeat(100);
            scene.peer().publish("news", "e", &data);
            let Frame::Deflated(payload) = client.frame() else { panic!("{path} {offer}") };
            let text = inflate(&payload, bits);
            assert_eq!((text.starts_with("a["), text.contains(&data)), (framed, true), "{text}");
            scene.peer().publish("news", "e", "short");
            assert!(matches!(client.frame(), Frame::Text(text) if text.contains("short")));
        }
    }
    scene.server.stop();
    let plain = Scene::new(&PUSHY.replace("true", "false"));
    assert_eq!(pushy(&plain, "/pushy/socket/websocket", "permessage-deflate").1, None);
    plain.server.stop();
}
