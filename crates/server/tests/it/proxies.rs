//! What stands in front of a server: proxies that name their clients, unix sockets, prefixes, origins.

use crate::client::{Client, FAILSAFE, PATH, dial, dial_from, handshake, signed_at};
use crate::scene::{Scene, eventually};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tempfile::TempDir;
use tidings_server::config;
use tidings_server::run::Server;

/// The proxy speaks from here; nobody else is trusted.
const PROXY: &str = "127.0.0.9";
const BEHIND: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.9\"]\n";
const ONE_EACH: &str = "[limits]\nshards = 1\nconnections_per_address = 1\n";

fn version_1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 40000 6001\r\n").into_bytes()
}

/// The binary form, with one further field that nobody here knows.
fn version_2(client: &str) -> Vec<u8> {
    let address: std::net::Ipv4Addr = client.parse().unwrap();
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14".to_vec();
    bytes.extend(address.octets());
    bytes.extend([127, 0, 0, 1, 0x9c, 0x40, 0x17, 0x71]);
    bytes.extend([0xe0, 0, 5, 1, 2, 3, 4, 5]);
    bytes
}

/// A connection of the proxy that begins with that header, all at once or byte by byte.
fn proxied(address: &str, header: &[u8], in_pieces: bool) -> TcpStream {
    use std::io::Write;
    let mut stream = dial_from(PROXY, address);
    if in_pieces {
        header.iter().for_each(|byte| stream.write_all(&[*byte]).unwrap());
    } else {
        stream.write_all(header).unwrap();
    }
    stream
}

/// The client is who the header says, so the limits of one address are its own.
#[test]
fn a_proxy_header_names_the_client() {
    let scene = Scene::new(&format!("{BEHIND}proxy_protocol = true\n{ONE_EACH}"));
    for (header, other) in [
        (version_1("192.0.2.1"), version_1("192.0.2.2")),
        (version_2("192.0.2.3"), version_2("192.0.2.4")),
        (b"PROXY TCP6 2001:db8::1 ::1 40000 6001\r\n".to_vec(), version_1("192.0.2.5")),
    ] {
        for in_pieces in [false, true] {
            let mut one = Client::open(proxied(scene.address(), &header, in_pieces));
            one.subscribe("news");
            let mut refused = Client::new(proxied(scene.address(), &header, false));
            let _ = refused.try_send(handshake(PATH, ""));
            assert!(refused.rest().is_empty(), "a second connection of one address");
            let mut other = Client::open(proxied(scene.address(), &other, in_pieces));
            other.publish_beside(&scene, &mut one);
            drop((one, other));
            scene.until(|gauges| gauges.connections == 0);
        }
    }
    // A proxy that speaks for itself is nobody's client.
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let [mut one, mut two] = [false, true].map(|in_pieces| Client::open(proxied(scene.address(), header, in_pieces)));
        one.subscribe("a");
        two.subscribe("a");
    }
    scene.server.stop();
}

/// Who is no trusted proxy cannot say who it is.
#[test]
fn others_cannot_name_themselves() {
    let scene = Scene::new(&format!("{BEHIND}proxy_protocol = true\n{ONE_EACH}"));
    let mut stranger = Client::new(dial_from("127.0.0.8", scene.address()));
    stranger.send(version_1("192.0.2.1"));
    let _ = stranger.try_send(handshake(PATH, ""));
    assert!(matches!(stranger.response().status, 400 | 0));
    // Without a header it is served as whoever connects.
    Client::open(dial_from("127.0.0.8", scene.address())).subscribe("news");
    // A proxy whose header is none is not served.
    for bad in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PROXY TCP4 nobody\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x9c\x40\x17\x71",
    ] {
        assert!(!Client::new(proxied(scene.address(), bad, false)).rest().starts_with(b"HTTP/1.1 2"));
    }
    scene.until(|gauges| gauges.connections == 0);
    scene.server.stop();
}

