//! What Pushy's clients and publishers ask of the node: apps on paths of their own, commands that are answered elsewhere, triggers.

use super::{AppHandle, Node};
use crate::clock::unix_time;
use crate::command::{Command as Program, CommandContext, Commands, Rooms};
use crate::config;
use crate::deliver::CommandPoster;
use crate::shard::Command;
use bytes::Bytes;
use hashbrown::HashMap;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_dialect::action::{CommandFailed, Reply};
use tidings_dialect::pushy::api::{self, Answer, REPLAY_WINDOW, Refusal};
use tidings_dialect::pushy::auth::Signature;
use tidings_dialect::pushy::codec::Transport;
use tidings_dialect::pushy::command::{self, ANSWER_BYTES_MAX, Caller};
use tidings_dialect::pushy::settings::Settings;
use tidings_hub::{ChannelName, SocketId, UnixTime};
use tokio::sync::Semaphore;

/// One section of the configuration, as it is served.
pub(crate) struct PushyService {
    pub(crate) config: config::Pushy,
    pub(crate) session: Arc<Settings>,
    calls: Semaphore,
    poster: CommandPoster,
    /// What the program that embeds the server answers by itself.
    pub(crate) rooms: Arc<Rooms>,
    /// Signatures of accepted triggers, with the end of the time in which they could be used again.
    accepted: Mutex<HashMap<Signature, UnixTime>>,
}

/// Who calls a command, and which.
pub(crate) struct Call {
    pub(crate) app: Arc<AppHandle>,
    pub(crate) socket: SocketId,
    pub(crate) transport: Transport,
    pub(crate) address: Option<IpAddr>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) command: tidings_dialect::action::Command,
}

impl PushyService {
    pub(crate) fn new(config: &config::Pushy, commands: &Commands) -> Self {
        let mut session = config.session.clone();
        session.commands.named.extend(commands.names().cloned());
        Self {
            config: config.clone(),
            session: Arc::new(session),
            calls: Semaphore::new(config.session.command_calls as usize),
            poster: CommandPoster::new(),
            rooms: Arc::new(Rooms::new(commands.clone())),
            accepted: Mutex::default(),
        }
    }

    /// Runs a command at its endpoint (Y-9.3 to Y-9.6). What went wrong is logged, and not told to the caller.
    async fn run(&self, node: &Arc<Node>, call: &Arc<Call>) -> Result<Reply, CommandFailed> {
        if let Some(command) = self.rooms.commands().find(&call.command.name) {
            return self.run_here(node, command, call).await;
        }
        let find = |name: &str| self.config.commands.iter().find(|command| command.name == name);
        let Some(target) = find(&call.command.name).or_else(|| find("*")) else { return Err(CommandFailed::default()) };
        let answered = tokio::time::timeout(target.timeout, self.post(&target.url, call)).await;
        let why = match answered {
            Ok(Ok((status, body))) => match command::answer(status, &body, &self.session) {
                Ok(reply) => return Ok(reply),
                Err(failed) => format!("its answer of status {status} cannot be used: {failed}"),
            },
            Ok(Err(error)) => error,
            Err(_) => "it took too long".to_owned(),
        };
        tracing::warn!(command = call.command.name, app = %call.app.app.id, error = why, "a command failed");
        Err(CommandFailed::default())
    }

    /// Runs a command of the program itself, as a task of its own: a panic ends no more than that.
    async fn run_here(&self, node: &Arc<Node>, command: Arc<dyn Program>, call: &Arc<Call>) -> Result<Reply, CommandFailed> {
        let (node, rooms, own) = (Arc::clone(node), Arc::clone(&self.rooms), Arc::clone(call));
        let run = async move {
            let reply = Mutex::default();
            let text = std::str::from_utf8(&own.command.data).unwrap_or("null").to_owned();
            let data = RawValue::from_string(text).unwrap_or_default();
            let context = CommandContext { node: &node, rooms: &rooms, call: &own, reply: &reply };
            command.call(context, &data).await.map(|()| reply.into_inner().unwrap_or_else(PoisonError::into_inner))
        };
        match tokio::spawn(run).await {
            Ok(done) => done.map_err(|failed| CommandFailed { code: failed.code.into(), message: failed.message.into() }),
            Err(_) => {
                tracing::error!(command = call.command.name, app = %call.app.app.id, "a command panicked");
                Err(CommandFailed::default())
            }
        }
    }

