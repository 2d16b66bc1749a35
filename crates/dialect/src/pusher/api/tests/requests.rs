//! Routes, signatures, and the order of the checks.

use super::super::signature::check_timestamp;
use super::super::{Endpoint, QUERY_PARAMETERS_MAX, Route, route, verify};
use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::time::Duration;

const VECTORS: &str = include_str!("../../../../tests/pusher-vectors.json");
const BODY: &[u8] = br#"{"name":"ev","data":"1","channels":["c1"]}"#;
const EVENTS: &str = "/apps/1001/events";

fn vectors(kind: &str) -> Vec<Value> {
    let mut file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors: Vec<Value> = file["vectors"].as_array_mut().unwrap().drain(..).filter(|vector| vector["kind"] == kind).collect();
    assert!(!vectors.is_empty(), "no vector of kind {kind}");
    vectors
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Everything but the parameters.
fn check(app: &Arc<App>, request: Request<'_>, now: UnixTime) -> Result<(), Refusal> {
    let route = route(request.method, request.path_without_prefix())?;
    verify(request, route, lookup(app), now).map(|_| ())
}

/// A publish with exactly this query.
fn with_query(query: &str) -> Result<(), Refusal> {
    check(&Arc::new(app()), Request { method: "POST", path: EVENTS, prefix: "", query, body: BODY }, NOW)
}

/// A query signed over `text`, which is the query's own parameters as the sender sees them.
fn signed_over(method: &str, path: &str, text: &str, wire: &str) -> String {
    let signature = crate::auth::sign("tidings-secret", &[method.as_bytes(), b"\n", path.as_bytes(), b"\n", text.as_bytes()]);
    format!("{wire}&auth_signature={signature}")
}

/// P-10.1, P-11.16: all paths and the method of each.
#[test]
fn routes() {
    use Endpoint::*;
    for (method, path, app, endpoint) in [
        ("POST", "/apps/3/events", Some("3"), Events),
        ("POST", "/apps/my%20app/batch_events", Some("my%20app"), BatchEvents),
        ("GET", "/apps/3/channels", Some("3"), Channels),
        ("GET", "/apps/3/channels/a%2Cb", Some("3"), Channel("a%2Cb")),
        ("GET", "/apps/3/channels/users", Some("3"), Channel("users")),
        ("GET", "/apps/3/channels/presence-a/users", Some("3"), Users("presence-a")),
        ("POST", "/apps/3/channels/a/events", Some("3"), LegacyEvents("a")),
        ("GET", "/apps/3/channels/a/stats", Some("3"), Stats("a")),
        ("POST", "/apps/3/users/u/terminate_connections", Some("3"), Terminate("u")),
        ("POST", "/users/u/terminate_connections", None, Terminate("u")),
        ("POST", "/users/terminate_connections/terminate_connections", None, Terminate("terminate_connections")),
    ] {
        assert_eq!(route(method, path), Ok(Route { app, endpoint }), "{path}");
        for other in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "post", ""] {
            if other != method {
                let refusal = route(other, path).unwrap_err();
                assert_eq!((refusal.status, refusal.allow), (405, Some(method)), "P-10.11: {other} {path}");
                refused(Err::<(), _>(refusal), 405, method);
            }
        }
    }
}

/// P-10.11: 404.
#[test]
fn unknown_paths() {
    for path in [
        "",
        "/",
        "apps/3/events",
        "/apps",
        "/apps/3",
        "/apps/3/",
        "/apps//events",
        "/apps/3/events/",
        "/apps/3/Events",
        "/apps/3/%65vents",
        "/apps/3/channels/",
        "/apps/3/channels//users",
        "/apps/3/channels/a/b",
        "/apps/3/channels/a/users/",
        "/apps/3/channels/a/users/b/c/d",
        "/apps/3/users//terminate_connections",
        "/apps/3/users/u",
        "/users//terminate_connections",
        "/users/u",
        "/prefix/apps/3/events",
        "//apps/3/events",
    ] {
        refused(route("POST", path), 404, "path");
    }
}

