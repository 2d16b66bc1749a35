//! `tidings wspush`: takes wspush's place with wspush's own flags, which are read as Go's programs read theirs.

use super::{advise, print};
use crate::config::{self, Unread};
use crate::run;
use clap::Args;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// What a program in Go ends with if its flags are not understood (W-1.1).
const MISUSED: u8 = 2;

/// Serve as wspush does, with its flags: -addr, -redis, -prefix, -hmac, -ping, -expvar. -h lists them all.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub(super) struct Wspush {
    /// As for wspush.
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<String>,
}

/// So that no key shows.
impl fmt::Debug for Wspush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wspush").finish_non_exhaustive()
    }
}

impl Wspush {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let flags = match config::read_wspush(&self.flags) {
            Ok(flags) => flags,
            Err(unread) => {
                let (text, status) = match unread {
                    Unread::Help(text) => (text, ExitCode::SUCCESS),
                    Unread::Wrong(text) => (text, ExitCode::from(MISUSED)),
                };
                let _ = io::stderr().write_all(text.as_bytes());
                return Ok(status);
            }
        };
        let (config, document) = config::load_wspush(&flags).map_err(advise)?;
        if flags.print_config() {
            return print(&document);
        }
        run::serve(config)
    }
}
