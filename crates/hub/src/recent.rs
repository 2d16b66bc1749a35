//! The recent events of a channel, for those who were cut off and come back: what is kept, how much of it, and for how long.

use crate::channel::State;
use crate::shared::{Due, Shared};
use crate::{App, Body, Channel, ChannelName, Channels, Event, Time};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A place in a channel's order, of whatever run of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The hub's epoch, see [`crate::Hub::epoch`].
    pub epoch: u64,
    /// The last serial that was seen.
    pub serial: u64,
}

/// How much of a channel is kept. What passes any of the three goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Events.
    pub events: usize,
    /// Bytes of names and data, and what an event costs beside.
    pub bytes: usize,
    /// How old an event may be, and how long the channel goes on keeping events when its last reader has left.
    pub age: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self { events: 100, bytes: 256 * 1024, age: Duration::from_secs(120) }
    }
}

/// Which channels of an app keep their recent events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recents {
    /// For channels that somebody reads who may come back, if no pattern fits.
    pub window: Window,
    /// Channels that keep theirs whoever is there; the first that fits counts.
    pub patterns: Vec<Keep>,
}

/// What some channels keep, whoever is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Which.
    pub pattern: Pattern,
    /// How much, in memory.
    pub window: Window,
    /// Whether every event is stored before anybody gets it, so that readers who were away for longer go on from what is stored.
    pub stored: bool,
}

impl Recents {
    /// What holds for a channel, and whether it holds even if nobody reads it.
    pub(crate) fn of(&self, channel: &str) -> (Window, bool) {
        self.find(channel).map_or((self.window, false), |keep| (keep.window, true))
    }

    fn find(&self, channel: &str) -> Option<&Keep> {
        self.patterns.iter().find(|keep| keep.pattern.fits(channel))
    }

    /// Whether a channel keeps its events even if nobody reads it.
    pub(crate) fn always(&self, channel: &str) -> bool {
        self.find(channel).is_some()
    }

    /// Whether what is published on a channel is stored first.
    #[must_use]
    pub fn stores(&self, channel: &str) -> bool {
        self.find(channel).is_some_and(|keep| keep.stored)
    }

    /// Whether that is so of any channel.
    #[must_use]
    pub fn stores_any(&self) -> bool {
        self.patterns.iter().any(|keep| keep.stored)
    }
}

/// Names of channels: a name, or the beginning of names with a star behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Takes a name, or the beginning of names with a star behind it. `None` if it is empty or has a star elsewhere.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let start = text.strip_suffix('*').unwrap_or(text);
        (!text.is_empty() && !start.contains('*')).then(|| Self(Arc::from(text)))
    }

    /// Whether it means the channel.
    #[must_use]
    pub fn fits(&self, channel: &str) -> bool {
        self.0.strip_suffix('*').map_or_else(|| channel == &*self.0, |start| channel.starts_with(start))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From where somebody reads a channel who may be cut off and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It has read nothing before.
    Now,
    /// It has read up to there.
    Position(Position),
}

/// What a reader missed of what was published since the position it names.
#[derive(Clone, Debug, Default)]
pub struct Missed {
    /// Events before these may have been missed too, and are not kept any more.
    pub gap: bool,
    /// Those are stored, if they were published since the channel's events are.
    pub stored: bool,
    /// In their order.
    pub events: Vec<Arc<Event>>,
}

/// How many bytes all channels' recent events may take, and take now.
#[derive(Debug)]
pub(crate) struct Room {
    max: usize,
    used: AtomicUsize,
}

