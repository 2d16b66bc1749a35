//! WebSocket framing of the server, without I/O: bytes in, messages out, frames ready to write (RFC 6455, RFC 7692).
//! A stream begins in [`handshake`]; then a connection keeps a [`Decoder`], which owns no memory between frames.

pub mod decoder;
pub mod deflate;
pub mod extension;
pub mod frame;
pub mod handshake;

mod fault;
mod header;
mod mask;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Message, Messages};
pub use deflate::{Deflater, Inflater, Window};
pub use extension::Agreement;
pub use fault::Fault;
pub use frame::{Coding, Opcode};
pub use handshake::{Refusal, Upgrade};
