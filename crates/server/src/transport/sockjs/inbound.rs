//! What clients send: bodies of sending requests and messages of WebSockets, checked and taken apart (S-3.3, S-5.8, S-5.9, S-6.5).

use super::settings::Settings;
use memchr::memchr;
use percent_encoding::percent_decode;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// A string, with U+FFFD where it holds half a surrogate pair (S-3.6).
    Text(Cow<'a, str>),
    /// A JSON text that is no string (S-3.7).
    Other(Cow<'a, str>),
}

/// Why nothing of a body is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// There is no body, or it is not what it should be.
    #[error("Payload expected.")]
    Payload,
    /// It is no JSON.
    #[error("Broken JSON encoding.")]
    Json,
    /// The body, a message or the number of messages is over its limit (S-8.1).
    #[error("Payload too large.")]
    TooLarge,
}

/// What one sender may send at once (S-8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole.
    pub request_bytes: usize,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Messages.
    pub messages: usize,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self { request_bytes: settings.request_bytes, message_bytes: settings.message_bytes, messages: settings.request_messages }
    }
}

impl Inbound<'_> {
    /// The same with its own text.
    #[must_use]
    pub fn into_owned(self) -> Inbound<'static> {
        match self {
            Self::Text(text) => Inbound::Text(Cow::Owned(text.into_owned())),
            Self::Other(json) => Inbound::Other(Cow::Owned(json.into_owned())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Other(text) => text.len(),
        }
    }
}

/// The messages in the body of an `xhr_send` (S-5.8).
///
/// # Errors
/// [`Unsent`], which [`Service::unsent`](super::Service::unsent) answers.
pub fn xhr_send<'a>(content_type: Option<&str>, body: &'a [u8], limits: Limits) -> Result<Vec<Inbound<'a>>, Unsent> {
    const TYPES: [&str; 6] = ["", "text/plain", "t", "application/json", "application/xml", "text/xml"];
    let media = media(content_type);
    if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(media)) {
        return Err(Unsent::Payload);
    }
    array(payload(body, limits)?, limits)
}

/// The messages in the body of a `jsonp_send` (S-5.9).
///
/// # Errors
/// [`Unsent`], which [`Service::unsent`](super::Service::unsent) answers.
pub fn jsonp_send<'a>(content_type: Option<&str>, body: &'a [u8], limits: Limits) -> Result<Vec<Inbound<'a>>, Unsent> {
    let media = media(content_type);
    if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let field = field(payload_bytes(body, limits)?).ok_or(Unsent::Payload)?;
        let messages = array_or_string(text(&field)?, limits)?;
        return Ok(messages.into_iter().map(Inbound::into_owned).collect());
    }
    if !media.is_empty() && !media.eq_ignore_ascii_case("text/plain") {
        return Err(Unsent::Payload);
    }
    array_or_string(payload(body, limits)?, limits)
}

/// The messages in a text message of a WebSocket: those of an array, one string, or one value that is neither; none if it is empty (S-6.5).
///
/// # Errors
/// [`Unsent::Json`] or [`Unsent::TooLarge`].
pub fn websocket(text: &str, limits: Limits) -> Result<Vec<Inbound<'_>>, Unsent> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    match array(text, limits) {
        Err(Unsent::Payload) => {}
        messages => return messages,
    }
    let value: &RawValue = serde_json::from_str(text).map_err(|_| Unsent::Json)?;
    Ok(vec![message(value, limits)?])
}

/// The type without its parameters.
fn media(content_type: Option<&str>) -> &str {
    content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

fn payload(body: &[u8], limits: Limits) -> Result<&str, Unsent> {
    text(payload_bytes(body, limits)?)
}

fn payload_bytes(body: &[u8], limits: Limits) -> Result<&[u8], Unsent> {
    match body.len() {
        0 => Err(Unsent::Payload),
        len if len > limits.request_bytes => Err(Unsent::TooLarge),
        _ => Ok(body),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Unsent> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Unsent::Json)
}

/// Field `d` of a form, decoded, unless it is empty.
fn field(form: &[u8]) -> Option<Vec<u8>> {
    let value = form.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"d="))?;
    let spaced: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    (!decoded.is_empty()).then_some(decoded)
}

