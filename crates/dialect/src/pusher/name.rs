//! Names as Pusher's clients write them: channels and what their prefix decides, socket ids, event names that are taken.

use std::fmt;
use tidings_hub::{App, ChannelName, SocketId};

/// What starts the name of a signed-in user's own channel.
pub const SERVER_TO_USER: &str = "#server-to-user-";

/// The type of a channel, by the longest matching prefix of its name (P-4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody may subscribe.
    Public,
    /// Needs a signature.
    Private,
    /// As private; the data is opaque to us.
    PrivateEncrypted,
    /// Needs a signature and has members.
    Presence,
    /// For the connections of one signed-in user.
    ServerToUser,
}

impl Kind {
    /// The type of the channel called `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.starts_with("private-encrypted-") {
            Self::PrivateEncrypted
        } else if name.starts_with("private-") {
            Self::Private
        } else if name.starts_with("presence-") {
            Self::Presence
        } else if name.starts_with(SERVER_TO_USER) {
            Self::ServerToUser
        } else {
            Self::Public
        }
    }

    /// The kind of a channel of `app`: where Pushi's clients have channels of their own that need proof, those need it here too (I-2.1).
    #[must_use]
    pub fn within(name: &str, app: &App) -> Self {
        match Self::of(name) {
            Self::Public if app.dialects.pushi && (name.starts_with("personal-") || name.starts_with("peer-")) => Self::Private,
            kind => kind,
        }
    }

    /// Whether a subscribe must carry a signature.
    #[must_use]
    pub fn needs_auth(self) -> bool {
        self.takes_client_events()
    }

    /// Whether clients may publish there (P-8.1 row 3): exactly where a signature let them in.
    #[must_use]
    pub fn takes_client_events(self) -> bool {
        matches!(self, Self::Private | Self::PrivateEncrypted | Self::Presence)
    }
}

/// Why a text is no channel name of Pusher's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing is left of it, or nothing after `#server-to-user-`.
    #[error("it is empty")]
    Empty,
    /// It is longer than the app allows.
    #[error("it has more than {max} characters")]
    TooLong {
        /// The app's `channel_name_max`.
        max: usize,
    },
    /// It holds something outside the alphabet.
    #[error("it may only hold letters, digits and _-=@,.;")]
    Alphabet,
}

/// Checks `text` against P-4.1, with at most `max` characters after a `#server-to-user-`, and keeps a copy.
///
/// # Errors
/// [`BadName`] says which condition fails.
pub fn parse(text: &str, max: usize) -> Result<ChannelName, BadName> {
    let rest = text.strip_prefix(SERVER_TO_USER).unwrap_or(text);
    if rest.is_empty() {
        return Err(BadName::Empty);
    }
    if !rest.bytes().all(|byte| ALPHABET[usize::from(byte)]) {
        return Err(BadName::Alphabet);
    }
    if rest.len() > max {
        return Err(BadName::TooLong { max });
    }
    ChannelName::parse(text).map_err(|_| BadName::TooLong { max })
}

/// The bytes that a name may hold (P-4.1).
const ALPHABET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'=' | b'@' | b',' | b'.' | b';');
        byte += 1;
    }
    table
};

/// A text that is no socket id at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a socket id is two decimal numbers with a dot between")]
pub struct BadSocketId;

/// Reads a socket id (P-2.6, P-11.1): `Ok(None)` is one that is well formed but that no connection of ours can have (P-11.3).
///
/// # Errors
/// [`BadSocketId`] if it is not well formed.
pub fn parse_socket_id(text: &str) -> Result<Option<SocketId>, BadSocketId> {
    let (high, low) = text.split_once('.').ok_or(BadSocketId)?;
    let is_number = |half: &str| !half.is_empty() && half.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(high) || !is_number(low) {
        return Err(BadSocketId);
    }
    // An id is a text to clients: `01.2` is not the `1.2` that we printed.
    let canonical = |half: &str| if half.len() > 1 && half.starts_with('0') { None } else { half.parse().ok() };
    Ok(canonical(high).zip(canonical(low)).and_then(|(high, low)| SocketId::from_halves(high, low)))
}

/// A socket id as text, without an allocation. It is part of every signature.
#[derive(Clone, Copy)]
pub struct SocketIdText {
    // Two halves of at most 19 digits and a dot.
    bytes: [u8; 39],
    len: u8,
}

impl SocketIdText {
    /// Prints `id`.
    #[must_use]
    pub fn new(id: SocketId) -> Self {
        let mut text = Self { bytes: [0; 39], len: 0 };
        let (high, low) = id.halves();
        let mut digits = itoa::Buffer::new();
        text.push(digits.format(high));
        text.push(".");
        text.push(digits.format(low));
        text
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("digits and a dot are ASCII")
    }

