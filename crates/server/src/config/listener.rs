//! `[[listeners]]`: addresses, and what is spoken at each.

use super::reader::{Section, given};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// An address with what is spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: Address,
    /// What; never empty, no repeats.
    pub dialects: Vec<Dialect>,
    /// Stands before every path that is served (P-2.9); empty, or begins with a slash and does not end with one.
    pub path_prefix: String,
    /// The certificate, if TLS is spoken.
    pub tls: Option<Tls>,
    /// Peers that are believed when they name the client's address and scheme.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether trusted peers begin each connection with a PROXY header.
    pub proxy_protocol: bool,
}

impl Listener {
    /// Whether clients of Pushi, or their REST API, are served here.
    #[must_use]
    pub fn speaks_pushi(&self) -> bool {
        self.dialects.iter().any(|dialect| matches!(dialect, Dialect::Pushi | Dialect::PushiApi))
    }

    /// Whether clients of Pushy are served here.
    #[must_use]
    pub fn speaks_pushy(&self) -> bool {
        self.dialects.iter().any(|dialect| matches!(dialect, Dialect::Pushy(_)))
    }

    /// Whether clients of a relay are served here.
    #[must_use]
    pub fn speaks_wspush(&self) -> bool {
        self.dialects.iter().any(|dialect| matches!(dialect, Dialect::Wspush(_)))
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port; 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Its file.
        path: PathBuf,
        /// The file's permissions.
        mode: u32,
    },
}

impl Address {
    /// Whether only this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix { .. } => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What a listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Pusher's WebSocket protocol and HTTP API.
    Pusher,
    /// Server-sent events.
    Sse,
    /// Pushi's WebSocket protocol.
    Pushi,
    /// Pushi's REST API.
    PushiApi,
    /// Pushy's protocol over SockJS, and its trigger, as the section of that name says.
    Pushy(String),
    /// wspush's protocol, as the relay of that name has it.
    Wspush(String),
    /// The statistics of the relay of that name.
    WspushStatistics(String),
    /// The page at `/` for trying things out.
    Console,
    /// `/metrics`, on a listener of its own.
    Metrics,
    /// What tests of SockJS ask for; nobody else needs it.
    SockjsTrial,
}

impl Dialect {
    const ALL: [(&'static str, Self); 7] = [
        ("pusher", Self::Pusher),
        ("sse", Self::Sse),
        ("pushi", Self::Pushi),
        ("pushi-api", Self::PushiApi),
        ("console", Self::Console),
        ("metrics", Self::Metrics),
        ("sockjs-trial", Self::SockjsTrial),
    ];

    fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, dialect)) = Self::ALL.iter().find(|(name, _)| *name == text) {
            return Ok(dialect.clone());
        }
        let found = Self::named(text);
        found.ok_or_else(|| format!("there is no dialect {}; known are {}", super::problem::quoted(text), Self::names()))
    }

    /// Those of a section, which may have a name.
    fn named(text: &str) -> Option<Self> {
        let (dialect, name) = text.split_once(':').map_or((text, None), |(dialect, name)| (dialect, Some(name)));
        let of: fn(String) -> Self = match dialect {
            "pushy" => Self::Pushy,
            "wspush" => Self::Wspush,
            "wspush-statistics" => Self::WspushStatistics,
            _ => return None,
        };
        (name != Some("")).then(|| of(name.unwrap_or_default().to_owned()))
    }

    fn names() -> String {
        let known = Self::ALL.iter().filter(|(_, dialect)| *dialect != Self::SockjsTrial);
        known
            .map(|(name, _)| *name)
            .chain(["pushy", "pushy:NAME", "wspush", "wspush:NAME", "wspush-statistics"])
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pushy(name) => write_named(f, "pushy", name),
            Self::Wspush(name) => write_named(f, "wspush", name),
            Self::WspushStatistics(name) => write_named(f, "wspush-statistics", name),
            _ => f.write_str(Self::ALL.iter().find(|(_, dialect)| dialect == self).map_or("", |(name, _)| name)),
        }
    }
}

fn write_named(f: &mut fmt::Formatter<'_>, dialect: &str, name: &str) -> fmt::Result {
    if name.is_empty() { f.write_str(dialect) } else { write!(f, "{dialect}:{name}") }
}

/// The files of a certificate. Both can be read and hold what they should; they are read again at a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those that lead to its root, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

