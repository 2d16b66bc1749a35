//! A certificate that nobody knows, and streams that use it.

use std::sync::Arc;
use tidings_client::{ServerUrl, Tls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsAcceptor;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A listener on a free port, with TLS or without.
pub(crate) struct Server {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    /// Where it listens.
    pub(crate) url: ServerUrl,
    /// Trusts its certificate.
    pub(crate) tls: Tls,
}

impl Server {
    pub(crate) async fn plain() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
        Self { listener, acceptor: None, url, tls: Tls::new() }
    }

    pub(crate) async fn secure() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certified.cert.pem()).unwrap();
        let tls = Tls::with_authorities_of(&file).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], certified.signing_key.into())
            .unwrap();
        Self { listener, acceptor: Some(TlsAcceptor::from(Arc::new(config))), url, tls }
    }

    /// The next stream; `None` if its TLS fails.
    pub(crate) async fn accept(&self) -> Option<Box<dyn Duplex>> {
        let (stream, _) = self.listener.accept().await.unwrap();
        match &self.acceptor {
            Some(acceptor) => acceptor.accept(stream).await.ok().map(|stream| Box::new(stream) as Box<dyn Duplex>),
            None => Some(Box::new(stream)),
        }
    }
}

/// An address where nobody listens. The port stays taken while the socket lives, so that nobody else comes to listen there.
pub(crate) fn nowhere() -> (TcpSocket, ServerUrl) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap()).parse().unwrap();
    (socket, url)
}
