//! Exchanges as they were seen on the wire, with our differences, in their order: a small world performs the calls.

use super::super::Health;
use super::super::records::{self, AppRecord, Base, EventRecord, RegistrationRecord, Secret, SubscriptionRecord};
use super::super::{Access, AppSettings, Registration, Which, answer, prove};
use super::*;
use bytes::Bytes;
use serde_json::{Value, json};
use tidings_hub::{App, UnixTime};

const BASE: Base<'_> = Base { id: 1, created: UnixTime::from_millis(1000), modified: UnixTime::from_millis(1000), instance: "ident" };

/// An app's world, for one request after the other.
#[derive(Default)]
struct World {
    logged_out: bool,
    open_apps: bool,
    settings: AppSettings,
    subscriptions: Vec<(String, String)>,
    registrations: Vec<Registration>,
}

impl World {
    /// The status and body that `line`, which may carry a session, is answered with.
    fn exchange(&mut self, line: &str, body: &str) -> (u16, Value) {
        let (status, body) = match self.answer(&request(line, Some("application/json"), body.as_bytes())) {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.status, refusal.body("uid")),
        };
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn answer(&mut self, request: &Request<'_>) -> Result<Bytes, Refusal> {
        let received = receive(request)?;
        let session = !self.logged_out && received.session_token.as_deref() == Some("token");
        match received.access {
            Access::Session | Access::HealthDetails if !session => return Err(Refusal::not_authenticated()),
            Access::AppCreation if !self.open_apps => return Err(Refusal::apps_are_closed()),
            _ => {}
        }
        self.perform(received.call(&Limits::default())?)
    }

    fn perform(&mut self, call: Call) -> Result<Bytes, Refusal> {
        Ok(match call {
            Call::Login(credentials) if credentials.app_secret == "secret" => answer::token("token"),
            Call::Login(_) => return Err(Refusal::login_failed()),
            Call::Logout => {
                self.logged_out = true;
                answer::success()
            }
            Call::ListApps => records::list([self.app()]),
            Call::ShowApp { ident } if ident == "ident" => records::one(&self.app()),
            Call::UpdateApp { ident, patch } if ident == "ident" => {
                patch.apply(&mut self.settings)?;
                records::one(&self.app())
            }
            Call::ShowApp { .. } | Call::UpdateApp { .. } => return Err(Refusal::app_not_found()),
            Call::VapidKey => answer::vapid_key(None)?,
            Call::ListEvents { .. } => records::list([event()]),
            Call::ListSubscriptions { user_id, .. } => {
                let wanted = |user: &str| user_id.as_deref().is_none_or(|wanted| wanted == user);
                records::list(self.subscriptions.iter().filter(|(user, _)| wanted(user)).map(|(user, event)| subscription(user, event)))
            }
            Call::Subscribe { user_id, event } => {
                self.subscriptions.push((user_id.clone(), event.as_str().to_owned()));
                records::one(&subscription(&user_id, event.as_str()))
            }
            Call::Unsubscribe { user_id, event, force } => {
                let found = self.subscriptions.iter().position(|pair| *pair == (user_id.clone(), event.clone()));
                match found.map(|at| self.subscriptions.remove(at)) {
                    Some((user, event)) => records::one(&subscription(&user, &event)),
                    None if force => return Err(Refusal::subscription_not_found()),
                    None => answer::success(),
                }
            }
            Call::ListSockets => answer::sockets([] as [(&str, [&str; 0]); 0]),
            Call::Socket { .. } => answer::channels([]),
            Call::ListRegistrations { family, id, event } => {
                let wanted = |text: &str, wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == text);
                let found = self.registrations.iter().filter(|one| one.family == family);
                records::list(found.filter(|one| wanted(&one.id, &id) && wanted(one.event.as_str(), &event)).map(registered))
            }
            Call::Register(registration) => {
                prove(&App::new("ident", "key", "secret"), &registration)?;
                self.registrations.push(registration.clone());
                records::one(&registered(&registration))
            }
            Call::Unregister { family, which: Which::All { id }, .. } => {
                let gone: Vec<_> = self.registrations.extract_if(.., |one| one.family == family && one.id == id).collect();
                records::list(gone.iter().map(registered))
            }
            Call::Unregister { family, which: Which::One { id, event } | Which::Either { id, event, .. }, force } => {
                let is_it = |one: &Registration| one.family == family && one.id == id && one.event.as_str() == event;
                match self.registrations.iter().position(is_it).map(|at| self.registrations.remove(at)) {
                    Some(one) => records::one(&registered(&one)),
                    None if force => return Err(family.not_found()),
                    None => answer::success(),
                }
            }
            Call::Versions => answer::versions("1"),
            Call::Health(Health::Summary) => answer::health("1"),
            Call::Health(Health::Live) => answer::live(),
            Call::Health(_) => answer::ready(),
            Call::Ping | Call::Trigger(_) | Call::CreateApp(_) | Call::Info => answer::success(),
        })
    }

    fn app(&self) -> AppRecord<'_> {
        AppRecord { base: BASE, name: "golden", key: "key", secret: Secret("secret"), settings: &self.settings, masked: true }
    }
}

