//! What must last: publishes that wait for their commit, and what sessions ask the store.

use super::{AppHandle, Node};
use crate::clock;
use crate::shard::Command;
use crate::store::{EventRow, NewEvent, Store, StoreError, Trigger};
use bytes::Bytes;
use smallvec::SmallVec;
use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tidings_dialect::action::{Answer, Question, Unanswered};
use tidings_dialect::pushi;
use tidings_hub::{AppId, Body, ChannelName, Event, Journal, Pending, Publish, SocketId, Source, Stamps};
use tokio::sync::oneshot;

/// Who is told what became of a publish that is to be stored.
pub(crate) enum Reply {
    /// A request that its shard holds back.
    Request {
        /// The shard.
        shard: usize,
        /// The connection's slot there.
        slot: u32,
        /// Tells it from others that had its slot.
        generation: u32,
    },
    /// A session, only if it went wrong.
    Session {
        /// Its connection.
        socket: SocketId,
        /// The event's channel.
        channel: ChannelName,
        /// The event's name.
        event: Arc<str>,
    },
    /// Whoever waits.
    Task(oneshot::Sender<Result<(), StoreError>>),
}

/// The store's queue, as the hub sees it during one publish.
struct Keeper<'n> {
    node: &'n Arc<Node>,
    app: &'n AppId,
    store: &'n Store,
    reply: Cell<Option<Reply>>,
}

impl Journal for Keeper<'_> {
    fn append(&self, pending: Pending) {
        let trigger = trigger(self.app, &pending);
        let (node, reply) = (Arc::clone(self.node), self.reply.take());
        let done = move |outcome: Result<(), StoreError>| {
            pending.settle(outcome.is_ok(), node.clock.now());
            if let Some(reply) = reply {
                node.reply(reply, outcome);
            }
        };
        self.store.append(trigger, Box::new(done));
    }
}

/// What the store is to keep of a publish; nothing of one that only keeps its place.
fn trigger(app: &AppId, pending: &Pending) -> Trigger {
    let first = pending.events().first().map(|pending| &pending.event);
    let at = first.and_then(|event| event.stamp()).map(|stamp| stamp.at).unwrap_or_default();
    let owner = first.and_then(|event| owner(event)).map(pushi::name::socket_id);
    Trigger { app: app.clone(), at, owner, events: pending.events().iter().filter_map(|pending| new_event(&pending.event)).collect() }
}

fn new_event(event: &Event) -> Option<NewEvent> {
    let Body::Published { name, data, attached, .. } = &event.body else { return None };
    let extras = attached.as_ref().and_then(|attached| attached.extras.clone());
    let (channel, mid) = (event.channel.clone(), event.stamp()?.mid);
    Some(NewEvent { channel, epoch: 0, serial: event.serial, mid, name: Arc::clone(name), data: data.clone(), extras })
}

fn owner(event: &Event) -> Option<SocketId> {
    match &event.body {
        Body::Published { source: Source::Client { socket, .. }, .. } => Some(*socket),
        _ => None,
    }
}

impl Node {
    /// Publishes in order, atomically. Whoever calls has seen to room, names and sizes. On channels where something waits for a commit, it
    /// waits behind that.
    pub(crate) fn publish(self: &Arc<Self>, handle: &AppHandle, batch: &[Publish]) {
        let now = self.clock.now();
        match self.store() {
            Some(store) => {
                let keeper = Keeper { node: self, app: &handle.app.id, store, reply: Cell::new(None) };
                handle.channels.publish(&handle.app, batch, now, &keeper);
            }
            None => handle.channels.publish(&handle.app, batch, now, &tidings_hub::NoJournal),
        }
    }

