//! What an operator may set for Pushi's clients. Plain values, with Pushi's own behaviour as the default where that is safe.

use std::time::Duration;
use tidings_hub::App;

/// How sessions behave, and what they may use (I-1.14, I-6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What a client gets that does something wrong (I-1.11).
    pub on_error: OnError,
    /// Where clients may publish; `None` leaves it to [`Settings::client_events_of`] (I-2.13).
    pub client_events: Option<ClientEvents>,
    /// Whether who a client says it is must be signed; `None` leaves it to [`Settings::signed_members_of`] (I-8.5).
    pub require_signed_channel_data: Option<bool>,
    /// Bytes of an inbound message.
    pub message_bytes: usize,
    /// Bytes of an event's name and data.
    pub event_bytes: usize,
    /// Bytes of a channel's name.
    pub channel_name_bytes: usize,
    /// Channels of one connection.
    pub subscriptions: u32,
    /// Bytes of `channel_data`.
    pub channel_data_bytes: usize,
    /// Client events of one connection, a second.
    pub client_events_per_second: u32,
    /// Stored events in one answer (I-3.7).
    pub latest_max: u32,
    /// How often a client is pinged; `None` never, as some clients of Pushi take a ping for a message (I-1.13).
    pub ping_interval: Option<Duration>,
}

/// What a client gets that does something wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// An error frame; the connection stays.
    Tell,
    /// A close with 4000 and the error's code.
    Close,
}

/// Where clients may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvents {
    /// On every channel that they are on.
    All,
    /// On channels that need a signature.
    Signed,
    /// Nowhere.
    Off,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_error: OnError::Tell,
            client_events: None,
            require_signed_channel_data: None,
            message_bytes: 1024 * 1024,
            event_bytes: 1024 * 1024,
            channel_name_bytes: 200,
            subscriptions: 1000,
            channel_data_bytes: 16 * 1024,
            client_events_per_second: 50,
            latest_max: 500,
            ping_interval: None,
        }
    }
}

impl Settings {
    /// Where clients of `app` may publish: as in Pushi if the app speaks nothing else, on signed channels if others listen too.
    #[must_use]
    pub fn client_events_of(&self, app: &App) -> ClientEvents {
        self.client_events.unwrap_or(if app.dialects.pushi_alone() { ClientEvents::All } else { ClientEvents::Signed })
    }

    /// Whether who a client says it is must be signed: not in Pushi, which would let clients of other dialects be impersonated.
    #[must_use]
    pub fn signed_members_of(&self, app: &App) -> bool {
        self.require_signed_channel_data.unwrap_or(!app.dialects.pushi_alone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Dialects;

    /// I-2.13, I-8.5
    #[test]
    fn an_app_that_others_share_is_safe_by_default() {
        for (pusher, written, events, signed) in [
            (false, None, ClientEvents::All, false),
            (true, None, ClientEvents::Signed, true),
            (true, Some((ClientEvents::All, false)), ClientEvents::All, false),
            (false, Some((ClientEvents::Off, true)), ClientEvents::Off, true),
        ] {
            let app = App { dialects: Dialects { pusher, pushi: true, ..Dialects::default() }, ..App::new("1", "k", "s") };
            let client_events = written.map(|(events, _)| events);
            let settings =
                Settings { client_events, require_signed_channel_data: written.map(|(_, signed)| signed), ..Settings::default() };
            assert_eq!((settings.client_events_of(&app), settings.signed_members_of(&app)), (events, signed));
        }
    }
}
