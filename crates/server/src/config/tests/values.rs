//! What a configuration comes to: the defaults, and everything that can be said.

use super::*;

#[test]
fn nothing_at_all_makes_an_app_on_loopback() {
    let (config, _) = read_with(None, &[("HOME", "/"), ("TIDINGS_KEY", "x"), ("tidings__limits", "x")]).unwrap();
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:6001");
    assert_eq!(config.listeners[0].dialects, [Dialect::Pusher, Dialect::Sse, Dialect::Console]);
    // An app that somebody wrote is not tried by whoever reaches the port.
    assert_eq!(right(APP, &[]).listeners[0].dialects, [Dialect::Pusher, Dialect::Sse]);
    let mut app = App::new("1", "made-key", "made-secret");
    app.client_events = true;
    app.dialects.sse = true;
    assert_eq!(config.apps, [app]);
    assert_eq!(config.made.unwrap().secret, "made-secret");
    assert_eq!(config.limits.shards, 3);
    // A container says only where to listen.
    let (config, _) = read_with(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "0.0.0.0:80")]).unwrap();
    assert_eq!((config.listeners[0].address.to_string().as_str(), config.apps.len()), ("0.0.0.0:80", 1));
}

#[test]
fn an_app_has_the_hubs_defaults() {
    let dialects = tidings_hub::Dialects { pusher: true, sse: true, ..tidings_hub::Dialects::default() };
    assert_eq!(right(APP, &[]).apps, [App { dialects, ..App::new("1", "k", "long-enough-secret") }]);
}

#[test]
fn everything_can_be_said() {
    let config = right(
        r#"
        [[listeners]]
        address = "0.0.0.0:6001"
        path_prefix = "/x/y"
        trusted_proxies = ["10.0.0.1/8", "::1"]
        proxy_protocol = true
        tls = { certificate = "pem.pem", key = "/etc/t/pem.pem" }
        [[listeners]]
        address = "unix:run/t.sock"
        mode = "0600"
        [[listeners]]
        address = "localhost:9601"
        dialects = ["metrics"]
        [[apps]]
        id = "one"
        secret_file = "secret"
        key = "k1"
        keys = [{ key = "k2", secret = "second-secret" }]
        activity_timeout = "60 s"
        default_protocol = 7
        origins = ["https://a.example", "http://b.example:8080"]
        limits = { connections = 10_000, event_bytes = "20 KB", cache_ttl = "1 min" }
        webhooks = [{ url = "https://hooks.example/x?token=t", events = ["member_added"], channel_prefix = "a-", headers = { X-Own = "v" } }]
        [[apps]]
        id = "two"
        keys = [{ key = "k3", secret = "third-secret" }]
        [limits]
        handshakes_per_address = "30/min"
        memory_bytes = "64 MiB"
        [log]
        format = "json"
        level = "info,hyper=warn"
        access = true
        [drain]
        drain_delay = "3 s"
        [websocket]
        compression = true
        "#,
        &[],
    );
    let first = &config.listeners[0];
    assert_eq!(first.path_prefix, "/x/y");
    assert_eq!(first.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert_eq!(first.tls, Some(Tls { certificate: "/etc/t/pem.pem".into(), key: "/etc/t/pem.pem".into() }));
    assert_eq!(config.listeners[1].address, Address::Unix { path: "/etc/t/run/t.sock".into(), mode: 0o600 });
    assert_eq!(config.listeners[2].address.to_string(), "127.0.0.1:9601");
    let app = &config.apps[0];
    let pairs: Vec<_> = app.keys.iter().map(|pair| (pair.key.as_str(), pair.secret.as_str())).collect();
    assert_eq!(pairs, [("k1", "secret-of-the-file"), ("k2", "second-secret")]);
    assert_eq!((app.limits.connections, app.limits.event_bytes, app.limits.cache_ttl), (Some(10_000), 20_000, Duration::from_secs(60)));
    assert_eq!((app.activity_timeout, app.default_protocol), (Duration::from_secs(60), Some(7)));
    assert_eq!(app.webhooks[0].headers, [("X-Own".to_owned(), "v".to_owned())]);
    assert_eq!(app.webhooks[0].events.as_deref(), Some(["member_added".to_owned()].as_slice()));
    assert_eq!(config.apps[1].keys[0].key, "k3");
    assert_eq!(config.limits.handshakes_per_address, Rate { count: 30, per: Duration::from_secs(60) });
    assert_eq!((config.log.format, config.log.access, config.websocket.compression), (LogFormat::Json, true, true));
    assert_eq!((config.drain.drain_delay, config.drain.drain), (Duration::from_secs(3), Duration::from_secs(10)));
}

#[test]
fn addresses_that_do_not_clash() {
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("[::1]:1", "0.0.0.0:1"),
        ("unix:/a", "unix:/b"),
    ] {
        right(&format!("{APP}[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n"), &[]);
    }
    for (one, other) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("unix:a", "unix:/etc/t/a"), ("localhost:1", "127.0.0.1:1")] {
        let problem = wrong(&format!("{APP}[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n"), &[]);
        assert!(problem.starts_with("t.toml:8: listeners[1].address: listeners[0] is on "), "{problem}");
    }
}
