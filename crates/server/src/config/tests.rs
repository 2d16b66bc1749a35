//! The configuration as a whole: what is read, what is refused and in which words, and that no secret is ever told.

mod documents;

use super::*;
use proptest::prelude::*;
use std::time::Duration;
use tidings_hub::AppId;

const EXAMPLE: &str = include_str!("../../../../docs/operating/tidings.example.toml");
const MANUAL: &str = include_str!("../../../../docs/operating/configuration.md");
const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n";

fn files(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/etc/t/secret") => Ok(b"secret-of-the-file\n".to_vec()),
        Some("/run/limit") => Ok(b"77\n".to_vec()),
        Some("/etc/t/pem.pem" | "/etc/t/certificate.pem" | "/etc/t/key.pem" | "/etc/t/secret-2") => Ok(pem().into_bytes()),
        Some("/etc/t/text.pem") => Ok(b"not a certificate".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// A certificate and its key.
fn pem() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())
}

fn read_with(text: Option<&str>, variables: &[(&str, &str)]) -> Result<(Config, Vec<Setting>), Broken> {
    let surroundings = Surroundings {
        directory: PathBuf::from("/etc/t"),
        cores: 3,
        read_file: &files,
        make_key: &|| Key { key: "made-key".to_owned(), secret: "made-secret".to_owned() },
    };
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    read(text.map(|text| Document { name: "t.toml", text }), variables, &surroundings)
}

fn right(text: &str, variables: &[(&str, &str)]) -> Config {
    match read_with(Some(text), variables) {
        Ok((config, _)) => config,
        Err(broken) => panic!("{text}\n{broken}"),
    }
}

/// The problems, one a line.
fn wrong(text: &str, variables: &[(&str, &str)]) -> String {
    let broken = read_with(Some(text), variables).err().unwrap_or_else(|| panic!("this should be refused:\n{text}\n{variables:?}"));
    broken.problems().iter().map(|problem| format!("{problem}\n")).collect()
}

#[test]
fn nothing_at_all_makes_an_app_on_loopback() {
    let (config, _) = read_with(None, &[("HOME", "/"), ("TIDINGS_KEY", "x"), ("tidings__limits", "x")]).unwrap();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:6001");
    assert_eq!(config.listeners[0].dialects, [Dialect::Pusher, Dialect::Console]);
    // An app that somebody wrote is not tried by whoever reaches the port.
    assert_eq!(right(APP, &[]).listeners[0].dialects, [Dialect::Pusher]);
    let mut app = App::new("1", "made-key", "made-secret");
    app.client_events = true;
    assert_eq!(config.apps, [app]);
    assert_eq!(config.made.unwrap().secret, "made-secret");
    assert_eq!(config.limits.shards, 3);
    // A container says only where to listen.
    let (config, _) = read_with(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "0.0.0.0:80")]).unwrap();
    assert_eq!((config.listeners[0].address.to_string().as_str(), config.apps.len()), ("0.0.0.0:80", 1));
}

#[test]
fn an_app_has_the_hubs_defaults() {
    assert_eq!(right(APP, &[]).apps, [App::new("1", "k", "long-enough-secret")]);
}

