//! `tidings check`: is the configuration right, and what does it come to?

use super::{Source, advise, print};
use crate::config::{self, Config, Setting};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use tidings_dialect::pushi::settings::ClientEvents;

/// Check the configuration and print the values in effect, without secrets.
///
/// Ends with 0 if the server would start with it and with 1 if not; then every problem is named. Warnings change nothing.
#[derive(Args, Debug)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,
    /// List every setting instead: rule, key, default, what it may be.
    #[arg(long, conflicts_with = "config")]
    reference: bool,
}

impl Check {
    /// Prints the values on standard output and the warnings on standard error.
    ///
    /// # Errors
    /// The problems of the configuration.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.reference {
            return print(&config::reference_table());
        }
        let (config, settings) = config::load_with_settings(self.source.config.as_deref()).map_err(advise)?;
        let descriptors = getrlimit(Resource::Nofile).maximum;
        let _ = io::stderr().write_all(warnings(&config, descriptors).as_bytes());
        print(&report(&config, &settings))
    }
}

fn report(config: &Config, settings: &[Setting]) -> String {
    let source = match (&config.file, &config.made) {
        (Some(file), _) => format!("{}, and what the environment says", file.display()),
        (None, None) => "no file was found; what the environment says".to_owned(),
        (None, Some(_)) => "no file was found, so an app is made for each run".to_owned(),
    };
    format!("# Values in effect: {source}.\n{}\n{}", defaults_of_pushi(config), config::effective(settings))
}

/// What clients of Pushi may do depends on who else is spoken to on the same app, so it is told which holds.
fn defaults_of_pushi(config: &Config) -> String {
    let mut text = String::new();
    for app in config.apps.iter().filter(|app| app.dialects.pushi) {
        let settings = config.pushi_of(&app.id).session;
        let shared = if app.dialects.pushi_alone() { "Pushi alone" } else { "Pushi and others" };
        let events = match settings.client_events_of(app) {
            ClientEvents::All => "all channels",
            ClientEvents::Signed => "channels that need proof",
            ClientEvents::Off => "no channel",
        };
        let signed = if settings.signed_members_of(app) { "must" } else { "need not" };
        let _ = writeln!(
            text,
            "# The app {} is spoken to by {shared}: Pushi's clients publish on {events}, and who they say they are {signed} be signed.",
            app.id
        );
    }
    text
}

fn warnings(config: &Config, descriptors: Option<u64>) -> String {
    let mut text = String::new();
    for warning in config.warnings.iter().chain(&config::descriptors_warning(config, descriptors)) {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_the_file_and_hides_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.toml");
        std::fs::write(&path, "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"n33dle\"\n").unwrap();
        let (config, settings) = config::load_with_settings(Some(&path)).unwrap();
        let (report, warnings) = (report(&config, &settings), warnings(&config, Some(100)));
        assert!(
            report.starts_with(&format!("# Values in effect: {}, and what the environment says.\n\n[[listeners]]\n", path.display())),
            "{report}"
        );
        assert!(report.contains("\nevent_bytes = \"10 KiB\"\n"));
        assert!(!report.contains("Pushi"), "nobody speaks it");
        let lines: Vec<_> = warnings.lines().collect();
        assert!(lines[0].starts_with("warning: ") && lines[0].contains("t.toml:4: apps[0].secret: is weak"), "{warnings}");
        assert!(lines[1].contains("may open 100 descriptors"), "{warnings}");
        assert!(!report.contains("n33dle") && !warnings.contains("n33dle"));
    }

    /// I-2.13, I-8.5: an app that others share has the safe defaults, unless somebody says otherwise.
    #[test]
    fn a_report_tells_what_clients_of_pushi_may_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.toml");
        let app = |id: u32, more: &str| format!("[[apps]]\nid = \"{id}\"\nkey = \"{id:064}\"\nsecret = \"n33dle-n33dle\"\n{more}\n");
        let mut text = "[[listeners]]\naddress = \"127.0.0.1:1\"\ndialects = [\"pusher\", \"pushi\"]\n".to_owned();
        for (id, more) in [(1, ""), (2, "dialects = [\"pushi\"]"), (3, ""), (4, "dialects = [\"pusher\"]")] {
            text += &app(id, more);
        }
        text += "[[pushi]]\napp = \"3\"\nclient_events = \"off\"\nrequire_signed_channel_data = false\n";
        std::fs::write(&path, text).unwrap();
        let (config, settings) = config::load_with_settings(Some(&path)).unwrap();
        let report = report(&config, &settings);
        let told: Vec<_> = report.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        let says = |id, shared, events, signed| {
            format!(
                "# The app {id} is spoken to by {shared}: Pushi's clients publish on {events}, and who they say they are {signed} be signed."
            )
        };
        assert_eq!(
            told,
            [
                says(1, "Pushi and others", "channels that need proof", "must"),
                says(2, "Pushi alone", "all channels", "need not"),
                says(3, "Pushi and others", "no channel", "need not"),
            ]
        );
    }
}
