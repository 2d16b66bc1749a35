//! A small world for deliveries: names, addresses and receivers in memory, so that the clock can be virtual.

use crate::config::Webhooks;
use crate::deliver::guard::{Network, Stream};
use crate::deliver::webhook::Sender;
use crate::deliver::{Clock, Counts, Deliver};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidings_hub::{App, AppId, ChannelName, Fact, FactKind, FactQueue, Key, UnixTime, Webhook};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// What the calendar says when a test begins.
pub(super) const BEGINNING: u64 = 1_700_000_000_000;
pub(super) const SECRET: &str = "tidings-secret";

/// How a receiver answers. When its script is at an end it answers 200.
#[derive(Clone)]
pub(super) enum Answer {
    Status(u16),
    Redirect(&'static str),
    Never,
    /// The connection ends without an answer.
    Hangup,
    /// 200, and a body that does not end.
    Endless,
}

/// A request as a receiver saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Duration,
    pub(super) request_line: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Events as `name channel`, and what distinguishes them.
    pub(super) fn events(&self) -> Vec<String> {
        let json = self.json();
        let text = |event: &serde_json::Value, name: &str| {
            event.get(name).map(|value| format!(" {}", value.as_str().map_or(value.to_string(), str::to_owned)))
        };
        let events = json["events"].as_array().unwrap().iter();
        let further = ["channel", "user_id", "event", "data", "socket_id", "subscription_count"];
        events
            .map(|event| {
                further.iter().filter_map(|name| text(event, name)).fold(event["name"].as_str().unwrap().to_owned(), |all, one| all + &one)
            })
            .collect()
    }

    pub(super) fn secs(&self) -> u64 {
        self.at.as_secs()
    }
}

/// A receiver of webhooks.
#[derive(Clone)]
pub(super) struct Receiver {
    started: Instant,
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
}

impl Receiver {
    pub(super) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            started: Instant::now(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
            arrived: Arc::default(),
        }
    }

    /// The first `count` requests, as soon as they are there.
    pub(super) async fn seen(&self, count: usize) -> Vec<Seen> {
        let enough = async {
            while self.seen.lock().unwrap().len() < count {
                self.arrived.notified().await;
            }
        };
        timeout(Duration::from_secs(3600), enough).await.expect("the requests come within an hour of the virtual clock");
        self.seen.lock().unwrap()[..count].to_vec()
    }

    pub(super) fn seen_so_far(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) async fn serve(self, stream: impl Stream + 'static) {
        let service = service_fn(move |request| self.clone().answer(request));
        // A client that hangs up is part of the tests.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<http_body_util::Either<Full<Bytes>, Endless>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request_line = format!("{} {}", head.method, head.uri);
        self.seen.lock().unwrap().push(Seen { at: self.started.elapsed(), request_line, headers: head.headers, body });
        self.arrived.notify_one();
        let answer = self.script.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
        let (status, location) = match answer {
            Answer::Status(status) => (status, None),
            Answer::Redirect(location) => (302, Some(location)),
            Answer::Never => pending().await,
            Answer::Hangup => return Err(io::Error::other("hangs up")),
            Answer::Endless => return Ok(Response::new(http_body_util::Either::Right(Endless))),
        };
        let mut response = Response::builder().status(status);
        if let Some(location) = location {
            response = response.header("Location", location);
        }
        Ok(response.body(http_body_util::Either::Left(Full::from("thank you"))).unwrap())
    }
}

/// A body that goes on for as long as somebody reads.
pub(super) struct Endless;

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(&[b'x'; 4096])))))
    }
}

/// Names, addresses, and who answers there.
#[derive(Default)]
pub(super) struct World {
    names: HashMap<String, Vec<IpAddr>>,
    receivers: HashMap<SocketAddr, (Receiver, Option<tokio_rustls::TlsAcceptor>)>,
    dialled: Mutex<Vec<SocketAddr>>,
}

impl World {
    pub(super) fn name(mut self, name: &str, addresses: &[&str]) -> Self {
        self.names.insert(name.to_owned(), addresses.iter().map(|address| address.parse().unwrap()).collect());
        self
    }

    /// A receiver at `address`, such as `1.1.1.1:80`.
    pub(super) fn at(mut self, address: &str, receiver: &Receiver) -> Self {
        self.receivers.insert(address.parse().unwrap(), (receiver.clone(), None));
        self
    }

