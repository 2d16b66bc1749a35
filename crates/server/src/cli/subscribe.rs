//! `tidings subscribe`: shows what is published on channels of any Pusher-compatible server.

use super::output::{Format, Output};
use super::target::Target;
use anyhow::{Context, bail};
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::SystemTime;
use tidings_client::{ChannelName, Connection, MasterKey, Notice, Options, Reconnect, SubscribeError, SubscriptionError};
use tidings_hub::UnixTime;
use tokio::signal::unix::{SignalKind, signal};

/// Show the events of channels of a Pusher-compatible server.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Private and presence channels are signed with the secret. The data of private-encrypted- channels is decrypted with the master \
key, and shown as it arrives without one. Events go to standard output, everything else to standard error.

With --json each event is one line: {\"channel\":…,\"event\":…,\"data\":…,\"user_id\":…}. \"data\" is always a string, usually with \
JSON in it; \"user_id\" is there if the server names the sender. --states adds lines such as {\"state\":\"connected\",…}; the \
states are connecting, connected, unavailable, subscribed, refused, member_added, member_removed, subscription_count, cache_miss, \
undecryptable, error, unreadable and lost.

Examples:
  tidings subscribe news --key KEY
  tidings subscribe presence-room --key KEY --secret SECRET --user-id ada
  tidings subscribe news --key KEY --json --once | jq -r '.data | fromjson | .title'

Exit codes:
  0  the wanted number of events came, or it was interrupted, or nobody reads its output any more
  1  the server refused, or could not be reached or kept; the reason is on standard error
  2  the command line is wrong")]
pub(super) struct Subscribe {
    /// The channels to subscribe to.
    #[arg(required = true, value_name = "CHANNEL", value_parser = ChannelName::parse)]
    channels: Vec<ChannelName>,
    /// The user to join presence channels as; by default `process-` and the number of this process.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// What to say about the user: a JSON object.
    #[arg(long, value_name = "JSON", requires = "user_id")]
    user_info: Option<String>,
    /// Print a line of JSON per event, for scripts.
    #[arg(long)]
    json: bool,
    /// Print lines of JSON for states of the connection as well.
    #[arg(long, requires = "json")]
    states: bool,
    /// End after one event.
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// End after this many events.
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,
    /// End when the connection is lost.
    #[arg(long)]
    no_reconnect: bool,
    #[command(flatten)]
    target: Target,
    /// The app's secret, which signs for private and presence channels. Better given in the environment, where other users do
    /// not see it.
    #[arg(long, value_name = "SECRET", env = "TIDINGS_SECRET", hide_env_values = true, help_heading = "Server and app")]
    secret: Option<String>,
    /// The app's encryption master key in base64, to read private-encrypted- channels. Better given in the environment.
    #[arg(
        long,
        value_name = "KEY",
        env = "TIDINGS_ENCRYPTION_MASTER_KEY",
        hide_env_values = true,
        requires = "secret",
        help_heading = "Server and app"
    )]
    encryption_master_key: Option<String>,
}

impl Subscribe {
    /// Shows events until there were enough, or somebody stops it.
    ///
    /// # Errors
    /// If something is missing, the server refuses, or the connection is lost for good; the process exits with 1.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut connection = self.connection()?;
        let mut output = self.output(anstream::stdout(), anstream::stderr());
        if self.encryption_master_key.is_none() {
            for channel in self.channels.iter().filter(|channel| channel.as_str().starts_with("private-encrypted-")) {
                output.note(&format!("{channel} is encrypted from end to end: without the master key its data is shown as it arrives"));
            }
        }
        let followed = tokio::select! {
            followed = follow(&mut connection, &mut output, self.wanted()) => followed,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        connection.disconnect().await;
        followed.map(|()| ExitCode::SUCCESS)
    }

