//! Who may read what: the URL of a stream, its signature, and why it is refused.
//!
//! `GET /apps/{id}/sse?key=K&channel=a&channel=b` reads public channels. For others a backend adds `expires=<unix seconds>` and
//! `auth=K:<signature>`: the hex HMAC-SHA256 of app id, expires and the channels, joined by line feeds, with a key of its own that is derived from the
//! secret, so that no signature of another dialect is good here.

use super::codec::Id;
use crate::auth;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use tidings_hub::{Access, App, ChannelName, UnixTime};

/// Channels of one stream.
pub const CHANNELS_MAX: usize = 100;
/// How far ahead a URL may expire, in seconds.
pub const EXPIRES_MAX: u64 = 86_400;
/// What the key of signatures is derived with.
const PURPOSE: &[u8] = b"tidings-sse";

/// A request as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// `Last-Event-ID`.
    pub last_event_id: Option<&'a str>,
    /// `Origin`.
    pub origin: Option<&'a str>,
}

/// What the request meets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// The app has all the connections it may have.
    pub app_full: bool,
    /// The node has.
    pub node_full: bool,
    /// The server stops.
    pub draining: bool,
    /// The client speaks TLS.
    pub tls: bool,
}

/// A stream that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// By which it came in.
    pub key: String,
    /// In the order of the URL; never empty, no repeats.
    pub channels: Vec<ChannelName>,
    /// Where it left off, if it says so in words of ours.
    pub resume: Resume,
}

/// Where a reader says that it left off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// It has read nothing before.
    No,
    /// There.
    From(Id),
    /// Somewhere that nobody here knows.
    Unknown,
}

/// Why a stream is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The method is not GET.
    #[error("a stream is read with GET")]
    Method,
    /// There is no such app, or it is not spoken to so.
    #[error("there is no app of this id that is read by server-sent events")]
    UnknownApp,
    /// It is switched off.
    #[error("the app is disabled")]
    Disabled,
    /// The query is no query.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    /// The key, the time or the signature is not good.
    #[error("{0}")]
    Unauthorized(Cow<'static, str>),
    /// Pages of this origin may not.
    #[error("pages of this origin may not connect; add it to the app's `origins`")]
    Origin,
    /// Only over TLS.
    #[error("the app wants TLS: use https")]
    NeedsTls,
    /// There is no room.
    #[error("{0}")]
    Busy(&'static str),
}

impl Refusal {
    /// The status of the answer. To all of them `EventSource` gives up.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::UnknownApp => 404,
            Self::Malformed(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::Disabled | Self::Origin | Self::NeedsTls => 403,
            Self::Busy(_) => 503,
        }
    }
}

/// The app id of a path that is a stream's, the listener's prefix taken away.
#[must_use]
pub fn app_of(path: &str) -> Option<&str> {
    path.strip_prefix("/apps/")?.strip_suffix("/sse").filter(|id| !id.contains('/'))
}

/// Decides whether the stream may be read. `app` is that of the path.
///
/// # Errors
/// [`Refusal`], the first check that fails.
pub fn admit(app: Option<&App>, request: &Request<'_>, load: Load, now: UnixTime) -> Result<Wanted, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::Method);
    }
    let app = app.filter(|app| app.dialects.sse).ok_or(Refusal::UnknownApp)?;
    if load.draining {
        return Err(Refusal::Busy("the server is about to stop; come again"));
    }
    if !app.enabled {
        return Err(Refusal::Disabled);
    }
    if app.force_tls && !load.tls {
        return Err(Refusal::NeedsTls);
    }
    if app.origins.as_ref().is_some_and(|origins| !allows(origins, request.origin)) {
        return Err(Refusal::Origin);
    }
    let parameters = Parameters::parse(request.query)?;
    let key = parameters.key.as_deref().ok_or(Refusal::Malformed("the parameter `key` is missing".into()))?;
    let secret = app.secret(key).ok_or(Refusal::Unauthorized("`key` is no key of this app".into()))?;
    let channels = channels(&parameters.channels)?;
    match (&parameters.auth, &parameters.expires) {
        (None, None) => {
            if let Some(closed) = channels.iter().find(|channel| channel.access() != Access::Public) {
                let why = format!("the channel {closed} needs `expires` and `auth`: have a backend that holds the secret make the URL");
                return Err(Refusal::Unauthorized(why.into()));
            }
        }
        (Some(auth), Some(expires)) => check(app, (key, secret), (auth, expires), &channels, now)?,
        (Some(_), None) => return Err(Refusal::Malformed("`auth` comes without `expires`".into())),
        (None, Some(_)) => return Err(Refusal::Malformed("`expires` comes without `auth`".into())),
    }
    if load.app_full {
        return Err(Refusal::Busy("the app has all the connections it may have"));
    }
    if load.node_full {
        return Err(Refusal::Busy("the server has all the connections it may have"));
    }
    // A browser that reconnects says where it was in the header; the parameter is what a page gave it at first.
    let last = request.last_event_id.map(Cow::Borrowed).or(parameters.last_event_id.map(Cow::Owned)).filter(|id| !id.is_empty());
    let resume = last.map_or(Resume::No, |text| Id::parse(&text).map_or(Resume::Unknown, Resume::From));
    Ok(Wanted { key: key.to_owned(), channels, resume })
}

