//! Who a member of a presence channel is: what `channel_data` says (I-2.6).

use super::api::json::Members;
use crate::pusher::json::{compact, is_object, text, write_string};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::Member;

/// Why `channel_data` describes no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMember {
    /// It is no object.
    #[error("channel_data must be an object")]
    NotAnObject,
    /// It says nobody.
    #[error("channel_data needs a user_id that is a non-empty string or a number")]
    UserId,
    /// It is too large.
    #[error("channel_data has more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Something in it is no text: half of a surrogate pair.
    #[error("channel_data must hold valid text")]
    NotText,
}

/// Reads `channel_data`, the JSON text of an object of at most `max` bytes.
///
/// # Errors
/// [`BadMember`] says what is wrong.
pub fn parse(channel_data: &RawValue, max: usize) -> Result<Member, BadMember> {
    if channel_data.get().len() > max {
        return Err(BadMember::TooLarge { max });
    }
    if !is_object(channel_data.get()) {
        return Err(BadMember::NotAnObject);
    }
    let members: Members<'_> = serde_json::from_str(channel_data.get()).map_err(|_| BadMember::NotText)?;
    let user_id = members.value("user_id").and_then(id).ok_or(BadMember::UserId)?;
    let object = compact(channel_data);
    if serde_json::from_slice::<serde::de::IgnoredAny>(&object).is_err() || std::str::from_utf8(&object).is_err() {
        return Err(BadMember::NotText);
    }
    let peer = members.value("peer").is_some_and(|peer| peer.get() == "true");
    Ok(Member { user_id, user_info: user_info(&members), object: Some(Bytes::from(object)), peer, enrolment: None })
}

/// A string as it is, a number as its decimal text.
fn id(value: &RawValue) -> Option<Arc<str>> {
    let id = match value.get() {
        string if string.starts_with('"') => text(value)?,
        number if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => number.into(),
        _ => return None,
    };
    (!id.is_empty()).then(|| Arc::from(id))
}

/// What dialects show that know no more of a member than `user_info`: that member of the object, or what else there is.
fn user_info(members: &Members<'_>) -> Option<Bytes> {
    if let Some(info) = members.value("user_info") {
        return match info.get() {
            "null" => None,
            object if is_object(object) => Some(Bytes::from(compact(info))),
            _ => Some(Bytes::from([b"{\"value\":", &compact(info)[..], b"}"].concat())),
        };
    }
    let mut rest = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| *name != "user_id") {
        rest.push(if rest.is_empty() { b'{' } else { b',' });
        write_string(name, &mut rest);
        rest.push(b':');
        rest.extend_from_slice(&compact(value));
    }
    if rest.is_empty() {
        return None;
    }
    rest.push(b'}');
    Some(Bytes::from(rest))
}

/// Appends what Pushi's clients see of a member: all it said, or what is known of one that came through another dialect.
pub(super) fn write_object(member: &Member, out: &mut Vec<u8>) {
    if let Some(object) = &member.object {
        return out.extend_from_slice(object);
    }
    out.extend_from_slice(b"{\"user_id\":");
    write_string(&member.user_id, out);
    if let Some(info) = &member.user_info {
        out.extend_from_slice(b",\"user_info\":");
        out.extend_from_slice(info);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(channel_data: &str) -> Result<(String, Option<String>, String, bool), BadMember> {
        let raw = RawValue::from_string(channel_data.to_owned()).unwrap();
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        parse(&raw, 200)
            .map(|member| (member.user_id.to_string(), member.user_info.map(text), member.object.map(text).unwrap(), member.peer))
    }

    /// I-2.6
    #[test]
    fn a_member_is_what_it_says() {
        for (channel_data, user_id, user_info, peer) in [
            (r#"{"user_id":"alice","user_info":{"name":"Alice"}}"#, "alice", Some(r#"{"name":"Alice"}"#), false),
            (r#"{"user_id":"bob"}"#, "bob", None, false),
            (r#"{"user_id":"bob","user_info":null,"x":1}"#, "bob", None, false),
            (r#"{"user_id":10,"peer":true}"#, "10", Some(r#"{"peer":true}"#), true),
            (r#"{"user_id":-1.5e3,"peer":1,"a":[1]}"#, "-1.5e3", Some(r#"{"peer":1,"a":[1]}"#), false),
            (r#"{"user_id":"é","user_info":"text"}"#, "é", Some(r#"{"value":"text"}"#), false),
        ] {
            assert_eq!(read(channel_data), Ok((user_id.into(), user_info.map(str::to_owned), channel_data.into(), peer)));
        }
        assert_eq!(read(r#"{ "user_id" : "a", "user_id" : "b" }"#).unwrap().0, "b", "the last one counts");
    }

    /// I-1.11, I-2.6
    #[test]
    fn what_is_nobody_is_refused() {
        for (channel_data, expected) in [
            (r#"{"name":"n"}"#.to_owned(), BadMember::UserId),
            (r#"{"user_id":""}"#.to_owned(), BadMember::UserId),
            (r#"{"user_id":null}"#.to_owned(), BadMember::UserId),
            (r#"{"user_id":true}"#.to_owned(), BadMember::UserId),
            (r#"{"user_id":["a"]}"#.to_owned(), BadMember::UserId),
            (r#"{"user_id":"\ud800"}"#.to_owned(), BadMember::UserId),
            ("[]".to_owned(), BadMember::NotAnObject),
            ("null".to_owned(), BadMember::NotAnObject),
            (format!(r#"{{"user_id":"{}"}}"#, "a".repeat(200)), BadMember::TooLarge { max: 200 }),
        ] {
            assert_eq!(read(&channel_data), Err(expected), "{channel_data}");
        }
    }

    #[test]
    fn a_member_of_another_dialect_is_shown_with_what_is_known() {
        let shown = |member: &Member| {
            let mut out = Vec::new();
            write_object(member, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&Member::new("u\"1")), r#"{"user_id":"u\"1"}"#);
        let member = Member { user_info: Some(Bytes::from_static(b"{\"n\":1}")), ..Member::new("u") };
        assert_eq!(shown(&member), r#"{"user_id":"u","user_info":{"n":1}}"#);
    }
}
