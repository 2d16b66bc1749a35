//! Notices on their way to JavaScript: an array of arrays in one JSON text, each notice with its kind first. `lib/connection.js` reads them.

use serde::Serialize;
use serde_json::Value;
use std::mem;
use tidings_client::{AuthorizeError, ConnectionError, Event, Notice, SignInError, SubscribeError, SubscriptionError};

/// How the names of encrypted channels begin (P-4.2).
const ENCRYPTED: &str = "private-encrypted-";

/// How many notices are gathered while JavaScript is busy with the last batch.
const NOTICES_MAX: usize = 1024;
/// And of how many bytes, not counting the last of them.
const BYTES_MAX: usize = 256 << 10;

/// What is gathered for JavaScript.
#[derive(Default)]
pub(crate) struct Batch {
    text: String,
    notices: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.notices == 0
    }

    /// Whether so much is gathered that nothing more should happen before it is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.notices >= NOTICES_MAX || self.text.len() >= BYTES_MAX
    }

    /// The text of all that was gathered.
    pub(crate) fn take(&mut self) -> String {
        let mut text = mem::take(&mut self.text);
        self.notices = 0;
        text.push(']');
        text
    }

    /// Adds what the connection told, with the message that it came from, if that is still at hand.
    pub(crate) fn add(&mut self, notice: Notice, message: Option<&str>) {
        match notice {
            Notice::Connecting => self.push(&("connecting",)),
            Notice::Connected { socket_id, activity_timeout } => self.push(&("connected", socket_id, activity_timeout.as_secs_f64())),
            Notice::Unavailable => self.push(&("unavailable",)),
            Notice::Subscribed { channel, me, .. } => {
                if let Some(me) = me {
                    self.push(&("identity", channel, me));
                }
                self.push_message(message);
            }
            Notice::Refused { why: SubscriptionError::Server { .. }, .. } => self.push_message(message),
            Notice::Refused { channel, why } => self.push(&("refused", channel, refusal(&why), why.to_string())),
            // The message of an encrypted channel holds what is not to be read.
            Notice::Event(event) if message.is_none() || event.channel.starts_with(ENCRYPTED) => {
                self.push(&("message", Told::from(&event)))
            }
            Notice::Undecryptable { channel, name, why } => self.push(&("undecryptable", channel, name, why.to_string())),
            Notice::SignInFailed { why } => self.push(&("signin_failed", why.to_string())),
            Notice::Unreadable { text } => self.push(&("text", message.unwrap_or(&text))),
            Notice::Lost { why, retry_in } => self.push(&("lost", reason(&why), retry_in.as_secs_f64())),
            _ => self.push_message(message),
        }
    }

    /// The connection was given up.
    pub(crate) fn ended(&mut self, why: &ConnectionError) {
        self.push(&("ended", reason(why)));
    }

    /// A call of `disconnect` was obeyed.
    pub(crate) fn stopped(&mut self) {
        self.push(&("stopped",));
    }

    /// A subscription cannot be asked for.
    pub(crate) fn not_subscribed(&mut self, channel: &str, why: &SubscribeError) {
        let why = why.to_string();
        self.push(&("refused", channel, Refusal { kind: "InvalidChannel", error: &why, status: 400 }, &why));
    }

    /// Nobody could sign in.
    pub(crate) fn not_signed_in(&mut self, why: &SignInError) {
        self.push(&("signin_failed", why.to_string()));
    }

    fn push(&mut self, notice: &impl Serialize) {
        let notice = serde_json::to_string(notice).expect("texts and numbers can be written");
        self.begin();
        self.text.push_str(&notice);
    }

    /// Adds a message as it came. It is known to be JSON; a notice that came from none has nothing to say.
    fn push_message(&mut self, message: Option<&str>) {
        if let Some(message) = message {
            self.begin();
            self.text.push_str(r#"["message","#);
            self.text.push_str(message);
            self.text.push(']');
        }
    }

    fn begin(&mut self) {
        self.text.push(if self.notices == 0 { '[' } else { ',' });
        self.notices += 1;
    }
}

/// An event as the server would have sent it.
#[derive(Serialize)]
struct Told<'a> {
    event: &'a str,
    channel: &'a str,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

impl<'a> From<&'a Event> for Told<'a> {
    fn from(event: &'a Event) -> Self {
        Self { event: &event.name, channel: &event.channel, data: &event.data, user_id: event.user_id.as_deref() }
    }
}

/// What a server says of a subscription that it refuses (P-5.9).
#[derive(Serialize)]
struct Refusal<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    error: &'a str,
    status: u16,
}

/// What goes with `pusher:subscription_error` if the endpoint is the reason: as in `pusher-client`, its status or a sentence.
fn refusal(why: &SubscriptionError) -> Value {
    match why {
        SubscriptionError::Authorize(AuthorizeError::Status { status, .. } | AuthorizeError::Redirect { status, .. }) => {
            status.as_u16().into()
        }
        why => why.to_string().into(),
    }
}

/// A loss in the words of whoever caused it: what a server says with its close code is told alone, as `pusher-client` does it.
fn reason(why: &ConnectionError) -> String {
    match why {
        ConnectionError::Closed { code, reason } if reason.is_empty() => format!("close code {code}"),
        ConnectionError::Closed { reason, .. } => reason.clone(),
        why => why.to_string(),
    }
}
