//! What the environment says above the file.

use super::*;

#[test]
fn variables_stand_above_the_file() {
    let config = right(
        &format!("{APP}secret_file = \"none\"\n[limits]\nconnections = 5\n").replace("secret = \"long-enough-secret\"\n", ""),
        &[
            ("TIDINGS__LIMITS__CONNECTIONS", "7_000"),
            ("TIDINGS__LIMITS__CONNECTIONS_PER_ADDRESS_FILE", "/run/limit"),
            ("TIDINGS__LIMITS__HANDSHAKES_PER_ADDRESS", "5/min"),
            ("TIDINGS__LIMITS__HEADER_BYTES", "32 KiB"),
            ("TIDINGS__LOG__ACCESS", "true"),
            ("TIDINGS__APPS__0__SECRET", "secret-of-the-variable"),
            ("TIDINGS__APPS__0__ORIGINS", "https://a.example, https://b.example"),
            ("TIDINGS__APPS__0__LIMITS__CONNECTIONS", "9"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__URL", "https://a.example/"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__EVENTS", "[\"member_added\", \"member_removed\"]"),
            ("TIDINGS__APPS__0__WEBHOOKS__0__HEADERS__X-OWN", "v"),
            ("TIDINGS__APPS__1__ID", "2"),
            ("TIDINGS__APPS__1__KEY", "k2"),
            ("TIDINGS__APPS__1__SECRET_FILE", "/etc/t/secret"),
            ("TIDINGS__LISTENERS", "[{ address = \"127.0.0.1:9\" }]"),
        ],
    );
    assert_eq!((config.limits.connections, config.limits.connections_per_address), (7000, 77));
    assert_eq!((config.limits.handshakes_per_address.count, config.limits.header_bytes, config.log.access), (5, 32_768, true));
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:9");
    let [one, two] = config.apps.as_slice() else { panic!("two apps") };
    assert_eq!((one.secret("k"), two.secret("k2")), (Some("secret-of-the-variable"), Some("secret-of-the-file")));
    assert_eq!(one.origins.as_ref().map(Vec::len), Some(2));
    assert_eq!((one.limits.connections, one.webhooks[0].headers.len()), (Some(9), 1));
    assert_eq!(one.webhooks[0].events.as_ref().map(Vec::len), Some(2));
}

#[test]
fn a_list_in_variables_may_be_longer_than_nine() {
    let names: Vec<_> = (0..12)
        .flat_map(|n| ["ID", "KEY", "SECRET"].map(|part| (format!("TIDINGS__APPS__{n}__{part}"), format!("long-value-{n}"))))
        .collect();
    let variables: Vec<_> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (config, _) = read_with(None, &variables).unwrap();
    assert_eq!((config.apps.len(), config.apps[10].id.as_str(), config.made), (12, "long-value-10", None));
}

#[test]
fn problems_of_variables() {
    for (name, value, expected) in [
        (
            "TIDINGS__LIMITS__CONECTIONS",
            "5",
            "TIDINGS__LIMITS__CONECTIONS: limits.conections: there is no such setting; did you mean TIDINGS__LIMITS__CONNECTIONS?",
        ),
        (
            "TIDINGS__APPS__0__CLIENT_EVENT",
            "5",
            "TIDINGS__APPS__0__CLIENT_EVENT: apps[0].client_event: there is no such setting; did you mean TIDINGS__APPS__0__CLIENT_EVENTS?",
        ),
        ("TIDINGS__LIMITS__CONNECTIONS", "many", "TIDINGS__LIMITS__CONNECTIONS: limits.connections: \"many\" is not a whole number"),
        ("TIDINGS__LOG__ACCESS", "yes", "TIDINGS__LOG__ACCESS: log.access: \"yes\" is neither true nor false"),
        ("TIDINGS__APPS__2__ID", "5", "TIDINGS__APPS__2__ID: `apps` has 1 so far, so the next index is 1"),
        ("TIDINGS__APPS__X__ID", "5", "TIDINGS__APPS__X__ID: `apps` has no settings within"),
        ("TIDINGS__LIMITS__0__ID", "5", "TIDINGS__LIMITS__0__ID: limits: expected a table, found a list"),
        ("TIDINGS__APPS__0__KEY__X", "5", "TIDINGS__APPS__0__KEY__X: `key` has no settings within"),
        ("TIDINGS__APPS__0__0__X", "5", "TIDINGS__APPS__0__0__X: is the name of no setting"),
        ("TIDINGS__", "5", "TIDINGS__: is the name of no setting"),
        ("TIDINGS__LIMITS____X", "5", "TIDINGS__LIMITS____X: is the name of no setting"),
        ("TIDINGS__0", "5", "TIDINGS__0: is the name of no setting"),
        ("TIDINGS__LIMITS", "5", "TIDINGS__LIMITS: limits: expected a table, found a text"),
        (
            "TIDINGS__CLUSTER__URL",
            "redis://",
            "TIDINGS__CLUSTER__URL: cluster: is not in this build yet; remove it: this build serves as one node",
        ),
        ("TIDINGS__APPS__0__SECRET_FILE", "/none", "TIDINGS__APPS__0__SECRET_FILE: cannot read /none: entity not found"),
    ] {
        assert_eq!(wrong(APP, &[(name, value)]).trim_end(), expected);
    }
    let twice = wrong(APP, &[("TIDINGS__APPS__0__SECRET", "long-enough-secret"), ("TIDINGS__APPS__0__SECRET_FILE", "/etc/t/secret")]);
    assert_eq!(twice, "TIDINGS__APPS__0__SECRET_FILE: \"secret\" is set by TIDINGS__APPS__0__SECRET too; keep one of them\n");
}

#[cfg(unix)]
#[test]
fn a_variable_must_be_text() {
    use std::os::unix::ffi::OsStringExt;
    let surroundings =
        Surroundings { directory: PathBuf::new(), cores: 1, read_file: &files, make_key: &|| unreachable!("an app is given") };
    let variable = (OsString::from("TIDINGS__APPS__0__SECRET"), OsString::from_vec(vec![0xff; 20]));
    let broken = read(Some(Document { name: "t.toml", text: APP }), [variable], &surroundings).unwrap_err();
    assert_eq!(broken.problems()[0].to_string(), "TIDINGS__APPS__0__SECRET: is not UTF-8 text");
}
