//! What is published in a Redis under a prefix, followed for ever. The one room that knows the crate `redis`: of it we take commands and the
//! parser. Its own connections hand messages on through a channel without bound; here a message is read when somebody asks for it.

mod backoff;
mod dial;
mod link;
mod sentinel;

#[cfg(test)]
mod tests;

use crate::config::Redis;
use backoff::Backoff;
use bytes::Bytes;
use dial::{ANSWER_MAX, AnyLink, Manner, ask, dial};
use link::Link;
use redis::{PushKind, ServerError, Value, cmd};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

/// After so long without a word the server is asked whether it is there (W-2.5).
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What one message may have beyond its data, and data that is going to be refused: a Redis allows 512 MiB, and somebody may try.
const REFUSED_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Of what a server says of an error.
const ERROR_CHARS_MAX: usize = 120;

/// Why there is no subscription. None of it holds a password or what was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it took too long")]
    Timeout,
    #[error("the server closed the connection")]
    Closed,
    #[error("the server said nothing, and did not answer a ping")]
    Silent,
    #[error("what it said is not what a Redis says")]
    NotRedis,
    #[error("it sent more than {0} bytes as one message")]
    TooLarge(usize),
    #[error("it refused {command}: {code}{text}")]
    Refused { command: &'static str, code: String, text: String },
    #[error("no certificate can be checked: {0}")]
    Certificates(String),
    #[error("the sentinels know of no master of that name that is one")]
    NoMaster,
}

impl Fault {
    fn refused(command: &'static str, error: &ServerError) -> Self {
        let text = error.details().map(|text| format!(" {}", text.chars().take(ERROR_CHARS_MAX).collect::<String>())).unwrap_or_default();
        Self::Refused { command, code: error.code().to_owned(), text }
    }
}

/// All channels whose names begin in one way.
pub(crate) struct Subscription {
    redis: Redis,
    pattern: Vec<u8>,
    value_bytes_max: usize,
    backoff: Backoff,
    /// How long to wait before the next attempt.
    wait: Duration,
    live: Option<Live>,
}

/// A subscription that Redis has confirmed.
struct Live {
    link: AnyLink,
    since: Instant,
}

/// What happened to a subscription.
#[derive(Debug)]
pub(crate) enum Occurrence {
    /// From now on messages come.
    Subscribed {
        /// Where.
        address: String,
    },
    /// Something was published.
    Message {
        /// The whole name of the channel.
        channel: Bytes,
        data: Bytes,
    },
    /// There was a subscription and it is gone; what is published now is missed.
    Lost(Fault),
    /// An attempt failed; there will be another.
    Unreachable(Fault),
}

impl Subscription {
    /// To the channels that begin with `prefix`, on each of which data of `data_bytes` is expected at most.
    pub(crate) fn new(redis: &Redis, prefix: &[u8], data_bytes: usize) -> Self {
        let value_bytes_max = data_bytes.saturating_add(REFUSED_BYTES_MAX);
        Self {
            redis: redis.clone(),
            pattern: pattern(prefix),
            value_bytes_max,
            backoff: Backoff::default(),
            wait: Duration::ZERO,
            live: None,
        }
    }

    /// Waits for what happens next. Whoever does not call it leaves all that comes where it is: with the kernel, and then with Redis, until
    /// that has enough and ends the connection.
    pub(crate) async fn next(&mut self) -> Occurrence {
        let Some(live) = &mut self.live else {
            sleep(self.wait).await;
            return match self.subscribe().await {
                Ok((link, address)) => {
                    self.live = Some(Live { link, since: Instant::now() });
                    Occurrence::Subscribed { address }
                }
                Err(fault) => {
                    self.failed();
                    Occurrence::Unreachable(fault)
                }
            };
        };
        match message(&mut live.link).await {
            Ok((channel, data)) => Occurrence::Message { channel, data },
            Err(fault) => {
                self.backoff.held(live.since.elapsed());
                self.live = None;
                self.failed();
                Occurrence::Lost(fault)
            }
        }
    }

