//! The service beside the shards: every request that is neither an upgrade nor a small publish, over HTTP/1.1 and HTTP/2.

use super::line::{Line, Stream};
use super::relayed;
use super::response::Answer;
use super::tunnel::{self, Answering, Asking, Broken};
use crate::api::pushi::RestRequest;
use crate::api::{self, ApiRequest, Caller as ApiCaller};
use crate::config::Dialect;
use crate::connection::Spoken;
use crate::listener::{Listener, NodeGuard, Peer, assign};
use crate::node::{Node, RelayService};
use crate::page;
use crate::shard::socket::Socket;
use crate::shard::tls::TlsSocket;
use crate::shard::{Arrival, Upgraded};
use crate::transport::websocket::handshake::{self, Upgrade};
use anyhow::Context;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// What is read of a body that is too large, so that its sender sees the answer.
const PASSED_OVER_MAX: usize = 64 * 1024 * 1024;
const PASSED_OVER_TIME: Duration = Duration::from_secs(2);
/// Streams of one HTTP/2 connection at once.
const HTTP2_STREAMS: u32 = 64;
/// What the service buffers of one connection.
const BUFFER_MAX: usize = 64 * 1024;

/// The body of a response: one that is whole, or one that a shard goes on with.
type Body = Either<Full<Bytes>, Box<Answering>>;

/// What the requests of one connection share.
#[derive(Clone)]
struct Caller {
    node: Arc<Node>,
    listener: Arc<Listener>,
    peer: Arc<std::sync::Mutex<Peer>>,
    tls: bool,
    /// The connection, if one request is on it at a time.
    line: Option<Line>,
}

/// Takes a connection over from a shard.
pub(crate) fn take_over(node: &Arc<Node>, arrival: Arrival) {
    let Arrival { socket, peer, listener, guard, read, .. } = arrival;
    let _inside = node.runtime.enter();
    let stream = match socket {
        Socket::Plain(stream) => TcpStream::from_std(stream.into()).map(Stream::Tcp),
        Socket::Unix(stream) => UnixStream::from_std(stream.into()).map(Stream::Unix),
        // Such a connection began here and came to the shard for what only shards answer, and then asked for something else.
        Socket::Tls(_) | Socket::Tunnel { .. } | Socket::Away { .. } => return,
    };
    match stream {
        Ok(stream) => serve_http1(node, stream, read, peer, listener, guard),
        Err(error) => tracing::warn!(%error, "a socket could not be handed over"),
    }
}

/// Serves HTTP/1.1, starting with what was read.
pub(crate) fn serve_http1(node: &Arc<Node>, stream: Stream, read: Vec<u8>, peer: Peer, listener: Arc<Listener>, guard: NodeGuard) {
    let tls = matches!(stream, Stream::Tls(_));
    let line = Line::new(stream, read);
    let io = TokioIo::new(line.clone());
    let caller = Caller { node: Arc::clone(node), listener, peer: Arc::new(std::sync::Mutex::new(peer)), tls, line: Some(line) };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(node.limits.idle_timeout).max_buf_size(BUFFER_MAX).half_close(true);
    builder.keep_alive(!node.is_draining());
    let mut drained = node.drained();
    let guard = Arc::new(guard);
    node.runtime.spawn(async move {
        let held = Arc::clone(&guard);
        let service = service_fn(move |request| respond(caller.clone(), Arc::clone(&held), request));
        let mut connection = std::pin::pin!(builder.serve_connection(io, service).with_upgrades());
        tokio::select! {
            // What was read before is begun first: it would not be answered otherwise.
            biased;
            _ = connection.as_mut() => return,
            _ = drained.wait_for(|drained| *drained) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
        drop(guard);
    });
}

/// Serves HTTP/2.
pub(crate) fn serve_http2(node: &Arc<Node>, stream: TlsStream<TcpStream>, peer: Peer, listener: Arc<Listener>, guard: NodeGuard) {
    let caller = Caller { node: Arc::clone(node), listener, peer: Arc::new(std::sync::Mutex::new(peer)), tls: true, line: None };
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let patience = node.limits.idle_timeout;
    builder.timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS).max_header_list_size(16 * 1024);
    builder.keep_alive_interval(Some(patience)).keep_alive_timeout(node.limits.header_timeout);
    let mut drained = node.drained();
    let guard = Arc::new(guard);
    node.runtime.spawn(async move {
        let held = Arc::clone(&guard);
        let service = service_fn(move |request| respond(caller.clone(), Arc::clone(&held), request));
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = drained.wait_for(|drained| *drained) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
        drop(guard);
    });
}

