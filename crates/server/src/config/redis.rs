//! `redis`, `sentinels` and what belongs to them, in a section that has a Redis: where it is and how to get in (W-2.8).

use super::problem::quoted;
use super::reader::{Section, read_text};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::PathBuf;

/// Where the original looks (W-1.1).
const URL: &str = "localhost:6379";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const EXAMPLE: &str = "write \"redis://user:password@host:6379/0\", \"rediss://…\" for TLS, or \"host:6379\"";

/// Where a Redis is and how to get in. `Debug` hides passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// The server. With sentinels its host and port mean nothing; login and TLS hold for the master that they name.
    pub server: RedisServer,
    /// Who knows where the master is; empty if `server` is asked without further ado.
    pub sentinels: Vec<RedisServer>,
    /// What the sentinels call it.
    pub master: String,
    /// The number of the database. What is published has none, but a user may be allowed in one only.
    pub database: u32,
    /// What is spoken.
    pub protocol: RedisProtocol,
    /// Whose signature is trusted under certificates, PEM; those that browsers trust if there is none.
    pub ca_file: Option<PathBuf>,
}

/// One server, Redis or sentinel. `Debug` and `Display` hide the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// How to get in, if the server asks.
    pub login: Option<RedisLogin>,
}

/// What a Redis wants to know of who comes.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisLogin {
    /// None for the user that every Redis has.
    pub user: Option<String>,
    /// Never shown.
    pub password: String,
}

/// The protocol of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisProtocol {
    /// What every Redis speaks.
    Resp2,
    /// From Redis 6 on.
    Resp3,
}

impl Redis {
    /// What an address says that stands alone: a URL or `host:port`.
    ///
    /// # Errors
    /// A sentence that says what would be right, without the password.
    #[cfg(test)]
    pub(crate) fn at(address: &str) -> Result<Self, String> {
        let (server, database) = parse(address, PORT)?;
        Ok(Self { server, database, sentinels: Vec::new(), master: String::new(), protocol: RedisProtocol::Resp2, ca_file: None })
    }
}

impl RedisServer {
    /// Host and port, as they are connected to.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = self.login.as_ref().map(|login| format!("{}:***@", login.user.as_deref().unwrap_or_default())).unwrap_or_default();
        write!(f, "{scheme}://{user}{}", self.address())
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisServer({self})")
    }
}

impl fmt::Debug for RedisLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Reads the settings of a Redis in the section that has one.
pub(super) fn redis(section: &mut Section<'_, '_>) -> Redis {
    let (server, database) = url(section);
    let sentinels = section
        .texts(
            (
                "sentinels",
                "W-2.8",
                "Sentinels that know where the Redis is, as `host:port` or URLs; of `redis` then only user, password, database and TLS count.",
            ),
            &[],
            sentinel,
            RedisServer::to_string,
        )
        .unwrap_or_default();
    let has_master = section.has("sentinel_master");
    let about = "What the sentinels call the master.";
    let master = section.text(("sentinel_master", "W-2.8", about), "", super::reader::given_owned, String::clone);
    match (sentinels.is_empty(), has_master) {
        (false, false) => section.problem("sentinel_master", "is missing; name the master that the sentinels watch"),
        (true, true) => section.problem("sentinel_master", "nobody is asked for it; list the `sentinels`, or remove it"),
        _ => {}
    }
    let protocols = [("resp2", RedisProtocol::Resp2), ("resp3", RedisProtocol::Resp3)];
    let about = "The protocol that is spoken with Redis.";
    let protocol = section.one_of(("redis_protocol", "W-2.8", about), RedisProtocol::Resp2, &protocols);
    let ca_file = ca_file(section, server.tls || sentinels.iter().any(|sentinel| sentinel.tls));
    Redis { server, sentinels, master: master.unwrap_or_default(), database, protocol, ca_file }
}

/// The URL may hold a password: a file may have it, and it is shown without.
fn url(section: &mut Section<'_, '_>) -> (RedisServer, u32) {
    if section.has("redis") && section.has("redis_file") {
        section.problem("redis", "is given twice: keep `redis` or `redis_file`");
    }
    let about = "Where Redis is: `host:port`, or `redis://user:password@host:port/database`; `rediss://…` for TLS.";
    let written = section.text(("redis", "W-2.8", about), URL, |text| parse(text, PORT), shown);
    let file = section.path_to(("redis_file", "W-2.8", "A file with the URL, where it holds a password."));
    let read = file.map(|file| read_text(section.surroundings(), &file).and_then(|text| parse(&text, PORT)));
    let found = match read {
        Some(Ok(url)) => Some(url),
        Some(Err(problem)) => {
            section.problem("redis_file", problem);
            written
        }
        None => written,
    };
    found.unwrap_or_else(|| parse(URL, PORT).expect("the default is right"))
}

fn shown((server, database): &(RedisServer, u32)) -> String {
    match (server, database) {
        (RedisServer { tls: false, login: None, .. }, 0) => server.address(),
        (_, 0) => server.to_string(),
        _ => format!("{server}/{database}"),
    }
}

fn sentinel(text: &str) -> Result<RedisServer, String> {
    match parse(text, SENTINEL_PORT)? {
        (server, 0) => Ok(server),
        _ => Err("a sentinel has no databases".to_owned()),
    }
}

