//! Commands beside a server that runs: what `tidings apps` changes is noticed, what `tidings backup` copies is whole, and `tidings pushi` takes
//! Pushi's place.

use crate::client::{Client, Frame, dial, handshake};
use crate::process::{Process, config, request};
use crate::scene::eventually;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const TIDINGS: &str = env!("CARGO_BIN_EXE_tidings");

/// A directory with a store and a server on it.
struct Place {
    directory: TempDir,
    process: Process,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = Process::start(directory.path(), &config("sqlite:tidings.db", ""));
        Self { directory, process }
    }

    /// Runs a command on the configuration of the server.
    fn run(&self, arguments: &[&str]) -> Output {
        run(self.directory.path(), arguments)
    }

    /// The same; it must do what it is told, and prints this.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same; it must fail, and complains like this.
    fn complains(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// One app, as a command prints it.
    fn app(&self, arguments: &[&str]) -> App {
        let text = self.says(&[&["apps"], arguments, &["--json", "--secrets"]].concat());
        App(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// A session that came in by `key`, once the server knows it.
    fn client(&self, key: &str) -> Client {
        eventually("a server that knows the key", || enter(&self.process, key))
    }
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(TIDINGS).args(arguments).current_dir(directory).stdin(Stdio::null()).output().unwrap()
}

fn enter(process: &Process, key: &str) -> Option<Client> {
    let mut client = process.peer();
    assert_eq!(client.ask(handshake(&format!("/{key}"), "")).status, 101);
    let (event, ..) = client.event();
    (event == "pusher:connection_established").then_some(client)
}

/// An app as `--json` shows it.
struct App(Value);

impl App {
    fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    fn key(&self, place: usize) -> &str {
        self.0["keys"][place]["key"].as_str().unwrap()
    }

    fn secret(&self) -> &str {
        self.0["keys"][0]["secret"].as_str().unwrap()
    }

    fn keys(&self) -> usize {
        self.0["keys"].as_array().unwrap().len()
    }
}

fn closes(client: &mut Client) -> u16 {
    loop {
        if let Frame::Close(code, _) = client.frame() {
            return code;
        }
    }
}

/// I-4.11, I-0.4: apps come, change and go beside a server that runs, and it notices.
#[test]
fn a_server_notices_what_becomes_of_apps() {
    let place = Place::new();
    let made = place.app(&["create", "shop"]);
    for text in [made.id(), made.key(0), made.secret()] {
        assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    }
    let mut client = place.client(made.key(0));
    client.subscribe("news");

    let rotated = place.app(&["rotate", made.id(), "--keep-old"]);
    assert_eq!((rotated.keys(), rotated.key(1)), (2, made.key(0)), "the new one first");
    let mut newcomer = place.client(rotated.key(0));
    assert!(enter(&place.process, made.key(0)).is_some(), "the old key stands");
    let left = place.app(&["remove-key", made.id(), made.key(0)]);
    assert_eq!((left.keys(), left.key(0)), (1, rotated.key(0)));
    assert_eq!(closes(&mut client), 4001, "it came in by the key that is gone");

    assert_eq!(place.app(&["disable", made.id()]).0["enabled"], false);
    assert_eq!(closes(&mut newcomer), 4001);
    assert!(enter(&place.process, rotated.key(0)).is_none());
    assert_eq!(place.app(&["enable", made.id()]).0["enabled"], true);
    let mut client = place.client(rotated.key(0));
    let again = place.app(&["rotate", made.id()]);
    assert_eq!(again.keys(), 1);
    assert_eq!(closes(&mut client), 4001);
    place.client(again.key(0));
    place.process.stop();
}

/// Secrets are shown when they are made and when somebody asks; what cannot be done is said in a sentence.
#[test]
fn apps_are_shown_and_mistakes_are_told() {
    let place = Place::new();
    let made = place.app(&["create", "shop"]);
    let shown = place.says(&["apps", "show", made.id()]);
    assert!(shown.starts_with("shop, in the store\n") && shown.contains(made.key(0)) && !shown.contains(made.secret()), "{shown}");
    assert!(place.says(&["apps", "show", made.id(), "--secrets"]).contains(made.secret()));
    place.says(&["apps", "disable", made.id()]);
    let listed = place.says(&["apps", "list"]);
    assert!(listed.contains("shop (disabled), in the store") && listed.contains(", in the configuration"), "{listed}");
    assert!(!listed.contains(made.secret()) && !listed.contains(crate::process::SECRET), "{listed}");
    let lines = place.says(&["apps", "list", "--json"]);
    let names: Vec<Value> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone()).collect();
    assert_eq!(names, [json!("shop"), json!(crate::process::APP)]);
    for (arguments, says) in [
        (&["create", "shop"][..], "choose another"),
        (&["create", crate::process::APP], "the configuration has an app of the name"),
        (&["create", " "], "an app needs a name"),
        (&["show", "nobody"], "the store has no app nobody; `tidings apps list` shows what there is"),
        (&["disable", crate::process::APP], "change it there"),
        (&["rotate", "nobody"], "the store has no app nobody"),
        (&["remove-key", made.id(), "none"], "has no such key"),
        (&["remove-key", made.id(), made.key(0)], "it is the only key"),
        (&["list", "--store", "memory:"], "name another with --store"),
        (&["list", "--store", "mysql://x"], "the store is one of"),
    ] {
        let complaint = place.complains(&[&["apps"], arguments].concat());
        assert!(complaint.contains(says), "{arguments:?}: {complaint}");
    }
    let empty = tempfile::tempdir().unwrap();
    let nothing = run(empty.path(), &["apps", "list", "--store", "sqlite:new.db"]);
    assert_eq!(String::from_utf8(nothing.stdout).unwrap(), "There is no app yet; make one with `tidings apps create NAME`.\n");
    place.process.stop();
}

/// What looks leaves nothing behind, and what makes does it where a server with the same configuration looks.
#[test]
fn apps_are_made_where_a_server_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let says = |arguments: &[&str]| String::from_utf8(run(directory.path(), arguments).stdout).unwrap();
    // The app that a first try makes is another each time, so none is told of.
    assert_eq!(says(&["apps", "list"]), "There is no app yet; make one with `tidings apps create NAME`.\n");
    assert_eq!(says(&["apps", "list", "--json", "--secrets"]), "");
    let missing = run(directory.path(), &["apps", "disable", "nobody"]);
    assert!(String::from_utf8(missing.stderr).unwrap().contains("the store has no app nobody"));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let made = run(directory.path(), &["apps", "create", "1"]);
    assert!(made.status.success() && String::from_utf8(made.stderr).unwrap().contains("must be restarted"), "the store is new");
    let made = run(directory.path(), &["apps", "create", " shop\u{1b}[2J "]);
    assert_eq!((made.status.code(), made.stderr.as_slice()), (Some(0), &b""[..]));
    assert!(says(&["apps", "list"]).contains("\nshop\\u{1b}[2J, in the store\n"), "nobody steers the terminal");

    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let file = elsewhere.join("t.toml");
    let app = "[[apps]]\nid = \"1\"\nname = \"one\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n";
    std::fs::write(&file, app).unwrap();
    let file = file.to_str().unwrap();
    // The file may be named before the action and after it.
    assert_eq!(says(&["apps", "--config", file, "list"]), "one, in the configuration\n  id      1\n  key     k\n");
    assert!(says(&["apps", "create", "two", "-c", file]).starts_with("two, in the store\n"));
    assert!(elsewhere.join("tidings.db").exists(), "beside its configuration");
    for (arguments, says) in [
        (&["create", "one"][..], "the configuration has an app of the name one; choose another"),
        (&["create", "two"], "an app has this name already; choose another"),
        (&["show", "two"], "two is a name; the id of that app is "),
        (&["rotate", "1"], "t.toml; change it there"),
    ] {
        let complaint = run(directory.path(), &[&["apps", "-c", file], arguments].concat());
        let complaint = String::from_utf8(complaint.stderr).unwrap();
        assert!(complaint.contains(says), "{arguments:?}: {complaint}");
    }
    let mut command = Command::new(TIDINGS);
    command.args(["apps", "show", "e"]).current_dir(directory.path()).stdin(Stdio::null());
    for (name, value) in [("ID", "e"), ("KEY", "k"), ("SECRET", "long-enough-secret")] {
        command.env(format!("TIDINGS__APPS__0__{name}"), value);
    }
    let complaint = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert_eq!(complaint, "tidings: the app e stands in the environment; change it there\n");
}

