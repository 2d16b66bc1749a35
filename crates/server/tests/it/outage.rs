//! Stores that fail: a disk or a limit that is full, a database that is gone. What needs no store goes on, and nobody has to restart anything.

use crate::client::{Client, Response};
use crate::process::{Process, config, request, with_postgres};
use crate::scene::eventually;
use serde_json::{Value, json};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Data that soon fills something small.
const LARGE: usize = 16 * 1024;

/// A server whose store will fail, with somebody who listens and somebody who publishes.
struct Troubled {
    process: Process,
    token: String,
    publisher: Client,
    subscriber: Client,
    /// How many events were acknowledged as stored.
    stored: usize,
}

impl Troubled {
    fn new(process: Process) -> Self {
        let (token, mut subscriber) = (process.login(), process.client());
        subscriber.subscribe("news");
        Self { publisher: process.peer(), process, token, subscriber, stored: 0 }
    }

    fn publish(&mut self, data: &str, persist: bool) -> Response {
        let body = json!({ "channel": "news", "data": data, "persist": persist }).to_string();
        let response = self.publisher.ask(request("POST", &format!("/events?sid={}", self.token), &body));
        if response.status == 200 {
            // Live delivery goes with the acknowledgement, and only with it.
            assert_eq!(self.subscriber.event().2, data);
            self.stored += usize::from(persist);
        }
        response
    }

    /// Publishes until the store has had enough, and gives the refusal.
    fn fill(&mut self) -> Response {
        for number in 0..1_000_000 {
            let response = self.publish(&format!("{number} {}", "x".repeat(LARGE)), true);
            if response.status != 200 {
                return response;
            }
        }
        panic!("the store is never full");
    }

    /// I-1.11, I-4.3: who wants to have something stored is told why it is not; all others see nothing of it.
    fn copes(&mut self, refusal: &Response, why: &str) {
        let told: Value = serde_json::from_str(&refusal.body).unwrap();
        assert_eq!((refusal.status, told["name"].as_str()), (500, Some("OperationalError")), "{refusal:?}");
        assert!(told["message"].as_str().unwrap().contains(why), "{told}");
        let mut client = self.process.client();
        client.subscribe("news");
        let large = format!("lost {}", "x".repeat(LARGE));
        client.say(&json!({ "event": "e", "channel": "news", "data": large, "echo": true }).to_string());
        let error: Value = serde_json::from_str(&client.data_of("pusher:error")).unwrap();
        assert_eq!(error["code"], 500);
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
        client.say(&json!({ "event": "e", "channel": "news", "data": "live", "echo": true, "persist": false }).to_string());
        assert_eq!(client.data_of("e"), "live");
        assert_eq!(self.subscriber.data_of("e"), "live", "and nothing of what was lost");
        assert_eq!(self.publish("over REST", false).status, 200);
    }

    /// The log says what is wrong, and not as often as somebody asks.
    fn is_told_of(&self, why: &str) {
        let log = self.process.log();
        let told = log.lines().filter(|line| line.contains("what was to be stored is not") && line.contains(why)).count();
        assert!((1..10).contains(&told), "{told} times");
    }

    /// It works again, and has all that it acknowledged before and since.
    fn recovers(&mut self) {
        eventually("a store that works again", || (self.publish(&format!("back {}", "x".repeat(LARGE)), true).status == 200).then_some(()));
        self.process.until("/health/ready", 200);
        assert_eq!(self.process.history(&self.token, None).len(), self.stored);
    }
}

/// A small disk, if we may make one.
pub struct Disk {
    place: TempDir,
}

impl Disk {
    pub fn new() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        mount("size=1m", place.path()).then_some(Self { place })
    }

    /// The URL of a store on it.
    pub fn store(&self) -> String {
        format!("sqlite:{}", self.place.path().join("tidings.db").display())
    }

    fn grow(&self) {
        assert!(mount("remount,size=64m", self.place.path()));
    }
}

fn mount(options: &str, place: &Path) -> bool {
    Command::new("mount").args(["-t", "tmpfs", "-o", options, "tidings"]).arg(place).output().is_ok_and(|done| done.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.place.path()).status();
    }
}

