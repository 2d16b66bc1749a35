//! Signing a request, and checking that one was signed: P-10.4 to P-10.10.

use super::parameters::{Parameters, Parts, Reading, Repeated, is_escaped};
use super::{Refusal, Request, Route};
use crate::auth;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, Key, Limits, UnixTime};

/// A request that an app made, all of its authentication checked.
#[derive(Debug)]
pub struct Verified<'a> {
    /// The app.
    pub app: Arc<App>,
    pub(super) route: Route<'a>,
    pub(super) body: &'a [u8],
    pub(super) parameters: Parameters<'a>,
}

/// Checks who made `request`: rows 2 to 9 of P-10.7. `lookup` finds the app that a key belongs to.
///
/// # Errors
/// 413, 401 or 403, whichever check fails first; 400 if the query has too many parameters to look at.
pub fn verify<'a>(
    request: Request<'a>,
    route: Route<'a>,
    lookup: impl Fn(&str) -> Option<Arc<App>>,
    now: UnixTime,
) -> Result<Verified<'a>, Refusal> {
    let parameters = Parameters::parse(request.query, Reading::Decoded)?;
    let lookup = |key: &str| lookup(key).filter(|app| app.dialects.pusher);
    // The key is judged after the body's size, but the size that is allowed is the app's.
    let found = find_app(&request, &parameters, lookup);
    let body_bytes = found.as_ref().map_or_else(|_| Limits::default().body_bytes, |(app, _)| app.limits.body_bytes);
    if request.body.len() > body_bytes {
        return Err(Refusal::body_too_large(body_bytes));
    }
    let (app, key) = found?;
    let secret = app.secret(&key).ok_or_else(unknown_key)?;
    check_version(&parameters)?;
    check_timestamp(once(&parameters, "auth_timestamp")?, now, app.limits.timestamp_window)?;
    check_signature(&request, &parameters, secret)?;
    check_digest(&parameters, request.body)?;
    check_owner(&route, &app)?;
    if !app.enabled {
        return Err(Refusal::new(403, "The app is disabled; enable it in the configuration"));
    }
    Ok(Verified { app, route, body: request.body, parameters })
}

/// Row 3. A key with a `+` may have been sent unescaped, so the query is also read as it stands (P-10.9).
fn find_app<'p>(
    request: &Request<'p>,
    parameters: &'p Parameters<'_>,
    lookup: impl Fn(&str) -> Option<Arc<App>>,
) -> Result<(Arc<App>, Cow<'p, str>), Refusal> {
    let key = std::str::from_utf8(once(parameters, "auth_key")?).map_err(|_| unknown_key())?;
    if let Some(app) = lookup(key) {
        return Ok((app, Cow::Borrowed(key)));
    }
    if is_escaped(request.query) {
        let raw = Parameters::parse(request.query, Reading::Raw)?;
        if let Ok(key) = std::str::from_utf8(once(&raw, "auth_key")?)
            && let Some(app) = lookup(key)
        {
            return Ok((app, Cow::Owned(key.to_owned())));
        }
    }
    Err(unknown_key())
}

/// Row 4.
fn check_version(parameters: &Parameters<'_>) -> Result<(), Refusal> {
    if once(parameters, "auth_version")? == b"1.0" {
        return Ok(());
    }
    Err(Refusal::unauthorized("auth_version must be 1.0"))
}

/// Row 5: the distance between the clocks must be less than `window` (P-10.6).
pub(super) fn check_timestamp(timestamp: &[u8], now: UnixTime, window: Duration) -> Result<(), Refusal> {
    let digits = std::str::from_utf8(timestamp).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(seconds) = digits.and_then(|text| text.parse::<u64>().ok()) else {
        return Err(Refusal::unauthorized("auth_timestamp must be a number: the seconds since 1970"));
    };
    let millis = u128::from(seconds) * 1000;
    if millis.abs_diff(now.as_millis().into()) < window.as_millis() {
        return Ok(());
    }
    let (window, now) = (window.as_secs(), now.as_secs());
    let sentence =
        format!("auth_timestamp is {window} seconds or more off; it is {now} here, so set the sender's clock or sign each request anew");
    Err(Refusal::unauthorized(&sentence))
}

/// Row 6: any of the forms that libraries sign will do (P-10.9, P-10.10); the usual one is tried first.
fn check_signature<'a>(request: &Request<'a>, parameters: &Parameters<'a>, secret: &str) -> Result<(), Refusal> {
    let given = parameters.signature().map_err(|Repeated| repeated("auth_signature"))?.ok_or_else(|| missing("auth_signature"))?;
    let usual = string_to_sign(request.method, request.path_without_prefix().as_bytes(), parameters);
    // What is no text is no signature either.
    let given = std::str::from_utf8(given).unwrap_or_default();
    if auth::sign(secret, &usual).matches(given) || is_signed_otherwise(request, parameters, secret, given)? {
        return Ok(());
    }
    let usual = usual.concat();
    let usual = String::from_utf8_lossy(&usual);
    Err(Refusal::unauthorized(&format!("auth_signature is wrong; with the secret of auth_key sign exactly {usual:?}")))
}

