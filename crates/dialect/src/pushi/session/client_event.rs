//! Events that clients publish (I-1.8, I-2.13).

use super::{Refusal, Session};
use crate::action::{Action, Actions, Subscriptions};
use crate::pusher::json::{compact, text};
use crate::pushi::close::Code;
use crate::pushi::name::{self, Kind};
use crate::pushi::settings::ClientEvents;
use crate::rate::take_token;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::{ChannelName, Publish, Source, Time};

/// An event as a client sent it.
pub(super) struct Sent<'a> {
    pub(super) name: &'a str,
    pub(super) channel: &'a str,
    pub(super) data: &'a RawValue,
    pub(super) echo: bool,
    pub(super) persist: bool,
}

impl Session {
    pub(super) fn client_event(
        &mut self,
        sent: &Sent<'_>,
        subscriptions: &dyn Subscriptions,
        now: Time,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        let (channel, user_id) = self.right_to_publish(sent.channel, subscriptions)?;
        let data = delivered(sent.data);
        let max = self.settings.event_bytes;
        if sent.name.len() + data.len() > max {
            return Err(Refusal::new(Code::TooLarge, format!("the event's name and data have more than {max} bytes")));
        }
        let max = self.settings.client_events_per_second;
        if !take_token(&mut self.events_paid, max, now) {
            return Err(Refusal::new(Code::TooMany, format!("more than {max} events a second")));
        }
        let publish = Publish {
            origin: (!sent.echo).then_some(self.socket_id),
            source: Source::Client { socket: self.socket_id, user_id },
            ..Publish::new(channel, Arc::from(sent.name), data)
        };
        actions.push_back(if sent.persist { Action::Store(publish) } else { Action::Publish(publish) });
        Ok(())
    }

    /// The channel, and who the sender is there. It must be on the channel, which for one between two members means that the pair is active.
    fn right_to_publish(&self, channel: &str, subscriptions: &dyn Subscriptions) -> Result<(ChannelName, Option<Arc<str>>), Refusal> {
        let setting = self.settings.client_events_of(&self.app);
        let kind = Kind::of(channel);
        if setting == ClientEvents::Off || setting == ClientEvents::Signed && kind == Kind::Public {
            let message = match setting {
                ClientEvents::Off => "clients may not publish here; see `client_events` of [[pushi]]",
                _ => "clients may publish only on channels that need a signature; see `client_events` of [[pushi]]",
            };
            return Err(Refusal::new(Code::Forbidden, message));
        }
        if let Some(subscription) = subscriptions.find(channel) {
            let member = subscription.member.filter(|_| kind == Kind::Presence);
            return Ok((subscription.channel.clone(), member.map(|member| Arc::clone(&member.user_id))));
        }
        let is_active = name::bases(channel).any(|(base, tail)| {
            let member = subscriptions.find(&base).and_then(|subscription| subscription.member);
            let pair = member.and_then(|member| name::partner(tail, &member.user_id).map(|other| (&member.user_id, other)));
            // Read backwards, the name is another channel, which nobody is on.
            pair.is_some_and(|(user_id, other)| is_ordered(tail, user_id, other) && subscriptions.is_pair(&base, user_id, other))
        });
        if !is_active {
            return Err(Refusal::new(Code::Forbidden, "this connection is not on the channel"));
        }
        Ok((self.parse(channel)?, None))
    }
}

/// Whether the lower id stands first, as in the name of the pair (I-2.11).
fn is_ordered(tail: &str, user_id: &str, other: &str) -> bool {
    let (low, high) = if user_id < other { (user_id, other) } else { (other, user_id) };
    tail.strip_prefix(low).and_then(|rest| rest.strip_prefix('&')) == Some(high)
}

/// The data that others get: a string verbatim, anything else as JSON text (I-1.9).
fn delivered(data: &RawValue) -> Bytes {
    match text(data) {
        Some(text) => Bytes::from(text.into_owned()),
        None => Bytes::from(compact(data)),
    }
}
