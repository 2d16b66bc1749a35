//! Ten thousand come and go. The server runs in a process of its own, so that descriptors and memory are its own too.

use crate::client::{Client, dial_from};
use crate::crowd::Crowd;
use crate::scene::{Scene, crowded, eventually};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tidings_server::run::Gauges;

const PEOPLE: usize = 10_000;
const ROUNDS: u8 = 10;
/// By this the process that is to be a server knows that it is.
const SERVES: &str = "SCENE_SERVES";
const ANSWER: &str = "scene: ";

/// A server in another process.
pub struct Apart {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    pub address: String,
}

/// What the server says of itself.
pub struct Report {
    pub idle: bool,
    pub connections: usize,
    pub sessions: usize,
    pub resident_kib: u64,
}

impl Apart {
    pub fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["churn::a_server_serves_as_long_as_it_is_asked", "--exact", "--nocapture", "--test-threads=1"])
            .env(SERVES, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut apart = Self { process, questions, answers, address: String::new() };
        apart.address = apart.answer();
        apart
    }

    /// The next line that is meant for us; the test runner there says things too.
    fn answer(&mut self) -> String {
        let said = |line: std::io::Result<String>| line.unwrap().split_once(ANSWER).map(|(_, answer)| answer.to_owned());
        self.answers.find_map(said).expect("the server's process lives")
    }

    pub fn report(&mut self) -> Report {
        writeln!(self.questions, "report").unwrap();
        let answer = self.answer();
        let numbers: Vec<u64> = answer.split(' ').map(|number| number.parse().unwrap()).collect();
        let [idle, connections, sessions, resident_kib] = numbers[..] else { panic!("{answer}") };
        Report { idle: idle == 1, connections: connections as usize, sessions: sessions as usize, resident_kib }
    }

    /// Waits until nothing is alive there.
    fn idle(&mut self) -> Report {
        eventually("an idle server", || Some(self.report()).filter(|report| report.idle))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = writeln!(self.questions, "stop");
        // It ends by itself; if the question did not reach it, it is gone already.
        let _ = self.process.wait();
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A server that starts and stops; in the process that other tests start, one that answers their questions meanwhile.
#[test]
fn a_server_serves_as_long_as_it_is_asked() {
    let scene = Scene::new("");
    if std::env::var_os(SERVES).is_some() {
        println!("{ANSWER}{}", scene.address());
        for question in std::io::stdin().lines() {
            if question.unwrap() == "stop" {
                break;
            }
            let gauges = scene.server.gauges();
            println!("{ANSWER}{} {} {} {}", u8::from(gauges.is_idle()), gauges.connections, gauges.sessions, resident_kib());
        }
        // Sessions over HTTP outlive those who had them; who asked for them waits for that where it matters.
        return scene.server.stop();
    }
    drop(scene.client());
    scene.until(Gauges::is_idle);
    scene.server.stop();
}

/// P-5.11: those who come are served while ten thousand go.
#[test]
fn newcomers_are_served_while_ten_thousand_leave() {
    let _alone = crowded();
    raise_descriptor_limit();
    let mut server = Apart::start();
    let address = server.address.clone();
    let mut crowd = Crowd::gather();
    crowd.join(1, &address, PEOPLE, |number| format!("room-{}", number % 100));
    assert_eq!(server.report().sessions, PEOPLE);
    let start = std::sync::Barrier::new(2);
    let newcomers: Vec<Client> = std::thread::scope(|scope| {
        let newcomers = scope.spawn(|| {
            start.wait();
            let newcomer = |_| {
                let mut client = Client::open(dial_from("127.0.0.2", &address));
                client.subscribe("room-1");
                client
            };
            (0..200).map(newcomer).collect()
        });
        start.wait();
        drop(crowd);
        newcomers.join().unwrap()
    });
    eventually("the newcomers alone", || (server.report().sessions == newcomers.len()).then_some(()));
    assert_eq!(server.report().connections, newcomers.len());
    drop(newcomers);
    server.idle();
}

/// P-5.11, P-1.3: whoever leaves takes all with it, and the memory of a crowd serves the next one.
#[test]
fn nothing_is_left_of_ten_crowds() {
    let _alone = crowded();
    raise_descriptor_limit();
    let mut server = Apart::start();
    let address = server.address.clone();
    let resident: Vec<u64> = (0..ROUNDS)
        .map(|round| {
            let mut crowd = Crowd::gather();
            crowd.join(10 + round, &address, PEOPLE, |number| format!("room-{}", number % 100));
            drop(crowd);
            server.idle().resident_kib
        })
        .collect();
    assert!(resident[resident.len() - 1] as f64 <= resident[2] as f64 * 1.05, "resident KiB after each round: {resident:?}");
}

pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let needed = PEOPLE as u64 + 1000;
    assert!(limit.maximum.is_none_or(|maximum| maximum >= needed), "this test opens {needed} descriptors: raise `ulimit -Hn`");
}
