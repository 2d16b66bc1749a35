//! Streams of events: what is on them, and when they end.

use crate::hearing::{ended, hears, next, soon};
use crate::tidings::Tidings;
use futures_util::StreamExt;
use serde::Deserialize;
use tidings_client::{BatchEvent, ChannelName, SubscribeError, SubscriptionError, TypedError};

const SUCCEEDED: (&str, &str) = ("pusher:subscription_succeeded", "{}");

#[derive(Debug, Deserialize, PartialEq)]
struct Price {
    symbol: String,
    cents: u64,
}

/// P-3.8: events of a channel come in the order in which they were published, on every stream that is to have them.
#[tokio::test]
async fn each_stream_has_its_events_in_order() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let (one, two) = (client.subscribe("one").unwrap(), client.subscribe("two").unwrap());
    let mut everywhere = client.events();
    let mut named_everywhere = client.events_named("even");
    let (mut all, mut again, mut named) = (one.events(), one.events(), one.events_named("even"));
    for channel in [&one, &two] {
        soon(channel.subscribed()).await.unwrap();
    }
    let batch: Vec<_> = (0..10)
        .map(|number| {
            let (channel, name) = (if number < 5 { "one" } else { "two" }, if number % 2 == 0 { "even" } else { "odd" });
            BatchEvent::json(channel, name, &number).unwrap()
        })
        .collect();
    tidings.publisher().publish_batch(&batch).await.unwrap();
    let in_one = [SUCCEEDED, ("even", "0"), ("odd", "1"), ("even", "2"), ("odd", "3"), ("even", "4")];
    hears(&mut all, &in_one).await;
    hears(&mut again, &in_one).await;
    hears(&mut named, &[("even", "0"), ("even", "2"), ("even", "4")]).await;
    hears(&mut named_everywhere, &[("even", "0"), ("even", "2"), ("even", "4"), ("even", "6"), ("even", "8")]).await;
    for name in ["one", "two"] {
        let event = next(&mut everywhere).await;
        assert_eq!((event.channel.as_str(), event.name.as_str()), (name, SUCCEEDED.0));
    }
    for number in 0..10 {
        let event = next(&mut everywhere).await;
        assert_eq!((event.channel.as_str(), event.data), (if number < 5 { "one" } else { "two" }, number.to_string()));
    }
}

/// What is no value of the type that was asked for is told as that, and what follows comes all the same.
#[tokio::test]
async fn events_are_values() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let channel = client.subscribe("stocks").unwrap();
    let mut prices = channel.events_named("price").typed::<Price>();
    soon(channel.subscribed()).await.unwrap();
    for data in [r#"{"symbol":"APPL","cents":1}"#, "{}", "not json", r#"{"symbol":"Zoë","cents":2}"#] {
        tidings.publish("stocks", "price", data).await;
    }
    // Once by its own method, once as a stream.
    assert_eq!(soon(prices.next()).await.unwrap().unwrap(), Price { symbol: "APPL".into(), cents: 1 });
    for data in ["{}", "not json"] {
        let bad = soon(StreamExt::next(&mut prices)).await.unwrap().unwrap_err();
        let text = bad.to_string();
        let TypedError::Data(bad) = bad else { panic!("{bad:?}") };
        assert_eq!((bad.event.data.as_str(), bad.event.channel.as_str()), (data, "stocks"));
        assert!(text.starts_with("the data of event \"price\" on stocks cannot be read as asked: "), "{text}");
    }
    assert_eq!(soon(StreamExt::next(&mut prices)).await.unwrap().unwrap(), Price { symbol: "Zoë".into(), cents: 2 });
}

/// Any text is data, and reaches the reader as it was published (P-11.1).
#[tokio::test]
async fn data_and_names_arrive_unchanged() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let channel = client.subscribe("news").unwrap();
    soon(channel.subscribed()).await.unwrap();
    let mut events = channel.events();
    let long = "x".repeat(10_240);
    let odd = [("App\\Events\\Told", ""), ("ü ✓ \"", "null"), ("a", "\"text\""), ("a.b:c", "\u{0}\u{7f}\u{2028}\\\"\n"), ("long", &long)];
    for (name, data) in odd {
        tidings.publish("news", name, data).await;
    }
    hears(&mut events, &odd).await;
}

/// What a channel has told already is read to its end; other channels go on.
#[tokio::test]
async fn unsubscribing_ends_the_streams_of_the_channel() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let (left, kept) = (client.subscribe("left").unwrap(), client.subscribe("kept").unwrap());
    let (mut of_left, mut of_kept, mut everywhere) = (left.events(), kept.events(), client.events());
    let mut typed = left.events_named("x").typed::<u32>();
    for channel in [&left, &kept] {
        soon(channel.subscribed()).await.unwrap();
    }
    tidings.publish("left", "x", "1").await;
    tidings.publish("kept", "x", "2").await;
    // It came after the one on the other channel.
    hears(&mut of_kept, &[SUCCEEDED, ("x", "2")]).await;

    assert!(left.unsubscribe() && !left.unsubscribe() && !client.unsubscribe("left"));
    hears(&mut of_left, &[SUCCEEDED, ("x", "1")]).await;
    ended(&mut of_left).await;
    assert_eq!(soon(typed.next()).await.unwrap().unwrap(), 1);
    assert!(soon(typed.next()).await.is_none());
    ended(&mut left.events()).await;
    assert!(soon(left.subscribed()).await.is_err() && !left.is_subscribed() && client.channel("left").is_none());

    // The server hears of it before what follows on the same connection.
    let after = client.subscribe("after").unwrap();
    soon(after.subscribed()).await.unwrap();
    assert!(!tidings.publisher().channel("left", &[]).await.unwrap().occupied);
    tidings.publish("left", "x", "3").await;
    tidings.publish("kept", "x", "4").await;
    hears(&mut of_kept, &[("x", "4")]).await;
    hears(&mut everywhere, &[SUCCEEDED, SUCCEEDED, ("x", "1"), ("x", "2"), SUCCEEDED, ("x", "4")]).await;
}

