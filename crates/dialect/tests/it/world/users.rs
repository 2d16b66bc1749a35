//! Who is signed in and who watches whom: what only Pusher's clients do.

use super::{Connection, News, World};
use std::sync::Arc;
use tidings_dialect::action::{Actions, End, Input, SignIn};
use tidings_hub::Watched;

impl World {
    /// Ends the connections of a signed-in user (P-15.11).
    pub(crate) fn terminate(&mut self, user_id: &str) {
        for at in self.signed_in(user_id) {
            self.feed(at, Input::End(End::Terminated));
        }
    }

    fn signed_in(&self, user_id: &str) -> Vec<usize> {
        let is_user = |connection: &Connection| !connection.closed && connection.session.user_id().is_some_and(|id| **id == *user_id);
        (0..self.connections.len()).filter(|at| is_user(&self.connections[*at].1)).collect()
    }

    pub(super) fn sign_in(&mut self, at: usize, SignIn { user_id, watchlist }: SignIn, actions: &mut Actions) {
        let (online, offline) = watchlist.iter().cloned().partition(|id| !self.signed_in(id).is_empty());
        self.connection(at).watchlist = watchlist;
        self.tell(at, Input::SignedIn(Watched { online, offline }), actions);
        if self.signed_in(&user_id) == [at] {
            self.tell_watchers(at, &user_id, true);
        }
    }

    pub(super) fn sign_out(&mut self, at: usize) {
        let user_id = self.connections[at].1.session.user_id().cloned();
        if let Some(user_id) = user_id.filter(|id| self.signed_in(id).is_empty()) {
            self.tell_watchers(at, &user_id, false);
        }
    }

    fn tell_watchers(&mut self, cause: usize, user_id: &Arc<str>, online: bool) {
        for at in 0..self.connections.len() {
            if at != cause && self.connections[at].1.watchlist.contains(user_id) {
                self.inbox.push_back(News::Watched(at, Arc::clone(user_id), online));
            }
        }
    }

    pub(super) fn authorize(&mut self, at: usize, actions: &mut Actions) {
        self.connection(at).authorized = true;
        let authorized = self.connections.iter().filter(|(_, connection)| connection.authorized && !connection.closed).count();
        if self.app.limits.connections.is_some_and(|max| authorized > max as usize) {
            self.tell(at, Input::End(End::OverQuota), actions);
        }
    }
}
