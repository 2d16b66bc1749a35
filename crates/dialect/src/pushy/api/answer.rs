//! Answers of the trigger (Y-6.3): success codes are numbers, error codes are strings.

use crate::pusher::json::write_string;

/// The status and the JSON body of an answer, whose `Content-Type` is `application/json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to a trigger that was published: `occupied` says whether anybody is on the channel.
#[must_use]
pub fn accepted(occupied: bool) -> Answer {
    let status = if occupied { 201 } else { 200 };
    Answer { status, body: format!(r#"{{"status":{{"code":{status},"message":"Ok"}}}}"#).into_bytes() }
}

/// Why a trigger is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The code in the body.
    pub code: &'static str,
    /// The message in the body.
    pub message: String,
}

impl Refusal {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let mut body = b"{\"error\":{\"code\":".to_vec();
        write_string(self.code, &mut body);
        body.extend_from_slice(b",\"message\":");
        write_string(&self.message, &mut body);
        body.extend_from_slice(b"}}");
        Answer { status: self.status, body }
    }

    /// No candidate has this key, or the same request was accepted before.
    #[must_use]
    pub fn credentials(auth_key: &str) -> Self {
        Self::new(403, "403", format!("Invalid credentials ({auth_key})"))
    }

    /// The body is longer than may be. For whoever stops reading there, too.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(413, "413", "Request body too large")
    }

    /// There is no room now: nothing was published, and the request may be sent again.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(503, "503", "No room for this now, send it again later")
    }

    /// The event could not be stored, and nobody got it; the request may be sent again.
    #[must_use]
    pub fn not_stored(why: &str) -> Self {
        Self::new(503, "503", format!("Not stored, and not published: {why}"))
    }

    /// Nothing is here, or not for this method.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(404, "404", "Not found")
    }

    pub(super) fn missing_parameters() -> Self {
        Self::new(400, "400", "Missing required parameters")
    }

    pub(super) fn doubled_parameter() -> Self {
        Self::new(400, "400", "A parameter is given twice")
    }

    pub(super) fn timestamp() -> Self {
        Self::new(403, "501", "Timestamp out of bounds (600 seconds)")
    }

    pub(super) fn bad_json() -> Self {
        Self::new(400, "400", "Invalid JSON")
    }

    pub(super) fn bad_form(why: &str) -> Self {
        Self::new(400, "400", format!("Invalid form: {why}"))
    }

    pub(super) fn unsupported_type() -> Self {
        Self::new(415, "415", "Unsupported content type")
    }

    pub(super) fn bad_channel() -> Self {
        Self::new(400, "301", "Invalid channel name")
    }

    pub(super) fn event_too_long(max: usize) -> Self {
        Self::new(400, "400", format!("Event name longer than {max} characters"))
    }

    pub(super) fn reserved_event() -> Self {
        Self::new(400, "400", "Reserved event name")
    }

    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}
