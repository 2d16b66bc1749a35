use super::*;
use crate::peer::{Identity, Peer, header, nowhere, request};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Long enough for all that answers.
const LONG: Duration = Duration::from_secs(60);
/// For who never answers.
const SHORT: Duration = Duration::from_millis(300);

fn direct(tls: &Tls) -> HttpClient {
    HttpClient::new(tls, ProxyChoice::Direct)
}

fn through(proxy: &str, tls: &Tls) -> HttpClient {
    HttpClient::through(Matcher::builder().all(proxy).build().into(), tls)
}

fn post(url: &str) -> Request<Full<Bytes>> {
    Request::post(format!("{url}/path?a=1")).header("x-a", "b").body(Full::from("body")).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

#[tokio::test]
async fn a_request_arrives_and_its_answer_comes_back() {
    let identity = Identity::new();
    for server in [Peer::plain().await, Peer::secure(&identity).await] {
        let client = direct(&identity.tls);
        let ((seen, _), answer) = tokio::join!(server.serve(OK), client.send(post(&server.url), LONG, 4));
        assert!(seen.starts_with("POST /path?a=1 HTTP/1.1\n") && seen.ends_with("\n\nbody"), "{seen}");
        assert_eq!((header(&seen, "host"), header(&seen, "x-a")), (Some(&*server.place), Some("b")));
        let answer = answer.unwrap();
        assert_eq!((answer.status(), &**answer.body()), (StatusCode::OK, b"fine".as_slice()));
    }
}

#[tokio::test]
async fn the_next_request_takes_the_same_connection() {
    let server = Peer::plain().await;
    let client = direct(&Tls::new());
    let ((_, mut stream), answer) = tokio::join!(server.serve(OK), client.send(post(&server.url), LONG, 4));
    answer.unwrap();
    let again = async {
        request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    };
    let copy = client.clone();
    let ((), answer) = tokio::join!(again, copy.send(post(&server.url), LONG, 4));
    answer.unwrap();
}

#[tokio::test]
async fn whatever_the_status_is_it_is_the_answer() {
    let server = Peer::plain().await;
    for (head, status) in [("302 Found\r\nlocation: /there", 302), ("407 Who", 407), ("500 No", 500)] {
        let text = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let client = direct(&Tls::new());
        let (_, answer) = tokio::join!(server.serve(text), client.send(post(&server.url), LONG, 4));
        assert_eq!(answer.unwrap().status().as_u16(), status);
    }
}

#[tokio::test]
async fn plain_requests_are_sent_on_by_a_proxy() {
    let proxy = Peer::plain().await;
    let client = through(&format!("http://user:pass@{}", proxy.place), &Tls::new());
    let ((seen, _), answer) = tokio::join!(proxy.serve(OK), client.send(post("http://app.example"), LONG, 4));
    answer.unwrap();
    assert!(seen.starts_with("POST http://app.example/path?a=1 HTTP/1.1\n"), "{seen}");
    assert_eq!((header(&seen, "host"), header(&seen, "proxy-authorization")), (Some("app.example"), Some("Basic dXNlcjpwYXNz")));
}

#[tokio::test]
async fn requests_through_tls_and_socks_are_led_through_and_the_proxys_password_stays_there() {
    let identity = Identity::new();
    let (server, proxy) = (Peer::secure(&identity).await, Peer::plain().await);
    let client = through(&format!("http://user:pass@{}", proxy.place), &identity.tls);
    let exchange = async {
        let (served, answer) = tokio::join!(server.serve(OK), client.send(post(&server.url), LONG, 4));
        answer.unwrap();
        // Ends the connection, and with it the work of the proxy.
        drop(client);
        served.0
    };
    let (head, seen) = tokio::join!(proxy.tunnel(), exchange);
    assert_eq!(header(&head, "proxy-authorization"), Some("Basic dXNlcjpwYXNz"));
    assert!(seen.starts_with("POST /path?a=1 HTTP/1.1\n"), "{seen}");
    assert_eq!(header(&seen, "proxy-authorization"), None);

    let client = through("socks4://proxy.invalid", &identity.tls);
    let error = client.send(post("http://app.example"), LONG, 4).await.unwrap_err();
    assert!(matches!(error, HttpError::Proxy(ProxyError::Unsupported { .. })), "{error:?}");
}

#[tokio::test]
async fn a_proxy_that_does_not_know_us_is_told_from_a_server_that_does_not() {
    let proxy = Peer::plain().await;
    let refusal = "HTTP/1.1 407 Who\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for url in ["http://app.example", "https://app.example"] {
        let client = through(&proxy.url, &Tls::new());
        let (_, answer) = tokio::join!(proxy.serve(refusal), client.send(post(url), LONG, 4));
        assert!(matches!(answer, Err(HttpError::Proxy(ProxyError::Unauthorized { .. }))), "{answer:?}");
    }
}