    fn connection(&self) -> anyhow::Result<Connection> {
        let mut options = Options::at(&self.target.url, &self.target.key);
        options.tls = self.target.tls()?;
        options.reconnect = if self.no_reconnect { Reconnect::Never } else { Reconnect::OnceConnected };
        options.secret.clone_from(&self.secret);
        options.encryption_master_key = self.encryption_master_key.as_deref().map(MasterKey::from_base64).transpose()?;
        options.channel_data = self.user_id.as_deref().map(|user_id| self.channel_data(user_id)).transpose()?;
        let mut connection = Connection::new(options)?;
        for channel in &self.channels {
            let asked = connection.subscribe(channel.as_str());
            if let Err(SubscribeError::NobodySigns { channel }) = asked {
                bail!("channel {channel} is not public: give the app's secret so that the subscription can be signed");
            }
            asked?;
        }
        Ok(connection)
    }

    /// The member to be on presence channels (P-7.1).
    fn channel_data(&self, user_id: &str) -> anyhow::Result<String> {
        #[derive(serde::Serialize)]
        struct ChannelData<'a> {
            user_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            user_info: Option<&'a RawValue>,
        }
        let user_info = self.user_info.as_deref().map(serde_json::from_str).transpose();
        let user_info = user_info.context("--user-info must be a JSON object, such as {\"name\":\"Ada\"}")?;
        Ok(serde_json::to_string(&ChannelData { user_id, user_info })?)
    }

    fn output<O: Write, N: Write>(&self, out: O, notes: N) -> Output<O, N> {
        let format = if self.json { Format::Json { states: self.states } } else { Format::People };
        let channel_width = self.channels.iter().map(|channel| channel.as_str().chars().count()).max().unwrap_or_default();
        Output::new(format, self.target.url.clone(), out, notes, channel_width)
    }

    fn wanted(&self) -> Option<NonZeroU64> {
        if self.once { Some(NonZeroU64::MIN) } else { self.count }
    }
}

/// Writes what `connection` tells until `wanted` events came, or nobody reads `output` any more.
async fn follow<O: Write, N: Write>(
    connection: &mut Connection,
    output: &mut Output<O, N>,
    wanted: Option<NonZeroU64>,
) -> anyhow::Result<()> {
    let mut seen = 0;
    while wanted.is_none_or(|wanted| seen < wanted.get()) {
        let notice = connection.next().await?;
        let written = match &notice {
            Notice::Event(event) => {
                seen += 1;
                output.event(event, now())
            }
            state => output.state(state, now()),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot print an event")?,
        }
        check(&notice)?;
    }
    Ok(())
}

