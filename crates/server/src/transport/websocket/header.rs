//! The header of a client frame, and all that can be wrong with it on its own (RFC 6455 section 5.2).

use super::frame::{CONTROL_BYTES_MAX, FIN, RSV1, RSV2_RSV3};
use super::{Coding, Fault, Opcode};

/// The longest header of a client frame, in bytes: two, a length of eight, the mask.
pub(super) const HEADER_BYTES_MAX: usize = 14;

/// The header of one client frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    /// Whether the frame ends its message.
    pub(super) fin: bool,
    pub(super) coding: Coding,
    pub(super) mask: [u8; 4],
    /// The announced length of the payload: below 2^63, and at most [`CONTROL_BYTES_MAX`] for a control frame.
    pub(super) payload_len: u64,
}

impl Header {
    /// Reads the header `bytes` start with, and says how long it is; `None` while it is cut short. `accepted` is what was
    /// negotiated: [`Coding::Deflated`] allows RSV1 on the first frame of a message.
    pub(super) fn read(bytes: &[u8], accepted: Coding) -> Result<Option<(Self, usize)>, Fault> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let opcode = Opcode::of(first).ok_or(Fault::ReservedOpcode(first & 0x0f))?;
        let fin = first & FIN != 0;
        let coding = coding(first, opcode, accepted)?;
        if second & 0x80 == 0 {
            return Err(Fault::Unmasked);
        }
        let short_len = second & 0x7f;
        if opcode.is_control() {
            check_control(fin, short_len)?;
        }
        let Some((payload_len, rest)) = payload_len(short_len, rest)? else {
            return Ok(None);
        };
        let Some((&mask, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        Ok(Some((Self { opcode, fin, coding, mask, payload_len }, bytes.len() - rest.len())))
    }
}

fn coding(first: u8, opcode: Opcode, accepted: Coding) -> Result<Coding, Fault> {
    let starts_message = matches!(opcode, Opcode::Text | Opcode::Binary);
    match (first & RSV2_RSV3, first & RSV1) {
        (0, 0) => Ok(Coding::Plain),
        (0, RSV1) if starts_message && accepted == Coding::Deflated => Ok(Coding::Deflated),
        _ => Err(Fault::ReservedBit),
    }
}

fn check_control(fin: bool, short_len: u8) -> Result<(), Fault> {
    if !fin {
        return Err(Fault::ControlFragmented);
    }
    if usize::from(short_len) > CONTROL_BYTES_MAX {
        return Err(Fault::ControlTooLong);
    }
    Ok(())
}

/// The length of the payload and what follows it; `None` while it is cut short.
fn payload_len(short_len: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Fault> {
    let (len, shortest, rest) = match short_len {
        126 => match rest.split_first_chunk() {
            Some((&len, rest)) => (u64::from(u16::from_be_bytes(len)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((&len, rest)) => (u64::from_be_bytes(len), 0x1_0000, rest),
            None => return Ok(None),
        },
        len => (u64::from(len), 0, rest),
    };
    if len < shortest || len >> 63 != 0 {
        return Err(Fault::BadLength);
    }
    Ok(Some((len, rest)))
}
