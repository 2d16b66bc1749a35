//! Where the server is, how it is trusted, and how a connection behaves.

use crate::{BadCertificates, BadUrl, ProxyChoice};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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

    /// The host without the brackets of an IPv6 address.
    #[allow(dead_code, reason = "for options made of an address")]
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    #[allow(dead_code, reason = "for options made of an address")]
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

/// Whom to believe that a server is who it says it is: the authorities of the web, and maybe others. There is no way to believe anybody.
#[derive(Clone, Debug)]
pub struct Tls(Arc<rustls::ClientConfig>);

impl Tls {
    /// Trusts the authorities of the web.
    #[must_use]
    pub fn new() -> Self {
        Self::trusting(web_authorities())
    }

    /// Trusts the authorities in the PEM file at `path` as well.
    ///
    /// # Errors
    /// [`BadCertificates`] if the file cannot be read, holds no certificate, or one that is of no use.
    pub fn with_authorities_of(path: &Path) -> Result<Self, BadCertificates> {
        let unreadable =
            |error: rustls::pki_types::pem::Error| BadCertificates::Unreadable { path: path.into(), reason: error.to_string() };
        let mut roots = web_authorities();
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let certificate = certificate.map_err(unreadable)?;
            roots.add(certificate).map_err(|cause| BadCertificates::Unusable { path: path.into(), cause })?;
        }
        if roots.len() == before { Err(BadCertificates::None { path: path.into() }) } else { Ok(Self::trusting(roots)) }
    }

    fn trusting(roots: RootCertStore) -> Self {
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    pub(crate) fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.0)
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

fn web_authorities() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// What a connection is told when it is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub url: ServerUrl,
    /// The app's key.
    pub key: String,
    /// Whom to trust.
    pub tls: Tls,
    /// What to do when the connection ends.
    pub reconnect: Reconnect,
    /// How long an attempt to connect may take, up to the server's confirmation.
    pub connect_timeout: Duration,
    /// After how much silence the server is pinged, unless it asks for less (P-16.9).
    pub activity_timeout: Duration,
    /// Whether to go through a proxy.
    pub proxy: ProxyChoice,
    /// What goes with the requests to endpoints that sign.
    pub auth: Auth,
    /// How long such an endpoint may take to answer.
    pub auth_timeout: Duration,
}

impl Options {
    /// The usual options: trust the web's authorities, connect again, 10 s to connect, 120 s of silence.
    #[must_use]
    pub fn new(url: ServerUrl, key: &str) -> Self {
        Self {
            url,
            key: key.to_owned(),
            tls: Tls::new(),
            reconnect: Reconnect::OnceConnected,
            connect_timeout: Duration::from_secs(10),
            activity_timeout: Duration::from_secs(120),
            proxy: ProxyChoice::default(),
            auth: Auth::default(),
            auth_timeout: Duration::from_secs(10),
        }
    }
}

/// What goes with requests to the endpoints that sign (P-6.6). Its `Debug` form does not show values.
#[derive(Clone, Default)]
pub struct Auth {
    /// Members of the body, after `socket_id` and `channel_name`.
    pub params: Vec<(String, String)>,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// For HTTP Basic, if a password is given too.
    pub username: Option<String>,
    /// For HTTP Basic, if a user name is given too.
    pub password: Option<String>,
}

/// So that no log line shows a password or a token.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// Why options are of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    /// The address of an endpoint is none.
    #[error("{url:?} is no address of an endpoint: {reason}; write http://host/path or https://host/path")]
    Endpoint {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header for the endpoints is none.
    #[error("{name:?} cannot be a header of a request: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Give up.
    Never,
    /// Connect again as the server's close code asks (P-17.3). A server that could never be reached is given up at once: its address
    /// is probably wrong.
    OnceConnected,
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
        assert_eq!("http://[::1]:6001".parse::<ServerUrl>().unwrap().host(), "::1");
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

    #[test]
    fn a_file_of_authorities_must_hold_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::Unreadable { .. })));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::None { .. })));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::Unusable { .. })));
    }
}
