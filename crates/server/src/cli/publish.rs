//! `tidings publish`: one event through the HTTP API of any Pusher-compatible server.

use super::target::Target;
use anyhow::{Context, bail};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use tidings_client::{AppId, Key, MasterKey, Publication, Publisher, PublisherOptions};

/// The most that is read from standard input: far more than any server takes, so that a wrong file does not fill the memory.
const DATA_BYTES_MAX: u64 = 16 << 20;

/// Publish an event through the HTTP API of a Pusher-compatible server.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tidings publish news headline '{\"title\":\"Hello\"}' --app 1 --key KEY --secret SECRET
  date | tidings publish news tick -
  tidings publish news tick --channel private-news --info subscription_count

Exit codes:
  0  the server took the event; its answer is on standard output
  1  it refused, or was not reached; the reason is on standard error
  2  the command line is wrong")]
pub(super) struct Publish {
    /// The channel to publish on.
    channel: String,
    /// The name of the event.
    event: String,
    /// The data, usually JSON; any text will do. `-` reads standard input and drops the last line break.
    #[arg(default_value = "{}", allow_negative_numbers = true)]
    data: String,
    /// A further channel to publish on; may be repeated.
    #[arg(long = "channel", value_name = "CHANNEL")]
    more_channels: Vec<String>,
    /// The connection that must not get the event.
    #[arg(long, value_name = "ID")]
    socket_id: Option<String>,
    /// What to answer about the channels: `user_count`, `subscription_count`, or both with a comma between.
    #[arg(long, value_name = "ATTRIBUTES")]
    info: Option<String>,
    #[command(flatten)]
    target: Target,
    /// The app's id.
    #[arg(long, value_name = "ID", env = "TIDINGS_APP", help_heading = "Server and app")]
    app: String,
    /// The app's secret, which signs the request. Better given in the environment, where other users do not see it.
    #[arg(long, value_name = "SECRET", env = "TIDINGS_SECRET", hide_env_values = true, help_heading = "Server and app")]
    secret: String,
    /// What encrypted channels are sealed with: 32 bytes as base64. Better given in the environment, as the secret.
    #[arg(long, value_name = "BASE64", env = "TIDINGS_ENCRYPTION_MASTER_KEY", hide_env_values = true, help_heading = "Server and app")]
    encryption_master_key: Option<String>,
}

impl Publish {
    /// Publishes the event and prints the server's answer.
    ///
    /// # Errors
    /// If standard input cannot be read, or the event was not published; the process exits with 1.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let answer = self.publish(io::stdin().lock()).await?;
        match writeln!(io::stdout(), "{}", answer.trim_end()) {
            // Who reads the answer has gone; the event is published all the same.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written.context("cannot print the answer")?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn publish(self, input: impl Read) -> anyhow::Result<String> {
        let data = if self.data == "-" { read_data(input)? } else { self.data };
        let mut channels = vec![self.channel];
        channels.extend(self.more_channels);
        let publication = Publication { channels, name: self.event, data, socket_id: self.socket_id, info: self.info };
        let tls = self.target.tls()?;
        let key = Key { key: self.target.key, secret: self.secret };
        // Not a matter for the parser, which would show what it cannot read.
        let master_key = self.encryption_master_key.as_deref().map(MasterKey::from_base64).transpose();
        let encryption_master_key = master_key.context("--encryption-master-key")?;
        let options = PublisherOptions::new(self.target.url, AppId::new(&self.app), key);
        let publisher = Publisher::with_options(PublisherOptions { tls, encryption_master_key, ..options });
        Ok(publisher.publish(&publication).await?.text)
    }
}

