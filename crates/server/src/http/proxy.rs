//! The PROXY header, by which a proxy in front names its client.

/// The longest header of version 1, with its line end.
const V1_BYTES_MAX: usize = 107;

/// What the start of a connection behind a proxy amounts to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proxied {
    Partial,
    Bad,
    Header { len: usize, address: Option<std::net::IpAddr> },
}

/// Reads the PROXY header, version 1 or 2.
pub(crate) fn read(bytes: &[u8]) -> Proxied {
    use ppp::{HeaderResult, PartialResult, v1, v2};
    if is_open_line(bytes) {
        return Proxied::Partial;
    }
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

/// Whether `bytes` begin a header of version 1 whose line may still go on: the parser refuses some that are cut within an address.
fn is_open_line(bytes: &[u8]) -> bool {
    bytes.len() < V1_BYTES_MAX && bytes.starts_with(b"PROXY ") && memchr::memchr(b'\n', bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn v2(rest: &[u8]) -> Vec<u8> {
        [V2, rest].concat()
    }

    /// Each header whole, with bytes to spare, and cut at every byte.
    #[test]
    fn headers_are_read_however_they_come() {
        let ipv4 = v2(&[0x21, 0x11, 0, 12, 192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0x17, 0x71]);
        let ipv6 = v2(&[&[0x21, 0x21, 0, 36][..], &[0x20; 16], &[0; 16], &[0, 1, 0, 2]].concat());
        let local = v2(&[0x20, 0, 0, 0]);
        for (header, address) in [
            (&b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 6001\r\n"[..], Some("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 12345 6001\r\n", Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n", None),
            (&ipv4, Some("192.0.2.1")),
            (&ipv6, Some("2020:2020:2020:2020:2020:2020:2020:2020")),
            (&local, None),
        ] {
            let shown = header.escape_ascii();
            let expected = Proxied::Header { len: header.len(), address: address.map(|address| address.parse().unwrap()) };
            assert_eq!(read(header), expected, "{shown}");
            assert_eq!(read(&[header, b"GET / HTTP/1.1\r\n"].concat()), expected, "{shown}");
            for cut in 0..header.len() {
                assert_eq!(read(&header[..cut]), Proxied::Partial, "{shown} cut at {cut}");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [
            &b"GET /app/key HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 12345 6001\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 123456 6001\r\n",
            b"PROXY TCP5 192.0.2.1 10.0.0.1 1 1\r\n",
            &v2(&[0x11, 0x11, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            &[&b"PROXY "[..], &[b'1'; 101]].concat(),
            &[b'P'; 200],
        ] {
            assert_eq!(read(bytes), Proxied::Bad, "{}", bytes.escape_ascii());
        }
    }
}
