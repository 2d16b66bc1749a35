//! The proof that a subscription or a sign-in needs: signed here with the app's secret, or asked for at an endpoint of the application
//! (sections 6.1 to 6.7 of `pusher.md`).

mod endpoint;

pub(crate) use endpoint::{Endpoint, without_secrets};

use crate::{BadSharedSecret, ProxyError, SharedSecret};
use http::StatusCode;
use serde::{Serialize, Serializer};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::auth;

/// What lets one connection subscribe to one channel (P-6.4). As JSON it is exactly what an auth endpoint answers, with status 200 (P-6.7).
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct ChannelProof {
    /// The app's key, a colon and the signature (P-6.2).
    pub auth: String,
    /// The JSON text of the presence member, exactly as it was signed (P-6.3). A presence channel may lack it if the connection is signed
    /// in (P-7.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_data: Option<String>,
    /// What opens the events of an encrypted channel. It is not sent to the server.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64")]
    pub shared_secret: Option<SharedSecret>,
}

/// What lets one connection sign in. As JSON it is exactly what a user auth endpoint answers, with status 200 (P-6.7).
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct UserProof {
    /// The app's key, a colon and the signature (P-6.2).
    pub auth: String,
    /// The JSON text of the user, exactly as it was signed (P-6.5).
    pub user_data: String,
}

fn base64<S: Serializer>(secret: &Option<SharedSecret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(SharedSecret::to_base64).serialize(serializer)
}

/// So that no log line shows a valid signature.
impl fmt::Debug for ChannelProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelProof").field("channel_data", &self.channel_data).finish_non_exhaustive()
    }
}

/// So that no log line shows a valid signature.
impl fmt::Debug for UserProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserProof").field("user_data", &self.user_data).finish_non_exhaustive()
    }
}

/// Why an endpoint gave no proof. Endpoints are named without the query of their address, which may hold a token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// Nobody takes the connection. It may be asked again later.
    #[error("cannot reach the auth endpoint {url}: {cause}; is the application running there?")]
    Unreachable {
        /// The endpoint.
        url: String,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// The proxy on the way does not lead there.
    #[error("no way to the auth endpoint {url}: {cause}")]
    Proxy {
        /// The endpoint.
        url: String,
        /// Why.
        cause: ProxyError,
    },
    /// TLS did not come about.
    #[error("no TLS with the auth endpoint {url}: {cause}; does it speak TLS, with a certificate that a known authority signed?")]
    Tls {
        /// The endpoint.
        url: String,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// The answer was not there in time. It may be asked again later.
    #[error("the auth endpoint {url} did not answer within {after:?}; make it faster, or raise auth_timeout")]
    TimedOut {
        /// The endpoint.
        url: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the auth endpoint {url} did not answer: {reason}; is it an HTTP server, and what does its log say?")]
    Failed {
        /// The endpoint.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The answer is longer than any good one.
    #[error("the auth endpoint {url} answered with more than {max} bytes; it must answer with one small JSON object")]
    TooLong {
        /// The endpoint.
        url: String,
        /// How many bytes are taken.
        max: usize,
    },
    /// The endpoint leads elsewhere, often to a page to log in on.
    #[error(
        "the auth endpoint {url} answered {status} and leads to {to}; redirects are not followed: give the address that answers itself, \
         or the headers that it wants"
    )]
    Redirect {
        /// The endpoint.
        url: String,
        /// The status, 300 to 399.
        status: StatusCode,
        /// Where it leads, without a query.
        to: String,
    },
    /// The endpoint refused, or failed (P-6.7).
    #[error("the auth endpoint {url} answered {status}{}; {}", told(text), advice(*status))]
    Status {
        /// The endpoint.
        url: String,
        /// The status.
        status: StatusCode,
        /// The first line of what it said, shortened; maybe empty.
        text: String,
    },
    /// The answer is no JSON object (P-6.7).
    #[error("the auth endpoint {url} must answer with a JSON object, such as {{\"auth\":\"key:signature\"}}, but {reason}")]
    NotJson {
        /// The endpoint.
        url: String,
        /// What the answer is.
        reason: String,
    },
    /// A member is not in the answer, or is no string (P-6.7).
    #[error("the auth endpoint {url} must answer with a JSON object that has a string `{member}`")]
    MissingMember {
        /// The endpoint.
        url: String,
        /// The member.
        member: &'static str,
    },
    /// The secret of an encrypted channel is none (P-6.7).
    #[error("the auth endpoint {url} answered with a `shared_secret` of no use: {cause}")]
    SharedSecret {
        /// The endpoint.
        url: String,
        /// Why.
        cause: BadSharedSecret,
    },
}

/// What an endpoint said, as a part of a sentence; nothing if it said nothing.
fn told(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => "it does not know the user, or does not let the user in: check the headers and parameters in `auth`",
        404 => "check its address",
        405 => "it must take POST requests",
        415 => "it must take application/x-www-form-urlencoded",
        500..=599 => "its log should say why",
        _ => "it must answer 200 with a JSON object",
    }
}

