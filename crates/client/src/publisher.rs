//! Publishing events through the HTTP API (P-11.1).

use crate::server_url::UNRESERVED;
use crate::{DialError, PublishError, ServerUrl, Tls};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use percent_encoding::utf8_percent_encode;
use serde::Serialize;
use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};
use tidings_dialect::pusher::api;
use tidings_hub::{AppId, Key, UnixTime};
use tokio::time::timeout;

/// The longest answer taken.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Publishes events of one app. It keeps connections open between calls.
#[derive(Debug)]
pub struct Publisher {
    url: ServerUrl,
    app: AppId,
    key: Key,
    request_timeout: Duration,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An event to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Publication {
    /// Where: 1 to 100 channels.
    pub channels: Vec<String>,
    /// What.
    pub name: String,
    /// The data, any text.
    pub data: String,
    /// The connection that must not get it (P-11.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_id: Option<String>,
    /// What to answer about the channels: `user_count`, `subscription_count`, or both with a comma between (P-11.4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<String>,
}

/// What the server answered: a JSON object, `{}` when there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The object as text.
    pub text: String,
}

impl Publisher {
    /// A publisher for `app`, which signs with `key`. It gives a request 30 s.
    #[must_use]
    pub fn new(url: ServerUrl, tls: &Tls, app: AppId, key: Key) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config((*tls.config()).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { url, app, key, request_timeout: Duration::from_secs(30), client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Publishes one event, signed with the time of this machine.
    ///
    /// # Errors
    /// [`PublishError`] if the server is not reached, does not answer, or does not answer with 200 (P-10.3).
    pub async fn publish(&self, publication: &Publication) -> Result<Answer, PublishError> {
        let body = serde_json::to_vec(publication).expect("texts are always JSON");
        let request = self.request(body, SystemTime::now());
        let answer = timeout(self.request_timeout, self.send(request)).await;
        let (status, text) = answer.map_err(|_| self.no_answer(format!("it took longer than {:?}", self.request_timeout)))??;
        if status == StatusCode::OK { Ok(Answer { text }) } else { Err(PublishError::Refused { status, text: text.trim_end().to_owned() }) }
    }

    fn request(&self, body: Vec<u8>, now: SystemTime) -> Request<Full<Bytes>> {
        let path = format!("/apps/{}/events", utf8_percent_encode(self.app.as_str(), UNRESERVED));
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = UnixTime::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        // The path prefix is not signed (P-10.10).
        let query = api::sign("POST", &path, &[], &body, &self.key, now);
        Request::post(self.url.join("http", "https", &format!("{path}?{query}")))
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-Pusher-Library", concat!("tidings ", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body.into()))
            .expect("an address with an encoded path and query is one")
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, String), PublishError> {
        let response = self.client.request(request).await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.no_answer(error.to_string()))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    fn failed(&self, error: &legacy::Error) -> PublishError {
        let root = root(error);
        if !error.is_connect() {
            return self.no_answer(root.to_string());
        }
        let (url, cause) = (self.url.clone(), io::Error::other(root.to_string()));
        // What TLS finds wrong is an error of rustls at the root; all else is the network's.
        let tls = root.is::<rustls::Error>();
        (if tls { DialError::Tls { url, cause } } else { DialError::Unreachable { url, cause } }).into()
    }

    fn no_answer(&self, reason: String) -> PublishError {
        PublishError::NoAnswer { url: self.url.clone(), reason }
    }
}

/// The innermost cause, which says more than what is around it.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = inner(cause) {
        cause = inner;
    }
    cause
}

/// An I/O error that wraps another one names that one's source as its own, and so hides it.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
