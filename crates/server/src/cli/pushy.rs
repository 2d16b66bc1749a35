//! `tidings pushy`: takes Pushy's place with Pushy's own configuration file.

use super::{advise, print};
use crate::config;
use crate::run;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serve as Pushy does, with its configuration file: port, secretKey, ssl, sockjs.
#[derive(Args, Debug)]
pub(super) struct Pushy {
    /// The file, in JSON.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the configuration that this amounts to, and do nothing.
    #[arg(long)]
    print_config: bool,
}

impl Pushy {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (config, settings) = config::load_pushy(&self.file).map_err(advise)?;
        if self.print_config {
            return print(&settings);
        }
        run::serve(config)
    }
}