/// The `auth` of a subscription, signed with the app's `secret` (P-6.3): for the connection called `socket_id`, and for `channel_data` byte
/// for byte.
pub(crate) fn sign_channel(key: &str, secret: &str, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
    let mut parts: Vec<&[u8]> = vec![socket_id.as_bytes(), b":", channel.as_bytes()];
    if let Some(data) = channel_data {
        parts.extend([b":" as &[u8], data.as_bytes()]);
    }
    format!("{key}:{}", auth::sign(secret, &parts))
}

/// The `auth` of a sign-in, signed with the app's `secret` (P-6.5).
pub(crate) fn sign_user(key: &str, secret: &str, socket_id: &str, user_data: &str) -> String {
    format!("{key}:{}", auth::sign(secret, &[socket_id.as_bytes(), b"::user::", user_data.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "278d425bdf160c739803";
    const SECRET: &str = "7ad3773142a6692b25b8";

    /// P-6.3, with the published examples (V-001, V-002) and others that the libraries of the field agree on (V-008, V-010, V-011).
    #[test]
    fn channels_are_signed_as_everywhere() {
        let (key, secret) = ("tidings-key", "tidings-secret");
        let presence = r#"{"user_id":10,"user_info":{"name":"Mr. Pusher"}}"#;
        let unicode = r#"{"user_id":"ü-1","user_info":{"name":"Zoë ✓"}}"#;
        for (key, secret, socket_id, channel, data, signature) in [
            (KEY, SECRET, "1234.1234", "private-foobar", None, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"),
            (
                KEY,
                SECRET,
                "1234.1234",
                "presence-foobar",
                Some(presence),
                "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
            ),
            (key, secret, "123.456", "presence-b", Some(unicode), "86612589c0f074b6a328fa9fae27306d331d2683e9c064ae1492761203f5b928"),
            (key, secret, "123.456", "presence-b", None, "5a07966505516239dc5a4b72db69c08cd9bfd9038bdd12083f3a602c3a879470"),
            (
                key,
                secret,
                "123.456",
                "private-a",
                Some(r#"{"user_id":"u1"}"#),
                "900a182297edf2e00bf7573da8e5b87d227f6cb8dc1767d8110b6ca581c2b4a9",
            ),
        ] {
            assert_eq!(sign_channel(key, secret, socket_id, channel, data), format!("{key}:{signature}"), "{channel}");
        }
        // A text that is empty is signed all the same.
        assert_ne!(sign_channel(KEY, SECRET, "1.2", "private-a", Some("")), sign_channel(KEY, SECRET, "1.2", "private-a", None));
    }

    /// P-6.5, with the published example (V-018) and V-021.
    #[test]
    fn users_are_signed_as_everywhere() {
        let signed = sign_user(KEY, SECRET, "1234.1234", r#"{"id":"12345"}"#);
        assert_eq!(signed, format!("{KEY}:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"));
        let signed = sign_user("tidings-key", "tidings-secret", "123.456", r#"{"id":"ü-1"}"#);
        assert_eq!(signed, "tidings-key:8a642d0d925108dcf8db4ec9d926f8e7f9eeab7d7c7213aa9cbe174e0d8d5efc");
    }

    #[test]
    fn no_proof_shows_its_signature() {
        let secret = SharedSecret::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let channel = ChannelProof { auth: "key:c0ffee".into(), channel_data: Some("{}".into()), shared_secret: Some(secret) };
        let user = UserProof { auth: "key:c0ffee".into(), user_data: "{}".into() };
        assert_eq!(format!("{channel:?} {user:?}"), r#"ChannelProof { channel_data: Some("{}"), .. } UserProof { user_data: "{}", .. }"#);
    }
}
