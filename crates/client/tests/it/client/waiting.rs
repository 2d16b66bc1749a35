//! Waiting for a connection, a subscription, a sign-in: what was asked for before counts, not what was there before that.

use crate::application::Endpoint;
use crate::hearing::soon;
use crate::raw::Raw;
use crate::tidings::Tidings;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidings_client::{Client, ConnectionError, NotConnected, Options, SignInError, SubscriptionError};

/// The connection that is waited for is the one that was asked for last.
#[tokio::test]
async fn a_connection_that_was_asked_for_is_waited_for() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let first = soon(client.connected()).await.unwrap();
    client.disconnect();
    client.connect();
    let second = soon(client.connected()).await.unwrap();
    assert_ne!(first, second);
    client.disconnect();
    assert!(matches!(soon(client.connected()).await, Err(NotConnected::Disconnected)));
    client.connect();
    assert_ne!(soon(client.connected()).await.unwrap(), second);
}

/// So it is after the server has sent it away for good.
#[tokio::test]
async fn what_was_given_up_can_be_tried_again() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let peer = soon(server.accept()).await;
    soon(peer.close(4001, "no such app")).await;
    let Err(NotConnected::GivenUp(why)) = soon(client.connected()).await else { panic!("it was not given up") };
    assert!(matches!(*why, ConnectionError::Closed { code: 4001, .. }), "{why}");
    client.connect();
    let (_peer, connected) = soon(async { tokio::join!(server.confirm("1.2"), client.connected()) }).await;
    assert_eq!(connected.unwrap(), "1.2");
}

/// A refusal is not the answer to the next question.
#[tokio::test]
async fn a_subscription_that_is_asked_for_again_is_waited_for() {
    let tidings = Tidings::start("");
    let (publisher, lets_in) = (Arc::new(tidings.publisher()), Arc::new(AtomicBool::new(false)));
    let door = Arc::clone(&lets_in);
    let endpoint = Endpoint::start(move |asked| {
        let open = door.load(Ordering::Relaxed);
        std::future::ready(if open { asked.signed(&publisher) } else { StatusCode::FORBIDDEN.into_response() })
    })
    .await;
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    let channel = client.subscribe("private-room").unwrap();
    assert!(matches!(soon(channel.subscribed()).await, Err(SubscriptionError::Authorize(_))));
    lets_in.store(true, Ordering::Relaxed);
    soon(client.subscribe("private-room").unwrap().subscribed()).await.unwrap();
    assert!(channel.is_subscribed(), "it is the same channel");
}

/// Nobody waits for what cannot come: without a connection that is worked on, waiting ends with the reason.
#[tokio::test]
async fn without_a_connection_nothing_is_waited_for() {
    let tidings = Tidings::start("");
    let options = Options { key: "wrong".into(), user_data: Some(r#"{"id":"ann"}"#.into()), ..tidings.options() };
    let client = Client::new(options).unwrap();
    let channel = client.subscribe("private-room").unwrap();
    client.sign_in().unwrap();
    let why = soon(channel.subscribed()).await.unwrap_err();
    assert!(
        matches!(&why, SubscriptionError::NotConnected(NotConnected::GivenUp(why)) if matches!(**why, ConnectionError::Closed { code: 4001, .. })),
        "{why}"
    );
    assert!(why.to_string().contains("check the app's key"), "{why}");
    let why = soon(client.signed_in()).await.unwrap_err();
    assert!(matches!(&why, SignInError::NotConnected(NotConnected::GivenUp(_))), "{why}");

    let client = tidings.client();
    let channel = client.subscribe("news").unwrap();
    client.disconnect();
    assert!(matches!(soon(channel.subscribed()).await, Err(SubscriptionError::NotConnected(NotConnected::Disconnected))));
    client.connect();
    soon(channel.subscribed()).await.unwrap();
}