    /// Stores an event, then publishes it, then tells `reply`. Whoever calls has seen to room, names and sizes.
    ///
    /// # Errors
    /// If there is no store: nothing happened, and `reply` is not told.
    pub(crate) fn publish_stored(self: &Arc<Self>, handle: &AppHandle, mut publish: Publish, reply: Reply) -> Result<(), StoreError> {
        let store = self.store().ok_or_else(no_store)?;
        let mids: SmallVec<[u128; 1]> = publish.channels.iter().map(|_| crate::chance::uuid()).collect();
        publish.stamps = Some(Stamps { at: clock::unix_time(), mids });
        let keeper = Keeper { node: self, app: &handle.app.id, store, reply: Cell::new(Some(reply)) };
        handle.channels.publish(&handle.app, &[publish], self.clock.now(), &keeper);
        Ok(())
    }

    fn reply(&self, reply: Reply, outcome: Result<(), StoreError>) {
        match reply {
            Reply::Request { shard, slot, generation } => self.shards[shard].command(Command::Stored { slot, generation, outcome }),
            Reply::Session { socket, channel, event } => {
                if let (Err(error), Some(shard)) = (outcome, self.shards.get(socket.shard())) {
                    shard.command(Command::NotStored { socket, channel, event, error });
                }
            }
            // Whoever waited may have gone.
            Reply::Task(sender) => drop(sender.send(outcome)),
        }
    }

    /// Asks the store for a session, which is told when there is an answer.
    pub(crate) fn ask(self: &Arc<Self>, app: &AppId, socket: SocketId, question: Question) {
        let (node, app) = (Arc::clone(self), app.clone());
        self.runtime.spawn(async move {
            let answer = node.answer(&app, question).await;
            if let Some(shard) = node.shards.get(socket.shard()) {
                shard.command(Command::Answered { socket, answer });
            }
        });
    }

    async fn answer(&self, app: &AppId, question: Question) -> Result<Answer, Unanswered> {
        let unavailable = |error: StoreError| Unanswered::Unavailable(error.to_string());
        let store = self.store().ok_or_else(|| unavailable(no_store()))?;
        // Whoever asks is to find what it published before.
        store.settled().await;
        match question {
            Question::Follows { user_id, max } => follows(store, app, user_id, max).await,
            Question::Latest { channel, skip, count } => {
                store.channel_events(app, Some(channel.as_str()), skip, count).await.map(|rows| events(app, &rows)).map_err(unavailable)
            }
            Question::Personal { user_id, skip, count } => {
                store.personal_events(app, &user_id, skip, count).await.map(|rows| events(app, &rows)).map_err(unavailable)
            }
        }
    }

    /// The store; `None` where the configuration has none.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }
}

/// What to say where something is to be kept and nothing can be.
pub(crate) fn no_store() -> StoreError {
    StoreError::Unavailable("this server keeps nothing; give it a [store]".to_owned())
}

/// Whom a user follows, and through followed personal channels others; each once (I-2.9).
async fn follows(store: &Store, app: &AppId, user_id: Arc<str>, max: u32) -> Result<Answer, Unanswered> {
    let mut reached = HashSet::from([Arc::clone(&user_id)]);
    let mut open = VecDeque::from([user_id]);
    let (mut found, mut total) = (Vec::new(), 0);
    while let Some(user_id) = open.pop_front() {
        let aliases =
            store.aliases(app, &user_id, max as usize - total).await.map_err(|error| Unanswered::Unavailable(error.to_string()))?;
        total += aliases.channels.len();
        if aliases.more {
            return Err(Unanswered::TooMany { max });
        }
        let channels: Vec<_> = aliases.channels.iter().filter_map(|channel| ChannelName::parse(channel).ok()).collect();
        for followed in channels.iter().filter_map(|channel| channel.as_str().strip_prefix("personal-")) {
            let followed: Arc<str> = Arc::from(followed);
            if reached.insert(Arc::clone(&followed)) {
                open.push_back(followed);
            }
        }
        found.push((user_id, channels));
    }
    Ok(Answer::Follows(found))
}

fn events(app: &AppId, rows: &[EventRow]) -> Answer {
    Answer::Events(Bytes::from(crate::api::pushi::events(app, rows)))
}
