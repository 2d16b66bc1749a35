//! Pusher's fallback where the service beside the shards has the connection: over TLS, over HTTP/2, and behind other requests.

use crate::client::{Client, Frame, dial, dial_from, handshake, publish, signed, subscription};
use crate::poller::{messages, request, said};
use crate::scene::Scene;
use crate::tls::{scene, secure, trust};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::Shutdown;
use tidings_server::run::Gauges;

/// An app that takes no one who comes without TLS.
const FORCED: &str = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\nforce_tls = true\n\
                      [limits]\nshards = 2\n";
const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

/// P-19.3, P-19.5, P-2.3 row 8: polls and streams over TLS, on an app that wants TLS, among requests for other things.
#[test]
fn the_fallback_is_spoken_over_tls() {
    let (scene, certificate) = scene(FORCED);
    let mut peer = Client::new(secure(scene.address(), &certificate).unwrap());
    peer.poll_in("polls", "news");
    assert_eq!(peer.ask(HEALTH).status, 200);
    peer.publish("news", "e", "1");
    assert_eq!(peer.poll("polls")[0]["data"], "1");
    let mut stream = Client::new(secure(scene.address(), &certificate).unwrap());
    stream.send(request("streams", "xhr_streaming", ""));
    assert_eq!((stream.head().status, stream.chunk().unwrap().len(), stream.chunk().unwrap().as_str()), (200, 2049, "o\n"));
    assert_eq!(stream.streamed()[0]["event"], "pusher:connection_established");
    assert_eq!(peer.ask(request("streams", "xhr_send", &said(&subscription("", "news", None)))).status, 204);
    assert_eq!(stream.streamed()[0]["event"], "pusher_internal:subscription_succeeded");
    for number in 0..50 {
        peer.publish("news", "e", &number.to_string());
        assert_eq!(stream.streamed()[0]["data"], number.to_string());
    }
    assert_eq!(peer.poll("polls").len(), 50);
    // The same app without TLS: the session opens only to be told.
    let mut plain = scene.peer_at(1);
    assert_eq!(plain.ask(request("plain", "xhr", "")).body, "o\n");
    let refused = plain.ask(request("plain", "xhr", "")).body;
    assert!(refused.contains("4000"), "{refused}");
    scene.server.stop();
}

