//! Servers in this process, on ports that the kernel chooses, each with a configuration file of its own.

use super::client::{Client, FAILSAFE, dial};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tidings_server::config;
use tidings_server::run::{Gauges, Server};

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";
const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n";

/// One server and where it lives.
pub struct Scene {
    pub server: Server,
    pub directory: TempDir,
    file: PathBuf,
}

impl Scene {
    /// Starts a server. Sections that `text` does not have are those of most scenes: one listener on loopback, one app, one shard,
    /// no time to drain.
    pub fn new(text: &str) -> Self {
        Self::within(tempfile::tempdir().unwrap(), text)
    }

    /// The same with files in `directory`.
    pub fn within(directory: TempDir, text: &str) -> Self {
        let file = directory.path().join("tidings.toml");
        std::fs::write(&file, whole(text)).unwrap();
        let mut config = config::load(Some(&file)).unwrap_or_else(|broken| panic!("{text}\n{broken}"));
        if !text.contains("close_wait") {
            // At the end of most scenes nobody is there to answer a close.
            config.limits.close_wait = Duration::from_millis(200);
        }
        Self { server: Server::start(config).unwrap(), directory, file }
    }

    /// Gives the server another configuration.
    pub fn reload(&mut self, text: &str) {
        std::fs::write(&self.file, whole(text)).unwrap();
        self.server.reload();
    }

    /// The address of the first listener.
    pub fn address(&self) -> &str {
        &self.server.addresses()[0]
    }

    /// A connection that has said nothing yet.
    pub fn peer(&self) -> Client {
        Client::new(dial(self.address()))
    }

    /// The same through a listener of that place.
    pub fn peer_at(&self, place: usize) -> Client {
        Client::new(dial(&self.server.addresses()[place]))
    }

    /// An open session.
    pub fn client(&self) -> Client {
        Client::open(dial(self.address()))
    }

    /// An open session through a listener of that place.
    pub fn client_at(&self, place: usize) -> Client {
        Client::open(dial(&self.server.addresses()[place]))
    }

    /// Sessions on the channel.
    pub fn subscribers(&self, count: usize, channel: &str) -> Vec<Client> {
        let subscriber = |_| {
            let mut client = self.client();
            client.subscribe(channel);
            client
        };
        (0..count).map(subscriber).collect()
    }

    /// Waits until the gauges are as they must become.
    pub fn until(&self, right: impl Fn(&Gauges) -> bool) -> Gauges {
        eventually(&format!("gauges as expected, not {:?}", self.server.gauges()), || Some(self.server.gauges()).filter(&right))
    }
}

fn whole(text: &str) -> String {
    let mut whole = text.to_owned();
    for (section, standing) in [
        ("[[listeners]]", LISTENER),
        ("[[apps]]", APP),
        ("[limits]", "[limits]\nshards = 1\n"),
        ("[drain]", "[drain]\ndrain = \"0 s\"\nwebhooks = \"0 s\"\n"),
    ] {
        if !text.contains(section) {
            whole.push('\n');
            whole.push_str(standing);
        }
    }
    whole
}

/// Looks again and again until there is what must come. The pause only leaves the processor to others.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < FAILSAFE, "a minute has passed without {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Held by scenes that need most of the descriptors a process may have.
pub fn crowded() -> MutexGuard<'static, ()> {
    static CROWDED: Mutex<()> = Mutex::new(());
    CROWDED.lock().unwrap_or_else(PoisonError::into_inner)
}
