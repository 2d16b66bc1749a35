//! A backend's side of a server: publishing, asking and ending connections through the HTTP API (P-10, P-11), proofs for clients, and
//! webhooks. Nothing is tried again by itself (P-20.16).

mod answer;
mod error;
mod publication;
mod signing;
mod webhook;

pub use answer::{Answer, Attribute, Cached, ChannelState, Counts};
pub use error::{BadCall, BadCluster, PublishError, SigningError, WebhookError};
pub use publication::{BatchEvent, Publication};
pub use signing::User;
pub use webhook::{Webhook, WebhookEvent, WebhookHeaders};

use crate::http::{HttpClient, HttpError};
use crate::server_url::UNRESERVED;
use crate::{DialError, MasterKey, ProxyChoice, ServerUrl, Tls};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use percent_encoding::{AsciiSet, utf8_percent_encode};
use publication::{check_batch, check_channel, check_user_channel, check_user_id, is_encrypted, json};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tidings_dialect::pusher::api;
use tidings_dialect::pusher::name::Kind;
use tidings_hub::{AppId, Key, UnixTime};

/// The longest answer taken: a list of about a million channels.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What stands in a path as it is in the name of a channel (P-4.1), since that is how other libraries send it (P-11.7).
const IN_CHANNEL: &AsciiSet = &UNRESERVED.remove(b'=').remove(b'@').remove(b',').remove(b';');

/// Publishes events of one app, asks about its channels, and signs for its clients. It keeps connections open between calls, and its clones
/// share them.
///
/// ```no_run
/// use tidings_client::{AppId, Key, Publication, Publisher, PublisherOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let key = Key { key: "key".into(), secret: "secret".into() };
/// let options = PublisherOptions::new("https://push.example".parse()?, AppId::new("1"), key);
/// let publisher = Publisher::with_options(options);
/// publisher.publish(&Publication::json(["news"], "headline", &["Hello"])?).await?;
/// println!("{:?}", publisher.users("presence-room").await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Publisher {
    url: ServerUrl,
    app: AppId,
    key: Key,
    encryption_master_key: Option<MasterKey>,
    request_timeout: Duration,
    http: HttpClient,
}

/// What a publisher is told when it is made.
#[derive(Clone, Debug)]
pub struct PublisherOptions {
    /// The server.
    pub url: ServerUrl,
    /// The app's id.
    pub app: AppId,
    /// A key of the app with its secret, which signs.
    pub key: Key,
    /// What the secrets of encrypted channels are derived from (P-9.2). Without it nothing can be published there.
    pub encryption_master_key: Option<MasterKey>,
    /// How long a call may take, from looking for the server to the end of its answer.
    pub request_timeout: Duration,
    /// Whom to trust.
    pub tls: Tls,
    /// Whether the way leads through a proxy that the environment names.
    pub proxy: ProxyChoice,
}

impl PublisherOptions {
    /// The usual options: trust the web's authorities, heed the environment's proxies, 30 s for a call, no encrypted channels.
    #[must_use]
    pub fn new(url: ServerUrl, app: AppId, key: Key) -> Self {
        Self {
            url,
            app,
            key,
            encryption_master_key: None,
            request_timeout: Duration::from_secs(30),
            tls: Tls::new(),
            proxy: ProxyChoice::default(),
        }
    }

    /// The same for an app in a cluster of Pusher's own service, such as `mt1` or `eu`, through TLS.
    ///
    /// # Errors
    /// [`BadCluster`] if `cluster` is not letters, digits and hyphens.
    pub fn cluster(cluster: &str, app: AppId, key: Key) -> Result<Self, BadCluster> {
        let bad = || BadCluster { cluster: cluster.to_owned() };
        if cluster.is_empty() || !cluster.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(bad());
        }
        let url = format!("https://api-{cluster}.pusher.com").parse().map_err(|_| bad())?;
        Ok(Self::new(url, app, key))
    }
}

impl Publisher {
    /// A publisher for `app`, which signs with `key`, with the usual [options](PublisherOptions::new).
    #[must_use]
    pub fn new(url: ServerUrl, tls: &Tls, app: AppId, key: Key) -> Self {
        Self::with_options(PublisherOptions { tls: tls.clone(), ..PublisherOptions::new(url, app, key) })
    }

    /// A publisher as `options` say. It connects when it has something to say.
    #[must_use]
    pub fn with_options(options: PublisherOptions) -> Self {
        let PublisherOptions { url, app, key, encryption_master_key, request_timeout, tls, proxy } = options;
        Self { url, app, key, encryption_master_key, request_timeout, http: HttpClient::new(&tls, proxy) }
    }