impl Room {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether `bytes` more would still fit. Others may take them meanwhile: the bound is passed by what is in flight.
    fn has(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.max
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The recent events of one channel, guarded by its lock.
#[derive(Debug)]
pub(crate) struct Recent {
    shared: Arc<Shared>,
    window: Window,
    /// Kept going though nobody reads.
    always: bool,
    events: VecDeque<Kept>,
    bytes: usize,
    /// Everything that was published after this serial is kept.
    since: u64,
    /// Subscribers that may come back.
    readers: u32,
    /// With no readers left: when nobody is waited for any more.
    until: Time,
    /// That moment has passed.
    rests: bool,
    /// When a timer of the hub will look at it. Earlier ones that were set meanwhile say nothing.
    pub(crate) timer: Option<Time>,
}

#[derive(Debug)]
struct Kept {
    event: Arc<Event>,
    until: Time,
}

impl Recent {
    /// Keeps what comes after `since`.
    pub(crate) fn new(shared: &Arc<Shared>, (window, always): (Window, bool), since: u64) -> Self {
        let shared = Arc::clone(shared);
        Self { shared, window, always, events: VecDeque::new(), bytes: 0, since, readers: 0, until: Time::ZERO, rests: false, timer: None }
    }

    /// Other settings hold from now on.
    pub(crate) fn set(&mut self, (window, always): (Window, bool)) {
        (self.window, self.always) = (window, always);
    }

    pub(crate) fn enter(&mut self) {
        self.readers += 1;
        self.rests = false;
    }

    pub(crate) fn leave(&mut self, now: Time) {
        self.readers -= 1;
        self.until = now + self.window.age;
    }

    /// Nothing is kept, and nobody is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.always && self.events.is_empty() && self.rests
    }

    /// Takes an event that the channel's subscribers have now.
    pub(crate) fn record(&mut self, event: &Arc<Event>, now: Time) {
        if matches!(event.body, Body::Gap) {
            self.forget(event.serial);
            return;
        }
        let Body::Published { name, data, .. } = &event.body else { return };
        let bytes = cost(name, data);
        self.trim(now);
        while !self.events.is_empty()
            && (self.events.len() >= self.window.events || self.bytes + bytes > self.window.bytes || !self.shared.recent.has(bytes))
        {
            self.drop_oldest();
        }
        if self.window.events == 0 || bytes > self.window.bytes || !self.shared.recent.has(bytes) {
            return self.forget(event.serial);
        }
        self.rests = false;
        self.shared.recent.take(bytes);
        self.bytes += bytes;
        self.events.push_back(Kept { event: Arc::clone(event), until: now + self.window.age });
    }

    /// What was published since a position, of whatever run of the server; `serial` is the channel's last. Behind a gap all that is kept is told.
    pub(crate) fn missed(&mut self, position: Position, serial: u64, stored: bool, now: Time) -> Missed {
        self.trim(now);
        let gap = position.epoch != self.shared.epoch || !(self.since..=serial).contains(&position.serial);
        let from = if gap { self.since } else { position.serial };
        let first = self.events.partition_point(|kept| kept.event.serial <= from);
        Missed { gap, stored, events: self.events.range(first..).map(|kept| Arc::clone(&kept.event)).collect() }
    }

    /// Drops what is too old. Returns when to look again, if it is to be looked at; `Err` if it is over.
    pub(crate) fn tick(&mut self, now: Time) -> Result<Option<Time>, Over> {
        self.trim(now);
        match self.events.front() {
            Some(oldest) => Ok(Some(oldest.until)),
            None if self.readers > 0 => Ok(None),
            None if self.until > now => Ok(Some(self.until)),
            None if self.always => {
                self.rests = true;
                Ok(None)
            }
            None => Err(Over),
        }
    }

    fn trim(&mut self, now: Time) {
        while self.events.front().is_some_and(|kept| kept.until <= now) {
            self.drop_oldest();
        }
        while self.events.len() > self.window.events || self.bytes > self.window.bytes {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(Kept { event, .. }) = self.events.pop_front() else { return };
        self.since = event.serial;
        if let Body::Published { name, data, .. } = &event.body {
            let bytes = cost(name, data);
            self.bytes -= bytes;
            self.shared.recent.give_back(bytes);
        }
    }

    /// Keeps nothing up to `serial`.
    fn forget(&mut self, serial: u64) {
        while !self.events.is_empty() {
            self.drop_oldest();
        }
        self.since = serial;
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.shared.recent.give_back(self.bytes);
    }
}

impl Channels {
    /// Has somebody read the channel, and tells what was missed.
    pub(crate) fn read(&self, app: &App, channel: &Arc<Channel>, state: &mut State, since: Since, now: Time) -> Missed {
        let serial = state.joins_at(true);
        let recent = state.recent.get_or_insert_with(|| Box::new(Recent::new(&self.shared, app.recents.of(channel.name.as_str()), serial)));
        recent.enter();
        match since {
            Since::Now => Missed::default(),
            Since::Position(position) => recent.missed(position, serial, self.stores(&channel.name), now),
        }
    }

    /// Has a timer look at what is kept, unless one will.
    pub(crate) fn look_after(&self, channel: &Arc<Channel>, recent: &mut Recent, now: Time) {
        if recent.timer.is_none()
            && let Ok(Some(due)) = recent.tick(now)
        {
            recent.timer = Some(due);
            self.shared.schedule(due, Due::Recent, channel);
        }
    }

    /// Events of these channels may have been lost before they came here: whoever can be told so is, and whoever comes back later will be.
    pub fn gap(&self, wanted: impl Fn(&ChannelName) -> bool, now: Time) {
        let app = self.settings();
        self.some(wanted).for_each(|channel| self.gap_on(&app, &channel, now));
    }

    /// The same for one channel, if it is there.
    pub fn gap_at(&self, name: &ChannelName, now: Time) {
        if let Some(channel) = self.find(name.as_str()) {
            self.gap_on(&self.settings(), &channel, now);
        }
    }

    fn gap_on(&self, app: &App, channel: &Arc<Channel>, now: Time) {
        let Some(mut state) = channel.lock() else { return };
        if !state.gone {
            let event = state.place(&self.emission(app, channel), None, Body::Gap);
            self.release(app, channel, &mut state, event, now);
        }
    }

    /// Drops recent events that are too old. When nobody is waited for any more, nobody can go on from where it was: what comes is not kept.
    pub(crate) fn expire_recent(&self, channel: &Arc<Channel>, state: &mut State, now: Time) {
        let Some(recent) = state.recent.as_mut().filter(|recent| recent.timer.is_none_or(|due| due <= now)) else { return };
        recent.timer = None;
        match recent.tick(now) {
            Ok(due) => {
                recent.timer = due;
                due.into_iter().for_each(|due| self.shared.schedule(due, Due::Recent, channel));
            }
            Err(Over) => {
                state.recent = None;
                state.serial += 1;
            }
        }
    }

    /// What a new channel keeps, whoever is there.
    pub(crate) fn recent(&self, app: &App, name: &ChannelName, serial: u64) -> Option<Box<Recent>> {
        app.recents.always(name.as_str()).then(|| Box::new(Recent::new(&self.shared, app.recents.of(name.as_str()), serial)))
    }

    /// Has channels that keep recent events keep as many as the app says now. Others begin when they are made anew, or read.
    pub(crate) fn reload_recents(&self, app: &App) {
        for channel in self.some(|_| true) {
            if let Some(mut state) = channel.lock()
                && let Some(recent) = &mut state.recent
            {
                recent.set(app.recents.of(channel.name.as_str()));
                // What is too much goes at once.
                recent.timer = Some(Time::ZERO);
                self.shared.schedule(Time::ZERO, Due::Recent, &channel);
            }
        }
    }
}

/// What keeps going has come to its end.
#[derive(Debug)]
pub(crate) struct Over;

fn cost(name: &str, data: &[u8]) -> usize {
    name.len() + data.len() + size_of::<Event>()
}
