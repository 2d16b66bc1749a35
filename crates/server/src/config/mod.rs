//! The configuration: one TOML file and the environment, read and checked here and passed down as plain values.
//! No other room reads the environment.

mod app;
mod check;
mod drop_in;
mod environment;
mod file;
mod listener;
mod node;
mod problem;
mod pushi;
mod pushy;
mod reader;
mod redis;
mod reference;
mod reload;
mod sse;
mod store;
mod tree;
mod units;
mod wspush;

#[cfg(test)]
mod tests;

pub use self::redis::{Redis, RedisLogin, RedisProtocol, RedisServer};
pub use check::{descriptors_warning, dialects_of};
pub use drop_in::DropIn;
pub use drop_in::wspush::{Flags as WspushFlags, Unread};
pub use file::{load, load_pushi, load_pushy, load_with_settings, load_wspush, read_wspush, reload, search_path};
pub use listener::{Address, Dialect, Listener, Tls};
pub use node::{Drain, Limits, Log, LogFormat, WebSocket, Webhooks};
pub use problem::{Broken, Problem};
pub use pushi::Pushi;
pub use pushy::{CommandTarget, Pushy};
pub use reader::{HIDDEN, Setting};
pub use reference::{effective, reference, reference_table};
pub use reload::{AppChange, Changes, difference};
pub use sse::Recent;
pub use store::{History, Store};
pub use units::Rate;
pub(crate) use units::duration;
pub use wspush::Wspush;

use problem::Problems;
use reader::{Reader, Section};
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use tidings_hub::{App, AppId, Key};
use tree::{Item, Origin, Table, Value};

/// A configuration without a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens; at least one.
    pub listeners: Vec<Listener>,
    /// The tenants that stand here; none only where a store may have some. Ids and keys are unique.
    pub apps: Vec<App>,
    /// How long events of apps are kept for which other limits hold than for all.
    pub histories: HashMap<AppId, History>,
    /// Where what must last is kept; `None` if nothing is.
    pub store: Option<Store>,
    /// How Pushi's clients are spoken to; at most one section for each app and one for all others.
    pub pushi: Vec<Pushi>,
    /// Apps that Pushy's clients speak to.
    pub pushy: Vec<Pushy>,
    /// Relays from Redis.
    pub wspush: Vec<Wspush>,
    /// How streams of server-sent events behave.
    pub sse: tidings_dialect::sse::session::Settings,
    /// What channels keep for those who come back.
    pub recent: Recent,
    /// What the whole node may use.
    pub limits: Limits,
    /// How WebSocket connections are spoken to.
    pub websocket: WebSocket,
    /// How facts are delivered.
    pub webhooks: Webhooks,
    /// What is logged.
    pub log: Log,
    /// How the server stops.
    pub drain: Drain,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// What was read where there is no file: a document made of another server's environment.
    pub document: Option<DropIn>,
    /// The key of the app that was made because no file and no variable names one.
    pub made: Option<Key>,
    /// The settings of all sections but the apps, with the values in effect.
    pub node_settings: Vec<Setting>,
    /// What is allowed but hardly meant.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// How Pushi's clients are spoken to on an app.
    #[must_use]
    pub fn pushi_of(&self, app: &AppId) -> Pushi {
        let found = |of: Option<&AppId>| self.pushi.iter().find(|section| section.app.as_ref() == of);
        found(Some(app)).or_else(|| found(None)).cloned().unwrap_or_default()
    }
}

/// A configuration file as text.
#[derive(Clone, Copy)]
pub struct Document<'t> {
    /// Its name, for problems.
    pub name: &'t str,
    /// The TOML in it.
    pub text: &'t str,
}

/// What reading needs from the world, so that it can be tried without one.
pub struct Surroundings<'s> {
    /// Relative paths in the file begin here: the file's own directory.
    pub directory: PathBuf,
    /// Processor cores: the default for the number of shards.
    pub cores: usize,
    /// Reads a secret or a certificate. Must bound what it reads.
    pub read_file: &'s dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Makes the key and the secret of an app, should one have to be made.
    pub make_key: &'s dyn Fn() -> Key,
}

