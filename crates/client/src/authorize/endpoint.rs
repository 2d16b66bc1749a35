//! An endpoint of the application that signs for its users (P-6.6, P-6.7): what it is asked, and how its answer is read.

use super::{AuthorizeError, ChannelProof, UserProof};
use crate::http::{HttpClient, HttpError};
use crate::server_url::UNRESERVED;
use crate::{Auth, BadOptions, Options, SharedSecret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest answer taken. A good one has a signature, a member and a secret.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How much of the first line of a refusal is told.
const TEXT_CHARS_MAX: usize = 200;

/// An endpoint, with all that goes with each request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Inner>);

struct Inner {
    url: Uri,
    /// The address without its query.
    shown: String,
    headers: HeaderMap,
    /// What stands in each body after the members of the protocol, with an `&` before each.
    params: String,
    timeout: Duration,
    http: HttpClient,
}

impl Endpoint {
    /// The endpoint at `url`, asked by way of `http` with what `options` say.
    ///
    /// # Errors
    /// [`BadOptions`] if `url` is no address of an endpoint, or one of the headers none that can be given.
    pub(crate) fn new(url: &str, options: &Options, http: HttpClient) -> Result<Self, BadOptions> {
        let shown = without_secrets(url);
        let uri = address(url).map_err(|reason| BadOptions::Endpoint { url: shown.clone(), reason: reason.to_owned() })?;
        Ok(Self(Arc::new(Inner {
            url: uri,
            shown,
            headers: headers(&options.auth)?,
            params: options.auth.params.iter().map(|(name, value)| format!("&{}={}", escaped(name), escaped(value))).collect(),
            timeout: options.auth_timeout,
            http,
        })))
    }

    /// Asks for the proof that lets the connection called `socket_id` subscribe to `channel`.
    ///
    /// # Errors
    /// [`AuthorizeError`] if the endpoint gives none.
    pub(crate) async fn channel(&self, socket_id: &str, channel: &str) -> Result<ChannelProof, AuthorizeError> {
        let mut answer = self.ask(format!("socket_id={}&channel_name={}", escaped(socket_id), escaped(channel))).await?;
        let auth = self.string(&mut answer, "auth")?;
        let channel_data = self.string_if_there(&mut answer, "channel_data")?;
        // Only subscribers of encrypted channels know what to do with it.
        let secret = if channel.starts_with("private-encrypted-") { self.string_if_there(&mut answer, "shared_secret")? } else { None };
        let secret = secret.map(|secret| SharedSecret::from_base64(&secret)).transpose();
        let shared_secret = secret.map_err(|cause| AuthorizeError::SharedSecret { url: self.shown(), cause })?;
        Ok(ChannelProof { auth, channel_data, shared_secret })
    }

    /// Asks for the proof that lets the connection called `socket_id` sign in.
    ///
    /// # Errors
    /// [`AuthorizeError`] if the endpoint gives none.
    pub(crate) async fn user(&self, socket_id: &str) -> Result<UserProof, AuthorizeError> {
        let mut answer = self.ask(format!("socket_id={}", escaped(socket_id))).await?;
        Ok(UserProof { auth: self.string(&mut answer, "auth")?, user_data: self.string(&mut answer, "user_data")? })
    }

    /// The members of the answer to `question`.
    async fn ask(&self, question: String) -> Result<Map<String, Value>, AuthorizeError> {
        let Inner { url, headers, params, timeout, http, .. } = &*self.0;
        let mut request = Request::new(Full::from(question + params));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers.clone();
        let answer = http.send(request, *timeout, ANSWER_BYTES_MAX).await.map_err(|error| self.failed(error))?;
        match answer.status() {
            StatusCode::OK => members(answer.body()).map_err(|reason| AuthorizeError::NotJson { url: self.shown(), reason }),
            status if status.is_redirection() => Err(AuthorizeError::Redirect { url: self.shown(), status, to: location(&answer) }),
            status => Err(AuthorizeError::Status { url: self.shown(), status, text: first_line(answer.body()) }),
        }
    }

    fn failed(&self, error: HttpError) -> AuthorizeError {
        let url = self.shown();
        match error {
            HttpError::Unreachable(cause) => AuthorizeError::Unreachable { url, cause: Arc::new(cause) },
            HttpError::Tls(cause) => AuthorizeError::Tls { url, cause: Arc::new(cause) },
            HttpError::Proxy(cause) => AuthorizeError::Proxy { url, cause },
            HttpError::TimedOut => AuthorizeError::TimedOut { url, after: self.0.timeout },
            HttpError::TooLong => AuthorizeError::TooLong { url, max: ANSWER_BYTES_MAX },
            HttpError::Failed(reason) => AuthorizeError::Failed { url, reason },
        }
    }

    fn string(&self, answer: &mut Map<String, Value>, member: &'static str) -> Result<String, AuthorizeError> {
        self.string_if_there(answer, member)?.ok_or_else(|| AuthorizeError::MissingMember { url: self.shown(), member })
    }

    /// A null stands for nothing, as in the message that it goes into (P-6.3).
    fn string_if_there(&self, answer: &mut Map<String, Value>, member: &'static str) -> Result<Option<String>, AuthorizeError> {
        match answer.remove(member) {
            Some(Value::String(text)) => Ok(Some(text)),
            None | Some(Value::Null) => Ok(None),
            Some(_) => Err(AuthorizeError::MissingMember { url: self.shown(), member }),
        }
    }

    fn shown(&self) -> String {
        self.0.shown.clone()
    }
}

/// So that no log line shows a password or a token.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.0.shown).finish()
    }
}

