//! Which server the client commands speak to, as which app.

use anyhow::Context;
use std::path::PathBuf;
use tidings_client::{ServerUrl, Tls};

/// Options of every command that is a client.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Server and app")]
pub(super) struct Target {
    /// Address of the server: http, https, ws or wss, with its path prefix if it has one.
    #[arg(long, value_name = "URL", env = "TIDINGS_URL", default_value = "http://127.0.0.1:6001")]
    pub(super) url: ServerUrl,
    /// The app's key.
    #[arg(long, value_name = "KEY", env = "TIDINGS_KEY")]
    pub(super) key: String,
    /// Also trust the certificate authorities in this PEM file.
    #[arg(long, value_name = "FILE", display_order = 100)]
    ca_file: Option<PathBuf>,
}

impl Target {
    /// Whom to trust.
    ///
    /// # Errors
    /// If the file of authorities is of no use.
    pub(super) fn tls(&self) -> anyhow::Result<Tls> {
        match &self.ca_file {
            Some(path) => Tls::with_authorities_of(path).context("--ca-file"),
            None => Ok(Tls::new()),
        }
    }
}

/// Parses the arguments of a command, deaf to the environment of whoever runs the tests.
#[cfg(test)]
pub(super) fn parse<A: clap::Args>(arguments: &[&str]) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("tidings")).mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
    A::from_arg_matches(&command.try_get_matches_from([&["tidings"], arguments].concat())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_at_home_unless_told_otherwise() {
        let target: Target = parse(&["--key", "key"]).unwrap();
        assert_eq!(target.url.to_string(), "http://127.0.0.1:6001");
        assert!(target.tls().is_ok());
        let target: Target = parse(&["--key", "key", "--url", "wss://push.example/p", "--ca-file", "/nonexistent/ca.pem"]).unwrap();
        assert_eq!(target.url.to_string(), "https://push.example:443/p");
        let error = format!("{:#}", target.tls().unwrap_err());
        assert!(error.starts_with("--ca-file: cannot read certificates from /nonexistent/ca.pem: "), "{error}");
        assert!(parse::<Target>(&[]).is_err());
    }
}
