//! Subscribing and unsubscribing (I-1.5, I-1.6, I-2.4, I-2.5).

use super::{Refusal, Session, Waiting, members, personal};
use crate::action::{Action, Actions, Join, Subscriptions};
use crate::auth as signature;
use crate::pushi::close::Code;
use crate::pushi::codec::{ChannelData, Told, record};
use crate::pushi::member;
use crate::pushi::name::{self, Kind};
use crate::pushi::{auth, codec};
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::{ChannelName, Joined, Member, Refused};

impl Session {
    pub(super) fn subscribe(
        &mut self,
        channel: &str,
        auth: Option<&str>,
        channel_data: Option<&ChannelData<'_>>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let channel = self.parse(channel)?;
        let kind = Kind::of(channel.as_str());
        self.prove(&channel, kind, auth, channel_data, subscriptions)?;
        // Aliases of a personal channel may be presence channels, where the member comes in with what was said here (I-2.9).
        let member = match kind {
            Kind::Presence | Kind::Personal => self.member(channel_data)?,
            Kind::Public | Kind::Private | Kind::Peer => None,
        };
        if kind == Kind::Personal {
            return self.subscribe_personal(&channel, member, subscriptions, actions);
        }
        let join = Join { channel: channel.clone(), notices: member.is_some(), member, since: None };
        match subscriptions.find(channel.as_str()) {
            Some(_) => {
                self.personal.claim(&channel);
                if kind == Kind::Presence {
                    self.waiting = Some(Box::new(Waiting::Channel(channel)));
                    actions.push_back(Action::Refresh(join));
                } else {
                    actions.push_back(Action::Send(record(Told::Subscribed, channel.as_str(), None, [], None)));
                }
            }
            None => {
                self.check_room(subscriptions)?;
                // It may have left what a personal channel led to.
                self.personal.claim(&channel);
                self.waiting = Some(Box::new(Waiting::Channel(channel)));
                actions.push_back(Action::Subscribe(join));
            }
        }
        Ok(())
    }

    pub(super) fn parse(&self, channel: &str) -> Result<ChannelName, Refusal> {
        name::parse(channel, self.settings.channel_name_bytes).map_err(|bad| Refusal::new(Code::Malformed, bad.to_string()))
    }

    pub(super) fn check_room(&self, subscriptions: &dyn Subscriptions) -> Result<(), Refusal> {
        let max = self.settings.subscriptions;
        if subscriptions.count() < max as usize {
            return Ok(());
        }
        Err(Refusal::new(Code::TooLarge, format!("this connection is on {max} channels already, which is as many as it may")))
    }

