//! Relays of real Redis servers (W-2): what is published there reaches whoever is on the channel, in order, whatever happens to Redis.

use super::client::Client;
use super::redis::{Redis, publish, publish_all, sentinel, with_redis};
use super::scene::{Scene, eventually};
use redis::cmd;
use tempfile::TempDir;

const LISTENERS: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"pusher\", \"sse\"]\n\
                         [[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = [\"metrics\"]\n";

/// A server whose relay `news` has these settings.
fn scene(settings: &str) -> Scene {
    scene_in(tempfile::tempdir().unwrap(), settings)
}

fn scene_in(directory: TempDir, settings: &str) -> Scene {
    let relay = format!("[[wspush]]\nname = \"news\"\napp = \"1\"\n{settings}\n");
    Scene::within(directory, &format!("{LISTENERS}{relay}[limits]\nshards = 2\n"))
}

/// The same for a Redis that wants to know nothing, and the relay has subscribed.
fn with(redis: &Redis, settings: &str) -> Scene {
    let scene = scene(&format!("redis = \"127.0.0.1:{}\"\n{settings}", redis.port));
    redis.until_subscribed(1);
    scene
}

/// What the metrics page says of the relay.
fn counted(scene: &Scene, name: &str) -> u64 {
    let page = scene.peer_at(1).ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").body;
    let start = format!("tidings_{name}{{relay=\"news\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

fn until_counted(scene: &Scene, name: &str, count: u64) {
    eventually(&format!("{name} to be {count}"), || (counted(scene, name) == count).then_some(()));
}

/// A stream of server-sent events of one channel.
struct Stream {
    client: Client,
    text: String,
}

impl Stream {
    fn open(scene: &Scene, channel: &str) -> Self {
        let mut client = scene.peer();
        client.send(format!("GET /apps/1/sse?key=key&channel={channel} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(client.head().status, 200);
        let mut stream = Self { client, text: String::new() };
        assert_eq!(stream.event().0, "tidings:subscribed");
        stream
    }

    /// The next event's name and data.
    fn event(&mut self) -> (String, String) {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = line("event: ").map(|event| (event, line("data: ").unwrap_or_default()));
                self.text = rest.to_owned();
                if let Some(found) = found {
                    return found;
                }
            }
            self.text.push_str(&self.client.chunk().expect("the stream goes on"));
        }
    }
}

/// W-2.1, W-2.2, W-2.7, W-2.8: a hundred messages, whatever it takes to get in.
fn relays(scene: &Scene, redis: &Redis) {
    let mut subscriber = scene.client();
    subscriber.subscribe("Foo");
    redis.until_subscribed(1);
    let receivers = publish_all(&mut redis.connect(), (0..100).map(|number| ("example.Foo", format!("{number} grüße"))));
    assert_eq!(receivers, [1; 100]);
    for number in 0..100 {
        assert_eq!(subscriber.event(), ("message".to_owned(), "Foo".to_owned(), format!("{number} grüße")));
    }
    assert_eq!(counted(scene, "redis_connected"), 1);
}

#[test]
fn resp2_and_resp3_are_spoken() {
    if !with_redis() {
        return;
    }
    for protocol in ["resp2", "resp3"] {
        let redis = Redis::start();
        relays(&with(&redis, &format!("redis_protocol = \"{protocol}\"")), &redis);
    }
}

/// W-2.8: a user, the user that every Redis has, and a database; in both protocols, as they log in differently.
#[test]
fn users_get_in() {
    if !with_redis() {
        return;
    }
    let users: [(&[&str], &str); 2] = [
        (&["--requirepass", "p@ss:/word"], ":p%40ss%3A%2Fword@"),
        (&["--user", "default", "off", "--user", "anna", "on", ">geheim", "+@all", "~*", "&*"], "anna:geheim@"),
    ];
    for (arguments, login) in users {
        let redis = Redis::with(arguments, login);
        for protocol in ["resp2", "resp3"] {
            let url = format!("redis://{login}127.0.0.1:{}/3", redis.port);
            let scene = scene(&format!("redis = \"{url}\"\nredis_protocol = \"{protocol}\""));
            relays(&scene, &redis);
            scene.server.stop();
            redis.until_subscribed(0);
        }
        let scene = scene(&format!("redis = \"redis://anna:wrong@127.0.0.1:{}\"", redis.port));
        let refused = || !redis.ask::<Vec<redis::Value>>(&["ACL", "LOG"]).is_empty();
        eventually("an attempt", || refused().then_some(()));
        assert_eq!((counted(&scene, "redis_connected"), counted(&scene, "wspush_redis_losses_total")), (0, 0));
    }
}

/// W-2.8: what the manual says is all that a user needs.
#[test]
fn users_need_not_be_allowed_much() {
    if !with_redis() {
        return;
    }
    let rights: [(&str, &[&str]); 3] = [("", &[]), ("/2", &["+select"]), ("/0\"\nredis_protocol = \"resp3", &["+hello"])];
    for (more, right) in rights {
        let user = ["--user", "relay", "on", ">password", "resetchannels", "&example.*", "-@all", "+psubscribe", "+ping"];
        let redis = Redis::with(&[&user, right].concat(), "");
        relays(&scene(&format!("redis = \"redis://relay:password@127.0.0.1:{}{more}\"", redis.port)), &redis);
        for command in ["PSUBSCRIBE example.*", "PING"] {
            let words: Vec<_> = ["ACL", "DRYRUN", "relay"].into_iter().chain(command.split(' ')).collect();
            assert_eq!(redis.ask::<String>(&words), "OK", "{command}");
        }
    }
}

/// W-2.8: a certificate is checked against the file, and nobody is let in without one that fits.
#[test]
fn tls_is_spoken() {
    if !with_redis() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    super::tls::certify(directory.path());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let tls_port = super::redis::free_port().to_string();
    let arguments =
        ["--tls-port", &tls_port, "--tls-cert-file", &path("cert.pem"), "--tls-key-file", &path("key.pem"), "--tls-auth-clients", "no"];
    let redis = Redis::with(&arguments, "");
    relays(&scene(&format!("redis = \"rediss://localhost:{tls_port}\"\nredis_ca_file = \"{}\"", path("cert.pem"))), &redis);
    redis.until_subscribed(0);
    // The same certificate is not for that address, and another is not trusted.
    let other = tempfile::tempdir().unwrap();
    super::tls::certify(other.path());
    for (host, file) in [("127.0.0.1", path("cert.pem")), ("localhost", other.path().join("cert.pem").display().to_string())] {
        let before: usize = attempts(&redis);
        let scene = scene(&format!("redis = \"rediss://{host}:{tls_port}\"\nredis_ca_file = \"{file}\""));
        eventually("three attempts", || (attempts(&redis) >= before + 3).then_some(()));
        assert_eq!(counted(&scene, "redis_connected"), 0);
    }
}

/// How many connections were begun.
fn attempts(redis: &Redis) -> usize {
    let stats: String = redis.ask(&["INFO", "stats"]);
    stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap().trim().parse().unwrap()
}

/// W-2.2, W-2.3, W-2.6: what is behind the prefix is the token, byte for byte, and the prefix is no pattern.
#[test]
fn prefixes_and_tokens_are_taken_literally() {
    if !with_redis() {
        return;
    }
    let redis = Redis::start();
    for prefix in ["", "example.", "a*[b]?\\^-.", "grüße:"] {
        let scene = with(&redis, &format!("prefix = '{prefix}'"));
        let tokens = ["Foo", "foo", "a.b.c", "x.y,z;a=b@c_d-e"];
        let mut subscribers = tokens.map(|token| {
            let mut client = scene.client();
            client.subscribe(token);
            client
        });
        let mut stream = Stream::open(&scene, "gr%C3%BC%C3%9Fe%20%2A");
        let mut connection = redis.connect();
        let mut publish = |token: &str, data: &str| publish(&mut connection, format!("{prefix}{token}").as_bytes(), data.as_bytes());
        for token in tokens {
            assert_eq!(publish(token, token), 1);
        }
        publish("grüße *", "one");
        if !prefix.is_empty() {
            publish("", "nobody can have it");
        }
        publish(&"x".repeat(129), "nobody can have it either");
        publish("grüße *", "two");
        for (token, subscriber) in tokens.iter().zip(&mut subscribers) {
            assert_eq!(subscriber.event(), ("message".to_owned(), (*token).to_owned(), (*token).to_owned()));
        }
        for data in ["one", "two"] {
            assert_eq!(stream.event(), ("message".to_owned(), data.to_owned()));
        }
        let (seen, lost) = if prefix.is_empty() { (7, 1) } else { (8, 2) };
        assert_eq!((counted(&scene, "wspush_messages_seen_total"), counted(&scene, "wspush_unroutable_messages_total")), (seen, lost));
        if prefix.starts_with('a') {
            // What the pattern would mean if it were one.
            assert_eq!(cmd("PUBLISH").arg("axxb?^-.Foo").arg("x").query::<usize>(&mut connection).unwrap(), 0);
        }
        scene.server.stop();
        redis.until_subscribed(0);
    }
}

/// W-2.7: data is bytes. What is no text has no form in these dialects, and hurts nobody.
#[test]
fn data_may_be_anything() {
    if !with_redis() {
        return;
    }
    let redis = Redis::start();
    let scene = with(&redis, "message_bytes = \"1 MiB\"");
    let (mut subscriber, mut stream) = (scene.client(), Stream::open(&scene, "Foo"));
    subscriber.subscribe("Foo");
    let mut connection = redis.connect();
    let large = "x".repeat(1024 * 1024);
    for data in [&b"\xff\xfe\0"[..], b"", b"\r\n\0\n", large.as_bytes(), b"last"] {
        assert_eq!(publish(&mut connection, b"example.Foo", data), 1);
    }
    for data in ["", "\r\n\0\n", &large, "last"] {
        assert_eq!(subscriber.data_of("message"), data);
    }
    assert_eq!(stream.event(), ("message".to_owned(), String::new()));
}

/// Too large for the relay, though not for Redis: refused and counted, and what follows arrives.
#[test]
fn payloads_of_64_megabytes_are_refused() {
    if !with_redis() {
        return;
    }
    let redis = Redis::with(&["--client-output-buffer-limit", "pubsub 0 0 0"], "");
    let scene = with(&redis, "message_bytes = \"1 MiB\"");
    let mut subscriber = scene.client();
    subscriber.subscribe("Foo");
    let mut connection = redis.connect();
    let huge = vec![b'x'; 64 * 1024 * 1024];
    for round in 0..3 {
        assert_eq!(publish(&mut connection, b"example.Foo", &huge), 1);
        assert_eq!(publish(&mut connection, b"example.Foo", &huge[..1024 * 1024 + 1]), 1);
        assert_eq!(publish(&mut connection, b"example.Foo", round.to_string().as_bytes()), 1);
        assert_eq!(subscriber.data_of("message"), round.to_string());
    }
    assert_eq!(counted(&scene, "wspush_too_large_messages_total"), 6);
    assert_eq!((counted(&scene, "redis_connected"), counted(&scene, "wspush_redis_losses_total")), (1, 0));
    let held = scene.until(|gauges| gauges.events == 0).held_bytes;
    assert_eq!(held, 0, "nothing of it is kept");
}

/// W-2.5: killed and started again under load. All that Redis handed to the relay arrives, in order, and where some may be missing a stream is
/// told so.
#[test]
fn a_redis_that_comes_back_is_found() {
    const ROUNDS: usize = 5;
    const EACH: usize = 2_000;
    if !with_redis() {
        return;
    }
    let mut redis = Redis::start();
    let scene = with(&redis, "");
    let (mut subscriber, mut stream) = (scene.client(), Stream::open(&scene, "Foo"));
    subscriber.subscribe("Foo");
    for round in 0..ROUNDS {
        let messages = (0..EACH).map(|number| ("example.Foo", format!("{round} {number}")));
        assert_eq!(publish_all(&mut redis.connect(), messages), [1; EACH]);
        redis.kill();
        until_counted(&scene, "redis_connected", 0);
        redis.start_again();
        redis.until_subscribed(1);
    }
    publish(&mut redis.connect(), b"example.Foo", b"end");
    for round in 0..ROUNDS {
        for number in 0..EACH {
            assert_eq!(subscriber.data_of("message"), format!("{round} {number}"));
            assert_eq!(stream.event(), ("message".to_owned(), format!("{round} {number}")));
        }
        assert_eq!(stream.event(), ("tidings:gap".to_owned(), "{\"channel\":\"Foo\"}".to_owned()));
    }
    assert_eq!(subscriber.data_of("message"), "end");
    assert_eq!(stream.event(), ("message".to_owned(), "end".to_owned()));
    let counts = ["wspush_redis_losses_total", "wspush_redis_reconnects_total", "redis_connected"].map(|name| counted(&scene, name));
    assert_eq!(counts, [ROUNDS as u64, ROUNDS as u64, 1]);
}

/// A Redis that is not there yet is waited for; no gap is told, as nobody had anything before.
#[test]
fn a_redis_that_starts_later_is_found() {
    if !with_redis() {
        return;
    }
    let mut redis = Redis::start();
    redis.kill();
    let scene = scene(&format!("redis = \"127.0.0.1:{}\"", redis.port));
    let mut stream = Stream::open(&scene, "Foo");
    assert_eq!(counted(&scene, "redis_connected"), 0);
    redis.start_again();
    redis.until_subscribed(1);
    publish(&mut redis.connect(), b"example.Foo", b"first");
    assert_eq!(stream.event(), ("message".to_owned(), "first".to_owned()));
    assert_eq!((counted(&scene, "redis_connected"), counted(&scene, "wspush_redis_reconnects_total")), (1, 0));
}

/// A subscription that somebody ends is made anew. Only channels that the relay's messages may be on are told of the gap.
#[test]
fn a_subscription_that_is_killed_comes_back() {
    if !with_redis() {
        return;
    }
    let redis = Redis::start();
    for (apart, told) in [(false, true), (true, false)] {
        let scene = with(&redis, &format!("apart = {apart}"));
        let mut stream = Stream::open(&scene, "Foo");
        for round in 1..=3 {
            assert_eq!(redis.ask::<usize>(&["CLIENT", "KILL", "TYPE", "pubsub"]), 1);
            until_counted(&scene, "wspush_redis_reconnects_total", round);
        }
        scene.peer().publish("Foo", "e", "published");
        for _ in 0..if told { 3 } else { 0 } {
            assert_eq!(stream.event().0, "tidings:gap");
        }
        assert_eq!(stream.event(), ("e".to_owned(), "published".to_owned()));
        scene.server.stop();
        redis.until_subscribed(0);
    }
}

/// W-2.8: sentinels are asked where the master is, and asked again when it has moved.
#[test]
fn sentinels_name_the_master() {
    if !with_redis() {
        return;
    }
    let at_once = ["--repl-diskless-sync-delay", "0"];
    let first = Redis::with(&at_once, "");
    let second = Redis::with(&[&at_once[..], &["--replicaof", "127.0.0.1", &first.port.to_string()]].concat(), "");
    let linked = || first.ask::<String>(&["INFO", "replication"]).contains("state=online");
    eventually("the second to follow the first", || linked().then_some(()));
    let sentinel = sentinel(&first, "main");
    let known = || format!("{:?}", sentinel.ask::<Vec<Vec<String>>>(&["SENTINEL", "REPLICAS", "main"]));
    eventually("the sentinel to know both", || known().contains("\"master-link-status\", \"ok\"").then_some(()));
    // One that is not there does not matter.
    let nobody = super::redis::free_port();
    let sentinels = format!("sentinels = [\"127.0.0.1:{nobody}\", \"127.0.0.1:{}\"]\nsentinel_master = \"main\"", sentinel.port);
    let scene = scene(&sentinels);
    first.until_subscribed(1);
    let mut stream = Stream::open(&scene, "Foo");
    publish(&mut first.connect(), b"example.Foo", b"of the first");
    assert_eq!(stream.event().1, "of the first");
    assert_eq!(sentinel.ask::<String>(&["SENTINEL", "FAILOVER", "main"]), "OK");
    // The sentinel ends all connections to the one as it makes it the master, and to the other once it is that no more.
    second.until_subscribed(1);
    assert!(second.ask::<String>(&["INFO", "replication"]).contains("role:master"));
    until_counted(&scene, "redis_connected", 1);
    publish(&mut second.connect(), b"example.Foo", b"of the second");
    assert_eq!(stream.event().0, "tidings:gap");
    loop {
        // It may have come back more than once on the way.
        match stream.event() {
            (event, _) if event == "tidings:gap" => {}
            other => {
                assert_eq!(other, ("message".to_owned(), "of the second".to_owned()));
                break;
            }
        }
    }
    assert!(counted(&scene, "wspush_redis_reconnects_total") >= 1);
    first.until_subscribed(0);
}

/// A relay of an app that is not there, or is not served, drops what comes.
#[test]
fn an_app_may_be_disabled() {
    if !with_redis() {
        return;
    }
    let redis = Redis::start();
    let app = |enabled| format!("[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"secret-of-the-app\"\nenabled = {enabled}\n");
    let relay = format!("[[wspush]]\nname = \"news\"\napp = \"1\"\nredis = \"127.0.0.1:{}\"\n", redis.port);
    let mut scene = Scene::new(&format!("{LISTENERS}{relay}{}", app(false)));
    redis.until_subscribed(1);
    let mut connection = redis.connect();
    publish(&mut connection, b"example.Foo", b"dropped");
    until_counted(&scene, "wspush_unroutable_messages_total", 1);
    scene.reload(&format!("{LISTENERS}{relay}{}", app(true)));
    let mut subscriber = scene.client();
    subscriber.subscribe("Foo");
    publish(&mut connection, b"example.Foo", b"taken");
    assert_eq!(subscriber.data_of("message"), "taken");
}

/// W-2.9, W-9.1, W-9.3: a listener that serves nothing else is not ready while Redis is away. The statistics tell of it, and so does whoever
/// watches all; others do not.
#[test]
fn health_says_whether_redis_is_there() {
    if !with_redis() {
        return;
    }
    let mut redis = Redis::start();
    let listener = |dialects: &str| format!("[[listeners]]\naddress = \"127.0.0.1:0\"\ndialects = {dialects}\n");
    let listeners = ["[\"wspush:news\"]", "[\"wspush-statistics:news\"]", "[\"pusher\", \"wspush:news\"]", "[\"pusher\"]", "[\"metrics\"]"];
    let relay = format!("[[wspush]]\nname = \"news\"\napp = \"1\"\nredis = \"127.0.0.1:{}\"\n", redis.port);
    let scene = Scene::new(&format!("{}{relay}", listeners.map(listener).concat()));
    let ready = |place: usize| {
        let response = scene.peer_at(place).ask("GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
        (response.status, response.body)
    };
    let there = "redis of the relay news: connected\n";
    let vars = || {
        let response = scene.peer_at(1).ask("GET /debug/vars HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json; charset=utf-8")));
        serde_json::from_str::<serde_json::Value>(&response.body).unwrap()
    };
    eventually("the relay to be there", || (ready(1).0 == 200).then_some(()));
    for place in [0, 1, 2, 4] {
        assert_eq!(ready(place), (200, format!("ready\n{there}")), "{}", listeners[place]);
    }
    assert_eq!(ready(3), (200, "ready\n".to_owned()));
    publish(&mut redis.connect(), b"example.Foo", b"hello");
    eventually("the message to be counted", || (vars()["wspush"]["messages_seen"] == 1).then_some(()));
    assert_eq!((&vars()["wspush"]["redis_connected"], &vars()["wspush"]["redis_reconnects"]), (&1.into(), &0.into()));
    assert!(vars()["memstats"]["Alloc"].as_u64().unwrap() > 1 << 20 && !vars()["cmdline"].as_array().unwrap().is_empty());

    redis.kill();
    eventually("the relay to be away", || (ready(1).0 == 503).then_some(()));
    let away = "redis of the relay news: away\n";
    for place in [0, 1] {
        assert_eq!(ready(place), (503, format!("Redis not ready\n{away}")), "{}", listeners[place]);
    }
    for place in [2, 4] {
        assert_eq!(ready(place), (200, format!("ready\n{away}")), "{}", listeners[place]);
    }
    assert_eq!(ready(3), (200, "ready\n".to_owned()));
    assert_eq!(vars()["wspush"]["redis_connected"], 0);
    // What needs no Redis goes on.
    let mut subscriber = scene.client_at(2);
    subscriber.subscribe("Foo");
    scene.peer_at(3).publish("Foo", "e", "published");
    assert_eq!(subscriber.data_of("e"), "published");

    redis.start_again();
    eventually("the relay to be back", || (ready(1).0 == 200).then_some(()));
    assert_eq!(vars()["wspush"]["redis_reconnects"], 1);
    for (place, path) in [(1, "/"), (1, "/debug"), (3, "/debug/vars"), (4, "/debug/vars")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(scene.peer_at(place).ask(request).status, 404, "{path} at {}", listeners[place]);
    }
}

/// A server that stops lets go of its subscription.
#[test]
fn a_server_that_stops_unsubscribes() {
    if !with_redis() {
        return;
    }
    let redis = Redis::start();
    let scene = with(&redis, "");
    let mut subscriber = scene.client();
    subscriber.subscribe("Foo");
    publish(&mut redis.connect(), b"example.Foo", b"hello");
    assert_eq!(subscriber.data_of("message"), "hello");
    scene.server.stop();
    redis.until_subscribed(0);
}