/// The query, signed, of a stream of these channels until `expires`, in seconds since 1970: what a backend gives its pages.
#[must_use]
pub fn signed_query(app_id: &str, (key, secret): (&str, &str), channels: &[ChannelName], expires: u64) -> String {
    let expires = expires.to_string();
    let signature = signature(secret, app_id, &expires, channels);
    let mut query = unsigned_query(key, channels);
    query.extend(["&expires=", &expires, "&auth=", &escaped(key), ":", signature.as_str()]);
    query
}

/// The same without a signature, for public channels.
#[must_use]
pub fn unsigned_query(key: &str, channels: &[ChannelName]) -> String {
    let mut query = format!("key={}", escaped(key));
    for channel in channels {
        query.extend(["&channel=", &escaped(channel.as_str())]);
    }
    query
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn signature(secret: &str, app_id: &str, expires: &str, channels: &[ChannelName]) -> auth::Signature {
    let key = auth::hmac_sha256(secret.as_bytes(), &[PURPOSE]);
    let mut parts: Vec<&[u8]> = vec![app_id.as_bytes(), b"\n", expires.as_bytes()];
    parts.extend(channels.iter().flat_map(|channel| [b"\n", channel.as_str().as_bytes()]));
    auth::sign_with(&key, &parts)
}

fn check(
    app: &App,
    (key, secret): (&str, &str),
    (given, expires): (&str, &str),
    channels: &[ChannelName],
    now: UnixTime,
) -> Result<(), Refusal> {
    let unauthorized = |why: &'static str| Err(Refusal::Unauthorized(why.into()));
    let (signer, given) = auth::split(given).ok_or(Refusal::Malformed("`auth` is KEY:SIGNATURE".into()))?;
    if signer != key {
        return unauthorized("`auth` is of another key than `key`");
    }
    let digits = expires.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = expires.parse::<u64>().ok().filter(|_| digits);
    let seconds = seconds.ok_or(Refusal::Malformed("`expires` is a number: seconds since 1970".into()))?;
    if !signature(secret, app.id.as_str(), expires, channels).matches(given) {
        return unauthorized(
            "`auth` is not the signature of app id, `expires` and the channels, joined by line feeds, with the key derived from the secret",
        );
    }
    if seconds <= now.as_secs() {
        return unauthorized("the URL has expired");
    }
    if seconds - now.as_secs() > EXPIRES_MAX {
        return unauthorized("the URL expires more than a day ahead");
    }
    Ok(())
}

/// A request without an origin is not of the list either: who configures a list wants browsers only (P-2.10).
fn allows(origins: &[String], origin: Option<&str>) -> bool {
    origin.is_some_and(|origin| origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
}

fn channels(names: &[String]) -> Result<Vec<ChannelName>, Refusal> {
    let malformed = |why: String| Refusal::Malformed(why.into());
    if names.is_empty() {
        return Err(malformed("name a channel: channel=…, once for each".to_owned()));
    }
    if names.len() > CHANNELS_MAX {
        return Err(malformed(format!("a stream has at most {CHANNELS_MAX} channels")));
    }
    let mut channels: Vec<ChannelName> = Vec::with_capacity(names.len());
    for name in names {
        let channel = ChannelName::parse(name).map_err(|bad| malformed(format!("channel: {bad}")))?;
        if channels.contains(&channel) {
            return Err(malformed(format!("the channel {channel} is named twice")));
        }
        channels.push(channel);
    }
    Ok(channels)
}

/// The parameters that matter, decoded; others are passed over.
#[derive(Debug, Default)]
struct Parameters {
    key: Option<String>,
    channels: Vec<String>,
    expires: Option<String>,
    auth: Option<String>,
    last_event_id: Option<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "channel" => {
                    // One more than there may be is enough to say so.
                    if parameters.channels.len() <= CHANNELS_MAX {
                        parameters.channels.push(decoded(value)?);
                    }
                    continue;
                }
                "key" => &mut parameters.key,
                "expires" => &mut parameters.expires,
                "auth" => &mut parameters.auth,
                "last_event_id" => &mut parameters.last_event_id,
                _ => continue,
            };
            if place.replace(decoded(value)?).is_some() {
                return Err(Refusal::Malformed(format!("the parameter `{name}` is given twice").into()));
            }
        }
        Ok(parameters)
    }
}