#[test]
fn everything_can_be_said() {
    let config = right(
        r#"
        [[listeners]]
        address = "0.0.0.0:6001"
        path_prefix = "/x/y"
        trusted_proxies = ["10.0.0.1/8", "::1"]
        proxy_protocol = true
        tls = { certificate = "pem.pem", key = "/etc/t/pem.pem" }
        [[listeners]]
        address = "unix:run/t.sock"
        mode = "0600"
        [[listeners]]
        address = "localhost:9601"
        dialects = ["metrics"]
        [[apps]]
        id = "one"
        secret_file = "secret"
        key = "k1"
        keys = [{ key = "k2", secret = "second-secret" }]
        activity_timeout = "60 s"
        default_protocol = 7
        origins = ["https://a.example", "http://b.example:8080"]
        limits = { connections = 10_000, event_bytes = "20 KB", cache_ttl = "1 min" }
        webhooks = [{ url = "https://hooks.example/x?token=t", events = ["member_added"], channel_prefix = "a-", headers = { X-Own = "v" } }]
        [[apps]]
        id = "two"
        keys = [{ key = "k3", secret = "third-secret" }]
        [limits]
        handshakes_per_address = "30/min"
        memory_bytes = "64 MiB"
        [log]
        format = "json"
        level = "info,hyper=warn"
        access = true
        [drain]
        drain_delay = "3 s"
        [websocket]
        compression = true
        "#,
        &[],
    );
    let first = &config.listeners[0];
    assert_eq!(first.path_prefix, "/x/y");
    assert_eq!(first.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert_eq!(first.tls, Some(Tls { certificate: "/etc/t/pem.pem".into(), key: "/etc/t/pem.pem".into() }));
    assert_eq!(config.listeners[1].address, Address::Unix { path: "/etc/t/run/t.sock".into(), mode: 0o600 });
    assert_eq!(config.listeners[2].address.to_string(), "127.0.0.1:9601");
    let app = &config.apps[0];
    let pairs: Vec<_> = app.keys.iter().map(|pair| (pair.key.as_str(), pair.secret.as_str())).collect();
    assert_eq!(pairs, [("k1", "secret-of-the-file"), ("k2", "second-secret")]);
    assert_eq!((app.limits.connections, app.limits.event_bytes, app.limits.cache_ttl), (Some(10_000), 20_000, Duration::from_secs(60)));
    assert_eq!((app.activity_timeout, app.default_protocol), (Duration::from_secs(60), Some(7)));
    assert_eq!(app.webhooks[0].headers, [("X-Own".to_owned(), "v".to_owned())]);
    assert_eq!(app.webhooks[0].events.as_deref(), Some(["member_added".to_owned()].as_slice()));
    assert_eq!(config.apps[1].keys[0].key, "k3");
    assert_eq!(config.limits.handshakes_per_address, Rate { count: 30, per: Duration::from_secs(60) });
    assert_eq!((config.log.format, config.log.access, config.websocket.compression), (LogFormat::Json, true, true));
    assert_eq!((config.drain.drain_delay, config.drain.drain), (Duration::from_secs(3), Duration::from_secs(10)));
}

/// One problem each, in the very words.
#[test]
fn problems_say_where_and_what_to_change() {
    for (text, expected) in [
        ("[limits]\nconnections = \n", "t.toml:2:15: string values must be quoted, expected literal string"),
        ("[limits\n", "t.toml:1:8: unclosed table, expected `]`"),
        ("[limits]\na = 1\na = 2\n", "t.toml:3:1: duplicate key"),
        ("[limits]\nconections = 5", "t.toml:2: limits.conections: there is no such setting; did you mean `connections`?"),
        ("[limit]\nconnections = 5", "t.toml:1: limit: there is no such setting; did you mean `limits`?"),
        (
            "[limits]\nevent_bytes = 5",
            "t.toml:2: limits.event_bytes: there is no such setting here; it belongs to [apps.limits] or [[pushi]]",
        ),
        ("[limits]\nconnections = \"5\"", "t.toml:2: limits.connections: expected a whole number, found a text"),
        ("[limits]\nconnections = -5", "t.toml:2: limits.connections: is -5; it must be 1 to 100000000"),
        ("[limits]\nconnections = 5.0", "t.toml:2: limits.connections: expected a whole number, found a fraction"),
        (
            "[limits]\nconnections = 99999999999999999999",
            "t.toml:2: limits.connections: expected a whole number, found a number without bounds",
        ),
        ("[limits]\nshards = 257", "t.toml:2: limits.shards: is 257; it must be 1 to 256"),
        (
            "[limits]\nheader_bytes = \"10 KiBB\"",
            "t.toml:2: limits.header_bytes: \"10 KiBB\" is not a size; write \"10 KiB\", \"1 MiB\", \"64 KB\" or a number of bytes",
        ),
        ("[limits]\nheader_bytes = 5", "t.toml:2: limits.header_bytes: is 5 B; it must be \"1 KiB\" to \"1 MiB\""),
        ("[drain]\ndrain = 10", "t.toml:2: drain.drain: 10 has no unit; write \"10 s\" or another unit"),
        (
            "[drain]\ndrain = \"10 sec\"",
            "t.toml:2: drain.drain: \"10 sec\" is not a duration; write \"250 ms\", \"120 s\", \"30 min\", \"2 h\" or \"1 d\"",
        ),
        (
            "[limits]\nhandshakes_per_address = 100",
            "t.toml:2: limits.handshakes_per_address: expected a rate such as \"100/s\", found a whole number",
        ),
        ("[log]\nformat = \"xml\"", "t.toml:2: log.format: \"xml\" is not known; write \"human\" or \"json\""),
        (
            "[log]\nlevel = \"info,=\"",
            "t.toml:2: log.level: \"info,=\" is no filter; write a level such as \"info\", or \"info,hyper=warn\"",
        ),
        ("[log]\naccess = \"yes\"", "t.toml:2: log.access: expected true or false, found a text"),
        ("limits = 5", "t.toml:1: limits: expected a table, found a whole number"),
        ("[listeners]\naddress = \"[::1]:1\"", "t.toml:1: listeners: write [[listeners]]: there may be several"),
        ("listeners = [5]", "t.toml:1: listeners[0]: expected a table, found a whole number"),
        (
            "[[listeners]]\naddress = \"example.com:6001\"",
            "t.toml:2: listeners[0].address: \"example.com:6001\" is no address; write an IP address and a port, such as \"0.0.0.0:6001\" or \"[::]:6001\", or \"unix:/run/tidings.sock\"",
        ),
        ("[[listeners]]\nmode = \"0660\"", "t.toml:2: listeners[0].mode: only a unix socket has permissions; remove it"),
        (
            "[[listeners]]\naddress = \"unix:/s\"\nmode = \"rw\"",
            "t.toml:3: listeners[0].mode: \"rw\" is no mode; write octal digits, such as \"0660\"",
        ),
        (
            "[[listeners]]\ndialects = [\"pusher\", \"sse\"]",
            "t.toml:2: listeners[0].dialects: the dialect \"sse\" is not in this build yet; known are pusher, pushi, pushi-api, console, metrics",
        ),
        (
            "[[listeners]]\ndialects = [\"wspush:news\"]",
            "t.toml:2: listeners[0].dialects: the dialect \"wspush\" is not in this build yet; known are pusher, pushi, pushi-api, console, metrics",
        ),
        (
            "[[listeners]]\ndialects = [\"puser\"]",
            "t.toml:2: listeners[0].dialects: there is no dialect \"puser\"; known are pusher, pushi, pushi-api, console, metrics",
        ),
        ("[[listeners]]\ndialects = [\"pusher\", \"pusher\"]", "t.toml:2: listeners[0].dialects: \"pusher\" stands there twice"),
        (
            "[[listeners]]\ndialects = [\"pusher\", \"metrics\"]",
            "t.toml:2: listeners[0].dialects: \"metrics\" needs a listener of its own, so that the world need not see it",
        ),
        (
            "[[listeners]]\ndialects = [\"console\"]",
            "listeners: nobody could connect: no listener has \"pusher\" or \"pushi\" among its `dialects`",
        ),
        (
            "[[listeners]]\npath_prefix = \"/x/\"",
            "t.toml:2: listeners[0].path_prefix: \"/x/\" is no path prefix; write \"/x\": a slash first, none at the end, letters, digits and -._~ between",
        ),
        (
            "[[listeners]]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            "t.toml:2: listeners[0].trusted_proxies: \"10.0.0.0/33\" is no network; write \"10.0.0.0/8\" or an address",
        ),
        (
            "[[listeners]]\nproxy_protocol = true",
            "t.toml:2: listeners[0].proxy_protocol: only trusted proxies may name the client's address; list them in `trusted_proxies`",
        ),
        (
            "[[listeners]]\ntls = { certificate = \"none.pem\", key = \"pem.pem\" }",
            "t.toml:2: listeners[0].tls.certificate: cannot read /etc/t/none.pem: entity not found",
        ),
        (
            "[[listeners]]\ntls = { certificate = \"text.pem\", key = \"pem.pem\" }",
            "t.toml:2: listeners[0].tls.certificate: /etc/t/text.pem holds no certificate in PEM",
        ),
        ("[[listeners]]\ntls = { certificate = \"pem.pem\" }", "t.toml:2: listeners[0].tls.key: TLS needs it: name a PEM file"),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"0.0.0.0:1\"",
            "t.toml:4: listeners[1].address: listeners[0] is on 127.0.0.1:1 already; give one of them another port",
        ),
        ("listeners = []", "listeners: is empty; write [[listeners]] with an `address`, or leave it out"),
        (
            "[store]\nurl = \"mysql://x\"",
            "t.toml:2: store.url: the store is one of `sqlite:PATH`, `memory:` and `postgres://user:password@host/database`",
        ),
        (
            "[store]\nurl = \"sqlite:x\"\nurl_file = \"y\"",
            "t.toml:2: store.url: is given twice: keep `url` or `url_file`\nt.toml:3: store.url_file: cannot read /etc/t/y: entity not found",
        ),
        ("[[pushi]]\n[[pushi]]\n", "t.toml:2: pushi[1].app: there is a section for all apps already; name the one that this is for"),
        ("[[pushi]]\nclient_events = \"some\"", "t.toml:2: pushi[0].client_events: \"some\" is none of \"all\", \"signed\" and \"off\""),
        ("[cluster]", "t.toml:1: cluster: is not in this build yet; remove it: this build serves as one node"),
        ("[[wspush]]", "t.toml:1: wspush: is not in this build yet; remove it: this build speaks no such dialect"),
    ] {
        assert_eq!(wrong(&format!("{text}\n{}", if text.contains("[limits\n") { "" } else { APP }), &[]).trim_end(), expected, "{text}");
    }
}

