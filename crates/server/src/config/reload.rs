//! What a reload changes: apps at once, the rest at the next start.

use super::{Config, Setting};
use std::collections::{BTreeSet, HashMap};
use tidings_hub::{App, AppId};

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Apps that are new.
    pub apps_added: Vec<App>,
    /// Apps that are gone: their connections are closed with 4003.
    pub apps_removed: Vec<AppId>,
    /// Apps that are there before and after, but not the same.
    pub apps_changed: Vec<AppChange>,
    /// Settings that hold from the next start on, each once, as `listeners[0].address`.
    pub needs_restart: Vec<String>,
}

/// An app that changed. Its limits and switches hold from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppChange {
    /// The app as it is now.
    pub app: App,
    /// It was enabled and is not any more: its connections are closed with 4003.
    pub disabled: bool,
    /// Keys that it had: connections that came in by one are closed with 4009.
    pub keys_gone: Vec<String>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations. What a file named in them holds, such as a certificate, is not looked at.
#[must_use]
pub fn difference(old: &Config, new: &Config) -> Changes {
    let before: HashMap<&AppId, &App> = old.apps.iter().map(|app| (&app.id, app)).collect();
    let after: HashMap<&AppId, &App> = new.apps.iter().map(|app| (&app.id, app)).collect();
    let changed = new.apps.iter().filter_map(|app| before.get(&app.id).filter(|was| **was != app).map(|was| change(was, app)));
    Changes {
        apps_added: new.apps.iter().filter(|app| !before.contains_key(&app.id)).cloned().collect(),
        apps_removed: old.apps.iter().filter(|app| !after.contains_key(&app.id)).map(|app| app.id.clone()).collect(),
        apps_changed: changed.collect(),
        needs_restart: needs_restart(old, new),
    }
}

fn change(was: &App, app: &App) -> AppChange {
    AppChange {
        app: app.clone(),
        disabled: was.enabled && !app.enabled,
        keys_gone: was.keys.iter().filter(|pair| app.secret(&pair.key).is_none()).map(|pair| pair.key.clone()).collect(),
    }
}

/// What is looked at when the server starts and not again.
fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let values = |settings: &[Setting]| settings.iter().map(|setting| (setting.path(), setting.value.clone())).collect::<BTreeSet<_>>();
    let (before, after) = (values(&old.node_settings), values(&new.node_settings));
    let mut paths: BTreeSet<String> = before.symmetric_difference(&after).map(|(path, _)| path.clone()).collect();
    // What is shown of it hides the password, and a store that stands there without having been written is shown nowhere.
    let url = |config: &Config| config.store.as_ref().map(|store| store.url.clone());
    if url(old) != url(new) {
        paths.insert("store.url".to_owned());
    }
    // Keys and passwords are shown nowhere either.
    for (index, (old, new)) in old.wspush.iter().zip(&new.wspush).enumerate() {
        let hidden = [
            ("redis", old.redis != new.redis),
            ("hmac_key", old.session.keys.md5 != new.session.keys.md5),
            ("hmac_sha256_key", old.session.keys.sha256 != new.session.keys.sha256),
        ];
        paths.extend(hidden.iter().filter(|(_, changed)| *changed).map(|(name, _)| format!("wspush[{index}].{name}")));
    }
    // The store is told at its start how long events are kept; an app that is gone needs no telling.
    for (index, app) in new.apps.iter().enumerate() {
        if old.histories.get(&app.id) != new.histories.get(&app.id) {
            paths.insert(format!("apps[{index}].history"));
        }
    }
    paths.into_iter().collect()
}