fn is_signed_otherwise<'a>(request: &Request<'a>, decoded: &Parameters<'a>, secret: &str, given: &str) -> Result<bool, Refusal> {
    let raw = if is_escaped(request.query) { Some(Parameters::parse(request.query, Reading::Raw)?) } else { None };
    let paths = paths(request);
    let signs = |path: &[u8], parameters| auth::sign(secret, &string_to_sign(request.method, path, parameters)).matches(given);
    Ok(paths.iter().any(|path| signs(path, decoded) || raw.as_ref().is_some_and(|raw| signs(path, raw))))
}

/// The path without the prefix, then with it; each as received, then decoded.
fn paths<'a>(request: &Request<'a>) -> SmallVec<[Cow<'a, [u8]>; 4]> {
    let mut paths = SmallVec::new();
    let without = request.path_without_prefix();
    for path in [without, request.path].into_iter().take(if without == request.path { 1 } else { 2 }) {
        paths.push(Cow::Borrowed(path.as_bytes()));
        if path.contains('%') {
            paths.push(Cow::Owned(percent_decode_str(path).collect()));
        }
    }
    paths
}

/// P-10.4.
fn string_to_sign<'s>(method: &'s str, path: &'s [u8], parameters: &'s Parameters<'_>) -> Parts<'s> {
    let mut parts = Parts::new();
    parts.extend([method.as_bytes(), b"\n", path, b"\n"]);
    parameters.sign_into(&mut parts);
    parts
}

/// Row 7 (P-10.5).
fn check_digest(parameters: &Parameters<'_>, body: &[u8]) -> Result<(), Refusal> {
    match parameters.only("body_md5").map_err(|Repeated| repeated("body_md5"))? {
        None if body.is_empty() => Ok(()),
        None => Err(missing("body_md5")),
        Some(given) if given == digest(body) => Ok(()),
        Some(_) => Err(Refusal::unauthorized("body_md5 must be the lower-case hex MD5 of the body as sent; the body is another")),
    }
}

/// Row 8. It does not tell which apps exist (P-10.8).
fn check_owner(route: &Route<'_>, app: &App) -> Result<(), Refusal> {
    match route.app {
        Some(id) if !percent_decode_str(id).eq(app.id.as_str().bytes()) => {
            Err(Refusal::unauthorized("auth_key is no key of the app in the path; use the app_id that belongs to the key"))
        }
        _ => Ok(()),
    }
}

/// The value of a parameter that authentication needs exactly once.
fn once<'p>(parameters: &'p Parameters<'_>, name: &str) -> Result<&'p [u8], Refusal> {
    parameters.only(name).map_err(|Repeated| repeated(name))?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Refusal {
    Refusal::unauthorized(&format!("{name} is missing from the query"))
}

fn repeated(name: &str) -> Refusal {
    Refusal::unauthorized(&format!("{name} stands in the query more than once"))
}

fn unknown_key() -> Refusal {
    Refusal::unauthorized("auth_key is unknown here")
}

/// The lower-case hex MD5 of `body`.
fn digest(body: &[u8]) -> [u8; 32] {
    let mut digits = [0; 32];
    auth::hex(&Md5::digest(body), &mut digits);
    digits
}

/// What libraries leave as it is in a query; all else is percent-escaped.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',').remove(b':').remove(b'@').remove(b'[').remove(b']');

/// Makes the query of a signed request. `params` are not escaped; a list has one pair `name[]`, value for each of its values.
/// `path` is signed as it stands, so it must be the one on the wire, or that without escapes.
#[must_use]
pub fn sign(method: &str, path: &str, params: &[(&str, &str)], body: &[u8], key: &Key, now: UnixTime) -> String {
    let (timestamp, digest) = (now.as_secs().to_string(), digest(body));
    let digest = std::str::from_utf8(&digest).expect("hex digits are ASCII");
    let mut pairs: SmallVec<[(&str, &str); 8]> =
        SmallVec::from_slice(&[("auth_key", key.key.as_str()), ("auth_timestamp", &timestamp), ("auth_version", "1.0")]);
    if !body.is_empty() {
        pairs.push(("body_md5", digest));
    }
    pairs.extend_from_slice(params);
    let signature = auth::sign(&key.secret, &string_to_sign(method, path.as_bytes(), &Parameters::from_pairs(pairs.iter().copied())));
    let mut query = String::new();
    for (name, value) in pairs {
        query.extend(utf8_percent_encode(name, ESCAPED));
        query.push('=');
        query.extend(utf8_percent_encode(value, ESCAPED));
        query.push('&');
    }
    query.push_str("auth_signature=");
    query.push_str(signature.as_str());
    query
}
