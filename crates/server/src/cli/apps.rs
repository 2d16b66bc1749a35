//! `tidings apps`: the apps that a store has, which running servers notice by themselves.

use super::store::{open, wait_for};
use super::{Source, print};
use crate::config::Config;
use crate::store::{AppRow, CreateError, NewApp, SettingsPatch, Store};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::process::ExitCode;
use tidings_hub::{AppId, Key};

/// Apps that are made, changed and disabled while servers run.
#[derive(Args, Debug)]
pub(super) struct Apps {
    #[command(flatten)]
    source: Source,
    /// The store, where no configuration says it: sqlite:PATH or postgres://….
    #[arg(long, value_name = "URL", global = true)]
    store: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Show secrets.
    #[arg(long, global = true)]
    secrets: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the apps of the store, and those of the configuration.
    List,
    /// Make an app with a key and a secret of 64 hex digits, good for all dialects.
    Create {
        /// What people call it.
        name: String,
    },
    /// Show one app.
    Show {
        /// Its id.
        id: String,
    },
    /// Close an app's connections and take no more.
    Disable {
        /// Its id.
        id: String,
    },
    /// Undo that.
    Enable {
        /// Its id.
        id: String,
    },
    /// Give an app a new key and secret. Connections that came in by the old key are closed, unless it is kept.
    Rotate {
        /// Its id.
        id: String,
        /// Let the old key stand, until it is removed.
        #[arg(long)]
        keep_old: bool,
    },
    /// Take one of several keys from an app.
    RemoveKey {
        /// The app's id.
        id: String,
        /// The key.
        key: String,
    },
}

/// An app as it is printed.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a str,
    enabled: bool,
    keys: Vec<ShownKey<'a>>,
    /// Where it stands.
    place: &'static str,
}

#[derive(Serialize)]
struct ShownKey<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl Apps {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        wait_for(async |runtime| {
            let (store, config) = open(&self.source, self.store.as_deref(), runtime)?;
            let text = self.act(&store, config.as_ref()).await?;
            store.close();
            print(&text)
        })
    }

    async fn act(&self, store: &Store, config: Option<&Config>) -> anyhow::Result<String> {
        match &self.action {
            Action::List => self.list(&store.apps().await?, config),
            Action::Create { name } => self.created(&create(store, config, name).await?),
            Action::Show { id } => {
                let rows = store.apps().await?;
                let row = rows.iter().find(|row| row.ident.as_str() == id).ok_or_else(|| missing(config, id))?;
                self.text(&[shown(row, self.secrets)])
            }
            Action::Disable { id } => self.changed(store.set_enabled(&AppId::new(id), false).await, config, id, self.secrets),
            Action::Enable { id } => self.changed(store.set_enabled(&AppId::new(id), true).await, config, id, self.secrets),
            Action::Rotate { id, keep_old } => {
                self.changed(store.rotate_key(&AppId::new(id), made_key(), *keep_old).await, config, id, true)
            }
            Action::RemoveKey { id, key } => {
                let rows = store.apps().await?;
                let row = rows.iter().find(|row| row.ident.as_str() == id).ok_or_else(|| missing(config, id))?;
                anyhow::ensure!(row.keys.iter().any(|pair| pair.key == *key), "the app {id} has no such key");
                anyhow::ensure!(row.keys.len() > 1, "it is the only key of the app {id}; disable the app, or rotate the key");
                self.changed(store.remove_key(&AppId::new(id), key).await, config, id, self.secrets)
            }
        }
    }

    fn list(&self, rows: &[AppRow], config: Option<&Config>) -> anyhow::Result<String> {
        let mut apps: Vec<Shown<'_>> = rows.iter().map(|row| shown(row, self.secrets)).collect();
        for app in config.map(|config| &config.apps[..]).unwrap_or_default() {
            let keys = app.keys.iter().map(|pair| ShownKey { key: &pair.key, secret: self.secrets.then_some(&*pair.secret) }).collect();
            apps.push(Shown { id: app.id.as_str(), name: &app.name, enabled: app.enabled, keys, place: "configuration" });
        }
        if apps.is_empty() && !self.json {
            return Ok("There is no app yet; make one with `tidings apps create NAME`.\n".to_owned());
        }
        self.text(&apps)
    }

    fn created(&self, row: &AppRow) -> anyhow::Result<String> {
        self.text(&[shown(row, true)])
    }

    fn changed(
        &self,
        changed: Result<Option<AppRow>, CreateError>,
        config: Option<&Config>,
        id: &str,
        secrets: bool,
    ) -> anyhow::Result<String> {
        let row = changed?.ok_or_else(|| missing(config, id))?;
        self.text(&[shown(&row, secrets)])
    }

    fn text(&self, apps: &[Shown<'_>]) -> anyhow::Result<String> {
        if self.json {
            let mut lines = String::new();
            for app in apps {
                lines.push_str(&serde_json::to_string(app)?);
                lines.push('\n');
            }
            return Ok(lines);
        }
        Ok(apps.iter().map(for_people).collect::<Vec<_>>().join("\n"))
    }
}

async fn create(store: &Store, config: Option<&Config>, name: &str) -> anyhow::Result<AppRow> {
    anyhow::ensure!(!name.trim().is_empty(), "an app needs a name");
    let taken = config.is_some_and(|config| config.apps.iter().any(|app| app.name == name));
    anyhow::ensure!(!taken, "the configuration has an app of the name {name}; choose another");
    let app =
        NewApp { ident: AppId::new(&crate::chance::hex64()), name: name.to_owned(), key: made_key(), settings: SettingsPatch::default() };
    Ok(store.create_app(app, crate::clock::unix_time()).await?)
}

fn made_key() -> Key {
    Key { key: crate::chance::hex64(), secret: crate::chance::hex64() }
}

fn shown(row: &AppRow, secrets: bool) -> Shown<'_> {
    let keys = row.keys.iter().map(|pair| ShownKey { key: &pair.key, secret: secrets.then_some(&*pair.secret) }).collect();
    Shown { id: row.ident.as_str(), name: &row.name, enabled: row.enabled, keys, place: "store" }
}

fn for_people(app: &Shown<'_>) -> String {
    let state = if app.enabled { "" } else { " (disabled)" };
    let mut text = format!("{}{state}, in the {}\n  id      {}\n", app.name, app.place, app.id);
    for ShownKey { key, secret } in &app.keys {
        text.push_str(&format!("  key     {key}\n"));
        if let Some(secret) = secret {
            text.push_str(&format!("  secret  {secret}\n"));
        }
    }
    text
}

/// Why an app cannot be changed here.
fn missing(config: Option<&Config>, id: &str) -> anyhow::Error {
    let configured = config.filter(|config| config.apps.iter().any(|app| app.id.as_str() == id));
    match configured.and_then(|config| config.file.as_ref()) {
        Some(file) => anyhow::anyhow!("the app {id} stands in {}; change it there", file.display()),
        None => anyhow::anyhow!("the store has no app {id}; `tidings apps list` shows what there is"),
    }
}
