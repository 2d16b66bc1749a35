//! How a service behaves: what an operator may choose, with the defaults of the rules.

use std::time::Duration;

/// The settings of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Characters of frames after which a streaming response ends (S-5.10).
    pub response_limit: usize,
    /// Whether its clients break a response off when it is full, and come back: then a response that ends ends nothing else, and a full one is
    /// left to them (P-19.6). They count all of it, so that must stop at the same frame.
    pub outlives_responses: bool,
    /// Whether a poll takes what waits and the close together (P-19.3). One of SockJS has one frame, and the server may be gone before the
    /// next.
    pub polls_take_all: bool,
    /// How long after a receiver was attached, or was last sent something, it is sent a heartbeat (S-7.7).
    pub heartbeat_delay: Duration,
    /// How long a session lasts without a receiver (S-7.5).
    pub disconnect_delay: Duration,
    /// Whether session URLs send the cookie that load balancers go by (S-9.1).
    pub jsessionid: bool,
    /// The script of the iframe page (S-4.5).
    pub sockjs_url: ScriptUrl,
    /// What clients use instead of the base URL for all that follows the info (S-4.1).
    pub base_url: Option<String>,
    /// Which transports are offered (S-2.8). Without WebSocket neither of its endpoints is (S-6.9).
    pub transports: Transports,
    /// No CORS headers and no iframe page (S-4.6, S-4.5).
    pub disable_cors: bool,
    /// Origins whose pages may connect; `None` for all (S-4.6).
    pub allowed_origins: Option<Vec<String>>,
    /// How a WebSocket is kept alive (S-6.8).
    pub ws_heartbeat: Heartbeat,
    /// Whether the WebSocket draft of 2010 is spoken (S-6.10).
    pub hixie76: bool,
    /// Whether WebSockets are compressed for clients that offer it (S-6.3).
    pub permessage_deflate: bool,
    /// Bytes of the body of a sending request, and of one WebSocket message (S-8.1).
    pub request_bytes: usize,
    /// Bytes of one message of a client (S-8.1).
    pub message_bytes: usize,
    /// Messages in one sending request (S-8.1).
    pub request_messages: usize,
    /// Messages that wait for a session's receiver (S-8.3).
    pub queue_messages: usize,
    /// Bytes of those messages, with what the socket has not taken yet (S-8.3).
    pub queue_bytes: usize,
    /// Sessions of the service (S-8.2).
    pub max_sessions: usize,
    /// Sessions of one client address; `None` for any number (S-8.2).
    pub max_sessions_per_ip: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            response_limit: 128 << 10,
            outlives_responses: false,
            polls_take_all: false,
            heartbeat_delay: Duration::from_secs(25),
            disconnect_delay: Duration::from_secs(5),
            jsessionid: false,
            sockjs_url: ScriptUrl::default(),
            base_url: None,
            transports: Transports::default(),
            disable_cors: false,
            allowed_origins: None,
            ws_heartbeat: Heartbeat::Both,
            hixie76: true,
            permessage_deflate: false,
            request_bytes: 1 << 20,
            message_bytes: 64 << 10,
            request_messages: 1000,
            queue_messages: 1024,
            queue_bytes: 4 << 20,
            max_sessions: 100_000,
            max_sessions_per_ip: None,
        }
    }
}

/// How the server sees to it that a WebSocket lives (S-6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// A heartbeat frame, and a ping whose answer is waited for.
    Both,
    /// The ping alone.
    Ping,
    /// The frame alone: nobody waits for an answer.
    Frame,
}

/// How a client's frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Transport {
    /// A WebSocket with frames.
    WebSocket,
    /// A WebSocket without them.
    RawWebSocket,
    /// A response that lasts.
    XhrStreaming,
    /// A response for each frame.
    Xhr,
    /// Server-sent events.
    EventSource,
    /// A page of scripts that lasts.
    HtmlFile,
    /// A script for each frame.
    Jsonp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::WebSocket, Self::RawWebSocket, Self::XhrStreaming, Self::Xhr, Self::EventSource, Self::HtmlFile, Self::Jsonp];

    /// What applications and settings call it (S-3.10).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::RawWebSocket => "websocket-raw",
            Self::XhrStreaming => "xhr-streaming",
            Self::Xhr => "xhr-polling",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp-polling",
        }
    }

    /// The transport of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.name() == name)
    }
}

