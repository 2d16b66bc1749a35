//! What a user is owed: the newest events of many channels, each publish once (I-2.14, I-3.5).

use std::collections::BTreeMap;

/// How far back the events of a user are told (I-3.8).
pub(super) const PERSONAL_MAX: u32 = 1000;

/// Events of a channel that a user is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) channel: i64,
    /// Ids above this one …
    pub(super) since: i64,
    /// … and up to this one.
    pub(super) until: i64,
}

/// An event as far as its order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: i64,
    /// How many events of its publish come before it.
    pub(super) place: i64,
}

/// The ids of the newest `count` events after `skip`, newest first. Of events of one publish only the first listed is taken. `newest` reads an
/// interval backwards, at most that many events, without those whose channel came before in their publish.
pub(super) fn owed<E>(
    intervals: impl IntoIterator<Item = Interval>,
    (skip, count): (u32, u32),
    mut newest: impl FnMut(Interval, usize) -> Result<Vec<Placed>, E>,
) -> Result<Vec<i64>, E> {
    let (skip, count) = bounded(skip, count);
    let wanted = skip + count;
    if count == 0 {
        return Ok(Vec::new());
    }
    // By the first id of each publish, with the id that is taken from it.
    let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
    for mut interval in intervals {
        // What is older than all that is taken already need not be read.
        if taken.len() == wanted
            && let Some((oldest, _)) = taken.first_key_value()
        {
            interval.since = interval.since.max(oldest - 1);
        }
        if interval.since >= interval.until {
            continue;
        }
        for event in newest(interval, wanted)? {
            let id = taken.entry(event.id - event.place).or_insert(event.id);
            *id = event.id.min(*id);
            if taken.len() > wanted {
                taken.pop_first();
            }
        }
    }
    Ok(taken.into_values().rev().skip(skip).take(count).collect())
}

/// `skip` and `count` so that together they stay within [`PERSONAL_MAX`].
pub(super) fn bounded(skip: u32, count: u32) -> (usize, usize) {
    let skip = skip.min(PERSONAL_MAX);
    (skip as usize, count.min(PERSONAL_MAX - skip) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// Publishes, each a list of channels.
    type Publishes = Vec<Vec<i64>>;

    /// The events of all publishes: channel, id, place.
    fn events(publishes: &Publishes) -> Vec<(i64, Placed)> {
        let mut events = Vec::new();
        for channels in publishes {
            for (place, &channel) in channels.iter().enumerate() {
                let id = events.len() as i64 + 1;
                events.push((channel, Placed { id, place: place as i64 }));
            }
        }
        events
    }

    /// The same by looking at everything.
    fn plainly(publishes: &Publishes, intervals: &[Interval], skip: usize, count: usize) -> Vec<i64> {
        let mut owed = Vec::new();
        let mut id = 0;
        for channels in publishes {
            let ids: Vec<(i64, i64)> = channels
                .iter()
                .map(|&channel| {
                    id += 1;
                    (channel, id)
                })
                .collect();
            let wanted = |channel, id| intervals.iter().any(|i| i.channel == channel && id > i.since && id <= i.until);
            let first = |channel| ids.iter().find(|(other, _)| *other == channel).map(|(_, id)| *id);
            owed.extend(ids.iter().find(|(channel, id)| wanted(*channel, *id) && first(*channel) == Some(*id)).map(|(_, id)| *id));
        }
        owed.into_iter().rev().skip(skip).take(count).collect()
    }

    proptest! {
        /// I-2.14, I-3.5
        #[test]
        fn merging_finds_what_looking_at_everything_finds(
            publishes in proptest::collection::vec(proptest::collection::vec(0i64..5, 1..5), 0..40),
            intervals in proptest::collection::vec((0i64..5, 0i64..60, 0i64..60), 0..8),
            skip in 0u32..10,
            count in 0u32..10,
        ) {
            let intervals: Vec<Interval> = intervals.into_iter().map(|(channel, since, until)| Interval { channel, since, until }).collect();
            let all = events(&publishes);
            let repeated = |event: &Placed| {
                let before = &all[(event.id - event.place - 1) as usize..(event.id - 1) as usize];
                before.iter().any(|(channel, _)| *channel == all[(event.id - 1) as usize].0)
            };
            let newest = |interval: Interval, limit: usize| -> Result<Vec<Placed>, Infallible> {
                let within = |id: i64| id > interval.since && id <= interval.until;
                let found = all.iter().rev().filter(|(channel, event)| *channel == interval.channel && within(event.id) && !repeated(event));
                Ok(found.map(|(_, event)| *event).take(limit).collect())
            };
            let Ok(found) = owed(intervals.iter().copied(), (skip, count), newest);
            prop_assert_eq!(found, plainly(&publishes, &intervals, skip as usize, count as usize));
        }
    }

    /// I-3.8
    #[test]
    fn a_user_is_told_of_a_thousand_events_at_most() {
        for (skip, count, told) in
            [(0, 10, (0, 10)), (0, 5000, (0, 1000)), (990, 500, (990, 10)), (1000, 1, (1000, 0)), (u32::MAX, u32::MAX, (1000, 0))]
        {
            assert_eq!(bounded(skip, count), told);
        }
    }
}
