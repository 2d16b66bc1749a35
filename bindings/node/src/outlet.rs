//! The way of batches to JavaScript, one at a time.

use crate::batch::Batch;
use napi::Status;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::Notify;

/// Calls from any thread, and does not keep the process from ending: that is decided in JavaScript.
type Callback = ThreadsafeFunction<String, (), String, Status, false, true>;

pub(crate) struct Outlet {
    callback: Callback,
    /// Notified when JavaScript has handed a batch on.
    taken: Arc<Notify>,
    /// Whether a batch is with JavaScript.
    is_busy: bool,
    /// What comes next.
    pub(crate) batch: Batch,
}

impl Outlet {
    pub(crate) fn new(callback: &Function<'_, String, ()>, taken: Arc<Notify>) -> napi::Result<Self> {
        let callback = callback.build_threadsafe_function::<String>().weak::<true>().build()?;
        Ok(Self { callback, taken, is_busy: false, batch: Batch::default() })
    }

    /// Gives JavaScript what was gathered, if it has handed on the last batch. False if JavaScript has ended.
    pub(crate) fn flush(&mut self) -> bool {
        if self.is_busy || self.batch.is_empty() {
            return true;
        }
        self.is_busy = true;
        self.callback.call(self.batch.take(), ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok
    }

    /// Waits until JavaScript has handed on the batch that it has; for ever if it has none. Dropping it midway loses nothing.
    pub(crate) async fn taken(&mut self) {
        if !self.is_busy {
            return pending().await;
        }
        self.taken.notified().await;
        self.is_busy = false;
    }
}
