//! The way from the service to a shard, for requests that only a shard can answer: a pair of sockets, one end of which is an ordinary arrival
//! there. What the shard answers is sent back as it comes.

use super::line::Line;
use super::mount;
use crate::listener::{Listener, NodeGuard, Peer, assign};
use crate::node::Node;
use crate::shard::socket::Socket;
use crate::shard::{Arrival, Command};
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::net::UnixStream;

/// What concerns one connection alone, and not the request (RFC 9110, 7.6.1), beside what is said anew of the body.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

type Connection = http1::Connection<TokioIo<UnixStream>, Full<Bytes>>;

/// Why a request did not reach a shard, or its answer did not come back whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("no descriptor is left for the way to a shard")]
    Full,
    #[error("no way to a shard: {0}")]
    NoWay(#[from] io::Error),
    #[error("the shard did not answer: {0}")]
    NoAnswer(#[from] hyper::Error),
    #[error("the client is gone")]
    Gone,
}

/// Who asks.
pub(super) struct Asking {
    pub(super) node: Arc<Node>,
    pub(super) listener: Arc<Listener>,
    pub(super) address: Option<IpAddr>,
    pub(super) hop: Option<IpAddr>,
    pub(super) tls: bool,
    /// The connection, where nobody else sees that the client leaves.
    pub(super) line: Option<Line>,
}

/// The body of a response as a shard writes it. The shard sees it dropped, as it would see its client leave.
pub(super) struct Answering {
    body: Incoming,
    /// Moved on by whoever asks for the body; `None` when it has ended.
    connection: Option<Connection>,
    line: Option<Line>,
    _guard: NodeGuard,
}

impl Asking {
    /// Sends a request to a shard; gives the response as soon as it begins.
    ///
    /// # Errors
    /// [`Broken`]: what became of the request is not known, unless it is [`Broken::Full`].
    pub(super) async fn ask(self, request: Request<Bytes>) -> Result<Response<Answering>, Broken> {
        let (stream, guard) = self.way(&request)?;
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut ended = false;
        let response = {
            let mut asked = pin!(sender.send_request(of_the_shard(request)));
            poll_fn(|cx| {
                ended = ended || Pin::new(&mut connection).poll(cx).is_ready();
                asked.as_mut().poll(cx)
            })
            .await?
        };
        let (mut head, body) = response.into_parts();
        OF_THE_CONNECTION.iter().for_each(|name| drop(head.headers.remove(name)));
        let connection = (!ended).then_some(connection);
        Ok(Response::from_parts(head, Answering { body, connection, line: self.line, _guard: guard }))
    }

    /// Sends a handshake to a shard. If it is accepted the two connections become one, for as long as both last.
    ///
    /// # Errors
    /// As [`Asking::ask`].
    pub(super) async fn upgrade(self, request: &mut Request<Incoming>, held: Arc<NodeGuard>) -> Result<Response<Full<Bytes>>, Broken> {
        let asked = {
            let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
            let mut asked = Request::new(Bytes::new());
            (*asked.method_mut(), *asked.uri_mut(), *asked.headers_mut()) = (method, uri, headers);
            asked
        };
        let (stream, guard) = self.way(&asked)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let carried = self.node.runtime.spawn(connection.with_upgrades());
        let mut response = sender.send_request(asked.map(Full::new)).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let (client, shard) = (hyper::upgrade::on(request), hyper::upgrade::on(&mut response));
            self.node.runtime.spawn(async move {
                if let (Ok(client), Ok(shard)) = tokio::join!(client, shard) {
                    // It ends when either end does, and how is nobody's concern.
                    let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(shard)).await;
                }
                drop((carried, held, guard));
            });
            return Ok(response.map(|_| Full::default()));
        }
        let (mut head, body) = response.into_parts();
        OF_THE_CONNECTION.iter().for_each(|name| drop(head.headers.remove(name)));
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }

    /// Opens a way to the shard that has the session, or to any. Both ends are descriptors, and count as such.
    fn way(&self, request: &Request<Bytes>) -> Result<(UnixStream, NodeGuard), Broken> {
        if self.node.connections.load(Ordering::Relaxed) >= self.node.sockets_max {
            return Err(Broken::Full);
        }
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let arrival = Arrival {
            socket: Socket::Tunnel { stream: mio::net::UnixStream::from_std(theirs), tls: self.tls },
            peer: Peer { address: self.address, hop: self.hop, guards: Vec::new() },
            listener: Arc::clone(&self.listener),
            guard: NodeGuard::new(&self.node),
            read: Vec::new(),
            upgraded: None,
            begun: true,
        };
        match self.shard(request) {
            Some(shard) => self.node.shards[shard].command(Command::Open(Box::new(arrival))),
            None => assign(&self.node, arrival),
        }
        Ok((UnixStream::from_std(ours)?, NodeGuard::new(&self.node)))
    }

    fn shard(&self, request: &Request<Bytes>) -> Option<usize> {
        let path = self.listener.strip(request.uri().path());
        let (mount, found) = self.listener.mounts.iter().find_map(|mount| Some((mount, mount.find(path)?)))?;
        let route = mount.service.route(request.method().as_str(), found.below).ok()?;
        Some(self.node.shard_of(mount.number, &mount::session_name(&found, &route)?))
    }
}

/// What came of a body, until it is over or larger than `max`: a shard that gets one byte too many says so itself.
pub(super) async fn beginning(body: &mut Incoming, max: usize) -> Result<Bytes, hyper::Error> {
    let mut taken = BytesMut::new();
    while taken.len() <= max {
        let Some(frame) = body.frame().await.transpose()? else { break };
        if let Ok(data) = frame.into_data() {
            taken.extend_from_slice(&data);
        }
    }
    Ok(taken.freeze())
}

/// The request as HTTP/1.1 wants it.
fn of_the_shard(request: Request<Bytes>) -> Request<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    OF_THE_CONNECTION.iter().chain(&[header::CONTENT_LENGTH]).for_each(|name| drop(head.headers.remove(name)));
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.entry(header::HOST).or_insert(host);
    }
    let target = head.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    head.uri = target.into();
    head.version = http::Version::HTTP_11;
    join_cookies(&mut head.headers);
    Request::from_parts(head, Full::new(body))
}

/// HTTP/2 may bring cookies one by one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if this.connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(cx).is_ready()) {
            this.connection = None;
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending if this.line.as_ref().is_some_and(|line| line.is_gone(cx)) => Poll::Ready(Some(Err(Broken::Gone))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Broken::from))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
