//! Paths, methods, and who may ask.

use super::super::route::{Method, Place, Retired, Route, route};
use super::super::{Access, Family, Which, methods};
use super::*;

fn place(path: &str) -> Place {
    let method = if methods(path).unwrap().starts_with("GET") { "GET" } else { methods(path).unwrap().split(", ").next().unwrap() };
    route(method, path).unwrap().place
}

/// I-4.1, I-4.11 to I-4.17, I-4.22 to I-4.26, I-4.30, I-4.50 to I-4.56, I-4.60, I-4.61: all paths, the methods of each, and who may ask.
#[test]
fn routes() {
    use Access::{Anyone, AppCreation, HealthDetails, Session};
    for (path, allowed, access) in [
        ("/login", "GET, POST", Anyone),
        ("/logout", "GET, POST", Anyone),
        ("/apps", "GET, POST", Session),
        ("/apps/ping", "GET", Session),
        ("/apps/vapid_key", "GET", Session),
        ("/apps/abc", "GET, PUT", Session),
        ("/events", "GET, POST", Session),
        ("/subscriptions", "GET, POST", Session),
        ("/subscriptions/u/c", "DELETE", Session),
        ("/sockets", "GET", Session),
        ("/sockets/1", "GET, POST", Session),
        ("/webs", "GET, POST, DELETE", Session),
        ("/apns", "GET, POST", Session),
        ("/smtps", "GET, POST", Session),
        ("/web_pushes", "GET, POST", Session),
        ("/webs/x/c", "DELETE", Session),
        ("/apns/aa", "DELETE", Session),
        ("/smtps/a@b/c", "DELETE", Session),
        ("/web_pushes/x", "DELETE", Session),
        ("/vapid_key", "GET", Session),
        ("/messaging/send", "POST", Session),
        ("/messaging/apn", "POST", Session),
        ("/messaging/email", "POST", Session),
        ("/messaging/webhook", "POST", Session),
        ("/messaging/web_push", "POST", Session),
        ("/health", "GET", Anyone),
        ("/health/live", "GET", Anyone),
        ("/health/ready", "GET", Anyone),
        ("/health/detailed", "GET", HealthDetails),
        ("/", "GET", Anyone),
        ("/info", "GET", Anyone),
        ("/versions", "GET", Anyone),
        ("/apps/abc/subscribe", "GET, POST", Session),
        ("/apps/abc/unsubscribe", "GET, POST", Session),
        ("/apps/abc/subscriptions", "GET, POST", Session),
        ("/apps/abc/events", "GET, POST", Session),
        ("/apps/abc/ping", "GET, POST", Session),
        ("/apps/abc/sockets", "GET, POST", Session),
        ("/apps/abc/sockets/1", "GET, POST", Session),
        ("/apps/abc/subscribe_apn", "GET, POST", Session),
        ("/apps/abc/subscribe_web", "GET, POST", Session),
        ("/apps/abc/unsubscribe_apn", "GET, POST", Session),
        ("/apps/abc/unsubscribe_web", "GET, POST", Session),
        ("/apps/abc/subscriptions_apn", "GET, POST", Session),
        ("/apps/abc/subscriptions_web", "GET, POST", Session),
    ] {
        let allow = format!("{allowed}, OPTIONS");
        assert_eq!(methods(path), Some(allow.as_str()), "{path}");
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "get", ""] {
            let outcome = route(method, path);
            if allowed.split(", ").any(|allowed| allowed == method) {
                let expected = if (path, method) == ("/apps", "POST") { AppCreation } else { access };
                assert_eq!(outcome.unwrap().access(), expected, "{method} {path}");
            } else {
                assert_eq!(outcome.as_ref().unwrap_err().allow.map(str::to_owned), Some(allow.clone()), "{method} {path}");
                refused(outcome, 405, "OperationalError", &allow);
            }
        }
    }
}

/// I-4.1: slashes may be doubled, as when a base that ends in one is joined with a path that begins with one.
#[test]
fn doubled_slashes() {
    for (path, same) in [
        ("//login", "/login"),
        ("/apps//abc", "/apps/abc"),
        ("///apps//abc///subscribe", "/apps/abc/subscribe"),
        ("//subscriptions//u//c", "/subscriptions/u/c"),
        ("//webs//https://h/x/c", "/webs/https://h/x/c"),
        ("//", "/"),
        ("", "/"),
    ] {
        assert_eq!(place(path), place(same), "{path}");
    }
}

/// I-4.3, I-4.56, I-4.61: paths that name nothing, some of which once did.
#[test]
fn unknown_paths() {
    for path in [
        "/nope",
        "/Login",
        "/login/",
        "/login/x",
        "/apps/",
        "/apps/abc/",
        "/apps/abc/nope",
        "/apps/abc/sockets/1/2",
        "/apps/abc/subscribe/x/y/z/a/b/c",
        "/webs/",
        "/web_pushes//",
        "/web",
        "/apn",
        "/subscriptions/u",
        "/subscriptions/u/",
        "/sockets/",
        "/sockets/1/2",
        "/messaging",
        "/messaging/sms",
        "/health/dead",
        "/static/js/pushi.js",
        "/favicon.ico",
        "/admin",
        "/%6cogin",
        "login?x",
    ] {
        assert_eq!(methods(path), None, "{path}");
        refused(route("GET", path), 404, "NotFoundError", &format!("Request GET '{path}' not handled"));
    }
    let long = format!("/{}", "x".repeat(100_000));
    assert!(route("GET", &long).unwrap_err().message.len() < 1100);
    assert!(route(&long, "/nope").unwrap_err().message.len() < 100);
}