    fn failed(&mut self) {
        self.wait = self.backoff.failed(u32::from_le_bytes(crate::chance::bytes()));
    }

    async fn subscribe(&self) -> Result<(AnyLink, String), Fault> {
        let Redis { server, sentinels, database, protocol, ca_file, .. } = &self.redis;
        let ca_file = ca_file.as_deref();
        let manner = Manner { protocol: *protocol, database: *database, ca_file, value_bytes_max: self.value_bytes_max };
        let (mut link, address) = if sentinels.is_empty() {
            (dial(server, &manner).await?, server.address())
        } else {
            sentinel::find(&self.redis, &manner).await?
        };
        let confirmed = ask(&mut link, "PSUBSCRIBE", cmd("PSUBSCRIBE").arg(&self.pattern)).await?;
        match read(confirmed)? {
            Said::Else => Ok((link, address)),
            Said::Message(..) => Err(Fault::NotRedis),
        }
    }
}

/// The pattern of all that begins with `prefix`: what means something in a pattern is to mean itself (W-2.6).
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

/// The next message, its channel first.
async fn message<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>) -> Result<(Bytes, Bytes), Fault> {
    loop {
        let value = match hear(link, SILENCE_MAX).await {
            Some(value) => value?,
            None => {
                timeout(ANSWER_MAX, link.say(&cmd("PING"))).await.map_err(|_| Fault::Silent)??;
                // Whatever comes shows that somebody is there.
                hear(link, ANSWER_MAX).await.ok_or(Fault::Silent)??
            }
        };
        if let Said::Message(channel, data) = read(value)? {
            return Ok((channel, data));
        }
    }
}

/// The next value; none if not a byte came for so long. One that is still coming is waited for.
async fn hear<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, patience: Duration) -> Option<Result<Value, Fault>> {
    loop {
        let heard = link.heard();
        match timeout(patience, link.value()).await {
            Ok(value) => return Some(value),
            Err(_) if link.heard() > heard => {}
            Err(_) => return None,
        }
    }
}

/// What a subscribed connection is told.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// The channel and the data.
    Message(Bytes, Bytes),
    /// A confirmation, or the answer to a ping.
    Else,
}

/// Reads what came on a subscribed connection; whatever a Redis does not say there breaks it off (W-2.4).
fn read(value: Value) -> Result<Said, Fault> {
    match value {
        Value::Push { kind: PushKind::PMessage, data } => {
            let [_, Value::BulkString(channel), Value::BulkString(data)] = <[Value; 3]>::try_from(data).map_err(|_| Fault::NotRedis)?
            else {
                return Err(Fault::NotRedis);
            };
            Ok(Said::Message(channel.into(), data.into()))
        }
        Value::Push { .. } => Ok(Said::Else),
        Value::SimpleString(text) if text == "PONG" => Ok(Said::Else),
        // Nothing else is asked on such a connection.
        Value::ServerError(error) => Err(Fault::refused("PING", &error)),
        Value::Array(parts) => array(parts),
        _ => Err(Fault::NotRedis),
    }
}

/// The same of RESP2, which has no other form for it.
fn array(parts: Vec<Value>) -> Result<Said, Fault> {
    let kind = match parts.first() {
        Some(Value::BulkString(kind)) => kind.as_slice(),
        _ => return Err(Fault::NotRedis),
    };
    match (kind, parts.len()) {
        (b"pmessage", 4) => match <[Value; 4]>::try_from(parts) {
            Ok([_, _, Value::BulkString(channel), Value::BulkString(data)]) => Ok(Said::Message(channel.into(), data.into())),
            _ => Err(Fault::NotRedis),
        },
        (b"pong", 2) | (_, 3 | 4) => Ok(Said::Else),
        _ => Err(Fault::NotRedis),
    }
}
