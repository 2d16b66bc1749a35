//! What a verified request asks for: row 10 of P-10.7. The calls that publish are read in `publish.rs`.

use super::{Endpoint, Refusal, Verified, publish};
use crate::pusher::name::{self, Kind};
use percent_encoding::percent_decode_str;
use tidings_hub::{App, ChannelName, Publish};

/// A call of the API whose parameters are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Publish one event, then answer with [`super::answer::published`].
    Publish(Publish, Info),
    /// Publish all in order, then answer with [`super::answer::batch`]. Each has exactly one channel.
    Batch(Vec<(Publish, Info)>),
    /// Publish one event, then answer 202 with no body (P-11.12).
    LegacyPublish(Publish),
    /// Answer with [`super::answer::channels`].
    Channels {
        /// How the names wanted start; empty for all.
        prefix: String,
        /// What to tell of each.
        info: Info,
    },
    /// Answer with [`super::answer::channel`].
    Channel {
        /// The channel.
        name: ChannelName,
        /// What to tell of it. It applies to this channel.
        info: Info,
    },
    /// Answer with [`super::answer::users`].
    Users {
        /// A presence channel.
        name: ChannelName,
    },
    /// Close all connections signed in as this user, then answer with [`super::answer::EMPTY`].
    Terminate {
        /// The user.
        user_id: String,
    },
}

/// The attributes that a caller asked for. With none the answer is `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Distinct users of a presence channel.
    pub user_count: bool,
    /// Subscribed connections.
    pub subscription_count: bool,
    /// The last event of a cache channel.
    pub cache: bool,
}

impl Info {
    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads a comma separated list of counts, the attributes that every call with `info` knows.
    pub(super) fn counts(list: &str) -> Result<Self, Refusal> {
        let info = Self::parse(list)?;
        if info.cache { Err(bad_info("user_count, subscription_count")) } else { Ok(info) }
    }

    fn parse(list: &str) -> Result<Self, Refusal> {
        let mut info = Self::default();
        for attribute in list.split(',').map(str::trim).filter(|attribute| !attribute.is_empty()) {
            match attribute {
                "user_count" => info.user_count = true,
                "subscription_count" => info.subscription_count = true,
                "cache" => info.cache = true,
                _ => return Err(bad_info("user_count, subscription_count or, for one channel, cache")),
            }
        }
        Ok(info)
    }
}

/// Official test suites look for the first half (P-10.12).
fn bad_info(attributes: &str) -> Refusal {
    Refusal::bad(&format!("info should be a comma separated list of attributes: {attributes}"))
}

/// Reads the parameters of a verified request.
///
/// # Errors
/// 400 or 413, and nothing of the request may be performed.
pub fn decode(verified: &Verified<'_>) -> Result<Call, Refusal> {
    let app = &*verified.app;
    match verified.route.endpoint {
        Endpoint::Events => publish::one(verified).map(|(publish, info)| Call::Publish(publish, info)),
        Endpoint::BatchEvents => publish::batch(verified).map(Call::Batch),
        Endpoint::LegacyEvents(segment) => publish::legacy(verified, channel(segment, app)?).map(Call::LegacyPublish),
        Endpoint::Channels => channels(verified),
        Endpoint::Channel(segment) => one_channel(verified, channel(segment, app)?),
        Endpoint::Stats(segment) => {
            let name = channel(segment, app)?;
            let user_count = Kind::of(name.as_str()) == Kind::Presence;
            Ok(Call::Channel { name, info: Info { user_count, ..Info::default() } })
        }
        Endpoint::Users(segment) => users(channel(segment, app)?),
        Endpoint::Terminate(segment) => terminate(verified, segment),
    }
}

/// P-11.5.
fn channels(verified: &Verified<'_>) -> Result<Call, Refusal> {
    let prefix = verified.parameters.text("filter_by_prefix")?.unwrap_or_default();
    let info = Info::counts(verified.parameters.text("info")?.unwrap_or_default())?;
    if info.user_count && !prefix.starts_with("presence-") {
        return Err(Refusal::bad(
            "user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-",
        ));
    }
    Ok(Call::Channels { prefix: prefix.to_owned(), info })
}

/// P-11.6.
fn one_channel(verified: &Verified<'_>, name: ChannelName) -> Result<Call, Refusal> {
    let info = Info::parse(verified.parameters.text("info")?.unwrap_or_default())?;
    if info.user_count && Kind::of(name.as_str()) != Kind::Presence {
        return Err(Refusal::bad("Cannot retrieve the user count unless the channel is a presence channel"));
    }
    if info.cache && !name.caches() {
        return Err(Refusal::bad(
            "Cannot retrieve the cache unless the channel is a cache channel: its name must start with cache- after the type",
        ));
    }
    Ok(Call::Channel { name, info })
}

/// P-11.8.
fn users(name: ChannelName) -> Result<Call, Refusal> {
    if Kind::of(name.as_str()) != Kind::Presence {
        return Err(Refusal::bad("Users can only be retrieved for presence channels"));
    }
    Ok(Call::Users { name })
}

/// P-11.14.
fn terminate(verified: &Verified<'_>, segment: &str) -> Result<Call, Refusal> {
    publish::check_empty(verified.body)?;
    let user_id = percent_decode_str(segment).decode_utf8().map_err(|_| Refusal::bad("The user id in the path must be UTF-8"))?;
    Ok(Call::Terminate { user_id: user_id.into_owned() })
}

/// The channel that a segment of the path names, raw or escaped (P-11.7).
fn channel(segment: &str, app: &App) -> Result<ChannelName, Refusal> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| Refusal::bad("The channel name in the path must be UTF-8"))?;
    parse_channel(&text, app)
}

/// The channel called `text` (P-4.1).
pub(super) fn parse_channel(text: &str, app: &App) -> Result<ChannelName, Refusal> {
    name::parse(text, app.channel_name_max)
        .map_err(|error| Refusal::bad(&format!("The channel name {} cannot be used: {error}", quoted(text))))
}

/// The beginning of `text`, fit for a sentence.
pub(super) fn quoted(text: &str) -> String {
    let beginning: String = text.chars().take(200).collect();
    format!("{beginning:?}")
}