async fn respond(caller: Caller, guard: Arc<NodeGuard>, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let rest = caller.listener.strip(&path);
    let mount = caller.listener.mounts.iter().find(|mount| mount.find(rest).is_some());
    let is_upgrade = is_upgrade(request.headers()) && request.version() <= http::Version::HTTP_11;
    let is_stream = super::stream_of(&caller.listener, &path).is_some();
    let query = request.uri().query().unwrap_or_default();
    let is_relayed = relayed::claims(&caller.listener, request.method().as_str(), &path, query, is_upgrade);
    Ok(match mount {
        None if is_relayed && is_upgrade => caller.tunnel_upgrade(guard, &mut request).await.map(Either::Left),
        None if is_relayed => caller.tunnel(0, request).await,
        Some(_) if is_upgrade => caller.tunnel_upgrade(guard, &mut request).await.map(Either::Left),
        Some(mount) => caller.tunnel(mount.service.settings().request_bytes, request).await,
        None if is_upgrade => upgrade(caller, guard, &mut request).map(Either::Left),
        None if is_stream => caller.tunnel(0, request).await,
        None => caller.route(rest, &path, request).await.map(Either::Left),
    })
}

impl Caller {
    /// Decides who answers; the order is that of the listener's dialects.
    async fn route(&self, rest: &str, path: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let pusher = self.listener.speaks(&Dialect::Pusher);
        let pushi = self.listener.speaks(&Dialect::PushiApi);
        let read_only = request.method() == Method::GET || request.method() == Method::HEAD;
        match rest {
            // Whoever may see the statistics of a relay sees the same as numbers for Prometheus (W-9.3).
            "/metrics" if (self.listener.speaks(&Dialect::Metrics) || self.statistics().is_some()) && read_only => {
                self.metrics().await.into_response()
            }
            "/debug/vars" if read_only && self.statistics().is_some() => self.vars().await.into_response(),
            "/ready" if read_only => self.ready().await.into_response(),
            "/health" if read_only && !pushi => self.health().into_response(),
            _ if pusher && rest.starts_with("/app/") => upgrade_required().into_response(),
            // Both APIs have paths under /apps; a request of Pusher's is signed.
            _ if pusher && (rest.starts_with("/apps/") || rest.starts_with("/users/")) && (!pushi || is_signed(request.uri())) => {
                self.api(path, request).await.into_response()
            }
            _ if self.listener.config.speaks_pushy() && tidings_dialect::pushy::api::is_trigger(rest) => {
                self.trigger(rest, request).await.into_response()
            }
            "/" if self.listener.speaks(&Dialect::Console) => self.console(rest, request).await,
            _ if pushi => self.pushi(rest, request).await.into_response(),
            _ if self.listener.speaks(&Dialect::Console) => self.console(rest, request).await,
            _ => not_found().into_response(),
        }
    }

