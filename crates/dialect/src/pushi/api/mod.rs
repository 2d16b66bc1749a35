//! Pushi's REST API (rules I-4.*) as pure functions: a request in, a [`Call`] or a [`Refusal`] out, and the bodies of the answers.
//! Nothing here performs a call or knows who is logged in: [`receive`] says what the request shows for itself, whoever keeps the sessions
//! decides, and only then [`Received::call`] looks at what is asked.

pub mod answer;
mod call;
pub(crate) mod json;
mod multipart;
mod parameters;
pub mod records;
mod refusal;
mod registration;
mod route;
mod settings;
#[cfg(test)]
mod tests;
mod trigger;
mod write;

pub use call::{Call, Credentials, Health};
pub use refusal::{FieldErrors, Refusal};
pub use registration::{Family, Registration, Which, prove};
pub use route::{Access, methods};
pub use settings::{AppPatch, AppSettings, MASK, Setting};
pub use trigger::Trigger;

use parameters::Parameters;
use route::Route;
use std::fmt;
use tidings_hub::ChannelName;

/// How many parameters a query or a form may have.
pub const PARAMETERS_MAX: usize = 256;
/// How many levels of arrays and objects a JSON body may have.
pub const JSON_DEPTH_MAX: usize = 64;
/// How many stored events are told where no number is given (I-3.7).
pub const EVENTS_DEFAULT: u32 = 10;

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path as sent, without the listener's prefix and without the query, percent-escapes untouched.
    pub path: &'a str,
    /// What follows the `?`, as sent.
    pub query: &'a str,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Cookie`.
    pub cookie: Option<&'a str>,
    /// The header `X-Session-Id`.
    pub session_header: Option<&'a str>,
    /// The whole body.
    pub body: &'a [u8],
}

/// What an operator may bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a channel's name, and of a user's id (I-1.14).
    pub channel_name_bytes: usize,
    /// Channels that one trigger may name.
    pub channels: usize,
    /// Bytes of an event: its name, its data and all that travels with it.
    pub event_bytes: usize,
    /// Stored events told at once (I-3.7).
    pub events: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { channel_name_bytes: 200, channels: 100, event_bytes: 1024 * 1024, events: 500 }
    }
}

/// A request for something that exists, not yet read in full. Whoever may not ask for it is refused before that.
/// The token never shows in `Debug`.
#[derive(Clone)]
pub struct Received<'a> {
    /// The token that the request carries, whether or not it is worth anything (I-4.4).
    pub session_token: Option<String>,
    /// Who may ask.
    pub access: Access,
    /// The app that the path names, which must be that of the session; if it is not, the answer is [`Refusal::app_not_found`] (I-4.60).
    pub app: Option<String>,
    /// Whether the answer is [`answer::success`], whatever the call yields (I-4.60).
    pub terse: bool,
    /// The app's key, where old clients sent it in place of a session; worth something only if the operator says so (I-4.61).
    pub legacy_app_key: Option<String>,
    route: Route,
    parameters: Parameters<'a>,
}

/// Finds what `request` is for, and what it shows for itself.
///
/// # Errors
/// 404 for a path that names nothing; 405 with [`Refusal::allow`] for a method that it does not take; 400 for parameters that cannot be read.
pub fn receive<'a>(request: &Request<'a>) -> Result<Received<'a>, Refusal> {
    let route = route::route(request.method, request.path)?;
    let parameters = Parameters::read(request)?;
    Ok(Received {
        session_token: parameters.session_token(request.cookie, request.session_header),
        access: route.access(),
        app: route.retired_app().map(str::to_owned),
        terse: route.is_terse(),
        legacy_app_key: if route.takes_app_key() { parameters.field("app_key").map(str::to_owned) } else { None },
        route,
        parameters,
    })
}

impl fmt::Debug for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Received<'_> {
    /// What the request asks for.
    ///
    /// # Errors
    /// 400 or 413, and nothing of it may be performed; 501 for what is not served yet.
    pub fn call(&self, limits: &Limits) -> Result<Call, Refusal> {
        call::decode(&self.route, &self.parameters, limits)
    }
}

/// Reads `text` as the name of a channel that Pushi's clients may use (I-1.14); `#…` belongs to other protocols.
fn channel(text: &str, limits: &Limits) -> Result<ChannelName, Refusal> {
    let refuse = |reason: &str| Refusal::bad(format!("The channel name {} cannot be used: {reason}", quoted(text)));
    if text.len() > limits.channel_name_bytes {
        return Err(refuse(&format!("it has more than {} bytes", limits.channel_name_bytes)));
    }
    if text.starts_with('#') {
        return Err(refuse("names that begin with # are reserved"));
    }
    ChannelName::parse(text).map_err(|error| refuse(&error.to_string()))
}

/// The beginning of `text`, fit for a sentence.
fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(100).collect();
    format!("{beginning:?}")
}
