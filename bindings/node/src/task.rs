//! The task of one connection: does what JavaScript wants and tells what happens, and waits while JavaScript or the server is behind.

use crate::outlet::Outlet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidings_client::{Connection, Notice, SendError};
use tokio::select;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How many bytes of messages may wait for room in the connection, which is bounded itself.
const MESSAGES_BYTES_MAX: usize = 1 << 20;

/// What JavaScript wants.
pub(crate) enum Command {
    Connect,
    Disconnect,
    Subscribe(String),
    Unsubscribe(String),
    Send(String),
    SignIn,
}

/// The way of commands to the task, in order. Only messages are refused when there are too many: the rest is as much as a program has
/// channels.
pub(crate) struct Queue {
    commands: UnboundedSender<Command>,
    waiting: Arc<AtomicUsize>,
}

/// Its other end.
pub(crate) struct Received {
    commands: UnboundedReceiver<Command>,
    waiting: Arc<AtomicUsize>,
}

pub(crate) fn queue() -> (Queue, Received) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Queue { commands: sender, waiting: Arc::clone(&waiting) }, Received { commands: receiver, waiting })
}

impl Queue {
    pub(crate) fn push(&self, command: Command) {
        // It ends after this does, or with the process.
        let _ = self.commands.send(command);
    }

    /// Whether there was room for the message.
    pub(crate) fn push_message(&self, message: String) -> bool {
        let bytes = message.len();
        if self.waiting.load(Ordering::Relaxed) + bytes > MESSAGES_BYTES_MAX {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.push(Command::Send(message));
        true
    }
}

/// What the task knows.
struct Task {
    connection: Connection,
    outlet: Outlet,
    /// Whether there is to be a connection.
    wanted: bool,
    /// What waits behind a message that found no room.
    held: VecDeque<Command>,
    /// The bytes of messages that wait, here and on their way here.
    waiting: Arc<AtomicUsize>,
}

/// Runs until nobody can want anything any more.
pub(crate) async fn run(connection: Connection, received: Received, outlet: Outlet) {
    let Received { mut commands, waiting } = received;
    let mut task = Task { connection, outlet, wanted: false, held: VecDeque::new(), waiting };
    while task.outlet.flush() {
        select! {
            biased;
            command = commands.recv() => match command {
                Some(command) => task.take(command).await,
                None => break,
            },
            () = task.outlet.taken() => {}
            // What JavaScript is too slow for stays with the kernel, and then with the server.
            told = task.connection.next(), if task.wanted && !task.outlet.batch.is_full() => match told {
                Ok(notice) => {
                    let goes_on = matches!(notice, Notice::Room | Notice::Lost { .. });
                    task.outlet.batch.add(notice, task.connection.message());
                    if goes_on {
                        task.go_on();
                    }
                }
                Err(why) => {
                    task.wanted = false;
                    task.outlet.batch.ended(&why);
                    task.go_on();
                }
            },
        }
    }
    task.connection.disconnect().await;
}

impl Task {
    /// Obeys, or lets the command wait behind others. The end of the connection waits for nothing.
    async fn take(&mut self, command: Command) {
        if let Command::Disconnect = command {
            self.connection.disconnect().await;
            self.go_on();
            self.wanted = false;
            self.outlet.batch.stopped();
        } else if self.held.is_empty() {
            self.obey(command);
        } else {
            self.held.push_back(command);
        }
    }

    /// There is room again, or nobody to send anything to.
    fn go_on(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        while self.held.is_empty()
            && let Some(command) = held.pop_front()
        {
            self.obey(command);
        }
        self.held.append(&mut held);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Connect => {
                self.wanted = true;
                self.connection.connect();
            }
            Command::Subscribe(channel) => {
                if let Err(why) = self.connection.subscribe(&channel) {
                    self.outlet.batch.not_subscribed(&channel, &why);
                }
            }
            Command::Unsubscribe(channel) => {
                self.connection.unsubscribe(&channel);
            }
            Command::Send(message) => match self.connection.send_text(message.clone()) {
                // It is told when there is.
                Err(SendError::Full { .. }) => self.held.push_back(Command::Send(message)),
                // That the connection was lost is told, or is what was asked for.
                _ => {
                    self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
                }
            },
            Command::SignIn => {
                if let Err(why) = self.connection.sign_in() {
                    self.outlet.batch.not_signed_in(&why);
                }
            }
            // It was obeyed before all others.
            Command::Disconnect => {}
        }
    }
}
