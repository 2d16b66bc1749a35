//! Relays from Redis: what can be said of one, and what is wrong or hardly meant with several.

use super::*;
use bytes::Bytes;
use std::sync::Arc;
use tidings_dialect::wspush::settings::{Frames, Key as TokenKey, Keys, Settings, Slow};
use tidings_hub::Dialects;

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:1\"\ndialects = [\"wspush\"]\n";
/// `super secret key` as flags have it.
const KEY: &str = "c3VwZXIgc2VjcmV0IGtleQ";

fn with(more: &str) -> String {
    format!("{LISTENER}{APP}[[wspush]]\napp = \"1\"\n{more}\n")
}

/// W-1.1, W-4.1, W-7.2, W-8.1: the defaults are those of the original, where it has any.
#[test]
fn a_relay_needs_an_app_and_no_more() {
    let config = right(&with(""), &[]);
    let [relay] = &config.wspush[..] else { panic!("{:?}", config.wspush) };
    assert_eq!((relay.name.as_str(), relay.prefix.as_str(), relay.message_bytes), ("", "example.", 1 << 20));
    assert_eq!((relay.app.as_str(), relay.redis.server.address().as_str()), ("1", "localhost:6379"));
    assert_eq!(relay.session, Settings::default());
    assert_eq!(config.apps[0].dialects, Dialects { wspush: true, ..Dialects::default() });
    assert!(config.listeners[0].speaks_wspush() && config.warnings.is_empty(), "{:?}", config.warnings);
}

/// W-2.8, W-3.3, W-3.7, W-4.1, W-4.3, W-5.6, W-6.3, W-7.2, W-8.1
#[test]
fn everything_can_be_said_of_a_relay() {
    let text = format!(
        "{APP}{}",
        r#"
        [[listeners]]
        address = "127.0.0.1:1"
        dialects = ["pusher", "wspush:news"]

        [[listeners]]
        address = "127.0.0.1:2"
        dialects = ["wspush-statistics:news"]

        [[wspush]]
        name = "news"
        app = "1"
        redis = "rediss://u:needle@r.example:1/2"
        prefix = ""
        message_bytes = "1 KiB"
        hmac_key = "c3VwZXIgc2VjcmV0IGtleQ"
        hmac_sha256_key_file = "/etc/t/wspush-key"
        apart = true
        connections_per_token = 1
        queue = 2
        queue_bytes = "3 KiB"
        slow = "drop-oldest"
        ping = "{}"
        ping_interval = "1 s"
        ws_frames = "binary"
        origins = ["https://a.example"]
        compat = true
        "#
    );
    let (config, settings) = read_with(Some(&text), &[]).unwrap();
    let [relay] = &config.wspush[..] else { panic!("{:?}", config.wspush) };
    let keys = Keys { md5: TokenKey::parse(KEY).ok(), sha256: TokenKey::parse("b3RoZXI").ok() };
    assert!(keys.md5.is_some() && keys.sha256.is_some());
    let session = Settings {
        relay: Arc::from("news"),
        keys,
        apart: true,
        connections_per_token: 1,
        queue_messages: 2,
        queue_bytes: 3072,
        slow: Slow::DropOldest,
        ping: Some(Bytes::from_static(b"{}")),
        ping_interval: Duration::from_secs(1),
        frames: Frames::Binary,
        origins: Some(vec!["https://a.example".to_owned()]),
        compat: true,
    };
    assert_eq!((&relay.session, relay.prefix.as_str(), relay.message_bytes), (&session, "", 1024));
    assert_eq!((relay.dialect().to_string(), relay.statistics().to_string()), ("wspush:news".into(), "wspush-statistics:news".into()));
    assert!(config.listeners[0].dialects.contains(&relay.dialect()) && config.listeners[1].dialects.contains(&relay.statistics()));
    assert!(config.apps[0].dialects.wspush && config.warnings.is_empty());
    let told = format!("{}{config:?}", effective(&settings));
    for secret in ["needle", KEY, "super secret", "b3RoZXI"] {
        assert!(!told.contains(secret), "{told}");
    }
    let variables = [("TIDINGS__WSPUSH__0__PREFIX", "x."), ("TIDINGS__WSPUSH__0__SLOW", "drop"), ("TIDINGS__WSPUSH__0__HMAC_KEY", KEY)];
    let config = right(&with(""), &variables);
    assert_eq!((config.wspush[0].prefix.as_str(), config.wspush[0].session.slow), ("x.", Slow::Drop));
    assert_eq!(config.wspush[0].session.keys.md5, session.keys.md5);
}

