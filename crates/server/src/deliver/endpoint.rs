//! One endpoint: what it is owed and when to try again. Pure: attempts are made elsewhere, their outcome comes in.
//!
//! One request is under way at a time, which keeps the order of every channel. So a delivery that fails holds back
//! all that comes after it, for as long as it is retried; meanwhile the outbox fills and drops its oldest.

use super::outbox::{Batching, OUTBOX_BYTES_MAX, Outbox, Owed};
use crate::config::Webhooks;
use bytes::Bytes;
use std::time::Duration;
use tidings_hub::{App, Time};

/// The pause after the first failed attempt; it doubles with each (P-12.6).
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two attempts (P-12.6).
pub(super) const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What app and node say about deliveries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How events share requests.
    pub(super) batching: Batching,
    /// How long after its creation an event may be attempted.
    pub(super) retry: Duration,
}

impl Rules {
    pub(super) fn of(app: &App, settings: &Webhooks) -> Self {
        let batching = Batching { events_max: settings.batch_events, time: settings.batch_wait };
        Self { batching: if app.webhook_batching { batching } else { Batching::OFF }, retry: app.webhook_retry }
    }

    /// The same for a server that stops: nothing more is collected.
    pub(super) fn hurried(self) -> Self {
        Self { batching: Batching { time: Duration::ZERO, ..self.batching }, ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is being delivered.
    Idle,
    /// An attempt is under way.
    Trying,
    /// The last attempt failed.
    Pausing { until: Time },
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A 2xx answer.
    Arrived,
    /// Anything else; another attempt may help.
    Failed,
    /// The address is not allowed; no attempt will help.
    Refused,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// So many events arrived.
    Arrived(usize),
    /// So many were refused.
    Refused(usize),
    /// So many were tried for too long.
    GivenUp(usize),
    /// Not settled: it will be tried again.
    Retried,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    outbox: Outbox,
    state: State,
    pause: Duration,
}

impl Endpoint {
    /// An endpoint that may be owed `events_max` events.
    pub(super) fn new(events_max: usize) -> Self {
        Self { outbox: Outbox::new(events_max, OUTBOX_BYTES_MAX), state: State::Idle, pause: RETRY_FIRST }
    }

    /// Appends an event. Returns how many of the oldest were dropped for it.
    pub(super) fn push(&mut self, owed: Owed) -> usize {
        self.outbox.push(owed)
    }

    /// When [`Endpoint::attempt`] has something to say next; it may be in the past. `None`: when something happens.
    pub(super) fn next_deadline(&self, rules: Rules) -> Option<Time> {
        match self.state {
            State::Idle => self.outbox.ready_at(rules.batching),
            State::Trying => None,
            State::Pausing { until } => Some(until),
        }
    }

    /// Begins an attempt if one is due: the body to send. [`Endpoint::finish`] must follow.
    pub(super) fn attempt(&mut self, rules: Rules, now: Time) -> Option<Bytes> {
        self.next_deadline(rules).filter(|&due| due <= now)?;
        self.state = State::Trying;
        self.outbox.delivery(rules.batching).map(|delivery| delivery.body.clone())
    }

    /// Drops what has waited longer than it may be retried, behind a delivery that failed for so long. Returns how many events.
    pub(super) fn expire(&mut self, rules: Rules, now: Time) -> usize {
        match now.as_micros().checked_sub(u64::try_from(rules.retry.as_micros()).unwrap_or(u64::MAX)) {
            Some(oldest) if self.state == State::Idle => self.outbox.expire(Time::from_micros(oldest)),
            _ => 0,
        }
    }

    /// Takes the outcome of the attempt that was begun.
    pub(super) fn finish(&mut self, outcome: Outcome, rules: Rules, now: Time) -> Settled {
        let settled = match outcome {
            Outcome::Arrived => Settled::Arrived,
            Outcome::Refused => Settled::Refused,
            Outcome::Failed => match self.last_attempt(rules).filter(|&last| now < last) {
                // The last attempt is made when the time is up, not left out because the pause is longer.
                Some(last) => {
                    self.state = State::Pausing { until: (now + self.pause).min(last) };
                    self.pause = (self.pause * 2).min(RETRY_PAUSE_MAX);
                    return Settled::Retried;
                }
                None => Settled::GivenUp,
            },
        };
        self.state = State::Idle;
        self.pause = RETRY_FIRST;
        settled(self.outbox.settle())
    }

    /// How many events are owed.
    pub(super) fn len(&self) -> usize {
        self.outbox.len()
    }

    fn last_attempt(&mut self, rules: Rules) -> Option<Time> {
        self.outbox.delivery(rules.batching).map(|delivery| delivery.created + rules.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::UnixTime;

    const RULES: Rules = Rules { batching: Batching { events_max: 50, time: Duration::from_secs(1) }, retry: Duration::from_secs(300) };

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    fn owed(event: &'static str, created: Time) -> Owed {
        Owed { event: Bytes::from_static(event.as_bytes()), created, created_at: UnixTime::from_millis(0) }
    }

    /// P-12.6: 1 s doubling to 60 s, until 5 minutes after creation; all attempts carry the same body.
    #[test]
    fn a_failing_delivery_is_retried_and_given_up() {
        let mut endpoint = Endpoint::new(10_000);
        endpoint.push(owed("1", at(0)));
        let (mut attempts, mut body) = (Vec::new(), None);
        let settled = loop {
            let due = endpoint.next_deadline(RULES).unwrap();
            assert_eq!(endpoint.attempt(RULES, Time::from_micros(due.as_micros() - 1)), None);
            let sent = endpoint.attempt(RULES, due).unwrap();
            assert_eq!(*body.get_or_insert_with(|| sent.clone()), sent);
            assert_eq!(endpoint.next_deadline(RULES), None, "one attempt at a time");
            attempts.push(due.as_micros() / 1_000_000);
            match endpoint.finish(Outcome::Failed, RULES, due) {
                Settled::Retried => {}
                settled => break settled,
            }
        };
        assert_eq!(settled, Settled::GivenUp(1));
        assert_eq!(attempts, [1, 2, 4, 8, 16, 32, 64, 124, 184, 244, 300]);
        assert_eq!((endpoint.len(), endpoint.next_deadline(RULES)), (0, None));
    }

    /// P-12.5, P-12.6: a failing delivery holds back what follows; what then is too old is dropped, the rest goes on with short pauses.
    #[test]
    fn what_follows_waits_its_turn() {
        let mut endpoint = Endpoint::new(10_000);
        endpoint.push(owed("1", at(0)));
        let mut now = at(1);
        endpoint.attempt(RULES, now).unwrap();
        endpoint.push(owed("2", at(1)));
        endpoint.push(owed("3", at(250)));
        while endpoint.finish(Outcome::Failed, RULES, now) == Settled::Retried {
            assert_eq!(endpoint.expire(RULES, now), 0, "not while something is under way");
            now = endpoint.next_deadline(RULES).unwrap();
            assert!(endpoint.attempt(RULES, now).is_some_and(|body| body.ends_with(b"[1]}")));
        }
        now = at(302);
        assert_eq!(endpoint.expire(RULES, now), 1);
        assert!(endpoint.attempt(RULES, now).is_some_and(|body| body.ends_with(b"[3]}")));
        assert_eq!(endpoint.finish(Outcome::Failed, RULES, now), Settled::Retried);
        assert_eq!(endpoint.next_deadline(RULES), Some(now + RETRY_FIRST));
    }

    #[test]
    fn what_arrived_or_was_refused_is_settled() {
        for (outcome, settled) in [(Outcome::Arrived, Settled::Arrived(2)), (Outcome::Refused, Settled::Refused(2))] {
            let mut endpoint = Endpoint::new(10_000);
            endpoint.push(owed("1", at(0)));
            endpoint.push(owed("2", at(0)));
            endpoint.attempt(RULES, at(1)).unwrap();
            assert_eq!((endpoint.finish(outcome, RULES, at(1)), endpoint.len()), (settled, 0));
        }
    }
}
