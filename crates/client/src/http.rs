//! One client for HTTP/1.1 requests, with proxies, a limit of time and a limit on what is answered. It follows no redirects.

use crate::dial::{Dialer, Failure, Stream, copy, root};
use crate::proxy::Proxies;
use crate::{ProxyChoice, ProxyError, Tls};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// How long a connection is kept for the next request: less than the 5 s after which servers commonly hang up (Node's do), so that
/// hardly a request meets a connection that is being closed.
const IDLE: Duration = Duration::from_secs(4);
/// The longest head of an answer taken, give or take what comes with one read.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nobody takes the connection.
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    /// TLS did not come about.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// The proxy on the way does not lead there.
    #[error(transparent)]
    Proxy(ProxyError),
    /// It took longer than it may.
    #[error("it took too long")]
    TimedOut,
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// The connection broke, or what came is no HTTP. The server may have acted on the request.
    #[error("{0}")]
    Failed(String),
}

/// A client for HTTP/1.1. Its clones share the connections that wait for the next request.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    dialer: Dialer,
    client: Client<Connector, Full<Bytes>>,
}

impl HttpClient {
    pub(crate) fn new(tls: &Tls, proxy: ProxyChoice) -> Self {
        Self::through(Proxies::new(proxy), tls)
    }

    pub(crate) fn through(proxies: Proxies, tls: &Tls) -> Self {
        let dialer = Dialer::new(tls, proxies);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(Connector(dialer.clone()));
        Self { dialer, client }
    }

    /// Sends `request`, whose address is an `http` or `https` URL, and takes the whole answer, whatever its status. Both together may take
    /// `timeout`, the answer's body may have `answer_bytes_max`.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole answer. A request is sent again by itself only if nothing of it had left.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        timeout: Duration,
        answer_bytes_max: usize,
    ) -> Result<Response<Bytes>, HttpError> {
        let proxy = self.dialer.proxy_to(request.uri()).filter(|proxy| proxy.sends_on(request.uri()));
        if let Some(auth) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, auth);
        }
        let answer = tokio::time::timeout(timeout, self.answer(request, answer_bytes_max)).await.map_err(|_| HttpError::TimedOut)??;
        match proxy {
            // Nobody but a proxy says so.
            Some(proxy) if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Err(HttpError::Proxy(ProxyError::Unauthorized { proxy: proxy.to_string() }))
            }
            _ => Ok(answer),
        }
    }

    async fn answer(&self, request: Request<Full<Bytes>>, answer_bytes_max: usize) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.client.request(request).await.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, answer_bytes_max).collect().await;
        let body =
            body.map_err(|error| if error.is::<LengthLimitError>() { HttpError::TooLong } else { HttpError::Failed(root(&*error)) })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

fn failed(error: &legacy::Error) -> HttpError {
    let source = error.source();
    if let Some(failure) = source.and_then(|source| source.downcast_ref::<Failure>()) {
        return match failure {
            Failure::Unreachable(cause) => HttpError::Unreachable(copy(cause)),
            Failure::Proxy(cause) => HttpError::Proxy(cause.clone()),
            Failure::Tls(cause) => HttpError::Tls(copy(cause)),
        };
    }
    match source.and_then(|source| source.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse_too_large() => HttpError::TooLong,
        _ => HttpError::Failed(root(error)),
    }
}

/// Makes the connections of an [`HttpClient`].
#[derive(Clone, Debug)]
struct Connector(Dialer);

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Wire, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let dialer = self.0.clone();
        async move {
            match dialer.proxy_to(&address).filter(|proxy| proxy.sends_on(&address)) {
                Some(proxy) => {
                    let stream = dialer.stream_to_proxy(&proxy).await.map_err(Failure::Proxy)?;
                    Ok(Wire { stream: TokioIo::new(stream), sent_on: true })
                }
                None => Ok(Wire { stream: TokioIo::new(dialer.stream(&address).await?), sent_on: false }),
            }
        }
        .boxed()
    }
}

/// A connection to a server, or to a proxy that sends requests on.
struct Wire {
    stream: TokioIo<Stream>,
    sent_on: bool,
}

impl Connection for Wire {
    /// A proxy that sends requests on is told the whole address.
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.sent_on)
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
