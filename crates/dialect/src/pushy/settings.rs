//! What an operator may set for Pushy's clients. Plain values; the defaults are those of the rules.

use std::collections::BTreeSet;
use std::fmt;
use tidings_hub::App;

/// How sessions and the trigger behave, and what they may use (Y-2.6, Y-11.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a connection is told a channel's name (Y-5.4).
    pub channel_names: ChannelNames,
    /// What makes a private channel show who is on it (Y-8.1, Y-8.2).
    pub presence: Presence,
    /// Which text a signature over presence data covers (Y-7.4).
    pub auth_data: AuthData,
    /// Whether triggers are accepted that PHP's senders sign otherwise than the original server reads them (Y-6.9).
    pub php_compat: bool,
    /// Whether a trigger's `socket_id` is left out (Y-6.12).
    pub honor_socket_id: bool,
    /// What signs triggers in place of the app's secrets (Y-10.9).
    pub trigger_secret_key: Option<Secret>,
    /// The commands that clients may call beside the built-in ones (Y-9.2).
    pub commands: Commands,
    /// Whether a channel's name may hold a colon (Y-10.9).
    pub colon_in_channel: bool,
    /// Characters of a channel's name.
    pub channel_name_chars: usize,
    /// Characters of an event's name.
    pub event_name_chars: usize,
    /// Bytes of what a client says of itself on a channel (Y-8.11).
    pub presence_data_bytes: usize,
    /// Bytes of an inbound message; a longer one closes with 1009.
    pub message_bytes: usize,
    /// Bytes of a trigger's body.
    pub trigger_body_bytes: usize,
    /// Channels of one connection.
    pub subscriptions: u32,
    /// Messages of one connection, a second.
    pub commands_per_second: u32,
    /// Messages of one connection at once.
    pub commands_burst: u32,
    /// Commands of all connections that are under way at once (Y-9.5). Whoever calls them keeps count.
    pub command_calls: u32,
    /// Keys of accepted triggers that are remembered for [`super::api::REPLAY_WINDOW`], so that none is accepted twice; 0 for none (Y-10.8).
    pub replay_cache: usize,
}

/// How a connection is told a channel's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelNames {
    /// As it wrote it when it subscribed.
    Subscriber,
    /// As the first one on the channel wrote it: as in the original, where anybody can break the clients of all others.
    Creator,
    /// In lower case.
    Lower,
}

/// What makes a private channel show who is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// That the first one on it says something of itself.
    First,
    /// That anybody does.
    Any,
}

/// Which text a signature over presence data covers, where the data is a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthData {
    /// The string as JSON, or the string itself.
    Either,
    /// The string as JSON, as in the original.
    Double,
}

/// What signs. It never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Names of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    /// In lower case.
    pub named: BTreeSet<String>,
    /// Whether all other names are commands too.
    pub others: bool,
}

impl Commands {
    /// Whether `name`, in lower case, is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.others || self.named.contains(name)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            channel_names: ChannelNames::Subscriber,
            presence: Presence::First,
            auth_data: AuthData::Either,
            php_compat: true,
            honor_socket_id: true,
            trigger_secret_key: None,
            commands: Commands::default(),
            colon_in_channel: true,
            channel_name_chars: 200,
            event_name_chars: 200,
            presence_data_bytes: 2048,
            message_bytes: 64 * 1024,
            trigger_body_bytes: 1024 * 1024,
            subscriptions: 1000,
            commands_per_second: 100,
            commands_burst: 200,
            command_calls: 64,
            replay_cache: 0,
        }
    }
}

impl Settings {
    /// The secrets that may sign a trigger of `app`, any of them.
    pub fn trigger_secrets<'a>(&'a self, app: &'a App) -> impl Iterator<Item = &'a str> {
        let own = self.trigger_secret_key.as_ref();
        let apps = own.is_none().then_some(&app.keys).into_iter().flatten().map(|pair| pair.secret.as_str());
        own.map(|secret| secret.0.as_str()).into_iter().chain(apps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Key;

    /// Y-10.9
    #[test]
    fn a_secret_for_triggers_replaces_the_apps() {
        let mut app = App::new("1", "k", "one");
        app.keys.push(Key { key: "l".to_owned(), secret: "two".to_owned() });
        let settings = Settings::default();
        assert_eq!(settings.trigger_secrets(&app).collect::<Vec<_>>(), ["one", "two"]);
        let settings = Settings { trigger_secret_key: Some(Secret("own".to_owned())), ..settings };
        assert_eq!(settings.trigger_secrets(&app).collect::<Vec<_>>(), ["own"]);
        assert!(!format!("{settings:?}").contains("own"));
    }

    /// Y-9.2
    #[test]
    fn commands_are_those_that_were_added() {
        let named = Commands { named: BTreeSet::from(["chat".to_owned()]), others: false };
        assert!(named.has("chat") && !named.has("constructor") && Commands { others: true, ..named }.has("constructor"));
    }
}
