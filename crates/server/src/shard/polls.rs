//! Sessions over HTTP: where they are found, and how what they want done reaches the connections that take it.

use super::socket::Socket;
use super::{Shard, Verdict};
use crate::connection::{Connection, Errand, Polled, Receiving, Stage, Visit};
use crate::listener::Peer;
use crate::transport::sockjs::{Action, Inbound, ReceiverId};
use bytes::Bytes;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tidings_hub::PLACES_MAX;

/// The sessions of a mount by their names, each with the slot of its connection.
pub(super) type Sessions = HashMap<String, u32, foldhash::quality::RandomState>;

impl Shard {
    /// Brings a request to the session that it is for.
    pub(super) fn visit(&mut self, slot: u32, visit: Visit) {
        let Visit { mount, session, errand } = visit;
        let known = self.sessions.get(mount.number).and_then(|sessions| sessions.get(&session)).copied();
        match errand {
            Errand::Send { messages, sent, unknown } => {
                let heard = known.is_some_and(|known| self.bring(known, &messages));
                self.call(slot, |connection, core, _| connection.end_visit(if heard { sent } else { unknown }, core));
            }
            Errand::Receive { framing, chunked, head, hello, full } => {
                if let Some(known) = known {
                    let id = self.begin_receiving(slot, known, chunked, head);
                    self.call(known, |connection, core, _| {
                        connection.attach(id, framing, core);
                        Verdict::Keep
                    });
                    return;
                }
                let admitted = !self.core.node.is_draining() && mount.admit(hello.address);
                let Some(new) = admitted.then(|| self.vacant(slot, hello.address)).flatten() else {
                    if admitted {
                        mount.release(hello.address);
                    }
                    self.call(slot, |connection, core, _| connection.end_visit(full, core));
                    return;
                };
                let id = self.begin_receiving(slot, new, chunked, head);
                let polled = Polled::begin(Arc::clone(&mount), session.clone(), hello, id, framing, &mut self.core);
                self.connections[new as usize].stage = Stage::Polled(Box::new(polled));
                if self.sessions.len() <= mount.number {
                    self.sessions.resize_with(mount.number + 1, Sessions::default);
                }
                self.sessions[mount.number].insert(session, new);
                self.perform(new);
                self.arm(new);
            }
        }
    }

    /// A connection without a socket, for who came in on that of `slot`.
    fn vacant(&mut self, slot: u32, address: Option<IpAddr>) -> Option<u32> {
        if self.connections.len() >= PLACES_MAX {
            return None;
        }
        let connection = self.connections.get(slot as usize)?;
        let (tls, listener) = (connection.socket.is_tls(), Arc::clone(&connection.listener));
        let peer = Peer { address, hop: connection.peer.hop, guards: Vec::new() };
        self.generations = self.generations.wrapping_add(1);
        let (generation, now) = (self.generations, self.core.now);
        let entry = self.connections.vacant_entry();
        let new = entry.key();
        entry.insert(Connection {
            socket: Socket::Away { tls },
            slot: new as u32,
            generation,
            alarm: 0,
            stalled: now,
            stage: Stage::Gone,
            listener,
            peer,
            guard: None,
        });
        self.core.outgoing.open(new);
        self.core.table.reserve(new);
        Some(new as u32)
    }

    /// Begins the response of `slot`, which takes what the session of `session` has to say.
    fn begin_receiving(&mut self, slot: u32, session: u32, chunked: bool, head: Bytes) -> ReceiverId {
        self.receivers = self.receivers.wrapping_add(1);
        let id = ReceiverId(u64::from(slot) << 32 | u64::from(self.receivers));
        let generation = self.connections[session as usize].generation;
        self.call(slot, |connection, core, _| {
            connection.begin_receiving(head, Receiving { slot: session, generation, id, chunked }, core);
            Verdict::Keep
        });
        id
    }

    /// Brings messages to a session.
    fn bring(&mut self, session: u32, messages: &[Inbound<'_>]) -> bool {
        let mut heard = false;
        self.call(session, |connection, core, _| {
            heard = connection.hear(messages, core);
            Verdict::Keep
        });
        heard
    }

    /// How many sessions can be found here.
    #[cfg(test)]
    pub(crate) fn sessions_over_http(&self) -> usize {
        self.sessions.iter().map(HashMap::len).sum()
    }

    /// Passes on what a session was queued.
    pub(super) fn pass_on(&mut self, slot: u32) {
        let Some(connection) = self.connections.get_mut(slot as usize) else { return };
        let receiver = connection.polled().and_then(|polled| polled.receiver());
        let owed = receiver.and_then(|id| self.receiver(id)).map_or(0, |receiver| self.core.outgoing.owed(receiver));
        if let Some(connection) = self.connections.get_mut(slot as usize) {
            connection.pass_on(owed, &mut self.core);
        }
        self.perform(slot);
    }

    /// Does what a session wants done.
    pub(super) fn perform(&mut self, slot: u32) {
        while let Some(action) = self.core.polls.pop_front() {
            match action {
                Action::Opened => {
                    self.call(slot, |connection, core, _| {
                        connection.let_in(core);
                        Verdict::Keep
                    });
                }
                Action::Write { to, chunk } => self.with(to, |connection, core| connection.frame(&chunk, core)),
                Action::End(to) => self.with(to, Connection::end_receiving),
                Action::Cut(to) => {
                    if let Some(receiver) = self.receiver(to) {
                        self.core.outgoing.cut(receiver);
                    }
                }
                Action::Closed(ended) => {
                    if let Some(connection) = self.connections.get_mut(slot as usize) {
                        connection.gone(ended, &mut self.core);
                    }
                }
                Action::Over => self.drop_connection(slot),
            }
        }
    }

    /// The slot of a response that is still under way.
    fn receiver(&self, id: ReceiverId) -> Option<u32> {
        let slot = (id.0 >> 32) as u32;
        let connection = self.connections.get(slot as usize)?;
        connection.receiving().is_some_and(|receiving| receiving.id == id).then_some(slot)
    }

    fn with(&mut self, id: ReceiverId, step: impl FnOnce(&mut Connection, &mut crate::connection::Core)) {
        if let Some(slot) = self.receiver(id) {
            self.call(slot, |connection, core, _| {
                step(connection, core);
                Verdict::Keep
            });
        }
    }

    /// A connection is gone: the session that it took frames for hears of it, and one that it stood for is not found any more.
    pub(super) fn forget(&mut self, connection: &mut Connection) {
        if let Some(receiving) = connection.receiving()
            && self.connections.get(receiving.slot as usize).is_some_and(|session| session.generation == receiving.generation)
        {
            self.call(receiving.slot, |session, core, _| {
                session.cut(receiving.id, core);
                Verdict::Keep
            });
        }
        let address = connection.peer.address;
        let Some(polled) = connection.polled() else { return };
        let (mount, name) = polled.place();
        if let Some(sessions) = self.sessions.get_mut(mount.number) {
            sessions.remove(name);
        }
        mount.release(address);
        let receiver = polled.receiver().and_then(|id| self.receiver(id));
        if let Some(receiver) = receiver {
            self.drop_connection(receiver);
        }
    }
}
