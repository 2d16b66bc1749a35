//! To come.

use crate::config::Config;
use std::process::ExitCode;

/// Serves until it is told to stop.
///
/// # Errors
/// If the server cannot start.
pub fn serve(config: Config) -> anyhow::Result<ExitCode> {
    anyhow::bail!("this build cannot serve yet ({} listeners)", config.listeners.len())
}
