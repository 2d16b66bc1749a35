//! Callbacks: who is called, in which order, and until when.

use crate::hearing::{called, calls, hears, soon};
use crate::tidings::Tidings;
use std::sync::{Arc, Mutex};
use tidings_client::{Channel, Client};
use tokio::sync::mpsc::unbounded_channel;

async fn news(tidings: &Tidings) -> (Client, Channel) {
    let client = tidings.client();
    let channel = client.subscribe("news").unwrap();
    soon(channel.subscribed()).await.unwrap();
    (client, channel)
}

/// For each event those who want it, in the order in which they were bound; and the events in theirs.
#[tokio::test]
async fn callbacks_are_called_in_the_order_of_binding() {
    let tidings = Tidings::start("");
    let (_client, channel) = news(&tidings).await;
    let (tell, mut told) = unbounded_channel();
    let call = |label: &'static str| {
        let tell = tell.clone();
        move |event: &tidings_client::Event| tell.send(format!("{label} {} {}", event.name, event.data)).unwrap()
    };
    channel.bind("x", call("first"));
    channel.bind_all(call("second"));
    channel.bind("y", call("third"));
    channel.bind("x", call("fourth"));
    for (name, data) in [("x", "1"), ("y", "2"), ("x", "3"), ("z", "4")] {
        tidings.publish("news", name, data).await;
    }
    for expected in
        ["first x 1", "second x 1", "fourth x 1", "second y 2", "third y 2", "first x 3", "second x 3", "fourth x 3", "second z 4"]
    {
        assert_eq!(soon(told.recv()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn callbacks_get_values() {
    let tidings = Tidings::start("");
    let (_client, channel) = news(&tidings).await;
    let (tell, mut told) = unbounded_channel();
    channel.bind_typed::<Vec<u32>>("x", move |value| tell.send(value.map_err(|error| error.event.data)).unwrap());
    for data in ["[1,2]", "{}", "[3]"] {
        tidings.publish("news", "x", data).await;
    }
    for expected in [Ok(vec![1, 2]), Err("{}".to_owned()), Ok(vec![3])] {
        assert_eq!(soon(told.recv()).await.unwrap(), expected);
    }
}

/// A binding ends with `unbind`, once, and only where it was made.
#[tokio::test]
async fn unbinding_ends_one_callback() {
    let tidings = Tidings::start("");
    let (client, channel) = news(&tidings).await;
    let other = client.subscribe("other").unwrap();
    let ((first, mut of_first), (second, mut of_second)) = (calls(), calls());
    let (bound, kept) = (channel.bind("x", first), channel.bind("x", second));
    let ((elsewhere, _), (everywhere, _), (user, _)) = (calls(), calls(), calls());
    let (elsewhere, everywhere, user) = (other.bind("x", elsewhere), client.bind("x", everywhere), client.bind_user("x", user));
    for foreign in [elsewhere, everywhere, user] {
        assert!(!channel.unbind(foreign), "it was bound elsewhere");
    }
    assert!(!client.unbind(user) && !client.unbind_user(everywhere) && !other.unbind(bound));

    tidings.publish("news", "x", "1").await;
    assert_eq!(called(&mut of_first).await.1, "1");
    assert!(channel.unbind(bound) && !channel.unbind(bound));
    tidings.publish("news", "x", "2").await;
    assert_eq!((called(&mut of_second).await.1, called(&mut of_second).await.1), ("1".into(), "2".into()));
    assert!(soon(of_first.recv()).await.is_none(), "it was dropped, and not called again");
    assert!(channel.unbind(kept) && other.unbind(elsewhere) && client.unbind(everywhere) && client.unbind_user(user));
}

/// A callback may bind and unbind itself and others.
#[tokio::test]
async fn a_callback_may_change_the_callbacks() {
    let tidings = Tidings::start("");
    let (client, channel) = news(&tidings).await;
    let (call, mut called_later) = calls();
    let (tell, mut told) = unbounded_channel();
    let once = Arc::new(Mutex::new(None));
    let (ours, handle) = (Arc::clone(&once), client.clone());
    let binding = channel.bind("x", move |event| {
        let channel = handle.channel("news").unwrap();
        assert!(channel.unbind(ours.lock().unwrap().unwrap()));
        channel.bind("x", call.clone());
        tell.send(event.data.clone()).unwrap();
    });
    *once.lock().unwrap() = Some(binding);
    tidings.publish("news", "x", "1").await;
    tidings.publish("news", "x", "2").await;
    assert_eq!(soon(told.recv()).await.unwrap(), "1");
    assert_eq!(called(&mut called_later).await.1, "2");
    assert!(soon(told.recv()).await.is_none());
}

/// One that panics is called for the next event all the same, and so are the others for this one.
#[tokio::test]
async fn a_callback_that_panics_harms_nobody_else() {
    let tidings = Tidings::start("");
    let (client, channel) = news(&tidings).await;
    let (tell, mut told) = unbounded_channel();
    channel.bind("x", move |event| {
        tell.send(event.data.clone()).unwrap();
        std::panic::panic_any("a panic that this test wants");
    });
    let ((after, mut of_after), (global, mut of_global)) = (calls(), calls());
    channel.bind("x", after);
    client.bind("x", global);
    let mut events = channel.events();
    for data in ["1", "2"] {
        tidings.publish("news", "x", data).await;
        assert_eq!(soon(told.recv()).await.unwrap(), data);
        assert_eq!((called(&mut of_after).await.1, called(&mut of_global).await.1), (data.into(), data.into()));
        hears(&mut events, &[("x", data)]).await;
    }
    assert!(channel.is_subscribed());
}

/// What a callback holds is let go when its channel is given up or its client closed, even if that is the client itself.
#[tokio::test]
async fn callbacks_are_dropped_with_what_they_are_bound_to() {
    let tidings = Tidings::start("");
    let (client, channel) = news(&tidings).await;
    let ((call, mut of_channel), (global, mut of_client), (user, mut of_user)) = (calls(), calls(), calls());
    let (mut call, mut global, mut user) = (call, global, user);
    let handles = (channel.clone(), client.clone(), client.clone());
    channel.bind("x", move |event| {
        assert!(handles.0.is_subscribed());
        call(event);
    });
    client.bind("x", move |event| {
        assert!(handles.1.socket_id().is_some());
        global(event);
    });
    client.bind_user("x", move |event| {
        assert!(handles.2.user_id().is_some());
        user(event);
    });
    tidings.publish("news", "x", "1").await;
    assert_eq!((called(&mut of_channel).await.1, called(&mut of_client).await.1), ("1".into(), "1".into()));
    channel.unsubscribe();
    assert!(soon(of_channel.recv()).await.is_none());
    soon(client.close()).await;
    assert!(soon(of_client.recv()).await.is_none() && soon(of_user.recv()).await.is_none());
}

/// With the channel its callbacks end, and those of a new channel with the same name have their own events.
#[tokio::test]
async fn unsubscribing_ends_callbacks() {
    let tidings = Tidings::start("");
    let (client, channel) = news(&tidings).await;
    let ((call, mut before), (again, mut after)) = (calls(), calls());
    channel.bind("x", call);
    tidings.publish("news", "x", "1").await;
    assert_eq!(called(&mut before).await.1, "1");
    channel.unsubscribe();
    let channel = client.subscribe("news").unwrap();
    channel.bind("x", again);
    soon(channel.subscribed()).await.unwrap();
    tidings.publish("news", "x", "2").await;
    assert_eq!(called(&mut after).await.1, "2");
    assert!(soon(before.recv()).await.is_none());
}
