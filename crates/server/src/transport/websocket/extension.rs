//! Negotiation of permessage-deflate: what clients offer in `Sec-WebSocket-Extensions` and what is answered
//! (RFC 6455 section 9.1, RFC 7692 sections 5 and 7.1). Other extensions are passed over.

use std::borrow::Cow;

use super::Window;

/// An accepted offer of permessage-deflate. Both sides start every message afresh, whatever was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    window: Window,
    /// Whether the client asked about the server's window, and must be told.
    window_is_stated: bool,
}

/// A header that does not follow the grammar of RFC 6455 section 9.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions is malformed")]
pub struct Malformed;

/// The parameters of one offer.
#[derive(Default)]
struct Terms {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: bool,
}

impl Agreement {
    /// The first acceptable offer in the `values` of all `Sec-WebSocket-Extensions` headers, in their order.
    ///
    /// # Errors
    /// [`Malformed`]: RFC 6455 section 9.1 lets no such handshake succeed.
    pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Option<Self>, Malformed> {
        let mut accepted = None;
        for value in values {
            let mut list = List { rest: value };
            while let Some(offer) = list.next_offer()? {
                accepted = accepted.or(offer);
            }
        }
        Ok(accepted)
    }

    /// Which compressed form of a shared message the client can read.
    #[must_use]
    pub fn window(self) -> Window {
        self.window
    }

    /// The value of the answered `Sec-WebSocket-Extensions`.
    #[must_use]
    pub fn answer(self) -> &'static str {
        match (self.window_is_stated, self.window) {
            (false, _) => "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            (true, Window::Large) => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
            }
            (true, Window::Small) => "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
        }
    }
}

impl Terms {
    /// Takes one parameter; `None` declines the offer: an unknown name, a bad value, a repetition (RFC 7692 section 7.1).
    fn take(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        let is_new = match (name, value) {
            (b"server_no_context_takeover", None) => !std::mem::replace(&mut self.server_no_context_takeover, true),
            (b"client_no_context_takeover", None) => !std::mem::replace(&mut self.client_no_context_takeover, true),
            (b"server_max_window_bits", Some(value)) => self.server_max_window_bits.replace(window_bits(value)?).is_none(),
            (b"client_max_window_bits", value) => {
                // Messages of clients are read with the largest window, so theirs may be any.
                value.map_or(Some(0), window_bits)?;
                !std::mem::replace(&mut self.client_max_window_bits, true)
            }
            _ => false,
        };
        is_new.then_some(())
    }

    fn agree(&self) -> Option<Agreement> {
        let window = match self.server_max_window_bits {
            None | Some(15) => Window::Large,
            // The answer may name less than was asked for (RFC 7692 section 7.1.2.1).
            Some(9..) => Window::Small,
            // The compressor has no window of 256 bytes.
            Some(_) => return None,
        };
        Some(Agreement { window, window_is_stated: self.server_max_window_bits.is_some() })
    }
}

