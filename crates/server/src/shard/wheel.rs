//! The timers of one shard's connections: a wheel of slots, re-armed lazily, so that a message costs no timer operation.

use std::time::Duration;
use tidings_hub::Time;

/// The width of a slot. A timer fires up to this much late, never early.
pub(super) const TICK: Duration = Duration::from_millis(250);
const SLOTS: u64 = 1024;

/// An entry: which connection, and which of those that had its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// A wheel of about four minutes; what lies further ahead is looked at on the way.
pub(super) struct Wheel {
    slots: Vec<Vec<Alarm>>,
    /// The next slot to fire, counted from the start of the process.
    next: u64,
    armed: usize,
}

impl Wheel {
    pub(super) fn new(now: Time) -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize], next: index(now), armed: 0 }
    }

    /// Has the connection looked at when `at` is over, or earlier if that is far ahead. Returns the number of the slot it will fire from.
    pub(super) fn arm(&mut self, at: Time, alarm: Alarm) -> u64 {
        let index = Self::slot_of(at).clamp(self.next, self.next + SLOTS - 1);
        self.slots[(index % SLOTS) as usize].push(alarm);
        self.armed += 1;
        index
    }

    /// The slot that an alarm at `at` fires from, if it is not too far ahead.
    pub(super) fn slot_of(at: Time) -> u64 {
        index(at) + 1
    }

    /// Moves those that are due at `now` into `due`, with the slot they fired from.
    pub(super) fn turn(&mut self, now: Time, due: &mut Vec<(u64, Alarm)>) {
        let last = index(now);
        while self.next <= last {
            let slot = std::mem::take(&mut self.slots[(self.next % SLOTS) as usize]);
            self.armed -= slot.len();
            due.extend(slot.into_iter().map(|alarm| (self.next, alarm)));
            self.next += 1;
            if self.armed == 0 {
                self.next = last + 1;
            }
        }
    }

    /// How long the shard may sleep; `None` while nothing is armed.
    pub(super) fn sleep(&self, now: Time) -> Option<Duration> {
        (self.armed > 0).then(|| (Time::ZERO + TICK * u32::try_from(self.next).unwrap_or(u32::MAX)).since(now))
    }
}

fn index(time: Time) -> u64 {
    time.as_micros() / TICK.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1000)
    }

    fn fired(wheel: &mut Wheel, now: Time) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.turn(now, &mut due);
        due.into_iter().map(|(_, alarm)| alarm.slot).collect()
    }

    #[test]
    fn alarms_fire_late_by_at_most_a_tick_and_never_early() {
        let mut wheel = Wheel::new(at(0));
        for (slot, millis) in [(1, 0), (2, 249), (3, 250), (4, 10_000)] {
            wheel.arm(at(millis), Alarm { slot, generation: 0 });
        }
        assert!(fired(&mut wheel, at(249)).is_empty());
        assert_eq!(fired(&mut wheel, at(250)), [1, 2]);
        assert_eq!(fired(&mut wheel, at(500)), [3]);
        assert!(fired(&mut wheel, at(9_999)).is_empty());
        assert_eq!(fired(&mut wheel, at(60_000)), [4]);
        assert_eq!(wheel.sleep(at(60_000)), None);
    }

    #[test]
    fn what_is_far_ahead_is_looked_at_on_the_way() {
        let mut wheel = Wheel::new(at(0));
        wheel.arm(at(10_000_000), Alarm { slot: 1, generation: 0 });
        assert_eq!(fired(&mut wheel, at(300_000)), [1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is armed and however the shard sleeps, each alarm fires in the first turn after its slot is over, once.
        #[test]
        fn each_alarm_fires_once_and_in_time(steps in prop::collection::vec((0..400_000_u64, 0..60_000_u64, 0..4_usize), 1..60)) {
            let mut now = 1_000_000;
            let mut wheel = Wheel::new(at(now));
            // The slot that it was said to fire from, and when it is wanted.
            let mut armed: Vec<(u64, u64)> = Vec::new();
            for (ahead, pause, count) in steps {
                for _ in 0..count {
                    let from = wheel.arm(at(now + ahead), Alarm { slot: armed.len() as u32, generation: 7 });
                    prop_assert!(from <= Wheel::slot_of(at(now + ahead)) && from >= wheel.next, "never later than wanted");
                    prop_assert!(ahead > 200_000 || from == Wheel::slot_of(at(now + ahead)), "near alarms have a slot of their own");
                    armed.push((from, now + ahead));
                }
                // As long as the wheel allows, or until something else wakes the shard.
                let sleep = wheel.sleep(at(now)).map_or(pause, |sleep| pause.min(sleep.as_micros().div_ceil(1000) as u64));
                now += sleep;
                let mut due = Vec::new();
                wheel.turn(at(now), &mut due);
                for (from, alarm) in due {
                    let (expected, wanted) = std::mem::replace(&mut armed[alarm.slot as usize], (u64::MAX, u64::MAX));
                    prop_assert_eq!((from, alarm.generation), (expected, 7));
                    prop_assert!(now <= wanted + 500, "late by {}", now - wanted);
                }
                prop_assert!(armed.iter().all(|(from, _)| *from == u64::MAX || *from > index(at(now))), "something is overdue");
                prop_assert_eq!(wheel.sleep(at(now)).is_none(), armed.iter().all(|(from, _)| *from == u64::MAX));
            }
        }
    }
}
