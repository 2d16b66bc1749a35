//! Rows of the store as the records that clients see.

use crate::store::{EventRow, Family, RegistrationRow, SubscriptionRow};
use tidings_dialect::pushi::api::{self, records};
use tidings_hub::{AppId, UnixTime};

/// What all records have. What the store keeps is made and never changed.
pub(super) fn base<'a>(app: &'a AppId, id: i64, created: UnixTime, modified: UnixTime) -> records::Base<'a> {
    records::Base { id: u64::try_from(id).unwrap_or_default(), created, modified, instance: app.as_str() }
}

/// A stored event. What is no text, which only other dialects can have published, shows as nothing.
pub(super) fn event<'a>(app: &'a AppId, row: &'a EventRow) -> records::EventRecord<'a> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).unwrap_or_default();
    records::EventRecord {
        base: base(app, row.id, row.at, row.at),
        mid: row.mid,
        channel: &row.channel,
        owner_id: row.owner.as_deref(),
        timestamp: row.at,
        name: &row.name,
        data: text(&row.data),
        extras: row.extras.as_deref().map(text),
    }
}

pub(super) fn subscription<'a>(app: &'a AppId, row: &'a SubscriptionRow) -> records::SubscriptionRecord<'a> {
    records::SubscriptionRecord { base: base(app, row.id, row.created, row.created), user_id: &row.user_id, event: &row.channel }
}

pub(super) fn registration<'a>(app: &'a AppId, family: api::Family, row: &'a RegistrationRow) -> records::RegistrationRecord<'a> {
    records::RegistrationRecord {
        base: base(app, row.id, row.created, row.created),
        family,
        id: &row.registration.target,
        event: &row.registration.channel,
        p256dh: row.registration.p256dh.as_deref().unwrap_or_default(),
        auth: row.registration.auth.as_deref().unwrap_or_default(),
    }
}

pub(super) fn family(family: api::Family) -> Family {
    match family {
        api::Family::Webs => Family::Web,
        api::Family::Apns => Family::Apn,
        api::Family::Smtps => Family::Smtp,
        api::Family::WebPushes => Family::WebPush,
    }
}