    fn push(&mut self, text: &str) {
        let start = usize::from(self.len);
        self.bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
        self.len += text.len() as u8;
    }
}

impl fmt::Debug for SocketIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether nobody but the server may use `name` for an event (P-3.10).
#[must_use]
pub fn is_reserved_event(name: &str) -> bool {
    ["pusher:", "pusher_internal:", "tidings:"].iter().any(|prefix| name.starts_with(prefix)) || PUSHY_EVENTS.contains(&name)
}

/// The events with which Pushy's server speaks for itself (`pushy.md` section 12).
const PUSHY_EVENTS: [&str; 8] = [
    "pushy:connect",
    "pushy:error",
    "pushy:subscription-needauth",
    "pushy:subscription-success",
    "pushy:subscription-failed",
    "pushy:subscription-end",
    "pushy:presence-add",
    "pushy:presence-quit",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// P-4.1, P-4.4, P-18.1: the setting bounds what stands after `#server-to-user-`, the alphabet is that of bytes.
    #[test]
    fn names_are_bounded() {
        let max = |chars: usize| "x".repeat(chars);
        for (name, limit, expected) in [
            (max(164), 164, None),
            (max(165), 164, Some(BadName::TooLong { max: 164 })),
            (format!("{SERVER_TO_USER}{}", max(200)), 200, None),
            (format!("{SERVER_TO_USER}{}", max(201)), 200, Some(BadName::TooLong { max: 200 })),
            (format!("{SERVER_TO_USER}#"), 200, Some(BadName::Alphabet)),
            ("x#".to_owned(), 200, Some(BadName::Alphabet)),
            ("#server-to-user".to_owned(), 200, Some(BadName::Alphabet)),
            (SERVER_TO_USER.to_owned(), 200, Some(BadName::Empty)),
        ] {
            assert_eq!(parse(&name, limit).err(), expected, "{name}");
        }
    }

    /// P-2.6, P-11.1, P-11.3
    #[test]
    fn a_foreign_socket_id_is_no_malformed_one() {
        for text in ["18446744073709551616.1", "1.9223372036854775808", "01.2", "1.00"] {
            assert_eq!(parse_socket_id(text), Ok(None), "{text}");
        }
        for text in ["", ".", "1", "1.", ".1", "1.2.3", "+1.2", "1.2\n", " 1.2", "१.२"] {
            assert_eq!(parse_socket_id(text), Err(BadSocketId), "{text}");
        }
        assert_eq!(parse_socket_id("0.0"), Ok(SocketId::from_halves(0, 0)));
    }

    /// P-2.6
    #[test]
    fn an_id_is_read_as_it_is_printed() {
        for random in [[0; 16], [0xff; 16], [0x5a; 16]] {
            let id = SocketId::new(7, 4711, random);
            assert_eq!(SocketIdText::new(id).as_str(), id.to_string());
            assert_eq!(parse_socket_id(SocketIdText::new(id).as_str()), Ok(Some(id)));
        }
        let largest = SocketId::from_halves((1 << 63) - 1, (1 << 63) - 1).unwrap();
        assert_eq!(SocketIdText::new(largest).as_str().len(), 39);
    }

    /// P-3.10
    #[test]
    fn the_servers_own_events_are_reserved() {
        for (name, reserved) in [
            ("pusher:subscribe", true),
            ("pusher_internal:x", true),
            ("tidings:resumed", true),
            ("pushy:presence-add", true),
            ("pushy:mine", false),
            ("Pusher:x", false),
            ("client-pusher:x", false),
            ("App\\Events\\Order:Shipped.v2", false),
        ] {
            assert_eq!(is_reserved_event(name), reserved, "{name}");
        }
    }

    /// P-4.2, I-2.1: what needs proof in one dialect of an app needs it in all.
    #[test]
    fn pushis_channels_need_proof_here_too() {
        use tidings_hub::Dialects;
        let app = |pushi| App { dialects: Dialects { pusher: true, pushi, ..Dialects::default() }, ..App::new("1", "k", "s") };
        for (name, alone, shared) in [
            ("personal-u", Kind::Public, Kind::Private),
            ("peer-a", Kind::Public, Kind::Private),
            ("news", Kind::Public, Kind::Public),
            ("presence-x", Kind::Presence, Kind::Presence),
        ] {
            assert_eq!((Kind::within(name, &app(false)), Kind::within(name, &app(true))), (alone, shared), "{name}");
        }
    }
}
