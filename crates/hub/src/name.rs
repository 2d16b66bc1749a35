//! Channel names and what a name alone decides: who needs proof, what is cached. Each dialect has a stricter alphabet of its own.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest name the hub takes, in bytes.
pub const CHANNEL_NAME_BYTES_MAX: usize = 1024;

/// The name of a channel: 1 to [`CHANNEL_NAME_BYTES_MAX`] bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

/// Why a text is no channel name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is empty.
    #[error("a channel name must not be empty")]
    Empty,
    /// It is longer than [`CHANNEL_NAME_BYTES_MAX`].
    #[error("a channel name has at most {CHANNEL_NAME_BYTES_MAX} bytes")]
    TooLong,
    /// It holds a control character.
    #[error("a channel name must not hold control characters")]
    Control,
}

/// What it takes to subscribe, decided by the name alone and the same in every dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody may.
    Public,
    /// Needs proof: `private-`, `personal-`, `peer-`.
    Private,
    /// Needs proof and has members: `presence-`.
    Presence,
    /// Starts with `#`: reserved for what a dialect defines, such as a signed-in user's own channel.
    Reserved,
}

impl ChannelName {
    /// Checks `text` and keeps a copy.
    ///
    /// # Errors
    /// [`BadName`] says which condition fails.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Err(BadName::Empty);
        }
        if text.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(BadName::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BadName::Control);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it takes to subscribe.
    #[must_use]
    pub fn access(&self) -> Access {
        let name = self.as_str();
        if name.starts_with("presence-") {
            Access::Presence
        } else if ["private-", "personal-", "peer-"].iter().any(|prefix| name.starts_with(prefix)) {
            Access::Private
        } else if name.starts_with('#') {
            Access::Reserved
        } else {
            Access::Public
        }
    }

    /// Whether the channel remembers its last event: the name after its type prefix starts with `cache-` (P-4.3).
    #[must_use]
    pub fn caches(&self) -> bool {
        let name = self.as_str();
        let rest = ["private-encrypted-", "private-", "presence-"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
        rest.starts_with("cache-")
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_is_decided_by_the_prefix() {
        for (name, access) in [
            ("news", Access::Public),
            ("private", Access::Public),
            ("Private-x", Access::Public),
            ("private-x", Access::Private),
            ("private-encrypted-x", Access::Private),
            ("personal-u", Access::Private),
            ("peer-a:b&c", Access::Private),
            ("presence-x", Access::Presence),
            ("#server-to-user-1", Access::Reserved),
        ] {
            assert_eq!(ChannelName::parse(name).unwrap().access(), access, "{name}");
        }
    }

    /// P-4.3
    #[test]
    fn the_cache_flag_follows_the_type_prefix() {
        for (name, caches) in [
            ("cache-x", true),
            ("private-cache-x", true),
            ("private-encrypted-cache-x", true),
            ("presence-cache-x", true),
            ("my-cache-x", false),
            ("private-my-cache-x", false),
            ("cache", false),
        ] {
            assert_eq!(ChannelName::parse(name).unwrap().caches(), caches, "{name}");
        }
    }

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(ChannelName::parse(""), Err(BadName::Empty));
        assert!(ChannelName::parse(&"a".repeat(1024)).is_ok());
        assert_eq!(ChannelName::parse(&"a".repeat(1025)), Err(BadName::TooLong));
        assert_eq!(ChannelName::parse("a\nb"), Err(BadName::Control));
        assert!(ChannelName::parse("Zoë ✓").is_ok());
    }
}
