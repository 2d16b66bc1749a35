//! What a service answers to requests: status, headers and body, for whoever writes them.

use super::callback::BadCallback;
use super::frame::Framing;
use super::headers::{self, Asked, Cors, Headers};
use super::iframe::Iframe;
use super::inbound::Unsent;
use super::route::{self, Missing, Route, Sending};
use super::settings::{Settings, Transport};
use crate::transport::websocket::Refusal;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use tidings_hub::UnixTime;

const TEXT: &str = "text/plain; charset=UTF-8";
const HTML: &str = "text/html; charset=UTF-8";
const JSON: &str = "application/json; charset=UTF-8";
const SCRIPT: &str = "application/javascript; charset=UTF-8";

/// How long a client stays away for which there is no room, in seconds (S-8.2).
const RETRY_AFTER: &str = "5";

/// An answer. How long its body is, and what becomes of the connection, says whoever writes it (S-5.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body; sent even where the body is empty.
    pub content_type: Option<&'static str>,
    /// All other headers, names in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Bytes,
}

/// A service: its settings, and what can be made of them beforehand.
#[derive(Clone, Debug)]
pub struct Service {
    settings: Arc<Settings>,
    iframe: Iframe,
}

impl Answer {
    fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: Some(content_type), headers: Headers::new(), body: body.into() }
    }

    fn empty(status: u16) -> Self {
        Self { status, content_type: None, headers: Headers::new(), body: Bytes::new() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What is unknown (S-2.6).
    fn not_found() -> Self {
        Self::new(404, TEXT, &b"404 Error: Page not found\n"[..])
    }
}

impl From<Missing> for Answer {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Path => Self::not_found(),
            Missing::Method { allow } => Self::empty(405).with("allow", allow),
        }
    }
}