/// As above, within an app.
#[test]
fn problems_of_apps() {
    for (text, expected) in [
        ("client_event = true", "t.toml:5: apps[0].client_event: there is no such setting; did you mean `client_events`?"),
        ("compression = true", "t.toml:5: apps[0].compression: there is no such setting here; it belongs to [websocket]"),
        ("limits = { cache_ttl = \"31 min\" }", "t.toml:5: apps[0].limits.cache_ttl: is 31 min; it must be \"1 s\" to \"30 min\""),
        ("channel_name_max = 163", "t.toml:5: apps[0].channel_name_max: is 163; it must be 164 to 200"),
        ("channel_name_max = 201", "t.toml:5: apps[0].channel_name_max: is 201; it must be 164 to 200"),
        ("activity_timeout = \"999 ms\"", "t.toml:5: apps[0].activity_timeout: is 999 ms; it must be \"1 s\" to \"1 d\""),
        (
            "activity_timeout = \"1500 ms\"",
            "t.toml:5: apps[0].activity_timeout: clients are told whole seconds; write \"1 s\", \"2 s\" and so on",
        ),
        ("default_protocol = 3", "t.toml:5: apps[0].default_protocol: is 3; it must be 4 to 7"),
        (
            "origins = [\"https://a.example/\"]",
            "t.toml:5: apps[0].origins: \"https://a.example/\" is no origin; write \"https://example.com\", in lower case, without a path; leave the list out to allow all",
        ),
        ("dialects = [\"pushy\"]", "t.toml:5: apps[0].dialects: \"pushy\" is no dialect of an app; known are \"pusher\" and \"pushi\""),
        (
            "require_signed_channel_data = true",
            "t.toml:5: apps[0].require_signed_channel_data: there is no such setting here; it belongs to [[pushi]]",
        ),
        ("secret_file = \"secret\"", "t.toml:4: apps[0].secret: is given twice: keep `secret` or `secret_file`"),
        ("webhooks = [{}]", "t.toml:5: apps[0].webhooks[0].url: is missing; write the http or https address to post to"),
        ("webhooks = [{ url = \"ftp://a.example\" }]", "t.toml:5: apps[0].webhooks[0].url: must begin with http:// or https://"),
        ("webhooks = [{ url = \"/hook\" }]", "t.toml:5: apps[0].webhooks[0].url: needs a host; write \"https://example.com/hook\""),
        (
            "webhooks = [{ url = \"http://u:p@a.example\" }]",
            "t.toml:5: apps[0].webhooks[0].url: holds a user and a password; send them in `headers`",
        ),
        (
            "webhooks = [{ url = \"http://a.example\", events = [\"member_aded\"] }]",
            "t.toml:5: apps[0].webhooks[0].events: there is no event \"member_aded\"; did you mean \"member_added\"?",
        ),
        (
            "webhooks = [{ url = \"http://a.example\", headers = { \"Content-Type\" = \"a\" } }]",
            "t.toml:5: apps[0].webhooks[0].headers.Content-Type: is written by the server itself; remove it",
        ),
        (
            "webhooks = [{ url = \"http://a.example\", headers = { \"a b\" = \"a\" } }]",
            "t.toml:5: apps[0].webhooks[0].headers.a b: \"a b\" is no header name",
        ),
        (
            "limits = { event_bytes = \"2 MiB\" }",
            "t.toml:5: apps[0].limits.event_bytes: an event of this size cannot come in: `body_bytes` is 1048576",
        ),
        (
            "limits = { outbox_bytes = \"1 GiB\" }\n[limits]\nmemory_bytes = \"16 MiB\"",
            "t.toml:5: apps[0].limits.outbox_bytes: the node may hold 16777216 only: see limits.memory_bytes",
        ),
        (
            "[[apps]]\nid = \"1\"\nkey = \"k2\"\nsecret = \"long-enough-secret\"",
            "t.toml:6: apps[1].id: apps[0] has the id \"1\" already; ids are unique",
        ),
        (
            "[[apps]]\nid = \"2\"\nkey = \"k\"\nsecret = \"long-enough-secret\"",
            "t.toml:7: apps[1].key: apps[0] has the key \"k\" already; every key belongs to one app",
        ),
        (
            "keys = [{ key = \"k\", secret = \"long-enough-secret\" }]",
            "t.toml:5: apps[0].keys[0].key: apps[0] has the key \"k\" already; every key belongs to one app",
        ),
        (
            "keys = [{ key = \"a:b\", secret = \"long-enough-secret\" }]",
            "t.toml:5: apps[0].keys[0].key: \"a:b\" holds a colon, which ends a key in signatures",
        ),
        (
            "keys = [{ key = \"a/b\", secret = \"long-enough-secret\" }]",
            "t.toml:5: apps[0].keys[0].key: \"a/b\" cannot stand in a path; write at most 200 letters, digits and -._~",
        ),
        (
            "[[apps]]\nid = \"2\"\nkey = \"k2\"",
            "t.toml:5: apps[1].secret: is missing; make one with `openssl rand -hex 32`, and give it here or in a `secret_file`",
        ),
        ("[[apps]]\nid = \"2\"\nkeys = []", "t.toml:5: apps[1].keys: is empty; an app needs a `key` and a `secret`"),
        (
            "[[apps]]\nid = \"2\"\nkeys = [{ key = \"k2\", secret = \"\" }]",
            "t.toml:7: apps[1].keys[0].secret: is empty; make one with `openssl rand -hex 32`",
        ),
    ] {
        assert_eq!(wrong(&format!("{APP}{text}\n"), &[]).trim_end(), expected, "{text}");
    }
    assert_eq!(wrong("", &[]), "apps: there is no app; write [[apps]] with `id`, `key` and `secret`, or a [store] that has some\n");
}

