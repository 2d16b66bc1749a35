//! A server made in the test: it says what the test wants said, and nothing else.

use crate::server::{Duplex, Server};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidings_client::{Options, ProxyChoice};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// Listens without TLS.
pub(crate) struct Raw(Server);

/// The server's end of one WebSocket.
pub(crate) struct RawPeer {
    socket: WebSocketStream<Box<dyn Duplex>>,
}

impl Raw {
    pub(crate) async fn start() -> Self {
        Self(Server::plain().await)
    }

    /// What makes a client of it, that signs by itself.
    pub(crate) fn options(&self) -> Options {
        Options { secret: Some("secret".into()), proxy: ProxyChoice::Direct, ..Options::at(&self.0.url, "key") }
    }

    /// Takes a connection without a word.
    pub(crate) async fn accept(&self) -> RawPeer {
        let stream = self.0.accept().await.unwrap();
        RawPeer { socket: tokio_tungstenite::accept_async(stream).await.unwrap() }
    }

    /// Takes a connection and confirms it (P-2.5).
    pub(crate) async fn confirm(&self, socket_id: &str) -> RawPeer {
        let mut peer = self.accept().await;
        let data = json!({ "socket_id": socket_id, "activity_timeout": 120 }).to_string();
        peer.say(&json!({ "event": "pusher:connection_established", "data": data }).to_string()).await;
        peer
    }
}

impl RawPeer {
    pub(crate) async fn say(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// Sends a message or a control frame as it is.
    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Puts a message into the buffer, which leaves when it is full, or with [`RawPeer::flush`]. Whether the client is there.
    pub(crate) async fn feed(&mut self, text: String) -> bool {
        self.socket.feed(Message::text(text)).await.is_ok()
    }

    /// Has all leave that was fed. Whether the client is there.
    pub(crate) async fn flush(&mut self) -> bool {
        self.socket.flush().await.is_ok()
    }

    /// Publishes an event.
    pub(crate) async fn publish(&mut self, channel: &str, name: &str, data: &str) {
        self.say(&event(channel, name, data)).await;
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Value {
        match self.socket.next().await.unwrap().unwrap() {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The channel that is subscribed to next.
    pub(crate) async fn asked(&mut self) -> String {
        let message = self.hear().await;
        assert_eq!(message["event"], "pusher:subscribe", "{message}");
        message["data"]["channel"].as_str().unwrap().to_owned()
    }

    /// Confirms a subscription, which must be what is asked for next (P-5.5).
    pub(crate) async fn confirm_subscription(&mut self, channel: &str) {
        assert_eq!(self.asked().await, channel);
        self.say(&json!({ "event": "pusher_internal:subscription_succeeded", "channel": channel, "data": "{}" }).to_string()).await;
    }

    /// Says goodbye with this code, and waits for the client to hang up.
    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        self.send(Message::Close(Some(CloseFrame { code: code.into(), reason: reason.into() }))).await;
        while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
    }

    /// Waits until the client says goodbye, and panics if it says anything else or hangs up without.
    pub(crate) async fn closed(&mut self) {
        match self.socket.next().await {
            Some(Ok(Message::Close(_))) => {}
            other => panic!("{other:?} instead of a close"),
        }
    }
}

/// The message of an event (P-3.7).
pub(crate) fn event(channel: &str, name: &str, data: &str) -> String {
    json!({ "event": name, "channel": channel, "data": data }).to_string()
}
