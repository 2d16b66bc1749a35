//! A peer that falls back to HTTP, with frames taken apart by hand (P-19.3, P-19.4).

use super::client::{Client, subscription};
use serde_json::Value;

/// A request of the fallback, by transport and session.
pub fn request(session: &str, transport: &str, body: &str) -> String {
    format!(
        "POST /pusher/app/key/1/{session}/{transport}?protocol=7 HTTP/1.1\r\nHost: x\r\nOrigin: http://a.example\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a frame of messages holds.
pub fn messages(frame: &str) -> Vec<Value> {
    let texts =
        frame.strip_prefix('a').and_then(|rest| rest.strip_suffix('\n')).unwrap_or_else(|| panic!("messages were to come, not {frame}"));
    let texts: Vec<String> = serde_json::from_str(texts).unwrap();
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// A message as a client sends it.
pub fn said(message: &str) -> String {
    serde_json::json!([message]).to_string()
}

impl Client {
    /// Opens a session by polls, and subscribes it.
    pub fn poll_in(&mut self, session: &str, channel: &str) {
        let response = self.ask(request(session, "xhr", ""));
        assert_eq!((response.status, response.body.as_str()), (200, "o\n"), "{response:?}");
        assert_eq!(response.header("access-control-allow-origin"), Some("http://a.example"));
        assert_eq!(self.poll(session)[0]["event"], "pusher:connection_established");
        let response = self.ask(request(session, "xhr_send", &said(&subscription("", channel, None))));
        assert_eq!((response.status, response.body.as_str()), (204, ""));
        assert_eq!(self.poll(session)[0]["event"], "pusher_internal:subscription_succeeded");
    }

    /// The messages of one poll.
    pub fn poll(&mut self, session: &str) -> Vec<Value> {
        let response = self.ask(request(session, "xhr", ""));
        assert_eq!(response.status, 200);
        messages(&response.body)
    }

    /// The messages of the next frame of a stream.
    pub fn streamed(&mut self) -> Vec<Value> {
        messages(&self.chunk().expect("the stream goes on"))
    }
}
