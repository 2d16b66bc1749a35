//! One attempt at a webhook: builds the request, sends it by the guarded way out, and judges the answer. Retries are not its business.

use super::endpoint::Outcome;
use super::guard::{Guard, Network, Refused};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::pusher::webhook;
use tidings_hub::{Key, Webhook};
use tokio::time::{Instant, timeout_at};

/// How much of an answer is read, so that its connection can be used again; of a longer one the rest is not waited for.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How large the head of an answer may be.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long a connection is kept for the next delivery.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that belong to the connection or to the body and not to whoever configures an endpoint.
const OURS: [&str; 10] =
    ["connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// Why a webhook cannot be delivered at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadTarget {
    #[error("the webhook's `url` is no URL")]
    NoUrl,
    #[error("the webhook's `url` must begin with http:// or https:// and name a host")]
    NoHttp,
    #[error("the webhook's `url` must not hold a user or password; use `headers`")]
    UserInfo,
}

/// Where requests of one endpoint go, checked.
#[derive(Clone, Debug)]
pub(super) struct Target {
    uri: Uri,
    headers: HeaderMap,
}

impl Target {
    pub(super) fn of(webhook: &Webhook) -> Result<Self, BadTarget> {
        let uri: Uri = webhook.url.parse().map_err(|_| BadTarget::NoUrl)?;
        let authority = uri.authority().ok_or(BadTarget::NoHttp)?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
            return Err(BadTarget::NoHttp);
        }
        if authority.as_str().contains('@') {
            return Err(BadTarget::UserInfo);
        }
        Ok(Self { headers: custom(&webhook.headers), uri })
    }

    /// How logs name the endpoint: without the query, which may hold a secret.
    pub(super) fn name(&self) -> String {
        let (scheme, authority) =
            (self.uri.scheme_str().unwrap_or_default(), self.uri.authority().map_or("", |authority| authority.as_str()));
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    fn request(&self, key: &Key, body: Bytes) -> Request<Full<Bytes>> {
        let mut headers = self.headers.clone();
        for (name, value) in webhook::headers(key, &body) {
            // A key that no header can carry was never a key that a client could name.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// The headers that an endpoint may add (P-12.1). Others and unwritable ones are left out, and said so.
fn custom(headers: &[(String, String)]) -> HeaderMap {
    let agent = HeaderValue::from_static(concat!("tidings/", env!("CARGO_PKG_VERSION")));
    let mut map = HeaderMap::from_iter([(http::header::USER_AGENT, agent)]);
    for (name, value) in headers {
        let may = webhook::may_add(name) && !OURS.contains(&name.to_ascii_lowercase().as_str());
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) if may => drop(map.insert(name, value)),
            _ => tracing::warn!(header = ?name, "a webhook header is left out: it belongs to the server or cannot be written"),
        }
    }
    map
}

/// Why an attempt did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// An answer other than 2xx; redirects are not followed (P-12.6).
    #[error("the endpoint answered {0}")]
    Status(u16),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The address is not allowed.
    #[error(transparent)]
    Refused(Refused),
}

impl Failure {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Status(_) | Self::Timeout | Self::Connection(_) => Outcome::Failed,
            Self::Refused(_) => Outcome::Refused,
        }
    }
}

type HttpClient = Client<HttpsConnector<Guard>, Full<Bytes>>;

/// Sends requests. Two clients, so that a connection to a private target is never reused for an app that may not have it.
#[derive(Clone)]
pub(super) struct Sender {
    public: HttpClient,
    any: HttpClient,
    timeout: Duration,
}

impl Sender {
    /// Sends over `network`; `tls` says whom to trust, `timeout` how long an attempt may take, from the name to the end of the answer (P-12.6).
    pub(super) fn new(network: Arc<dyn Network>, tls: &rustls::ClientConfig, timeout: Duration) -> Self {
        let client = |private_targets| {
            let guard = Guard::new(Arc::clone(&network), private_targets);
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1().wrap_connector(guard);
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(2)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(HEAD_BYTES_MAX)
                .build(connector)
        };
        Self { public: client(false), any: client(true), timeout }
    }

    /// Posts `body` once.
    pub(super) async fn post(&self, target: &Target, key: &Key, private_targets: bool, body: Bytes) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let client = if private_targets { &self.any } else { &self.public };
        let answer = match timeout_at(deadline, client.request(target.request(key, body))).await {
            Err(_) => return Err(Failure::Timeout),
            Ok(Err(error)) => return Err(failure(&error)),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        // What the receiver says after its status changes nothing.
        let _ = timeout_at(deadline, drain(answer.into_body())).await;
        if status.is_success() { Ok(()) } else { Err(Failure::Status(status.as_u16())) }
    }
}

/// Trusts the roots that browsers trust.
pub(super) fn public_tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions that are built in")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn drain(mut body: Incoming) {
    let mut left = ANSWER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The cause in words: all layers, since the outer ones only say that something failed.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Failure::Refused(*refused);
        }
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Failure::Connection(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, headers: &[(&str, &str)]) -> Webhook {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Webhook { url: url.to_owned(), events: None, channel_prefix: None, channel_suffix: None, headers }
    }

    #[test]
    fn targets_are_checked_and_named_without_secrets() {
        for (url, name) in [
            ("https://example.com/hook?token=secret", Ok("https://example.com/hook")),
            ("http://example.com", Ok("http://example.com/")),
            ("HTTP://[::1]:8080/a/b", Ok("http://[::1]:8080/a/b")),
            ("https://user:secret@example.com/", Err(BadTarget::UserInfo)),
            ("ftp://example.com/", Err(BadTarget::NoHttp)),
            ("example.com/hook", Err(BadTarget::NoUrl)),
            ("/hook", Err(BadTarget::NoHttp)),
            ("", Err(BadTarget::NoUrl)),
        ] {
            let target = Target::of(&webhook(url, &[])).map(|target| target.name());
            assert_eq!(target, name.map(str::to_owned), "{url}");
        }
    }

    /// P-12.1, P-12.3: exactly these headers, whatever the endpoint would like to set.
    #[test]
    fn custom_headers_do_not_override() {
        let target = Target::of(&webhook(
            "https://example.com/hook?a=1",
            &[
                ("content-TYPE", "application/json; charset=utf-8"),
                ("X-Pusher-Key", "other"),
                ("x-pusher-signature", "other"),
                ("Content-Length", "3"),
                ("Host", "other"),
                ("bad name", "x"),
                ("X-Bad", "line\nbreak"),
                ("Authorization", "Bearer t"),
                ("User-Agent", "mine"),
            ],
        ))
        .unwrap();
        let key = Key { key: "tidings-key".to_owned(), secret: "tidings-secret".to_owned() };
        let body = Bytes::from_static(br#"{"time_ms":1700000000000,"events":[{"name":"channel_occupied","channel":"c1"}]}"#);
        let request = target.request(&key, body);
        let mut headers: Vec<_> = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "authorization: Bearer t",
                "content-type: application/json",
                "user-agent: mine",
                "x-pusher-key: tidings-key",
                "x-pusher-signature: 1f170084c889523da33a105953c33578f2b00e933b9e60328252772e50b5a1ca",
            ]
        );
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "https://example.com/hook?a=1"));
    }
}
