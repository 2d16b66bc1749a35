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
