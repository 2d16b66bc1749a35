//! One WebSocket to the server, from the upgrade to its end: messages in and out, and proof of life. It knows nothing of channels.

use crate::dial::Stream;
use crate::options::UNRESERVED;
use crate::wire::{self, Incoming};
use crate::{ConnectionError, Options};
use futures_util::{SinkExt, StreamExt};
use percent_encoding::utf8_percent_encode;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

/// How long the server may take to answer a ping (P-16.9).
const PONG_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a close frame may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest message taken. A presence list of a large channel may be long.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What may wait to be written: a server that pings and does not read is left.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// A WebSocket that the server confirmed as a connection.
pub(crate) struct Link {
    socket: WebSocketStream<Stream>,
    /// The connection's public name.
    pub(crate) socket_id: String,
    activity_timeout: Duration,
    /// When the server was last heard of (P-16.1).
    heard: Instant,
    /// Whether a ping is on its way since.
    pinged: bool,
    /// Whether something was sent that may not have left.
    unsent: bool,
    /// The error that was the last message, which stands for the code of a close without one.
    error: Option<(u16, String)>,
}

impl Link {
    /// Upgrades `stream` (P-2.1, P-2.2) and waits for the server's confirmation (P-2.5).
    ///
    /// # Errors
    /// [`ConnectionError`] if the server does not upgrade, is no WebSocket server, or refuses the connection.
    pub(crate) async fn open(stream: Stream, options: &Options) -> Result<Self, ConnectionError> {
        let key = utf8_percent_encode(&options.key, UNRESERVED);
        let path = format!("/app/{key}?protocol=7&client=tidings&version={}", env!("CARGO_PKG_VERSION"));
        let request = options.url.join("ws", "wss", &path);
        let config = WebSocketConfig::default()
            .read_buffer_size(8 << 10)
            .write_buffer_size(8 << 10)
            .max_write_buffer_size(UNSENT_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = upgrade.map_err(|error| not_upgraded(error, options))?;
        let mut link = Self {
            socket,
            socket_id: String::new(),
            activity_timeout: options.activity_timeout,
            heard: Instant::now(),
            pinged: false,
            unsent: false,
            error: None,
        };
        link.confirmed().await?;
        Ok(link)
    }

    async fn confirmed(&mut self) -> Result<(), ConnectionError> {
        loop {
            match self.receive().await? {
                Incoming::Established { socket_id, activity_timeout } => {
                    self.socket_id = socket_id;
                    self.activity_timeout = activity_timeout.map_or(self.activity_timeout, |theirs| theirs.min(self.activity_timeout));
                    return Ok(());
                }
                // The close that follows says the same and may be slow to come.
                Incoming::Error { code: Some(code), message } => return Err(ConnectionError::Closed { code, reason: message }),
                _ => {}
            }
        }
    }

    /// Waits for the next message that means something to the owner: pings are answered and sent here.
    /// Dropping it midway loses nothing.
    ///
    /// # Errors
    /// [`ConnectionError`] if the WebSocket ended; the link is of no more use.
    pub(crate) async fn receive(&mut self) -> Result<Incoming, ConnectionError> {
        loop {
            let silence = if self.pinged { self.activity_timeout + PONG_TIMEOUT } else { self.activity_timeout };
            let Ok(message) = timeout_at(self.heard + silence, self.message()).await else {
                if self.pinged {
                    return Err(ConnectionError::PongMissed { after: silence });
                }
                self.pinged = true;
                self.send(wire::ping())?;
                continue;
            };
            self.heard = Instant::now();
            self.pinged = false;
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => return Err(self.closed(frame).await),
                // The library has answered a ping; nothing else has a meaning here (P-2.7).
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(self.broken(&error.to_string())),
                None => return Err(self.broken("the server hung up")),
            };
            let incoming = wire::decode(&text);
            self.error = None;
            match incoming {
                Incoming::Ping => self.send(wire::pong())?,
                Incoming::Pong => {}
                Incoming::Error { code, message } => {
                    self.error = code.map(|code| (code, message.clone()));
                    return Ok(Incoming::Error { code, message });
                }
                other => return Ok(other),
            }
        }
    }

    /// Queues a message. It leaves while [`Link::receive`] or [`Link::close`] waits.
    ///
    /// # Errors
    /// [`ConnectionError::Broken`] if the server has stopped reading.
    pub(crate) fn send(&mut self, text: String) -> Result<(), ConnectionError> {
        self.unsent = true;
        self.socket.start_send_unpin(Message::text(text)).map_err(|error| ConnectionError::Broken { reason: error.to_string() })
    }

    /// Says goodbye, for at most [`CLOSE_TIMEOUT`]; that the server does not listen any more is no matter.
    pub(crate) async fn close(mut self) {
        let _ = timeout_at(Instant::now() + CLOSE_TIMEOUT, self.socket.close(None)).await;
    }

    /// Waits for the next frame, writing meanwhile what has not left. Dropping it midway loses nothing.
    fn message(&mut self) -> impl Future<Output = Option<Result<Message, tungstenite::Error>>> {
        poll_fn(|cx| {
            // A failure to write is not told: what the server said before is still to be read, and then the reading fails too.
            if self.unsent
                && let Poll::Ready(_) = self.socket.poll_flush_unpin(cx)
            {
                self.unsent = false;
            }
            self.socket.poll_next_unpin(cx)
        })
    }

    /// The server closed. Its close frame is answered, as far as it waits for that.
    async fn closed(&mut self, frame: Option<CloseFrame>) -> ConnectionError {
        let _ = timeout_at(Instant::now() + CLOSE_TIMEOUT, self.socket.flush()).await;
        match frame {
            Some(frame) => ConnectionError::Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
            None => self.broken("the server closed it without a code"),
        }
    }

    /// Some servers put the code into the error message alone (P-21.9).
    fn broken(&mut self, reason: &str) -> ConnectionError {
        match self.error.take() {
            Some((code, reason)) => ConnectionError::Closed { code, reason },
            None => ConnectionError::Broken { reason: reason.to_owned() },
        }
    }
}

fn not_upgraded(error: tungstenite::Error, options: &Options) -> ConnectionError {
    let url = options.url.clone();
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