    /// Publishes one event, signed with the time of this machine. On an encrypted channel its data is sealed first (P-9.3).
    ///
    /// # Errors
    /// [`PublishError`] if the event breaks a rule, or the server is not reached, does not answer, or does not answer with 200 (P-10.3).
    pub async fn publish(&self, publication: &Publication) -> Result<Answer, PublishError> {
        publication.check()?;
        let channel = &publication.channels[0];
        let publication = match self.sealed(channel, &publication.data)? {
            Some(data) => Cow::Owned(Publication { data, ..publication.clone() }),
            None => Cow::Borrowed(publication),
        };
        self.ok(Method::POST, "/events", &[], body(&publication)?).await
    }

    /// Publishes an event to all connections of the signed-in user `user_id` (P-11.15). Only ids that may stand in a channel's name can be
    /// published to (P-15.7).
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_to_user(&self, user_id: &str, name: &str, data: impl Into<String>) -> Result<Answer, PublishError> {
        self.publish(&Publication::new([check_user_channel(user_id)?], name, data)).await
    }

    /// Publishes 1 to 10 events in order: all of them, or none if one is refused (P-11.9, P-11.10). Their channels may mix freely.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_batch(&self, events: &[BatchEvent]) -> Result<Answer, PublishError> {
        #[derive(Serialize)]
        struct Batch<'a> {
            batch: Vec<Cow<'a, BatchEvent>>,
        }
        check_batch(events)?;
        let mut batch = Vec::with_capacity(events.len());
        for event in events {
            batch.push(match self.sealed(&event.channel, &event.data)? {
                Some(data) => Cow::Owned(BatchEvent { data, ..event.clone() }),
                None => Cow::Borrowed(event),
            });
        }
        self.ok(Method::POST, "/batch_events", &[], body(&Batch { batch })?).await
    }

    /// The occupied channels whose names start with `prefix`, all if it is empty, with what `info` asks for (P-11.5). To have
    /// [`Attribute::UserCount`] the prefix must start with `presence-`.
    ///
    /// # Errors
    /// [`PublishError`] if the server is not reached, does not answer, refuses, or answers with something else.
    pub async fn channels(&self, prefix: &str, info: &[Attribute]) -> Result<BTreeMap<String, Counts>, PublishError> {
        let list = Attribute::list(info);
        let params = [("filter_by_prefix", prefix), ("info", &list)];
        let answer = self.ask("/channels", &params).await?;
        Ok(answer.json::<answer::Channels>()?.channels)
    }

    /// What the server knows of the channel called `channel` (P-11.6). Not every attribute applies to every channel; the server refuses
    /// those that do not.
    ///
    /// # Errors
    /// As [`Publisher::channels`], and if `channel` is no name of a channel.
    pub async fn channel(&self, channel: &str, info: &[Attribute]) -> Result<ChannelState, PublishError> {
        let list = Attribute::list(info);
        self.ask(&channel_path(channel)?, &[("info", &list)]).await?.json()
    }

    /// The ids of the users on the presence channel called `channel`, in any order (P-11.8).
    ///
    /// # Errors
    /// As [`Publisher::channels`], and if `channel` is no presence channel.
    pub async fn users(&self, channel: &str) -> Result<Vec<String>, PublishError> {
        let path = channel_path(channel)?;
        if Kind::of(channel) != Kind::Presence {
            return Err(BadCall::NoPresence { channel: channel.to_owned() }.into());
        }
        Ok(self.ask(&format!("{path}/users"), &[]).await?.json::<answer::Users>()?.ids())
    }

    /// Closes all connections that are signed in as `user_id` (P-11.14). They may come back, unless the auth endpoint refuses them.
    ///
    /// # Errors
    /// [`PublishError`] if the id cannot be one, or the server is not reached, does not answer, or refuses.
    pub async fn terminate_connections(&self, user_id: &str) -> Result<(), PublishError> {
        check_user_id(user_id)?;
        let path = format!("/users/{}/terminate_connections", utf8_percent_encode(user_id, UNRESERVED));
        self.ok(Method::POST, &path, &[], "{}".into()).await.map(|_| ())
    }

    /// Asks for `path`, which follows the app's id, such as `/channels`: for calls that have no method here. Values of `params` are not
    /// escaped. Any status of success will do.
    ///
    /// # Errors
    /// As [`Publisher::channels`], and if `path` is none or a parameter is the signature's.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer, PublishError> {
        check_path(path)?;
        check_params(params)?;
        Ok(self.call(Method::GET, path, params, Vec::new()).await?.1)
    }

    /// Posts the JSON text of `json` to `path`, which follows the app's id, such as `/events`: for calls that have no method here, and for
    /// data that was sealed elsewhere. Any status of success will do.
    ///
    /// # Errors
    /// As [`Publisher::get`], and if `json` cannot be written as JSON.
    pub async fn post(&self, path: &str, json: &(impl Serialize + ?Sized)) -> Result<Answer, PublishError> {
        check_path(path)?;
        Ok(self.call(Method::POST, path, &[], body(json)?).await?.1)
    }

    /// The data as it must be published on `channel`, if that is not as it stands.
    fn sealed(&self, channel: &str, data: &str) -> Result<Option<String>, BadCall> {
        if !is_encrypted(channel) {
            return Ok(None);
        }
        let master_key = self.encryption_master_key.as_ref().ok_or_else(|| BadCall::MasterKeyNeeded { channel: channel.to_owned() })?;
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).expect("the system has random bytes, which TLS needs as well");
        Ok(Some(master_key.shared_secret(channel).seal(data.as_bytes(), nonce)))
    }

    /// A question. A parameter without a value is left out.
    async fn ask(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer, PublishError> {
        let params: Vec<_> = params.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
        self.ok(Method::GET, path, &params, Vec::new()).await
    }

    /// A call whose one answer of success is 200 (P-10.3).
    async fn ok(&self, method: Method, path: &str, params: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, PublishError> {
        match self.call(method, path, params, body).await? {
            (StatusCode::OK, answer) => Ok(answer),
            (status, answer) => Err(refused(status, &answer.text)),
        }
    }

    async fn call(&self, method: Method, path: &str, params: &[(&str, &str)], body: Vec<u8>) -> Result<(StatusCode, Answer), PublishError> {
        let request = self.request(method, path, params, body, SystemTime::now())?;
        let answer = self.http.send(request, self.request_timeout, ANSWER_BYTES_MAX).await.map_err(|error| self.failed(error))?;
        let (status, text) = (answer.status(), String::from_utf8_lossy(answer.body()).into_owned());
        if status.is_success() { Ok((status, Answer { text })) } else { Err(refused(status, &text)) }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        params: &[(&str, &str)],
        body: Vec<u8>,
        now: SystemTime,
    ) -> Result<Request<Full<Bytes>>, BadCall> {
        let path = format!("/apps/{}{path}", utf8_percent_encode(self.app.as_str(), UNRESERVED));
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = UnixTime::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        // The path prefix is not signed (P-10.10).
        let query = api::sign(method.as_str(), &path, params, &body, &self.key, now);
        let mut request = Request::builder()
            .method(method)
            .uri(self.url.join("http", "https", &format!("{path}?{query}")))
            .header("X-Pusher-Library", concat!("tidings ", env!("CARGO_PKG_VERSION")));
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        // Only its length can still be wrong.
        request.body(Full::new(body.into())).map_err(|_| BadCall::Path { path })
    }

    fn failed(&self, error: HttpError) -> PublishError {
        let url = self.url.clone();
        let reason = match error {
            HttpError::Unreachable(cause) => return DialError::Unreachable { url, cause }.into(),
            HttpError::Tls(cause) => return DialError::Tls { url, cause }.into(),
            HttpError::Proxy(cause) => return DialError::from(cause).into(),
            HttpError::TimedOut => format!("it took longer than {:?}", self.request_timeout),
            HttpError::TooLong => format!("it is longer than {ANSWER_BYTES_MAX} bytes"),
            HttpError::Failed(reason) => reason,
        };
        PublishError::NoAnswer { url, reason }
    }
}

fn refused(status: StatusCode, text: &str) -> PublishError {
    PublishError::Refused { status, text: text.trim_end().to_owned() }
}

fn body(value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, BadCall> {
    json(value).map(String::into_bytes)
}

fn channel_path(channel: &str) -> Result<String, BadCall> {
    check_channel(channel)?;
    Ok(format!("/channels/{}", utf8_percent_encode(channel, IN_CHANNEL)))
}

/// What follows the app's id is sent and signed as it stands.
fn check_path(path: &str) -> Result<(), BadCall> {
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"/%-._~!$&'()*+,;=:@".contains(&byte);
    if path.starts_with('/') && path.bytes().all(stands) { Ok(()) } else { Err(BadCall::Path { path: path.to_owned() }) }
}

/// P-10.5.
fn check_params(params: &[(&str, &str)]) -> Result<(), BadCall> {
    let signs = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"].contains(&&*name)
    };
    match params.iter().find(|(name, _)| signs(name)) {
        Some((name, _)) => Err(BadCall::Parameter { name: (*name).to_owned() }),
        None => Ok(()),
    }
}
