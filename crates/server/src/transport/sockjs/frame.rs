//! What the server sends: four frames, and how each transport wraps them (S-3.1, S-5.1).

use super::callback::Callback;
use super::close::Close;
use super::quote::{MESSAGE, SCRIPT, escape};
use super::settings::Transport;
use bytes::Bytes;
use std::fmt::Write as _;

/// One frame (S-3.1).
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// The first frame of every session.
    Open,
    /// A sign of life.
    Heartbeat,
    /// Messages as [`quote`](super::quote()) wrote them, at least one.
    Messages(&'a [Bytes]),
    /// The end.
    Close(&'a Close),
}

/// How frames reach a receiver over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A response for one frame (S-5.2).
    Xhr,
    /// A response that lasts (S-5.3).
    XhrStreaming,
    /// Server-sent events (S-5.4).
    EventSource,
    /// Scripts that give frames to a function of the page around (S-5.5).
    HtmlFile(Callback),
    /// A script for one frame (S-5.6).
    Jsonp(Callback),
}

impl Frame<'_> {
    /// The frame as it is, which is one text message of a WebSocket (S-6.4).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.parts(|part| out.extend_from_slice(part));
        out
    }

    /// Gives the frame's parts in order, each of them whole characters.
    fn parts(&self, mut take: impl FnMut(&[u8])) {
        match self {
            Self::Open => take(b"o"),
            Self::Heartbeat => take(b"h"),
            Self::Messages(quoted) => {
                take(b"a[");
                for (at, message) in quoted.iter().enumerate() {
                    if at > 0 {
                        take(b",");
                    }
                    take(message);
                }
                take(b"]");
            }
            Self::Close(close) => {
                let mut reason = Vec::new();
                super::quote(&close.reason, &mut reason);
                take(b"c[");
                take(itoa::Buffer::new().format(close.code).as_bytes());
                take(b",");
                take(&reason);
                take(b"]");
            }
        }
    }

    /// About how many bytes it has.
    fn len(&self) -> usize {
        match self {
            Self::Open | Self::Heartbeat => 1,
            Self::Messages(quoted) => quoted.iter().map(|message| message.len() + 1).sum::<usize>() + 2,
            Self::Close(close) => close.reason.len() + 16,
        }
    }
}

impl Framing {
    /// Which transport it is.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Xhr => Transport::Xhr,
            Self::XhrStreaming => Transport::XhrStreaming,
            Self::EventSource => Transport::EventSource,
            Self::HtmlFile(_) => Transport::HtmlFile,
            Self::Jsonp(_) => Transport::Jsonp,
        }
    }

    /// Whether a response ends after one frame.
    #[must_use]
    pub fn is_polling(&self) -> bool {
        matches!(self, Self::Xhr | Self::Jsonp(_))
    }

    /// What goes out before the first frame, in a chunk of its own; empty where nothing does.
    #[must_use]
    pub fn prelude(&self) -> Bytes {
        match self {
            Self::Xhr | Self::Jsonp(_) => Bytes::new(),
            Self::XhrStreaming => Bytes::from_static(STREAMING_PRELUDE),
            Self::EventSource => Bytes::from_static(b"\r\n"),
            Self::HtmlFile(callback) => page(callback),
        }
    }

    /// The frame with all around it, in one pass: a chunk of the response.
    #[must_use]
    pub fn wrap(&self, frame: &Frame<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(frame.len() + frame.len() / 8 + 64);
        match self {
            Self::Xhr | Self::XhrStreaming => {
                frame.parts(|part| out.extend_from_slice(part));
                out.push(b'\n');
            }
            Self::EventSource => {
                out.extend_from_slice(b"data: ");
                frame.parts(|part| percent_encode(part, &mut out));
                out.extend_from_slice(b"\r\n\r\n");
            }
            Self::HtmlFile(_) => {
                out.extend_from_slice(b"<script>\np(\"");
                frame.parts(|part| escape(part, &SCRIPT, &mut out));
                out.extend_from_slice(b"\");\n</script>\r\n");
            }
            Self::Jsonp(callback) => {
                for part in ["/**/", callback.as_str(), "(\""] {
                    out.extend_from_slice(part.as_bytes());
                }
                frame.parts(|part| escape(part, &MESSAGE, &mut out));
                out.extend_from_slice(b"\");\r\n");
            }
        }
        out
    }
}

/// Old browsers show nothing of a response before they have got so much of it.
const STREAMING_PRELUDE: &[u8; 2049] = &{
    let mut prelude = [b'h'; 2049];
    prelude[2048] = b'\n';
    prelude
};

/// What clients undo before they look at an event's data (S-5.4).
fn percent_encode(part: &[u8], out: &mut Vec<u8>) {
    let mut rest = part;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'%' | b'\r' | b'\n' | 0)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'%' => b"%25",
            b'\r' => b"%0D",
            b'\n' => b"%0A",
            _ => b"%00",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// The page that the scripts of an `htmlfile` stand in.
