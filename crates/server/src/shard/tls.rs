//! TLS on a shard: rustls as a state machine between the session's bytes and a socket that never waits.

use mio::net::TcpStream;
use rustls::ServerConnection;
use std::io::{self, IoSlice, Read, Write};

/// Plaintext is handed over only while fewer ciphertext bytes than this wait for the kernel.
const CIPHERTEXT_MAX: usize = 16 * 1024;

/// A socket whose handshake is done.
pub(crate) struct TlsSocket {
    stream: TcpStream,
    tls: ServerConnection,
    eof: bool,
}

impl TlsSocket {
    pub(crate) fn new(stream: TcpStream, mut tls: ServerConnection) -> Self {
        tls.set_buffer_limit(Some(CIPHERTEXT_MAX));
        Self { stream, tls, eof: false }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.eof => {}
                // A peer that leaves without saying so is no worse than one that closes TCP.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                result => return result,
            }
            if self.tls.read_tls(&mut self.stream)? == 0 {
                self.eof = true;
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The alert that says why is worth a try.
                let _ = self.tls.write_tls(&mut self.stream);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            // Renewed keys and the like are answered at once.
            match self.flush() {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let mut taken = 0;
        for slice in slices {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                let wrote = self.tls.writer().write(rest)?;
                taken += wrote;
                rest = &rest[wrote..];
                match self.flush() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
                    result => result?,
                }
                if wrote == 0 {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        self.flush()?;
        self.stream.shutdown(std::net::Shutdown::Write)
    }
}
