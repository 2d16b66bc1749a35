//! The command line: what was asked for, and who does it.

mod apps;
mod check;
mod output;
mod publish;
mod pushi;
mod pushy;
mod sse_url;
mod store;
mod subscribe;
mod target;
mod welcome;
mod wspush;

use crate::config::{self, Broken};
use crate::run;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Version and commit.
pub(crate) const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("TIDINGS_COMMIT"), ")");

const EXAMPLES: &str = "\
Examples:
  tidings                               serve; without a configuration file on 127.0.0.1:6001 with an app made for this run
  tidings --config /etc/tidings.toml    serve with this file
  tidings check                         say what is wrong with the configuration, or show the values in effect
  tidings check --reference             list every setting with its default
  tidings subscribe news                print the events of a channel
  tidings publish news hello hi          publish one
  tidings sse-url news                  print the URL at which EventSource and curl read a channel
  tidings apps create shop              make an app in the store; servers that run notice it
  tidings backup copy.db                copy the store while servers use it
  tidings pushi                         take the place of Pushi, with the variables that it reads
  tidings wspush -prefix news.          take the place of wspush, with the flags that it takes
  tidings completions bash              print completions for a shell

Without --config the first of these files is read: ./tidings.toml, ~/.config/tidings/tidings.toml, /etc/tidings/tidings.toml.
Variables stand above the file: TIDINGS__LIMITS__CONNECTIONS=5000, TIDINGS__APPS__0__SECRET_FILE=/run/secrets/tidings.
SIGHUP reads file and variables again, SIGTERM stops in peace.";

/// A realtime push server: Pusher Channels and Pushi, for your own machine.
#[derive(Debug, Parser)]
#[command(name = "tidings", version = VERSION, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where the configuration comes from.
#[derive(Args, Debug, Default)]
struct Source {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve; the same as no command at all.
    Serve(Source),
    /// Check the configuration and print the values in effect, without secrets.
    Check(check::Check),
    /// List, make and change apps that are kept in the store.
    Apps(apps::Apps),
    /// Copy the store into a new file, while servers use it.
    Backup(store::Backup),
    /// Take the place of Pushi, with its own environment.
    Pushi(pushi::Pushi),
    /// Take the place of Pushy, with its own configuration file.
    Pushy(pushy::Pushy),
    /// Take the place of wspush, with its own flags.
    Wspush(wspush::Wspush),
    /// Publish one event on any Pusher-compatible server.
    Publish(publish::Publish),
    /// Print the events of channels of any Pusher-compatible server.
    Subscribe(subscribe::Subscribe),
    /// Print the URL of a stream of server-sent events, signed if its channels need it.
    SseUrl(sse_url::SseUrl),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Does what the arguments of this process ask for. What goes wrong is told on standard error.
#[must_use]
pub fn main() -> ExitCode {
    match perform(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tidings: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        None => serve(&cli.source),
        Some(Command::Serve(source)) => serve(&source),
        Some(Command::Check(check)) => check.run(),
        Some(Command::Apps(apps)) => apps.run(),
        Some(Command::Backup(backup)) => backup.run(),
        Some(Command::Pushi(pushi)) => pushi.run(),
        Some(Command::Pushy(pushy)) => pushy.run(),
        Some(Command::Wspush(wspush)) => wspush.run(),
        Some(Command::Publish(publish)) => wait(publish.run()),
        Some(Command::Subscribe(subscribe)) => wait(subscribe.run()),
        Some(Command::SseUrl(url)) => print(&url.line(crate::clock::unix_time())?),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tidings", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn serve(source: &Source) -> anyhow::Result<ExitCode> {
    let config = config::load(source.config.as_deref()).map_err(advise)?;
    // What this process was called serves to call it again; where nobody says, its usual name does.
    let program = std::env::args_os().next().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "tidings".to_owned());
    if let Some(text) = welcome::text(&config, &program) {
        print(&text)?;
    }
    run::serve(config)
}

/// Runs a command that waits for a server.
fn wait(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    // It fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Writes to standard output. A reader that has gone away, as `head` does, is no fault.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn advise(broken: Broken) -> anyhow::Error {
    anyhow::anyhow!("{broken}\n`tidings check --reference` lists every setting")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("tidings").chain(arguments.split_whitespace()))
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_serves() {
        for (arguments, file) in [("", None), ("--config a.toml", Some("a.toml")), ("-c a.toml", Some("a.toml"))] {
            let cli = parse(arguments).unwrap();
            assert!(cli.command.is_none());
            assert_eq!(cli.source.config, file.map(PathBuf::from));
        }
        let Ok(Cli { command: Some(Command::Serve(source)), .. }) = parse("serve --config a.toml") else { panic!("serve") };
        assert_eq!(source.config, Some(PathBuf::from("a.toml")));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for arguments in ["--confg a", "sreve", "--config", "completions", "completions basic", "--config a serve"] {
            assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments}");
        }
    }

    #[test]
    fn help_and_version_tell() {
        let help = parse("--help").unwrap_err().to_string();
        for part in ["check", "completions", "--config <FILE>", "TIDINGS__LIMITS__CONNECTIONS", "Examples:"] {
            assert!(help.contains(part), "{part} in {help}");
        }
        let version = parse("--version").unwrap_err().to_string();
        assert_eq!(version, format!("tidings {} ({})\n", env!("CARGO_PKG_VERSION"), env!("TIDINGS_COMMIT")));
    }
}