fn event() -> EventRecord<'static> {
    EventRecord {
        base: BASE,
        mid: 1,
        channel: "news",
        owner_id: None,
        timestamp: UnixTime::from_millis(1500),
        name: "message",
        data: "live",
        extras: Some(r#""push":"short text""#),
    }
}

fn subscription<'a>(user_id: &'a str, event: &'a str) -> SubscriptionRecord<'a> {
    SubscriptionRecord { base: BASE, user_id, event }
}

fn registered(one: &Registration) -> RegistrationRecord<'_> {
    RegistrationRecord { base: BASE, family: one.family, id: &one.id, event: one.event.as_str(), p256dh: &one.p256dh, auth: &one.auth }
}

/// `members` with what all records have, but for the `_id`.
fn record(members: Value) -> Value {
    let mut all = json!({"id": 1, "enabled": true, "description": null, "meta": {}, "created": 1, "modified": 1, "instance": "ident"});
    all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    all
}

fn error(name: &str, message: &str) -> Value {
    json!({"result": "error", "name": name, "message": message, "uid": "uid", "session": null})
}

fn unset(field: &str) -> Value {
    let mut error = error("ValidationError", "Validation of submitted data failed");
    error["errors"] = json!({field: ["value is not set"]});
    error
}

/// Whether `body` is `expected`, where further members are allowed.
fn agrees(body: &Value, expected: &Value) -> bool {
    match (body, expected) {
        (Value::Object(body), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| body.get(name).is_some_and(|member| agrees(member, value)))
        }
        (Value::Array(body), Value::Array(expected)) => {
            body.len() == expected.len() && body.iter().zip(expected).all(|(item, expected)| agrees(item, expected))
        }
        _ => body == expected,
    }
}

fn check(world: &mut World, exchanges: &[(&str, &str, u16, Value)]) {
    for (line, body, status, expected) in exchanges {
        let answer = world.exchange(line, body);
        assert!(answer.0 == *status && agrees(&answer.1, expected), "{line} {body}: {answer:?} is not {status} {expected}");
        if *status != 200 {
            assert_eq!(answer.1["code"], *status, "{line}");
        }
    }
}

