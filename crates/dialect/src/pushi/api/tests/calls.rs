//! The calls that are no trigger: apps, lists, registrations, retired routes.

use super::super::{AppPatch, AppSettings, Family, MASK, Registration, Setting, Which, prove};
use super::*;
use crate::pushi::auth;
use tidings_hub::{App, ChannelName};

fn named(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn patch(body: &str) -> AppPatch {
    match call("PUT /apps/i", body) {
        Ok(Call::UpdateApp { ident, patch }) if ident == "i" => patch,
        other => panic!("{other:?}"),
    }
}

/// Settings after `body` has changed those that `before` made.
fn changed(before: &str, body: &str) -> Result<Vec<(Setting, String)>, Refusal> {
    let mut settings = AppSettings::default();
    patch(before).apply(&mut settings).unwrap();
    let untouched = settings.clone();
    let outcome = patch(body).apply(&mut settings);
    assert!(outcome.is_ok() || settings == untouched);
    outcome.map(|()| settings.texts.into_iter().collect())
}

/// I-4.17, I-3.7
#[test]
fn lists_of_events() {
    for (query, count, skip, channel) in [
        ("", 10, 0, None),
        ("?count=", 10, 0, None),
        ("?count=1", 1, 0, None),
        ("?count=%2B5&skip=3", 5, 3, None),
        ("?count=0", 10, 0, None),
        ("?count=-7&skip=-7", 10, 0, None),
        ("?count=500", 500, 0, None),
        ("?count=501", 500, 0, None),
        ("?count=99999999999999999999999&skip=99999999999999999999999", 500, i64::MAX as u64, None),
        ("?count=-99999999999999999999999&skip=-99999999999999999999999", 10, 0, None),
        ("?channel=a%20b", 10, 0, Some("a b")),
    ] {
        let expected = Call::ListEvents { count, skip, channel: channel.map(str::to_owned) };
        assert_eq!(call(&format!("GET /events{query}"), ""), Ok(expected.clone()), "{query}");
        assert_eq!(call(&format!("GET /apps/i/events{query}"), ""), Ok(expected), "I-4.60 {query}");
    }
    for text in ["x", "1.5", "--1", "-", "1e3", "0x10", "١"] {
        refused(call(&format!("GET /events?count={text}"), ""), 400, "OperationalError", "Field 'count' not compatible with type 'int'");
        refused(call(&format!("GET /events?skip={text}"), ""), 400, "OperationalError", "Field 'skip' not compatible with type 'int'");
    }
}

/// I-4.22 to I-4.24
#[test]
fn subscriptions() {
    let subscribe = |user_id: &str, event: &str| Ok(Call::Subscribe { user_id: user_id.to_owned(), event: named(event) });
    let list = |user_id: Option<&str>, event: Option<&str>| Call::ListSubscriptions {
        user_id: user_id.map(str::to_owned),
        event: event.map(str::to_owned),
    };
    assert_eq!(call("GET /subscriptions", ""), Ok(list(None, None)));
    assert_eq!(call("GET /subscriptions?user_id=u&event=", ""), Ok(list(Some("u"), None)));
    assert_eq!(call("GET /subscriptions?event=e&user_id=", ""), Ok(list(None, Some("e"))));
    assert_eq!(call("POST /subscriptions", r#"{"user_id":"u","event":"private-x","bogus":[]}"#), subscribe("u", "private-x"));
    invalid(call("POST /subscriptions", "{}"), &[("event", "value is not set"), ("user_id", "value is not set")]);
    invalid(call("POST /subscriptions", r#"{"user_id":"","event":null}"#), &[("event", "value is not set"), ("user_id", "value is empty")]);
    invalid(call("POST /subscriptions?user_id=", r#"{"user_id":"u","event":"e"}"#), &[("user_id", "value is empty")]);
    for (user_id, event, says) in [
        ("u", "#x", "reserved"),
        ("u", &"e".repeat(201), "200 bytes"),
        (&"u".repeat(201), "e", "200 bytes"),
        ("a%0ab", "e", "control characters"),
    ] {
        let event = event.replace('#', "%23");
        refused(call(&format!("POST /subscriptions?user_id={user_id}&event={event}"), ""), 400, "OperationalError", says);
    }
    for (line, force) in [("DELETE /subscriptions/u/e", false), ("DELETE /subscriptions/u/e?force=True", true)] {
        assert_eq!(call(line, ""), Ok(Call::Unsubscribe { user_id: "u".to_owned(), event: "e".to_owned(), force }), "{line}");
    }
}

/// I-4.30, I-4.31
#[test]
fn registrations() {
    for (line, body, family, id) in [
        ("POST /webs", r#"{"url":"https://hook.example/x","event":"news"}"#, Family::Webs, "https://hook.example/x"),
        ("POST /webs", r#"{"url":"HTTP://h","event":"news"}"#, Family::Webs, "HTTP://h"),
        ("POST /apns?token=aaBB09&event=news", "", Family::Apns, "aaBB09"),
        ("POST /smtps", r#"{"email":"a+b@example.org","event":"news"}"#, Family::Smtps, "a+b@example.org"),
    ] {
        let (p256dh, auth) = (String::new(), String::new());
        let expected = Registration { family, id: id.to_owned(), event: named("news"), p256dh, auth, signature: None, unsubscribe: false };
        assert_eq!(call(line, body), Ok(Call::Register(expected)), "{line} {body}");
    }
    let body = r#"{"endpoint":"https://push.example/1","p256dh":"P","auth":"A","event":"personal-u"}"#;
    let expected = Registration {
        family: Family::WebPushes,
        id: "https://push.example/1".to_owned(),
        event: named("personal-u"),
        p256dh: "P".to_owned(),
        auth: "A".to_owned(),
        signature: Some("k:s".to_owned()),
        unsubscribe: true,
    };
    assert_eq!(call("POST /web_pushes?auth=k:s&unsubscribe=True&endpoint=ignored", body), Ok(Call::Register(expected)));
    for (family, field) in [("webs", "url"), ("apns", "token"), ("smtps", "email"), ("web_pushes", "endpoint")] {
        let family_of = Family::of(family).unwrap();
        let list = |id: Option<&str>, event: Option<&str>| {
            Ok(Call::ListRegistrations { family: family_of, id: id.map(str::to_owned), event: event.map(str::to_owned) })
        };
        assert_eq!(call(&format!("GET /{family}"), ""), list(None, None));
        assert_eq!(call(&format!("GET /{family}?{field}=x&event=e&bogus=1"), ""), list(Some("x"), Some("e")));
    }
}

/// I-4.31, I-4.3: fields that lack, and ids that cannot be any.
#[test]
fn bad_registrations() {
    invalid(call("POST /webs", "{}"), &[("event", "value is not set"), ("url", "value is not set")]);
    invalid(call("POST /apns", r#"{"token":"","event":"e"}"#), &[("token", "value is empty")]);
    let unset = ["auth", "endpoint", "event", "p256dh"].map(|field| (field, "value is not set"));
    invalid(call("POST /web_pushes?auth=a&endpoint=https://h&event=e&p256dh=p", "{}"), &unset);
    for (family, field, ids) in [
        (
            "webs",
            "url",
            &["x", "ftp://h/x", "https://", "https:///x", "https:/h", "javascript:alert(1)", "http://a b", "http://h\n", "//h"][..],
        ),
        ("apns", "token", &["xyz", "aa bb", "0x12", "aa-bb"]),
        ("smtps", "email", &["a", "@", "a@", "@b", "a@b\r\nBcc: c@d", "a b@c"]),
        ("web_pushes", "endpoint", &["x", "file:///etc/passwd"]),
    ] {
        for id in ids {
            let body = serde_json::json!({field: id, "event": "e", "p256dh": "p", "auth": "a"}).to_string();
            refused(call(&format!("POST /{family}"), &body), 400, "OperationalError", &format!("{field} must be "));
        }
    }
    let url = format!("https://{}", "h".repeat(2041));
    refused(call("POST /webs", &format!(r#"{{"url":"{url}","event":"e"}}"#)), 400, "OperationalError", "url must be");
    refused(call("POST /webs", r##"{"url":"https://h","event":"#e"}"##), 400, "OperationalError", "reserved");
    let key = format!(r#"{{"endpoint":"https://h","event":"e","p256dh":"{}","auth":"a"}}"#, "p".repeat(513));
    refused(call("POST /web_pushes", &key), 400, "OperationalError", "512 characters");
}

/// I-4.33: what needs a signature for a subscription needs it here too, over the id in place of the socket.
#[test]
fn proofs() {
    let app = App::new("i", "key", "secret");
    let signed = |id: &str, event: &str| format!("key:{}", auth::sign("secret", id, event));
    let url = "https://h/x";
    for (event, signature, proven) in [
        ("news", None, true),
        ("news", Some("wrong".to_owned()), true),
        ("private-x", Some(signed(url, "private-x")), true),
        ("presence-x", Some(signed(url, "presence-x")), true),
        ("personal-u", Some(signed(url, "personal-u")), true),
        ("peer-x:a&b", Some(signed(url, "peer-x:a&b")), true),
        ("private-x", Some(signed("https://h/y", "private-x")), false),
        ("private-x", Some(signed(url, "private-y")), false),
        ("personal-u", None, false),
        ("peer-x:a&b", Some("wrong".to_owned()), false),
    ] {
        let query = signature.as_ref().map_or(String::new(), |signature| format!("?auth={signature}"));
        let body = serde_json::json!({"url": url, "event": event}).to_string();
        let Ok(Call::Register(registration)) = call(&format!("POST /webs{query}"), &body) else { panic!("{event}") };
        assert_eq!(prove(&app, &registration).is_ok(), proven, "{event} {signature:?}");
        if let Err(refusal) = prove(&app, &registration) {
            refused(Err::<(), _>(refusal), 400, "RuntimeError", "Invalid signature");
        }
        assert!(!format!("{registration:?}").contains("key:"));
    }
}

/// I-4.32: whether all of an id is removed first; 2013's routes do so unless told otherwise (I-4.60).
#[test]
fn replacing() {
    for (line, expected) in [
        ("POST /apns?token=aa&event=e", false),
        ("POST /apns?token=aa&event=e&unsubscribe=true", true),
        ("POST /apns?token=aa&event=e&unsubscribe=", false),
        ("GET /apps/i/subscribe_apn?token=aa&event=e", true),
        ("POST /apps/i/subscribe_apn?token=aa&event=e&unsubscribe=0", false),
        ("GET /apps/i/subscribe_web?url=http://h&event=e&auth=k:s", true),
    ] {
        let Ok(Call::Register(registration)) = call(line, "") else { panic!("{line}") };
        assert_eq!(registration.unsubscribe, expected, "{line}");
        assert_eq!(registration.signature.as_deref(), line.contains("auth").then_some("k:s"));
    }
}

/// I-4.34 to I-4.37, I-4.60: what is deleted.
#[test]
fn deletions() {
    let all = |id: &str| Which::All { id: id.to_owned() };
    let one = |id: &str, event: &str| Which::One { id: id.to_owned(), event: event.to_owned() };
    for (line, family, which, force) in [
        ("DELETE /apns/aa/news?force=1", Family::Apns, one("aa", "news"), true),
        ("DELETE /apns/aa", Family::Apns, all("aa"), false),
        ("DELETE /apns/aa?event=news", Family::Apns, one("aa", "news"), false),
        ("DELETE /web_pushes/https%3A%2F%2Fh%2F1?event=news", Family::WebPushes, one("https://h/1", "news"), false),
        ("DELETE /web_pushes/https://h/1?event=news&force=1", Family::WebPushes, one("https://h/1", "news"), true),
        ("DELETE /web_pushes/https%3A%2F%2Fh%2F1?event=", Family::WebPushes, all("https://h/1"), false),
        ("DELETE /webs?url=https://h/x%3Fa&event=news", Family::Webs, one("https://h/x?a", "news"), false),
        ("DELETE /webs?url=https://h/x", Family::Webs, all("https://h/x"), false),
        ("GET /apps/i/unsubscribe_web?url=https://h/x&event=news", Family::Webs, one("https://h/x", "news"), false),
        ("POST /apps/i/unsubscribe_apn?token=aa", Family::Apns, all("aa"), false),
    ] {
        assert_eq!(call(line, ""), Ok(Call::Unregister { family, which, force }), "{line}");
    }
    invalid(call("DELETE /webs?event=news", ""), &[("url", "value is not set")]);
    invalid(call("GET /apps/i/unsubscribe_apn", ""), &[("token", "value is not set")]);
    for (family, says) in [(Family::Webs, "Web"), (Family::Apns, "APN"), (Family::Smtps, "SMTP"), (Family::WebPushes, "WebPush")] {
        refused(Err::<(), _>(family.not_found()), 404, "NotFoundError", &format!("{says} not found"));
    }
}

/// I-4.6, I-4.12, I-4.13, I-4.16, I-4.25, I-4.26, I-4.38, I-4.60, I-4.61: calls without parameters.
#[test]
fn plain_calls() {
    use super::super::Health;
    for (line, expected) in [
        ("GET /logout", Call::Logout),
        ("POST /logout", Call::Logout),
        ("GET /apps", Call::ListApps),
        ("GET /apps/i", Call::ShowApp { ident: "i".to_owned() }),
        ("GET /apps/ping", Call::Ping),
        ("GET /apps/i/ping", Call::Ping),
        ("GET /vapid_key", Call::VapidKey),
        ("GET /apps/vapid_key", Call::VapidKey),
        ("GET /sockets", Call::ListSockets),
        ("POST /apps/i/sockets", Call::ListSockets),
        ("GET /sockets/s", Call::Socket { id: "s".to_owned() }),
        ("POST /sockets/s", Call::Socket { id: "s".to_owned() }),
        ("GET /apps/i/sockets/s", Call::Socket { id: "s".to_owned() }),
        ("GET /health", Call::Health(Health::Summary)),
        ("GET /health/live", Call::Health(Health::Live)),
        ("GET /health/ready", Call::Health(Health::Ready)),
        ("GET /health/detailed", Call::Health(Health::Detailed)),
        ("GET /", Call::Info),
        ("GET /info", Call::Info),
        ("GET /versions", Call::Versions),
    ] {
        assert_eq!(call(line, ""), Ok(expected), "{line}");
    }
}

/// I-4.60: the old routes ask for what today's do.
#[test]
fn retired() {
    for (old, new) in [
        ("GET /apps/i/subscribe?user_id=u&event=e", "POST /subscriptions?user_id=u&event=e"),
        ("POST /apps/i/subscribe?user_id=u&event=e", "POST /subscriptions?user_id=u&event=e"),
        ("GET /apps/i/unsubscribe?user_id=u&event=e", "DELETE /subscriptions/u/e"),
        ("GET /apps/i/subscriptions?user_id=u", "GET /subscriptions?user_id=u"),
        ("POST /apps/i/subscriptions?event=e", "GET /subscriptions?event=e"),
        ("GET /apps/i/events?count=3", "GET /events?count=3"),
        ("GET /apps/i/subscriptions_apn?token=aa", "GET /apns?token=aa"),
        ("GET /apps/i/subscriptions_web", "GET /webs"),
    ] {
        assert_eq!(call(old, ""), call(new, ""), "{old}");
    }
    let body = r#"{"data":"x","channel":["a","b"]}"#;
    assert_eq!(call("POST /apps/i/events", body), call("POST /events", body));
    invalid(call("GET /apps/i/unsubscribe?user_id=u", ""), &[("event", "value is not set")]);
}

/// I-4.11: a new app needs a name and may bring settings.
#[test]
fn new_apps() {
    let Ok(Call::CreateApp(patch)) = call("POST /apps", r#"{"name":"n","apn_sandbox":true,"vapid_email":"e","key":"k"}"#) else { panic!() };
    assert_eq!((patch.name.as_deref(), patch.apn_sandbox), (Some("n"), Some(true)));
    let mut settings = AppSettings::default();
    patch.apply(&mut settings).unwrap();
    assert_eq!(settings.texts.into_iter().collect::<Vec<_>>(), [(Setting::VapidEmail, "e".to_owned())]);
    invalid(call("POST /apps", "{}"), &[("name", "value is not set")]);
    invalid(call("POST /apps", r#"{"name":""}"#), &[("name", "value is empty")]);
    refused(Err::<(), _>(Refusal::apps_are_closed()), 403, "AppierException", "open_apps");
    invalid(Err::<(), _>(Refusal::value_duplicate("name")), &[("name", "value is duplicate")]);
}

/// I-4.14: what is not named stays, what is null or empty goes, and what may not change is passed over.
#[test]
fn changes_of_apps() {
    let own = |texts: &[(Setting, &str)]| texts.iter().map(|(setting, text)| (*setting, (*text).to_owned())).collect::<Vec<_>>();
    let before = r#"{"apn_key":"K","vapid_email":"e"}"#;
    for (body, after) in [
        ("{}", own(&[(Setting::ApnKey, "K"), (Setting::VapidEmail, "e")])),
        (r#"{"ident":"x","key":"x","secret":"x","instance":"x","bogus":[]}"#, own(&[(Setting::ApnKey, "K"), (Setting::VapidEmail, "e")])),
        (r#"{"apn_key":null,"vapid_email":""}"#, own(&[])),
        (r#"{"vapid_email":"f","apn_topic":"t"}"#, own(&[(Setting::ApnKey, "K"), (Setting::ApnTopic, "t"), (Setting::VapidEmail, "f")])),
    ] {
        assert_eq!(changed(before, body), Ok(after), "{body}");
    }
    assert_eq!(patch(r#"{"name":"n"}"#).name.as_deref(), Some("n"));
    for (body, sandbox) in [
        (r#"{"apn_sandbox":true}"#, Some(true)),
        (r#"{"apn_sandbox":1}"#, Some(true)),
        (r#"{"apn_sandbox":"True"}"#, Some(true)),
        (r#"{"apn_sandbox":"false"}"#, Some(false)),
        (r#"{"apn_sandbox":"0"}"#, Some(false)),
        (r#"{"apn_sandbox":null}"#, Some(false)),
        ("{}", None),
    ] {
        assert_eq!(patch(body).apn_sandbox, sandbox, "{body}");
    }
    invalid(call("PUT /apps/i", r#"{"name":null}"#), &[("name", "value is empty")]);
    invalid(call("PUT /apps/i", &format!(r#"{{"apn_cer":"{}"}}"#, "x".repeat(16 * 1024 + 1))), &[("apn_cer", "value is too long")]);
    refused(call("PUT /apps/i", r#"{"apn_key":[]}"#), 400, "OperationalError", "apn_key");
    assert!(!format!("{:?}", patch(r#"{"apn_key":"hush"}"#)).contains("hush"));
}

/// I-4.15: writing a mask back leaves the value alone, and never moves a password to another server.
#[test]
fn masks() {
    let before = r#"{"apn_key":"K","vapid_key":"V","smtp_url":"smtp://u:p@h"}"#;
    let untouched = changed(before, "{}");
    for body in [r#"{"apn_key":"***","vapid_key":"***"}"#, r#"{"smtp_url":"smtp://u:***@h"}"#] {
        assert_eq!(changed(before, body), untouched, "{body}");
    }
    for body in [r#"{"smtp_url":"smtp://u:***@evil"}"#, r#"{"smtp_url":"***"}"#, r#"{"vapid_email":"e","smtp_url":"smtp://v:***@h"}"#] {
        invalid(changed(before, body), &[("smtp_url", "value holds a masked password")]);
    }
    assert_eq!(changed("{}", r#"{"apn_key":"***"}"#), Ok(Vec::new()));
    for (url, masked) in [
        ("smtp://u:p@h:25/?sender=a@b", "smtp://u:***@h:25/?sender=a@b"),
        ("smtps://u:p:q@r@h", "smtps://u:***@h"),
        ("smtp://u@h", "smtp://u@h"),
        ("smtp://h:25?sender=a@b", "smtp://h:25?sender=a@b"),
        ("smtp://h?sender=a@b", "smtp://h?sender=a@b"),
        ("smtp://u:p?q@h", "smtp://***"),
        ("u:p@h", MASK),
    ] {
        assert_eq!(Setting::SmtpUrl.masked(url), masked, "{url}");
    }
}

/// I-4.40 to I-4.44: known, and told to be missing, to those who may ask.
#[test]
fn messaging() {
    for path in ["send", "apn", "email", "webhook", "web_push"] {
        let line = format!("POST /messaging/{path}");
        assert_eq!(received(&line).access, super::super::Access::Session);
        refused(call(&line, r#"{"adapters":"apn"}"#), 501, "NotImplementedError", "not in this build");
    }
}
