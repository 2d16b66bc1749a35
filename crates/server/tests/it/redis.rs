//! A Redis of a test's own: a process on a free port of this machine, with nothing that another one knows of. `TIDINGS_WITHOUT_REDIS=1` leaves
//! tests that need one out.

use super::client::FAILSAFE;
use super::scene::eventually;
use redis::{Connection, FromRedisValue, cmd};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Whether there is a Redis for tests: not if somebody wants to do without.
pub fn with_redis() -> bool {
    std::env::var_os("TIDINGS_WITHOUT_REDIS").is_none()
}

/// A Redis that runs, and ends with this.
pub struct Redis {
    child: Child,
    /// Where it answers, without TLS.
    pub port: u16,
    arguments: Vec<String>,
    /// What its tests say on the way in: `user:password@`.
    login: &'static str,
    directory: TempDir,
}

impl Redis {
    /// Starts one that wants to know nothing.
    pub fn start() -> Self {
        Self::with(&[], "")
    }

    /// Starts one with arguments as `redis-server` has them, which lets in whoever says `login`.
    pub fn with(arguments: &[&str], login: &'static str) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        loop {
            let port = free_port();
            let directory = tempfile::tempdir().unwrap();
            let child = spawn(directory.path(), port, &arguments);
            let mut started = Self { child, port, arguments: arguments.clone(), login, directory };
            if started.answers() {
                return started;
            }
        }
    }

    /// Ends it at once, as a machine without power does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it where it was.
    pub fn start_again(&mut self) {
        eventually("the port to be free", || TcpListener::bind(("127.0.0.1", self.port)).ok());
        self.child = spawn(self.directory.path(), self.port, &self.arguments);
        assert!(self.answers(), "the port was free");
    }

    /// Waits until it answers; false if it cannot have its port.
    fn answers(&mut self) -> bool {
        eventually("a Redis that answers", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let mut connection = self.try_connect().ok()?;
            cmd("PING").query::<String>(&mut connection).is_ok().then_some(true)
        })
    }

    fn try_connect(&self) -> redis::RedisResult<Connection> {
        let client = redis::Client::open(format!("redis://{}127.0.0.1:{}", self.login, self.port))?;
        let connection = client.get_connection()?;
        connection.set_read_timeout(Some(FAILSAFE))?;
        connection.set_write_timeout(Some(FAILSAFE))?;
        Ok(connection)
    }

    /// A connection that is let in.
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap()
    }

    /// Asks something on a connection of its own.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap()
    }

    /// The same of one that may just be ending connections.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        cmd(words[0]).arg(&words[1..]).query(&mut self.try_connect()?)
    }

    /// Waits until that many patterns are subscribed to.
    pub fn until_subscribed(&self, count: usize) {
        let patterns = || self.try_ask::<usize>(&["PUBSUB", "NUMPAT"]).ok();
        eventually("the relay to subscribe", || (patterns()? == count).then_some(()));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Publishes, and gives how many Redis has handed it to.
pub fn publish(connection: &mut Connection, channel: &[u8], data: &[u8]) -> usize {
    cmd("PUBLISH").arg(channel).arg(data).query(connection).unwrap()
}

/// Publishes all at once, waits until Redis has sent what it had to send, and gives how many it handed each to.
pub fn publish_all<'a>(connection: &mut Connection, messages: impl Iterator<Item = (&'a str, String)>) -> Vec<usize> {
    let mut pipe = redis::pipe();
    for (channel, data) in messages {
        pipe.cmd("PUBLISH").arg(channel).arg(data);
    }
    let receivers = pipe.query(connection).unwrap();
    // It writes to all before it reads again.
    cmd("PING").query::<String>(connection).unwrap();
    receivers
}

/// Starts a sentinel that watches the Redis on that port, and gives where it is.
pub fn sentinel(of: &Redis, master: &str) -> Redis {
    let login = "";
    loop {
        let port = free_port();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sentinel.conf");
        let watched = of.port;
        let text = format!(
            "sentinel monitor {master} 127.0.0.1 {watched} 1\nsentinel down-after-milliseconds {master} 60000\n\
             sentinel failover-timeout {master} 10000\n"
        );
        std::fs::write(&file, text).unwrap();
        let arguments = vec!["--sentinel".to_owned()];
        let child =
            start(Command::new("setpriv"), directory.path(), &[&[file.display().to_string()], &common(port)[..], &arguments].concat());
        let mut started = Redis { child, port, arguments, login, directory };
        if started.answers() {
            // It looks every ten seconds if nobody says otherwise.
            started.ask::<()>(&["SENTINEL", "DEBUG", "INFO-PERIOD", "100"]);
            return started;
        }
    }
}

fn spawn(directory: &Path, port: u16, arguments: &[String]) -> Child {
    let kept = ["--save", "", "--appendonly", "no"].map(str::to_owned);
    start(Command::new("setpriv"), directory, &[&common(port)[..], &kept, arguments].concat())
}

fn common(port: u16) -> [String; 4] {
    ["--port", &port.to_string(), "--bind", "127.0.0.1"].map(str::to_owned)
}

/// It ends with the thread that starts it, if nobody ends it before.
fn start(mut command: Command, directory: &Path, arguments: &[String]) -> Child {
    command.args(["--pdeathsig=KILL", "redis-server"]).args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("redis-server is installed (Debian: redis-server), or TIDINGS_WITHOUT_REDIS=1 leaves its tests out")
}

/// A port that nobody has at the moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
