//! The connection against a server made here, in memory and with a clock that only moves while everybody waits.

mod endings;
mod faults;

use super::*;
use crate::dial::Stream;
use crate::{ClientData, DialError, MasterKey, ServerUrl, SignInError, SubscribeError};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidings_dialect::auth;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const SECRET: &str = "7ad3773142a6692b25b8";
const NONE: &[&str] = &[];
const ADA: &str = r#"{"user_id":"ada","user_info":{"name":"Ada"}}"#;

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
    Options {
        secret: Some(SECRET.into()),
        channel_data: Some(ADA.into()),
        reconnect: Reconnect::OnceConnected,
        unavailable_timeout: Duration::from_secs(3600),
        ..Options::at(&url(), "278d425bdf160c739803")
    }
}

fn url() -> ServerUrl {
    "http://push.example:6001/prefix".parse().unwrap()
}

/// What makes streams in memory, and the other ends of them.
fn streams() -> (Dial, UnboundedReceiver<DuplexStream>) {
    let (tell, dialled) = unbounded_channel();
    let dial = move || {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        tell.send(theirs).unwrap();
        std::future::ready(Ok(Box::new(ours) as Stream)).boxed()
    };
    (Arc::new(dial), dialled)
}

impl Server {
    /// Runs a connection with these subscriptions until it fails for good.
    fn of(options: Options, channels: &[impl AsRef<str>]) -> Self {
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
        let mut connection = Connection::with_dial(options, url(), Arc::new(dial)).unwrap();
        for channel in channels {
            connection.subscribe(channel.as_ref()).unwrap();
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
        assert!(matches!(self.notice().await, Notice::Connected { socket_id: theirs, .. } if theirs == socket_id));
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
    let mut server = Server::of(options(), NONE);
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
    let auth = format!("278d425bdf160c739803:{}", auth::sign(SECRET, &[b"1234.1234:presence-room:", ADA.as_bytes()]));
    let data = json!({"channel": "presence-room", "auth": auth, "channel_data": ADA});
    assert_eq!(peer.hear().await, json!({"event": "pusher:subscribe", "data": data}));
    // The repeated channel was asked for once.
    assert_eq!(peer.hear().await, json!({"event": "pusher:ping", "data": {}}));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_an_open_connection_is_asked_for_at_once() {
    let (dial, mut dialled) = streams();
    let mut connection = Connection::with_dial(options(), url(), dial).unwrap();
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
        connection.subscribe(channel).unwrap();
    }
    assert!(matches!(connection.next().await, Err(ConnectionError::Closed { code: 4001, .. })));
    let (first, second) = server.await.unwrap();
    assert_eq!((&first["data"]["channel"], &second["data"]["channel"]), (&json!("a"), &json!("b")));
}

/// P-16.2, P-16.3
#[tokio::test(start_paused = true)]
async fn pings_are_answered() {
    let mut server = Server::of(options(), NONE);
    let mut peer = server.confirm("1.2").await;
    peer.say(r#"{"event":"pusher:ping","data":"{}"}"#).await;
    assert_eq!(peer.hear().await, json!({"event": "pusher:pong", "data": {}}));
    peer.socket.send(Message::Ping("payload".into())).await.unwrap();
    assert_eq!(peer.socket.next().await.unwrap().unwrap(), Message::Pong("payload".into()));
}

#[tokio::test(start_paused = true)]
async fn closing_says_goodbye() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let ours = std::sync::Mutex::new(Some(ours));
    let dial = move || std::future::ready(Ok(Box::new(ours.lock().unwrap().take().unwrap()) as Stream)).boxed();
    let mut connection = Connection::with_dial(options(), url(), Arc::new(dial)).unwrap();
    let server = tokio::spawn(async move {
        let mut peer = Peer { socket: tokio_tungstenite::accept_async(theirs).await.unwrap(), path: String::new() };
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await;
        peer.socket.next().await.unwrap().unwrap()
    });
    while !matches!(connection.next().await.unwrap(), Notice::Connected { .. }) {}
    connection.disconnect().await;
    assert!(server.await.unwrap().is_close());
}

/// A connection that the test itself asks for what happens, and the server's end of its first socket, confirmed.
async fn pair(options: Options) -> (Connection, Peer) {
    let (dial, mut dialled) = streams();
    let mut connection = Connection::with_dial(options, url(), dial).unwrap();
    let server = async {
        let mut peer = Peer { socket: tokio_tungstenite::accept_async(dialled.recv().await.unwrap()).await.unwrap(), path: String::new() };
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await;
        peer
    };
    let connected = async { while !matches!(connection.next().await.unwrap(), Notice::Connected { .. }) {} };
    let (peer, ()) = tokio::join!(server, connected);
    (connection, peer)
}

impl Peer {
    async fn confirm(&mut self, channel: &str) {
        self.say(&json!({"event": "pusher_internal:subscription_succeeded", "channel": channel, "data": "{}"}).to_string()).await;
    }

    /// The next message, for which the connection must run.
    async fn hear_from(&mut self, connection: &mut Connection) -> Value {
        tokio::select! {
            heard = self.hear() => heard,
            notice = connection.next() => panic!("{notice:?}"),
        }
    }
}

/// What was given up is not asked for again, and the server is told if it knew of it (P-5.10).
#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_not_kept_up() {
    let (mut connection, mut peer) = pair(options()).await;
    assert!(!connection.unsubscribe("a"));
    for channel in ["a", "b", "a"] {
        connection.subscribe(channel).unwrap();
    }
    assert!(connection.unsubscribe("a"));
    for (event, channel) in [("subscribe", "a"), ("subscribe", "b"), ("unsubscribe", "a")] {
        let heard = peer.hear_from(&mut connection).await;
        assert_eq!((&heard["event"], &heard["data"]["channel"]), (&json!(format!("pusher:{event}")), &json!(channel)));
    }
    peer.confirm("b").await;
    assert!(!connection.is_subscribed("b"));
    assert!(matches!(connection.next().await, Ok(Notice::Subscribed { channel, .. }) if channel == "b"));
    assert!(connection.is_subscribed("b"));
}

/// P-4.2, P-15.6: what cannot be had is said at once, with what would help.
#[tokio::test(start_paused = true)]
async fn a_channel_that_cannot_be_had_is_refused_at_once() {
    let mut connection = Connection::with_dial(Options::new("key"), url(), Arc::new(|| unreachable!("nobody waits"))).unwrap();
    for channel in ["private-a", "private-encrypted-a", "presence-a"] {
        assert_eq!(connection.subscribe(channel), Err(SubscribeError::NobodySigns { channel: channel.into() }), "{channel}");
    }
    for channel in ["news", "personal-a", "peer-a"] {
        assert_eq!(connection.subscribe(channel), Ok(()), "{channel}");
    }
    assert!(matches!(connection.subscribe("#server-to-user-1"), Err(SubscribeError::Reserved { .. })));
    assert!(matches!(connection.subscribe(""), Err(SubscribeError::Name { .. })));
    assert_eq!(connection.sign_in().unwrap_err().to_string(), SignInError::NobodySigns.to_string());
}

/// What is wrong with the options is said when they are given.
#[test]
fn options_of_no_use_are_refused() {
    for (options, begin) in [
        (Options::new(""), "the app's key is empty"),
        (Options { host: "a b".into(), ..Options::new("key") }, "\"ws://a b:80\" is no address of a server"),
        (
            Options { channel_data: Some("[]".into()), ..Options::new("key") },
            "channel_data: channel_data must be the JSON text of an object",
        ),
        (Options { channel_data: Some(r#"{"user_id":1.5}"#.into()), ..Options::new("key") }, "channel_data: user_id must be"),
        (Options { user_data: Some(r#"{"id":1}"#.into()), ..Options::new("key") }, "user_data must be the JSON of an object"),
        (Options { user_data: Some(r#"{"id":""}"#.into()), ..Options::new("key") }, "user_data must be the JSON of an object"),
    ] {
        let error = Connection::new(options).err().unwrap().to_string();
        assert!(error.starts_with(begin), "{error}");
    }
    let shown = format!("{:?}", Options { user_data: Some("{}".into()), ..options() });
    assert!(!shown.contains(SECRET) && !shown.contains("Ada"), "{shown}");
}

/// P-8.1, P-8.2, P-9.6: what the server would refuse is not sent.
#[tokio::test(start_paused = true)]
async fn client_events_go_where_they_may() {
    let (mut connection, mut peer) = pair(options()).await;
    let text = || ClientData::Text("1".into());
    for channel in ["private-a", "news"] {
        connection.subscribe(channel).unwrap();
        peer.hear_from(&mut connection).await;
    }
    let refusal = |result: Result<(), SendError>| result.unwrap_err().to_string();
    assert!(refusal(connection.send_event("private-a", "client-x", text())).contains("not yet"));
    for channel in ["private-a", "news"] {
        peer.confirm(channel).await;
        connection.next().await.unwrap();
    }
    assert!(refusal(connection.send_event("private-a", "x", text())).contains("must start with `client-`"));
    assert!(refusal(connection.send_event("private-a", &format!("client-{}", "x".repeat(194)), text())).contains("200"));
    assert!(refusal(connection.send_event("news", "client-x", text())).contains("takes no client events"));
    assert!(refusal(connection.send_event("private-encrypted-a", "client-x", text())).contains("takes no client events"));
    assert!(refusal(connection.send_event("private-b", "client-x", text())).contains("not subscribed"));
    connection.send_event("private-a", "client-\"x\"", ClientData::Text("say \"hi\"".into())).unwrap();
    let heard = peer.hear_from(&mut connection).await;
    assert_eq!(heard, json!({"event": "client-\"x\"", "channel": "private-a", "data": "say \"hi\""}));
    connection.disconnect().await;
    assert_eq!(connection.send_event("private-a", "client-x", text()), Err(SendError::NotConnected));
    assert_eq!(connection.send_text(String::new()), Err(SendError::NotConnected));
}

/// P-15.1, P-15.3, P-15.6: signing in is repeated on each connection, and brings the user's own channel.
#[tokio::test(start_paused = true)]
async fn it_signs_in_on_every_connection() {
    let user = r#"{"id":"ada","watchlist":["bob"]}"#;
    let options = Options { user_data: Some(user.into()), ..options() };
    let (dial, mut dialled) = streams();
    let mut connection = Connection::with_dial(options, url(), dial).unwrap();
    connection.sign_in().unwrap();
    connection.subscribe("news").unwrap();
    for round in ["1.1", "2.2"] {
        let server = async {
            let mut peer =
                Peer { socket: tokio_tungstenite::accept_async(dialled.recv().await.unwrap()).await.unwrap(), path: String::new() };
            let data = json!({"socket_id": round, "activity_timeout": 20}).to_string();
            peer.say(&json!({"event": "pusher:connection_established", "data": data}).to_string()).await;
            let auth = format!("278d425bdf160c739803:{}", auth::sign(SECRET, &[round.as_bytes(), b"::user::", user.as_bytes()]));
            assert_eq!(peer.hear().await, json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user}}));
            assert_eq!(peer.hear().await["data"]["channel"], "news");
            peer.say(&json!({"event": "pusher:signin_success", "data": json!({"user_data": user}).to_string()}).to_string()).await;
            let own = peer.hear().await;
            assert_eq!(own, json!({"event": "pusher:subscribe", "data": {"channel": "#server-to-user-ada"}}));
            peer.say(
                r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"bob\"]}]}"}"#,
            )
            .await;
            peer.close(4200).await;
        };
        let client = async {
            let mut notices = Vec::new();
            loop {
                let notice = connection.next().await.unwrap();
                if let Notice::Lost { .. } = notice {
                    return notices;
                }
                notices.push(format!("{notice:?}"));
            }
        };
        let ((), notices) = tokio::join!(server, client);
        assert_eq!(notices[2], format!("SignedIn {{ user_id: \"ada\", user_data: {user:?} }}"));
        assert_eq!(notices[3], r#"Watchlist { online: ["bob"], offline: [] }"#);
        assert_eq!(connection.user_id(), None);
    }
}

/// P-9.2, P-9.3: with the master key, what arrives is what was meant; what is not encrypted with it is told as lost.
#[tokio::test(start_paused = true)]
async fn an_encrypted_channel_is_read_with_the_master_key() {
    let master = MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    let sealed = master.shared_secret("private-encrypted-a").seal(b"{\"n\":1}", [7; 24]);
    let (mut connection, mut peer) = pair(Options { encryption_master_key: Some(master), ..options() }).await;
    connection.subscribe("private-encrypted-a").unwrap();
    let asked = peer.hear_from(&mut connection).await;
    assert_eq!(asked["data"].as_object().unwrap().len(), 2, "the secret stays here: {asked}");
    for data in [&sealed, "{}"] {
        peer.say(&json!({"event": "x", "channel": "private-encrypted-a", "data": data}).to_string()).await;
    }
    let Notice::Event(event) = connection.next().await.unwrap() else { panic!("no event") };
    assert_eq!(event.json::<Value>().unwrap(), json!({"n": 1}));
    assert!(matches!(connection.next().await.unwrap(), Notice::Undecryptable { name, .. } if name == "x"));

    let (mut connection, mut peer) = pair(options()).await;
    connection.subscribe("private-encrypted-a").unwrap();
    peer.hear_from(&mut connection).await;
    peer.say(&json!({"event": "x", "channel": "private-encrypted-a", "data": sealed}).to_string()).await;
    assert!(matches!(connection.next().await.unwrap(), Notice::Event(event) if event.data == sealed));
}

/// `message` is what the server sent, until the next is asked for.
#[tokio::test(start_paused = true)]
async fn a_notice_comes_with_its_message() {
    let (mut connection, mut peer) = pair(options()).await;
    assert_eq!(connection.message(), None);
    let text = r#"{"channel":"a","event":"x","data":"1","more":true}"#;
    peer.say(text).await;
    connection.next().await.unwrap();
    assert_eq!(connection.message(), Some(text));
    drop(peer);
    connection.next().await.unwrap();
    assert_eq!(connection.message(), None);
}

/// A caller that waits for other things too drops `next` all the time: an attempt goes on where it was.
#[tokio::test(start_paused = true)]
async fn dropping_next_does_not_begin_anew() {
    let (dial, mut dialled) = streams();
    let mut connection = Connection::with_dial(options(), url(), dial).unwrap();
    let server = tokio::spawn(async move {
        let mut peer = Peer { socket: tokio_tungstenite::accept_async(dialled.recv().await.unwrap()).await.unwrap(), path: String::new() };
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#).await;
        peer.socket.next().await.unwrap().unwrap();
        dialled.try_recv().is_err()
    });
    let mut notices = Vec::new();
    while notices.len() < 2 {
        if let Some(notice) = connection.next().now_or_never() {
            notices.push(notice.unwrap());
        }
        tokio::task::yield_now().await;
    }
    assert!(matches!(notices[..], [Notice::Connecting, Notice::Connected { .. }]), "{notices:?}");
    connection.disconnect().await;
    assert!(server.await.unwrap(), "it dialled once");
}

/// What finds no room is refused, and when there is some again, that is told, once.
#[tokio::test(start_paused = true)]
async fn it_is_told_when_there_is_room_again() {
    let (mut connection, mut peer) = pair(options()).await;
    let text = format!("\"{}\"", "x".repeat(1 << 20));
    let mut sent = 0;
    let refused = loop {
        match connection.send_text(text.clone()) {
            Ok(()) => sent += 1,
            Err(why) => break why,
        }
    };
    assert!(matches!(refused, SendError::Full { .. }) && sent > 0, "{sent}: {refused}");
    assert!(connection.next().now_or_never().is_none());
    let (notice, ()) = tokio::join!(connection.next(), async {
        for _ in 0..sent {
            peer.hear().await;
        }
    });
    assert!(matches!(notice, Ok(Notice::Room)), "{notice:?}");
    connection.send_text(text).unwrap();
    peer.hear_from(&mut connection).await;
}

/// Any number of subscriptions finds its way to a server that reads slowly: what has no room waits.
#[tokio::test(start_paused = true)]
async fn many_subscriptions_wait_for_room() {
    const MANY: usize = 50_000;
    let channels: Vec<String> = (0..MANY).map(|number| format!("private-{number}")).collect();
    let mut server = Server::of(options(), &channels);
    let mut peer = server.confirm("1.2").await;
    for number in 0..MANY {
        assert_eq!(peer.hear().await["data"]["channel"], format!("private-{number}"));
    }
}

/// P-3.7, and what compatible servers send instead (P-21.3, P-21.4, P-21.5).
#[tokio::test(start_paused = true)]
async fn messages_become_notices() {
    let mut server = Server::of(options(), NONE);
    let mut peer = server.confirm("1.2").await;
    for (text, notice) in [
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"a","data":"{}"}"#,
            r#"Subscribed { channel: "a", members: None, me: None }"#,
        ),
        (r#"{"event":"pusher_internal:subscription_succeeded","channel":"a"}"#, r#"Subscribed { channel: "a", members: None, me: None }"#),
        (
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{\"n\":1},\"2\":null},\"count\":2}}"}"#,
            r#"Subscribed { channel: "presence-a", members: Some([PresenceMember { user_id: "1", user_info: Some(Object {"n": Number(1)}) }, PresenceMember { user_id: "2", user_info: None }]), me: None }"#,
        ),
        (
            r#"{"event":"pusher:subscription_error","channel":"private-a","data":{"type":"AuthError","error":"wrong","status":401}}"#,
            r#"Refused { channel: "private-a", why: Server { kind: "AuthError", status: Some(401), message: "wrong" } }"#,
        ),
        (r#"{"event":"pusher:error","data":{"code":null,"message":"no"}}"#, r#"Error { code: None, message: "no" }"#),
        (r#"{"event":"pusher:error","data":"{\"code\":4009,\"message\":\"no\"}"}"#, r#"Error { code: Some(4009), message: "no" }"#),
        (
            r#"{"event":"pusher_internal:member_added","channel":"presence-a","data":"{\"user_id\":\"3\",\"user_info\":{\"n\":3}}"}"#,
            r#"MemberAdded { channel: "presence-a", member: PresenceMember { user_id: "3", user_info: Some(Object {"n": Number(3)}) } }"#,
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