fn decoded(value: &str) -> Result<String, Refusal> {
    let spaced = value.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| Refusal::Malformed("the query is not UTF-8".into()))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Dialects;

    const NOW: u64 = 1_700_000_000;

    fn app() -> App {
        App { dialects: Dialects { sse: true, ..Dialects::default() }, ..App::new("7", "key", "secret") }
    }

    fn now() -> UnixTime {
        UnixTime::from_millis(NOW * 1000)
    }

    fn names(names: &[&str]) -> Vec<ChannelName> {
        names.iter().map(|name| ChannelName::parse(name).unwrap()).collect()
    }

    fn asked(query: &str) -> Result<Wanted, Refusal> {
        admit(Some(&app()), &Request { method: "GET", query, ..Request::default() }, Load::default(), now())
    }

    fn refused(query: &str) -> (u16, String) {
        let refusal = asked(query).unwrap_err();
        (refusal.status(), refusal.to_string())
    }

    #[test]
    fn only_paths_of_streams_are() {
        for (path, id) in [
            ("/apps/7/sse", Some("7")),
            ("/apps//sse", Some("")),
            ("/apps/7/sse/", None),
            ("/apps/7/8/sse", None),
            ("/apps/sse", None),
            ("/app/7/sse", None),
        ] {
            assert_eq!(app_of(path), id, "{path}");
        }
    }

    #[test]
    fn public_channels_need_a_key_alone() {
        let wanted = asked("key=key&channel=a&channel=b%2Cc&channel=with+space&x=y").unwrap();
        assert_eq!(wanted, Wanted { key: "key".to_owned(), channels: names(&["a", "b,c", "with space"]), resume: Resume::No });
        for closed in ["private-x", "presence-x", "personal-x", "peer-x", "%23server-to-user-1"] {
            assert_eq!(refused(&format!("key=key&channel=a&channel={closed}")).0, 401, "{closed}");
        }
    }

    #[test]
    fn a_signature_opens_its_channels_until_it_expires() {
        let closed = names(&["private-a,b", "presence-ü", "c"]);
        let signed = |expires: u64| signed_query("7", ("key", "secret"), &closed, expires);
        assert_eq!(asked(&signed(NOW + 60)).unwrap().channels, closed);
        assert!(asked(&signed(NOW + EXPIRES_MAX)).is_ok());
        for (query, why) in [
            (signed(NOW), "the URL has expired"),
            (signed(NOW + EXPIRES_MAX + 1), "more than a day ahead"),
            (signed(NOW + 60).replace("c&expires", "d&expires"), "not the signature"),
            (signed(NOW + 60).replace(&format!("expires={}", NOW + 60), &format!("expires={}", NOW + 61)), "not the signature"),
            (format!("{}&channel=e", signed(NOW + 60)), "not the signature"),
            (signed_query("8", ("key", "secret"), &closed, NOW + 60), "not the signature"),
            (signed_query("7", ("key", "other"), &closed, NOW + 60), "not the signature"),
            (signed(NOW + 60).replace("auth=key", "auth=other"), "another key"),
            (signed_query("7", ("other", "secret"), &closed, NOW + 60), "no key of this app"),
        ] {
            let (status, text) = refused(&query);
            assert!(status == 401 && text.contains(why), "{query}: {status} {text}");
        }
    }

    /// The worked example of the documentation, so that other languages can check theirs.
    #[test]
    fn the_worked_example_holds() {
        let query = signed_query("app-id", ("app-key", "app-secret"), &names(&["private-news"]), 1_700_000_060);
        let signature = "auth=app%2Dkey:";
        assert!(query.starts_with("key=app%2Dkey&channel=private%2Dnews&expires=1700000060&auth="), "{query}");
        let (_, hex) = query.split_once(signature).unwrap();
        assert_eq!(hex, WORKED_EXAMPLE);
    }

    const WORKED_EXAMPLE: &str = "a2b2ae0ef4d91bc38e1a77a6ab90d01dbd66a2948ed981916c8d06d3862caf35";

    #[test]
    fn what_is_malformed_is_said() {
        let many: String = (0..=CHANNELS_MAX).map(|number| format!("&channel=c{number}")).collect();
        let long = format!("key=key&channel={}", "a".repeat(1025));
        for (query, status, why) in [
            ("", 400, "`key` is missing"),
            ("key=key", 400, "name a channel"),
            ("key=other&channel=a", 401, "no key of this app"),
            ("key=key&key=key&channel=a", 400, "`key` is given twice"),
            ("key=key&channel=", 400, "must not be empty"),
            ("key=key&channel=a%00", 400, "control characters"),
            ("key=key&channel=%ff", 400, "not UTF-8"),
            ("key=key&channel=a&channel=a", 400, "named twice"),
            (&format!("key=key{many}"), 400, "at most 100 channels"),
            (&long, 400, "at most 1024 bytes"),
            ("key=key&channel=a&expires=1700000060", 400, "without `auth`"),
            ("key=key&channel=a&auth=key:00", 400, "without `expires`"),
            ("key=key&channel=a&auth=key&expires=1700000060", 400, "KEY:SIGNATURE"),
            ("key=key&channel=a&auth=key:00&expires=soon", 400, "a number"),
            ("key=key&channel=a&auth=key:00&expires=%2B1700000060", 400, "a number"),
            ("key=key&channel=a&auth=key:00&expires=99999999999999999999", 400, "a number"),
        ] {
            let (got, text) = refused(query);
            assert!(got == status && text.contains(why), "{query}: {got} {text}");
        }
    }

    #[test]
    fn the_app_and_the_load_decide_too() {
        let listed = App { origins: Some(vec!["https://a.example".to_owned()]), ..app() };
        let get = Request { method: "GET", query: "key=key&channel=a", ..Request::default() };
        let page = Request { origin: Some("https://A.example"), ..get };
        let full = Load { app_full: true, ..Load::default() };
        for (app, request, load, status) in [
            (Some(&app()), get, Load::default(), None),
            (None, get, Load::default(), Some(404)),
            (Some(&App { dialects: Dialects::default(), ..app() }), get, Load::default(), Some(404)),
            (Some(&App { enabled: false, ..app() }), get, Load::default(), Some(403)),
            (Some(&App { force_tls: true, ..app() }), get, Load::default(), Some(403)),
            (Some(&App { force_tls: true, ..app() }), get, Load { tls: true, ..Load::default() }, None),
            (Some(&listed), get, Load::default(), Some(403)),
            (Some(&listed), page, Load::default(), None),
            (Some(&app()), Request { method: "POST", ..get }, Load::default(), Some(405)),
            (Some(&app()), get, full, Some(503)),
            (Some(&app()), get, Load { node_full: true, ..Load::default() }, Some(503)),
            (Some(&app()), get, Load { draining: true, ..Load::default() }, Some(503)),
        ] {
            assert_eq!(admit(app, &request, load, now()).err().map(|refusal| refusal.status()), status, "{app:?} {request:?} {load:?}");
        }
    }

    #[test]
    fn the_header_counts_before_the_parameter() {
        let from = |last_event_id, query| {
            let request = Request { method: "GET", query, last_event_id, origin: None };
            admit(Some(&app()), &request, Load::default(), now()).unwrap().resume
        };
        let id = |text| Resume::From(Id::parse(text).unwrap());
        assert_eq!(from(None, "key=key&channel=a"), Resume::No);
        assert_eq!(from(Some(""), "key=key&channel=a&last_event_id="), Resume::No);
        assert_eq!(from(None, "key=key&channel=a&last_event_id=1-2"), id("1-2"));
        assert_eq!(from(Some("1-3"), "key=key&channel=a&last_event_id=1-2"), id("1-3"));
        assert_eq!(from(Some("yesterday"), "key=key&channel=a"), Resume::Unknown);
    }
}
