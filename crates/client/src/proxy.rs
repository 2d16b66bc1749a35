//! Which proxy stands between this machine and an address, and what can go wrong with it. The way through it is in `dial`.

use http::{HeaderValue, StatusCode, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Whether to go through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// The one that the environment names for the address: `HTTP_PROXY` for `http` and `ws`, `HTTPS_PROXY` for `https` and `wss`,
    /// `ALL_PROXY` for what is left, in either case, none for the hosts, domains and networks in `NO_PROXY`. The environment is read once,
    /// when the client is made. A proxy's address is `http://`, `https://` or `socks5://`, maybe a user name and a password, a host and
    /// maybe a port; what is no such address is passed over. Names are looked up by the proxy.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
}

/// Why there is no way through a proxy. Each text names it without its password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxyError {
    /// Nobody takes the connection.
    #[error("cannot reach the proxy {proxy}: {cause}; correct it in the environment, or name the host in NO_PROXY to go without it")]
    Unreachable {
        /// The proxy.
        proxy: String,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// TLS with the proxy itself did not come about.
    #[error("no TLS with the proxy {proxy}: {cause}; if it speaks none, its address in the environment must begin with http://")]
    Tls {
        /// The proxy.
        proxy: String,
        /// Why.
        cause: Arc<io::Error>,
    },
    /// The proxy does not know us: it was given no user name and password, or wrong ones.
    #[error("the proxy {proxy} wants a user name and a password, or others: put them into its address, http://user:password@host:port")]
    Unauthorized {
        /// The proxy.
        proxy: String,
    },
    /// The proxy answered, and does not lead there.
    #[error("the proxy {proxy} does not lead to {target}: {reason}; have that allowed there, or name the host in NO_PROXY")]
    Refused {
        /// The proxy.
        proxy: String,
        /// Host and port of the server.
        target: String,
        /// What the proxy said.
        reason: String,
    },
    /// What answered does not speak as a proxy should, or hung up.
    #[error("{proxy} does not act as a proxy: {reason}; correct it in the environment, or name the host in NO_PROXY")]
    Broken {
        /// The proxy.
        proxy: String,
        /// What it did.
        reason: String,
    },
    /// There is no way through proxies of this kind.
    #[error("{proxy} is a proxy of a kind that is not spoken here: use one with http://, https:// or socks5://")]
    Unsupported {
        /// The proxy.
        proxy: String,
    },
}

/// The proxies there are.
#[derive(Clone, Debug)]
pub(crate) struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    pub(crate) fn new(choice: ProxyChoice) -> Self {
        match choice {
            ProxyChoice::Environment => Self::named(Matcher::from_env(), first_variable(["NO_PROXY", "no_proxy"]).as_deref()),
            ProxyChoice::Direct => Self(None),
        }
    }

    /// The matcher takes a `*` among the exceptions for all names, but not for addresses; everybody else takes it for both.
    fn named(matcher: Matcher, exceptions: Option<&str>) -> Self {
        let none = exceptions.is_some_and(|exceptions| exceptions.split(',').any(|exception| exception.trim() == "*"));
        if none { Self(None) } else { Self(Some(Arc::new(matcher))) }
    }

    /// The one to go through to `address`, an `http` or `https` URL.
    pub(crate) fn to(&self, address: &Uri) -> Option<Proxy> {
        self.0.as_ref()?.intercept(address).map(Proxy)
    }
}

fn first_variable(names: [&str; 2]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok())
}

#[cfg(test)]
impl From<Matcher> for Proxies {
    fn from(matcher: Matcher) -> Self {
        Self(Some(Arc::new(matcher)))
    }
}

/// A proxy on the way to an address. It is shown without user name and password.
#[derive(Clone, Debug)]
pub(crate) struct Proxy(Intercept);

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// HTTP.
    Plain,
    /// HTTP through TLS.
    Secure,
    /// SOCKS, version 5.
    Socks5,
    /// Not at all.
    Other,
}

impl Proxy {
    pub(crate) fn kind(&self) -> Kind {
        match self.0.uri().scheme_str() {
            Some("http") => Kind::Plain,
            Some("https") => Kind::Secure,
            Some("socks5" | "socks5h") => Kind::Socks5,
            _ => Kind::Other,
        }
    }

    /// Whether requests to `address` are given to the proxy to send on. Connections of all other kinds are led through it.
    /// Many proxies lead to no other port than 443.
    pub(crate) fn sends_on(&self, address: &Uri) -> bool {
        address.scheme() == Some(&http::uri::Scheme::HTTP) && matches!(self.kind(), Kind::Plain | Kind::Secure)
    }

    pub(crate) fn host(&self) -> &str {
        self.0.uri().host().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.uri().port_u16().unwrap_or(match self.kind() {
            Kind::Plain => 80,
            Kind::Secure => 443,
            Kind::Socks5 | Kind::Other => 1080,
        })
    }

    /// For `Proxy-Authorization`.
    pub(crate) fn basic_auth(&self) -> Option<HeaderValue> {
        self.0.basic_auth().cloned()
    }

    /// User name and password for SOCKS.
    pub(crate) fn raw_auth(&self) -> Option<(&str, &str)> {
        self.0.raw_auth()
    }

