//! The members of one presence channel: distinct users, each with the number of its connections.

use crate::{Member, MemberList};
use bytes::Bytes;
use hashbrown::HashMap;
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
    user_info: Option<Bytes>,
    connections: u32,
}

impl Members {
    pub(crate) fn len(&self) -> u32 {
        self.users.as_ref().map_or(0, |users| u32::try_from(users.by_id.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn contains(&self, user_id: &str) -> bool {
        self.users.as_ref().is_some_and(|users| users.by_id.contains_key(user_id))
    }

    /// Counts one more connection of the member and takes over what it says of itself (P-7.7). Returns whether the user is new.
    pub(crate) fn join(&mut self, member: Member) -> bool {
        let users = self.users.get_or_insert_default();
        match users.by_id.get_mut(&*member.user_id) {
            Some(presence) => {
                presence.connections += 1;
                if presence.user_info != member.user_info {
                    presence.user_info = member.user_info;
                    users.list = None;
                }
                false
            }
            None => {
                users.list = None;
                users.by_id.insert(member.user_id, Presence { user_info: member.user_info, connections: 1 });
                true
            }
        }
    }

    /// Counts one connection less. Returns whether it was the user's last.
    pub(crate) fn leave(&mut self, user_id: &str) -> bool {
        let Some(users) = &mut self.users else { return false };
        let Some(presence) = users.by_id.get_mut(user_id) else { return false };
        presence.connections -= 1;
        if presence.connections > 0 {
            return false;
        }
        users.by_id.remove(user_id);
        users.list = None;
        if users.by_id.is_empty() {
            self.users = None;
        }
        true
    }

    /// The list as it is now; `None` while there is no member.
    pub(crate) fn list(&mut self) -> Option<Arc<MemberList>> {
        let users = self.users.as_mut()?;
        let list = users.list.get_or_insert_with(|| {
            let member = |(id, presence): (&Arc<str>, &Presence)| Member { user_id: Arc::clone(id), user_info: presence.user_info.clone() };
            let mut members: Vec<_> = users.by_id.iter().map(member).collect();
            // The map's order must not reach the wire.
            members.sort_unstable_by(|a, b| a.user_id.cmp(&b.user_id));
            Arc::new(MemberList::new(members))
        });
        Some(Arc::clone(list))
    }
}