    /// A request for a session, or for what concerns sessions: shards have those, and all of its answer comes from one. Of a body no more is looked
    /// at than `max` and one byte, which a shard refuses.
    async fn tunnel(&self, max: usize, mut request: Request<Incoming>) -> Response<Body> {
        let body = tokio::time::timeout(self.node.limits.body_timeout, tunnel::beginning(request.body_mut(), max));
        let body = match body.await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return BodyFault::Broken.answer().into_response().map(Either::Left),
            Err(_) => return BodyFault::TooSlow.answer().into_response().map(Either::Left),
        };
        match self.asking().ask(request.map(|_| body)).await {
            Ok(response) => response.map(Box::new).map(Either::Right),
            Err(broken) => untold(&broken).into_response().map(Either::Left),
        }
    }

    /// A handshake in a dialect of SockJS on a connection that has asked for something else before.
    async fn tunnel_upgrade(&self, guard: Arc<NodeGuard>, request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
        self.asking().upgrade(request, guard).await.unwrap_or_else(|broken| untold(&broken).into_response())
    }

    fn asking(&self) -> Asking {
        let (address, hop) = {
            let peer = self.peer();
            (peer.address, peer.hop)
        };
        let (node, listener) = (Arc::clone(&self.node), Arc::clone(&self.listener));
        Asking { node, listener, address, hop, tls: self.tls, line: self.line.clone() }
    }

    /// Whether clients may be sent here. Relays whose Redis is away are named to those who look at them or at everything; it is a reason to
    /// send nobody where there is nothing else.
    /// It lives, whoever else does.
    fn health(&self) -> Answer {
        let checks: String = self.relays().map(|relay| relay.check()).collect();
        Answer::text(200, format!("ok\n{checks}"))
    }

    async fn ready(&self) -> Answer {
        let checks: String = self.relays().map(|relay| relay.check()).collect();
        let dialects = &self.listener.config.dialects;
        let is_relay = |dialect: &Dialect| matches!(dialect, Dialect::Wspush(_) | Dialect::WspushStatistics(_));
        let away = dialects.iter().all(is_relay) && self.relays().any(|relay| !relay.is_connected());
        match self.node.ready().await {
            Err(why) => Answer::text(503, format!("{why}\n{checks}")),
            Ok(()) if away => Answer::text(503, format!("Redis not ready\n{checks}")),
            Ok(()) => Answer::text(200, format!("ready\n{checks}")),
        }
    }

    /// The relays that this listener is about.
    fn relays(&self) -> impl Iterator<Item = &Arc<RelayService>> {
        let listener = &self.listener;
        let about = |relay: &RelayService| listener.speaks(&relay.config.dialect()) || listener.speaks(&relay.config.statistics());
        self.node.relays.iter().filter(move |relay| about(relay) || listener.speaks(&Dialect::Metrics))
    }

    /// The relay whose statistics are told here.
    fn statistics(&self) -> Option<&Arc<RelayService>> {
        self.node.relays.iter().find(|relay| self.listener.speaks(&relay.config.statistics()))
    }

    /// W-9.1. Made where nobody waits: it reads files.
    async fn vars(&self) -> Answer {
        let counts = self.statistics().map(|relay| relay.statistics()).unwrap_or_default();
        let page = tokio::task::spawn_blocking(move || crate::metrics::vars(&counts)).await;
        page.unwrap_or_else(|_| Answer::text(500, &b"The statistics could not be read.\n"[..]))
    }

    /// A trigger of Pushy's publishers.
    async fn trigger(&self, rest: &str, request: Request<Incoming>) -> Answer {
        use tidings_dialect::pushy::api::{Refusal, Request as Asked};
        let (method, query) = (request.method().as_str().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let services: Vec<_> = self.node.pushy.iter().filter(|service| self.listener.speaks(&service.config.dialect())).cloned().collect();
        let max = services.iter().map(|service| service.session.trigger_body_bytes).max().unwrap_or_default();
        let answer = match self.body(request, max).await {
            Err(BodyFault::TooLarge) => Refusal::too_large().answer(),
            Err(BodyFault::TooSlow) => return Answer::text(408, &b"The request took too long to arrive.\n"[..]),
            Err(BodyFault::Broken) => return Answer::text(400, &b"The body of the request did not arrive whole.\n"[..]),
            Ok(_) if tokio::time::timeout(self.node.limits.publish_wait, self.node.room()).await.is_err() => Refusal::busy().answer(),
            Ok(body) => {
                let asked = Asked { method: &method, path: rest, query: &query, content_type: content_type.as_deref(), body: &body };
                self.node.trigger(&services, &asked).await
            }
        };
        self.node.answered.add(answer.status);
        Answer { status: answer.status, ..Answer::json(answer.body.into()) }
    }

    /// A request of Pushi's REST API.
    async fn pushi(&self, rest: &str, request: Request<Incoming>) -> Answer {
        use tidings_dialect::pushi::api::{Refusal, Request as Asked};
        let (method, query) = (request.method().as_str().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (content_type, cookie, session) = (header("content-type"), header("cookie"), header("x-session-id"));
        let (origin, forwarded_for, forwarded_proto) = (header("origin"), header("x-forwarded-for"), header("x-forwarded-proto"));
        let (host, port) = self.host(&request);
        let hop = self.peer().hop;
        let asked = Asked {
            method: &method,
            path: rest,
            query: &query,
            content_type: content_type.as_deref(),
            cookie: cookie.as_deref(),
            session_header: session.as_deref(),
            body: &[],
        };
        let rest = RestRequest {
            request: asked,
            origin: origin.as_deref(),
            address: super::client_address(&self.listener, hop, forwarded_for.as_deref()),
            secure: super::is_secure(&self.listener, self.tls, hop, forwarded_proto.as_deref()),
            host: &host,
            port,
        };
        let max = self.node.pushi_node().body_bytes;
        let body = match self.body(request, max).await {
            Ok(body) => body,
            Err(BodyFault::TooLarge) => return api::pushi::refused_early(&self.node, &rest, Refusal::too_large(max)),
            Err(BodyFault::TooSlow) => return BodyFault::TooSlow.answer(),
            Err(BodyFault::Broken) => return Answer::text(400, &b"The body of the request did not arrive whole.\n"[..]),
        };
        if api::publishes(&method) && tokio::time::timeout(self.node.limits.publish_wait, self.node.room()).await.is_err() {
            return api::pushi::refused_early(&self.node, &rest, Refusal::busy());
        }
        let answer = api::pushi::answer(&self.node, &RestRequest { request: Asked { body: &body, ..asked }, ..rest }).await;
        self.node.answered.add(answer.status);
        answer
    }

    /// Under which host and port the client asks.
    fn host(&self, request: &Request<Incoming>) -> (String, u16) {
        let named = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .and_then(|host| host.parse::<http::uri::Authority>().ok());
        let named = named.or_else(|| request.uri().authority().cloned());
        let port = named.as_ref().and_then(http::uri::Authority::port_u16).unwrap_or(if self.tls { 443 } else { 80 });
        (named.map(|named| named.host().to_owned()).unwrap_or_default(), port)
    }

    /// Made where nobody waits: it reads files.
    async fn metrics(&self) -> Answer {
        let node = Arc::clone(&self.node);
        let page = tokio::task::spawn_blocking(move || crate::metrics::page(&node)).await;
        page.unwrap_or_else(|_| Answer::text(500, &b"The metrics could not be read.\n"[..]))
    }

    /// A request of the Pusher API.
    async fn api(&self, path: &str, request: Request<Incoming>) -> Answer {
        let method = request.method().as_str().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (forwarded_for, library) = (header("x-forwarded-for"), header("x-pusher-library"));
        let caller = ApiCaller { peer: self.peer().address, forwarded_for: forwarded_for.as_deref(), library: library.as_deref() };
        let seen = ApiRequest { method: &method, path, query: &query, body: &[], caller };
        match self.api_body(path, &method, request).await {
            Ok(body) => api::answer(&self.node, &self.listener, &self.node.answered, &ApiRequest { body: &body, ..seen }).await,
            Err(answer) => {
                api::refused(&self.listener, &self.node.answered, &seen, answer.status);
                answer
            }
        }
    }

    /// The body of a request that may be performed now, in the order of P-10.7: its path and method first, then its body.
    async fn api_body(&self, path: &str, method: &str, request: Request<Incoming>) -> Result<Bytes, Answer> {
        use tidings_dialect::pusher::api::{Refusal, route};
        route(method, self.listener.strip(path))?;
        let max = self.node.apps().iter().map(|handle| handle.app.limits.body_bytes).max().unwrap_or_default();
        let body = self.body(request, max).await.map_err(|fault| match fault {
            BodyFault::TooLarge => Refusal::body_too_large(max).into(),
            BodyFault::TooSlow => Answer::text(408, &b"The request took too long to arrive.\n"[..]),
            BodyFault::Broken => Answer::text(400, &b"The body of the request did not arrive whole.\n"[..]),
        })?;
        if api::publishes(method) && tokio::time::timeout(self.node.limits.publish_wait, self.node.room()).await.is_err() {
            return Err(Answer::no_room());
        }
        Ok(body)
    }

    async fn body(&self, request: Request<Incoming>, max: usize) -> Result<Bytes, BodyFault> {
        let mut body = request.into_body();
        if body.size_hint().lower() > max as u64 {
            pass_over(&mut body).await;
            return Err(BodyFault::TooLarge);
        }
        let collected = tokio::time::timeout(self.node.limits.body_timeout, Limited::new(&mut body, max).collect());
        match collected.await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                pass_over(&mut body).await;
                Err(BodyFault::TooLarge)
            }
            Ok(Err(_)) => Err(BodyFault::Broken),
            Err(_) => Err(BodyFault::TooSlow),
        }
    }

    async fn console(&self, rest: &str, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri().authority().map(|name| name.as_str()));
        if !page::is_own_host(&self.listener, host) {
            return Answer::text(403, &b"This page is served under localhost or an address only.\n"[..]).into_response();
        }
        if request.method() != Method::POST {
            return page::get(&self.node, &self.listener, self.tls, rest, request.method()).unwrap_or_else(|| not_found().into_response());
        }
        let from_page = request.headers().contains_key(page::HEADER);
        let Ok(body) = self.body(request, page::BODY_MAX).await else {
            return Answer::text(400, &b"The body is too large or did not arrive.\n"[..]).into_response();
        };
        if tokio::time::timeout(self.node.limits.publish_wait, self.node.room()).await.is_err() {
            return Answer::no_room().into_response();
        }
        page::post(&self.node, rest, from_page, &body).await.unwrap_or_else(not_found).into_response()
    }
}

