//! Which paths exist, which methods each takes, and who may ask (I-4.1, sections 4.2 to 4.7).

use super::Refusal;
use super::registration::{Family, Which};
use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

/// Who may ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Anyone,
    /// Whoever has logged in; others get [`Refusal::not_authenticated`].
    Session,
    /// Anybody if the operator opened the making of apps, else the operator; others get [`Refusal::apps_are_closed`] (I-4.11).
    AppCreation,
    /// Whoever has logged in, and the operator; anybody if the operator says so (I-4.53). Others get [`Refusal::not_authenticated`].
    HealthDetails,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) place: Place,
    pub(super) method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// What a path names. Texts are unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Login,
    Logout,
    Apps,
    App(String),
    Ping,
    VapidKey,
    Events,
    Subscriptions,
    Subscription {
        user_id: String,
        event: String,
    },
    Sockets,
    Socket(String),
    Family(Family),
    Registered(Family, Which),
    Messaging,
    Health,
    HealthLive,
    HealthReady,
    HealthDetailed,
    Info,
    Versions,
    /// What 2013's clients asked an app for (I-4.60).
    Retired {
        app: String,
        what: Retired,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Retired {
    Subscribe,
    Unsubscribe,
    Subscriptions,
    Events,
    Ping,
    Sockets,
    Socket(String),
    Register(Family),
    Unregister(Family),
    Registrations(Family),
}

impl Route {
    pub(super) fn access(&self) -> Access {
        match self.place {
            Place::Login | Place::Logout | Place::Info | Place::Versions => Access::Anyone,
            Place::Health | Place::HealthLive | Place::HealthReady => Access::Anyone,
            Place::HealthDetailed => Access::HealthDetails,
            Place::Apps if self.method == Method::Post => Access::AppCreation,
            _ => Access::Session,
        }
    }

    pub(super) fn retired_app(&self) -> Option<&str> {
        match &self.place {
            Place::Retired { app, .. } => Some(app),
            _ => None,
        }
    }

    pub(super) fn is_terse(&self) -> bool {
        use Retired::{Register, Subscribe, Unregister, Unsubscribe};
        matches!(&self.place, Place::Retired { what: Subscribe | Unsubscribe | Register(_) | Unregister(_), .. })
    }

    pub(super) fn takes_app_key(&self) -> bool {
        matches!(self.place, Place::VapidKey | Place::Family(Family::WebPushes) | Place::Registered(Family::WebPushes, _))
    }
}

impl Place {
    /// The value of `Allow`. `OPTIONS` is answered by whoever knows the allowed origins (I-4.10).
    fn methods(&self) -> &'static str {
        match self {
            Self::Login | Self::Logout | Self::Apps | Self::Events | Self::Subscriptions => "GET, POST, OPTIONS",
            Self::Socket(_) | Self::Retired { .. } => "GET, POST, OPTIONS",
            Self::Family(Family::Webs) => "GET, POST, DELETE, OPTIONS",
            Self::Family(_) => "GET, POST, OPTIONS",
            Self::App(_) => "GET, PUT, OPTIONS",
            Self::Subscription { .. } | Self::Registered(..) => "DELETE, OPTIONS",
            Self::Messaging => "POST, OPTIONS",
            Self::Ping | Self::VapidKey | Self::Sockets | Self::Info | Self::Versions => "GET, OPTIONS",
            Self::Health | Self::HealthLive | Self::HealthReady | Self::HealthDetailed => "GET, OPTIONS",
        }
    }
}

/// The methods that `path` takes, as the headers `Allow` and `Access-Control-Allow-Methods` list them; `None` if it names nothing.
#[must_use]
pub fn methods(path: &str) -> Option<&'static str> {
    find(path).ok().flatten().map(|place| place.methods())
}

/// Finds what `path` names and whether it takes `method`.
///
/// # Errors
/// 404 if it names nothing; 405 with [`Refusal::allow`] if it takes other methods; 400 if an escape in it stands for no text.
pub(super) fn route(method: &str, path: &str) -> Result<Route, Refusal> {
    let place = find(path)?.ok_or_else(|| Refusal::not_handled(method, path))?;
    let allow = place.methods();
    let method = parse(method).filter(|_| allow.split(", ").any(|allowed| allowed == method));
    Ok(Route { method: method.ok_or_else(|| Refusal::wrong_method(allow))?, place })
}

