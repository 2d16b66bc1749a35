//! `[[pushy]]`: an app that Pushy's clients speak to, with its own path, commands and limits.

use super::listener::Dialect;
use super::reader::Section;
use crate::transport::sockjs::{Heartbeat, ScriptUrl, Settings as Sockjs, Transport, Transports};
use http::Uri;
use std::collections::BTreeSet;
use std::time::Duration;
use tidings_dialect::pushy::settings::{AuthData, ChannelNames, Commands, Presence, Secret, Settings};
use tidings_hub::AppId;

/// Below this path SockJS is spoken, as in the samples of Pushy.
const PREFIX: &str = "/pushy/socket";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// How Pushy's clients are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushy {
    /// What listeners call it: `pushy:NAME`, or `pushy` if it is empty.
    pub name: String,
    /// The app.
    pub app: AppId,
    /// The path below which SockJS is spoken.
    pub prefix: String,
    /// How SockJS behaves.
    pub sockjs: Sockjs,
    /// What holds for sessions and for the trigger.
    pub session: Settings,
    /// Where commands are answered that are not built in.
    pub commands: Vec<CommandTarget>,
}

/// Where a command is answered (Y-9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTarget {
    /// The command, in lower case; `*` for all others.
    pub name: String,
    /// The endpoint.
    pub url: String,
    /// How long it may take.
    pub timeout: Duration,
}

impl Pushy {
    /// What a listener speaks that serves it.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        Dialect::Pushy(self.name.clone())
    }
}

pub(super) fn pushy(section: &mut Section<'_, '_>) -> Pushy {
    let missing = !section.has("app");
    let about = "What listeners call it: `pushy:NAME`, or `pushy` without a name.";
    let name = section.text(("name", "", about), "", name, String::clone).unwrap_or_default();
    let app = section.text(("app", "Y-1.7", "The id of the app; its secrets sign."), "", super::reader::given_owned, String::clone);
    if missing {
        section.problem("app", "is missing; name the id of the app");
    }
    let session = session(section);
    let (prefix, sockjs) = section.section("sockjs", |section| sockjs(section, session.message_bytes));
    let commands = section.sections("commands", command);
    let known = |name: &str| commands.iter().any(|command| command.name == name);
    let named: BTreeSet<String> = commands.iter().map(|command| command.name.clone()).filter(|name| name != "*").collect();
    let session = Settings { commands: Commands { named, others: known("*") }, ..session };
    Pushy { name, app: AppId::new(&app.unwrap_or_default()), prefix, sockjs, session, commands }
}

