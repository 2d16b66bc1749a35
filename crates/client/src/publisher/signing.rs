//! Proofs for clients, made by an application's auth endpoints: who may subscribe, and who somebody is (section 6 of `pusher.md`).

use super::publication::{is_encrypted, parse_channel};
use super::{Publisher, SigningError};
use crate::authorize::{sign_channel, sign_user};
use crate::options::presence_member;
use crate::{ChannelProof, PresenceMember, UserProof};
use serde::Serialize;
use serde_json::Value;
use tidings_dialect::pusher::name::{self, Kind};

/// Characters of a signed-in user's id (P-18.9).
const USER_ID_CHARS_MAX: usize = 200;

/// Who a connection is to be signed in as (P-15.1, P-15.4).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    /// Identifies the user: 1 to 200 characters. Only what may stand in a channel's name can be published to (P-15.7).
    pub id: String,
    /// What presence channels show of the user if they are joined without a member of their own (P-7.5): an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info: Option<Value>,
    /// The ids of at most 100 users whose coming and going the user is told (P-15.8).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watchlist: Vec<String>,
}

impl User {
    /// A user of whom nothing but `id` is known, and who watches nobody.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), user_info: None, watchlist: Vec::new() }
    }
}

impl Publisher {
    /// Lets the connection named `socket_id` subscribe to `channel`. **Decide first whether its user may**: whoever gets the answer may
    /// subscribe. A `member` goes into the answer on presence channels only; there it may be missing if the user is signed in (P-7.5). On
    /// encrypted channels the answer holds the channel's secret.
    ///
    /// # Errors
    /// [`SigningError`] if what the client sent is no socket id (P-2.6) or no channel name (P-4.1), if the member could not join, or if the
    /// channel is encrypted and there is no master key.
    pub fn authorize_channel(&self, socket_id: &str, channel: &str, member: Option<&PresenceMember>) -> Result<ChannelProof, SigningError> {
        check_socket_id(socket_id)?;
        parse_channel(channel).map_err(|reason| SigningError::Channel { channel: channel.to_owned(), reason })?;
        let channel_data = match member {
            Some(member) if Kind::of(channel) == Kind::Presence => Some(channel_data(member)?),
            _ => None,
        };
        let shared_secret = match &self.encryption_master_key {
            _ if !is_encrypted(channel) => None,
            Some(master_key) => Some(master_key.shared_secret(channel)),
            None => return Err(SigningError::MasterKeyNeeded { channel: channel.to_owned() }),
        };
        let auth = sign_channel(&self.key.key, &self.key.secret, socket_id, channel, channel_data.as_deref());
        Ok(ChannelProof { auth, channel_data, shared_secret })
    }

    /// Lets the connection named `socket_id` sign in as `user`. **Decide first whether it is**: whoever gets the answer is this user.
    ///
    /// # Errors
    /// [`SigningError`] if what the client sent is no socket id (P-2.6), or if no server would take the user (P-15.1).
    pub fn authenticate_user(&self, socket_id: &str, user: &User) -> Result<UserProof, SigningError> {
        check_socket_id(socket_id)?;
        let bad = |reason| Err(SigningError::User { user_id: user.id.clone(), reason });
        match user.id.chars().count() {
            0 => return bad("the id is empty"),
            1..=USER_ID_CHARS_MAX => {}
            _ => return bad("the id has more than 200 characters"),
        }
        if user.user_info.as_ref().is_some_and(|info| !info.is_object()) {
            return bad("user_info must be an object");
        }
        let user_data = serde_json::to_string(user).expect("texts and values are always JSON");
        Ok(UserProof { auth: sign_user(&self.key.key, &self.key.secret, socket_id, &user_data), user_data })
    }
}

/// The member as JSON text, if it could join some server: how long it may be is each server's setting.
fn channel_data(member: &PresenceMember) -> Result<String, SigningError> {
    let text = serde_json::to_string(member).expect("texts and values are always JSON");
    presence_member(&text)?;
    Ok(text)
}