/// A channel that was left and is subscribed to again is a new one: the old handle has nothing to say about it.
#[tokio::test]
async fn a_channel_can_be_had_again() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let old = client.subscribe("news").unwrap();
    soon(old.subscribed()).await.unwrap();
    let mut of_old = old.events();
    for round in 0..10 {
        client.unsubscribe("news");
        let new = client.subscribe("news").unwrap();
        let mut of_new = new.events();
        soon(new.subscribed()).await.unwrap();
        assert!(!old.unsubscribe() && new.is_subscribed());
        tidings.publish("news", "round", &round.to_string()).await;
        hears(&mut of_new, &[SUCCEEDED, ("round", &round.to_string())]).await;
    }
    ended(&mut of_old).await;
    // Asking for what is there gives the same channel.
    let again = client.subscribe("news").unwrap();
    assert!(again.is_subscribed());
    assert_eq!(client.all_channels().len(), 1);
    assert!(again.unsubscribe() && client.all_channels().is_empty());
}

/// P-4.4, P-6.6: what cannot be had is told at once, and changes nothing.
#[tokio::test]
async fn what_cannot_be_subscribed_to_is_told_at_once() {
    let tidings = Tidings::start("");
    let client = tidings_client::Client::new(tidings.unsigned_options()).unwrap();
    let nobody_signs = |channel: &str| SubscribeError::NobodySigns { channel: channel.to_owned() };
    for channel in ["private-a", "presence-a", "private-encrypted-a"] {
        assert_eq!(client.subscribe(channel).unwrap_err(), nobody_signs(channel));
    }
    for channel in ["", "line\nfeed", &"x".repeat(10_000)] {
        let reason = ChannelName::parse(channel).unwrap_err();
        assert_eq!(client.subscribe(channel).unwrap_err(), SubscribeError::Name { channel: channel.to_owned(), reason });
    }
    let reserved = client.subscribe("#server-to-user-ann").unwrap_err();
    assert_eq!(reserved, SubscribeError::Reserved { channel: "#server-to-user-ann".into() });
    assert!(client.all_channels().is_empty());
    let other = client.clone();
    client.close().await;
    assert_eq!(other.subscribe("news").unwrap_err(), SubscribeError::Closed);
}

/// P-4.1, P-5.2: which other names there are is the server's to say. Nobody else hears of it.
#[tokio::test]
async fn the_server_refuses_names_that_it_does_not_know() {
    let tidings = Tidings::start("");
    let client = tidings.client();
    let mut events = client.events();
    for name in ["with space", "ü", &"x".repeat(201)] {
        let refused = soon(client.subscribe(name).unwrap().subscribed()).await.unwrap_err();
        let SubscriptionError::Server { kind, status, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!((kind.as_str(), *status), ("InvalidChannel", Some(400)));
        let told = next(&mut events).await;
        assert_eq!((told.channel.as_str(), told.name.as_str()), (name, "pusher:subscription_error"));
        assert_eq!(told.json::<serde_json::Value>().unwrap()["status"], 400);
    }
    soon(client.subscribe("news").unwrap().subscribed()).await.unwrap();
}

/// P-13.3, P-13.4: right after the subscription comes the last event, or that there is none.
#[tokio::test]
async fn cache_channels_begin_with_their_last_event() {
    let tidings = Tidings::start("");
    tidings.publish("cache-full", "old", "0").await;
    tidings.publish("cache-full", "last", "1").await;
    let client = tidings.client();
    let mut full = client.subscribe("cache-full").unwrap().events();
    let mut empty = client.subscribe("private-cache-empty").unwrap().events();
    hears(&mut full, &[SUCCEEDED, ("last", "1")]).await;
    hears(&mut empty, &[SUCCEEDED, ("pusher:cache_miss", "{}")]).await;
    tidings.publish("private-cache-empty", "first", "2").await;
    hears(&mut empty, &[("first", "2")]).await;
}

/// P-14.2
#[tokio::test]
async fn the_subscribers_are_counted() {
    let tidings = Tidings::start("subscription_count_events = true\n");
    let client = tidings.client();
    let channel = client.subscribe("news").unwrap();
    assert_eq!(channel.subscription_count(), None);
    let mut counts = channel.events_named("pusher:subscription_count");
    hears(&mut counts, &[("pusher:subscription_count", r#"{"subscription_count":1}"#)]).await;
    assert_eq!(channel.subscription_count(), Some(1));
    let mut peer = tidings.peer().await;
    peer.subscribe("news", serde_json::json!({})).await;
    hears(&mut counts, &[("pusher:subscription_count", r#"{"subscription_count":2}"#)]).await;
    assert_eq!(channel.subscription_count(), Some(2));
    drop(peer);
    hears(&mut counts, &[("pusher:subscription_count", r#"{"subscription_count":1}"#)]).await;
    assert_eq!(channel.subscription_count(), Some(1));
}