/// Reads what is left of a body that nobody wants, for a while: a client that is still sending when it is answered may never see the answer.
async fn pass_over(body: &mut Incoming) {
    let rest = async {
        let mut passed = 0;
        while let Some(Ok(frame)) = body.frame().await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > PASSED_OVER_MAX {
                return;
            }
        }
    };
    // Whether it came to its end does not matter.
    let _ = tokio::time::timeout(PASSED_OVER_TIME, rest).await;
}

/// Why a body did not arrive.
enum BodyFault {
    TooLarge,
    TooSlow,
    Broken,
}

impl BodyFault {
    /// For where nothing more is said than that.
    fn answer(&self) -> Answer {
        match self {
            Self::TooLarge => Answer::text(413, &b"The body of the request is too large.\n"[..]),
            Self::TooSlow => Answer::text(408, &b"The request took too long to arrive.\n"[..]),
            Self::Broken => Answer::text(400, &b"The body of the request did not arrive whole.\n"[..]),
        }
    }
}

/// What is answered where a shard did not.
fn untold(broken: &Broken) -> Answer {
    tracing::debug!(error = %broken, "a request did not reach its shard");
    let answer = Answer::text(503, &b"The server could not answer now; try again.\n"[..]);
    Answer { retry_after: Some(1), ..answer }
}