/// P-10.4, P-10.5, P-10.9: what the sending side signs is what libraries sign, and the server takes both queries.
#[test]
fn sign_vectors() {
    for vector in vectors("http_sign") {
        let (input, output) = (&vector["in"], &vector["out"]);
        let (method, path, body) = (text(input, "method"), text(input, "path"), text(input, "body").as_bytes());
        let key = Key { key: text(input, "key").to_owned(), secret: text(input, "secret").to_owned() };
        let now = UnixTime::from_millis(input["auth_timestamp"].as_u64().unwrap() * 1000);

        let mut params: Vec<(String, &str)> = Vec::new();
        if input["body_md5_on_empty_body"] == true {
            params.push(("body_md5".to_owned(), text(output, "body_md5")));
        }
        for pair in input["params"].as_array().unwrap() {
            let name = pair[0].as_str().unwrap();
            match &pair[1] {
                Value::Array(list) => params.extend(list.iter().map(|value| (format!("{name}[]"), value.as_str().unwrap()))),
                value => params.push((name.to_owned(), value.as_str().unwrap())),
            }
        }
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), *value)).collect();

        let ours = sign(method, path, &params, body, &key, now);
        let wire = text(output, "request_query");
        let signature = format!("auth_signature={}", text(output, "auth_signature"));
        assert!(ours.ends_with(&signature) && wire.ends_with(&signature), "{}: {ours}", vector["id"]);
        // The note of one vector says that its comma is escaped on the wire, which ours leaves alone.
        assert_eq!(ours, wire.replace("%2C", ","), "{}", vector["id"]);

        let app_id = path.split('/').nth(2).unwrap();
        let app = Arc::new(App::new(app_id, &key.key, &key.secret));
        for query in [ours.as_str(), wire] {
            assert_eq!(check(&app, Request { method, path, prefix: "", query, body }, now), Ok(()), "{}", vector["id"]);
            let broken = format!("{}{}", &query[..query.len() - 1], "x");
            let outcome = check(&app, Request { method, path, prefix: "", query: &broken, body }, now);
            refused(outcome, 401, &format!("{:?}", text(output, "string_to_sign")));
        }
    }
}

/// P-10.4 to P-10.8.
#[test]
fn verify_vectors() {
    for vector in vectors("http_verify") {
        let (input, output) = (&vector["in"], &vector["out"]);
        let app = Arc::new(App::new(text(input, "app_id"), text(input, "key"), text(input, "secret")));
        let (method, path) = (text(input, "method"), text(input, "path"));
        let request = Request { method, path, prefix: "", query: text(input, "query"), body: text(input, "body").as_bytes() };
        let now = UnixTime::from_millis(input["server_time"].as_u64().unwrap() * 1000);
        let status = receive(request, lookup(&app), now).map_or_else(|refusal| refusal.status, |_| 200);
        assert_eq!(status, output["status"].as_u64().unwrap() as u16, "{} {}", vector["id"], vector["note"]);
    }
}

/// P-10.6
#[test]
fn timestamp_vectors() {
    for vector in vectors("http_timestamp") {
        let now = UnixTime::from_millis(vector["in"]["server_time"].as_u64().unwrap() * 1000);
        let outcome = check_timestamp(text(&vector["in"], "auth_timestamp").as_bytes(), now, Duration::from_secs(600));
        assert_eq!(outcome.is_ok(), vector["out"]["accept"] == true, "{}", vector["id"]);
    }
}

/// P-10.6, P-18.12: by the millisecond, with the app's window, and only digits are a number.
#[test]
fn timestamps() {
    let window = Duration::from_secs(600);
    for (given, now_millis, accept) in [
        ("1700000000", 1_700_000_599_999, true),
        ("1700000000", 1_700_000_600_000, false),
        ("1700000000", 1_699_999_400_001, true),
        ("1700000000", 1_699_999_400_000, false),
        ("", 0, false),
        ("0", 0, true),
        ("+1700000000", 1_700_000_000_000, false),
        ("-1", 0, false),
        ("1700000000.0", 1_700_000_000_000, false),
        (" 1700000000", 1_700_000_000_000, false),
        ("1.7e9", 1_700_000_000_000, false),
        ("18446744073709551615", 0, false),
        ("18446744073709551616", 0, false),
        ("١", 0, false),
    ] {
        assert_eq!(check_timestamp(given.as_bytes(), UnixTime::from_millis(now_millis), window).is_ok(), accept, "{given} at {now_millis}");
    }
    assert!(check_timestamp(b"10", UnixTime::from_millis(14_999), Duration::from_secs(5)).is_ok());
    refused(check_timestamp(b"10", UnixTime::from_millis(15_000), Duration::from_secs(5)), 401, "5 seconds or more off; it is 15 here");
    refused(check_timestamp(&[0xff], NOW, window), 401, "auth_timestamp");
}

