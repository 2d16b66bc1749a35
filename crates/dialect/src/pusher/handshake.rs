//! How a connection comes in: what its URL says, and the checks it must pass, in their order (P-2.3).

use super::close::{Reason, error_frame};
use crate::action::Close;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use tidings_hub::App;

/// What a request to connect says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The app's key.
    pub key: String,
    /// The text of `protocol`, if it is there.
    pub protocol: Option<String>,
    /// The text of `client`, for the log; empty if it is not there.
    pub client: String,
}

/// The library at the other end, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// `node-client`, which cannot see pong frames (P-16.7).
    Node,
    /// Any other.
    Other,
}

/// What the server knows of a connection that wants in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load<'a> {
    /// The server is shutting down.
    pub draining: bool,
    /// The connection is TLS, seen from the client.
    pub tls: bool,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The app has `limits.connections` connections that count.
    pub app_full: bool,
    /// The node has all the connections it may have.
    pub node_full: bool,
}

/// Reads the path, already without a configured prefix, and the query of a request to connect. `None` if the path is not `/app/{key}`:
/// the connection gets [`unknown_path`].
#[must_use]
pub fn parse(path: &str, query: Option<&str>) -> Option<Hello> {
    let key = path.strip_prefix("/app/").filter(|key| !key.is_empty() && !key.contains('/'))?;
    let mut hello = Hello { key: decode(key).into_owned(), protocol: None, client: String::new() };
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            // Of a parameter given twice the first counts.
            "protocol" if hello.protocol.is_none() => hello.protocol = Some(decode(value).into_owned()),
            "client" if hello.client.is_empty() => hello.client = decode(value).into_owned(),
            _ => {}
        }
    }
    Some(hello)
}

/// Percent-decodes once. Bytes that are not UTF-8 become U+FFFD, which no key or version has.
fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

/// The close for a path that [`parse`] does not know (P-2.3 rows 1 and 2).
#[must_use]
pub fn unknown_path(draining: bool) -> Close {
    if draining { Reason::Draining.close() } else { Reason::UnknownPath.close() }
}

/// The message to send before the close of a connection that is refused (P-17.2).
#[must_use]
pub fn refusal(close: &Close) -> Bytes {
    error_frame(close)
}

impl Hello {
    /// The library at the other end.
    #[must_use]
    pub fn client(&self) -> Client {
        if self.client == "node-client" { Client::Node } else { Client::Other }
    }

    /// Checks the request against `app`, the one that has [`Hello::key`], and gives the protocol version.
    ///
    /// # Errors
    /// The close of the first check that fails, in the order of P-2.3; the origin is checked after its row 8.
    pub fn admit(&self, app: Option<&App>, load: Load<'_>) -> Result<u8, Close> {
        self.check(app, load).map_err(Reason::close)
    }

    fn check(&self, app: Option<&App>, load: Load<'_>) -> Result<u8, Reason> {
        if load.draining {
            return Err(Reason::Draining);
        }
        let version = self.version(app.and_then(|app| app.default_protocol))?;
        let app = app.filter(|app| app.dialects.pusher).ok_or(Reason::UnknownKey)?;
        if !app.enabled {
            return Err(Reason::AppDisabled);
        }
        if app.force_tls && !load.tls {
            return Err(Reason::TlsRequired);
        }
        if app.origins.as_ref().is_some_and(|origins| !allows(origins, load.origin)) {
            return Err(Reason::OriginRefused);
        }
        // With `authorized_connections` the quota counts those that have authorised themselves (P-15.12).
        if load.app_full && !app.authorized_connections {
            return Err(Reason::OverQuota);
        }
        if load.node_full {
            return Err(Reason::NodeFull);
        }
        Ok(version)
    }

    fn version(&self, default: Option<u8>) -> Result<u8, Reason> {
        let version = match &self.protocol {
            Some(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Reason::MalformedVersion);
                }
                text.parse().map_err(|_| Reason::UnsupportedVersion)?
            }
            None => default.ok_or(Reason::NoVersion)?,
        };
        if (4..=7).contains(&version) { Ok(version) } else { Err(Reason::UnsupportedVersion) }
    }
}

