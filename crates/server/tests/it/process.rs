//! The binary as a process of its own, which can be killed, with an app that speaks Pushi and a store that outlives it.

use super::client::{Client, FAILSAFE, Response, dial};
use super::scene::eventually;
use serde_json::Value;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

/// The id of the app that these servers have.
pub const APP: &str = "1111111111111111111111111111111111111111111111111111111111111111";
/// Its key.
pub const KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";
/// Its secret.
pub const SECRET: &str = "3333333333333333333333333333333333333333333333333333333333333333";

/// A process, killed if its test ends early.
pub struct Process {
    child: Child,
    pub address: String,
    log: Arc<Mutex<String>>,
}

/// A configuration with a store at that URL. `more` are further sections.
pub fn config(store: &str, more: &str) -> String {
    let mut text = format!(
        "[[apps]]\nid = \"{APP}\"\nkey = \"{KEY}\"\nsecret = \"{SECRET}\"\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pushi\", \"pushi-api\"]\n\
         [log]\nformat = \"json\"\n[limits]\nshards = 2\nclose_wait = \"200 ms\"\n[drain]\ndrain = \"0 s\"\nwebhooks = \"0 s\"\n{more}\n"
    );
    if !more.contains("[store]") {
        writeln!(text, "[store]\nurl = \"{store}\"").unwrap();
    }
    if !more.contains("[[pushi]]") {
        writeln!(text, "[[pushi]]\nclient_events_per_second = 1_000_000").unwrap();
    }
    text
}

impl Process {
    /// Starts a server whose files are in `directory`, and waits until it listens.
    pub fn start(directory: &Path, config: &str) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_tidings")), directory, config)
    }

    /// The same by another command, which starts it with what is appended.
    pub fn by(mut command: Command, directory: &Path, config: &str) -> Self {
        let file = directory.join("tidings.toml");
        std::fs::write(&file, config).unwrap();
        command.arg("--config").arg(file);
        Self::of(command)
    }

    /// The same by a command that says everything.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, addresses) = mpsc::channel();
        let log = Arc::<Mutex<String>>::default();
        let (stderr, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let told: Value = serde_json::from_str(&line).unwrap_or_default();
                if told["message"] == "listening" {
                    // Nobody waits for a second one.
                    let _ = tell.send(told["address"].as_str().unwrap().to_owned());
                }
                kept.lock().unwrap().extend([&line, "\n"]);
            }
        });
        let mut process = Self { child, address: String::new(), log };
        process.address = addresses.recv_timeout(FAILSAFE).unwrap_or_else(|_| panic!("it does not start:\n{}", process.log()));
        process
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What kills it at once, from whichever thread.
    pub fn killer(&self) -> impl Fn() + Send + Sync + use<> {
        let id = rustix::process::Pid::from_child(&self.child);
        move || {
            // Whoever comes second finds it dead.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
    }

    /// Kills it and waits for its end.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has it read its configuration again.
    pub fn reload(&self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::HUP).unwrap();
    }

    /// Asks it to end, and waits for that.
    pub fn stop(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    /// A connection that has said nothing yet.
    pub fn peer(&self) -> Client {
        Client::new(dial(&self.address))
    }

    /// An open session.
    pub fn client(&self) -> Client {
        let mut client = self.peer();
        client.enter(&format!("/{KEY}"), "");
        client
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        self.peer().ask(request(method, path, body))
    }

    /// The same; the answer must be good, and is read.
    pub fn json(&self, method: &str, path: &str, body: &str) -> Value {
        let response = self.ask(method, path, body);
        assert_eq!(response.status, 200, "{method} {path}: {response:?}\n{}", self.log());
        serde_json::from_str(&response.body).unwrap()
    }

    /// Logs in and gives the token.
    pub fn login(&self) -> String {
        let answer = self.json("GET", &format!("/login?app_id={APP}&app_key={KEY}&app_secret={SECRET}"), "");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Waits until it answers `path` with that status.
    pub fn until(&self, path: &str, status: u16) {
        eventually(&format!("{status} at {path}"), || (self.ask("GET", path, "").status == status).then_some(()));
    }

    /// The stored events of a channel, or of all, oldest first, read page by page.
    pub fn history(&self, token: &str, channel: Option<&str>) -> Vec<Stored> {
        const PAGE: usize = 200;
        let of = channel.map(|channel| format!("&channel={channel}")).unwrap_or_default();
        let mut peer = self.peer();
        let mut found = Vec::new();
        loop {
            let path = format!("/events?sid={token}&skip={}&count={PAGE}{of}", found.len());
            let response = peer.ask(request("GET", &path, ""));
            assert_eq!(response.status, 200, "{response:?}");
            let answer: Value = serde_json::from_str(&response.body).unwrap();
            let page = answer["events"].as_array().unwrap();
            found.extend(page.iter().map(Stored::read));
            if page.len() < PAGE {
                found.reverse();
                return found;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stored event (I-3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub mid: String,
    pub channel: String,
    pub data: String,
}

impl Stored {
    fn read(record: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text is missing in {record}")).to_owned();
        Self { mid: text(&record["mid"]), channel: text(&record["channel"]), data: text(&record["data"]["data"]) }
    }
}

/// A request with a body of JSON, or without a body.
pub fn request(method: &str, path: &str, body: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Whether there is a PostgreSQL for tests: not if somebody wants to do without.
pub fn with_postgres() -> bool {
    std::env::var_os("TIDINGS_WITHOUT_POSTGRES").is_none()
}

/// The URL of an empty schema on the PostgreSQL for tests.
pub fn schema() -> String {
    let url = std::env::var("TIDINGS_TEST_POSTGRES")
        .expect("TIDINGS_TEST_POSTGRES names a server, as in scripts/check; TIDINGS_WITHOUT_POSTGRES=1 leaves its tests out");
    let schema = format!("tidings_{:x}", getrandom::u64().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let carried = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        drop(client);
        carried.await.unwrap().unwrap();
    });
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}options=-csearch_path%3D{schema}")
}