/// The header comes before TLS, in one piece or in many.
#[test]
fn a_proxy_header_precedes_tls() {
    let directory = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.path().join("cert.pem"), made.cert.pem()).unwrap();
    let tls = "tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n";
    let scene = Scene::within(directory, &format!("{BEHIND}proxy_protocol = true\n{tls}{ONE_EACH}"));
    let secured = |stream: TcpStream| {
        let connection = crate::tls::connection(made.cert.der());
        rustls::StreamOwned::new(connection, stream)
    };
    for header in [version_1("192.0.2.1"), version_2("192.0.2.1")] {
        for in_pieces in [false, true] {
            let mut one = Client::open(secured(proxied(scene.address(), &header, in_pieces)));
            one.subscribe("news");
            let mut second = Client::new(secured(proxied(scene.address(), &header, false)));
            assert!(second.try_send(handshake(PATH, "")).is_err() || second.rest().is_empty());
            drop(one);
            scene.until(|gauges| gauges.connections == 0);
        }
    }
    scene.server.stop();
}

/// P-2.3 row 10: of `X-Forwarded-For` the right-most hop counts that is not trusted, and only trusted proxies are believed.
#[test]
fn forwarded_clients_have_limits_of_their_own() {
    let scene = Scene::new(&format!("{BEHIND}{ONE_EACH}"));
    let open = |source: &str, hops: &str| {
        let mut client = Client::new(dial_from(source, scene.address()));
        client.send(handshake(PATH, &format!("X-Forwarded-For: {hops}\r\n")));
        client
    };
    let mut one = open(PROXY, "203.0.113.7, 192.0.2.1, 127.0.0.9");
    one.entered();
    assert_eq!(open(PROXY, "192.0.2.1").refusal(), 4100);
    assert_eq!(open(PROXY, "198.51.100.1, 192.0.2.1").refusal(), 4100);
    let mut other = open(PROXY, "192.0.2.1, 192.0.2.2");
    other.entered();
    // On a connection that asked for something else before, too.
    let mut late = Client::new(dial_from(PROXY, scene.address()));
    assert_eq!(late.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    late.send(handshake(PATH, "X-Forwarded-For: 192.0.2.3\r\n"));
    late.entered();
    late.subscribe("news");
    // Strangers may say what they like.
    let mut strangers: Vec<Client> = (0..3).map(|_| open("127.0.0.8", "192.0.2.1")).collect();
    strangers.iter_mut().for_each(Client::entered);
    drop(one);
    eventually("a place for the address", || {
        let mut again = open(PROXY, "192.0.2.1");
        assert_eq!(again.response().status, 101);
        (again.event().0 == "pusher:connection_established").then_some(())
    });
    scene.server.stop();
}

/// P-2.3 row 8: TLS at the proxy counts, if the proxy is trusted.
#[test]
fn forced_tls_may_end_at_a_trusted_proxy() {
    let app = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nforce_tls = true\n";
    let scene = Scene::new(&format!("{BEHIND}{app}"));
    for (source, more, admitted) in [
        (PROXY, "X-Forwarded-Proto: https\r\n", true),
        (PROXY, "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n", true),
        (PROXY, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: wss\r\n", true),
        (PROXY, "X-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.1\r\n", false),
        (PROXY, "X-Forwarded-Proto: https, http\r\n", false),
        (PROXY, "", false),
        ("127.0.0.8", "X-Forwarded-Proto: https\r\n", false),
        ("127.0.0.8", "X-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.9\r\n", false),
    ] {
        // At once, and after another request on the same connection.
        for past in [false, true] {
            let mut client = Client::new(dial_from(source, scene.address()));
            if past {
                assert_eq!(client.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
            }
            client.send(handshake(PATH, more));
            if admitted {
                client.entered();
            } else {
                assert_eq!(client.refusal(), 4000, "{source} {more}");
            }
        }
    }
    scene.server.stop();
}

/// A unix socket has the permissions that were asked for, outlives a crash of its server, and is not taken from one that runs.
#[test]
fn unix_sockets_are_listened_on() {
    let listener = "[[listeners]]\naddress = \"unix:tidings.sock\"\nmode = \"0620\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tidings.sock");
    // What a server leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let scene = Scene::within(directory, listener);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
    let dial = |path: &Path| {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(FAILSAFE)).unwrap();
        stream
    };
    let mut client = Client::open(dial(&path));
    client.subscribe("news");
    let mut publisher = Client::new(dial(&path));
    publisher.publish("news", "e", "1");
    assert_eq!(client.data_of("e"), "1");
    assert_eq!(publisher.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
    publisher.enter(PATH, "");
    publisher.subscribe("news");
    let config = config::load(Some(&scene.directory.path().join("tidings.toml"))).unwrap();
    let refusal = Server::start(config).map(drop).unwrap_err();
    assert!(format!("{refusal:#}").contains("another server listens here"), "{refusal:#}");
    scene.peer_at(1).publish("news", "e", "2");
    assert_eq!([client.data_of("e"), publisher.data_of("e")], ["2", "2"]);
    scene.server.stop();
}

/// P-2.9, P-10.10: a prefix may precede all paths, and signatures are right without it and with it.
#[test]
fn a_prefix_precedes_all_paths() {
    let scene = Scene::new("[[listeners]]\naddress = \"127.0.0.1:0\"\npath_prefix = \"/push/er\"\n");
    let mut client = scene.peer();
    client.enter("/push/er/app/key?protocol=7", "");
    client.subscribe("news");
    let mut peer = scene.peer();
    let body = r#"{"name":"e","channel":"news","data":"1"}"#;
    assert_eq!(peer.ask(signed_at("/push/er", "POST", "/apps/1/events", body, "")).status, 200);
    assert_eq!(peer.ask(signed_at("", "POST", "/push/er/apps/1/events", body, "")).status, 200);
    assert_eq!([client.data_of("e"), client.data_of("e")], ["1", "1"]);
    assert_eq!(peer.ask(signed_at("/push/er", "GET", "/apps/1/channels", "", "")).body, r#"{"channels":{"news":{}}}"#);
    assert_eq!(peer.ask(signed_at("", "POST", "/apps/1/events", body, "")).status, 200);
    assert_eq!(client.data_of("e"), "1");
    assert_eq!(peer.ask(signed_at("/push", "POST", "/apps/1/events", body, "")).status, 404);
    for path in ["/push/erapp/key?protocol=7", "/push/er/apps?protocol=7", "/other/app/key?protocol=7"] {
        assert_eq!(Client::refused(dial(scene.address()), path, ""), 4005, "{path}");
    }
    scene.server.stop();
}

/// P-2.10: an app that lists origins takes no other, and none that is not said.
#[test]
fn only_listed_origins_come_in() {
    let app = "[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\norigins = [\"https://example.com\"]\n";
    let scene = Scene::new(app);
    for past in [false, true] {
        for (origin, admitted) in [
            ("Origin: https://example.com\r\n", true),
            ("Origin: HTTPS://Example.com\r\n", true),
            ("Origin: https://example.com.evil.test\r\n", false),
            ("Origin: http://example.com\r\n", false),
            ("Origin: null\r\n", false),
            ("", false),
        ] {
            let mut client = scene.peer();
            if past {
                assert_eq!(client.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
            }
            client.send(handshake(PATH, origin));
            if admitted {
                client.entered();
            } else {
                assert_eq!(client.refusal(), 4009, "{origin}");
            }
        }
    }
    scene.server.stop();
}

impl Client {
    /// Two that are subscribed see the same.
    fn publish_beside(&mut self, scene: &Scene, other: &mut Self) {
        self.subscribe("news");
        scene.peer().publish("news", "e", "1");
        assert_eq!([self.data_of("e"), other.data_of("e")], ["1", "1"]);
    }
}
