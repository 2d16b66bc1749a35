//! Plays the dialogues under `tests/transcripts`; their format is told in the README there.

mod dialect;
mod notation;
mod setting;

use crate::world::{Mood, Refusal, Said, Seen, World};
use dialect::{Dialect, SECRET};
use notation::{duration, matches};
use serde_json::Value;
use std::path::Path;
use tidings_dialect::action::End;
use tidings_dialect::auth;

#[test]
fn pusher() {
    play(Dialect::Pusher);
}

#[test]
fn pushi() {
    play(Dialect::Pushi);
}

/// Plays all dialogues of the dialect's folder.
fn play(dialect: Dialect) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts").join(dialect.folder());
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut player = Player::new(dialect);
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
    dialect: Dialect,
    world: World,
    /// Whether its first line, which names the rules, has been seen.
    titled: bool,
}

impl Player {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, world: World::new(dialect.app()), titled: false }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (token, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !self.titled && !token.is_empty() {
            self.titled = token == "#" && rest.contains(self.dialect.rules());
            return if self.titled { Ok(()) } else { Err("a dialogue opens with the rules it shows".to_owned()) };
        }
        match token {
            "" | "#" => Ok(()),
            "---" => {
                self.finish()?;
                *self = Self::new(self.dialect);
                Ok(())
            }
            "@" => {
                self.all_seen()?;
                setting::change(&mut self.world, rest)
            }
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

    /// What the server does of itself.
    fn server(&mut self, rest: &str) -> Result<(), String> {
        self.all_seen()?;
        match *rest.splitn(4, ' ').collect::<Vec<_>>() {
            ["publish", channel, name, data] => self.world.publish_as_server(channel, name, data),
            ["store", channel, name, data] => self.world.store_as_server(channel, name, data)?,
            ["follow", user_id, channel] => self.world.follow(user_id, channel, true),
            ["unfollow", user_id, channel] => self.world.follow(user_id, channel, false),
            ["the", "store", "is", "prompt"] => self.world.store.mood = Mood::Prompt,
            ["the", "store", "is", "slow"] => self.world.store.mood = Mood::Slow,
            ["the", "store", "is", "away"] => self.world.store.mood = Mood::Away,
            ["the", "store", "answers"] => self.world.answer_one()?,
            ["terminate", user_id] => self.world.terminate(user_id),
            ["end", "draining"] => self.world.end(End::Draining),
            ["end", "disabled"] => self.world.end(End::AppDisabled),
            ["end", "slow"] => self.world.end(End::TooSlow),
            ["end", "fault"] => self.world.end(End::Fault),
            _ => return Err("unknown deed".to_owned()),
        }
        Ok(())
    }

    fn open(&mut self, name: &str, line: &str) -> Result<(), String> {
        self.all_seen()?;
        if self.world.place(name).is_some() {
            return Err(format!("{name} is open already"));
        }
        let line = line.replace("{key}", &self.world.app.keys[0].key);
        let mut words = line.split(' ');
        let url = words.next().unwrap_or_default();
        // A refusal stands in the line itself: `? /app/… 4001`.
        let refusal: Vec<&str> = words.collect();
        match (self.world.open(name, url), &refusal[..]) {
            (Ok(_), []) | (Err(Refusal::Nowhere), ["nowhere"]) => Ok(()),
            (Err(Refusal::Told { frame, close }), codes @ [.., closed]) if close.to_string() == *closed => {
                let seen: Value = serde_json::from_slice(&frame).map_err(|error| error.to_string())?;
                let wanted = self.dialect.refusal(codes[0]);
                if matches(&wanted, &seen) { Ok(()) } else { Err(format!("{name} has seen {seen}")) }
            }
            (opened, _) => Err(format!("{opened:?}")),
        }
    }

    /// Opens the connection as the dialect's JavaScript client does, unless it is open.
    fn connection(&mut self, name: &str) -> Result<usize, String> {
        if let Some(at) = self.world.place(name) {
            return Ok(at);
        }
        let at = self.world.open(name, self.dialect.url()).map_err(|refusal| format!("refused: {refusal:?}"))?;
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Text(frame)) if frame.contains("connection_established") => Ok(at),
            other => Err(format!("not established: {other:?}")),
        }
    }

    fn client(&mut self, name: &str, says: &str) -> Result<(), String> {
        self.all_seen()?;
        let at = self.connection(name)?;
        let said = match says {
            "open" => return Ok(()),
            "gone" => {
                self.world.gone(at);
                return Ok(());
            }
            "ping" => Said::Ping,
            "pong" => Said::Pong,
            _ => match says.strip_prefix("binary") {
                Some(message) => Said::Binary(self.signed(at, message.trim_start())?),
                None => Said::Text(self.signed(at, says)?),
            },
        };
        self.world.say(at, said);
        Ok(())
    }

    /// Puts the socket id and the key in their places, then the signature of the whole.
    fn signed(&self, at: usize, message: &str) -> Result<String, String> {
        let socket_id = self.world.socket_id(at);
        let key = &self.world.app.keys[0].key;
        let message = message.replace("{socket_id}", &socket_id).replace("{key}", key);
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
        Ok(message.replace("{sign}", &format!("{key}:{}", auth::sign(SECRET, &[text.as_bytes()]))))
    }

    fn expect(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let at = self.world.place(name).ok_or("not open")?;
        let expected = self.told(at, expected)?;
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Ping(payload)) if expected.strip_prefix("ping").is_some_and(|rest| rest.trim_start() == payload) => Ok(()),
            Some(Seen::Text(text)) if !expected.starts_with("ping") => {
                let wanted: Value = serde_json::from_str(&expected).map_err(|error| error.to_string())?;
                let seen: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                if matches(&wanted, &seen) { Ok(()) } else { Err(format!("{name} has seen {text}")) }
            }
            other => Err(format!("{name} has seen {other:?}")),
        }
    }

    /// Puts the socket id and what the store has in their places.
    fn told(&self, at: usize, expected: &str) -> Result<String, String> {
        let told = expected.replace("{socket_id}", &self.world.socket_id(at));
        let told = notation::fill(&told, "{mid:", |number| Ok(self.world.store.mid(number)))?;
        notation::fill(&told, "{event:", |number| self.world.store.event(number, &self.world.app))
    }

    fn expect_close(&mut self, name: &str, code: &str) -> Result<(), String> {
        let at = self.world.place(name).ok_or("not open")?;
        match self.world.connection(at).seen.pop_front() {
            Some(Seen::Closed(closed)) if closed.to_string() == code => Ok(()),
            other => Err(format!("{name} has seen {other:?}")),
        }
    }
}
