//! One stream: which channels it reads, where its reader is, and when to show that it lives.

use super::codec::{self, At, Id, Stream};
use super::request::{Resume, Wanted};
use crate::action::{Action, Actions, Answer, Close, End, Input, Join, Page, Question, StorePlace, Subscriptions};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{App, ChannelName, Event, Missed, Position, Since, SocketId, Time};

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
    epoch: u64,
    stream: Stream,
    /// With the serial that the reader has seen last once all that is queued has come, in the order of the URL.
    channels: Vec<(ChannelName, u64)>,
    next_heartbeat: Time,
    stage: Stage,
}

/// What comes before anything that happens now.
#[derive(Debug)]
enum Stage {
    /// Channels are joined, in their order.
    Joining(Box<Beginning>),
    /// All are joined, and the store was asked where the reader is in it.
    Tracing(Box<Beginning>),
    /// What was missed is told, in portions: each when the reader has taken the one before.
    Telling(Box<Telling>),
    Live,
}

/// What is put together before anything is said.
#[derive(Debug)]
struct Beginning {
    resume: Resume,
    /// What was missed of each channel, with the serial at which it was joined.
    joined: Vec<(u64, Missed)>,
}

/// What was missed, channel by channel.
#[derive(Debug)]
struct Telling {
    /// Where the reader is.
    positions: Vec<Position>,
    rest: VecDeque<Rest>,
    /// What happens now is kept back.
    holds: bool,
}

/// What a reader is still to be told of a channel.
#[derive(Debug)]
struct Rest {
    /// The channel's place among all.
    at: usize,
    /// Where it was joined.
    joined: Position,
    from: From,
}

/// Where that comes from.
#[derive(Debug)]
enum From {
    /// The store, from there on. It was asked for the first channel.
    Store(StorePlace),
    Kept(std::vec::IntoIter<Arc<Event>>),
}

/// What a reader is told at once of what it has missed; what is behind it waits here, and not as its debt.
const PORTION: usize = 64 * 1024;

impl Session {
    /// A stream that may be read, in a run with that epoch.
    #[must_use]
    pub fn new(wanted: Wanted, socket_id: SocketId, epoch: u64, settings: Arc<Settings>, now: Time) -> Self {
        let Wanted { key, channels, resume } = wanted;
        let stream = Stream::new(epoch, &channels);
        let next_heartbeat = now + settings.heartbeat;
        let channels = channels.into_iter().map(|channel| (channel, 0)).collect();
        let stage = Stage::Joining(Box::new(Beginning { resume, joined: Vec::new() }));
        Self { socket_id, key, settings, epoch, stream, channels, next_heartbeat, stage }
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
            Input::Answered(answer) => self.answered(answer.ok(), actions),
            Input::Taken => self.taken(actions),
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
        let serials: Vec<u64> = self.channels.iter().map(|(_, serial)| *serial).collect();
        let mut out = Vec::new();
        codec::encode_event(event, At::Now(self.stream, &serials), &mut out).ok()?;
        Some(out.into())
    }

    fn may_go_on(&self, app: &App) -> bool {
        app.enabled && app.dialects.sse && app.secret(&self.key).is_some()
    }

    fn names(&self) -> Vec<ChannelName> {
        self.channels.iter().map(|(channel, _)| channel.clone()).collect()
    }

    fn join(&self, actions: &mut Actions) {
        let Stage::Joining(beginning) = &self.stage else { return };
        let positions = beginning.positions(&self.names());
        for (at, (channel, _)) in self.channels.iter().enumerate() {
            let since = positions.as_ref().map_or(Since::Now, |positions| Since::Position(positions[at]));
            actions.push_back(Action::Subscribe(Join { channel: channel.clone(), member: None, notices: true, since: Some(since) }));
        }
    }

    /// Notes what one channel's reader has missed. When all are joined, everything is said in order; what is kept here no more, the store may have.
    fn joined(&mut self, serial: u64, missed: Missed, actions: &mut Actions) {
        let names = self.names();
        let Stage::Joining(beginning) = &mut self.stage else { return };
        self.channels[beginning.joined.len()].1 = serial;
        beginning.joined.push((serial, missed));
        if beginning.joined.len() < names.len() {
            return;
        }
        let positions = beginning.wanted(&names);
        let Stage::Joining(beginning) = std::mem::replace(&mut self.stage, Stage::Live) else { return };
        if positions.is_empty() {
            return self.begin(*beginning, &[], false, actions);
        }
        self.stage = Stage::Tracing(beginning);
        actions.extend([Action::Hold, Action::Ask(Question::Trace { positions })]);
    }

    /// Goes on with what the store says; if it says nothing, what it was asked for is a gap.
    fn answered(&mut self, answer: Option<Answer>, actions: &mut Actions) {
        match std::mem::replace(&mut self.stage, Stage::Live) {
            Stage::Tracing(beginning) => {
                let places = if let Some(Answer::Traced(places)) = answer { places } else { Vec::new() };
                self.begin(*beginning, &places, true, actions);
            }
            Stage::Telling(telling) => {
                let page = if let Some(Answer::Behind(page)) = answer { page } else { None };
                self.tell(*telling, page, actions);
            }
            stage => self.stage = stage,
        }
    }

