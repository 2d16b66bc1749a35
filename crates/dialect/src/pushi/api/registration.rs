//! Registrations of hooks, devices and addresses: the four families of section 4.4.

use super::parameters::Parameters;
use super::{Limits, Refusal, channel, quoted};
use crate::pushi::auth;
use std::fmt;
use tidings_hub::{Access, App, ChannelName};

/// The longest URL, token or address, in bytes.
const ID_BYTES_MAX: usize = 2048;
/// The longest key of a browser's subscription, in characters.
const KEY_BYTES_MAX: usize = 512;

/// What is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Webhooks, by their URL.
    Webs,
    /// Apple's devices, by their token.
    Apns,
    /// People, by their e-mail address.
    Smtps,
    /// Browsers, by the endpoint of their push service.
    WebPushes,
}

impl Family {
    /// The family whose path begins with `segment`.
    pub(super) fn of(segment: &str) -> Option<Self> {
        match segment {
            "webs" => Some(Self::Webs),
            "apns" => Some(Self::Apns),
            "smtps" => Some(Self::Smtps),
            "web_pushes" => Some(Self::WebPushes),
            _ => None,
        }
    }

    /// The field that holds the id.
    #[must_use]
    pub fn id_field(self) -> &'static str {
        match self {
            Self::Webs => "url",
            Self::Apns => "token",
            Self::Smtps => "email",
            Self::WebPushes => "endpoint",
        }
    }

    /// No registration of this family is the one that had to be there.
    #[must_use]
    pub fn not_found(self) -> Refusal {
        Refusal::not_found(match self {
            Self::Webs => "Web not found",
            Self::Apns => "APN not found",
            Self::Smtps => "SMTP not found",
            Self::WebPushes => "WebPush not found",
        })
    }

    /// Whether `id` can be one of this family's (I-4.31).
    pub(super) fn names(self, id: &str) -> bool {
        let plain = id.len() <= ID_BYTES_MAX && !id.chars().any(|character| character.is_control() || character.is_whitespace());
        plain
            && match self {
                Self::Webs | Self::WebPushes => is_url(id),
                Self::Apns => !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                Self::Smtps => id.rsplit_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()),
            }
    }
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) && !rest.is_empty() && !rest.starts_with(['/', '?', '#'])
}

/// A registration to make (I-4.31). What proves the right to it never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// What is registered.
    pub family: Family,
    /// Its URL, token, address or endpoint.
    pub id: String,
    /// The channel it is registered for.
    pub event: ChannelName,
    /// A browser's public key; empty for other families.
    pub p256dh: String,
    /// A browser's secret; empty for other families.
    pub auth: String,
    /// What shall prove that it may hear of the channel; see [`prove`].
    pub signature: Option<String>,
    /// Whether all that the id has in the app is removed first (I-4.32).
    pub unsubscribe: bool,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Registration");
        f.field("family", &self.family).field("id", &self.id).field("event", &self.event);
        f.field("unsubscribe", &self.unsubscribe).finish_non_exhaustive()
    }
}

/// Which registrations of a family to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that `id` has; the answer lists them.
    All {
        /// The URL, token, address or endpoint.
        id: String,
    },
    /// That of `id` for the channel `event`; the answer is that record.
    One {
        /// As above.
        id: String,
        /// The channel.
        event: String,
    },
    /// A URL that stands in a path as it is, so that its end may be a channel: [`Which::One`] unless there is no such registration and there
    /// are some of `whole`, for which [`Which::All`] holds (I-4.36).
    Either {
        /// The URL if the end is a channel.
        id: String,
        /// That end.
        event: String,
        /// The URL if it is not.
        whole: String,
    },
}

/// Checks that `registration` may hear of its channel in `app` (I-4.33).
///
/// # Errors
/// 400 if the channel needs a signature and there is no valid one.
pub fn prove(app: &App, registration: &Registration) -> Result<(), Refusal> {
    let Registration { event, id, signature, .. } = registration;
    if event.access() == Access::Public {
        return Ok(());
    }
    let proven = signature.as_ref().is_some_and(|signature| auth::verify(app, id, event.as_str(), signature));
    if proven { Ok(()) } else { Err(Refusal::invalid_signature()) }
}

/// Reads a registration; `unsubscribe` is what holds if the request does not say.
pub(super) fn read(family: Family, unsubscribe: bool, parameters: &Parameters<'_>, limits: &Limits) -> Result<Registration, Refusal> {
    let browser = family == Family::WebPushes;
    // A browser's secret and the signature have one name, so only JSON tells which is which.
    let mut record = if browser { parameters.json_record()? } else { parameters.record()? };
    let id = record.required(family.id_field())?;
    let event = record.required("event")?;
    let mut key = |name| if browser { record.required(name) } else { Ok(String::new()) };
    let (p256dh, auth) = (key("p256dh")?, key("auth")?);
    record.check()?;
    if !family.names(&id) {
        let wanted = match family {
            Family::Webs | Family::WebPushes => "an http or https URL",
            Family::Apns => "a token of hex digits",
            Family::Smtps => "an e-mail address",
        };
        return Err(Refusal::bad(format!("{} must be {wanted}, not {}", family.id_field(), quoted(&id))));
    }
    if p256dh.len() > KEY_BYTES_MAX || auth.len() > KEY_BYTES_MAX {
        return Err(Refusal::bad(format!("p256dh and auth have at most {KEY_BYTES_MAX} characters")));
    }
    let event = channel(&event, limits)?;
    let signature = parameters.field("auth").map(str::to_owned);
    Ok(Registration { family, id, event, p256dh, auth, signature, unsubscribe: parameters.flag("unsubscribe", unsubscribe) })
}
