//! The roll of a channel: connections that are listed one by one, in the order in which they came, and only to each other (Y-8). Users of
//! presence channels are another matter (`presence.rs`).

use crate::{Enrolment, Member, MemberList, Opens, SocketId};
use hashbrown::HashMap;
use std::sync::Arc;

/// Empty and without memory of its own until somebody enrols.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    entries: Option<Box<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_socket: HashMap<SocketId, Entry, foldhash::fast::FixedState>,
    /// How many have ever come.
    came: u64,
    /// Whether those who enrol see the others.
    open: bool,
    /// How the first one wrote the channel's name.
    spelling: Option<Arc<str>>,
    /// The list as it is now, if somebody asked since it last changed.
    list: Option<Arc<MemberList>>,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    member: Arc<Member>,
}

impl Roll {
    pub(crate) fn len(&self) -> u32 {
        self.entries.as_ref().map_or(0, |entries| u32::try_from(entries.by_socket.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.entries.as_ref().is_some_and(|entries| entries.open)
    }

    /// Whether it would be open with one more.
    pub(crate) fn opens_with(&self, enrolment: &Enrolment) -> bool {
        match enrolment.opens {
            Opens::Always => true,
            Opens::IfFirst if self.entries.is_none() => true,
            Opens::IfFirst | Opens::Never => self.is_open(),
        }
    }

    /// Puts a connection on the roll. Returns whether the others are to hear of it.
    pub(crate) fn enter(&mut self, enrolment: &Enrolment, member: &Arc<Member>, socket: SocketId) -> bool {
        let open = self.opens_with(enrolment);
        let entries = self.entries.get_or_insert_with(|| Box::new(Entries { spelling: enrolment.spelling.clone(), ..Entries::default() }));
        entries.open = open;
        entries.by_socket.insert(socket, Entry { place: entries.came, member: Arc::clone(member) });
        entries.came += 1;
        entries.list = None;
        open
    }

    /// Strikes a connection off the roll; with the last one it forgets that it was open. Returns whether the others are to hear of it.
    pub(crate) fn leave(&mut self, socket: SocketId) -> bool {
        let Some(entries) = &mut self.entries else { return false };
        if entries.by_socket.remove(&socket).is_none() {
            return false;
        }
        entries.list = None;
        let open = entries.open;
        if entries.by_socket.is_empty() {
            self.entries = None;
        }
        open
    }

    /// The list as it is now, in the order of coming; `None` while it is not open.
    pub(crate) fn list(&mut self) -> Option<Arc<MemberList>> {
        let entries = self.entries.as_mut().filter(|entries| entries.open)?;
        let list = entries.list.get_or_insert_with(|| {
            let mut listed: Vec<_> = entries.by_socket.values().collect();
            listed.sort_unstable_by_key(|entry| entry.place);
            Arc::new(MemberList::new(listed.into_iter().map(|entry| Arc::clone(&entry.member)).collect()))
        });
        Some(Arc::clone(list))
    }

    pub(crate) fn spelling(&self) -> Option<Arc<str>> {
        self.entries.as_ref()?.spelling.clone()
    }
}
