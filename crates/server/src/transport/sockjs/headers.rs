//! The headers that many answers share: who may read them, how long they keep, and the cookie of load balancers.

use super::settings::Settings;
use std::borrow::Cow;
use std::time::{Duration, SystemTime};
use tidings_hub::UnixTime;

/// How long what does not change may be kept, in seconds (S-4.7).
const YEAR: u64 = 31_536_000;

/// The longest value of the cookie that is given back (S-9.3).
const COOKIE_BYTES_MAX: usize = 256;

/// What an answer depends on beside the route: headers of the request, as received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// `Access-Control-Request-Headers`.
    pub request_headers: Option<&'a str>,
    /// `Cookie`.
    pub cookie: Option<&'a str>,
    /// `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

/// Headers of an answer, names in lower case.
pub(super) type Headers = Vec<(&'static str, Cow<'static, str>)>;

/// Who may read an answer (S-4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    /// Pages of all origins that are allowed.
    Origin,
    /// The same, but `null` is nobody in particular.
    NamedOrigin,
    /// No headers: it is read by other means.
    None,
}

/// Says who may read the answer.
pub(super) fn cors(kind: Cors, asked: &Asked<'_>, settings: &Settings, headers: &mut Headers) {
    if kind == Cors::None || settings.disable_cors {
        return;
    }
    headers.push(("vary", "Origin".into()));
    let given = asked.origin.filter(|origin| is_value(origin));
    if given.is_some_and(|origin| !allows(settings, origin)) {
        return;
    }
    match given.filter(|origin| kind != Cors::NamedOrigin || *origin != "null") {
        Some(origin) => {
            headers.push(("access-control-allow-origin", origin.to_owned().into()));
            headers.push(("access-control-allow-credentials", "true".into()));
        }
        None => headers.push(("access-control-allow-origin", "*".into())),
    }
    if let Some(wanted) = asked.request_headers.filter(|wanted| !wanted.is_empty() && is_value(wanted)) {
        headers.push(("access-control-allow-headers", wanted.to_owned().into()));
    }
}

/// Whether pages of `origin` may connect (S-4.6).
pub(super) fn allows(settings: &Settings, origin: &str) -> bool {
    settings.allowed_origins.as_ref().is_none_or(|allowed| allowed.iter().any(|known| known.eq_ignore_ascii_case(origin)))
}

/// The answer is the same for a year (S-4.7).
pub(super) fn cacheable(now: UnixTime, headers: &mut Headers) {
    headers.push(("cache-control", "public, max-age=31536000".into()));
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs() + YEAR);
    headers.push(("expires", httpdate::fmt_http_date(expires).into()));
}

/// The answer is for this once (S-4.8).
pub(super) fn not_cacheable(headers: &mut Headers) {
    headers.push(("cache-control", "no-store, no-cache, no-transform, must-revalidate, max-age=0".into()));
}

/// Gives the cookie back that load balancers go by (S-9.1).
pub(super) fn session_cookie(asked: &Asked<'_>, settings: &Settings, headers: &mut Headers) {
    if settings.jsessionid {
        let value = asked.cookie.and_then(session_of).unwrap_or("dummy");
        headers.push(("set-cookie", format!("JSESSIONID={value}; path=/").into()));
    }
}

/// The value of the cookie, if it may be given back (S-9.3).
fn session_of(cookies: &str) -> Option<&str> {
    let value = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("JSESSIONID="))?;
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'\\'));
    (plain && !value.is_empty() && value.len() <= COOKIE_BYTES_MAX).then_some(value)
}

