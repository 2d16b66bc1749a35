//! The PROXY header, by which a proxy in front names its client.

/// What the start of a connection behind a proxy amounts to.
pub(crate) enum Proxied {
    Partial,
    Bad,
    Header { len: usize, address: Option<std::net::IpAddr> },
}

/// Reads the PROXY header, version 1 or 2.
pub(crate) fn read(bytes: &[u8]) -> Proxied {
    use ppp::{HeaderResult, PartialResult, v1, v2};
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() {
        return Proxied::Partial;
    }
    match header {
        HeaderResult::V1(Ok(header)) => {
            let address = match header.addresses {
                v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
                v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
                v1::Addresses::Unknown => None,
            };
            Proxied::Header { len: header.header.len(), address }
        }
        HeaderResult::V2(Ok(header)) => {
            let address = match header.addresses {
                v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
                v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
                v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
            };
            Proxied::Header { len: header.len(), address }
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Proxied::Bad,
    }
}
