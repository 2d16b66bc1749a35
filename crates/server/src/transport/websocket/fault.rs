//! What a client can do wrong, and the close code each mistake gets.

/// Why a connection cannot go on. The sentence fits into a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A reserved bit is set that no extension gave a meaning here (RFC 6455 section 5.2, RFC 7692 section 6).
    #[error("a reserved bit is set that means nothing here")]
    ReservedBit,
    /// The opcode is none of those RFC 6455 section 5.2 defines.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// The frame is not masked (section 5.1).
    #[error("a client must mask its frames")]
    Unmasked,
    /// The length is not in its shortest form, or has its top bit set (section 5.2).
    #[error("the length of a frame must be written in its shortest form")]
    BadLength,
    /// A control frame announces more than 125 bytes (section 5.5).
    #[error("a control frame has at most 125 bytes")]
    ControlTooLong,
    /// A control frame is not final (section 5.5).
    #[error("a control frame must not be fragmented")]
    ControlFragmented,
    /// A continuation came while no message was in progress (section 5.4).
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A new message began inside another one (section 5.4).
    #[error("the message in progress must end before the next one begins")]
    MessageUnfinished,
    /// The payload of a close frame is one byte long (section 5.5.1).
    #[error("a close frame is empty or starts with a code of two bytes")]
    CloseCut,
    /// A close code that must not travel (section 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// Text, or the reason of a close frame, is not UTF-8 (section 8.1).
    #[error("text must be UTF-8")]
    NotUtf8,
    /// A compressed message does not inflate (RFC 7692 section 7.2.2).
    #[error("the compressed message cannot be inflated")]
    BadDeflate,
    /// A message is longer than the limit, fragments added up, before or after inflating (P-2.8).
    #[error("a message has at most {max} bytes")]
    TooBig {
        /// The limit.
        max: usize,
    },
}

impl Fault {
    /// The close code to answer with (RFC 6455 section 7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::NotUtf8 | Self::BadDeflate => 1007,
            Self::TooBig { .. } => 1009,
            Self::ReservedBit
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::BadLength
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::NothingToContinue
            | Self::MessageUnfinished
            | Self::CloseCut
            | Self::CloseCode(_) => 1002,
        }
    }
}
