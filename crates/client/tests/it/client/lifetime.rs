//! From the first attempt to the end: states, problems, and who keeps the connection.

use crate::hearing::{ended, hears, loss, next, soon, until};
use crate::raw::Raw;
use crate::server::nowhere;
use crate::tidings::Tidings;
use serde_json::json;
use std::time::Duration;
use tidings_client::{
    BadOptions, Client, ConnectionError, DialError, NotConnected, Options, Problem, ProxyChoice, Reconnect, State, StateChange,
};

fn change(change: StateChange) -> (State, State) {
    (change.previous, change.current)
}

/// Each change once, with the cause of those that have one.
#[tokio::test]
async fn states_are_told_in_order() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let mut states = client.states();
    assert_eq!((client.state(), client.socket_id()), (State::Initialized, None));
    let peer = soon(server.confirm("1.2")).await;
    assert_eq!(change(next(&mut states).await), (State::Initialized, State::Connecting));
    assert_eq!(change(next(&mut states).await), (State::Connecting, State::Connected));
    assert_eq!(client.socket_id().as_deref(), Some("1.2"));
    let mut problems = client.problems();
    soon(peer.close(4200, "elsewhere")).await;
    let lost = next(&mut states).await;
    assert!(matches!(lost.why.as_deref(), Some(ConnectionError::Closed { code: 4200, .. })), "{lost:?}");
    assert_eq!(change(lost), (State::Connected, State::Connecting));
    assert_eq!(loss(&mut problems).await.to_string(), "the server closed the connection with 4200: elsewhere");
    let mut peer = soon(server.confirm("3.4")).await;
    assert_eq!(change(next(&mut states).await), (State::Connecting, State::Connected));
    assert_eq!(client.socket_id().as_deref(), Some("3.4"));
    client.disconnect();
    soon(peer.closed()).await;
    assert_eq!(change(next(&mut states).await), (State::Connected, State::Disconnected));
    assert_eq!(client.socket_id(), None);
    client.connect();
    let _peer = soon(server.confirm("5.6")).await;
    assert_eq!(change(next(&mut states).await), (State::Disconnected, State::Connecting));
    assert_eq!(change(next(&mut states).await), (State::Connecting, State::Connected));
}

/// A server that is away for long: that is told once, and holds until it is back.
#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let mut tidings = Tidings::start("");
    tidings.stop();
    let client = Client::new(Options { unavailable_timeout: Duration::from_millis(100), ..tidings.options() }).unwrap();
    let (mut states, mut problems) = (client.states(), client.problems());
    assert_eq!(change(next(&mut states).await), (State::Initialized, State::Connecting));
    assert_eq!(change(next(&mut states).await), (State::Connecting, State::Unavailable));
    for _ in 0..2 {
        let why = loss(&mut problems).await;
        assert!(matches!(&*why, ConnectionError::Dial(DialError::Unreachable { .. })), "{why}");
        assert_eq!(client.state(), State::Unavailable);
    }
    tidings.start_again();
    assert_eq!(change(next(&mut states).await), (State::Unavailable, State::Connected));
}

/// Who closes a client ends it for everybody who has a part of it.
#[tokio::test]
async fn closing_ends_everything() {
    let tidings = Tidings::start("subscription_count_events = true\n");
    let mut peer = tidings.peer().await;
    peer.subscribe("news", json!({})).await;
    assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 1);
    let client = tidings.client();
    let channel = client.subscribe("news").unwrap();
    soon(channel.subscribed()).await.unwrap();
    assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 2);
    let (mut events, mut everything, mut of_user) = (channel.events(), client.events(), client.user_events());
    let (mut states, mut problems, mut watchlist) = (client.states(), client.problems(), client.watchlist());
    let other = client.clone();
    soon(client.close()).await;
    assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 1);
    assert_eq!(change(next(&mut states).await), (State::Connected, State::Disconnected));
    ended(&mut events).await;
    ended(&mut everything).await;
    ended(&mut of_user).await;
    ended(&mut states).await;
    ended(&mut problems).await;
    ended(&mut watchlist).await;
    assert!(matches!(soon(other.connected()).await, Err(NotConnected::Disconnected)));
    assert!(soon(channel.subscribed()).await.is_err() && soon(other.signed_in()).await.is_err());
    other.connect();
    assert_eq!((other.state(), other.all_channels().len()), (State::Disconnected, 0));
    // There is nothing left to close.
    soon(other.close()).await;
}

