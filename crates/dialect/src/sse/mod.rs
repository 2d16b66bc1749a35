//! Server-sent events: any channel of an app as a stream of text that a browser's `EventSource` and `curl` read, resumable by the last id.

pub mod codec;
pub mod request;
pub mod session;
