//! The calls that publish: one event, a batch, the old way (P-11.1 to P-11.4, P-11.9 to P-11.12).

use super::call::{Info, parse_channel, quoted};
use super::parameters::Parameters;
use super::{Refusal, Verified};
use crate::pusher::json;
use crate::pusher::name::{self, Kind};
use bytes::Bytes;
use memchr::memchr;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use tidings_hub::{App, ChannelName, Publish, SocketId, Source};

/// P-11.1. What the body does not say may stand in the query (P-10.2).
pub(super) fn one(verified: &Verified<'_>) -> Result<(Publish, Info), Refusal> {
    let (app, parameters) = (&*verified.app, &verified.parameters);
    let fields: Fields<'_> = body(verified.body)?;
    let name = event_name(fields.name.or(query(parameters, "name")?), app)?;
    let data = match fields.data {
        Some(json) => json_data(json, app)?,
        None => text_data(query(parameters, "data")?, app)?,
    };
    let channels = match (fields.channels, fields.channel) {
        (Some(Texts(names)), _) => parse_channels(names.iter().map(|name| &*name.0), app)?,
        (None, Some(Text(name))) => parse_channels([&*name], app)?,
        (None, None) => query_channels(parameters, app)?,
    };
    let origin = origin(fields.socket_id.or(query(parameters, "socket_id")?), app)?;
    let info = info(fields.info.or(query(parameters, "info")?))?;
    Ok((Publish { channels, name, data, origin, source: Source::Server, stamps: None, extras: None, once: false }, info))
}

/// P-11.9, P-11.10: all or nothing.
pub(super) fn batch(verified: &Verified<'_>) -> Result<Vec<(Publish, Info)>, Refusal> {
    let app = &*verified.app;
    let batch: Batch<'_> = body(verified.body)?;
    let events = batch.batch.ok_or_else(|| Refusal::missing("batch"))?;
    let (count, max) = (events.len(), app.limits.batch_events);
    if count > max {
        return Err(Refusal::bad(&format!("Batch too large ({count} > {max})")));
    }
    if count == 0 {
        return Err(Refusal::bad("The batch is empty; it must hold at least one event"));
    }
    events.into_iter().map(|event| batched(event, app)).collect()
}

fn batched(event: &RawValue, app: &App) -> Result<(Publish, Info), Refusal> {
    let fields: Fields<'_> = object("Each event of the batch", event.get())?;
    let Text(channel) = fields.channel.ok_or_else(|| Refusal::missing("channel"))?;
    let channels = parse_channels([&*channel], app)?;
    let name = event_name(fields.name, app)?;
    let data = json_data(fields.data.ok_or_else(|| Refusal::missing("data"))?, app)?;
    let origin = origin(fields.socket_id, app)?;
    let publish = Publish { channels, name, data, origin, source: Source::Server, stamps: None, extras: None, once: false };
    Ok((publish, info(fields.info)?))
}

/// P-11.12: the body is the data.
pub(super) fn legacy(verified: &Verified<'_>, channel: ChannelName) -> Result<Publish, Refusal> {
    let (app, parameters) = (&*verified.app, &verified.parameters);
    let name = event_name(query(parameters, "name")?, app)?;
    let data = text_data(Some(Text(Cow::Borrowed(utf8(verified.body)?))), app)?;
    let origin = origin(query(parameters, "socket_id")?, app)?;
    Ok(Publish { origin, ..Publish::new(channel, name, data) })
}

/// Checks the body of a call that takes no parameters: an object, or nothing.
pub(super) fn check_empty(bytes: &[u8]) -> Result<(), Refusal> {
    body::<NoFields>(bytes).map(|_| ())
}

/// The members of an event. Each may be missing, and null is as good as missing; others are ignored (P-11.2).
#[derive(Default, Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<Texts<'a>>,
    #[serde(borrow)]
    channel: Option<Text<'a>>,
    #[serde(borrow)]
    socket_id: Option<Text<'a>>,
    #[serde(borrow)]
    info: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    batch: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
struct NoFields {}

/// A string, borrowed unless it holds escapes.
struct Text<'a>(Cow<'a, str>);

/// A list of strings.
struct Texts<'a>(SmallVec<[Text<'a>; 2]>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor<'a>(PhantomData<&'a str>);
        impl<'de: 'a, 'a> Visitor<'de> for TextsVisitor<'a> {
            type Value = Texts<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut texts = SmallVec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_seq(TextsVisitor(PhantomData))
    }
}

/// The parameters in the body: a JSON object, whatever the content type says, or nothing at all (P-10.2).
fn body<'a, T: Deserialize<'a> + Default>(bytes: &'a [u8]) -> Result<T, Refusal> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    object("The body", utf8(bytes)?)
}

/// Reads `text` as a JSON object; `what` begins the sentence if it is none.
fn object<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, Refusal> {
    // The derived code would take an array for an object.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Refusal::bad(&format!("{what} must be a JSON object")));
    }
    serde_json::from_str(text).map_err(|error| Refusal::bad(&format!("{what} must be a JSON object with the documented members: {error}")))
}

fn utf8(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|error| Refusal::bad(&format!("The body must be UTF-8; byte {} is not", error.valid_up_to())))
}

fn query<'p>(parameters: &'p Parameters<'_>, name: &str) -> Result<Option<Text<'p>>, Refusal> {
    Ok(parameters.text(name)?.map(|text| Text(Cow::Borrowed(text))))
}

