//! `[store]` and how long events are kept, of all apps and of one.

use super::*;
use std::slice;

const DAY: Duration = Duration::from_secs(86_400);
const PUSHI: &str = "[[listeners]]\naddress = \"127.0.0.1:1\"\ndialects = [\"pushi\"]\n";

fn history(days: u32, channel_events: u64) -> History {
    History { retention: days * DAY, channel_events }
}

/// A store is there if it is written, or if somebody speaks Pushi, whose clients expect one.
#[test]
fn there_is_a_store_where_one_is_needed() {
    let standing = crate::config::store::default(Path::new("/etc/t"));
    assert_eq!(standing.url, "sqlite:/etc/t/tidings.db");
    for (text, expected) in [("", None), ("[store]\n", Some(&standing)), (PUSHI, Some(&standing))] {
        assert_eq!(right(&format!("{APP}{text}"), &[]).store.as_ref(), expected, "{text}");
    }
    assert_eq!(right("[store]\nurl = \"memory:\"\n", &[]).apps, [], "it may have some");
    let (config, _) = read_with(None, &[("TIDINGS__STORE__URL", "sqlite:t.db")]).unwrap();
    assert_eq!((config.apps.len(), config.made), (0, None));
}

#[test]
fn everything_can_be_said_of_a_store() {
    let config = right(
        &format!(
            "{APP}history = {{ retention = \"1 day\", channel_events = 0 }}\n{}[apps.history]\nretention = \"0 s\"\n\
             [store]\nurl = \"memory:\"\nsize = \"1 GiB\"\nqueue = 5\nprune_interval = \"100 ms\"\nretention = \"7 days\"\nchannel_events = 100\n",
            APP.replace("\"1\"", "\"2\"").replace("\"k\"", "\"k2\"")
        ),
        &[],
    );
    let store = config.store.unwrap();
    assert_eq!((store.url.as_str(), store.size, store.queue, store.prune_interval), ("memory:", 1 << 30, 5, Duration::from_millis(100)));
    assert_eq!(store.history, history(7, 100));
    let of = |app: &str| config.histories.get(&AppId::new(app)).copied();
    assert_eq!((of("1"), of("2"), of("3")), (Some(history(1, 0)), Some(history(0, 10_000)), None));
    assert_eq!(History::default(), history(30, 10_000));
}

/// A path in the file begins at the file, one in a variable where the server was started; a password is not for the file.
#[test]
fn the_url_may_stand_in_several_places() {
    let files_url = "[store]\nurl_file = \"/run/url\"\n";
    let read_file = |path: &Path| match path.to_str() {
        Some("/run/url") => Ok(b"postgres://u:p@h/d\n".to_vec()),
        _ => files(path),
    };
    for (text, variables, expected) in [
        ("[store]\nurl = \"sqlite:a.db\"\n", &[][..], "sqlite:/etc/t/a.db"),
        ("[store]\nurl = \"sqlite:/a.db\"\n", &[], "sqlite:/a.db"),
        ("[store]\nurl = \"sqlite:a.db\"\n", &[("TIDINGS__STORE__URL", "sqlite:b.db")], "sqlite:b.db"),
        (files_url, &[], "postgres://u:p@h/d"),
    ] {
        let surroundings =
            Surroundings { directory: "/etc/t".into(), cores: 1, read_file: &read_file, make_key: &|| unreachable!("an app is given") };
        let text = format!("{APP}{text}");
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (config, _) = read(Some(Document { name: "t.toml", text: &text }), variables, &surroundings).unwrap();
        assert_eq!(config.store.unwrap().url, expected);
    }
}

