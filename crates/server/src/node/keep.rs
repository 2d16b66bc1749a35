//! What must last: publishes that wait for their commit, and what sessions ask the store.

use super::{AppHandle, Node};
use crate::clock;
use crate::shard::Command;
use crate::store::{EventRow, NewEvent, Store, StoreError, Trigger};
use bytes::Bytes;
use smallvec::SmallVec;
use std::cell::{Cell, OnceCell};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, OnceLock};
use tidings_dialect::action::{Answer, Question, Unanswered};
use tidings_dialect::pushi;
use tidings_hub::{AppId, Body, ChannelName, Event, Journal, Pending, Publish, SocketId, Source, Stamps, UnixTime};
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
    /// Who listens on the channel, only if it went wrong: whoever published waits for nothing and has nothing to send again.
    Gap { app: Arc<AppHandle>, channel: ChannelName },
    /// Whoever waits.
    Task(oneshot::Sender<Result<(), StoreError>>),
}

/// The store's queue, as the hub sees it during one call.
struct Keeper<'n> {
    node: &'n Arc<Node>,
    app: &'n AppHandle,
    store: &'n Store,
    reply: Cell<Option<Reply>>,
    /// Made for the first job.
    outcome: OnceCell<Arc<Outcome>>,
}

/// What becomes of one call, which may give the store several jobs: told when the last of them is settled.
struct Outcome {
    node: Arc<Node>,
    reply: Option<Reply>,
    failed: OnceLock<StoreError>,
}

impl Outcome {
    fn settled(self: Arc<Self>, outcome: Result<(), StoreError>) {
        if let Err(error) = outcome {
            self.failed.get_or_init(|| error);
        }
        let Some(Self { node, reply: Some(reply), failed }) = Arc::into_inner(self) else { return };
        node.reply(reply, failed.into_inner().map_or(Ok(()), Err));
    }
}

impl Journal for Keeper<'_> {
    fn append(&self, pending: Pending) {
        let made = || Arc::new(Outcome { node: Arc::clone(self.node), reply: self.reply.take(), failed: OnceLock::new() });
        let (trigger, outcome) = (self.trigger(&pending), Arc::clone(self.outcome.get_or_init(made)));
        let done = move |stored: Result<(), StoreError>| {
            pending.settle(stored.is_ok(), outcome.node.clock.now());
            outcome.settled(stored);
        };
        self.store.append(trigger, Box::new(done));
    }
}

impl Keeper<'_> {
    /// What the store is to keep of a publish; nothing of one that only keeps its place.
    fn trigger(&self, pending: &Pending) -> Trigger {
        let first = pending.events().first().map(|pending| &pending.event);
        let at = first.and_then(|event| event.stamp()).map(|stamp| stamp.at).unwrap_or_default();
        let owner = first.and_then(|event| owner(event)).map(pushi::name::socket_id);
        let events = pending.events().iter().filter_map(|pending| self.new_event(&pending.event)).collect();
        Trigger { app: self.app.app.id.clone(), at, owner, events }
    }

    fn new_event(&self, event: &Event) -> Option<NewEvent> {
        let Body::Published { name, data, attached, .. } = &event.body else { return None };
        let extras = attached.as_ref().and_then(|attached| attached.extras.clone());
        // Nobody asks for positions on channels of which not all is stored.
        let epoch = if self.app.channels.stores(&event.channel) { self.node.hub.epoch() } else { 0 };
        let (channel, mid) = (event.channel.clone(), event.stamp()?.mid);
        Some(NewEvent { channel, epoch, serial: event.serial, mid, name: Arc::clone(name), data: data.clone(), extras })
    }
}

fn stamps(publish: &Publish, at: UnixTime) -> Stamps {
    Stamps { at, mids: publish.channels.iter().map(|_| crate::chance::uuid()).collect() }
}

fn owner(event: &Event) -> Option<SocketId> {
    match &event.body {
        Body::Published { source: Source::Client { socket, .. }, .. } => Some(*socket),
        _ => None,
    }
}

impl Node {
    /// Publishes in order, atomically. Whoever calls has seen to room, names and sizes, and waits for nothing. On channels where something waits
    /// for a commit, it waits behind that; on those whose events are stored, for its own.
    pub(crate) fn publish(self: &Arc<Self>, handle: &AppHandle, batch: &[Publish]) {
        match (self.store_for(handle, batch), self.store()) {
            (Some(store), _) => self.append_stamped(handle, store, batch, None),
            (None, Some(store)) => self.append(handle, store, batch, None),
            (None, None) => handle.channels.publish(&handle.app, batch, self.clock.now(), &tidings_hub::NoJournal),
        }
    }

