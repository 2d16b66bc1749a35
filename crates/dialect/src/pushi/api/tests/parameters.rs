//! Where parameters come from.

use super::super::Credentials;
use super::*;

const MULTIPART: &str = "multipart/form-data; boundary=XX";

fn token(request: Request<'_>) -> Option<String> {
    receive(&request).unwrap().session_token
}

/// I-4.4: cookie, form, query, header; the later wins, and an empty one is none.
#[test]
fn session_tokens() {
    let multipart = "--XX\r\nContent-Disposition: form-data; name=\"sid\"\r\n\r\nm\r\n--XX--";
    for (cookie, content_type, body, query, header, expected) in [
        (None, "", "", "", None, None),
        (Some("sid=c"), "", "", "", None, Some("c")),
        (Some("lang=en; sid=\"c\" ;x=y"), "", "", "", None, Some("c")),
        (Some("xsid=c; sid=; sid=d"), "", "", "", None, None),
        (Some("sid=c"), FORM, "a=b&sid=f+%26", "", None, Some("f &")),
        (None, MULTIPART, multipart, "", None, Some("m")),
        (Some("sid=c"), FORM, "sid=f", "sid=q", None, Some("q")),
        (Some("sid=c"), FORM, "sid=f", "sid=", None, Some("f")),
        (None, FORM, "sid=f", "session_id=q", None, Some("q")),
        (None, "", "", "_sid=q", None, Some("q")),
        (None, "", "", "sid=q&sid=r", None, Some("q")),
        (Some("sid=c"), FORM, "sid=f", "sid=q", Some("h"), Some("h")),
        (Some("sid=c"), "", "", "", Some(" "), Some("c")),
        (None, "application/json", r#"{"sid":"j"}"#, "", None, None),
        (None, "text/plain", "sid=f", "", None, None),
    ] {
        let content_type = Some(content_type).filter(|kind| !kind.is_empty());
        let request = Request { cookie, query, session_header: header, ..request("POST /events", content_type, body.as_bytes()) };
        assert_eq!(token(request).as_deref(), expected, "{request:?}");
    }
    assert!(!format!("{:?}", received("GET /events?sid=hush")).contains("hush"));
}

/// I-4.8: of the sources of a record the query counts most, then form, file and JSON.
#[test]
fn sources_of_records() {
    let user = |outcome: Result<Call, Refusal>| match outcome {
        Ok(Call::Subscribe { user_id, .. }) => user_id,
        other => panic!("{other:?}"),
    };
    let file = "--XX\r\nContent-Disposition: form-data; name=\"user_id\"; filename=\"x\"\r\nContent-Type: text/plain\r\n\r\nfile\r\n";
    let form = "--XX\r\ncontent-disposition: form-data; name=user_id\r\n\r\nform\r\n";
    let quoted = "--XX\r\nContent-Disposition: form-data; x=\"\\\"; name=x\"; name=\"user\\_id\"\r\n\r\nquoted\r\n";
    for (line, content_type, body, expected) in [
        ("POST /subscriptions?event=e", "application/json", r#"{"user_id":"json"}"#.to_owned(), "json"),
        ("POST /subscriptions?event=e", "Application/JSON; charset=utf-8", r#"{"user_id":"json"}"#.to_owned(), "json"),
        ("POST /subscriptions?event=e", "", r#"{"user_id":"json"}"#.to_owned(), "json"),
        ("POST /subscriptions?event=e", "application/json", r#"{"user_id":1.50}"#.to_owned(), "1.50"),
        ("POST /subscriptions?event=e", "application/json", r#"{"user_id":"a","user_id":"b"}"#.to_owned(), "b"),
        ("POST /subscriptions?event=e&user_id=query", "application/json", r#"{"user_id":"json"}"#.to_owned(), "query"),
        ("POST /subscriptions?user_id=a+b%2B%c3%a9&user_id=c&event=e", "", String::new(), "a b+é"),
        ("POST /subscriptions?event=e", FORM, "user_id=form".to_owned(), "form"),
        ("POST /subscriptions?event=e&user_id=query", FORM, "user_id=form".to_owned(), "query"),
        ("POST /subscriptions?event=e", MULTIPART, format!("{file}--XX--"), "file"),
        ("POST /subscriptions?event=e", MULTIPART, format!("{file}{form}--XX--\r\n"), "form"),
        ("POST /subscriptions?event=e", MULTIPART, format!("{quoted}--XX--"), "quoted"),
        ("POST /subscriptions?event=e", "multipart/form-data; charset=x; boundary=\"XX\"", format!("preamble\r\n{form}--XX--"), "form"),
    ] {
        assert_eq!(user(typed(line, content_type, &body)), expected, "{line} {content_type} {body}");
    }
    for (content_type, body) in [("text/plain", r#"{"user_id":"u"}"#), ("application/xml", "x"), ("application/json", "not JSON")] {
        invalid(typed("POST /subscriptions?event=e", content_type, body), &[("user_id", "value is not set")]);
    }
    for body in [r#"{"user_id":true}"#, r#"{"user_id":[]}"#, r#"{"user_id":{}}"#, r#"{"user_id":"\ud800"}"#] {
        refused(call("POST /subscriptions?event=e", body), 400, "OperationalError", "Field 'user_id' not compatible with type 'str'");
    }
}

/// I-4.8: fields come from query or form, never from JSON; an empty one is not given; what is true.
#[test]
fn fields() {
    let forced = |line: &str, content_type: &str, body: &str| match typed(line, content_type, body) {
        Ok(Call::Unsubscribe { force, .. }) => force,
        other => panic!("{other:?}"),
    };
    for (text, expected) in [
        ("", false),
        ("0", false),
        ("false", false),
        ("False", false),
        ("FALSE", true),
        ("1", true),
        ("true", true),
        ("True", true),
        ("no", true),
    ] {
        assert_eq!(forced(&format!("DELETE /subscriptions/u/e?force={text}"), "", ""), expected, "{text}");
        assert_eq!(forced("DELETE /subscriptions/u/e", FORM, &format!("force={text}")), expected, "{text}");
        assert_eq!(forced(&format!("DELETE /subscriptions/u/e?force={text}&force=1"), "", ""), expected, "the first of {text} and 1");
    }
    assert!(!forced("DELETE /subscriptions/u/e", "application/json", r#"{"force":true}"#));
    assert!(!forced("DELETE /subscriptions/u/e?force=0", FORM, "force=1"));
}

/// I-4.5: credentials are read from everywhere; what lacks is not told apart.
#[test]
fn credentials() {
    let expected = Call::Login(Credentials { app_id: "i".to_owned(), app_key: "k".to_owned(), app_secret: "s".to_owned() });
    for (line, content_type, body) in [
        ("GET /login?app_id=i&app_key=k&app_secret=s", "", ""),
        ("POST /login?app_id=i&app_key=k&app_secret=s", FORM, "app_id=other"),
        ("POST /login", FORM, "app_id=i&app_key=k&app_secret=s"),
        ("POST /login", "application/json", r#"{"app_id":"i","app_key":"k","app_secret":"s"}"#),
    ] {
        assert_eq!(typed(line, content_type, body).as_ref(), Ok(&expected), "{line}");
    }
    for line in ["GET /login", "GET /login?app_id=i&app_key=k", "GET /login?app_id=i&app_key=k&app_secret=", "POST /login?app_secret=hush"]
    {
        refused(call(line, r#"{"app_key":[]}"#), 400, "OperationalError", "A login needs app_id, app_key and app_secret");
    }
    assert!(!format!("{expected:?}").contains("\"s\""));
}

/// I-4.8: multipart bodies that are none.
#[test]
fn broken_multipart() {
    let part = "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
    for (content_type, body) in [
        ("multipart/form-data", format!("{part}--XX--")),
        ("multipart/form-data; boundary=", format!("{part}--XX--")),
        ("multipart/form-data; boundary=\"XX", format!("{part}--XX--")),
        (MULTIPART, String::new()),
        (MULTIPART, "--YY--".to_owned()),
        (MULTIPART, "--XX".to_owned()),
        (MULTIPART, "--XX\r\n".to_owned()),
        (MULTIPART, part.to_owned()),
        (MULTIPART, "--XX\r\nContent-Disposition: form-data\r\n\r\nb\r\n--XX--".to_owned()),
        (MULTIPART, "--XX\r\nContent-Disposition: form-data; name=\"a\r\n\r\nb\r\n--XX--".to_owned()),
        (MULTIPART, "--XX\r\n\r\nb\r\n--XX--".to_owned()),
        (MULTIPART, "--XX\r\nContent-Disposition: form-data; name=a\r\nb\r\n--XX--".to_owned()),
        (MULTIPART, part.repeat(257) + "--XX--"),
    ] {
        refused(typed("POST /subscriptions", content_type, &body), 400, "OperationalError", "multipart body cannot be read");
    }
    let long = format!("multipart/form-data; boundary={}", "X".repeat(71));
    refused(typed("POST /subscriptions", &long, part), 400, "OperationalError", "70 characters");
    let binary = [part.as_bytes(), b"--XX\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\xff\r\n--XX--"].concat();
    refused(receive(&request("POST /webs", Some(MULTIPART), &binary)), 400, "OperationalError", "not UTF-8");
    assert!(typed("POST /apns", MULTIPART, &(part.repeat(256) + "--XX--")).unwrap_err().name == "ValidationError");
}

/// I-4.8: more parameters than anybody needs, and such as are no text.
#[test]
fn broken_pairs() {
    let many = "a=b&".repeat(257);
    refused(call(&format!("GET /events?{many}"), ""), 400, "OperationalError", "more than 256 parameters");
    refused(typed("POST /webs", FORM, &many), 400, "OperationalError", "more than 256 parameters");
    refused(call("GET /events?a=%ff", ""), 400, "OperationalError", "UTF-8");
    refused(typed("POST /webs", FORM, "%ff"), 400, "OperationalError", "UTF-8");
    assert!(call("GET /events?&&=&a&%&=x", "").is_ok());
}
