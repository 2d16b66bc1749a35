//! What is refused, in which words, however broken it is.

use super::*;
use proptest::prelude::*;

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
            "[[listeners]]\ndialects = [\"wspush:news\"]",
            "t.toml:2: listeners[0].dialects: \"wspush:news\" needs a [[wspush]] section of that name",
        ),
        (
            "[[listeners]]\ndialects = [\"puser\"]",
            "t.toml:2: listeners[0].dialects: there is no dialect \"puser\"; known are pusher, sse, pushi, pushi-api, console, metrics, pushy, pushy:NAME, wspush, wspush:NAME, wspush-statistics",
        ),
        ("[[listeners]]\ndialects = [\"pusher\", \"pusher\"]", "t.toml:2: listeners[0].dialects: \"pusher\" stands there twice"),
        (
            "[[listeners]]\ndialects = [\"pusher\", \"metrics\"]",
            "t.toml:2: listeners[0].dialects: \"metrics\" needs a listener of its own, so that the world need not see it",
        ),
        (
            "[[listeners]]\ndialects = [\"console\"]",
            "listeners: nobody could connect: no listener has \"pusher\", \"sse\", \"pushi\", \"pushy\" or \"wspush\" among its `dialects`",
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
        (
            "dialects = [\"console\"]",
            "t.toml:5: apps[0].dialects: \"console\" is no dialect of an app; known are \"pusher\", \"sse\", \"pushi\", \"pushy\" and \"wspush\"",
        ),
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
        (
            "recent = [{ channels = \"a\" }, { channels = \"b\", stored = true }]",
            "t.toml:5: apps[0].recent[1].stored: there is no store to keep events in; write a [store], or leave it false",
        ),
    ] {
        assert_eq!(wrong(&format!("{APP}{text}\n"), &[]).trim_end(), expected, "{text}");
    }
    assert_eq!(wrong("", &[]), "apps: there is no app; write [[apps]] with `id`, `key` and `secret`, or a [store] that has some\n");
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
  TIDINGS__NO: no: there is no such setting; known here: listeners, apps, limits, websocket, webhooks, log, drain, store, sse, recent, pushi, pushy, wspush
  t.toml:8: apps[1].id: apps[0] has the id \"1\" already; ids are unique
  t.toml:9: apps[1].key: apps[0] has the key \"k\" already; every key belongs to one app"
    );
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
