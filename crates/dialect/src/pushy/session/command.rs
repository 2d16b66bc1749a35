//! Commands that the operator added, and what they have done (section 9).

use super::{Session, Waiting};
use crate::action::{Action, Actions, Close, Command, CommandFailed, Reply, Subscriptions};
use crate::pushy::close::Fault;
use crate::pushy::codec;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;
use tidings_hub::Publish;

/// What of a command's answer takes several steps: leaving channels one after the other, then the end.
#[derive(Debug, Default)]
pub(super) struct Rest {
    unsubscribe: VecDeque<String>,
    close: Option<Close>,
}

impl Session {
    /// Has a command run (Y-9.2).
    pub(super) fn call(&mut self, name: String, data: Option<&RawValue>, actions: &mut Actions) -> Result<(), Fault> {
        if !self.settings.commands.has(&name) {
            return Err(Fault::UnknownCommand);
        }
        let data = Bytes::from(data.map_or("null", RawValue::get).to_owned());
        self.waiting = Some(Box::new(Waiting::Command));
        actions.push_back(Action::Command(Command { name, data }));
        Ok(())
    }

    /// What became of the command, applied in the order of Y-9.4.
    pub(super) fn commanded(&mut self, answer: Result<Reply, CommandFailed>, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        if self.waiting.take_if(|waiting| matches!(&**waiting, Waiting::Command)).is_none() {
            return;
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(failed) => return actions.push_back(Action::Send(codec::command_failed(&failed))),
        };
        actions.extend(reply.reply.iter().map(|(event, data)| Action::Send(codec::event(event, data))));
        for broadcast in reply.broadcast {
            let publish = Publish::new(broadcast.channel, Arc::from(broadcast.event), broadcast.data);
            actions.push_back(Action::Publish(Publish { origin: broadcast.except.then_some(self.socket_id), ..publish }));
        }
        for (socket, event, data) in reply.send {
            let message = codec::event(&event, &data);
            let own = socket == self.socket_id;
            actions.push_back(if own { Action::Send(message) } else { Action::SendTo { socket, message } });
        }
        self.finish(Rest { unsubscribe: reply.unsubscribe.into(), close: reply.close }, subscriptions, actions);
    }

    /// Leaves the next channel, or ends.
    pub(super) fn finish(&mut self, mut rest: Rest, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        while let Some(channel) = rest.unsubscribe.pop_front() {
            match self.leave(channel, rest, subscriptions, actions) {
                Ok(()) => return,
                Err((fault, left)) => {
                    actions.push_back(Action::Send(codec::error(fault)));
                    rest = left;
                }
            }
        }
        if let Some(close) = rest.close {
            self.closed = true;
            actions.push_back(Action::Close(close));
        }
    }
}
