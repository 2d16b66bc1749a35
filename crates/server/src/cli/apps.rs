//! `tidings apps`: the apps that a store has, which running servers notice by themselves.

use super::output::printable;
use super::store::{Missing, open, wait_for};
use super::{Source, print};
use crate::config::Config;
use crate::store::{AppRow, CreateError, NewApp, SettingsPatch, Store};
use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tidings_hub::{App, AppId, Key};

/// Apps that are made, changed and disabled while servers run.
#[derive(Args, Debug)]
pub(super) struct Apps {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
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
    /// Show one app of the store.
    Show {
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Close an app's connections and take no more.
    Disable {
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Let clients of an app that was disabled connect again.
    Enable {
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Give an app a new key and secret. Connections that came in by the old key are closed, unless it is kept.
    Rotate {
        /// Its id, as `list` shows it.
        id: String,
        /// Let the old key stand, until it is removed.
        #[arg(long)]
        keep_old: bool,
    },
    /// Take one of several keys from an app. Connections that came in by it are closed.
    RemoveKey {
        /// Its id, as `list` shows it.
        id: String,
        /// The key to take.
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

/// How many secrets of an app are shown, those of the newest keys first.
const NO_SECRET: usize = 0;
const NEW_SECRET: usize = 1;
const ALL_SECRETS: usize = usize::MAX;

impl Apps {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        wait_for(async |runtime| {
            let source = Source { config: self.config.clone() };
            let missing = if matches!(self.action, Action::Create { .. }) { Missing::Make } else { Missing::Pass };
            let (store, config) = open(&source, self.store.as_deref(), missing, runtime)?;
            let text = self.act(&store, config.as_ref()).await?;
            store.close();
            print(&text)
        })
    }

    async fn act(&self, store: &Store, config: Option<&Config>) -> anyhow::Result<String> {
        let rows = store.apps().await?;
        let row = |id: &str| rows.iter().find(|row| row.ident.as_str() == id).ok_or_else(|| missing(&rows, config, id));
        match &self.action {
            Action::List => self.list(&rows, config),
            Action::Create { name } => self.text(&[shown(&create(store, config, name.trim()).await?, NEW_SECRET)]),
            Action::Show { id } => self.text(&[shown(row(id)?, self.secrets())]),
            Action::Disable { id } => self.changed(store.set_enabled(&row(id)?.ident, false).await, self.secrets()),
            Action::Enable { id } => self.changed(store.set_enabled(&row(id)?.ident, true).await, self.secrets()),
            Action::Rotate { id, keep_old } => {
                self.changed(store.rotate_key(&row(id)?.ident, made_key(), *keep_old).await, self.secrets().max(NEW_SECRET))
            }
            Action::RemoveKey { id, key } => {
                let row = row(id)?;
                anyhow::ensure!(row.keys.iter().any(|pair| pair.key == *key), "the app {id} has no such key");
                anyhow::ensure!(row.keys.len() > 1, "it is the only key of the app {id}; disable the app, or rotate the key");
                self.changed(store.remove_key(&row.ident, key).await, self.secrets())
            }
        }
    }

    fn secrets(&self) -> usize {
        if self.secrets { ALL_SECRETS } else { NO_SECRET }
    }

    fn list(&self, rows: &[AppRow], config: Option<&Config>) -> anyhow::Result<String> {
        let mut apps: Vec<Shown<'_>> = rows.iter().map(|row| shown(row, self.secrets())).collect();
        for app in configured(config) {
            let keys = shown_keys(&app.keys, self.secrets());
            apps.push(Shown { id: app.id.as_str(), name: &app.name, enabled: app.enabled, keys, place: "configuration" });
        }
        if apps.is_empty() && !self.json {
            return Ok("There is no app yet; make one with `tidings apps create NAME`.\n".to_owned());
        }
        self.text(&apps)
    }

    fn changed(&self, changed: Result<Option<AppRow>, CreateError>, secrets: usize) -> anyhow::Result<String> {
        let row = changed?.context("somebody has removed the app just now")?;
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

/// The apps that the configuration names. One that is made for a run of the server is none: the next run has another.
fn configured(config: Option<&Config>) -> &[App] {
    config.filter(|config| config.made.is_none()).map(|config| &config.apps[..]).unwrap_or_default()
}

async fn create(store: &Store, config: Option<&Config>, name: &str) -> anyhow::Result<AppRow> {
    anyhow::ensure!(!name.is_empty(), "an app needs a name");
    let taken = configured(config).iter().any(|app| app.name == name);
    anyhow::ensure!(!taken, "the configuration has an app of the name {name}; choose another");
    let app =
        NewApp { ident: AppId::new(&crate::chance::hex64()), name: name.to_owned(), key: made_key(), settings: SettingsPatch::default() };
    let row = store.create_app(app, crate::clock::unix_time()).await?;
    if config.is_some_and(|config| config.store.is_none()) {
        // Beside what is printed for programs.
        let _ = writeln!(io::stderr(), "The store was made just now; a server that was started before has none and must be restarted.");
    }
    Ok(row)
}

fn made_key() -> Key {
    Key { key: crate::chance::hex64(), secret: crate::chance::hex64() }
}

fn shown(row: &AppRow, secrets: usize) -> Shown<'_> {
    let keys = shown_keys(&row.keys, secrets);
    Shown { id: row.ident.as_str(), name: &row.name, enabled: row.enabled, keys, place: "store" }
}

fn shown_keys(keys: &[Key], secrets: usize) -> Vec<ShownKey<'_>> {
    let places = keys.iter().enumerate();
    places.map(|(place, pair)| ShownKey { key: &pair.key, secret: (place < secrets).then_some(&*pair.secret) }).collect()
}

fn for_people(app: &Shown<'_>) -> String {
    let state = if app.enabled { "" } else { " (disabled)" };
    // A name may come from anybody, where anybody may make apps.
    let mut text = format!("{}{state}, in the {}\n  id      {}\n", printable(app.name), app.place, app.id);
    for ShownKey { key, secret } in &app.keys {
        text.push_str(&format!("  key     {key}\n"));
        if let Some(secret) = secret {
            text.push_str(&format!("  secret  {secret}\n"));
        }
    }
    text
}

/// Why an app cannot be changed here.
fn missing(rows: &[AppRow], config: Option<&Config>, id: &str) -> anyhow::Error {
    if let Some(row) = rows.iter().find(|row| row.name == id) {
        return anyhow::anyhow!("{id} is a name; the id of that app is {}", row.ident);
    }
    if configured(config).iter().any(|app| app.id.as_str() == id) {
        let file = config.and_then(|config| config.file.as_ref()).map(|file| file.display().to_string());
        return anyhow::anyhow!("the app {id} stands in {}; change it there", file.as_deref().unwrap_or("the environment"));
    }
    anyhow::anyhow!("the store has no app {id}; `tidings apps list` shows what there is")
}
