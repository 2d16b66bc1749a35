//! A program that embeds the server and answers commands by itself: the example's chat room (Y-9.7, Y-9.8).

#[path = "../../examples/chat_room.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program itself is not run")]
mod chat_room;

use crate::client::{Client, Frame, dial, handshake};
use crate::scene::eventually;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tidings_server::command::{Command, CommandContext, MemberNotice, Running};
use tidings_server::config;
use tidings_server::run::Server;

const CONFIG: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pushy\"]\n\
                      [[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\n[[pushy]]\napp = \"1\"\n[limits]\nshards = 2\n\
                      close_wait = \"200 ms\"\n[drain]\ndrain = \"0 s\"\n";

struct Panics;

impl Command for Panics {
    fn call<'a>(&'a self, _: CommandContext<'a>, _: &'a RawValue) -> Running<'a> {
        Box::pin(async { panic!("on purpose") })
    }
}

struct Room {
    server: Server,
    notices: Arc<Mutex<Vec<MemberNotice>>>,
    _directory: tempfile::TempDir,
}

impl Room {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tidings.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let notices = Arc::<Mutex<Vec<MemberNotice>>>::default();
        let noted = Arc::clone(&notices);
        let commands = chat_room::commands().command("Panics", Panics).on_member(move |notice| noted.lock().unwrap().push(notice.clone()));
        let server = Server::start_with(config::load(Some(&file)).unwrap(), &commands).unwrap();
        Self { server, notices, _directory: directory }
    }

    /// A session over a WebSocket without frames, and its id.
    fn guest(&self) -> Guest {
        let mut client = Client::new(dial(&self.server.addresses()[0]));
        assert_eq!(client.ask(handshake("/pushy/socket/websocket", "")).status, 101);
        let mut guest = Guest { client, id: String::new() };
        let connect = guest.next("pushy:connect");
        guest.id = connect["socketId"].as_str().unwrap().to_owned();
        assert_eq!(connect["protocol"], "websocket-raw");
        guest
    }
}

struct Guest {
    client: Client,
    id: String,
}

impl Guest {
    fn say(&mut self, command: &str, data: &Value) {
        self.client.say(&json!({ "command": command, "data": data }).to_string());
    }

    /// The data of the next message, which must be of that event.
    fn next(&mut self, event: &str) -> Value {
        let Frame::Text(text) = self.client.frame() else { panic!("no text instead of {event}") };
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["event"], event, "{message}");
        message["data"].clone()
    }

    fn enter(&mut self, room: &str) -> String {
        self.say("subscribe", &json!({ "channel": room }));
        self.next("pushy:subscription-success")["memberId"].as_str().unwrap().to_owned()
    }
}

/// Y-9.7: commands reach the caller, others and channels; what they note of a channel lasts as long as somebody is on it.
#[test]
fn a_program_answers_commands() {
    let room = Room::new();
    let (mut ann, mut bob) = (room.guest(), room.guest());
    let member = ann.enter("Lobby");
    bob.enter("lobby");
    for number in 1..=3 {
        ann.say("SAY", &json!({ "room": "LOBBY", "text": "hello" }));
        assert_eq!(ann.next("heard"), json!({ "by": 2 }));
        assert_eq!(bob.next("said"), json!({ "by": member, "text": "hello", "number": number }));
    }
    ann.say("whisper", &json!({ "to": bob.id, "text": "psst" }));
    assert_eq!(bob.next("whispered"), json!({ "by": ann.id, "text": "psst" }));
    bob.say("topic", &json!({ "room": "lobby", "text": "tea" }));
    assert_eq!(bob.next("topic")["text"], "tea");
    ann.say("topic", &json!({ "room": "Lobby" }));
    let topic = ann.next("topic");
    assert!(topic["text"] == "tea" && topic["created"].as_u64().unwrap() > 1_600_000_000_000, "{topic}");
    bob.say("leave", &json!({}));
    assert!(matches!(bob.client.frame(), Frame::Close(3000, _)));
    eventually("a room with one", || {
        ann.say("say", &json!({ "room": "lobby", "text": "?" }));
        (ann.next("heard")["by"] == 1).then_some(())
    });
    ann.say("unsubscribe", &json!({ "channel": "lobby" }));
    ann.next("pushy:subscription-end");
    ann.enter("lobby");
    ann.say("topic", &json!({ "room": "lobby" }));
    assert_eq!(ann.next("topic")["text"], Value::Null, "an empty room is forgotten");
    let told: Vec<_> = room.notices.lock().unwrap().iter().map(|notice| (notice.member_id == member, notice.left)).collect();
    let expected =
        [(true, None), (false, None), (false, Some("Connection closed")), (true, Some("unsubscribed by the client")), (true, None)];
    assert_eq!(told, expected);
    room.server.stop();
}

/// Y-9.8: what goes wrong in a command is the caller's error, and nobody else's.
#[test]
fn commands_that_fail_are_told() {
    let room = Room::new();
    let mut ann = room.guest();
    let error = |code: &str, message: &str| json!({ "message": message, "code": code });
    for (command, data, expected) in [
        ("say", json!({ "room": "lobby", "text": "hello" }), error("403", "You are not in this room")),
        ("whisper", json!({ "to": "nobody" }), error("404", "There is nobody of that name")),
        ("topic", json!({ "room": 5 }), error("400", "Say it as an object with texts")),
        ("panics", json!({}), error("500", "Command failed")),
        ("sing", json!({}), error("200", "Unknown command")),
    ] {
        ann.say(command, &data);
        assert_eq!(ann.next("pushy:error"), expected, "{command}");
    }
    ann.enter("lobby");
    room.server.stop();
}