/// I-4.2 to I-4.17
#[test]
fn apps_and_events() {
    let nobody = error("AppierException", "User not authenticated");
    let app = record(json!({
        "name": "golden", "apn_sandbox": false, "apn_key": null, "apn_cer": null, "vapid_key": null, "vapid_email": null,
        "smtp_url": null, "ident": "ident", "key": "key", "secret": "secret",
    }));
    let changed = json!({"name": "golden", "vapid_email": "ops@example.org", "ident": "ident"});
    let data = json!({"data": "live", "channel": "news", "push": "short text", "event": "message"});
    let mid = "00000000-0000-0000-0000-000000000001";
    let stored = record(json!({"mid": mid, "channel": "news", "owner_id": null, "timestamp": 1.5, "data": data}));
    check(
        &mut World::default(),
        &[
            (
                "POST /apps",
                "{}",
                403,
                error("AppierException", "Apps are made by the operator only; the setting open_apps opens this call"),
            ),
            ("GET /apps", "", 403, nobody.clone()),
            ("GET /apps?sid=other", "", 403, nobody.clone()),
            ("GET /login?app_id=a&app_key=b&app_secret=c", "", 403, error("AppierException", "Login failed")),
            ("GET /login?app_id=a&app_key=b&app_secret=secret", "", 200, json!({"token": "token"})),
            ("GET /apps?sid=token", "", 200, json!({"apps": [app]})),
            ("GET /apps/ident?sid=token", "", 200, app),
            ("GET /apps/nope?sid=token", "", 404, error("NotFoundError", "App not found")),
            ("PUT /apps/ident?sid=token", r#"{"vapid_email":"ops@example.org","ident":"ignored","bogus":1}"#, 200, changed),
            ("GET /apps/ping?sid=token", "", 200, json!({"result": "success"})),
            ("POST /events?sid=token", r#"{"data":"x"}"#, 200, json!({"result": "success"})),
            ("POST /events?sid=token", r#"{"event":"x"}"#, 400, error("RuntimeError", "No data set for event")),
            ("POST /events?sid=token", r#"{"data":"x","mid":"1"}"#, 400, error("AssertionError", "Assertion of data failed")),
            ("GET /events?count=1&sid=token", "", 200, json!({"events": [stored]})),
            ("GET /events?count=x&sid=token", "", 400, error("OperationalError", "Field 'count' not compatible with type 'int'")),
            // Who is not logged in learns nothing of what else is wrong.
            ("GET /events?count=x", "", 403, nobody.clone()),
            ("POST /messaging/send", "{}", 403, nobody.clone()),
            ("GET /logout?sid=token", "", 200, json!({"result": "success"})),
            ("GET /events?sid=token", "", 403, nobody),
        ],
    );
    check(&mut World { open_apps: true, ..World::default() }, &[("POST /apps", "{}", 400, unset("name"))]);
}

/// I-4.22 to I-4.26
#[test]
fn subscriptions_and_sockets() {
    let followed = record(json!({"user_id": "u9", "event": "news"}));
    check(
        &mut World::default(),
        &[
            ("POST /subscriptions?sid=token", r#"{"user_id":"u9","event":"news"}"#, 200, followed.clone()),
            ("POST /subscriptions?sid=token", r#"{"user_id":"u9"}"#, 400, unset("event")),
            ("GET /subscriptions?user_id=u9&sid=token", "", 200, json!({"subscriptions": [followed]})),
            ("GET /subscriptions?user_id=u8&sid=token", "", 200, json!({"subscriptions": []})),
            ("DELETE /subscriptions/u9/news?sid=token", "", 200, followed),
            ("DELETE /subscriptions/u9/news?sid=token", "", 200, json!({"result": "success"})),
            ("DELETE /subscriptions/u9/news?force=1&sid=token", "", 404, error("NotFoundError", "Subscription not found")),
            ("GET /sockets?sid=token", "", 200, json!({"sockets": []})),
            ("POST /sockets/unknown?sid=token", "", 200, json!({"channels": []})),
        ],
    );
}

/// I-4.30 to I-4.38
#[test]
fn registrations() {
    let web = record(json!({"url": "https://hook.example/x", "event": "news"}));
    let apn = record(json!({"token": "aabb", "event": "news"}));
    let smtp = record(json!({"email": "a@example.org", "event": "news"}));
    let push = record(json!({"endpoint": "https://push.example/1", "p256dh": "P", "auth": "A", "event": "news"}));
    let escaped = "DELETE /web_pushes/https%3A%2F%2Fpush.example%2F1";
    let (with_event, without) = (format!("{escaped}?event=news&sid=token"), format!("{escaped}?sid=token"));
    let browser = r#"{"endpoint":"https://push.example/1","p256dh":"P","auth":"A","event":"news"}"#;
    let (done, none) = (json!({"result": "success"}), json!({"subscriptions": []}));
    let wrong = error("RuntimeError", "Invalid signature");
    check(
        &mut World::default(),
        &[
            ("POST /webs?sid=token", r#"{"url":"https://hook.example/x","event":"news"}"#, 200, web.clone()),
            ("GET /webs?event=news&sid=token", "", 200, json!({"subscriptions": [web]})),
            ("POST /webs?auth=bad&sid=token", r#"{"url":"https://hook.example/x","event":"private-z"}"#, 400, wrong),
            ("DELETE /webs/https://hook.example/x/news?sid=token", "", 200, web),
            ("POST /apns?sid=token", r#"{"token":"aabb","event":"news"}"#, 200, apn.clone()),
            ("DELETE /apns/aabb/news?sid=token", "", 200, apn),
            ("DELETE /apns/aabb/news?sid=token", "", 200, done.clone()),
            ("DELETE /apns/aabb/news?sid=token&force=1", "", 404, error("NotFoundError", "APN not found")),
            ("DELETE /apns/aabb?sid=token", "", 200, none.clone()),
            ("POST /smtps?sid=token", r#"{"email":"a@example.org","event":"news"}"#, 200, smtp.clone()),
            ("DELETE /smtps/a@example.org?sid=token", "", 200, json!({"subscriptions": [smtp]})),
            ("POST /web_pushes?sid=token", browser, 200, push.clone()),
            ("GET /web_pushes?sid=token", "", 200, json!({"subscriptions": [push]})),
            (&with_event, "", 200, push),
            (&without, "", 200, none),
            (&with_event, "", 200, done),
            ("GET /vapid_key?sid=token", "", 400, error("OperationalError", "VAPID credentials not configured for this app")),
        ],
    );
}

/// I-4.3, I-4.50 to I-4.55
#[test]
fn services() {
    check(
        &mut World::default(),
        &[
            ("GET /health", "", 200, json!({"status": "ok", "service": "pushi", "version": "1"})),
            ("GET /health/live", "", 200, json!({"status": "ok"})),
            ("GET /health/ready", "", 200, json!({"status": "ok", "ready": true})),
            ("GET /versions", "", 200, json!({"api_version": 1, "version": "1"})),
            ("GET /nope", "", 404, error("NotFoundError", "Request GET '/nope' not handled")),
            ("GET /health/detailed", "", 403, error("AppierException", "User not authenticated")),
        ],
    );
}
