//! Events that clients send (section 8), and why they are not sent.

use crate::hearing::{hears, next, soon, until};
use crate::raw::Raw;
use crate::tidings::Tidings;
use serde_json::json;
use std::collections::HashMap;
use tidings_client::{Client, Options, Problem, SendError, State};

/// P-8.3: everybody else hears it, with the sender's id on a presence channel.
#[tokio::test]
async fn others_hear_what_is_sent() {
    let tidings = Tidings::start("");
    let ann = Client::new(Options { channel_data: Some(r#"{"user_id":"ann"}"#.into()), ..tidings.options() }).unwrap();
    let bob = tidings.client();
    for (channel, user_id) in [("private-room", None), ("presence-room", Some("ann".to_owned()))] {
        let (ours, theirs) = (ann.subscribe(channel).unwrap(), bob.subscribe(channel).unwrap());
        for channel in [&ours, &theirs] {
            soon(channel.subscribed()).await.unwrap();
        }
        let (mut of_ann, mut of_bob) = (ours.events_named("client-x"), theirs.events());
        ours.send_event("client-x", &json!({ "é": [1, 2] })).await.unwrap();
        ours.send_event("client-x", "text").await.unwrap();
        ours.send_event("client-x", &()).await.unwrap();
        for data in [r#"{"é":[1,2]}"#, "text", "null"] {
            let event = next(&mut of_bob).await;
            assert_eq!((event.name.as_str(), event.data.as_str(), &event.user_id), ("client-x", data, &user_id));
        }
        // The sender's own are not among what the sender hears.
        theirs.send_event("client-x", &1).await.unwrap();
        hears(&mut of_ann, &[("client-x", "1")]).await;
    }
}

/// P-8.1, P-8.2, P-9.6
#[tokio::test]
async fn what_cannot_be_sent_is_told() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let channel = client.subscribe("private-room").unwrap();
    let not_subscribed = |channel: &str| SendError::NotSubscribed { channel: channel.to_owned() };
    soon(client.connected()).await.unwrap();
    soon(channel.subscribed()).await.unwrap();
    for name in ["x", "Client-x", "", &format!("client-{}", "x".repeat(194))] {
        assert_eq!(channel.send_event(name, &1).await, Err(SendError::Name { name: name.to_owned() }));
    }
    assert_eq!(channel.send_event(&format!("client-{}", "é".repeat(193)), &1).await, Ok(()));
    for name in ["news", "private-encrypted-room"] {
        let there = client.subscribe(name).unwrap();
        soon(there.subscribed()).await.unwrap();
        assert_eq!(there.send_event("client-x", &1).await, Err(SendError::NotThere { channel: name.to_owned() }));
    }
    let no_json: HashMap<Vec<u8>, u8> = [(vec![1], 1)].into();
    let bad = channel.send_event("client-x", &no_json).await;
    assert!(matches!(&bad, Err(SendError::Data { reason }) if !reason.is_empty()), "{bad:?}");

    channel.unsubscribe();
    assert_eq!(channel.send_event("client-x", &1).await, Err(not_subscribed("private-room")));
    let again = client.subscribe("private-room").unwrap();
    let mut states = client.states();
    client.disconnect();
    until(&mut states, State::Disconnected).await;
    assert_eq!(again.send_event("client-x", &1).await, Err(SendError::NotConnected));
    soon(client.close()).await;
    assert_eq!(again.send_event("client-x", &1).await, Err(SendError::NotConnected));
}

/// Before the server has confirmed the subscription, nothing is sent on it.
#[tokio::test]
async fn a_subscription_that_is_not_confirmed_carries_nothing() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let channel = client.subscribe("private-room").unwrap();
    assert_eq!(channel.send_event("client-x", &1).await, Err(SendError::NotConnected));
    let mut peer = soon(server.confirm("1.2")).await;
    assert_eq!(soon(peer.asked()).await, "private-room");
    assert_eq!(channel.send_event("client-x", &1).await, Err(SendError::NotSubscribed { channel: "private-room".into() }));
}

/// A server that does not read is not sent without end.
#[tokio::test]
async fn a_server_that_does_not_read_is_full() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let channel = client.subscribe("private-room").unwrap();
    let mut peer = soon(server.confirm("1.2")).await;
    soon(peer.confirm_subscription("private-room")).await;
    soon(channel.subscribed()).await.unwrap();
    let data = "x".repeat(1 << 20);
    let mut sent = 0;
    let refused = loop {
        match soon(channel.send_event("client-x", &data)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 1_000, "it takes everything");
    };
    assert!(matches!(refused, SendError::Full { .. }), "{refused}");
    // What was taken leaves when the server reads, and only that.
    for _ in 0..sent {
        let event = soon(peer.hear()).await;
        assert_eq!((&event["event"], event["data"].as_str().unwrap().len()), (&json!("client-x"), data.len()));
    }
    channel.send_event("client-last", &1).await.unwrap();
    assert_eq!(soon(peer.hear()).await["event"], "client-last");
}

/// P-8.2, P-8.4: what the server refuses is a problem, and the connection stays.
#[tokio::test]
async fn what_the_server_refuses_is_told() {
    let tidings = Tidings::start("limits = { client_events_per_second = 1 }\n");
    let client = tidings.client();
    let channel = client.subscribe("private-room").unwrap();
    soon(channel.subscribed()).await.unwrap();
    let mut problems = client.problems();
    for _ in 0..20 {
        channel.send_event("client-x", &1).await.unwrap();
    }
    let Problem::Server { code, .. } = next(&mut problems).await else { panic!() };
    assert_eq!(code, Some(4301));
    channel.send_event("client-x", &"x".repeat(10_240 + 1)).await.unwrap();
    while !matches!(next(&mut problems).await, Problem::Server { code: None, .. }) {}
    assert!(channel.is_subscribed());
}
