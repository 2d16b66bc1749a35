//! The key by which an app names itself to push services: its public half, derived from what the app keeps (I-4.38).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::DecodePrivateKey;

/// Why no public key comes of a text. None of them tells anything of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It begins like PEM and is no private key of the curve P-256.
    #[error("the PEM text is no P-256 private key")]
    Pem,
    /// It is neither PEM nor base64url.
    #[error("the text is neither PEM nor base64url")]
    Base64,
    /// What it decodes to is no key.
    #[error("the bytes are no P-256 private key")]
    Bytes,
}

/// Reads a private key of the curve P-256: PEM, or base64url of its 32 bytes or of DER.
///
/// # Errors
/// [`BadKey`] says what is wrong with it.
pub fn private_key(text: &str) -> Result<SecretKey, BadKey> {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        // Some tools write the curve's parameters first, in a block of their own.
        let text = &text[text.rfind("-----BEGIN").unwrap_or(0)..];
        return SecretKey::from_pkcs8_pem(text).ok().or_else(|| SecretKey::from_sec1_pem(text).ok()).ok_or(BadKey::Pem);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadKey::Base64)?;
    if bytes.len() == 32 {
        return SecretKey::from_slice(&bytes).map_err(|_| BadKey::Bytes);
    }
    SecretKey::from_pkcs8_der(&bytes).ok().or_else(|| SecretKey::from_sec1_der(&bytes).ok()).ok_or(BadKey::Bytes)
}

/// The public half of `private`: base64url, without padding, of the 65 bytes of the uncompressed point.
///
/// # Errors
/// [`BadKey`] if `private` is no key.
pub fn public_key(private: &str) -> Result<String, BadKey> {
    let point = private_key(private)?.public_key().to_sec1_point(false);
    Ok(URL_SAFE_NO_PAD.encode(point.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "BEZlkIdm2kK3gdDABibDjCvjk1ofQgGBS5vfw97ga4fB51Z170ZyO4wAd8LaeBApNMeS6UAOkQesGiqKEGNMcmA";
    const RAW: &str = "YqkxrIJMhVxRY0QAviPLbkH1KJI3-YIJYWZwnSmanOM";
    const PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYqkxrIJMhVxRY0QA
viPLbkH1KJI3+YIJYWZwnSmanOOhRANCAARGZZCHZtpCt4HQwAYmw4wr45NaH0IB
gUub38Pe4GuHwedWde9GcjuMAHfC2ngQKTTHkulADpEHrBoqihBjTHJg
-----END PRIVATE KEY-----
";
    const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIGKpMayCTIVcUWNEAL4jy25B9SiSN/mCCWFmcJ0pmpzjoAoGCCqGSM49
AwEHoUQDQgAERmWQh2baQreB0MAGJsOMK+OTWh9CAYFLm9/D3uBrh8HnVnXvRnI7
jAB3wtp4ECk0x5LpQA6RB6waKooQY0xyYA==
-----END EC PRIVATE KEY-----
";

    /// The lines of a PEM text as one, in the alphabet of base64url.
    fn der(pem: &str) -> String {
        pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().replace('+', "-").replace('/', "_")
    }

    /// I-4.38
    #[test]
    fn every_form_of_a_key_has_the_same_public_half() {
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        for private in [
            RAW.to_owned(),
            format!(" {RAW}=\n"),
            PKCS8.to_owned(),
            PKCS8.replace('\n', "\r\n"),
            SEC1.to_owned(),
            format!("{parameters}{SEC1}"),
            der(PKCS8),
            der(SEC1),
        ] {
            assert_eq!(public_key(&private).as_deref(), Ok(PUBLIC), "{private}");
        }
    }

    /// I-4.38
    #[test]
    fn what_is_no_key_is_told() {
        for (private, error) in [
            (String::new(), BadKey::Bytes),
            ("not a key".to_owned(), BadKey::Base64),
            ("-----BEGIN".to_owned(), BadKey::Pem),
            (PKCS8.replace("MIGH", "MIGI"), BadKey::Pem),
            (PUBLIC.to_owned(), BadKey::Bytes),
            ("A".repeat(43), BadKey::Bytes),
            ("_".repeat(43), BadKey::Base64),
            ("_".repeat(42) + "8", BadKey::Bytes),
            ("A".repeat(100_000), BadKey::Bytes),
        ] {
            assert_eq!(public_key(&private), Err(error), "{private:.80}");
        }
    }
}