/// No secret that everybody knows may face the world.
#[test]
fn weak_secrets_are_refused_where_others_can_reach_them() {
    for secret in ["app-secret", "secret", "changeme", "(hidden)", "1234567"] {
        let app = APP.replace("long-enough-secret", secret);
        for local in ["127.0.0.1:6001", "127.8.8.8:1", "[::1]:6001", "[::ffff:127.0.0.1]:1", "unix:/run/t.sock"] {
            let config = right(&format!("{app}[[listeners]]\naddress = \"{local}\"\n"), &[]);
            assert_eq!(config.warnings.len(), 1, "{secret}");
        }
        for public in ["0.0.0.0:6001", "[::]:6001", "192.168.1.1:6001"] {
            let problem = wrong(&format!("{app}[[listeners]]\naddress = \"127.0.0.1:7\"\n[[listeners]]\naddress = \"{public}\"\n"), &[]);
            assert!(problem.starts_with("t.toml:4: apps[0].secret: the secret ") && problem.contains(public), "{problem}");
        }
    }
    right(&format!("{APP}[[listeners]]\naddress = \"0.0.0.0:6001\"\n"), &[]);
}

#[test]
fn addresses_that_do_not_clash() {
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("[::1]:1", "0.0.0.0:1"),
        ("unix:/a", "unix:/b"),
    ] {
        right(&format!("{APP}[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n"), &[]);
    }
    for (one, other) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("unix:a", "unix:/etc/t/a"), ("localhost:1", "127.0.0.1:1")] {
        let problem = wrong(&format!("{APP}[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n"), &[]);
        assert!(problem.starts_with("t.toml:8: listeners[1].address: listeners[0] is on "), "{problem}");
    }
}

