//! How a connection is named across the node: its socket id, and the shard that the id tells.

use std::fmt;

/// The public name of a connection: 128 bits, of which the lowest 8 name the shard that owns it and the next 24 its place there.
/// The rest is chance, so that an id is neither guessed nor used twice. Each dialect prints it in its own form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(u128);

/// The most shards a node can have: the shard's number must fit a [`SocketId`].
pub const SHARDS_MAX: usize = 1 << SHARD_BITS;
/// The most connections a shard can own at once.
pub const PLACES_MAX: usize = 1 << PLACE_BITS;

const SHARD_BITS: u32 = 8;
const PLACE_BITS: u32 = 24;
/// Both halves stay below 2^63, so that clients that read them as signed numbers can.
const HALF_MASK: u64 = (1 << 63) - 1;
/// What the halves of an id of ours leave to the version and the variant of a UUID.
const HIGH_MASK: u64 = (1 << 60) - 1;
const LOW_MASK: u64 = (1 << 62) - 1;
/// Version 4 and its variant, at their places in the halves of a UUID.
const UUID_VERSION: u64 = 4 << 12;
const UUID_VARIANT: u64 = 1 << 63;

impl SocketId {
    /// Makes the id of the connection at `place` of `shard` from 16 random bytes.
    ///
    /// # Panics
    /// If `shard` or `place` does not fit its bits; the shard bounds both.
    #[must_use]
    pub fn new(shard: usize, place: usize, random: [u8; 16]) -> Self {
        assert!(shard < SHARDS_MAX && place < PLACES_MAX, "shards and their slabs are bounded");
        let random = u128::from_le_bytes(random);
        let high = (random >> 64) as u64 & HALF_MASK >> 10;
        let low = (random as u64 & LOW_MASK) >> 32 << 32 | (place as u64) << SHARD_BITS | shard as u64;
        Self(u128::from(high) << 64 | u128::from(low))
    }

    /// The id made of two halves as Pusher prints them; `None` if no id of ours can have them.
    #[must_use]
    pub fn from_halves(high: u64, low: u64) -> Option<Self> {
        (high <= HALF_MASK && low <= HALF_MASK).then(|| Self(u128::from(high) << 64 | u128::from(low)))
    }

    /// The two halves, each below 2^63.
    #[must_use]
    pub fn halves(self) -> (u64, u64) {
        ((self.0 >> 64) as u64, self.0 as u64)
    }

    /// The id as a UUID of version 4, whose fixed bits are set beside the id's own.
    #[must_use]
    pub fn uuid(self) -> u128 {
        let (high, low) = self.halves();
        let high = high >> 12 << 16 | UUID_VERSION | high & 0xfff;
        u128::from(high) << 64 | u128::from(low | UUID_VARIANT)
    }

    /// The id whose UUID that is; `None` if no id of ours has it.
    #[must_use]
    pub fn from_uuid(uuid: u128) -> Option<Self> {
        let (high, low) = ((uuid >> 64) as u64, uuid as u64);
        let id = Self(u128::from(high >> 16 << 12 | high & 0xfff) << 64 | u128::from(low & LOW_MASK));
        (id.uuid() == uuid && id.halves().0 <= HIGH_MASK).then_some(id)
    }

    /// All 128 bits.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// The shard that owns the connection.
    #[must_use]
    pub fn shard(self) -> usize {
        (self.0 as usize) & (SHARDS_MAX - 1)
    }

    /// The connection's place in its shard.
    #[must_use]
    pub fn place(self) -> usize {
        (self.0 as u64 >> SHARD_BITS) as usize & (PLACES_MAX - 1)
    }
}

/// Pusher's form, which logs use too: two decimal numbers with a dot between (P-2.6).
impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = self.halves();
        write!(f, "{high}.{low}")
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_shard_and_place() {
        for random in [[0; 16], [0xff; 16], [0x5a; 16]] {
            for (shard, place) in [(0, 0), (255, PLACES_MAX - 1), (3, 4711)] {
                let id = SocketId::new(shard, place, random);
                assert_eq!((id.shard(), id.place()), (shard, place));
                let (high, low) = id.halves();
                assert_eq!(SocketId::from_halves(high, low), Some(id));
            }
        }
    }

    /// I-1.3
    #[test]
    fn an_id_is_a_uuid_too() {
        for random in [[0; 16], [0xff; 16], [0x5a; 16]] {
            let id = SocketId::new(255, PLACES_MAX - 1, random);
            assert_eq!(SocketId::from_uuid(id.uuid()), Some(id));
            assert_eq!((id.uuid() >> 76 & 0xf, id.uuid() >> 62 & 3), (4, 2), "version and variant");
        }
        assert_eq!(SocketId::from_uuid(0), None);
        assert_eq!(SocketId::from_uuid(u128::MAX), None);
    }

    /// P-2.6: each half has at least 30 bits of chance.
    #[test]
    fn both_halves_depend_on_chance() {
        let (zero, ones) = (SocketId::new(0, 0, [0; 16]).halves(), SocketId::new(0, 0, [0xff; 16]).halves());
        assert!((zero.0 ^ ones.0).count_ones() >= 30 && (zero.1 ^ ones.1).count_ones() >= 30);
    }
}
