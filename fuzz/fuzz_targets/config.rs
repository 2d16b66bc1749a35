//! The configuration never panics, refuses only with a reason, and tells no secret.
//! The input is a file, then after a zero byte the environment: one `NAME=VALUE` a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use tidings_server::config::{Config, Document, Setting, Surroundings, difference, effective, read};

/// What every file holds that can be read. No input can name it, but by chance.
const SECRET: &str = "kZ4!pW9?qX7";

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else { return };
    let (file, environment) = input.split_once('\0').unwrap_or((input, ""));
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    // Any other value that comes from a file is meant to be shown.
    let variables =
        variables.filter(|(name, _)| !name.to_ascii_uppercase().ends_with("_FILE") || name.to_ascii_uppercase().ends_with("__SECRET_FILE"));
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let surroundings = Surroundings {
        directory: PathBuf::from("/etc/tidings"),
        cores: 2,
        read_file: &read_file,
        make_key: &|| unreachable!("a document is given"),
    };
    let told = match read(Some(Document { name: "tidings.toml", text: file }), variables, &surroundings) {
        Ok((config, settings)) => sound(&config, &settings),
        Err(broken) => {
            assert!(broken.problems().iter().all(|problem| !problem.text.is_empty()) && !broken.problems().is_empty());
            broken.to_string()
        }
    };
    assert!(!told.contains(SECRET) || input.contains(SECRET), "{told}");
});

/// A configuration that was accepted holds what the rest of the server relies on.
fn sound(config: &Config, settings: &[Setting]) -> String {
    assert!(!config.listeners.is_empty() && !config.apps.is_empty());
    for app in &config.apps {
        assert!(!app.keys.is_empty() && app.keys.iter().all(|pair| !pair.key.is_empty() && !pair.secret.is_empty()));
        assert!((164..=200).contains(&app.channel_name_max) && app.activity_timeout.as_secs() > 0);
    }
    assert!(difference(config, config).is_empty());
    let warnings: String = config.warnings.iter().map(ToString::to_string).collect();
    format!("{}{warnings}{config:?}", effective(settings))
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if path.ends_with("none") { Err(io::ErrorKind::NotFound.into()) } else { Ok(SECRET.into()) }
}
