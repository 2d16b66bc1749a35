//! A server that runs in this process, for tests of the whole way, and the barest of clients for it.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use tidings_client::{AppId, Client, Key, Options, ProxyChoice, Publication, Publisher, PublisherOptions, ServerUrl};
use tidings_server::config;
use tidings_server::run::Server;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// One app, which is last so that more can be said of it.
const CONFIG: &str = "[limits]\nshards = 1\nclose_wait = \"200 ms\"\n\
                      [drain]\ndrain = \"0 s\"\nwebhooks = \"0 s\"\n\
                      [[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n\
                      webhook_private_targets = true\n";

/// A server with one app, stopped when it is dropped.
pub(crate) struct Tidings {
    /// Where it listens.
    pub(crate) url: ServerUrl,
    /// Its app.
    pub(crate) app: AppId,
    /// The app's one key.
    pub(crate) key: Key,
    /// None while it is stopped.
    server: Option<Server>,
    file: PathBuf,
    /// Keeps the port while the server is stopped.
    _port: TcpSocket,
    _directory: tempfile::TempDir,
}

impl Tidings {
    /// Starts one. `extra` follows the section of the app: it may say more about it, add webhooks with `[[apps.webhooks]]`, and then have
    /// sections of its own.
    pub(crate) fn start(extra: &str) -> Self {
        let port = TcpSocket::new_v4().unwrap();
        // Nobody else is given this port, and yet the server may listen there.
        port.set_reuseaddr(true).unwrap();
        port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = port.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidings.toml");
        std::fs::write(&file, format!("[[listeners]]\naddress = \"{address}\"\n{CONFIG}{extra}")).unwrap();
        let url = format!("http://{address}").parse().unwrap();
        let key = Key { key: "key".into(), secret: "secret-of-the-app".into() };
        let mut tidings = Self { url, app: AppId::new("1"), key, server: None, file, _port: port, _directory: directory };
        tidings.start_again();
        tidings
    }

    /// Starts it where it was, after [`Tidings::stop`]. It remembers nothing.
    pub(crate) fn start_again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        let config = config::load(Some(&self.file)).unwrap_or_else(|broken| panic!("{broken}"));
        // It has a runtime of its own, which must not be started within another.
        self.server = Some(std::thread::spawn(move || Server::start(config).unwrap()).join().unwrap());
    }

    /// Stops it, which tells all connections to come back (P-17.4).
    pub(crate) fn stop(&mut self) {
        let server = self.server.take().expect("it runs");
        // Its end waits for its runtime, which must not be done within another.
        let stopped = std::thread::spawn(move || server.stop()).join();
        assert!(stopped.is_ok() || std::thread::panicking(), "the server does not stop");
    }

    /// What makes a client of its app that signs by itself, whatever proxies there are.
    pub(crate) fn options(&self) -> Options {
        Options { secret: Some(self.key.secret.clone()), ..self.unsigned_options() }
    }

    /// The same for a client that knows no secret.
    pub(crate) fn unsigned_options(&self) -> Options {
        Options { proxy: ProxyChoice::Direct, ..Options::at(&self.url, &self.key.key) }
    }

    /// A client of its app that signs by itself.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    /// Publishes one event.
    pub(crate) async fn publish(&self, channel: &str, name: &str, data: &str) {
        self.publisher().publish(&Publication::new([channel], name, data)).await.unwrap();
    }

    /// What makes a publisher for its app, whatever proxies there are.
    pub(crate) fn publisher_options(&self) -> PublisherOptions {
        let options = PublisherOptions::new(self.url.clone(), self.app.clone(), self.key.clone());
        PublisherOptions { proxy: ProxyChoice::Direct, ..options }
    }

    /// A publisher for its app.
    pub(crate) fn publisher(&self) -> Publisher {
        Publisher::with_options(self.publisher_options())
    }

    /// A connection that is confirmed.
    pub(crate) async fn peer(&self) -> Peer {
        let address = self.url.to_string().replace("http://", "ws://");
        let (socket, _) = tokio_tungstenite::connect_async(format!("{address}/app/{}?protocol=7", self.key.key)).await.unwrap();
        let mut peer = Peer { socket, socket_id: String::new() };
        peer.socket_id = peer.next_data("pusher:connection_established").await["socket_id"].as_str().unwrap().to_owned();
        peer
    }
}

impl Drop for Tidings {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.stop();
        }
    }
}

/// A WebSocket to the server, and the messages as they come.
pub(crate) struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server calls the connection.
    pub(crate) socket_id: String,
}

impl Peer {
    /// Sends an event.
    pub(crate) async fn say(&mut self, event: &str, data: Value) {
        let message = json!({ "event": event, "data": data });
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Sends an event on a channel.
    pub(crate) async fn say_on(&mut self, channel: &str, event: &str, data: Value) {
        let message = json!({ "event": event, "channel": channel, "data": data });
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Subscribes with what an auth endpoint answered, `{}` for a public channel.
    pub(crate) async fn subscribe(&mut self, channel: &str, answer: Value) {
        let mut data = answer;
        data["channel"] = channel.into();
        // It stays in the client (P-6.7).
        data.as_object_mut().unwrap().remove("shared_secret");
        self.say("pusher:subscribe", data).await;
        assert_eq!(self.next("pusher_internal:subscription_succeeded").await["channel"], channel);
    }

    /// The next message, which must be of that event.
    pub(crate) async fn next(&mut self, event: &str) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        let Message::Text(text) = message else { panic!("{message:?} instead of {event}") };
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["event"], event, "{message}");
        message
    }

    /// What its data says, which must be JSON in a string.
    pub(crate) async fn next_data(&mut self, event: &str) -> Value {
        serde_json::from_str(self.next(event).await["data"].as_str().unwrap()).unwrap()
    }

    /// The code with which the server closes the connection, which is the next it does.
    pub(crate) async fn close_code(&mut self) -> u16 {
        match self.socket.next().await.unwrap().unwrap() {
            Message::Close(Some(close)) => close.code.into(),
            message => panic!("{message:?} instead of a close"),
        }
    }
}
