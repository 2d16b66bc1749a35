//! What goes into the store and comes out of it, as plain values. Texts that are secrets never show in `Debug`.

use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use tidings_hub::{AppId, ChannelName, Key, UnixTime};

/// The events of one publish: stored all or none, with ids that follow each other.
pub(crate) struct Trigger {
    pub(crate) app: AppId,
    pub(crate) at: UnixTime,
    /// The socket id of a client that published.
    pub(crate) owner: Option<String>,
    /// In the order in which the publisher listed their channels; a channel may come again.
    pub(crate) events: SmallVec<[NewEvent; 1]>,
}

/// One event to be stored.
pub(crate) struct NewEvent {
    pub(crate) channel: ChannelName,
    pub(crate) epoch: u64,
    pub(crate) serial: u64,
    pub(crate) mid: u128,
    pub(crate) name: Arc<str>,
    pub(crate) data: Bytes,
    /// JSON text of further members of the event's frame, opaque here.
    pub(crate) extras: Option<Bytes>,
}

/// For each event of a publish its place, or none if its channel came before: whoever is owed the publish gets the first.
pub(super) fn places(events: &[NewEvent]) -> impl Iterator<Item = Option<i64>> {
    let mut seen = HashSet::new();
    (0..).zip(events).map(move |(place, event)| (events.len() == 1 || seen.insert(&event.channel)).then_some(place))
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRow {
    /// Ascends over all apps; never used again.
    pub(crate) id: i64,
    pub(crate) channel: String,
    pub(crate) mid: u128,
    pub(crate) owner: Option<String>,
    pub(crate) at: UnixTime,
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) extras: Option<Vec<u8>>,
}

/// The channels that a user follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aliases {
    /// In the order in which the subscriptions were made.
    pub(crate) channels: Vec<String>,
    /// There are more than were asked for.
    pub(crate) more: bool,
}

/// A user follows a channel, connected or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRow {
    pub(crate) id: i64,
    pub(crate) user_id: String,
    pub(crate) channel: String,
    pub(crate) created: UnixTime,
}

/// What a registration is for. The numbers are in databases: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    /// A webhook; the target is its URL.
    Web = 1,
    /// A device of Apple; the target is its token.
    Apn = 2,
    /// A mailbox; the target is its address.
    Smtp = 3,
    /// A browser; the target is its endpoint.
    WebPush = 4,
}

impl Family {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 4] = [Self::Web, Self::Apn, Self::Smtp, Self::WebPush];
}

/// A target that wants the events of a channel.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) family: Family,
    pub(crate) target: String,
    pub(crate) channel: String,
    /// The browser's public key.
    pub(crate) p256dh: Option<String>,
    /// The browser's secret.
    pub(crate) auth: Option<String>,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("family", &self.family).field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// A stored registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistrationRow {
    pub(crate) id: i64,
    pub(crate) registration: Registration,
    pub(crate) created: UnixTime,
}

/// An app to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewApp {
    pub(crate) ident: AppId,
    pub(crate) name: String,
    pub(crate) key: Key,
    pub(crate) settings: SettingsPatch,
}

/// An app that was made while the server ran. Its settings are a row of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppRow {
    pub(crate) id: i64,
    pub(crate) ident: AppId,
    pub(crate) name: String,
    /// The newest first.
    pub(crate) keys: Vec<Key>,
    pub(crate) enabled: bool,
    pub(crate) created: UnixTime,
    pub(crate) modified: UnixTime,
}

/// What is kept about an app beside its keys, whether it was made here or stands in the configuration.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SettingsRow {
    /// The name, if it was ever set here.
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    /// JSON text.
    pub(crate) meta: Option<String>,
    pub(crate) apn_sandbox: bool,
    pub(crate) apn_key: Option<String>,
    pub(crate) apn_cer: Option<String>,
    pub(crate) apn_key_id: Option<String>,
    pub(crate) apn_team_id: Option<String>,
    pub(crate) apn_topic: Option<String>,
    pub(crate) vapid_key: Option<String>,
    pub(crate) vapid_email: Option<String>,
    pub(crate) smtp_url: Option<String>,
    pub(crate) created: UnixTime,
    pub(crate) modified: UnixTime,
}

impl fmt::Debug for SettingsRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsRow").field("name", &self.name).field("modified", &self.modified).finish_non_exhaustive()
    }
}

/// A change of some settings: `None` leaves one as it is, `Some(None)` takes it away.
#[derive(Clone, Default)]
pub(crate) struct SettingsPatch {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<Option<String>>,
    pub(crate) meta: Option<Option<String>>,
    pub(crate) apn_sandbox: Option<bool>,
    pub(crate) apn_key: Option<Option<String>>,
    pub(crate) apn_cer: Option<Option<String>>,
    pub(crate) apn_key_id: Option<Option<String>>,
    pub(crate) apn_team_id: Option<Option<String>>,
    pub(crate) apn_topic: Option<Option<String>>,
    pub(crate) vapid_key: Option<Option<String>>,
    pub(crate) vapid_email: Option<Option<String>>,
    pub(crate) smtp_url: Option<Option<String>>,
}

impl fmt::Debug for SettingsPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsPatch").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SettingsPatch {
    /// Changes `row`.
    pub(crate) fn apply(&self, row: &mut SettingsRow, now: UnixTime) {
        fn set<T: Clone>(field: &mut T, change: &Option<T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        if self.name.is_some() {
            row.name.clone_from(&self.name);
        }
        set(&mut row.description, &self.description);
        set(&mut row.meta, &self.meta);
        set(&mut row.apn_sandbox, &self.apn_sandbox);
        set(&mut row.apn_key, &self.apn_key);
        set(&mut row.apn_cer, &self.apn_cer);
        set(&mut row.apn_key_id, &self.apn_key_id);
        set(&mut row.apn_team_id, &self.apn_team_id);
        set(&mut row.apn_topic, &self.apn_topic);
        set(&mut row.vapid_key, &self.vapid_key);
        set(&mut row.vapid_email, &self.vapid_email);
        set(&mut row.smtp_url, &self.smtp_url);
        row.modified = now;
    }
}

/// Somebody is logged in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    /// The token itself is not kept.
    pub(crate) token_hash: [u8; 32],
    pub(crate) app: AppId,
    /// What the login was good for, such as a fingerprint of the secret: whoever finds it changed ends the session. Opaque here.
    pub(crate) mark: Vec<u8>,
    pub(crate) expires: UnixTime,
}

impl fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRow").field("app", &self.app).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// How much there is, for those who look after the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Apps that were made while the server ran.
    pub(crate) apps: u64,
    /// For each of [`Family::ALL`].
    pub(crate) registrations: [FamilyCount; 4],
}

/// How much there is of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FamilyCount {
    pub(crate) registrations: u64,
    /// In how many apps.
    pub(crate) apps: u64,
}