#[test]
fn problems_of_stores() {
    for (text, expected) in [
        ("[store]\nurl = \"sqlite:\"", "t.toml:6: store.url: `sqlite:` needs the path of a file, as in `sqlite:tidings.db`"),
        ("[store]\nurl = \"sqlite:x/\"", "t.toml:6: store.url: `sqlite:` needs the path of a file, not of a directory"),
        ("[store]\nurl = 5", "t.toml:6: store.url: expected a text, found a whole number"),
        (
            "[store]\nsize = \"2 PiB\"",
            "t.toml:6: store.size: \"2 PiB\" is not a size; write \"10 KiB\", \"1 MiB\", \"64 KB\" or a number of bytes",
        ),
        ("[store]\nsize = \"2_000_000 GiB\"", "t.toml:6: store.size: is 2000000 GiB; it must be \"0 B\" to \"1048576 GiB\""),
        ("[store]\nqueue = 0", "t.toml:6: store.queue: is 0; it must be 1 to 10000000"),
        ("[store]\nprune_interval = \"99 ms\"", "t.toml:6: store.prune_interval: is 99 ms; it must be \"100 ms\" to \"1 d\""),
        ("[store]\nprune_interval = \"25 h\"", "t.toml:6: store.prune_interval: is 25 h; it must be \"100 ms\" to \"1 d\""),
        (
            "[store.history]\nretention = \"1 d\"",
            "t.toml:5: store.history: there is no such setting; known here: url, url_file, retention, channel_events, size, queue, prune_interval",
        ),
        ("[store]\nretention = \"36601 d\"", "t.toml:6: store.retention: is 36601 d; it must be \"0 s\" to \"36600 d\""),
        ("[store]\nretention = 30", "t.toml:6: store.retention: 30 has no unit; write \"30 s\" or another unit"),
        ("[store]\nchannel_events = -1", "t.toml:6: store.channel_events: is -1; it must be 0 to 1000000000"),
        (
            "[store]\nevents = 1",
            "t.toml:6: store.events: there is no such setting here; it belongs to [[apps.recent]] or [[apps.webhooks]] or [recent]",
        ),
        ("[[store]]", "t.toml:5: store: expected a table, found a list"),
        (
            "[apps.history]\nchannel_events = 1_000_000_001",
            "t.toml:6: apps[0].history.channel_events: is 1000000001; it must be 0 to 1000000000",
        ),
        ("history = \"30 d\"", "t.toml:5: apps[0].history: expected a table, found a text"),
    ] {
        assert_eq!(wrong(&format!("{APP}{text}\n"), &[]).trim_end(), expected, "{text}");
    }
}

/// Passwords stand in URLs; whatever is printed, they are not in it.
#[test]
fn no_password_of_a_store_is_ever_told() {
    const NEEDLE: &str = "n33dle";
    let text = |url: &str| format!("{APP}[store]\nurl = \"{url}\"\n");
    for url in [
        &*format!("postgres://u:{NEEDLE}@h/d"),
        &format!("postgresql://u@h/d?password={NEEDLE}&sslmode=require"),
        &format!("postgres://u:{NEEDLE}@one@h/d"),
    ] {
        let (config, settings) = read_with(Some(&text(url)), &[]).unwrap();
        assert_eq!(config.store.as_ref().unwrap().url, url);
        for told in [effective(&settings), format!("{settings:?}"), format!("{config:?}"), format!("{:?}", config.store)] {
            assert!(told.contains("postgres") && told.contains("h/d") && !told.contains(NEEDLE), "{told}");
        }
    }
    for (text, variables) in [
        (text(&format!("mysql://u:{NEEDLE}@h/d")), &[][..]),
        (text(&format!("postgres://u:{NEEDLE}@h:port/d")), &[]),
        (text(&format!("postgres://u:{NEEDLE}@h/d?{NEEDLE}=1")), &[]),
        (APP.to_owned(), slice::from_ref(&("TIDINGS__STORE__URL", "mysql://u:n33dle@h/d"))),
    ] {
        let told = wrong(&text, variables);
        assert!(told.contains("store.url: ") && !told.contains(NEEDLE), "{told}");
    }
}