fn ca_file(section: &mut Section<'_, '_>, speaks_tls: bool) -> Option<PathBuf> {
    let about = "Certificates that are trusted to sign that of Redis, PEM; without it those that browsers trust.";
    let path = section.path_to(("redis_ca_file", "W-2.8", about))?;
    if !speaks_tls {
        section.problem("redis_ca_file", "no TLS is spoken; write `redis` as \"rediss://…\", or remove it");
    }
    match (section.surroundings().read_file)(&path) {
        Ok(pem) if CertificateDer::pem_slice_iter(&pem).next().is_some_and(|first| first.is_ok()) => {}
        Ok(_) => section.problem("redis_ca_file", format!("{} holds no certificate in PEM", path.display())),
        Err(error) => section.problem("redis_ca_file", format!("cannot read {}: {error}", path.display())),
    }
    Some(path)
}

/// Reads a URL or `host:port`. What is said of a wrong one does not repeat it: it may hold a password.
fn parse(text: &str, default_port: u16) -> Result<(RedisServer, u32), String> {
    let wrong = |what: &str| format!("{what}; {EXAMPLE}");
    let (tls, rest) = match text.split_once("://") {
        Some(("redis", rest)) => (false, rest),
        Some(("rediss", rest)) => (true, rest),
        Some((scheme, _)) => return Err(wrong(&format!("there is no scheme {}", quoted(scheme)))),
        // As the original has it (W-1.1): no user, no database.
        None => {
            let (host, port) = host_and_port(text).ok_or_else(|| wrong("this is no address"))?;
            let port = port.ok_or_else(|| wrong("the port is missing"))?;
            return Ok((RedisServer { host, port, tls: false, login: None }, 0));
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (login, place) = match authority.rsplit_once('@') {
        Some((login, place)) => {
            (Some(login_of(login).ok_or_else(|| wrong("before @ stand a user and a password, percent-encoded"))?), place)
        }
        None => (None, authority),
    };
    let (host, port) = host_and_port(place).ok_or_else(|| wrong("this is no host with a port"))?;
    let database = match path.strip_prefix('/').unwrap_or(path) {
        "" => 0,
        number => number.parse().map_err(|_| wrong("behind the host may stand a slash and the number of a database, and no more"))?,
    };
    Ok((RedisServer { host, port: port.unwrap_or(default_port), tls, login }, database))
}

fn login_of(text: &str) -> Option<RedisLogin> {
    let (user, password) = text.split_once(':')?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    let (user, password) = (decode(user)?, decode(password)?);
    Some(RedisLogin { user: (!user.is_empty()).then_some(user), password })
}

/// No host means this machine.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| host.parse::<std::net::Ipv6Addr>().is_ok())?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let host = if host.is_empty() { "localhost" } else { host };
    plain.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: u16, tls: bool, login: Option<(&str, &str)>) -> RedisServer {
        let login =
            login.map(|(user, password)| RedisLogin { user: (!user.is_empty()).then(|| user.to_owned()), password: password.to_owned() });
        RedisServer { host: host.to_owned(), port, tls, login }
    }

    /// W-1.1, W-2.8.
    #[test]
    fn addresses_are_read() {
        for (text, server, database, shown_as) in [
            ("localhost:6379", server("localhost", 6379, false, None), 0, "localhost:6379"),
            (":7000", server("localhost", 7000, false, None), 0, "localhost:7000"),
            ("[::1]:7000", server("::1", 7000, false, None), 0, "[::1]:7000"),
            ("redis://example.org", server("example.org", 6379, false, None), 0, "example.org:6379"),
            ("redis://example.org/", server("example.org", 6379, false, None), 0, "example.org:6379"),
            ("rediss://[2001:db8::1]:1/15", server("2001:db8::1", 1, true, None), 15, "rediss://[2001:db8::1]:1/15"),
            ("redis://:geheim@h:1/2", server("h", 1, false, Some(("", "geheim"))), 2, "redis://:***@h:1/2"),
            ("rediss://anna:p%40ss%3A%2F@h", server("h", 6379, true, Some(("anna", "p@ss:/"))), 0, "rediss://anna:***@h:6379"),
            // The last @ is the one that separates.
            ("redis://anna:p@ss@h", server("h", 6379, false, Some(("anna", "p@ss"))), 0, "redis://anna:***@h:6379"),
        ] {
            let read = parse(text, PORT).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((&read.0, read.1), (&server, database), "{text}");
            assert_eq!(shown(&read), shown_as);
        }
        assert_eq!(sentinel("redis://s").unwrap().port, 26379);
        assert!(sentinel("redis://s/1").is_err());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for text in [
            "",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "local host:1",
            "unix:///run/redis.sock",
            "redis://h:x",
            "redis://h/x",
            "redis://h/0?protocol=3",
            "redis://[::1:6379",
            "redis://geheim@h",
            "redis://anna:geheim@h h",
            "redis://anna:geheim%ff@h",
            "redis://anna:geheim@h/zwei",
        ] {
            let error = Redis::at(text).expect_err(text);
            assert!(error.contains("redis://user") && !error.contains("geheim"), "{text}: {error}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let told = format!("{:?}", Redis::at("redis://anna:geheim@h").unwrap());
        assert!(told.contains("anna:***@h:6379") && !told.contains("geheim"), "{told}");
        let login = RedisLogin { user: None, password: "geheim".to_owned() };
        assert!(!format!("{login:?}").contains("geheim"));
    }
}
