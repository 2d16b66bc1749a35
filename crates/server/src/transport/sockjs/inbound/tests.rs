use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { request_bytes: 200, message_bytes: 10, messages: 3 };

/// What was read, in short: strings as they are, other values behind a mark.
fn read(messages: Result<Vec<Inbound<'_>>, Unsent>) -> Result<Vec<String>, Unsent> {
    let shown = |message| match message {
        Inbound::Text(text) => text.into_owned(),
        Inbound::Other(json) => format!("!{json}"),
    };
    messages.map(|messages| messages.into_iter().map(shown).collect())
}

fn strings(messages: &[&str]) -> Result<Vec<String>, Unsent> {
    Ok(messages.iter().map(|&message| message.to_owned()).collect())
}

/// S-5.8: the checks, in their order.
#[test]
fn bodies_of_xhr_send() {
    let refused = |why| Err(why);
    for (content_type, body, expected) in [
        (None, r#"["a"]"#, strings(&["a"])),
        (Some(""), r#"["a"]"#, strings(&["a"])),
        (Some("text/plain;charset=UTF-8"), r#"["a","b"]"#, strings(&["a", "b"])),
        (Some("T"), "[]", strings(&[])),
        (Some("Application/JSON ; x=y"), " [ \"a\" ] \r\n\t", strings(&["a"])),
        (Some("application/xml"), "[]", strings(&[])),
        (Some("text/xml; charset=utf-8"), "[]", strings(&[])),
        (Some("text/html"), "[]", refused(Unsent::Payload)),
        (Some("application/x-www-form-urlencoded"), "d=[]", refused(Unsent::Payload)),
        (Some("image/png"), "", refused(Unsent::Payload)),
        (None, "", refused(Unsent::Payload)),
        (None, " ", refused(Unsent::Json)),
        (None, r#"["a""#, refused(Unsent::Json)),
        (None, r#"["a"]["b"]"#, refused(Unsent::Json)),
        (None, r#"["a",]"#, refused(Unsent::Json)),
        (None, "\u{feff}[]", refused(Unsent::Json)),
        (None, "[\"\u{1}\"]", refused(Unsent::Json)),
        (None, r#"["\x"]"#, refused(Unsent::Json)),
        (None, r#"["\u12"]"#, refused(Unsent::Json)),
        (None, "\"a", refused(Unsent::Json)),
        (None, r#""a""#, refused(Unsent::Payload)),
        (None, r#"{"a":1}"#, refused(Unsent::Payload)),
        (None, "null", refused(Unsent::Payload)),
        (None, "17", refused(Unsent::Payload)),
    ] {
        assert_eq!(read(xhr_send(content_type, body.as_bytes(), LIMITS)), expected, "{content_type:?} {body}");
    }
    assert_eq!(xhr_send(None, b"[\"\xff\"]", LIMITS), Err(Unsent::Json));
}

/// S-5.9.
#[test]
fn bodies_of_jsonp_send() {
    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    let refused = |why| Err(why);
    for (content_type, body, expected) in [
        (FORM, "d=%5B%22x%22%5D", strings(&["x"])),
        (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), "d=%5B%22x%22%5D", strings(&["x"])),
        (FORM, "a=b&d=[\"x\"]&c", strings(&["x"])),
        (FORM, "d=[\"a+b%2B%20\"]", strings(&["a b+ "])),
        (FORM, "d=%22%5B%5C%22x%5C%22%5D%22", strings(&["x"])),
        (FORM, "d=[]", strings(&[])),
        (FORM, "d=", refused(Unsent::Payload)),
        (FORM, "d", refused(Unsent::Payload)),
        (FORM, "dd=[]", refused(Unsent::Payload)),
        (FORM, "[\"x\"]", refused(Unsent::Payload)),
        (FORM, "", refused(Unsent::Payload)),
        (FORM, "d=[\"x", refused(Unsent::Json)),
        (FORM, "d=%ff", refused(Unsent::Json)),
        (FORM, "d=17", refused(Unsent::Payload)),
        (FORM, "d=\"a\"", refused(Unsent::Json)),
        (FORM, "d=\"{}\"", refused(Unsent::Payload)),
        (None, r#"["x"]"#, strings(&["x"])),
        (Some("text/plain"), r#"["%41+"]"#, strings(&["%41+"])),
        (Some("text/plain"), r#""[\"x\"]""#, strings(&["x"])),
        (Some("text/plain"), "d=[]", refused(Unsent::Json)),
        (Some("text/plain"), "", refused(Unsent::Payload)),
        (Some("application/json"), "[]", refused(Unsent::Payload)),
    ] {
        assert_eq!(read(jsonp_send(content_type, body.as_bytes(), LIMITS)), expected, "{content_type:?} {body}");
    }
}

/// S-6.5.
#[test]
fn messages_of_a_websocket() {
    for (text, expected) in [
        ("", strings(&[])),
        ("[]", strings(&[])),
        (r#"["a","b"]"#, strings(&["a", "b"])),
        (r#""a""#, strings(&["a"])),
        (r#""""#, strings(&[""])),
        ("17", strings(&["!17"])),
        ("{}", strings(&["!{}"])),
        ("null", strings(&["!null"])),
        (" ", Err(Unsent::Json)),
        (r#"["a"#, Err(Unsent::Json)),
        ("a", Err(Unsent::Json)),
        (r#""a"b"#, Err(Unsent::Json)),
        (r#""12345678901""#, Err(Unsent::TooLarge)),
    ] {
        assert_eq!(read(websocket(text, LIMITS)), expected, "{text}");
    }
}

/// S-3.5, S-3.6.
#[test]
fn escapes_are_read() {
    for (json, expected) in [
        (r#"["\"\\\/\b\f\n\r\t"]"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#"["\u0041\u00e9\u20AC"]"#, "Aé€"),
        (r#"["\ud83d\ude00"]"#, "😀"),
        (r#"["\uD83D\uDE00x"]"#, "😀x"),
        (r#"["\ud800"]"#, "\u{fffd}"),
        (r#"["\udc00a"]"#, "\u{fffd}a"),
        (r#"["\ud800\ud800"]"#, "\u{fffd}\u{fffd}"),
        (r#"["\ud83d\ud83d\ude00"]"#, "\u{fffd}😀"),
        (r#"["\ude00\ud83d"]"#, "\u{fffd}\u{fffd}"),
        (r#"["\ud83d\u0041"]"#, "\u{fffd}A"),
        (r#"["\ud83d\n"]"#, "\u{fffd}\n"),
        (r#"["\ud83dé"]"#, "\u{fffd}é"),
        (r#"["\ud83d€1"]"#, "\u{fffd}€1"),
        (r#"["\u0000"]"#, "\0"),
    ] {
        assert_eq!(read(xhr_send(None, json.as_bytes(), LIMITS)), strings(&[expected]), "{json}");
    }
}

/// S-3.7, S-3.8.
#[test]
fn elements_that_are_no_strings_are_marked() {
    let read = read(xhr_send(None, br#"[ 1.50 , {"a":"\ud800"},[[]] ]"#, Limits { message_bytes: 20, ..LIMITS }));
    assert_eq!(read, strings(&["!1.50", r#"!{"a":"\ud800"}"#, "![[]]"]));
}

/// S-8.1.
#[test]
fn what_is_sent_is_bounded() {
    let body = |messages: &[&str]| serde_json::to_vec(messages).unwrap();
    for (body, expected) in [
        (body(&["1234567890"; 3]), strings(&["1234567890"; 3])),
        (body(&["12345678901"]), Err(Unsent::TooLarge)),
        (body(&["a"; 4]), Err(Unsent::TooLarge)),
        (b"[[1,2,3,4,5]]".to_vec(), Err(Unsent::TooLarge)),
        // What is no JSON is that first, as far as it is looked at.
        (b"[\"a\",\"a\",\"a\",\"a\"".to_vec(), Err(Unsent::Json)),
        ([b"[]".to_vec(), vec![b' '; 199]].concat(), Err(Unsent::TooLarge)),
        ([b"[]".to_vec(), vec![b' '; 198]].concat(), strings(&[])),
    ] {
        assert_eq!(read(xhr_send(None, &body, LIMITS)), expected, "{}", String::from_utf8_lossy(&body));
    }
    let form = format!("d=[]&x={}", "x".repeat(200));
    assert_eq!(jsonp_send(Some("application/x-www-form-urlencoded"), form.as_bytes(), LIMITS), Err(Unsent::TooLarge));
}

/// Nothing here calls itself: depth costs no more than length.
#[test]
fn nesting_does_no_harm() {
    let depth = 500_000;
    let limits = Limits { request_bytes: usize::MAX, message_bytes: 10, messages: 3 };
    let nested = "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(xhr_send(None, nested.as_bytes(), limits), Err(Unsent::TooLarge));
    assert_eq!(websocket(&nested, limits), Err(Unsent::TooLarge));
    assert_eq!(xhr_send(None, &nested.as_bytes()[..depth], limits), Err(Unsent::Json));
    let objects = r#"{"a":"#.repeat(depth);
    assert_eq!(websocket(&objects, limits), Err(Unsent::Json));
}

proptest! {
    /// S-3.4, S-3.5: what is quoted is read again, by every way in.
    #[test]
    fn what_is_quoted_is_read(messages: Vec<String>) {
        let limits = Limits { request_bytes: usize::MAX, message_bytes: usize::MAX, messages: usize::MAX };
        let mut json = b"[".to_vec();
        for (at, message) in messages.iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            crate::transport::sockjs::quote(message, &mut json);
        }
        json.push(b']');
        prop_assert_eq!(read(xhr_send(None, &json, limits)), Ok(messages.clone()));
        let form = format!("d={}", percent_encoding::percent_encode(&json, percent_encoding::NON_ALPHANUMERIC));
        prop_assert_eq!(read(jsonp_send(Some("application/x-www-form-urlencoded"), form.as_bytes(), limits)), Ok(messages));
    }
}
