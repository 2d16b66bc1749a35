//! Secrets are told to nobody, and what is hardly meant is warned of.

use super::*;

/// No secret that everybody knows may face the world.
#[test]
fn weak_secrets_are_refused_where_others_can_reach_them() {
    for secret in ["app-secret", "secret", "changeme", "(hidden)", "1234567"] {
        let app = APP.replace("long-enough-secret", secret);
        for local in ["127.0.0.1:6001", "127.8.8.8:1", "[::1]:6001", "[::ffff:127.0.0.1]:1", "unix:/run/t.sock"] {
            let config = right(&format!("{app}[[listeners]]\naddress = \"{local}\"\n"), &[]);
            assert_eq!(config.warnings.len(), 1, "{secret}");
        }
        for public in ["0.0.0.0:6001", "[::]:6001", "192.168.1.1:6001"] {
            let problem = wrong(&format!("{app}[[listeners]]\naddress = \"127.0.0.1:7\"\n[[listeners]]\naddress = \"{public}\"\n"), &[]);
            assert!(problem.starts_with("t.toml:4: apps[0].secret: the secret ") && problem.contains(public), "{problem}");
        }
    }
    right(&format!("{APP}[[listeners]]\naddress = \"0.0.0.0:6001\"\n"), &[]);
}

/// Whatever is printed, no secret is in it.
#[test]
fn no_secret_is_ever_told() {
    const NEEDLE: &str = "n33dle-in-the-hay";
    let app = format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"{NEEDLE}\"\n");
    let hook = format!("webhooks = [{{ url = \"http://127.0.0.1/?token={NEEDLE}\", headers = {{ Authorization = \"{NEEDLE}\" }} }}]\n");
    let (config, settings) = read_with(
        Some(&format!("{app}{hook}")),
        &[("TIDINGS__APPS__0__KEYS__0__KEY", "k2"), ("TIDINGS__APPS__0__KEYS__0__SECRET", NEEDLE)],
    )
    .unwrap();
    assert_eq!(config.apps[0].keys[1].secret, NEEDLE);
    assert_eq!(config.warnings.len(), 1);
    let mut texts =
        vec![effective(&settings), format!("{settings:?}"), format!("{config:?}"), format!("{:?}", difference(&right(APP, &[]), &config))];
    assert!(texts[0].contains("secret = \"(hidden)\" # t.toml:4") && texts[0].contains("Authorization = \"(hidden)\""), "{}", texts[0]);
    for text in [
        format!("secret = \"{NEEDLE}"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = {NEEDLE}\n"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = [\"{NEEDLE}\"]\n"),
        format!("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecrets = \"{NEEDLE}\"\n"),
        format!("{app}{app}"),
        format!("{app}secret_file = \"none\"\n"),
        format!("{app}webhooks = [{{ url = \"{NEEDLE}\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://{NEEDLE}@a/\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://a/?{NEEDLE} {NEEDLE}\" }}]\n"),
        format!("{app}webhooks = [{{ url = \"http://a/\", headers = {{ Authorization = \"{NEEDLE}\\u0000\" }} }}]\n"),
        format!("{app}[cluster]\nurl = \"redis://:{NEEDLE}@localhost\"\n"),
        format!("{}[[listeners]]\naddress = \"0.0.0.0:1\"\n[log]\nlevel = 5", app.replace(NEEDLE, "n33dle")),
    ] {
        texts.push(wrong(&text, &[]));
    }
    texts.push(wrong(APP, &[("TIDINGS__APPS__0__SECRETS", NEEDLE)]));
    texts.push(wrong(APP, &[("TIDINGS__APPS__0__SECRET__X", NEEDLE)]));
    texts.push(wrong(APP, &[("TIDINGS__CLUSTER__URL", NEEDLE)]));
    for text in texts {
        assert!(!text.contains("n33dle"), "{text}");
    }
}

#[test]
fn warnings_name_what_is_hardly_meant() {
    let text = format!(
        "{APP}force_tls = true\nlimits = {{ connections = 10 }}\nwebhooks = [{{ url = \"http://[::1]:80/\" }}, {{ url = \"http://a.example/\" }}]\n[limits]\nconnections = 5\n"
    );
    let warnings: Vec<_> = right(&text, &[]).warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        warnings,
        [
            "t.toml:6: apps[0].limits.connections: never reached: the node takes 5",
            "t.toml:5: apps[0].force_tls: nobody can connect: no listener has `tls` or `trusted_proxies`",
            "t.toml:7: apps[0].webhooks[0].url: will not be called: allow it with `webhook_private_targets = true`",
        ]
    );
    let open = format!("[[listeners]]\naddress = \"0.0.0.0:1\"\ndialects = [\"pusher\", \"console\"]\n{APP}");
    let warnings = right(&open, &[]).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().starts_with("t.toml:3: listeners[0].dialects: whoever opens the page acts with "), "{}", warnings[0]);
    assert_eq!(right(&open.replace("0.0.0.0", "127.0.0.1"), &[]).warnings, []);
    let config = right(APP, &[]);
    assert_eq!(descriptors_warning(&config, None), None);
    assert_eq!(descriptors_warning(&config, Some(1_000_064)), None);
    let warning = descriptors_warning(&config, Some(1024)).unwrap().to_string();
    assert!(warning.starts_with("limits.connections: this process may open 1024 descriptors, 1000064 are needed"), "{warning}");
}

/// Design 8: an app may list its dialects; one that nobody can speak to it is hardly meant.
#[test]
fn a_dialect_that_no_listener_speaks_is_warned_of() {
    let text = "[[listeners]]\naddress = \"127.0.0.1:1\"\n\
                [[apps]]\nid = \"1\"\nkey = \"2222222222222222222222222222222222222222222222222222222222222222\"\nsecret = \"long enough to be one\"\n\
                dialects = [\"pusher\", \"pushi\"]\n";
    let warnings = right(text, &[]).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("apps[0].dialects: nobody can speak pushi to it"), "{}", warnings[0]);
    assert_eq!(right(&text.replace("[\"pusher\", \"pushi\"]", "[\"pusher\"]"), &[]).warnings, []);
}
