//! The first look at a request, as tables.

use super::*;
use crate::config::Address;
use crate::listener::tests::behind_a_proxy;

/// A listener with a relay.
fn relaying(prefix: &str, dialects: &[Dialect]) -> Listener {
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"a secret of its own\"\n";
    let world = crate::world::World::new(&format!("{app}[[listeners]]\ndialects = [\"wspush\"]\n[[wspush]]\napp = \"1\"\n"));
    let plain = listener(prefix, dialects, &[]);
    Listener::new(plain.config, None, &mount::Mounts::new(&[], &world.node.relays))
}

fn listener(prefix: &str, dialects: &[Dialect], trusted: &[&str]) -> Listener {
    let config = crate::config::Listener {
        address: Address::Tcp("127.0.0.1:6001".parse().unwrap()),
        dialects: dialects.to_vec(),
        path_prefix: prefix.to_owned(),
        tls: None,
        trusted_proxies: trusted.iter().map(|net| net.parse().unwrap()).collect(),
        proxy_protocol: false,
    };
    Listener::new(config, None, &mount::Mounts::new(&[], &[]))
}

/// What a request amounts to, in a word.
fn look(bytes: &[u8], listener: &Listener) -> String {
    match first(bytes, listener, 64, 16 * 1024) {
        First::TooLarge => "too large".to_owned(),
        First::Partial { head: false } => "partial head".to_owned(),
        First::Partial { head: true } => "partial body".to_owned(),
        First::Upgrade(head, Ok(_)) => format!("upgrade {} {}", head.path, head.query),
        First::Upgrade(_, Err(refusal)) => format!("no upgrade: {}", refusal.status()),
        First::Publish(head, body) => {
            let rest = bytes.len() - head.len;
            let close = if head.keep_alive { "" } else { ", close" };
            format!("publish {} with {}, {rest} more{close}", head.path, String::from_utf8_lossy(body))
        }
        First::PushiPublish(head, body) => {
            let Head { content_type, cookie, session, query, .. } = head;
            format!(
                "pushi publish {query} with {} as {content_type:?}, cookie {cookie:?}, session {session:?}",
                String::from_utf8_lossy(body)
            )
        }
        First::Stream(stream) => format!("stream of {} from {:?}", stream.app, stream.last_event_id),
        First::Relayed(relayed) => format!("relayed {} {}", relayed.head.method, relayed.head.path),
        First::Mounted(mounted) => {
            let rest = bytes.len() - mounted.head.len;
            let body = mounted.body.map(String::from_utf8_lossy);
            format!("{:?} of {} with {body:?}, {rest} more", mounted.route, mounted.found.key)
        }
        First::Other => "other".to_owned(),
        First::Bad(why) => why.to_owned(),
    }
}

fn check(listener: &Listener, cases: &[(&str, &str)]) {
    for (request, expected) in cases {
        // Line by line as written here.
        let bytes = request.replace('\n', "\r\n");
        assert_eq!(look(bytes.as_bytes(), listener), *expected, "{request}");
    }
}

const PUSHER: &[Dialect] = &[Dialect::Pusher];
const UPGRADE: &str = "Host: x\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";

/// I-4.18: a small publish over Pushi's REST API is the shard's, with what may name its session.
#[test]
fn pushi_publishes_are_told_apart() {
    let both = listener("", &[Dialect::Pusher, Dialect::PushiApi], &[]);
    check(
        &both,
        &[
            (
                "POST /events?sid=t HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}",
                "pushi publish sid=t with {} as None, cookie None, session None",
            ),
            (
                "POST /events HTTP/1.1\nContent-Type: application/json\nCookie: sid=c\nX-Session-Id: h\nContent-Length: 0\n\n",
                r#"pushi publish  with  as Some("application/json"), cookie Some("sid=c"), session Some("h")"#,
            ),
            ("POST /apps/1/events?auth_key=k HTTP/1.1\nContent-Length: 2\n\n{}", "publish /apps/1/events with {}, 0 more"),
            ("GET /events?sid=t HTTP/1.1\nHost: x\n\n", "other"),
            ("POST /subscriptions?sid=t HTTP/1.1\nContent-Length: 2\n\n{}", "other"),
        ],
    );
    check(&listener("", PUSHER, &[]), &[("POST /events?sid=t HTTP/1.1\nContent-Length: 2\n\n{}", "other")]);
}

