//! A subscription that a connection keeps up, and the proof it shows each time it asks for it.

use crate::SubscribeError;
use crate::authorize::sign_channel;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tidings_hub::{Access, ChannelName, Member};

/// A subscription to keep up. It holds the secret, since each connection needs a signature of its own (P-6.4).
#[derive(Clone)]
pub struct Subscription {
    channel: ChannelName,
    /// What to sign with; none if the channel is public, or its server may say whether it is.
    secret: Option<String>,
    /// The member as JSON text, signed and sent byte for byte (P-6.3).
    channel_data: Option<String>,
}

/// The `data` of a `pusher:subscribe`, as far as it depends on the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof<'a> {
    pub(crate) auth: Option<String>,
    pub(crate) channel_data: Option<&'a str>,
}

impl Subscription {
    /// A subscription to `channel`, signed with `secret` if the channel is not public, as `member` if it is a presence channel.
    /// What is given and not needed is left out. The data of a `private-encrypted-` channel arrives as it was sent, not decrypted.
    ///
    /// # Errors
    /// [`SubscribeError`] if a private or presence channel lacks the secret, a presence channel the member, or if the member's info
    /// is no JSON object.
    pub fn new(channel: ChannelName, secret: Option<&str>, member: Option<&Member>) -> Result<Self, SubscribeError> {
        let name = channel.as_str();
        let access = channel.access();
        let secret = match access {
            Access::Public | Access::Reserved => None,
            // `personal-` and `peer-` channels are private where the server says so, public elsewhere.
            Access::Private if !name.starts_with("private-") => secret,
            Access::Private | Access::Presence => Some(secret.ok_or_else(|| SubscribeError::SecretNeeded { channel: name.to_owned() })?),
        };
        let channel_data = match access {
            Access::Presence => {
                let member = member.ok_or_else(|| SubscribeError::MemberNeeded { channel: name.to_owned() })?;
                Some(channel_data(member)?)
            }
            _ => None,
        };
        Ok(Self { secret: secret.map(str::to_owned), channel_data, channel })
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// What the connection named `socket_id` must show, with `key` as the key that belongs to the secret.
    pub(crate) fn proof(&self, key: &str, socket_id: &str) -> Proof<'_> {
        let channel_data = self.channel_data.as_deref();
        let auth = self.secret.as_deref().map(|secret| sign_channel(key, secret, socket_id, self.channel.as_str(), channel_data));
        Proof { auth, channel_data }
    }
}

/// So that no log line shows the secret.
impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("channel", &self.channel).field("channel_data", &self.channel_data).finish_non_exhaustive()
    }
}

/// P-7.1: the JSON text of a member.
fn channel_data(member: &Member) -> Result<String, SubscribeError> {
    #[derive(serde::Serialize)]
    struct ChannelData<'a> {
        user_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_info: Option<&'a RawValue>,
    }
    let user_info: Option<Cow<'_, RawValue>> = match &member.user_info {
        None => None,
        Some(info) => {
            let info: &RawValue = serde_json::from_slice(info).map_err(|_| SubscribeError::UserInfo)?;
            if !info.get().starts_with('{') {
                return Err(SubscribeError::UserInfo);
            }
            Some(Cow::Borrowed(info))
        }
    };
    let data = ChannelData { user_id: &member.user_id, user_info: user_info.as_deref() };
    Ok(serde_json::to_string(&data).expect("two texts are always JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_dialect::auth;

    const SECRET: Option<&str> = Some("7ad3773142a6692b25b8");

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn member(user_info: Option<&'static str>) -> Member {
        Member { user_info: user_info.map(|info| info.as_bytes().into()), ..Member::new("10") }
    }

    /// P-6.3, with the published example.
    #[test]
    fn a_private_channel_is_signed_for_the_connection() {
        let subscription = Subscription::new(channel("private-foobar"), SECRET, Some(&member(None))).unwrap();
        let proof = subscription.proof("278d425bdf160c739803", "1234.1234");
        assert_eq!(proof.auth.unwrap(), "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4");
        assert_eq!(proof.channel_data, None);
    }

    /// P-6.3, P-7.1
    #[test]
    fn a_presence_channel_is_signed_with_its_member() {
        for (info, data) in
            [(Some(r#" {"name": "Ada"} "#), r#"{"user_id":"10","user_info":{"name": "Ada"}}"#), (None, r#"{"user_id":"10"}"#)]
        {
            let subscription = Subscription::new(channel("presence-room"), SECRET, Some(&member(info))).unwrap();
            let proof = subscription.proof("key", "1.2");
            let signed = format!("1.2:presence-room:{data}");
            assert_eq!(proof.auth.unwrap(), format!("key:{}", auth::sign(SECRET.unwrap(), &[signed.as_bytes()])));
            assert_eq!(proof.channel_data, Some(data));
        }
    }

    #[test]
    fn what_the_name_asks_for_must_be_given() {
        let secret_needed = |name: &str| Err(SubscribeError::SecretNeeded { channel: name.to_owned() });
        let check = |name, secret, member: Option<&Member>| Subscription::new(channel(name), secret, member).map(|_| ());
        assert_eq!(check("news", None, None), Ok(()));
        assert_eq!(check("peer-a", None, None), Ok(()));
        assert_eq!(check("#server-to-user-1", None, None), Ok(()));
        assert_eq!(check("private-a", None, None), secret_needed("private-a"));
        assert_eq!(check("private-encrypted-a", None, None), secret_needed("private-encrypted-a"));
        assert_eq!(check("presence-a", None, Some(&member(None))), secret_needed("presence-a"));
        assert_eq!(check("presence-a", SECRET, None), Err(SubscribeError::MemberNeeded { channel: "presence-a".into() }));
        for info in ["[]", "1", "{", ""] {
            assert_eq!(check("presence-a", SECRET, Some(&member(Some(info)))), Err(SubscribeError::UserInfo), "{info}");
        }
    }

    #[test]
    fn the_secret_does_not_show() {
        let subscription = Subscription::new(channel("private-a"), SECRET, None).unwrap();
        assert!(!format!("{subscription:?}").contains(SECRET.unwrap()));
    }
}
