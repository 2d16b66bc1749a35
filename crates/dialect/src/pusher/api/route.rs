//! Which paths exist and which method each one takes: row 1 of P-10.7.

use super::Refusal;
use smallvec::SmallVec;

/// A known path with its allowed method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The app id as it stands in the path, escapes untouched; `None` where the app is that of the key (P-11.16).
    pub app: Option<&'a str>,
    /// What the path names.
    pub endpoint: Endpoint<'a>,
}

/// What a path names. Names and ids stand as in the path, escapes untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// Publish one event (P-11.1).
    Events,
    /// Publish several (P-11.9).
    BatchEvents,
    /// List occupied channels (P-11.5).
    Channels,
    /// Ask about one channel (P-11.6).
    Channel(&'a str),
    /// List the members of a presence channel (P-11.8).
    Users(&'a str),
    /// Publish on one channel, the old way (P-11.12).
    LegacyEvents(&'a str),
    /// Ask about one channel, the old way (P-11.13).
    Stats(&'a str),
    /// Close all connections of a signed-in user (P-11.14).
    Terminate(&'a str),
}

impl Endpoint<'_> {
    /// The one method it takes, which is also the value of `Allow`.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Events | Self::BatchEvents | Self::LegacyEvents(_) | Self::Terminate(_) => "POST",
            Self::Channels | Self::Channel(_) | Self::Users(_) | Self::Stats(_) => "GET",
        }
    }
}

/// Finds what `path`, which has no prefix and no query, names.
///
/// # Errors
/// 404 if it names nothing; 405 with [`Refusal::allow`] if it takes another method.
pub fn route<'a>(method: &str, path: &'a str) -> Result<Route<'a>, Refusal> {
    let route = find(path).ok_or_else(|| Refusal::new(404, "No call of the API has this path"))?;
    let allowed = route.endpoint.method();
    if method == allowed {
        return Ok(route);
    }
    Err(Refusal { allow: Some(allowed), ..Refusal::new(405, &format!("This path takes {allowed} only")) })
}

fn find(path: &str) -> Option<Route<'_>> {
    // The longest path has five segments; a sixth makes it unknown, whatever it holds.
    let segments: SmallVec<[&str; 6]> = path.strip_prefix('/')?.splitn(6, '/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let (app, endpoint) = match *segments.as_slice() {
        ["apps", app, "events"] => (app, Endpoint::Events),
        ["apps", app, "batch_events"] => (app, Endpoint::BatchEvents),
        ["apps", app, "channels"] => (app, Endpoint::Channels),
        ["apps", app, "channels", name] => (app, Endpoint::Channel(name)),
        ["apps", app, "channels", name, "users"] => (app, Endpoint::Users(name)),
        ["apps", app, "channels", name, "events"] => (app, Endpoint::LegacyEvents(name)),
        ["apps", app, "channels", name, "stats"] => (app, Endpoint::Stats(name)),
        ["apps", app, "users", user_id, "terminate_connections"] => (app, Endpoint::Terminate(user_id)),
        ["users", user_id, "terminate_connections"] => return Some(Route { app: None, endpoint: Endpoint::Terminate(user_id) }),
        _ => return None,
    };
    Some(Route { app: Some(app), endpoint })
}