/// Streams are the shard's, with where their readers were; whatever the method, it says why not.
#[test]
fn streams_are_told_apart() {
    let both = listener("/x", &[Dialect::Pusher, Dialect::Sse], &[]);
    check(
        &both,
        &[
            ("GET /apps/1/sse?key=k HTTP/1.1\nLast-Event-ID: 1-2\n\n", r#"stream of 1 from Some("1-2")"#),
            ("GET /x/apps/1/sse HTTP/1.1\n\n", "stream of 1 from None"),
            ("OPTIONS /apps/1/sse HTTP/1.1\n\n", "stream of 1 from None"),
            ("GET /apps/1/sse/ HTTP/1.1\n\n", "other"),
            ("GET /apps/1/channels HTTP/1.1\n\n", "other"),
        ],
    );
    check(&listener("", PUSHER, &[]), &[("GET /apps/1/sse HTTP/1.1\n\n", "other")]);
}

/// Design: routing. A relay gets what nothing else on its listener answers.
#[test]
fn relays_are_asked_last() {
    let alone = relaying("", &[Dialect::Wspush(String::new())]);
    let upgrade = |target: &str| format!("GET {target} HTTP/1.1\n{UPGRADE}");
    let (token, key, other) = (upgrade("/any?token=a"), upgrade("/app/key?token=a"), upgrade("/any"));
    check(
        &alone,
        &[
            (&token, "relayed GET /any"),
            (&key, "relayed GET /app/key"),
            (&other, "relayed GET /any"),
            ("GET /ping HTTP/1.1\n\n", "relayed GET /ping"),
            ("POST /ready HTTP/1.1\n\n", "relayed POST /ready"),
            ("GET /ready HTTP/1.1\n\n", "other"),
            ("GET /ready?token=a HTTP/1.1\n\n", "relayed GET /ready"),
            ("GET /apps/1/sse?token=a HTTP/1.1\n\n", "relayed GET /apps/1/sse"),
        ],
    );
    let all =
        relaying("", &[Dialect::Pusher, Dialect::Pushi, Dialect::PushiApi, Dialect::Sse, Dialect::Console, Dialect::Wspush(String::new())]);
    let pushi = upgrade(&format!("/{}?token=a", "k".repeat(64)));
    check(
        &all,
        &[
            (&token, "relayed GET /any"),
            (&key, "upgrade /app/key token=a"),
            (&other, "upgrade /any "),
            (&pushi, &format!("upgrade /{} token=a", "k".repeat(64))),
            ("GET /ping HTTP/1.1\n\n", "relayed GET /ping"),
            ("GET /sse?token=a HTTP/1.1\n\n", "relayed GET /sse"),
            ("GET /apps/1/sse?token=a HTTP/1.1\n\n", "stream of 1 from None"),
            ("GET /apps/1/channels?token=a HTTP/1.1\n\n", "other"),
            ("GET /events?token=a HTTP/1.1\n\n", "other"),
            ("GET /page.js HTTP/1.1\n\n", "other"),
        ],
    );
}

/// P-2.1, P-10.1: upgrades and small publishes are the shard's, all else is not.
#[test]
fn requests_are_told_apart() {
    let upgrade = format!("GET /app/key?protocol=7&client=js HTTP/1.1\n{UPGRADE}");
    check(
        &listener("", PUSHER, &[]),
        &[
            (&upgrade, "upgrade /app/key protocol=7&client=js"),
            (&upgrade.replace("13", "8"), "no upgrade: 426"),
            (&upgrade.replace("GET", "POST"), "no upgrade: 400"),
            (&upgrade.replace("HTTP/1.1", "HTTP/1.0"), "no upgrade: 400"),
            (&upgrade.replace("Upgrade: WebSocket", "Upgrade: h2c"), "other"),
            (&upgrade.replace("keep-alive, Upgrade", "keep-alive"), "other"),
            ("GET / HTTP/1.1\n\n", "other"),
            ("GET /apps/1/events HTTP/1.1\n\n", "other"),
            ("POST /apps/1/events HTTP/1.1\nContent-Length: 2\n\n{}", "publish /apps/1/events with {}, 0 more"),
            ("POST /apps/1/batch_events?a=b HTTP/1.1\nContent-Length: 2\n\n{}GET", "publish /apps/1/batch_events with {}, 3 more"),
            ("POST /apps/1/events HTTP/1.1\ncontent-LENGTH:  0 \n\n", "publish /apps/1/events with , 0 more"),
            ("POST /apps/1/channels/c/events HTTP/1.1\nContent-Length: 2\n\n{}", "other"),
            ("POST /apps/1/users/u/terminate_connections HTTP/1.1\nContent-Length: 0\n\n", "other"),
            ("POST /apps/events HTTP/1.1\nContent-Length: 2\n\n{}", "other"),
            ("PUT /apps/1/events HTTP/1.1\nContent-Length: 2\n\n{}", "other"),
        ],
    );
}

/// What is not a body of known and small length needs more than a glance; two lengths could be read in two ways.
#[test]
fn only_a_plain_length_is_the_shards() {
    let request = |headers: &str| format!("POST /apps/1/events HTTP/1.1\n{headers}\n\n{{}}");
    let listener = listener("", PUSHER, &[]);
    for (headers, expected) in [
        ("Content-Length: 2", "publish /apps/1/events with {}, 0 more"),
        ("Content-Length: 002", "publish /apps/1/events with {}, 0 more"),
        ("Content-Length: 3", "partial body"),
        ("Content-Length: 65536", "partial body"),
        ("Content-Length: 65537", "other"),
        ("Content-Length: 2\nContent-Length: 2", "other"),
        ("Content-Length: 2\nContent-Length: 0", "other"),
        ("Content-Length: 2, 2", "other"),
        ("Content-Length: +2", "other"),
        ("Content-Length: -2", "other"),
        ("Content-Length: 0x2", "other"),
        ("Content-Length: ", "other"),
        ("Content-Length: 99999999999999999999999", "other"),
        ("Transfer-Encoding: chunked", "other"),
        ("Content-Length: 2\nTransfer-Encoding: chunked", "other"),
        ("Transfer-Encoding: chunked\nContent-Length: 2", "other"),
        ("Content-Length: 2\nExpect: 100-continue", "other"),
        ("Accept: */*", "other"),
    ] {
        check(&listener, &[(&request(headers), expected)]);
    }
}

#[test]
fn a_request_that_is_none_is_refused() {
    let many = format!("GET / HTTP/1.1\n{}\n", "a: b\n".repeat(65));
    check(
        &listener("", PUSHER, &[]),
        &[
            ("hello\n\n", "this is not an HTTP/1.1 request"),
            ("GET / HTTP/2.0\n\n", "this is not an HTTP/1.1 request"),
            ("GET / HTTP/1.1\nno colon\n\n", "this is not an HTTP/1.1 request"),
            ("GET / HTTP/1.1\nContent-Length : 2\n\n", "this is not an HTTP/1.1 request"),
            (&many, "the request has too many headers"),
        ],
    );
    assert_eq!(look(b"\x16\x03\x01\x02\x00\x01\x00", &listener("", PUSHER, &[])), "this is not an HTTP/1.1 request");
}

/// Cut anywhere, a request is only partial, and says whether its head is there.
#[test]
fn a_request_may_come_in_pieces() {
    let listener = listener("", PUSHER, &[]);
    let publish = "POST /apps/1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    let head = publish.len() - 4;
    for cut in 0..publish.len() {
        let expected = if cut < head { "partial head" } else { "partial body" };
        assert_eq!(look(&publish.as_bytes()[..cut], &listener), expected, "{cut}");
    }
    let upgrade = format!("GET /app/key HTTP/1.1\n{UPGRADE}").replace('\n', "\r\n");
    for cut in 0..upgrade.len() {
        assert_eq!(look(&upgrade.as_bytes()[..cut], &listener), "partial head", "{cut}");
        assert!(!is_upgrade(&upgrade.as_bytes()[..cut]));
    }
    assert!(is_upgrade(upgrade.as_bytes()) && !is_upgrade(publish.as_bytes()));
}

/// P-2.9.
#[test]
fn a_prefix_may_come_first() {
    let publish = |path: &str| format!("POST {path} HTTP/1.1\nContent-Length: 0\n\n");
    for (path, expected) in [
        ("/x/apps/1/events", "publish /x/apps/1/events with , 0 more"),
        ("/apps/1/events", "publish /apps/1/events with , 0 more"),
        ("/xapps/1/events", "other"),
        ("/x/x/apps/1/events", "other"),
        ("/y/apps/1/events", "other"),
    ] {
        check(&listener("/x", PUSHER, &[]), &[(&publish(path), expected)]);
    }
    check(&listener("", &[Dialect::Metrics], &[]), &[(&publish("/apps/1/events"), "other")]);
}

#[test]
fn connections_are_kept_as_their_version_says() {
    let request = |version: &str, header: &str| format!("POST /apps/1/events HTTP/1.{version}\nContent-Length: 0\n{header}\n");
    for (version, header, keeps) in [
        ("1", "", true),
        ("1", "Connection: close\n", false),
        ("1", "Connection: Keep-Alive\n", true),
        ("1", "Connection: keep-alive, CLOSE\n", false),
        ("1", "Connection: x\nConnection: close\n", false),
        ("0", "", false),
        ("0", "Connection: keep-alive\n", true),
        ("0", "Connection: close\n", false),
    ] {
        let expected = format!("publish /apps/1/events with , 0 more{}", if keeps { "" } else { ", close" });
        check(&listener("", PUSHER, &[]), &[(&request(version, header), &expected)]);
    }
}

fn head<'a>(bytes: &'a str, listener: &Listener) -> Head<'a> {
    match first(bytes.as_bytes(), listener, 100, 16 * 1024) {
        First::Upgrade(head, Ok(_)) => head,
        _ => panic!("no upgrade: {bytes}"),
    }
}

