//! Where deliveries may go: the addresses that are refused, and the connector that refuses them.
//!
//! There is one way out, and the check stands in it: a literal address and every address that a name resolves to pass the same
//! test, and what passed is what is dialled, so no later answer of the resolver can slip in between.

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use ipnet::{Ipv4Net, Ipv6Net};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long one address may take to connect, so that a dead one leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What is never a public target, and why.
const REFUSED_V4: [(Ipv4Net, &str); 15] = [
    (v4([0, 0, 0, 0], 8), "unspecified"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "shared (carrier-grade NAT)"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "reserved"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "reserved"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// The same for IPv6, the more precise first. What is neither here nor in [`EMBEDDING`] must be in [`GLOBAL`].
const REFUSED_V6: [(Ipv6Net, &str); 10] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "private"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "reserved"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "unique local"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

/// Forms that carry an IPv4 address, and the byte at which it begins: mapped, compatible, translated, NAT64 and 6to4.
const EMBEDDING: [(Ipv6Net, usize); 5] = [
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), 12),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), 12),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), 12),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), 12),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), 2),
];

/// All that is global unicast.
const GLOBAL: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// Why `address` is no public target; `None` if it is one.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => REFUSED_V4.iter().find(|(net, _)| net.contains(&address)).map(|&(_, why)| why),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(&(_, why)) = REFUSED_V6.iter().find(|(net, _)| net.contains(&address)) {
        return Some(why);
    }
    if let Some(&(_, start)) = EMBEDDING.iter().find(|(net, _)| net.contains(&address)) {
        let bytes = address.octets();
        return refusal(Ipv4Addr::new(bytes[start], bytes[start + 1], bytes[start + 2], bytes[start + 3]).into());
    }
    (!GLOBAL.contains(&address)).then_some("reserved")
}

/// A target that deliveries must not go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is a {why} address; set `webhook_private_targets = true` for the app if it may be reached")]
pub(super) struct Refused {
    /// The first address that was refused.
    pub(super) address: IpAddr,
    /// What it is.
    pub(super) why: &'static str,
}

/// A byte stream to a receiver.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

type Asked<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// What names and addresses lead to: the network, or a small world of a test.
pub(super) trait Network: Send + Sync {
    /// The addresses of `host`, which is no literal address, in the order in which they should be tried.
    fn resolve(&self, host: &str, port: u16) -> Asked<Vec<SocketAddr>>;
    /// Connects to `address`.
    fn dial(&self, address: SocketAddr) -> Asked<Box<dyn Stream>>;
}

/// The network of this machine.
#[derive(Debug)]
pub(super) struct Internet;

impl Network for Internet {
    fn resolve(&self, host: &str, port: u16) -> Asked<Vec<SocketAddr>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    fn dial(&self, address: SocketAddr) -> Asked<Box<dyn Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

/// Connects to the host of a URL, unless it is refused.
#[derive(Clone)]
pub(super) struct Guard {
    network: Arc<dyn Network>,
    private_targets: bool,
}

impl Guard {
    /// The way out to public targets, or with `private_targets` to any.
    pub(super) fn new(network: Arc<dyn Network>, private_targets: bool) -> Self {
        Self { network, private_targets }
    }

    async fn connect(self, uri: http::Uri) -> Result<TokioIo<Box<dyn Stream>>, BoxError> {
        let host = uri.host().ok_or_else(|| io::Error::other("the URL names no host"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 });
        let found = match host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, port)],
            Err(_) => self.network.resolve(host, port).await?,
        };
        let mut failure = io::Error::other("the name has no address").into();
        for address in self.allowed(&found)? {
            match tokio::time::timeout(CONNECT_TIMEOUT, self.network.dial(address)).await {
                Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(failure)
    }

    /// Those of `found` that may be dialled; refused only if all are.
    fn allowed(&self, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refused> {
        if self.private_targets {
            return Ok(found.to_vec());
        }
        let mut refused = None;
        let mut allowed = Vec::new();
        for &address in found {
            match refusal(address.ip()) {
                None => allowed.push(address),
                Some(why) => refused = refused.or(Some(Refused { address: address.ip(), why })),
            }
        }
        match refused {
            Some(refused) if allowed.is_empty() => Err(refused),
            _ => Ok(allowed),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl tower_service::Service<http::Uri> for Guard {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_targets() {
        for (address, why) in [
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("10.1.2.3", Some("private")),
            ("11.0.0.1", None),
            ("100.63.255.255", None),
            ("100.64.0.1", Some("shared (carrier-grade NAT)")),
            ("100.127.255.255", Some("shared (carrier-grade NAT)")),
            ("100.128.0.0", None),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.254", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("172.15.255.255", None),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("172.32.0.0", None),
            ("192.0.0.1", Some("reserved")),
            ("192.0.2.1", Some("documentation")),
            ("192.88.99.1", Some("reserved")),
            ("192.168.1.1", Some("private")),
            ("192.169.0.0", None),
            ("198.18.0.1", Some("benchmarking")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.51.100.7", Some("documentation")),
            ("203.0.113.7", Some("documentation")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("reserved")),
            ("1.1.1.1", None),
            ("93.184.215.14", None),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::2", Some("unspecified")),
            ("::127.0.0.1", Some("loopback")),
            ("::1.1.1.1", None),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link-local")),
            ("::ffff:1.1.1.1", None),
            ("::ffff:0:10.0.0.1", Some("private")),
            ("64:ff9b::10.0.0.1", Some("private")),
            ("64:ff9b::7f00:1", Some("loopback")),
            ("64:ff9b::1.1.1.1", None),
            ("64:ff9b:1::1.1.1.1", Some("private")),
            ("64:ff9b:2::1", Some("reserved")),
            ("2002:7f00:1::1", Some("loopback")),
            ("2002:c0a8:101::", Some("private")),
            ("2002:101:101::1", None),
            ("100::1", Some("reserved")),
            ("2001::1", Some("reserved")),
            ("2001:20::1", Some("reserved")),
            ("2001:db8::1", Some("documentation")),
            ("3fff::1", Some("documentation")),
            ("5f00::1", Some("reserved")),
            ("fc00::1", Some("unique local")),
            ("fd12:3456::1", Some("unique local")),
            ("fe80::1", Some("link-local")),
            ("febf::1", Some("link-local")),
            ("fec0::1", Some("site-local")),
            ("ff02::1", Some("multicast")),
            ("4000::1", Some("reserved")),
            ("2606:4700::1111", None),
            ("2a00:1450:4001::1", None),
        ] {
            assert_eq!(refusal(address.parse().unwrap()), why, "{address}");
        }
    }

    /// Every address is looked at, and only those that passed are dialled.
    #[test]
    fn of_several_addresses_the_allowed_are_dialled() {
        let guard = |private_targets| Guard::new(Arc::new(Internet), private_targets);
        let addresses = |list: &[&str]| list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 80)).collect::<Vec<_>>();
        let mixed = addresses(&["127.0.0.1", "1.1.1.1", "::1", "2606:4700::1111"]);
        assert_eq!(guard(false).allowed(&mixed), Ok(addresses(&["1.1.1.1", "2606:4700::1111"])));
        assert_eq!(guard(true).allowed(&mixed), Ok(mixed));
        let private = addresses(&["10.0.0.1", "::1"]);
        let refused = guard(false).allowed(&private).unwrap_err();
        assert_eq!(refused, Refused { address: private[0].ip(), why: "private" });
        assert!(refused.to_string().contains("webhook_private_targets = true"));
        assert_eq!(guard(false).allowed(&[]), Ok(Vec::new()));
    }
}