    pub(crate) fn unreachable(&self, cause: io::Error) -> ProxyError {
        ProxyError::Unreachable { proxy: self.to_string(), cause: Arc::new(cause) }
    }

    pub(crate) fn no_tls(&self, cause: io::Error) -> ProxyError {
        ProxyError::Tls { proxy: self.to_string(), cause: Arc::new(cause) }
    }

    pub(crate) fn broken(&self, reason: &str) -> ProxyError {
        ProxyError::Broken { proxy: self.to_string(), reason: reason.to_owned() }
    }

    pub(crate) fn unsupported(&self) -> ProxyError {
        ProxyError::Unsupported { proxy: self.to_string() }
    }

    /// What an answer with another status than 200 says.
    pub(crate) fn refused(&self, target: &str, status: StatusCode) -> ProxyError {
        let proxy = self.to_string();
        match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => ProxyError::Unauthorized { proxy },
            status => ProxyError::Refused { proxy, target: target.to_owned(), reason: format!("it answered {status}") },
        }
    }

    /// What a failure of SOCKS says.
    pub(crate) fn socks_failed(&self, target: &str, reason: String) -> ProxyError {
        ProxyError::Refused { proxy: self.to_string(), target: target.to_owned(), reason }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.0.uri().scheme_str().unwrap_or_default(), self.host(), self.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let matcher = Matcher::builder()
            .http("http://user:secret@plain.example:3128")
            .https("secure.example")
            .no("localhost, .inner.example, 10.0.0.0/8, ::1");
        matcher.build().into()
    }

    fn way(proxies: &Proxies, address: &str) -> Option<String> {
        proxies.to(&address.parse().unwrap()).map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_scheme_and_the_exceptions_decide() {
        let (plain, secure) = (Some("http://plain.example:3128".to_owned()), Some("http://secure.example:80".to_owned()));
        for (address, expected) in [
            ("http://push.example/", &plain),
            ("http://push.example:6001/", &plain),
            ("https://push.example/", &secure),
            ("https://push.inner.example/", &None),
            ("https://inner.example/", &None),
            ("https://notinner.example/", &secure),
            ("http://LOCALHOST:80/", &None),
            ("http://10.1.2.3/", &None),
            ("http://11.1.2.3/", &plain),
            ("http://[::1]:6001/", &None),
            ("http://[::2]:6001/", &plain),
        ] {
            assert_eq!(&way(&proxies(), address), expected, "{address}");
            assert_eq!(way(&Proxies::new(ProxyChoice::Direct), address), None);
        }
        for (exceptions, none) in [(None, false), (Some(""), false), (Some("*.example, x"), false), (Some("x, *"), true)] {
            let matcher = Matcher::builder().all("http://proxy.example").no(exceptions.unwrap_or_default()).build();
            assert_eq!(way(&Proxies::named(matcher, exceptions), "http://192.0.2.1").is_none(), none, "{exceptions:?}");
        }
    }

    #[test]
    fn the_address_says_how_a_proxy_is_spoken_to() {
        for (text, kind, port, sends_on) in [
            ("proxy.example", Kind::Plain, 80, true),
            ("http://proxy.example:3128", Kind::Plain, 3128, true),
            ("https://proxy.example", Kind::Secure, 443, true),
            ("socks5://proxy.example", Kind::Socks5, 1080, false),
            ("socks5h://proxy.example:9050", Kind::Socks5, 9050, false),
            ("socks4://proxy.example", Kind::Other, 1080, false),
        ] {
            let proxies = Proxies::from(Matcher::builder().all(text).build());
            let plain: Uri = "http://push.example".parse().unwrap();
            let proxy = proxies.to(&plain).unwrap();
            assert_eq!((proxy.kind(), proxy.host(), proxy.port()), (kind, "proxy.example", port), "{text}");
            assert_eq!(proxy.sends_on(&plain), sends_on, "{text}");
            assert!(!proxy.sends_on(&"https://push.example".parse().unwrap()), "{text}");
        }
        for text in ["", "ftp://proxy.example", "http://", "/proxy", "no proxy"] {
            let proxies = Proxies::from(Matcher::builder().all(text).build());
            assert_eq!(way(&proxies, "http://push.example"), None, "{text}");
        }
    }

    #[test]
    fn the_password_is_known_and_does_not_show() {
        let proxies = proxies();
        let proxy = proxies.to(&"http://push.example".parse().unwrap()).unwrap();
        assert_eq!(proxy.basic_auth().unwrap(), "Basic dXNlcjpzZWNyZXQ=");
        let all = format!("{proxies:?} {proxy:?} {proxy} {}", proxy.refused("push.example:80", StatusCode::PROXY_AUTHENTICATION_REQUIRED));
        assert!(all.contains("plain.example") && !all.contains("secret") && !all.contains("dXNlcjpzZWNyZXQ"), "{all}");
        // An @ that is not escaped ends the user name early; what is left of it is no part of the host.
        let sloppy = Proxies::from(Matcher::builder().all("http://user:se@cret@proxy.example").build());
        assert_eq!(way(&sloppy, "http://push.example").as_deref(), Some("http://proxy.example:80"));
    }
}
