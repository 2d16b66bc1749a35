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