fn check_socket_id(socket_id: &str) -> Result<(), SigningError> {
    match name::parse_socket_id(socket_id) {
        Ok(_) => Ok(()),
        Err(_) => Err(SigningError::SocketId { socket_id: socket_id.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::PublisherOptions;
    use crate::{AppId, Key, MasterKey};
    use serde_json::json;
    use tidings_dialect::pusher::member::BadMember;
    use tidings_dialect::pusher::name::BadName;

    const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn vectors(kind: &str) -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../../dialect/tests/pusher-vectors.json")).unwrap();
        file["vectors"].as_array().unwrap().iter().filter(|vector| vector["kind"] == kind).cloned().collect()
    }

    fn key(vector: &Value) -> Key {
        Key { key: vector["in"]["key"].as_str().unwrap().to_owned(), secret: vector["in"]["secret"].as_str().unwrap().to_owned() }
    }

    fn publisher(key: Key, master_key: Option<&str>) -> Publisher {
        let options = PublisherOptions::new("http://localhost:6001".parse().unwrap(), AppId::new("1"), key);
        let encryption_master_key = master_key.map(|text| MasterKey::from_base64(text).unwrap());
        Publisher::with_options(PublisherOptions { encryption_master_key, ..options })
    }

    fn ours() -> Publisher {
        publisher(Key { key: "tidings-key".into(), secret: "tidings-secret".into() }, Some(MASTER_KEY))
    }

    /// P-6.3, P-22.3: whatever the text that goes with it.
    #[test]
    fn channels_are_signed_as_in_the_vectors() {
        let vectors = vectors("channel_auth");
        assert!(vectors.len() >= 17);
        for vector in vectors {
            let text = |name: &str| vector["in"][name].as_str();
            let Key { key, secret } = key(&vector);
            let auth = sign_channel(&key, &secret, text("socket_id").unwrap(), text("channel").unwrap(), text("channel_data"));
            assert_eq!(auth, vector["out"]["auth"].as_str().unwrap(), "{}", vector["id"]);
        }
    }

    /// P-6.5, P-22.3
    #[test]
    fn users_are_signed_as_in_the_vectors() {
        let vectors = vectors("user_auth");
        assert!(vectors.len() >= 4);
        for vector in vectors {
            let text = |name: &str| vector["in"][name].as_str().unwrap();
            let Key { key, secret } = key(&vector);
            let auth = sign_user(&key, &secret, text("socket_id"), text("user_data"));
            assert_eq!(auth, vector["out"]["auth"].as_str().unwrap(), "{}", vector["id"]);
        }
    }

    /// P-6.7: members and values as in vectors V-004, V-006, V-012, V-015, V-010 and V-022.
    #[test]
    fn an_answer_holds_what_the_channel_asks_for() {
        let member = PresenceMember { user_id: "u1".into(), user_info: Some(json!({ "name": "N" })) };
        let bare = PresenceMember::new("u1");
        for (channel, member, expected) in [
            ("private-a", Some(&member), json!({ "auth": "tidings-key:3c115f72dd2efaa3467be6c1495df7305a359d4e96694fa6b5f3f716784013bf" })),
            (
                "presence-b",
                Some(&member),
                json!({
                    "auth": "tidings-key:fe781918effacb62eb4ea651015e56f75a2714c88a00ae6d86b2e138ad761d0e",
                    "channel_data": r#"{"user_id":"u1","user_info":{"name":"N"}}"#,
                }),
            ),
            (
                "presence-cache-e",
                Some(&bare),
                json!({
                    "auth": "tidings-key:6ef0c53c59cd521bc105e952a92642305b98edfa2668b752e3cd893863f10daa",
                    "channel_data": r#"{"user_id":"u1"}"#,
                }),
            ),
            ("presence-b", None, json!({ "auth": "tidings-key:5a07966505516239dc5a4b72db69c08cd9bfd9038bdd12083f3a602c3a879470" })),
            (
                "private-encrypted-x",
                None,
                json!({
                    "auth": "tidings-key:6a43e71d21be594c9288d1283e18dc38b3393e78b37384c4b9e89053d493712c",
                    "shared_secret": "6WW+JhQkrDHUfm5BytoU8ryaUq0zo82MTvUPheddo/Y=",
                }),
            ),
        ] {
            let answer = ours().authorize_channel("123.456", channel, member).unwrap();
            assert_eq!(serde_json::to_value(&answer).unwrap(), expected, "{channel}");
        }
    }

    /// P-6.7: members and values as in vectors V-019 and V-021.
    #[test]
    fn a_user_is_answered_with_what_was_signed() {
        let user = User { user_info: Some(json!({ "name": "N" })), watchlist: vec!["u2".into(), "u3".into()], ..User::new("u1") };
        for (user, auth, user_data) in [
            (
                user,
                "ac697ac2b35bd774be87f127dd32dd36c5fc013190cc7f29e4d5a2a8733f02ae",
                r#"{"id":"u1","user_info":{"name":"N"},"watchlist":["u2","u3"]}"#,
            ),
            (User::new("ü-1"), "8a642d0d925108dcf8db4ec9d926f8e7f9eeab7d7c7213aa9cbe174e0d8d5efc", r#"{"id":"ü-1"}"#),
        ] {
            let answer = serde_json::to_value(ours().authenticate_user("123.456", &user).unwrap()).unwrap();
            assert_eq!(answer, json!({ "auth": format!("tidings-key:{auth}"), "user_data": user_data }));
        }
    }

    /// P-2.6, P-4.1, P-7.2: what a client sends is not believed.
    #[test]
    fn what_no_server_would_take_is_not_signed() {
        let publisher = ours();
        for socket_id in ["", "1", "1.2:private-x", "1.2\n", "1.2::user::{}"] {
            let expected = SigningError::SocketId { socket_id: socket_id.into() };
            assert_eq!(publisher.authorize_channel(socket_id, "private-a", None).unwrap_err(), expected);
            assert_eq!(publisher.authenticate_user(socket_id, &User::new("u")).unwrap_err(), expected);
        }
        for (channel, reason) in
            [("", BadName::Empty), ("private-a b", BadName::Alphabet), ("private-a:{\"user_id\":\"admin\"}", BadName::Alphabet)]
        {
            let expected = SigningError::Channel { channel: channel.into(), reason };
            assert_eq!(publisher.authorize_channel("1.2", channel, None).unwrap_err(), expected);
        }
        for (user_id, user_info, reason) in
            [("", None, BadMember::UserId), ("u", Some(json!("N")), BadMember::UserInfo), ("u", Some(json!([])), BadMember::UserInfo)]
        {
            let member = PresenceMember { user_id: user_id.into(), user_info };
            assert_eq!(publisher.authorize_channel("1.2", "presence-a", Some(&member)).unwrap_err(), SigningError::Member(reason));
        }
        let long = "u".repeat(201);
        for (user, reason) in [
            (User::new(""), "the id is empty"),
            (User::new(&long), "the id has more than 200 characters"),
            (User { user_info: Some(json!(1)), ..User::new("u") }, "user_info must be an object"),
        ] {
            let expected = SigningError::User { user_id: user.id.clone(), reason };
            assert_eq!(publisher.authenticate_user("1.2", &user).unwrap_err(), expected);
        }
    }

    /// P-18.20: a server that allows longer members is told of them.
    #[test]
    fn how_long_a_member_may_be_is_the_servers_setting() {
        let member = PresenceMember { user_id: "u".repeat(1000), user_info: Some(json!({ "x": "y".repeat(10_000) })) };
        assert!(ours().authorize_channel("1.2", "presence-a", Some(&member)).is_ok());
    }

    /// P-9.2
    #[test]
    fn an_encrypted_channel_needs_the_master_key() {
        let publisher = publisher(Key { key: "k".into(), secret: "s".into() }, None);
        let expected = SigningError::MasterKeyNeeded { channel: "private-encrypted-a".into() };
        assert_eq!(publisher.authorize_channel("1.2", "private-encrypted-a", None).unwrap_err(), expected);
        assert!(publisher.authorize_channel("1.2", "private-a", None).is_ok());
    }

    #[test]
    fn signatures_and_secrets_do_not_show() {
        let publisher = ours();
        let answer = publisher.authorize_channel("1.2", "private-encrypted-x", None).unwrap();
        let user = publisher.authenticate_user("1.2", &User::new("u")).unwrap();
        let shown = format!("{answer:?} {user:?} {publisher:?}");
        let signatures = [&answer.auth, &user.auth].map(|auth| auth.split_once(':').unwrap().1);
        for hidden in [signatures[0], signatures[1], "6WW+", "tidings-secret"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
