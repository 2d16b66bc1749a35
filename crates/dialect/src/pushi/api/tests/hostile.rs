//! What only somebody with bad intentions sends. Nothing of it may take long or end anything but its request.

use super::*;
use proptest::prelude::*;

/// I-4.8: bodies nested without end are refused, wherever the nesting stands, and so is what only looks like it.
#[test]
fn nesting() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for body in [
        deep.clone(),
        format!(r#"{{"data":{deep}}}"#),
        format!(r#"{{"data":"x","extra":{deep}}}"#),
        format!(r#"{{"data":"x","channel":{deep}}}"#),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(100_000),
    ] {
        refused(call("POST /events", &body), 400, "OperationalError", "64 levels");
        refused(call("POST /webs", &body), 400, "OperationalError", "64 levels");
    }
    let levels = |count: usize| format!(r#"{{"data":{}{}}}"#, "[".repeat(count), "]".repeat(count));
    assert!(call("POST /events", &levels(63)).is_ok());
    refused(call("POST /events", &levels(64)), 400, "OperationalError", "64 levels");
    assert!(call("POST /events", &format!(r#"{{"data":"\"{}"}}"#, "[".repeat(1000))).is_ok(), "brackets in strings are text");
}

/// I-4.18, I-4.20: numbers of any size, and very many members, some of them the same.
#[test]
fn size() {
    let digits = "9".repeat(100_000);
    let Ok(Call::Trigger(trigger)) = call("POST /events", &format!(r#"{{"data":{digits},"n":1e{digits}}}"#)) else { panic!() };
    assert_eq!((trigger.data.len(), trigger.extras.unwrap().len()), (100_000, 100_006));
    let members: String = (0..50_000).map(|index| format!(r#","m{}":{index}"#, index % 25_000)).collect();
    let Ok(Call::Trigger(trigger)) = call("POST /events", &format!(r#"{{"data":"x"{members}}}"#)) else { panic!() };
    assert!(trigger.extras.unwrap().starts_with(br#""m0":25000,"m1":25001,"#));
    let limits = Limits { channels: 1_000_000, ..Limits::default() };
    let names = vec!["\"a\""; 100_000].join(",");
    let body = format!(r#"{{"data":"x","channel":[{names}]}}"#);
    assert!(receive(&request("POST /events", None, body.as_bytes())).unwrap().call(&limits).is_ok());
}

/// I-4.8: names that mean something to other languages mean nothing here.
#[test]
fn prototypes() {
    let body = r#"{"__proto__":{"user_id":"u"},"constructor":{"prototype":{"event":"e"}}}"#;
    invalid(call("POST /subscriptions", body), &[("event", "value is not set"), ("user_id", "value is not set")]);
}

proptest! {
    /// I-4.3: whatever comes in, what goes out is a call or an error with a status that errors may have.
    #[test]
    fn anything(
        method in "GET|POST|PUT|DELETE|HEAD|.{0,4}",
        path in "/(apps|webs|web_pushes|subscriptions|events|login|sockets|.{0,6})(/(subscribe|events|https?:|%[0-9a-f]{2}|.{0,6})){0,4}",
        query in "((sid|auth|count|event|user_id|url|.{0,4})=.{0,6}&){0,4}",
        content_type in "|application/json|application/x-www-form-urlencoded|multipart/form-data; ?boundary=\"?[ab]{1,2}\"?|.{0,10}",
        body in prop_oneof![
            "\\{(\"(data|event|channel|url|user_id)\":(\".{0,4}\"|[0-9.e-]{1,4}|null|\\[\\]|\\{\\}),?){0,3}\\}",
            "(--a\r\n(Content-Disposition: form-data; name=\"?.{0,4}\"?(; filename=x)?\r\n)?\r\n.{0,4}\r\n){0,3}(--a--)?",
            ".{0,40}",
        ],
    ) {
        let request = Request { method: &method, path: &path, query: &query, ..request("GET /", Some(&content_type), body.as_bytes()) };
        let outcome = receive(&request).and_then(|received| received.call(&Limits::default()));
        if let Err(refusal) = outcome {
            prop_assert!([400, 404, 405, 413, 501].contains(&refusal.status), "{:?}", refusal);
            prop_assert_eq!(refusal.allow.is_some(), refusal.status == 405);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&refusal.body("uid")).is_ok());
        }
    }
}
