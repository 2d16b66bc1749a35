//! The server stops and starts again at the same address: all that was there comes back by itself.

use crate::application::Endpoint;
use crate::hearing::{called, calls, hears, next, soon, until};
use crate::tidings::Tidings;
use axum::response::Response;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidings_client::{Attribute, BatchEvent, Client, Counts, Options, State};
use tokio::sync::Semaphore;

const SUCCEEDED: &str = "pusher:subscription_succeeded";

/// P-17.4: subscriptions, members and the user are there again, on the same channels and streams. What is published after a subscription is
/// told arrives.
#[tokio::test]
async fn everything_comes_back() {
    let mut tidings = Tidings::start("watchlist_events = true\n");
    let data = |user_id: &str| json!({ "user_id": user_id, "user_info": { "name": user_id } }).to_string();
    let options =
        Options { channel_data: Some(data("ann")), user_data: Some(r#"{"id":"ann","watchlist":["bob"]}"#.into()), ..tidings.options() };
    let ann = Client::new(options).unwrap();
    let bob =
        Client::new(Options { channel_data: Some(data("bob")), user_data: Some(r#"{"id":"bob"}"#.into()), ..tidings.options() }).unwrap();
    let names = ["news", "private-room", "presence-room", "cache-last"];
    let channels: Vec<_> = names.map(|name| ann.subscribe(name).unwrap()).into();
    let mut events: Vec<_> = channels.iter().map(|channel| channel.events_named("x")).collect();
    let mut confirmed: Vec<_> = channels.iter().map(|channel| channel.events_named(SUCCEEDED)).collect();
    let (mut of_user, mut states, mut watchlist) = (ann.user_events(), ann.states(), ann.watchlist());
    let (call, mut of_callback) = calls();
    channels[0].bind("x", call);
    ann.sign_in().unwrap();
    bob.sign_in().unwrap();
    let room_of_bob = bob.subscribe("presence-room").unwrap();
    for round in 0..3 {
        until(&mut states, State::Connected).await;
        for stream in &mut confirmed {
            assert_eq!(next(stream).await.name, SUCCEEDED);
        }
        assert_eq!(soon(ann.signed_in()).await.unwrap(), "ann");
        soon(room_of_bob.subscribed()).await.unwrap();
        assert_eq!(soon(bob.signed_in()).await.unwrap(), "bob");
        // Whichever of the two came first, the other knows it.
        let mut online = next(&mut watchlist).await.online;
        while online.is_empty() {
            online = next(&mut watchlist).await.online;
        }
        assert_eq!(online, ["bob"]);
        let mut users = tidings.publisher().users("presence-room").await.unwrap();
        users.sort();
        assert_eq!(users, ["ann", "bob"]);

        let data = round.to_string();
        for (name, stream) in names.iter().zip(&mut events) {
            tidings.publish(name, "x", &data).await;
            hears(stream, &[("x", &data)]).await;
        }
        assert_eq!(called(&mut of_callback).await, ("x".into(), data.clone()));
        tidings.publisher().publish_to_user("ann", "y", data.as_str()).await.unwrap();
        hears(&mut of_user, &[("y", &data)]).await;
        channels[1].send_event("client-x", &1).await.unwrap();
        while channels[2].members().count() < 2 {
            next(&mut channels[2].events()).await;
        }

        tidings.stop();
        until(&mut states, State::Connecting).await;
        assert!(channels.iter().all(|channel| !channel.is_subscribed() && channel.members().count() == 0));
        assert!(ann.socket_id().is_none() && ann.user_id().is_none());
        tidings.start_again();
    }
}

/// What is given up while there is no connection does not come back, and what is asked for then is there.
#[tokio::test]
async fn changes_while_it_is_away_count() {
    let mut tidings = Tidings::start("");
    let client = tidings.client();
    let (left, kept) = (client.subscribe("left").unwrap(), client.subscribe("kept").unwrap());
    for channel in [&left, &kept] {
        soon(channel.subscribed()).await.unwrap();
    }
    let mut states = client.states();
    tidings.stop();
    until(&mut states, State::Connecting).await;
    left.unsubscribe();
    let new = client.subscribe("private-new").unwrap();
    tidings.start_again();
    // It was asked for last.
    soon(new.subscribed()).await.unwrap();
    assert!(kept.is_subscribed());
    let there = tidings.publisher().channels("", &[]).await.unwrap();
    assert_eq!(there.into_keys().collect::<Vec<_>>(), ["kept", "private-new"]);
}

/// A thousand channels of each kind, private ones by way of an endpoint, come back too; the endpoint is asked sixteen times at once.
#[tokio::test]
async fn a_thousand_channels_come_back() {
    const MANY: usize = 1_000;
    let mut tidings = Tidings::start("");
    let publisher = Arc::new(tidings.publisher());
    let (now, most, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counted, peak, door) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&gate));
    let endpoint = Endpoint::start(move |asked| {
        let (publisher, counted, peak, door) = (Arc::clone(&publisher), Arc::clone(&counted), Arc::clone(&peak), Arc::clone(&door));
        async move {
            let at_once = counted.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(at_once, Ordering::SeqCst);
            if at_once == 16 {
                // From here on nobody waits: there were as many as there may be.
                door.add_permits(1 << 20);
            }
            door.acquire().await.unwrap().forget();
            let answer: Response = asked.signed(&publisher);
            counted.fetch_sub(1, Ordering::SeqCst);
            answer
        }
    })
    .await;
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    let channels: Vec<_> = (0..MANY)
        .flat_map(|number| [format!("open-{number}"), format!("private-{number}")])
        .map(|name| client.subscribe(&name).unwrap())
        .collect();
    let mut everything = client.events_named("x");
    let mut states = client.states();
    for round in 1..=2 {
        for channel in &channels {
            soon(channel.subscribed()).await.unwrap();
        }
        let there = tidings.publisher().channels("", &[Attribute::SubscriptionCount]).await.unwrap();
        let once = Counts { user_count: None, subscription_count: Some(1) };
        assert!(there.len() == 2 * MANY && there.values().all(|count| *count == once));
        assert_eq!((endpoint.asked().len(), most.load(Ordering::SeqCst)), (round * MANY, 16));
        let publisher = tidings.publisher();
        for batch in channels.chunks(10) {
            let events: Vec<_> = batch.iter().map(|channel| BatchEvent::new(channel.name(), "x", "1")).collect();
            publisher.publish_batch(&events).await.unwrap();
        }
        let mut heard = HashSet::new();
        for _ in &channels {
            assert!(heard.insert(next(&mut everything).await.channel));
        }
        tidings.stop();
        until(&mut states, State::Connecting).await;
        tidings.start_again();
    }
}
