//! Signed-in users: P-15.

use super::{Session, refuse, send};
use crate::action::{Action, Actions, SignIn};
use crate::auth::{self, Unproven};
use crate::pusher::close::Warning;
use crate::pusher::codec::ServerMessage;
use crate::pusher::json::{is_object, text};
use crate::pusher::member::{self, BadMember};
use crate::pusher::name::SocketIdText;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use tidings_hub::Watched;

/// The user a connection is signed in as.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Arc<str>,
    /// What a presence channel shows of the user; an unusable one stands in the way there only (P-7.5).
    pub(super) info: Result<Option<Bytes>, BadMember>,
    /// The sign-ins that the hub has not answered yet.
    owed: VecDeque<Owed>,
}

/// What a sign-in is answered with, once the hub knows.
#[derive(Debug)]
struct Owed {
    user_data: Box<str>,
    watchlist_cut: bool,
}

/// Why a sign-in fails (P-15.1).
#[derive(Clone, Debug, thiserror::Error)]
enum Failed {
    #[error("`auth` must be `key:signature` with a key of this app")]
    UnknownKey,
    #[error("invalid signature: expected HMAC SHA256 hex digest of {signed}, but got {received}")]
    WrongSignature { signed: String, received: String },
    #[error("user_data must be the JSON text of an object with a non-empty string `id`")]
    UserData,
    #[error("the user's id has more than {max} characters")]
    IdTooLong { max: usize },
    #[error("the connection is signed in as another user")]
    OtherUser,
}

#[derive(Deserialize)]
struct UserData<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_info: Option<&'a RawValue>,
    #[serde(borrow)]
    watchlist: Option<&'a RawValue>,
}

impl Session {
    pub(super) fn sign_in(&mut self, auth: &str, user_data: &str, actions: &mut Actions) {
        match self.check_sign_in(auth, user_data) {
            Ok(sign_in) => actions.push_back(Action::SignIn(sign_in)),
            Err(failed) => refuse(&format_args!("Sign-in refused: {failed}"), actions),
        }
    }

    fn check_sign_in(&mut self, auth: &str, user_data: &str) -> Result<SignIn, Failed> {
        let socket_id = SocketIdText::new(self.socket_id);
        let parts = [socket_id.as_str(), "::user::", user_data];
        auth::verify(&self.app, auth, &parts.map(str::as_bytes)).map_err(|unproven| match unproven {
            Unproven::UnknownKey => Failed::UnknownKey,
            Unproven::WrongSignature => Failed::WrongSignature {
                signed: parts.concat(),
                received: auth::split(auth).map_or("", |(_, signature)| signature).to_owned(),
            },
        })?;
        if !is_object(user_data) {
            return Err(Failed::UserData);
        }
        let UserData { id, user_info, watchlist } = serde_json::from_str(user_data).map_err(|_| Failed::UserData)?;
        let id = id.and_then(text).filter(|id| !id.is_empty()).ok_or(Failed::UserData)?;
        let max = self.app.limits.user_id_chars;
        if id.chars().count() > max {
            return Err(Failed::IdTooLong { max });
        }
        if self.user_id().is_some_and(|current| **current != *id) {
            return Err(Failed::OtherUser);
        }
        let info = member::user_info(user_info, &self.app.limits);
        let (watchlist, watchlist_cut) = self.watchlist(watchlist);
        let user = self.user.get_or_insert_with(|| Box::new(User { id: Arc::from(id), info: Ok(None), owed: VecDeque::new() }));
        user.info = info;
        user.owed.push_back(Owed { user_data: Box::from(user_data), watchlist_cut });
        Ok(SignIn { user_id: user.id.clone(), watchlist })
    }

    /// The distinct ids to watch, and whether some beyond the limit are left out (P-15.8). Nobody is watched while the app has that off.
    fn watchlist(&self, watchlist: Option<&RawValue>) -> (Vec<Arc<str>>, bool) {
        let items: Vec<&RawValue> = watchlist.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default();
        let mut ids: Vec<Arc<str>> = items.into_iter().filter_map(text).map(Arc::from).collect();
        let cut = ids.len() > self.app.limits.watchlist;
        ids.truncate(if self.app.watchlist_events { self.app.limits.watchlist } else { 0 });
        let mut seen = std::collections::HashSet::with_capacity(ids.len());
        ids.retain(|id| seen.insert(id.clone()));
        (ids, cut)
    }

    /// The hub's answer: success, the warning of a cut watchlist, then who is there (P-15.9).
    pub(super) fn signed_in(&mut self, watched: &Watched, actions: &mut Actions) {
        let Some(owed) = self.user.as_mut().and_then(|user| user.owed.pop_front()) else {
            return;
        };
        send(&ServerMessage::SignedIn { user_data: Cow::Borrowed(&owed.user_data) }, actions);
        if owed.watchlist_cut {
            let message = Cow::Owned(format!("Only the first {} users of the watchlist are watched", self.app.limits.watchlist));
            send(&ServerMessage::Error { code: Some(Warning::WatchlistTooLong.code()), message }, actions);
        }
        self.tell_watched(&watched.online, &watched.offline, actions);
        self.authorize(actions);
    }

    /// Somebody whom the user watches came or went.
    pub(super) fn watched(&self, user_id: &str, online: bool, actions: &mut Actions) {
        let user_id = [user_id];
        let (online, offline): (&[&str], &[&str]) = if online { (&user_id, &[]) } else { (&[], &user_id) };
        self.tell_watched(online, offline, actions);
    }

    fn tell_watched<T: AsRef<str>>(&self, online: &[T], offline: &[T], actions: &mut Actions) {
        if !self.app.watchlist_events || self.user.is_none() || (online.is_empty() && offline.is_empty()) {
            return;
        }
        send(&ServerMessage::Watchlist { online: shown(online), offline: shown(offline) }, actions);
    }
}

fn shown<T: AsRef<str>>(ids: &[T]) -> Vec<Cow<'_, str>> {
    ids.iter().map(|id| Cow::Borrowed(id.as_ref())).collect()
}
