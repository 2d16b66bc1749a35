//! wspush's flags as a configuration (W-1), so that `tidings wspush` can take its place. They are read as Go's programs read flags: with one
//! dash or two, the value behind the flag or behind `=`.

use super::DropIn;
use crate::config::Broken;
use crate::config::problem::{Problem, Problems, quoted};
use crate::config::reader::text_toml;
use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;
use tidings_hub::Key;

/// The id of the relay's app, which nobody but its clients speaks to.
const APP: &str = "wspush";
/// What stands in place of a key (W-9.2).
const HIDDEN: &str = "***";

/// What a flag's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// A text that is never shown.
    Key,
    Number,
    Duration,
    /// A switch, which may stand alone.
    Switch,
}

/// What is known of a flag.
struct Flag {
    name: &'static str,
    kind: Kind,
    default: &'static str,
    /// What is taken if it is not given (W-1.2).
    variable: Option<&'static str>,
    about: &'static str,
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind, default, variable: None, about }
}

/// Those of the original (W-1.1), and ours (W-1.5).
const FLAGS: [Flag; 15] = [
    flag("addr", Kind::Text, "localhost:8080", "address to serve clients on"),
    flag("compat", Kind::Switch, "", "refuse clients as the original does"),
    flag("expvar", Kind::Text, "", "address to tell statistics on; none if empty"),
    Flag {
        variable: Some("WSPUSH_KEY"),
        ..flag("hmac", Kind::Key, "", "key whose HMAC-MD5 signs tokens, in base64 with the alphabet of URLs and without padding")
    },
    flag("hmac-sha256", Kind::Key, "", "key whose HMAC-SHA-256 signs tokens; of two keys either may sign"),
    flag("max-per-token", Kind::Number, "15", "connections that one token may have"),
    flag("origins", Kind::Text, "", "origins whose pages may connect, with commas between; all if empty"),
    Flag { variable: Some("WSPUSH_PING"), ..flag("ping", Kind::Text, "", "what a heartbeat says; if empty, it is no message") },
    flag("ping-interval", Kind::Duration, "45s", "time between two heartbeats"),
    flag("prefix", Kind::Text, "example.", "what the names of Redis channels begin with; a token follows"),
    flag("print-config", Kind::Switch, "", "print the configuration that all this amounts to, and do nothing"),
    flag("queue", Kind::Number, "256", "messages that may wait for one client"),
    flag("redis", Kind::Text, "localhost:6379", "address of Redis, or redis://user:password@host:port/database; rediss:// for TLS"),
    flag("slow", Kind::Text, "close", "what becomes of a client for which more would wait: close, drop or drop-oldest"),
    flag("ws-frames", Kind::Text, "text", "WebSocket frames that messages travel in: text, where they are text, or binary"),
];

/// Flags and the relay's settings that they are.
const SETTINGS: [(&str, &str); 12] = [
    ("redis", "redis"),
    ("prefix", "prefix"),
    ("hmac", "hmac_key"),
    ("hmac-sha256", "hmac_sha256_key"),
    ("max-per-token", "connections_per_token"),
    ("queue", "queue"),
    ("slow", "slow"),
    ("ping", "ping"),
    ("ping-interval", "ping_interval"),
    ("ws-frames", "ws_frames"),
    ("origins", "origins"),
    ("compat", "compat"),
];
/// Flags that say nothing if their value is empty.
const OFF_IF_EMPTY: [&str; 4] = ["hmac", "hmac-sha256", "ping", "origins"];

/// Flags as they were given, and variables in place of some that were not.
pub struct Flags {
    /// What flag it is, its value, and how it was given.
    given: Vec<(&'static Flag, String, String)>,
}

/// Why there is nothing to serve.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// Somebody wants to know the flags, and this tells them.
    Help(String),
    /// They are not understood; this says why, and what they are.
    Wrong(String),
}

/// So that no key shows.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.given.iter().map(|(flag, ..)| flag.name)).finish()
    }
}

