//! Connects to a server: TCP, TLS, and what Redis wants to know before it listens.

use super::Fault;
use super::link::Link;
use crate::config::{RedisProtocol, RedisServer};
use redis::{Cmd, Value, cmd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::{SockRef, TcpKeepalive};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long TCP may take (W-2.5).
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a handshake, or the answer to a command, may take.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// W-2.5.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What carries bytes to a server.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Carrier for S {}

/// A connection of whatever kind.
pub(super) type AnyLink = Link<Box<dyn Carrier>>;

/// How a server is spoken to.
pub(super) struct Manner<'a> {
    pub(super) protocol: RedisProtocol,
    pub(super) database: u32,
    pub(super) ca_file: Option<&'a Path>,
    /// What is read of one value at most.
    pub(super) value_bytes_max: usize,
}

/// Connects, and gets in.
pub(super) async fn dial(server: &RedisServer, manner: &Manner<'_>) -> Result<AnyLink, Fault> {
    let stream = timeout(CONNECT_MAX, TcpStream::connect((server.host.as_str(), server.port))).await.map_err(|_| Fault::Timeout)??;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))?;
    let stream: Box<dyn Carrier> =
        if server.tls { Box::new(shake_hands(stream, &server.host, manner.ca_file).await?) } else { Box::new(stream) };
    let mut link = Link::new(stream, manner.value_bytes_max);
    enter(&mut link, server, manner).await?;
    Ok(link)
}

async fn shake_hands(stream: TcpStream, host: &str, ca_file: Option<&Path>) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    // Read each time, so that a new file is noticed.
    let roots = match ca_file {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => roots(path).map_err(|error| Fault::Certificates(format!("{}: {error}", path.display())))?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions that are built in")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Fault::Certificates(error.to_string()))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    Ok(timeout(ANSWER_MAX, connecting).await.map_err(|_| Fault::Timeout)??)
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

/// Says who comes, and to which database.
async fn enter<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, server: &RedisServer, manner: &Manner<'_>) -> Result<(), Fault> {
    let login = server.login.as_ref();
    match (manner.protocol, login) {
        (RedisProtocol::Resp3, login) => {
            let mut hello = cmd("HELLO");
            hello.arg(3);
            if let Some(login) = login {
                hello.arg("AUTH").arg(login.user.as_deref().unwrap_or("default")).arg(&login.password);
            }
            ask_in_secret(link, "HELLO", &hello).await?;
        }
        (RedisProtocol::Resp2, Some(login)) => {
            let mut auth = cmd("AUTH");
            if let Some(user) = &login.user {
                auth.arg(user);
            }
            ask_in_secret(link, "AUTH", auth.arg(&login.password)).await?;
        }
        (RedisProtocol::Resp2, None) => {}
    }
    if manner.database > 0 {
        ask(link, "SELECT", cmd("SELECT").arg(manner.database)).await?;
    }
    Ok(())
}

/// Sends a command and waits for its answer, which is no error.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, name: &'static str, command: &Cmd) -> Result<Value, Fault> {
    let answer = async {
        link.say(command).await?;
        link.value().await
    };
    match timeout(ANSWER_MAX, answer).await.map_err(|_| Fault::Timeout)?? {
        Value::ServerError(error) => Err(Fault::refused(name, &error)),
        value => Ok(value),
    }
}

/// The same for a command that holds a password: an older Redis repeats in its error what it did not understand.
async fn ask_in_secret<S: AsyncRead + AsyncWrite + Unpin>(link: &mut Link<S>, name: &'static str, command: &Cmd) -> Result<Value, Fault> {
    ask(link, name, command).await.map_err(|fault| match fault {
        Fault::Refused { command, code, .. } => Fault::Refused { command, code, text: String::new() },
        other => other,
    })
}
