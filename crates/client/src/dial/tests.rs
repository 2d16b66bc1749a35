use super::*;
use crate::ProxyChoice;
use crate::peer::{Identity, Peer, header, nowhere, request};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A way to the server at `url`, through `proxy`.
fn dial(url: &str, proxy: &str, tls: &Tls) -> Dial {
    to(&url.parse().unwrap(), Dialer::new(tls, Matcher::builder().all(proxy).build().into()))
}

/// Why there is no way to the server at `url` through `proxy`.
async fn refusal(url: &str, proxy: &str) -> ProxyError {
    match dial(url, proxy, &Tls::new())().await {
        Err(DialError::Proxy(error)) => error,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("there is a way"),
    }
}

/// Says something, and expects it back.
async fn speak(dial: Dial) {
    let mut stream = dial().await.unwrap();
    stream.write_all(b"tidings").await.unwrap();
    let mut heard = [0; 7];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"tidings");
}

/// Says what is said.
async fn echo(server: &Peer) {
    let mut stream = server.accept().await;
    let mut heard = [0; 7];
    stream.read_exact(&mut heard).await.unwrap();
    stream.write_all(&heard).await.unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test]
async fn a_stream_is_tcp_with_tls_where_the_address_asks_for_it() {
    let identity = Identity::new();
    for server in [Peer::plain().await, Peer::secure(&identity).await] {
        let direct = to(&server.url.parse().unwrap(), Dialer::new(&identity.tls, Proxies::new(ProxyChoice::Direct)));
        tokio::join!(echo(&server), speak(direct));
    }
}

#[tokio::test]
async fn a_proxy_leads_to_servers_with_and_without_tls() {
    let identity = Identity::new();
    for server in [Peer::plain().await, Peer::secure(&identity).await] {
        // Through TLS to the proxy and without.
        for proxy in [Peer::plain().await, Peer::secure(&identity).await] {
            let dial = dial(&server.url, &proxy.url, &identity.tls);
            let (head, (), ()) = tokio::join!(proxy.tunnel(), echo(&server), speak(dial));
            assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\n", server.place)), "{head}");
            assert_eq!(header(&head, "host"), Some(&*server.place));
            assert_eq!(header(&head, "proxy-authorization"), None);
        }
    }
}

#[tokio::test]
async fn a_proxy_is_told_the_name_and_the_port_even_if_the_address_leaves_it_out() {
    let proxy = Peer::plain().await;
    for (url, target) in [("ws://push.example", "push.example:80"), ("wss://[2001:db8::1]", "[2001:db8::1]:443")] {
        let serve = proxy.serve("HTTP/1.1 502 Bad Gateway\r\n\r\n");
        let ((head, _), error) = tokio::join!(serve, refusal(url, &proxy.url));
        assert!(head.starts_with(&format!("CONNECT {target} HTTP/1.1\n")), "{head}");
        assert!(matches!(&error, ProxyError::Refused { target: theirs, .. } if theirs == target), "{error:?}");
    }
}

#[tokio::test]
async fn the_user_of_the_proxys_address_is_named_to_it() {
    let (server, proxy) = (Peer::plain().await, Peer::plain().await);
    let dial = dial(&server.url, &format!("http://user:p%40ss@{}", proxy.place), &Tls::new());
    let (head, (), ()) = tokio::join!(proxy.tunnel(), echo(&server), speak(dial));
    assert_eq!(header(&head, "proxy-authorization"), Some("Basic dXNlcjpwQHNz"));
}

