//! Signed-in users of one app, and who watches whom (P-15).

use crate::shared::Shared;
use crate::{Item, SocketId, Watched};
use hashbrown::HashMap;
use std::sync::Arc;

type ById<T> = HashMap<Arc<str>, T, foldhash::fast::FixedState>;

#[derive(Debug, Default)]
pub(crate) struct Users {
    /// The connections of each user that is signed in; never an empty list.
    online: ById<Vec<SocketId>>,
    /// The connections that watch each user; never an empty list.
    watchers: ById<Vec<SocketId>>,
}

impl Users {
    /// Binds `socket` to the user and lets it watch `watchlist` instead of `watched_before`. A repeated sign-in changes only the watchlist.
    pub(crate) fn sign_in(
        &mut self,
        shared: &Shared,
        socket: SocketId,
        user_id: &Arc<str>,
        watchlist: &[Arc<str>],
        watched_before: &[Arc<str>],
    ) -> Watched {
        self.unwatch(socket, watched_before);
        let sockets = self.online.entry_ref(user_id).or_default();
        let came = sockets.is_empty();
        if !sockets.contains(&socket) {
            sockets.push(socket);
        }
        if came {
            self.tell(shared, user_id, true);
        }
        for id in watchlist {
            self.watchers.entry_ref(id).or_default().push(socket);
        }
        let (online, offline) = watchlist.iter().cloned().partition(|id| self.online.contains_key(id));
        Watched { online, offline }
    }

    /// Undoes a sign-in when its connection closes.
    pub(crate) fn sign_out(&mut self, shared: &Shared, socket: SocketId, user_id: &Arc<str>, watchlist: &[Arc<str>]) {
        self.unwatch(socket, watchlist);
        if remove(&mut self.online, user_id, socket) {
            self.tell(shared, user_id, false);
        }
    }

    pub(crate) fn sockets(&self, user_id: &str) -> Vec<SocketId> {
        self.online.get(user_id).cloned().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.online.len()
    }

    fn unwatch(&mut self, socket: SocketId, watchlist: &[Arc<str>]) {
        for id in watchlist {
            remove(&mut self.watchers, id, socket);
        }
    }

    fn tell(&self, shared: &Shared, user_id: &Arc<str>, online: bool) {
        for &socket in self.watchers.get(user_id).into_iter().flatten() {
            if let Some(inbox) = shared.inboxes.get(socket.shard()) {
                inbox.push(Item::Watched { socket, user_id: Arc::clone(user_id), online });
            }
        }
    }
}

/// Takes `socket` out of the list of `id`. Returns whether the list ended with it.
fn remove(lists: &mut ById<Vec<SocketId>>, id: &Arc<str>, socket: SocketId) -> bool {
    let Some(sockets) = lists.get_mut(id) else { return false };
    let Some(place) = sockets.iter().position(|&other| other == socket) else { return false };
    sockets.swap_remove(place);
    let ended = sockets.is_empty();
    if ended {
        lists.remove(id);
    }
    ended
}