/// I-4.24, I-4.26, I-4.13: segments are unescaped, and what is no text then is refused.
#[test]
fn segments() {
    let subscription = |user_id: &str, event: &str| Place::Subscription { user_id: user_id.to_owned(), event: event.to_owned() };
    for (path, expected) in [
        ("/apps/a%2Fb", Place::App("a/b".to_owned())),
        ("/sockets/a+b%20c", Place::Socket("a+b c".to_owned())),
        ("/sockets/%", Place::Socket("%".to_owned())),
        ("/subscriptions/u%40x/private-caf%C3%A9", subscription("u@x", "private-café")),
        ("/subscriptions/u/x/y/news", subscription("u/x/y", "news")),
        ("/subscriptions/u/peer-a%3Ab%26c%2Fd", subscription("u", "peer-a:b&c/d")),
        ("/apps/a%20b/ping", Place::Retired { app: "a b".to_owned(), what: Retired::Ping }),
        ("/apps/a/sockets/%31", Place::Retired { app: "a".to_owned(), what: Retired::Socket("1".to_owned()) }),
    ] {
        assert_eq!(place(path), expected, "{path}");
    }
    for path in ["/apps/%ff", "/sockets/%c3", "/subscriptions/%80/x", "/webs/%fe", "/apps/%ff/ping", "/apps/a/sockets/%ff"] {
        refused(route("GET", path), 400, "OperationalError", "UTF-8");
        assert_eq!(methods(path), None);
    }
}

/// I-4.34 to I-4.37: which registrations a path names, however the id is written.
#[test]
fn registered() {
    let all = |id: &str| Which::All { id: id.to_owned() };
    let one = |id: &str, event: &str| Which::One { id: id.to_owned(), event: event.to_owned() };
    let either = |id: &str, event: &str, whole: &str| Which::Either { id: id.to_owned(), event: event.to_owned(), whole: whole.to_owned() };
    use Family::{Apns, Smtps, WebPushes, Webs};
    for (path, family, which) in [
        ("/webs/https%3A%2F%2Fh%2Fx", Webs, all("https://h/x")),
        ("/webs/https%3A%2F%2Fh%2Fx/news", Webs, either("https://h/x", "news", "https://h/x/news")),
        ("/webs/https://h/x/news", Webs, either("https://h/x", "news", "https://h/x/news")),
        ("/webs/https://h/x//a%2Fb", Webs, either("https://h/x/", "a/b", "https://h/x//a/b")),
        ("/webs/https://h/x/", Webs, all("https://h/x/")),
        ("/webs/https://h", Webs, all("https://h")),
        ("/webs/x/news", Webs, all("x/news")),
        ("/apns/aabb", Apns, all("aabb")),
        ("/apns/aabb/news", Apns, one("aabb", "news")),
        ("/smtps/a%40b.org", Smtps, all("a@b.org")),
        ("/smtps/a/b@c.org/news", Smtps, one("a/b@c.org", "news")),
        ("/web_pushes/https%3A%2F%2Fh%2Fx", WebPushes, all("https://h/x")),
        ("/web_pushes/https://h/x/news", WebPushes, all("https://h/x/news")),
    ] {
        assert_eq!(route("DELETE", path), Ok(Route { place: Place::Registered(family, which), method: Method::Delete }), "{path}");
    }
}

/// I-4.60, I-4.61: retired routes name their app; some answer no more than success; two take a key in place of a session.
#[test]
fn what_a_request_shows() {
    for (line, app, terse) in [
        ("GET /apps/abc/subscribe", Some("abc"), true),
        ("POST /apps/abc/unsubscribe", Some("abc"), true),
        ("GET /apps/abc/subscribe_web", Some("abc"), true),
        ("GET /apps/abc/unsubscribe_apn", Some("abc"), true),
        ("GET /apps/abc/subscriptions", Some("abc"), false),
        ("GET /apps/abc/subscriptions_web", Some("abc"), false),
        ("POST /apps/abc/events", Some("abc"), false),
        ("GET /apps/abc/sockets/1", Some("abc"), false),
        ("GET /apps/abc", None, false),
        ("POST /subscriptions", None, false),
    ] {
        let received = received(line);
        assert_eq!((received.app.as_deref(), received.terse), (app, terse), "{line}");
    }
    for (line, key) in [
        ("GET /vapid_key?app_key=k", Some("k")),
        ("POST /web_pushes?app_key=k", Some("k")),
        ("DELETE /web_pushes/x?app_key=k", Some("k")),
        ("GET /vapid_key", None),
        ("POST /webs?app_key=k", None),
        ("GET /login?app_key=k", None),
    ] {
        assert_eq!(received(line).legacy_app_key.as_deref(), key, "{line}");
    }
}
