//! The environment of Pushi as a configuration (I-6), so that `tidings pushi` can take its place.

use super::Broken;
use super::problem::{Problem, Problems, quoted};
use super::reader::text_toml;
use std::fmt::Write;

/// Variables that Pushi reads and this server has no use for, with why.
const UNUSED: [(&str, &str); 15] = [
    ("MONGOHQ_URL", MONGO),
    ("MONGOLAB_URI", MONGO),
    ("MONGO_URL", MONGO),
    ("MONGO_DB", MONGO),
    ("PUSHI_HANDLERS", DEVICES),
    ("SMTP_URL", DEVICES),
    ("SMTP_HOST", DEVICES),
    ("SMTP_PORT", DEVICES),
    ("SMTP_USER", DEVICES),
    ("SMTP_PASSWORD", DEVICES),
    ("SMTP_STARTTLS", DEVICES),
    ("SMTP_SENDER", DEVICES),
    ("WEB_PUSH_TTL", DEVICES),
    ("FILE_LOG", "the log goes to standard error"),
    ("SESSION_FILE_PATH", "logins are in the store"),
];
const MONGO: &str = "MongoDB is not read; the store is a database of its own";
const DEVICES: &str = "nothing is sent to devices in this build";

/// Pushi's levels and ours.
const LEVELS: [(&str, &str); 5] = [("DEBUG", "debug"), ("INFO", "info"), ("WARNING", "warn"), ("ERROR", "error"), ("CRITICAL", "error")];

/// The configuration that Pushi's variables amount to, as TOML; what they say that means nothing here is a comment in it.
///
/// # Errors
/// [`Broken`] with every variable that cannot be right.
pub(super) fn document(variable: &dyn Fn(&str) -> Option<String>, store: &str, open_apps: bool) -> Result<String, Broken> {
    let mut problems = Problems::default();
    let http = address("APP", "127.0.0.1", "8080", variable, &mut problems);
    let sockets = address("SERVER", "127.0.0.1", "9090", variable, &mut problems);
    let mut text = String::from("# What the environment of Pushi amounts to.\n");
    for (name, why) in UNUSED.iter().filter(|(name, _)| variable(name).is_some()) {
        let _ = writeln!(text, "# {name} is not used: {why}.");
    }
    let listeners = if http == sockets {
        vec![(&http, r#"["pushi", "pushi-api"]"#)]
    } else {
        vec![(&http, r#"["pushi-api"]"#), (&sockets, r#"["pushi"]"#)]
    };
    for (listener, dialects) in listeners {
        let _ = writeln!(text, "\n[[listeners]]\naddress = {}\ndialects = {dialects}", text_toml(&listener.address));
        if let Some((certificate, key)) = &listener.tls {
            let _ = writeln!(text, "tls = {{ certificate = {}, key = {} }}", text_toml(certificate), text_toml(key));
        }
    }
    let _ = writeln!(text, "\n[store]\nurl = {}\n\n[[pushi]]\nopen_apps = {open_apps}", text_toml(store));
    if let Some(level) = variable("LEVEL") {
        match LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&level)) {
            Some((_, ours)) => {
                let _ = writeln!(text, "\n[log]\nlevel = {}", text_toml(ours));
            }
            None => problem("LEVEL", format!("{} is none of DEBUG, INFO, WARNING, ERROR, CRITICAL", quoted(&level)), &mut problems),
        }
    }
    if problems.is_empty() { Ok(text) } else { Err(problems.into_broken()) }
}

#[derive(PartialEq, Eq)]
struct At {
    address: String,
    tls: Option<(String, String)>,
}

/// `NAME_HOST`, `NAME_PORT`, and with `NAME_SSL` the two files.
fn address(name: &str, host: &str, port: &str, variable: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) -> At {
    let text = |what: &str, default: &str| variable(&format!("{name}_{what}")).unwrap_or_else(|| default.to_owned());
    let (host, port, ssl) = (text("HOST", host), text("PORT", port), text("SSL", "0"));
    let host = match host.as_str() {
        "localhost" => "127.0.0.1".to_owned(),
        "" => "0.0.0.0".to_owned(),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        host => host.to_owned(),
    };
    if port.parse::<u16>().is_err() {
        problem(&format!("{name}_PORT"), format!("{} is no port", quoted(&port)), problems);
    }
    let tls = match ssl.parse::<i64>() {
        Ok(0) => None,
        Ok(_) => Some((text("SSL_CER", ""), text("SSL_KEY", ""))),
        Err(_) => {
            problem(&format!("{name}_SSL"), format!("{} is no integer; write 0 or 1", quoted(&ssl)), problems);
            None
        }
    };
    At { address: format!("{host}:{port}"), tls }
}

fn problem(variable: &str, text: String, problems: &mut Problems) {
    problems.add(Problem { path: String::new(), place: Some(variable.to_owned()), text });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts_to(variables: &[(&str, &str)]) -> Result<String, String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        document(&variable, "sqlite:t.db", false).map_err(|broken| broken.to_string())
    }

    /// I-6, I-0.3
    #[test]
    fn pushis_variables_are_understood() {
        let store = "\n[store]\nurl = \"sqlite:t.db\"\n\n[[pushi]]\nopen_apps = false\n";
        for (variables, expected) in [
            (
                &[][..],
                "[[listeners]]\naddress = \"127.0.0.1:8080\"\ndialects = [\"pushi-api\"]\n\n[[listeners]]\naddress = \"127.0.0.1:9090\"\ndialects = [\"pushi\"]\n",
            ),
            (
                &[("APP_HOST", "::1"), ("APP_PORT", "80"), ("SERVER_HOST", "::1"), ("SERVER_PORT", "80")],
                "[[listeners]]\naddress = \"[::1]:80\"\ndialects = [\"pushi\", \"pushi-api\"]\n",
            ),
            (
                &[("APP_SSL", "1"), ("APP_SSL_CER", "a.cer"), ("APP_SSL_KEY", "a.key"), ("SERVER_HOST", "localhost")],
                "[[listeners]]\naddress = \"127.0.0.1:8080\"\ndialects = [\"pushi-api\"]\ntls = { certificate = \"a.cer\", key = \"a.key\" }\n\n\
                 [[listeners]]\naddress = \"127.0.0.1:9090\"\ndialects = [\"pushi\"]\n",
            ),
        ] {
            let text = amounts_to(variables).unwrap();
            assert_eq!(text, format!("# What the environment of Pushi amounts to.\n\n{expected}{store}"));
        }
        let text = amounts_to(&[("MONGO_URL", "mongodb://x"), ("LEVEL", "warning")]).unwrap();
        assert!(text.contains("# MONGO_URL is not used: MongoDB is not read") && text.ends_with("\n[log]\nlevel = \"warn\"\n"), "{text}");
    }

    /// I-6: the flag must be an integer.
    #[test]
    fn what_cannot_be_right_is_told_by_variable() {
        let broken = amounts_to(&[("APP_PORT", "http"), ("SERVER_SSL", "yes"), ("LEVEL", "loud")]).unwrap_err();
        for part in ["APP_PORT: \"http\" is no port", "SERVER_SSL: \"yes\" is no integer; write 0 or 1", "LEVEL: \"loud\" is none of"] {
            assert!(broken.contains(part), "{broken}");
        }
    }
}
