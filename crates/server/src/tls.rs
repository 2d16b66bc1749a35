//! TLS of a listener: its certificate, which can change while it runs, and handshakes, limited in number and time.

use crate::config;
use crate::http::line::Stream;
use crate::http::proxy::{self, Proxied};
use crate::http::service;
use crate::listener::assign;
use crate::node::Node;
use crate::shard::Arrival;
use crate::shard::socket::Socket;
use crate::shard::tls::TlsSocket;
use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What a listener needs to accept TLS.
pub(crate) struct Acceptor {
    files: config::Tls,
    certificate: Arc<Certificate>,
    acceptor: TlsAcceptor,
    /// Handshakes that may go on at once.
    places: Arc<Semaphore>,
}

/// The certificate of the moment.
#[derive(Debug)]
struct Certificate(ArcSwap<Loaded>);

#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    modified: [Option<SystemTime>; 2],
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

impl Acceptor {
    /// Reads the certificate.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(crate) fn new(files: &config::Tls, handshakes_max: usize) -> anyhow::Result<Self> {
        let certificate = Arc::new(Certificate(ArcSwap::from_pointee(load(files)?)));
        let resolver = Arc::<Certificate>::clone(&certificate);
        let mut config = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let places = Arc::new(Semaphore::new(handshakes_max));
        Ok(Self { files: files.clone(), certificate, acceptor: TlsAcceptor::from(Arc::new(config)), places })
    }

    /// Takes the files as they are now, if they changed. What is there stays if they are broken.
    ///
    /// # Errors
    /// What is wrong with the files.
    pub(crate) fn reload(&self) -> anyhow::Result<bool> {
        if self.certificate.0.load().modified == modified(&self.files) {
            return Ok(false);
        }
        self.certificate.0.store(Arc::new(load(&self.files)?));
        Ok(true)
    }
}

fn load(files: &config::Tls) -> anyhow::Result<Loaded> {
    let modified = modified(files);
    let certificate = files.certificate.display();
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate {certificate}"))?;
    anyhow::ensure!(!chain.is_empty(), "{certificate} holds no certificate");
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("cannot read the key {}", files.key.display()))?;
    let provider = rustls::crypto::CryptoProvider::get_default().context("no provider of cryptography is installed")?;
    let key =
        CertifiedKey::from_der(chain, key, provider).with_context(|| format!("{certificate} and {} do not fit", files.key.display()))?;
    Ok(Loaded { key: Arc::new(key), modified })
}

fn modified(files: &config::Tls) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// Shakes hands beside the shards, then brings the socket to one, or to the service if it asks for that.
pub(crate) fn start(node: &Arc<Node>, arrival: Arrival) {
    let node = Arc::clone(node);
    let runtime = node.runtime.clone();
    runtime.spawn(async move {
        let limit = node.limits.tls_timeout;
        if let Err(error) =
            tokio::time::timeout(limit, shake_hands(&node, arrival)).await.unwrap_or_else(|_| Err(anyhow::anyhow!("timed out")))
        {
            tracing::debug!(%error, "tls handshake failed");
        }
    });
}

async fn shake_hands(node: &Arc<Node>, mut arrival: Arrival) -> anyhow::Result<()> {
    let listener = Arc::clone(&arrival.listener);
    let tls = listener.tls.as_ref().context("the listener speaks no TLS")?;
    let Socket::Plain(stream) = arrival.socket else { anyhow::bail!("TLS is spoken over TCP only") };
    let mut stream = TcpStream::from_std(stream.into())?;
    if listener.expects_proxy_header(arrival.peer.hop) {
        let address = read_proxy_header(&mut stream).await?;
        arrival.peer.was_named(address, node, &listener)?;
    }
    let place = Arc::clone(&tls.places).acquire_owned().await?;
    let mut stream = tls.acceptor.accept(stream).await?;
    drop(place);
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        service::serve_http2(node, stream, arrival.peer, listener, arrival.guard);
        return Ok(());
    }
    let head = read_head(&mut stream, node.limits.header_bytes).await?;
    if !crate::http::is_upgrade(&head) {
        service::serve_http1(node, Stream::Tls(Box::new(stream)), head, arrival.peer, listener, arrival.guard);
        return Ok(());
    }
    let (stream, tls) = stream.into_inner();
    let socket = Socket::Tls(Box::new(TlsSocket::new(mio::net::TcpStream::from_std(stream.into_std()?), tls)));
    assign(node, Arrival { socket, read: head, peer: arrival.peer, listener, guard: arrival.guard, upgraded: None, begun: false });
    Ok(())
}

/// Reads the first request's head, and perhaps more.
async fn read_head(stream: &mut tokio_rustls::server::TlsStream<TcpStream>, max: usize) -> anyhow::Result<Vec<u8>> {
    let mut head = Vec::new();
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() && head.len() < max {
        if stream.read_buf(&mut head).await? == 0 {
            anyhow::bail!("closed before a request came");
        }
    }
    Ok(head)
}

/// Reads the PROXY header, and nothing behind it: TLS begins there.
async fn read_proxy_header(stream: &mut TcpStream) -> anyhow::Result<Option<std::net::IpAddr>> {
    let mut header = Vec::new();
    let mut bytes = [0; proxy::HEADER_MAX];
    loop {
        let peeked = stream.peek(&mut bytes).await?;
        let before = header.len();
        header.extend_from_slice(&bytes[..peeked]);
        match proxy::read(&header) {
            Proxied::Header { len, address } => {
                stream.read_exact(&mut bytes[..len - before]).await?;
                return Ok(address);
            }
            // All of it belongs to the header, so it can be taken away, and the rest waited for.
            Proxied::Partial if peeked > 0 => {
                stream.read_exact(&mut bytes[..peeked]).await?;
            }
            Proxied::Partial | Proxied::Bad => anyhow::bail!("no PROXY header"),
        }
    }
}