fn page(callback: &Callback) -> Bytes {
    /// Browsers wait for so much of a page before they run its scripts.
    const PADDED: usize = 1035;
    let mut page = String::with_capacity(PADDED + 4);
    page.push_str(concat!(
        "<!doctype html>\n",
        "<html><head>\n",
        "  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n",
        "  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n",
        "</head><body><h2>Don't panic!</h2>\n",
        "  <script>\n",
        "    document.domain = document.domain;\n",
    ));
    let _infallible = writeln!(page, "    var c = parent.{};", callback.as_str());
    page.push_str(concat!(
        "    c.start();\n",
        "    function p(d) {c.message(d);};\n",
        "    window.onload = function() {c.stop();};\n",
        "  </script>",
    ));
    let spaces = PADDED.saturating_sub(page.len());
    page.extend(std::iter::repeat_n(' ', spaces));
    page.push_str("\r\n\r\n");
    page.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framings() -> [Framing; 5] {
        let callback = || Callback::of_query("c=cb").unwrap();
        [Framing::Xhr, Framing::XhrStreaming, Framing::EventSource, Framing::HtmlFile(callback()), Framing::Jsonp(callback())]
    }

    fn quoted(messages: &[&str]) -> Vec<Bytes> {
        let quote = |message: &&str| {
            let mut out = Vec::new();
            super::super::quote(message, &mut out);
            Bytes::from(out)
        };
        messages.iter().map(quote).collect()
    }

    /// S-3.1, S-6.4.
    #[test]
    fn frames() {
        for (frame, expected) in [
            (Frame::Open, "o"),
            (Frame::Heartbeat, "h"),
            (Frame::Messages(&quoted(&["m1"])), r#"a["m1"]"#),
            (Frame::Messages(&quoted(&["m1", "m2", ""])), r#"a["m1","m2",""]"#),
            (Frame::Close(&Close::new(3000, "Go away!")), r#"c[3000,"Go away!"]"#),
            (Frame::Close(&Close::new(4999, "a \"b\"\n")), r#"c[4999,"a \"b\"\n"]"#),
            (Frame::Close(&Close::ANOTHER), r#"c[2010,"Another connection still open"]"#),
        ] {
            assert_eq!(String::from_utf8(frame.encode()).unwrap(), expected);
        }
    }

    /// S-5.1, S-5.4, S-5.5, S-5.6.
    #[test]
    fn each_transport_wraps_in_its_way() {
        for (messages, expected) in [
            (
                &["x"][..],
                [
                    "a[\"x\"]\n",
                    "a[\"x\"]\n",
                    "data: a[\"x\"]\r\n\r\n",
                    "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n",
                    "/**/cb(\"a[\\\"x\\\"]\");\r\n",
                ],
            ),
            (
                &["50%", "</script>\n\u{2028}"],
                [
                    "a[\"50%\",\"</script>\\n\\u2028\"]\n",
                    "a[\"50%\",\"</script>\\n\\u2028\"]\n",
                    "data: a[\"50%25\",\"</script>\\n\\u2028\"]\r\n\r\n",
                    "<script>\np(\"a[\\\"50%\\\",\\\"\\u003c/script>\\\\n\\\\u2028\\\"]\");\n</script>\r\n",
                    "/**/cb(\"a[\\\"50%\\\",\\\"</script>\\\\n\\\\u2028\\\"]\");\r\n",
                ],
            ),
        ] {
            for (framing, expected) in framings().iter().zip(expected) {
                let wrapped = framing.wrap(&Frame::Messages(&quoted(messages)));
                assert_eq!(String::from_utf8(wrapped).unwrap(), expected, "{framing:?}");
            }
        }
        let frames = framings().map(|framing| String::from_utf8(framing.wrap(&Frame::Open)).unwrap());
        assert_eq!(frames, ["o\n", "o\n", "data: o\r\n\r\n", "<script>\np(\"o\");\n</script>\r\n", "/**/cb(\"o\");\r\n"]);
    }

    /// S-5.4.
    #[test]
    fn events_are_percent_encoded() {
        let mut out = Vec::new();
        percent_encode("%a%%\r\n\0é+".as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "%25a%25%25%0D%0A%00é+");
    }

    /// S-5.1, S-5.3, S-5.5.
    #[test]
    fn preludes() {
        let [xhr, streaming, events, htmlfile, jsonp] = framings().map(|framing| framing.prelude());
        assert!(xhr.is_empty() && jsonp.is_empty());
        assert_eq!(streaming, "h".repeat(2048) + "\n");
        assert_eq!(events, "\r\n");
        let page = std::str::from_utf8(&htmlfile).unwrap();
        let body = page.strip_suffix("\r\n\r\n").unwrap();
        assert!(body.len() > 1024 && body.ends_with(' '), "{}", body.len());
        assert_eq!(
            body.trim_end(),
            r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.cb;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"#
        );
    }

    /// S-5.1, S-3.10.
    #[test]
    fn polls_end_after_one_frame() {
        let polling = framings().map(|framing| (framing.transport(), framing.is_polling()));
        assert_eq!(
            polling,
            [
                (Transport::Xhr, true),
                (Transport::XhrStreaming, false),
                (Transport::EventSource, false),
                (Transport::HtmlFile, false),
                (Transport::Jsonp, true)
            ]
        );
    }
}