#[tokio::test]
async fn what_a_proxy_says_instead_of_leading_there_is_told() {
    let proxy = Peer::plain().await;
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(2 * PROXY_HEAD_BYTES_MAX));
    for (answer, expected) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n", "wants a user name and a password"),
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno\n", "does not lead to push.example:443: it answered 403 Forbidden; "),
        ("HTTP/1.1 204 No Content\r\n\r\n", "does not lead to push.example:443: it answered 204 No Content; "),
        ("SSH-2.0-OpenSSH\r\n", "does not act as a proxy: "),
        ("", "does not act as a proxy: "),
        ("HTTP/1.1 200 OK\r\n\r\nmore", "does not act as a proxy: it sent more than an answer"),
        (&long, "does not act as a proxy: "),
    ] {
        let serve = async { drop(proxy.serve(answer).await) };
        let with_password = format!("http://user:secret@{}", proxy.place);
        let ((), error) = tokio::join!(serve, refusal("wss://push.example", &with_password));
        let text = error.to_string();
        assert!(text.contains(&proxy.url) && text.contains(expected), "{text}");
        assert!(!format!("{text} {error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_from_a_server_that_is_not() {
    let (_socket, place) = nowhere();
    let error = refusal("ws://push.example", &format!("http://{place}")).await;
    assert!(matches!(&error, ProxyError::Unreachable { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot reach the proxy http://{place}: ")), "{error}");

    // What an exception of NO_PROXY leads to is dialled itself.
    let matcher = Matcher::builder().all("http://proxy.invalid").no("127.0.0.1").build();
    let dial = to(&format!("ws://{place}").parse().unwrap(), Dialer::new(&Tls::new(), matcher.into()));
    let Err(DialError::Unreachable { cause, url }) = dial().await else { panic!("it is reached") };
    assert_eq!((cause.kind(), url.to_string()), (io::ErrorKind::ConnectionRefused, format!("http://{place}")));
}

#[tokio::test]
async fn certificates_of_a_proxy_and_of_a_server_are_checked_both() {
    let (known, unknown) = (Identity::new(), Identity::new());
    let proxy = Peer::secure(&unknown).await;
    let through = dial("wss://push.example", &proxy.url, &known.tls);
    let (stream, failure) = tokio::join!(proxy.try_accept(), through());
    assert!(stream.is_none());
    assert!(matches!(failure, Err(DialError::Proxy(ProxyError::Tls { .. }))));

    let (proxy, server) = (Peer::secure(&known).await, Peer::secure(&unknown).await);
    let through = dial(&server.url, &proxy.url, &known.tls);
    let (_, stream, failure) = tokio::join!(proxy.tunnel(), server.try_accept(), through());
    assert!(stream.is_none());
    let Err(DialError::Tls { cause, .. }) = failure else { panic!("it is believed") };
    assert!(cause.to_string().contains("invalid peer certificate"), "{cause}");
}

/// A proxy that hangs costs no more than the time it is given: what is dropped midway hangs up.
#[tokio::test]
async fn a_proxy_that_hangs_is_left_when_the_dialling_is_dropped() {
    let proxy = Peer::plain().await;
    let dial = dial("wss://push.example", &proxy.url, &Tls::new());
    let mut dialling = Box::pin(dial());
    let heard = async {
        let mut stream = proxy.accept().await;
        request(&mut stream).await;
        stream
    };
    let mut stream = tokio::select! {
        stream = heard => stream,
        _ = &mut dialling => panic!("nobody answered"),
    };
    drop(dialling);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

/// RFC 1928 and RFC 1929, from the side of the proxy. Gives back host and port that were asked for.
async fn socks_proxy(proxy: &Peer, user: Option<&[u8]>, reply: u8) -> (String, u16) {
    let mut stream = proxy.accept().await;
    let method = if user.is_some() { 2 } else { 0 };
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, [5, 1, method]);
    stream.write_all(&[5, method]).await.unwrap();
    if let Some(user) = user {
        let mut theirs = vec![0; user.len()];
        stream.read_exact(&mut theirs).await.unwrap();
        assert_eq!(theirs, user);
        stream.write_all(&[1, 0]).await.unwrap();
    }
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[..4], [5, 1, 0, 3], "the name is for the proxy to look up");
    let mut host = vec![0; head[4].into()];
    stream.read_exact(&mut host).await.unwrap();
    let target = (String::from_utf8(host).unwrap(), stream.read_u16().await.unwrap());
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    if reply == 0 {
        let mut there = TcpStream::connect((target.0.as_str(), target.1)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
    }
    target
}

#[tokio::test]
async fn a_socks_proxy_leads_to_servers() {
    let identity = Identity::new();
    for user in [None, Some(b"\x01\x04user\x04p@ss".as_slice())] {
        let (server, proxy) = (Peer::secure(&identity).await, Peer::plain().await);
        let at = if user.is_some() { "user:p%40ss@" } else { "" };
        let dial = dial(&server.url, &format!("socks5://{at}{}", proxy.place), &identity.tls);
        let (target, (), ()) = tokio::join!(socks_proxy(&proxy, user, 0), echo(&server), speak(dial));
        assert_eq!(format!("{}:{}", target.0, target.1), server.place);
    }
}

#[tokio::test]
async fn a_socks_proxy_that_refuses_says_why() {
    let proxy = Peer::plain().await;
    let url = format!("socks5h://{}", proxy.place);
    let (target, error) = tokio::join!(socks_proxy(&proxy, None, 5), refusal("ws://push.example:6001", &url));
    assert_eq!(target, ("push.example".to_owned(), 6001));
    let ProxyError::Refused { target, reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(target, "push.example:6001");
    assert!(reason.contains("refused"), "{reason}");

    let hang_up = async { drop(proxy.accept().await) };
    let ((), error) = tokio::join!(hang_up, refusal("ws://push.example", &url));
    assert!(matches!(error, ProxyError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_not_passed_by() {
    let error = refusal("ws://push.example", "socks4://proxy.invalid").await;
    assert_eq!(
        error.to_string(),
        "socks4://proxy.invalid:1080 is a proxy of a kind that is not spoken here: use one with http://, https:// or socks5://"
    );
}
