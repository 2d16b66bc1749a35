//! Where connections come in: binding, accepting, and handing each socket to the shard with the fewest.

use crate::address::{AddressGuard, AddressRefused};
use crate::config::{self, Address, Dialect};
use crate::http::mount::{Mount, Mounts};
use crate::node::{Node, RelayService};
use crate::shard::socket::Socket;
use crate::shard::{Arrival, Command};
use anyhow::Context;
use listenfd::ListenFd;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidings_hub::Time;

const BACKLOG: i32 = 4096;
/// What the kernel buffers unsent beyond what is in flight: more would only hide a slow peer from us.
const NOT_SENT_MAX: u32 = 128 * 1024;
/// Sockets accepted before others get their turn.
const ACCEPTS_PER_TURN: usize = 256;
/// How long to wait when the process has no descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How often that is told.
const WARNING_PAUSE: Duration = Duration::from_secs(10);

/// A listening address and how its connections are treated.
pub(crate) struct Listener {
    pub(crate) config: config::Listener,
    /// The certificate of the moment, if it speaks TLS.
    pub(crate) tls: Option<Arc<crate::tls::Acceptor>>,
    /// Paths below which SockJS is spoken.
    pub(crate) mounts: Vec<Arc<Mount>>,
    /// The relay whose clients come here.
    pub(crate) relay: Option<Arc<RelayService>>,
}

impl Listener {
    pub(crate) fn new(config: config::Listener, tls: Option<crate::tls::Acceptor>, mounts: &Mounts) -> Self {
        Self { mounts: mounts.of(&config), relay: mounts.relay_of(&config), config, tls: tls.map(Arc::new) }
    }

    pub(crate) fn speaks(&self, dialect: &Dialect) -> bool {
        self.config.dialects.contains(dialect)
    }

    /// Whether `hop` is believed when it says for whom it speaks, and how that one came.
    pub(crate) fn trusts(&self, hop: Option<IpAddr>) -> bool {
        let proxies = &self.config.trusted_proxies;
        match hop {
            Some(address) => proxies.iter().any(|net| net.contains(&address.to_canonical())),
            // Who reaches a unix socket is the operator's proxy, if the operator says that there are any.
            None => !proxies.is_empty(),
        }
    }

    /// Whether the connections of `hop` begin with a PROXY header. Nobody else's may: it names the client that limits are held against. Who
    /// reaches a unix socket is the operator's proxy.
    pub(crate) fn expects_proxy_header(&self, hop: Option<IpAddr>) -> bool {
        self.config.proxy_protocol && (hop.is_none() || self.trusts(hop))
    }

    /// The path after this listener's prefix. What does not begin with it is served as well: not every client can be told one.
    pub(crate) fn strip<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.config.path_prefix.as_str()).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }
}

/// Who is at the other end.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    /// The client's address, as far as it is known; `None` on unix sockets.
    pub(crate) address: Option<IpAddr>,
    /// Who speaks to us: the client, or a proxy that speaks for it. It is this one that is trusted or not.
    pub(crate) hop: Option<IpAddr>,
    /// Its place among those of its address.
    pub(crate) guards: Vec<AddressGuard>,
}

impl Peer {
    /// Notes whom the PROXY header names: what comes behind it is that one's word.
    ///
    /// # Errors
    /// As [`Peer::came_through_proxy`].
    pub(crate) fn was_named(&mut self, peer: Option<IpAddr>, node: &Node, listener: &Listener) -> Result<(), AddressRefused> {
        self.hop = peer.or(self.hop);
        self.came_through_proxy(peer, node, listener)
    }

    /// Notes the client that a proxy speaks for.
    ///
    /// # Errors
    /// [`AddressRefused`] if that client has all it may have.
    pub(crate) fn came_through_proxy(&mut self, client: Option<IpAddr>, node: &Node, listener: &Listener) -> Result<(), AddressRefused> {
        let Some(client) = client else { return Ok(()) };
        self.address = Some(client);
        let admitted = node.addresses.admit(client, &listener.config.trusted_proxies, node.clock.now());
        if let Err(refused) = &admitted {
            tracing::debug!(address = %client, error = %refused, "connection refused");
        }
        self.guards.extend(admitted?);
        Ok(())
    }
}

