//! Who listens to a channel, or to all of them: streams, and callbacks, which one task calls one after the other.

use super::lock;
use super::queue::{Bounds, Queue};
use crate::{Event, Missed};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::runtime;

/// The last number given to a callback. Numbers are not given twice, so that nobody unbinds what somebody else has bound.
static BINDINGS: AtomicU64 = AtomicU64::new(0);

/// Names a callback, to unbind it where it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding(u64);

pub(super) type Call = Box<dyn FnMut(&Event) + Send>;

/// All who listen to the same.
#[derive(Default)]
pub(super) struct Listeners {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Shared with whoever tells them something, which is done without the lock.
    streams: Arc<Vec<Stream>>,
    /// Where the task that calls the callbacks reads; made with the first callback.
    calls: Option<Arc<Queue<Event>>>,
    callbacks: Vec<Callback>,
    closed: bool,
}

#[derive(Clone)]
struct Stream {
    /// The event's name; none for all.
    name: Option<Box<str>>,
    queue: Arc<Queue<Event>>,
}

#[derive(Clone)]
struct Callback {
    binding: u64,
    name: Option<Box<str>>,
    call: Arc<Mutex<Call>>,
}

impl Listeners {
    /// A queue that gets all events from now on, or those called `name`.
    pub(super) fn stream(&self, name: Option<&str>, bounds: Bounds) -> Arc<Queue<Event>> {
        let queue = Arc::new(Queue::new(bounds));
        let mut inner = lock(&self.inner);
        if inner.closed {
            queue.close();
        } else {
            let streams = Arc::make_mut(&mut inner.streams);
            streams.retain(|stream| !stream.queue.is_closed());
            streams.push(Stream { name: name.map(Into::into), queue: Arc::clone(&queue) });
        }
        queue
    }

    /// Has `call` called for all events from now on, or for those called `name`, in the order in which callbacks were bound.
    /// `missed` is told how many events callbacks did not get, because they took too long.
    pub(super) fn bind(
        self: &Arc<Self>,
        name: Option<&str>,
        bounds: Bounds,
        runtime: &runtime::Handle,
        missed: impl Fn(u64) + Send + 'static,
        call: Call,
    ) -> Binding {
        let binding = BINDINGS.fetch_add(1, Ordering::Relaxed);
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Binding(binding);
        }
        inner.callbacks.push(Callback { binding, name: name.map(Into::into), call: Arc::new(Mutex::new(call)) });
        if inner.calls.is_none() {
            let queue = Arc::new(Queue::new(bounds));
            inner.calls = Some(Arc::clone(&queue));
            // It ends with the queue, which is closed with the channel or with the client.
            runtime.spawn(Arc::clone(self).run(queue, missed));
        }
        Binding(binding)
    }

    /// Forgets a callback. Whether there was one.
    pub(super) fn unbind(&self, binding: Binding) -> bool {
        let mut inner = lock(&self.inner);
        let gone: Vec<_> = inner.callbacks.extract_if(.., |callback| callback.binding == binding.0).collect();
        // What is dropped with it may come back here for the lock.
        drop(inner);
        !gone.is_empty()
    }

    /// Whether anybody listens.
    pub(super) fn is_empty(&self) -> bool {
        let inner = lock(&self.inner);
        inner.streams.is_empty() && inner.callbacks.is_empty()
    }

    /// Tells everybody. Whether somebody is so far behind that they should have a turn.
    pub(super) fn tell(&self, event: &Event) -> bool {
        let (streams, calls) = {
            let inner = lock(&self.inner);
            let calls = inner.calls.as_ref().filter(|_| inner.callbacks.iter().any(|callback| callback.wants(event)));
            (Arc::clone(&inner.streams), calls.cloned())
        };
        let bytes = event.channel.len() + event.name.len() + event.data.len();
        let mut behind = false;
        let mut left = false;
        // Whoever is woken may come back here for the lock.
        for stream in &*streams {
            if stream.name.as_deref().is_none_or(|name| name == event.name) {
                behind |= stream.queue.push(event.clone(), bytes);
                left |= stream.queue.is_closed();
            }
        }
        drop(streams);
        if left {
            Arc::make_mut(&mut lock(&self.inner).streams).retain(|stream| !stream.queue.is_closed());
        }
        if let Some(calls) = calls {
            behind |= calls.push(event.clone(), bytes);
        }
        behind
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        let (streams, calls) = {
            let mut inner = lock(&self.inner);
            inner.closed = true;
            (std::mem::take(&mut inner.streams), inner.calls.take())
        };
        for stream in &*streams {
            stream.queue.close();
        }
        if let Some(calls) = calls {
            calls.close();
        }
    }

    /// Calls the callbacks until there is nothing more to tell.
    async fn run(self: Arc<Self>, queue: Arc<Queue<Event>>, missed: impl Fn(u64)) {
        while let Some(next) = poll_fn(|cx| queue.poll_next(cx)).await {
            let event = match next {
                Ok(event) => event,
                Err(Missed { count }) => {
                    missed(count);
                    continue;
                }
            };
            let callbacks: Vec<Callback> = lock(&self.inner).callbacks.iter().filter(|callback| callback.wants(&event)).cloned().collect();
            for callback in callbacks {
                let mut call = lock(&callback.call);
                // Whose callback panics is told by the panic itself; the others are called all the same.
                let _ = catch_unwind(AssertUnwindSafe(|| call(&event)));
            }
        }
        // They may hold a client, which would hold them. As above, they are dropped without the lock.
        let callbacks = std::mem::take(&mut lock(&self.inner).callbacks);
        drop(callbacks);
    }
}

impl Callback {
    fn wants(&self, event: &Event) -> bool {
        self.name.as_deref().is_none_or(|name| name == event.name)
    }
}
