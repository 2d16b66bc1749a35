//! Names as Pushy's clients write them: channels, which compare in lower case (Y-1.4, Y-5.3), and members of a channel (Y-5.2).

use super::settings::Settings;
use crate::auth::hmac_sha256;
use tidings_hub::{Access, App, ChannelName, SocketId};

/// Why a text is no name of a channel (Y-5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is longer than the setting allows.
    #[error("the channel's name has more than {max} characters")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It begins with `#`.
    #[error("names that begin with # are reserved")]
    Reserved,
    /// It has a colon, which the setting forbids: signatures join their parts with it (Y-10.9).
    #[error("the channel's name must not hold a colon here")]
    Colon,
    /// The hub takes no such name.
    #[error("{0}")]
    Hub(#[from] tidings_hub::BadName),
}

/// Reads the name of a channel, in whatever case it is written.
///
/// # Errors
/// [`BadName`] says what is wrong.
pub fn parse(text: &str, settings: &Settings) -> Result<ChannelName, BadName> {
    let max = settings.channel_name_chars;
    // Before the lower-casing, which costs as much as the text is long.
    if text.chars().nth(max).is_some() {
        return Err(BadName::TooLong { max });
    }
    if text.starts_with('#') {
        return Err(BadName::Reserved);
    }
    if !settings.colon_in_channel && text.contains(':') {
        return Err(BadName::Colon);
    }
    Ok(ChannelName::parse(&text.to_lowercase())?)
}

/// Whether the channel takes proof (Y-1.5). What takes it in any dialect takes it here.
#[must_use]
pub fn is_private(channel: &ChannelName) -> bool {
    channel.access() != Access::Public
}

/// Whether those on the channel can see each other: on the private channels of Pushy (Y-8.1), not on those whose members are users.
#[must_use]
pub fn has_roll(channel: &ChannelName) -> bool {
    channel.as_str().starts_with("private-")
}

/// The name of a connection among those on a channel: 8 hex digits (Y-5.2).
///
/// What names a connection on its node, shard and place, has 32 bits. They are shuffled by a permutation that only the app's secret tells, another
/// one for each channel: so no two connections of a node have the same name on a channel, and nobody learns where else a member is.
#[must_use]
pub fn member_id(app: &App, socket: SocketId, channel: &ChannelName) -> String {
    let secret = app.keys.first().map_or("", |pair| pair.secret.as_str());
    let place = socket.as_u128() as u32;
    let (mut left, mut right) = ((place >> 16) as u16, place as u16);
    for round in 0..4_u8 {
        let mixed = hmac_sha256(secret.as_bytes(), &[b"pushy-member", &[round], &right.to_be_bytes(), channel.as_str().as_bytes()]);
        (left, right) = (right, left ^ u16::from_be_bytes([mixed[0], mixed[1]]));
    }
    format!("{left:04x}{right:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn read(text: &str) -> Result<String, BadName> {
        parse(text, &Settings::default()).map(|name| name.to_string())
    }

    /// Y-1.4
    #[test]
    fn names_compare_in_lower_case() {
        for (text, expected) in
            [("Hello", "hello"), ("HÉLLO", "héllo"), ("ΟΔΟΣ", "οδος"), ("İ", "i\u{307}"), ("push", "push"), ("constructor", "constructor")]
        {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    /// Y-5.3, Y-10.9
    #[test]
    fn names_are_bounded() {
        use tidings_hub::BadName::{Control, Empty};
        for (text, expected) in [
            (String::new(), BadName::Hub(Empty)),
            ("é".repeat(201), BadName::TooLong { max: 200 }),
            ("#x".to_owned(), BadName::Reserved),
            ("a\u{1f}".to_owned(), BadName::Hub(Control)),
            ("a\u{7f}".to_owned(), BadName::Hub(Control)),
        ] {
            assert_eq!(read(&text), Err(expected), "{text:?}");
        }
        // The longest that lower-casing can make of 200 characters is still a name.
        assert_eq!(read(&"İ".repeat(200)).map(|name| name.len()), Ok(600));
        assert!(read(&"😀".repeat(200)).is_ok() && read(" ").is_ok() && read("a:b").is_ok());
        let strict = Settings { colon_in_channel: false, ..Settings::default() };
        assert_eq!(parse("a:b", &strict).map(|_| ()), Err(BadName::Colon));
    }

    /// Y-1.5, and what takes proof in the other dialects.
    #[test]
    fn prefixes_decide_what_takes_proof() {
        for (text, private, roll) in [
            ("Private-x", true, true),
            ("private-", true, true),
            ("presence-x", true, false),
            ("PERSONAL-u", true, false),
            ("peer-a:b&c", true, false),
            ("privatex", false, false),
            ("hello", false, false),
        ] {
            let name = parse(text, &Settings::default()).unwrap();
            assert_eq!((is_private(&name), has_roll(&name)), (private, roll), "{text}");
        }
    }

    /// Y-5.2, Y-10.4
    #[test]
    fn members_of_a_channel_have_names_of_their_own() {
        let app = App::new("1", "k", "secret");
        let channel = |text: &str| parse(text, &Settings::default()).unwrap();
        let (one, other) = (channel("private-a"), channel("private-b"));
        let sockets: Vec<_> = (0..2_000).map(|place| SocketId::new(place % 4, place, [7; 16])).collect();
        let names: HashSet<String> = sockets.iter().map(|socket| member_id(&app, *socket, &one)).collect();
        assert_eq!(names.len(), sockets.len());
        assert!(
            names.iter().all(|name| name.len() == 8 && name.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)))
        );
        assert_ne!(member_id(&app, sockets[5], &one), member_id(&app, sockets[5], &other));
    }
}
