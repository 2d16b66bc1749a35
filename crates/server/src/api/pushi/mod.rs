//! Pushi's REST API, between its codec and node and store: translates, decides nothing.

mod apps;
mod events;
mod logins;
mod records;
mod registrations;

use crate::config::Pushi;
use crate::http::response::Answer;
use crate::node::{AppHandle, Node, no_store};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use tidings_dialect::pushi::api::{self, Access, Call, Credentials, Health, Limits, Refusal, Request, answer, records as shown};
use tidings_dialect::pushi::name;
use tidings_hub::{AppId, SocketId};
use tokio::sync::oneshot;

pub(crate) use events::{events, publish_now, stored};
pub(crate) use logins::Logins;

/// A request of the REST API, complete.
#[derive(Clone, Copy)]
pub(crate) struct RestRequest<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) origin: Option<&'a str>,
    /// The client's address; none on a unix socket.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client speaks TLS.
    pub(crate) secure: bool,
    /// Under which name it asks.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

/// Performs a request. Whoever calls has seen to room for what it may publish.
pub(crate) async fn answer(node: &Arc<Node>, rest: &RestRequest<'_>) -> Answer {
    let section = node.pushi_node();
    let answer = if rest.request.method == "OPTIONS" {
        preflight(rest)
    } else {
        Caller { node, section, rest }.answer().await.unwrap_or_else(refused)
    };
    with_cors(answer, section, rest)
}

/// The answer to a refusal; a number of its own helps to find it in logs (I-4.3).
pub(crate) fn refused(refusal: Refusal) -> Answer {
    let uid = name::uuid(crate::chance::uuid());
    let body = refusal.body(&uid);
    Answer { status: refusal.status, allow: refusal.allow, headers: vec![("x-error-id", uid)], ..Answer::json(body) }
}

/// The same to one that was refused before it was read.
pub(crate) fn refused_early(node: &Node, rest: &RestRequest<'_>, refusal: Refusal) -> Answer {
    with_cors(refused(refusal), node.pushi_node(), rest)
}

/// I-4.1, I-4.10.
fn preflight(rest: &RestRequest<'_>) -> Answer {
    match api::methods(rest.request.path) {
        Some(methods) => Answer {
            allow: Some(methods),
            headers: vec![
                ("access-control-allow-methods", methods.to_owned()),
                ("access-control-allow-headers", "content-type, x-requested-with, x-session-id".to_owned()),
                ("access-control-max-age", "600".to_owned()),
            ],
            ..Answer::empty(204)
        },
        None => refused(Refusal::not_handled(rest.request.method, rest.request.path)),
    }
}

/// Pages of listed origins may bring their cookies, all others may read what needs none (I-4.10).
fn with_cors(mut answer: Answer, section: &Pushi, rest: &RestRequest<'_>) -> Answer {
    match rest.origin.filter(|origin| section.cors_origins.iter().any(|listed| listed == origin)) {
        Some(origin) => {
            answer.headers.push(("access-control-allow-origin", origin.to_owned()));
            answer.headers.push(("access-control-allow-credentials", "true".to_owned()));
            answer.headers.push(("vary", "origin".to_owned()));
        }
        None => answer.headers.push(("access-control-allow-origin", "*".to_owned())),
    }
    answer
}

/// Whoever asks, and what may be asked.
struct Caller<'a> {
    node: &'a Arc<Node>,
    section: &'a Pushi,
    rest: &'a RestRequest<'a>,
}

