//! Requests of the HTTP API, as received and signed anew. An input is a line `METHOD path?query` and, after it, the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};
use tidings_dialect::pusher::api::{self, QUERY_PARAMETERS_MAX, Refusal, Request};
use tidings_hub::{App, UnixTime};

const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);
static APP: LazyLock<Arc<App>> = LazyLock::new(|| Arc::new(App::new("1001", "tidings-key", "tidings-secret")));

fuzz_target!(|input: &[u8]| {
    let (head, body) = input.split_at(input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len()));
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return };
    let (method, target) = head.split_once(' ').unwrap_or(("GET", head));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request { method, path, prefix: "", query, body };
    if let Err(refusal) = api::receive(request, find, NOW) {
        check(&refusal);
    }
    if let Some(params) = parameters(query) {
        signed_anew(request, &params);
    }
});

fn find(key: &str) -> Option<Arc<App>> {
    APP.secret(key).map(|_| Arc::clone(&APP))
}

/// The parameters of `query`, taken as they stand, but those that signing adds. None if there are too many.
fn parameters(query: &str) -> Option<Vec<(&str, &str)>> {
    let added = ["auth_key", "auth_timestamp", "auth_version", "auth_signature", "body_md5"];
    let pairs = query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
    let params: Vec<_> = pairs.filter(|(name, _)| !added.contains(&name.to_lowercase().as_str())).collect();
    (params.len() + added.len() <= QUERY_PARAMETERS_MAX).then_some(params)
}

/// A request that is signed passes all checks but those of its parameters.
fn signed_anew(request: Request<'_>, params: &[(&str, &str)]) {
    let Ok(route) = api::route(request.method, request.path) else { return };
    if route.app.is_some_and(|id| id != "1001") || request.body.len() > APP.limits.body_bytes {
        return;
    }
    let query = api::sign(request.method, request.path, params, request.body, &APP.keys[0], NOW);
    let verified = api::verify(Request { query: &query, ..request }, route, find, NOW).expect("it was signed");
    if let Err(refusal) = api::decode(&verified) {
        assert!(matches!(refusal.status, 400 | 413), "{refusal:?}");
        check(&refusal);
    }
}

fn check(refusal: &Refusal) {
    assert_eq!(refusal.body.find('\n'), Some(refusal.body.len() - 1), "{refusal:?}");
    assert_eq!(refusal.allow.is_some(), refusal.status == 405, "{refusal:?}");
    assert!(!refusal.body.contains("tidings-secret"), "{refusal:?}");
}