/// Reads and checks a configuration: `document`, then what `variables` say over it. Without a document and without apps in
/// the variables an app is made. Beside the configuration come all its settings, in the order of the sections, secrets hidden.
///
/// # Errors
/// [`Broken`] with every problem there is, each with the setting, its place and what to change.
pub fn read(
    document: Option<Document<'_>>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    surroundings: &Surroundings<'_>,
) -> Result<(Config, Vec<Setting>), Broken> {
    let mut problems = Problems::default();
    let mut items = document.map(|document| tree::parse(document.name, document.text, &mut problems)).unwrap_or_default();
    if !problems.is_empty() {
        // Not even a tree: whatever else would be said is a consequence.
        return Err(problems.into_broken());
    }
    environment::overlay(&mut items, variables, surroundings, &mut problems);
    let made = (document.is_none() && !items.contains_key("apps") && !items.contains_key("store")).then(surroundings.make_key);
    if let Some(key) = &made {
        items.insert("apps".to_owned(), made_app(key));
    }
    items.entry("listeners".to_owned()).or_insert_with(|| first_listener(made.is_some()));
    let mut reader = Reader::new(surroundings, problems);
    let mut config = reader.document(items, whole);
    config.made = made;
    if config.store.is_none() && config.listeners.iter().any(|listener| listener.speaks_pushi()) {
        config.store = Some(store::default(&surroundings.directory));
    }
    check::check(&mut config, &mut reader);
    if !reader.problems.is_empty() {
        return Err(reader.problems.into_broken());
    }
    config.node_settings = reader.settings.iter().filter(|setting| !setting.section.starts_with("apps[")).cloned().collect();
    Ok((config, reader.settings))
}

/// The whole document, section by section.
fn whole(root: &mut Section<'_, '_>) -> Config {
    root.later(&["cluster"], "this build serves as one node");
    let mut histories = HashMap::new();
    Config {
        listeners: root.sections("listeners", listener::listener),
        apps: root.sections("apps", |section| app::app(section, &mut histories)),
        limits: root.section("limits", node::limits),
        websocket: root.section("websocket", node::websocket),
        webhooks: root.section("webhooks", node::webhooks),
        log: root.section("log", node::log),
        drain: root.section("drain", node::drain),
        store: root.maybe_section("store", store::store),
        sse: root.section("sse", sse::sse),
        recent: root.section("recent", sse::recent),
        pushi: root.sections("pushi", pushi::pushi),
        pushy: root.sections("pushy", pushy::pushy),
        wspush: root.sections("wspush", wspush::wspush),
        histories: std::mem::take(&mut histories),
        file: None,
        document: None,
        made: None,
        node_settings: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The listener on loopback where none is written. The page to try things at acts with a secret, so it is there for an app that was
/// made for the try, and not for one that a proxy on the same machine may stand before.
fn first_listener(made: bool) -> Item {
    let dialects = if made { &[Dialect::Pusher, Dialect::Sse, Dialect::Console][..] } else { &[Dialect::Pusher, Dialect::Sse] };
    let dialects = dialects.iter().map(|dialect| standing(Value::Text(dialect.to_string()))).collect();
    standing_list([("dialects", standing(Value::List(dialects)))])
}

/// The app of a first try: everything a page may want to show is on.
fn made_app(key: &Key) -> Item {
    let text = |text: &str| standing(Value::Text(text.to_owned()));
    let client_events = standing(Value::Boolean(true));
    standing_list([("id", text("1")), ("key", text(&key.key)), ("secret", text(&key.secret)), ("client_events", client_events)])
}

fn standing_list<const N: usize>(settings: [(&str, Item); N]) -> Item {
    let section: Table = settings.map(|(name, value)| (name.to_owned(), value)).into();
    standing(Value::List(vec![standing(Value::Table(section))]))
}

/// A value that nobody wrote.
fn standing(value: Value) -> Item {
    Item { value, origin: Origin::Default }
}
