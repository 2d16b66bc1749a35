//! Events of the REST API: published, and listed.

use super::{Caller, failed, records, refused};
use crate::http::response::Answer;
use crate::node::{AppHandle, Node, Reply};
use crate::store::{EventRow, StoreError};
use std::sync::Arc;
use tidings_dialect::pushi::api::{self, Limits, Refusal, Trigger, answer, records as shown};
use tidings_hub::{AppId, Publish, Source};
use tokio::sync::oneshot;

impl Caller<'_> {
    pub(super) async fn trigger(&self, app: &AppHandle, trigger: Trigger) -> Result<Answer, Refusal> {
        let persist = trigger.persist;
        let publish = publish_of(trigger);
        if !persist {
            return Ok(stored(self.node.acknowledge(app, &[publish]).await));
        }
        let (sender, done) = oneshot::channel();
        self.node.publish_stored(app, publish, Reply::Task(sender)).map_err(|error| failed(&error))?;
        let outcome = done.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the server is stopping".to_owned())));
        Ok(stored(outcome))
    }

    pub(super) async fn list_events(&self, app: &AppHandle, count: u32, skip: u64, channel: Option<&str>) -> Result<Answer, Refusal> {
        let store = self.store()?;
        store.settled().await;
        let skip = u32::try_from(skip).unwrap_or(u32::MAX);
        let rows = store.channel_events(&app.app.id, channel, skip, count).await.map_err(|error| failed(&error))?;
        Ok(Answer::json(shown::list(rows.iter().map(|row| records::event(&app.app.id, row)))))
    }
}

/// What became of a publish (I-4.18). The store has logged what went wrong, once for very many.
pub(crate) fn stored(outcome: Result<(), StoreError>) -> Answer {
    match outcome {
        Ok(()) => Answer::json(answer::success()),
        Err(error) => refused(Refusal::store_failed(&error.to_string())),
    }
}

fn publish_of(trigger: Trigger) -> Publish {
    let Trigger { channels, name, data, extras, .. } = trigger;
    Publish { channels, name, data, origin: None, source: Source::Server, stamps: None, extras, once: true }
}

/// Publishes on the shard what a session that is known asks for; `None` if the store will tell `reply` what became of it.
pub(crate) fn publish_now(node: &Arc<Node>, app: &AppHandle, received: &api::Received<'_>, reply: Reply) -> Option<Answer> {
    let session = &node.pushi(&app.app.id).session;
    let limits = Limits {
        channel_name_bytes: session.channel_name_bytes,
        event_bytes: session.event_bytes,
        events: session.latest_max,
        ..Limits::default()
    };
    match received.call(&limits) {
        Ok(api::Call::Trigger(trigger)) if trigger.persist => {
            let publish = publish_of(trigger);
            node.publish_stored(app, publish, reply).err().map(|error| stored(Err(error)))
        }
        Ok(api::Call::Trigger(trigger)) => {
            let publish = publish_of(trigger);
            if node.stores(app, [&publish]) {
                node.publish_for(app, &[publish], reply);
                return None;
            }
            node.publish(app, &[publish]);
            Some(stored(Ok(())))
        }
        Ok(_) => Some(refused(Refusal::not_authenticated())),
        Err(refusal) => Some(refused(refusal)),
    }
}

/// Stored events as sessions tell them: the JSON text of a list.
pub(crate) fn events(app: &AppId, rows: &[EventRow]) -> Vec<u8> {
    let mut out = Vec::new();
    shown::write_events(rows.iter().map(|row| records::event(app, row)), &mut out);
    out
}