/// P-10.7, P-10.8, P-10.11: a request that fails everything is mended check by check, and each time the next one decides.
#[test]
fn the_first_failing_check_decides() {
    let mut known = app();
    known.limits.body_bytes = 64;
    known.enabled = false;
    let disabled = Arc::new(known.clone());
    let enabled = Arc::new(App { enabled: true, ..known.clone() });
    let silent = Arc::new(App { dialects: Dialects::default(), ..known });
    let big = [b'x'; 65];
    let old = UnixTime::from_millis(1_000_000);
    let unsigned = "auth_key=tidings-key&auth_version=1.0&auth_timestamp=1700000000";
    let not_json = b"not json";
    let signed = |path: &str, body: &[u8]| sign("POST", path, &[], body, &key(), NOW);
    let swapped = signed("/apps/1/events", not_json);
    let (foreign, own) = (signed("/apps/1/events", BODY), signed(EVENTS, not_json));
    for (row, app, now, method, path, query, body, status, says) in [
        ("1", &disabled, old, "PUT", "/apps/1/eventz", "auth_key=tidings-key", &big[..], 404, "path"),
        ("1", &disabled, old, "PUT", "/apps/1/events", "auth_key=tidings-key", &big, 405, "POST"),
        ("2", &disabled, old, "POST", "/apps/1/events", "auth_key=tidings-key", &big, 413, "64"),
        ("3", &disabled, old, "POST", "/apps/1/events", "", BODY, 401, "auth_key is missing"),
        ("3", &disabled, old, "POST", "/apps/1/events", "auth_key=nobody", BODY, 401, "auth_key is unknown"),
        ("3", &silent, old, "POST", "/apps/1/events", "auth_key=tidings-key", BODY, 401, "auth_key is unknown"),
        ("4", &disabled, old, "POST", "/apps/1/events", "auth_key=tidings-key", BODY, 401, "auth_version is missing"),
        ("4", &disabled, old, "POST", "/apps/1/events", "auth_key=tidings-key&auth_version=2", BODY, 401, "auth_version must"),
        ("5", &disabled, old, "POST", "/apps/1/events", "auth_key=tidings-key&auth_version=1.0", BODY, 401, "auth_timestamp is missing"),
        ("5", &disabled, old, "POST", "/apps/1/events", unsigned, BODY, 401, "600 seconds or more off"),
        ("6", &disabled, NOW, "POST", "/apps/1/events", unsigned, BODY, 401, "auth_signature is missing"),
        ("6", &disabled, NOW, "POST", "/apps/2/events", &foreign, not_json, 401, "auth_signature is wrong"),
        ("7", &disabled, NOW, "POST", "/apps/1/events", &foreign, not_json, 401, "body_md5"),
        ("8", &disabled, NOW, "POST", "/apps/1/events", &swapped, not_json, 401, "app in the path"),
        ("9", &disabled, NOW, "POST", EVENTS, &own, not_json, 403, "disabled"),
        ("10", &enabled, NOW, "POST", EVENTS, &own, not_json, 400, "JSON object"),
    ] {
        let outcome = receive(Request { method, path, prefix: "", query, body }, lookup(app), now);
        let refusal = outcome.expect_err(row);
        assert_eq!(refusal.status, status, "row {row}: {refusal:?}");
        refused(Err::<(), _>(refusal), status, says);
    }
}

/// P-10.13, P-18.18: the app's limit, exactly; the default for a key nobody has.
#[test]
fn bodies_are_bounded() {
    let app = Arc::new(app());
    let check_body = |query: &str, len| {
        let body = vec![b' '; len];
        check(&app, Request { method: "POST", path: EVENTS, prefix: "", query, body: &body }, NOW)
    };
    let query = sign("POST", EVENTS, &[], &vec![b' '; 1024 * 1024], &key(), NOW);
    assert_eq!(check_body(&query, 1024 * 1024), Ok(()));
    refused(check_body(&query, 1024 * 1024 + 1), 413, "1048576");
    refused(check_body("auth_key=nobody", 1024 * 1024 + 1), 413, "1048576");
    refused(check_body("auth_key=nobody", 1024 * 1024), 401, "auth_key");
}