#[tokio::test]
async fn exceptions_are_asked_without_the_proxy() {
    let server = Peer::plain().await;
    let proxies = Matcher::builder().all("http://proxy.invalid").no("10.0.0.0/8,127.0.0.0/8").build();
    let client = HttpClient::through(proxies.into(), &Tls::new());
    let ((seen, _), answer) = tokio::join!(server.serve(OK), client.send(post(&server.url), LONG, 4));
    answer.unwrap();
    assert!(seen.starts_with("POST /path?a=1 HTTP/1.1\n"), "{seen}");
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_not_believed() {
    let (_socket, place) = nowhere();
    let error = direct(&Tls::new()).send(post(&format!("http://{place}")), LONG, 4).await.unwrap_err();
    assert!(matches!(&error, HttpError::Unreachable(cause) if cause.kind() == io::ErrorKind::ConnectionRefused), "{error:?}");
    let error = through(&format!("http://{place}"), &Tls::new()).send(post("http://app.example"), LONG, 4).await.unwrap_err();
    assert!(matches!(error, HttpError::Proxy(ProxyError::Unreachable { .. })), "{error:?}");

    let server = Peer::secure(&Identity::new()).await;
    let client = direct(&Tls::new());
    let (stream, answer) = tokio::join!(server.try_accept(), client.send(post(&server.url), LONG, 4));
    assert!(stream.is_none());
    assert!(matches!(&answer, Err(HttpError::Tls(cause)) if cause.to_string().contains("UnknownIssuer")), "{answer:?}");
}

#[tokio::test]
async fn who_hangs_is_left_in_time() {
    for sent in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfin"] {
        let server = Peer::plain().await;
        let client = direct(&Tls::new());
        let served = async {
            let (_, mut stream) = server.serve(sent).await;
            // The client hangs up.
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        };
        let ((), answer) = tokio::join!(served, client.send(post(&server.url), SHORT, 4));
        assert!(matches!(answer, Err(HttpError::TimedOut)), "{answer:?}");
    }
    // Neither does a proxy have longer.
    let proxy = Peer::plain().await;
    for url in ["http://app.example", "https://app.example"] {
        let client = through(&proxy.url, &Tls::new());
        let (_stream, answer) = tokio::join!(proxy.accept(), client.send(post(url), SHORT, 4));
        assert!(matches!(answer, Err(HttpError::TimedOut)), "{answer:?}");
    }
}

#[tokio::test]
async fn no_answer_is_taken_beyond_its_limit() {
    let long_head = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES_MAX));
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlong!",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nlong!",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nlon\r\n2\r\ng!\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nlong!",
        &long_head,
    ] {
        let server = Peer::plain().await;
        let client = direct(&Tls::new());
        let (_, answer) = tokio::join!(server.serve(text), client.send(post(&server.url), LONG, 4));
        assert!(matches!(answer, Err(HttpError::TooLong)), "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_no_whole_answer_is_told() {
    for text in [
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfin",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = Peer::plain().await;
        let client = direct(&Tls::new());
        let serve = async { drop(server.serve(text).await) };
        let ((), answer) = tokio::join!(serve, client.send(post(&server.url), LONG, 9));
        assert!(matches!(&answer, Err(HttpError::Failed(reason)) if !reason.is_empty()), "{answer:?}");
    }
}
