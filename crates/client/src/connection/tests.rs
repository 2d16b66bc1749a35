//! The connection against a server made here, in memory and with a clock that only moves while everybody waits.

use super::*;
use crate::dial::Stream;
use crate::{DialError, ServerUrl};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidings_dialect::auth;
use tidings_hub::{ChannelName, Member};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const SECRET: &str = "7ad3773142a6692b25b8";

/// The server's side of everything.
struct Server {
    dialled: UnboundedReceiver<DuplexStream>,
    notices: UnboundedReceiver<Result<Notice, ConnectionError>>,
    down: Arc<AtomicBool>,
}

/// The server's end of one WebSocket.
struct Peer {
    socket: WebSocketStream<DuplexStream>,
    path: String,
}

fn options() -> Options {
    Options::new(url(), "278d425bdf160c739803")
}

fn url() -> ServerUrl {
    "http://push.example:6001/prefix".parse().unwrap()
}

fn subscription(channel: &str) -> Subscription {
    let ada = Member { user_info: Some("{\"name\":\"Ada\"}".into()), ..Member::new("ada") };
    Subscription::new(ChannelName::parse(channel).unwrap(), Some(SECRET), Some(&ada)).unwrap()
}

impl Server {
    /// Runs a connection with these subscriptions until it fails for good.
    fn of(options: Options, channels: &[&str]) -> Self {
        let (dial, dialled) = unbounded_channel();
        let (tell, notices) = unbounded_channel();
        let down = Arc::new(AtomicBool::new(false));
        let is_down = Arc::clone(&down);
        let dial = move || {
            if is_down.load(Ordering::Relaxed) {
                let cause = io::ErrorKind::ConnectionRefused.into();
                return std::future::ready(Err(DialError::Unreachable { url: url(), cause })).boxed();
            }
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            dial.send(theirs).unwrap();
            std::future::ready(Ok(Box::new(ours) as Stream)).boxed()
        };
        let mut connection = Connection::with_dial(options, Box::new(dial));
        for channel in channels {
            connection.subscribe(subscription(channel)).unwrap();
        }
        tokio::spawn(async move {
            loop {
                let notice = connection.next().await;
                let last = notice.is_err();
                if tell.send(notice).is_err() || last {
                    break;
                }
            }
        });
        Self { dialled, notices, down }
    }

    /// Takes a stream and upgrades it.
    async fn accept(&mut self) -> Peer {
        let stream = self.dialled.recv().await.unwrap();
        let mut path = String::new();
        #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
        let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            path = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
        Peer { socket, path }
    }

    /// Takes a stream and confirms the connection, and sees that its owner is told.
    async fn confirm(&mut self, socket_id: &str) -> Peer {
        let mut peer = self.accept().await;
        let data = json!({"socket_id": socket_id, "activity_timeout": 20}).to_string();
        peer.say(&json!({"event": "pusher:connection_established", "data": data}).to_string()).await;
        assert!(matches!(self.notice().await, Notice::Connecting));
        assert!(matches!(self.notice().await, Notice::Connected { socket_id: theirs } if theirs == socket_id));
        peer
    }

    async fn notice(&mut self) -> Notice {
        self.notices.recv().await.unwrap().unwrap()
    }

    /// What the owner is told after [`Notice::Connecting`], as the last.
    async fn failure(&mut self) -> ConnectionError {
        assert!(matches!(self.notice().await, Notice::Connecting));
        self.notices.recv().await.unwrap().unwrap_err()
    }
}

impl Peer {
    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(self.socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap()
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "because".into() };
        self.socket.close(Some(frame)).await.unwrap();
    }
}

/// P-2.1, P-2.2, P-2.9
#[tokio::test(start_paused = true)]
async fn it_asks_for_the_app_by_its_key() {
    let mut server = Server::of(options(), &[]);
    let peer = server.confirm("1.2").await;
    assert_eq!(peer.path, format!("/prefix/app/278d425bdf160c739803?protocol=7&client=tidings&version={}", env!("CARGO_PKG_VERSION")));
}

