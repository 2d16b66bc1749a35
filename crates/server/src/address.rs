//! How many connections and handshakes one client address may have. IPv6 addresses count by their /64.

use hashbrown::HashMap;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidings_hub::Time;

/// From so many addresses on, those without connections are swept out.
const SWEEP_FROM: usize = 1024;

/// What one address may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AddressLimits {
    /// Connections at once.
    pub(crate) connections: u32,
    /// Handshakes a second, and at once.
    pub(crate) handshakes_per_second: f64,
}

/// All addresses that are connected or were a moment ago.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    table: Arc<Mutex<Table>>,
    refused: Refusals,
}

/// How often an address was refused, by the limit that it met.
#[derive(Debug, Default)]
struct Refusals {
    connections: AtomicU64,
    handshakes: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<IpAddr, Entry, foldhash::quality::RandomState>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Entry {
    connections: u32,
    tokens: f64,
    filled: Time,
}

/// A connection's place among those of its address, given back when dropped.
#[derive(Debug)]
pub(crate) struct AddressGuard {
    address: IpAddr,
    table: Arc<Mutex<Table>>,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressRefused {
    #[error("too many connections from this address; raise `limits.connections_per_address`")]
    Connections,
    #[error("too many handshakes from this address; raise `limits.handshakes_per_address`")]
    Handshakes,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self { limits, table: Arc::default(), refused: Refusals::default() }
    }

    /// Counts a connection of `address`; `None` where it need not be counted: loopback, and trusted proxies themselves.
    ///
    /// # Errors
    /// [`AddressRefused`] names the limit.
    pub(crate) fn admit(&self, address: IpAddr, trusted: &[IpNet], now: Time) -> Result<Option<AddressGuard>, AddressRefused> {
        let address = address.to_canonical();
        if address.is_loopback() || trusted.iter().any(|net| net.contains(&address)) {
            return Ok(None);
        }
        let address = key(address);
        let burst = self.limits.handshakes_per_second;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(burst, now);
        let entry = table.entries.entry(address).or_insert(Entry { connections: 0, tokens: burst, filled: now });
        entry.refill(burst, now);
        if entry.connections >= self.limits.connections {
            self.refused.connections.fetch_add(1, Ordering::Relaxed);
            return Err(AddressRefused::Connections);
        }
        if entry.tokens < 1.0 {
            self.refused.handshakes.fetch_add(1, Ordering::Relaxed);
            return Err(AddressRefused::Handshakes);
        }
        entry.tokens -= 1.0;
        entry.connections += 1;
        Ok(Some(AddressGuard { address, table: Arc::clone(&self.table) }))
    }

    /// How often an address was refused for its connections, and for its handshakes.
    pub(crate) fn refused(&self) -> (u64, u64) {
        (self.refused.connections.load(Ordering::Relaxed), self.refused.handshakes.load(Ordering::Relaxed))
    }
}

impl Table {
    fn sweep(&mut self, burst: f64, now: Time) {
        if self.entries.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.entries.retain(|_, entry| {
                entry.refill(burst, now);
                entry.connections > 0 || entry.tokens < burst
            });
            self.sweep_at = self.entries.len() * 2;
        }
    }
}

impl Entry {
    fn refill(&mut self, burst: f64, now: Time) {
        self.tokens = (self.tokens + now.since(self.filled).as_secs_f64() * burst).min(burst);
        self.filled = now;
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.entries.get_mut(&self.address) {
            entry.connections -= 1;
        }
    }
}

/// What stands for all addresses that one client can choose from.
fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn an_address_has_its_share_of_connections_and_handshakes() {
        let addresses = Addresses::new(AddressLimits { connections: 2, handshakes_per_second: 3.0 });
        let admit = |address: &str, now| addresses.admit(address.parse().unwrap(), &["10.0.0.0/8".parse().unwrap()], now);
        let one = admit("192.0.2.1", at(0)).unwrap();
        let two = admit("192.0.2.1", at(0)).unwrap();
        assert_eq!(admit("192.0.2.1", at(0)).unwrap_err(), AddressRefused::Connections);
        assert!(admit("192.0.2.2", at(0)).unwrap().is_some());
        drop(two);
        let three = admit("::ffff:192.0.2.1", at(0)).unwrap();
        drop((one, three));
        assert_eq!(admit("192.0.2.1", at(0)).unwrap_err(), AddressRefused::Handshakes);
        assert!(admit("192.0.2.1", at(1)).is_ok());
        assert_eq!(addresses.refused(), (1, 1));
    }

    #[test]
    fn loopback_and_trusted_proxies_are_exempt_and_ipv6_counts_by_64() {
        let addresses = Addresses::new(AddressLimits { connections: 1, handshakes_per_second: 100.0 });
        let admit = |address: &str| addresses.admit(address.parse().unwrap(), &["10.0.0.0/8".parse().unwrap()], at(0));
        assert!(admit("127.0.0.1").unwrap().is_none());
        assert!(admit("::1").unwrap().is_none());
        assert!(admit("10.1.2.3").unwrap().is_none());
        let _held = admit("2001:db8::1").unwrap().unwrap();
        assert!(admit("2001:db8::ffff").is_err());
        assert!(admit("2001:db8:0:1::1").is_ok());
    }
}