impl Caller<'_> {
    async fn answer(&self) -> Result<Answer, Refusal> {
        let received = api::receive(&self.rest.request)?;
        let token = received.session_token.as_deref();
        let session = match token {
            Some(token) => logins::session(self.node, self.section, token).await?,
            None => None,
        };
        let app = match received.access {
            Access::Session => Some(match (session, received.legacy_app_key.as_deref().filter(|_| self.section.legacy_app_key)) {
                (Some(app), _) => app,
                (None, Some(key)) => self.app_of_key(key).ok_or_else(Refusal::not_authenticated)?,
                (None, None) => return Err(Refusal::not_authenticated()),
            }),
            Access::AppCreation if !self.section.open_apps => return Err(Refusal::apps_are_closed()),
            Access::HealthDetails if session.is_none() && !self.section.open_health => return Err(Refusal::not_authenticated()),
            Access::Anyone | Access::AppCreation | Access::HealthDetails => session,
        };
        if let (Some(wanted), Some(app)) = (&received.app, &app)
            && *wanted != app.app.id.as_str()
        {
            return Err(Refusal::app_not_found());
        }
        let call = received.call(&self.limits(app.as_deref()))?;
        let answer = match app {
            Some(app) => self.private(&app, call).await?,
            None => self.open(call).await?,
        };
        Ok(if received.terse { Answer::json(answer::success()) } else { answer })
    }

    fn limits(&self, app: Option<&AppHandle>) -> Limits {
        let session = app.map_or(&self.section.session, |app| &self.node.pushi(&app.app.id).session);
        Limits {
            channel_name_bytes: session.channel_name_bytes,
            event_bytes: session.event_bytes,
            events: session.latest_max,
            ..Limits::default()
        }
    }

    fn app_of_key(&self, key: &str) -> Option<Arc<AppHandle>> {
        self.node.apps().by_key(key).filter(|app| app.app.enabled && app.app.dialects.pushi).cloned()
    }

    fn store(&self) -> Result<&Store, Refusal> {
        self.node.store().ok_or_else(|| failed(&no_store()))
    }

    /// What anybody may ask.
    async fn open(&self, call: Call) -> Result<Answer, Refusal> {
        match call {
            Call::Login(credentials) => self.login(&credentials).await,
            Call::Logout => self.logout().await,
            Call::Health(health) => self.health(health).await,
            Call::Info => Ok(self.info()),
            Call::Versions => Ok(Answer::json(answer::versions(VERSION))),
            Call::CreateApp(patch) => self.create_app(&patch).await,
            _ => Err(Refusal::not_authenticated()),
        }
    }

    /// What a session may ask, of its own app.
    async fn private(&self, app: &Arc<AppHandle>, call: Call) -> Result<Answer, Refusal> {
        match call {
            Call::ListApps => self.list_apps(app).await,
            Call::ShowApp { ident } => self.show_app(app, &ident).await,
            Call::UpdateApp { ident, patch } => self.update_app(app, &ident, &patch).await,
            Call::VapidKey => self.vapid_key(app).await,
            Call::Ping => self.trigger(app, api::Trigger::ping()).await,
            Call::Trigger(trigger) => self.trigger(app, trigger).await,
            Call::ListEvents { count, skip, channel } => self.list_events(app, count, skip, channel.as_deref()).await,
            Call::ListSubscriptions { user_id, event } => {
                let rows =
                    self.store()?.subscriptions(&app.app.id, user_id.as_deref(), event.as_deref()).await.map_err(|error| failed(&error))?;
                Ok(Answer::json(shown::list(rows.iter().map(|row| records::subscription(&app.app.id, row)))))
            }
            Call::Subscribe { user_id, event } => {
                let row = self.node.follow(app, &user_id, event.as_str()).await.map_err(|error| failed(&error))?;
                Ok(Answer::json(shown::one(&records::subscription(&app.app.id, &row))))
            }
            Call::Unsubscribe { user_id, event, force } => {
                match self.node.unfollow(app, &user_id, &event).await.map_err(|error| failed(&error))? {
                    Some(row) => Ok(Answer::json(shown::one(&records::subscription(&app.app.id, &row)))),
                    None if force => Err(Refusal::subscription_not_found()),
                    None => Ok(Answer::json(answer::success())),
                }
            }
            Call::ListSockets => {
                let listed = self.listed(&app.app.id, None).await;
                Ok(Answer::json(answer::sockets(listed.iter().map(|(id, channels)| (id.as_str(), channels.iter().map(String::as_str))))))
            }
            Call::Socket { id } => {
                let listed = match name::parse_socket_id(&id) {
                    Some(socket) => self.listed(&app.app.id, Some(socket)).await,
                    None => Vec::new(),
                };
                let channels = listed.iter().flat_map(|(_, channels)| channels.iter().map(String::as_str));
                Ok(Answer::json(answer::channels(channels)))
            }
            Call::ListRegistrations { family, id, event } => self.list_registrations(app, family, id.as_deref(), event.as_deref()).await,
            Call::Register(registration) => self.register(app, registration).await,
            Call::Unregister { family, which, force } => self.unregister(app, family, which, force).await,
            open => self.open(open).await,
        }
    }

    /// The connections of an app, from all shards or from the one that has it.
    async fn listed(&self, app: &AppId, only: Option<SocketId>) -> Vec<crate::shard::Listed> {
        let wanted = |number: &usize| only.is_none_or(|only| only.shard() == *number);
        let mut listed = Vec::new();
        for (_, shard) in self.node.shards.iter().enumerate().filter(|(number, _)| wanted(number)) {
            let (reply, told) = oneshot::channel();
            shard.command(crate::shard::Command::List { app: app.clone(), only, reply });
            listed.extend(told.await.unwrap_or_default());
        }
        listed
    }

    async fn login(&self, credentials: &Credentials) -> Result<Answer, Refusal> {
        let token = logins::login(self.node, self.section, credentials, self.rest.address).await?;
        let cookie = logins::cookie(&token, self.section, self.rest);
        Ok(Answer { headers: vec![("set-cookie", cookie)], ..Answer::json(answer::token(&token)) })
    }

    async fn logout(&self) -> Result<Answer, Refusal> {
        let received = api::receive(&self.rest.request)?;
        if let Some(token) = received.session_token.as_deref() {
            logins::logout(self.node, token).await?;
        }
        let cookie = "sid=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax".to_owned();
        Ok(Answer { headers: vec![("set-cookie", cookie)], ..Answer::json(answer::success()) })
    }

    async fn health(&self, health: Health) -> Result<Answer, Refusal> {
        Ok(Answer::json(match health {
            Health::Summary => answer::health(VERSION),
            Health::Live => answer::live(),
            Health::Ready => {
                self.node.ready().await.map_err(Refusal::not_ready)?;
                answer::ready()
            }
            Health::Detailed => self.details().await,
        }))
    }

    async fn details(&self) -> Bytes {
        let begin = std::time::Instant::now();
        let pinged = match self.node.store() {
            Some(store) => store.ping().await,
            None => Err(no_store()),
        };
        let latency = begin.elapsed();
        let counts = match self.node.store() {
            Some(store) if pinged.is_ok() => store.counts().await.unwrap_or_default(),
            _ => crate::store::Counts::default(),
        };
        let live = crate::metrics::Live::of(self.node);
        // Registrations are kept; nothing is sent to them in this build.
        let handler = |place: usize| answer::Handler {
            status: answer::Status::Warning,
            subscriptions: counts.registrations[place].registrations,
            apps: counts.registrations[place].apps,
        };
        let [web, apn, smtp, web_push] = [0, 1, 2, 3];
        answer::detailed(&answer::Details {
            version: VERSION,
            now: crate::clock::unix_time(),
            store: if pinged.is_err() { answer::Status::Error } else { answer::Status::Ok },
            store_latency: latency,
            apps: self.node.apps().iter().count() as u64,
            sockets: answer::Status::Ok,
            connections: live.sessions,
            messages_sent: self.node.shards.iter().map(|shard| shard.stats.deliveries.get()).sum(),
            handlers: [handler(apn), handler(smtp), handler(web), handler(web_push)],
        })
    }

    fn info(&self) -> Answer {
        let now = crate::clock::unix_time();
        let uptime = std::time::Duration::from_micros(now.as_micros().saturating_sub(self.node.started.as_micros()));
        let live = crate::metrics::Live::of(self.node);
        Answer::json(answer::info(&answer::Service {
            version: VERSION,
            uptime,
            connections: live.sessions,
            count: self.node.shards.iter().map(|shard| shard.stats.handshakes.get()).sum(),
            host: self.rest.host,
            port: self.rest.port,
            ssl: self.rest.secure,
        }))
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a caller is told of the store's trouble; the log has the cause.
fn failed(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "the store refused a request");
    Refusal::store_failed(&error.to_string())
}