/// Whether `text` can stand in a header: nothing of a client may end one.
fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fill: impl FnOnce(&mut Headers)) -> Vec<String> {
        let mut headers = Headers::new();
        fill(&mut headers);
        headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    const VARY: &str = "vary: Origin";
    const ALL: &str = "access-control-allow-origin: *";
    const CREDENTIALS: &str = "access-control-allow-credentials: true";

    /// S-4.6.
    #[test]
    fn pages_of_all_origins_may_read() {
        for (kind, origin, wanted, expected) in [
            (Cors::Origin, None, None, &[VARY, ALL][..]),
            (Cors::Origin, Some("test"), None, &[VARY, "access-control-allow-origin: test", CREDENTIALS]),
            (Cors::Origin, Some("null"), None, &[VARY, "access-control-allow-origin: null", CREDENTIALS]),
            (Cors::NamedOrigin, Some("null"), None, &[VARY, ALL]),
            (Cors::NamedOrigin, Some("http://a"), None, &[VARY, "access-control-allow-origin: http://a", CREDENTIALS]),
            (Cors::Origin, None, Some(""), &[VARY, ALL]),
            (Cors::Origin, None, Some("a, b"), &[VARY, ALL, "access-control-allow-headers: a, b"]),
            (Cors::Origin, Some("a\r\nx: y"), Some("a\r\nx: y"), &[VARY, ALL]),
            (Cors::None, Some("http://a"), Some("a"), &[]),
        ] {
            let asked = Asked { origin, request_headers: wanted, ..Asked::default() };
            assert_eq!(written(|headers| cors(kind, &asked, &Settings::default(), headers)), expected, "{kind:?} {origin:?} {wanted:?}");
            let disabled = Settings { disable_cors: true, ..Settings::default() };
            assert!(written(|headers| cors(kind, &asked, &disabled, headers)).is_empty());
        }
    }

    /// S-4.6.
    #[test]
    fn origins_can_be_restricted() {
        let settings = Settings { allowed_origins: Some(vec!["http://a".to_owned()]), ..Settings::default() };
        for (kind, origin, expected) in [
            (Cors::Origin, Some("http://a"), &[VARY, "access-control-allow-origin: http://a", CREDENTIALS][..]),
            (Cors::Origin, Some("http://b"), &[VARY]),
            (Cors::Origin, Some("http://a.b"), &[VARY]),
            (Cors::NamedOrigin, Some("null"), &[VARY]),
            (Cors::Origin, None, &[VARY, ALL]),
        ] {
            let asked = Asked { origin, ..Asked::default() };
            assert_eq!(written(|headers| cors(kind, &asked, &settings, headers)), expected, "{origin:?}");
        }
    }

    /// S-4.7, S-4.8.
    #[test]
    fn how_long_answers_keep() {
        let now = UnixTime::from_millis(784_111_777_000);
        assert_eq!(
            written(|headers| cacheable(now, headers)),
            ["cache-control: public, max-age=31536000", "expires: Mon, 06 Nov 1995 08:49:37 GMT"]
        );
        assert_eq!(written(not_cacheable), ["cache-control: no-store, no-cache, no-transform, must-revalidate, max-age=0"]);
    }

    /// S-9.1, S-9.3.
    #[test]
    fn the_cookie_is_given_back() {
        let longest = format!("JSESSIONID={}", "x".repeat(256));
        let too_long = format!("{longest}x");
        for (cookie, value) in [
            (None, "dummy"),
            (Some("a=b"), "dummy"),
            (Some("JSESSIONID=abcdef"), "abcdef"),
            (Some("a=b; JSESSIONID=x=y ;c=d"), "x=y"),
            (Some("XJSESSIONID=x"), "dummy"),
            (Some("JSESSIONID="), "dummy"),
            (Some("JSESSIONID=a b"), "dummy"),
            (Some("JSESSIONID=a\"b"), "dummy"),
            (Some("JSESSIONID=a,b"), "dummy"),
            (Some("JSESSIONID=a\\b"), "dummy"),
            (Some("JSESSIONID=é"), "dummy"),
            (Some("JSESSIONID=a\r\nx"), "dummy"),
            (Some(&longest), &longest["JSESSIONID=".len()..]),
            (Some(&too_long), "dummy"),
        ] {
            let asked = Asked { cookie, ..Asked::default() };
            let settings = Settings { jsessionid: true, ..Settings::default() };
            let headers = written(|headers| session_cookie(&asked, &settings, headers));
            assert_eq!(headers, [format!("set-cookie: JSESSIONID={value}; path=/")], "{cookie:?}");
            assert!(written(|headers| session_cookie(&asked, &Settings::default(), headers)).is_empty());
        }
    }
}
