use super::*;
use crate::peer::{self, Identity, Peer, nowhere};
use crate::{ProxyChoice, ProxyError, Tls};
use hyper_util::client::proxy::matcher::Matcher;
use std::io;
use tokio::io::AsyncReadExt;

const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn options() -> Options {
    Options { auth_timeout: Duration::from_secs(60), ..Options::new("key") }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn endpoint(url: &str, options: &Options) -> Endpoint {
    Endpoint::new(url, options, HttpClient::new(&options.tls, ProxyChoice::Direct)).unwrap()
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Asks for `channel` at an endpoint that answers with `answer`.
async fn ask(channel: &str, answer: impl AsRef<[u8]>) -> Result<ChannelProof, AuthorizeError> {
    let server = Peer::plain().await;
    let endpoint = endpoint(&format!("{}/auth?token=t0k3n", server.url), &options());
    let serve = async { drop(server.serve(answer).await) };
    let ((), proof) = tokio::join!(serve, endpoint.channel("1.2", channel));
    if let Err(error) = &proof {
        let text = format!("{error} {error:?} {endpoint:?}");
        assert!(text.contains(&format!("{}/auth", server.url)) && !text.contains("t0k3n"), "{text}");
    }
    proof
}

/// P-6.6
#[tokio::test]
async fn an_endpoint_is_asked_with_a_form() {
    let identity = Identity::new();
    let mut options = Options { tls: identity.tls.clone(), ..options() };
    for server in [Peer::plain().await, Peer::secure(&identity).await] {
        options.auth.params = pairs(&[]);
        let plain = endpoint(&format!("{}/pusher/auth?x=1", server.url), &options);
        let answer = ok(r#"{"auth":"key:c0ffee"}"#);
        let ((seen, _), proof) = tokio::join!(server.serve(&answer), plain.channel("12.34", "private-room_1-=@,.;Z"));
        assert_eq!(proof.unwrap(), ChannelProof { auth: "key:c0ffee".into(), channel_data: None, shared_secret: None });
        assert!(seen.starts_with("POST /pusher/auth?x=1 HTTP/1.1\n"), "{seen}");
        assert!(seen.ends_with("\n\nsocket_id=12.34&channel_name=private-room_1-%3D%40%2C.%3BZ"), "{seen}");
        assert_eq!(peer::header(&seen, "content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(peer::header(&seen, "authorization"), None);

        options.auth.params = pairs(&[("a b", "+&=é"), ("empty", "")]);
        let with_params = endpoint(&format!("{}/pusher/user-auth", server.url), &options);
        let answer = ok(r#"{"auth":"key:c0ffee","user_data":"{\"id\": \"ada\"}"}"#);
        let ((seen, _), proof) = tokio::join!(server.serve(&answer), with_params.user("12.34"));
        assert_eq!(proof.unwrap(), UserProof { auth: "key:c0ffee".into(), user_data: r#"{"id": "ada"}"#.into() });
        assert!(seen.starts_with("POST /pusher/user-auth HTTP/1.1\n"), "{seen}");
        assert!(seen.ends_with("\n\nsocket_id=12.34&a%20b=%2B%26%3D%C3%A9&empty="), "{seen}");
    }
}

/// The headers in which the request to an endpoint differs with `auth`.
async fn sent(auth: Auth) -> [Option<String>; 3] {
    let server = Peer::plain().await;
    let endpoint = endpoint(&server.url, &Options { auth, ..options() });
    let answer = ok(r#"{"auth":"key:c0ffee"}"#);
    let ((seen, _), proof) = tokio::join!(server.serve(&answer), endpoint.channel("1.2", "private-a"));
    proof.unwrap();
    ["authorization", "content-type", "x-csrf-token"].map(|name| peer::header(&seen, name).map(str::to_owned))
}

#[tokio::test]
async fn headers_and_user_go_along() {
    let form = Some("application/x-www-form-urlencoded".to_owned());
    let basic = Some("Basic YWRhOmw6dg==".to_owned());
    let (username, password) = (Some("ada".to_owned()), Some("l:v".to_owned()));
    let given = Auth { username: username.clone(), password: password.clone(), ..Auth::default() };
    assert_eq!(sent(given.clone()).await, [basic, form.clone(), None]);
    // One of the two is none.
    assert_eq!(sent(Auth { password: None, ..given.clone() }).await, [None, form.clone(), None]);
    assert_eq!(sent(Auth { username: None, ..given.clone() }).await, [None, form.clone(), None]);

    // What is given explicitly is what is sent.
    let headers = pairs(&[("AUTHORIZATION", "Bearer b"), ("X-CSRF-Token", "c")]);
    assert_eq!(sent(Auth { headers, ..given }).await, [Some("Bearer b".into()), form, Some("c".into())]);
    let headers = pairs(&[("content-type", "application/x-www-form-urlencoded; charset=UTF-8")]);
    let charset = Some("application/x-www-form-urlencoded; charset=UTF-8".into());
    assert_eq!(sent(Auth { headers, ..Auth::default() }).await, [None, charset, None]);
}

/// P-6.7
#[tokio::test]
async fn a_proof_has_the_members_of_its_kind() {
    let proof = ask("presence-a", ok(r#" {"auth":"key:1","channel_data":"{\"user_id\": 1}","more":[{}]} "#)).await.unwrap();
    assert_eq!(proof, ChannelProof { auth: "key:1".into(), channel_data: Some(r#"{"user_id": 1}"#.into()), shared_secret: None });
    // A presence channel may do without for a user who is signed in (P-7.5); null is the same (P-6.3).
    for body in [r#"{"auth":"key:1"}"#, r#"{"auth":"key:1","channel_data":null,"shared_secret":null}"#] {
        let proof = ask("presence-a", ok(body)).await.unwrap();
        assert_eq!(proof, ChannelProof { auth: "key:1".into(), channel_data: None, shared_secret: None });
    }
    let body = format!(r#"{{"auth":"key:1","shared_secret":"{SECRET}"}}"#);
    let proof = ask("private-encrypted-a", ok(&body)).await.unwrap();
    assert_eq!(proof.shared_secret.unwrap().to_base64(), SECRET);
    // On other channels it means nothing, so nobody minds what it is.
    assert_eq!(ask("private-a", ok(r#"{"auth":"key:1","shared_secret":7}"#)).await.unwrap().shared_secret, None);
}

/// P-6.7
#[tokio::test]
async fn members_must_be_there_and_be_strings() {
    for (body, expected) in [
        ("{}", "auth"),
        (r#"{"auth":null}"#, "auth"),
        (r#"{"auth":1}"#, "auth"),
        (r#"{"auth":{"auth":"key:1"}}"#, "auth"),
        (r#"{"Auth":"key:1"}"#, "auth"),
        (r#"{"auth":"key:1","channel_data":{"user_id":"1"}}"#, "channel_data"),
        (r#"{"auth":"key:1","shared_secret":["x"]}"#, "shared_secret"),
    ] {
        let error = ask("private-encrypted-a", ok(body)).await.unwrap_err();
        assert!(matches!(error, AuthorizeError::MissingMember { member, .. } if member == expected), "{error:?}");
        assert!(error.to_string().ends_with(&format!("must answer with a JSON object that has a string `{expected}`")), "{error}");
    }
    let server = Peer::plain().await;
    let endpoint = endpoint(&server.url, &options());
    let (_, proof) = tokio::join!(server.serve(ok(r#"{"auth":"key:1","user_data":{"id":"1"}}"#)), endpoint.user("1.2"));
    assert!(matches!(proof, Err(AuthorizeError::MissingMember { member: "user_data", .. })), "{proof:?}");
}

#[tokio::test]
async fn a_shared_secret_must_be_32_bytes_as_base64() {
    for secret in ["", "AAEC", "no base64", &SECRET[..43]] {
        let body = format!(r#"{{"auth":"key:1","shared_secret":"{secret}"}}"#);
        let error = ask("private-encrypted-a", ok(&body)).await.unwrap_err();
        assert!(matches!(error, AuthorizeError::SharedSecret { .. }), "{error:?}");
        assert!(error.to_string().contains("answered with a `shared_secret` of no use: "), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_told_without_what_it_holds() {
    let nested = "[".repeat(10_000);
    for (body, expected) in [
        ("", "the answer is empty"),
        (" \r\n", "the answer is empty"),
        ("<!DOCTYPE html><p>s3cret", "the answer is not JSON: expected value at line 1 column 1"),
        (r#"{"auth":"s3cret""#, "the answer is not JSON: EOF while parsing an object at line 1 column 16"),
        (r#"{"auth":"s3cret"} {}"#, "the answer is not JSON: trailing characters at line 1 column 19"),
        (r#"{"auth":"s3cret\ud800"}"#, "the answer is not JSON: unexpected end of hex escape at line 1 column 22"),
        (&nested, "the answer is not JSON: recursion limit exceeded at line 1 column 128"),
        (r#""{\"auth\":\"s3cret\"}""#, "the answer is a JSON string; is the object encoded twice?"),
        (r#"["s3cret"]"#, "the answer is JSON of another kind"),
        ("null", "the answer is JSON of another kind"),
    ] {
        let error = ask("private-a", ok(body)).await.unwrap_err();
        assert!(matches!(&error, AuthorizeError::NotJson { reason, .. } if reason == expected), "{error:?}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let error = ask("private-a", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"auth\":\"\xff\"}").await.unwrap_err();
    assert!(
        error.to_string().ends_with(r#"must answer with a JSON object, such as {"auth":"key:signature"}, but the answer is not UTF-8"#)
    );
}

/// P-6.7: exactly 200.
#[tokio::test]
async fn any_other_status_is_a_refusal_with_its_first_line() {
    let long = "x".repeat(500);
    for (status, body, text, expected) in [
        ("403 Forbidden", "\r\nNot you\u{1b}[31m\nsecond", "Not you[31m", ": Not you[31m; it does not know the user, or does not let"),
        ("201 Created", r#"{"auth":"key:1"}"#, r#"{"auth":"key:1"}"#, r#": {"auth":"key:1"}; it must answer 200 with a JSON object"#),
        ("204 No Content", "", "", " 204 No Content; it must answer 200 with a JSON object"),
        ("404 Not Found", "", "", " 404 Not Found; check its address"),
        ("405 Method Not Allowed", "", "", " 405 Method Not Allowed; it must take POST requests"),
        ("500 Internal Server Error", &long, &long[..TEXT_CHARS_MAX], "; its log should say why"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        let error = ask("private-a", answer).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        let AuthorizeError::Status { status: theirs, text: told, .. } = error else { panic!("{error:?}") };
        assert_eq!((theirs.as_str(), &*told), (&status[..3], text));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for (location, expected) in [
        ("location: https://app.example/login?token=t0k3n\r\n", "https://app.example/login"),
        ("location: /login\r\n", "/login"),
        ("", "an address that it does not give"),
    ] {
        for status in ["302 Found", "307 Temporary Redirect"] {
            let answer = format!("HTTP/1.1 {status}\r\n{location}content-length: 0\r\nconnection: close\r\n\r\n");
            let error = ask("private-a", answer).await.unwrap_err();
            assert!(
                error.to_string().contains(&format!("answered {status} and leads to {expected}; redirects are not followed: ")),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_has_64_kib() {
    let filled = |length: usize| {
        let body = format!(r#"{{"auth":"key:1","more":"{}"}}"#, "x".repeat(length));
        ok(&body)
    };
    let members = r#"{"auth":"key:1","more":""}"#.len();
    ask("private-a", filled(ANSWER_BYTES_MAX - members)).await.unwrap();
    let error = ask("private-a", filled(ANSWER_BYTES_MAX - members + 1)).await.unwrap_err();
    assert!(matches!(error, AuthorizeError::TooLong { max: 65_536, .. }), "{error:?}");
}

#[tokio::test]
async fn an_endpoint_has_the_time_it_is_given_and_no_more() {
    for sent in ["", "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"auth\""] {
        let server = Peer::plain().await;
        let after = Duration::from_millis(300);
        let endpoint = endpoint(&server.url, &Options { auth_timeout: after, ..options() });
        let hang = async {
            let (_, mut stream) = server.serve(sent).await;
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        };
        let ((), proof) = tokio::join!(hang, endpoint.channel("1.2", "private-a"));
        let error = proof.unwrap_err();
        assert!(matches!(error, AuthorizeError::TimedOut { after: theirs, .. } if theirs == after), "{error:?}");
        assert!(error.to_string().ends_with("did not answer within 300ms; make it faster, or raise auth_timeout"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_endpoint_at_all_is_told() {
    let error = ask("private-a", "SSH-2.0-OpenSSH\r\n").await.unwrap_err();
    assert!(matches!(error, AuthorizeError::Failed { .. }), "{error:?}");

    let (_socket, place) = nowhere();
    let error = endpoint(&format!("http://{place}/auth"), &options()).channel("1.2", "private-a").await.unwrap_err();
    let AuthorizeError::Unreachable { cause, .. } = &error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().starts_with(&format!("cannot reach the auth endpoint http://{place}/auth: ")), "{error}");

    let server = Peer::secure(&Identity::new()).await;
    let endpoint = endpoint(&server.url, &options());
    let (_, proof) = tokio::join!(server.try_accept(), endpoint.channel("1.2", "private-a"));
    assert!(matches!(proof, Err(AuthorizeError::Tls { .. })), "{proof:?}");
}

#[tokio::test]
async fn endpoints_are_asked_through_proxies() {
    let identity = Identity::new();
    let options = Options { tls: identity.tls.clone(), ..options() };
    let (server, proxy) = (Peer::secure(&identity).await, Peer::plain().await);
    let http = || HttpClient::through(Matcher::builder().all(proxy.url.clone()).build().into(), &identity.tls);
    let endpoint = Endpoint::new(&server.url, &options, http()).unwrap();
    let exchange = async {
        let answer = ok(r#"{"auth":"key:1"}"#);
        let (_, proof) = tokio::join!(server.serve(&answer), endpoint.channel("1.2", "private-a"));
        proof.unwrap()
    };
    let (head, proof) = tokio::join!(proxy.tunnel(), exchange);
    assert!(head.starts_with(&format!("CONNECT {} ", server.place)), "{head}");
    assert_eq!(proof.auth, "key:1");

    let endpoint = Endpoint::new("http://app.example/auth", &options, http()).unwrap();
    let refuse = proxy.serve("HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n");
    let (_, proof) = tokio::join!(refuse, endpoint.channel("1.2", "private-a"));
    let error = proof.unwrap_err();
    assert!(matches!(error, AuthorizeError::Proxy { cause: ProxyError::Unauthorized { .. }, .. }), "{error:?}");
    assert!(error.to_string().starts_with("no way to the auth endpoint http://app.example/auth: the proxy http://127.0.0.1:"), "{error}");
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    let http = HttpClient::new(&Tls::new(), ProxyChoice::Direct);
    for (url, shown, reason) in [
        ("", "", "it is not a URL"),
        ("/pusher/auth", "/pusher/auth", "it has no scheme"),
        ("app.example:80", "app.example:80", "it has no scheme"),
        ("ws://app.example/", "ws://app.example/", "its scheme is not http or https"),
        ("http://app.example/a b?t0k3n", "http://app.example/a b", "it is not a URL"),
        ("http://ada:s3cret@app.example/@a", "http://app.example/@a", "it holds a user name, which belongs into auth.username"),
        ("http://app.example:66000", "http://app.example:66000", "its port is not a number below 65536"),
        ("http://app.example:/", "http://app.example:/", "its port is not a number below 65536"),
    ] {
        let error = Endpoint::new(url, &options(), http.clone()).unwrap_err();
        assert_eq!(error, BadOptions::Endpoint { url: shown.into(), reason: reason.into() }, "{url}");
    }
    for url in ["http://app.example", "https://[::1]:8443/auth?a=1#part", "HTTP://app.example/@a"] {
        Endpoint::new(url, &options(), http.clone()).unwrap();
    }

    for (name, value, reason) in [
        ("a b", "c", "its name has characters that no header has"),
        ("", "c", "its name has characters that no header has"),
        ("x-a", "s3cret\r\nx-b: c", "its value has characters that no header has"),
        ("Content-Length", "3", "it belongs to the connection; leave it out"),
        ("transfer-encoding", "chunked", "it belongs to the connection; leave it out"),
    ] {
        let auth = Auth { headers: pairs(&[(name, value)]), ..Auth::default() };
        let error = Endpoint::new("http://app.example", &Options { auth, ..options() }, http.clone()).unwrap_err();
        assert_eq!(error, BadOptions::Header { name: name.into(), reason: reason.into() });
    }
    let auth = Auth {
        headers: pairs(&[("x-csrf-token", "s3cret")]),
        username: Some("ada".into()),
        password: Some("l:v".into()),
        ..Auth::default()
    };
    let shown = format!("{:?}", headers(&auth).unwrap());
    assert!(shown.contains("x-csrf-token") && !shown.contains("s3cret") && !shown.contains("YWRhOmw6dg"), "{shown}");
    let auth = Auth { username: Some("a:b".into()), password: Some("s3cret".into()), ..Auth::default() };
    let error = Endpoint::new("http://app.example", &Options { auth, ..options() }, http).unwrap_err();
    assert!(matches!(error, BadOptions::Header { name, .. } if name == "authorization"));
}
