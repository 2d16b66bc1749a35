//! JSON written member by member, commas included.

use crate::pusher::json;
use bytes::Bytes;
use tidings_hub::UnixTime;

/// A JSON text in the making. Only the records of [`super::records`] are written to one.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Begins an object.
    pub(super) fn object() -> Self {
        Self(b"{".to_vec())
    }

    /// Goes on with what others have written so far.
    pub(super) fn after(out: &mut Vec<u8>) -> Self {
        Self(std::mem::take(out))
    }

    pub(super) fn string(&mut self, name: &str, value: &str) -> &mut Self {
        json::write_string(value, self.name(name));
        self
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.string(name, value),
            None => self.raw(name, b"null"),
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.raw(name, itoa::Buffer::new().format(value).as_bytes())
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) -> &mut Self {
        self.raw(name, if value { b"true" } else { b"false" })
    }

    /// Seconds since 1970, with six digits after the point.
    pub(super) fn timestamp(&mut self, name: &str, at: UnixTime) -> &mut Self {
        self.fraction(name, at.as_micros(), 1_000_000)
    }

    /// `value` divided by `unit`, a power of ten, with all digits after the point.
    pub(super) fn fraction(&mut self, name: &str, value: u64, unit: u64) -> &mut Self {
        let digits = unit.ilog10() as usize;
        self.raw(name, format!("{}.{:0digits$}", value / unit, value % unit).as_bytes())
    }

    /// A value that is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.name(name).extend_from_slice(value);
        self
    }

    /// Members that are JSON already: a text without its braces.
    pub(super) fn members(&mut self, text: &[u8]) -> &mut Self {
        if !text.is_empty() {
            self.next().extend_from_slice(text);
        }
        self
    }

    /// Begins an object or a list that is a member.
    pub(super) fn open(&mut self, name: &str, bracket: u8) -> &mut Self {
        self.name(name).push(bracket);
        self
    }

    /// Begins an object that is an item of a list.
    pub(super) fn open_item(&mut self) -> &mut Self {
        self.next().push(b'{');
        self
    }

    /// A string that is an item of a list.
    pub(super) fn item(&mut self, value: &str) -> &mut Self {
        json::write_string(value, self.next());
        self
    }

    /// Ends what was begun last.
    pub(super) fn close(&mut self, bracket: u8) -> &mut Self {
        self.0.push(bracket);
        self
    }

    /// Ends the object that the writer began with.
    pub(super) fn finish(mut self) -> Bytes {
        self.close(b'}');
        self.0.into()
    }

    /// What is written so far.
    pub(super) fn into_inner(self) -> Vec<u8> {
        self.0
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        let out = self.next();
        json::write_string(name, out);
        out.push(b':');
        out
    }

    /// The text, ready for one more member or item: no value ends with an opening bracket.
    fn next(&mut self) -> &mut Vec<u8> {
        if !matches!(self.0.last(), None | Some(b'{' | b'[')) {
            self.0.push(b',');
        }
        &mut self.0
    }
}
