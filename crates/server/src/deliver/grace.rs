//! Holds back what may be taken back: a channel that empties or a member that leaves, for the grace time (P-12.7).
//! Also keeps `cache_miss` from being told more than once in a while (P-12.9). Pure: facts and time in, facts out.
//!
//! The order that a receiver sees, channel by channel:
//! - While a *vacated* is held, whatever comes after it on the channel waits behind it, except removed members, which come out before it.
//!   If the channel is occupied again in time, neither of the two is told and what waited goes on.
//! - While a *removed member* is held, only the return of that user is affected by it; everything else on the channel passes.
//!   What others do neither depends on the user nor contradicts that it is still shown, and nobody's client events wait for a stranger.
//! - What is held comes out in the order in which it happened, and a removed member never after its channel's vacated.
//!
//! So a receiver sees occupied and vacated in turn, members come and go in turn and only while the channel is occupied,
//! and ends where the facts end.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidings_hub::{AppId, ChannelName, Fact, FactKind, Time};

/// How many facts are held at once. Beyond it the oldest hold ends early, which the rule allows ("up to").
pub(super) const HELD_MAX: usize = 100_000;
/// How many channels are remembered for their `cache_miss`. Beyond it the oldest is forgotten, so that it may be told early again.
pub(super) const MISSES_MAX: usize = 10_000;
/// The least time between two `cache_miss` of one channel (P-12.9).
pub(super) const MISS_INTERVAL: Duration = Duration::from_secs(10);

/// Whom a hold is about: a channel (no user), or a user on it. A channel sorts before its users.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    app: AppId,
    channel: ChannelName,
    user_id: Option<Arc<str>>,
}

/// When a hold ends: its time, and its number among all, so that equal times keep their order.
type Due = (Time, u64);

#[derive(Debug)]
struct Hold {
    fact: Fact,
    due: Due,
    /// What came after a held vacated.
    behind: Vec<Fact>,
}

/// The facts that are held.
#[derive(Debug)]
pub(super) struct Grace {
    holds: BTreeMap<Subject, Hold>,
    due: BTreeMap<Due, Subject>,
    begun: u64,
    held: usize,
    held_max: usize,
    misses: Misses,
}

impl Grace {
    pub(super) fn new(held_max: usize, misses_max: usize) -> Self {
        let misses = Misses { told: HashMap::new(), order: VecDeque::new(), max: misses_max };
        Self { holds: BTreeMap::new(), due: BTreeMap::new(), begun: 0, held: 0, held_max, misses }
    }

    /// Takes the next fact of its channel and appends to `out` what is to be told now, in order.
    pub(super) fn push(&mut self, fact: Fact, grace: Duration, now: Time, out: &mut Vec<Fact>) {
        match &fact.kind {
            FactKind::Vacated => self.hold(channel_of(&fact), fact, grace, now, out),
            FactKind::MemberRemoved { user_id } => self.hold(user_of(&fact, user_id), fact, grace, now, out),
            FactKind::Occupied => {
                if !self.cancel(&channel_of(&fact), out) {
                    out.push(fact);
                }
            }
            FactKind::MemberAdded { user_id } => {
                if !self.cancel(&user_of(&fact, user_id), out) {
                    self.pass(fact, out);
                }
            }
            FactKind::CacheMiss => {
                if self.misses.is_first(&fact, now) {
                    self.pass(fact, out);
                }
            }
            FactKind::ClientEvent { .. } | FactKind::SubscriptionCount(_) => self.pass(fact, out),
        }
        self.keep_bound(out);
    }