impl Flags {
    /// Reads flags, the program's own name not among them.
    pub(in crate::config) fn parse(arguments: &[String], variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Unread> {
        let wrong = |why: String| Unread::Wrong(format!("{why}\n{}", usage(variable)));
        let mut given = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).unwrap_or_default();
            if name.is_empty() || name.starts_with(['-', '=']) {
                return Err(wrong(format!("{} is no flag", quoted(argument))));
            }
            let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_owned())));
            let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
                return Err(if ["h", "help"].contains(&name) {
                    Unread::Help(usage(variable))
                } else {
                    wrong(format!("there is no flag {}", quoted(&format!("-{name}"))))
                });
            };
            let value = match (value, flag.kind) {
                (Some(value), _) => value,
                (None, Kind::Switch) => "true".to_owned(),
                (None, _) => rest.next().cloned().ok_or_else(|| wrong(format!("-{name} needs a value")))?,
            };
            let read = flag.kind.read(&value).map_err(|what| wrong(format!("-{name}: {} is no {what}", quoted(&value))))?;
            given.push((flag, read, format!("-{name}")));
        }
        for flag in &FLAGS {
            let standing = flag.variable.and_then(|name| Some((variable(name)?, name)));
            if let (Some((value, name)), true) = (standing, given.iter().all(|(given, ..)| given.name != flag.name)) {
                given.push((flag, value, name.to_owned()));
            }
        }
        Ok(Self { given })
    }

    /// Whether the configuration is to be printed.
    #[must_use]
    pub fn print_config(&self) -> bool {
        self.is_on("print-config")
    }

    fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some_and(|(value, _)| value == "true")
    }

    /// The last value of a flag, if it has one, and how it was given.
    fn given(&self, name: &str) -> Option<(&str, &str)> {
        let found = self.given.iter().rfind(|(flag, ..)| flag.name == name);
        found.map(|(_, value, how)| (value.as_str(), how.as_str()))
    }

    /// The value of a flag, and how it was given.
    fn value(&self, name: &str) -> (&str, String) {
        let default = || FLAGS.iter().find(|flag| flag.name == name).map_or("", |flag| flag.default);
        self.given(name).map_or_else(|| (default(), format!("-{name}")), |(value, how)| (value, how.to_owned()))
    }
}

impl Kind {
    /// The value as it stands in the document, or what it should be.
    fn read(self, value: &str) -> Result<String, &'static str> {
        match self {
            Self::Text | Self::Key => Ok(value.to_owned()),
            Self::Number => value.parse::<u32>().map(|number| number.to_string()).map_err(|_| "number"),
            Self::Duration => duration(value).map(|time| format!("{} ms", time.as_millis())).ok_or("duration such as 45s or 1m30s"),
            Self::Switch => match value {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
                _ => Err("true or false"),
            },
        }
    }

    /// What the usage calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Text | Self::Key => " string",
            Self::Number => " int",
            Self::Duration => " duration",
            Self::Switch => "",
        }
    }
}

/// Reads a duration as Go writes it: numbers with units, such as `1h30m` or `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    match rest {
        "" => return None,
        "0" => return Some(Duration::ZERO),
        _ => {}
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// What the flags are, with their defaults; keys among them do not show.
fn usage(variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = "Usage of tidings wspush:\n".to_owned();
    for Flag { name, kind, default, variable: named, about } in &FLAGS {
        let standing = named.and_then(variable).unwrap_or_else(|| (*default).to_owned());
        let standing = match kind {
            _ if standing.is_empty() => String::new(),
            Kind::Key => format!(" (default {HIDDEN})"),
            Kind::Text => format!(" (default {standing:?})"),
            Kind::Number | Kind::Duration | Kind::Switch => format!(" (default {standing})"),
        };
        let _ = writeln!(text, "  -{name}{}\n    \t{about}{standing}", kind.word());
    }
    text
}