/// P-10.5: the digest of exactly this body, in lower case; it may be there for an empty body, and must be for any other.
#[test]
fn body_digests() {
    const OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
    for (method, path, digest, body, accept) in [
        ("GET", "/apps/1001/channels", None, "", true),
        ("GET", "/apps/1001/channels", Some(OF_NOTHING), "", true),
        ("GET", "/apps/1001/channels", Some(""), "", false),
        ("GET", "/apps/1001/channels", Some("D41D8CD98F00B204E9800998ECF8427E"), "", false),
        ("GET", "/apps/1001/channels", None, "{}", false),
        ("POST", EVENTS, None, "", true),
        ("POST", EVENTS, Some(OF_NOTHING), "", true),
        ("POST", EVENTS, Some(OF_NOTHING), "{}", false),
        ("POST", EVENTS, Some("99914b932bd37a50b983c5e7c90ae93b"), "{}", true),
        ("POST", EVENTS, Some("99914B932BD37A50B983C5E7C90AE93B"), "{}", false),
        ("POST", EVENTS, Some("99914b932bd37a50b983c5e7c90ae93"), "{}", false),
    ] {
        // Signed as if there were no body, so that the digest is the one in the table.
        let params: Vec<(&str, &str)> = digest.map(|digest| ("body_md5", digest)).into_iter().collect();
        let query = sign(method, path, &params, b"", &key(), NOW);
        let outcome = check(&Arc::new(app()), Request { method, path, prefix: "", query: &query, body: body.as_bytes() }, NOW);
        match outcome {
            Ok(()) => assert!(accept, "{digest:?} {body}"),
            refusal => {
                assert!(!accept, "{digest:?} {body}");
                refused(refusal, 401, "body_md5");
            }
        }
    }
}

/// P-10.9: a sender may sign raw text and escape the wire, sign the wire as it is, or leave a plus alone.
#[test]
fn queries_are_signed_escaped_or_not() {
    const AUTH: &str = "auth_key=tidings-key&auth_timestamp=1700000000&auth_version=1.0";
    for (signed, wire, accept) in [
        ("x=a,b", "x=a%2Cb", true),
        ("x=a,b", "x=a%2cb", true),
        ("x=a%2Cb", "x=a%2Cb", true),
        ("x=a b", "x=a+b", true),
        ("x=a b", "x=a%20b", true),
        ("x=a+b", "x=a+b", true),
        ("x=a+b", "x=a%2Bb", true),
        ("x=a+b", "x=a b", false),
        ("x[]=2&x[]=1", "x%5B%5D=2&x[]=1", true),
        ("x[]=1&x[]=2", "x[]=2&x[]=1", false),
        ("name=ev&x=1", "X=1&NAME=ev", true),
        ("x=%zz", "x=%zz", true),
        ("x=%", "x=%", true),
        ("x=%4", "x=%4", true),
        ("x=a=b", "x=a=b", true),
        ("x=", "x", true),
        ("x=", "x=&&", true),
        ("x=\0", "x=%00", true),
        ("ö=é", "%C3%96=%C3%A9", true),
        ("x=é", "x=é", true),
        ("x=%C3%A9", "x=é", false),
    ] {
        let query = signed_over("GET", "/apps/1001/channels", &format!("{AUTH}&{signed}"), &format!("{wire}&{AUTH}"));
        let request = Request { method: "GET", path: "/apps/1001/channels", prefix: "", query: &query, body: b"" };
        assert_eq!(check(&Arc::new(app()), request, NOW).is_ok(), accept, "{signed} as {wire}");
    }
}

/// P-10.9, P-10.10, P-2.9: the path as received or decoded, without the prefix or with it.
#[test]
fn paths_are_signed_escaped_or_not_with_the_prefix_or_not() {
    for (prefix, wire, signed, accept) in [
        ("", "/apps/1001/channels/a%2Cb", "/apps/1001/channels/a%2Cb", true),
        ("", "/apps/1001/channels/a%2Cb", "/apps/1001/channels/a,b", true),
        ("", "/apps/1001/channels/a%2Cb", "/apps/1001/channels/a%2cb", false),
        ("", "/apps/1001/channels/a,b", "/apps/1001/channels/a%2Cb", false),
        ("", "/apps/1001/channels/a+b", "/apps/1001/channels/a b", false),
        ("", "/%61pps", "/apps", false),
        ("/ws", "/ws/apps/1001/channels", "/apps/1001/channels", true),
        ("/ws", "/ws/apps/1001/channels", "/ws/apps/1001/channels", true),
        ("/ws", "/ws/apps/1001/channels", "/sw/apps/1001/channels", false),
        ("/w%73", "/w%73/apps/1001/channels/%61", "/ws/apps/1001/channels/a", true),
        ("/w%73", "/w%73/apps/1001/channels/%61", "/w%73/apps/1001/channels/%61", true),
        ("/w%73", "/w%73/apps/1001/channels/%61", "/apps/1001/channels/a", true),
        ("/w%73", "/w%73/apps/1001/channels/%61", "/w%73/apps/1001/channels/a", false),
    ] {
        let query = sign("GET", signed, &[], b"", &key(), NOW);
        let outcome = check(&Arc::new(app()), Request { method: "GET", path: wire, prefix, query: &query, body: b"" }, NOW);
        assert_eq!(outcome.is_ok(), accept, "{signed} as {wire}");
    }
}

