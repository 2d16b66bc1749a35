//! One WebSocket to the server, from the upgrade to its end: messages in and out, and proof of life. It knows nothing of channels.

use crate::dial::Stream;
use crate::server_url::UNRESERVED;
use crate::{ConnectionError, Options, ServerUrl};
use futures_util::{SinkExt, StreamExt};
use percent_encoding::utf8_percent_encode;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tidings_dialect::pusher::codec::{self, ClientMessage, ServerMessage};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

/// How long a close frame may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest message taken. A presence list of a large channel may be long.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What may wait to be written: a server that pings and does not read is left.
pub(crate) const UNSENT_BYTES_MAX: usize = 4 << 20;
/// How much of a message that nobody expected is told.
const TOLD_CHARS_MAX: usize = 100;
/// What may wait to be written before [`Link::has_room`] says no.
const ROOM_BYTES: usize = 64 << 10;
/// What is read at once, and kept by an idle connection. Larger ones read no faster on one core.
const READ_BYTES: usize = 4 << 10;

/// What [`Link::receive`] waited for.
pub(crate) enum Received {
    /// A message.
    Text(Utf8Bytes),
    /// All that was sent has left.
    Room,
}

/// A WebSocket that the server confirmed as a connection.
pub(crate) struct Link {
    url: ServerUrl,
    socket: WebSocketStream<Stream>,
    /// The connection's public name.
    pub(crate) socket_id: String,
    pub(crate) activity_timeout: Duration,
    pong_timeout: Duration,
    /// When the server was last heard of (P-16.1).
    heard: Instant,
    /// When it was pinged since.
    pinged: Option<Instant>,
    /// The bytes of all messages since everything had left the last time.
    unsent: usize,
    /// Whether the server has closed.
    closed: bool,
    /// Its reason, or the error that was the last message, which stands for the code of a close without one.
    error: Option<(u16, String)>,
}

impl Link {
    /// Upgrades `stream` (P-2.1, P-2.2) and waits for the server's confirmation (P-2.5).
    ///
    /// # Errors
    /// [`ConnectionError`] if the server does not upgrade, is no WebSocket server, or refuses the connection.
    pub(crate) async fn open(stream: Stream, url: ServerUrl, options: &Options) -> Result<Self, ConnectionError> {
        let key = utf8_percent_encode(&options.key, UNRESERVED);
        let path = format!("/app/{key}?protocol=7&client=tidings&version={}", env!("CARGO_PKG_VERSION"));
        let request = url.join("ws", "wss", &path);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(8 << 10)
            .max_write_buffer_size(UNSENT_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = upgrade.map_err(|error| not_upgraded(error, &url))?;
        let mut link = Self {
            url,
            socket,
            socket_id: String::new(),
            activity_timeout: options.activity_timeout,
            pong_timeout: options.pong_timeout,
            heard: Instant::now(),
            pinged: None,
            unsent: 0,
            closed: false,
            error: None,
        };
        link.confirmed().await?;
        Ok(link)
    }

    /// The first message decides (P-2.5).
    async fn confirmed(&mut self) -> Result<(), ConnectionError> {
        let text = loop {
            if let Received::Text(text) = self.receive(false).await? {
                break text;
            }
        };
        match codec::decode_server(&text) {
            Ok(ServerMessage::ConnectionEstablished { socket_id, activity_timeout }) => {
                self.socket_id = socket_id.into_owned();
                // Zero would mean to ping all the time.
                let theirs = activity_timeout.filter(|secs| *secs > 0).map(Duration::from_secs);
                self.activity_timeout = theirs.map_or(self.activity_timeout, |theirs| theirs.min(self.activity_timeout));
                Ok(())
            }
            // The close that follows says the same and may be slow to come.
            Ok(ServerMessage::Error { code: Some(code), message }) => Err(ConnectionError::Closed { code, reason: message.into_owned() }),
            _ => Err(ConnectionError::NotConfirmed { url: self.url.clone(), text: text.chars().take(TOLD_CHARS_MAX).collect() }),
        }
    }

    /// Waits for the next message; a silent server is pinged meanwhile. With `more_to_send` it also returns when all that was sent has
    /// left. Dropping it midway loses nothing.
    ///
    /// # Errors
    /// [`ConnectionError`] if the WebSocket ended; the link is of no more use.
    pub(crate) async fn receive(&mut self, more_to_send: bool) -> Result<Received, ConnectionError> {
        // Who dropped this midway is told the code now.
        if self.closed {
            return Err(self.closed().await);
        }
        loop {
            // From the ping on, whenever that was: who calls this late does not leave a server that had no time to answer.
            let patience = self.pinged.map_or(self.heard + self.activity_timeout, |pinged| pinged + self.pong_timeout);
            let Ok(message) = timeout_at(patience, self.message(more_to_send)).await else {
                if self.pinged.is_some() {
                    return Err(ConnectionError::PongMissed { after: self.activity_timeout + self.pong_timeout });
                }
                self.pinged = Some(Instant::now());
                self.send(&ClientMessage::Ping)?;
                continue;
            };
            let Some(message) = message else {
                return Ok(Received::Room);
            };
            self.heard = Instant::now();
            self.pinged = None;
            match message {
                Some(Ok(Message::Text(text))) => {
                    self.error = None;
                    return Ok(Received::Text(text));
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closed = true;
                    if let Some(frame) = frame {
                        self.last_error(frame.code.into(), frame.reason.as_str());
                    }
                    return Err(self.closed().await);
                }
                // The library has answered a ping; nothing else has a meaning here (P-2.7).
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.broken(&error.to_string())),
                None => return Err(self.broken("the server hung up")),
            }
        }
    }

