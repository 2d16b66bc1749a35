//! `tidings wspush` from outside: what it says of its flags, with which status it ends, and that it serves where it is told to.

use crate::process::Process;
use crate::scene::eventually;
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// `super secret key`, as flags have it.
const KEY: &str = "c3VwZXIgc2VjcmV0IGtleQ";

fn wspush(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.arg("wspush").args(arguments).env_remove("WSPUSH_KEY").env_remove("WSPUSH_PING").stdin(Stdio::null());
    command
}

fn ended(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// W-1.1, W-1.3, W-9.2
#[test]
fn what_cannot_be_right_ends_with_its_status() {
    for (arguments, status, told) in [
        (&["-nosuch"][..], 2, "there is no flag \"-nosuch\"\nUsage of tidings wspush:\n  -addr string\n"),
        (&["--queue", "many"], 2, "-queue: \"many\" is no number\nUsage of "),
        (&["-prefix"], 2, "-prefix needs a value\nUsage of "),
        (&["news"], 2, "\"news\" is no flag\nUsage of "),
        (&["-h"], 0, "Usage of tidings wspush:\n"),
        (&["--help"], 0, "Usage of tidings wspush:\n"),
        (&["-hmac", "not base64"], 1, "tidings: the configuration has a problem\n  -hmac: is no key: "),
        (&["-hmac-sha256", "\n"], 1, "tidings: the configuration has a problem\n  -hmac-sha256: is empty; "),
        (&["-addr", "nowhere"], 1, "tidings: the configuration has a problem\n  -addr: \"nowhere\" is no address; "),
        (&["-redis", "redis://u:n33dle@h/x"], 1, "tidings: the configuration has a problem\n  -redis: "),
        (&["-slow", "wait", "-queue", "0"], 1, "tidings: the configuration has 2 problems\n  -queue: is 0; "),
        (&["-expvar", "localhost:8080"], 1, "tidings: the configuration has a problem\n  -expvar: -addr is on 127.0.0.1:8080 already; "),
    ] {
        let (code, stdout, stderr) = ended(&mut wspush(arguments));
        assert_eq!((code, stdout.as_str()), (Some(status), ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with(told) && !stderr.contains("n33dle"), "{arguments:?}: {stderr}");
    }
    let (code, _, stderr) = ended(wspush(&["-prefix", "x"]).env("WSPUSH_KEY", "?"));
    assert_eq!((code, stderr.contains("  WSPUSH_KEY: is no key: ")), (Some(1), true), "{stderr}");
    let (code, _, stderr) = ended(wspush(&["-h"]).env("WSPUSH_KEY", KEY).env("WSPUSH_PING", "{}"));
    assert_eq!(
        (code, stderr.contains(KEY), stderr.contains("(default ***)"), stderr.contains("(default \"{}\")")),
        (Some(0), false, true, true)
    );
}

/// W-1.2, W-1.5: what flags and variables come to is a configuration, with an app that is another one each time.
#[test]
fn the_configuration_is_printed_and_reads_back() {
    let flags = ["--print-config", "-prefix=news.", "-expvar", ":0", "-addr", "127.0.0.1:0", "-ping", "q", "-compat"];
    let printed = || {
        let (code, stdout, stderr) = ended(wspush(&flags).env("WSPUSH_KEY", KEY).env("WSPUSH_PING", "p"));
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        stdout
    };
    let (one, other) = (printed(), printed());
    assert!(one.contains(&format!("prefix = \"news.\"\nhmac_key = \"{KEY}\"\nping = \"q\"\ncompat = true\n")), "{one}");
    assert_ne!(one, other, "the app is made for one run");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tidings.toml"), &one).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_tidings"));
    let (code, effective, warnings) = ended(check.arg("check").current_dir(directory.path()));
    assert_eq!(code, Some(0), "{warnings}");
    for part in [
        "dialects = [\"wspush\"] # tidings.toml",
        "dialects = [\"wspush-statistics\"] # ",
        "prefix = \"news.\" # ",
        "hmac_key = \"(hidden)\" # ",
    ] {
        assert!(effective.contains(part), "{part} in {effective}");
    }
}

/// W-1.4, W-9.1, W-9.2: it serves at both addresses, says so, tells no key, and ends with 0 when it is asked to.
#[test]
fn it_serves_where_it_is_told_to() {
    let mut command = wspush(&["-addr", "127.0.0.1:0", "-expvar", "localhost:0", "-redis", "127.0.0.1:1", "-hmac", KEY]);
    command.env("TIDINGS__LOG__FORMAT", "json");
    let process = Process::of(command);
    let listening = |dialect: &str| {
        let log = process.log();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
        let mut listening = lines.filter(|line| line["message"] == "listening" && line["dialects"] == dialect);
        listening.next().map(|line| line["address"].as_str().unwrap().to_owned())
    };
    let clients = eventually("a listener for clients", || listening("wspush"));
    let statistics = eventually("a listener for statistics", || listening("wspush-statistics"));
    assert_ne!(clients, statistics);
    let told = format!("\"exposing statistics on http://{statistics}/debug/vars\"");
    eventually("a line that says where", || process.log().contains(&told).then_some(()));
    assert!(!process.log().contains(KEY), "{}", process.log());
    process.stop();
}