/// P-1.1, P-10.8: every pair of an app is valid, a key is bound to its own app, and the app id may be escaped.
#[test]
fn keys_and_apps() {
    let mut app = App::new("my app/ü", "first", "secret-1");
    app.keys.push(Key { key: "sec+ond".to_owned(), secret: "secret-2".to_owned() });
    let app = Arc::new(app);
    for key in &app.keys {
        for (path, accept) in [
            ("/apps/my%20app%2f%C3%BC/channels", true),
            ("/apps/my+app%2f%C3%BC/channels", false),
            ("/apps/1001/channels", false),
            ("/apps/%ff/channels", false),
        ] {
            let query = sign("GET", path, &[], b"", key, NOW);
            // The `+` of the second key is escaped by our signer; other senders leave it.
            for query in [query.clone(), query.replace("%2B", "+")] {
                let outcome = check(&app, Request { method: "GET", path, prefix: "", query: &query, body: b"" }, NOW);
                assert_eq!(outcome.is_ok(), accept, "{query} {path}");
            }
        }
    }
    let swapped = Key { key: "first".to_owned(), secret: "secret-2".to_owned() };
    let query = sign("GET", "/apps/my%20app%2f%C3%BC/channels", &[], b"", &swapped, NOW);
    let request = Request { method: "GET", path: "/apps/my%20app%2f%C3%BC/channels", prefix: "", query: &query, body: b"" };
    refused(check(&app, request, NOW), 401, "auth_signature is wrong");
}

/// P-11.16: without an app in the path, the key names it.
#[test]
fn the_alias_takes_the_app_from_the_key() {
    let path = "/users/u%201/terminate_connections";
    for body in [b"" as &[u8], b"{}", b" { } "] {
        assert_eq!(call_of(app(), "POST", path, &[], body), Ok(Call::Terminate { user_id: "u 1".to_owned() }));
    }
    let stranger = Key { key: "nobody".to_owned(), secret: "tidings-secret".to_owned() };
    let query = sign("POST", path, &[], b"", &stranger, NOW);
    refused(check(&Arc::new(app()), Request { method: "POST", path, prefix: "", query: &query, body: b"" }, NOW), 401, "auth_key");
}