/// The configuration that flags amount to, with an app that has this key.
///
/// # Errors
/// [`Broken`] with every address that cannot be right.
pub(in crate::config) fn document(flags: &Flags, key: &Key) -> Result<DropIn, Broken> {
    let mut problems = Problems::default();
    let mut given_as = Vec::new();
    let mut text = String::from("# What the flags of wspush amount to.\n");
    for (name, dialect) in [("addr", "wspush"), ("expvar", "wspush-statistics")] {
        let (value, how) = flags.value(name);
        if name == "expvar" && value.is_empty() {
            continue;
        }
        match address(value) {
            Ok(address) => {
                let _ = writeln!(text, "\n[[listeners]]\naddress = {}\ndialects = [\"{dialect}\"]", text_toml(&address));
            }
            Err(why) => problems.add(Problem { path: String::new(), place: Some(how.clone()), text: why }),
        }
        given_as.push((format!("listeners[{}].address", given_as.len()), how));
    }
    let Key { key, secret } = key;
    let _ = write!(text, "\n[[apps]]\nid = \"{APP}\"\nkey = {}\nsecret = {}\n", text_toml(key), text_toml(secret));
    let _ = write!(text, "\n[[wspush]]\napp = \"{APP}\"\n");
    for (name, setting) in SETTINGS {
        given_as.push((format!("wspush[0].{setting}"), flags.value(name).1));
        let Some((value, _)) = flags.given(name) else { continue };
        if value.is_empty() && OFF_IF_EMPTY.contains(&name) {
            continue;
        }
        let value = match name {
            "max-per-token" | "queue" | "compat" => value.to_owned(),
            "origins" => {
                let origins: Vec<_> = value.split(',').map(|origin| text_toml(origin.trim())).collect();
                format!("[{}]", origins.join(", "))
            }
            _ => text_toml(value),
        };
        let _ = writeln!(text, "{setting} = {value}");
    }
    if problems.is_empty() {
        Ok(DropIn { text, name: "wspush's flags".to_owned(), file: None, given_as, warnings: Vec::new() })
    } else {
        Err(problems.into_broken())
    }
}