    /// Remembers that the last message was this error: if the server hangs up without a code, it is meant (P-21.9).
    pub(crate) fn last_error(&mut self, code: u16, message: &str) {
        self.error = Some((code, message.to_owned()));
    }

    /// Queues a message. It leaves while [`Link::receive`] or [`Link::close`] waits. If the stream is broken, that is for
    /// [`Link::receive`] to tell, after what the server said before.
    ///
    /// # Errors
    /// [`ConnectionError::Broken`] if the server has stopped reading.
    pub(crate) fn send(&mut self, message: &ClientMessage<'_>) -> Result<(), ConnectionError> {
        let mut text = Vec::new();
        codec::encode_client(message, &mut text);
        let text = String::from_utf8(text).expect("what is encoded from texts is text");
        match self.send_text(text) {
            Err(error @ tungstenite::Error::WriteBufferFull(_)) => Err(ConnectionError::Broken { reason: error.to_string() }),
            _ => Ok(()),
        }
    }

    /// The same with a message that is a text already.
    ///
    /// # Errors
    /// What tungstenite says: [`tungstenite::Error::WriteBufferFull`] if nothing was queued and the rest still stands.
    pub(crate) fn send_text(&mut self, text: String) -> Result<(), tungstenite::Error> {
        self.unsent += text.len();
        self.socket.start_send_unpin(Message::text(text))
    }

    /// Whether so little waits to be written that more may be sent without being asked for.
    pub(crate) fn has_room(&self) -> bool {
        self.unsent < ROOM_BYTES
    }

    /// Says goodbye, for at most [`CLOSE_TIMEOUT`]; that the server does not listen any more is no matter.
    pub(crate) async fn close(mut self) {
        let _ = timeout_at(Instant::now() + CLOSE_TIMEOUT, self.socket.close(None)).await;
    }

    /// Waits for the next frame, writing meanwhile what has not left. `None` with `more_to_send` if that is done first.
    /// Dropping it midway loses nothing.
    fn message(&mut self, more_to_send: bool) -> impl Future<Output = Option<Option<Result<Message, tungstenite::Error>>>> {
        poll_fn(move |cx| {
            // A failure to write is not told: what the server said before is still to be read, and then the reading fails too.
            if self.unsent > 0
                && let Poll::Ready(flushed) = self.socket.poll_flush_unpin(cx)
            {
                self.unsent = 0;
                if more_to_send && flushed.is_ok() {
                    return Poll::Ready(None);
                }
            }
            self.socket.poll_next_unpin(cx).map(Some)
        })
    }

    /// The server has closed. Its close frame is answered, as far as it waits for that.
    async fn closed(&mut self) -> ConnectionError {
        let _ = timeout_at(Instant::now() + CLOSE_TIMEOUT, self.socket.flush()).await;
        self.broken("the server closed it without a code")
    }

    /// Some servers put the code into the error message alone (P-21.9).
    fn broken(&mut self, reason: &str) -> ConnectionError {
        match self.error.take() {
            Some((code, reason)) => ConnectionError::Closed { code, reason },
            None => ConnectionError::Broken { reason: reason.to_owned() },
        }
    }
}

fn not_upgraded(error: tungstenite::Error, url: &ServerUrl) -> ConnectionError {
    let url = url.clone();
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = String::from_utf8_lossy(body).lines().next().unwrap_or_default().to_owned();
            ConnectionError::NotUpgraded { url, status: response.status(), text }
        }
        tungstenite::Error::Io(error) => ConnectionError::Broken { reason: error.to_string() },
        error => ConnectionError::NotWebSocket { url, reason: error.to_string() },
    }
}
