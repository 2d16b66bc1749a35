//! The published dialogues with Pushy's server (Y-13.2): recorded on the original, with what is to be seen to the byte.

use crate::pushy_vectors::vectors;
use crate::pushy_world::{Seen, World};
use serde_json::Value;
use std::collections::HashMap;
use tidings_dialect::pushy::api::Request;
use tidings_dialect::pushy::auth::Signature;
use tidings_dialect::pushy::command;
use tidings_dialect::pushy::settings::{ChannelNames, Commands, Presence, Settings};
use tidings_hub::{App, ChannelName, Publish};

/// A dialogue under way.
struct Run {
    name: String,
    world: World,
    /// What `${…}` stands for.
    known: HashMap<String, String>,
    /// What each connection has seen and was not expected yet.
    unexpected: HashMap<String, Vec<String>>,
}

impl Run {
    fn step(&mut self, step: &Value) {
        let conn = step["conn"].as_str().unwrap_or_default();
        match (step["do"].as_str(), step["expect"].as_str()) {
            (Some("connect"), _) => {
                let socket_id = self.world.open(conn, "");
                self.known.insert(format!("{conn}.socketId"), socket_id);
            }
            (Some("send"), _) => {
                self.sign(step);
                let text = self.fill(step["text"].as_str().unwrap());
                self.world.send(conn, &text);
            }
            (Some("close"), _) => self.world.close(conn),
            (Some("http"), _) => self.http(step),
            (_, Some("message")) => {
                let expected = self.fill(step["text"].as_str().unwrap());
                self.look(conn);
                let seen = self.unexpected.get_mut(conn).unwrap();
                assert!(!seen.is_empty(), "{}: {conn} sees nothing, not {expected}", self.name);
                let found = seen.remove(0);
                self.bind(&expected, &found);
            }
            (_, Some("silence")) => {
                for conn in step["conns"].as_array().unwrap() {
                    let conn = conn.as_str().unwrap();
                    self.look(conn);
                    assert!(self.unexpected[conn].is_empty(), "{}: {conn} sees {:?}", self.name, self.unexpected[conn]);
                }
            }
            _ => panic!("{}: {step}", self.name),
        }
    }

    fn http(&mut self, step: &Value) {
        self.sign(step);
        let pairs: Vec<String> =
            step["query"].as_object().unwrap().iter().map(|(key, value)| format!("{key}={}", self.fill(value.as_str().unwrap()))).collect();
        let answer = self.world.request(&Request {
            method: step["method"].as_str().unwrap(),
            path: step["path"].as_str().unwrap(),
            query: &pairs.join("&"),
            content_type: step["content_type"].as_str(),
            body: step["body"].as_str().unwrap().as_bytes(),
        });
        assert_eq!(Some(u64::from(answer.status)), step["expect_status"].as_u64(), "{}: {step}", self.name);
        if let Some(expected) = step["expect_body"].as_str() {
            assert_eq!(String::from_utf8(answer.body).unwrap(), expected, "{}", self.name);
        }
    }

    /// Makes the signature that a step wants.
    fn sign(&mut self, step: &Value) {
        if let Some(text) = step["sign"].as_str() {
            let signature = Signature::of(&[self.fill(text).as_bytes()]).hex();
            self.known.insert("auth".to_owned(), signature);
        }
    }

    /// Takes what a connection has seen.
    fn look(&mut self, conn: &str) {
        let seen = shown(self.world.seen(conn));
        self.unexpected.entry(conn.to_owned()).or_default().extend(seen);
    }

