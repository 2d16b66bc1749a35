//! Servers that are wrong, or do not know us.

use crate::hearing::{hears, loss, next, soon};
use crate::raw::{Raw, event};
use crate::server::Server;
use crate::tidings::Tidings;
use tidings_client::{Client, ConnectionError, NotConnected, Options, Problem, ProxyChoice, State, SubscriptionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

/// P-5.2, P-5.8: a wrong secret costs the channels that need one, and nothing else.
#[tokio::test]
async fn a_wrong_secret_opens_only_public_channels() {
    let tidings = Tidings::start("");
    let client =
        Client::new(Options { secret: Some("wrong".into()), user_data: Some(r#"{"id":"ann"}"#.into()), ..tidings.options() }).unwrap();
    let mut problems = client.problems();
    let news = client.subscribe("news").unwrap();
    for name in ["private-room", "presence-room", "private-encrypted-room"] {
        let refused = soon(client.subscribe(name).unwrap().subscribed()).await.unwrap_err();
        assert!(matches!(&refused, SubscriptionError::Server { kind, status: Some(401), .. } if kind == "AuthError"), "{refused}");
    }
    client.sign_in().unwrap();
    // P-15.2: it is not told whether that was the sign-in, so it is a problem only.
    let mut last = next(&mut problems).await;
    while !matches!(&last, Problem::Server { code: None, message } if !message.contains("-room")) {
        last = next(&mut problems).await;
    }
    let mut events = news.events();
    tidings.publish("news", "x", "1").await;
    hears(&mut events, &[("x", "1")]).await;
    assert!(client.user_id().is_none() && client.state() == State::Connected);
}

/// P-2.3: a wrong key is nothing that passes.
#[tokio::test]
async fn a_wrong_key_is_given_up() {
    let tidings = Tidings::start("");
    let client = Client::new(Options { key: "wrong".into(), ..tidings.options() }).unwrap();
    let Err(NotConnected::GivenUp(why)) = soon(client.connected()).await else { panic!("it was not given up") };
    assert!(matches!(*why, ConnectionError::Closed { code: 4001, .. }), "{why}");
    assert_eq!(client.state(), State::Disconnected);
}

/// What no server should send is told, and passed over.
#[tokio::test]
async fn nonsense_is_passed_over() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let (mut problems, channel) = (client.problems(), client.subscribe("news").unwrap());
    let mut events = channel.events();
    let mut peer = soon(server.confirm("1.2")).await;
    soon(peer.confirm_subscription("news")).await;
    next(&mut events).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let nonsense = [
        "",
        "{",
        "null",
        "[]",
        "\u{0}",
        r#"{"event":1}"#,
        r#"{"data":"{}"}"#,
        r#"{"event":"pusher_internal:subscription_succeeded"}"#,
        r#"{"event":"pusher_internal:member_added","channel":"news","data":"{}"}"#,
        r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"3.4\"}"}"#,
        &format!(r#"{{"event":"x","channel":"news","data":{deep}"#),
    ];
    for text in nonsense {
        peer.say(text).await;
        let Problem::Unreadable { text: told } = next(&mut problems).await else { panic!("{text}") };
        assert_eq!(told, text);
    }
    // What nobody asked for, or what is not ours, is no harm either.
    for text in [
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"strange","data":"{}"}"#,
        r#"{"event":"pusher:subscription_error","channel":"strange","data":{"type":"AuthError","error":"no","status":401}}"#,
        r#"{"event":"pusher_internal:member_added","channel":"strange","data":"{\"user_id\":\"1\"}"}"#,
        r#"{"event":"pusher_internal:subscription_count","channel":"strange","data":"{\"subscription_count\":1}"}"#,
        r#"{"event":"x","channel":"strange","data":"1"}"#,
        r#"{"event":"pusher:unheard_of","data":"{}"}"#,
    ] {
        peer.say(text).await;
    }
    peer.send(Message::Binary(vec![0, 1, 255].into())).await;
    peer.send(Message::Ping(vec![1].into())).await;
    peer.publish("news", "x", "1").await;
    hears(&mut events, &[("x", "1")]).await;
    assert_eq!(client.socket_id().as_deref(), Some("1.2"));
    assert_eq!(client.all_channels().len(), 1);
}

/// Bytes that are no WebSocket cost this connection, and the next is as good as any.
#[tokio::test]
async fn broken_frames_cost_the_connection() {
    // A frame with reserved bits, one that is text and no UTF-8, a control frame that is too long, a continuation of nothing, one that is
    // far too long.
    let ping = [&[0x89, 0x7e, 0x01, 0x00], [0; 256].as_slice()].concat();
    let frames: [&[u8]; 5] = [&[0xf1, 0x00], &[0x81, 0x02, 0xc3, 0x28], &ping, &[0x80, 0x00], &[0x81, 0x7f, 0, 0, 0, 1, 0, 0, 0, 0]];
    for bytes in frames {
        let server = Server::plain().await;
        let options = Options { proxy: ProxyChoice::Direct, ..Options::at(&server.url, "key") };
        let client = Client::new(options).unwrap();
        let mut problems = client.problems();
        let stream = soon(server.accept()).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
        futures_util::SinkExt::send(&mut socket, Message::text(established)).await.unwrap();
        soon(client.connected()).await.unwrap();
        let stream = socket.get_mut();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        let why = loss(&mut problems).await;
        assert!(matches!(&*why, ConnectionError::Broken { .. }), "{bytes:x?}: {why}");
        let again = soon(server.accept()).await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(again).await.unwrap();
        futures_util::SinkExt::send(&mut socket, Message::text(established)).await.unwrap();
        soon(client.connected()).await.unwrap();
    }
}

/// What answers may be no server of ours at all. Some answers may pass, others will not.
#[tokio::test]
async fn what_is_no_server_is_told() {
    for (answer, again) in [
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello", false),
        ("HTTP/1.1 301 Moved\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", true),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", true),
        ("", true),
    ] {
        let server = Server::plain().await;
        let client = Client::new(Options { proxy: ProxyChoice::Direct, ..Options::at(&server.url, "key") }).unwrap();
        let mut problems = client.problems();
        let mut stream = soon(server.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        drop(stream);
        let why = loss(&mut problems).await;
        let matched = match &*why {
            ConnectionError::NotUpgraded { status, .. } => answer.contains(status.as_str()),
            ConnectionError::NotWebSocket { .. } | ConnectionError::Broken { .. } => !answer.starts_with("HTTP"),
            _ => false,
        };
        assert!(matched, "{answer:?}: {why}");
        assert_eq!(client.state(), if again { State::Connecting } else { State::Disconnected }, "{answer:?}: {why}");
        if again {
            soon(server.accept()).await.unwrap();
        }
    }
}

/// A server that says something else first does not confirm, and is tried again.
#[tokio::test]
async fn another_beginning_is_no_confirmation() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let mut problems = client.problems();
    let mut peer = soon(server.accept()).await;
    peer.say(&event("news", "x", "1")).await;
    let why = loss(&mut problems).await;
    assert!(matches!(&*why, ConnectionError::NotConfirmed { .. }), "{why}");
    let _peer = soon(server.confirm("1.2")).await;
    assert_eq!(soon(client.connected()).await.unwrap(), "1.2");
}
