//! Apps, their settings, and who is logged in.

use super::{Bench, at, now};
use crate::store::{CreateError, NewApp, SessionRow, SettingsPatch};
use tidings_hub::{AppId, Key};

fn key(name: &str) -> Key {
    Key { key: name.to_owned(), secret: format!("secret of {name}") }
}

fn new(ident: &str) -> NewApp {
    NewApp {
        ident: AppId::new(ident),
        name: format!("name of {ident}"),
        key: key(&format!("key of {ident}")),
        settings: SettingsPatch::default(),
    }
}

/// I-4.11
pub(super) async fn apps_are_made_and_changed(bench: Bench) {
    let db = bench.open();
    assert_eq!(db.apps().await.unwrap(), []);
    let mut version = db.apps_version().await.unwrap();
    let one = db.create_app(new("one"), at(3_000_000)).await.unwrap();
    assert_eq!((one.ident.as_str(), one.name.as_str(), one.enabled), ("one", "name of one", true));
    assert_eq!((&one.keys[..], one.created, one.modified), (&[key("key of one")][..], at(3_000_000), at(3_000_000)));
    db.create_app(new("two"), now()).await.unwrap();
    let ident = one.ident.clone();
    let off = db.set_enabled(&ident, false).await.unwrap().unwrap();
    assert!(!off.enabled && off.modified > off.created);
    assert!(db.set_enabled(&ident, true).await.unwrap().unwrap().enabled);
    for (name, keep_old, keys) in [("k1", true, &["k1", "key of one"][..]), ("k2", false, &["k2"]), ("k3", true, &["k3", "k2"])] {
        let changed = db.rotate_key(&ident, key(name), keep_old).await.unwrap().unwrap();
        assert_eq!(changed.keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(), keys);
        let seen = db.apps_version().await.unwrap();
        assert!(seen > version);
        version = seen;
    }
    assert_eq!(db.remove_key(&ident, "k2").await.unwrap().unwrap().keys, [key("k3")]);
    let listed: Vec<String> = db.apps().await.unwrap().into_iter().map(|app| app.name).collect();
    assert_eq!(listed, ["name of one", "name of two"]);
    let nobody = AppId::new("nobody");
    assert_eq!(db.set_enabled(&nobody, true).await, Ok(None));
    assert_eq!(db.rotate_key(&nobody, key("k9"), true).await, Ok(None));
    assert_eq!(db.remove_key(&nobody, "k3").await, Ok(None));
    assert_eq!(db.counts().await.unwrap().apps, 2);
}

/// I-4.11
pub(super) async fn what_is_taken_is_refused(bench: Bench) {
    let db = bench.open();
    db.create_app(new("one"), now()).await.unwrap();
    let version = db.apps_version().await.unwrap();
    for (app, error) in [
        (NewApp { ident: AppId::new("one"), ..new("two") }, CreateError::IdentTaken),
        (NewApp { name: "name of one".to_owned(), ..new("two") }, CreateError::NameTaken),
        (NewApp { key: key("key of one"), ..new("two") }, CreateError::KeyTaken),
    ] {
        assert_eq!(db.create_app(app, now()).await, Err(error));
    }
    assert_eq!(db.apps_version().await.unwrap(), version);
    let two = db.create_app(new("two"), now()).await.unwrap().ident;
    assert_eq!(db.rotate_key(&two, key("key of one"), false).await, Err(CreateError::KeyTaken));
    assert_eq!(db.apps().await.unwrap()[1].keys, [key("key of two")], "a refused key costs none");
    let name = SettingsPatch { name: Some("name of one".to_owned()), ..SettingsPatch::default() };
    assert_eq!(db.put_settings(&two, name, now()).await, Err(CreateError::NameTaken));
    assert!(CreateError::NameTaken.to_string().contains("choose another"));
}

/// I-4.14, I-4.15
pub(super) async fn settings_are_patched(bench: Bench) {
    let db = bench.open();
    let configured = AppId::new("of the configuration");
    assert_eq!(db.app_settings(&configured).await.unwrap(), None);
    let patch = SettingsPatch {
        apn_sandbox: Some(true),
        vapid_key: Some(Some("vapid".to_owned())),
        smtp_url: Some(Some("smtp://x".to_owned())),
        meta: Some(Some("{}".to_owned())),
        ..SettingsPatch::default()
    };
    let first = db.put_settings(&configured, patch, at(2_000_000)).await.unwrap();
    assert_eq!((first.apn_sandbox, first.vapid_key.as_deref(), first.name.as_deref()), (true, Some("vapid"), None));
    let patch = SettingsPatch { vapid_key: Some(None), description: Some(Some("words".to_owned())), ..SettingsPatch::default() };
    db.put_settings(&configured, patch, at(4_000_000)).await.unwrap();
    let row = db.app_settings(&configured).await.unwrap().unwrap();
    assert_eq!((row.vapid_key, row.smtp_url.as_deref(), row.meta.as_deref()), (None, Some("smtp://x"), Some("{}")));
    assert_eq!((row.description.as_deref(), row.created, row.modified), (Some("words"), at(2_000_000), at(4_000_000)));
    let made = db.create_app(
        NewApp { settings: SettingsPatch { apn_key: Some(Some("pem".to_owned())), ..SettingsPatch::default() }, ..new("one") },
        now(),
    );
    let made = made.await.unwrap().ident;
    assert_eq!(db.app_settings(&made).await.unwrap().unwrap().apn_key.as_deref(), Some("pem"));
    let version = db.apps_version().await.unwrap();
    let renamed = SettingsPatch { name: Some("renamed".to_owned()), ..SettingsPatch::default() };
    assert_eq!(db.put_settings(&made, renamed, now()).await.unwrap().name.as_deref(), Some("renamed"));
    assert_eq!(db.apps().await.unwrap()[0].name, "renamed");
    assert!(db.apps_version().await.unwrap() > version);
}

/// I-4.4, I-4.6
pub(super) async fn sessions_come_and_go(bench: Bench) {
    let db = bench.open();
    let session = SessionRow { token_hash: [7; 32], app: AppId::new("one"), mark: vec![1, 2], expires: at(5_000_000) };
    assert_eq!(db.session(&[7; 32]).await.unwrap(), None);
    db.put_session(session.clone()).await.unwrap();
    assert_eq!(db.session(&[7; 32]).await.unwrap(), Some(session.clone()));
    assert_eq!(db.touch_session(&[7; 32], at(6_000_000)).await, Ok(true));
    assert_eq!(db.session(&[7; 32]).await.unwrap(), Some(SessionRow { expires: at(6_000_000), ..session }));
    assert_eq!(db.touch_session(&[8; 32], at(6_000_000)).await, Ok(false));
    assert_eq!(db.delete_session(&[7; 32]).await, Ok(true));
    assert_eq!(db.delete_session(&[7; 32]).await, Ok(false));
}