fn escaped(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, UNRESERVED)
}

fn address(url: &str) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => return Err("its scheme is not http or https"),
        None => return Err("it has no scheme"),
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("it holds a user name, which belongs into auth.username");
    }
    if authority.as_str() != authority.host() && authority.port_u16().is_none() {
        return Err("its port is not a number below 65536");
    }
    Ok(uri)
}

/// An address without its query and its user name, either of which may hold a secret.
pub(crate) fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// The headers of each request: our own, unless they are given, and the given ones.
fn headers(auth: &Auth) -> Result<HeaderMap, BadOptions> {
    let bad = |name: &str, reason: &str| BadOptions::Header { name: name.to_owned(), reason: reason.to_owned() };
    let mut headers = HeaderMap::new();
    for (name, value) in &auth.headers {
        let parsed = HeaderName::try_from(name).map_err(|_| bad(name, "its name has characters that no header has"))?;
        if of_the_connection(&parsed) {
            return Err(bad(name, "it belongs to the connection; leave it out"));
        }
        let mut value = HeaderValue::try_from(value).map_err(|_| bad(name, "its value has characters that no header has"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    if let (Some(username), Some(password)) = (&auth.username, &auth.password)
        && !headers.contains_key(header::AUTHORIZATION)
    {
        if username.contains(':') {
            return Err(bad("authorization", "a user name for HTTP Basic has no colon"));
        }
        let basic = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let mut basic = HeaderValue::try_from(basic).expect("base64 is fit for a header");
        basic.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, basic);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
        // Frameworks that see this say what is wrong, where others get a page to log in on.
        (header::ACCEPT, "application/json"),
        (header::USER_AGENT, concat!("tidings/", env!("CARGO_PKG_VERSION"))),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    Ok(headers)
}

/// Whether a header says how the request travels, which is not for options to say.
fn of_the_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

/// The members of a JSON object; otherwise what `body` is, without telling what it holds.
fn members(body: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8")?;
    if text.trim_ascii().is_empty() {
        return Err("the answer is empty".into());
    }
    match serde_json::from_str(text).map_err(|error| format!("the answer is not JSON: {error}"))? {
        Value::Object(members) => Ok(members),
        Value::String(_) => Err("the answer is a JSON string; is the object encoded twice?".into()),
        _ => Err("the answer is JSON of another kind".into()),
    }
}

/// Where a redirect leads.
fn location(answer: &Response<Bytes>) -> String {
    let location = answer.headers().get(header::LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match first_line(without_secrets(&String::from_utf8_lossy(location)).as_bytes()) {
        nowhere if nowhere.is_empty() => "an address that it does not give".to_owned(),
        location => location,
    }
}

/// The first line that says something, shortened, and without what could harm a terminal.
fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|character| !character.is_control()).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