/// 8 to 15, without leading zeros.
fn window_bits(value: &[u8]) -> Option<u8> {
    match *value {
        [digit @ b'8'..=b'9'] => Some(digit - b'0'),
        [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// What is left of one header value: `token *( ";" token [ "=" ( token / quoted-string ) ] )`, separated by commas.
struct List<'a> {
    rest: &'a [u8],
}

impl<'a> List<'a> {
    /// The next extension on the list, as an agreement if it is an acceptable offer; `None` at the end.
    fn next_offer(&mut self) -> Result<Option<Option<Agreement>>, Malformed> {
        // Empty elements are allowed in HTTP lists (RFC 9110 section 5.6.1).
        while self.eat(b',') {}
        if self.rest.is_empty() {
            return Ok(None);
        }
        let is_deflate = self.token()? == b"permessage-deflate";
        let mut terms = is_deflate.then(Terms::default);
        while self.eat(b';') {
            let name = self.token()?;
            let value = if self.eat(b'=') { Some(self.value()?) } else { None };
            terms = terms.and_then(|mut terms| terms.take(name, value.as_deref()).map(|()| terms));
        }
        if !self.rest.is_empty() && !self.eat(b',') {
            return Err(Malformed);
        }
        Ok(Some(terms.and_then(|terms| terms.agree())))
    }

    /// Passes over white space and, if it comes next, `separator`.
    fn eat(&mut self, separator: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.split_first() {
            Some((first, rest)) if *first == separator => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        self.rest = self.rest.trim_ascii_start();
        let len = self.rest.iter().take_while(|byte| is_token(**byte)).count();
        let (token, rest) = self.rest.split_at(len);
        self.rest = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    /// A token, or one in quotes: what is quoted must be a token as well (RFC 6455 section 9.1).
    fn value(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        if !self.eat(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = Vec::new();
        loop {
            let (byte, rest) = match *self.rest {
                [b'"', ref rest @ ..] => {
                    self.rest = rest;
                    return if value.is_empty() { Err(Malformed) } else { Ok(Cow::Owned(value)) };
                }
                [b'\\', byte, ref rest @ ..] | [byte, ref rest @ ..] => (byte, rest),
                [] => return Err(Malformed),
            };
            if !is_token(byte) {
                return Err(Malformed);
            }
            value.push(byte);
            self.rest = rest;
        }
    }
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn offers() {
        for (offer, window_bits, stated) in [
            // RFC 7692 section 7.1 and its examples.
            ("permessage-deflate", 15, false),
            ("permessage-deflate; client_max_window_bits", 15, false),
            ("permessage-deflate; client_max_window_bits=8", 15, false),
            ("permessage-deflate;client_max_window_bits=10 ; server_max_window_bits=10", 9, true),
            ("permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; client_max_window_bits", 9, true),
            ("permessage-deflate; server_max_window_bits=9", 9, true),
            ("permessage-deflate; server_max_window_bits=14", 9, true),
            ("permessage-deflate; server_max_window_bits=15", 15, true),
            ("permessage-deflate; server_max_window_bits=\"15\"", 15, true),
            ("permessage-deflate; server_max_window_bits=\"1\\2\"", 9, true),
            ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15, false),
            // The first acceptable one counts.
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", 15, false),
            ("permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12", 9, true),
            ("x-webkit-deflate-frame; no_context_takeover, permessage-deflate", 15, false),
            (", permessage-deflate ,,", 15, false),
            ("bbf-usp-protocol; eid=\"a!b\", permessage-deflate", 15, false),
        ] {
            let agreement = Agreement::negotiate([offer.as_bytes()]).unwrap().expect(offer);
            assert_eq!((agreement.window().bits(), agreement.window_is_stated), (window_bits, stated), "{offer}");
            let suffix = if stated { format!("; server_max_window_bits={window_bits}") } else { String::new() };
            assert_eq!(agreement.answer(), format!("{PLAIN}{suffix}"), "{offer}");
        }
    }

    #[test]
    fn declined_offers() {
        for offer in [
            "",
            "foo",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=1x",
            "permessage-deflate; server_max_window_bits=100",
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1; client_max_window_bits",
        ] {
            assert_eq!(Agreement::negotiate([offer.as_bytes()]), Ok(None), "{offer}");
        }
    }

    #[test]
    fn malformed_headers() {
        for value in [
            ";",
            "permessage-deflate;",
            "permessage-deflate; =1",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; server_max_window_bits=\"",
            "permessage-deflate; server_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits=\"10",
            "permessage-deflate; server_max_window_bits=\"1\\",
            "permessage-deflate; server_max_window_bits=\"1 0\"",
            "permessage-deflate permessage-deflate",
            "permessage-deflate, \u{fc}",
            "foo; bar=\"a,b\"",
        ] {
            assert_eq!(Agreement::negotiate([value.as_bytes()]), Err(Malformed), "{value}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let values = ["permessage-deflate; server_max_window_bits=8", "foo", "permessage-deflate; server_max_window_bits=9"];
        let agreement = Agreement::negotiate(values.map(str::as_bytes)).unwrap().unwrap();
        assert_eq!(agreement.window(), Window::Small);
        assert_eq!(Agreement::negotiate([]), Ok(None));
    }
}
