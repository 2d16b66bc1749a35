//! `[[pushi]]`, for one app or for all, and what else an app that speaks Pushi has.

use super::*;
use tidings_dialect::pushi::settings::{ClientEvents, OnError, Settings};
use tidings_hub::Dialects;

const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:1\"\ndialects = [\"pusher\", \"pushi\"]\n";

fn key(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn app(id: &str, key: &str, more: &str) -> String {
    format!("[[apps]]\nid = \"{id}\"\nkey = \"{key}\"\nsecret = \"long-enough-secret\"\n{more}\n")
}

/// I-6.2: an app's own section counts, whole, then the one for all, then Pushi's own ways.
#[test]
fn a_section_is_for_one_app_or_for_all() {
    let one = AppId::new("1");
    let other = AppId::new("2");
    for (sections, of_one, of_other) in [
        ("", (false, 500), (false, 500)),
        ("[[pushi]]\nlatest_max = 5\n", (false, 5), (false, 5)),
        ("[[pushi]]\napp = \"1\"\nopen_health = true\n", (true, 500), (false, 500)),
        ("[[pushi]]\nlatest_max = 5\n[[pushi]]\napp = \"1\"\nopen_health = true\n", (true, 500), (false, 5)),
        ("[[pushi]]\napp = \"2\"\nlatest_max = 6\n[[pushi]]\napp = \"1\"\nlatest_max = 7\n", (false, 7), (false, 6)),
        // The store may have it, now or later.
        ("[[pushi]]\napp = \"nobody\"\nlatest_max = 5\n", (false, 500), (false, 500)),
    ] {
        let config = right(&format!("{APP}{sections}"), &[]);
        let of = |app| (config.pushi_of(app).open_health, config.pushi_of(app).session.latest_max);
        assert_eq!((of(&one), of(&other)), (of_one, of_other), "{sections}");
    }
}

/// I-1.11, I-1.13, I-1.14, I-2.13, I-3.7, I-4.4, I-4.5, I-4.8, I-4.10, I-4.11, I-4.53, I-4.61, I-8.5
#[test]
fn everything_can_be_said_of_pushi() {
    let config = right(
        &format!(
            "{APP}{}",
            r#"
            [[pushi]]
            app = "1"
            open_apps = true
            open_health = true
            legacy_app_key = true
            cors_origins = ["https://a.example", "null"]
            session_lifetime = "1 h"
            failed_logins = "3/min"
            body_bytes = "1 KiB"
            on_error = "close"
            client_events = "off"
            require_signed_channel_data = false
            message_bytes = "2 KiB"
            event_bytes = 1
            channel_name_bytes = 2
            subscriptions = 3
            channel_data_bytes = 4
            client_events_per_second = 0
            latest_max = 5
            ping_interval = "30 s"
            "#
        ),
        &[],
    );
    let session = Settings {
        on_error: OnError::Close,
        client_events: Some(ClientEvents::Off),
        require_signed_channel_data: Some(false),
        message_bytes: 2048,
        event_bytes: 1,
        channel_name_bytes: 2,
        subscriptions: 3,
        channel_data_bytes: 4,
        client_events_per_second: 0,
        latest_max: 5,
        ping_interval: Some(Duration::from_secs(30)),
    };
    let expected = Pushi {
        app: Some(AppId::new("1")),
        session: session.into(),
        open_apps: true,
        open_health: true,
        legacy_app_key: true,
        cors_origins: vec!["https://a.example".to_owned(), "null".to_owned()],
        session_lifetime: Duration::from_secs(3600),
        failed_logins: Rate { count: 3, per: Duration::from_secs(60) },
        body_bytes: 1024,
    };
    assert_eq!(config.pushi, [expected]);
    assert_eq!(right(&format!("{APP}[[pushi]]\n"), &[]).pushi, [Pushi::default()]);
}

#[test]
fn problems_of_pushi() {
    for (text, expected) in [
        ("[pushi]\nopen_apps = true", "t.toml:5: pushi: write [[pushi]]: there may be several"),
        ("[[pushi]]\napp = \"1\"\n[[pushi]]\napp = \"1\"", "t.toml:8: pushi[1].app: there is a section for the app 1 already"),
        ("[[pushi]]\napp = \"\"", "t.toml:6: pushi[0].app: is empty"),
        ("[[pushi]]\nopen_app = true", "t.toml:6: pushi[0].open_app: there is no such setting; did you mean `open_apps`?"),
        ("[[pushi]]\nopen_apps = 1", "t.toml:6: pushi[0].open_apps: expected true or false, found a whole number"),
        ("[[pushi]]\non_error = \"ignore\"", "t.toml:6: pushi[0].on_error: \"ignore\" is not known; write \"error\" or \"close\""),
        ("[[pushi]]\nmessage_bytes = 1023", "t.toml:6: pushi[0].message_bytes: is 1023 B; it must be \"1 KiB\" to \"64 MiB\""),
        ("[[pushi]]\nevent_bytes = 0", "t.toml:6: pushi[0].event_bytes: is 0 B; it must be \"1 B\" to \"64 MiB\""),
        ("[[pushi]]\nchannel_name_bytes = 1025", "t.toml:6: pushi[0].channel_name_bytes: is 1025; it must be 1 to 1024"),
        ("[[pushi]]\nsubscriptions = 0", "t.toml:6: pushi[0].subscriptions: is 0; it must be 1 to 1000000"),
        ("[[pushi]]\nchannel_data_bytes = \"2 MiB\"", "t.toml:6: pushi[0].channel_data_bytes: is 2 MiB; it must be \"1 B\" to \"1 MiB\""),
        ("[[pushi]]\nclient_events_per_second = -1", "t.toml:6: pushi[0].client_events_per_second: is -1; it must be 0 to 1000000"),
        ("[[pushi]]\nlatest_max = 10_001", "t.toml:6: pushi[0].latest_max: is 10001; it must be 1 to 10000"),
        ("[[pushi]]\nping_interval = \"999 ms\"", "t.toml:6: pushi[0].ping_interval: is 999 ms; it must be \"1 s\" to \"1 d\""),
        ("[[pushi]]\nsession_lifetime = \"59 s\"", "t.toml:6: pushi[0].session_lifetime: is 59 s; it must be \"1 min\" to \"3660 d\""),
        ("[[pushi]]\nbody_bytes = \"65 MiB\"", "t.toml:6: pushi[0].body_bytes: is 65 MiB; it must be \"1 KiB\" to \"64 MiB\""),
        (
            "[[pushi]]\nfailed_logins = \"often\"",
            "t.toml:6: pushi[0].failed_logins: \"often\" is not a rate; write \"100/s\", \"30/min\" or \"5000/h\"",
        ),
        (
            "[[pushi]]\ncors_origins = [\"*\"]",
            "t.toml:6: pushi[0].cors_origins: \"*\" is no origin; write \"https://example.com\", in lower case, without a path",
        ),
        (
            "[[pushi]]\nallow_private_targets = true",
            "t.toml:6: pushi[0].allow_private_targets: is not in this build yet; remove it: nothing is delivered to devices",
        ),
        (
            "dialects = []",
            "t.toml:5: apps[0].dialects: is empty; write [\"pusher\"], [\"pushi\"] or both, or leave it out for all that listeners speak",
        ),
        ("dialects = \"pushi\"", "t.toml:5: apps[0].dialects: expected a list of texts, found a text"),
        ("name = \"\"", "t.toml:5: apps[0].name: is empty"),
    ] {
        assert_eq!(wrong(&format!("{APP}{text}\n"), &[]).trim_end(), expected, "{text}");
    }
}

/// An app is spoken to in what it lists, or in all that listeners speak; I-4.15: its name is what it says, or its id.
#[test]
fn an_app_has_dialects_and_a_name() {
    let pushi = "[[listeners]]\ndialects = [\"pushi-api\"]\naddress = \"127.0.0.1:1\"\n[[listeners]]\ndialects = [\"pushi\"]\naddress = \"127.0.0.1:2\"\n";
    for (listeners, more, pusher, pushi, name) in [
        ("", "", true, false, "1"),
        (LISTENERS, "", true, true, "1"),
        (pushi, "", false, true, "1"),
        (LISTENERS, "dialects = [\"pushi\"]\nname = \"The shop\"\n", false, true, "The shop"),
        (LISTENERS, "dialects = [\"pushi\", \"pusher\"]\n", true, true, "1"),
    ] {
        let config = right(&format!("{listeners}{}", app("1", &key('a'), more)), &[]);
        assert_eq!(
            (config.apps[0].dialects, config.apps[0].name.as_str()),
            (Dialects { pusher, pushi, sse: listeners.is_empty(), ..Dialects::default() }, name),
            "{listeners}{more}"
        );
    }
}

/// I-0.4: Pushi's clients are told from others by the length of the key, so an app without such a key has none of them.
#[test]
fn an_app_that_pushis_clients_cannot_reach_is_warned_of() {
    const WARNING: &str = "Pushi's clients connect with keys of 64 characters, and this app has none; make one with `openssl rand -hex 32`";
    let long = key('a');
    let second = format!("keys = [{{ key = \"{long}\", secret = \"long-enough-secret\" }}]");
    for (listeners, apps, at) in [
        (LISTENERS, app("1", "k", ""), &["t.toml:6: apps[0].key: "][..]),
        (
            LISTENERS,
            app("1", &long[1..], "") + &app("2", &(long.clone() + "a"), ""),
            &["t.toml:6: apps[0].key: ", "t.toml:11: apps[1].key: "],
        ),
        (LISTENERS, app("1", &long, "") + &app("2", "k", ""), &["t.toml:11: apps[1].key: "]),
        (LISTENERS, app("1", "k", &second), &[]),
        (LISTENERS, app("1", "k", "dialects = [\"pusher\"]"), &[]),
        ("", app("1", "k", ""), &[]),
    ] {
        let config = right(&format!("{listeners}{apps}"), &[]);
        let warnings: Vec<_> = config.warnings.iter().map(Problem::to_string).collect();
        assert_eq!(warnings, at.iter().map(|at| format!("{at}{WARNING}")).collect::<Vec<_>>(), "{apps}");
    }
}