/// An address as Go has it, `host:port`, as a listener has it. Without a host it is all of this machine.
fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("{} is no address; write an IP address and a port, such as \"localhost:8080\" or \":8080\"", quoted(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = match host {
        "" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host => host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host),
    };
    match host.parse::<IpAddr>().map_err(|_| wrong())? {
        IpAddr::V6(host) => Ok(format!("[{host}]:{port}")),
        IpAddr::V4(host) => Ok(format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "c3VwZXIgc2VjcmV0IGtleQ";

    fn parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Flags, Unread> {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Flags::parse(&arguments, &variable)
    }

    fn amounts_to(arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let key = Key { key: "made-key".to_owned(), secret: "made-secret".to_owned() };
        let flags = parse(arguments, variables).map_err(|unread| format!("{unread:?}"))?;
        let document = document(&flags, &key).map_err(|broken| broken.to_string())?;
        let end = "\n[[apps]]\nid = \"wspush\"\nkey = \"made-key\"\nsecret = \"made-secret\"\n\n[[wspush]]\napp = \"wspush\"\n";
        let (listeners, relay) = document.text.split_once(end).expect("the app stands between");
        let listeners = listeners.strip_prefix("# What the flags of wspush amount to.\n\n[[listeners]]\n").expect("there is one");
        Ok(format!("{listeners}|{relay}"))
    }

    /// W-1.1, W-1.5
    #[test]
    fn flags_are_written_as_go_has_them() {
        let first = "address = \"127.0.0.1:8080\"\ndialects = [\"wspush\"]\n|";
        for (arguments, expected) in [
            (&[][..], String::new()),
            (&["-prefix", "news."], "prefix = \"news.\"\n".into()),
            (&["--prefix", "news."], "prefix = \"news.\"\n".into()),
            (&["-prefix=news."], "prefix = \"news.\"\n".into()),
            (&["--prefix=a=b"], "prefix = \"a=b\"\n".into()),
            (&["-prefix", "-redis"], "prefix = \"-redis\"\n".into()),
            (&["-prefix", ""], "prefix = \"\"\n".into()),
            (&["-prefix="], "prefix = \"\"\n".into()),
            (&["-prefix", "a", "-prefix", "b"], "prefix = \"b\"\n".into()),
            (&["-redis", "rediss://u:p@h:1/2"], "redis = \"rediss://u:p@h:1/2\"\n".into()),
            (&["-hmac", SIGNED, "-hmac-sha256", "YQ"], format!("hmac_key = \"{SIGNED}\"\nhmac_sha256_key = \"YQ\"\n")),
            (&["-hmac", "", "-hmac-sha256=", "-ping", "", "-origins", ""], String::new()),
            (&["-compat"], "compat = true\n".into()),
            (&["-compat", "-prefix", "x"], "prefix = \"x\"\ncompat = true\n".into()),
            (&["-compat=F"], "compat = false\n".into()),
            (&["--compat=1"], "compat = true\n".into()),
            (&["-queue", "1", "-slow", "drop", "-max-per-token", "3"], "connections_per_token = 3\nqueue = 1\nslow = \"drop\"\n".into()),
            (&["-ping", "{\"a\":1}\n", "-ws-frames", "binary"], "ping = \"\"\"\n{\"a\":1}\n\"\"\"\nws_frames = \"binary\"\n".into()),
            (&["-ping-interval", "1m30s"], "ping_interval = \"90000 ms\"\n".into()),
            (&["-origins", "https://a.example, null"], "origins = [\"https://a.example\", \"null\"]\n".into()),
        ] {
            assert_eq!(amounts_to(arguments, &[]).unwrap(), format!("{first}{expected}"), "{arguments:?}");
        }
        assert!(parse(&["-print-config"], &[]).unwrap().print_config() && !parse(&["-print-config=false"], &[]).unwrap().print_config());
    }

    /// W-1.1, W-9.4: two addresses, the second only if it is asked for.
    #[test]
    fn addresses_are_written_as_go_has_them() {
        for (arguments, expected) in [
            (&["-addr", ":80"][..], "address = \"0.0.0.0:80\"\ndialects = [\"wspush\"]\n|"),
            (&["-addr", "[::1]:80"], "address = \"[::1]:80\"\ndialects = [\"wspush\"]\n|"),
            (&["-expvar", ""], "address = \"127.0.0.1:8080\"\ndialects = [\"wspush\"]\n|"),
            (
                &["-expvar", "127.0.0.2:0"],
                "address = \"127.0.0.1:8080\"\ndialects = [\"wspush\"]\n\n[[listeners]]\naddress = \"127.0.0.2:0\"\ndialects = [\"wspush-statistics\"]\n|",
            ),
        ] {
            assert_eq!(amounts_to(arguments, &[]).unwrap(), expected, "{arguments:?}");
        }
        for address in ["", "80", "localhost", "localhost:http", "a.example:80", ":65536", "::1:x"] {
            let told = amounts_to(&["-expvar", address, "-addr", address], &[]);
            let problems = if address.is_empty() { 1 } else { 2 };
            assert_eq!(told.unwrap_err().matches("is no address").count(), problems, "{address}");
        }
    }

    /// W-1.2
    #[test]
    fn a_flag_wins_over_its_variable() {
        let variables = [("WSPUSH_KEY", SIGNED), ("WSPUSH_PING", "p"), ("WSPUSH_PREFIX", "x")];
        let relay = |arguments: &[&str]| amounts_to(arguments, &variables).unwrap().split_once('|').unwrap().1.to_owned();
        assert_eq!(relay(&[]), format!("hmac_key = \"{SIGNED}\"\nping = \"p\"\n"));
        assert_eq!(relay(&["-hmac", "YQ", "-ping", "q"]), "hmac_key = \"YQ\"\nping = \"q\"\n");
        assert_eq!(relay(&["-hmac", "", "-ping="]), "");
        assert_eq!(amounts_to(&[], &[("WSPUSH_KEY", ""), ("WSPUSH_PING", "")]), amounts_to(&[], &[]));
    }

    /// W-1.1
    #[test]
    fn what_is_no_flag_is_told_with_what_they_are() {
        for (arguments, expected) in [
            (&["-nosuch"][..], "there is no flag \"-nosuch\"\n"),
            (&["--addr2=x"], "there is no flag \"-addr2\"\n"),
            (&["-Addr", "x"], "there is no flag \"-Addr\"\n"),
            (&["-prefix"], "-prefix needs a value\n"),
            (&["-queue", "many"], "-queue: \"many\" is no number\n"),
            (&["-queue", "-1"], "-queue: \"-1\" is no number\n"),
            (&["-compat=yes"], "-compat: \"yes\" is no true or false\n"),
            (&["-ping-interval", "45"], "-ping-interval: \"45\" is no duration such as 45s or 1m30s\n"),
            (&["---addr", "x"], "\"---addr\" is no flag\n"),
            (&["-=x"], "\"-=x\" is no flag\n"),
            (&["-compat", "true"], "\"true\" is no flag\n"),
            (&["--", "x"], "\"--\" is no flag\n"),
            (&["-"], "\"-\" is no flag\n"),
            (&[""], "\"\" is no flag\n"),
        ] {
            let Err(Unread::Wrong(told)) = parse(arguments, &[]) else { panic!("{arguments:?}") };
            assert_eq!(told, format!("{expected}{}", usage(&|_| None)), "{arguments:?}");
        }
    }

    /// W-9.2, W-10.7
    #[test]
    fn help_tells_no_key() {
        for argument in ["-h", "--help", "-help"] {
            let Err(Unread::Help(told)) = parse(&["-hmac", "n33dle", argument], &[("WSPUSH_KEY", "n33dle"), ("WSPUSH_PING", "p\"")]) else {
                panic!("{argument}")
            };
            assert!(told.contains("  -hmac string\n    \tkey whose HMAC-MD5 ") && !told.contains("n33dle"), "{told}");
            assert!(told.contains("without padding (default ***)\n") && told.contains("(default \"p\\\"\")\n"), "{told}");
        }
        let told = usage(&|_| None);
        assert!(!told.contains("***"), "{told}");
        for part in [
            "Usage of tidings wspush:\n  -addr string\n    \taddress to serve clients on (default \"localhost:8080\")\n",
            "  -compat\n",
            "  -max-per-token int\n    \tconnections that one token may have (default 15)\n",
            "  -ping-interval duration\n    \ttime between two heartbeats (default 45s)\n",
            "(default \"example.\")",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert_eq!(format!("{:?}", parse(&["-hmac", "n33dle"], &[]).unwrap()), "[\"hmac\"]");
        let key = Key { key: "k".to_owned(), secret: "n33dle".to_owned() };
        assert!(!format!("{:?}", document(&parse(&["-hmac", "n33dle"], &[]).unwrap(), &key).unwrap()).contains("n33dle"));
    }

    /// As Go's `time.ParseDuration`, but for what is less than nothing.
    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("45s", Some(45_000)),
            ("+45s", Some(45_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("1.s", Some(1_000)),
            ("1h15m30.918s", Some(4_530_918)),
            ("100ms", Some(100)),
            ("1500us", Some(1)),
            ("1500µs", Some(1)),
            ("2000000ns", Some(2)),
            ("1s1h", Some(3_601_000)),
            ("", None),
            ("45", None),
            ("-45s", None),
            ("+", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("45 s", None),
            ("1d", None),
            ("1e3s", None),
            ("infs", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(duration(text).map(|time| time.as_millis()), milliseconds, "{text}");
        }
    }

    /// What only the document as a whole shows is told by the flag, or the variable, that brought it.
    #[test]
    fn problems_of_the_document_are_told_by_what_was_given() {
        let key = Key { key: "k".to_owned(), secret: "s".to_owned() };
        let flags = parse(&["-expvar", "localhost:8080"], &[("WSPUSH_KEY", "?")]).unwrap();
        let document = document(&flags, &key).unwrap();
        let told = |path: &str, text: &str| {
            let mut problems = Problems::default();
            problems.add(Problem { path: path.to_owned(), place: Some("wspush's flags:6".to_owned()), text: text.to_owned() });
            document.explained(&problems.into_broken()).problems()[0].to_string()
        };
        for (path, text, expected) in [
            ("wspush[0].hmac_key", "is no key", "WSPUSH_KEY: is no key"),
            ("wspush[0].redis", "is wrong", "-redis: is wrong"),
            ("wspush[0].connections_per_token", "is 0", "-max-per-token: is 0"),
            ("listeners[1].address", "listeners[0] is on 127.0.0.1:8080 already", "-expvar: -addr is on 127.0.0.1:8080 already"),
        ] {
            assert_eq!(told(path, text), expected);
        }
    }
}
