//! What the store has for the node as a whole: apps made while servers run, and who follows what.

use super::{AppHandle, Node, no_store};
use crate::store::{AppRow, StoreError, SubscriptionRow};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidings_hub::{App, ChannelName, Dialects, Recents, Window};

impl Node {
    /// Serves the apps of the configuration, and those that the store has beside them.
    pub(crate) fn set_config_apps(&self, apps: Vec<Arc<App>>) {
        let mut known = self.known_apps();
        known.config = apps;
        self.set_apps(&known.all());
    }

    /// Looks for apps in the store, if there is one, and serves them.
    ///
    /// # Errors
    /// [`StoreError`]: those that were served still are.
    pub(crate) async fn reload_stored_apps(&self) -> Result<(), StoreError> {
        let Some(store) = self.store() else { return Ok(()) };
        let look = self.known_apps().look();
        // The number first: what changes after it is seen the next time.
        let version = store.apps_version().await?;
        let rows = store.apps().await?;
        let mut known = self.known_apps();
        if !known.is_newer(look) {
            return Ok(());
        }
        let stored: Vec<_> = rows.iter().filter_map(|row| app(row, self.dialects_of(&row.ident), self.recent)).map(Arc::new).collect();
        self.apps_version.store(version, Ordering::Relaxed);
        if stored != known.stored {
            known.stored = stored;
            self.set_apps(&known.all());
        }
        Ok(())
    }

    /// Looks whether somebody has changed apps in the store.
    ///
    /// # Errors
    /// [`StoreError`]: those that were served still are.
    pub(crate) async fn notice_stored_apps(&self) -> Result<(), StoreError> {
        let Some(store) = self.store() else { return Ok(()) };
        if store.apps_version().await? == self.apps_version.load(Ordering::Relaxed) { Ok(()) } else { self.reload_stored_apps().await }
    }

    /// Has a user follow a channel; connections on the personal channel do so at once (I-2.9).
    ///
    /// # Errors
    /// [`StoreError`]: nothing changed.
    pub(crate) async fn follow(&self, app: &AppHandle, user_id: &str, channel: &str) -> Result<SubscriptionRow, StoreError> {
        let store = self.store().ok_or_else(no_store)?;
        let tell = tell_followers(app, user_id, channel);
        let now = crate::clock::unix_time();
        let (row, _) = store.subscribe(&app.app.id, user_id, channel, now, move |(_, made)| tell(*made, true)).await?;
        Ok(row)
    }

    /// Ends that.
    ///
    /// # Errors
    /// [`StoreError`]: nothing changed.
    pub(crate) async fn unfollow(&self, app: &AppHandle, user_id: &str, channel: &str) -> Result<Option<SubscriptionRow>, StoreError> {
        let store = self.store().ok_or_else(no_store)?;
        let tell = tell_followers(app, user_id, channel);
        store.unsubscribe(&app.app.id, user_id, channel, move |row| tell(row.is_some(), false)).await
    }

    /// Whether the node can serve: it stays, and what it acknowledges as stored is on disk.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        if !self.is_ready() {
            return Err("draining".to_owned());
        }
        match self.store() {
            Some(store) => store.durability().await.map_err(|error| format!("Database not ready: {error}")),
            None => Ok(()),
        }
    }
}

/// The apps that a node has heard of, by where.
#[derive(Debug, Default)]
pub(super) struct KnownApps {
    config: Vec<Arc<App>>,
    stored: Vec<Arc<App>>,
    /// Looks into the store that were begun.
    looks: u64,
    /// The one that `stored` is of.
    seen: u64,
}

impl KnownApps {
    /// Begins a look into the store.
    fn look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// Whether what a look found counts. Not if another that began later is through already: it has seen all that this one was to see, and
    /// this one may not have seen all that the other did.
    fn is_newer(&mut self, look: u64) -> bool {
        let is_newer = look > self.seen;
        self.seen = self.seen.max(look);
        is_newer
    }

    /// All of them; what the configuration says counts where both have an id or a key.
    fn all(&self) -> Vec<Arc<App>> {
        let mut all = self.config.clone();
        for stored in &self.stored {
            let taken = self.config.iter().any(|app| app.id == stored.id || app.keys.iter().any(|pair| stored.secret(&pair.key).is_some()));
            if taken {
                tracing::warn!(app = %stored.id, "the configuration has an app with this id or key; the one in the store is not served");
            } else {
                all.push(Arc::clone(stored));
            }
        }
        all
    }
}

/// What tells connections on the user's personal channel, if something `changed`, that it leads to one channel more or less. It is called as
/// the store commits: in that order, and even if whoever asked has gone.
fn tell_followers(app: &AppHandle, user_id: &str, channel: &str) -> impl FnOnce(bool, bool) + Send + 'static {
    let (channels, personal, alias) = (Arc::clone(&app.channels), format!("personal-{user_id}"), ChannelName::parse(channel).ok());
    move |changed, added| {
        if let Some(alias) = alias.filter(|_| changed) {
            channels.follow(&personal, &alias, added);
        }
    }
}

/// An app of the store. It has the defaults of every setting, and clients may publish, as nobody could allow it.
fn app(row: &AppRow, dialects: Dialects, window: Window) -> Option<App> {
    // The oldest signs webhooks.
    let keys: Vec<_> = row.keys.iter().rev().cloned().collect();
    let first = keys.first()?;
    let app = App::new(row.ident.as_str(), &first.key, &first.secret);
    Some(App {
        name: row.name.clone(),
        enabled: row.enabled,
        client_events: true,
        dialects,
        recents: Recents { window, ..app.recents },
        keys,
        ..app
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-4.11: an app is served from the answer on, though somebody else looked for apps at the same time and is slower.
    #[test]
    fn a_slow_look_takes_no_apps_away() {
        let mut known = KnownApps::default();
        let (slow, quick) = (known.look(), known.look());
        assert!(known.is_newer(quick));
        assert!(!known.is_newer(slow));
        let next = known.look();
        assert!(known.is_newer(next));
    }
}
