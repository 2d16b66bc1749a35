//! The bodies of the answers.

use super::super::answer::{self, Details, Handler, Service, Status};
use super::super::records::{self, AppRecord, Base, EventRecord, RegistrationRecord, Secret, SubscriptionRecord};
use super::super::{AppSettings, Family, Setting};
use super::*;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tidings_hub::UnixTime;

const BASE: Base<'_> =
    Base { id: 7, created: UnixTime::from_millis(1_700_000_000_999), modified: UnixTime::from_millis(1_700_000_001_000), instance: "app" };

fn value(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// `members` with what all records have.
fn record(oid: &str, members: Value) -> Value {
    let mut all = json!({
        "id": 7, "_id": oid, "enabled": true, "description": null, "meta": {},
        "created": 1_700_000_000, "modified": 1_700_000_001, "instance": "app",
    });
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

fn event<'a>(data: &'a str, extras: Option<&'a str>) -> EventRecord<'a> {
    EventRecord {
        base: BASE,
        mid: 0x0b2f_7a52_7a0c_4f63_9c3e_2a7d_3f1f_9d10,
        channel: "news",
        owner_id: None,
        timestamp: UnixTime::from_micros(1_795_254_841_000_120),
        name: "message",
        data,
        extras,
    }
}

/// I-4.9, I-4.22 to I-4.24
#[test]
fn subscriptions() {
    let one = SubscriptionRecord { base: BASE, user_id: "u\"9", event: "news" };
    let expected = record("737562000000000000000007", json!({"user_id": "u\"9", "event": "news"}));
    assert_eq!(value(&records::one(&one)), expected);
    assert_eq!(value(&records::list([one])), json!({"subscriptions": [expected]}));
    assert_eq!(records::list::<SubscriptionRecord<'_>>([]), r#"{"subscriptions":[]}"#);
}

/// I-4.9, I-4.30, I-4.31
#[test]
fn registrations() {
    for (family, oid, expected) in [
        (Family::Webs, "776562000000000000000007", json!({"url": "x", "event": "news"})),
        (Family::Apns, "61706e000000000000000007", json!({"token": "x", "event": "news"})),
        (Family::Smtps, "736d74000000000000000007", json!({"email": "x", "event": "news"})),
        (Family::WebPushes, "707368000000000000000007", json!({"endpoint": "x", "event": "news", "p256dh": "P", "auth": "A"})),
    ] {
        let one = RegistrationRecord { base: BASE, family, id: "x", event: "news", p256dh: "P", auth: "A" };
        assert_eq!(value(&records::one(&one)), record(oid, expected.clone()));
        assert_eq!(value(&records::list([one, one])), json!({"subscriptions": [record(oid, expected.clone()), record(oid, expected)]}));
        assert!(!format!("{one:?}").contains("\"A\""));
    }
}

/// I-3.1, I-4.17, I-4.20: an event shows its number in lists and not over WebSockets.
#[test]
fn events() {
    for (data, extras, expected) in [
        ("live", None, json!({"channel": "news", "event": "message", "data": "live"})),
        (
            "a\"é\n",
            Some(r#""persist":true,"push":"p""#),
            json!({"channel": "news", "event": "message", "data": "a\"é\n", "persist": true, "push": "p"}),
        ),
        ("{\"a\":1}", Some(""), json!({"channel": "news", "event": "message", "data": "{\"a\":1}"})),
    ] {
        let one = event(data, extras);
        let listed = value(&records::list([one]));
        let members = json!({
            "mid": "0b2f7a52-7a0c-4f63-9c3e-2a7d3f1f9d10", "channel": "news", "owner_id": null,
            "timestamp": listed["events"][0]["timestamp"], "data": expected,
        });
        let mut expected = record("657674000000000000000007", members);
        assert_eq!(listed, json!({"events": [expected.clone()]}));
        expected.as_object_mut().unwrap().remove("_id");
        let mut out = b"{\"events\":".to_vec();
        records::write_events([one, one], &mut out);
        out.push(b'}');
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), json!({"events": [expected.clone(), expected]}));
    }
    let text = String::from_utf8(records::one(&EventRecord { owner_id: Some("s"), mid: 1, ..event("x", None) }).into()).unwrap();
    for part in [r#""timestamp":1795254841.000120,"#, r#""owner_id":"s""#, r#""mid":"00000000-0000-0000-0000-000000000001""#] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    let mut out = Vec::new();
    records::write_events([], &mut out);
    assert_eq!(out, b"[]");
}

/// I-4.15: all fields, absent ones as null, secrets masked for all but the operator.
#[test]
fn apps() {
    let mut settings = AppSettings { apn_sandbox: true, ..AppSettings::default() };
    for (setting, text) in
        [(Setting::ApnKey, "K"), (Setting::ApnCertificate, "C"), (Setting::VapidKey, "V"), (Setting::SmtpUrl, "smtp://u:p@h")]
    {
        settings.texts.insert(setting, text.to_owned());
    }
    let app = |masked| AppRecord { base: BASE, name: "n", key: "k", secret: Secret("s"), settings: &settings, masked };
    let expected = |apn_key: &str, vapid_key: &str, smtp_url: &str| {
        let members = json!({
            "name": "n", "ident": "app", "key": "k", "secret": "s", "apn_sandbox": true, "apn_key": apn_key, "apn_cer": "C",
            "apn_key_id": null, "apn_team_id": null, "apn_topic": null, "vapid_key": vapid_key, "vapid_email": null, "smtp_url": smtp_url,
        });
        record("617070000000000000000007", members)
    };
    assert_eq!(value(&records::one(&app(true))), expected("***", "***", "smtp://u:***@h"));
    assert_eq!(value(&records::list([app(false)])), json!({"apps": [expected("K", "V", "smtp://u:p@h")]}));
    assert!(!format!("{:?}", app(false)).contains("\"s\"") && !format!("{:?}", app(false)).contains("\"K\""));
}

/// I-4.3: the shape of an error; the session is never told.
#[test]
fn refusals() {
    let body = Refusal::app_not_found().body("u-1");
    let expected =
        json!({"result": "error", "name": "NotFoundError", "message": "App not found", "code": 404, "uid": "u-1", "session": null});
    assert_eq!(value(&body), expected);
    let body = call("POST /subscriptions", "{}").unwrap_err().body("u\"2");
    let errors = json!({"event": ["value is not set"], "user_id": ["value is not set"]});
    assert_eq!((&value(&body)["errors"], &value(&body)["uid"]), (&errors, &json!("u\"2")));
    for (refusal, status, name) in [
        (Refusal::not_authenticated(), 403, "AppierException"),
        (Refusal::login_failed(), 403, "AppierException"),
        (Refusal::apps_are_closed(), 403, "AppierException"),
        (Refusal::subscription_not_found(), 404, "NotFoundError"),
        (Refusal::invalid_signature(), 400, "RuntimeError"),
        (Refusal::value_duplicate("name"), 400, "ValidationError"),
        (Refusal::no_vapid_key(), 400, "OperationalError"),
        (Refusal::too_large(5), 413, "OperationalError"),
        (Refusal::busy(), 503, "OperationalError"),
        (Refusal::not_ready("Database not ready: x"), 503, "OperationalError"),
        (Refusal::store_failed("the disk is full"), 500, "OperationalError"),
    ] {
        let body = value(&refusal.body("u"));
        assert_eq!((&body["code"], &body["name"], body.get("errors").is_some()), (&json!(status), &json!(name), name == "ValidationError"));
    }
}

/// I-4.2, I-4.5, I-4.25, I-4.26
#[test]
fn plain_answers() {
    assert_eq!(answer::success(), r#"{"result":"success"}"#);
    assert_eq!(answer::token("t"), r#"{"token":"t"}"#);
    assert_eq!(answer::sockets([("s", ["a", "b"])]), r#"{"sockets":[{"socket_id":"s","channel":["a","b"]}]}"#);
    assert_eq!(answer::sockets([] as [(&str, [&str; 0]); 0]), r#"{"sockets":[]}"#);
    assert_eq!(answer::channels(["a", "b\""]), r#"{"channels":["a","b\""]}"#);
    assert_eq!(answer::channels([]), r#"{"channels":[]}"#);
}

/// I-4.38
#[test]
fn vapid_keys() {
    let public = "BEZlkIdm2kK3gdDABibDjCvjk1ofQgGBS5vfw97ga4fB51Z170ZyO4wAd8LaeBApNMeS6UAOkQesGiqKEGNMcmA";
    let body = answer::vapid_key(Some("YqkxrIJMhVxRY0QAviPLbkH1KJI3-YIJYWZwnSmanOM")).unwrap();
    assert_eq!(body, format!(r#"{{"vapid_public_key":"{public}"}}"#));
    refused(answer::vapid_key(None), 400, "OperationalError", "VAPID credentials not configured for this app");
    refused(answer::vapid_key(Some("?")), 400, "OperationalError", "Failed to derive VAPID public key: ");
}

/// I-4.50 to I-4.52, I-4.54, I-4.55
#[test]
fn health() {
    assert_eq!(value(&answer::health("1.2")), json!({"status": "ok", "service": "pushi", "version": "1.2", "server": "tidings"}));
    assert_eq!(answer::live(), r#"{"status":"ok"}"#);
    assert_eq!(answer::ready(), r#"{"status":"ok","ready":true}"#);
    assert_eq!(value(&answer::versions("1.2")), json!({"api_version": 1, "version": "1.2", "server": "tidings"}));
    let service =
        Service { version: "1.2", uptime: Duration::from_millis(61_500), connections: 3, count: 4, host: "::1", port: 9090, ssl: true };
    let expected = json!({
        "name": "pushi", "version": "1.2", "server": "tidings", "status": "running", "uptime": 61,
        "service": {"connections": 3, "count": 4, "host": "::1", "port": 9090, "ssl": true},
    });
    assert_eq!(value(&answer::info(&service)), expected);
}

/// I-4.53
#[test]
fn health_in_detail() {
    let fine = Handler { status: Status::Ok, subscriptions: 2, apps: 1 };
    let details = Details {
        version: "1.2",
        now: UnixTime::from_micros(1_500_000),
        store: Status::Ok,
        store_latency: Duration::from_micros(1_250),
        apps: 5,
        sockets: Status::Ok,
        connections: 6,
        messages_sent: 7,
        handlers: [fine; 4],
    };
    let handler = |name: &str| json!({"name": name, "status": "ok", "stats": {"subscription_count": 2, "app_count": 1}});
    let expected = json!({
        "status": "ok", "service": "pushi", "version": "1.2", "server": "tidings", "timestamp": 1.5,
        "checks": {
            "database": {"status": "ok", "latency_ms": 1.25, "app_count": 5},
            "websocket": {"status": "ok", "connections": 6, "messages_sent": 7, "info": {}},
            "handlers": {"status": "ok", "handlers": [handler("apn"), handler("smtp"), handler("web"), handler("web_push")]},
        },
    });
    assert_eq!(value(&answer::detailed(&details)), expected);
    let slow = Handler { status: Status::Warning, ..fine };
    for (details, store, handlers) in [
        (Details { store: Status::Error, ..details }, "error", "ok"),
        (Details { handlers: [fine, slow, fine, fine], ..details }, "ok", "warning"),
    ] {
        let body = value(&answer::detailed(&details));
        assert_eq!(body["status"], "degraded");
        assert_eq!((&body["checks"]["database"]["status"], &body["checks"]["handlers"]["status"]), (&json!(store), &json!(handlers)));
    }
}
