//! `POST /events`: a JSON body and the event that comes of it (I-4.18 to I-4.21).

use super::json::{Members, is_falsy};
use super::{Limits, Refusal, channel};
use crate::pusher::json;
use crate::pusher::name::is_reserved_event;
use bytes::Bytes;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::sync::Arc;
use tidings_hub::ChannelName;

/// The channel of an event that names none (I-2.15).
const DEFAULT_CHANNEL: &str = "global";
/// The name of an event that has none.
const DEFAULT_EVENT: &str = "message";

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Where, in the order given; one that is named twice is stored twice (I-2.14).
    pub channels: SmallVec<[ChannelName; 1]>,
    /// Its name.
    pub name: Arc<str>,
    /// Its data: a string's text, or another value as compact JSON (I-1.9).
    pub data: Bytes,
    /// Whether to store it.
    pub persist: bool,
    /// All other members of the body in their order, as JSON without the braces around them (I-4.20).
    pub extras: Option<Bytes>,
}

impl Trigger {
    /// What `GET /apps/ping` publishes (I-4.16).
    #[must_use]
    pub fn ping() -> Self {
        let channels = SmallVec::from_iter([default_channel()]);
        Self { channels, name: Arc::from("ping"), data: Bytes::from_static(b"ping"), persist: false, extras: None }
    }
}

/// Reads the members of a body.
pub(super) fn read(body: &Members<'_>, limits: &Limits) -> Result<Trigger, Refusal> {
    let data = data(body.value("data"))?;
    let name = name(body.value("event"))?;
    let channels = channels(body.value("channel"), limits)?;
    let persist = body.value("persist").is_none_or(|value| !is_falsy(value));
    if persist && (body.value("mid").is_some() || body.value("timestamp").is_some()) {
        return Err(Refusal::assertion());
    }
    let extras = extras(body);
    let bytes = name.len() + data.len() + extras.as_ref().map_or(0, Bytes::len);
    if bytes > limits.event_bytes {
        return Err(Refusal::too_large(limits.event_bytes));
    }
    Ok(Trigger { channels, name, data, persist, extras })
}

/// I-1.9, I-4.18.
fn data(value: Option<&RawValue>) -> Result<Bytes, Refusal> {
    let value = value.filter(|value| !is_falsy(value)).ok_or_else(Refusal::no_data)?;
    if !value.get().starts_with('"') {
        return Ok(json::compact(value).into());
    }
    let text = json::text(value).ok_or_else(|| Refusal::bad("The event data holds half of a surrogate pair; send whole characters"))?;
    Ok(Bytes::from(text.into_owned()))
}

/// I-4.19.
fn name(value: Option<&RawValue>) -> Result<Arc<str>, Refusal> {
    let Some(value) = value.filter(|value| !matches!(value.get(), "null" | "\"\"")) else { return Ok(Arc::from(DEFAULT_EVENT)) };
    let name = json::text(value).ok_or_else(|| Refusal::wrong_type("event", "str"))?;
    if is_reserved_event(&name) {
        return Err(Refusal::reserved_event(&name));
    }
    Ok(Arc::from(&*name))
}

/// I-2.15.
fn channels(value: Option<&RawValue>, limits: &Limits) -> Result<SmallVec<[ChannelName; 1]>, Refusal> {
    let wrong = || Refusal::bad("channel must be a name or a list of names");
    let Some(value) = value else { return Ok(SmallVec::from_iter([default_channel()])) };
    let values: Vec<&RawValue> = match value.get().as_bytes().first() {
        Some(b'n') => Vec::new(),
        Some(b'"') if value.get() == "\"\"" => Vec::new(),
        Some(b'"') => vec![value],
        Some(b'[') => serde_json::from_str(value.get()).map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    if values.is_empty() {
        return Ok(SmallVec::from_iter([default_channel()]));
    }
    if values.len() > limits.channels {
        return Err(Refusal::bad(format!("An event goes to at most {} channels, not {}", limits.channels, values.len())));
    }
    values.into_iter().map(|value| channel(&json::text(value).ok_or_else(wrong)?, limits)).collect()
}

fn default_channel() -> ChannelName {
    ChannelName::parse(DEFAULT_CHANNEL).expect("it is short and plain")
}

fn extras(body: &Members<'_>) -> Option<Bytes> {
    let mut out = Vec::new();
    for (name, value) in body.iter().filter(|(name, _)| !matches!(*name, "data" | "channel" | "event")) {
        if !out.is_empty() {
            out.push(b',');
        }
        json::write_string(name, &mut out);
        out.push(b':');
        out.extend_from_slice(&json::compact(value));
    }
    (!out.is_empty()).then(|| Bytes::from(out.into_boxed_slice()))
}
