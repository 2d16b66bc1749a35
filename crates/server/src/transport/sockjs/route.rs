//! Which endpoint a path and a method name (sockjs.md section 2).

use super::settings::{Transport, Transports};

/// The longest session id, in bytes (S-2.3).
const SESSION_BYTES_MAX: usize = 128;

/// What a request is for. Session ids are the raw text of the path (S-2.3); the server part is not looked at (S-2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The greeting (S-2.5).
    Greeting,
    /// The info (S-4.1).
    Info,
    /// Whether the info may be asked for from elsewhere (S-4.2).
    InfoOptions,
    /// The iframe page (S-4.4).
    Iframe,
    /// A WebSocket without frames (S-6.9).
    RawWebSocket,
    /// A WebSocket; its session is its own, whatever the URL says (S-6.7).
    WebSocket,
    /// A receiving request.
    Receive {
        /// The session id.
        session: &'a str,
        /// One of the five transports over HTTP.
        transport: Transport,
    },
    /// A sending request.
    Send {
        /// The session id.
        session: &'a str,
        /// How its body is written.
        how: Sending,
    },
    /// Whether one of the `xhr` endpoints may be asked from elsewhere (S-4.3).
    SessionOptions,
}

/// How messages are sent to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// As the body itself (S-5.8).
    Xhr,
    /// By a form (S-5.9).
    Jsonp,
}

/// There is nothing to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The path is unknown (S-2.6).
    Path,
    /// The path is known, the method is wrong (S-2.7).
    Method {
        /// The methods of the path.
        allow: &'static str,
    },
}

/// What `path` is below `prefix`; `None` if it belongs to somebody else.
#[must_use]
pub fn below<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The route of a request for `path`, which is what stands below the prefix, without the query.
pub(super) fn route<'p>(method: &str, path: &'p str, transports: Transports, iframe: bool) -> Result<Route<'p>, Missing> {
    if path.is_empty() || path == "/" {
        return only("GET", method, Route::Greeting);
    }
    let mut segments = path.strip_prefix('/').ok_or(Missing::Path)?.split('/');
    let (first, second, third) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
    // What may follow is one slash, which gives one empty segment.
    let end = |mut rest: std::str::Split<'p, char>| matches!((rest.next(), rest.next()), (None | Some(""), None));
    match (second, third) {
        (None, _) | (Some(""), None) => top(method, first, transports, iframe),
        (Some(session), Some(endpoint)) if is_part(first) && is_part(session) && session.len() <= SESSION_BYTES_MAX && end(segments) => {
            in_session(method, session, endpoint, transports)
        }
        _ => Err(Missing::Path),
    }
}

/// Routes of the service itself.
fn top<'p>(method: &str, name: &str, transports: Transports, iframe: bool) -> Result<Route<'p>, Missing> {
    match name {
        "info" => match method {
            "GET" => Ok(Route::Info),
            "OPTIONS" => Ok(Route::InfoOptions),
            _ => Err(Missing::Method { allow: "GET, OPTIONS" }),
        },
        "websocket" if transports.has(Transport::RawWebSocket) => only("GET", method, Route::RawWebSocket),
        _ if iframe && is_iframe(name) => only("GET", method, Route::Iframe),
        _ => Err(Missing::Path),
    }
}

/// Routes of one session. One that is switched off is unknown (S-2.8).
fn in_session<'p>(method: &str, session: &'p str, endpoint: &str, transports: Transports) -> Result<Route<'p>, Missing> {
    let receive = |transport| Route::Receive { session, transport };
    match endpoint {
        "websocket" if transports.has(Transport::WebSocket) => only("GET", method, Route::WebSocket),
        "xhr" if transports.has(Transport::Xhr) => posted(method, receive(Transport::Xhr)),
        "xhr_streaming" if transports.has(Transport::XhrStreaming) => posted(method, receive(Transport::XhrStreaming)),
        "xhr_send" if sends_by_xhr(transports) => posted(method, Route::Send { session, how: Sending::Xhr }),
        "eventsource" if transports.has(Transport::EventSource) => only("GET", method, receive(Transport::EventSource)),
        "htmlfile" if transports.has(Transport::HtmlFile) => only("GET", method, receive(Transport::HtmlFile)),
        "jsonp" if transports.has(Transport::Jsonp) => only("GET", method, receive(Transport::Jsonp)),
        "jsonp_send" if transports.has(Transport::Jsonp) => only("POST", method, Route::Send { session, how: Sending::Jsonp }),
        _ => Err(Missing::Path),
    }
}

