//! A shard: a thread that owns its connections. Nothing in it is shared, so nothing in it is locked.
//!
//! One turn: look at sockets, take what waits in the inbox and mark its subscribers, then write. Small fan-outs are written whole,
//! of the large ones one slice a turn, so that nobody is held up and what arrives meanwhile joins the writes still to come.

pub(crate) mod bound;
mod fan_out;
mod handle;
pub(crate) mod outgoing;
mod polls;
pub(crate) mod socket;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod tls;
mod wheel;

use crate::connection::{Connection, Core, Handshake, Requests, Stage, Verdict};
use crate::http;
use crate::listener::{Acceptor, assign};
use crate::node::Node;
use crate::transport::sockjs;
use crate::transport::websocket::Inflater;
use crate::wire::Encoder;
use bound::Bounds;
pub(crate) use handle::{Arrival, Command, Listed, Seed, ShardHandle, Upgraded};
use mio::{Events, Interest, Poll, Token};

use handle::WAKE;
use outgoing::{Flushed, Outgoing, Urgency};
use polls::Sessions;
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use table::Table;
use tidings_dialect::action::{Actions, Input};
use tidings_hub::{AppId, Inbox, Item, PLACES_MAX, SocketId, Time};
use wheel::{Alarm, Wheel};

const LISTENERS: usize = usize::MAX / 2;
/// What one read may bring.
const READ_BYTES: usize = 64 * 1024;
/// Reads from one socket before others get their turn.
const READS_PER_TURN: usize = 4;
/// Urgent writes before sockets and inbox are looked at again.
const FIRST_PER_TURN: usize = 1024;
/// Looks at the clock that closing connections evenly takes.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// The thread's own.
pub(crate) struct Shard {
    core: Core,
    poll: Poll,
    acceptor: Option<Acceptor>,
    connections: Slab<Connection>,
    commands: Arc<Mutex<Vec<Command>>>,
    inbox: Arc<Inbox>,
    items: VecDeque<Item>,
    wheel: Wheel,
    encoder: Encoder,
    inflater: Inflater,
    buffer: Vec<u8>,
    /// Connections with more to read than a turn may handle.
    again: Vec<u32>,
    /// Connections that wait for room.
    parked: Vec<(u32, u32)>,
    /// Connections that a fan-out found too slow.
    overflowed: Vec<u32>,
    due: Vec<(u64, Alarm)>,
    generations: u32,
    /// Sessions over HTTP, by the number of their mount.
    sessions: Vec<Sessions>,
    /// Names responses that take frames.
    receivers: u32,
    drain: Option<Draining>,
    stopped: bool,
}

/// How far closing all connections is.
struct Draining {
    since: Time,
    over: Duration,
    total: usize,
    closed: usize,
}

impl Seed {
    /// Becomes the shard of that number. With an acceptor it accepts for itself.
    pub(crate) fn build(self, node: Arc<Node>, number: usize, acceptor: Option<Acceptor>) -> Shard {
        let now = node.clock.now();
        let outgoing = Outgoing::new(Arc::clone(node.hub.budget()), node.limits.pending_bytes, Bounds::of_relays(&node));
        let encoder = Encoder::new(node.hub.epoch());
        let core = Core {
            node,
            number,
            now,
            table: Table::default(),
            outgoing,
            stats: self.stats,
            responses: http::response::Writer::default(),
            actions: Actions::new(),
            polls: sockjs::Actions::new(),
        };
        Shard {
            core,
            poll: self.poll,
            acceptor,
            connections: Slab::new(),
            commands: self.commands,
            inbox: self.inbox,
            items: VecDeque::new(),
            wheel: Wheel::new(now),
            encoder,
            inflater: Inflater::default(),
            buffer: vec![0; READ_BYTES],
            again: Vec::new(),
            parked: Vec::new(),
            overflowed: Vec::new(),
            due: Vec::new(),
            generations: 0,
            sessions: Vec::new(),
            receivers: 0,
            drain: None,
            stopped: false,
        }
    }
}

/// The first token of the sockets that a shard accepts on.
pub(crate) const FIRST_LISTENER: usize = LISTENERS;