fn session(section: &mut Section<'_, '_>) -> Settings {
    let default = Settings::default();
    let names = [("subscriber", ChannelNames::Subscriber), ("creator", ChannelNames::Creator), ("lower", ChannelNames::Lower)];
    let presence = [("first", Presence::First), ("any", Presence::Any)];
    let auth_data = [("either", AuthData::Either), ("double", AuthData::Double)];
    Settings {
        channel_names: section.one_of(
            (
                "channel_names",
                "Y-5.4",
                "How a connection is told a channel's name: as it wrote it, as the first one did, or in lower case.",
            ),
            default.channel_names,
            &names,
        ),
        presence: section.one_of(
            (
                "presence",
                "Y-8.2",
                "What makes a private channel show who is on it: that the `first` one says who it is, or that `any` does.",
            ),
            default.presence,
            &presence,
        ),
        auth_data: section.one_of(
            (
                "auth_data",
                "Y-7.4",
                "Which text a signature over presence data covers: `either` the string or its JSON, or only the latter.",
            ),
            default.auth_data,
            &auth_data,
        ),
        php_compat: section.flag(
            ("php_compat", "Y-6.9", "Triggers are accepted that PHP's SDK signs otherwise than the original reads them."),
            default.php_compat,
        ),
        honor_socket_id: section
            .flag(("honor_socket_id", "Y-6.12", "A trigger's `socket_id` is left out, as documented."), default.honor_socket_id),
        trigger_secret_key: section
            .secret(
                ("trigger_secret_key", "Y-10.9", "What signs triggers instead of the app's secrets. Never shown."),
                ("trigger_secret_key_file", "Y-10.9", "A file that holds it."),
            )
            .map(Secret),
        commands: Commands::default(),
        colon_in_channel: section.flag(
            ("colon_in_channel", "Y-10.9", "A channel's name may hold a colon, which signatures also use."),
            default.colon_in_channel,
        ),
        channel_name_chars: section.count(
            ("channel_name_chars", "Y-11.1", "Characters of a channel's name."),
            default.channel_name_chars,
            1..=200,
        ),
        event_name_chars: section.count(
            ("event_name_chars", "Y-11.1", "Characters of an event's name."),
            default.event_name_chars,
            1..=10_000,
        ),
        presence_data_bytes: section.bytes(
            ("presence_data_bytes", "Y-8.11", "Bytes of what a client says of itself on a channel."),
            default.presence_data_bytes,
            1..=MIB,
        ),
        message_bytes: section.bytes(("message_bytes", "Y-11.1", "Bytes of a message of a client."), default.message_bytes, KIB..=MIB),
        trigger_body_bytes: section.bytes(
            ("trigger_body_bytes", "Y-11.1", "Bytes of the body of a trigger."),
            default.trigger_body_bytes,
            KIB..=64 * MIB,
        ),
        subscriptions: section.count(("subscriptions", "Y-11.1", "Channels of one connection."), default.subscriptions, 1..=1_000_000),
        commands_per_second: section.count(
            ("commands_per_second", "Y-11.1", "Messages that one connection may send in a second."),
            default.commands_per_second,
            1..=1_000_000,
        ),
        commands_burst: section.count(
            ("commands_burst", "Y-11.1", "Messages that it may send at once."),
            default.commands_burst,
            1..=1_000_000,
        ),
        command_calls: section.count(
            ("command_calls", "Y-9.5", "Commands of all connections that may be under way at their endpoints."),
            default.command_calls,
            1..=100_000,
        ),
        replay_cache: section.count(
            ("replay_cache", "Y-10.8", "Signatures of triggers that are remembered, so that none is accepted twice; 0 for none."),
            default.replay_cache,
            0..=10_000_000,
        ),
    }
}

