//! The settings that a dialogue can change.

use super::dialect::SECRET;
use super::notation::duration;
use crate::world::World;
use tidings_dialect::pushi::settings::{ClientEvents, OnError, Settings};
use tidings_hub::{App, Key};

/// Changes what a line `name = value` names: of Pushi's sessions for connections that open later, of the app at once.
pub(super) fn change(world: &mut World, line: &str) -> Result<(), String> {
    let (name, value) = line.split_once(" = ").ok_or("a setting is `name = value`")?;
    if let Some(name) = name.strip_prefix("pushi.") {
        return of_pushi(&mut world.settings, name, value);
    }
    of_app(&mut world.app, name, value)?;
    world.reload();
    Ok(())
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{value} is no number"))
}

fn of_app(app: &mut App, name: &str, value: &str) -> Result<(), String> {
    let switch = match name {
        "enabled" => Some(&mut app.enabled),
        "dialects.pusher" => Some(&mut app.dialects.pusher),
        "dialects.pushi" => Some(&mut app.dialects.pushi),
        "client_events" => Some(&mut app.client_events),
        "subscription_count_events" => Some(&mut app.subscription_count_events),
        "watchlist_events" => Some(&mut app.watchlist_events),
        "authorized_connections" => Some(&mut app.authorized_connections),
        "subscription_error_event" => Some(&mut app.subscription_error_event),
        _ => None,
    };
    match (name, switch) {
        (_, Some(switch)) => *switch = value == "true",
        ("keys", _) => app.keys = value.split(' ').map(|key| Key { key: key.to_owned(), secret: SECRET.to_owned() }).collect(),
        ("activity_timeout", _) => app.activity_timeout = duration(value)?,
        ("default_protocol", _) => app.default_protocol = Some(number(value)? as u8),
        ("channel_name_max", _) => app.channel_name_max = number(value)? as usize,
        ("limits.connections", _) => app.limits.connections = Some(number(value)?),
        ("limits.presence_members", _) => app.limits.presence_members = number(value)?,
        ("limits.watchlist", _) => app.limits.watchlist = number(value)? as usize,
        ("limits.event_bytes", _) => app.limits.event_bytes = number(value)? as usize,
        ("limits.event_name_chars", _) => app.limits.event_name_chars = number(value)? as usize,
        _ => return Err(format!("unknown setting {name}")),
    }
    Ok(())
}

fn of_pushi(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    match (name, value) {
        ("on_error", "tell") => settings.on_error = OnError::Tell,
        ("on_error", "close") => settings.on_error = OnError::Close,
        ("client_events", "all") => settings.client_events = Some(ClientEvents::All),
        ("client_events", "signed") => settings.client_events = Some(ClientEvents::Signed),
        ("client_events", "off") => settings.client_events = Some(ClientEvents::Off),
        ("require_signed_channel_data", _) => settings.require_signed_channel_data = Some(value == "true"),
        ("message_bytes", _) => settings.message_bytes = number(value)? as usize,
        ("event_bytes", _) => settings.event_bytes = number(value)? as usize,
        ("channel_name_bytes", _) => settings.channel_name_bytes = number(value)? as usize,
        ("subscriptions", _) => settings.subscriptions = number(value)?,
        ("channel_data_bytes", _) => settings.channel_data_bytes = number(value)? as usize,
        ("client_events_per_second", _) => settings.client_events_per_second = number(value)?,
        ("latest_max", _) => settings.latest_max = number(value)?,
        ("ping_interval", _) => settings.ping_interval = Some(duration(value)?),
        _ => return Err(format!("unknown setting pushi.{name}")),
    }
    Ok(())
}