/// Whether a request is signed as Pusher's are.
fn is_signed(uri: &http::Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("auth_key=")))
}

fn not_found() -> Answer {
    Answer::text(404, &b"There is nothing here.\n"[..])
}

/// P-2.1.
fn upgrade_required() -> Answer {
    Answer::text(426, &b"This is a WebSocket endpoint; connect to it with a Pusher client.\n"[..])
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket")
}

/// Brings a connection that asked for other things before to a shard.
fn upgrade(caller: Caller, guard: Arc<NodeGuard>, request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
    let headers: Vec<_> =
        request.headers().iter().map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }).collect();
    let minor = u8::from(request.version() == http::Version::HTTP_11);
    let agreed = match Upgrade::check(request.method().as_str(), minor, &headers) {
        Ok(agreed) => agreed,
        Err(refusal) => {
            let mut response = Answer::text(refusal.status(), format!("{refusal}\n")).into_response();
            for (name, value) in refusal.headers() {
                if let Ok(name) = HeaderName::try_from(*name) {
                    response.headers_mut().append(name, HeaderValue::from_static(value));
                }
            }
            return response;
        }
    };
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let Some(spoken) = Spoken::of(&caller.listener, path, query) else { return not_found().into_response() };
    let deflate = agreed.deflate.filter(|_| caller.node.compression && spoken == Spoken::Pusher);
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::try_from(handshake::accept_key(agreed.key)).expect("base64 is a header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(deflate) = deflate {
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(deflate.answer()));
    }
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The last is what the nearest proxy wrote; those before it may be the client's.
    let last = |name: &str| request.headers().get_all(name).iter().next_back().and_then(|value| value.to_str().ok()).map(str::to_owned);
    let upgraded = Upgraded {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        origin: text("origin"),
        forwarded_proto: last("x-forwarded-proto"),
        deflate,
    };
    let client = super::client_address(&caller.listener, caller.peer().hop, last("x-forwarded-for").as_deref());
    let on_upgrade = hyper::upgrade::on(request);
    caller.node.runtime.clone().spawn(async move {
        let Ok(io) = on_upgrade.await else { return };
        if let Err(error) = caller.bring_to_shard(io, client, upgraded, guard) {
            tracing::debug!(%error, "an upgraded connection was lost");
        }
    });
    response
}

