//! The secrets of encrypted channels, and the envelopes that carry their events (section 9 of `pusher.md`). The server has none of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use tidings_dialect::auth;

/// What comes before the text in what is sealed: a tag that only the secret can make.
const TAG_BYTES: usize = 16;

/// The secret of an app from which the secret of each encrypted channel is derived. Publishers and auth endpoints hold it; the server
/// and the subscribers do not.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

/// The secret of one encrypted channel: it seals and opens the data of its events.
#[derive(Clone)]
pub struct SharedSecret([u8; 32]);

/// Why a text is no [`MasterKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the master key must be 32 random bytes as base64, but {reason}; `openssl rand -base64 32` makes one")]
pub struct BadMasterKey {
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a text is no [`SharedSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shared secret must be 32 bytes as base64, but {reason}; the auth endpoint must give what its server library made")]
pub struct BadSharedSecret {
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why the data of an event cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no envelope at all: its publisher seals nothing, or the channel's name only looks encrypted.
    #[error("the data is not encrypted: it must be a JSON object with a nonce and a ciphertext; give the publisher the master key")]
    NotSealed,
    /// The nonce is not 24 bytes as base64.
    #[error("the nonce is not 24 bytes as base64; the publisher is at fault")]
    Nonce,
    /// The ciphertext is not base64, or too short to be one.
    #[error("the ciphertext is not base64 of 16 bytes or more; the publisher is at fault")]
    Ciphertext,
    /// It was sealed with another secret, or changed since. Ask the auth endpoint again before giving up, since the key may have been
    /// changed (P-9.7).
    #[error("the data does not open with this secret: it was sealed with another one, or changed on its way; ask for the secret again")]
    WrongSecret,
    /// What was sealed is no UTF-8.
    #[error("the data opens, but it is no UTF-8 text; the publisher is at fault")]
    NotText,
}

/// The data of an event of an encrypted channel (P-9.3). Members in the order in which the official libraries write them.
#[derive(Deserialize, Serialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    #[serde(borrow)]
    ciphertext: Cow<'a, str>,
}

impl MasterKey {
    /// Reads the 32 bytes from `text`, which is their base64 with padding.
    ///
    /// # Errors
    /// [`BadMasterKey`] if it is not.
    pub fn from_base64(text: &str) -> Result<Self, BadMasterKey> {
        thirty_two_bytes(text).map(Self).map_err(|reason| BadMasterKey { reason })
    }

    /// The secret of the channel called `channel`: SHA-256 of the name and then the key (P-9.2).
    #[must_use]
    pub fn shared_secret(&self, channel: &str) -> SharedSecret {
        SharedSecret(Sha256::new().chain_update(channel).chain_update(self.0).finalize().into())
    }
}

impl SharedSecret {
    /// Reads the 32 bytes from `text`, which is their base64 with padding, as it stands in an auth endpoint's answer (P-6.7).
    ///
    /// # Errors
    /// [`BadSharedSecret`] if it is not.
    pub fn from_base64(text: &str) -> Result<Self, BadSharedSecret> {
        thirty_two_bytes(text).map(Self).map_err(|reason| BadSharedSecret { reason })
    }

    /// The same text again, for the answer of an auth endpoint. Whoever has it reads the channel.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Seals `data`. The result is what to publish: the JSON text of an envelope (P-9.3), a good third longer than `data`. No `nonce`
    /// may serve twice with the same secret; 24 random bytes never do.
    #[must_use]
    pub fn seal(&self, data: &[u8], nonce: [u8; 24]) -> String {
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), data).expect("memory has room for a tag");
        let envelope = Envelope { nonce: STANDARD.encode(nonce).into(), ciphertext: STANDARD.encode(sealed).into() };
        serde_json::to_string(&envelope).expect("two texts are always JSON")
    }

    /// Opens `envelope`, the data of an event as it arrived, and gives back the text that was sealed.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong. On [`OpenError::WrongSecret`] the secret may be out of date.
    pub fn open(&self, envelope: &str) -> Result<String, OpenError> {
        // A struct would be read from an array as well.
        if !envelope.trim_start().starts_with('{') {
            return Err(OpenError::NotSealed);
        }
        let Envelope { nonce, ciphertext } = serde_json::from_str(envelope).map_err(|_| OpenError::NotSealed)?;
        let nonce: [u8; 24] = STANDARD.decode(&*nonce).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(OpenError::Nonce)?;
        let sealed = STANDARD.decode(&*ciphertext).ok().filter(|sealed| sealed.len() >= TAG_BYTES).ok_or(OpenError::Ciphertext)?;
        let data = self.cipher().decrypt(&Nonce::from(nonce), &*sealed).map_err(|_| OpenError::WrongSecret)?;
        String::from_utf8(data).map_err(|_| OpenError::NotText)
    }

    fn cipher(&self) -> XSalsa20Poly1305 {
        XSalsa20Poly1305::new(&self.0.into())
    }
}

fn thirty_two_bytes(text: &str) -> Result<[u8; 32], &'static str> {
    let bytes = STANDARD.decode(text).map_err(|_| "it is not base64")?;
    bytes.try_into().map_err(|_| "it has another length")
}

/// In a time that does not tell where they differ.
impl PartialEq for SharedSecret {
    fn eq(&self, other: &Self) -> bool {
        auth::equal(&self.0, &other.0)
    }
}

impl Eq for SharedSecret {}

/// So that no log line shows the key.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// So that no log line shows the secret.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NONCE: [u8; 24] = [7; 24];

    fn vectors(kind: &str) -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../dialect/tests/pusher-vectors.json")).unwrap();
        let vectors: Vec<_> = file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == kind).cloned().collect();
        assert!(vectors.len() >= 2, "{kind}");
        vectors
    }

    fn secret() -> SharedSecret {
        MasterKey::from_base64(MASTER_KEY).unwrap().shared_secret("private-encrypted-x")
    }

    /// P-9.2, P-22.3
    #[test]
    fn secrets_are_those_of_the_vectors() {
        for vector in vectors("shared_secret") {
            let master_key = MasterKey::from_base64(vector["in"]["encryption_master_key_base64"].as_str().unwrap()).unwrap();
            let secret = master_key.shared_secret(vector["in"]["channel"].as_str().unwrap());
            let theirs = vector["out"]["shared_secret"].as_str().unwrap();
            assert_eq!(secret.to_base64(), theirs, "{}", vector["id"]);
            assert_eq!(SharedSecret::from_base64(theirs).unwrap(), secret);
        }
    }

    /// P-9.3, P-22.3: the same envelope, byte for byte, and the same text out of it.
    #[test]
    fn envelopes_are_those_of_the_vectors() {
        for vector in vectors("secretbox") {
            let text = |place: &str, name: &str| vector[place][name].as_str().unwrap().to_owned();
            let secret = SharedSecret::from_base64(&text("in", "shared_secret")).unwrap();
            let nonce = STANDARD.decode(text("out", "nonce")).unwrap().try_into().unwrap();
            assert_eq!(secret.seal(text("in", "plaintext").as_bytes(), nonce), text("out", "event_data"), "{}", vector["id"]);
            assert_eq!(secret.open(&text("out", "event_data")).unwrap(), text("in", "plaintext"), "{}", vector["id"]);
        }
    }

    #[test]
    fn what_was_sealed_opens() {
        let secret = secret();
        for data in ["", "a", "{\"m\":\"Zoë ✓\"}", &"x".repeat(1 << 20)] {
            assert_eq!(secret.open(&secret.seal(data.as_bytes(), NONCE)).unwrap(), data);
        }
        // Members in another order, and others beside them, do no harm.
        let sealed: Value = serde_json::from_str(&secret.seal(b"text", NONCE)).unwrap();
        let envelope =
            format!(" {{\"v\":{}{},\"ciphertext\":{},\"nonce\":{}}}", "[".repeat(9), "]".repeat(9), sealed["ciphertext"], sealed["nonce"]);
        assert_eq!(secret.open(&envelope).unwrap(), "text");
    }

    #[test]
    fn what_is_no_envelope_is_told_from_a_wrong_secret() {
        let secret = secret();
        let nonce = STANDARD.encode(NONCE);
        let box_of = |bytes: usize| STANDARD.encode(vec![1; bytes]);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (envelope, expected) in [
            (String::new(), OpenError::NotSealed),
            ("hello".into(), OpenError::NotSealed),
            ("{}".into(), OpenError::NotSealed),
            ("null".into(), OpenError::NotSealed),
            ("\"{}\"".into(), OpenError::NotSealed),
            (json!([nonce, box_of(20)]).to_string(), OpenError::NotSealed),
            (json!({ "nonce": nonce }).to_string(), OpenError::NotSealed),
            (json!({ "nonce": nonce, "ciphertext": null }).to_string(), OpenError::NotSealed),
            (json!({ "nonce": [0, 1, 2], "ciphertext": box_of(20) }).to_string(), OpenError::NotSealed),
            (json!({ "nonce": nonce, "ciphertext": { "nonce": nonce, "ciphertext": box_of(20) } }).to_string(), OpenError::NotSealed),
            (format!("{{\"nonce\":\"{nonce}\",\"nonce\":\"{nonce}\",\"ciphertext\":\"\"}}"), OpenError::NotSealed),
            (format!("{{\"nonce\":\"{nonce}\",\"ciphertext\":\"\\ud800\"}}"), OpenError::NotSealed),
            (format!("{} x", secret.seal(b"", NONCE)), OpenError::NotSealed),
            (format!("{{\"nonce\":{deep}}}"), OpenError::NotSealed),
            (deep, OpenError::NotSealed),
            (json!({ "nonce": "", "ciphertext": box_of(20) }).to_string(), OpenError::Nonce),
            (json!({ "nonce": "*", "ciphertext": box_of(20) }).to_string(), OpenError::Nonce),
            (json!({ "nonce": STANDARD.encode([7; 23]), "ciphertext": box_of(20) }).to_string(), OpenError::Nonce),
            (json!({ "nonce": STANDARD.encode([7; 25]), "ciphertext": box_of(20) }).to_string(), OpenError::Nonce),
            (json!({ "nonce": "A".repeat(1 << 20), "ciphertext": box_of(20) }).to_string(), OpenError::Nonce),
            (json!({ "nonce": nonce, "ciphertext": "" }).to_string(), OpenError::Ciphertext),
            (json!({ "nonce": nonce, "ciphertext": "é" }).to_string(), OpenError::Ciphertext),
            (json!({ "nonce": nonce, "ciphertext": box_of(15) }).to_string(), OpenError::Ciphertext),
            (json!({ "nonce": nonce, "ciphertext": box_of(16) }).to_string(), OpenError::WrongSecret),
            (json!({ "nonce": nonce, "ciphertext": box_of(3 << 20) }).to_string(), OpenError::WrongSecret),
            (secret.seal(&[0xff, 0xfe], NONCE), OpenError::NotText),
        ] {
            let shown: String = envelope.chars().take(100).collect();
            assert_eq!(secret.open(&envelope), Err(expected), "{shown}");
        }
    }

    #[test]
    fn a_changed_envelope_does_not_open() {
        let secret = secret();
        let sealed = secret.seal(b"text", NONCE);
        let Envelope { nonce, ciphertext } = serde_json::from_str(&sealed).unwrap();
        let check = |nonce: &[u8], ciphertext: &[u8]| {
            let envelope = json!({ "nonce": STANDARD.encode(nonce), "ciphertext": STANDARD.encode(ciphertext) });
            secret.open(&envelope.to_string())
        };
        let (nonce, ciphertext) = (STANDARD.decode(&*nonce).unwrap(), STANDARD.decode(&*ciphertext).unwrap());
        assert_eq!(check(&nonce, &ciphertext).unwrap(), "text");
        for at in 0..8 * nonce.len() {
            let mut changed = nonce.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(check(&changed, &ciphertext), Err(OpenError::WrongSecret), "bit {at} of the nonce");
        }
        for at in 0..8 * ciphertext.len() {
            let mut changed = ciphertext.clone();
            changed[at / 8] ^= 1 << (at % 8);
            assert_eq!(check(&nonce, &changed), Err(OpenError::WrongSecret), "bit {at} of the ciphertext");
        }
        assert_eq!(check(&nonce, &ciphertext[..ciphertext.len() - 1]), Err(OpenError::WrongSecret));
        // Each channel has a secret of its own.
        let other = MasterKey::from_base64(MASTER_KEY).unwrap().shared_secret("private-encrypted-y");
        assert_ne!(other, secret);
        assert_eq!(other.open(&sealed), Err(OpenError::WrongSecret));
    }

    #[test]
    fn a_key_is_thirty_two_bytes_as_base64() {
        assert!(MasterKey::from_base64(MASTER_KEY).is_ok());
        for (text, reason) in [
            ("", "it has another length"),
            ("AAEC", "it has another length"),
            (&STANDARD.encode([0; 31]), "it has another length"),
            (&STANDARD.encode([0; 33]), "it has another length"),
            ("this is no base64", "it is not base64"),
            (MASTER_KEY.trim_end_matches('='), "it is not base64"),
            (&format!("{MASTER_KEY}\n"), "it is not base64"),
        ] {
            assert_eq!(MasterKey::from_base64(text).unwrap_err(), BadMasterKey { reason }, "{text:?}");
            assert_eq!(SharedSecret::from_base64(text).unwrap_err(), BadSharedSecret { reason }, "{text:?}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let master_key = MasterKey::from_base64(MASTER_KEY).unwrap();
        assert_eq!(format!("{master_key:?} {:?}", master_key.shared_secret("a")), "MasterKey(…) SharedSecret(…)");
    }
}
