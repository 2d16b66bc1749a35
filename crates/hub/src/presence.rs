//! The members of one presence channel: distinct users, each with its connections.

use crate::{Member, MemberList, SocketId};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Empty and without memory of its own until the first member comes.
#[derive(Debug, Default)]
pub(crate) struct Members {
    users: Option<Box<Users>>,
}

#[derive(Debug, Default)]
struct Users {
    by_id: HashMap<Arc<str>, Presence, foldhash::fast::FixedState>,
    /// The list as it is now, if somebody asked since it last changed.
    list: Option<Arc<MemberList>>,
}

#[derive(Debug)]
struct Presence {
    /// What the connection that came last says.
    member: Arc<Member>,
    connections: SmallVec<[SocketId; 1]>,
    /// Connections that want a private channel with each other member.
    peers: u32,
}

impl Members {
    pub(crate) fn len(&self) -> u32 {
        self.users.as_ref().map_or(0, |users| u32::try_from(users.by_id.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn contains(&self, user_id: &str) -> bool {
        self.find(user_id).is_some()
    }

    /// Counts one more connection of the member and takes over what it says of itself (P-7.7). Returns whether the user is new.
    pub(crate) fn join(&mut self, member: &Arc<Member>, socket: SocketId) -> bool {
        let users = self.users.get_or_insert_default();
        match users.by_id.get_mut(&*member.user_id) {
            Some(presence) => {
                presence.connections.push(socket);
                presence.peers += u32::from(member.peer);
                if presence.member != *member {
                    presence.member = Arc::clone(member);
                    users.list = None;
                }
                false
            }
            None => {
                users.list = None;
                let presence =
                    Presence { member: Arc::clone(member), connections: SmallVec::from_iter([socket]), peers: u32::from(member.peer) };
                users.by_id.insert(Arc::clone(&member.user_id), presence);
                true
            }
        }
    }

    /// Counts one connection less. Returns whether it was the user's last.
    pub(crate) fn leave(&mut self, member: &Member, socket: SocketId) -> bool {
        let Some(users) = &mut self.users else { return false };
        let Some(presence) = users.by_id.get_mut(&*member.user_id) else { return false };
        if let Some(place) = presence.connections.iter().position(|other| *other == socket) {
            presence.connections.remove(place);
            presence.peers -= u32::from(member.peer);
        }
        if !presence.connections.is_empty() {
            return false;
        }
        users.by_id.remove(&*member.user_id);
        users.list = None;
        if users.by_id.is_empty() {
            self.users = None;
        }
        true
    }

    /// A connection of the user says something new of itself.
    pub(crate) fn replace(&mut self, before: &Member, member: &Arc<Member>, socket: SocketId) {
        let Some(users) = &mut self.users else { return };
        let Some(presence) = users.by_id.get_mut(&*member.user_id) else { return };
        // The last that came is the one that says what the user is.
        if let Some(place) = presence.connections.iter().position(|other| *other == socket) {
            presence.connections.remove(place);
            presence.connections.push(socket);
        }
        presence.peers = presence.peers + u32::from(member.peer) - u32::from(before.peer);
        presence.member = Arc::clone(member);
        users.list = None;
    }

    /// Whether the user has one connection only.
    pub(crate) fn is_last(&self, user_id: &str) -> bool {
        self.find(user_id).is_some_and(|presence| presence.connections.len() == 1)
    }

    /// The list as it is now; `None` while there is no member.
    pub(crate) fn list(&mut self) -> Option<Arc<MemberList>> {
        let users = self.users.as_mut()?;
        let list = users.list.get_or_insert_with(|| {
            let mut members: Vec<_> = users.by_id.values().map(|presence| Arc::clone(&presence.member)).collect();
            // The map's order must not reach the wire.
            members.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
            Arc::new(MemberList::new(members))
        });
        Some(Arc::clone(list))
    }

    /// The connections of both users, if both are here and one of them wants the pair's channel (I-2.10).
    pub(crate) fn pair(&self, one: &str, other: &str) -> Option<impl Iterator<Item = SocketId>> {
        let (one, other) = (self.find(one)?, self.find(other)?);
        let active = one.peers + other.peers > 0 && one.member.user_id != other.member.user_id;
        active.then(|| one.connections.iter().chain(&other.connections).copied())
    }

    /// Those with whom the user has an active pair, in byte order.
    pub(crate) fn partners(&self, user_id: &str) -> Vec<Arc<str>> {
        let (Some(users), Some(own)) = (&self.users, self.find(user_id)) else { return Vec::new() };
        let others = users.by_id.values().filter(|other| other.member.user_id != own.member.user_id && own.peers + other.peers > 0);
        let mut partners: Vec<_> = others.map(|other| Arc::clone(&other.member.user_id)).collect();
        partners.sort_unstable();
        partners
    }

    fn find(&self, user_id: &str) -> Option<&Presence> {
        self.users.as_ref()?.by_id.get(user_id)
    }
}