impl Caller {
    fn peer(&self) -> std::sync::MutexGuard<'_, Peer> {
        self.peer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn bring_to_shard(
        &self,
        io: hyper::upgrade::Upgraded,
        client: Option<std::net::IpAddr>,
        upgraded: Upgraded,
        guard: Arc<NodeGuard>,
    ) -> anyhow::Result<()> {
        let parts = io.downcast::<TokioIo<Line>>().map_err(|_| anyhow::anyhow!("the socket is not one of the service's"))?;
        let stream = parts.io.into_inner().take().context("what was read before is read first")?;
        let socket = match stream {
            Stream::Tcp(stream) => Socket::Plain(mio::net::TcpStream::from_std(stream.into_std()?)),
            Stream::Unix(stream) => Socket::Unix(mio::net::UnixStream::from_std(stream.into_std()?)),
            Stream::Tls(stream) => {
                let (stream, tls) = stream.into_inner();
                Socket::Tls(Box::new(TlsSocket::new(mio::net::TcpStream::from_std(stream.into_std()?), tls)))
            }
        };
        let mut peer = std::mem::take(&mut *self.peer());
        if client != peer.address {
            peer.came_through_proxy(client, &self.node, &self.listener)?;
        }
        drop(guard);
        let (listener, guard) = (Arc::clone(&self.listener), NodeGuard::new(&self.node));
        // A copy: a slice would keep the service's whole buffer for the connection's life.
        assign(&self.node, Arrival { socket, peer, listener, guard, read: parts.read_buf.to_vec(), upgraded: Some(upgraded), begun: true });
        Ok(())
    }
}

impl Answer {
    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            }
        }
        response
    }
}
