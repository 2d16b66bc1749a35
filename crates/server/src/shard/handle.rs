//! A shard from outside: how it is reached, what can be asked of it, and what it is made of before it runs.

use super::socket::Socket;
use super::stats::Stats;
use crate::listener::{Listener, NodeGuard, Peer};
use crate::node::Apps;
use crate::store::StoreError;
use crate::transport::websocket::Agreement;
use bytes::Bytes;
use mio::{Poll, Token, Waker};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidings_dialect::action::{Answer, CommandFailed, End, Reply, Unanswered};
use tidings_hub::{AppId, ChannelName, Inbox, SocketId};
use tokio::sync::oneshot;

/// The token of the waker.
pub(super) const WAKE: Token = Token(usize::MAX);

/// What others need to reach a shard.
pub(crate) struct ShardHandle {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stats: Arc<Stats>,
    commands: Arc<Mutex<Vec<Command>>>,
}

/// What others ask of a shard, beside what the hub has for it.
pub(crate) enum Command {
    /// Own this socket.
    Open(Box<Arrival>),
    /// End a session.
    End {
        /// Its connection.
        socket: SocketId,
        /// Why.
        end: End,
    },
    /// A publish whose request waits was stored, or not.
    Stored {
        /// The connection's slot.
        slot: u32,
        /// Tells it from others that had its slot.
        generation: u32,
        /// What became of it.
        outcome: Result<(), StoreError>,
    },
    /// An event of a session could not be stored.
    NotStored {
        /// Its connection.
        socket: SocketId,
        /// The event's channel.
        channel: ChannelName,
        /// The event's name.
        event: Arc<str>,
        /// Why not.
        error: StoreError,
    },
    /// The store has answered a session.
    Answered {
        /// Its connection.
        socket: SocketId,
        /// The answer.
        answer: Result<Answer, Unanswered>,
    },
    /// A command of a session was answered.
    Commanded {
        /// Its connection.
        socket: SocketId,
        /// The answer.
        answer: Result<Reply, CommandFailed>,
    },
    /// Say something to a connection, if it is one of the app's.
    Say {
        /// The app.
        app: AppId,
        /// The connection.
        socket: SocketId,
        /// A message of its dialect.
        message: Bytes,
    },
    /// Tell which connections of an app are on which channels; one of them, or all.
    List {
        /// The app.
        app: AppId,
        /// One connection.
        only: Option<SocketId>,
        /// Whom to tell.
        reply: oneshot::Sender<Vec<Listed>>,
    },
    /// These are the apps from now on.
    Reload(Arc<Apps>),
    /// Close all connections, evenly over this time.
    Drain(Duration),
    /// End the thread.
    Stop,
    /// Whatever a test wants to do on the thread.
    #[cfg(test)]
    Call(Box<dyn FnOnce(&mut super::Shard) + Send>),
}

/// A connection and its channels, in the order in which it joined them.
pub(crate) type Listed = (String, Vec<String>);

/// A socket that came in.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    pub(crate) peer: Peer,
    pub(crate) listener: Arc<Listener>,
    pub(crate) guard: NodeGuard,
    /// What was read already.
    pub(crate) read: Vec<u8>,
    /// Somebody else has answered its handshake.
    pub(crate) upgraded: Option<Upgraded>,
    /// Requests came before: no PROXY header comes any more.
    pub(crate) begun: bool,
}

/// A handshake that was answered.
pub(crate) struct Upgraded {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) origin: Option<String>,
    pub(crate) forwarded_proto: Option<String>,
    pub(crate) deflate: Option<Agreement>,
}

/// What a shard is made of before it runs: its poll, and the handle by which it is reached.
pub(crate) struct Seed {
    pub(super) poll: Poll,
    pub(crate) inbox: Arc<Inbox>,
    pub(super) stats: Arc<Stats>,
    pub(super) commands: Arc<Mutex<Vec<Command>>>,
}

impl ShardHandle {
    /// Leaves a command and wakes the shard.
    pub(crate) fn command(&self, command: Command) {
        if let Command::Open(_) = &command {
            self.stats.connections.fetch_add(1, Ordering::Relaxed);
        }
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.inbox.wake();
    }
}

impl Seed {
    /// Prepares a shard whose inbox has room for `inbox_items`.
    ///
    /// # Errors
    /// If the system has no poll or no descriptor left.
    pub(crate) fn new(inbox_items: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let inbox = Arc::new(Inbox::new(inbox_items, move || {
            // It fails only if the descriptor is gone, and with it the shard.
            let _ = waker.wake();
        }));
        Ok(Self { poll, inbox, stats: Arc::default(), commands: Arc::default() })
    }

    pub(crate) fn handle(&self) -> ShardHandle {
        ShardHandle { inbox: Arc::clone(&self.inbox), stats: Arc::clone(&self.stats), commands: Arc::clone(&self.commands) }
    }

    /// The registry of its poll, for sockets to accept on.
    pub(crate) fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }
}
