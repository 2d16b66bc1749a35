//! Signing in (section 15): asking for the proof, showing it, and the user's own channel.

use super::proof::{self, Signed};
use super::{Connection, State};
use crate::options::user_id;
use crate::{AuthorizeError, Notice, SignInError, UserProof};
use futures_util::FutureExt;
use std::borrow::Cow;
use std::time::Duration;
use tidings_dialect::pusher::codec::ClientMessage;
use tokio::time::{Instant, sleep_until};

/// How long the server may take to confirm. That it refuses, it says by an error that may be about anything (P-15.2).
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Who the connection is signed in as, and whether it is to be.
#[derive(Default)]
pub(super) struct User {
    /// Whether to sign in on every connection.
    wanted: bool,
    stage: Stage,
    /// The last ticket given out.
    ticket: u64,
}

#[derive(Default)]
enum Stage {
    #[default]
    SignedOut,
    /// Waiting for the proof, or for the server.
    SigningIn,
    SignedIn(String),
}

impl User {
    pub(super) fn disconnected(&mut self) {
        self.stage = Stage::SignedOut;
        self.ticket += 1;
    }

    /// The id, if it is signed in.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.stage {
            Stage::SignedIn(id) => Some(id),
            _ => None,
        }
    }

    pub(super) fn is_signing_in(&self) -> bool {
        matches!(self.stage, Stage::SigningIn)
    }
}

impl Connection {
    /// Signs in on this connection and all that follow (P-15.1): as [`Options::user_data`](crate::Options::user_data) with the secret, or
    /// as whom the [`Options::user_auth_endpoint`](crate::Options::user_auth_endpoint) says. [`Notice::SignedIn`] or
    /// [`Notice::SignInFailed`] tells how it went. A server that refuses says so by a [`Notice::Error`] without a code (P-15.2), which may be
    /// about something else: only if it has not confirmed after 10 s, that is told as [`SignInError::Unconfirmed`]. One that failed is asked
    /// for anew. There is no signing out but by disconnecting.
    ///
    /// # Errors
    /// [`SignInError::NobodySigns`] if neither is given.
    pub fn sign_in(&mut self) -> Result<(), SignInError> {
        if !self.signer.signs_users() {
            return Err(SignInError::NobodySigns);
        }
        self.user.wanted = true;
        if matches!(self.user.stage, Stage::SignedOut) {
            self.sign_in_again();
        }
        Ok(())
    }

    /// The user this connection is signed in as.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.user.id()
    }

    /// Signs in, if that is wanted and there is a connection.
    pub(super) fn sign_in_again(&mut self) {
        let State::Open(link, _) = &self.state else { return };
        if !self.user.wanted {
            return;
        }
        self.user.ticket += 1;
        self.user.stage = Stage::SigningIn;
        let ticket = self.user.ticket;
        if let Some(proof) = self.signer.user(&link.socket_id) {
            self.user_signed(ticket, Ok(proof));
        } else if let Some(signing) = self.signer.ask_user(ticket, &link.socket_id) {
            self.signing.push(signing);
        }
    }

    /// Shows the proof to the server.
    pub(super) fn user_signed(&mut self, ticket: u64, proof: Result<UserProof, AuthorizeError>) {
        if ticket != self.user.ticket {
            return;
        }
        match proof {
            Err(why) => self.sign_in_failed(why.into()),
            Ok(proof) if proof::signed_in(&proof).is_none() => self.sign_in_failed(SignInError::UserData),
            Ok(UserProof { auth, user_data }) => {
                self.say(&ClientMessage::SignIn { auth: Cow::Owned(auth), user_data: Cow::Owned(user_data) });
                let until = Instant::now() + CONFIRMATION_TIMEOUT;
                self.signing.push(sleep(until).map(move |()| Signed::Unconfirmed { ticket }).boxed());
            }
        }
    }

    /// The server had time enough. If it confirms all the same, that counts.
    pub(super) fn sign_in_unconfirmed(&mut self, ticket: u64) {
        if ticket == self.user.ticket && self.user.is_signing_in() {
            self.sign_in_failed(SignInError::Unconfirmed);
        }
    }

    fn sign_in_failed(&mut self, why: SignInError) {
        self.user.stage = Stage::SignedOut;
        self.told.push_back(Notice::SignInFailed { why });
        self.release_presence();
    }

    /// The server confirmed (P-15.3). The user's own channel comes next (P-15.6).
    pub(super) fn signed_in(&mut self, user_data: &str) {
        let Some(id) = user_id(user_data) else {
            self.told.push_back(Notice::Unreadable { text: user_data.to_owned() });
            return;
        };
        self.user.stage = Stage::SignedIn(id.clone());
        self.told.push_back(Notice::SignedIn { user_id: id.clone(), user_data: user_data.to_owned() });
        self.subscribe_own(&id);
        self.release_presence();
    }
}

/// Its timer is made when it is first awaited: whoever asks to sign in may do so outside of a runtime.
async fn sleep(until: Instant) {
    sleep_until(until).await;
}
