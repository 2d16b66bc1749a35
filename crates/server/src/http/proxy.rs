//! The PROXY header, by which a proxy in front names its client.

use ppp::{v1, v2};

/// What the start of a connection behind a proxy amounts to.
pub(crate) enum Proxied {
    Partial,
    Bad,
    Header { len: usize, address: Option<std::net::IpAddr> },
}

/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;
/// What version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length of version 2.
const FIXED: usize = 16;
/// The longest header of version 2 that is read, whatever further fields it has.
pub(crate) const HEADER_MAX: usize = 4096;

/// Reads the PROXY header, version 1 or 2.
pub(crate) fn read(bytes: &[u8]) -> Proxied {
    if begins(bytes, SIGNATURE) {
        return read_binary(bytes);
    }
    if !begins(bytes, b"PROXY ") {
        return Proxied::Bad;
    }
    match memchr::memmem::find(&bytes[..bytes.len().min(LINE_MAX)], b"\r\n") {
        Some(end) => read_line(&bytes[..end + 2]),
        None if bytes.len() < LINE_MAX => Proxied::Partial,
        None => Proxied::Bad,
    }
}

/// Whether `bytes` begin with `start`, or may once there are more of them.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let len = bytes.len().min(start.len());
    bytes[..len] == start[..len]
}

fn read_line(line: &[u8]) -> Proxied {
    let Ok(header) = v1::Header::try_from(line) else { return Proxied::Bad };
    let address = match header.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    };
    Proxied::Header { len: line.len(), address }
}

fn read_binary(bytes: &[u8]) -> Proxied {
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Proxied::Partial };
    let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let Some(header) = bytes.get(..len) else {
        return if len <= HEADER_MAX { Proxied::Partial } else { Proxied::Bad };
    };
    let Ok(header) = v2::Header::try_from(header) else { return Proxied::Bad };
    let address = match header.addresses {
        // The proxy speaks for itself, whatever addresses follow.
        _ if header.command == v2::Command::Local => None,
        v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    };
    Proxied::Header { len, address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_may_come_in_pieces() {
        for (header, expected) in [
            (&b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 6001\r\n"[..], Some("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 40000 6001\r\n", Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x01\x7f\0\0\x01\x9c\x40\x17\x71\xe0\0\x05\x01\x02\x03\x04\x05",
                Some("192.0.2.1"),
            ),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", None),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x9c\x40\x17\x71", None),
        ] {
            for len in 0..header.len() {
                assert!(matches!(read(&header[..len]), Proxied::Partial), "{len} of {header:?}");
            }
            let followed = [header, b"GET / HTTP/1.1\r\n"].concat();
            let Proxied::Header { len, address } = read(&followed) else { panic!("{header:?}") };
            assert_eq!((len, address), (header.len(), expected.map(|address| address.parse().unwrap())));
        }
    }

    #[test]
    fn what_is_no_header_is_found_out() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"PROXY TCP4 nobody\r\n",
            b"PROXY TCP5 1 2 3 4\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x9c\x40\x17\x71",
        ] {
            assert!(matches!(read(bytes), Proxied::Bad), "{bytes:?}");
        }
        // The longest line there may be, and none in sight.
        assert!(matches!(read(&[&b"PROXY "[..], &[b'x'; 200]].concat()), Proxied::Bad));
    }
}