    pub(super) fn at_tls(mut self, address: &str, receiver: &Receiver, tls: tokio_rustls::TlsAcceptor) -> Self {
        self.receivers.insert(address.parse().unwrap(), (receiver.clone(), Some(tls)));
        self
    }

    pub(super) fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(SocketAddr::to_string).collect()
    }
}

type Asked<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Network for World {
    fn resolve(&self, host: &str, port: u16) -> Asked<Vec<SocketAddr>> {
        let found = self.names.get(host).map(|addresses| addresses.iter().map(|&address| SocketAddr::new(address, port)).collect());
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }

    fn dial(&self, address: SocketAddr) -> Asked<Box<dyn Stream>> {
        self.dialled.lock().unwrap().push(address);
        let receiver = self.receivers.get(&address).cloned();
        Box::pin(async move {
            let (receiver, tls) = receiver.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(async move {
                match tls {
                    None => receiver.serve(theirs).await,
                    Some(tls) => {
                        if let Ok(mut stream) = tls.accept(theirs).await {
                            stream.flush().await.ok();
                            receiver.serve(stream).await;
                        }
                    }
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// Deliveries under test: facts can be told, apps can be changed.
pub(super) struct Bench {
    pub(super) deliver: Deliver,
    facts: Arc<FactQueue>,
    apps: Arc<Mutex<HashMap<AppId, Arc<App>>>>,
}

impl Bench {
    pub(super) fn new(world: &Arc<World>, apps: impl IntoIterator<Item = App>) -> Self {
        Self::with(world, apps, &crate::deliver::webhook::public_tls(), settings())
    }

    pub(super) fn with(world: &Arc<World>, apps: impl IntoIterator<Item = App>, tls: &rustls::ClientConfig, settings: Webhooks) -> Self {
        let started = Instant::now();
        let calendar = move || UnixTime::from_millis(BEGINNING + u64::try_from(started.elapsed().as_millis()).unwrap());
        let facts = Arc::new(FactQueue::new(100_000));
        let apps: Arc<Mutex<HashMap<_, _>>> = Arc::new(Mutex::new(apps.into_iter().map(|app| (app.id.clone(), Arc::new(app))).collect()));
        let lookup = {
            let apps = Arc::clone(&apps);
            move |id: &AppId| apps.lock().unwrap().get(id).cloned()
        };
        let sender = Sender::new(Arc::clone(world) as Arc<dyn Network>, tls, settings.timeout);
        let clock = Clock { started, calendar: Box::new(calendar) };
        let deliver = Deliver::start_with(&Handle::current(), Arc::clone(&facts), lookup, settings, sender, clock);
        Self { deliver, facts, apps }
    }

    pub(super) fn tell(&self, channel: &str, kind: FactKind) {
        self.tell_of("a", channel, kind);
    }

    pub(super) fn tell_of(&self, app: &str, channel: &str, kind: FactKind) {
        let channel = ChannelName::parse(channel).unwrap();
        self.facts.push(Fact { app: AppId::new(app), channel, serial: 0, kind });
    }

    pub(super) fn set(&self, app: App) {
        self.apps.lock().unwrap().insert(app.id.clone(), Arc::new(app));
        self.deliver.reloaded();
    }

    pub(super) fn remove(&self, app: &str) {
        self.apps.lock().unwrap().remove(&AppId::new(app));
        self.deliver.reloaded();
    }

    pub(super) fn counts(&self) -> Counts {
        self.deliver.counters().read()
    }

    /// Lets deliveries do what they do, for `duration` of the virtual clock.
    pub(super) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The node's settings as they are by default.
pub(super) fn settings() -> Webhooks {
    Webhooks {
        concurrency: 64,
        timeout: Duration::from_secs(10),
        batch_events: 50,
        batch_wait: Duration::from_secs(1),
        facts: 100_000,
        endpoint_deliveries: 10_000,
    }
}

/// The app `a` with these endpoints.
pub(super) fn app(urls: &[&str]) -> App {
    let mut app = App::new("a", "tidings-key", SECRET);
    app.webhooks = urls.iter().map(|url| webhook(url)).collect();
    app
}

pub(super) fn webhook(url: &str) -> Webhook {
    Webhook { url: url.to_owned(), events: None, channel_prefix: None, channel_suffix: None, headers: Vec::new() }
}

pub(super) fn key(key: &str, secret: &str) -> Key {
    Key { key: key.to_owned(), secret: secret.to_owned() }
}
