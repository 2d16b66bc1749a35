//! What a stream says: blocks of server-sent events, and the ids in them, which tell where a reader is.

use percent_encoding::percent_decode_str;
use std::fmt;
use tidings_hub::{Body, ChannelName, Event, Position};

/// An event that is told where a reader may have missed some.
const GAP: &str = "tidings:gap";
/// The event that begins a stream.
const SUBSCRIBED: &str = "tidings:subscribed";
/// The longest id that is looked at: a hundred serials.
const ID_BYTES_MAX: usize = 2048;

/// There are no words for an event: its data or its name is no text of lines, or it is about users or their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event cannot be said in server-sent events")]
pub struct Unspeakable;

/// Which channels of which run of a server a stream is about, as one number. With the channels known, it tells the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream(u64);

impl Stream {
    /// The stream of these channels, in this order, in the run with that epoch.
    pub fn new<'c>(epoch: u64, channels: impl IntoIterator<Item = &'c ChannelName>) -> Self {
        Self(epoch ^ mix(channels))
    }

    /// The epoch, if these are its channels; any number if not.
    pub fn epoch<'c>(self, channels: impl IntoIterator<Item = &'c ChannelName>) -> u64 {
        self.0 ^ mix(channels)
    }
}

/// FNV-1a of the names with what separates them. Not against attackers: whoever makes an id up is told what it asks for, of channels that it may read.
fn mix<'c>(channels: impl IntoIterator<Item = &'c ChannelName>) -> u64 {
    let bytes = channels.into_iter().flat_map(|channel| channel.as_str().bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where a reader is: the stream, and the last serial of each channel in the stream's order. As text `stream-serial.serial`, all in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// The stream.
    pub stream: Stream,
    /// A serial for each channel.
    pub serials: Vec<u64>,
}

impl Id {
    /// Reads what [`Id`] shows; it may be percent-encoded, as some put it into a URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > ID_BYTES_MAX {
            return None;
        }
        let text = percent_decode_str(text).decode_utf8().ok()?;
        let (stream, serials) = text.split_once('-')?;
        let serials = serials.split('.').map(number).collect::<Option<_>>()?;
        Some(Self { stream: Stream(number(stream)?), serials })
    }

    /// Where that is on each of the channels; `None` if it is of other channels, as far as their number tells.
    #[must_use]
    pub fn positions(&self, channels: &[ChannelName]) -> Option<Vec<Position>> {
        let epoch = self.stream.epoch(channels);
        (self.serials.len() == channels.len()).then(|| self.serials.iter().map(|&serial| Position { epoch, serial }).collect())
    }
}

/// Hex digits and nothing else: Rust would read a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_id(self.stream, &self.serials, f)
    }
}

fn write_id(stream: Stream, serials: &[u64], out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, "{:x}", stream.0)?;
    serials.iter().zip(std::iter::once('-').chain(std::iter::repeat('.'))).try_for_each(|(serial, mark)| write!(out, "{mark}{serial:x}"))
}

/// Where a reader is: the stream, and a serial for each of its channels.
pub type At<'a> = (Stream, &'a [u64]);

/// Appends the block of an event, for a reader who is there with it.
///
/// # Errors
/// [`Unspeakable`]: nothing was appended.
pub fn encode_event(event: &Event, at: At<'_>, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    match &event.body {
        Body::Published { name, data, .. } => {
            let data = std::str::from_utf8(data).map_err(|_| Unspeakable)?;
            if name.contains(['\r', '\n', '\0']) {
                return Err(Unspeakable);
            }
            block(name, Some(at), data, out);
        }
        Body::Gap => encode_gap(&event.channel, Some(at), out),
        Body::MemberAdded(_) | Body::MemberRemoved(_) | Body::Enrolled(_) | Body::Struck(_) | Body::SubscriptionCount(_) => {
            return Err(Unspeakable);
        }
    }
    Ok(())
}

/// Appends the block that tells a reader that it may have missed events of a channel, before what follows. Where there are more to be told it stays
/// where it was: should it be cut off in between, it is told all of them again.
pub fn encode_gap(channel: &ChannelName, at: Option<At<'_>>, out: &mut Vec<u8>) {
    block(GAP, at, &serde_json::json!({ "channel": channel.as_str() }).to_string(), out);
}

