//! Scenes that need more than a client can do: faults at will, a clock that is moved, a shard that stands still.

#[path = "../../tests/it/client.rs"]
pub mod client;
#[path = "../../tests/it/poller.rs"]
pub mod poller;
#[path = "../../tests/it/redis.rs"]
pub mod redis;
#[path = "../../tests/it/scene.rs"]
pub mod scene;

mod admission;
mod commits;
mod fallback;
mod faults;
mod logins;
mod relay;
mod time;

use crate::shard::{Command, Shard};
use scene::Scene;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Held by each of these scenes: a fault strikes whichever server of the process comes first.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something on a shard's thread, between two of its turns.
fn on_shard<T: Send + 'static>(scene: &Scene, shard: usize, call: impl FnOnce(&mut Shard) -> T + Send + 'static) -> T {
    let (answer, answered) = channel();
    let call = Box::new(move |shard: &mut Shard| answer.send(call(shard)).unwrap());
    scene.server.node().shards[shard].command(Command::Call(call));
    answered.recv_timeout(client::FAILSAFE).expect("the shard runs")
}

/// A shard that does nothing until this is dropped.
struct Stalled(#[expect(dead_code, reason = "held for the end of it")] Sender<()>);

fn stall(scene: &Scene, shard: usize) -> Stalled {
    let (release, released) = channel::<()>();
    let (stalls, stalled) = channel();
    let call = Box::new(move |_: &mut Shard| {
        stalls.send(()).unwrap();
        // Nobody sends anything: it ends with the one who could.
        let _ = released.recv();
    });
    scene.server.node().shards[shard].command(Command::Call(call));
    stalled.recv_timeout(client::FAILSAFE).expect("the shard runs");
    Stalled(release)
}

/// Moves the clock of a server and lets its shards see it.
fn advance(scene: &Scene, by: Duration) {
    scene.server.node().clock.advance(by);
    for shard in 0..scene.server.node().shards.len() {
        // Once it has seen the call it looks at the clock; once it sees the next it has done what was due.
        on_shard(scene, shard, |_| ());
        on_shard(scene, shard, |_| ());
    }
}