#[test]
fn all_problems_are_told_together() {
    let text =
        "[limits]\nconections = 5\nshards = 0\n[[apps]]\nid = \"1\"\nkey = \"k\"\n[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"x\"\n";
    let broken = read_with(Some(text), &[("TIDINGS__LOG__FORMAT", "xml"), ("TIDINGS__NO", "1")]).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "the configuration has 7 problems
  t.toml:4: apps[0].secret: is missing; make one with `openssl rand -hex 32`, and give it here or in a `secret_file`
  t.toml:3: limits.shards: is 0; it must be 1 to 256
  t.toml:2: limits.conections: there is no such setting; did you mean `connections`?
  TIDINGS__LOG__FORMAT: log.format: \"xml\" is not known; write \"human\" or \"json\"
  TIDINGS__NO: no: there is no such setting; known here: listeners, apps, limits, websocket, webhooks, log, drain, store, pushi
  t.toml:8: apps[1].id: apps[0] has the id \"1\" already; ids are unique
  t.toml:9: apps[1].key: apps[0] has the key \"k\" already; every key belongs to one app"
    );
}

#[test]
fn variables_stand_above_the_file() {
    let config = right(
        &format!("{APP}secret_file = \"none\"\n[limits]\nconnections = 5\n").replace("secret = \"long-enough-secret\"\n", ""),
        &[
            ("TIDINGS__LIMITS__CONNECTIONS", "7_000"),
            ("TIDINGS__LIMITS__CONNECTIONS_PER_ADDRESS_FILE", "/run/limit"),
            ("TIDINGS__LIMITS__HANDSHAKES_PER_ADDRESS", "5/min"),
            ("TIDINGS__LIMITS__HEADER_BYTES", "32 KiB"),
            ("TIDINGS__LOG__ACCESS", "true"),
            ("TIDINGS__APPS__0__SECRET", "secret-of-the-variable"),
            ("TIDINGS__APPS__0__ORIGINS", "https://a.example, https://b.example"),
            ("TIDINGS__APPS__0__LIMITS__CONNECTIONS", "9"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__URL", "https://a.example/"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__EVENTS", "[\"member_added\", \"member_removed\"]"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__HEADERS__X-OWN", "v"),
            ("TIDINGS__APPS__1__ID", "2"),
            ("TIDINGS__APPS__1__KEY", "k2"),
            ("TIDINGS__APPS__1__SECRET_FILE", "/etc/t/secret"),
            ("TIDINGS__LISTENERS", "[{ address = \"127.0.0.1:9\" }]"),
        ],
    );
    assert_eq!((config.limits.connections, config.limits.connections_per_address), (7000, 77));
    assert_eq!((config.limits.handshakes_per_address.count, config.limits.header_bytes, config.log.access), (5, 32_768, true));
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:9");
    let [one, two] = config.apps.as_slice() else { panic!("two apps") };
    assert_eq!((one.secret("k"), two.secret("k2")), (Some("secret-of-the-variable"), Some("secret-of-the-file")));
    assert_eq!(one.origins.as_ref().map(Vec::len), Some(2));
    assert_eq!((one.limits.connections, one.webhooks[0].headers.len()), (Some(9), 1));
    assert_eq!(one.webhooks[0].events.as_ref().map(Vec::len), Some(2));
}

#[test]
fn a_list_in_variables_may_be_longer_than_nine() {
    let names: Vec<_> = (0..12)
        .flat_map(|n| ["ID", "KEY", "SECRET"].map(|part| (format!("TIDINGS__APPS__{n}__{part}"), format!("long-value-{n}"))))
        .collect();
    let variables: Vec<_> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (config, _) = read_with(None, &variables).unwrap();
    assert_eq!((config.apps.len(), config.apps[10].id.as_str(), config.made), (12, "long-value-10", None));
}

#[test]
fn problems_of_variables() {
    for (name, value, expected) in [
        (
            "TIDINGS__LIMITS__CONECTIONS",
            "5",
            "TIDINGS__LIMITS__CONECTIONS: limits.conections: there is no such setting; did you mean TIDINGS__LIMITS__CONNECTIONS?",
        ),
        (
            "TIDINGS__APPS__0__CLIENT_EVENT",
            "5",
            "TIDINGS__APPS__0__CLIENT_EVENT: apps[0].client_event: there is no such setting; did you mean TIDINGS__APPS__0__CLIENT_EVENTS?",
        ),
        ("TIDINGS__LIMITS__CONNECTIONS", "many", "TIDINGS__LIMITS__CONNECTIONS: limits.connections: \"many\" is not a whole number"),
        ("TIDINGS__LOG__ACCESS", "yes", "TIDINGS__LOG__ACCESS: log.access: \"yes\" is neither true nor false"),
        ("TIDINGS__APPS__2__ID", "5", "TIDINGS__APPS__2__ID: `apps` has 1 so far, so the next index is 1"),
        ("TIDINGS__APPS__X__ID", "5", "TIDINGS__APPS__X__ID: `apps` has no settings within"),
        ("TIDINGS__LIMITS__0__ID", "5", "TIDINGS__LIMITS__0__ID: limits: expected a table, found a list"),
        ("TIDINGS__APPS__0__KEY__X", "5", "TIDINGS__APPS__0__KEY__X: `key` has no settings within"),
        ("TIDINGS__APPS__0__0__X", "5", "TIDINGS__APPS__0__0__X: is the name of no setting"),
        ("TIDINGS__", "5", "TIDINGS__: is the name of no setting"),
        ("TIDINGS__LIMITS____X", "5", "TIDINGS__LIMITS____X: is the name of no setting"),
        ("TIDINGS__0", "5", "TIDINGS__0: is the name of no setting"),
        ("TIDINGS__LIMITS", "5", "TIDINGS__LIMITS: limits: expected a table, found a text"),
        (
            "TIDINGS__CLUSTER__URL",
            "redis://",
            "TIDINGS__CLUSTER__URL: cluster: is not in this build yet; remove it: this build serves as one node",
        ),
        ("TIDINGS__APPS__0__SECRET_FILE", "/none", "TIDINGS__APPS__0__SECRET_FILE: cannot read /none: entity not found"),
    ] {
        assert_eq!(wrong(APP, &[(name, value)]).trim_end(), expected);
    }
    let twice = wrong(APP, &[("TIDINGS__APPS__0__SECRET", "long-enough-secret"), ("TIDINGS__APPS__0__SECRET_FILE", "/etc/t/secret")]);
    assert_eq!(twice, "TIDINGS__APPS__0__SECRET_FILE: \"secret\" is set by TIDINGS__APPS__0__SECRET too; keep one of them\n");
}

#[cfg(unix)]
#[test]
fn a_variable_must_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let surroundings =
        Surroundings { directory: PathBuf::new(), cores: 1, read_file: &files, make_key: &|| unreachable!("an app is given") };
    let variable = (OsString::from("TIDINGS__APPS__0__SECRET"), OsString::from_vec(vec![0xff; 20]));
    let broken = read(Some(Document { name: "t.toml", text: APP }), [variable], &surroundings).unwrap_err();
    assert_eq!(broken.problems()[0].to_string(), "TIDINGS__APPS__0__SECRET: is not UTF-8 text");
}

