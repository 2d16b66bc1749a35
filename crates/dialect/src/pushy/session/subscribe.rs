//! Subscribing and unsubscribing (section 5), and what a member of a private channel is (section 8).

use super::command::Rest;
use super::{Session, Waiting};
use crate::action::{Action, Actions, Join, Subscriptions};
use crate::pusher::json::text;
use crate::pushi::name::socket_id as uuid;
use crate::pushy::close::{Failure, Fault};
use crate::pushy::member::member;
use crate::pushy::settings::{ChannelNames, Presence};
use crate::pushy::{auth, codec, name};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use tidings_hub::{ChannelName, Enrolment, Joined, Member, Opens, Refused, Time, UnixTime};

/// What a client asks for.
pub(super) struct Asked<'a> {
    pub(super) channel: Option<&'a RawValue>,
    pub(super) auth: Option<&'a RawValue>,
    pub(super) data: Option<&'a RawValue>,
}

/// Why a client does not get onto a channel.
enum Denied {
    NeedsAuth,
    Failed(Failure),
}

impl Session {
    /// The checks stand in the order of Y-5.1.
    pub(super) fn subscribe(
        &mut self,
        asked: &Asked<'_>,
        subscriptions: &dyn Subscriptions,
        now: Time,
        actions: &mut Actions,
    ) -> Result<(), Fault> {
        let spelled = spelled(asked.channel)?;
        let channel = self.parse(&spelled)?;
        if let Err(denied) = self.prove(&channel, asked, subscriptions, now) {
            actions.push_back(Action::Send(match denied {
                Denied::NeedsAuth => codec::needs_auth(&spelled),
                Denied::Failed(failure) => codec::subscription_failed(&spelled, failure),
            }));
            return Ok(());
        }
        if subscriptions.count() >= self.settings.subscriptions as usize {
            return Err(Fault::TooMany);
        }
        let member_id = name::member_id(&self.app, self.socket_id, &channel);
        let member = self.member(&channel, &spelled, &member_id, asked.data, now).map(Arc::new);
        actions.push_back(Action::Subscribe(Join { channel: channel.clone(), member, notices: name::has_roll(&channel), since: None }));
        self.waiting = Some(Box::new(Waiting::Join { channel, spelled: spelled.into_owned(), member_id }));
        Ok(())
    }

    fn parse(&self, spelled: &str) -> Result<ChannelName, Fault> {
        name::parse(spelled, &self.settings).map_err(|_| Fault::BadChannel)
    }

    /// Whether the connection may get onto the channel.
    fn prove(&mut self, channel: &ChannelName, asked: &Asked<'_>, subscriptions: &dyn Subscriptions, now: Time) -> Result<(), Denied> {
        if name::is_private(channel) {
            let auth = match asked.auth {
                None => Some("".into()),
                Some(auth) => text(auth),
            };
            let auth = auth.ok_or(Denied::Failed(Failure::Credentials))?;
            if auth.trim_matches(|character: char| character.is_whitespace() || character == '\u{feff}').is_empty() {
                let again = self.denials.count(channel, now);
                return Err(if again { Denied::NeedsAuth } else { Denied::Failed(Failure::Credentials) });
            }
            if asked.data.is_some_and(|data| bytes(data) > self.settings.presence_data_bytes) {
                return Err(Denied::Failed(Failure::DataTooLarge));
            }
            let socket_id = uuid(self.socket_id);
            if !auth::lets_in(&self.app, &self.settings, &socket_id, channel.as_str(), asked.data, &auth) {
                return Err(Denied::Failed(Failure::Credentials));
            }
        }
        match subscriptions.find(channel.as_str()) {
            Some(_) => Err(Denied::Failed(Failure::Already)),
            None => Ok(()),
        }
    }