impl Shard {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// If the system's poll fails, which it does only by a fault of ours.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.stopped {
            let sleep = self.sleep();
            if let Err(error) = self.poll.poll(&mut events, sleep)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            self.inbox.wake_up();
            self.core.now = self.core.node.clock.now();
            self.core.stats.turns.add(1);
            for event in &events {
                self.ready(event);
            }
            self.turn();
        }
        Ok(())
    }

    /// How long nothing needs to be done; `None` for ever.
    fn sleep(&mut self) -> Option<Duration> {
        let now = self.core.now;
        let outgoing = &self.core.outgoing;
        if outgoing.has_marked() || !self.items.is_empty() || !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        if !self.inbox.fall_asleep() || !self.commands.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Some(Duration::ZERO);
        }
        if !self.parked.is_empty() && self.core.node.has_room() {
            return Some(Duration::ZERO);
        }
        let accept = self.acceptor.as_ref().and_then(|acceptor| acceptor.sleep(now));
        let drain = self.drain.is_some().then_some(DRAIN_STEP);
        [self.wheel.sleep(now), accept, drain].into_iter().flatten().min()
    }

    /// How many connections wait for room.
    #[cfg(test)]
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Has all connections resumed in the next turn, as if they had had more to read than this one may handle.
    #[cfg(test)]
    pub(crate) fn look_again(&mut self) {
        self.again.extend(self.connections.iter().map(|(slot, _)| slot as u32));
    }

    fn ready(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == WAKE {
            return;
        }
        if let Some(acceptor) = &mut self.acceptor
            && acceptor.owns(token)
        {
            return acceptor.wake(token);
        }
        let Ok(slot) = u32::try_from(token.0) else { return };
        if !self.connections.contains(token.0) {
            return;
        }
        if event.is_writable() && self.core.outgoing.is_blocked(slot) {
            self.flush(slot);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let hung_up = event.is_read_closed() || event.is_error();
            if let Some(connection) = self.connections.get_mut(slot as usize) {
                connection.note_hang_up(hung_up);
            }
            self.read(slot, hung_up);
        }
    }

    /// Does all there is to do but looking at sockets.
    pub(crate) fn turn(&mut self) {
        self.accept();
        self.obey();
        for slot in std::mem::take(&mut self.again) {
            self.resume(slot);
        }
        self.take_items();
        self.unpark();
        self.write_turn();
        self.tally();
        self.ring();
        self.drain_some();
        self.core.stats.subscriptions.set(self.core.table.len() as u64);
        self.core.node.made_room();
    }

    fn accept(&mut self) {
        let Some(mut acceptor) = self.acceptor.take() else { return };
        acceptor.accept(self.core.now, |arrival| {
            self.core.stats.connections.fetch_add(1, Ordering::Relaxed);
            self.open(arrival);
        });
        self.acceptor = Some(acceptor);
    }

    /// Takes a socket in.
    fn open(&mut self, arrival: Arrival) {
        let Arrival { mut socket, peer, listener, guard, read, upgraded, begun } = arrival;
        if self.connections.len() >= PLACES_MAX {
            self.core.stats.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let entry = self.connections.vacant_entry();
        let slot = entry.key();
        let interests = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut socket, Token(slot), interests) {
            tracing::warn!(%error, "a socket could not be watched");
            self.core.stats.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.generations = self.generations.wrapping_add(1);
        let deadline = self.core.now + self.core.node.limits.header_timeout;
        let tls = socket.is_tls();
        let proxied = listener.expects_proxy_header(peer.hop) && !tls && upgraded.is_none() && !begun;
        let stage = Stage::Http(Box::new(Requests::new(Vec::new(), proxied, deadline)));
        let (slot, generation) = (slot as u32, self.generations);
        let now = self.core.now;
        entry.insert(Connection { socket, slot, generation, alarm: 0, stalled: now, stage, listener, peer, guard: Some(guard) });
        self.core.outgoing.open(slot as usize);
        self.core.table.reserve(slot as usize);
        self.arm(slot);
        if let Some(upgraded) = upgraded {
            self.call(slot, |connection, core, _| {
                let Upgraded { path, query, origin, forwarded_proto, deflate } = &upgraded;
                let handshake =
                    Handshake { path, query, origin: origin.as_deref(), forwarded_proto: forwarded_proto.as_deref(), headers: &[] };
                connection.open_session(&handshake, b"", *deflate, core);
                Verdict::Keep
            });
        }
        let mut read = read;
        if !read.is_empty() {
            self.call(slot, |connection, core, inflater| connection.receive(&mut read, core, inflater));
        }
        if tls {
            // What is decrypted already will not be announced again.
            self.read(slot, false);
        }
    }

    /// Calls a connection and does what it says. A panic costs that connection only.
    fn call(&mut self, slot: u32, step: impl FnOnce(&mut Connection, &mut Core, &mut Inflater) -> Verdict) -> bool {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return false };
        let (core, inflater) = (&mut self.core, &mut self.inflater);
        let called = catch_unwind(AssertUnwindSafe(|| step(&mut *connection, &mut *core, &mut *inflater)));
        let verdict = called.unwrap_or_else(|_| {
            // What it left in the scratch is of no more use.
            *inflater = Inflater::default();
            let said = catch_unwind(AssertUnwindSafe(|| connection.fault(&mut *core)));
            if said.is_ok() { Verdict::Keep } else { Verdict::Drop }
        });
        match verdict {
            Verdict::Keep => {}
            Verdict::Again => self.again.push(slot),
            Verdict::Park => {
                self.parked.push((slot, connection.generation));
                self.arm(slot);
                return false;
            }
            Verdict::HandOver(read) => {
                self.hand_over(slot, read);
                return false;
            }
            Verdict::Move { shard, read } => {
                self.move_to(shard, slot, read);
                return false;
            }
            Verdict::Visit(visit) => self.visit(slot, *visit),
            Verdict::Drop => {
                self.drop_connection(slot);
                return false;
            }
        }
        if self.connections.get(slot as usize).is_some_and(Connection::is_polled) {
            self.pass_on(slot);
        }
        self.arm(slot);
        self.connections.contains(slot as usize)
    }

    /// Reads what the socket has, within a turn's share. `to_end` if the peer has closed its side: the end must be seen too.
    fn read(&mut self, slot: u32, to_end: bool) {
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.connections.get_mut(slot as usize) else { return };
            if connection.receives_in_vain() {
                // It has nothing more to ask, and waits for nothing; what it was answered before may still reach it.
                self.flush(slot);
                return self.drop_connection(slot);
            }
            if connection.is_parked() {
                return;
            }
            match connection.socket.read(&mut self.buffer) {
                Ok(0) => {
                    // It may have said all it had and still listen.
                    self.flush(slot);
                    return self.drop_connection(slot);
                }
                Ok(read) => {
                    let drained = read < self.buffer.len() && connection.socket.short_read_is_last() && !to_end;
                    self.core.stats.read_bytes.add(read as u64);
                    let mut buffer = std::mem::take(&mut self.buffer);
                    let go_on = self.call(slot, |connection, core, inflater| connection.receive(&mut buffer[..read], core, inflater));
                    self.buffer = buffer;
                    if !go_on || drained {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.drop_connection(slot),
            }
        }
        self.again.push(slot);
    }

    /// Goes on with a connection that had more than a turn's share.
    fn resume(&mut self, slot: u32) {
        if self.call(slot, |connection, core, inflater| connection.receive(&mut [], core, inflater)) {
            self.read(slot, true);
        }
    }

    /// Lets those who waited for room go on.
    fn unpark(&mut self) {
        if self.parked.is_empty() || !self.core.node.has_room() {
            return;
        }
        for (slot, generation) in std::mem::take(&mut self.parked) {
            if let Some(connection) = self.connections.get_mut(slot as usize)
                && connection.generation == generation
            {
                connection.unpark();
                self.resume(slot);
            }
        }
    }

    fn obey(&mut self) {
        let commands = std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner));
        for command in commands {
            match command {
                Command::Open(arrival) => self.open(*arrival),
                Command::End { socket, end } => {
                    self.tell(socket, Input::End(end));
                }
                Command::Stored { slot, generation, outcome } => {
                    if self.connections.get(slot as usize).is_some_and(|connection| connection.generation == generation)
                        && self.call(slot, |connection, core, _| connection.stored(outcome, core))
                    {
                        self.resume(slot);
                    }
                }
                Command::NotStored { socket, channel, event, error } => {
                    self.tell(socket, Input::NotStored { channel: &channel, event: &event, why: &error.to_string() });
                }
                Command::Answered { socket, answer } => self.answered(socket, Input::Answered(answer)),
                Command::Commanded { socket, answer } => self.answered(socket, Input::Commanded(answer)),
                Command::Say { app, socket, message } => self.say(&app, socket, &message),
                Command::List { app, only, reply } => drop(reply.send(self.list(&app, only))),
                Command::Reload(apps) => {
                    let slots: Vec<_> = self.connections.iter().map(|(slot, _)| slot as u32).collect();
                    for slot in slots {
                        self.call(slot, |connection, core, _| {
                            connection.reload(&apps, core);
                            Verdict::Keep
                        });
                    }
                }
                Command::Drain(over) => {
                    self.acceptor = None;
                    self.drain = Some(Draining { since: self.core.now, over, total: self.connections.len(), closed: 0 });
                }
                Command::Stop => self.stopped = true,
                #[cfg(test)]
                Command::Call(call) => call(self),
            }
        }
    }

    /// Gives the session of that id an input; `false` if it is not there, or not any more.
    fn tell(&mut self, socket: SocketId, input: Input<'_>) -> bool {
        let slot = socket.place();
        self.connections.get(slot).is_some_and(|connection| connection.socket_id() == Some(socket))
            && self.call(slot as u32, |connection, core, _| {
                connection.step(input, core);
                Verdict::Keep
            })
    }

    /// Says something to a session, if it is one of the app's.
    fn say(&mut self, app: &AppId, socket: SocketId, message: &[u8]) {
        let slot = socket.place();
        if self.connections.get(slot).is_some_and(|connection| connection.socket_id() == Some(socket)) {
            self.call(slot as u32, |connection, core, _| {
                connection.say(app, message, core);
                Verdict::Keep
            });
        }
    }

    /// Gives a session the answer that it waits for, and goes on with what its peer sent meanwhile.
    fn answered(&mut self, socket: SocketId, answer: Input<'_>) {
        let slot = socket.place();
        if self.connections.get(slot).is_some_and(|connection| connection.socket_id() == Some(socket))
            && self.call(slot as u32, |connection, core, inflater| connection.answered(answer, core, inflater))
        {
            self.read(slot as u32, true);
        }
    }

    /// The connections of an app, with their channels.
    fn list(&self, app: &AppId, only: Option<SocketId>) -> Vec<Listed> {
        let wanted = |connection: &&Connection| only.is_none_or(|only| connection.socket_id() == Some(only));
        let connections = self.connections.iter().map(|(_, connection)| connection).filter(wanted);
        connections.filter_map(|connection| connection.listed(app, &self.core)).collect()
    }

    /// Takes what waited in the inbox when the turn began, unless some connection is owed more than may be put off.
    fn take_items(&mut self) {
        if self.items.is_empty() {
            let mut items: Vec<Item> = std::mem::take(&mut self.items).into();
            self.inbox.take(&mut items);
            self.items = items.into();
        }
        while !self.core.outgoing.is_heavy() {
            match self.items.pop_front() {
                None => return,
                Some(Item::Event(event)) => self.fan_out(&event, &[]),
                Some(Item::Peer(sent)) => self.fan_out(&sent.event, &sent.sockets),
                Some(Item::Once(list)) => self.fan_out_each(&list),
                Some(Item::Follow { channel_id, alias, added }) => self.follow(channel_id, &alias, added),
                Some(Item::Watched { socket, user_id, online }) => {
                    self.tell(socket, Input::Watched { user_id: &user_id, online });
                }
                Some(Item::Lost { channel_id }) => self.lose(channel_id),
            }
        }
    }

    /// Writes the urgent, then one slice of the rest.
    fn write_turn(&mut self) {
        for _ in 0..FIRST_PER_TURN {
            let Some(slot) = self.core.outgoing.next_marked(Urgency::First) else { break };
            self.flush(slot);
        }
        for _ in 0..self.core.node.limits.slice_connections {
            let Some(slot) = self.core.outgoing.next_marked(Urgency::Second) else { break };
            self.flush(slot);
        }
    }

    /// Writes what a connection is owed.
    fn flush(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        if connection.is_polled() {
            return self.pass_on(slot);
        }
        let was_blocked = self.core.outgoing.is_blocked(slot);
        let (outgoing, socket) = (&mut self.core.outgoing, &mut connection.socket);
        let before = outgoing.owed(slot);
        let flushed = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            crate::fault::strike(crate::fault::Place::Write);
            outgoing.flush(slot, socket)
        }));
        self.core.stats.writes.add(1);
        self.core.stats.written_bytes.add(before.saturating_sub(self.core.outgoing.owed(slot)) as u64);
        match flushed {
            Ok(Flushed::All) if connection.is_content() => {}
            Ok(Flushed::All) => match connection.after_flush(&self.core) {
                Verdict::Drop => self.drop_connection(slot),
                Verdict::Again => self.again.push(slot),
                _ => {}
            },
            Ok(Flushed::Blocked { progress }) => {
                if progress || !was_blocked {
                    connection.stalled = self.core.now;
                }
                self.arm(slot);
            }
            Ok(Flushed::Failed(error)) => {
                tracing::debug!(%error, "a socket failed");
                self.drop_connection(slot);
            }
            Err(_) => {
                // What left before the fault is not known: nothing more can be said on this socket.
                self.core.stats.panics.add(1);
                self.drop_connection(slot);
            }
        }
    }

    /// Sees to it that the wheel looks at the connection by its next deadline.
    fn arm(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let deadline = connection.next_deadline(&self.core);
        if connection.alarm == 0 || Wheel::slot_of(deadline) < connection.alarm {
            connection.alarm = self.wheel.arm(deadline, Alarm { slot, generation: connection.generation });
        }
    }

    /// Calls those whose time has come.
    fn ring(&mut self) {
        self.wheel.turn(self.core.now, &mut self.due);
        for (from, alarm) in std::mem::take(&mut self.due) {
            let Some(connection) = self.connections.get_mut(alarm.slot as usize) else { continue };
            if connection.generation != alarm.generation || connection.alarm != from {
                continue;
            }
            connection.alarm = 0;
            self.call(alarm.slot, |connection, core, inflater| connection.tick(core, inflater));
        }
    }

    /// Closes as many connections as the time that has passed asks for.
    fn drain_some(&mut self) {
        let Some(draining) = &mut self.drain else { return };
        let passed = self.core.now.since(draining.since);
        let target = if passed >= draining.over {
            usize::MAX
        } else {
            (draining.total as f64 * passed.as_secs_f64() / draining.over.as_secs_f64()).ceil() as usize
        };
        let want = target.saturating_sub(draining.closed);
        if want == 0 {
            return;
        }
        let slots: Vec<u32> =
            self.connections.iter().filter(|(_, connection)| connection.is_drainable()).take(want).map(|(slot, _)| slot as u32).collect();
        if let Some(draining) = &mut self.drain {
            draining.closed += slots.len();
        }
        for slot in slots {
            self.call(slot, |connection, core, _| connection.drain(core));
        }
    }

    /// Gives a socket, and what was read from it, to the service beside the shards.
    fn hand_over(&mut self, slot: u32, read: Vec<u8>) {
        let Some(mut connection) = self.remove(slot) else { return };
        if self.poll.registry().deregister(&mut connection.socket).is_err() {
            return;
        }
        if let Some(arrival) = arrival(connection, read) {
            http::service::take_over(&self.core.node, arrival);
        }
    }

    /// Gives a socket, and what was read from it, to another shard.
    fn move_to(&mut self, shard: usize, slot: u32, read: Vec<u8>) {
        let Some(mut connection) = self.remove(slot) else { return };
        if self.poll.registry().deregister(&mut connection.socket).is_err() {
            return;
        }
        if let Some(arrival) = arrival(connection, read) {
            self.core.node.shards[shard].command(Command::Open(Box::new(arrival)));
        }
    }

    fn drop_connection(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let core = &mut self.core;
        if catch_unwind(AssertUnwindSafe(|| connection.dropped(core))).is_err() {
            self.core.stats.panics.add(1);
        }
        if let Some(mut connection) = self.remove(slot) {
            self.forget(&mut connection);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<Connection> {
        let connection = self.connections.try_remove(slot as usize)?;
        self.core.outgoing.close(slot);
        if !connection.is_polled() {
            self.core.stats.connections.fetch_sub(1, Ordering::Relaxed);
        }
        Some(connection)
    }
}

/// A connection on its way to somebody else, who goes on where it stood.
fn arrival(connection: Connection, read: Vec<u8>) -> Option<Arrival> {
    let Connection { socket, peer, listener, guard, .. } = connection;
    Some(Arrival { socket, peer, listener, guard: guard?, read, upgraded: None, begun: true })
}

/// Accepts for several shards, on a thread of its own, until the node drains.
pub(crate) fn accept_for_all(node: &Node, mut poll: Poll, mut acceptor: Acceptor) -> io::Result<()> {
    let mut events = Events::with_capacity(64);
    while !node.is_draining() {
        let sleep = acceptor.sleep(node.clock.now());
        match poll.poll(&mut events, sleep.or(Some(Duration::from_millis(200)))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            acceptor.wake(event.token());
        }
        acceptor.accept(node.clock.now(), |arrival| assign(node, arrival));
    }
    Ok(())
}