#[test]
fn hostile_documents_are_refused_without_a_fault() {
    for text in [
        format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}1{}", "{ b = ".repeat(10_000), " }".repeat(10_000)),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!("[{}]\nx = 1", vec!["a"; 100_000].join(".")),
        format!("[limits]\n{} = 1", "c".repeat(1_000_000)),
        format!("[limits]\nconnections = {}", "9".repeat(100_000)),
        format!("[limits]\nheader_bytes = \"{} GiB\"", "9".repeat(100_000)),
        format!("[log]\nlevel = \"{}\"", "x=".repeat(10_000)),
        (0..10_000).map(|n| format!("[unknown{n}]\n")).collect(),
        "\u{feff}\0".to_owned(),
        "[limits]\nconnections = nan".to_owned(),
        "[limits]\nconnections = 1979-05-27".to_owned(),
        "[limits]\nheader_timeout = \"18446744073709551615 d\"".to_owned(),
    ] {
        let problems = wrong(&text, &[]);
        assert!(problems.len() < 40_000, "{} bytes of problems", problems.len());
    }
    let deep = format!("TIDINGS{}", "__A".repeat(10_000));
    assert!(wrong(APP, &[(deep.as_str(), "1")]).contains("is the name of no setting"));
    let huge = format!("TIDINGS__APPS__{}__ID", "9".repeat(100));
    assert!(wrong(APP, &[(huge.as_str(), "1")]).contains("has no settings within"));
}

/// Whatever is printed, no secret is in it.
#[test]
fn no_secret_is_ever_told() {
    const NEEDLE: &str = "n33dle-in-the-hay";
    let app = format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"{NEEDLE}\"\n");
    let hook = format!("webhooks = [{{ url = \"http://127.0.0.1/?token={NEEDLE}\", headers = {{ Authorization = \"{NEEDLE}\" }} }}]\n");
    let (config, settings) = read_with(
        Some(&format!("{app}{hook}")),
        &[("TIDINGS__APPS__0__KEYS__0__KEY", "k2"), ("TIDINGS__APPS__0__KEYS__0__SECRET", NEEDLE)],
    )
    .unwrap();
    assert_eq!(config.apps[0].keys[1].secret, NEEDLE);
    assert_eq!(config.warnings.len(), 1);
    let mut texts =
        vec![effective(&settings), format!("{settings:?}"), format!("{config:?}"), format!("{:?}", difference(&right(APP, &[]), &config))];
    assert!(texts[0].contains("secret = \"(hidden)\" # t.toml:4") && texts[0].contains("Authorization = \"(hidden)\""), "{}", texts[0]);
    for text in [
        format!("secret = \"{NEEDLE}"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = {NEEDLE}\n"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = [\"{NEEDLE}\"]\n"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecrets = \"{NEEDLE}\"\n"),
        format!("{app}{app}"),
        format!("{app}secret_file = \"none\"\n"),
        format!("{app}webhooks = [{{ url = \"{NEEDLE}\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://{NEEDLE}@a/\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://a/?{NEEDLE} {NEEDLE}\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://a/\", headers = {{ Authorization = \"{NEEDLE}\\u0000\" }} }}]\n"),
        format!("{app}[cluster]\nurl = \"redis://:{NEEDLE}@localhost\"\n"),
        format!("{}[[listeners]]\naddress = \"0.0.0.0:1\"\n[log]\nlevel = 5", app.replace(NEEDLE, "n33dle")),
    ] {
        texts.push(wrong(&text, &[]));
    }
    texts.push(wrong(APP, &[("TIDINGS__APPS__0__SECRETS", NEEDLE)]));
    texts.push(wrong(APP, &[("TIDINGS__APPS__0__SECRET__X", NEEDLE)]));
    texts.push(wrong(APP, &[("TIDINGS__CLUSTER__URL", NEEDLE)]));
    for text in texts {
        assert!(!text.contains("n33dle"), "{text}");
    }
}

