//! Whom the tests of this crate talk to: listeners with TLS or without, that read requests as they come and answer as told.

use crate::Tls;
use crate::dial::Stream;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate for `localhost` that nobody knows.
pub(crate) struct Identity {
    acceptor: TlsAcceptor,
    /// Trusts it.
    pub(crate) tls: Tls,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, certified.cert.pem()).unwrap();
        let tls = Tls::with_authorities_of(&file).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], certified.signing_key.into())
            .unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), tls }
    }
}

/// A listener on a free port.
pub(crate) struct Peer {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    /// Host and port.
    pub(crate) place: String,
    /// The same as the start of a URL.
    pub(crate) url: String,
}

impl Peer {
    pub(crate) async fn plain() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        Self { listener, acceptor: None, url: format!("http://{place}"), place }
    }

    pub(crate) async fn secure(identity: &Identity) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("localhost:{}", listener.local_addr().unwrap().port());
        Self { listener, acceptor: Some(identity.acceptor.clone()), url: format!("https://{place}"), place }
    }

    /// The next stream; `None` if its TLS fails.
    pub(crate) async fn try_accept(&self) -> Option<Stream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        match &self.acceptor {
            Some(acceptor) => acceptor.accept(stream).await.ok().map(|stream| Box::new(stream) as Stream),
            None => Some(Box::new(stream)),
        }
    }

    pub(crate) async fn accept(&self) -> Stream {
        self.try_accept().await.unwrap()
    }

    /// Takes one request on a new stream and answers it with `answer` as it stands. Gives back both.
    pub(crate) async fn serve(&self, answer: impl AsRef<[u8]>) -> (String, Stream) {
        let mut stream = self.accept().await;
        let request = request(&mut stream).await;
        stream.write_all(answer.as_ref()).await.unwrap();
        stream.flush().await.unwrap();
        (request, stream)
    }

    /// Acts as a proxy for one connection until it ends. Gives back the head of its request.
    pub(crate) async fn tunnel(&self) -> String {
        let (head, mut stream) = self.serve("HTTP/1.1 200 Connection established\r\n\r\n").await;
        let target = head.split(' ').nth(1).unwrap();
        let mut there = TcpStream::connect(target).await.unwrap();
        // That either side hangs up without a goodbye of TLS is no matter.
        let _ = copy_bidirectional(&mut stream, &mut there).await;
        head
    }
}

/// A request: its head with lines that end with `\n`, an empty line, and the body as long as the head says.
pub(crate) async fn request(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().replace("\r\n", "\n");
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

/// The value of a header in a request.
pub(crate) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = request.split_once("\n\n").unwrap();
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .find(|(theirs, _)| theirs.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Host and port where nobody listens. The port stays taken while the socket lives, so that nobody else comes to listen there.
pub(crate) fn nowhere() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let place = socket.local_addr().unwrap().to_string();
    (socket, place)
}
