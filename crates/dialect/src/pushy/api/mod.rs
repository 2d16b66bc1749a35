//! The trigger (section 6) as pure functions: a request in, a publish or a refusal out, and the bodies of the answers.

mod answer;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Refusal, accepted};

use super::auth::Signature;
use super::form::{self, Form, Numbers};
use super::json::canonical;
use super::name;
use super::settings::Settings;
use crate::pusher::name::is_reserved_event;
use crate::pushi::name::parse_socket_id;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, Publish, UnixTime};

/// How far a timestamp may be off, exclusive, in seconds (Y-6.5).
pub const TIMESTAMP_WINDOW: u64 = 600;
/// How long the key of an accepted trigger must be remembered so that it is not accepted again (Y-10.8).
pub const REPLAY_WINDOW: Duration = Duration::from_secs(2 * TIMESTAMP_WINDOW);

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
    /// The whole body.
    pub body: &'a [u8],
}

/// A request that passed all checks.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// What to publish.
    pub publish: Publish,
    /// What tells this request from all others, for whoever remembers which were accepted. If it was, the answer is [`Refusal::credentials`].
    pub signature: Signature,
    /// The key as it was sent, for that answer.
    pub auth_key: String,
}

/// Whether a path is the trigger's business, whatever the answer.
#[must_use]
pub fn is_trigger(path: &str) -> bool {
    channel(path).is_some()
}

/// Checks `request` in the order of Y-6.4. `now` is the server's clock.
///
/// # Errors
/// [`Refusal`]: nothing may be published.
pub fn receive(request: &Request<'_>, app: &App, settings: &Settings, now: UnixTime) -> Result<Trigger, Refusal> {
    let segment = channel(request.path).filter(|_| request.method == "POST").ok_or_else(Refusal::not_found)?;
    let channel = percent_decode_str(segment).decode_utf8().map_err(|_| Refusal::bad_channel())?;
    let data = Data::read(request, settings)?;
    let parameters = Parameters::read(request.query)?;
    if parameters.event.chars().nth(settings.event_name_chars).is_some() {
        return Err(Refusal::event_too_long(settings.event_name_chars));
    }
    let timestamp = timestamp(&parameters.timestamp, now)?;
    let name = channel.to_lowercase();
    let parts = Parts { channel: &name, event: &parameters.event, timestamp };
    let signature = Signature::parse(&parameters.auth_key);
    let delivered = signature.and_then(|signature| data.proven(signature, &parts, app, settings));
    let (Some(signature), Some(delivered)) = (signature, delivered) else { return Err(Refusal::credentials(&parameters.auth_key)) };
    let channel = name::parse(&channel, settings).map_err(|_| Refusal::bad_channel())?;
    if is_reserved_event(&parameters.event) {
        return Err(Refusal::reserved_event());
    }
    let socket_id = parameters.socket_id.filter(|_| settings.honor_socket_id);
    let publish = Publish {
        origin: socket_id.as_deref().and_then(parse_socket_id),
        ..Publish::new(channel, Arc::from(parameters.event), Bytes::from(delivered))
    };
    Ok(Trigger { publish, signature, auth_key: parameters.auth_key })
}

/// The channel in a path `/pushy/channel/<channel>/trigger`, of which all else ignores case (Y-6.1).
fn channel(path: &str) -> Option<&str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = path.split('/');
    let fixed = |segment: Option<&str>, expected: &str| segment.filter(|segment| segment.eq_ignore_ascii_case(expected)).map(|_| ());
    fixed(segments.next(), "")?;
    fixed(segments.next(), "pushy")?;
    fixed(segments.next(), "channel")?;
    let channel = segments.next().filter(|channel| !channel.is_empty())?;
    fixed(segments.next(), "trigger")?;
    segments.next().is_none().then_some(channel)
}

