//! The environment of Pushi as a configuration (I-6), so that `tidings pushi` can take its place.

use super::DropIn;
use crate::config::Broken;
use crate::config::problem::{Problem, Problems, quoted};
use crate::config::reader::text_toml;
use std::fmt::Write;
use std::net::IpAddr;

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

/// Pushi's levels, as Python calls them, and ours.
const LEVELS: [(&str, &str); 7] = [
    ("DEBUG", "debug"),
    ("INFO", "info"),
    ("WARNING", "warn"),
    ("WARN", "warn"),
    ("ERROR", "error"),
    ("CRITICAL", "error"),
    ("FATAL", "error"),
];

/// The configuration that Pushi's variables amount to; what they say that means nothing here is a comment in it.
///
/// # Errors
/// [`Broken`] with every variable that cannot be right.
pub(in crate::config) fn document(variable: &dyn Fn(&str) -> Option<String>, store: &str, open_apps: bool) -> Result<DropIn, Broken> {
    let mut problems = Problems::default();
    let http = address("APP", "127.0.0.1", "8080", variable, &mut problems);
    let sockets = address("SERVER", "127.0.0.1", "9090", variable, &mut problems);
    let mut text = String::from("# What the environment of Pushi amounts to.\n");
    for (name, why) in UNUSED.iter().filter(|(name, _)| variable(name).is_some()) {
        let _ = writeln!(text, "# {name} is not used: {why}.");
    }
    let listeners = if http == sockets {
        vec![("APP", &http, r#"["pushi", "pushi-api"]"#)]
    } else {
        vec![("APP", &http, r#"["pushi-api"]"#), ("SERVER", &sockets, r#"["pushi"]"#)]
    };
    let mut given_as = vec![("store.url".to_owned(), "--store".to_owned())];
    for (index, (name, listener, dialects)) in listeners.into_iter().enumerate() {
        for (setting, variable) in [("address", "PORT"), ("tls.certificate", "SSL_CER"), ("tls.key", "SSL_KEY")] {
            given_as.push((format!("listeners[{index}].{setting}"), format!("{name}_{variable}")));
        }
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
    if problems.is_empty() {
        Ok(DropIn { text, name: "Pushi's environment".to_owned(), file: None, given_as, warnings: Vec::new() })
    } else {
        Err(problems.into_broken())
    }
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
    let host = match host.trim_matches(['[', ']']) {
        "localhost" => "127.0.0.1",
        "" => "0.0.0.0",
        host => host,
    };
    if host.parse::<IpAddr>().is_err() {
        let text = format!("{} is no IP address; 0.0.0.0 stands for all of this machine", quoted(host));
        problem(&format!("{name}_HOST"), text, problems);
    }
    if port.parse::<u16>().is_err() {
        problem(&format!("{name}_PORT"), format!("{} is no port; write a number of at most 65535", quoted(&port)), problems);
    }
    let tls = match ssl.parse::<i64>() {
        Ok(0) => None,
        Ok(_) => Some((text("SSL_CER", ""), text("SSL_KEY", ""))),
        Err(_) => {
            problem(&format!("{name}_SSL"), format!("{} is no integer; write 0 or 1", quoted(&ssl)), problems);
            None
        }
    };
    if let Some((certificate, key)) = &tls {
        for (what, _) in [("SSL_CER", certificate), ("SSL_KEY", key)].iter().filter(|(_, file)| file.is_empty()) {
            problem(&format!("{name}_{what}"), format!("is missing: {name}_SSL is on, which needs a PEM file"), problems);
        }
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
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
        document(&variable, "sqlite:t.db", false).map(|document| document.text).map_err(|broken| broken.to_string())
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

    /// I-6: the flag must be an integer, and whoever switches TLS on has two files.
    #[test]
    fn what_cannot_be_right_is_told_by_variable() {
        for (variables, expected) in [
            (&[("APP_PORT", "http")][..], "APP_PORT: \"http\" is no port; write a number of at most 65535"),
            (&[("APP_PORT", "65536")], "APP_PORT: \"65536\" is no port; write a number of at most 65535"),
            (&[("SERVER_PORT", "")], "SERVER_PORT: \"\" is no port; write a number of at most 65535"),
            (&[("APP_HOST", "a.example")], "APP_HOST: \"a.example\" is no IP address; 0.0.0.0 stands for all of this machine"),
            (&[("SERVER_HOST", "1\"\nx")], "SERVER_HOST: \"1\\\"\\nx\" is no IP address; 0.0.0.0 stands for all of this machine"),
            (&[("SERVER_SSL", "yes")], "SERVER_SSL: \"yes\" is no integer; write 0 or 1"),
            (&[("APP_SSL", "1"), ("APP_SSL_KEY", "a.key")], "APP_SSL_CER: is missing: APP_SSL is on, which needs a PEM file"),
            (&[("SERVER_SSL", "1"), ("SERVER_SSL_CER", "a.cer")], "SERVER_SSL_KEY: is missing: SERVER_SSL is on, which needs a PEM file"),
            (&[("LEVEL", "loud")], "LEVEL: \"loud\" is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ] {
            assert_eq!(amounts_to(variables).unwrap_err(), format!("the configuration has a problem\n  {expected}"));
        }
        let all = amounts_to(&[("APP_PORT", "http"), ("SERVER_SSL", "yes"), ("LEVEL", "loud")]).unwrap_err();
        assert!(all.starts_with("the configuration has 3 problems\n"), "{all}");
    }

    /// Every level of Python's is one of ours, in whatever case.
    #[test]
    fn levels_are_understood() {
        for (level, ours) in [
            ("debug", "debug"),
            ("INFO", "info"),
            ("Warning", "warn"),
            ("WARN", "warn"),
            ("ERROR", "error"),
            ("CRITICAL", "error"),
            ("FATAL", "error"),
        ] {
            let text = amounts_to(&[("LEVEL", level)]).unwrap();
            assert!(text.ends_with(&format!("\n[log]\nlevel = \"{ours}\"\n")), "{text}");
        }
    }

    /// Problems that only the document as a whole has are told by what was given, not by a place in what nobody wrote.
    #[test]
    fn problems_of_the_document_are_told_by_what_was_given() {
        let told = |path: &str, text: &str| {
            let mut problems = Problems::default();
            problems.add(Problem { path: path.to_owned(), place: Some("Pushi's environment:6".to_owned()), text: text.to_owned() });
            let document = document(&|_| None, "sqlite:t.db", false).unwrap();
            document.explained(&problems.into_broken()).problems()[0].to_string()
        };
        for (path, text, expected) in [
            ("store.url", "is wrong", "--store: is wrong"),
            ("listeners[0].tls.certificate", "cannot read a", "APP_SSL_CER: cannot read a"),
            ("listeners[1].tls.key", "cannot read a", "SERVER_SSL_KEY: cannot read a"),
            ("listeners[1].address", "listeners[0] is on 0.0.0.0:1 already", "SERVER_PORT: APP_PORT is on 0.0.0.0:1 already"),
            ("limits.x", "is wrong", "Pushi's environment:6: limits.x: is wrong"),
        ] {
            assert_eq!(told(path, text), expected);
        }
        let document = document(&|_| None, "postgres://u:n33dle@h/d", false).unwrap();
        assert!(document.text.contains("n33dle") && !format!("{document:?}").contains("n33dle"));
    }
}
