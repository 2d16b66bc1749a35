//! Who reads slowly, or not at all: nobody else is harmed, and what is lost is told.

use crate::hearing::{hears, next, soon};
use crate::raw::Raw;
use crate::tidings::Tidings;
use std::sync::mpsc;
use tidings_client::{Client, Missed, Options, Problem};

const EVENTS: usize = 100;

/// A stream that is not read has the last events, and knows how many came before them.
#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_nobody() {
    let tidings = Tidings::start("");
    let client = Client::new(Options { queue_events: 10, ..tidings.options() }).unwrap();
    let (slow, fast) = (client.subscribe("slow").unwrap(), client.subscribe("fast").unwrap());
    for channel in [&slow, &fast] {
        soon(channel.subscribed()).await.unwrap();
    }
    let (mut of_slow, mut of_fast) = (slow.events(), fast.events());
    for at in 0..EVENTS {
        for channel in ["slow", "fast"] {
            tidings.publish(channel, "x", &at.to_string()).await;
        }
        hears(&mut of_fast, &[("x", &at.to_string())]).await;
    }
    assert_eq!(soon(of_slow.next()).await, Some(Err(Missed { count: EVENTS as u64 - 10 })));
    for at in EVENTS - 10..EVENTS {
        hears(&mut of_slow, &[("x", &at.to_string())]).await;
    }
    // From here on it is like any other.
    tidings.publish("slow", "x", "more").await;
    hears(&mut of_slow, &[("x", "more")]).await;
}

/// The bytes are bounded too, and one event has room whatever its size.
#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let tidings = Tidings::start("");
    let client = Client::new(Options { queue_bytes: 5_000, ..tidings.options() }).unwrap();
    let channel = client.subscribe("news").unwrap();
    soon(channel.subscribed()).await.unwrap();
    let (mut slow, mut fast) = (channel.events(), channel.events());
    for data in ["x".repeat(2_000), "y".repeat(2_000), "z".repeat(2_000)] {
        tidings.publish("news", "x", &data).await;
        assert_eq!(next(&mut fast).await.data, data);
    }
    assert_eq!(soon(slow.next()).await, Some(Err(Missed { count: 1 })));
    hears(&mut slow, &[("x", &"y".repeat(2_000)), ("x", &"z".repeat(2_000))]).await;
    tidings.publish("news", "x", &"w".repeat(9_000)).await;
    hears(&mut slow, &[("x", &"w".repeat(9_000))]).await;
}

/// A callback that blocks holds up those of its channel alone. What passes it by is a problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_callback_that_blocks_holds_up_its_channel_alone() {
    let server = Raw::start().await;
    let client = Client::new(Options { queue_events: 10, ..server.options() }).unwrap();
    let (slow, fast) = (client.subscribe("slow").unwrap(), client.subscribe("fast").unwrap());
    let mut peer = soon(server.confirm("1.2")).await;
    for channel in [&slow, &fast] {
        soon(peer.confirm_subscription(channel.name())).await;
        soon(channel.subscribed()).await.unwrap();
    }
    let (mut problems, mut of_slow, mut of_fast) = (client.problems(), slow.events(), fast.events());
    let ((go, gate), (tell, mut told)) = (mpsc::channel::<()>(), tokio::sync::mpsc::unbounded_channel());
    slow.bind("x", move |event| {
        tell.send(event.data.clone()).unwrap();
        // The end of the test lets it go too.
        let _ = tokio::task::block_in_place(|| gate.recv());
    });
    peer.publish("slow", "x", "first").await;
    assert_eq!(soon(told.recv()).await.unwrap(), "first");
    for at in 0..EVENTS {
        peer.publish("slow", "x", &at.to_string()).await;
        peer.publish("fast", "x", &at.to_string()).await;
        // Streams of the same channel go on as well.
        hears(&mut of_fast, &[("x", &at.to_string())]).await;
        hears(&mut of_slow, &[("x", if at == 0 { "first".to_owned() } else { (at - 1).to_string() }.as_str())]).await;
    }
    drop(go);
    for at in EVENTS - 10..EVENTS {
        assert_eq!(soon(told.recv()).await.unwrap(), at.to_string());
    }
    let Problem::Missed { channel, count } = next(&mut problems).await else { panic!() };
    assert_eq!((channel.as_str(), count), ("slow", EVENTS as u64 - 10));
}