/// All that receive over HTTP by other means than a script send by `xhr_send`.
fn sends_by_xhr(transports: Transports) -> bool {
    [Transport::Xhr, Transport::XhrStreaming, Transport::EventSource, Transport::HtmlFile].into_iter().any(|each| transports.has(each))
}

fn posted<'p>(method: &str, route: Route<'p>) -> Result<Route<'p>, Missing> {
    match method {
        "POST" => Ok(route),
        "OPTIONS" => Ok(Route::SessionOptions),
        _ => Err(Missing::Method { allow: "POST, OPTIONS" }),
    }
}

fn only<'p>(allow: &'static str, method: &str, route: Route<'p>) -> Result<Route<'p>, Missing> {
    if method == allow { Ok(route) } else { Err(Missing::Method { allow }) }
}

/// Whether a segment may name a server or a session (S-2.2).
fn is_part(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains('.')
}

/// Whether it is `iframe<v>.html` (S-2.4).
fn is_iframe(name: &str) -> bool {
    let version = name.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html"));
    version.is_some_and(|version| version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'.' | b'_' | b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Result<Route<'_>, Missing> {
        route("GET", path, Transports::default(), true)
    }

    /// S-1.1, S-2.5.
    #[test]
    fn prefixes_end_where_a_segment_does() {
        for (prefix, path, rest) in [
            ("/echo", "/echo", Some("")),
            ("/echo", "/echo/", Some("/")),
            ("/echo", "/echo/info", Some("/info")),
            ("/echo", "/echoes", None),
            ("/echo", "/ECHO", None),
            ("/echo", "/", None),
            ("/a/b/c", "/a/b/c//", Some("//")),
            ("", "/info", Some("/info")),
        ] {
            assert_eq!(below(prefix, path), rest, "{prefix} {path}");
        }
    }

    /// S-2.1, S-2.3, S-2.5.
    #[test]
    fn every_path_has_its_route() {
        let receive = |transport| Route::Receive { session: "s1", transport };
        let send = |how| Route::Send { session: "s1", how };
        for (method, path, expected) in [
            ("GET", "", Route::Greeting),
            ("GET", "/", Route::Greeting),
            ("GET", "/info", Route::Info),
            ("OPTIONS", "/info", Route::InfoOptions),
            ("GET", "/iframe.html", Route::Iframe),
            ("GET", "/websocket", Route::RawWebSocket),
            ("GET", "/000/s1/websocket", Route::WebSocket),
            ("POST", "/000/s1/xhr", receive(Transport::Xhr)),
            ("POST", "/000/s1/xhr_streaming", receive(Transport::XhrStreaming)),
            ("POST", "/000/s1/xhr_send", send(Sending::Xhr)),
            ("OPTIONS", "/000/s1/xhr", Route::SessionOptions),
            ("OPTIONS", "/000/s1/xhr_streaming", Route::SessionOptions),
            ("OPTIONS", "/000/s1/xhr_send", Route::SessionOptions),
            ("GET", "/000/s1/eventsource", receive(Transport::EventSource)),
            ("GET", "/000/s1/htmlfile", receive(Transport::HtmlFile)),
            ("GET", "/000/s1/jsonp", receive(Transport::Jsonp)),
            ("POST", "/000/s1/jsonp_send", send(Sending::Jsonp)),
        ] {
            assert_eq!(route(method, path, Transports::default(), true), Ok(expected), "{method} {path}");
            if path.len() > 1 {
                let path = format!("{path}/");
                assert_eq!(route(method, &path, Transports::default(), true), Ok(expected), "{method} {path}");
                assert_eq!(route(method, &format!("{path}/"), Transports::default(), true), Err(Missing::Path), "{method} {path}/");
            }
        }
    }

    /// S-2.2.
    #[test]
    fn servers_and_sessions_are_named_freely() {
        for (server, session) in [("a", "a"), ("_", "_"), ("1", "1"), ("abcdefgh_i-j%20", "abcdefg_i-j%20"), ("é", "~!*'();:@&=+$,")] {
            let path = format!("/{server}/{session}/xhr");
            assert_eq!(
                route("POST", &path, Transports::default(), true),
                Ok(Route::Receive { session, transport: Transport::Xhr }),
                "{path}"
            );
        }
        for path in ["//", "/a./a", "/a/a.", "/./.", "//a", "/a/", "/.../a", "/a/a/a"] {
            for endpoint in ["", "/", "/xhr", "/xhr/"] {
                let path = format!("{path}{endpoint}");
                assert_eq!(route("POST", &path, Transports::default(), true), Err(Missing::Path), "{path}");
            }
        }
    }

    /// S-2.3.
    #[test]
    fn session_ids_are_bounded() {
        for (len, found) in [(128, true), (129, false)] {
            let path = format!("/000/{}/eventsource", "x".repeat(len));
            assert_eq!(get(&path).is_ok(), found, "{len}");
        }
    }

    /// S-2.4.
    #[test]
    fn iframe_pages_have_any_version() {
        for path in
            ["/iframe.html", "/iframe-.html", "/iframe-a.html", "/iframe-0.1.2.html", "/iframe-0.1.2abc-dirty.2144.html", "/iframe_1.html/"]
        {
            assert_eq!(get(path), Ok(Route::Iframe), "{path}");
        }
        for path in [
            "/iframe.htm",
            "/iframe",
            "/IFRAME.HTML",
            "/IFRAME",
            "/iframe.HTML",
            "/iframe.xml",
            "/iframe-/.html",
            "/iframe-A.html",
            "/iframe%20.html",
            "/xiframe.html",
        ] {
            assert_eq!(get(path), Err(Missing::Path), "{path}");
        }
        assert_eq!(route("GET", "/iframe.html", Transports::default(), false), Err(Missing::Path), "S-4.5");
    }

    /// S-2.6.
    #[test]
    fn other_paths_are_unknown() {
        for path in [
            "/a",
            "/a/a/",
            "//",
            "///",
            "/a.html",
            "info",
            "/Info",
            "/info/a",
            "/000/s1",
            "/000/s1/XHR",
            "/000/s1/chunking_test",
            "/chunking_test",
        ] {
            for method in ["GET", "POST", "OPTIONS", "PUT"] {
                assert_eq!(route(method, path, Transports::default(), true), Err(Missing::Path), "{method} {path}");
            }
        }
    }

    /// S-2.7.
    #[test]
    fn wrong_methods_are_told_the_right_ones() {
        for (path, allow) in [
            ("", "GET"),
            ("/", "GET"),
            ("/info", "GET, OPTIONS"),
            ("/iframe.html", "GET"),
            ("/websocket", "GET"),
            ("/0/0/websocket", "GET"),
            ("/0/0/xhr", "POST, OPTIONS"),
            ("/0/0/xhr_streaming", "POST, OPTIONS"),
            ("/0/0/xhr_send", "POST, OPTIONS"),
            ("/0/0/eventsource", "GET"),
            ("/0/0/htmlfile", "GET"),
            ("/0/0/jsonp", "GET"),
            ("/0/0/jsonp_send", "POST"),
        ] {
            for method in ["HEAD", "PUT", "GET", "POST", "OPTIONS", "get", ""] {
                let answer = route(method, path, Transports::default(), true);
                match allow.split(", ").any(|allowed| allowed == method) {
                    true => assert!(answer.is_ok(), "{method} {path}"),
                    false => assert_eq!(answer, Err(Missing::Method { allow }), "{method} {path}"),
                }
            }
        }
    }

    /// S-2.8, S-6.9.
    #[test]
    fn what_is_switched_off_is_unknown() {
        let paths = [
            (Transport::WebSocket, "/0/0/websocket"),
            (Transport::RawWebSocket, "/websocket"),
            (Transport::Xhr, "/0/0/xhr"),
            (Transport::XhrStreaming, "/0/0/xhr_streaming"),
            (Transport::EventSource, "/0/0/eventsource"),
            (Transport::HtmlFile, "/0/0/htmlfile"),
            (Transport::Jsonp, "/0/0/jsonp"),
            (Transport::Jsonp, "/0/0/jsonp_send"),
        ];
        for (off, _) in paths {
            let transports = Transports::default().without(off);
            for (transport, path) in paths {
                for method in ["GET", "POST", "PUT"] {
                    let unknown = route(method, path, transports, true) == Err(Missing::Path);
                    assert_eq!(unknown, transport == off, "{method} {path} without {off:?}");
                }
            }
            assert!(route("POST", "/0/0/xhr_send", transports, true).is_ok());
        }
        let scripts = Transports::from_iter([Transport::Jsonp, Transport::WebSocket]);
        assert_eq!(route("POST", "/0/0/xhr_send", scripts, true), Err(Missing::Path));
    }
}
