//! How a stream to the server comes about: TCP, and TLS over it where the address asks for it.

use crate::{DialError, Options, ServerUrl};
use futures_util::future::{BoxFuture, FutureExt};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A stream of bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A stream to the server, plain or not.
pub(crate) type Stream = Box<dyn Duplex>;

/// Makes a new stream each time it is called. Dropped midway, it leaves nothing behind.
pub(crate) type Dial = Arc<dyn Fn() -> BoxFuture<'static, Result<Stream, DialError>> + Send + Sync>;

/// Dials the server at `url`.
pub(crate) fn dialer(options: &Options, url: &ServerUrl) -> Dial {
    let (url, tls) = (url.clone(), options.tls.clone());
    Arc::new(move || {
        let (url, tls) = (url.clone(), tls.clone());
        async move {
            let unreachable = |cause| DialError::Unreachable { url: url.clone(), cause };
            let stream = TcpStream::connect((url.host(), url.port())).await.map_err(unreachable)?;
            // Frames are small and answer something: none may wait for the next one.
            stream.set_nodelay(true).map_err(unreachable)?;
            if !url.is_secure() {
                return Ok(Box::new(stream) as Stream);
            }
            let no_tls = |cause| DialError::Tls { url: url.clone(), cause };
            let name = ServerName::try_from(url.host().to_owned()).map_err(|error| no_tls(io::Error::other(error)))?;
            let stream = TlsConnector::from(tls.config()).connect(name, stream).await.map_err(no_tls)?;
            Ok(Box::new(stream) as Stream)
        }
        .boxed()
    })
}