    /// Puts in what is known; what is not stays, to be bound.
    fn fill(&self, template: &str) -> String {
        let now = (self.world.unix().as_millis() + 500) / 1000;
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').unwrap();
            out.push_str(before);
            match (name.strip_prefix("now"), self.known.get(name)) {
                (Some(""), _) => out.push_str(&now.to_string()),
                (Some(offset), _) => out.push_str(&(now as i64 + offset.parse::<i64>().unwrap()).to_string()),
                (_, Some(known)) => out.push_str(known),
                _ => out.push_str(&format!("${{{name}}}")),
            }
            rest = after;
        }
        out + rest
    }

    /// Compares, and learns what the unknown stands for.
    fn bind(&mut self, expected: &str, found: &str) {
        let mut rest = found;
        let mut template = self.fill(expected);
        while let Some((before, after)) = template.clone().split_once("${") {
            let (name, after) = after.split_once('}').unwrap();
            rest = rest.strip_prefix(before).unwrap_or_else(|| panic!("{}: {found}\nis not {expected}", self.name));
            let len = if name == "ms" { 13 } else { 8 };
            let (value, tail) = rest.split_at(len);
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            assert!(value.bytes().all(|byte| if name == "ms" { byte.is_ascii_digit() } else { hex(byte) }), "{}: {found}", self.name);
            rest = tail;
            template = after.to_owned();
            if name != "ms" {
                self.known.insert(name.to_owned(), value.to_owned());
                template = self.fill(&template);
            }
        }
        assert_eq!(rest, template, "{}: {found}\nis not {expected}", self.name);
    }
}

fn run(list: &str, settings: impl Fn() -> Settings) {
    let vectors = vectors();
    let transcripts = vectors[list].as_array().unwrap();
    assert!(!transcripts.is_empty(), "{list}");
    for transcript in transcripts {
        let world = World::new(App::new("1", "k", transcript["secret"].as_str().unwrap()), settings());
        let name = transcript["name"].as_str().unwrap().to_owned();
        let mut run = Run { name, world, known: HashMap::new(), unexpected: HashMap::new() };
        transcript["steps"].as_array().unwrap().iter().for_each(|step| run.step(step));
    }
}

/// Y-13.2: with default settings.
#[test]
fn golden() {
    run("golden_transcripts", Settings::default);
    run("tidings_only_transcripts", Settings::default);
}

/// Y-6.12
#[test]
fn of_the_original_alone() {
    run("original_only_transcripts", || Settings { honor_socket_id: false, ..Settings::default() });
}

/// Sends commands one after the other and collects what is answered.
fn exchange(world: &mut World, conn: &str, commands: &[&str]) -> Vec<String> {
    world.seen(conn);
    commands.iter().for_each(|command| world.send(conn, command));
    shown(world.seen(conn))
}

fn shown(seen: Vec<Seen>) -> Vec<String> {
    let one = |seen| match seen {
        Seen::Text(text) => text,
        Seen::Closed(code) => format!("closed {code}"),
    };
    seen.into_iter().map(one).collect()
}

