//! Who a presence member is: what `channel_data` must say (P-7.1, P-7.2).

use super::json::{compact, is_object, text};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidings_hub::{Limits, Member};

/// Why a member is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMember {
    /// The text is not a JSON object, or names a member twice.
    #[error("channel_data must be the JSON text of an object")]
    NotAnObject,
    /// There is no `user_id`, or it is neither text nor an integer.
    #[error("user_id must be a non-empty string or an integer")]
    UserId,
    /// It is too long.
    #[error("user_id has more than {max} characters")]
    UserIdTooLong {
        /// The app's limit.
        max: usize,
    },
    /// There is a `user_info` that is no object, or one that a strict reader would not take.
    #[error("user_info must be an object of valid text and numbers")]
    UserInfo,
    /// It is too large.
    #[error("user_info has more than {max} bytes as compact JSON")]
    UserInfoTooLong {
        /// The app's limit.
        max: usize,
    },
    /// There is no `channel_data`, and no signed-in user to take its place (P-7.5).
    #[error("a presence channel needs channel_data or a signed-in user")]
    Missing,
}

#[derive(Deserialize)]
struct ChannelData<'a> {
    #[serde(borrow)]
    user_id: Option<&'a RawValue>,
    #[serde(borrow)]
    user_info: Option<&'a RawValue>,
}

/// Reads the member that `channel_data` describes.
///
/// # Errors
/// [`BadMember`] says which condition of P-7.2 fails.
pub fn parse(channel_data: &str, limits: &Limits) -> Result<Member, BadMember> {
    if !is_object(channel_data) {
        return Err(BadMember::NotAnObject);
    }
    let ChannelData { user_id, user_info } = serde_json::from_str(channel_data).map_err(|_| BadMember::NotAnObject)?;
    let user_id = user_id.and_then(id).ok_or(BadMember::UserId)?;
    check_user_id(&user_id, limits)?;
    Ok(Member { user_info: self::user_info(user_info, limits)?, ..Member::new(user_id) })
}

/// Checks the length of a member's id.
///
/// # Errors
/// [`BadMember::UserIdTooLong`].
pub fn check_user_id(user_id: &str, limits: &Limits) -> Result<(), BadMember> {
    let max = limits.presence_user_id_chars;
    if user_id.chars().count() > max { Err(BadMember::UserIdTooLong { max }) } else { Ok(()) }
}

/// The text of an id: a non-empty string, or an integer of any size with its own digits.
pub(super) fn id(value: &RawValue) -> Option<Arc<str>> {
    let id = match value.get() {
        string if string.starts_with('"') => text(value)?,
        "-0" => "0".into(),
        number if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => number.into(),
        _ => return None,
    };
    (!id.is_empty()).then(|| Arc::from(id))
}

/// The compact text of a `user_info`; null is the same as none.
///
/// # Errors
/// [`BadMember`] if it is not an object, or too large. One that holds half a surrogate pair or a number beyond all range is refused too: it
/// stands in the list that every other member must be able to read.
pub fn user_info(value: Option<&RawValue>, limits: &Limits) -> Result<Option<Bytes>, BadMember> {
    let Some(value) = value.filter(|value| value.get() != "null") else {
        return Ok(None);
    };
    if !is_object(value.get()) {
        return Err(BadMember::UserInfo);
    }
    let json = compact(value);
    let max = limits.presence_user_info_bytes;
    if json.len() > max {
        return Err(BadMember::UserInfoTooLong { max });
    }
    match serde_json::from_slice::<serde_json::Value>(&json) {
        Ok(_) => Ok(Some(Bytes::from(json))),
        Err(_) => Err(BadMember::UserInfo),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(channel_data: &str, expected: Result<(&str, Option<&str>), BadMember>) {
        let member = parse(channel_data, &Limits::default());
        let member =
            member.as_ref().map(|member| (&*member.user_id, member.user_info.as_deref().map(|info| std::str::from_utf8(info).unwrap())));
        assert_eq!(member, expected.as_ref().copied(), "{channel_data}");
    }

    /// P-7.1, P-7.2
    #[test]
    fn a_member_is_taken_as_its_backend_describes_it() {
        check(r#"{"user_id":1234567890123456789012345678901234567890}"#, Ok(("1234567890123456789012345678901234567890", None)));
        check(r#" {"x":[1], "user_id" : -0 , "user_info": null}"#, Ok(("0", None)));
        check(r#"{"user\u005fid":"\u00e9"}"#, Ok(("é", None)));
        check(r#"{"user_id":"u","user_info":{ "z" : 1 , "a":"\u00e9 \u0000" }}"#, Ok(("u", Some(r#"{"z":1,"a":"é \u0000"}"#))));
    }

    /// P-7.2, P-18.7, P-18.8
    #[test]
    fn what_a_reader_could_not_take_is_refused() {
        check(r#"{"user_id":1e3}"#, Err(BadMember::UserId));
        check(r#"{"user_id":"\ud800"}"#, Err(BadMember::UserId));
        check(r#"{"user_id":"a","user_id":"b"}"#, Err(BadMember::NotAnObject));
        check(r#"["u"]"#, Err(BadMember::NotAnObject));
        check(r#"{"user_id":"u"} x"#, Err(BadMember::NotAnObject));
        check(&format!(r#"{{"user_id":{}}}"#, "1".repeat(129)), Err(BadMember::UserIdTooLong { max: 128 }));
        check(r#"{"user_id":"u","user_info":{"a":"\udc00"}}"#, Err(BadMember::UserInfo));
        check(r#"{"user_id":"u","user_info":{"a":1e999}}"#, Err(BadMember::UserInfo));
        let deep = format!(r#"{{"user_id":"u","user_info":{{"a":{}{}}}}}"#, "[".repeat(200), "]".repeat(200));
        check(&deep, Err(BadMember::UserInfo));
    }

    /// P-18.20: lengths count characters, sizes count bytes.
    #[test]
    fn lengths_are_characters_and_sizes_are_bytes() {
        let id = "é".repeat(128);
        check(&format!(r#"{{"user_id":"{id}"}}"#), Ok((&id, None)));
        let info = format!(r#"{{"x":"{}"}}"#, "é".repeat(508));
        check(&format!(r#"{{"user_id":"u","user_info":{info}}}"#), Ok(("u", Some(&info))));
        let info = format!(r#"{{"x":"{}"}}"#, "é".repeat(509));
        check(&format!(r#"{{"user_id":"u","user_info":{info}}}"#), Err(BadMember::UserInfoTooLong { max: 1024 }));
    }
}
