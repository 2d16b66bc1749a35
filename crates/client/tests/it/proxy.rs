//! The environment names the proxy. Each case is a process of its own, with an environment of its own: this test once more, in another role.

use crate::server::{Server, nowhere};
use futures_util::{SinkExt, StreamExt};
use std::env;
use std::process::Command;
use std::time::Duration;
use tidings_client::{AppId, Connection, Key, Notice, Options, ProxyChoice, Publication, Publisher, Reconnect, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Says that this process is to connect, and where.
const ROLE: &str = "TIDINGS_TEST_CONNECT_TO";
/// Says that it is to publish there instead.
const PUBLISH: &str = "TIDINGS_TEST_PUBLISH";
/// Says that it is to do so in vain, and no longer than a moment.
const HURRY: &str = "TIDINGS_TEST_HURRY";
/// Says that it is not to care for the rest of the environment.
const DIRECT: &str = "TIDINGS_TEST_DIRECT";

/// Connects, and tells what came of it.
async fn connect(url: &str) -> String {
    let mut options = Options::at(&url.parse().unwrap(), "key");
    options.reconnect = Reconnect::Never;
    if env::var_os(HURRY).is_some() {
        options.connect_timeout = Duration::from_millis(50);
    }
    if env::var_os(DIRECT).is_some() {
        options.proxy = ProxyChoice::Direct;
    }
    let mut connection = Connection::new(options).unwrap();
    loop {
        match connection.next().await {
            Ok(Notice::Connected { socket_id, .. }) => return format!("connected as {socket_id}"),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// Publishes, and tells what came of it.
async fn publish(url: &str) -> String {
    let key = Key { key: "key".into(), secret: "secret".into() };
    let publisher = Publisher::new(url.parse().unwrap(), &Tls::new(), AppId::new("1"), key);
    let publication = Publication { channels: vec!["news".into()], name: "a".into(), data: "b".into(), ..Default::default() };
    match publisher.publish(&publication).await {
        Ok(_) => "published".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What comes of it when a process with this environment connects to `url`.
async fn outcome(url: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "proxy::the_environment_decides", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.env(ROLE, url).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let outcome = text.lines().find_map(|line| line.split_once("outcome: ")).unwrap_or_else(|| panic!("{text}"));
    outcome.1.to_owned()
}

/// Confirms one connection.
async fn serve(server: &Server) {
    let mut socket = tokio_tungstenite::accept_async(server.accept().await.unwrap()).await.unwrap();
    let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
    socket.send(Message::text(established)).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
}

/// Reads a request's head as a proxy.
async fn head(proxy: &Server) -> (String, impl AsyncReadExt + AsyncWriteExt + Unpin) {
    let mut stream = proxy.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

/// Leads one connection through, as a proxy.
async fn tunnel(proxy: &Server) -> String {
    let (head, mut stream) = head(proxy).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut there = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut there).await;
    head
}

#[tokio::test]
async fn the_environment_decides() {
    if let Ok(url) = env::var(ROLE) {
        let outcome = if env::var_os(PUBLISH).is_some() { publish(&url).await } else { connect(&url).await };
        println!("outcome: {outcome}");
        return;
    }
    let (server, proxy) = (Server::plain().await, Server::plain().await);
    let url = server.url.to_string();
    let address = url.trim_start_matches("http://").to_owned();
    let proxy_address = proxy.url.to_string().replace("http://", "http://user:secret@");
    let proxy_name = proxy.url.to_string();
    let (_socket, closed) = nowhere();
    let closed = closed.to_string();

    // What came of it is looked at before anybody waits for what did not come.
    let connects = async |environment: &[(&str, &str)]| assert_eq!(outcome(&url, environment).await, "connected as 1.2", "{environment:?}");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        let environment = [(name, proxy_address.as_str())];
        let (head, (), ()) = tokio::join!(tunnel(&proxy), serve(&server), connects(&environment));
        assert!(head.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")), "{head}");
        assert!(head.to_lowercase().contains("\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{head}");
    }
    for (name, value) in [("NO_PROXY", "10.0.0.0/8, 127.0.0.1"), ("no_proxy", "*"), (DIRECT, "1"), ("REQUEST_METHOD", "GET")] {
        let environment = [("HTTP_PROXY", closed.as_str()), (name, value)];
        tokio::join!(serve(&server), connects(&environment));
    }

    let ends = async |environment: &[(&str, &str)], expected: String| {
        let told = outcome(&url, environment).await;
        assert!(told.contains(&expected) && !told.contains("secret"), "{told}");
    };
    ends(&[("HTTP_PROXY", closed.as_str())], format!("cannot reach the proxy {closed}: ")).await;
    let refuse = async {
        let (_, mut stream) = head(&proxy).await;
        stream.write_all(b"HTTP/1.1 407 Who\r\n\r\n").await.unwrap();
    };
    let environment = [("HTTP_PROXY", proxy_address.as_str())];
    tokio::join!(refuse, ends(&environment, format!("the proxy {proxy_name} wants a user name and a password")));
    // A proxy that hangs has no more time than an attempt to connect.
    let environment = [("HTTP_PROXY", proxy_address.as_str()), (HURRY, "1")];
    tokio::join!(proxy.accept(), ends(&environment, "did not confirm the connection within 50ms".to_owned()));

    // Requests that are not led through are sent on.
    let publishes = async |answer: &'static str, expected: String| {
        let serve = async {
            let (head, mut stream) = head(&proxy).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            head
        };
        let environment = [("HTTP_PROXY", proxy_address.as_str()), (PUBLISH, "1")];
        let (head, ()) = tokio::join!(serve, ends(&environment, expected));
        assert!(head.starts_with(&format!("POST http://{address}/apps/1/events?")), "{head}");
        assert!(head.to_lowercase().contains("\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{head}");
    };
    publishes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "published".to_owned()).await;
    let refusal = format!("the proxy {proxy_name} wants a user name and a password");
    publishes("HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n", refusal).await;
}
