//! Who is logged in (I-4.4 to I-4.7). A token's hash is what the store has; a login ends when its app's secret changes.

use super::{RestRequest, failed};
use crate::config::Pushi;
use crate::node::{AppHandle, Node};
use crate::store::SessionRow;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidings_dialect::auth::{equal, hmac_sha256};
use tidings_dialect::pushi::api::{Credentials, Refusal};
use tidings_hub::{App, AppId, Time, UnixTime};

/// How long a login that was found in the store is taken to be there still.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// When a login that is used is looked for again.
const ASKED_AFTER: Duration = Duration::from_secs(5);
/// How often the end of a login that is used is moved.
const MOVED_EVERY: Duration = Duration::from_secs(3600);
/// Logins remembered at once; beyond it all are looked up again.
const KNOWN_MAX: usize = 10_000;
/// Addresses whose failures are remembered at once.
const FAILURES_MAX: usize = 10_000;

/// Logins that were seen lately, and addresses that failed.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    known: Mutex<HashMap<String, Known, foldhash::quality::RandomState>>,
    /// How many logins have ended here, changed under that lock: what the store said before the last end does not count.
    ends: AtomicU64,
    /// By address, when its failures are forgiven.
    failures: Mutex<HashMap<IpAddr, Time, foldhash::quality::RandomState>>,
}

#[derive(Debug)]
struct Known {
    app: AppId,
    mark: [u8; 32],
    since: Time,
    /// Somebody asks the store again.
    asked: bool,
}

impl Logins {
    /// The app of a login that was found in the store a moment ago. While it is used the store is asked again before that was too long ago,
    /// so that nobody waits.
    pub(crate) fn known(&self, node: &Arc<Node>, token: &str) -> Option<Arc<AppHandle>> {
        let mut known = self.lock();
        let entry = known.get_mut(token)?;
        let age = node.clock.now().since(entry.since);
        if age >= KNOWN_FOR {
            return None;
        }
        if age >= ASKED_AFTER && !std::mem::replace(&mut entry.asked, true) {
            let (node, token) = (Arc::clone(node), token.to_owned());
            node.runtime.clone().spawn(async move { drop(look_up(&node, node.pushi_node(), &token).await) });
        }
        let (app, mark) = (entry.app.clone(), entry.mark);
        drop(known);
        app_of(node, &app, &mark)
    }

    /// Whether somebody asks the store about a login that is known.
    #[cfg(test)]
    pub(crate) fn is_asked(&self, token: &str) -> bool {
        self.lock().get(token).is_some_and(|known| known.asked)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known, foldhash::quality::RandomState>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> u64 {
        self.ends.load(Ordering::Acquire)
    }

    /// Remembers what the store said when it was asked after so many `ends`.
    fn remember(&self, token: &str, app: &AppId, mark: [u8; 32], now: Time, ends: u64) {
        let mut known = self.lock();
        if self.ends() != ends {
            return;
        }
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(token.to_owned(), Known { app: app.clone(), mark, since: now, asked: false });
    }

    /// Whoever was logged in when the store could last be asked still is.
    fn trust(&self, node: &Node, token: &str) -> Option<Arc<AppHandle>> {
        let mut known = self.lock();
        let entry = known.get_mut(token)?;
        (entry.since, entry.asked) = (node.clock.now(), false);
        let (app, mark) = (entry.app.clone(), entry.mark);
        drop(known);
        app_of(node, &app, &mark)
    }

    fn forget(&self, token: &str) {
        self.lock().remove(token);
    }

    /// Forgets a login for good: whoever asked the store before this may not have seen its end.
    fn end(&self, token: &str) {
        let mut known = self.lock();
        known.remove(token);
        self.ends.fetch_add(1, Ordering::Release);
    }

    /// Whether the address has failed too often lately.
    fn is_barred(&self, address: IpAddr, section: &Pushi, now: Time) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(&address).is_some_and(|until| until.since(now) > section.failed_logins.per)
    }

    fn note_failure(&self, address: IpAddr, section: &Pushi, now: Time) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= FAILURES_MAX {
            failures.retain(|_, until| *until > now);
            // Whoever has that many addresses is not stopped by this anyway, and looking through them each time would stop everybody.
            if failures.len() >= FAILURES_MAX / 2 {
                failures.clear();
            }
        }
        let until = failures.entry(address).or_insert(now);
        *until = (*until).max(now) + section.failed_logins.per / section.failed_logins.count;
    }
}

/// The app of a token, if it is one (I-4.4). Using it moves its end.
pub(super) async fn session(node: &Arc<Node>, section: &Pushi, token: &str) -> Result<Option<Arc<AppHandle>>, Refusal> {
    match node.logins.known(node, token) {
        Some(app) => Ok(Some(app)),
        None => look_up(node, section, token).await,
    }
}