/// A connection's place among those of the node, given back when dropped.
pub(crate) struct NodeGuard(Arc<Node>);

impl NodeGuard {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        node.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(node))
    }
}

impl Drop for NodeGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bound socket.
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Accepts on all listeners. Owned by the only shard, or by a thread of its own.
pub(crate) struct Acceptor {
    node: Arc<Node>,
    bound: Vec<(Bound, Arc<Listener>)>,
    first_token: usize,
    /// Listeners that may have more waiting.
    ready: Vec<usize>,
    /// Until when nothing is accepted, for want of descriptors.
    paused: Option<Time>,
    /// When that was told last.
    warned: Option<Time>,
}

/// Binds a listener, or takes over the socket at `place` of those that the service manager passed.
///
/// # Errors
/// Why the address cannot be had.
pub(crate) fn bind(address: &Address, passed: &mut ListenFd, place: usize) -> anyhow::Result<BoundSocket> {
    match address {
        Address::Tcp(address) => {
            let socket = match passed.take_tcp_listener(place)? {
                Some(listener) => listener.into(),
                None => listen(*address).with_context(|| format!("cannot listen on {address}"))?,
            };
            prepare(&socket)?;
            Ok(BoundSocket::Tcp(socket.into()))
        }
        Address::Unix { path, mode } => {
            if let Some(listener) = passed.take_unix_listener(place)? {
                listener.set_nonblocking(true)?;
                return Ok(BoundSocket::Unix(listener));
            }
            remove_stale(path)?;
            let listener = std::os::unix::net::UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))?;
            listener.set_nonblocking(true)?;
            Ok(BoundSocket::Unix(listener))
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Sets what accepted sockets inherit, so that each costs no call of its own.
fn prepare(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT_MAX)
}

/// A listening socket that nobody accepts on yet.
#[derive(Debug)]
pub(crate) enum BoundSocket {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl BoundSocket {
    /// The address with the port that the kernel chose; none for a unix socket.
    pub(crate) fn address(&self) -> Option<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.to_string()),
            Self::Unix(_) => None,
        }
    }
}

/// Removes the file of a server that is gone; refuses to take the socket of one that runs.
fn remove_stale(path: &std::path::Path) -> anyhow::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => anyhow::bail!("{}: another server listens here", path.display()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).with_context(|| format!("cannot remove the stale socket {}", path.display()))
        }
        Err(_) => Ok(()),
    }
}

impl Acceptor {
    /// Takes the sockets; events for them carry tokens from `first_token` on.
    pub(crate) fn new(
        node: Arc<Node>,
        sockets: Vec<(BoundSocket, Arc<Listener>)>,
        registry: &Registry,
        first_token: usize,
    ) -> io::Result<Self> {
        let mut bound = Vec::new();
        for (place, (socket, listener)) in sockets.into_iter().enumerate() {
            let token = Token(first_token + place);
            bound.push(match socket {
                BoundSocket::Tcp(socket) => {
                    let mut socket = TcpListener::from_std(socket);
                    registry.register(&mut socket, token, Interest::READABLE)?;
                    (Bound::Tcp(socket), listener)
                }
                BoundSocket::Unix(socket) => {
                    let mut socket = UnixListener::from_std(socket);
                    registry.register(&mut socket, token, Interest::READABLE)?;
                    (Bound::Unix(socket), listener)
                }
            });
        }
        Ok(Self { node, bound, first_token, ready: Vec::new(), paused: None, warned: None })
    }

    /// Whether an event is for a listener.
    pub(crate) fn owns(&self, token: Token) -> bool {
        token.0.checked_sub(self.first_token).is_some_and(|place| place < self.bound.len())
    }

    /// Notes that somebody waits.
    pub(crate) fn wake(&mut self, token: Token) {
        let place = token.0 - self.first_token;
        if !self.ready.contains(&place) {
            self.ready.push(place);
        }
    }

    /// How long until [`Acceptor::accept`] has something to do.
    pub(crate) fn sleep(&self, now: Time) -> Option<Duration> {
        (!self.ready.is_empty()).then(|| self.paused.map_or(Duration::ZERO, |until| until.since(now)))
    }