/// What `check` prints is itself a configuration with the same values, but for the secrets.
#[test]
fn the_values_in_effect_read_back() {
    for text in [APP.to_owned(), uncommented(EXAMPLE)] {
        let (config, settings) = read_with(Some(&text), &[]).unwrap();
        let printed = effective(&settings);
        let again = printed.replace("secret_file = \"/etc/t/secret-2\"", "secret = \"(hidden)\"");
        let (same, same_settings) = read_with(Some(&again), &[]).unwrap_or_else(|broken| panic!("{printed}\n{broken}"));
        let values = |settings: &[Setting]| {
            settings
                .iter()
                .map(|setting| (setting.path(), setting.value.clone()))
                .filter(|(path, _)| !path.contains("secret"))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&same_settings), values(&settings));
        assert_eq!((same.listeners, same.limits), (config.listeners, config.limits));
    }
    let origin = [("TIDINGS__LIMITS__CONNECTIONS", "5")];
    let (_, settings) = read_with(Some(APP), &origin).unwrap();
    assert!(effective(&settings).contains("\nconnections = 5 # TIDINGS__LIMITS__CONNECTIONS\n"));
}

/// The example with its settings switched on: what begins with `#` and no space.
fn uncommented(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    example.lines().map(line).collect()
}

#[test]
fn the_example_holds_every_setting() {
    right(EXAMPLE, &[]);
    let text = uncommented(EXAMPLE);
    let config = right(&text, &[]);
    let (_, settings) = read_with(Some(&text), &[]).unwrap();
    let given: Vec<_> = settings.iter().filter(|setting| setting.place.is_some()).map(|setting| setting.path()).collect();
    for setting in reference() {
        // Of a secret and its file only one can be given.
        let path = setting.path().replace("[]", "[0]");
        if !path.contains("secret") && path != "store.url_file" {
            assert!(
                given.iter().any(|given| *given == path || path.ends_with(".mode") || given.starts_with(&format!("{path}."))),
                "{path}"
            );
        }
    }
    // Except where the example says so, it shows the defaults.
    let plain = right(APP, &[]);
    let limits = Limits { shards: plain.limits.shards, ..config.limits.clone() };
    assert_eq!((limits, &config.webhooks, &config.log, &config.drain), (plain.limits, &plain.webhooks, &plain.log, &plain.drain));
    let app = &config.apps[0];
    let defaults = tidings_hub::Limits { connections: Some(10_000), ..tidings_hub::Limits::default() };
    assert_eq!(app.limits, defaults);
}

#[test]
fn the_manual_holds_the_reference() {
    let (_, rest) = MANUAL.split_once("<!-- reference -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of reference -->").unwrap();
    assert_eq!(table, reference_table(), "put what `tidings check --reference` prints between the two marks of configuration.md");
}

/// P-18.1 to P-18.18: the limits table of the protocol, and the settings that stand for it.
#[test]
fn the_defaults_are_those_of_the_protocol() {
    let (size, time) = (
        |bytes: u64| format!("\"{}\"", units::bytes_text(bytes)),
        |seconds| format!("\"{}\"", units::duration_text(Duration::from_secs(seconds))),
    );
    for (rule, path, default) in [
        ("P-18.1", "apps[].channel_name_max", "200".to_owned()),
        ("P-18.2", "apps[].limits.event_name_chars", "200".to_owned()),
        ("P-18.3", "apps[].limits.event_bytes", size(10_240)),
        ("P-18.4", "apps[].limits.publish_channels", "100".to_owned()),
        ("P-18.5", "apps[].limits.batch_events", "10".to_owned()),
        ("P-18.6", "apps[].limits.presence_members", "100".to_owned()),
        ("P-18.7", "apps[].limits.presence_user_id_chars", "128".to_owned()),
        ("P-18.8", "apps[].limits.presence_user_info_bytes", size(1024)),
        ("P-18.9", "apps[].limits.user_id_chars", "200".to_owned()),
        ("P-18.10", "apps[].limits.watchlist", "100".to_owned()),
        ("P-18.11", "apps[].limits.client_events_per_second", "10".to_owned()),
        ("P-18.12", "apps[].limits.timestamp_window", time(600)),
        ("P-18.13", "apps[].limits.cache_ttl", time(1800)),
        ("P-18.14", "apps[].webhook_retry", time(300)),
        ("P-18.15", "apps[].webhook_grace", time(3)),
        ("P-18.16", "apps[].limits.count_immediate", "100".to_owned()),
        ("P-18.16", "apps[].limits.count_interval", time(5)),
        ("P-18.17", "apps[].limits.message_bytes", size(65_536)),
        ("P-18.18", "apps[].limits.body_bytes", size(1 << 20)),
    ] {
        let setting = reference().iter().find(|setting| setting.path() == path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((setting.rule, &setting.default), (rule, &default), "{path}");
    }
}

#[test]
fn every_setting_is_told_once_and_in_a_sentence() {
    let mut paths: Vec<_> = reference().iter().map(Setting::path).collect();
    paths.sort();
    let all = paths.len();
    paths.dedup();
    assert_eq!((paths.len(), all > 80), (all, true));
    for setting in reference() {
        assert!(setting.about.ends_with('.') && setting.about.len() > 10, "{}", setting.path());
    }
}

/// Limits and switches of the hub that nobody can set would be settings forgotten here.
#[test]
fn every_limit_of_the_hub_is_a_setting() {
    let known: Vec<_> =
        reference().iter().filter(|setting| setting.section.starts_with("apps[]")).map(|setting| setting.name.as_str()).collect();
    let shown = format!("{:#?}", App::new("1", "k", "s"));
    let fields: Vec<_> = shown.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name).collect();
    assert!(fields.len() > 30);
    for name in fields.iter().filter(|name| !["limits", "keys", "webhooks", "pusher", "pushi"].contains(name)) {
        assert!(known.contains(name), "{name}");
    }
}

