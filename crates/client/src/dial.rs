//! How a stream to the server comes about: TCP, the way through a proxy if there is one, and TLS over it where the address asks for it.

use crate::proxy::{Kind, Proxies, Proxy};
use crate::{DialError, Options, ProxyError, ServerUrl, Tls};
use futures_util::future::{BoxFuture, Either, FutureExt, select};
use http::{Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// The longest head of an answer taken from a proxy.
const PROXY_HEAD_BYTES_MAX: usize = 16 << 10;

/// A stream of bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// A stream to the server, plain or not.
pub(crate) type Stream = Box<dyn Duplex>;

/// Makes a new stream each time it is called. Dropped midway, it leaves nothing behind.
pub(crate) type Dial = Arc<dyn Fn() -> BoxFuture<'static, Result<Stream, DialError>> + Send + Sync>;

/// Dials the server at `url`, as `options` say. The environment is read now, and not again.
pub(crate) fn dialer(options: &Options, url: &ServerUrl) -> Dial {
    to(url, Dialer::new(&options.tls, Proxies::new(options.proxy)))
}

fn to(url: &ServerUrl, dialer: Dialer) -> Dial {
    // Proxies for `http` and `https` are those for `ws` and `wss` too.
    let address: Uri = url.join("http", "https", "/").parse().expect("a server's address is a URL");
    let url = url.clone();
    Arc::new(move || {
        let (url, address, dialer) = (url.clone(), address.clone(), dialer.clone());
        async move {
            dialer.stream(&address).await.map_err(|failure| match failure {
                Failure::Unreachable(cause) => DialError::Unreachable { url, cause },
                Failure::Proxy(cause) => DialError::Proxy(cause),
                Failure::Tls(cause) => DialError::Tls { url, cause },
            })
        }
        .boxed()
    })
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error(transparent)]
    Proxy(ProxyError),
    #[error("no TLS: {0}")]
    Tls(io::Error),
}

/// Makes streams to any address.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    tls: Tls,
    proxies: Proxies,
}

impl Dialer {
    pub(crate) fn new(tls: &Tls, proxies: Proxies) -> Self {
        Self { tls: tls.clone(), proxies }
    }

    /// The proxy on the way to `address`.
    pub(crate) fn proxy_to(&self, address: &Uri) -> Option<Proxy> {
        self.proxies.to(address)
    }

    /// A stream to the server at `address`, an `http` or `https` URL.
    pub(crate) async fn stream(&self, address: &Uri) -> Result<Stream, Failure> {
        let target = host_and_port(address);
        let stream = match self.proxy_to(address) {
            Some(proxy) => self.through(&proxy, &target).await.map_err(Failure::Proxy)?,
            None => tcp(&target).await.map_err(Failure::Unreachable)?,
        };
        if is_secure(address) { self.secured(stream, address.host().unwrap_or_default()).await.map_err(Failure::Tls) } else { Ok(stream) }
    }

    /// A stream to the proxy itself.
    pub(crate) async fn stream_to_proxy(&self, proxy: &Proxy) -> Result<Stream, ProxyError> {
        if proxy.kind() == Kind::Other {
            return Err(proxy.unsupported());
        }
        let stream = tcp(&format!("{}:{}", proxy.host(), proxy.port())).await.map_err(|cause| proxy.unreachable(cause))?;
        match proxy.kind() {
            Kind::Secure => self.secured(stream, proxy.host()).await.map_err(|cause| proxy.no_tls(cause)),
            Kind::Plain | Kind::Socks5 | Kind::Other => Ok(stream),
        }
    }

    async fn through(&self, proxy: &Proxy, target: &str) -> Result<Stream, ProxyError> {
        let stream = self.stream_to_proxy(proxy).await?;
        match proxy.kind() {
            Kind::Socks5 => socks(proxy, stream, target).await,
            Kind::Plain | Kind::Secure | Kind::Other => connect(proxy, stream, target).await,
        }
    }

    async fn secured(&self, stream: Stream, host: &str) -> io::Result<Stream> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(self.tls.config()).connect(name, stream).await?))
    }
}

fn is_secure(address: &Uri) -> bool {
    address.scheme() == Some(&http::uri::Scheme::HTTPS)
}

/// Host and port, with the scheme's port if the address has none.
fn host_and_port(address: &Uri) -> String {
    let port = address.port_u16().unwrap_or(if is_secure(address) { 443 } else { 80 });
    format!("{}:{port}", address.host().unwrap_or_default())
}

/// Connects to the first address of the host that takes it, IPv4 and IPv6 side by side.
async fn tcp(target: &str) -> io::Result<Stream> {
    let address: Uri = format!("http://{target}/").parse().map_err(io::Error::other)?;
    let mut connector = HttpConnector::new();
    // Frames are small and answer something: none may wait for the next one.
    connector.set_nodelay(true);
    match connector.call(address).await {
        Ok(stream) => Ok(Box::new(stream.into_inner())),
        Err(error) => Err(innermost(&error)),
    }
}

/// The I/O error at the root, which says more than what is around it.
fn innermost(error: &(dyn Error + 'static)) -> io::Error {
    let mut found = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        found = error.downcast_ref::<io::Error>().or(found);
        cause = error.source();
    }
    found.map_or_else(|| io::Error::other(error.to_string()), copy)
}

/// The same error once more, as the system reported it.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Has an HTTP proxy lead to `target`.
async fn connect(proxy: &Proxy, stream: Stream, target: &str) -> Result<Stream, ProxyError> {
    let broken = |error: hyper::Error| proxy.broken(&root(&error));
    let mut request = Request::connect(target).header(header::HOST, target);
    if let Some(auth) = proxy.basic_auth() {
        request = request.header(header::PROXY_AUTHORIZATION, auth);
    }
    let request = request.body(Empty::<&[u8]>::new()).map_err(|error| proxy.broken(&error.to_string()))?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(PROXY_HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(proxy.refused(target, answer.status()));
        }
        hyper::upgrade::on(answer).await.map_err(broken)
    };
    let upgraded = match select(pin!(asked), pin!(connection.with_upgrades())).await {
        Either::Left((upgraded, _)) => upgraded?,
        // That the connection has ended is known to who waits for its answer.
        Either::Right((_, asked)) => asked.await?,
    };
    let parts = upgraded.downcast::<TokioIo<Stream>>().map_err(|_| proxy.broken("the stream is lost"))?;
    // On all that is spoken here it is the client who speaks first.
    if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(proxy.broken("it sent more than an answer")) }
}

/// Has a SOCKS proxy lead to `target`.
async fn socks(proxy: &Proxy, stream: Stream, target: &str) -> Result<Stream, ProxyError> {
    let failed = |reason: String| proxy.socks_failed(target, reason);
    let there = Uri::try_from(target).map_err(|error| failed(error.to_string()))?;
    let mut socks = SocksV5::new(Uri::default(), Once(Some(TokioIo::new(stream))));
    if let Some((user, password)) = proxy.raw_auth() {
        socks = socks.with_auth(user.to_owned(), password.to_owned());
    }
    socks.call(there).await.map(TokioIo::into_inner).map_err(|error| failed(error.to_string()))
}

/// Hands out the stream that there is already, so that its errors are told apart from those of SOCKS.
struct Once(Option<TokioIo<Stream>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Stream>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(Ok(self.0.take().expect("a handshake takes one stream")))
    }
}

/// The innermost cause of an error of hyper's, which says more than what is around it.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