/// Asks the store for a login. If it does not answer, what it said last counts: publishes that need no store go on.
async fn look_up(node: &Arc<Node>, section: &Pushi, token: &str) -> Result<Option<Arc<AppHandle>>, Refusal> {
    let Some(store) = node.store() else { return Ok(None) };
    let hash = hash(token);
    let (now, ends) = (crate::clock::unix_time(), node.logins.ends());
    let row = match store.session(&hash).await {
        Ok(row) => row.filter(|row| row.expires > now),
        Err(error) => {
            let refusal = failed(&error);
            return node.logins.trust(node, token).map(Some).ok_or(refusal);
        }
    };
    let Some(row) = row else {
        node.logins.forget(token);
        return Ok(None);
    };
    let Some((app, mark)) = <[u8; 32]>::try_from(&row.mark[..]).ok().and_then(|mark| Some((app_of(node, &row.app, &mark)?, mark))) else {
        return Ok(None);
    };
    let expires = later(now, section.session_lifetime);
    if expires.as_micros().saturating_sub(row.expires.as_micros()) > micros(MOVED_EVERY)
        && let Err(error) = store.touch_session(&hash, expires).await
    {
        // A full disk ends no login; the next time it is moved.
        tracing::warn!(%error, "the end of a login cannot be moved");
    }
    node.logins.remember(token, &app.app.id, mark, node.clock.now(), ends);
    Ok(Some(app))
}

/// Begins a session (I-4.5).
pub(super) async fn login(
    node: &Arc<Node>,
    section: &Pushi,
    credentials: &Credentials,
    address: Option<IpAddr>,
) -> Result<String, Refusal> {
    let now = node.clock.now();
    if address.is_some_and(|address| node.logins.is_barred(address, section, now)) {
        return Err(Refusal::login_failed());
    }
    let Some(app) = admitted(node, credentials) else {
        if let Some(address) = address {
            node.logins.note_failure(address, section, now);
        }
        return Err(Refusal::login_failed());
    };
    let Some(store) = node.store() else { return Err(failed(&crate::node::no_store())) };
    let token = crate::chance::hex64();
    let mark = mark(&credentials.app_key, &credentials.app_secret);
    let expires = later(crate::clock::unix_time(), section.session_lifetime);
    let row = SessionRow { token_hash: hash(&token), app: app.app.id.clone(), mark: mark.to_vec(), expires };
    store.put_session(row).await.map_err(|error| failed(&error))?;
    node.logins.remember(&token, &app.app.id, mark, now, node.logins.ends());
    Ok(token)
}

/// Ends a session (I-4.6).
pub(super) async fn logout(node: &Arc<Node>, token: &str) -> Result<(), Refusal> {
    node.logins.forget(token);
    let Some(store) = node.store() else { return Ok(()) };
    let ended = store.delete_session(&hash(token)).await;
    // It may have been looked up again before the store had done it.
    node.logins.end(token);
    ended.map(drop).map_err(|error| failed(&error))
}

/// The cookie of a login. Pages of other origins that are listed get it too, over TLS only, as browsers want it (I-4.5).
pub(super) fn cookie(token: &str, section: &Pushi, rest: &RestRequest<'_>) -> String {
    let crosses = rest.origin.is_some_and(|origin| section.cors_origins.iter().any(|listed| listed == origin));
    let site = match (crosses, rest.secure) {
        (true, true) => "SameSite=None; Secure",
        (_, true) => "SameSite=Lax; Secure",
        (_, false) => "SameSite=Lax",
    };
    format!("sid={token}; Path=/; Max-Age={}; HttpOnly; {site}", section.session_lifetime.as_secs())
}

/// The app whose key and secret these are. The time does not tell how much of the secret is right.
fn admitted(node: &Node, credentials: &Credentials) -> Option<Arc<AppHandle>> {
    let apps = node.apps();
    let app = apps.by_id(&AppId::new(&credentials.app_id)).filter(|app| app.app.enabled && app.app.dialects.pushi);
    let secret = app.and_then(|app| app.app.secret(&credentials.app_key)).unwrap_or_default();
    let right = equal(&hmac_sha256(b"login", &[secret.as_bytes()]), &hmac_sha256(b"login", &[credentials.app_secret.as_bytes()]));
    app.filter(|_| right && !secret.is_empty()).cloned()
}

/// The app if a login with this mark is still one: the pair of its key and secret stands.
fn app_of(node: &Node, id: &AppId, mark: &[u8; 32]) -> Option<Arc<AppHandle>> {
    let stands = |app: &App| app.keys.iter().any(|pair| self::mark(&pair.key, &pair.secret) == *mark);
    node.apps().by_id(id).filter(|app| app.app.enabled && app.app.dialects.pushi && stands(&app.app)).cloned()
}

/// What a login was good for, without telling the secret.
fn mark(key: &str, secret: &str) -> [u8; 32] {
    hmac_sha256(secret.as_bytes(), &[b"tidings-login:", key.as_bytes()])
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn later(now: UnixTime, lifetime: Duration) -> UnixTime {
    UnixTime::from_micros(now.as_micros().saturating_add(micros(lifetime)))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-4.5: failures are remembered of as many addresses as there is room for, however many there are.
    #[test]
    fn failures_are_bounded() {
        let logins = Logins::default();
        let section = Pushi::default();
        for address in 0..3 * FAILURES_MAX as u32 {
            logins.note_failure(IpAddr::V4(address.into()), &section, Time::ZERO);
        }
        assert!(logins.failures.lock().unwrap().len() <= FAILURES_MAX);
    }
}
