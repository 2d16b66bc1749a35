//! One connection to a Redis: commands out, values in, by the parser of the crate. Nothing is read before somebody asks for a value, so what
//! nobody takes stays with the kernel, and then with Redis.

use super::Fault;
use bytes::{Buf, Bytes};
use combine::parser::combinator::AnySendSyncPartialState;
use combine::stream::{Decoder, PointerOffset};
use redis::{Cmd, Value};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf};

/// What is asked of the kernel at once: the parser by itself asks for 64 bytes.
const READ: usize = 16 * 1024;
/// A larger value leaves a parser behind whose buffer nobody needs.
const BUFFER_KEPT: usize = 256 * 1024;

/// Where the parser is in the stream, and what it has read ahead.
type Parser = Decoder<AnySendSyncPartialState, PointerOffset<[u8]>>;

/// A connection that carries values.
pub(super) struct Link<S> {
    stream: Counted<S>,
    parser: Parser,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// `value_bytes_max` is what may be read for one value: a peer that goes beyond is broken, and must not take our memory along.
    pub(super) fn new(stream: S, value_bytes_max: usize) -> Self {
        Self {
            stream: Counted {
                stream: BufReader::with_capacity(READ, stream),
                ahead: Bytes::new(),
                value: 0,
                value_max: value_bytes_max,
                heard: 0,
                fault: None,
            },
            parser: Parser::new(),
        }
    }

    /// Sends a command.
    pub(super) async fn say(&mut self, command: &Cmd) -> Result<(), Fault> {
        self.stream.stream.write_all(&command.get_packed_command()).await?;
        self.stream.stream.flush().await?;
        Ok(())
    }

    /// The next value. Dropping it loses nothing: what arrived is with the parser.
    pub(super) async fn value(&mut self) -> Result<Value, Fault> {
        let read = redis::parse_redis_value_async(&mut self.parser, &mut self.stream).await;
        let value = read.map_err(|_| {
            // The parser's own words repeat what it could not read, which may be anybody's.
            self.stream.fault.take().unwrap_or(Fault::NotRedis)
        })?;
        if std::mem::take(&mut self.stream.value) > BUFFER_KEPT {
            self.stream.ahead = Bytes::copy_from_slice(self.parser.buffer());
            self.parser = Parser::new();
        }
        Ok(value)
    }

    /// Bytes that have come so far.
    pub(super) fn heard(&self) -> u64 {
        self.stream.heard
    }
}

/// A stream whose bytes are counted as they are read.
struct Counted<S> {
    stream: BufReader<S>,
    /// What a parser before had read ahead.
    ahead: Bytes,
    /// Bytes read since the last value was whole.
    value: usize,
    value_max: usize,
    heard: u64,
    /// Why there is no more.
    fault: Option<Fault>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
            return Poll::Ready(Ok(()));
        }
        if self.value > self.value_max {
            let fault = Fault::TooLarge(self.value_max);
            return self.ends(fault);
        }
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(context, buffer)) {
            return self.ends(Fault::Io(error));
        }
        let read = buffer.filled().len() - before;
        if read == 0 {
            return self.ends(Fault::Closed);
        }
        self.value += read;
        self.heard += read as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S> Counted<S> {
    /// The end, for the parser as well.
    fn ends(&mut self, fault: Fault) -> Poll<io::Result<()>> {
        self.fault = Some(fault);
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
}