/// A proxy that adds a line of its own, as HAProxy does, leaves those of the client before it.
#[test]
fn a_client_cannot_name_itself_through_a_proxy() {
    let listener = behind_a_proxy(false);
    let proxy = Some("10.0.0.1".parse().unwrap());
    for (headers, client, secure) in [
        ("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "192.0.2.7", true),
        ("X-Forwarded-For: 203.0.113.9, 192.0.2.7, 10.0.0.2\r\n", "192.0.2.7", false),
        (
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n",
            "192.0.2.7",
            false,
        ),
    ] {
        let request = format!(
            "GET /app/k?protocol=7 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        let head = head(&request, &listener);
        assert_eq!(client_address(&listener, proxy, head.forwarded_for), Some(client.parse().unwrap()), "{headers}");
        assert_eq!(is_secure(&listener, false, proxy, head.forwarded_proto), secure, "{headers}");
        // Nobody else is believed.
        let stranger = Some("198.51.100.1".parse().unwrap());
        assert_eq!(client_address(&listener, stranger, head.forwarded_for), stranger);
        assert!(!is_secure(&listener, false, stranger, head.forwarded_proto));
    }
}

/// Only what trusted hops say is believed, from the right.
#[test]
fn the_client_is_the_last_hop_that_is_not_trusted() {
    let behind = listener("", PUSHER, &["10.0.0.0/8", "::1/128"]);
    let open = listener("", PUSHER, &[]);
    for (listener, peer, forwarded, expected) in [
        (&open, Some("192.0.2.1"), Some("1.1.1.1"), Some("192.0.2.1")),
        (&open, None, Some("1.1.1.1"), None),
        (&behind, Some("192.0.2.1"), Some("1.1.1.1"), Some("192.0.2.1")),
        (&behind, Some("10.0.0.1"), None, Some("10.0.0.1")),
        (&behind, Some("10.0.0.1"), Some("1.1.1.1"), Some("1.1.1.1")),
        (&behind, Some("::ffff:10.0.0.1"), Some("1.1.1.1"), Some("1.1.1.1")),
        (&behind, Some("::1"), Some("2001:db8::1"), Some("2001:db8::1")),
        (&behind, Some("10.0.0.1"), Some("6.6.6.6, 1.1.1.1"), Some("1.1.1.1")),
        (&behind, Some("10.0.0.1"), Some("6.6.6.6,1.1.1.1 , 10.9.9.9"), Some("1.1.1.1")),
        (&behind, Some("10.0.0.1"), Some("10.1.1.1, 10.2.2.2"), Some("10.1.1.1")),
        (&behind, Some("10.0.0.1"), Some("1.1.1.1, unknown"), Some("10.0.0.1")),
        (&behind, Some("10.0.0.1"), Some("1.1.1.1, unknown, 10.2.2.2"), Some("10.2.2.2")),
        (&behind, Some("10.0.0.1"), Some(""), Some("10.0.0.1")),
        (&behind, None, Some("1.1.1.1"), Some("1.1.1.1")),
    ] {
        let found = client_address(listener, peer.map(|peer| peer.parse().unwrap()), forwarded);
        assert_eq!(found, expected.map(|expected| expected.parse().unwrap()), "{peer:?} says {forwarded:?}");
    }
}

/// P-2.3 row 8: TLS here, or at a trusted proxy.
#[test]
fn tls_may_end_at_a_trusted_proxy() {
    let behind = listener("", PUSHER, &["10.0.0.0/8"]);
    let open = listener("", PUSHER, &[]);
    for (listener, tls, peer, proto, expected) in [
        (&open, true, Some("192.0.2.1"), None, true),
        (&open, false, Some("192.0.2.1"), None, false),
        (&open, false, Some("192.0.2.1"), Some("https"), false),
        (&open, false, None, Some("https"), false),
        (&behind, false, Some("192.0.2.1"), Some("https"), false),
        (&behind, false, Some("10.0.0.1"), None, false),
        (&behind, false, Some("10.0.0.1"), Some("https"), true),
        (&behind, false, Some("10.0.0.1"), Some("WSS"), true),
        (&behind, false, Some("10.0.0.1"), Some("http"), false),
        (&behind, false, Some("10.0.0.1"), Some("https, http"), false),
        (&behind, false, Some("10.0.0.1"), Some("http , https"), true),
        (&behind, false, None, Some("https"), true),
        (&behind, true, Some("10.0.0.1"), Some("http"), true),
    ] {
        let found = is_secure(listener, tls, peer.map(|peer| peer.parse().unwrap()), proto);
        assert_eq!(found, expected, "{peer:?} says {proto:?}");
    }
}

/// P-19.3, S-5.2: Pusher's fallbacks are the shard's, unless their body is not there yet and does not say how long it is. What could be read in two ways is not read.
#[test]
fn fallbacks_are_the_shards() {
    let listener = listener("", PUSHER, &[]);
    let send = |headers: &str, body: &str| format!("POST /pusher/app/k/1/s/xhr_send HTTP/1.1\n{headers}\n\n{body}");
    let sends = |body: &str, rest: usize| format!("Ok(Send {{ session: \"s\", how: Xhr }}) of k with {body}, {rest} more");
    for (request, expected) in [
        (
            "POST /pusher/app/k/1/s/xhr HTTP/1.1\n\nGET".to_owned(),
            "Ok(Receive { session: \"s\", transport: Xhr }) of k with Some(\"\"), 3 more".to_owned(),
        ),
        ("GET /pusher/app/k/1/s/eventsource HTTP/1.1\n\n".to_owned(), "Err(Path) of k with Some(\"\"), 0 more".to_owned()),
        (
            "GET /pusher/app/k/1/s/xhr HTTP/1.1\n\n".to_owned(),
            "Err(Method { allow: \"POST, OPTIONS\" }) of k with Some(\"\"), 0 more".to_owned(),
        ),
        ("POST /pushers/app/k/1/s/xhr HTTP/1.1\n\n".to_owned(), "other".to_owned()),
        (send("Content-Length: 2", "[]x"), sends("Some(\"[]\")", 1)),
        (send("Content-Length: 3", "[]"), "partial body".to_owned()),
        (send("Content-Length: 1048577", "[]"), sends("None", 2)),
        (send("Content-Length: 2\nContent-Length: 2", "[]"), sends("None", 2)),
        (send("Content-Length: +2", "[]"), sends("None", 2)),
        (send("Content-Length: 2\nTransfer-Encoding: chunked", "[]"), sends("None", 2)),
        (send("Transfer-Encoding: gzip, chunked", "[]"), sends("None", 2)),
        (send("Transfer-Encoding: chunked", "2\r\n[]\r\n0\r\n\r\n"), "other".to_owned()),
        (send("Content-Length: 2\nExpect: 100-continue", ""), "other".to_owned()),
        ("GET /pusher/app/k HTTP/1.1\n\n".to_owned(), "other".to_owned()),
    ] {
        assert_eq!(look(request.as_bytes(), &listener), expected, "{request}");
    }
}
