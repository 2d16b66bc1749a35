//! Plays the dialogues under `tests/transcripts/pusher`; their format is told in the README beside them.

use crate::world::{Seen, World};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tidings_dialect::action::{End, Input};
use tidings_dialect::auth;
use tidings_hub::{App, Key};

const KEY: &str = "tidings-key";
const SECRET: &str = "tidings-secret";

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts/pusher");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut player = Player::new();
        for (at, line) in text.lines().enumerate() {
            if let Err(problem) = player.line(line) {
                panic!("{name}:{}: {problem}\n  {line}", at + 1);
            }
        }
        if let Err(problem) = player.finish() {
            panic!("{name}, last dialogue: {problem}");
        }
    }
}

/// One dialogue.
struct Player {
    world: World,
    /// Whether its first line, which names the rules, has been seen.
    titled: bool,
}

impl Player {
    fn new() -> Self {
        Self { world: World::new(App::new("app", KEY, SECRET)), titled: false }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (token, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !self.titled && !token.is_empty() {
            self.titled = token == "#" && rest.contains("P-");
            return if self.titled { Ok(()) } else { Err("a dialogue opens with the rules it shows".to_owned()) };
        }
        match token {
            "" | "#" => Ok(()),
            "---" => {
                self.finish()?;
                *self = Self::new();
                Ok(())
            }
            "@" => self.setting(rest),
            "~" => {
                self.all_seen()?;
                self.world.pass(duration(rest)?);
                Ok(())
            }
            "$" => self.server(rest),
            _ => {
                let sigil = token.len() - 1;
                let name = if sigil == 0 { "a" } else { &token[..sigil] };
                match &token[sigil..] {
                    "?" => self.open(name, rest),
                    ">" => self.client(name, rest),
                    "<" => self.expect(name, rest),
                    "x" => self.expect_close(name, rest),
                    _ => Err("what is this line?".to_owned()),
                }
            }
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        self.all_seen()
    }

    /// Nothing goes on while something is left unsaid.
    fn all_seen(&mut self) -> Result<(), String> {
        match self.world.connections().find(|(_, connection)| !connection.seen.is_empty()) {
            Some((name, connection)) => Err(format!("{name} has also seen {:?}", connection.seen)),
            None => Ok(()),
        }
    }

    fn setting(&mut self, rest: &str) -> Result<(), String> {
        self.all_seen()?;
        let (name, value) = rest.split_once(" = ").ok_or("a setting is `name = value`")?;
        let app = &mut self.world.app;
        let number = || value.parse::<u32>().map_err(|error| error.to_string());
        let switch = match name {
            "enabled" => Some(&mut app.enabled),
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
            ("default_protocol", _) => app.default_protocol = Some(number()? as u8),
            ("channel_name_max", _) => app.channel_name_max = number()? as usize,
            ("limits.connections", _) => app.limits.connections = Some(number()?),
            ("limits.presence_members", _) => app.limits.presence_members = number()?,
            ("limits.watchlist", _) => app.limits.watchlist = number()? as usize,
            ("limits.event_bytes", _) => app.limits.event_bytes = number()? as usize,
            ("limits.event_name_chars", _) => app.limits.event_name_chars = number()? as usize,
            _ => return Err(format!("unknown setting {name}")),
        }
        self.world.reload();
        Ok(())
    }

    /// What the server does of itself.
    fn server(&mut self, rest: &str) -> Result<(), String> {
        self.all_seen()?;
        match *rest.splitn(4, ' ').collect::<Vec<_>>() {
            ["publish", channel, name, data] => self.world.publish_as_server(channel, name, data),
            ["terminate", user_id] => self.world.terminate(user_id),
            ["end", "draining"] => self.world.end(End::Draining),
            ["end", "disabled"] => self.world.end(End::AppDisabled),
            ["end", "slow"] => self.world.end(End::TooSlow),
            ["end", "fault"] => self.world.end(End::Fault),
            _ => return Err("unknown deed".to_owned()),
        }
        Ok(())
    }

    fn open(&mut self, name: &str, url: &str) -> Result<(), String> {
        self.all_seen()?;
        if self.world.place(name).is_some() {
            return Err(format!("{name} is open already"));
        }
        // A refusal stands in the line itself: `? /app/… 4001`.
        let Some((url, code)) = url.rsplit_once(' ') else {
            return self.world.open(name, url).map(drop).map_err(|seen| format!("refused: {seen:?}"));
        };
        let frame = format!(r#"{{"event":"pusher:error","data":{{"code":{code},"message":"#);
        match self.world.open(name, url).as_ref().map_err(Vec::as_slice) {
            Err([Seen::Text(text), Seen::Closed(closed)]) if closed.to_string() == code && text.starts_with(&frame) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Opens the connection as pusher-js does, unless it is open.
    fn connection(&mut self, name: &str) -> Result<usize, String> {
        if let Some(at) = self.world.place(name) {
            return Ok(at);
        }
        let at = self.world.open(name, &format!("/app/{KEY}?protocol=7&client=js")).map_err(|seen| format!("refused: {seen:?}"))?;
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Text(frame)) if frame.contains("connection_established") => Ok(at),
            other => Err(format!("not established: {other:?}")),
        }
    }

    fn client(&mut self, name: &str, says: &str) -> Result<(), String> {
        self.all_seen()?;
        let at = self.connection(name)?;
        match says {
            "ping" => self.world.feed(at, Input::Ping),
            "pong" => self.world.feed(at, Input::Pong(b"")),
            "binary" => self.world.feed(at, Input::Binary(b"")),
            "open" => {}
            "gone" => self.world.close(at),
            _ => {
                let message = self.signed(at, says)?;
                self.world.feed(at, Input::Text(&message));
            }
        }
        Ok(())
    }

    /// Puts the socket id in its place, then the signature of the whole.
    fn signed(&self, at: usize, message: &str) -> Result<String, String> {
        let socket_id = self.world.socket_id(at);
        let message = message.replace("{socket_id}", &socket_id);
        if !message.contains("{sign}") {
            return Ok(message);
        }
        let value: Value = serde_json::from_str(&message).map_err(|error| error.to_string())?;
        let field = |name: &str| value["data"][name].as_str();
        let text = match (field("channel"), field("channel_data"), field("user_data")) {
            (Some(channel), None, _) => format!("{socket_id}:{channel}"),
            (Some(channel), Some(data), _) => format!("{socket_id}:{channel}:{data}"),
            (None, _, Some(data)) => format!("{socket_id}::user::{data}"),
            _ => return Err("nothing to sign".to_owned()),
        };
        let key = &self.world.app.keys[0].key;
        Ok(message.replace("{sign}", &format!("{key}:{}", auth::sign(SECRET, &[text.as_bytes()]))))
    }

    fn expect(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let at = self.world.place(name).ok_or("not open")?;
        let expected = expected.replace("{socket_id}", &self.world.socket_id(at));
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Ping) if expected == "ping" => Ok(()),
            Some(Seen::Text(text)) if expected != "ping" => {
                let wanted: Value = serde_json::from_str(&expected).map_err(|error| error.to_string())?;
                let seen: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                if matches(&wanted, &seen) { Ok(()) } else { Err(format!("{name} has seen {text}")) }
            }
            other => Err(format!("{name} has seen {other:?}")),
        }
    }

    fn expect_close(&mut self, name: &str, code: &str) -> Result<(), String> {
        let at = self.world.place(name).ok_or("not open")?;
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Closed(closed)) if closed.to_string() == code => Ok(()),
            other => Err(format!("{name} has seen {other:?}")),
        }
    }
}

/// Equal as JSON, where the string `*` stands for any string.
fn matches(wanted: &Value, seen: &Value) -> bool {
    match (wanted, seen) {
        (Value::String(any), Value::String(_)) if any == "*" => true,
        (Value::Array(wanted), Value::Array(seen)) => {
            wanted.len() == seen.len() && wanted.iter().zip(seen).all(|(wanted, seen)| matches(wanted, seen))
        }
        (Value::Object(wanted), Value::Object(seen)) => {
            wanted.len() == seen.len() && wanted.iter().all(|(name, wanted)| seen.get(name).is_some_and(|seen| matches(wanted, seen)))
        }
        _ => wanted == seen,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or("a time has a unit")?);
    let number = number.parse().map_err(|_| "a time is a whole number")?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        _ => Err(format!("unknown unit {unit}")),
    }
}