/// The messages of an array, or of a string that holds one (S-5.9).
fn array_or_string(json: &str, limits: Limits) -> Result<Vec<Inbound<'_>>, Unsent> {
    if !json.trim_ascii_start().starts_with('"') {
        return array(json, limits);
    }
    let string: &RawValue = serde_json::from_str(json).map_err(|_| Unsent::Json)?;
    let Inbound::Text(text) = inbound(string) else { return Err(Unsent::Payload) };
    Ok(array(&text, limits)?.into_iter().map(Inbound::into_owned).collect())
}

/// The messages of a JSON array. Any other JSON is [`Unsent::Payload`].
fn array(json: &str, limits: Limits) -> Result<Vec<Inbound<'_>>, Unsent> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = deserializer.deserialize_seq(Messages { limits }).and_then(|messages| deserializer.end().map(|()| messages));
    match read {
        Ok(messages) => messages.ok_or(Unsent::TooLarge),
        Err(_) if !json.trim_ascii_start().starts_with('[') && serde_json::from_str::<&RawValue>(json).is_ok() => Err(Unsent::Payload),
        Err(_) => Err(Unsent::Json),
    }
}

/// Takes an array element by element; `None` stands for too much, which is known only when all of it has proved to be JSON.
struct Messages {
    limits: Limits,
}

impl<'de> Visitor<'de> for Messages {
    type Value = Option<Vec<Inbound<'de>>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut messages = Some(Vec::new());
        while let Some(element) = elements.next_element::<&'de RawValue>()? {
            let Some(taken) = &mut messages else { continue };
            match message(element, self.limits) {
                Ok(message) if taken.len() < self.limits.messages => taken.push(message),
                _ => messages = None,
            }
        }
        Ok(messages)
    }
}

fn message(value: &RawValue, limits: Limits) -> Result<Inbound<'_>, Unsent> {
    let message = inbound(value);
    if message.len() > limits.message_bytes { Err(Unsent::TooLarge) } else { Ok(message) }
}

fn inbound(value: &RawValue) -> Inbound<'_> {
    match value.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if memchr(b'\\', inner.as_bytes()).is_none() => Inbound::Text(Cow::Borrowed(inner)),
        Some(inner) => Inbound::Text(Cow::Owned(unescape(inner))),
        None => Inbound::Other(Cow::Borrowed(value.get())),
    }
}

/// What a string says that is known to be JSON.
fn unescape(mut rest: &str) -> String {
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (character, len) = escape(&rest[at..]);
        out.push(character);
        rest = &rest[at + len..];
    }
    out.push_str(rest);
    out
}

/// The character of the escape that `text` begins with, and the escape's length.
fn escape(text: &str) -> (char, usize) {
    let character = match text.as_bytes().get(1) {
        Some(b'u') => return surrogates(text),
        Some(b'b') => '\u{8}',
        Some(b't') => '\t',
        Some(b'n') => '\n',
        Some(b'f') => '\u{c}',
        Some(b'r') => '\r',
        Some(&other) => char::from(other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2.min(text.len()))
}

/// The same for `\uxxxx`, and for two of them that are one character. Half a pair is U+FFFD (S-3.6).
fn surrogates(text: &str) -> (char, usize) {
    let unit = |text: &str| text.strip_prefix("\\u").and_then(|text| u16::from_str_radix(text.get(..4)?, 16).ok());
    let Some(first) = unit(text) else { return (char::REPLACEMENT_CHARACTER, 2) };
    let second = text.get(6..).and_then(unit);
    match char::decode_utf16([first].into_iter().chain(second)).next() {
        Some(Ok(character)) => (character, 6 * character.len_utf16()),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests;