fn sockjs(section: &mut Section<'_, '_>, message_bytes: usize) -> (String, Sockjs) {
    let default = Sockjs::default();
    let heartbeats = [("both", Heartbeat::Both), ("ping", Heartbeat::Ping), ("frame", Heartbeat::Frame)];
    let script = default.sockjs_url.as_str();
    let prefix = section.text(("prefix", "S-1.1", "The path below which SockJS is spoken."), PREFIX, prefix, String::clone);
    let url =
        |text: &str| ScriptUrl::parse(text).ok_or_else(|| format!("{} begins neither with / nor with http", super::problem::quoted(text)));
    let transports: Option<Vec<Transport>> = section.texts(
        ("transports", "S-2.8", "The transports that are offered; without it all."),
        &[],
        |text| Transport::named(text).ok_or_else(|| format!("there is no transport {}", super::problem::quoted(text))),
        |transport| transport.name().to_owned(),
    );
    let websocket = section.flag(("websocket", "S-6.9", "WebSocket is offered, with frames and without."), true);
    let offered: Transports = transports.map_or_else(Transports::default, Transports::from_iter);
    let settings = Sockjs {
        response_limit: section.bytes(
            ("response_limit", "S-5.10", "Bytes of frames after which a streaming response ends."),
            default.response_limit,
            KIB..=1024 * MIB,
        ),
        heartbeat_delay: section.duration(
            ("heartbeat_delay", "S-7.7", "How often a client that is sent nothing else gets a heartbeat."),
            default.heartbeat_delay,
            SECOND..=30 * SECOND,
        ),
        disconnect_delay: section.duration(
            ("disconnect_delay", "S-7.5", "How long a session lasts without a request that receives."),
            default.disconnect_delay,
            Duration::from_millis(100)..=10 * MINUTE,
        ),
        jsessionid: section.flag(("jsessionid", "S-9.1", "The cookie that load balancers go by is sent."), default.jsessionid),
        sockjs_url: section
            .text(("sockjs_url", "S-4.5", "The client's script, for the iframe page: of the version that pages use."), script, url, |url| {
                url.as_str().to_owned()
            })
            .unwrap_or_default(),
        base_url: section.text(
            ("base_url", "S-4.1", "What clients are told to use instead of the address that they asked."),
            "",
            super::reader::given_owned,
            String::clone,
        ),
        transports: if websocket { offered } else { offered.without_websocket() },
        disable_cors: section.flag(("disable_cors", "S-4.6", "Neither CORS headers nor the iframe page."), default.disable_cors),
        allowed_origins: section.texts(
            ("allowed_origins", "S-4.6", "Origins whose pages may connect; without it all."),
            &[],
            super::app::origin,
            String::clone,
        ),
        ws_heartbeat: section.one_of(("ws_heartbeat", "S-6.8", "What keeps a WebSocket alive."), default.ws_heartbeat, &heartbeats),
        permessage_deflate: section
            .flag(("permessage_deflate", "S-6.3", "WebSockets are compressed for clients that offer it."), default.permessage_deflate),
        hixie76: section.flag(("hixie76", "S-6.10", "The WebSocket draft of 2010 is understood."), default.hixie76),
        max_sessions: section.count(("max_sessions", "S-8.2", "Sessions over HTTP at once."), default.max_sessions, 1..=100_000_000),
        max_sessions_per_ip: section.maybe_count(
            ("max_sessions_per_ip", "S-8.2", "Those of one client address; without it only the others hold."),
            default.max_sessions_per_ip,
            1..=100_000_000,
        ),
        message_bytes,
        ..default
    };
    (prefix.unwrap_or_else(|| PREFIX.to_owned()), settings)
}

fn command(section: &mut Section<'_, '_>) -> CommandTarget {
    let missing: Vec<&str> = ["name", "url"].into_iter().filter(|name| !section.has(name)).collect();
    for name in missing {
        section.problem(name, "is missing; a command needs a `name` and the `url` of its endpoint");
    }
    let name = section.text(
        ("name", "Y-9.2", "The command, in any case; `*` for all that have no section of their own."),
        "",
        command_name,
        String::clone,
    );
    let url = section.text(("url", "Y-9.2", "Where it is posted to."), "", endpoint, String::clone);
    let timeout = section.duration(("timeout", "Y-9.2", "How long the answer may take."), 3 * SECOND, Duration::from_millis(10)..=MINUTE);
    CommandTarget { name: name.unwrap_or_default(), url: url.unwrap_or_default(), timeout }
}

fn command_name(text: &str) -> Result<String, String> {
    let name = super::reader::given(text)?.to_lowercase();
    match name.as_str() {
        "subscribe" | "unsubscribe" => Err(format!("{name} is built in and cannot be replaced")),
        _ => Ok(name),
    }
}

fn endpoint(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let right = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if right {
        Ok(text.to_owned())
    } else {
        Err(format!("{} is no URL that begins with http:// or https://", super::problem::quoted(text)))
    }
}

fn name(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if plain { Ok(text.to_owned()) } else { Err(format!("{} is no name; use letters, digits and -_.", super::problem::quoted(text))) }
}

fn prefix(text: &str) -> Result<String, String> {
    super::listener::path_prefix(text)
        .and_then(|prefix| if prefix.is_empty() { Err("is empty; write \"/pushy/socket\"".to_owned()) } else { Ok(prefix) })
}
