//! `tidings sse-url`: the URL of a stream of server-sent events, as a backend would make it.

use super::target::Target;
use crate::config;
use anyhow::{Context, bail, ensure};
use std::time::Duration;
use tidings_dialect::sse::request::{CHANNELS_MAX, EXPIRES_MAX, signed_query, unsigned_query};
use tidings_hub::{Access, ChannelName, UnixTime};

/// Print the URL of a stream of server-sent events.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  curl -N \"$(tidings sse-url news --app 1 --key KEY)\"
  tidings sse-url private-orders presence-room --app 1 --key KEY --secret SECRET --expires '10 min'

Public channels need no secret. For others the URL is signed, opens these channels alone, for reading, and is good until it expires.")]
pub(super) struct SseUrl {
    /// The channels to read.
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// For how long the URL is good: `90 s`, `10 min`, `1 h`, at most a day.
    #[arg(long, value_name = "TIME", default_value = "1 h", value_parser = span)]
    expires: Duration,
    #[command(flatten)]
    target: Target,
    /// The app's id.
    #[arg(long, value_name = "ID", env = "TIDINGS_APP", help_heading = "Server and app")]
    app: String,
    /// The app's secret. Better given in the environment, where other users do not see it.
    #[arg(long, value_name = "SECRET", env = "TIDINGS_SECRET", hide_env_values = true, help_heading = "Server and app")]
    secret: Option<String>,
}

impl SseUrl {
    /// The URL, and a line end.
    ///
    /// # Errors
    /// If no server would take it.
    pub(super) fn line(&self, now: UnixTime) -> anyhow::Result<String> {
        ensure!(self.channels.len() <= CHANNELS_MAX, "a stream has at most {CHANNELS_MAX} channels");
        let parsed = self.channels.iter().map(|name| ChannelName::parse(name).with_context(|| format!("channel {name:?}")));
        let channels = parsed.collect::<anyhow::Result<Vec<_>>>()?;
        let closed = channels.iter().find(|channel| channel.access() != Access::Public);
        let query = match (&self.secret, closed) {
            (None, None) => unsigned_query(&self.target.key, &channels),
            (None, Some(closed)) => bail!("{closed} needs a signature: give --secret, or TIDINGS_SECRET"),
            (Some(secret), _) => {
                let seconds = self.expires.as_secs();
                ensure!((1..=EXPIRES_MAX).contains(&seconds), "--expires is between a second and a day");
                signed_query(&self.app, (&self.target.key, secret), &channels, now.as_secs() + seconds)
            }
        };
        Ok(format!("{}/apps/{}/sse?{query}\n", self.target.url, self.app))
    }
}

fn span(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| "write a number and a unit: 90 s, 10 min, 1 h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::target::parse;
    use super::*;

    fn url(arguments: &[&str]) -> Result<String, String> {
        let base = ["--app", "1", "--key", "k"];
        let url: SseUrl = parse(&[arguments, &base].concat()).map_err(|error| error.to_string())?;
        url.line(UnixTime::from_millis(1_700_000_000_000)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn public_channels_need_no_secret() {
        assert_eq!(url(&["news", "a,b"]).unwrap(), "http://127.0.0.1:6001/apps/1/sse?key=k&channel=news&channel=a%2Cb\n");
        assert!(url(&["private-x"]).unwrap_err().contains("private-x needs a signature"));
    }

    #[test]
    fn a_signed_url_expires() {
        let signed = url(&["private-x", "--secret", "s", "--expires", "10 min"]).unwrap();
        assert!(signed.contains("?key=k&channel=private%2Dx&expires=1700000600&auth=k:"), "{signed}");
        for (arguments, why) in [
            (&["x", "--secret", "s", "--expires", "2 days"][..], "between a second and a day"),
            (&["x", "--expires", "soon"], "write a number and a unit"),
            (&["a\u{1}"], "control characters"),
            (&[], "CHANNEL"),
        ] {
            let error = url(arguments).unwrap_err();
            assert!(error.contains(why), "{arguments:?}: {error}");
        }
    }
}
