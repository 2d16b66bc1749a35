//! The parameters of a query: split, decoded, and in the order in which they are signed.

use super::Refusal;
use memchr::memchr2;
use percent_encoding::percent_decode;
use smallvec::SmallVec;
use std::borrow::Cow;

/// How many parameters a query may have, so that sorting and comparing them stays cheap. Longer lists belong in the body.
pub const QUERY_PARAMETERS_MAX: usize = 256;

const SIGNATURE: &[u8] = b"auth_signature";

/// Parts of a text to sign, which need not be put together for that.
pub(super) type Parts<'a> = SmallVec<[&'a [u8]; 48]>;

/// How the bytes of a query are read (P-10.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Percent-escapes stand for bytes, `+` for a space.
    Decoded,
    /// Everything stands for itself.
    Raw,
}

/// The parameters of one request: names in lower case, sorted by name, the signature apart (P-10.4).
/// What needs neither unescaping nor lower case is borrowed.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    signed: SmallVec<[Parameter<'a>; 8]>,
    signatures: SmallVec<[Cow<'a, [u8]>; 1]>,
}

#[derive(Debug)]
struct Parameter<'a> {
    name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
}

/// A parameter stands in the query more often than once, where only one value makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated;

impl<'a> Parameters<'a> {
    /// Reads `query`. Broken escapes stand for themselves.
    ///
    /// # Errors
    /// 400 if there are more than [`QUERY_PARAMETERS_MAX`].
    pub(super) fn parse(query: &'a str, reading: Reading) -> Result<Self, Refusal> {
        let escaped = reading == Reading::Decoded && is_escaped(query);
        let read = |part: &'a str| if escaped { unescape(part) } else { Cow::Borrowed(part.as_bytes()) };
        let mut parameters = Self { signed: SmallVec::new(), signatures: SmallVec::new() };
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            parameters.push(read(name), read(value))?;
        }
        parameters.sort();
        Ok(parameters)
    }

    /// Takes pairs that are not escaped, for the sending side.
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let signed = pairs
            .into_iter()
            .map(|(name, value)| Parameter { name: lower(Cow::Borrowed(name.as_bytes())), value: Cow::Borrowed(value.as_bytes()) });
        let mut parameters = Self { signed: signed.collect(), signatures: SmallVec::new() };
        parameters.sort();
        parameters
    }

    /// The only value of `name`, if there is one.
    pub(super) fn only(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// The only `auth_signature`, if there is one.
    pub(super) fn signature(&self) -> Result<Option<&[u8]>, Repeated> {
        match self.signatures.as_slice() {
            [] => Ok(None),
            [signature] => Ok(Some(signature)),
            _ => Err(Repeated),
        }
    }

    /// The value of a parameter that is no part of the authentication, as text.
    ///
    /// # Errors
    /// 400 if it is repeated or no UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let value = self.only(name).map_err(|Repeated| Refusal::bad(&format!("The query has more than one {name}; send one")))?;
        value.map(|value| utf8(name, value)).transpose()
    }

    /// The values of a list, in order of appearance (P-10.2).
    ///
    /// # Errors
    /// 400 if one is no UTF-8.
    pub(super) fn texts(&self, name: &str) -> Result<SmallVec<[&str; 1]>, Refusal> {
        self.all(name).map(|value| utf8(name, value)).collect()
    }

    /// Appends the third part of the string to sign (P-10.4).
    pub(super) fn sign_into<'s>(&'s self, parts: &mut Parts<'s>) {
        for (index, parameter) in self.signed.iter().enumerate() {
            if index > 0 {
                parts.push(b"&");
            }
            parts.extend([&parameter.name, b"=" as &[u8], &parameter.value]);
        }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.signed.iter().filter(move |parameter| *parameter.name == *name.as_bytes()).map(|parameter| &*parameter.value)
    }

    fn push(&mut self, name: Cow<'a, [u8]>, value: Cow<'a, [u8]>) -> Result<(), Refusal> {
        if self.signed.len() + self.signatures.len() == QUERY_PARAMETERS_MAX {
            let sentence = format!("The query has more than {QUERY_PARAMETERS_MAX} parameters; send lists in the body");
            return Err(Refusal::bad(&sentence));
        }
        let name = lower(name);
        if *name == *SIGNATURE {
            self.signatures.push(value);
        } else {
            self.signed.push(Parameter { name, value });
        }
        Ok(())
    }

    /// Libraries send them sorted already, but for the signature. Equal names keep their order.
    fn sort(&mut self) {
        if !self.signed.is_sorted_by(|a, b| a.name <= b.name) {
            self.signed.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
}

/// Whether decoding `query` changes anything.
pub(super) fn is_escaped(query: &str) -> bool {
    memchr2(b'%', b'+', query.as_bytes()).is_some()
}

fn unescape(part: &str) -> Cow<'_, [u8]> {
    if !is_escaped(part) {
        return Cow::Borrowed(part.as_bytes());
    }
    let spaced: Vec<u8> = part.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn lower(name: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if name.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return name;
    }
    match std::str::from_utf8(&name) {
        Ok(text) => Cow::Owned(text.to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(name.to_ascii_lowercase()),
    }
}

fn utf8<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Refusal> {
    std::str::from_utf8(value).map_err(|_| Refusal::bad(&format!("The parameter {name} must be UTF-8")))
}