/// S-4.3, S-5.8, S-2.6, S-8.1: what needs no session is answered as it is elsewhere, and so is what a session does not take.
#[test]
fn answers_are_those_of_a_shard() {
    let (scene, certificate) = scene("");
    let preflight = "OPTIONS /pusher/app/key/1/s/xhr_send HTTP/1.1\r\nHost: x\r\nOrigin: http://a.example\r\n\
                     Access-Control-Request-Headers: content-type\r\n\r\n";
    let large = said(&"x".repeat(1 << 20));
    let chunked = |body: &str| {
        let head = request("nobody", "xhr_send", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
        format!("{head}{:x};a=b\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    let asking = request("nobody", "xhr_send", "[]").replace("Origin", "Expect: 100-continue\r\nOrigin");
    for (request, status) in [
        (preflight.to_owned(), 204),
        (request("nobody", "xhr_send", "[]"), 404),
        (request("nobody", "xhr_send", ""), 500),
        (request("nobody", "xhr_send", "no json"), 500),
        (request("nobody", "htmlfile", ""), 404),
        (request("nobody", "xhr_send", &large), 413),
        (chunked("[]"), 404),
        (chunked("no json"), 500),
        (chunked(&large), 413),
        (asking, 404),
    ] {
        let mut plain = scene.peer_at(1);
        let mut secure = Client::new(secure(scene.address(), &certificate).unwrap());
        let mut late = scene.peer_at(1);
        assert_eq!(late.ask(HEALTH).status, 200);
        let [plain, secure, late] = [&mut plain, &mut secure, &mut late].map(|client| {
            let mut response = client.ask(&request);
            while response.status == 100 {
                response = client.response();
            }
            response.headers.retain(|(name, _)| !matches!(name.as_str(), "date" | "expires" | "connection"));
            response.headers.sort();
            (response.status, response.headers, response.body)
        });
        assert_eq!(plain.0, status, "{:.100}", request);
        assert_eq!((&secure, &late), (&plain, &plain), "{:.100}", request);
    }
    scene.server.stop();
}

/// P-19.8, S-7.6: whoever waits and leaves is missed at once, however it came; what is sent meanwhile waits for the next poll.
#[test]
fn who_leaves_is_missed() {
    let (scene, certificate) = scene("");
    let plain = &scene.server.addresses()[1];
    for kind in ["shard", "past", "tls"] {
        let (tcp, mut waiting) = if kind == "tls" {
            let stream = secure(scene.address(), &certificate).unwrap();
            (stream.sock.try_clone().unwrap(), Client::new(stream))
        } else {
            let tcp = dial(plain);
            (tcp.try_clone().unwrap(), Client::new(tcp))
        };
        if kind == "past" {
            assert_eq!(waiting.ask(HEALTH).status, 200);
        }
        let mut other = scene.peer_at(1);
        waiting.poll_in(kind, "news");
        waiting.send(request(kind, "xhr", ""));
        assert_eq!(waiting.head().status, 200);
        // Two receivers at once cannot be: this is how the session says that it has one.
        assert!(other.ask(request(kind, "xhr", "")).body.contains("2010"), "{kind}");
        let connections = scene.server.gauges().connections;
        tcp.shutdown(Shutdown::Write).unwrap();
        scene.until(|gauges| gauges.connections < connections);
        scene.peer_at(1).publish("news", "e", kind);
        crate::scene::eventually("a session without a receiver", || {
            let body = other.ask(request(kind, "xhr", "")).body;
            (!body.contains("2010")).then(|| assert_eq!(messages(&body)[0]["data"], kind))
        });
    }
    scene.server.stop();
}

/// A trusted proxy keeps its connections, and says of each request who is behind it.
#[test]
fn a_proxy_is_believed_through_the_tunnel() {
    let app = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.9\"]\n";
    let scene = Scene::new(&format!("{app}{FORCED}"));
    for (source, proto, welcome) in [("127.0.0.9", "https", true), ("127.0.0.9", "http", false), ("127.0.0.8", "https", false)] {
        let mut client = Client::new(dial_from(source, scene.address()));
        assert_eq!(client.ask(HEALTH).status, 200);
        let session = format!("{}-{proto}", source.replace('.', "-"));
        let told = |text: &str| request(&session, "xhr", "").replace("Host: x", text);
        assert_eq!(client.ask(told(&format!("Host: x\r\nX-Forwarded-Proto: {proto}"))).body, "o\n");
        let body = client.ask(told("Host: x")).body;
        assert_eq!(body.contains("connection_established"), welcome, "{body}");
    }
    scene.server.stop();
}

/// A handshake of SockJS on a connection that has asked for something else before: accepted, and refused.
#[test]
fn a_handshake_goes_through_the_tunnel() {
    let (scene, certificate) = scene_with_trial();
    let late = || {
        let mut late = Client::new(secure(scene.address(), &certificate).unwrap());
        assert_eq!(late.ask(HEALTH).status, 200);
        late
    };
    assert_eq!(late().ask("GET /echo/1/s/websocket HTTP/1.1\r\nHost: x\r\n\r\n").status, 400);
    assert_eq!(late().ask(handshake("/disabled_websocket_echo/websocket", "")).status, 404);
    let mut late = late();
    assert_eq!(late.ask(handshake("/echo/websocket", "")).status, 101);
    late.say("hello");
    assert_eq!(late.frame(), Frame::Text("hello".to_owned()));
    drop(late);
    scene.until(Gauges::is_idle);
    scene.server.stop();
}

fn scene_with_trial() -> (Scene, CertificateDer<'static>) {
    let directory = tempfile::TempDir::new().unwrap();
    let certificate = crate::tls::certify(directory.path());
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"sockjs-trial\"]\n\
                    tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n";
    (Scene::within(directory, listener), certificate)
}

/// P-19.3 over HTTP/2: many sessions on one connection, each of which sees its own end.
#[test]
fn the_fallback_is_spoken_over_http2() {
    const SESSIONS: usize = 20;
    let (scene, certificate) = scene(FORCED);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = connect(scene.address(), &certificate).await;
        let names: Vec<String> = (0..SESSIONS).map(|number| format!("s{number}")).collect();
        let mut streams = Vec::new();
        for name in &names {
            let mut stream = Stream(ask(&connection, name, "xhr_streaming", "").await, String::new());
            assert_eq!((stream.line().await.len(), stream.line().await.as_str()), (2049, "o\n"));
            assert_eq!(messages(&stream.line().await)[0]["event"], "pusher:connection_established");
            streams.push(stream);
        }
        for (name, stream) in names.iter().zip(&mut streams) {
            let sent = ask(&connection, name, "xhr_send", &said(&subscription("", "news", None))).await;
            assert_eq!(sent.status(), 204);
            assert_eq!(messages(&stream.line().await)[0]["event"], "pusher_internal:subscription_succeeded");
        }
        let mut publisher = scene.peer_at(1);
        for number in 0..20 {
            publisher.publish("news", "e", &number.to_string());
        }
        for stream in &mut streams {
            let mut next = 0;
            while next < 20 {
                for message in messages(&stream.line().await) {
                    assert_eq!(message["data"], next.to_string());
                    next += 1;
                }
            }
        }
        // One leaves: its session, and nobody else's, takes another receiver.
        let connections = scene.server.gauges().connections;
        drop(streams.pop());
        while scene.server.gauges().connections > connections - 2 {
            tokio::task::yield_now().await;
        }
        publisher.publish("news", "e", "after");
        let body = ask(&connection, &names[SESSIONS - 1], "xhr", "").await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(messages(std::str::from_utf8(&body).unwrap())[0]["data"], "after");
        let taken = ask(&connection, &names[0], "xhr", "").await.into_body().collect().await.unwrap().to_bytes();
        assert!(taken.starts_with(b"c[2010"), "{taken:?}");
        assert_eq!(messages(&streams[0].line().await)[0]["data"], "after");
    });
    drop(runtime);
    scene.until(|gauges| gauges.connections == 0);
    assert_eq!(scene.server.gauges().panics, 0);
    scene.server.stop();
}

/// The lines of a body that lasts.
struct Stream(http::Response<Incoming>, String);

impl Stream {
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.1.find('\n') {
                return self.1.drain(..=end).collect();
            }
            let frame = self.0.body_mut().frame().await.expect("the stream goes on").unwrap();
            self.1.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

async fn connect(address: &str, certificate: &CertificateDer<'static>) -> SendRequest<Full<Bytes>> {
    let connector = tokio_rustls::TlsConnector::from(trust(certificate, &[b"h2"]));
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(connection: &SendRequest<Full<Bytes>>, session: &str, transport: &str, body: &str) -> http::Response<Incoming> {
    let uri = format!("https://localhost/pusher/app/key/1/{session}/{transport}?protocol=7");
    let request = http::Request::builder().method("POST").uri(uri).header("content-type", "application/json");
    let mut connection = connection.clone();
    connection.send_request(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await.unwrap()
}

/// P-17.4, S-8.5: a server that stops says so on every receiver that is left, and ends.
#[test]
fn a_stop_is_told_through_the_tunnel() {
    let (scene, certificate) = scene("");
    let mut waiting = Client::new(secure(scene.address(), &certificate).unwrap());
    waiting.poll_in("polls", "news");
    let mut stream = Client::new(secure(scene.address(), &certificate).unwrap());
    stream.send(request("streams", "xhr_streaming", ""));
    assert_eq!(stream.head().status, 200);
    for _ in 0..3 {
        stream.chunk().unwrap();
    }
    waiting.send(request("polls", "xhr", ""));
    assert_eq!(waiting.head().status, 200);
    let stopped = std::thread::spawn(move || scene.server.stop());
    // A poll takes both: there is no server for another one.
    let chunk = waiting.chunk().unwrap();
    let (error, close) = chunk.split_once('\n').unwrap();
    assert!(error.contains("pusher:error") && close.starts_with("c[4200,"), "{chunk}");
    assert_eq!(waiting.chunk(), None);
    let mut last = String::new();
    while let Some(chunk) = stream.chunk() {
        last = chunk;
    }
    assert!(last.starts_with("c[4200,"), "{last}");
    stopped.join().unwrap();
}

/// What is asked of the shards counts: a tunnel has two descriptors, and nothing of it stays.
#[test]
fn tunnels_leave_nothing() {
    let (scene, certificate) = scene("");
    let mut peer = Client::new(secure(scene.address(), &certificate).unwrap());
    peer.poll_in("polls", "news");
    scene.until(|gauges| gauges.connections == 1);
    peer.send(request("polls", "xhr", ""));
    assert_eq!(peer.head().status, 200);
    assert_eq!(scene.server.gauges().connections, 3);
    scene.peer_at(1).ask(publish("news", "e", "1"));
    assert_eq!(messages(&peer.chunk().unwrap())[0]["event"], "e");
    assert_eq!(peer.chunk(), None);
    scene.until(|gauges| gauges.connections == 1);
    assert_eq!(peer.ask(signed("GET", "/apps/1/channels", "", "")).body, r#"{"channels":{"news":{}}}"#);
    scene.server.stop();
}
