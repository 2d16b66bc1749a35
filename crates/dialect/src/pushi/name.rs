//! Names as Pushi's clients write them: channels and what their prefix decides (I-2.1), and socket ids (I-1.3).

use tidings_hub::{ChannelName, SocketId};

/// What a channel's prefix makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No proof needed.
    Public,
    /// `private-`
    Private,
    /// `presence-`: has members.
    Presence,
    /// `personal-<user>`: follows the channels of a user.
    Personal,
    /// `peer-<base>:<a>&<b>`: between two members of `presence-<base>`.
    Peer,
}

impl Kind {
    /// The kind of the channel of that name. Prefixes are case-sensitive.
    #[must_use]
    pub fn of(name: &str) -> Self {
        const PREFIXES: [(&str, Kind); 4] =
            [("private-", Kind::Private), ("presence-", Kind::Presence), (PERSONAL, Kind::Personal), ("peer-", Kind::Peer)];
        PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(Self::Public, |(_, kind)| *kind)
    }
}

/// What the name of a user's own channel begins with.
pub const PERSONAL: &str = "personal-";

/// Why a text is no name of a channel (I-1.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is longer than the setting allows.
    #[error("the channel's name has more than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It begins with `#`.
    #[error("names that begin with # are reserved")]
    Reserved,
    /// The hub takes no such name.
    #[error("{0}")]
    Hub(#[from] tidings_hub::BadName),
}

/// Reads the name of a channel of at most `max` bytes.
///
/// # Errors
/// [`BadName`] says what is wrong.
pub fn parse(text: &str, max: usize) -> Result<ChannelName, BadName> {
    if text.len() > max {
        return Err(BadName::TooLong { max });
    }
    if text.starts_with('#') {
        return Err(BadName::Reserved);
    }
    Ok(ChannelName::parse(text)?)
}

/// How the name of a peer channel may be read for a member `user_id` of the base: since bases may hold colons and ids ampersands, there may be
/// several readings (I-2.12). Yields the presence channel and what it needs of the rest to be a pair with somebody.
pub fn bases(name: &str) -> impl Iterator<Item = (String, &str)> {
    let rest = name.strip_prefix("peer-").unwrap_or("");
    rest.match_indices(':').take(BASES_MAX).map(|(colon, _)| (format!("presence-{}", &rest[..colon]), &rest[colon + 1..]))
}

/// How many colons of a name are tried; each costs a look at the connection's channels.
const BASES_MAX: usize = 16;

/// The other one of the pair that `tail` names, if `user_id` is one of the two: `user&other` or `other&user`.
#[must_use]
pub fn partner<'n>(tail: &'n str, user_id: &str) -> Option<&'n str> {
    let after = tail.strip_prefix(user_id).and_then(|rest| rest.strip_prefix('&'));
    let before = || tail.strip_suffix(user_id).and_then(|rest| rest.strip_suffix('&'));
    after.or_else(before).filter(|other| !other.is_empty())
}

/// A socket id as Pushi's clients know it: a UUID in lower case.
#[must_use]
pub fn socket_id(id: SocketId) -> String {
    uuid(id.uuid())
}

/// The id that `text` is, if it is one that this server can have given.
#[must_use]
pub fn parse_socket_id(text: &str) -> Option<SocketId> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let id = u128::from_str_radix(&digits, 16).ok().and_then(SocketId::from_uuid)?;
    (socket_id(id) == text).then_some(id)
}

/// A UUID as text.
#[must_use]
pub fn uuid(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I-2.1
    #[test]
    fn the_prefix_decides() {
        for (name, kind) in [
            ("global", Kind::Public),
            ("Private-x", Kind::Public),
            ("private-", Kind::Private),
            ("presence-x", Kind::Presence),
            ("personal-u1", Kind::Personal),
            ("peer-x:a&b", Kind::Peer),
        ] {
            assert_eq!(Kind::of(name), kind, "{name}");
        }
    }

    /// I-1.14
    #[test]
    fn names_are_bounded() {
        assert_eq!(parse("", 200), Err(BadName::Hub(tidings_hub::BadName::Empty)));
        assert_eq!(parse(&"é".repeat(101), 200), Err(BadName::TooLong { max: 200 }));
        assert_eq!(parse("#x", 200), Err(BadName::Reserved));
        assert_eq!(parse("a\u{0}", 200), Err(BadName::Hub(tidings_hub::BadName::Control)));
        assert!(parse(&"é".repeat(100), 200).is_ok());
    }

    /// I-2.12
    #[test]
    fn a_member_is_one_of_a_pair_or_not() {
        for (tail, user_id, expected) in [
            ("alice&bob", "alice", Some("bob")),
            ("alice&bob", "bob", Some("alice")),
            ("bob&alice", "bob", Some("alice")),
            ("alice&bob", "carol", None),
            ("alice&", "alice", None),
            ("&", "", None),
            ("a&b&c", "a", Some("b&c")),
            ("a&b&c", "a&b", Some("c")),
            ("a&b&c", "b", None),
        ] {
            assert_eq!(partner(tail, user_id), expected, "{tail} {user_id}");
        }
    }

    /// I-1.3
    #[test]
    fn a_socket_id_is_a_uuid() {
        let id = SocketId::new(3, 4711, [0x5a; 16]);
        let text = socket_id(id);
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        assert_eq!(parse_socket_id(&text), Some(id));
        for text in ["", "1.2", &text.to_uppercase(), &text.replace('-', ""), "0b2f7a52-7a0c-1f63-9c3e-2a7d3f1f9d10", &"é".repeat(36)] {
            assert_eq!(parse_socket_id(text), None, "{text}");
        }
    }
}
