//! A connection whose channels and users are signed at endpoints (P-6.6, P-6.7), from the question to what the server is shown.

use crate::server::Server;
use futures_util::{SinkExt, StreamExt};
use tidings_client::{Auth, AuthorizeError, Connection, Notice, Options, ProxyChoice, SignInError, SubscriptionError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

/// Answers one request, and gives it back with lines that end with `\n`.
async fn answer(endpoint: &Server, status: &str, body: &str) -> String {
    let mut stream = endpoint.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(request).unwrap().replace("\r\n", "\n").to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body_of_request = vec![0; length];
    stream.read_exact(&mut body_of_request).await.unwrap();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    head + std::str::from_utf8(&body_of_request).unwrap()
}

/// Confirms a connection, and gives back the first message after that.
async fn first_message(server: &Server) -> Message {
    let mut socket = tokio_tungstenite::accept_async(server.accept().await.unwrap()).await.unwrap();
    let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"12.34\",\"activity_timeout\":120}"}"#;
    socket.send(Message::text(established)).await.unwrap();
    socket.next().await.unwrap().unwrap()
}

fn options(server: &Server, endpoint: &Server) -> Options {
    let headers = vec![("X-CSRF-Token".to_owned(), "t0k3n".to_owned())];
    Options {
        auth_endpoint: Some(format!("{}/pusher/auth", endpoint.url)),
        user_auth_endpoint: Some(format!("{}/pusher/user-auth", endpoint.url)),
        auth: Auth { params: vec![("a b".into(), "&".into())], headers, username: Some("ada".into()), password: Some("l:v".into()) },
        tls: endpoint.tls.clone(),
        proxy: ProxyChoice::Direct,
        ..Options::at(&server.url, "key")
    }
}

/// Goes on until something is refused.
async fn refusal(mut connection: Connection) -> Notice {
    loop {
        let notice = connection.next().await.unwrap();
        if matches!(notice, Notice::Refused { .. } | Notice::SignInFailed { .. }) {
            return notice;
        }
    }
}

#[tokio::test]
async fn what_the_endpoint_signs_is_shown_to_the_server() {
    let (server, endpoint) = (Server::plain().await, Server::secure().await);
    let mut connection = Connection::new(options(&server, &endpoint)).unwrap();
    connection.subscribe("presence-a").unwrap();
    let proof = r#"{"auth":"key:c0ffee","channel_data":"{\"user_id\": \"ada\"}"}"#;
    let asked = async {
        tokio::select! {
            both = async { tokio::join!(answer(&endpoint, "200 OK", proof), first_message(&server)) } => both,
            refused = refusal(connection) => panic!("{refused:?}"),
        }
    };
    let (request, message) = asked.await;
    assert!(request.starts_with("post /pusher/auth http/1.1\n"), "{request}");
    assert!(request.contains("\nx-csrf-token: t0k3n\n") && request.contains("\nauthorization: basic ywrhomw6dg==\n"), "{request}");
    assert!(request.ends_with("\n\nsocket_id=12.34&channel_name=presence-a&a%20b=%26"), "{request}");
    let expected =
        r#"{"event":"pusher:subscribe","data":{"channel":"presence-a","auth":"key:c0ffee","channel_data":"{\"user_id\": \"ada\"}"}}"#;
    assert_eq!(message, Message::text(expected));
}

#[tokio::test]
async fn what_the_endpoint_refuses_is_told_with_its_words() {
    let (server, endpoint) = (Server::plain().await, Server::plain().await);
    let mut connection = Connection::new(options(&server, &endpoint)).unwrap();
    connection.subscribe("private-a").unwrap();
    let refused = async { tokio::join!(answer(&endpoint, "403 Forbidden", "Not you\nat all"), refusal(connection)).1 };
    let notice = tokio::select! {
        notice = refused => notice,
        message = first_message(&server) => panic!("{message:?}"),
    };
    let Notice::Refused { channel, why: SubscriptionError::Authorize(why) } = notice else { panic!("{notice:?}") };
    assert_eq!(channel, "private-a");
    assert!(matches!(&why, AuthorizeError::Status { status, text, .. } if status.as_u16() == 403 && text == "Not you"), "{why:?}");
    assert!(!format!("{why} {why:?}").contains("t0k3n"), "{why:?}");
}

#[tokio::test]
async fn users_are_signed_at_an_endpoint_of_their_own() {
    let (server, endpoint) = (Server::plain().await, Server::secure().await);
    let mut connection = Connection::new(options(&server, &endpoint)).unwrap();
    connection.sign_in().unwrap();
    let answered = async { tokio::join!(answer(&endpoint, "200 OK", r#"{"auth":"key:c0ffee"}"#), refusal(connection)) };
    let (request, notice) = tokio::select! {
        both = answered => both,
        message = first_message(&server) => panic!("{message:?}"),
    };
    assert!(request.starts_with("post /pusher/user-auth http/1.1\n"), "{request}");
    assert!(request.ends_with("\n\nsocket_id=12.34&a%20b=%26"), "{request}");
    let Notice::SignInFailed { why: SignInError::Authorize(AuthorizeError::MissingMember { member, .. }) } = notice else {
        panic!("{notice:?}")
    };
    assert_eq!(member, "user_data");
}
