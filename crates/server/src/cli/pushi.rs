//! `tidings pushi`: takes Pushi's place with Pushi's own environment.

use super::{advise, print};
use crate::config;
use crate::run;
use clap::Args;
use std::process::ExitCode;

/// Serve as Pushi does, with the settings of its environment: APP_HOST, APP_PORT, SERVER_HOST, SERVER_PORT and so on.
#[derive(Args, Debug)]
pub(super) struct Pushi {
    /// Where apps, events and subscriptions are kept.
    #[arg(long, value_name = "URL", default_value = "sqlite:tidings.db")]
    store: String,
    /// Let anybody make apps with `POST /apps`, as Pushi does.
    #[arg(long)]
    open_apps: bool,
    /// Print the configuration that this amounts to, and do nothing.
    #[arg(long)]
    print_config: bool,
}

impl Pushi {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (config, settings) = config::load_pushi(&self.store, self.open_apps).map_err(advise)?;
        if self.print_config {
            return print(&settings);
        }
        run::serve(config)
    }
}
