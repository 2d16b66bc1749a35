//! Commands that open a store by themselves, and `tidings backup`.

use super::{Source, advise, print};
use crate::config::{self, Config};
use crate::store::{Options, Retention, Store, StoreUrl};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};

/// Copy the store into a new file, while servers use it.
#[derive(Args, Debug)]
pub(super) struct Backup {
    #[command(flatten)]
    source: Source,
    /// The store, where no configuration says it: sqlite:PATH.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The file to make; it must not exist.
    file: PathBuf,
}

impl Backup {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let (url, _) = url(&self.source, self.store.as_deref())?;
        Store::backup(&url, &self.file).with_context(|| format!("cannot copy the store {url} to {}", self.file.display()))?;
        let bytes = std::fs::metadata(&self.file).map(|file| file.len()).unwrap_or_default();
        print(&format!("{url} is copied to {}: {bytes} bytes\n", self.file.display()))
    }
}

/// Which store is meant, and the configuration if it says so.
fn url(source: &Source, store: Option<&str>) -> anyhow::Result<(StoreUrl, Option<Config>)> {
    let parse = |text: &str, directory: &Path| StoreUrl::parse(text, directory).map_err(anyhow::Error::msg);
    if let Some(store) = store {
        return Ok((parse(store, Path::new("")).context("--store")?, None));
    }
    let config = config::load(source.config.as_deref()).map_err(advise)?;
    // Where a server with this configuration looks for it as well.
    let beside = config.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let url = match &config.store {
        Some(store) => parse(&store.url, Path::new("")),
        None => parse("sqlite:tidings.db", beside),
    }?;
    Ok((url, Some(config)))
}

/// What becomes of a store whose file is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made.
    Make,
    /// It passes for an empty one: who only looks leaves nothing behind.
    Pass,
}

/// Opens the store that is meant. It prunes nothing: that is for servers.
pub(super) fn open(source: &Source, store: Option<&str>, missing: Missing, runtime: &Handle) -> anyhow::Result<(Store, Option<Config>)> {
    const NEVER: Duration = Duration::from_secs(u32::MAX as u64);
    let (mut url, config) = url(source, store)?;
    anyhow::ensure!(url != StoreUrl::Memory, "a store in memory is gone with its process; name another with --store");
    let shown = url.to_string();
    if missing == Missing::Pass && matches!(&url, StoreUrl::Sqlite(path) if !path.exists()) {
        url = StoreUrl::Memory;
    }
    let retention = Retention { age: Duration::ZERO, events: 0, every: NEVER, ..Retention::default() };
    let size_max = config.as_ref().and_then(|config| config.store.as_ref()).map_or(0, |store| store.size);
    let opened = Store::open(Options { url, retention, size_max, queue_max: 1, runtime: runtime.clone() });
    Ok((opened.with_context(|| format!("cannot open the store {shown}"))?, config))
}

/// Runs a command that waits for a store, which needs threads of its own.
pub(super) fn wait_for(command: impl AsyncFnOnce(&Handle) -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    // It fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(command(runtime.handle()))
}