/// A subscription that is refused would be waited for in vain. Not every server says which one it was: an error without a code, or
/// with one that leaves no hope, can only be about what this command asked for.
fn check(notice: &Notice) -> anyhow::Result<()> {
    match notice {
        Notice::Refused { channel, why: SubscriptionError::Server { message, .. } } => {
            bail!("the server refused the subscription to {channel}: {message}")
        }
        Notice::Refused { channel, why } => bail!("there is no subscription to {channel}: {why}"),
        Notice::Error { code: None, message } => bail!("the server refused: {message}"),
        Notice::Error { code: Some(code @ 4000..=4099), message } => bail!("the server refused with {code}: {message}"),
        _ => Ok(()),
    }
}

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::target;
    use clap::Args;
    use futures_util::{SinkExt, StreamExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;

    fn parse(arguments: &[&str]) -> Result<Subscribe, clap::Error> {
        target::parse(&[&["--key", "key"], arguments].concat())
    }

    /// Takes a connection and confirms it.
    async fn confirm(listener: &TcpListener) -> WebSocketStream<TcpStream> {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        let established = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
        socket.send(Message::text(established)).await.unwrap();
        socket
    }

    /// Runs the command line against a server that says `words` to every connection, in turns, and hangs up after each.
    async fn run(arguments: &[&str], turns: &[&[&str]]) -> (anyhow::Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let subscribe = parse(&[arguments, &["--url", &url]].concat()).unwrap();
        let mut out = Vec::new();
        let mut connection = subscribe.connection().unwrap();
        let mut output = subscribe.output(&mut out, io::sink());
        let serve = async {
            for words in turns {
                let mut socket = confirm(&listener).await;
                for text in *words {
                    socket.send(Message::text(*text)).await.unwrap();
                }
                let _ = socket.close(None).await;
                while socket.next().await.is_some_and(|message| message.is_ok()) {}
            }
            std::future::pending().await
        };
        let followed = tokio::select! {
            followed = follow(&mut connection, &mut output, subscribe.wanted()) => followed,
            () = serve => unreachable!("it does not end"),
        };
        (followed, String::from_utf8(out).unwrap())
    }

    const EVENT: &str = r#"{"event":"tick","channel":"news","data":"1"}"#;
    const LINE: &str = "{\"channel\":\"news\",\"event\":\"tick\",\"data\":\"1\"}\n";

    #[tokio::test]
    async fn it_ends_after_as_many_events_as_wanted() {
        let confirmed = r#"{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"}"#;
        for (wanted, lines) in [(&["--once"] as &[&str], 1), (&["--count", "3"], 3)] {
            let words = [confirmed, EVENT, EVENT, EVENT, EVENT];
            let (followed, out) = run(&[&["news", "--json"], wanted].concat(), &[&words]).await;
            followed.unwrap();
            assert_eq!(out, LINE.repeat(lines));
        }
    }

    #[tokio::test]
    async fn it_counts_on_after_a_loss() {
        let restart = r#"{"event":"pusher:error","data":{"code":4200,"message":"restart"}}"#;
        let (followed, out) = run(&["news", "--json", "--states", "--count", "2"], &[&[EVENT, restart], &[EVENT]]).await;
        followed.unwrap();
        let states: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let states: Vec<&str> = states.iter().map(|line| line["state"].as_str().unwrap_or("event")).collect();
        assert_eq!(states, ["connecting", "connected", "event", "error", "lost", "connecting", "connected", "event"]);
    }

    #[tokio::test]
    async fn a_loss_ends_it_where_it_must_not_return() {
        let (followed, out) = run(&["news", "--json", "--no-reconnect"], &[&[EVENT]]).await;
        assert_eq!(out, LINE);
        assert!(followed.unwrap_err().to_string().starts_with("the connection broke"));
    }

    #[tokio::test]
    async fn a_refusal_ends_it() {
        for (text, message) in [
            (
                r#"{"event":"pusher:subscription_error","channel":"private-a","data":{"type":"AuthError","error":"wrong","status":401}}"#,
                "the server refused the subscription to private-a: wrong",
            ),
            (r#"{"event":"pusher:error","data":{"code":null,"message":"wrong"}}"#, "the server refused: wrong"),
            (r#"{"event":"pusher:error","data":{"code":4009,"message":"wrong"}}"#, "the server refused with 4009: wrong"),
        ] {
            let (followed, _) = run(&["private-a", "--secret", "secret"], &[&[text, EVENT]]).await;
            assert_eq!(followed.unwrap_err().to_string(), message);
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_ends_it_quietly() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for format in [&[] as &[&str], &["--json"]] {
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let subscribe = parse(&[&["news", "--url", &url], format].concat()).unwrap();
            let mut connection = subscribe.connection().unwrap();
            let mut output = subscribe.output(Gone, Gone);
            let serve = async {
                let mut socket = confirm(&listener).await;
                socket.send(Message::text(EVENT)).await.unwrap();
                socket
            };
            let (_socket, followed) = tokio::join!(serve, follow(&mut connection, &mut output, None));
            followed.unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for arguments in [
            &[] as &[&str],
            &[""],
            &["news", "--states"],
            &["news", "--once", "--count", "2"],
            &["news", "--count", "0"],
            &["news", "--user-info", "{}"],
            &["news", "--url", "ftp://localhost"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
        for (arguments, message) in [
            (&["private-a"] as &[&str], "channel private-a is not public: give the app's secret so that the subscription can be signed"),
            (
                &["presence-a", "--secret", "s", "--user-id", "ada", "--user-info", "{"],
                "--user-info must be a JSON object, such as {\"name\":\"Ada\"}",
            ),
            (
                &["a", "--secret", "s", "--encryption-master-key", "x"],
                "the master key must be 32 random bytes as base64, but it is not base64; `openssl rand -base64 32` makes one",
            ),
        ] {
            assert_eq!(parse(arguments).unwrap().connection().err().unwrap().to_string(), message);
        }
    }

    #[test]
    fn the_options_are_sound() {
        Subscribe::augment_args(clap::Command::new("tidings")).debug_assert();
    }
}
