//! Connections that are dead without anybody having said so.

use crate::gateway::Gateway;
use crate::hearing::{hears, loss, soon, until};
use crate::tidings::Tidings;
use std::time::Duration;
use tidings_client::{Client, ConnectionError, Options, State};

/// P-16.9: silence is asked about, and without an answer the connection is left for a new one.
#[tokio::test]
async fn a_dead_connection_is_found_and_left() {
    let tidings = Tidings::start("");
    let gateway = Gateway::start(tidings.url.to_string().replace("http://", "")).await;
    let options = Options {
        host: gateway.address.ip().to_string(),
        ws_port: gateway.address.port(),
        activity_timeout: Duration::from_millis(300),
        pong_timeout: Duration::from_secs(2),
        ..tidings.options()
    };
    let client = Client::new(options).unwrap();
    let (mut states, mut problems) = (client.states(), client.problems());
    let channel = client.subscribe("news").unwrap();
    let mut events = channel.events_named("x");
    soon(channel.subscribed()).await.unwrap();
    until(&mut states, State::Connected).await;
    tidings.publish("news", "x", "1").await;
    hears(&mut events, &[("x", "1")]).await;
    let first = client.socket_id();

    gateway.freeze();
    let why = loss(&mut problems).await;
    assert!(matches!(&*why, ConnectionError::PongMissed { after } if *after == Duration::from_millis(2_300)), "{why}");
    until(&mut states, State::Connected).await;
    soon(channel.subscribed()).await.unwrap();
    assert_ne!(client.socket_id(), first);
    tidings.publish("news", "x", "2").await;
    hears(&mut events, &[("x", "2")]).await;
    assert_eq!(gateway.accepted(), 2);
}

/// A way that is dead from the start is given up in time, and tried again.
#[tokio::test]
async fn an_attempt_that_hangs_is_given_up() {
    // Connections are taken by the kernel, and nobody says anything on them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
    let options =
        Options { connect_timeout: Duration::from_millis(200), proxy: tidings_client::ProxyChoice::Direct, ..Options::at(&url, "key") };
    let client = Client::new(options).unwrap();
    let mut problems = client.problems();
    for _ in 0..2 {
        let why = loss(&mut problems).await;
        assert!(matches!(&*why, ConnectionError::TimedOut { .. }), "{why}");
    }
    assert_eq!(client.state(), State::Connecting);
}

/// A server that answers pings stays, however quiet it is otherwise (P-16.1).
#[tokio::test]
async fn a_quiet_server_stays() {
    let server = crate::raw::Raw::start().await;
    let client = Client::new(Options { activity_timeout: Duration::from_millis(20), ..server.options() }).unwrap();
    let mut peer = soon(server.confirm("1.2")).await;
    for _ in 0..20 {
        assert_eq!(soon(peer.hear()).await["event"], "pusher:ping");
        peer.say(r#"{"event":"pusher:pong","data":"{}"}"#).await;
    }
    assert_eq!(client.state(), State::Connected);
    assert_eq!(client.socket_id().as_deref(), Some("1.2"));
}