    /// Appends to `out` what has been held long enough.
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Fact>) {
        while self.next_deadline().is_some_and(|due| due <= now) {
            self.release_first(out);
        }
    }

    /// When [`Grace::tick`] must be called next.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.first_key_value().map(|(&(time, _), _)| time)
    }

    /// Ends all holds: nobody will come back in time.
    pub(super) fn flush(&mut self, out: &mut Vec<Fact>) {
        while !self.due.is_empty() {
            self.release_first(out);
        }
    }

    /// How many facts are held.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    fn hold(&mut self, subject: Subject, fact: Fact, grace: Duration, now: Time, out: &mut Vec<Fact>) {
        // A second one without a return between: the return was lost, so the first is taken back as if it had come.
        self.cancel(&subject, out);
        let due = (now + grace, self.begun);
        self.begun += 1;
        self.held += 1;
        self.due.insert(due, subject.clone());
        self.holds.insert(subject, Hold { fact, due, behind: Vec::new() });
        if grace.is_zero() {
            self.tick(now, out);
        }
    }

    /// Takes back what is held about `subject` and lets go what waited behind it. Returns whether anything was held.
    fn cancel(&mut self, subject: &Subject, out: &mut Vec<Fact>) -> bool {
        let Some(hold) = self.holds.remove(subject) else { return false };
        self.due.remove(&hold.due);
        self.held -= 1 + hold.behind.len();
        out.extend(hold.behind);
        true
    }

    fn pass(&mut self, fact: Fact, out: &mut Vec<Fact>) {
        // Most of the time nothing is held at all, and then no subject needs to be made.
        let hold = if self.holds.is_empty() { None } else { self.holds.get_mut(&channel_of(&fact)) };
        match hold {
            Some(hold) => {
                hold.behind.push(fact);
                self.held += 1;
            }
            None => out.push(fact),
        }
    }

    fn keep_bound(&mut self, out: &mut Vec<Fact>) {
        while self.held > self.held_max {
            self.release_first(out);
        }
    }

    fn release_first(&mut self, out: &mut Vec<Fact>) {
        let Some((_, subject)) = self.due.pop_first() else { return };
        if subject.user_id.is_none() {
            self.release_members(&subject, out);
        }
        let hold = self.holds.remove(&subject).expect("every due names a hold");
        self.held -= 1 + hold.behind.len();
        out.push(hold.fact);
        out.extend(hold.behind);
    }

    /// Lets go the removed members of a channel, in order: the channel's vacated is next.
    fn release_members(&mut self, channel: &Subject, out: &mut Vec<Fact>) {
        let users = self.holds.range(channel..).skip(1).take_while(|(subject, _)| is_of(subject, channel));
        let mut dues: Vec<Due> = users.map(|(_, hold)| hold.due).collect();
        dues.sort_unstable();
        for due in dues {
            let subject = self.due.remove(&due).expect("every hold is due");
            let hold = self.holds.remove(&subject).expect("every due names a hold");
            self.held -= 1;
            out.push(hold.fact);
        }
    }
}

fn channel_of(fact: &Fact) -> Subject {
    Subject { app: fact.app.clone(), channel: fact.channel.clone(), user_id: None }
}

fn user_of(fact: &Fact, user_id: &Arc<str>) -> Subject {
    Subject { user_id: Some(Arc::clone(user_id)), ..channel_of(fact) }
}

fn is_of(user: &Subject, channel: &Subject) -> bool {
    user.app == channel.app && user.channel == channel.channel
}

/// When which channel's `cache_miss` was told last, for [`MISS_INTERVAL`].
#[derive(Debug)]
struct Misses {
    told: HashMap<(AppId, ChannelName), Time>,
    order: VecDeque<(Time, (AppId, ChannelName))>,
    max: usize,
}

impl Misses {
    fn is_first(&mut self, fact: &Fact, now: Time) -> bool {
        while self.order.front().is_some_and(|(told, _)| now.since(*told) >= MISS_INTERVAL) {
            self.forget_first();
        }
        let channel = (fact.app.clone(), fact.channel.clone());
        if self.told.contains_key(&channel) {
            return false;
        }
        if self.order.len() >= self.max {
            self.forget_first();
        }
        self.told.insert(channel.clone(), now);
        self.order.push_back((now, channel));
        true
    }

    fn forget_first(&mut self) {
        if let Some((_, channel)) = self.order.pop_front() {
            self.told.remove(&channel);
        }
    }
}

#[cfg(test)]
mod tests;
