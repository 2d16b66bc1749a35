//! The name of a script's function, by which answers reach pages that may not read them otherwise.

use percent_encoding::percent_decode_str;

/// The longest name, in bytes (S-5.7).
const BYTES_MAX: usize = 32;

/// A name that can stand in a script: 1 to 32 of `a-z A-Z 0-9 - _ .` (S-5.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback(Box<str>);

/// Why there is no callback. The sentence is the body of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    /// There is none.
    #[error("\"callback\" parameter required")]
    Missing,
    /// It is too long or holds what no name of a function does.
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

impl Callback {
    /// Reads parameter `c`, else `callback`. An empty one counts as none.
    ///
    /// # Errors
    /// [`BadCallback`], which [`Service::bad_callback`](super::Service::bad_callback) answers.
    pub fn of_query(query: &str) -> Result<Self, BadCallback> {
        let given = parameter(query, "c").or_else(|| parameter(query, "callback")).ok_or(BadCallback::Missing)?;
        let name = percent_decode_str(given).decode_utf8().map_err(|_| BadCallback::Invalid)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.len() <= BYTES_MAX && name.bytes().all(is_plain) { Ok(Self(name.into())) } else { Err(BadCallback::Invalid) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first value of `name` that is not empty.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').filter_map(|part| part.split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-5.7.
    #[test]
    fn callbacks_are_names() {
        let longest = "c=".to_owned() + &"x".repeat(32);
        let too_long = "c=".to_owned() + &"x".repeat(33);
        for (query, expected) in [
            ("c=cb", Ok("cb")),
            ("callback=cb", Ok("cb")),
            ("callback=other&c=cb", Ok("cb")),
            ("c=&callback=cb", Ok("cb")),
            ("c=%63allback", Ok("callback")),
            ("t=1&c=_jp.a-Z_09&x", Ok("_jp.a-Z_09")),
            (&longest, Ok(&longest[2..])),
            (&too_long, Err(BadCallback::Invalid)),
            ("", Err(BadCallback::Missing)),
            ("c", Err(BadCallback::Missing)),
            ("c=", Err(BadCallback::Missing)),
            ("cc=x&Callback=x", Err(BadCallback::Missing)),
            ("c=%20", Err(BadCallback::Invalid)),
            ("c=a+b", Err(BadCallback::Invalid)),
            ("c=*", Err(BadCallback::Invalid)),
            ("c=abc(", Err(BadCallback::Invalid)),
            ("c=abc%28", Err(BadCallback::Invalid)),
            ("c=%", Err(BadCallback::Invalid)),
            ("c=%ff", Err(BadCallback::Invalid)),
            ("c=%C3%A9", Err(BadCallback::Invalid)),
            ("c=a%00", Err(BadCallback::Invalid)),
        ] {
            assert_eq!(Callback::of_query(query).as_ref().map(Callback::as_str).map_err(|bad| *bad), expected, "{query}");
        }
    }
}