/// An app is spoken to by its relays, unless it says otherwise.
#[test]
fn an_app_has_the_dialect_of_its_relay() {
    let second = "[[apps]]\nid = \"2\"\nkey = \"k2\"\nsecret = \"long-enough-secret\"\n";
    let config = right(&format!("{}{second}", with("")), &[]);
    assert_eq!([0, 1].map(|at| config.apps[at].dialects.wspush), [true, false]);
    let config = right(&with("").replace("[[wspush]]", "dialects = [\"pusher\"]\n[[wspush]]"), &[]);
    assert_eq!(config.apps[0].dialects, Dialects { pusher: true, ..Dialects::default() });
}

#[test]
fn problems_of_relays() {
    for (text, expected) in [
        (with("[[wspush]]\napp = \"1\""), "t.toml:10: wspush[1].name: there is a section of this name already; give each its own"),
        (with("").replace("app = \"1\"", "app = \"2\""), "t.toml:9: wspush[0].app: there is no app 2"),
        (with("").replace("app = \"1\"", "app = \"\""), "t.toml:9: wspush[0].app: is empty"),
        (with("").replace("app = \"1\"\n", ""), "t.toml:8: wspush[0].app: is missing; name the id of the app"),
        (with("name = \"a b\""), "t.toml:10: wspush[0].name: \"a b\" is no name; use letters, digits and -_."),
        (with(&format!("name = \"{}\"", "a".repeat(101))), "t.toml:10: wspush[0].name: is longer than 100 characters"),
        (with(&format!("prefix = \"{}\"", "a".repeat(1025))), "t.toml:10: wspush[0].prefix: is longer than 1024 bytes"),
        (
            with("hmac_key = \"geheim!\""),
            "t.toml:10: wspush[0].hmac_key: is no key: write it in base64 with the alphabet of URLs (A-Z a-z 0-9 - _) and without padding",
        ),
        (
            with("hmac_sha256_key = \"\""),
            "t.toml:10: wspush[0].hmac_sha256_key: is empty; make a key with `openssl rand -base64 32 | tr '+/' '-_' | tr -d '='`",
        ),
        (
            with("hmac_key = \"YQ\"\nhmac_key_file = \"/etc/t/wspush-key\""),
            "t.toml:10: wspush[0].hmac_key: is given twice: keep `hmac_key` or `hmac_key_file`",
        ),
        (with("hmac_key_file = \"none\""), "t.toml:10: wspush[0].hmac_key_file: cannot read /etc/t/none: entity not found"),
        (with("ping = \"\""), "t.toml:10: wspush[0].ping: is empty"),
        (with("ping_interval = \"99 ms\""), "t.toml:10: wspush[0].ping_interval: is 99 ms; it must be \"100 ms\" to \"1 d\""),
        (with("queue = 0"), "t.toml:10: wspush[0].queue: is 0; it must be 1 to 1000000"),
        (with("connections_per_token = 0"), "t.toml:10: wspush[0].connections_per_token: is 0; it must be 1 to 1000000"),
        (with("slow = \"wait\""), "t.toml:10: wspush[0].slow: \"wait\" is not known; write \"close\" or \"drop\" or \"drop-oldest\""),
        (with("ws_frames = \"json\""), "t.toml:10: wspush[0].ws_frames: \"json\" is not known; write \"text\" or \"binary\""),
        (
            with("origins = [\"*\"]"),
            "t.toml:10: wspush[0].origins: \"*\" is no origin; write \"https://example.com\", in lower case, without a path",
        ),
        (format!("{LISTENER}{APP}"), "t.toml:3: listeners[0].dialects: \"wspush\" needs a [[wspush]] section of that name"),
        (
            with("").replace("[\"wspush\"]", "[\"wspush\", \"wspush-statistics:news\"]"),
            "t.toml:3: listeners[0].dialects: \"wspush-statistics:news\" needs a [[wspush]] section of that name",
        ),
        (
            with("[[wspush]]\nname = \"b\"\napp = \"1\"").replace("[\"wspush\"]", "[\"wspush\", \"wspush:b\"]"),
            "t.toml:3: listeners[0].dialects: a listener serves one relay, as all its paths are the relay's; give the other a listener of its own",
        ),
        (
            with("[[wspush]]\nname = \"b\"\napp = \"1\"")
                .replace("[\"wspush\"]", "[\"wspush\", \"wspush-statistics\", \"wspush-statistics:b\"]"),
            "t.toml:3: listeners[0].dialects: a listener tells the statistics of one relay; give the other a listener of its own",
        ),
        (with("").replace("[\"wspush\"]", "[\"wspush\", \"wspush\"]"), "t.toml:3: listeners[0].dialects: \"wspush\" stands there twice"),
        (
            with("").replace("[\"wspush\"]", "[\"wspush-statistics\"]"),
            "listeners: nobody could connect: no listener has \"pusher\", \"sse\", \"pushi\", \"pushy\" or \"wspush\" among its `dialects`",
        ),
    ] {
        assert_eq!(wrong(&text, &[]).trim_end(), expected, "{text}");
    }
}