    /// Whether any of it is to be stored because its channel's events are: whoever acknowledges it waits for that.
    pub(crate) fn stores<'p>(&self, handle: &AppHandle, batch: impl IntoIterator<Item = &'p Publish>) -> bool {
        self.store_for(handle, batch).is_some()
    }

    fn store_for<'p>(&self, handle: &AppHandle, batch: impl IntoIterator<Item = &'p Publish>) -> Option<&Store> {
        let mut channels = batch.into_iter().flat_map(|publish| &publish.channels);
        self.store().filter(|_| channels.any(|channel| handle.channels.stores(channel)))
    }

    /// The same as [`Node::publish`], then tells `reply`: at once if nothing of it is stored.
    pub(crate) fn publish_for(self: &Arc<Self>, handle: &AppHandle, batch: &[Publish], reply: Reply) {
        match self.store_for(handle, batch) {
            Some(store) => self.append_stamped(handle, store, batch, Some(reply)),
            None => {
                self.publish(handle, batch);
                self.reply(reply, Ok(()));
            }
        }
    }

    /// The same, and waits until what is to be stored of it is.
    ///
    /// # Errors
    /// [`StoreError`]: at least one event was not stored, and nobody got that.
    pub(crate) async fn acknowledge(self: &Arc<Self>, handle: &AppHandle, batch: &[Publish]) -> Result<(), StoreError> {
        let Some(store) = self.store_for(handle, batch) else {
            self.publish(handle, batch);
            return Ok(());
        };
        let (sender, done) = oneshot::channel();
        self.append_stamped(handle, store, batch, Some(Reply::Task(sender)));
        done.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".to_owned())))
    }

    /// Publishes, and stores first what is on channels whose events are stored.
    fn append_stamped(self: &Arc<Self>, handle: &AppHandle, store: &Store, batch: &[Publish], reply: Option<Reply>) {
        let at = clock::unix_time();
        let stamped = |publish: &Publish| {
            let stored = publish.channels.iter().any(|channel| handle.channels.stores(channel));
            Publish { stamps: stored.then(|| stamps(publish, at)), ..publish.clone() }
        };
        let batch: SmallVec<[Publish; 1]> = batch.iter().map(stamped).collect();
        self.append(handle, store, &batch, reply);
    }

    fn append(self: &Arc<Self>, handle: &AppHandle, store: &Store, batch: &[Publish], reply: Option<Reply>) {
        let keeper = Keeper { node: self, app: handle, store, reply: Cell::new(reply), outcome: OnceCell::new() };
        handle.channels.publish(&handle.app, batch, self.clock.now(), &keeper);
        match (keeper.outcome.into_inner(), keeper.reply.into_inner()) {
            (Some(outcome), _) => outcome.settled(Ok(())),
            (None, Some(reply)) => self.reply(reply, Ok(())),
            (None, None) => {}
        }
    }

    /// The same for a session, which is told if something could not be stored.
    pub(crate) fn publish_from(self: &Arc<Self>, handle: &AppHandle, socket: SocketId, publish: Publish) {
        if self.stores(handle, [&publish]) {
            let reply = Reply::Session { socket, channel: publish.channels[0].clone(), event: Arc::clone(&publish.name) };
            self.publish_for(handle, &[publish], reply);
        } else {
            self.publish(handle, &[publish]);
        }
    }

    /// Stores an event, then publishes it, then tells `reply`. Whoever calls has seen to room, names and sizes.
    ///
    /// # Errors
    /// If there is no store: nothing happened, and `reply` is not told.
    pub(crate) fn publish_stored(self: &Arc<Self>, handle: &AppHandle, mut publish: Publish, reply: Reply) -> Result<(), StoreError> {
        let store = self.store().ok_or_else(no_store)?;
        publish.stamps = Some(stamps(&publish, clock::unix_time()));
        self.append(handle, store, &[publish], Some(reply));
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
            Reply::Gap { app, channel } => {
                if outcome.is_err() {
                    self.break_history(&app);
                    app.channels.gap_at(&channel, self.clock.now());
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
        if let Question::Follows { .. } | Question::Latest { .. } | Question::Personal { .. } = question {
            // Whoever asks is to find what it published before.
            store.settled().await;
        }
        match question {
            Question::Follows { user_id, max } => follows(store, app, user_id, max).await,
            Question::Latest { channel, skip, count } => {
                store.channel_events(app, Some(channel.as_str()), skip, count).await.map(|rows| events(app, &rows)).map_err(unavailable)
            }
            Question::Personal { user_id, skip, count } => {
                store.personal_events(app, &user_id, skip, count).await.map(|rows| events(app, &rows)).map_err(unavailable)
            }
            Question::Trace { positions } => self.trace(store, app, positions).await,
            Question::Behind { channel, place, until } => self.behind(store, app, &channel, place, until).await,
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
