//! Compressed messages (RFC 7692 section 7.2). Without context takeover no connection has a state of its own: one
//! [`Deflater`] and one [`Inflater`] per shard serve all, and a compressed frame can be shared.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Fault;

/// Shorter payloads travel as they are, in bytes.
pub const DEFLATE_BYTES_MIN: usize = 256;

/// Measured on JSON of 0.3 and 8 kB: within 3 % of the size at level 6, for three quarters of its time.
const LEVEL: u32 = 3;

/// What a sync flush ends with, and what is taken off a message (RFC 7692 section 7.2.1).
const FLUSH: [u8; 4] = [0, 0, 0xff, 0xff];

/// What is put back (section 7.2.2), and an empty final block behind it: only a message that is whole reaches that end.
const FLUSH_AND_END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// How far back in a message compressed bytes may refer; one compressed form is shared per class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Window {
    /// 32 KiB: 15 bits.
    #[default]
    Large,
    /// 512 bytes: 9 bits, for a client that insists on less than 15.
    Small,
}

/// Compresses messages, each on its own.
#[derive(Debug, Default)]
pub struct Deflater {
    large: Option<Compress>,
    small: Option<Compress>,
    compressed: Vec<u8>,
}

/// Inflates messages, each on its own, and keeps the last one.
#[derive(Debug, Default)]
pub struct Inflater {
    state: Option<Decompress>,
    inflated: Vec<u8>,
}

impl Window {
    /// The base-2 logarithm of the window, in bytes.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Large => 15,
            Self::Small => 9,
        }
    }
}

impl Deflater {
    /// Compresses `payload` for a frame with [`Coding::Deflated`](super::Coding::Deflated); `None` if it is shorter than
    /// [`DEFLATE_BYTES_MIN`] or would not get smaller: then it travels as it is.
    pub fn compress(&mut self, payload: &[u8], window: Window) -> Option<&[u8]> {
        if payload.len() < DEFLATE_BYTES_MIN {
            return None;
        }
        let state = match window {
            Window::Large => &mut self.large,
            Window::Small => &mut self.small,
        };
        let state = state.get_or_insert_with(|| Compress::new_with_window_bits(Compression::new(LEVEL), false, window.bits()));
        state.reset();
        // `compress_vec` stops at the capacity. With no room left over the flush may be incomplete, but then nothing was gained either.
        self.compressed.clear();
        self.compressed.reserve_exact(payload.len() + FLUSH.len());
        state.compress_vec(payload, &mut self.compressed, FlushCompress::Sync).ok()?;
        let is_flushed = self.compressed.len() < self.compressed.capacity();
        let compressed = self.compressed.strip_suffix(&FLUSH)?;
        (is_flushed && compressed.len() < payload.len()).then_some(compressed)
    }
}

impl Inflater {
    /// Inflates the payload of one message.
    ///
    /// # Errors
    /// [`Fault::BadDeflate`] if it is damaged or cut short; [`Fault::TooBig`] as soon as more than `max` bytes come out.
    pub fn inflate(&mut self, payload: &[u8], max: usize) -> Result<&[u8], Fault> {
        let Self { state, inflated } = self;
        inflated.clear();
        // Section 7.2.3.6 writes an empty message as one zero byte; nothing at all can mean nothing else.
        if payload.is_empty() {
            return Ok(inflated);
        }
        let state = state.get_or_insert_with(|| Decompress::new_with_window_bits(false, Window::Large.bits()));
        state.reset(false);
        // One byte above the limit is enough to see that it is passed.
        let capacity_max = max.saturating_add(1);
        inflated.reserve_exact(payload.len().saturating_mul(4).max(512).min(capacity_max));
        for mut rest in [payload, &FLUSH_AND_END] {
            loop {
                let before = state.total_in();
                let status = state.decompress_vec(rest, inflated, FlushDecompress::None).map_err(|_| Fault::BadDeflate)?;
                rest = &rest[(state.total_in() - before) as usize..];
                if inflated.len() > max {
                    return Err(Fault::TooBig { max });
                }
                match status {
                    // Also the end of a payload whose last block is final and lacks the zero byte of section 7.2.3.4.
                    Status::StreamEnd if rest.is_empty() => return Ok(inflated),
                    // A final block in the middle: section 7.2.1 allows it.
                    Status::StreamEnd => state.reset(false),
                    _ if inflated.len() == inflated.capacity() => {
                        inflated.reserve_exact(inflated.len().min(capacity_max - inflated.len()));
                    }
                    _ if rest.is_empty() => break,
                    _ => return Err(Fault::BadDeflate),
                }
            }
        }
        Err(Fault::BadDeflate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_never_given_room() {
        let mut bomb = Vec::with_capacity(1 << 20);
        Compress::new(Compression::best(), false).compress_vec(&vec![0; 1 << 26], &mut bomb, FlushCompress::Sync).unwrap();
        assert!(bomb.len() < bomb.capacity());
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&bomb, 65536), Err(Fault::TooBig { max: 65536 }));
        assert!(inflater.inflated.capacity() <= 65537, "{}", inflater.inflated.capacity());
    }
}
