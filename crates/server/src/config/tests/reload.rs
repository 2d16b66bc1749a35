//! What a reload changes.

use super::*;

#[test]
fn a_reload_is_a_difference() {
    let old = right(
        &format!(
            "{APP}keys = [{{ key = \"k2\", secret = \"long-enough-secret\" }}]\n[[apps]]\nid = \"2\"\nkey = \"x\"\nsecret = \"long-enough-secret\"\n"
        ),
        &[],
    );
    assert!(difference(&old, &old).is_empty());
    let new = right(
        &format!(
            "{APP}enabled = false\nlimits = {{ connections = 5 }}\n[[apps]]\nid = \"3\"\nkey = \"k2\"\nsecret = \"long-enough-secret\"\n[limits]\nshards = 2\n[[listeners]]\naddress = \"127.0.0.1:7\"\n"
        ),
        &[],
    );
    let changes = difference(&old, &new);
    assert_eq!(changes.apps_added, [new.apps[1].clone()]);
    assert_eq!(changes.apps_removed, [AppId::new("2")]);
    assert_eq!(changes.apps_changed, [AppChange { app: new.apps[0].clone(), disabled: true, keys_gone: vec!["k2".to_owned()] }]);
    assert_eq!(changes.needs_restart, ["limits.shards", "listeners[0].address"]);
    // A new secret alone is a change: signatures are made with it from now on.
    let other = right(&APP.replace("long-enough-secret", "another-long-secret"), &[]);
    let changes = difference(&right(APP, &[]), &other);
    assert_eq!((changes.apps_changed.len(), changes.apps_changed[0].keys_gone.len()), (1, 0));
    // The order in the file means nothing.
    let (one, two) = (APP, APP.replace("\"1\"", "\"2\"").replace("\"k\"", "\"k2\""));
    assert!(difference(&right(&format!("{one}{two}"), &[]), &right(&format!("{two}{one}"), &[])).is_empty());
}

/// The store, how long it keeps events and how Pushi's clients are spoken to are looked at when the server starts.
#[test]
fn what_waits_for_a_restart_is_named() {
    let url = |url: &str| format!("{APP}[store]\nurl = \"{url}\"\n");
    let written = |more: &str| format!("{APP}{more}");
    let pushi = |more: &str| format!("{APP}[[pushi]]\n{more}\n");
    for (old, new, named) in [
        (url("memory:"), url("sqlite:t.db"), &["store.url"][..]),
        (url("postgres://u:one@h/d"), url("postgres://u:two@h/d"), &["store.url"]),
        (
            url("memory:"),
            url("memory:") + "size = \"1 GiB\"\nqueue = 5\nretention = \"1 d\"\n",
            &["store.queue", "store.retention", "store.size"],
        ),
        (pushi(""), pushi("open_apps = true"), &["pushi[0].open_apps"]),
        (pushi("app = \"1\""), pushi("app = \"2\""), &["pushi[0].app"]),
        (
            pushi("cors_origins = [\"https://a.example\"]"),
            pushi("client_events = \"off\""),
            &["pushi[0].client_events", "pushi[0].cors_origins"],
        ),
        (written("history = { channel_events = 5 }\n"), written("history = { channel_events = 6 }\n"), &["apps[0].history"]),
        (written(""), written("history = {}\n"), &["apps[0].history"]),
        (written("history = {}\n"), written(""), &["apps[0].history"]),
        // Its events go when their time has come, as they would have.
        (written("history = {}\n"), APP.replace("\"1\"", "\"2\""), &[]),
    ] {
        let (old, new) = (right(&old, &[]), right(&new, &[]));
        let [there, back] = [difference(&old, &new), difference(&new, &old)];
        assert_eq!(there.needs_restart, named);
        assert_eq!(difference(&old, &old).needs_restart, [""; 0]);
        if !named.is_empty() {
            assert_eq!(back.needs_restart, named, "and back");
        }
    }
    // A section more or less: each of its settings comes or goes.
    let changes = difference(&right(APP, &[]), &right(&pushi(""), &[]));
    assert!(changes.needs_restart.contains(&"pushi[0].open_apps".to_owned()) && changes.apps_changed.is_empty(), "{changes:?}");
    // Somebody has made the store beside a server that has none.
    let with = |store: Option<Store>| Config { store, ..right(APP, &[]) };
    assert_eq!(difference(&with(None), &with(Some(crate::config::store::default(Path::new(""))))).needs_restart, ["store.url"]);
}