    /// Says where the reader is, what it may have missed, and what it has missed; `places` are those of the store for the channels that it was asked
    /// for. `holds` if what happens now is kept back already.
    fn begin(&mut self, beginning: Beginning, places: &[Option<StorePlace>], holds: bool, actions: &mut Actions) {
        let names = self.names();
        let epoch = self.epoch;
        let known = beginning.positions(&names);
        let mut places = places.iter().copied();
        let mut place = |missed: &Missed| if may_be_stored(missed) { places.next().flatten() } else { None };
        let stored: Vec<Option<StorePlace>> = beginning.joined.iter().map(|(_, missed)| place(missed)).collect();
        let mut positions = Vec::with_capacity(names.len());
        let mut gaps = Vec::new();
        for (at, (serial, missed)) in beginning.joined.iter().enumerate() {
            let followed = known.as_ref().filter(|_| !missed.gap || stored[at].is_some());
            if followed.is_none() && beginning.resume != Resume::No {
                gaps.push(&names[at]);
            }
            let first = missed.events.first().map_or(*serial, |first| first.serial - 1);
            positions.push(followed.map_or(Position { epoch, serial: first }, |known| known[at]));
        }
        let resumed = (beginning.resume != Resume::No).then_some(gaps.is_empty());
        let mut out = Vec::new();
        let id = Id::new(&names, &positions);
        codec::encode_beginning(self.settings.retry.as_millis(), &names, resumed, gaps.is_empty().then_some(At::Id(&id)), &mut out);
        for (place, channel) in gaps.iter().enumerate() {
            codec::encode_gap(channel, (place + 1 == gaps.len()).then_some(At::Id(&id)), &mut out);
        }
        actions.push_back(Action::Send(out.into()));
        let (mut kept, mut rest) = (VecDeque::new(), VecDeque::new());
        for (at, (serial, missed)) in beginning.joined.into_iter().enumerate() {
            let joined = Position { epoch, serial };
            match stored[at] {
                Some(place) => rest.push_back(Rest { at, joined, from: From::Store(place) }),
                None => kept.push_back(Rest { at, joined, from: From::Kept(missed.events.into_iter()) }),
            }
        }
        // What is here goes first.
        kept.append(&mut rest);
        self.go_on(Telling { positions, rest: kept, holds }, actions);
    }

    /// Tells some of what a channel has stored; that it may have missed some if that is not there any more.
    fn tell(&mut self, mut telling: Telling, page: Option<Page>, actions: &mut Actions) {
        let names = self.names();
        let Telling { positions, rest, .. } = &mut telling;
        let Some(Rest { at, joined, from }) = rest.front_mut() else { return };
        let mut out = Vec::new();
        for event in page.iter().flat_map(|page| &page.events) {
            positions[*at] = event.position;
            let _ = codec::encode_stored(event, At::Id(&Id::new(&names, positions)), &mut out);
        }
        match page {
            Some(Page { next: Some(next), .. }) => *from = From::Store(next),
            end => {
                positions[*at] = *joined;
                if end.is_none() {
                    codec::encode_gap(&names[*at], Some(At::Id(&Id::new(&names, positions))), &mut out);
                }
                rest.pop_front();
            }
        }
        if !out.is_empty() {
            actions.push_back(Action::Send(out.into()));
        }
        self.go_on(telling, actions);
    }

    /// The reader has what it was told so far.
    fn taken(&mut self, actions: &mut Actions) {
        match std::mem::replace(&mut self.stage, Stage::Live) {
            Stage::Telling(telling) => self.go_on(*telling, actions),
            stage => self.stage = stage,
        }
    }

    /// Tells a portion of what is here, asks for more of what is stored, or is done with all that.
    fn go_on(&mut self, mut telling: Telling, actions: &mut Actions) {
        let portion = telling.portion(&self.names());
        if !portion.is_empty() {
            actions.push_back(Action::Send(portion.into()));
        }
        let next = match telling.rest.front() {
            None if telling.holds => return actions.push_back(Action::Release),
            None => return,
            Some(Rest { from: From::Kept(_), .. }) => Action::Await,
            Some(Rest { from: From::Store(place), at, joined }) => {
                Action::AskThen(Question::Behind { channel: self.channels[*at].0.clone(), place: *place, until: *joined })
            }
        };
        if !std::mem::replace(&mut telling.holds, true) {
            actions.push_back(Action::Hold);
        }
        actions.push_back(next);
        self.stage = Stage::Telling(Box::new(telling));
    }
}

impl Telling {
    /// Takes the blocks of what is here, until that is a portion or the store is to be asked.
    fn portion(&mut self, names: &[ChannelName]) -> Vec<u8> {
        let Self { positions, rest, .. } = self;
        let mut out = Vec::new();
        while let Some(Rest { at, joined, from: From::Kept(events) }) = rest.front_mut() {
            for event in events.by_ref() {
                positions[*at] = Position { epoch: joined.epoch, serial: event.serial };
                // What cannot be said is passed over, as it is when it happens.
                let _ = codec::encode_event(&event, At::Id(&Id::new(names, positions)), &mut out);
                if out.len() >= PORTION {
                    return out;
                }
            }
            positions[*at] = *joined;
            rest.pop_front();
        }
        out
    }
}

impl Beginning {
    /// Where the reader was, if that is known.
    fn positions(&self, names: &[ChannelName]) -> Option<Vec<Position>> {
        if let Resume::From(id) = &self.resume { id.positions(names) } else { None }
    }

    /// The channels of which the store may have what was missed, and where their reader was.
    fn wanted(&self, names: &[ChannelName]) -> Vec<(ChannelName, Position)> {
        let known = names.iter().cloned().zip(self.positions(names).unwrap_or_default());
        known.zip(&self.joined).filter(|(_, (_, missed))| may_be_stored(missed)).map(|(asked, _)| asked).collect()
    }
}

/// Whether the store may have what was missed of a channel.
fn may_be_stored(missed: &Missed) -> bool {
    missed.gap && missed.stored
}

/// A stream just ends; its reader comes back, and is told then if it may not.
fn close() -> Action {
    Action::Close(Close { code: 1000, reason: "".into() })
}

#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;
