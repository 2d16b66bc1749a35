//! Events as streams: of one channel, of all, of the signed-in user; as they come, or as values.

use super::queue::Queue;
use super::{Handle, StateChange};
use crate::{DataError, Event, Problem, WatchlistChange};
use futures_util::Stream;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// So much came while the reader was busy that the oldest had to go
/// ([`Options::queue_events`](crate::Options::queue_events), [`Options::queue_bytes`](crate::Options::queue_bytes)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} were lost, since they came faster than they were read; read faster, or give them more room")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

/// A stream of what a client hears. It ends when the client is closed or, for a channel's, when that is unsubscribed.
/// While it lives, so does the connection.
///
/// It does not hold up the connection or other readers: what comes faster than it is read waits within bounds, and then the oldest go,
/// which is told as [`Missed`] in their place.
#[must_use = "nothing is kept for a stream that is dropped"]
pub struct Feed<T> {
    queue: Arc<Queue<T>>,
    /// So that the connection lives.
    _handle: Handle,
}

/// A stream of events.
pub type Events = Feed<Event>;
/// A stream of changes of the connection's state.
pub type States = Feed<StateChange>;
/// A stream of what went wrong.
pub type Problems = Feed<Problem>;
/// A stream of who came and went among those on the watchlist.
pub type Watchlist = Feed<WatchlistChange>;

impl<T> Feed<T> {
    pub(super) fn new(queue: Arc<Queue<T>>, handle: Handle) -> Self {
        Self { queue, _handle: handle }
    }

    /// The next one; `None` after the last. Dropping it midway loses nothing.
    ///
    /// # Errors
    /// [`Missed`] if some were lost here; what follows them comes next.
    pub async fn next(&mut self) -> Option<Result<T, Missed>> {
        poll_fn(|cx| self.queue.poll_next(cx)).await
    }
}

impl Events {
    /// The same events as values of yours, made from the JSON of their data. Who has several types of events on one stream uses
    /// [`Event::json`].
    pub fn typed<T: DeserializeOwned>(self) -> Typed<T> {
        Typed { events: self, value: PhantomData }
    }
}

impl<T> Stream for Feed<T> {
    type Item = Result<T, Missed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll_next(cx)
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// A stream of the data of events as values, see [`Feed::typed`].
#[must_use = "nothing is kept for a stream that is dropped"]
pub struct Typed<T> {
    events: Events,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Typed<T> {
    /// The next one; `None` after the last. Dropping it midway loses nothing.
    ///
    /// # Errors
    /// [`TypedError`] if events were lost here, or the next one is no such value; what follows comes next.
    pub async fn next(&mut self) -> Option<Result<T, TypedError>> {
        let next = self.events.next().await?;
        Some(value(next))
    }
}

impl<T: DeserializeOwned> Stream for Typed<T> {
    type Item = Result<T, TypedError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.get_mut().events).poll_next(cx).map(|next| next.map(value))
    }
}

fn value<T: DeserializeOwned>(event: Result<Event, Missed>) -> Result<T, TypedError> {
    Ok(event?.json()?)
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// Events were lost.
    #[error(transparent)]
    Missed(#[from] Missed),
    /// The data is not such a value.
    #[error(transparent)]
    Data(#[from] DataError),
}
