//! The order of what a server asks of its kernel: first the disk, then the answer.

use crate::client::publish;
use crate::process::{Process, config, request};
use crate::scene::eventually;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

const PUBLISHERS: usize = 4;
const EVENTS: usize = 25;
/// What is traced: all that reads requests, writes answers, writes files and has them on disk.
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync";

/// One call of the kernel: where in the trace it begins and ends, and what is known of it.
struct Call {
    begin: usize,
    end: usize,
    text: String,
}

impl Call {
    /// Whether it is one of `names` on something whose description ends so.
    fn is(&self, names: &[&str], on: &str) -> bool {
        let Some((name, rest)) = self.text.split_once('(') else { return false };
        names.contains(&name) && rest.split_once('>').is_some_and(|(descriptor, _)| descriptor.ends_with(on))
    }

    /// The socket that it is on.
    fn socket(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("<socket:[")?;
        rest.split_once(']').map(|(socket, _)| socket)
    }

    /// The events that its bytes speak of.
    fn events(&self) -> impl Iterator<Item = &str> {
        self.text.split("event:").skip(1).filter_map(|rest| rest.split_once(';').map(|(event, _)| event))
    }
}

/// Puts the halves of calls together that others came between.
fn calls(trace: &str) -> Vec<Call> {
    let mut halves: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (end, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix(" <unfinished ...>") {
            halves.insert(thread, (end, begun));
        } else if let Some(rest) = text.strip_prefix("<... ") {
            let Some((begin, begun)) = halves.remove(thread) else { continue };
            let (_, rest) = rest.split_once(" resumed>").unwrap();
            calls.push(Call { begin, end, text: format!("{begun}{rest}") });
        } else {
            calls.push(Call { begin: end, end, text: text.to_owned() });
        }
    }
    calls
}

/// How events are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    /// Pushi's, on the shard.
    Pushi,
    /// Pusher's, on channels with a history, beside the shards.
    Pusher,
}

impl Api {
    fn config(self) -> String {
        match self {
            Self::Pushi => config("sqlite:tidings.db", ""),
            Self::Pusher => "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\n\
                 recent = [{ channels = \"traced-*\", stored = true }]\n[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\"]\n\
                 [store]\nurl = \"sqlite:tidings.db\"\n[log]\nformat = \"json\"\n[drain]\ndrain = \"0 s\"\nwebhooks = \"0 s\"\n"
                .to_owned(),
        }
    }

    /// A publish on a channel, as somebody sends it who has logged in with that token.
    fn request(self, token: &str, channel: &str, data: &str) -> String {
        match self {
            Self::Pushi => {
                request("POST", &format!("/events?sid={token}"), &serde_json::json!({ "channel": channel, "data": data }).to_string())
            }
            Self::Pusher => publish(channel, "e", data),
        }
    }
}

/// Has events published under `strace`, and gives what it wrote.
fn traced(directory: &Path, api: Api) -> String {
    let file = directory.join("trace");
    let mut strace = Command::new("strace");
    // As a grandchild it leaves the server our child, whom we can stop.
    strace.args(["-D", "-f", "-y", "-s", "8192", "-e", CALLS, "-o"]).arg(&file).arg(env!("CARGO_BIN_EXE_tidings"));
    let process = Process::by(strace, directory, &api.config());
    let token = if api == Api::Pushi { process.login() } else { String::new() };
    let publish = |publisher: usize| {
        let mut peer = process.peer();
        for number in 0..EVENTS {
            let data = format!("event:{publisher}-{number};");
            let response = peer.ask(api.request(&token, &format!("traced-{}", publisher % 2), &data));
            assert_eq!(response.status, 200, "{response:?}");
        }
    };
    std::thread::scope(|scope| (0..PUBLISHERS).for_each(|publisher| drop(scope.spawn(move || publish(publisher)))));
    process.stop();
    eventually("the end of the trace", || {
        let trace = std::fs::read(&file).unwrap();
        let trace = String::from_utf8(trace).unwrap();
        trace.trim_end().lines().last().is_some_and(|line| line.ends_with("+++ exited with 0 +++")).then_some(trace)
    })
}

/// I-3.4: a publish that is to be stored is answered after the sync of the journal that it was written to before.
#[test]
fn answers_follow_the_disk() {
    if std::env::var_os("TIDINGS_WITHOUT_STRACE").is_none() {
        [Api::Pushi, Api::Pusher].into_iter().for_each(follow_the_disk);
    }
}

fn follow_the_disk(api: Api) {
    let directory = tempfile::tempdir().unwrap();
    let trace = traced(directory.path(), api);
    let calls = calls(&trace);
    let (mut written, mut syncs) = (HashMap::new(), Vec::new());
    let (mut asked, mut answered) = (HashMap::new(), 0);
    for call in &calls {
        if call.is(&["pwrite64", "pwritev", "write", "writev"], "-wal") {
            for event in call.events() {
                written.entry(event).or_insert(call.end);
            }
        } else if call.is(&["fsync", "fdatasync"], "-wal") && call.text.ends_with("= 0") {
            syncs.push(call);
        } else if call.text.contains("POST /") && call.text.contains("/events?") && call.is(&["read", "readv", "recvfrom", "recvmsg"], "]")
        {
            asked.insert(call.socket().unwrap(), call.events().next().unwrap());
        } else if call.text.contains("\"HTTP/1.1 200 ") && call.is(&["write", "writev", "sendto", "sendmsg"], "]") {
            let Some(event) = call.socket().and_then(|socket| asked.remove(socket)) else { continue };
            let written = *written.get(event).unwrap_or_else(|| panic!("{event} was answered and never written:\n{}", call.text));
            let synced = syncs.iter().any(|sync| sync.begin > written && sync.end < call.begin);
            assert!(synced, "{event} was written in line {written} and answered in line {}, without a sync between", call.begin);
            answered += 1;
        }
    }
    assert_eq!(answered, PUBLISHERS * EVENTS, "{api:?}");
}