/// Appends what a stream begins with: how long to wait before coming back, and where the reader is; not yet, if it is to be told of gaps first.
/// `resumed` tells one that came back whether all it has missed follows.
pub fn encode_beginning(retry_millis: u128, channels: &[ChannelName], resumed: Option<bool>, at: Option<At<'_>>, out: &mut Vec<u8>) {
    let channels: Vec<&str> = channels.iter().map(ChannelName::as_str).collect();
    let data = match resumed {
        None => serde_json::json!({ "channels": channels }),
        Some(resumed) => serde_json::json!({ "channels": channels, "resumed": resumed }),
    };
    out.extend_from_slice(format!("retry: {retry_millis}\n").as_bytes());
    block(SUBSCRIBED, at, &data.to_string(), out);
}

/// A comment, which nobody sees but who looks whether the stream lives.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// One event: its name, an id, its data line by line.
fn block(name: &str, at: Option<At<'_>>, data: &str, out: &mut Vec<u8>) {
    for part in ["event: ", name, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some((stream, serials)) = at {
        let mut id = String::with_capacity(24);
        // Writing to a text does not fail.
        let _ = write_id(stream, serials, &mut id);
        for part in ["id: ", &id, "\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    for line in lines(data) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The lines as a reader of server-sent events finds them: ended by CR LF, LF or CR. At least one, which may be empty.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = memchr::memchr2(b'\r', b'\n', text.as_bytes()) else {
            rest = None;
            return Some(text);
        };
        let mark = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + mark..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidings_hub::{Budget, Member, Source};

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn published(name: &str, data: impl Into<bytes::Bytes>) -> Body {
        Body::Published { name: Arc::from(name), data: data.into(), source: Source::Server, attached: None }
    }

    fn encoded(body: Body) -> Option<String> {
        let event = Event::new(channel("news"), 1, 10, None, body, &Arc::new(Budget::new(usize::MAX)));
        let mut out = Vec::new();
        encode_event(&event, (Stream(0xabc), &[10]), &mut out).ok()?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_event_is_a_block_with_its_name_and_where_the_reader_is() {
        for (data, lines) in [
            ("hi", "data: hi\n"),
            ("", "data: \n"),
            ("{\"a\":\"b\\nc\"}", "data: {\"a\":\"b\\nc\"}\n"),
            ("a\nb", "data: a\ndata: b\n"),
            ("a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n"),
            ("\n\n", "data: \ndata: \ndata: \n"),
            (" two", "data:  two\n"),
        ] {
            assert_eq!(encoded(published("greet", data)).unwrap(), format!("event: greet\nid: abc-a\n{lines}\n"), "{data:?}");
        }
        assert_eq!(encoded(Body::Gap).unwrap(), "event: tidings:gap\nid: abc-a\ndata: {\"channel\":\"news\"}\n\n");
    }

    #[test]
    fn what_is_no_text_of_lines_cannot_be_said() {
        for body in [
            published("e", &b"\xff"[..]),
            published("a\nb", "x"),
            published("a\rid: 1", "x"),
            published("a\0", "x"),
            Body::MemberAdded(Arc::new(Member::new("u"))),
            Body::SubscriptionCount(1),
        ] {
            assert_eq!(encoded(body), None);
        }
    }

    #[test]
    fn a_stream_begins_with_where_it_stands() {
        let mut out = Vec::new();
        encode_beginning(50, &[channel("a"), channel("b\"")], None, Some((Stream(1), &[2, 3])), &mut out);
        let text = "retry: 50\nevent: tidings:subscribed\nid: 1-2.3\ndata: {\"channels\":[\"a\",\"b\\\"\"]}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn an_id_is_of_its_channels_alone() {
        let (ab, ba) = ([channel("a"), channel("b")], [channel("b"), channel("a")]);
        let id = Id { stream: Stream::new(77, &ab), serials: vec![1, u64::MAX] };
        let read = Id::parse(&id.to_string()).unwrap();
        assert_eq!(read, id);
        let positions = read.positions(&ab).unwrap();
        assert_eq!(positions, [Position { epoch: 77, serial: 1 }, Position { epoch: 77, serial: u64::MAX }]);
        assert_ne!(read.positions(&ba).unwrap()[0].epoch, 77);
        assert_eq!(read.positions(&ab[..1]), None);
        // "a" and "b" are not "ab".
        assert_ne!(Stream::new(77, &ab), Stream::new(77, &[channel("ab")]));
    }

    #[test]
    fn ids_of_others_are_none() {
        for text in ["", "-", "1", "1-", "-1", "1-2-3", "1-2.", "g-1", "1-+2", "10000000000000000-1", "1-x", "é-1", "1-2\n"] {
            assert_eq!(Id::parse(text), None, "{text:?}");
        }
        assert_eq!(Id::parse(&format!("1-{}", vec!["f"; 2000].join("."))), None);
        assert_eq!(Id::parse("A-b%2Ec").unwrap(), Id { stream: Stream(10), serials: vec![11, 12] });
    }
}