#[test]
fn warnings_name_what_is_hardly_meant() {
    let text = format!(
        "{APP}force_tls = true\nlimits = {{ connections = 10 }}\nwebhooks = [{{ url = \"http://[::1]:80/\" }}, {{ url = \"http://a.example/\" }}]\n[limits]\nconnections = 5\n"
    );
    let warnings: Vec<_> = right(&text, &[]).warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        warnings,
        [
            "t.toml:6: apps[0].limits.connections: never reached: the node takes 5",
            "t.toml:5: apps[0].force_tls: nobody can connect: no listener has `tls` or `trusted_proxies`",
            "t.toml:7: apps[0].webhooks[0].url: will not be called: allow it with `webhook_private_targets = true`",
        ]
    );
    let open = format!("[[listeners]]\naddress = \"0.0.0.0:1\"\ndialects = [\"pusher\", \"console\"]\n{APP}");
    let warnings = right(&open, &[]).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().starts_with("t.toml:3: listeners[0].dialects: whoever opens the page acts with "), "{}", warnings[0]);
    assert_eq!(right(&open.replace("0.0.0.0", "127.0.0.1"), &[]).warnings, []);
    let config = right(APP, &[]);
    assert_eq!(descriptors_warning(&config, None), None);
    assert_eq!(descriptors_warning(&config, Some(1_000_064)), None);
    let warning = descriptors_warning(&config, Some(1024)).unwrap().to_string();
    assert!(warning.starts_with("limits.connections: this process may open 1024 descriptors, 1000064 are needed"), "{warning}");
}

#[test]
fn a_reload_is_a_difference() {
    let old = right(
        &format!(
            "{APP}keys = [{{ key = \"k2\", secret = \"long-enough-secret\" }}]\n[[apps]]\nid = \"2\"\nkey = \"x\"\nsecret = \"long-enough-secret\"\n"
        ),
        &[],
    );
    assert!(difference(&old, &old).is_empty());
    let new = right(
        &format!(
            "{APP}enabled = false\nlimits = {{ connections = 5 }}\n[[apps]]\nid = \"3\"\nkey = \"k2\"\nsecret = \"long-enough-secret\"\n[limits]\nshards = 2\n[[listeners]]\naddress = \"127.0.0.1:7\"\n"
        ),
        &[],
    );
    let changes = difference(&old, &new);
    assert_eq!(changes.apps_added, [new.apps[1].clone()]);
    assert_eq!(changes.apps_removed, [AppId::new("2")]);
    assert_eq!(changes.apps_changed, [AppChange { app: new.apps[0].clone(), disabled: true, keys_gone: vec!["k2".to_owned()] }]);
    assert_eq!(changes.needs_restart, ["limits.shards", "listeners[0].address"]);
    // A new secret alone is a change: signatures are made with it from now on.
    let other = right(&APP.replace("long-enough-secret", "another-long-secret"), &[]);
    let changes = difference(&right(APP, &[]), &other);
    assert_eq!((changes.apps_changed.len(), changes.apps_changed[0].keys_gone.len()), (1, 0));
    // The order in the file means nothing.
    let (one, two) = (APP, APP.replace("\"1\"", "\"2\"").replace("\"k\"", "\"k2\""));
    assert!(difference(&right(&format!("{one}{two}"), &[]), &right(&format!("{two}{one}"), &[])).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However a file is damaged, it is read or refused, and what is refused has a reason.
    #[test]
    fn a_damaged_file_is_no_fault(at in 0usize..10_000, length in 0usize..40, with in "[ -~\n]{0,12}") {
        let text = uncommented(EXAMPLE);
        let boundary = |at: usize| (at.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let (start, end) = (boundary(at % text.len()), boundary(at % text.len() + length));
        let damaged = format!("{}{with}{}", &text[..start], &text[end..]);
        if let Err(broken) = read_with(Some(&damaged), &[]) {
            prop_assert!(!broken.problems().is_empty());
            prop_assert!(broken.problems().iter().all(|problem| !problem.text.is_empty()));
        }
    }
}
