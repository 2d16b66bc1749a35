//! Tests of the REST API: every rule in a table, exchanges as they were seen on the wire, and what a hostile sender might try.

mod answers;
mod calls;
mod exchanges;
mod hostile;
mod parameters;
mod routes;
mod triggers;

use super::{Call, Limits, Received, Refusal, Request, receive};

const FORM: &str = "application/x-www-form-urlencoded";

/// A request whose line is `METHOD path?query`.
fn request<'a>(line: &'a str, content_type: Option<&'a str>, body: &'a [u8]) -> Request<'a> {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Request { method, path, query, content_type, cookie: None, session_header: None, body }
}

fn received(line: &str) -> Received<'_> {
    receive(&request(line, None, b"")).unwrap()
}

/// The outcome of a request with a JSON body, or with none.
fn call(line: &str, body: &str) -> Result<Call, Refusal> {
    typed(line, "application/json", body)
}

/// The outcome of a request with a body of this type.
fn typed(line: &str, content_type: &str, body: &str) -> Result<Call, Refusal> {
    receive(&request(line, Some(content_type), body.as_bytes()))?.call(&Limits::default())
}

/// Asserts that `outcome` is a refusal with `status` and `name` whose message holds `text`.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, status: u16, name: &str, text: &str) {
    let refusal = outcome.expect_err("must be refused");
    assert_eq!((refusal.status, refusal.name), (status, name), "{refusal:?}");
    assert!(refusal.message.contains(text), "{refusal:?} does not say {text}");
}

/// Asserts that `outcome` refuses a record for what is wrong with these fields.
#[track_caller]
fn invalid<T: std::fmt::Debug>(outcome: Result<T, Refusal>, fields: &[(&'static str, &'static str)]) {
    let refusal = outcome.expect_err("must be refused");
    let expected = fields.iter().map(|(field, text)| (*field, vec![*text])).collect();
    assert_eq!(refusal, Refusal::invalid(expected));
}