    /// What the connection is on the channel's roll, if it is on it.
    fn member(&self, channel: &ChannelName, spelled: &str, member_id: &str, data: Option<&RawValue>, now: Time) -> Option<Member> {
        let spelling = (self.settings.channel_names == ChannelNames::Creator).then(|| Arc::from(spelled));
        if !name::has_roll(channel) {
            // It is there for its spelling alone, and shown to nobody.
            let enrolment = Some(Enrolment { opens: Opens::Never, spelling: Some(spelling?) });
            return Some(Member { enrolment, ..Member::new(member_id) });
        }
        let opens = match self.settings.presence {
            _ if data.is_none() => Opens::Never,
            Presence::First => Opens::IfFirst,
            Presence::Any => Opens::Always,
        };
        Some(Member { enrolment: Some(Enrolment { opens, spelling }), ..member(member_id, self.unix(now), data) })
    }

    fn unix(&self, now: Time) -> UnixTime {
        let (since, unix) = self.since;
        let passed = u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX);
        UnixTime::from_micros(unix.as_micros().saturating_add(passed))
    }

    /// The hub's answer.
    pub(super) fn subscribed(
        &mut self,
        channel: &ChannelName,
        answer: Result<Joined, Refused>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        let asked = self.waiting.take_if(|waiting| matches!(&**waiting, Waiting::Join { channel: expected, .. } if expected == channel));
        let Some(Waiting::Join { spelled, member_id, .. }) = asked.map(|waiting| *waiting) else { return };
        match answer {
            Ok(joined) => {
                let spelling: Arc<str> = match self.settings.channel_names {
                    ChannelNames::Subscriber => Arc::from(spelled),
                    ChannelNames::Creator => subscriptions.spelling(channel.as_str()).unwrap_or_else(|| Arc::from(spelled)),
                    ChannelNames::Lower => Arc::from(channel.as_str()),
                };
                // Users of presence channels are not this dialect's.
                let presence = joined.members.filter(|_| name::has_roll(channel));
                let success = codec::subscription_success(&spelling, &member_id, presence.as_deref());
                if *spelling != *channel.as_str() {
                    actions.push_back(Action::Spell { channel: channel.clone(), spelling });
                }
                actions.push_back(Action::Send(success));
            }
            Err(Refused::SubscriptionsFull { .. }) => actions.push_back(Action::Send(codec::error(Fault::TooMany))),
            Err(Refused::MembersFull { .. }) => actions.push_back(Action::Send(codec::subscription_failed(&spelled, Failure::Full))),
            Err(Refused::Lost) => actions.push_back(Action::Send(codec::subscription_failed(&spelled, Failure::Lost))),
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        channel: Option<&RawValue>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) -> Result<(), Fault> {
        self.leave(spelled(channel)?.into_owned(), Rest::default(), subscriptions, actions).map_err(|(fault, _)| fault)
    }

    /// Leaves a channel, and does the rest after that. If it cannot leave, the rest comes back with the reason.
    pub(super) fn leave(
        &mut self,
        spelled: String,
        then: Rest,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) -> Result<(), (Fault, Rest)> {
        let channel = match self.parse(&spelled) {
            Ok(channel) => channel,
            Err(fault) => return Err((fault, then)),
        };
        let Some(subscription) = subscriptions.find(channel.as_str()) else {
            let exists = subscriptions.exists(channel.as_str());
            return Err((if exists { Fault::NotSubscribed } else { Fault::ChannelNotFound }, then));
        };
        let channel = subscription.channel.clone();
        actions.push_back(Action::Unsubscribe(channel.clone()));
        self.waiting = Some(Box::new(Waiting::Leave { channel, spelled, then }));
        Ok(())
    }

    /// It is off the channel.
    pub(super) fn unsubscribed(&mut self, channel: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let asked = self.waiting.take_if(|waiting| matches!(&**waiting, Waiting::Leave { channel: expected, .. } if expected == channel));
        let Some(Waiting::Leave { spelled, then, .. }) = asked.map(|waiting| *waiting) else { return };
        actions.push_back(Action::Send(codec::subscription_end(&spelled)));
        self.finish(then, subscriptions, actions);
    }
}

/// The channel as the client wrote it.
fn spelled(channel: Option<&RawValue>) -> Result<Cow<'_, str>, Fault> {
    text(channel.ok_or(Fault::NoChannel)?).ok_or(Fault::BadChannel)
}

/// How much a client says of itself: the bytes of a string, or of what stands there as JSON.
fn bytes(data: &RawValue) -> usize {
    text(data).map_or(data.get().len(), |text| text.len())
}
