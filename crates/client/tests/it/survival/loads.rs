//! Large events, and many.

use crate::hearing::{hears, next, soon};
use crate::raw::{Raw, RawPeer, event};
use crate::tidings::Tidings;
use tidings_client::{BatchEvent, Channel, Client, Events, Missed, Options};
use tokio::task::JoinHandle;

const MANY: u64 = 100_000;

/// P-18.3: a server may take larger events than Pusher does.
#[tokio::test]
async fn events_of_a_megabyte_arrive() {
    let tidings = Tidings::start("limits = { event_bytes = \"2 MiB\", body_bytes = \"4 MiB\", outbox_bytes = \"16 MiB\" }\n");
    let client = tidings.client();
    let channel = client.subscribe("private-room").unwrap();
    let mut events = channel.events();
    soon(channel.subscribed()).await.unwrap();
    next(&mut events).await;
    for letter in ["a", "é", "\""] {
        let data = letter.repeat((1 << 20) / letter.len());
        tidings.publish("private-room", "x", &data).await;
        hears(&mut events, &[("x", &data)]).await;
    }
}

/// Publishes numbers on a channel of its own for each publisher, all at once, in batches, and sees each once and in order.
#[tokio::test]
async fn a_hundred_thousand_events_of_a_server_arrive() {
    const PUBLISHERS: u64 = 4;
    const BATCH: u64 = 500;
    let limits = "limits = { batch_events = 500, outbox_bytes = \"64 MiB\" }\n";
    let tidings = Tidings::start(limits);
    let client = Client::new(Options { queue_events: MANY as usize, ..tidings.options() }).unwrap();
    let mut everything = client.events_named("x");
    let mut streams = Vec::new();
    for number in 0..PUBLISHERS {
        let channel = client.subscribe(&format!("numbers-{number}")).unwrap();
        soon(channel.subscribed()).await.unwrap();
        streams.push(channel.events_named("x"));
    }
    let publish = async {
        let publishing = (0..PUBLISHERS).map(|number| {
            let publisher = tidings.publisher();
            async move {
                for batch in 0..MANY / PUBLISHERS / BATCH {
                    let at = |offset: u64| BatchEvent::new(&format!("numbers-{number}"), "x", (batch * BATCH + offset).to_string());
                    let events: Vec<_> = (0..BATCH).map(at).collect();
                    publisher.post("/batch_events", &serde_json::json!({ "batch": events })).await.unwrap();
                }
            }
        });
        futures_util::future::join_all(publishing).await;
    };
    let read = async {
        for stream in &mut streams {
            for number in 0..MANY / PUBLISHERS {
                assert_eq!(next(stream).await.data, number.to_string());
            }
        }
    };
    tokio::join!(publish, read);
    let mut expected = vec![0; PUBLISHERS as usize];
    for _ in 0..MANY {
        let event = next(&mut everything).await;
        let at = &mut expected[event.channel.strip_prefix("numbers-").unwrap().parse::<usize>().unwrap()];
        assert_eq!(event.data, at.to_string());
        *at += 1;
    }
}

/// A channel that is subscribed to, and the server's end of its connection.
async fn numbers(server: &Raw, client: &Client) -> (Channel, RawPeer) {
    let channel = client.subscribe("numbers").unwrap();
    let mut peer = soon(server.confirm("1.2")).await;
    soon(peer.confirm_subscription("numbers")).await;
    soon(channel.subscribed()).await.unwrap();
    (channel, peer)
}

/// Writes as many numbers as there are to be as fast as it can, then `last`.
fn flood(mut peer: RawPeer) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0..MANY {
            assert!(peer.feed(event("numbers", "x", &number.to_string())).await, "the client hung up");
        }
        assert!(peer.feed(event("numbers", "last", "")).await && peer.flush().await);
        soon(peer.closed()).await;
    })
}

/// Reads to the end. What was seen, and what was missed, is all that was sent, in order. After `pause` events the reader waits for
/// whatever else there is to do, again and again.
async fn read(events: &mut Events, pause: u64) -> (u64, u64) {
    let (mut expected, mut seen, mut missed) = (0, 0, 0);
    loop {
        match soon(events.next()).await.unwrap() {
            Err(Missed { count }) => {
                missed += count;
                expected += count;
            }
            Ok(event) if event.name == "last" => {
                assert_eq!(expected, MANY);
                return (seen, missed);
            }
            Ok(event) => {
                assert_eq!(event.data, expected.to_string());
                expected += 1;
                seen += 1;
                if seen % pause == 0 {
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
}

/// With room for all of them nothing is missed.
#[tokio::test]
async fn a_hundred_thousand_frames_at_once_arrive() {
    let server = Raw::start().await;
    let client = Client::new(Options { queue_events: MANY as usize + 10, ..server.options() }).unwrap();
    let (channel, peer) = numbers(&server, &client).await;
    let mut events = channel.events();
    let flood = flood(peer);
    assert_eq!(read(&mut events, MANY).await, (MANY, 0));
    drop((events, channel, client));
    flood.await.unwrap();
}

/// A reader who is slower than that loses none without being told, wherever reader and client run.
#[tokio::test]
async fn a_slow_reader_of_a_hundred_thousand_knows_what_it_missed() {
    slow_reader().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_on_another_thread_knows_what_it_missed() {
    slow_reader().await;
}

async fn slow_reader() {
    let server = Raw::start().await;
    let client = Client::new(Options { queue_events: 100, ..server.options() }).unwrap();
    let (channel, peer) = numbers(&server, &client).await;
    // One that reads a little at a time, one that does not read until the end, and one that is not behind, by whom the end is known: it is
    // told after the others.
    let (mut slow, mut never) = (channel.events(), client.events());
    let mut last = client.events_named("last");
    let flood = flood(peer);
    let reading = tokio::spawn(async move { read(&mut slow, 50).await });
    hears(&mut last, &[("last", "")]).await;
    let (seen, missed) = soon(reading).await.unwrap();
    assert_eq!(seen + missed, MANY);
    let (seen, missed) = read(&mut never, MANY).await;
    // The last of all is not one of the numbers.
    assert_eq!((seen, missed), (99, MANY - 99));
    drop((channel, last, never, client));
    flood.await.unwrap();
}
