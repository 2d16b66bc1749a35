//! The task of one connection: does what JavaScript wants and tells what happens, and waits while JavaScript is behind.

use crate::outlet::Outlet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidings_client::{Connection, SendError};
use tokio::select;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How many bytes of messages may wait for the task. What it has taken is bounded by the connection.
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

impl Received {
    async fn next(&mut self) -> Option<Command> {
        let command = self.commands.recv().await;
        if let Some(Command::Send(message)) = &command {
            self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
        }
        command
    }
}

/// Runs until nobody can want anything any more.
pub(crate) async fn run(mut connection: Connection, mut commands: Received, mut outlet: Outlet) {
    let mut wanted = false;
    while outlet.flush() {
        select! {
            biased;
            command = commands.next() => match command {
                Some(command) => obey(command, &mut connection, &mut wanted, &mut outlet).await,
                None => break,
            },
            () = outlet.taken() => {}
            // What JavaScript is too slow for stays with the kernel, and then with the server.
            told = connection.next(), if wanted && !outlet.batch.is_full() => match told {
                Ok(notice) => outlet.batch.add(notice, connection.message()),
                Err(why) => {
                    wanted = false;
                    outlet.batch.ended(&why);
                }
            },
        }
    }
    connection.disconnect().await;
}

async fn obey(command: Command, connection: &mut Connection, wanted: &mut bool, outlet: &mut Outlet) {
    match command {
        Command::Connect => {
            *wanted = true;
            connection.connect();
        }
        Command::Disconnect => {
            *wanted = false;
            connection.disconnect().await;
            outlet.batch.stopped();
        }
        Command::Subscribe(channel) => {
            if let Err(why) = connection.subscribe(&channel) {
                outlet.batch.not_subscribed(&channel, &why);
            }
        }
        Command::Unsubscribe(channel) => {
            connection.unsubscribe(&channel);
        }
        Command::Send(message) => match connection.send_text(message) {
            // That it was lost is told, or is what was asked for.
            Ok(()) | Err(SendError::NotConnected) => {}
            Err(why) => outlet.batch.not_sent(&why),
        },
        Command::SignIn => {
            if let Err(why) = connection.sign_in() {
                outlet.batch.not_signed_in(&why);
            }
        }
    }
}