    /// Whether the connection may be on the channel (I-2.2). Who it is need not be signed in Pushi, but may be (I-8.5).
    fn prove(
        &self,
        channel: &ChannelName,
        kind: Kind,
        auth: Option<&str>,
        channel_data: Option<&ChannelData<'_>>,
        subscriptions: &dyn Subscriptions,
    ) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::new(Code::Unsigned, message));
        let (socket_id, channel) = (name::socket_id(self.socket_id), channel.as_str());
        let proven = match (kind, channel_data, auth) {
            (Kind::Public, ..) => true,
            (Kind::Peer, _, None) => is_eligible(channel, subscriptions),
            (_, _, None) => return refuse("this channel needs `auth`"),
            (Kind::Presence | Kind::Personal, Some(ChannelData::Signed(data)), Some(auth)) => {
                let parts = [socket_id.as_str(), ":", channel, ":", data].map(str::as_bytes);
                signature::verify(&self.app, auth, &parts).is_ok()
            }
            (Kind::Presence | Kind::Personal, Some(ChannelData::Object(_)), Some(_)) if self.settings.signed_members_of(&self.app) => {
                return refuse("`channel_data` must be signed here: a JSON text, covered by `auth` as socket_id:channel:channel_data");
            }
            (_, _, Some(auth)) => auth::verify(&self.app, &socket_id, channel, auth),
        };
        if proven { Ok(()) } else { refuse("`auth` does not prove that this connection may be on the channel") }
    }

    /// Who the connection says it is.
    fn member(&self, channel_data: Option<&ChannelData<'_>>) -> Result<Option<Arc<Member>>, Refusal> {
        let max = self.settings.channel_data_bytes;
        let member = match channel_data {
            None => return Ok(None),
            Some(ChannelData::Object(object)) => member::parse(object, max),
            Some(ChannelData::Signed(text)) => match serde_json::from_str::<&RawValue>(text) {
                Ok(object) => member::parse(object, max),
                Err(_) => Err(member::BadMember::NotAnObject),
            },
        };
        member.map(|member| Some(Arc::new(member))).map_err(|bad| {
            let code = if matches!(bad, member::BadMember::TooLarge { .. }) { Code::TooLarge } else { Code::Malformed };
            Refusal::new(code, bad.to_string())
        })
    }

    /// The hub's answer. That of a channel which a personal one led to is told nobody: the client knows the channel from the record.
    pub(super) fn subscribed(
        &mut self,
        channel: &ChannelName,
        answer: Result<Joined, Refused>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        match self.waiting.take().map(|waiting| *waiting) {
            Some(Waiting::Channel(expected)) if expected == *channel => match answer {
                Ok(joined) => {
                    let list = joined.members.or_else(|| members(channel.as_str(), subscriptions));
                    actions.push_back(Action::Send(record(Told::Subscribed, channel.as_str(), list.as_deref(), [], None)));
                }
                Err(refused) => {
                    let refusal = Refusal::new(code_of(&refused), refused.to_string());
                    self.refuse(channel.as_str(), "pusher:subscribe", &refusal, actions);
                }
            },
            Some(Waiting::Personal(personal::Step::Entering { channel: expected, member })) if expected == *channel => {
                self.entered(expected, member, answer, subscriptions, actions);
            }
            waiting => self.waiting = waiting.map(Box::new),
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &str, subscriptions: &dyn Subscriptions, actions: &mut Actions) -> Result<(), Refusal> {
        let Some(subscription) = subscriptions.find(channel) else {
            if is_eligible(channel, subscriptions) {
                actions.push_back(Action::Send(record(Told::Unsubscribed, channel, None, [], None)));
                return Ok(());
            }
            return Err(Refusal::new(Code::Forbidden, "this connection is not on the channel"));
        };
        let channel = subscription.channel.clone();
        if self.personal.is_entered(&channel) {
            self.ask_before_leaving(channel, actions);
        } else if self.personal.disclaim(&channel) {
            // A personal channel still leads there.
            let list = members(channel.as_str(), subscriptions);
            actions.push_back(Action::Send(record(Told::Unsubscribed, channel.as_str(), list.as_deref(), [], None)));
        } else {
            self.waiting = Some(Box::new(Waiting::Leave(channel.clone())));
            actions.push_back(Action::Unsubscribe(channel));
        }
        Ok(())
    }

    /// The record is taken when the connection has left (I-1.6).
    pub(super) fn unsubscribed(&mut self, channel: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        if matches!(self.waiting.as_deref(), Some(Waiting::Leave(expected)) if expected == channel) {
            self.waiting = None;
            let list = members(channel.as_str(), subscriptions);
            actions.push_back(Action::Send(codec::record(Told::Unsubscribed, channel.as_str(), list.as_deref(), [], None)));
        }
    }
}

pub(super) fn code_of(refused: &Refused) -> Code {
    match refused {
        Refused::MembersFull { .. } | Refused::SubscriptionsFull { .. } => Code::TooLarge,
        Refused::Lost => Code::Internal,
    }
}

/// Whether the channel is between this connection's member of its base and somebody, there or not (I-2.12).
pub(super) fn is_eligible(channel: &str, subscriptions: &dyn Subscriptions) -> bool {
    name::bases(channel).any(|(base, tail)| {
        let member = subscriptions.find(&base).and_then(|subscription| subscription.member);
        member.is_some_and(|member| name::partner(tail, &member.user_id).is_some())
    })
}