/// The connection lives as long as somebody has a part of it, and not longer.
#[tokio::test]
async fn the_last_part_keeps_the_connection() {
    let tidings = Tidings::start("subscription_count_events = true\n");
    let mut peer = tidings.peer().await;
    peer.subscribe("news", json!({})).await;
    assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 1);
    for kept in ["client", "channel", "stream", "typed", "global", "states", "callback"] {
        let client = tidings.client();
        let channel = client.subscribe("news").unwrap();
        soon(channel.subscribed()).await.unwrap();
        assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 2);
        let part: Box<dyn std::any::Any> = match kept {
            "client" => Box::new(client.clone()),
            "channel" => Box::new(channel.clone()),
            "stream" => Box::new(channel.events()),
            "typed" => Box::new(channel.events_named("x").typed::<u32>()),
            "global" => Box::new(client.events()),
            "states" => Box::new(client.states()),
            // A callback is called as long as the connection lives, and is no reason for that.
            _ => Box::new(channel.bind_all(|_| {})),
        };
        drop((client, channel));
        if kept != "callback" {
            // It hears what is published, so it is there, and is counted.
            let other = tidings.client();
            soon(other.subscribe("news").unwrap().subscribed()).await.unwrap();
            assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 3, "{kept}");
            soon(other.close()).await;
            assert_eq!(peer.next_data("pusher_internal:subscription_count").await["subscription_count"], 2, "{kept}");
            drop(part);
        }
        assert_eq!(soon(peer.next_data("pusher_internal:subscription_count")).await["subscription_count"], 1, "{kept}");
    }
}

/// A stream alone still has all that comes.
#[tokio::test]
async fn a_stream_alone_is_enough() {
    let tidings = Tidings::start("");
    let mut events = tidings.client().subscribe("news").unwrap().events();
    hears(&mut events, &[("pusher:subscription_succeeded", "{}")]).await;
    tidings.publish("news", "x", "1").await;
    hears(&mut events, &[("x", "1")]).await;
}

/// The end is a goodbye, even if nobody waits for it.
#[tokio::test]
async fn dropping_says_goodbye() {
    let server = Raw::start().await;
    let client = Client::new(server.options()).unwrap();
    let mut peer = soon(server.confirm("1.2")).await;
    soon(client.connected()).await.unwrap();
    drop(client);
    soon(peer.closed()).await;
}

/// What is wrong with options is told before anything is tried.
#[tokio::test]
async fn bad_options_make_no_client() {
    let good = || Options { proxy: ProxyChoice::Direct, ..Options::new("key") };
    let refused = |options: Options| Client::new(options).unwrap_err();
    assert_eq!(refused(Options { key: String::new(), ..good() }), BadOptions::NoKey);
    assert!(matches!(refused(Options { host: "a b".into(), ..good() }), BadOptions::Server(_)));
    assert!(matches!(refused(Options { channel_data: Some("{}".into()), ..good() }), BadOptions::ChannelData { .. }));
    assert_eq!(refused(Options { user_data: Some(r#"{"id":1}"#.into()), ..good() }), BadOptions::UserData);
    let endpoint = Some("example.com/auth".to_owned());
    assert!(matches!(refused(Options { auth_endpoint: endpoint, ..good() }), BadOptions::Endpoint { .. }));
    let outside = std::thread::spawn(move || Client::new(Options::new("key")).unwrap_err()).join().unwrap();
    assert_eq!(outside, BadOptions::NoRuntime);
}

/// [`Reconnect`] decides what follows the first failure.
#[tokio::test]
async fn some_clients_try_once() {
    let (_socket, url) = nowhere();
    for reconnect in [Reconnect::Never, Reconnect::OnceConnected] {
        let options = Options { reconnect, proxy: ProxyChoice::Direct, ..Options::at(&url, "key") };
        let client = Client::new(options).unwrap();
        let mut problems = client.problems();
        let Err(NotConnected::GivenUp(why)) = soon(client.connected()).await else { panic!("it was not given up") };
        assert!(matches!(&*why, ConnectionError::Dial(DialError::Unreachable { .. })), "{why}");
        assert!(matches!(next(&mut problems).await, Problem::Connection(_)));
        assert_eq!(client.state(), State::Disconnected);
    }
    let server = Raw::start().await;
    let client = Client::new(Options { reconnect: Reconnect::Never, ..server.options() }).unwrap();
    let mut states = client.states();
    let peer = soon(server.confirm("1.2")).await;
    until(&mut states, State::Connected).await;
    soon(peer.close(1000, "")).await;
    until(&mut states, State::Disconnected).await;
}
