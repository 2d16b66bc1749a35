//! The reference of all settings, the example and the manual hold the same, and what is printed reads back.

use super::*;

/// What `check` prints is itself a configuration with the same values, but for the secrets.
#[test]
fn the_values_in_effect_read_back() {
    for text in [APP.to_owned(), uncommented(EXAMPLE)] {
        let (config, settings) = read_with(Some(&text), &[]).unwrap();
        let printed = effective(&settings);
        let again = printed.replace("secret_file = \"/etc/t/secret-2\"", "secret = \"(hidden)\"");
        let (same, same_settings) = read_with(Some(&again), &[]).unwrap_or_else(|broken| panic!("{printed}\n{broken}"));
        let values = |settings: &[Setting]| {
            settings
                .iter()
                .map(|setting| (setting.path(), setting.value.clone()))
                .filter(|(path, _)| !path.contains("secret"))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&same_settings), values(&settings));
        assert_eq!((same.listeners, same.limits), (config.listeners, config.limits));
    }
    let origin = [("TIDINGS__LIMITS__CONNECTIONS", "5")];
    let (_, settings) = read_with(Some(APP), &origin).unwrap();
    assert!(effective(&settings).contains("\nconnections = 5 # TIDINGS__LIMITS__CONNECTIONS\n"));
}

#[test]
fn the_example_holds_every_setting() {
    right(EXAMPLE, &[]);
    let text = uncommented(EXAMPLE);
    let config = right(&text, &[]);
    let (_, settings) = read_with(Some(&text), &[]).unwrap();
    let given: Vec<_> = settings.iter().filter(|setting| setting.place.is_some()).map(|setting| setting.path()).collect();
    for setting in reference() {
        // Of a secret and its file only one can be given.
        let path = setting.path().replace("[]", "[0]");
        let is_given = |path: &str| given.iter().any(|given| given == path || given.starts_with(&format!("{path}.")));
        let other = path.strip_suffix("_file").map_or_else(|| format!("{path}_file"), str::to_owned);
        assert!(is_given(&path) || is_given(&other) || path.ends_with(".mode"), "{path}");
    }
    // Except where the example says so, it shows the defaults.
    let plain = right(APP, &[]);
    let limits = Limits { shards: plain.limits.shards, ..config.limits.clone() };
    assert_eq!((limits, &config.webhooks, &config.log, &config.drain), (plain.limits, &plain.webhooks, &plain.log, &plain.drain));
    let app = &config.apps[0];
    let defaults = tidings_hub::Limits { connections: Some(10_000), ..tidings_hub::Limits::default() };
    assert_eq!(app.limits, defaults);
}

#[test]
fn the_manual_holds_the_reference() {
    let (_, rest) = MANUAL.split_once("<!-- reference -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of reference -->").unwrap();
    assert_eq!(table, reference_table(), "put what `tidings check --reference` prints between the two marks of configuration.md");
}

/// P-18.1 to P-18.18: the limits table of the protocol, and the settings that stand for it.
#[test]
fn the_defaults_are_those_of_the_protocol() {
    let (size, time) = (
        |bytes: u64| format!("\"{}\"", units::bytes_text(bytes)),
        |seconds| format!("\"{}\"", units::duration_text(Duration::from_secs(seconds))),
    );
    for (rule, path, default) in [
        ("P-18.1", "apps[].channel_name_max", "200".to_owned()),
        ("P-18.2", "apps[].limits.event_name_chars", "200".to_owned()),
        ("P-18.3", "apps[].limits.event_bytes", size(10_240)),
        ("P-18.4", "apps[].limits.publish_channels", "100".to_owned()),
        ("P-18.5", "apps[].limits.batch_events", "10".to_owned()),
        ("P-18.6", "apps[].limits.presence_members", "100".to_owned()),
        ("P-18.7", "apps[].limits.presence_user_id_chars", "128".to_owned()),
        ("P-18.8", "apps[].limits.presence_user_info_bytes", size(1024)),
        ("P-18.9", "apps[].limits.user_id_chars", "200".to_owned()),
        ("P-18.10", "apps[].limits.watchlist", "100".to_owned()),
        ("P-18.11", "apps[].limits.client_events_per_second", "10".to_owned()),
        ("P-18.12", "apps[].limits.timestamp_window", time(600)),
        ("P-18.13", "apps[].limits.cache_ttl", time(1800)),
        ("P-18.14", "apps[].webhook_retry", time(300)),
        ("P-18.15", "apps[].webhook_grace", time(3)),
        ("P-18.16", "apps[].limits.count_immediate", "100".to_owned()),
        ("P-18.16", "apps[].limits.count_interval", time(5)),
        ("P-18.17", "apps[].limits.message_bytes", size(65_536)),
        ("P-18.18", "apps[].limits.body_bytes", size(1 << 20)),
    ] {
        let setting = reference().iter().find(|setting| setting.path() == path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!((setting.rule, &setting.default), (rule, &default), "{path}");
    }
}

#[test]
fn every_setting_is_told_once_and_in_a_sentence() {
    let mut paths: Vec<_> = reference().iter().map(Setting::path).collect();
    paths.sort();
    let all = paths.len();
    paths.dedup();
    assert_eq!((paths.len(), all > 80), (all, true));
    for setting in reference() {
        assert!(setting.about.ends_with('.') && setting.about.len() > 10, "{}", setting.path());
    }
}

/// Limits and switches of the hub that nobody can set would be settings forgotten here.
#[test]
fn every_limit_of_the_hub_is_a_setting() {
    let known: Vec<_> =
        reference().iter().filter(|setting| setting.section.starts_with("apps[]")).map(|setting| setting.name.as_str()).collect();
    let shown = format!("{:#?}", App::new("1", "k", "s"));
    let fields: Vec<_> = shown.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name).collect();
    assert!(fields.len() > 30);
    for name in fields.iter().filter(|name| {
        !["limits", "keys", "webhooks", "recents", "age", "patterns", "pusher", "pushi", "pushy", "sse", "wspush"].contains(name)
    }) {
        assert!(known.contains(name), "{name}");
    }
}
