//! Client events: the checks of P-8.1 in their order, and the rate of P-8.4.

use super::{Session, refuse, send};
use crate::action::{Action, Actions, Subscriptions};
use crate::pusher::close::Warning;
use crate::pusher::codec::{ClientData, ServerMessage};
use crate::pusher::json::compact;
use crate::pusher::name::Kind;
use crate::rate::take_token;
use bytes::Bytes;
use smallvec::smallvec;
use std::borrow::Cow;
use std::sync::Arc;
use tidings_hub::{Publish, Source, Time};

/// Why a client event is dropped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Dropped {
    #[error("the app does not take client events; turn on `client_events`")]
    Off,
    #[error("client events need a private or presence channel")]
    Kind,
    #[error("the connection is not subscribed to the channel")]
    NotSubscribed,
    #[error("the event's name has more than {max} characters")]
    NameTooLong { max: usize },
    #[error("the event's data has more than {max} bytes")]
    TooLarge { max: usize },
    #[error("more than {max} client events a second")]
    TooMany { max: u32 },
}

impl Session {
    pub(super) fn client_event(
        &mut self,
        name: &str,
        channel: &str,
        data: ClientData<'_>,
        subscriptions: &dyn Subscriptions,
        now: Time,
        actions: &mut Actions,
    ) {
        match self.check_event(name, channel, data, subscriptions, now) {
            Ok(publish) => actions.push_back(Action::Publish(publish)),
            Err(dropped @ Dropped::TooMany { .. }) => {
                let message = Cow::Owned(format!("Client event {name} on channel {channel} dropped: {dropped}"));
                send(&ServerMessage::Error { code: Some(Warning::TooManyEvents.code()), message }, actions);
            }
            Err(dropped) => refuse(&format_args!("Client event {name} on channel {channel} dropped: {dropped}"), actions),
        }
    }

    fn check_event(
        &mut self,
        name: &str,
        channel: &str,
        data: ClientData<'_>,
        subscriptions: &dyn Subscriptions,
        now: Time,
    ) -> Result<Publish, Dropped> {
        if !self.app.client_events {
            return Err(Dropped::Off);
        }
        let kind = Kind::within(channel, &self.app);
        if !kind.takes_client_events() {
            return Err(Dropped::Kind);
        }
        let subscription = subscriptions.find(channel).ok_or(Dropped::NotSubscribed)?;
        let max = self.app.limits.event_name_chars;
        if name.chars().count() > max {
            return Err(Dropped::NameTooLong { max });
        }
        let data = delivered(data);
        let max = self.app.limits.event_bytes;
        if data.len() > max {
            return Err(Dropped::TooLarge { max });
        }
        let max = self.app.limits.client_events_per_second;
        if !take_token(&mut self.events_paid, max, now) {
            return Err(Dropped::TooMany { max });
        }
        let member = subscription.member.filter(|_| kind == Kind::Presence);
        let user_id = member.map(|member| Arc::clone(&member.user_id));
        Ok(Publish {
            channels: smallvec![subscription.channel.clone()],
            name: Arc::from(name),
            data,
            origin: Some(self.socket_id),
            source: Source::Client { socket: self.socket_id, user_id },
            stamps: None,
            extras: None,
            once: false,
        })
    }
}

/// The data that others get: a string verbatim, anything else as compact JSON text (P-8.3).
fn delivered(data: ClientData<'_>) -> Bytes {
    match data {
        ClientData::Text(text) => Bytes::from(text.into_owned()),
        ClientData::Json(value) => Bytes::from(compact(&value)),
    }
}
