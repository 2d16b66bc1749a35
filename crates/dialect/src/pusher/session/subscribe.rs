//! Subscribing: the checks of P-5.2 in their order, and the answers.

use super::{Session, refuse, send};
use crate::action::{Action, Actions, Join, Subscriptions};
use crate::auth::{self, Unproven};
use crate::pusher::codec::{PresenceMember, ServerMessage, Subscribe, encode_event};
use crate::pusher::member::{self, BadMember};
use crate::pusher::name::{self, BadName, Kind, SERVER_TO_USER, SocketIdText};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use tidings_hub::{Cached, ChannelName, Joined, Member, Refused};

/// This dialect's slot of a list of members.
const MEMBERS: usize = 0;

/// Why a subscribe is refused.
enum Refusal {
    Name(BadName),
    Repeated,
    NotTheUser,
    NoAuth,
    UnknownKey,
    WrongSignature { signed: String, received: String },
    Member(BadMember),
    Hub(Refused),
}

impl Refusal {
    /// The `type` and `status` of P-5.2; a repeated subscribe has none.
    fn kind_and_status(&self) -> Option<(&'static str, u16)> {
        Some(match self {
            Self::Name(_) => ("InvalidChannel", 400),
            Self::Repeated => return None,
            Self::NotTheUser | Self::NoAuth | Self::UnknownKey | Self::WrongSignature { .. } => ("AuthError", 401),
            Self::Member(_) => ("InvalidMember", 400),
            Self::Hub(Refused::MembersFull { .. } | Refused::SubscriptionsFull { .. }) => ("LimitReached", 4100),
            Self::Hub(Refused::Lost) => ("ServerError", 500),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(bad) => write!(f, "not a channel name: {bad}"),
            Self::Repeated => f.write_str("already subscribed"),
            Self::NotTheUser => f.write_str("only a connection that is signed in as this user may subscribe"),
            Self::NoAuth => f.write_str("this type of channel needs `auth`"),
            Self::UnknownKey => f.write_str("`auth` must be `key:signature` with a key of this app"),
            Self::WrongSignature { signed, received } => {
                write!(f, "invalid signature: expected HMAC SHA256 hex digest of {signed}, but got {received}")
            }
            Self::Member(bad) => bad.fmt(f),
            Self::Hub(refused) => refused.fmt(f),
        }
    }
}

impl Session {
    pub(super) fn subscribe(&self, request: &Subscribe<'_>, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        match self.check(request, subscriptions) {
            Ok(join) => actions.push_back(Action::Subscribe(join)),
            Err(refusal) => self.refuse_channel(&request.channel, &refusal, actions),
        }
    }

    /// Rows 1 to 7 of P-5.2; row 8 is the hub's.
    fn check(&self, request: &Subscribe<'_>, subscriptions: &dyn Subscriptions) -> Result<Join, Refusal> {
        let channel = name::parse(&request.channel, self.app.channel_name_max).map_err(Refusal::Name)?;
        if subscriptions.find(channel.as_str()).is_some() {
            return Err(Refusal::Repeated);
        }
        let kind = Kind::within(channel.as_str(), &self.app);
        if kind == Kind::ServerToUser && channel.as_str().strip_prefix(SERVER_TO_USER) != self.user_id().map(AsRef::as_ref) {
            return Err(Refusal::NotTheUser);
        }
        if kind.needs_auth() {
            self.check_auth(&channel, request)?;
        }
        let member = match kind {
            Kind::Presence => Some(Arc::new(self.member(request.channel_data.as_deref()).map_err(Refusal::Member)?)),
            _ => None,
        };
        Ok(Join { channel, member, notices: true, since: None })
    }

    /// Rows 4 to 6. The signed text is that of P-6.3, byte for byte as received.
    fn check_auth(&self, channel: &ChannelName, request: &Subscribe<'_>) -> Result<(), Refusal> {
        let auth = request.auth.as_deref().filter(|auth| !auth.is_empty()).ok_or(Refusal::NoAuth)?;
        let socket_id = SocketIdText::new(self.socket_id);
        let (colon, data) = request.channel_data.as_deref().map_or(("", ""), |data| (":", data));
        let parts = [socket_id.as_str(), ":", channel.as_str(), colon, data];
        auth::verify(&self.app, auth, &parts.map(str::as_bytes)).map_err(|unproven| match unproven {
            Unproven::UnknownKey => Refusal::UnknownKey,
            Unproven::WrongSignature => Refusal::WrongSignature {
                signed: parts.concat(),
                received: auth::split(auth).map_or("", |(_, signature)| signature).to_owned(),
            },
        })
    }

    /// Row 7: whom `channel_data` describes, or the signed-in user in its absence (P-7.5).
    fn member(&self, channel_data: Option<&str>) -> Result<Member, BadMember> {
        if let Some(channel_data) = channel_data {
            return member::parse(channel_data, &self.app.limits);
        }
        let user = self.user.as_ref().ok_or(BadMember::Missing)?;
        member::check_user_id(&user.id, &self.app.limits)?;
        Ok(Member { user_info: user.info.clone()?, ..Member::new(Arc::clone(&user.id)) })
    }

    /// The hub's answer. The frames keep the order of P-5.6; what others are told is the hub's event.
    pub(super) fn subscribed(&mut self, channel: &ChannelName, answer: Result<Joined, Refused>, actions: &mut Actions) {
        let joined = match answer {
            Ok(joined) => joined,
            Err(refused) => return self.refuse_channel(channel.as_str(), &Refusal::Hub(refused), actions),
        };
        actions.push_back(Action::Send(confirmation(channel, &joined)));
        match &joined.cache {
            Cached::Off => {}
            Cached::Miss => send(&ServerMessage::CacheMiss { channel: Cow::Borrowed(channel.as_str()) }, actions),
            Cached::Hit(event) => {
                let mut frame = Vec::new();
                match encode_event(event, &mut frame) {
                    Ok(()) => actions.push_back(Action::Send(Bytes::from(frame))),
                    // What this client cannot be shown is not there for it.
                    Err(_) => send(&ServerMessage::CacheMiss { channel: Cow::Borrowed(channel.as_str()) }, actions),
                }
            }
        }
        if Kind::within(channel.as_str(), &self.app).needs_auth() {
            self.authorize(actions);
        }
    }

    /// Tells the channel's error handlers (P-5.9), then the connection's (P-5.8).
    fn refuse_channel(&self, channel: &str, refusal: &Refusal, actions: &mut Actions) {
        let message = format!("Subscription to channel {channel} refused: {refusal}");
        if let Some((kind, status)) = refusal.kind_and_status().filter(|_| self.app.subscription_error_event) {
            let (channel, error) = (Cow::Borrowed(channel), Cow::Borrowed(message.as_str()));
            send(&ServerMessage::SubscriptionError { channel, kind: Cow::Borrowed(kind), error, status }, actions);
        }
        refuse(&message, actions);
    }
}

/// The confirmation (P-5.5), which lists the members of a presence channel (P-7.3). It is the same for all who join at one state of the list.
fn confirmation(channel: &ChannelName, joined: &Joined) -> Bytes {
    match &joined.members {
        Some(list) => list.encoded(MEMBERS, |members| confirm(channel, Some(PresenceMember::list(members)))).clone(),
        None => confirm(channel, None),
    }
}

fn confirm(channel: &ChannelName, members: Option<Vec<PresenceMember<'_>>>) -> Bytes {
    ServerMessage::SubscriptionSucceeded { channel: Cow::Borrowed(channel.as_str()), members }.encode()
}
