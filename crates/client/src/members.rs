//! Who is on a presence channel.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A user on a presence channel (P-7.1).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PresenceMember {
    /// Identifies the user: not empty, and by default at most 128 characters (P-18.7).
    pub user_id: String,
    /// What others may know of the user: an object, by default at most 1,024 bytes as JSON (P-18.8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_info: Option<Value>,
}

impl PresenceMember {
    /// A member of whom nothing but `user_id` is known.
    #[must_use]
    pub fn new(user_id: &str) -> Self {
        Self { user_id: user_id.to_owned(), user_info: None }
    }

    /// The user info as a value of yours; that of a user without any is `null`.
    ///
    /// # Errors
    /// If it is not the JSON of such a value.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(self.user_info.as_ref().unwrap_or(&Value::Null))
    }
}

/// The members of a presence channel at one moment: none while the channel is not subscribed to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    me: Option<String>,
    members: BTreeMap<String, PresenceMember>,
}

impl Members {
    pub(crate) fn new(me: Option<String>, members: Vec<PresenceMember>) -> Self {
        Self { me, members: members.into_iter().map(|member| (member.user_id.clone(), member)).collect() }
    }

    /// The member with this id.
    #[must_use]
    pub fn get(&self, user_id: &str) -> Option<&PresenceMember> {
        self.members.get(user_id)
    }

    /// The member that this client is there.
    #[must_use]
    pub fn me(&self) -> Option<&PresenceMember> {
        self.get(self.me.as_deref()?)
    }

    /// How many there are, however many connections each of them has (P-7.3).
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// All of them, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &PresenceMember> {
        self.members.values()
    }

    /// Whether the member is new; what was known of one who was there is replaced (P-7.7).
    pub(crate) fn add(&mut self, member: PresenceMember) -> bool {
        self.members.insert(member.user_id.clone(), member).is_none()
    }

    pub(crate) fn remove(&mut self, user_id: &str) -> Option<PresenceMember> {
        self.members.remove(user_id)
    }
}
