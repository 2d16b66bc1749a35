//! What a request asks for, read in full (sections 4.2 to 4.7).

use super::parameters::Parameters;
use super::registration::{self, Family, Registration, Which};
use super::route::{Method, Place, Retired, Route};
use super::settings::AppPatch;
use super::trigger::{self, Trigger};
use super::{EVENTS_DEFAULT, Limits, Refusal, channel};
use std::fmt;
use tidings_hub::ChannelName;

/// A call whose parameters are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Begin a session, then answer with [`super::answer::token`] and the cookie (I-4.5).
    Login(Credentials),
    /// End the session, then answer with [`super::answer::success`] (I-4.6).
    Logout,
    /// Answer with [`super::answer`]'s function for it.
    Health(Health),
    /// Answer with [`super::answer::info`].
    Info,
    /// Answer with [`super::answer::versions`].
    Versions,
    /// Make an app; its name is given (I-4.11).
    CreateApp(AppPatch),
    /// List the session's app (I-4.12).
    ListApps,
    /// Show the app if it is the session's (I-4.13).
    ShowApp {
        /// Its ident.
        ident: String,
    },
    /// Change the app if it is the session's (I-4.14).
    UpdateApp {
        /// Its ident.
        ident: String,
        /// What changes.
        patch: AppPatch,
    },
    /// Publish [`Trigger::ping`] (I-4.16).
    Ping,
    /// Show the app's public key for web push (I-4.38).
    VapidKey,
    /// List stored events, the newest first (I-4.17).
    ListEvents {
        /// How many, within the limits.
        count: u32,
        /// How many to pass over.
        skip: u64,
        /// Only those of this channel.
        channel: Option<String>,
    },
    /// Publish an event (I-4.18).
    Trigger(Trigger),
    /// List who follows what (I-4.22).
    ListSubscriptions {
        /// Only of this user.
        user_id: Option<String>,
        /// Only of this channel.
        event: Option<String>,
    },
    /// Have a user follow a channel (I-4.23).
    Subscribe {
        /// The user.
        user_id: String,
        /// The channel.
        event: ChannelName,
    },
    /// End that (I-4.24).
    Unsubscribe {
        /// The user.
        user_id: String,
        /// The channel.
        event: String,
        /// Whether it must have been so.
        force: bool,
    },
    /// List connections (I-4.25).
    ListSockets,
    /// List the channels of one connection (I-4.26).
    Socket {
        /// Its id, as sent.
        id: String,
    },
    /// List registrations (I-4.30).
    ListRegistrations {
        /// Of what.
        family: Family,
        /// Only of this URL, token, address or endpoint.
        id: Option<String>,
        /// Only for this channel.
        event: Option<String>,
    },
    /// Register, once [`super::prove`] agrees (I-4.31).
    Register(Registration),
    /// Delete registrations (I-4.34 to I-4.37).
    Unregister {
        /// Of what.
        family: Family,
        /// Which.
        which: Which,
        /// Whether there must be such a one, where it is one.
        force: bool,
    },
}

/// Who wants to log in. The secret never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The app's ident.
    pub app_id: String,
    /// Its key.
    pub app_key: String,
    /// The key's secret.
    pub app_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// How much of the server's health is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// That it serves (I-4.50).
    Summary,
    /// That it lives (I-4.51).
    Live,
    /// Whether it is ready (I-4.52).
    Ready,
    /// All its parts (I-4.53).
    Detailed,
}

pub(super) fn decode(route: &Route, parameters: &Parameters<'_>, limits: &Limits) -> Result<Call, Refusal> {
    let force = || parameters.flag("force", false);
    Ok(match (&route.place, route.method) {
        (Place::Login, _) => Call::Login(credentials(parameters)?),
        (Place::Logout, _) => Call::Logout,
        (Place::Apps, Method::Get) => Call::ListApps,
        (Place::Apps, _) => create_app(parameters)?,
        (Place::App(ident), Method::Get) => Call::ShowApp { ident: ident.clone() },
        (Place::App(ident), _) => Call::UpdateApp { ident: ident.clone(), patch: AppPatch::read(&parameters.record()?)? },
        (Place::Ping, _) => Call::Ping,
        (Place::VapidKey, _) => Call::VapidKey,
        (Place::Events, Method::Get) => events(parameters, limits)?,
        (Place::Events, _) => Call::Trigger(trigger::read(&parameters.json()?, limits)?),
        (Place::Subscriptions, Method::Get) => subscriptions(parameters),
        (Place::Subscriptions, _) => subscribe(parameters, limits)?,
        (Place::Subscription { user_id, event }, _) => Call::Unsubscribe { user_id: user_id.clone(), event: event.clone(), force: force() },
        (Place::Sockets, _) => Call::ListSockets,
        (Place::Socket(id), _) => Call::Socket { id: id.clone() },
        (Place::Family(family), Method::Get) => registrations(*family, parameters),
        (Place::Family(family), Method::Delete) => unregister(*family, parameters)?,
        (Place::Family(family), _) => Call::Register(registration::read(*family, false, parameters, limits)?),
        (Place::Registered(family, which), _) => Call::Unregister { family: *family, which: named(which, parameters), force: force() },
        (Place::Messaging, _) => return Err(Refusal::not_implemented()),
        (Place::Health, _) => Call::Health(Health::Summary),
        (Place::HealthLive, _) => Call::Health(Health::Live),
        (Place::HealthReady, _) => Call::Health(Health::Ready),
        (Place::HealthDetailed, _) => Call::Health(Health::Detailed),
        (Place::Info, _) => Call::Info,
        (Place::Versions, _) => Call::Versions,
        (Place::Retired { what, .. }, method) => retired(what, method, parameters, limits)?,
    })
}