/// Whether the list has the origin. A request without one is not of the list either: who configures a list wants browsers only.
fn allows(origins: &[String], origin: Option<&str>) -> bool {
    origin.is_some_and(|origin| origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Dialects;

    /// P-2.1, P-2.2, P-2.9, P-20.1, P-20.7, P-20.13: what the libraries send is read, the rest ignored.
    #[test]
    fn a_url_is_read() {
        for (path, query, expected) in [
            ("/app/k", "protocol=7&client=js&version=8.6.0&flash=false", Some(("k", Some("7"), Client::Other))),
            ("/app/k", "client=node-client&version=1.1.0&protocol=7", Some(("k", Some("7"), Client::Node))),
            ("/app/k", "client=node-pusher-server&version=0.0.1&protocol=5&flash=false", Some(("k", Some("5"), Client::Other))),
            ("/app/k", "version=nonsense&t=1&n=2&x", Some(("k", None, Client::Other))),
            ("/app/k", "protocol=7&protocol=8", Some(("k", Some("7"), Client::Other))),
            ("/app/k%252F%C3%A9", "protocol=%37", Some(("k%2Fé", Some("7"), Client::Other))),
            ("/app/k", "", Some(("k", None, Client::Other))),
            ("/app/", "protocol=7", None),
            ("/app", "protocol=7", None),
            ("/app/k/", "protocol=7", None),
            ("/app/k/x", "protocol=7", None),
            ("/apps/k", "protocol=7", None),
            ("/", "protocol=7", None),
        ] {
            let hello = parse(path, Some(query));
            let read = hello.as_ref().map(|hello| (hello.key.as_str(), hello.protocol.as_deref(), hello.client()));
            assert_eq!(read, expected, "{path}?{query}");
        }
        assert_eq!(parse("/app/k", None).unwrap().protocol, None);
    }

    /// P-2.3 rows 3 to 5, P-2.4, P-17.6
    #[test]
    fn versions_4_to_7_are_spoken() {
        let with_default = App { default_protocol: Some(5), ..App::new("1", "k", "s") };
        let strict = App::new("1", "k", "s");
        for (app, query, expected) in [
            (&strict, "protocol=4", Ok(4)),
            (&strict, "protocol=5", Ok(5)),
            (&strict, "protocol=6", Ok(6)),
            (&strict, "protocol=7", Ok(7)),
            (&strict, "protocol=007", Ok(7)),
            (&strict, "protocol=3", Err(4007)),
            (&strict, "protocol=8", Err(4007)),
            (&strict, "protocol=-7", Err(4007)),
            (&strict, "protocol=99999999999999999999", Err(4007)),
            (&strict, "protocol=", Err(4006)),
            (&strict, "protocol", Err(4006)),
            (&strict, "protocol=7.0", Err(4006)),
            (&strict, "protocol=-", Err(4006)),
            (&strict, "protocol=%2B7", Err(4006)),
            (&strict, "protocol=seven", Err(4006)),
            (&strict, "Protocol=7", Err(4008)),
            (&with_default, "client=js", Ok(5)),
            (&with_default, "protocol=6", Ok(6)),
            (&with_default, "protocol=x", Err(4006)),
        ] {
            let version = parse("/app/k", Some(query)).unwrap().admit(Some(app), Load::default());
            assert_eq!(version.map_err(|close| close.code), expected, "{query}");
        }
    }

    /// P-2.3, P-2.10, P-2.4: all checks fail at first; each line mends what the one before it was refused for.
    #[test]
    fn the_first_failing_check_decides() {
        let mut app =
            App { enabled: false, force_tls: true, origins: Some(vec!["https://example.com".to_owned()]), ..App::new("1", "k", "s") };
        let mut load = Load { draining: true, tls: false, origin: Some("https://evil.example"), app_full: true, node_full: true };
        let code = |hello: Option<Hello>, app: Option<&App>, load| match hello {
            Some(hello) => hello.admit(app, load).map_err(|close| close.code),
            None => Err(unknown_path(load.draining).code),
        };
        let hello = |query| parse("/app/k", Some(query));
        assert_eq!(code(None, None, load), Err(4200));
        assert_eq!(code(hello(""), None, load), Err(4200));
        load.draining = false;
        assert_eq!(code(None, None, load), Err(4005));
        assert_eq!(code(hello(""), None, load), Err(4008));
        assert_eq!(code(hello("protocol=x"), None, load), Err(4006));
        assert_eq!(code(hello("protocol=3"), None, load), Err(4007));
        assert_eq!(code(hello("protocol=7"), None, load), Err(4001));
        assert_eq!(code(hello("protocol=7"), Some(&App { dialects: Dialects::default(), ..app.clone() }), load), Err(4001));
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4003));
        app.enabled = true;
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4000));
        load.tls = true;
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4009));
        load.origin = None;
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4009));
        load.origin = Some("HTTPS://example.com");
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4004));
        load.app_full = false;
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Err(4100));
        load.node_full = false;
        assert_eq!(code(hello("protocol=7"), Some(&app), load), Ok(7));
    }

    /// P-15.12
    #[test]
    fn the_quota_waits_for_authorisation() {
        let app = App { authorized_connections: true, ..App::new("1", "k", "s") };
        let load = Load { app_full: true, ..Load::default() };
        assert_eq!(parse("/app/k", Some("protocol=7")).unwrap().admit(Some(&app), load), Ok(7));
    }

    /// P-17.2
    #[test]
    fn a_refusal_is_told_before_the_close() {
        let frame = refusal(&unknown_path(false));
        assert_eq!(frame, r#"{"event":"pusher:error","data":{"code":4005,"message":"The path must be /app/ followed by an app key"}}"#);
    }
}