/// I-3.4: a full disk is told to those who want something stored, until there is room. Only root can make a disk for it; others fill the limit
/// that they set.
#[test]
fn a_full_disk_is_coped_with() {
    let Some(disk) = Disk::new() else { return a_full_store_is_coped_with() };
    let directory = tempfile::tempdir().unwrap();
    let mut troubled = Troubled::new(Process::start(directory.path(), &config(&disk.store(), "")));
    let refusal = troubled.fill();
    troubled.copes(&refusal, "the disk of the store is full");
    disk.grow();
    troubled.recovers();
    troubled.process.stop();
}

/// I-3.4, I-3.8: a store that has reached its limit says so, until old events have gone.
#[test]
fn a_full_store_is_coped_with() {
    let directory = tempfile::tempdir().unwrap();
    // Long enough that nothing goes before all is seen.
    let store = "[store]\nurl = \"sqlite:tidings.db\"\nsize = \"1 MiB\"\nprune_interval = \"100 ms\"\nretention = \"5 s\"\n";
    let mut troubled = Troubled::new(Process::start(directory.path(), &config("", store)));
    let refusal = troubled.fill();
    troubled.copes(&refusal, "store.size");
    for _ in 0..100 {
        troubled.publish(&"x".repeat(LARGE), true);
    }
    troubled.is_told_of("store.size");
    eventually("room", || (troubled.publish(&"x".repeat(LARGE), true).status == 200).then_some(()));
    troubled.process.stop();
}

/// A PostgreSQL that comes and goes.
struct Cluster {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Below the range that the kernel gives to outgoing connections, so that nobody takes it while the server is away.
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| 20_000 + (getrandom::u32().unwrap() % 12_000) as u16).find(is_free).unwrap();
        let process = Self::run(&directory, port);
        Self { directory, port, process }
    }

    fn run(directory: &TempDir, port: u16) -> Child {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut process = Command::new(script).arg(directory.path()).arg(port.to_string()).stderr(log).spawn().unwrap();
        eventually("a database that listens", || {
            assert_eq!(process.try_wait().unwrap(), None, "{}", std::fs::read_to_string(directory.path().join("log")).unwrap());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        process
    }

    fn url(&self) -> String {
        format!("postgres://tidings@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it without a word, as a fault would.
    fn end(&mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), rustix::process::Signal::QUIT).unwrap();
        self.process.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.process = Self::run(&self.directory, self.port);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.end();
        }
    }
}

/// I-3.4, I-4.52: a database that is lost is told to those who need it, and found again by itself.
#[test]
fn a_lost_database_is_coped_with() {
    if !with_postgres() {
        return;
    }
    let mut cluster = Cluster::start();
    let directory = tempfile::tempdir().unwrap();
    let process = eventually("a database that lets us in", || ready(&cluster, directory.path()));
    let mut troubled = Troubled::new(process);
    assert_eq!(troubled.publish("before", true).status, 200);
    troubled.process.until("/health/ready", 200);
    cluster.end();
    let begun = Instant::now();
    let refusal = troubled.publish("lost", true);
    let took = begun.elapsed();
    troubled.copes(&refusal, "the store cannot be reached");
    // Five seconds are what it promises; a busy machine may add some.
    assert!(took < Duration::from_secs(10), "{took:?}");
    for path in ["/health/ready", "/ready"] {
        assert_eq!(troubled.process.ask("GET", path, "").status, 503, "{path}");
    }
    cluster.start_again();
    troubled.recovers();
    assert_eq!(troubled.process.ask("GET", "/ready", "").status, 200);
    troubled.process.stop();
}

/// A server on the cluster, once that has come up.
fn ready(cluster: &Cluster, directory: &Path) -> Option<Process> {
    let up = Command::new("pg_isready").args(["-q", "-h", "127.0.0.1", "-p", &cluster.port.to_string()]).status().unwrap().success();
    up.then(|| Process::start(directory, &config(&cluster.url(), "")))
}
