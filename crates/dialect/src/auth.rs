//! Signatures that several dialects share.
