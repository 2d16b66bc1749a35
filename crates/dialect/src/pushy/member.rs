//! What those on a private channel are shown of each other (Y-8.4).

use super::json::canonical_with;
use crate::pusher::json::text;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tidings_hub::{Enrolment, Member, Opens, UnixTime};

/// The member that a connection is, of what it says of itself and what the server knows. `data` is the text of an object, directly or as a string;
/// anything else says nothing.
#[must_use]
pub fn member(member_id: &str, subscribed: UnixTime, data: Option<&RawValue>) -> Member {
    let subscribed = subscribed.as_millis().to_string();
    let quoted = format!("\"{member_id}\"");
    let fields = [("\"subscribed\"", subscribed.as_str()), ("\"memberId\"", &quoted), ("\"idle\"", "false")];
    let said = data.and_then(|data| if data.get().starts_with('"') { text(data) } else { Some(Cow::Borrowed(data.get())) });
    let object = said.and_then(|said| canonical_with(&said, &fields)).or_else(|| canonical_with("{}", &fields));
    Member { object: object.map(Bytes::from), enrolment: Some(Enrolment { opens: Opens::Never, spelling: None }), ..Member::new(member_id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Y-8.4, Y-10.10
    #[test]
    fn the_servers_fields_are_always_there() {
        let bare = r#"{"subscribed":1795210720730,"memberId":"9cdbe737","idle":false}"#;
        for (data, expected) in [
            (None, bare),
            (Some(r#""{\"username\":\"ann\"}""#), r#"{"username":"ann","subscribed":1795210720730,"memberId":"9cdbe737","idle":false}"#),
            (Some(r#"{ "username": "ann" }"#), r#"{"username":"ann","subscribed":1795210720730,"memberId":"9cdbe737","idle":false}"#),
            (
                Some(r#"{"memberId":"evil","username":"ann","idle":true}"#),
                r#"{"memberId":"9cdbe737","username":"ann","idle":false,"subscribed":1795210720730}"#,
            ),
            (Some(r#"{"b":1,"2":"x"}"#), r#"{"2":"x","b":1,"subscribed":1795210720730,"memberId":"9cdbe737","idle":false}"#),
            (Some("\"{oops\""), bare),
            (Some("\"null\""), bare),
            (Some("\"5\""), bare),
            (Some("\"[]\""), bare),
            (Some(r#""\ud800""#), bare),
            (Some("null"), bare),
            (Some("[1]"), bare),
            (Some("7"), bare),
        ] {
            let data = data.map(|data| RawValue::from_string(data.to_owned()).unwrap());
            let member = member("9cdbe737", UnixTime::from_millis(1_795_210_720_730), data.as_deref());
            assert_eq!((&*member.user_id, &member.object.unwrap()[..]), ("9cdbe737", expected.as_bytes()), "{data:?}");
        }
    }
}