/// P-3.6, P-6.2, P-6.3
#[tokio::test(start_paused = true)]
async fn it_subscribes_with_the_proof_that_the_name_asks_for() {
    let mut server = Server::of(options(), &["news", "private-foobar", "presence-room", "private-foobar"]);
    let mut peer = server.confirm("1234.1234").await;
    assert_eq!(peer.hear().await, json!({"event": "pusher:subscribe", "data": {"channel": "news"}}));
    let auth = "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4";
    assert_eq!(peer.hear().await, json!({"event": "pusher:subscribe", "data": {"channel": "private-foobar", "auth": auth}}));
    let member = r#"{"user_id":"ada","user_info":{"name":"Ada"}}"#;
    let auth = format!("278d425bdf160c739803:{}", auth::sign(SECRET, &[b"1234.1234:presence-room:", member.as_bytes()]));
    let data = json!({"channel": "presence-room", "auth": auth, "channel_data": member});
    assert_eq!(peer.hear().await, json!({"event": "pusher:subscribe", "data": data}));
    // The repeated channel was asked for once.
    assert_eq!(peer.hear().await, json!({"event": "pusher:ping", "data": {}}));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_an_open_connection_is_asked_for_at_once() {
    let (dial, mut dialled) = unbounded_channel();
    let dial = move || {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        dial.send(theirs).unwrap();
        std::future::ready(Ok(Box::new(ours) as Stream)).boxed()
    };
    let mut connection = Connection::with_dial(options(), Box::new(dial));
    let server = tokio::spawn(async move {
        let mut peer = Peer { socket: tokio_tungstenite::accept_async(dialled.recv().await.unwrap()).await.unwrap(), path: String::new() };
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await;
        let heard = (peer.hear().await, peer.hear().await);
        peer.close(4001).await;
        heard
    });
    assert!(matches!(connection.next().await, Ok(Notice::Connecting)));
    assert!(matches!(connection.next().await, Ok(Notice::Connected { .. })));
    for channel in ["a", "b", "a"] {
        connection.subscribe(subscription(channel)).unwrap();
    }
    assert!(matches!(connection.next().await, Err(ConnectionError::Closed { code: 4001, .. })));
    let (first, second) = server.await.unwrap();
    assert_eq!((&first["data"]["channel"], &second["data"]["channel"]), (&json!("a"), &json!("b")));
}

/// P-17.3: what follows a close, and after how long. What is asked for again is signed for the new socket id.
#[tokio::test(start_paused = true)]
async fn the_close_code_decides_what_follows() {
    const NEVER: Option<RangeInclusive<u64>> = None;
    let jittered = || Some(500..=1000);
    for (code, millis) in [
        (Some(4000), NEVER),
        (Some(4001), NEVER),
        (Some(4099), NEVER),
        (Some(4100), Some(1000..=1000)),
        (Some(4199), Some(1000..=1000)),
        (Some(4200), Some(0..=0)),
        (Some(4299), Some(0..=0)),
        (Some(4300), jittered()),
        (Some(1000), jittered()),
        (Some(1001), jittered()),
        (Some(3999), jittered()),
        (None, jittered()),
    ] {
        let mut server = Server::of(options(), &["private-a"]);
        let mut peer = server.confirm("1.1").await;
        let first = peer.hear().await;
        match code {
            Some(code) => peer.close(code).await,
            None => drop(peer),
        }
        let closed = Instant::now();
        let Some(millis) = millis else {
            let error = server.notices.recv().await.unwrap().unwrap_err();
            assert!(matches!(&error, ConnectionError::Closed { code: theirs, reason } if Some(*theirs) == code && reason == "because"));
            assert!(server.dialled.recv().await.is_none(), "{code:?} must not be tried again");
            continue;
        };
        let lost = server.notice().await;
        assert!(matches!(&lost, Notice::Lost { retry_in, .. } if millis.contains(&(retry_in.as_millis() as u64))), "{code:?}: {lost:?}");
        let mut peer = server.confirm("2.2").await;
        let waited = closed.elapsed().as_millis() as u64;
        // The timer counts whole milliseconds, and rounds up.
        assert!((*millis.start()..=millis.end() + 1).contains(&waited), "{code:?}: {waited} ms");
        let second = peer.hear().await;
        assert_eq!(first["data"]["channel"], second["data"]["channel"]);
        assert_ne!(first["data"]["auth"], second["data"]["auth"]);
    }
}

/// P-17.3, P-17.2: a server over capacity confirms nothing; the waits grow until a connection stands for a while.
#[tokio::test(start_paused = true)]
async fn waits_grow_while_the_server_is_over_capacity() {
    let mut server = Server::of(options(), &[]);
    for secs in [1, 2, 4, 8] {
        let mut peer = server.accept().await;
        peer.say(r#"{"event":"pusher:error","data":{"code":4100,"message":"Over capacity"}}"#).await;
        assert!(matches!(server.notice().await, Notice::Connecting));
        let lost = server.notice().await;
        assert!(
            matches!(&lost, Notice::Lost { why: ConnectionError::Closed { code: 4100, reason }, retry_in }
            if reason == "Over capacity" && *retry_in == Duration::from_secs(secs)),
            "{lost:?}"
        );
    }
    for (stood, secs) in [(Duration::ZERO, 16), (STABLE, 1)] {
        let mut peer = server.confirm("1.2").await;
        tokio::time::advance(stood).await;
        peer.close(4100).await;
        let lost = server.notice().await;
        assert!(matches!(lost, Notice::Lost { retry_in, .. } if retry_in == Duration::from_secs(secs)), "{lost:?}");
    }
}

/// A server that confirms and sends away is not stormed: 4200 asks for an attempt at once, and that is granted once.
#[tokio::test(start_paused = true)]
async fn at_once_is_granted_once_in_a_row() {
    let mut server = Server::of(options(), &[]);
    for millis in [0..=0, 1000..=2000, 2000..=4000] {
        server.confirm("1.2").await.close(4200).await;
        let lost = server.notice().await;
        assert!(matches!(lost, Notice::Lost { retry_in, .. } if millis.contains(&retry_in.as_millis())), "{lost:?}");
    }
}

/// P-17.2, P-21.9
#[tokio::test(start_paused = true)]
async fn an_error_stands_for_the_code_of_a_close_without_one() {
    let error = r#"{"event":"pusher:error","data":{"code":4009,"message":"Terminated"}}"#;
    for (words, code) in [
        (vec![error], Some(4009)),
        (vec![error, r#"{"event":"x","channel":"a","data":"1"}"#], None),
        (vec![r#"{"event":"pusher:error","data":{"code":null,"message":"Refused"}}"#], None),
    ] {
        let mut server = Server::of(Options { reconnect: Reconnect::Never, ..options() }, &[]);
        let mut peer = server.confirm("1.2").await;
        for text in &words {
            peer.say(text).await;
            server.notice().await;
        }
        drop(peer);
        let failure = server.notices.recv().await.unwrap().unwrap_err();
        match code {
            Some(code) => assert!(matches!(failure, ConnectionError::Closed { code: theirs, .. } if theirs == code), "{failure:?}"),
            None => assert!(matches!(failure, ConnectionError::Broken { .. }), "{failure:?}"),
        }
    }
}

/// P-2.3: the first frame may be a refusal.
#[tokio::test(start_paused = true)]
async fn an_unknown_key_ends_it_with_advice() {
    let mut server = Server::of(options(), &[]);
    let mut peer = server.accept().await;
    peer.say(r#"{"event":"pusher:error","data":{"code":4001,"message":"App key not found"}}"#).await;
    let failure = server.failure().await.to_string();
    assert_eq!(failure, "the server closed the connection with 4001: App key not found\ncheck the app's key and the address of the server");
}

/// P-16.2, P-16.3
#[tokio::test(start_paused = true)]
async fn pings_are_answered() {
    let mut server = Server::of(options(), &[]);
    let mut peer = server.confirm("1.2").await;
    peer.say(r#"{"event":"pusher:ping","data":"{}"}"#).await;
    assert_eq!(peer.hear().await, json!({"event": "pusher:pong", "data": {}}));
    peer.socket.send(Message::Ping("payload".into())).await.unwrap();
    assert_eq!(peer.socket.next().await.unwrap().unwrap(), Message::Pong("payload".into()));
}

/// P-16.1, P-16.9: silence is measured from the last frame of any kind, by the shorter of both timeouts.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_pinged_and_then_left() {
    for (own, activity_timeout) in [(120, 20), (5, 5)] {
        let options = Options { activity_timeout: Duration::from_secs(own), ..options() };
        let mut server = Server::of(options, &[]);
        let mut peer = server.confirm("1.2").await;
        let mut heard = Instant::now();
        let ping = json!({"event": "pusher:ping", "data": {}});
        for answer in [Message::text(r#"{"event":"pusher:pong","data":"{}"}"#), Message::Ping("".into()), Message::Pong("".into())] {
            assert_eq!(peer.hear().await, ping);
            assert_eq!(heard.elapsed().as_secs(), activity_timeout);
            let is_ping = answer.is_ping();
            peer.socket.send(answer).await.unwrap();
            heard = Instant::now();
            if is_ping {
                assert!(peer.socket.next().await.unwrap().unwrap().is_pong());
            }
        }
        assert_eq!(peer.hear().await, ping);
        let lost = server.notice().await;
        assert!(matches!(lost, Notice::Lost { why: ConnectionError::PongMissed { .. }, .. }), "{lost:?}");
        assert_eq!(heard.elapsed().as_secs(), activity_timeout + 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_left() {
    let mut server = Server::of(options(), &[]);
    let began = Instant::now();
    let stream = server.dialled.recv().await.unwrap();
    let failure = server.failure().await;
    assert!(matches!(failure, ConnectionError::TimedOut { .. }), "{failure:?}");
    assert_eq!(began.elapsed().as_secs(), 10);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn an_http_status_instead_of_the_upgrade_is_told() {
    let mut server = Server::of(options(), &[]);
    let mut stream = server.dialled.recv().await.unwrap();
    // The request must be taken, or the stream would end before the answer is read.
    let mut request = vec![0; 4096];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nnot here\nor ").await.unwrap();
    drop(stream);
    let failure = server.failure().await;
    assert!(
        matches!(&failure, ConnectionError::NotUpgraded { status, text, .. } if status.as_u16() == 404 && text == "not here"),
        "{failure:?}"
    );
}

/// What never was there is probably misspelt; what was there comes back.
#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_waited_for_if_it_was_there_before() {
    let mut server = Server::of(options(), &[]);
    let peer = server.confirm("1.2").await;
    server.down.store(true, Ordering::Relaxed);
    drop(peer);
    assert!(matches!(server.notice().await, Notice::Lost { why: ConnectionError::Broken { .. }, .. }));
    assert!(matches!(server.notice().await, Notice::Connecting));
    assert!(matches!(server.notice().await, Notice::Lost { why: ConnectionError::Dial(_), .. }));
    server.down.store(false, Ordering::Relaxed);
    server.confirm("3.4").await;

    let fresh = Server::of(options(), &[]);
    fresh.down.store(true, Ordering::Relaxed);
    let Server { mut notices, .. } = fresh;
    assert!(matches!(notices.recv().await, Some(Ok(Notice::Connecting))));
    let failure = notices.recv().await.unwrap().unwrap_err().to_string();
    assert_eq!(failure, "cannot reach http://push.example:6001/prefix: connection refused; is the server running there?");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_must_not_return_ends() {
    for code in [1001, 4100, 4200, 4300] {
        let mut server = Server::of(Options { reconnect: Reconnect::Never, ..options() }, &[]);
        server.confirm("1.2").await.close(code).await;
        let failure = server.notices.recv().await.unwrap();
        assert!(matches!(failure, Err(ConnectionError::Closed { code: theirs, .. }) if theirs == code), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_says_goodbye() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let ours = std::sync::Mutex::new(Some(ours));
    let dial = move || std::future::ready(Ok(Box::new(ours.lock().unwrap().take().unwrap()) as Stream)).boxed();
    let mut connection = Connection::with_dial(options(), Box::new(dial));
    let server = tokio::spawn(async move {
        let mut peer = Peer { socket: tokio_tungstenite::accept_async(theirs).await.unwrap(), path: String::new() };
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await;
        peer.socket.next().await.unwrap().unwrap()
    });
    while !matches!(connection.next().await.unwrap(), Notice::Connected { .. }) {}
    connection.close().await;
    assert!(server.await.unwrap().is_close());
}

/// P-3.7, and what compatible servers send instead (P-21.3, P-21.4, P-21.5).
#[tokio::test(start_paused = true)]
async fn messages_become_notices() {
    let mut server = Server::of(options(), &[]);
    let mut peer = server.confirm("1.2").await;
    for (text, notice) in [
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}"#,
            r#"Subscribed { channel: "a", members: None }"#,
        ),
        (r#"{"event":"pusher_internal:subscription_succeeded","channel":"a"}"#, r#"Subscribed { channel: "a", members: None }"#),
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{\"n\":1},\"2\":null},\"count\":2}}"}"#,
            r#"Subscribed { channel: "presence-a", members: Some([Member { user_id: "1", user_info: Some(b"{\"n\":1}"), object: None, peer: false, enrolment: None }, Member { user_id: "2", user_info: None, object: None, peer: false, enrolment: None }]) }"#,
        ),
        (
            r#"{"event":"pusher:subscription_error","channel":"private-a","data":{"type":"AuthError","error":"wrong","status":401}}"#,
            r#"Refused { channel: "private-a", status: Some(401), message: "wrong" }"#,
        ),
        (r#"{"event":"pusher:error","data":{"code":null,"message":"no"}}"#, r#"Error { code: None, message: "no" }"#),
        (r#"{"event":"pusher:error","data":"{\"code\":4009,\"message\":\"no\"}"}"#, r#"Error { code: Some(4009), message: "no" }"#),
        (
            r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"3\",\"user_info\":{\"n\":3}}"}"#,
            r#"MemberAdded { channel: "presence-a", member: Member { user_id: "3", user_info: Some(b"{\"n\":3}"), object: None, peer: false, enrolment: None } }"#,
        ),
        (
            r#"{"event":"pusher_internal:member_removed","channel":"presence-a","data":"{\"user_id\":\"3\"}"}"#,
            r#"MemberRemoved { channel: "presence-a", user_id: "3" }"#,
        ),
        (
            r#"{"event":"pusher_internal:subscription_count","channel":"a","data":"{\"subscription_count\":7}"}"#,
            r#"SubscriptionCount { channel: "a", count: 7 }"#,
        ),
        (r#"{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}"#, r#"CacheMiss { channel: "cache-a" }"#),
        (
            r#"{"event":"App\\Events\\Shipped","channel":"a","data":"{\"id\": 1}"}"#,
            r#"Event(Event { channel: "a", name: "App\\Events\\Shipped", data: "{\"id\": 1}", user_id: None })"#,
        ),
        (
            r#"{"event":"client-x","channel":"presence-a","data":{"id": 1},"user_id":"3"}"#,
            r#"Event(Event { channel: "presence-a", name: "client-x", data: "{\"id\":1}", user_id: Some("3") })"#,
        ),
        ("{", r#"Unreadable { text: "{" }"#),
    ] {
        peer.say(text).await;
        assert_eq!(format!("{:?}", server.notice().await), notice, "{text}");
    }
}
