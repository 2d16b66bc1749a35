//! WebSocket framing of the server, without I/O (RFC 6455, RFC 7692).