    async fn post(&self, url: &str, call: &Call) -> Result<(u16, Bytes), String> {
        // Waiting counts: the caller waits as well.
        let _place = self.calls.acquire().await.map_err(|error| error.to_string())?;
        let address = call.address.map(|address| address.to_string()).unwrap_or_default();
        let headers: Vec<_> = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let caller = Caller {
            socket_id: call.socket,
            transport: call.transport,
            remote_address: &address,
            headers: &headers,
            channels: &call.channels,
        };
        let now = unix_time();
        let (body, signature) = command::request(&call.app.app, &call.command, &caller, &crate::chance::hex64()[..32], now);
        let headers = [("x-pushy-timestamp", now.as_secs().to_string()), ("x-pushy-signature", signature)];
        self.poster.post(url, &headers, body, ANSWER_BYTES_MAX).await
    }

    fn accepted(&self) -> MutexGuard<'_, HashMap<Signature, UnixTime>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a trigger with this signature is accepted for the first time, as far as that is remembered (Y-10.8).
    fn is_new(&self, signature: Signature) -> bool {
        let max = self.session.replay_cache;
        if max == 0 {
            return true;
        }
        let now = unix_time();
        let mut accepted = self.accepted();
        if accepted.len() >= max {
            accepted.retain(|_, until| *until > now);
        }
        if accepted.get(&signature).is_some_and(|until| *until > now) {
            return false;
        }
        if accepted.len() >= max {
            // The one that would be forgotten first makes room.
            let oldest = accepted.iter().min_by_key(|(_, until)| **until).map(|(signature, _)| *signature);
            if let Some(oldest) = oldest {
                accepted.remove(&oldest);
            }
        }
        accepted.insert(signature, UnixTime::from_micros(now.as_micros() + REPLAY_WINDOW.as_micros() as u64));
        true
    }
}

impl Node {
    /// Runs a command, and tells the session of its answer.
    pub(crate) fn command(self: &Arc<Self>, service: &Arc<PushyService>, call: Call) {
        let (node, service, call) = (Arc::clone(self), Arc::clone(service), Arc::new(call));
        self.runtime.spawn(async move {
            let answer = service.run(&node, &call).await;
            let socket = call.socket;
            node.shards[socket.shard()].command(Command::Commanded { socket, answer });
        });
    }

    /// Says something to another connection of an app, wherever it is.
    pub(crate) fn say_to(&self, app: &AppHandle, socket: SocketId, message: Bytes) {
        if let Some(shard) = self.shards.get(socket.shard()) {
            shard.command(Command::Say { app: app.app.id.clone(), socket, message });
        }
    }

    /// Publishes what a trigger asks for (Y-6). Several services may share a listener, as the path does not name one: the one whose secret
    /// signed is meant.
    pub(crate) async fn trigger(self: &Arc<Self>, services: &[Arc<PushyService>], request: &api::Request<'_>) -> Answer {
        let now = unix_time();
        let mut refused = None;
        for service in services {
            let app = self.apps().by_id(&service.config.app).filter(|app| app.app.enabled && app.app.dialects.pushy).cloned();
            let Some(app) = app else { continue };
            match api::receive(request, &app.app, &service.session, now) {
                Ok(trigger) if !service.is_new(trigger.signature) => return Refusal::credentials(&trigger.auth_key).answer(),
                Ok(trigger) => {
                    let occupied = app.channels.occupancy(trigger.publish.channels[0].as_str()).subscriptions > 0;
                    let Err(error) = self.acknowledge(&app, &[trigger.publish]).await else { return api::accepted(occupied) };
                    // It may come again as it is.
                    service.accepted().remove(&trigger.signature);
                    return Refusal::not_stored(&error.to_string()).answer();
                }
                // Another one may have signed it.
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                }
            }
        }
        refused.unwrap_or_else(Refusal::not_found).answer()
    }
}