/// A set of transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transports(u8);

impl Default for Transports {
    /// All of them.
    fn default() -> Self {
        Transport::ALL.into_iter().collect()
    }
}

impl Transports {
    /// Whether `transport` is among them.
    #[must_use]
    pub fn has(self, transport: Transport) -> bool {
        self.0 & Self::bit(transport) != 0
    }

    /// The same without `transport`.
    #[must_use]
    pub fn without(self, transport: Transport) -> Self {
        Self(self.0 & !Self::bit(transport))
    }

    /// The same without either form of WebSocket.
    #[must_use]
    pub fn without_websocket(self) -> Self {
        self.without(Transport::WebSocket).without(Transport::RawWebSocket)
    }

    fn bit(transport: Transport) -> u8 {
        1 << transport as u8
    }
}

impl FromIterator<Transport> for Transports {
    fn from_iter<I: IntoIterator<Item = Transport>>(transports: I) -> Self {
        Self(transports.into_iter().fold(0, |bits, transport| bits | Self::bit(transport)))
    }
}

/// The address of a client script: it starts with `/` or `http` (S-4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptUrl(String);

impl ScriptUrl {
    /// `url`, if it may stand in the page.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        (url.starts_with('/') || url.starts_with("http")).then(|| Self(url.to_owned()))
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ScriptUrl {
    fn default() -> Self {
        Self("https://cdn.jsdelivr.net/npm/sockjs-client@1/dist/sockjs.min.js".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S-5.10, S-7.7, S-7.5, S-9.1, S-6.8, S-8.1, S-8.2, S-8.3.
    #[test]
    fn defaults_are_those_of_the_rules() {
        let settings = Settings::default();
        assert_eq!(settings.response_limit, 131_072);
        assert_eq!((settings.heartbeat_delay.as_secs(), settings.disconnect_delay.as_secs()), (25, 5));
        assert_eq!((settings.jsessionid, settings.hixie76, settings.permessage_deflate), (false, true, false));
        assert_eq!(settings.ws_heartbeat, Heartbeat::Both);
        assert_eq!((settings.request_bytes, settings.message_bytes, settings.request_messages), (1_048_576, 65_536, 1000));
        assert_eq!((settings.queue_messages, settings.queue_bytes), (1024, 4_194_304));
        assert_eq!((settings.max_sessions, settings.max_sessions_per_ip), (100_000, None));
        // S-5.13: a client waits 35 s for an answer.
        assert!(settings.heartbeat_delay < Duration::from_secs(35));
    }

    /// S-3.10.
    #[test]
    fn transports_have_names() {
        for transport in Transport::ALL {
            assert_eq!(Transport::named(transport.name()), Some(transport));
        }
        assert_eq!(Transport::named("xhr"), None);
    }

    /// S-2.8, S-6.9.
    #[test]
    fn transports_can_be_switched_off() {
        let all = Transports::default();
        assert!(Transport::ALL.into_iter().all(|transport| all.has(transport)));
        for off in Transport::ALL {
            let rest = all.without(off);
            assert!(Transport::ALL.into_iter().all(|transport| rest.has(transport) == (transport != off)), "{off:?}");
        }
        let rest = all.without_websocket();
        assert!(!rest.has(Transport::WebSocket) && !rest.has(Transport::RawWebSocket) && rest.has(Transport::Xhr));
    }

    /// S-4.5.
    #[test]
    fn scripts_are_absolute() {
        for (url, good) in
            [("/sockjs.js", true), ("//cdn/x.js", true), ("http://x", true), ("sockjs.js", false), ("", false), ("javascript:x", false)]
        {
            assert_eq!(ScriptUrl::parse(url).is_some(), good, "{url}");
        }
    }
}
