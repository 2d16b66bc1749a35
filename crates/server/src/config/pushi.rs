//! `[[pushi]]`: how Pushi's clients are spoken to, for one app or for all that have no section of their own.

use super::reader::Section;
use super::units::Rate;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::pushi::settings::{ClientEvents, OnError, Settings};
use tidings_hub::AppId;

/// How Pushi's clients are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushi {
    /// The app that it is for; `None` for all that have no section of their own.
    pub app: Option<AppId>,
    /// What holds for WebSocket sessions.
    pub session: Arc<Settings>,
    /// Whether anybody may make apps (I-4.11).
    pub open_apps: bool,
    /// Whether anybody may see `/health/detailed` (I-4.53).
    pub open_health: bool,
    /// Whether an app's key is enough to register browsers (I-4.61).
    pub legacy_app_key: bool,
    /// Origins whose pages may use the REST API with their cookies (I-4.10).
    pub cors_origins: Vec<String>,
    /// How long a login holds that nobody uses (I-4.4).
    pub session_lifetime: Duration,
    /// Logins that fail, from one address (I-4.5).
    pub failed_logins: Rate,
    /// Bytes of the body of a REST request.
    pub body_bytes: usize,
}

impl Default for Pushi {
    fn default() -> Self {
        Self {
            app: None,
            session: Arc::default(),
            open_apps: false,
            open_health: false,
            legacy_app_key: false,
            cors_origins: Vec::new(),
            session_lifetime: 31 * DAY,
            failed_logins: Rate { count: 5, per: SECOND },
            body_bytes: 2 << 20,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What Pushi's deliveries to devices will have.
const LATER: [&str; 2] = ["client_events_handlers", "allow_private_targets"];

pub(super) fn pushi(section: &mut Section<'_, '_>) -> Pushi {
    section.later(&LATER, "nothing is delivered to devices");
    let default = Pushi::default();
    let about = "The id of the app that this section is for; without it, it is for all apps that have none.";
    Pushi {
        app: section.text(("app", "I-6", about), "", |text| super::reader::given(text).map(AppId::new), AppId::to_string),
        session: Arc::new(session(section)),
        open_apps: section.flag(("open_apps", "I-4.11", "Anybody may make apps with `POST /apps`."), default.open_apps),
        open_health: section.flag(("open_health", "I-4.53", "Anybody may see `/health/detailed`."), default.open_health),
        legacy_app_key: section.flag(
            ("legacy_app_key", "I-4.61", "An app's key is enough to register browsers, as in clients of 0.4."),
            default.legacy_app_key,
        ),
        cors_origins: section
            .texts(
                ("cors_origins", "I-4.10", "Origins whose pages may use the REST API with their cookies."),
                &[],
                super::app::origin,
                String::clone,
            )
            .unwrap_or_default(),
        session_lifetime: section.duration(
            ("session_lifetime", "I-4.4", "How long a login holds that nobody uses."),
            default.session_lifetime,
            60 * SECOND..=3660 * DAY,
        ),
        failed_logins: section.rate(
            ("failed_logins", "I-4.5", "Logins that fail, from one address; beyond it they are refused unseen."),
            default.failed_logins,
        ),
        body_bytes: section.bytes(("body_bytes", "I-4.8", "Bytes of the body of a REST request."), default.body_bytes, KIB..=64 * MIB),
    }
}

fn session(section: &mut Section<'_, '_>) -> Settings {
    let default = Settings::default();
    let on_error = [("error", OnError::Tell), ("close", OnError::Close)];
    let client_events = [("all", ClientEvents::All), ("signed", ClientEvents::Signed), ("off", ClientEvents::Off)];
    let named = |text: &str| {
        let found = client_events.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| format!("{} is none of \"all\", \"signed\" and \"off\"", super::problem::quoted(text)))
    };
    let name_of = |value: &ClientEvents| client_events.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name).to_owned();
    Settings {
        on_error: section.one_of(
            ("on_error", "I-1.11", "What a client gets that does something wrong: an `error` frame, or a `close` as in Pushi."),
            default.on_error,
            &on_error,
        ),
        client_events: section.text(
            (
                "client_events",
                "I-2.13",
                "Where clients may publish: `all` channels that they are on, `signed` ones, or `off`. Without it `all` for an app that speaks \
                 Pushi alone, else `signed`.",
            ),
            "",
            named,
            name_of,
        ),
        require_signed_channel_data: section.maybe_flag((
            "require_signed_channel_data",
            "I-8.5",
            "Who a client says it is must be signed. Without it false for an app that speaks Pushi alone, else true.",
        )),
        message_bytes: section.bytes(
            ("message_bytes", "I-1.14", "Bytes of an inbound WebSocket message."),
            default.message_bytes,
            KIB..=64 * MIB,
        ),
        event_bytes: section.bytes(("event_bytes", "I-1.14", "Bytes of an event's name and data."), default.event_bytes, 1..=64 * MIB),
        channel_name_bytes: section.count(
            ("channel_name_bytes", "I-1.14", "Bytes of a channel's name."),
            default.channel_name_bytes,
            1..=1024,
        ),
        subscriptions: section.count(("subscriptions", "I-1.14", "Channels of one connection."), default.subscriptions, 1..=1_000_000),
        channel_data_bytes: section.bytes(
            ("channel_data_bytes", "I-1.14", "Bytes of `channel_data`."),
            default.channel_data_bytes,
            1..=MIB,
        ),
        client_events_per_second: section.count(
            ("client_events_per_second", "I-1.14", "Events that one connection may publish in a second."),
            default.client_events_per_second,
            0..=1_000_000,
        ),
        latest_max: section.count(("latest_max", "I-3.7", "Stored events in one answer."), default.latest_max, 1..=10_000),
        ping_interval: section.maybe_duration(
            ("ping_interval", "I-1.13", "How often clients are pinged. Without it never: Pushi's Python client takes a ping for a message."),
            None,
            SECOND..=DAY,
        ),
    }
}
