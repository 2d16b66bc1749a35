//! Private channels between two members of a presence channel (I-2.10): nobody subscribes to them, they follow from who is there.

use crate::{Channel, ChannelName, Channels};
use smallvec::SmallVec;
use std::sync::Arc;

/// How many colons of a name are tried as the end of the presence channel's name; each costs a look into the map.
const BASES_MAX: usize = 16;

/// The presence channels that `peer-…` may be a pair of, each with the pair's part of the name. A base or an id may itself hold colons and
/// ampersands, so there may be several.
fn bases(name: &str) -> impl Iterator<Item = (String, &str)> {
    let rest = name.strip_prefix("peer-").unwrap_or("");
    rest.match_indices(':').take(BASES_MAX).map(|(colon, _)| (format!("presence-{}", &rest[..colon]), &rest[colon + 1..]))
}

/// The two users that the pair's part of a name may mean: the lower id first, never the same (I-2.11).
pub(crate) fn pairs(tail: &str) -> impl Iterator<Item = (&str, &str)> {
    tail.match_indices('&').map(|(at, _)| (&tail[..at], &tail[at + 1..])).filter(|(low, high)| !low.is_empty() && low < high)
}

impl Channels {
    /// Adds the presence channels there are that `name` may be a pair of.
    pub(crate) fn presences(&self, name: &ChannelName, set: &mut SmallVec<[Arc<Channel>; 4]>) {
        if name.as_str().starts_with("peer-") {
            set.extend(bases(name.as_str()).filter_map(|(base, _)| self.find(&base)));
        }
    }

    /// Whether the channel's pair is active: both users are there, and one of them wants it (I-2.10).
    #[must_use]
    pub fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool {
        self.find(presence).is_some_and(|channel| channel.lock().is_some_and(|state| state.members.pair(one, other).is_some()))
    }

    /// The active pairs of a member, by the names of their channels, in byte order.
    #[must_use]
    pub fn pairs_of(&self, presence: &Channel, user_id: &str) -> Vec<String> {
        let base = presence.name.as_str().strip_prefix("presence-").unwrap_or_default();
        let partners = presence.lock().map(|state| state.members.partners(user_id)).unwrap_or_default();
        partners.iter().map(|other| pair_name(base, user_id, other)).collect()
    }
}

/// The name of the channel of two members of `presence-<base>` (I-2.11).
fn pair_name(base: &str, one: &str, other: &str) -> String {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    format!("peer-{base}:{low}&{high}")
}

/// What the shards of the pair's presence channel are to know, once their channels are locked.
pub(crate) fn candidates(name: &ChannelName) -> SmallVec<[(String, &str); 1]> {
    if name.as_str().starts_with("peer-") { bases(name.as_str()).collect() } else { SmallVec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-2.11
    #[test]
    fn a_pair_is_named_by_its_lower_id_first() {
        for (base, users, name) in [
            ("room", ["bob", "alice"], "peer-room:alice&bob"),
            ("room", ["Zed", "alice"], "peer-room:Zed&alice"),
            ("room", ["10", "9"], "peer-room:10&9"),
            ("room", ["é", "z"], "peer-room:z&é"),
            ("a:1", ["x", "y"], "peer-a:1:x&y"),
        ] {
            assert_eq!(pair_name(base, users[0], users[1]), name);
            assert_eq!(pair_name(base, users[1], users[0]), name);
        }
    }

    /// I-2.12: every colon may end the base, every ampersand the first id.
    #[test]
    fn a_name_may_be_read_in_several_ways() {
        let read = |name: &str| bases(name).map(|(base, tail)| (base, tail.to_owned())).collect::<Vec<_>>();
        assert_eq!(read("peer-a:1:x&y"), [("presence-a".into(), "1:x&y".into()), ("presence-a:1".into(), "x&y".into())]);
        assert_eq!(read("peer-a"), []);
        assert_eq!(read(&format!("peer-{}", ":".repeat(900))).len(), BASES_MAX);
        assert_eq!(pairs("a&b&c").collect::<Vec<_>>(), [("a", "b&c"), ("a&b", "c")]);
        assert_eq!(pairs("b&a").count() + pairs("a&a").count() + pairs("&a").count(), 0);
    }
}
