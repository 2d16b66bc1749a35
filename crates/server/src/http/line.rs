//! A connection as the service beside the shards has it: a socket of any kind, and what was read before anybody asked for it.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A socket of the service.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection. Who answers on it and who asks whether its peer is still there are one task, so the lock is never waited for.
#[derive(Clone)]
pub(super) struct Line(Arc<Mutex<Ends>>);

struct Ends {
    /// `None` once it was taken.
    stream: Option<Stream>,
    /// What was read and nobody has asked for yet.
    ahead: Bytes,
}

impl Line {
    /// A socket with the bytes in front that were read before the service got it.
    pub(super) fn new(stream: Stream, read: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Ends { stream: Some(stream), ahead: read.into() })))
    }

    /// Takes the socket out. `None` if it is gone, or if something was read that nobody has asked for.
    pub(super) fn take(&self) -> Option<Stream> {
        let mut ends = self.ends();
        if ends.ahead.is_empty() { ends.stream.take() } else { None }
    }

    /// Looks whether the peer is gone, which nobody sees as long as it is only answered. What came instead is kept, and the next who reads
    /// gets it; a peer that asks for more is there.
    pub(super) fn is_gone(&self, cx: &mut Context<'_>) -> bool {
        let mut ends = self.ends();
        if !ends.ahead.is_empty() {
            return false;
        }
        let Some(stream) = &mut ends.stream else { return true };
        let mut bytes = [0; 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        match stream.poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Err(_)) => return true,
            Poll::Ready(Ok(())) => {}
        }
        ends.ahead = Bytes::copy_from_slice(buffer.filled());
        ends.ahead.is_empty()
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, call: impl FnOnce(&mut Stream) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.ends().stream {
            Some(stream) => call(stream),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ends = self.ends();
        if !ends.ahead.is_empty() {
            let len = ends.ahead.len().min(buffer.remaining());
            buffer.put_slice(&ends.ahead.split_to(len));
            return Poll::Ready(Ok(()));
        }
        match &mut ends.stream {
            Some(stream) => stream.poll_read(cx, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| match stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| match stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| match stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        })
    }
}
