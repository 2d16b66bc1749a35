//! The HTTP API of Pusher, between its codec and the node: translates, decides nothing.

mod access;
pub(crate) mod pushi;

use crate::clock::unix_time;
use crate::http::response::{Answer, Answered};
use crate::listener::Listener;
use crate::node::{AppHandle, Node};
use access::Begin;
use std::sync::Arc;
use tidings_dialect::pusher::api::{self, Call, Info, Refusal, Request, answer};
use tidings_hub::{Body, ChannelName, Occupancy, Publish, Time};

pub(crate) use pushi::Logins;

pub(crate) use access::{Caller, TARGET as ACCESS_TARGET};

/// A request of the API, complete.
#[derive(Clone, Copy)]
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: &'a str,
    /// With the listener's prefix.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) body: &'a [u8],
    pub(crate) caller: Caller<'a>,
}

/// Performs a request, and counts the answer. Whoever calls has seen to room for what it may publish. `None` if it has to wait for the store:
/// nothing has happened, and [`answer`] performs it.
pub(crate) fn answer_now(node: &Arc<Node>, listener: &Listener, answered: &Answered, request: &ApiRequest<'_>) -> Option<Answer> {
    let begin = Begin::now();
    let (app, answer) = match receive(node, listener, request) {
        Ok((app, call)) if waits(node, &app, &call) => return None,
        Ok((app, call)) => (Some(app.app.id.clone()), called(node, &app, call)),
        Err(refusal) => (None, refusal.into()),
    };
    answered.add(answer.status);
    begin.end(listener, request, app.as_ref(), answer.status);
    Some(answer)
}

/// The same, and waits until what is to be stored is.
pub(crate) async fn answer(node: &Arc<Node>, listener: &Listener, answered: &Answered, request: &ApiRequest<'_>) -> Answer {
    let begin = Begin::now();
    let (app, answer) = match receive(node, listener, request) {
        Ok((app, call)) if waits(node, &app, &call) => (Some(app.app.id.clone()), stored(node, &app, call).await),
        Ok((app, call)) => (Some(app.app.id.clone()), called(node, &app, call)),
        Err(refusal) => (None, refusal.into()),
    };
    answered.add(answer.status);
    begin.end(listener, request, app.as_ref(), answer.status);
    answer
}

/// Notes that a request was refused before it could be performed; of its body nothing needs to be there.
pub(crate) fn refused(listener: &Listener, answered: &Answered, request: &ApiRequest<'_>, status: u16) {
    answered.add(status);
    Begin::now().end(listener, request, None, status);
}

/// Whether a request may publish, so that there must be room for it.
pub(crate) fn publishes(method: &str) -> bool {
    method == "POST"
}

/// What the request asks for, and the app that signed it.
fn receive(node: &Arc<Node>, listener: &Listener, request: &ApiRequest<'_>) -> Result<(Arc<AppHandle>, Call), Refusal> {
    let ApiRequest { method, path, query, body, .. } = *request;
    let request = Request { method, path, prefix: &listener.config.path_prefix, query, body };
    let apps = node.apps();
    let lookup = |key: &str| apps.by_key(key).map(|handle| Arc::clone(&handle.app));
    let (app, call) = api::receive(request, lookup, unix_time())?;
    let handle = apps.by_id(&app.id).expect("the app was found among these");
    Ok((Arc::clone(handle), call))
}

/// Whether it publishes what is to be stored first.
fn waits(node: &Node, app: &AppHandle, call: &Call) -> bool {
    match call {
        Call::Publish(publish, _) | Call::LegacyPublish(publish) => node.stores(app, [publish]),
        Call::Batch(events) => node.stores(app, events.iter().map(|(publish, _)| publish)),
        Call::Channels { .. } | Call::Channel { .. } | Call::Users { .. } | Call::Terminate { .. } => false,
    }
}

/// Stores, publishes and then answers; or says why nobody got it.
async fn stored(node: &Arc<Node>, app: &AppHandle, call: Call) -> Answer {
    let outcome = match call {
        Call::Publish(publish, info) => {
            node.acknowledge(app, std::slice::from_ref(&publish)).await.map(|()| published(app, &publish, info))
        }
        Call::Batch(events) => {
            let (events, infos): (Vec<Publish>, Vec<Info>) = events.into_iter().unzip();
            node.acknowledge(app, &events).await.map(|()| batch(app, &events, infos))
        }
        Call::LegacyPublish(publish) => node.acknowledge(app, &[publish]).await.map(|()| Answer::empty(202)),
        other => Ok(called(node, app, other)),
    };
    outcome.unwrap_or_else(|error| Answer::not_stored(&error.to_string()))
}

fn called(node: &Arc<Node>, app: &AppHandle, call: Call) -> Answer {
    match call {
        Call::Publish(publish, info) => {
            node.publish(app, std::slice::from_ref(&publish));
            published(app, &publish, info)
        }
        Call::Batch(events) => {
            let (events, infos): (Vec<Publish>, Vec<Info>) = events.into_iter().unzip();
            node.publish(app, &events);
            batch(app, &events, infos)
        }
        Call::LegacyPublish(publish) => {
            node.publish(app, &[publish]);
            Answer::empty(202)
        }
        Call::Channels { prefix, info } => {
            let occupied = app.channels.occupied(&prefix, |_| true);
            Answer::json(answer::channels(&prefix, info, occupied.iter().map(|(name, occupancy)| (name, *occupancy))))
        }
        Call::Channel { name, info } => channel(node.clock.now(), app, &name, info),
        Call::Users { name } => {
            let list = app.channels.members(name.as_str());
            Answer::json(answer::users(list.members.iter().map(|member| &*member.user_id)))
        }
        Call::Terminate { user_id } => {
            node.terminate(app, &user_id);
            Answer::json(answer::EMPTY)
        }
    }
}

fn published(app: &AppHandle, publish: &Publish, info: Info) -> Answer {
    Answer::json(answer::published(info, occupancies(app, info, &publish.channels)))
}

fn batch(app: &AppHandle, events: &[Publish], infos: Vec<Info>) -> Answer {
    let told = events.iter().zip(infos).map(|(publish, info)| {
        let channel = &publish.channels[0];
        (info, channel, occupancy(app, info, channel))
    });
    Answer::json(answer::batch(told))
}

fn channel(now: Time, app: &AppHandle, name: &ChannelName, info: Info) -> Answer {
    let cached = if info.cache { app.channels.cached(name.as_str(), now) } else { None };
    let cache = cached.as_ref().and_then(|(event, expires)| match &event.body {
        Body::Published { data, .. } => Some(answer::CachedData { data, ttl_seconds: expires.since(now).as_secs() }),
        _ => None,
    });
    Answer::json(answer::channel(info, app.channels.occupancy(name.as_str()), cache))
}

fn occupancies<'a>(app: &AppHandle, info: Info, channels: &'a [ChannelName]) -> impl Iterator<Item = (&'a ChannelName, Occupancy)> {
    channels.iter().map(move |name| (name, occupancy(app, info, name)))
}

/// Looked up only where somebody asks.
fn occupancy(app: &AppHandle, info: Info, name: &ChannelName) -> Occupancy {
    if info.is_empty() { Occupancy::default() } else { app.channels.occupancy(name.as_str()) }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { allow: refusal.allow, ..Self::text(refusal.status, refusal.body) }
    }
}
