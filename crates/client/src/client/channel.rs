//! A channel as a client sees it.

use super::listeners::{Binding, Listeners};
use super::task::{Command, Sending};
use super::{Events, Feed, Handle, lock};
use crate::{DataError, Event, Members, SendError, SubscriptionError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::{Arc, Mutex};
use tidings_dialect::pusher::name::Kind;
use tidings_hub::ChannelName;
use tokio::sync::{oneshot, watch};

/// A channel that a client is subscribed to, or is to be. Cheap to clone. While it lives, so does the connection. When the subscription is
/// given up, it is of no use any more; [`Client::subscribe`](crate::Client::subscribe) gives a new one.
///
/// Beside what is published, its listeners hear what happens to the channel itself, under the names that other clients use:
///
/// | event | data |
/// | --- | --- |
/// | `pusher:subscription_succeeded` | `{}`; on a presence channel `{"count":N,"me":M,"members":[M]}` |
/// | `pusher:subscription_error` | `{"type":S,"error":S,"status":N}` |
/// | `pusher:member_added`, `pusher:member_removed` | M = `{"id":S,"info":O}`, on presence channels |
/// | `pusher:subscription_count` | `{"subscription_count":N}`, where the app has it switched on |
/// | `pusher:cache_miss` | `{}`, on cache channels |
#[derive(Clone)]
pub struct Channel {
    inner: Arc<Inner>,
    handle: Handle,
}

/// What the task and the handles of a channel both see.
pub(crate) struct Inner {
    pub(super) name: String,
    pub(super) listeners: Arc<Listeners>,
    pub(super) subscription: watch::Sender<Subscription>,
    /// Of a presence channel.
    pub(super) members: Option<Mutex<Arc<Members>>>,
    pub(super) count: Mutex<Option<u32>>,
}

#[derive(Clone, Debug)]
pub(super) enum Subscription {
    Pending,
    InForce,
    Refused(SubscriptionError),
    GivenUp,
}

impl Inner {
    pub(super) fn new(name: &ChannelName) -> Self {
        Self {
            name: name.as_str().to_owned(),
            listeners: Arc::default(),
            subscription: watch::Sender::new(Subscription::Pending),
            members: (Kind::of(name.as_str()) == Kind::Presence).then(Mutex::default),
            count: Mutex::new(None),
        }
    }

    /// It is given up, or the client is closed.
    pub(super) fn end(&self) {
        self.subscription.send_replace(Subscription::GivenUp);
        self.listeners.close();
    }

    /// What has been given up stays that, whatever comes late.
    pub(super) fn becomes(&self, subscription: Subscription) {
        self.subscription.send_if_modified(|now| {
            let is_kept = !matches!(now, Subscription::GivenUp);
            if is_kept {
                *now = subscription;
            }
            is_kept
        });
    }

    /// The connection is gone, and with it what was known of others.
    pub(super) fn disconnected(&self) {
        self.becomes(Subscription::Pending);
        *lock(&self.count) = None;
        if let Some(members) = &self.members {
            *lock(members) = Arc::default();
        }
    }
}

impl Channel {
    pub(super) fn new(inner: Arc<Inner>, handle: Handle) -> Self {
        Self { inner, handle }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whether the subscription is in force at this moment.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        matches!(*self.inner.subscription.borrow(), Subscription::InForce)
    }

    /// Waits until the subscription is in force.
    ///
    /// # Errors
    /// [`SubscriptionError`] if it was refused, or if there is no connection and none is tried. It is asked for again on the next
    /// connection, and by [`Client::subscribe`](crate::Client::subscribe). Not every server says which subscription it refuses (P-5.8):
    /// where it does not, this waits on, and [`Client::problems`](crate::Client::problems) has what it said.
    pub async fn subscribed(&self) -> Result<(), SubscriptionError> {
        self.handle.settled().await;
        let mut subscription = self.inner.subscription.subscribe();
        let settled = async { subscription.wait_for(|now| !matches!(now, Subscription::Pending)).await.map(|now| now.clone()) };
        tokio::select! {
            biased;
            settled = settled => match settled {
                Ok(Subscription::InForce) => Ok(()),
                Ok(Subscription::Refused(why)) => Err(why),
                _ => Err(SubscriptionError::GivenUp),
            },
            why = self.handle.disconnected() => Err(SubscriptionError::NotConnected(why)),
        }
    }

    /// All events of this channel from now on, in order; those in the table above included.
    pub fn events(&self) -> Events {
        Feed::new(self.inner.listeners.stream(None, self.handle.shared.bounds), self.handle.clone())
    }

    /// The events of this channel called `name`, from now on.
    pub fn events_named(&self, name: &str) -> Events {
        Feed::new(self.inner.listeners.stream(Some(name), self.handle.shared.bounds), self.handle.clone())
    }

    /// Has `call` called for events called `name`. Callbacks of a channel are called one after the other, in the order in which they were
    /// bound, on the client's runtime. One that takes long holds up the others of this channel; one that blocks does so within
    /// `tokio::task::block_in_place`, or it may hold up the whole runtime. What they miss is told as
    /// [`Problem::Missed`](crate::Problem::Missed). A panic ends that call alone.
    pub fn bind(&self, name: &str, call: impl FnMut(&Event) + Send + 'static) -> Binding {
        self.bound(Some(name), Box::new(call))
    }

    /// The same for all events of the channel.
    pub fn bind_all(&self, call: impl FnMut(&Event) + Send + 'static) -> Binding {
        self.bound(None, Box::new(call))
    }

    /// As [`Channel::bind`], with the data as a value of yours, or what is wrong with it.
    pub fn bind_typed<T: DeserializeOwned>(&self, name: &str, mut call: impl FnMut(Result<T, DataError>) + Send + 'static) -> Binding {
        self.bind(name, move |event| call(event.json()))
    }

    /// Ends what one of these began. Whether it was bound. A call that has begun ends as it would.
    pub fn unbind(&self, binding: Binding) -> bool {
        self.inner.listeners.unbind(binding)
    }

    fn bound(&self, name: Option<&str>, call: super::listeners::Call) -> Binding {
        self.handle.bind(&self.inner.listeners, name, &self.inner.name, call)
    }

    /// Sends an event to the other subscribers (P-8.1), with `data` as JSON. Only private and presence channels that are not encrypted
    /// take them, if the app allows it, ten in a second from one connection (P-8.4), each of 10,240 bytes at most unless the server says
    /// otherwise (P-18.3).
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent. That there is none does not mean that the server passes it on; if it refuses, that is among
    /// [`Client::problems`](crate::Client::problems).
    pub async fn send_event(&self, name: &str, data: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
        let data = serde_json::value::to_raw_value(data).map_err(|error| SendError::Data { reason: error.to_string() })?;
        let (answer, answered) = oneshot::channel();
        let sending = Sending { channel: self.inner.name.clone(), name: name.to_owned(), data, answer };
        self.handle.order(Command::Send(Box::new(sending)));
        // Who does not answer has ended.
        answered.await.unwrap_or(Err(SendError::NotConnected))
    }

    /// Who is on this presence channel at this moment; empty while it is not subscribed to, and for other channels. Events that wait to be
    /// read may tell of what is in it already.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.inner.members.as_ref().map(|members| Arc::clone(&lock(members))).unwrap_or_default()
    }

    /// How many connections are subscribed, if the server told on this connection (P-14.2). Above 100 it tells every 5 s at most (P-14.3).
    #[must_use]
    pub fn subscription_count(&self) -> Option<u32> {
        *lock(&self.inner.count)
    }

    /// Gives the subscription up; streams and callbacks end. Whether it was not yet.
    pub fn unsubscribe(&self) -> bool {
        let ours = lock(&self.handle.shared.channels).get(&self.inner.name).is_some_and(|inner| Arc::ptr_eq(inner, &self.inner));
        ours && crate::Client { handle: self.handle.clone() }.unsubscribe(&self.inner.name)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscription = self.inner.subscription.borrow();
        f.debug_struct("Channel").field("name", &self.inner.name).field("subscription", &*subscription).finish_non_exhaustive()
    }
}