/// W-9.4, and what else is hardly meant.
#[test]
fn questionable_relays_are_warned_of() {
    let other = |more: &str| {
        format!("[[listeners]]\naddress = \"127.0.0.1:2\"\ndialects = [\"wspush:b\"]\n[[wspush]]\nname = \"b\"\napp = \"1\"\n{more}")
    };
    let open = |dialects: &str| with("").replace("127.0.0.1", "0.0.0.0").replace("[\"wspush\"]", dialects);
    let twice = "t.toml:13: wspush[1].prefix: wspush[0] brings the same messages to the same channels, where each comes twice";
    let seen = "t.toml:3: listeners[0].dialects: the statistics are for all to see who can connect here; give them a listener of their own on this machine";
    for (text, expected) in [
        (
            with("[[wspush]]\nname = \"b\"\napp = \"1\"\nprefix = \"b.\""),
            Some("t.toml:12: wspush[1].app: nobody can connect: no listener has \"wspush:b\" among its `dialects`"),
        ),
        (with(&other("")), Some(twice)),
        (with(&other("apart = true")), None),
        (with(&other("prefix = \"b.\"")), None),
        (with(&other("redis = \"other:6379\"")), None),
        (with(&other("hmac_key = \"YQ\"")), None),
        (open("[\"wspush\", \"wspush-statistics\"]"), Some(seen)),
        (with("").replace("[\"wspush\"]", "[\"wspush\", \"wspush-statistics\"]"), None),
        (format!("{}[[listeners]]\naddress = \"0.0.0.0:2\"\ndialects = [\"wspush-statistics\"]", with("")), None),
    ] {
        let warnings: Vec<_> = right(&text, &[]).warnings.iter().map(Problem::to_string).collect();
        assert_eq!(warnings, Vec::from_iter(expected), "{text}");
    }
}

/// Keys and passwords do not show, and yet it is told when they change.
#[test]
fn a_new_secret_waits_for_the_next_start() {
    let of = |more: &str| right(&with(more), &[]);
    for (before, after, expected) in [
        ("hmac_key = \"YQ\"", "hmac_key = \"Yg\"", &["wspush[0].hmac_key"][..]),
        ("hmac_sha256_key = \"YQ\"", "hmac_sha256_key = \"Yg\"", &["wspush[0].hmac_sha256_key"]),
        ("redis = \"redis://u:p@h\"", "redis = \"redis://u:q@h\"", &["wspush[0].redis"]),
        ("prefix = \"a\"", "prefix = \"b\"", &["wspush[0].prefix"]),
        ("hmac_key = \"YQ\"", "hmac_key = \"YQ\"", &[]),
    ] {
        assert_eq!(difference(&of(before), &of(after)).needs_restart, expected);
    }
}
