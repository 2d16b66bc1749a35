//! The chunked coding of HTTP/1.1, for responses whose bodies grow.

use bytes::Bytes;

/// The end of a body.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

/// How a body that grows shows where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// By its last chunk.
    Chunked,
    /// By the end of the connection, as in HTTP/1.0.
    Plain,
}

impl Body {
    /// `bytes` as they go out.
    pub(crate) fn part(self, bytes: &[u8]) -> Bytes {
        match self {
            Self::Chunked => chunk(bytes),
            Self::Plain => Bytes::copy_from_slice(bytes),
        }
    }
}

/// `bytes` as one chunk. They must not be empty: that would be the end.
pub(crate) fn chunk(bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(bytes.len() + 12);
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_chunk_where_chunks_are_known() {
        assert_eq!(Body::Chunked.part(&[b'x'; 26]), [&b"1a\r\n"[..], &[b'x'; 26], b"\r\n"].concat());
        assert_eq!(Body::Plain.part(b"x"), &b"x"[..]);
    }
}
