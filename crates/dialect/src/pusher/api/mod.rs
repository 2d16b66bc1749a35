//! The HTTP API (rules P-10.* and P-11.*) as pure functions: a request in, a [`Call`] or a [`Refusal`] out, and the bodies of the answers.
//! Nothing here performs a call; whoever does builds its answer with [`answer`].

pub mod answer;
mod call;
mod parameters;
mod publish;
mod route;
mod signature;
#[cfg(test)]
mod tests;

pub use call::{Call, Info, decode};
pub use parameters::QUERY_PARAMETERS_MAX;
pub use route::{Endpoint, Route, route};
pub use signature::{Verified, sign, verify};

use std::sync::Arc;
use tidings_hub::{App, UnixTime};

/// A request of the API as it came in. No header matters: the body is JSON whatever its type is called (P-10.2), and
/// `X-Pusher-Library` is for the log (P-10.14).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path as sent: the prefix included, percent-escapes untouched, no query.
    pub path: &'a str,
    /// The configured path prefix, which `path` is known to start with; empty for none (P-2.9).
    pub prefix: &'a str,
    /// What follows the `?`, as sent.
    pub query: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The path by which calls are told apart and, as a rule, signed (P-10.10).
    #[must_use]
    pub fn path_without_prefix(&self) -> &'a str {
        self.path.strip_prefix(self.prefix).unwrap_or(self.path)
    }
}

/// Takes a request through all checks in the order of P-10.7 and says what it asks for, and of which app.
/// `lookup` finds the app that a key belongs to.
///
/// # Errors
/// The [`Refusal`] of the first check that fails.
pub fn receive(request: Request<'_>, lookup: impl Fn(&str) -> Option<Arc<App>>, now: UnixTime) -> Result<(Arc<App>, Call), Refusal> {
    let route = route(request.method, request.path_without_prefix())?;
    let verified = verify(request, route, lookup, now)?;
    let call = decode(&verified)?;
    Ok((verified.app, call))
}

/// An answer that says no: `Content-Type: text/plain; charset=utf-8` (P-10.11, P-10.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// One line, with its newline.
    pub body: String,
    /// The value of the `Allow` header, with status 405.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal that says `sentence`, on one line whatever it holds.
    #[must_use]
    pub fn new(status: u16, sentence: &str) -> Self {
        let mut body: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        body.push('\n');
        Self { status, body, allow: None }
    }

    /// The body has more than `max` bytes (P-10.13). For whoever stops reading there, too.
    #[must_use]
    pub fn body_too_large(max: usize) -> Self {
        Self::new(413, &format!("The request body has more than {max} bytes; send fewer or smaller events at once"))
    }

    /// A parameter is missing, malformed or out of place.
    fn bad(sentence: &str) -> Self {
        Self::new(400, sentence)
    }

    /// The text is a wire constant (P-10.12).
    fn missing(parameter: &str) -> Self {
        Self::bad(&format!("Missing required parameter: {parameter}"))
    }

    /// Authentication failed.
    fn unauthorized(sentence: &str) -> Self {
        Self::new(401, sentence)
    }
}