/// A secret is shown to whom it is new; the others only to whom asks.
#[test]
fn secrets_are_shown_once() {
    let directory = tempfile::tempdir().unwrap();
    let app = |arguments: &[&str]| {
        let output = run(directory.path(), &[&["apps", "--store", "sqlite:t.db", "--json"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let shown = |app: &Value| app["keys"].as_array().unwrap().iter().map(|key| key.get("secret").is_some()).collect::<Vec<_>>();
    let made = app(&["create", "shop"]);
    let (id, old) = (made["id"].as_str().unwrap(), made["keys"][0]["key"].as_str().unwrap());
    assert_eq!(shown(&made), [true]);
    assert_eq!(shown(&app(&["rotate", id, "--keep-old"])), [true, false]);
    for (arguments, secrets) in [
        (&["show", id][..], [false, false]),
        (&["show", id, "--secrets"], [true, true]),
        (&["list"], [false, false]),
        (&["disable", id], [false, false]),
        (&["enable", id, "--secrets"], [true, true]),
    ] {
        assert_eq!(shown(&app(arguments)), secrets, "{arguments:?}");
    }
    assert_eq!(shown(&app(&["remove-key", id, old])), [false]);
    assert_eq!(shown(&app(&["rotate", id, "--secrets"])), [true]);
}

/// A copy that is made while somebody publishes has all that was acknowledged before, in order, and serves.
#[test]
fn a_backup_is_whole() {
    const BEFORE: usize = 500;
    let place = Place::new();
    let token = place.process.login();
    let mut peer = place.process.peer();
    let mut publish = |number: usize| {
        let body = json!({ "channel": "news", "data": number.to_string() }).to_string();
        assert_eq!(peer.ask(request("POST", &format!("/events?sid={token}"), &body)).status, 200);
    };
    (0..BEFORE).for_each(&mut publish);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let copied = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = BEFORE;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                publish(number);
                number += 1;
            }
        });
        let said = place.run(&["backup", "copy.db"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        said
    });
    assert!(copied.status.success(), "{copied:?}");
    let said = String::from_utf8(copied.stdout).unwrap();
    assert!(said.contains(" is copied to copy.db: ") && said.ends_with(" bytes\n"), "{said}");
    for (arguments, says) in [
        (&["backup", "copy.db"][..], "exists"),
        (&["backup", "none/copy.db"], "cannot copy"),
        (&["backup", "other.db", "--store", "postgres://127.0.0.1/x"], "pg_dump"),
        (&["backup", "other.db", "--store", "sqlite:none.db"], "the store sqlite:none.db to other.db: it does not exist"),
        (&["backup", "other.db", "--store", "memory:"], "what is in memory is known to its server alone"),
        (&["backup", "other.db", "--store", "mysql://x"], "--store: the store is one of"),
    ] {
        let complaint = place.complains(arguments);
        assert!(complaint.contains(says), "{arguments:?}: {complaint}");
    }
    assert!(!place.directory.path().join("other.db").exists() && !place.directory.path().join("none.db").exists());
    let another = tempfile::tempdir().unwrap();
    std::fs::copy(place.directory.path().join("copy.db"), another.path().join("tidings.db")).unwrap();
    let process = Process::start(another.path(), &config("sqlite:tidings.db", ""));
    let found = process.history(&token, Some("news"));
    assert!(found.len() >= BEFORE, "{}", found.len());
    assert!(found.iter().enumerate().all(|(number, event)| event.data == number.to_string()));
    process.stop();
    place.process.stop();
}

/// I-6: with nothing but the environment of Pushi a server speaks both of its protocols, at one address or two.
#[test]
fn a_server_takes_pushis_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(TIDINGS);
    command.args(["pushi", "--open-apps"]).current_dir(directory.path());
    // The same address twice is one for both.
    for (name, value) in [("APP_PORT", "0"), ("SERVER_HOST", "127.0.0.1"), ("SERVER_PORT", "0"), ("TIDINGS__LOG__FORMAT", "json")] {
        command.env(name, value);
    }
    let process = Process::of(command);
    eventually("a log that says what is missing", || process.log().contains("there is no app yet").then_some(()));
    assert!(process.log().contains(r#""dialects":"pushi pushi-api""#), "{}", process.log());
    let app = process.json("POST", "/apps", r#"{"name":"shop"}"#);
    let text = |name: &str| app[name].as_str().unwrap();
    let login = format!("/login?app_id={}&app_key={}&app_secret={}", text("ident"), text("key"), text("secret"));
    let token = process.json("GET", &login, "")["token"].as_str().unwrap().to_owned();
    let mut client = eventually("a server that knows its app", || enter(&process, text("key")));
    client.subscribe("news");
    process.json("POST", &format!("/events?sid={token}"), r#"{"channel":"news","event":"shipped","data":"1"}"#);
    assert_eq!(client.data_of("shipped"), "1");
    drop(client);
    process.stop();
    assert!(directory.path().join("tidings.db").exists());
}

/// I-0.3: at two addresses each of the two protocols has its own.
#[test]
fn pushis_two_addresses_are_two() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(TIDINGS);
    command.args(["pushi", "--store", "memory:"]).current_dir(directory.path());
    for (name, value) in [("APP_PORT", "0"), ("SERVER_HOST", "127.0.0.2"), ("SERVER_PORT", "0"), ("TIDINGS__LOG__FORMAT", "json")] {
        command.env(name, value);
    }
    let process = Process::of(command);
    let listening = |dialects: &str| {
        let lines: Vec<Value> = process.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = lines.iter().find(|line| line["message"] == "listening" && line["dialects"] == dialects)?;
        Some(line["address"].as_str().unwrap().to_owned())
    };
    let http = eventually("a listener for REST", || listening("pushi-api"));
    let sockets = eventually("a listener for WebSockets", || listening("pushi"));
    assert!(http.starts_with("127.0.0.1:") && sockets.starts_with("127.0.0.2:"), "{http} {sockets}");
    eventually("a log that says what is missing", || process.log().contains("only `POST /apps` makes one").then_some(()));
    let path = format!("/{}", crate::process::KEY);
    for (address, made, handshaken) in [(&http, 403, 404), (&sockets, 404, 101)] {
        let ask = |text: String| Client::new(dial(address)).ask(text).status;
        let statuses = (ask(request("POST", "/apps", r#"{"name":"shop"}"#)), ask(handshake(&path, "")));
        assert_eq!(statuses, (made, handshaken), "{address}");
    }
    process.stop();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "a store in memory leaves nothing");
}

/// I-3.8, I-6.2: what a server looks at only when it starts is named when it reads its configuration again.
#[test]
fn a_reload_names_what_waits_for_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &config("memory:", "[[pushi]]\napp = \"nobody\"\n"));
    eventually("a word about the app", || process.log().contains("is for an app that does not exist").then_some(()));
    let pushi = "[[pushi]]\napp = \"nobody\"\nopen_health = true\n";
    let changed = config("sqlite:t.db", pushi).replace("[[listeners]]", "[apps.history]\nretention = \"1 d\"\n[[listeners]]");
    std::fs::write(directory.path().join("tidings.toml"), changed).unwrap();
    process.reload();
    eventually("an end of the reload", || process.log().contains("configuration reloaded").then_some(()));
    let log = process.log();
    let named: Vec<&str> = log.lines().filter(|line| line.contains("holds from the next start on")).collect();
    for setting in ["apps[0].history", "pushi[0].open_health", "store.url"] {
        assert!(named.iter().any(|line| line.contains(&format!("\"{setting}\""))), "{setting} in {log}");
    }
    assert_eq!(named.len(), 3, "{log}");
    process.stop();
}

/// I-6: what stands wrong in the environment is told by the variable's name, and what it amounts to can be seen.
#[test]
fn the_environment_of_pushi_can_be_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let with = |variables: &[(&str, &str)]| {
        let mut command = Command::new(TIDINGS);
        command.args(["pushi", "--print-config"]).current_dir(directory.path()).stdin(Stdio::null());
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let printed = String::from_utf8(with(&[("APP_HOST", "0.0.0.0"), ("MONGO_URL", "mongodb://x")]).stdout).unwrap();
    for part in ["address = \"0.0.0.0:8080\"", "address = \"127.0.0.1:9090\"", "# MONGO_URL is not used"] {
        assert!(printed.contains(part), "{printed}");
    }
    std::fs::write(directory.path().join("tidings.toml"), &printed).unwrap();
    assert!(run(directory.path(), &["check"]).status.success(), "what is printed can be kept");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("a.cer"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("a.key"), made.signing_key.serialize_pem()).unwrap();
    let printed = with(&[("SERVER_SSL", "1"), ("SERVER_SSL_CER", "a.cer"), ("SERVER_SSL_KEY", "a.key")]).stdout;
    let tls = "address = \"127.0.0.1:9090\"\ndialects = [\"pushi\"]\ntls = { certificate = \"a.cer\", key = \"a.key\" }\n";
    assert!(String::from_utf8(printed).unwrap().contains(tls));
    for (variables, says) in [
        (&[("APP_PORT", "http"), ("SERVER_SSL", "yes")][..], &["APP_PORT: \"http\" is no port", "SERVER_SSL: \"yes\""][..]),
        (&[("APP_SSL", "1"), ("APP_SSL_CER", "a.cer")], &["\n  APP_SSL_KEY: is missing"]),
        (
            &[("APP_SSL", "1"), ("APP_SSL_CER", "none.cer"), ("APP_SSL_KEY", "a.cer")],
            &["\n  APP_SSL_CER: cannot read none.cer: ", "\n  APP_SSL_KEY: a.cer holds no private key"],
        ),
        (&[("APP_HOST", "0.0.0.0"), ("SERVER_PORT", "8080")], &["\n  SERVER_PORT: APP_PORT is on 0.0.0.0:8080 already"]),
        (&[("TIDINGS__LIMITS__CONNECTION", "1")], &["\n  TIDINGS__LIMITS__CONNECTION: limits.connection: there is no such setting"]),
    ] {
        let wrong = with(variables);
        let complaint = String::from_utf8(wrong.stderr).unwrap();
        assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(1), 0), "{complaint}");
        assert!(says.iter().all(|part| complaint.contains(part)), "{complaint}");
    }
}
