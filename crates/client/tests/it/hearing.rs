//! Waiting for what a client tells. Whatever a test waits for, it has a minute.

use std::fmt::Debug;
use std::time::Duration;
use tidings_client::{ConnectionError, Event, Events, Feed, Problem, Problems, State, States};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// What it comes to, which must not take long.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it takes far too long")
}

/// The next of a stream that has one.
pub(crate) async fn next<T: Debug>(feed: &mut Feed<T>) -> T {
    soon(feed.next()).await.expect("the stream ended").unwrap()
}

/// That a stream ends here.
pub(crate) async fn ended<T: Debug>(feed: &mut Feed<T>) {
    let next = soon(feed.next()).await;
    assert!(next.is_none(), "{next:?}");
}

/// Channel, name and data of the next event.
pub(crate) async fn heard(events: &mut Events) -> (String, String, String) {
    let Event { channel, name, data, .. } = next(events).await;
    (channel, name, data)
}

/// That the next events of a stream have these names and data.
pub(crate) async fn hears(events: &mut Events, expected: &[(&str, &str)]) {
    for (name, data) in expected {
        let event = next(events).await;
        assert_eq!((event.name.as_str(), event.data.as_str()), (*name, *data));
    }
}

/// The next problem with the connection itself.
pub(crate) async fn loss(problems: &mut Problems) -> std::sync::Arc<ConnectionError> {
    loop {
        if let Problem::Connection(why) = next(problems).await {
            return why;
        }
    }
}

/// Waits for a change to this state.
pub(crate) async fn until(states: &mut States, state: State) {
    while next(states).await.current != state {}
}

/// A callback that hands on what it is called with, and where that arrives.
pub(crate) fn calls() -> (impl FnMut(&Event) + Clone + Send + 'static, UnboundedReceiver<Event>) {
    let (tell, told) = unbounded_channel();
    // Nobody listens at the end of a test.
    (move |event: &Event| drop(tell.send(event.clone())), told)
}

/// Name and data of the next call.
pub(crate) async fn called(calls: &mut UnboundedReceiver<Event>) -> (String, String) {
    let event = soon(calls.recv()).await.expect("the callback is gone");
    (event.name, event.data)
}
