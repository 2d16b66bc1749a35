//! A connection's socket: plain TCP, a unix socket, TLS that the shard itself encrypts, or the way from the service.

use super::tls::TlsSocket;
use mio::net::{TcpStream, UnixStream};
use std::io::{self, IoSlice, Read, Write};

/// What carries the bytes. Nothing here waits.
pub(crate) enum Socket {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsSocket>),
    /// The way from the service beside the shards, for one request.
    Tunnel {
        stream: UnixStream,
        /// Whether its client came over TLS.
        tls: bool,
    },
    /// Nothing: what the connection is owed waits for another's.
    Away {
        /// Whether its client came over TLS.
        tls: bool,
    },
}

impl Socket {
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::Away { .. } => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether one read that gave fewer bytes than there was room for has emptied the socket.
    pub(crate) fn short_read_is_last(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Says that nothing more will be written; the peer can still be read.
    pub(crate) fn finish(&mut self) {
        let result = match self {
            Self::Plain(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.shutdown(std::net::Shutdown::Write),
            Self::Tls(tls) => tls.finish(),
            Self::Away { .. } => Ok(()),
        };
        // It fails only where the peer is gone already.
        let _ = result;
    }

    /// Has the kernel throw away what the peer does not take, and reset the connection, when the socket is dropped.
    pub(crate) fn reset_on_close(&self) {
        let stream = match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream(),
            Self::Unix(_) | Self::Tunnel { .. } | Self::Away { .. } => return,
        };
        let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Tunnel { tls: true, .. } | Self::Away { tls: true })
    }
}

/// Takes what the kernel takes at once. Flushing writes what encryption holds back: `WouldBlock` while the kernel has no room for all of it.
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::Away { .. } => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.write_vectored(slices),
            Self::Tls(tls) => tls.write_vectored(slices),
            Self::Away { .. } => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.flush(),
            Self::Plain(_) | Self::Unix(_) | Self::Tunnel { .. } | Self::Away { .. } => Ok(()),
        }
    }
}

impl mio::event::Source for Socket {
    fn register(&mut self, registry: &mio::Registry, token: mio::Token, interests: mio::Interest) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.register(registry, token, interests),
            Self::Tls(tls) => tls.stream_mut().register(registry, token, interests),
            Self::Away { .. } => Ok(()),
        }
    }

    fn reregister(&mut self, registry: &mio::Registry, token: mio::Token, interests: mio::Interest) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.reregister(registry, token, interests),
            Self::Tls(tls) => tls.stream_mut().reregister(registry, token, interests),
            Self::Away { .. } => Ok(()),
        }
    }

    fn deregister(&mut self, registry: &mio::Registry) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.deregister(registry),
            Self::Unix(stream) | Self::Tunnel { stream, .. } => stream.deregister(registry),
            Self::Tls(tls) => tls.stream_mut().deregister(registry),
            Self::Away { .. } => Ok(()),
        }
    }
}
