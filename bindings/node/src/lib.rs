//! The native part of the npm package `tidings-client`: everything up to decoded messages. The emitters, channels and members of its
//! interface are JavaScript, in `lib/`.

mod batch;
mod options;
mod outlet;
mod task;

use crate::outlet::Outlet;
use crate::task::{Command, Queue};
use napi::bindgen_prelude::Function;
use napi_derive::napi;
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

/// One connection, kept up by a task of its own. What happens comes in batches, of which one at most is with JavaScript: the next one
/// follows when `taken` is called. When the object is collected, the connection ends.
#[napi]
pub struct NativeClient {
    commands: Queue,
    taken: Arc<Notify>,
}

#[napi]
impl NativeClient {
    /// `options` is what `lib/options.js` writes, a batch what `batch.rs` does. Nothing is connected yet.
    #[napi(constructor)]
    pub fn new(options: String, on_batch: Function<'_, String, ()>) -> napi::Result<Self> {
        let connection = options::connection(&options).map_err(napi::Error::from_reason)?;
        let taken = Arc::new(Notify::new());
        let outlet = Outlet::new(&on_batch, Arc::clone(&taken))?;
        let (commands, received) = task::queue();
        runtime()?.spawn(task::run(connection, received, outlet));
        Ok(Self { commands, taken })
    }

    #[napi]
    pub fn connect(&self) {
        self.commands.push(Command::Connect);
    }

    /// Answered by the notice `stopped`.
    #[napi]
    pub fn disconnect(&self) {
        self.commands.push(Command::Disconnect);
    }

    #[napi]
    pub fn subscribe(&self, channel: String) {
        self.commands.push(Command::Subscribe(channel));
    }

    #[napi]
    pub fn unsubscribe(&self, channel: String) {
        self.commands.push(Command::Unsubscribe(channel));
    }

    /// Sends a message. False if too much waits to be sent.
    #[napi]
    pub fn send(&self, message: String) -> bool {
        self.commands.push_message(message)
    }

    #[napi]
    pub fn signin(&self) {
        self.commands.push(Command::SignIn);
    }

    /// The last batch has been handed on.
    #[napi]
    pub fn taken(&self) {
        self.taken.notify_one();
    }
}

/// The runtime of all connections of the process: one thread, which lives as long as the process.
fn runtime() -> napi::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread().worker_threads(1).thread_name("tidings-client").enable_all().build();
    let made = made.map_err(|cause| napi::Error::from_reason(format!("cannot start a thread: {cause}")))?;
    Ok(RUNTIME.get_or_init(|| made))
}
