//! Answers that say no: status, name and text as Pushi gives them, with the differences of I-4.3.

use super::quoted;
use super::write::Writer;
use crate::pushi::vapid::BadKey;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What is wrong with the fields of a record: texts by field.
pub type FieldErrors = BTreeMap<&'static str, Vec<&'static str>>;

/// An answer that says no. Python's client takes 401, 403, 440 and 499 for "log in again", so only who is not logged in gets one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The kind of error, by the name that Pushi gives it.
    pub name: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What is wrong with which field; empty unless a record was refused.
    pub fields: FieldErrors,
    /// The value of the `Allow` header, with status 405.
    pub allow: Option<&'static str>,
}

impl Refusal {
    /// The body. `uid` names this one answer, in the header `X-Error-Id` too.
    #[must_use]
    pub fn body(&self, uid: &str) -> Bytes {
        let mut json = Writer::object();
        json.string("result", "error").string("name", self.name).string("message", &self.message);
        json.number("code", self.status.into()).string("uid", uid).raw("session", b"null");
        if !self.fields.is_empty() {
            json.open("errors", b'{');
            for (field, texts) in &self.fields {
                json.open(field, b'[');
                for text in texts {
                    json.item(text);
                }
                json.close(b']');
            }
            json.close(b'}');
        }
        json.finish()
    }

    /// The request carries no session, or one that has ended.
    #[must_use]
    pub fn not_authenticated() -> Self {
        Self::new(403, "AppierException", "User not authenticated")
    }

    /// Nobody has these credentials (I-4.5). It does not tell which of them is wrong.
    #[must_use]
    pub fn login_failed() -> Self {
        Self::new(403, "AppierException", "Login failed")
    }

    /// Apps may not be made by just anybody (I-4.11).
    #[must_use]
    pub fn apps_are_closed() -> Self {
        Self::new(403, "AppierException", "Apps are made by the operator only; the setting open_apps opens this call")
    }

    /// No app of the session has this ident.
    #[must_use]
    pub fn app_not_found() -> Self {
        Self::not_found("App not found")
    }

    /// The user does not follow the channel.
    #[must_use]
    pub fn subscription_not_found() -> Self {
        Self::not_found("Subscription not found")
    }

    /// Another record has the same `field`.
    #[must_use]
    pub fn value_duplicate(field: &'static str) -> Self {
        Self::invalid(BTreeMap::from([(field, vec!["value is duplicate"])]))
    }

    /// The `auth` of a registration is not that of its channel (I-4.33).
    #[must_use]
    pub fn invalid_signature() -> Self {
        Self::new(400, "RuntimeError", "Invalid signature")
    }

    /// The app has no key for web push (I-4.38).
    #[must_use]
    pub fn no_vapid_key() -> Self {
        Self::bad("VAPID credentials not configured for this app")
    }

    /// The app's key for web push is none (I-4.38).
    #[must_use]
    pub fn bad_vapid_key(error: BadKey) -> Self {
        Self::bad(format!("Failed to derive VAPID public key: {error}"))
    }

    /// The request, or the event in it, has more than `max` bytes. For whoever stops reading there, too.
    #[must_use]
    pub fn too_large(max: usize) -> Self {
        Self::new(413, "OperationalError", format!("More than {max} bytes are too many; send less at once"))
    }

    /// There is no room now: nothing was done, and the request may be sent again.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(503, "OperationalError", "The server has no room for this now; send it again later")
    }

    /// The server is not ready (I-4.52); `message` says what is missing.
    #[must_use]
    pub fn not_ready(message: impl Into<String>) -> Self {
        Self::new(503, "OperationalError", message)
    }

    /// What must last could not be kept, or not be read (I-3.4). Nothing was delivered.
    #[must_use]
    pub fn store_failed(why: &str) -> Self {
        Self::new(500, "OperationalError", why)
    }

    /// There is no such object; `message` says which.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, "NotFoundError", message)
    }

    /// Nothing has this path. The text is a wire constant, the path in it as it was sent.
    #[must_use]
    pub fn not_handled(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(1000).collect();
        Self::not_found(format!("Request {method:.20} '{path}' not handled"))
    }

    /// The path takes other methods.
    pub(super) fn wrong_method(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(405, "OperationalError", format!("This path takes {allow} only")) }
    }

    /// The fields of a record are not as they must be.
    pub(super) fn invalid(fields: FieldErrors) -> Self {
        Self { fields, ..Self::new(400, "ValidationError", "Validation of submitted data failed") }
    }

    /// A parameter is missing, malformed or out of place.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "OperationalError", message)
    }

    /// A parameter is of another type than it must be.
    pub(super) fn wrong_type(field: &str, wanted: &str) -> Self {
        Self::bad(format!("Field '{field}' not compatible with type '{wanted}'"))
    }

    /// An event without data (I-4.18).
    pub(super) fn no_data() -> Self {
        Self::new(400, "RuntimeError", "No data set for event")
    }

    /// An event that brings along what only the server gives (I-3.1).
    pub(super) fn assertion() -> Self {
        Self::new(400, "AssertionError", "Assertion of data failed")
    }

    /// The event's name belongs to a protocol.
    pub(super) fn reserved_event(name: &str) -> Self {
        Self::bad(format!("The event name {} is reserved; use another", quoted(name)))
    }

    /// Sending to devices directly comes later.
    pub(super) fn not_implemented() -> Self {
        Self::new(501, "NotImplementedError", "Sending to devices directly is not in this build yet; trigger an event instead")
    }

    fn new(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, message: message.into(), fields: FieldErrors::new(), allow: None }
    }
}
