//! TLS that the server speaks itself: WebSocket and API, HTTP/2, certificates that change, handshakes that do not end.

use crate::client::{Client, Frame, PATH, dial, frame, handshake, signed, subscription};
use crate::scene::{Scene, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n\
                         [[listeners]]\naddress = \"127.0.0.1:0\"\n";

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Makes a certificate for localhost and leaves it where the configuration says.
pub(crate) fn certify(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

/// A server that speaks TLS on its first listener, and who believes in its certificate.
pub(crate) fn scene(text: &str) -> (Scene, CertificateDer<'static>) {
    let directory = TempDir::new().unwrap();
    let certificate = certify(directory.path());
    (Scene::within(directory, &format!("{LISTENERS}{text}")), certificate)
}

pub(crate) fn trust(certificate: &CertificateDer<'static>, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

pub(crate) fn connection(certificate: &CertificateDer<'static>) -> ClientConnection {
    ClientConnection::new(trust(certificate, &[]), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// A TLS connection whose handshake is done.
pub(crate) fn secure(address: &str, certificate: &CertificateDer<'static>) -> std::io::Result<Stream> {
    let mut stream = StreamOwned::new(connection(certificate), dial(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// P-2.1, P-10.1, P-2.3 row 8: sessions and requests over TLS, also one after the other on one connection.
#[test]
fn websocket_and_api_are_spoken_over_tls() {
    let app = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nforce_tls = true\n";
    let (scene, certificate) = scene(app);
    let mut one = Client::open(secure(scene.address(), &certificate).unwrap());
    one.subscribe("news");
    let mut peer = Client::new(secure(scene.address(), &certificate).unwrap());
    for number in 0..3 {
        peer.publish("news", "count", &number.to_string());
        assert_eq!(one.data_of("count"), number.to_string());
    }
    let listing = signed("GET", "/apps/1/channels", "", "");
    assert_eq!(peer.ask(&listing).body, r#"{"channels":{"news":{}}}"#);
    // The same connection becomes a session.
    peer.enter(PATH, "");
    peer.subscribe("news");
    let mut plain = Client::new(dial(&scene.server.addresses()[1]));
    plain.publish("news", "count", "3");
    assert_eq!([one.data_of("count"), peer.data_of("count")], ["3", "3"]);
    // So does a plain one, where this app is refused.
    assert_eq!(plain.ask(&listing).status, 200);
    plain.send(handshake(PATH, ""));
    assert_eq!(plain.refusal(), 4000);
    scene.server.stop();
}

/// P-2.1: on a plain connection too, the session may come after requests to the service and to the shard.
#[test]
fn a_connection_with_a_past_becomes_a_session() {
    let scene = Scene::new("");
    let mut control = scene.client();
    control.subscribe("news");
    for past in [vec![signed("GET", "/apps/1/channels", "", "")], vec![crate::client::publish("news", "e", "")], Vec::new()] {
        let mut client = scene.peer();
        past.iter().for_each(|request| assert_eq!(client.ask(request).status, 200));
        client.enter(PATH, "");
        client.subscribe("news");
        scene.peer().publish("news", "now", "");
        assert_eq!(client.event().0, "now");
    }
    scene.server.stop();
}

/// RFC 6455 has clients wait for the answer. One that does not, and puts all into one record, is understood too.
#[test]
fn what_comes_with_the_handshake_is_read() {
    let (scene, certificate) = scene("");
    let mut client = Client::new(secure(scene.address(), &certificate).unwrap());
    let subscribe = frame(0x81, subscription("", "news", None).as_bytes());
    // Longer than what is read for the head.
    let padding = frame(0x81, format!("{{\"event\":\"pusher:ping\",\"x\":\"{}\"}}", "y".repeat(4000)).as_bytes());
    client.send([handshake(PATH, "").as_bytes(), &padding, &padding, &subscribe].concat());
    client.entered();
    assert_eq!([client.event().0, client.event().0], ["pusher:pong", "pusher:pong"]);
    assert_eq!(client.event().0, "pusher_internal:subscription_succeeded");
    scene.server.stop();
}

/// HTTP/2 where it is agreed, with several requests at once.
#[test]
fn the_api_is_spoken_over_http2() {
    let (scene, certificate) = scene("");
    let mut subscriber = scene.client_at(1);
    subscriber.subscribe("news");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(trust(&certificate, &[b"h2", b"http/1.1"]));
        let tcp = tokio::net::TcpStream::connect(scene.address()).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let ask = |method: &str, path: &str, body: String| {
            let target = signed(method, path, &body, "").split(' ').nth(1).unwrap().to_owned();
            let request = http::Request::builder().method(method).uri(format!("https://localhost{target}"));
            let mut sender = sender.clone();
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            async move {
                let response = sender.send_request(request).await.unwrap();
                (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
            }
        };
        let event = serde_json::json!({ "name": "e", "channel": "news", "data": "1" }).to_string();
        let (published, listed, unknown) = tokio::join!(
            ask("POST", "/apps/1/events", event),
            ask("GET", "/apps/1/channels", String::new()),
            ask("GET", "/apps/1/nothing", String::new())
        );
        assert_eq!((published.0, &published.1[..]), (200, &b"{}"[..]));
        assert_eq!((listed.0, unknown.0), (200, 404));
    });
    assert_eq!(subscriber.data_of("e"), "1");
    scene.server.stop();
}

/// Certificates are those of the files, whenever they fit together.
#[test]
fn certificates_change_without_a_restart() {
    let (scene, first) = scene("");
    let mut early = Client::open(secure(scene.address(), &first).unwrap());
    let shown = |believed: &CertificateDer<'static>| {
        let stream = secure(scene.address(), believed)?;
        Ok::<_, std::io::Error>(stream.conn.peer_certificates().unwrap()[0].clone().into_owned())
    };
    assert_eq!(shown(&first).unwrap(), first);
    let second = certify(scene.directory.path());
    scene.server.reload_certificates();
    assert_eq!(shown(&second).unwrap(), second);
    assert!(shown(&first).is_err());
    std::fs::write(scene.directory.path().join("cert.pem"), "no certificate").unwrap();
    scene.server.reload_certificates();
    assert_eq!(shown(&second).unwrap(), second);
    // Who was there stays.
    early.subscribe("news");
    scene.server.stop();
}

/// A peer that does not shake hands is let go, and holds up only as many as there are places.
#[test]
fn handshakes_are_limited_in_number_and_time() {
    let (scene, certificate) = scene("[limits]\nshards = 1\ntls_handshakes = 1\n");
    // It says hello and hears the answer, so it has the only place; then it says nothing more.
    let mut holder = dial(scene.address());
    connection(&certificate).write_tls(&mut holder).unwrap();
    assert!(holder.read(&mut [0; 64]).unwrap() > 0);
    let left = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let next = scope.spawn(|| {
            let stream = secure(scene.address(), &certificate).unwrap();
            assert!(left.load(Ordering::SeqCst), "there was a second place");
            Client::open(stream)
        });
        // Meanwhile others are served.
        let mut plain = scene.client_at(1);
        plain.subscribe("news");
        let mut publisher = Client::new(dial(&scene.server.addresses()[1]));
        for number in 0..200 {
            publisher.publish("news", "count", &number.to_string());
            assert_eq!(plain.data_of("count"), number.to_string());
        }
        left.store(true, Ordering::SeqCst);
        drop(holder);
        next.join().unwrap().subscribe("news");
    });
    scene.server.stop();
    let (scene, _) = self::scene("[limits]\nshards = 1\ntls_timeout = \"100 ms\"\n");
    let mut silent = dial(scene.address());
    assert!(matches!(silent.read(&mut [0; 64]), Ok(0) | Err(_)), "the server lets it go");
    let mut noise = dial(scene.address());
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // An alert, perhaps, then the end.
    let _ = noise.read_to_end(&mut Vec::new());
    scene.until(|gauges| gauges.connections == 0);
    scene.server.stop();
}

/// P-18.3, P-18.17: what is larger than a record, in both directions, and to a peer that takes its time.
#[test]
fn large_messages_cross_tls_whole() {
    const SIZE: usize = 300_000;
    let app = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n\
               limits = { event_bytes = \"400 KiB\", message_bytes = \"500 KiB\", outbox_bytes = \"64 MiB\", client_events_per_second = 1000 }\n";
    let (scene, certificate) = scene(app);
    let mut sender = Client::open(secure(scene.address(), &certificate).unwrap());
    sender.subscribe("private-a");
    let mut lazy = Client::open(secure(scene.address(), &certificate).unwrap());
    lazy.subscribe("private-a");
    let data = |number: usize| format!("{number} {}", char::from(b'a' + number as u8 % 26).to_string().repeat(SIZE));
    for number in 0..40 {
        sender.say(&serde_json::json!({ "event": "client-e", "channel": "private-a", "data": data(number) }).to_string());
    }
    // All are taken, so twelve megabytes wait for the one who has read nothing yet.
    sender.say(r#"{"event":"pusher:ping"}"#);
    assert_eq!(sender.event().0, "pusher:pong");
    for number in 0..40 {
        assert!(lazy.data_of("client-e") == data(number), "event {number} came whole");
    }
    assert_eq!(scene.server.gauges().slow, 0);
    scene.server.stop();
}

/// A peer that has said all it will say is still owed the answer.
#[test]
fn the_half_closed_get_their_answers() {
    let (scene, certificate) = scene("");
    let plain = &scene.server.addresses()[1];
    for request in [crate::client::publish("news", "e", "1"), signed("GET", "/apps/1/channels", "", "")] {
        let tcp = dial(plain);
        let mut client = Client::new(tcp.try_clone().unwrap());
        client.send(&request);
        tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.response().status, 200, "{request}");
        assert!(client.rest().is_empty());
        let mut stream = secure(scene.address(), &certificate).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert_eq!(Client::new(stream).response().status, 200, "{request}");
    }
    // A close that is followed by the end at once is answered like any other.
    let tcp = dial(plain);
    let mut client = Client::open(tcp.try_clone().unwrap());
    client.send(frame(0x88, &1000_u16.to_be_bytes()));
    tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.frame(), Frame::Close(1000, String::new()));
    assert_eq!(client.frame(), Frame::End);
    // What was asked before the end is answered too.
    let tcp = dial(plain);
    let mut client = Client::open(tcp.try_clone().unwrap());
    client.say(r#"{"event":"pusher:ping"}"#);
    tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.event().0, "pusher:pong");
    eventually("no connection", || (scene.server.gauges().connections == 0).then_some(()));
    scene.server.stop();
}
