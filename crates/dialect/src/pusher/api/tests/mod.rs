//! Tests of the API: every rule in a table, every vector, and what a hostile sender might try.

mod answers;
mod calls;
mod publishing;
mod requests;

use super::{Call, Info, Refusal, Request, receive, sign};
use std::sync::Arc;
use tidings_hub::{App, Dialects, Key, Publish, UnixTime};

const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_000);

fn app() -> App {
    App::new("1001", "tidings-key", "tidings-secret")
}

fn key() -> Key {
    app().keys.remove(0)
}

/// Finds `app` by its keys.
fn lookup(app: &Arc<App>) -> impl Fn(&str) -> Option<Arc<App>> {
    move |key| app.secret(key).map(|_| Arc::clone(app))
}

/// The outcome of a request that is signed as it should be.
fn call_of(app: App, method: &str, path: &str, params: &[(&str, &str)], body: &[u8]) -> Result<Call, Refusal> {
    let query = sign(method, path, params, body, &app.keys[0], NOW);
    let app = Arc::new(app);
    receive(Request { method, path, prefix: "", query: &query, body }, lookup(&app), NOW).map(|(_, call)| call)
}

fn get(path: &str, params: &[(&str, &str)]) -> Result<Call, Refusal> {
    call_of(app(), "GET", path, params, b"")
}

fn post(path: &str, body: impl AsRef<[u8]>) -> Result<Call, Refusal> {
    call_of(app(), "POST", path, &[], body.as_ref())
}

/// The event that `body` publishes.
fn event(body: impl AsRef<[u8]>) -> (Publish, Info) {
    match post("/apps/1001/events", body) {
        Ok(Call::Publish(publish, info)) => (publish, info),
        other => panic!("not published: {other:?}"),
    }
}

/// Asserts that `outcome` is a refusal with `status` whose line holds `text`.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, status: u16, text: &str) {
    let refusal = outcome.expect_err("must be refused");
    assert_eq!(refusal.status, status, "{refusal:?}");
    assert!(refusal.body.contains(text), "{refusal:?} does not say {text}");
    assert_eq!(refusal.body.find('\n'), Some(refusal.body.len() - 1), "one line: {refusal:?}");
}
