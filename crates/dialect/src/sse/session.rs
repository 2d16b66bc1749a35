//! One stream: which channels it reads, where its reader is, and when to show that it lives.

use super::codec::{self, Stream};
use super::request::{Resume, Wanted};
use crate::action::{Action, Actions, Close, End, Input, Join, Subscriptions};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, ChannelName, Event, Missed, Since, SocketId, Time};

/// What holds for all streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a reader that was cut off is asked to wait before it comes back.
    pub retry: Duration,
    /// How often a stream shows that it lives.
    pub heartbeat: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { retry: Duration::from_secs(3), heartbeat: Duration::from_secs(25) }
    }
}

/// A stream in force.
#[derive(Debug)]
pub struct Session {
    socket_id: SocketId,
    key: String,
    settings: Arc<Settings>,
    stream: Stream,
    /// With the serial that the reader has seen last, in the order of the URL.
    channels: Vec<(ChannelName, u64)>,
    next_heartbeat: Time,
    /// Until all channels are joined.
    beginning: Option<Box<Beginning>>,
}

/// What is put together before anything is said.
#[derive(Debug)]
struct Beginning {
    resume: Resume,
    /// What was missed of each channel, in the order in which they are joined.
    missed: Vec<(u64, Missed)>,
}

impl Session {
    /// A stream that may be read, in a run with that epoch.
    #[must_use]
    pub fn new(wanted: Wanted, socket_id: SocketId, epoch: u64, settings: Arc<Settings>, now: Time) -> Self {
        let Wanted { key, channels, resume } = wanted;
        let stream = Stream::new(epoch, &channels);
        let next_heartbeat = now + settings.heartbeat;
        let channels = channels.into_iter().map(|channel| (channel, 0)).collect();
        let beginning = Some(Box::new(Beginning { resume, missed: Vec::new() }));
        Self { socket_id, key, settings, stream, channels, next_heartbeat, beginning }
    }

    /// The connection's id.
    #[must_use]
    pub fn socket_id(&self) -> SocketId {
        self.socket_id
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn next_timeout(&self) -> Time {
        self.next_heartbeat
    }

    /// Whether the stream reads one channel: then the form of an event is the same for all such streams.
    #[must_use]
    pub fn reads_one(&self) -> bool {
        self.channels.len() == 1
    }

    /// Takes one input. What the client says means nothing here.
    pub fn receive(&mut self, input: Input<'_>, _: &dyn Subscriptions, now: Time, actions: &mut Actions) {
        match input {
            Input::Opened => self.join(actions),
            Input::Subscribed { answer: Ok(joined), .. } => self.joined(joined.serial, joined.missed, actions),
            Input::Subscribed { answer: Err(_), .. } => actions.push_back(close()),
            Input::Tick if self.next_heartbeat <= now => {
                self.next_heartbeat = now + self.settings.heartbeat;
                actions.push_back(Action::Send(Bytes::from_static(codec::HEARTBEAT)));
            }
            Input::End(End::Draining | End::AppDisabled | End::KeyGone | End::OverQuota | End::Terminated | End::TooSlow | End::Fault) => {
                actions.push_back(close());
            }
            Input::Reloaded(app) if !self.may_go_on(&app) => actions.push_back(close()),
            _ => {}
        }
    }

    /// The block of an event of one of its channels, which the reader has seen then; `None` if there are no words for it.
    pub fn block(&mut self, event: &Event) -> Option<Bytes> {
        let (_, serial) = self.channels.iter_mut().find(|(channel, _)| *channel == event.channel)?;
        *serial = event.serial;
        let mut out = Vec::new();
        codec::encode_event(event, (self.stream, &self.serials()), &mut out).ok()?;
        Some(out.into())
    }

    fn may_go_on(&self, app: &App) -> bool {
        app.enabled && app.dialects.sse && app.secret(&self.key).is_some()
    }

    fn join(&self, actions: &mut Actions) {
        let names: Vec<ChannelName> = self.channels.iter().map(|(channel, _)| channel.clone()).collect();
        let positions = match self.beginning.as_ref().map(|beginning| &beginning.resume) {
            Some(Resume::From(id)) => id.positions(&names),
            _ => None,
        };
        for (place, channel) in names.into_iter().enumerate() {
            let since = positions.as_ref().map_or(Since::Now, |positions| Since::Position(positions[place]));
            actions.push_back(Action::Subscribe(Join { channel, member: None, notices: true, since: Some(since) }));
        }
    }

    /// Notes what one channel's reader has missed. When all are joined, everything is said in order.
    fn joined(&mut self, serial: u64, missed: Missed, actions: &mut Actions) {
        let Some(beginning) = &mut self.beginning else { return };
        beginning.missed.push((serial, missed));
        if beginning.missed.len() == self.channels.len()
            && let Some(beginning) = self.beginning.take()
        {
            self.begin(*beginning, actions);
        }
    }

    fn begin(&mut self, beginning: Beginning, actions: &mut Actions) {
        let Beginning { resume, mut missed } = beginning;
        let names: Vec<ChannelName> = self.channels.iter().map(|(channel, _)| channel.clone()).collect();
        let positions = if let Resume::From(id) = &resume { id.positions(&names) } else { None };
        if resume != Resume::No && positions.is_none() {
            // It was somewhere that nobody knows: anything may have happened since.
            missed.iter_mut().for_each(|(_, missed)| missed.gap = true);
        }
        for (place, ((_, at), (joined, missed))) in self.channels.iter_mut().zip(&missed).enumerate() {
            *at = match (&positions, missed.events.first()) {
                (Some(positions), _) if !missed.gap => positions[place].serial,
                (_, Some(first)) => first.serial - 1,
                (_, None) => *joined,
            };
        }
        let gaps: Vec<&ChannelName> = names.iter().zip(&missed).filter(|(_, (_, missed))| missed.gap).map(|(channel, _)| channel).collect();
        let resumed = (resume != Resume::No).then_some(gaps.is_empty());
        let (serials, mut out) = (self.serials(), Vec::new());
        let at = (self.stream, &serials[..]);
        codec::encode_beginning(self.settings.retry.as_millis(), &names, resumed, gaps.is_empty().then_some(at), &mut out);
        for (place, channel) in gaps.iter().enumerate() {
            codec::encode_gap(channel, (place + 1 == gaps.len()).then_some(at), &mut out);
        }
        actions.push_back(Action::Send(out.into()));
        for (_, missed) in &missed {
            let blocks: Vec<u8> = missed.events.iter().filter_map(|event| self.block(event)).flatten().collect();
            if !blocks.is_empty() {
                actions.push_back(Action::Send(blocks.into()));
            }
        }
        for ((_, at), (joined, _)) in self.channels.iter_mut().zip(&missed) {
            *at = *joined;
        }
    }

    fn serials(&self) -> Vec<u64> {
        self.channels.iter().map(|(_, serial)| *serial).collect()
    }
}

/// A stream just ends; its reader comes back, and is told then if it may not.
fn close() -> Action {
    Action::Close(Close { code: 1000, reason: "".into() })
}

#[cfg(test)]
mod tests;