/// The parameters of Y-6.2. None may be given twice: of two readers each could take another one.
struct Parameters {
    event: String,
    timestamp: String,
    auth_key: String,
    socket_id: Option<String>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, Refusal> {
        let (mut event, mut timestamp, mut auth_key, mut socket_id) = (None, None, None, None);
        for (key, value) in query.split('&').take(form::PAIRS_MAX).map(form::pair) {
            let place = match key.as_str() {
                "event" => &mut event,
                "timestamp" => &mut timestamp,
                "auth_key" => &mut auth_key,
                "socket_id" => &mut socket_id,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Refusal::doubled_parameter());
            }
        }
        let required = |value: Option<String>| value.filter(|value| !value.is_empty()).ok_or_else(Refusal::missing_parameters);
        Ok(Self { event: required(event)?, timestamp: required(timestamp)?, auth_key: required(auth_key)?, socket_id })
    }
}

/// Reads a timestamp as the plain number that is signed (Y-6.5).
fn timestamp(text: &str, now: UnixTime) -> Result<u64, Refusal> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let timestamp = text.parse::<u64>().ok().filter(|_| digits).ok_or_else(Refusal::timestamp)?;
    let rounded = (now.as_millis() + 500) / 1000;
    if timestamp.abs_diff(rounded) < TIMESTAMP_WINDOW { Ok(timestamp) } else { Err(Refusal::timestamp()) }
}

/// What is signed beside the body (Y-6.6).
struct Parts<'a> {
    channel: &'a str,
    event: &'a str,
    timestamp: u64,
}

/// What a body says (Y-6.8).
enum Data<'a> {
    /// Nothing that counts.
    None,
    /// In canonical form, and as sent.
    Json(String, &'a [u8]),
    Form(Form),
}

impl<'a> Data<'a> {
    fn read(request: &Request<'a>, settings: &Settings) -> Result<Self, Refusal> {
        if request.body.len() > settings.trigger_body_bytes {
            return Err(Refusal::too_large());
        }
        let content_type = request.content_type.unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match content_type.as_str() {
            "application/json" => {
                let text = std::str::from_utf8(request.body).map_err(|_| Refusal::bad_json())?;
                let canonical = canonical(text).filter(|json| json.starts_with(['{', '[']));
                canonical.map(|canonical| Self::Json(canonical, request.body)).ok_or_else(Refusal::bad_json)
            }
            "application/x-www-form-urlencoded" => {
                let form = Form::parse(&String::from_utf8_lossy(request.body)).map_err(|bad| Refusal::bad_form(&bad.to_string()))?;
                Ok(Self::Form(form))
            }
            "multipart/form-data" => Err(Refusal::unsupported_type()),
            _ => Ok(Self::None),
        }
    }

    /// What to deliver, if `signature` is that of one of the texts that may be signed (Y-6.9).
    fn proven(self, signature: Signature, parts: &Parts<'_>, app: &App, settings: &Settings) -> Option<String> {
        let timestamp = parts.timestamp.to_string();
        let signs = |body: &[u8]| {
            let parts = |secret: &str| {
                signature.signs(&[parts.channel.as_bytes(), parts.event.as_bytes(), timestamp.as_bytes(), body, secret.as_bytes()])
            };
            settings.trigger_secrets(app).any(parts)
        };
        match self {
            Self::None => signs(b"{}").then(|| "{}".to_owned()),
            Self::Json(canonical, sent) => (signs(canonical.as_bytes()) || settings.php_compat && signs(sent)).then_some(canonical),
            Self::Form(form) => {
                let canonical = Some(form.canonical()).filter(|text| signs(text.as_bytes()));
                if canonical.is_some() || !settings.php_compat {
                    return canonical;
                }
                let php = [Numbers::Quoted, Numbers::Bare].into_iter().map(|numbers| form.php(numbers));
                let text = php.into_iter().find(|text| signs(text.as_bytes()));
                text.map(|text| if form.is_empty() { "{}".to_owned() } else { text })
            }
        }
    }
}
