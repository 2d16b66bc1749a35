//! Where a server is.

use crate::BadUrl;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use std::fmt;
use std::str::FromStr;

/// What stands in a segment of a path without an escape.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of a server: `http`, `https`, `ws` or `wss`, a host, maybe a port, maybe a path prefix (P-2.9). The same address
/// serves WebSocket and HTTP, so `ws` is the same as `http`, and `wss` as `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    secure: bool,
    /// As in the address: an IPv6 address has its brackets.
    host: String,
    port: u16,
    /// Empty, or with a slash before and none behind.
    prefix: String,
}

impl ServerUrl {
    /// Whether the server is spoken to through TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host as it stands in an address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// What stands before the server's own paths: empty, or with a slash before and none behind.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The address of `path`, which starts with a slash, in the scheme pair `plain` or `secure`.
    pub(crate) fn join(&self, plain: &str, secure: &str, path: &str) -> String {
        let scheme = if self.secure { secure } else { plain };
        format!("{scheme}://{}:{}{}{path}", self.host, self.port, self.prefix)
    }
}

impl FromStr for ServerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = |reason| BadUrl { text: text.to_owned(), reason };
        let uri: http::Uri = text.parse().map_err(|_| bad("it is not a URL"))?;
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            Some(_) => return Err(bad("its scheme is not http, https, ws or wss")),
            None => return Err(bad("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user name"));
        }
        if uri.query().is_some() {
            return Err(bad("it has a query"));
        }
        if authority.host().is_empty() {
            return Err(bad("it has no host"));
        }
        // What is behind the host can only be a port; an empty or a too large one is no number.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if secure {
                    443
                } else {
                    80
                }
            }
            _ => authority.port_u16().ok_or_else(|| bad("its port is not a number below 65536"))?,
        };
        Ok(Self { secure, host: authority.host().to_owned(), port, prefix: uri.path().trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.join("http", "https", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_port_and_prefix() {
        for (text, expected) in [
            ("http://127.0.0.1:6001", "http://127.0.0.1:6001"),
            ("ws://localhost", "http://localhost:80"),
            ("wss://push.example", "https://push.example:443"),
            ("https://push.example:8443/", "https://push.example:8443"),
            ("http://[::1]:6001/tidings/", "http://[::1]:6001/tidings"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, reason) in [
            ("", "it is not a URL"),
            ("http://", "it is not a URL"),
            ("localhost:6001", "it has no scheme"),
            ("/app", "it has no scheme"),
            ("ftp://localhost", "its scheme is not http, https, ws or wss"),
            ("http://user:pass@localhost", "it holds a user name"),
            ("http://localhost?x=1", "it has a query"),
            ("http://localhost:66000", "its port is not a number below 65536"),
            ("http://localhost:", "its port is not a number below 65536"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap_err().reason, reason, "{text}");
        }
    }
}
