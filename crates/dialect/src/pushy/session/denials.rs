//! Channels that a client was told to bring a signature for. One whose handler refuses it asks again and again (Y-7.8).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use tidings_hub::{ChannelName, Time};

/// After so many in [`WINDOW`] the client is told that it is not let in.
const DENIALS_MAX: u8 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// Empty and without memory of its own as a rule; no longer than the messages that a connection may send in [`WINDOW`].
#[derive(Debug, Default)]
pub(super) struct Denials(Vec<Denial>);

#[derive(Debug)]
struct Denial {
    /// The hash of the channel's name; who makes two of the same hurts nobody else.
    channel: u64,
    since: Time,
    count: u8,
}

impl Denials {
    /// Counts one more for the channel. Returns whether the client may be told to bring a signature once more.
    pub(super) fn count(&mut self, channel: &ChannelName, now: Time) -> bool {
        self.0.retain(|denial| now.since(denial.since) < WINDOW);
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        let channel = hasher.finish();
        match self.0.iter_mut().find(|denial| denial.channel == channel) {
            None => self.0.push(Denial { channel, since: now, count: 1 }),
            Some(denial) if denial.count < DENIALS_MAX => denial.count += 1,
            Some(_) => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Y-7.8
    #[test]
    fn five_in_ten_seconds_are_enough() {
        let mut denials = Denials::default();
        let (one, other) = (ChannelName::parse("private-a").unwrap(), ChannelName::parse("private-b").unwrap());
        let mut told = |channel, seconds: u64| denials.count(channel, Time::from_micros(seconds * 1_000_000));
        assert!((0..5).all(|second| told(&one, second)));
        assert!(!told(&one, 5) && told(&other, 5) && !told(&one, 9));
        assert!(told(&one, 10), "the first one is ten seconds ago");
        assert!(told(&other, 15));
        assert_eq!(denials.0.len(), 2);
    }
}