/// P-3.10, P-18.2.
fn event_name(name: Option<Text<'_>>, app: &App) -> Result<Arc<str>, Refusal> {
    let Text(name) = name.ok_or_else(|| Refusal::missing("name"))?;
    let max = app.limits.event_name_chars;
    if name.is_empty() {
        return Err(Refusal::bad("The event name is empty; it must have at least one character"));
    }
    // Only a name with more bytes than allowed characters is counted.
    if name.len() > max && name.chars().count() > max {
        return Err(Refusal::bad(&format!("The event name has more than {max} characters; use a shorter one")));
    }
    if name::is_reserved_event(&name) {
        return Err(Refusal::bad(&format!("The event name {} is reserved; use another", quoted(&name))));
    }
    Ok(Arc::from(&*name))
}

/// The data in a body: a string's value, or any other value as compact JSON (P-11.2).
fn json_data(value: &RawValue, app: &App) -> Result<Bytes, Refusal> {
    if value.get().starts_with('"') {
        return text_data(Some(Text(unescape(value.get())?)), app);
    }
    sized(Cow::Owned(json::compact(value)), app)
}

fn text_data(data: Option<Text<'_>>, app: &App) -> Result<Bytes, Refusal> {
    let Text(data) = data.ok_or_else(|| Refusal::missing("data"))?;
    let data = match data {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    sized(data, app)
}

/// P-18.3.
fn sized(data: Cow<'_, [u8]>, app: &App) -> Result<Bytes, Refusal> {
    let (bytes, max) = (data.len(), app.limits.event_bytes);
    if bytes > max {
        return Err(Refusal::new(413, &format!("The event data has {bytes} bytes; at most {max} are allowed")));
    }
    // A copy, for a slice would keep the whole request; cut to size, for what was written as escapes is up to six times longer than
    // what is counted.
    Ok(Bytes::from(data.into_owned().into_boxed_slice()))
}

fn query_channels(parameters: &Parameters<'_>, app: &App) -> Result<SmallVec<[ChannelName; 1]>, Refusal> {
    let names = parameters.texts("channels[]")?;
    if !names.is_empty() {
        return parse_channels(names, app);
    }
    parse_channels([parameters.text("channel")?.ok_or_else(|| Refusal::missing("channels"))?], app)
}

/// Valid and distinct, and not several with an encrypted one among them (P-9.5, P-11.1, P-18.4).
fn parse_channels<'n>(
    names: impl IntoIterator<Item = &'n str, IntoIter: ExactSizeIterator>,
    app: &App,
) -> Result<SmallVec<[ChannelName; 1]>, Refusal> {
    let names = names.into_iter();
    let (count, max) = (names.len(), app.limits.publish_channels);
    if count == 0 {
        return Err(Refusal::bad("channels is empty; it must name at least one channel"));
    }
    if count > max {
        return Err(Refusal::bad(&format!("An event goes to at most {max} channels, not {count}; publish it several times")));
    }
    let mut channels = SmallVec::with_capacity(count);
    for name in names {
        let channel = parse_channel(name, app)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > 1
        && let Some(encrypted) = channels.iter().find(|channel| Kind::of(channel.as_str()) == Kind::PrivateEncrypted)
    {
        return Err(Refusal::bad(&format!(
            "{encrypted} is encrypted and must be the only channel of its event; publish to the others apart"
        )));
    }
    Ok(channels)
}

/// The length of a UUID.
const UUID_CHARS: usize = 36;

/// P-11.3, P-11.1.
fn origin(socket_id: Option<Text<'_>>, app: &App) -> Result<Option<SocketId>, Refusal> {
    let Some(Text(text)) = socket_id else { return Ok(None) };
    // Connections of Pushi's and Pushy's clients have ids of another form.
    if (app.dialects.pushi || app.dialects.pushy) && text.len() == UUID_CHARS {
        return Ok(crate::pushi::name::parse_socket_id(&text));
    }
    name::parse_socket_id(&text).map_err(|error| Refusal::bad(&format!("The socket_id {} cannot be used: {error}", quoted(&text))))
}

fn info(list: Option<Text<'_>>) -> Result<Info, Refusal> {
    list.map_or(Ok(Info::default()), |Text(list)| Info::counts(&list))
}

/// The value of a JSON string, whose grammar has been checked.
fn unescape(json: &str) -> Result<Cow<'_, str>, Refusal> {
    let mut rest = &json[1..json.len() - 1];
    let Some(mut escape) = memchr(b'\\', rest.as_bytes()) else { return Ok(Cow::Borrowed(rest)) };
    // One allocation: no escape is longer than it is written.
    let mut text = String::with_capacity(rest.len());
    loop {
        text.push_str(&rest[..escape]);
        let (character, length) = unescape_one(&rest[escape..]).ok_or_else(lone_surrogate)?;
        text.push(character);
        rest = &rest[escape + length..];
        match memchr(b'\\', rest.as_bytes()) {
            Some(next) => escape = next,
            None => break,
        }
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// The character for which the escape at the start of `text` stands, and the length of the escape. `None` for half of a surrogate pair.
fn unescape_one(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes()[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = code_unit(text)?;
            if let Some(character) = char::from_u32(first.into()) {
                return Some((character, 6));
            }
            let second = code_unit(text.get(6..)?)?;
            let pair = char::decode_utf16([first, second]).next()?.ok()?;
            return Some((pair, 12));
        }
        // `"`, `\` and `/` stand for themselves.
        other => char::from(other),
    };
    Some((character, 2))
}

/// The number in the `\uXXXX` that `text` starts with, if it does.
fn code_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

fn lone_surrogate() -> Refusal {
    Refusal::bad("The event data holds half of a surrogate pair; send whole characters")
}
