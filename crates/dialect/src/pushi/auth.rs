//! Signatures as Pushi's servers and clients make them: rules I-2.2 and I-2.3.

use crate::auth::{self, Signature};
use tidings_hub::App;

/// The signature that lets `subject` onto `channel`: a socket's id, or what a registration names its device by.
#[must_use]
pub fn sign(app_secret: &str, subject: &str, channel: &str) -> Signature {
    auth::sign(app_secret, &[subject.as_bytes(), b":", channel.as_bytes()])
}

/// Whether `auth` is a `key:signature` of `app` for `subject` on `channel`. Pushi's own clients sign the text as Latin-1, newer ones as UTF-8.
#[must_use]
pub fn verify(app: &App, subject: &str, channel: &str, auth: &str) -> bool {
    let signs = |subject: &[u8], channel: &[u8]| auth::verify(app, auth, &[subject, b":", channel]).is_ok();
    if signs(subject.as_bytes(), channel.as_bytes()) {
        return true;
    }
    if subject.is_ascii() && channel.is_ascii() {
        return false;
    }
    latin1(subject).zip(latin1(channel)).is_some_and(|(subject, channel)| signs(&subject, &channel))
}

/// `text` with one byte for each character, if all of them have such a byte.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
    const SECRET: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
    const SOCKET: &str = "0b2f7a52-7a0c-4f63-9c3e-2a7d3f1f9d10";
    const ORDERS: &str = "13d1242b730967bede82ff5c60d88988edcb3826fda3ce01061b2a7c691650f7";
    const ROOM: &str = "ae825f2b40b48b9ebb89820a5b1ef52bdc3da7e3c607a99afb5ecca3d85eb9e2";
    const ROOM_WITH_DATA: &str = "557e3f6153378c1bc63a116a3f6027e4584b0750b50d4be5cc25f8511fb0c713";
    const CAFE_LATIN1: &str = "192a2f9420fc1f5c69b6949f36b2890767e52642da344db80a8b7831f7b48345";
    const CAFE_UTF8: &str = "81b391da0207c037cdf47294da7f40147d2e3f0cf130ebf93f4e5c2c52fb857f";

    fn app() -> App {
        App::new("id", KEY, SECRET)
    }

    /// I-2.2, I-2.3, I-4.33: signatures that were computed elsewhere.
    #[test]
    fn known_signatures_are_made_and_accepted() {
        let hook = "https://hook.example/x";
        let mail = "2d9bfc8d14207784e006bd9a005882fdecf133c0be170e57dcd4172ad9fbde1a";
        for (subject, channel, signature) in [
            (SOCKET, "private-orders", ORDERS),
            (SOCKET, "presence-room", ROOM),
            (SOCKET, "personal-u1", "9f7ed42cdda50095dee30f86b92a2ea74649d6034f75220cd1517ae4056ae360"),
            (SOCKET, "peer-room:alice&bob", "02f96f8f5d8f244a111d0cc9e50fcb978da29b8857263578d7673872341b4fb9"),
            (SOCKET, "private-café", CAFE_UTF8),
            (SOCKET, "presence-room:{\"user_id\":\"alice\"}", ROOM_WITH_DATA),
            (hook, "private-orders", "fcc28013f101873320d9c5371627041c0ef17971e98caa7cd59255ad655fdd92"),
            ("aabbccdd", "private-orders", "926047a49493bdad41bd85e7be3f198005478183ad6aea2b9b77dbccb78df1eb"),
            ("a@example.org", "private-orders", mail),
            ("https://push.example/1", "presence-room", "8359d75ab0a86b177e2f490f44f52d0bb926d966450ed1714841c7557475a5f9"),
        ] {
            assert_eq!(sign(SECRET, subject, channel).as_str(), signature, "{subject} {channel}");
            assert!(verify(&app(), subject, channel, &format!("{KEY}:{signature}")), "{subject} {channel}");
        }
    }

    /// I-2.3
    #[test]
    fn latin1_is_accepted_where_it_exists() {
        assert!(verify(&app(), SOCKET, "private-café", &format!("{KEY}:{CAFE_LATIN1}")));
        assert!(!verify(&app(), SOCKET, "private-cafe", &format!("{KEY}:{CAFE_LATIN1}")));
        assert!(!verify(&app(), SOCKET, "private-caf✓", &format!("{KEY}:{CAFE_LATIN1}")));
        assert_eq!(latin1("é\u{ff}"), Some(vec![0xe9, 0xff]));
        assert_eq!(latin1("\u{100}"), None);
    }

    /// I-2.2: the whole text decides, and nothing that is missing counts.
    #[test]
    fn other_signatures_prove_nothing() {
        for (channel, auth) in [
            ("presence-room", format!("{KEY}:{ROOM_WITH_DATA}")),
            ("presence-room:{\"user_id\":\"alice\"}", format!("{KEY}:{ROOM}")),
            ("private-orders", format!("{}:{ORDERS}", "b".repeat(64))),
            ("private-orders", format!("{KEY}:{}", ORDERS.to_uppercase())),
            ("private-orders", ORDERS.to_owned()),
            ("private-orders", format!("{KEY}:")),
            ("private-orders", String::new()),
            ("private-order", format!("{KEY}:{ORDERS}")),
        ] {
            assert!(!verify(&app(), SOCKET, channel, &auth), "{channel} {auth}");
        }
    }
}
