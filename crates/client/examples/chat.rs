//! A chat on a presence channel: who is here, who comes and goes, what they say, and who is typing.
//!
//! `TIDINGS_KEY=… TIDINGS_SECRET=… cargo run --example chat -- ann lobby` lets ann into the lobby; the app needs `client_events = true`.
//! Programs that others run have no secret: with `TIDINGS_AUTH_ENDPOINT=http://127.0.0.1:3000/pusher/auth` the example `auth_endpoint`
//! signs. `TIDINGS_URL` says where the server is; without it that is `http://127.0.0.1:6001`.
//!
//! A line that ends with `\` goes on in the next one, and the others see meanwhile that somebody is typing. `/who` tells who is here.

use serde::{Deserialize, Serialize};
use serde_json::json;
use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::thread;
use tidings_client::{Auth, Channel, Client, DataError, Event, Options, PresenceMember, SendError, ServerUrl, State};
use tokio::sync::mpsc;

/// The data of `client-message`.
#[derive(Deserialize, Serialize)]
struct Message {
    text: String,
}

/// The data of `pusher:member_added` and `pusher:member_removed`.
#[derive(Deserialize)]
struct Somebody {
    id: String,
    info: Option<Profile>,
}

/// What others may know of a user. Whoever signs says it.
#[derive(Deserialize)]
struct Profile {
    name: String,
}

/// Who signs for the channel.
pub enum Signer {
    /// This program, which has the app's secret.
    Secret(String),
    /// The application, which is asked at this address.
    Endpoint(String),
}

/// What the client of the user called `name` is told.
pub fn options(url: &ServerUrl, key: &str, signer: Signer, name: &str) -> Options {
    let options = Options::at(url, key);
    match signer {
        Signer::Secret(secret) => {
            let member = json!({ "user_id": name, "user_info": { "name": name } });
            Options { secret: Some(secret), channel_data: Some(member.to_string()), ..options }
        }
        Signer::Endpoint(endpoint) => {
            // An application knows its users by their sessions; this header stands for one.
            let auth = Auth { headers: vec![("x-user".to_owned(), name.to_owned())], ..Auth::default() };
            Options { auth_endpoint: Some(endpoint), auth, ..options }
        }
    }
}

/// Sends what comes from `lines`, and writes what happens in `room` to `out`, until there are no more lines.
///
/// # Errors
/// If the client gives up, or `out` takes no more.
pub async fn chat(client: &Client, room: &str, mut lines: mpsc::Receiver<String>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut problems = client.problems();
    let room = client.subscribe(&format!("presence-{room}"))?;
    let mut events = room.events();
    let mut draft = String::new();
    loop {
        let told = tokio::select! {
            Some(Ok(problem)) = problems.next() => match client.state() {
                State::Disconnected => return Err(problem.into()),
                _ => Some(format!("* {problem}")),
            },
            event = events.next() => match event {
                Some(Ok(event)) => describe(&event, &room).unwrap_or_else(|error| Some(format!("* {error}"))),
                Some(Err(missed)) => Some(format!("* {missed}")),
                None => return Ok(()),
            },
            line = lines.recv() => match line {
                Some(line) if line == "/who" => Some(here(&room)),
                Some(line) => say(&room, &mut draft, &line).await.err().map(|error| format!("* not sent: {error}")),
                None => return Ok(()),
            },
        };
        if let Some(told) = told {
            // Others must not move the cursor or ring the bell.
            writeln!(out, "{}", told.replace(|character: char| character.is_control() && character != '\n', ""))?;
        }
    }
}

/// Sends what was written: as a message, or as a notice that more is to come.
async fn say(room: &Channel, draft: &mut String, line: &str) -> Result<(), SendError> {
    if let Some(part) = line.strip_suffix('\\') {
        draft.push_str(part);
        draft.push('\n');
        return room.send_event("client-typing", &json!({})).await;
    }
    room.send_event("client-message", &Message { text: std::mem::take(draft) + line }).await
}

/// What an event means to those who read along; nothing if it means nothing here.
fn describe(event: &Event, room: &Channel) -> Result<Option<String>, DataError> {
    // The server says who sent an event, whatever its data says (P-8.3).
    let sender = event.user_id.as_deref().map(|id| room.members().get(id).map_or_else(|| id.to_owned(), name));
    Ok(match (event.name.as_str(), sender) {
        ("pusher:subscription_succeeded", _) => Some(here(room)),
        ("pusher:member_added", _) => Some(format!("* {} comes", event.json::<Somebody>()?.name())),
        ("pusher:member_removed", _) => Some(format!("* {} goes", event.json::<Somebody>()?.name())),
        ("client-message", Some(sender)) => Some(format!("{sender}: {}", event.json::<Message>()?.text)),
        ("client-typing", Some(sender)) => Some(format!("* {sender} is typing")),
        _ => None,
    })
}

fn here(room: &Channel) -> String {
    let names: Vec<_> = room.members().iter().map(name).collect();
    format!("* here: {}", names.join(", "))
}

fn name(member: &PresenceMember) -> String {
    member.json::<Profile>().map_or_else(|_| member.user_id.clone(), |profile| profile.name)
}

impl Somebody {
    fn name(self) -> String {
        self.info.map_or(self.id, |profile| profile.name)
    }
}

async fn run(name: &str, room: &str) -> Result<(), Box<dyn Error>> {
    let url = env::var("TIDINGS_URL").unwrap_or_else(|_| "http://127.0.0.1:6001".to_owned()).parse()?;
    let key = env::var("TIDINGS_KEY").map_err(|_| "TIDINGS_KEY is not set")?;
    let secret = env::var("TIDINGS_SECRET").map(Signer::Secret);
    let signer = secret.or_else(|_| env::var("TIDINGS_AUTH_ENDPOINT").map(Signer::Endpoint));
    let signer = signer.map_err(|_| "neither TIDINGS_SECRET nor TIDINGS_AUTH_ENDPOINT is set")?;
    let client = Client::new(options(&url, &key, signer, name))?;
    let (sender, lines) = mpsc::channel(1);
    // Nobody can wait for a line of a terminal without a thread.
    thread::spawn(move || io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.blocking_send(line)));
    chat(&client, room, lines, &mut io::stdout()).await?;
    client.close().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let ended = match &arguments[..] {
        [name, room] => run(name, room).await,
        _ => Err("say who you are and which room you enter, such as `ann lobby`".into()),
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    ExitCode::FAILURE
}