fn parse(method: &str) -> Option<Method> {
    match method {
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        "DELETE" => Some(Method::Delete),
        _ => None,
    }
}

fn find(path: &str) -> Result<Option<Place>, Refusal> {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    // An id may be a URL, whose slashes count; all other slashes may be doubled (I-4.1).
    let rest = rest.trim_start_matches('/');
    if rest.is_empty() && path.ends_with('/') {
        return Ok(None);
    }
    match Family::of(first) {
        Some(family) if rest.is_empty() => return Ok(Some(Place::Family(family))),
        Some(family) => return registered(family, rest).map(|which| Some(Place::Registered(family, which))),
        None if path.ends_with('/') => return Ok(None),
        None => {}
    }
    // The longest path has four segments; a fifth makes it unknown, whatever it holds.
    let segments: SmallVec<[&str; 5]> = path.split('/').filter(|segment| !segment.is_empty()).take(5).collect();
    Ok(Some(match *segments.as_slice() {
        [] | ["info"] => Place::Info,
        ["login"] => Place::Login,
        ["logout"] => Place::Logout,
        ["apps"] => Place::Apps,
        ["apps", "ping"] => Place::Ping,
        ["apps", "vapid_key"] | ["vapid_key"] => Place::VapidKey,
        ["apps", ident] => Place::App(unescape(ident)?),
        ["apps", ident, "sockets", id] => Place::Retired { app: unescape(ident)?, what: Retired::Socket(unescape(id)?) },
        ["apps", ident, what] => {
            let Some(what) = retired(what) else { return Ok(None) };
            Place::Retired { app: unescape(ident)?, what }
        }
        ["events"] => Place::Events,
        ["subscriptions"] => Place::Subscriptions,
        ["subscriptions", ..] => return subscription(rest),
        ["sockets"] => Place::Sockets,
        ["sockets", id] => Place::Socket(unescape(id)?),
        ["messaging", "send" | "apn" | "email" | "webhook" | "web_push"] => Place::Messaging,
        ["health"] => Place::Health,
        ["health", "live"] => Place::HealthLive,
        ["health", "ready"] => Place::HealthReady,
        ["health", "detailed"] => Place::HealthDetailed,
        ["versions"] => Place::Versions,
        _ => return Ok(None),
    }))
}

/// I-4.60.
fn retired(what: &str) -> Option<Retired> {
    Some(match what {
        "subscribe" => Retired::Subscribe,
        "unsubscribe" => Retired::Unsubscribe,
        "subscriptions" => Retired::Subscriptions,
        "events" => Retired::Events,
        "ping" => Retired::Ping,
        "sockets" => Retired::Sockets,
        "subscribe_apn" => Retired::Register(Family::Apns),
        "subscribe_web" => Retired::Register(Family::Webs),
        "unsubscribe_apn" => Retired::Unregister(Family::Apns),
        "unsubscribe_web" => Retired::Unregister(Family::Webs),
        "subscriptions_apn" => Retired::Registrations(Family::Apns),
        "subscriptions_web" => Retired::Registrations(Family::Webs),
        _ => return None,
    })
}

/// The last segment is the channel, all before it the user's id (I-4.24).
fn subscription(rest: &str) -> Result<Option<Place>, Refusal> {
    let Some((user_id, event)) = rest.rsplit_once('/') else { return Ok(None) };
    Ok(Some(Place::Subscription { user_id: unescape(user_id.trim_end_matches('/'))?, event: unescape(event)? }))
}

/// Which registrations the rest of a path names (I-4.34 to I-4.37).
fn registered(family: Family, rest: &str) -> Result<Which, Refusal> {
    let whole = unescape(rest)?;
    let split = rest.rsplit_once('/').filter(|(_, event)| !event.is_empty());
    let Some((id, event)) = split.filter(|_| family != Family::WebPushes) else { return Ok(Which::All { id: whole }) };
    let (id, event) = (unescape(id)?, unescape(event)?);
    // Only a URL has slashes of its own.
    Ok(match family {
        Family::Webs if !family.names(&id) => Which::All { id: whole },
        Family::Webs => Which::Either { id, event, whole },
        _ => Which::One { id, event },
    })
}

fn unescape(segment: &str) -> Result<String, Refusal> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| Refusal::bad("What is escaped in the path must be UTF-8"))?;
    Ok(text.into_owned())
}