fn read_data(input: impl Read) -> anyhow::Result<String> {
    let mut data = String::new();
    input.take(DATA_BYTES_MAX + 1).read_to_string(&mut data).context("cannot read the data from standard input")?;
    if data.len() as u64 > DATA_BYTES_MAX {
        bail!("the data on standard input has more than {DATA_BYTES_MAX} bytes; no server takes that much");
    }
    let line = data.strip_suffix('\n').map_or(data.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    data.truncate(line);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::target::parse;
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use std::sync::{Arc, Mutex};
    use tokio::net::TcpListener;

    /// Runs the command line against a server that answers with `status`, and gives back the body that the server got.
    async fn run(arguments: &[&str], input: &str, status: u16) -> (anyhow::Result<String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = ["--url", &url, "--app", "1", "--key", "key", "--secret", "secret"];
        let publish: Publish = parse(&[&target, arguments].concat()).unwrap();
        let seen = Arc::new(Mutex::new(String::new()));
        let put = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let put = Arc::clone(&put);
            async move {
                *put.lock().unwrap() = String::from_utf8(request.into_body().collect().await?.to_bytes().into()).unwrap();
                let answer = Response::builder().status(status).header("connection", "close");
                Ok::<_, hyper::Error>(answer.body(Full::new(Bytes::from("{\"channels\":{}}\n"))).unwrap())
            }
        });
        let serve = async {
            let stream = TokioIo::new(listener.accept().await.unwrap().0);
            hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await.unwrap();
        };
        let ((), answer) = tokio::join!(serve, publish.publish(input.as_bytes()));
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        (answer, seen)
    }

    #[tokio::test]
    async fn the_command_line_becomes_a_request() {
        for (arguments, input, body) in [
            (&["news", "tick"] as &[&str], "", r#"{"channels":["news"],"name":"tick","data":"{}"}"#),
            (&["news", "tick", "-1"], "", r#"{"channels":["news"],"name":"tick","data":"-1"}"#),
            (&["news", "tick", "not json"], "", r#"{"channels":["news"],"name":"tick","data":"not json"}"#),
            (&["news", "tick", "-"], "a\nb\r\n", r#"{"channels":["news"],"name":"tick","data":"a\nb"}"#),
            (&["news", "tick", "-"], "a\n\n", r#"{"channels":["news"],"name":"tick","data":"a\n"}"#),
            (&["news", "tick", "-"], "", r#"{"channels":["news"],"name":"tick","data":""}"#),
            (
                &["a,b", "tick", "1", "--channel", "c", "--channel", "d", "--socket-id", "1.2", "--info", "user_count"],
                "",
                r#"{"channels":["a,b","c","d"],"name":"tick","data":"1","socket_id":"1.2","info":"user_count"}"#,
            ),
        ] {
            let (answer, seen) = run(arguments, input, 200).await;
            assert_eq!((answer.unwrap().as_str(), seen.as_str()), ("{\"channels\":{}}\n", body), "{arguments:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_is_an_error_with_status_and_body() {
        let (answer, _) = run(&["news", "tick"], "", 413).await;
        assert_eq!(answer.unwrap_err().to_string(), "the server answered 413 Payload Too Large: {\"channels\":{}}");
    }

    /// P-9.1, P-9.3
    #[tokio::test]
    async fn what_goes_to_an_encrypted_channel_is_sealed() {
        const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let (answer, seen) = run(&["private-encrypted-a", "tick", "secret", "--encryption-master-key", MASTER_KEY], "", 200).await;
        answer.unwrap();
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let secret = MasterKey::from_base64(MASTER_KEY).unwrap().shared_secret("private-encrypted-a");
        assert_eq!(secret.open(seen["data"].as_str().unwrap()).unwrap(), "secret");
        // The rest fails before there is anything to send.
        for (more, expected) in [
            (&[] as &[&str], "channel private-encrypted-a is encrypted: give the encryption master key"),
            (&["--encryption-master-key", "c2hvcnQ="], "--encryption-master-key: the master key must be 32 random bytes as base64"),
        ] {
            let line = [&["private-encrypted-a", "tick", "--app", "1", "--key", "key", "--secret", "secret"], more].concat();
            let error = parse::<Publish>(&line).unwrap().publish(io::empty()).await.unwrap_err();
            let error = format!("{error:#}");
            assert!(error.starts_with(expected) && !error.contains("c2hvcnQ="), "{error}");
        }
    }

    #[test]
    fn input_that_is_no_text_or_without_end_is_refused() {
        assert!(read_data(&[0xff][..]).is_err());
        assert!(read_data(io::repeat(b'a')).unwrap_err().to_string().contains("16777216"));
    }

    #[test]
    fn what_signs_is_needed() {
        let line = |left_out: &str| {
            let pairs = [["--app", "1"], ["--key", "key"], ["--secret", "secret"]];
            let given = pairs.into_iter().filter(|pair| pair[0] != left_out).flatten();
            let line: Vec<&str> = ["news", "tick"].into_iter().chain(given).collect();
            parse::<Publish>(&line).is_ok()
        };
        assert!(line(""));
        for left_out in ["--app", "--key", "--secret"] {
            assert!(!line(left_out), "{left_out}");
        }
    }
}