const ADDRESS: &str = "127.0.0.1:6001";
const MODE: &str = "0660";
const UNIX_PATH_BYTES_MAX: usize = 107;

pub(super) fn listener(section: &mut Section<'_, '_>) -> Listener {
    Listener {
        address: address(section),
        dialects: section
            .texts(
                (
                    "dialects",
                    "",
                    "What is spoken here: `pusher`, `sse`, `pushi`, `pushi-api`, `pushy` or `pushy:NAME`, `wspush` or \
                     `wspush:NAME`, `console` (a page to try things at `/`), `metrics`, `wspush-statistics` or `wspush-statistics:NAME`.",
                ),
                &["pusher", "sse"],
                Dialect::parse,
                Dialect::to_string,
            )
            .unwrap_or_else(|| vec![Dialect::Pusher, Dialect::Sse]),
        path_prefix: section
            .text(("path_prefix", "P-2.9", "Stands before every path, as in `/x/app/…` and `/x/apps/…`."), "", path_prefix, String::clone)
            .unwrap_or_default(),
        trusted_proxies: section
            .texts(
                ("trusted_proxies", "", "Networks of proxies that are believed when they name the client's address and scheme."),
                &[],
                network,
                IpNet::to_string,
            )
            .unwrap_or_default(),
        proxy_protocol: section.flag(("proxy_protocol", "", "Trusted proxies begin each connection with a PROXY header."), false),
        tls: section.maybe_section("tls", tls),
    }
}

fn address(section: &mut Section<'_, '_>) -> Address {
    let has_mode = section.has("mode");
    let directory = section.directory("address");
    let told = ("address", "", "An IP address and a port, or `unix:` and a path.");
    let read = section.text(told, ADDRESS, |text| parse_address(text, &directory), Address::to_string);
    match read.unwrap_or(Address::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6001))) {
        Address::Unix { path, .. } => Address::Unix { path, mode: mode(section) },
        tcp => {
            if has_mode {
                section.problem("mode", "only a unix socket has permissions; remove it");
            }
            if has_mode || section.describes() {
                mode(section);
            } else {
                section.leave("mode");
            }
            tcp
        }
    }
}

fn mode(section: &mut Section<'_, '_>) -> u32 {
    let told = ("mode", "", "The permissions of a unix socket, octal.");
    section.text(told, MODE, parse_mode, |mode| format!("{mode:04o}")).unwrap_or(0o660)
}

fn parse_address(text: &str, directory: &Path) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = directory.join(given(path)?);
        let length = path.as_os_str().len();
        if length > UNIX_PATH_BYTES_MAX || text.contains('\0') {
            return Err(format!("the path of a unix socket has at most {UNIX_PATH_BYTES_MAX} bytes"));
        }
        return Ok(Address::Unix { path, mode: 0o660 });
    }
    let numeric = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    numeric.parse().map(Address::Tcp).map_err(|_| {
        format!(
            "{} is no address; write an IP address and a port, such as \"0.0.0.0:6001\" or \"[::]:6001\", or \"unix:/run/tidings.sock\"",
            super::problem::quoted(text)
        )
    })
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| format!("{} is no mode; write octal digits, such as \"0660\"", super::problem::quoted(text)))
}

pub(super) fn path_prefix(text: &str) -> Result<String, String> {
    let segments_right = text.split('/').skip(1).all(|segment| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    });
    if text.is_empty() || text.starts_with('/') && segments_right {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is no path prefix; write \"/x\": a slash first, none at the end, letters, digits and -._~ between",
        super::problem::quoted(text)
    ))
}

fn network(text: &str) -> Result<IpNet, String> {
    let single = text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse::<IpNet>().or(single);
    network
        .map(|network| network.trunc())
        .map_err(|_| format!("{} is no network; write \"10.0.0.0/8\" or an address", super::problem::quoted(text)))
}

fn tls(section: &mut Section<'_, '_>) -> Tls {
    let mut file = |name, about| {
        let missing = !section.has(name);
        let path = section.path_to((name, "", about));
        if missing {
            section.problem(name, "TLS needs it: name a PEM file");
        }
        path.unwrap_or_default()
    };
    Tls {
        certificate: file("certificate", "The file with the certificate and those that lead to its root, PEM."),
        key: file("key", "The file with its private key, PEM."),
    }
}
