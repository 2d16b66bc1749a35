//! What each class of close codes has a client do (P-17.3).

use crate::hearing::{ended, loss, next, soon, until};
use crate::raw::Raw;
use std::time::Duration;
use tidings_client::{Client, ConnectionError, Notice, State};
use tokio_tungstenite::tungstenite::Message;

/// Has a server close two connections with `code`, and sees that a third is made, with the subscription. Gives back after how much waiting
/// the second and the third were to be tried.
async fn comes_back(code: u16) -> [Duration; 2] {
    let server = Raw::start().await;
    let mut connection = tidings_client::Connection::new(server.options()).unwrap();
    connection.subscribe("news").unwrap();
    let serve = async {
        for _ in 0..2 {
            let mut peer = server.confirm("1.2").await;
            peer.confirm_subscription("news").await;
            peer.close(code, "because").await;
        }
        let mut peer = server.confirm("3.4").await;
        peer.confirm_subscription("news").await;
        peer
    };
    let listen = async {
        let (mut waits, mut confirmed) = (Vec::new(), 0);
        while confirmed < 3 {
            match connection.next().await.unwrap() {
                Notice::Lost { why: ConnectionError::Closed { code: told, reason }, retry_in } => {
                    assert_eq!((told, reason.as_str()), (code, "because"));
                    waits.push(retry_in);
                }
                Notice::Subscribed { .. } => confirmed += 1,
                Notice::Connecting | Notice::Connected { .. } => {}
                other => panic!("{code}: {other:?}"),
            }
        }
        waits
    };
    let (_peer, waits) = soon(async { tokio::join!(serve, listen) }).await;
    waits.try_into().unwrap()
}

#[tokio::test]
async fn most_codes_have_it_come_back_later() {
    let codes = [1000, 1001, 1002, 1011, 3000, 4300];
    let waits = futures_util::future::join_all(codes.map(comes_back)).await;
    for (code, [first, second]) in codes.into_iter().zip(waits) {
        let secs = |from: f64, to: f64| Duration::from_secs_f64(from)..=Duration::from_secs_f64(to);
        assert!(secs(0.5, 1.0).contains(&first) && secs(1.0, 2.0).contains(&second), "{code}: {first:?} {second:?}");
    }
}

/// Only the first time in a row.
#[tokio::test]
async fn some_codes_have_it_come_back_at_once() {
    let codes = [4200, 4201, 4202];
    let waits = futures_util::future::join_all(codes.map(comes_back)).await;
    for (code, [first, second]) in codes.into_iter().zip(waits) {
        assert_eq!(first, Duration::ZERO, "{code}");
        assert!(second >= Duration::from_secs(1), "{code}: {second:?}");
    }
}

/// A server that is full is left alone for a second, then longer.
#[tokio::test]
async fn a_full_server_is_left_alone() {
    let [first, second] = comes_back(4100).await;
    assert!(second > first && second >= Duration::from_secs(1), "{first:?} {second:?}");
}

/// Others would end the same way: it stays away until it is told to come.
#[tokio::test]
async fn some_codes_have_it_stay_away() {
    for code in [4000, 4001, 4009, 4099] {
        let server = Raw::start().await;
        let client = Client::new(server.options()).unwrap();
        let (mut states, mut problems) = (client.states(), client.problems());
        let channel = client.subscribe("news").unwrap();
        let mut peer = soon(server.confirm("1.2")).await;
        soon(peer.confirm_subscription("news")).await;
        soon(channel.subscribed()).await.unwrap();
        soon(peer.close(code, "because")).await;
        until(&mut states, State::Disconnected).await;
        let why = loss(&mut problems).await;
        assert!(matches!(&*why, ConnectionError::Closed { code: told, .. } if *told == code), "{why}");
        assert!(!channel.is_subscribed());
        // Nothing was tried: the next connection is the one that is asked for here.
        client.connect();
        let mut peer = soon(server.confirm("3.4")).await;
        soon(peer.confirm_subscription("news")).await;
        assert_eq!(soon(client.connected()).await.unwrap(), "3.4");
        soon(client.close()).await;
        ended(&mut states_from_here(states).await).await;
    }
}

/// The stream after all that was told already.
async fn states_from_here(mut states: tidings_client::States) -> tidings_client::States {
    until(&mut states, State::Connected).await;
    until(&mut states, State::Disconnected).await;
    states
}

/// P-17.2, P-21.9: a code that came as a message alone counts like a close.
#[tokio::test]
async fn a_code_without_a_close_counts() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let mut problems = client.problems();
    let mut peer = soon(server.confirm("1.2")).await;
    soon(client.connected()).await.unwrap();
    peer.say(r#"{"event":"pusher:error","data":{"code":4009,"message":"not you"}}"#).await;
    drop(peer);
    let why = loss(&mut problems).await;
    assert!(matches!(&*why, ConnectionError::Closed { code: 4009, reason } if reason == "not you"), "{why}");
    assert_eq!(client.state(), State::Disconnected);
}

/// 1006: a server that hangs up without a word, or says goodbye without a code.
#[tokio::test]
async fn a_server_that_hangs_up_is_come_back_to() {
    for goodbye in [false, true] {
        let server = Raw::start().await;
        let client = Client::new(server.options()).unwrap();
        let mut states = client.states();
        let mut peer = soon(server.confirm("1.2")).await;
        until(&mut states, State::Connected).await;
        if goodbye {
            peer.send(Message::Close(None)).await;
        }
        drop(peer);
        let lost = next(&mut states).await;
        assert_eq!(lost.current, State::Connecting);
        assert!(matches!(lost.why.as_deref(), Some(ConnectionError::Broken { .. })), "{lost:?}");
        let _peer = soon(server.confirm("3.4")).await;
        until(&mut states, State::Connected).await;
        assert_eq!(client.socket_id().as_deref(), Some("3.4"));
    }
}
