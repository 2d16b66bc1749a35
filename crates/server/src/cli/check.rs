//! `tidings check`: is the configuration right, and what does it come to?

use super::{Source, advise, print};
use crate::config::{self, Config, Setting};
use clap::Args;
use rustix::process::{Resource, getrlimit};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

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
    format!("# Values in effect: {source}.\n\n{}", config::effective(settings))
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
        let lines: Vec<_> = warnings.lines().collect();
        assert!(lines[0].starts_with("warning: ") && lines[0].contains("t.toml:4: apps[0].secret: is weak"), "{warnings}");
        assert!(lines[1].contains("may open 100 descriptors"), "{warnings}");
        assert!(!report.contains("n33dle") && !warnings.contains("n33dle"));
    }
}
