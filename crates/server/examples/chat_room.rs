//! A program that embeds the server and answers commands of Pushy's clients by itself: a little chat room (Y-9.7).
//!
//! `chat_room tidings.toml`, with a listener that speaks `pushy`. Clients subscribe to a channel and call:
//! - `say` with `{"room": channel, "text": …}`: all on the channel get `said`, the caller `heard` with how many they are;
//! - `whisper` with `{"to": socketId, "text": …}`: that connection gets `whispered`;
//! - `topic` with `{"room": channel, "text"?: …}`: sets what the room is about, or tells it;
//! - `leave`: ends the connection.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tidings_dialect::pushi::name::{parse_socket_id, socket_id};
use tidings_server::command::{Command, CommandContext, CommandError, Commands, Running};

/// What the commands bring.
#[derive(Deserialize)]
struct Words {
    room: Option<String>,
    to: Option<String>,
    text: Option<String>,
}

fn words(data: &RawValue) -> Result<Words, CommandError> {
    serde_json::from_str(data.get()).map_err(|_| failed("400", "Say it as an object with texts"))
}

fn failed(code: &str, message: &str) -> CommandError {
    CommandError { code: code.to_owned(), message: message.to_owned() }
}

struct Say;

impl Command for Say {
    fn call<'a>(&'a self, context: CommandContext<'a>, data: &'a RawValue) -> Running<'a> {
        Box::pin(async move {
            let Words { room, text, .. } = words(data)?;
            let me = context.connection().socket_id;
            let room = context.channel(&room.unwrap_or_default()).filter(|room| room.contains(&me));
            let room = room.ok_or_else(|| failed("403", "You are not in this room"))?;
            let said: u64 = room.attributes().get("said").unwrap_or(0) + 1;
            room.attributes().set("said", &said);
            room.broadcast("said", &json!({ "by": room.member_of(&me), "text": text, "number": said }), Some(&me))?;
            context.send("heard", &json!({ "by": room.len() }))
        })
    }
}

struct Whisper;

impl Command for Whisper {
    fn call<'a>(&'a self, context: CommandContext<'a>, data: &'a RawValue) -> Running<'a> {
        Box::pin(async move {
            let Words { to, text, .. } = words(data)?;
            let to = to.as_deref().and_then(parse_socket_id).ok_or_else(|| failed("404", "There is nobody of that name"))?;
            context.send_to(&to, "whispered", &json!({ "by": socket_id(context.connection().socket_id), "text": text }))
        })
    }
}

struct Topic;

impl Command for Topic {
    fn call<'a>(&'a self, context: CommandContext<'a>, data: &'a RawValue) -> Running<'a> {
        Box::pin(async move {
            let Words { room, text, .. } = words(data)?;
            let room = context.channel(&room.unwrap_or_default()).ok_or_else(|| failed("404", "There is no such room"))?;
            if let Some(text) = text {
                room.attributes().set("topic", &text);
            }
            let (topic, created): (Option<String>, Option<u64>) = (room.attributes().get("topic"), room.attributes().get("created"));
            context.send("topic", &json!({ "text": topic, "created": created }))
        })
    }
}

struct Leave;

impl Command for Leave {
    fn call<'a>(&'a self, context: CommandContext<'a>, _: &'a RawValue) -> Running<'a> {
        Box::pin(async move {
            context.close(3000, "Goodbye");
            Ok(())
        })
    }
}

/// The room's commands.
pub fn commands() -> Commands {
    Commands::default().command("say", Say).command("whisper", Whisper).command("topic", Topic).command("leave", Leave)
}

fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1);
    let config = tidings_server::config::load(file.as_ref().map(std::path::Path::new))?;
    let _server = tidings_server::run::Server::start_with(config, &commands())?;
    loop {
        std::thread::park();
    }
}
