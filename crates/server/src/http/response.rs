//! Responses that the shard writes itself.

use crate::transport::websocket::Refusal;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tidings_hub::Time;

/// What is answered, whoever writes it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// For 405: what is allowed.
    pub(crate) allow: Option<&'static str>,
    /// For 503: when to come again, in seconds.
    pub(crate) retry_after: Option<u32>,
    /// Further headers, names in lower case.
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Answer {
    pub(crate) fn json(body: Bytes) -> Self {
        Self { status: 200, content_type: "application/json", body, allow: None, retry_after: None, headers: Vec::new() }
    }

    /// One line of plain text.
    pub(crate) fn text(status: u16, line: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: line.into(), allow: None, retry_after: None, headers: Vec::new() }
    }

    /// No body at all.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, content_type: "", body: Bytes::new(), allow: None, retry_after: None, headers: Vec::new() }
    }

    /// What was to be stored first was not, and nobody got it.
    pub(crate) fn not_stored(why: &str) -> Self {
        let answer = Self::text(503, format!("Not stored, and not published: {why}\n"));
        Self { retry_after: Some(1), ..answer }
    }

    /// The node has no room for what was asked; nothing of it was done.
    pub(crate) fn no_room() -> Self {
        let answer = Self::text(503, &b"The server is over its capacity and published nothing of this request; try again.\n"[..]);
        Self { retry_after: Some(1), ..answer }
    }
}

/// How many answers were given, by the class of their status.
///
/// Each shard has its own, so that an add meets no other thread; what runs beside the shards shares one, which it touches seldom.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    fine: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Answered {
    /// Counts an answer.
    pub(crate) fn add(&self, status: u16) {
        let count = match status / 100 {
            5 => &self.failed,
            4 => &self.refused,
            _ => &self.fine,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The classes and their counts.
    pub(crate) fn read(&self) -> [(&'static str, u64); 3] {
        [("2xx", &self.fine), ("4xx", &self.refused), ("5xx", &self.failed)].map(|(class, count)| (class, count.load(Ordering::Relaxed)))
    }
}

/// Writes responses; keeps the date, which changes once a second.
#[derive(Default)]
pub(crate) struct Writer {
    date: String,
    dated: Option<Time>,
}

impl Writer {
    /// The whole response of HTTP/1.1.
    pub(crate) fn write(&mut self, answer: &Answer, keep_alive: bool, now: Time) -> Bytes {
        let date = self.date(now);
        let mut out = Vec::with_capacity(160 + answer.body.len());
        let mut number = itoa::Buffer::new();
        let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        put(&["HTTP/1.1 ", number.format(answer.status), " ", reason, "\r\ndate: ", date]);
        if !answer.content_type.is_empty() {
            put(&["\r\ncontent-type: ", answer.content_type]);
        }
        // Where there is no body by definition its length is not told either.
        if !matches!(answer.status, 204 | 304) {
            put(&["\r\ncontent-length: ", number.format(answer.body.len())]);
        }
        if let Some(allow) = answer.allow {
            put(&["\r\nallow: ", allow]);
        }
        if let Some(seconds) = answer.retry_after {
            put(&["\r\nretry-after: ", number.format(seconds)]);
        }
        for (name, value) in &answer.headers {
            put(&["\r\n", name, ": ", value]);
        }
        put(&[if keep_alive { "\r\n\r\n" } else { "\r\nconnection: close\r\n\r\n" }]);
        out.extend_from_slice(&answer.body);
        out.into()
    }

    /// The head of a response whose body grows, and what its body begins with. In HTTP/1.0 the end of the connection ends it.
    pub(crate) fn write_head(&mut self, answer: &Answer, chunked: bool, keep_alive: bool, now: Time) -> Bytes {
        let mut out = format!("HTTP/1.1 200 OK\r\ndate: {}\r\ncontent-type: {}", self.date(now), answer.content_type);
        for (name, value) in &answer.headers {
            out.extend(["\r\n", name, ": ", value]);
        }
        if chunked {
            out.push_str("\r\ntransfer-encoding: chunked");
        }
        out.push_str(if chunked && keep_alive { "\r\n\r\n" } else { "\r\nconnection: close\r\n\r\n" });
        let mut out = out.into_bytes();
        if !answer.body.is_empty() && chunked {
            out.extend_from_slice(format!("{:x}\r\n", answer.body.len()).as_bytes());
        }
        out.extend_from_slice(&answer.body);
        if !answer.body.is_empty() && chunked {
            out.extend_from_slice(b"\r\n");
        }
        out.into()
    }

    fn date(&mut self, now: Time) -> &str {
        if self.dated.is_none_or(|dated| now.since(dated) >= Duration::from_secs(1)) {
            self.date = httpdate::fmt_http_date(SystemTime::now());
            self.dated = Some(now);
        }
        &self.date
    }
}

/// Says why a handshake is none, and what it takes.
pub(crate) fn refused_upgrade(refusal: Refusal) -> Bytes {
    let status = http::StatusCode::from_u16(refusal.status()).unwrap_or(http::StatusCode::BAD_REQUEST);
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n");
    for (name, value) in refusal.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = format!("{refusal}\n");
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The response without its date, whose form is looked at.
    fn written(answer: &Answer, keep_alive: bool) -> String {
        let response = Writer::default().write(answer, keep_alive, Time::ZERO);
        let text = String::from_utf8(response.to_vec()).unwrap();
        let (head, rest) = text.split_once("\r\ndate: ").unwrap();
        let (date, rest) = rest.split_once("\r\n").unwrap();
        assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
        format!("{head}\r\n{rest}")
    }

    /// P-10.11, P-10.12.
    #[test]
    fn responses_are_whole() {
        for (answer, keep_alive, expected) in [
            (
                Answer::json(Bytes::from_static(b"{}")),
                true,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            ),
            (Answer::empty(202), true, "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"),
            (
                Answer { allow: Some("GET, POST"), ..Answer::text(405, &b"no\n"[..]) },
                false,
                "HTTP/1.1 405 Method Not Allowed\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\nallow: GET, POST\r\n\
                 connection: close\r\n\r\nno\n",
            ),
        ] {
            assert_eq!(written(&answer, keep_alive), expected);
        }
        let no_room = written(&Answer::no_room(), true);
        assert!(no_room.starts_with("HTTP/1.1 503 ") && no_room.contains("\r\nretry-after: 1\r\n"), "{no_room}");
    }

    #[test]
    fn the_date_is_made_once_a_second() {
        let mut writer = Writer::default();
        writer.date(Time::ZERO);
        "kept".clone_into(&mut writer.date);
        assert_eq!(writer.date(Time::from_micros(999_999)), "kept");
        assert_ne!(writer.date(Time::from_micros(1_000_000)), "kept");
    }

    /// P-2.1: 426 where asking in another way helps.
    #[test]
    fn a_refused_upgrade_says_why() {
        for (refusal, status, header) in [
            (Refusal::Version, "HTTP/1.1 426 Upgrade Required\r\n", "Sec-WebSocket-Version: 13\r\n"),
            (Refusal::Key, "HTTP/1.1 400 Bad Request\r\n", "connection: close\r\n"),
        ] {
            let text = String::from_utf8(refused_upgrade(refusal).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(status) && text.contains(header), "{text}");
            assert!(head.contains(&format!("content-length: {}", body.len())) && body == format!("{refusal}\n"), "{text}");
        }
    }
}