/// I-4.60.
fn retired(what: &Retired, method: Method, parameters: &Parameters<'_>, limits: &Limits) -> Result<Call, Refusal> {
    Ok(match what {
        Retired::Subscribe => subscribe(parameters, limits)?,
        Retired::Unsubscribe => unsubscribe(parameters)?,
        Retired::Subscriptions => subscriptions(parameters),
        Retired::Events if method == Method::Post => Call::Trigger(trigger::read(&parameters.json()?, limits)?),
        Retired::Events => events(parameters, limits)?,
        Retired::Ping => Call::Ping,
        Retired::Sockets => Call::ListSockets,
        Retired::Socket(id) => Call::Socket { id: id.clone() },
        Retired::Register(family) => Call::Register(registration::read(*family, true, parameters, limits)?),
        Retired::Unregister(family) => unregister(*family, parameters)?,
        Retired::Registrations(family) => registrations(*family, parameters),
    })
}

/// I-4.5. The text does not tell which of them is missing.
fn credentials(parameters: &Parameters<'_>) -> Result<Credentials, Refusal> {
    let record = parameters.record()?;
    let text = |name| match record.text(name) {
        Ok(Some(text)) if !text.is_empty() => Ok(text.into_owned()),
        _ => Err(Refusal::bad("A login needs app_id, app_key and app_secret")),
    };
    Ok(Credentials { app_id: text("app_id")?, app_key: text("app_key")?, app_secret: text("app_secret")? })
}

/// I-4.11.
fn create_app(parameters: &Parameters<'_>) -> Result<Call, Refusal> {
    let mut record = parameters.record()?;
    record.required("name")?;
    record.check()?;
    AppPatch::read(&record).map(Call::CreateApp)
}

/// I-4.17, I-3.7.
fn events(parameters: &Parameters<'_>, limits: &Limits) -> Result<Call, Refusal> {
    let count = parameters.integer("count")?.filter(|count| *count > 0).unwrap_or(EVENTS_DEFAULT.into());
    let count = u32::try_from(count).unwrap_or(u32::MAX).min(limits.events);
    let skip = u64::try_from(parameters.integer("skip")?.unwrap_or(0)).unwrap_or(0);
    Ok(Call::ListEvents { count, skip, channel: owned(parameters, "channel") })
}

/// I-4.22.
fn subscriptions(parameters: &Parameters<'_>) -> Call {
    Call::ListSubscriptions { user_id: owned(parameters, "user_id"), event: owned(parameters, "event") }
}

/// I-4.23. A user's name is part of a channel's, so the same limits hold.
fn subscribe(parameters: &Parameters<'_>, limits: &Limits) -> Result<Call, Refusal> {
    let mut record = parameters.record()?;
    let (user_id, event) = (record.required("user_id")?, record.required("event")?);
    record.check()?;
    if user_id.len() > limits.channel_name_bytes || user_id.chars().any(char::is_control) {
        return Err(Refusal::bad(format!("user_id must have at most {} bytes and no control characters", limits.channel_name_bytes)));
    }
    Ok(Call::Subscribe { user_id, event: channel(&event, limits)? })
}

fn unsubscribe(parameters: &Parameters<'_>) -> Result<Call, Refusal> {
    let mut record = parameters.record()?;
    let (user_id, event) = (record.required("user_id")?, record.required("event")?);
    record.check()?;
    Ok(Call::Unsubscribe { user_id, event, force: false })
}

/// I-4.30.
fn registrations(family: Family, parameters: &Parameters<'_>) -> Call {
    Call::ListRegistrations { family, id: owned(parameters, family.id_field()), event: owned(parameters, "event") }
}

/// What to delete, named by parameters alone (I-4.36, I-4.60).
fn unregister(family: Family, parameters: &Parameters<'_>) -> Result<Call, Refusal> {
    let mut record = parameters.record()?;
    let id = record.required(family.id_field())?;
    record.check()?;
    let event = record.text("event")?.filter(|event| !event.is_empty());
    let which = event.map_or(Which::All { id: id.clone() }, |event| Which::One { id: id.clone(), event: event.into() });
    Ok(Call::Unregister { family, which, force: parameters.flag("force", false) })
}

/// An endpoint's channel stands in the query (I-4.37). Other ids may have theirs there too, rather than lose all registrations.
fn named(which: &Which, parameters: &Parameters<'_>) -> Which {
    match (which, owned(parameters, "event")) {
        (Which::All { id }, Some(event)) => Which::One { id: id.clone(), event },
        _ => which.clone(),
    }
}

fn owned(parameters: &Parameters<'_>, name: &str) -> Option<String> {
    parameters.field(name).map(str::to_owned)
}
