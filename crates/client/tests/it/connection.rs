//! Connecting over TCP and TLS. All else about connections is tested in memory.

use crate::server::{Server, nowhere};
use futures_util::{SinkExt, StreamExt};
use tidings_client::{Connection, ConnectionError, DialError, Event, Notice, Options, Reconnect, Tls};
use tokio_tungstenite::tungstenite::Message;

/// Confirms the connection, waits for a subscription, and publishes one event on it.
async fn serve(server: &Server) {
    let mut socket = tokio_tungstenite::accept_async(server.accept().await.unwrap()).await.unwrap();
    let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
    socket.send(Message::text(established)).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(r#"{"event":"pusher:subscribe","data":{"channel":"news"}}"#));
    socket.send(Message::text(r#"{"event":"headline","channel":"news","data":"{\"a\":1}"}"#)).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
}

async fn listen(server: &Server) -> Event {
    let mut options = Options::at(&server.url, "key");
    options.tls = server.tls.clone();
    let mut connection = Connection::new(options).unwrap();
    connection.subscribe("news").unwrap();
    loop {
        if let Notice::Event(event) = connection.next().await.unwrap() {
            connection.disconnect().await;
            return event;
        }
    }
}

#[tokio::test]
async fn events_arrive_over_tcp_and_over_tls() {
    for server in [Server::plain().await, Server::secure().await] {
        let ((), event) = tokio::join!(serve(&server), listen(&server));
        assert_eq!(event, Event { channel: "news".into(), name: "headline".into(), data: "{\"a\":1}".into(), user_id: None });
    }
}

async fn failure(options: Options) -> ConnectionError {
    let mut connection = Connection::new(Options { reconnect: Reconnect::OnceConnected, ..options }).unwrap();
    assert!(matches!(connection.next().await, Ok(Notice::Connecting)));
    connection.next().await.unwrap_err()
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let server = Server::secure().await;
    let mut options = Options::at(&server.url, "key");
    options.tls = Tls::new();
    let (stream, failure) = tokio::join!(server.accept(), failure(options));
    assert!(stream.is_none());
    assert!(matches!(&failure, ConnectionError::Dial(DialError::Tls { .. })), "{failure:?}");
    assert!(failure.to_string().contains("UnknownIssuer"), "{failure}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let (_socket, url) = nowhere();
    let failure = failure(Options::at(&url, "key")).await.to_string();
    assert!(failure.starts_with(&format!("cannot reach {url}: ")), "{failure}");
    assert!(failure.ends_with("; is the server running there?"), "{failure}");
}
