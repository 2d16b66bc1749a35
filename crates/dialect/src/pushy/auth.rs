//! Signatures of Pushy: SHA-256 over parts that colons join, the secret last (Y-6.6, Y-7.1). Compared as 32 bytes in constant time.

use super::settings::AuthData;
use super::{json, settings::Settings};
use crate::auth::equal;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tidings_hub::App;

/// A signature as it was sent, without its digits' case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 32]);

/// So that no log line shows a valid signature.
impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature(…)")
    }
}

impl Signature {
    /// Reads 64 hex digits; `None` for anything else (Y-6.7, Y-7.6).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(Self(bytes))
    }

    /// The signature of `parts`, joined by colons.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                hash.update(b":");
            }
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Whether it is that of `parts`, found out in a time that does not tell where they differ.
    #[must_use]
    pub fn signs(self, parts: &[&[u8]]) -> bool {
        equal(&self.0, &Self::of(parts).0)
    }

    /// The 64 hex digits, in lower case.
    #[must_use]
    pub fn hex(self) -> String {
        let mut digits = [0; 64];
        crate::auth::hex(&self.0, &mut digits);
        String::from_utf8_lossy(&digits).into_owned()
    }
}

/// Whether `auth` lets the connection `socket_id` onto the private channel of that lower-case name, with `data` if the command has any
/// (Y-7.1, Y-7.2, Y-7.4). Any secret of the app will do.
#[must_use]
pub fn lets_in(app: &App, settings: &Settings, socket_id: &str, channel: &str, data: Option<&RawValue>, auth: &str) -> bool {
    let Some(signature) = Signature::parse(auth) else { return false };
    let (socket_id, channel) = (socket_id.as_bytes(), channel.as_bytes());
    let Some(data) = data else {
        return app.keys.iter().any(|pair| signature.signs(&[socket_id, channel, pair.secret.as_bytes()]));
    };
    let single = if settings.auth_data == AuthData::Either { crate::pusher::json::text(data) } else { None };
    let Some(double) = json::canonical(data.get()) else { return false };
    let texts = [Some(double.as_str()), single.as_deref()];
    let signs = |text: &str, secret: &str| signature.signs(&[socket_id, channel, text.as_bytes(), secret.as_bytes()]);
    app.keys.iter().any(|pair| texts.into_iter().flatten().any(|text| signs(text, &pair.secret)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Key;

    const SOCKET: &str = "c0ffee00-0000-4000-8000-000000000001";

    /// Y-6.7: the published value is not that of its text.
    #[test]
    fn known_signatures_are_made() {
        let signature = Signature::of(&[b"hello", b"test", b"123456789", b"{}", b"secret"]);
        assert_eq!(signature.hex(), "fc7da7a7f1e50f242f6b57975ea4914aba1e6c31b56165948cd3d090b7ff0625");
        assert_eq!(format!("{signature:?}"), "Signature(…)");
    }

    /// Y-6.7, Y-7.6
    #[test]
    fn only_64_hex_digits_are_a_signature() {
        let digits = "fc7da7a7f1e50f242f6b57975ea4914aba1e6c31b56165948cd3d090b7ff0625";
        assert_eq!(Signature::parse(digits).map(Signature::hex).as_deref(), Some(digits));
        assert_eq!(Signature::parse(&digits.to_uppercase()), Signature::parse(digits));
        for text in ["", "deadbeef", &digits[1..], &format!("{digits}0"), &digits.replace('f', "g"), &"é".repeat(32)] {
            assert_eq!(Signature::parse(text), None, "{text}");
        }
    }

    /// Y-7.1, Y-7.2, Y-7.4, Y-7.5
    #[test]
    fn whoever_is_signed_is_let_in() {
        let mut app = App::new("1", "k", "secret");
        app.keys.push(Key { key: "l".to_owned(), secret: "newer".to_owned() });
        let strict = Settings { auth_data: AuthData::Double, ..Settings::default() };
        let string = r#""{\"username\":\"ann\"}""#;
        for (signed, channel, data, either, double) in [
            ("private-room:secret", "private-room", None, true, true),
            ("private-room:newer", "private-room", None, true, true),
            ("private-room:other", "private-room", None, false, false),
            ("Private-Room:secret", "private-room", None, false, false),
            (r#"private-lounge:"{\"username\":\"ann\"}":secret"#, "private-lounge", Some(string), true, true),
            (r#"private-lounge:{"username":"ann"}:secret"#, "private-lounge", Some(string), true, false),
            (r#"private-lounge:{"2":1,"b":[]}:newer"#, "private-lounge", Some(r#"{ "b" : [ ], "2" : 1.0 }"#), true, true),
            ("private-lounge:null:secret", "private-lounge", Some("null"), true, true),
            ("private-lounge:secret", "private-lounge", Some("null"), false, false),
        ] {
            let auth = Signature::of(&[SOCKET.as_bytes(), signed.as_bytes()]).hex();
            let data = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
            let found =
                [Settings::default(), strict.clone()].map(|settings| lets_in(&app, &settings, SOCKET, channel, data.as_deref(), &auth));
            assert_eq!(found, [either, double], "{signed}");
        }
    }
}