/// A subscribe that is signed, with what it says of itself as a JSON text.
fn signed(world: &mut World, conn: &str, socket_id: &str, channel: &str, data: Option<&str>) -> Vec<String> {
    let lower = channel.to_lowercase();
    let covered = data.map(|data| format!(":{data}")).unwrap_or_default();
    let auth = Signature::of(&[format!("{socket_id}:{lower}{covered}:secret").as_bytes()]).hex();
    let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
    exchange(world, conn, &[&format!(r#"{{"command":"subscribe","data":{{"channel":"{channel}","auth":"{auth}"{data}}}}}"#)])
}

fn world(settings: Settings) -> World {
    World::new(App::new("1", "k", "secret"), settings)
}

/// Y-5.4, Y-10.7: each setting, with two who write the name differently.
#[test]
fn names_are_told_as_the_setting_says() {
    for (channel_names, one, other) in
        [(ChannelNames::Subscriber, "Hello", "HELLO"), (ChannelNames::Creator, "Hello", "Hello"), (ChannelNames::Lower, "hello", "hello")]
    {
        let mut world = world(Settings { channel_names, ..Settings::default() });
        for (conn, written, expected) in [("A", "Hello", one), ("B", "HELLO", other)] {
            world.open(conn, "");
            let success = exchange(&mut world, conn, &[&format!(r#"{{"command":"subscribe","data":{{"channel":"{written}"}}}}"#)]);
            assert!(success[0].contains(&format!(r#"{{"channel":"{expected}","#)), "{channel_names:?}: {success:?}");
        }
        world.publish(Publish::new(ChannelName::parse("hello").unwrap(), "e".into(), "plain".into()));
        for (conn, expected) in [("A", one), ("B", other)] {
            let event = format!(r#"{{"event":"e","channel":"{expected}","data":"plain"}}"#);
            assert_eq!(shown(world.seen(conn)), [event], "{channel_names:?}");
        }
    }
}

/// Y-8.2: somebody who comes later turns presence on; those who were there are listed.
#[test]
fn presence_of_any() {
    let mut world = world(Settings { presence: Presence::Any, ..Settings::default() });
    let ids = ["A", "B"].map(|conn| world.open(conn, ""));
    let first = signed(&mut world, "A", &ids[0], "private-x", None);
    assert!(!first[0].contains("presence"), "{first:?}");
    let second = signed(&mut world, "B", &ids[1], "private-x", Some(r#"{"username":"bob"}"#));
    let presence: Value = serde_json::from_str(&second[0]).unwrap();
    let presence = presence["data"]["presence"].as_array().unwrap();
    assert_eq!((presence.len(), presence[0].get("username"), presence[1]["username"].as_str()), (2, None, Some("bob")));
    assert!(matches!(&world.seen("A")[..], [Seen::Text(text)] if text.contains("pushy:presence-add") && text.contains("bob")));
}

/// Y-1.5 and the rule for all dialects: what takes proof elsewhere takes it here; `#` is nobody's. Users of presence channels stay unseen.
#[test]
fn channels_of_other_dialects_take_proof() {
    let mut world = world(Settings::default());
    let id = world.open("A", "");
    for channel in ["presence-x", "personal-u", "Peer-x:a&b"] {
        let command = format!(r#"{{"command":"subscribe","data":{{"channel":"{channel}"}}}}"#);
        assert!(exchange(&mut world, "A", &[&command])[0].contains("pushy:subscription-needauth"), "{channel}");
        let success = signed(&mut world, "A", &id, channel, Some(r#"{"user_id":"u"}"#));
        assert!(success[0].contains("pushy:subscription-success") && !success[0].contains("presence\":["), "{success:?}");
    }
    let reserved = exchange(&mut world, "A", &[r##"{"command":"subscribe","data":{"channel":"#x"}}"##]);
    assert_eq!(reserved, [r#"{"event":"pushy:error","data":{"message":"Invalid channel name","code":"301"}}"#]);
}

/// Y-9.4: in this order, the channels one after the other, and nothing after the end.
#[test]
fn a_command_does_what_it_answers() {
    let commands = Commands { named: ["chat".to_owned()].into(), others: false };
    let mut world = world(Settings { commands, ..Settings::default() });
    world.open("A", "");
    let other = world.open("B", "");
    for conn in ["A", "B"] {
        exchange(&mut world, conn, &[r#"{"command":"subscribe","data":{"channel":"Room"}}"#]);
    }
    exchange(&mut world, "A", &[r#"{"command":"subscribe","data":{"channel":"news"}}"#, r#"{"command":"CHAT","data":[1, 2]}"#]);
    assert_eq!(world.command.as_ref().map(|command| (command.name.as_str(), &command.data[..])), Some(("chat", &b"[1, 2]"[..])));
    let body = format!(
        r#"{{"reply":[{{"event":"r","data":1}}],"broadcast":[{{"channel":"ROOM","event":"b","data":{{}},"except":true}}],
        "send":[{{"socketId":"{other}","event":"s","data":2}}],"unsubscribe":["ROOM","nope","news"],"close":{{"code":4321,"reason":"bye"}}}}"#
    );
    world.answer("A", command::answer(200, body.as_bytes(), &Settings::default()));
    assert_eq!(
        shown(world.seen("A")),
        [
            r#"{"event":"r","data":1}"#,
            r#"{"event":"pushy:subscription-end","data":{"channel":"ROOM"}}"#,
            r#"{"event":"pushy:error","data":{"message":"Channel not found","code":"404"}}"#,
            r#"{"event":"pushy:subscription-end","data":{"channel":"news"}}"#,
            "closed 4321",
        ]
    );
    let mut seen = shown(world.seen("B"));
    seen.sort();
    assert_eq!(seen, [r#"{"event":"b","channel":"Room","data":{}}"#, r#"{"event":"s","data":2}"#]);
}
