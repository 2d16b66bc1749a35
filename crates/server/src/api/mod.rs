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
use tidings_hub::{AppId, Body, ChannelName, Occupancy, Publish, Time};

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

/// Performs a request, and counts the answer. Whoever calls has seen to room for what it may publish.
pub(crate) fn answer(node: &Arc<Node>, listener: &Listener, answered: &Answered, request: &ApiRequest<'_>) -> Answer {
    let begin = Begin::now();
    let (app, answer) = perform(node, listener, request);
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

/// The answer, and the app if the request was one that it signed.
fn perform(node: &Arc<Node>, listener: &Listener, request: &ApiRequest<'_>) -> (Option<AppId>, Answer) {
    let ApiRequest { method, path, query, body, .. } = *request;
    let request = Request { method, path, prefix: &listener.config.path_prefix, query, body };
    let apps = node.apps();
    let lookup = |key: &str| apps.by_key(key).map(|handle| Arc::clone(&handle.app));
    match api::receive(request, lookup, unix_time()) {
        Ok((app, call)) => {
            let handle = apps.by_id(&app.id).expect("the app was found among these");
            (Some(app.id.clone()), called(node, handle, call))
        }
        Err(refusal) => (None, refusal.into()),
    }
}

fn called(node: &Arc<Node>, app: &AppHandle, call: Call) -> Answer {
    match call {
        Call::Publish(publish, info) => {
            node.publish(app, std::slice::from_ref(&publish));
            Answer::json(answer::published(info, occupancies(app, info, &publish.channels)))
        }
        Call::Batch(events) => batch(node, app, events),
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

fn batch(node: &Arc<Node>, app: &AppHandle, events: Vec<(Publish, Info)>) -> Answer {
    let (events, infos): (Vec<Publish>, Vec<Info>) = events.into_iter().unzip();
    node.publish(app, &events);
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