    /// Accepts what waits, up to a turn's share, and hands each socket to `open`.
    pub(crate) fn accept(&mut self, now: Time, mut open: impl FnMut(Arrival)) {
        if self.paused.is_some_and(|until| until > now) {
            return;
        }
        self.paused = None;
        let mut left = ACCEPTS_PER_TURN;
        while let Some(&place) = self.ready.last() {
            while left > 0 {
                left -= 1;
                if self.node.connections.load(Ordering::Relaxed) >= self.node.sockets_max {
                    self.pause(now, &"all descriptors but the reserve are in use");
                    return;
                }
                match self.accept_one(place, now) {
                    Ok(Some(arrival)) => open(arrival),
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if is_exhaustion(&error) => {
                        self.pause(now, &error);
                        return;
                    }
                    // The peer was gone before it was accepted.
                    Err(_) => {}
                }
            }
            if left == 0 {
                return;
            }
            self.ready.pop();
        }
    }

    /// Leaves newcomers in the kernel's queue for a while.
    fn pause(&mut self, now: Time, error: &dyn std::fmt::Display) {
        if self.warned.is_none_or(|warned| now.since(warned) >= WARNING_PAUSE) {
            tracing::warn!(%error, "no descriptor or memory for another connection, waiting");
            self.warned = Some(now);
        }
        self.paused = Some(now + EXHAUSTED_PAUSE);
    }

    /// `None` if the socket was refused or went to TLS.
    fn accept_one(&self, place: usize, now: Time) -> io::Result<Option<Arrival>> {
        let (bound, listener) = &self.bound[place];
        let (socket, address) = match bound {
            Bound::Tcp(bound) => bound.accept().map(|(stream, address)| (Socket::Plain(stream), Some(address.ip())))?,
            Bound::Unix(bound) => bound.accept().map(|(stream, _)| (Socket::Unix(stream), None))?,
        };
        let mut peer = Peer { address, hop: address, guards: Vec::new() };
        // Behind a proxy that names its clients, they are counted when it has.
        if let Some(address) = address {
            match self.node.addresses.admit(address, &listener.config.trusted_proxies, now) {
                Ok(guard) => peer.guards.extend(guard),
                Err(refused) => {
                    tracing::debug!(%address, error = %refused, "connection refused");
                    return Ok(None);
                }
            }
        }
        let arrival = Arrival {
            socket,
            peer,
            listener: Arc::clone(listener),
            guard: NodeGuard::new(&self.node),
            read: Vec::new(),
            upgraded: None,
            begun: false,
        };
        if listener.tls.is_some() {
            crate::tls::start(&self.node, arrival);
            return Ok(None);
        }
        Ok(Some(arrival))
    }
}

fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].into_iter().any(|code| errno == Some(code))
}

/// Hands a socket to the shard with the fewest connections.
pub(crate) fn assign(node: &Node, arrival: Arrival) {
    let fewest = node.shards.iter().min_by_key(|shard| shard.stats.connections.load(Ordering::Relaxed));
    fewest.expect("a node has at least one shard").command(Command::Open(Box::new(arrival)));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A listener that trusts 10.0.0.0/8.
    pub(crate) fn behind_a_proxy(proxy_protocol: bool) -> Listener {
        let config = config::Listener {
            address: Address::Unix { path: PathBuf::from("t.sock"), mode: 0o600 },
            dialects: vec![Dialect::Pusher],
            path_prefix: String::new(),
            tls: None,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            proxy_protocol,
        };
        Listener::new(config, None, &Mounts::new(&[], &[]))
    }

    #[test]
    fn only_trusted_peers_begin_with_a_proxy_header() {
        for (peer, expected) in [(None, true), (Some("10.1.2.3"), true), (Some("::ffff:10.1.2.3"), true), (Some("192.0.2.1"), false)] {
            let peer = peer.map(|peer| peer.parse().unwrap());
            assert_eq!(behind_a_proxy(true).expects_proxy_header(peer), expected, "{peer:?}");
            assert!(!behind_a_proxy(false).expects_proxy_header(peer), "{peer:?}");
        }
    }
}