impl Service {
    /// A service with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { iframe: Iframe::new(&settings.sockjs_url), settings: Arc::new(settings) }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The route of a request for `path`, which is what [`below`](super::below) left of it.
    ///
    /// # Errors
    /// [`Missing`], which is an [`Answer`].
    pub fn route<'p>(&self, method: &str, path: &'p str) -> Result<Route<'p>, Missing> {
        route::route(method, path, self.settings.transports, !self.settings.disable_cors)
    }

    /// The greeting (S-2.5).
    #[must_use]
    pub fn greeting(&self) -> Answer {
        Answer::new(200, TEXT, &b"Welcome to SockJS!\n"[..])
    }

    /// What a client should know (S-4.1). `entropy` is fresh for every request.
    #[must_use]
    pub fn info(&self, asked: &Asked<'_>, entropy: u32) -> Answer {
        let settings = &*self.settings;
        let mut body = format!(
            r#"{{"websocket":{},"origins":["*:*"],"cookie_needed":{},"entropy":{entropy}"#,
            settings.transports.has(Transport::WebSocket),
            settings.jsessionid,
        )
        .into_bytes();
        if let Some(base_url) = &settings.base_url {
            body.extend_from_slice(br#","base_url":"#);
            super::quote(base_url, &mut body);
        }
        body.push(b'}');
        let mut answer = Answer::new(200, JSON, body);
        headers::not_cacheable(&mut answer.headers);
        headers::cors(Cors::Origin, asked, settings, &mut answer.headers);
        answer
    }

    /// Who may ask for the info, and how (S-4.2).
    #[must_use]
    pub fn info_options(&self, asked: &Asked<'_>, now: UnixTime) -> Answer {
        self.options("OPTIONS, GET", asked, now)
    }

    /// Who may use the `xhr` endpoints, and how (S-4.3).
    #[must_use]
    pub fn session_options(&self, asked: &Asked<'_>, now: UnixTime) -> Answer {
        self.options("OPTIONS, POST", asked, now)
    }

    fn options(&self, methods: &'static str, asked: &Asked<'_>, now: UnixTime) -> Answer {
        let mut answer = Answer::empty(204).with("access-control-allow-methods", methods).with("access-control-max-age", "31536000");
        headers::session_cookie(asked, &self.settings, &mut answer.headers);
        headers::cacheable(now, &mut answer.headers);
        headers::cors(Cors::Origin, asked, &self.settings, &mut answer.headers);
        answer
    }

    /// The iframe page, or word that who asks has it already (S-4.4).
    #[must_use]
    pub fn iframe(&self, asked: &Asked<'_>, now: UnixTime) -> Answer {
        let known = asked.if_none_match.is_some_and(|tags| self.iframe.is_known(tags));
        let mut answer = if known { Answer::empty(304) } else { Answer::new(200, HTML, self.iframe.body.clone()) };
        headers::cacheable(now, &mut answer.headers);
        answer.with("etag", self.iframe.etag.to_string())
    }

    /// The head of a response that a receiver gets its frames by. Its body is the prelude: its first chunk, unless it is empty (S-5.1).
    #[must_use]
    pub fn receiving(&self, framing: &Framing, asked: &Asked<'_>) -> Answer {
        let transport = framing.transport();
        let content_type = match transport {
            Transport::EventSource => "text/event-stream",
            Transport::HtmlFile => HTML,
            _ => SCRIPT,
        };
        let answer = self.of_receiver(Answer::new(200, content_type, framing.prelude()), transport, asked);
        match transport {
            Transport::Jsonp => answer.with("x-content-type-options", "nosniff"),
            Transport::Xhr => answer,
            // Proxies that collect a response before they pass it on would never do (S-5.12).
            _ => answer.with("x-accel-buffering", "no"),
        }
    }

    /// A receiver's callback is missing, or none (S-5.7).
    #[must_use]
    pub fn bad_callback(&self, bad: BadCallback, transport: Transport, asked: &Asked<'_>) -> Answer {
        self.of_receiver(Answer::new(500, TEXT, bad.to_string()), transport, asked)
    }

    /// There is no room for one more session (S-8.2).
    #[must_use]
    pub fn full(&self, transport: Transport, asked: &Asked<'_>) -> Answer {
        let answer = Answer::new(503, TEXT, &b"There are too many sessions; try again.\n"[..]).with("retry-after", RETRY_AFTER);
        self.of_receiver(answer, transport, asked)
    }

    /// The messages are with their session, or dropped because it closes (S-5.8, S-5.9).
    #[must_use]
    pub fn sent(&self, how: Sending, asked: &Asked<'_>) -> Answer {
        let answer = match how {
            Sending::Xhr => Answer::new(204, TEXT, Bytes::new()),
            Sending::Jsonp => Answer::new(200, TEXT, &b"ok"[..]),
        };
        self.of_sender(answer, how, asked)
    }

    /// There is no such session to send to (S-5.8).
    #[must_use]
    pub fn unknown_session(&self, how: Sending, asked: &Asked<'_>) -> Answer {
        self.of_sender(Answer::not_found(), how, asked)
    }

    /// A body was not taken (S-5.8, S-5.9, S-8.1).
    #[must_use]
    pub fn unsent(&self, why: Unsent, how: Sending, asked: &Asked<'_>) -> Answer {
        let status = match why {
            Unsent::Payload | Unsent::Json => 500,
            Unsent::TooLarge => 413,
        };
        self.of_sender(Answer::new(status, TEXT, why.to_string()), how, asked)
    }

    /// Whether pages of `origin` may open a WebSocket; whoever does not say where it is from may (S-4.6, S-6.1).
    ///
    /// # Errors
    /// 403.
    pub fn admit_websocket(&self, origin: Option<&str>) -> Result<(), Answer> {
        if origin.is_none_or(|origin| headers::allows(&self.settings, origin)) {
            return Ok(());
        }
        Err(Answer::new(403, TEXT, &b"Pages of this origin may not connect here.\n"[..]))
    }

    /// A request for a WebSocket is none (S-6.2, S-6.9).
    #[must_use]
    pub fn bad_upgrade(&self, route: Route<'_>, refusal: Refusal) -> Answer {
        if refusal == Refusal::Method {
            return Missing::Method { allow: "GET" }.into();
        }
        let body = match route {
            Route::RawWebSocket if refusal == Refusal::Version => &b"Only supported WebSocket protocol is RFC 6455."[..],
            _ => &b"Not a valid websocket request"[..],
        };
        let answer = Answer::new(400, "text/plain", body);
        if refusal == Refusal::Version { answer.with("sec-websocket-version", "13") } else { answer }
    }

    fn of_receiver(&self, answer: Answer, transport: Transport, asked: &Asked<'_>) -> Answer {
        let cors = match transport {
            Transport::Xhr | Transport::XhrStreaming => Cors::Origin,
            Transport::EventSource => Cors::NamedOrigin,
            _ => Cors::None,
        };
        self.of_session(answer, cors, asked)
    }

    fn of_sender(&self, answer: Answer, how: Sending, asked: &Asked<'_>) -> Answer {
        let cors = match how {
            Sending::Xhr => Cors::Origin,
            Sending::Jsonp => Cors::None,
        };
        self.of_session(answer, cors, asked)
    }

    /// What all handlers of session URLs answer with, whatever the status (S-4.8, S-9.1).
    fn of_session(&self, mut answer: Answer, cors: Cors, asked: &Asked<'_>) -> Answer {
        headers::session_cookie(asked, &self.settings, &mut answer.headers);
        headers::not_cacheable(&mut answer.headers);
        headers::cors(cors, asked, &self.settings, &mut answer.headers);
        answer
    }
}

#[cfg(test)]
mod tests;