/// P-10.12: a 401 shows what the server signed, on one line, and never a secret or the signature it wanted.
#[test]
fn a_wrong_signature_is_explained() {
    let good = sign("POST", EVENTS, &[("x", "\r\n\u{1b}[31m\"")], BODY, &key(), NOW);
    let (start, signature) = good.rsplit_once('=').unwrap();
    let refusal = with_query(&format!("{start}={}", "0".repeat(64))).unwrap_err();
    assert!(!refusal.body.contains(signature) && !refusal.body.contains("tidings-secret"), "{refusal:?}");
    assert!(
        refusal.body.contains(r#""POST\n/apps/1001/events\nauth_key=tidings-key&auth_timestamp=1700000000&auth_version=1.0&body_md5="#)
    );
    refused(Err::<(), _>(refusal), 401, r#"&x=\r\n\u{1b}[31m\"""#);
}

/// P-10.5, P-10.7: nothing may be missing, doubled or nearly right.
#[test]
fn hostile_queries() {
    let good = sign("POST", EVENTS, &[], BODY, &key(), NOW);
    assert_eq!(with_query(&good), Ok(()));
    let (start, signature) = good.rsplit_once('=').unwrap();
    for name in ["auth_key", "auth_version", "auth_timestamp", "body_md5", "auth_signature"] {
        let rest: Vec<&str> = good.split('&').filter(|part| !part.starts_with(name)).collect();
        let says = if name == "body_md5" { "auth_signature is wrong".to_owned() } else { format!("{name} is missing") };
        refused(with_query(&rest.join("&")), 401, &says);
        let own = good.split('&').find(|part| part.starts_with(name)).unwrap();
        let says =
            if name == "body_md5" { "auth_signature is wrong".to_owned() } else { format!("{name} stands in the query more than once") };
        refused(with_query(&format!("{good}&{own}")), 401, &says);
        refused(with_query(&format!("{}&{good}", own.to_uppercase().replace("TIDINGS", "tidings"))), 401, &says);
    }
    for query in [
        format!("{start}={}", signature.to_uppercase()),
        format!("{start}={}", &signature[..63]),
        format!("{start}={signature}0"),
        format!("{start}="),
        format!("{start}=%ff{signature}"),
        format!("{start}=%00"),
        format!("{start}={signature}%00"),
        format!("{good}&extra=1"),
        format!("{good}&=1"),
        good.replace("auth_key=tidings-key", "auth_key=tidings-key%00"),
        good.replace("auth_key=tidings-key", "auth_key=%ff"),
        String::new(),
        "&&&&".to_owned(),
        "=".to_owned(),
        "%".to_owned(),
    ] {
        refused(with_query(&query), 401, "auth_");
    }
    // Escapes that do not change what is meant are as good.
    assert_eq!(with_query(&good.replace("auth_key=tidings-key", "%61uth_key=tidings%2Dkey")), Ok(()));
}

/// P-10.5: two digests are refused even where both are signed.
#[test]
fn a_signed_parameter_that_is_doubled_is_refused() {
    for name in ["auth_key", "auth_version", "auth_timestamp", "body_md5"] {
        let query = sign("POST", EVENTS, &[(name, "x")], BODY, &key(), NOW);
        refused(with_query(&query), 401, &format!("{name} stands in the query more than once"));
    }
}

#[test]
fn parameters_are_bounded() {
    let with = |count: usize| {
        let params: Vec<(&str, &str)> = (0..count).map(|_| ("x[]", "1")).collect();
        with_query(&sign("POST", EVENTS, &params, BODY, &key(), NOW))
    };
    // Four of authentication, and the signature.
    assert_eq!(with(QUERY_PARAMETERS_MAX - 5), Ok(()));
    refused(with(QUERY_PARAMETERS_MAX - 4), 400, "256 parameters");
    refused(with(10_000), 400, "256 parameters");
}

proptest! {
    /// P-10.4, P-10.9: whatever is signed verifies, whoever escapes it, and nothing else does.
    #[test]
    fn what_is_signed_verifies(
        params in prop::collection::vec(("[^_]{0,6}(\\[\\])?", ".{0,8}"), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..40),
        user in "[^/]{1,8}",
        flip in any::<prop::sample::Index>(),
    ) {
        let params: Vec<(&str, &str)> = params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let app = Arc::new(app());
        let raw = format!("/apps/1001/users/{user}/terminate_connections");
        let user: String = percent_encoding::utf8_percent_encode(&user, percent_encoding::NON_ALPHANUMERIC).collect();
        let wire = format!("/apps/1001/users/{user}/terminate_connections");
        for signed in [&raw, &wire] {
            let query = sign("POST", signed, &params, &body, &key(), NOW);
            let request = Request { method: "POST", path: &wire, prefix: "", query: &query, body: &body };
            prop_assert_eq!(check(&app, request, NOW), Ok(()), "{}", query);

            let mut digits = query.clone().into_bytes();
            let at = digits.len() - 64 + flip.index(64);
            digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
            let query = String::from_utf8(digits).unwrap();
            prop_assert_eq!(check(&app, Request { query: &query, ..request }, NOW).unwrap_err().status, 401);
        }
    }

    #[test]
    fn no_request_is_a_fault(method in "GET|POST|.*", path in "(/(apps|1001|channels|events|users|.*)){0,6}", query in ".*", body in any::<Vec<u8>>()) {
        let app = Arc::new(app());
        let request = Request { method: &method, path: &path, prefix: "", query: &query, body: &body };
        let refusal = receive(request, lookup(&app), NOW).expect_err("nobody signed it");
        prop_assert_eq!(refusal.body.find('\n'), Some(refusal.body.len() - 1));
    }
}
