//! What a stream says: blocks of server-sent events, and the ids in them, which tell where a reader is.

use crate::action::StoredEvent;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::io::Write;
use tidings_hub::{Body, ChannelName, Event, Position};

/// An event that is told where a reader may have missed some.
const GAP: &str = "tidings:gap";
/// The event that begins a stream.
const SUBSCRIBED: &str = "tidings:subscribed";
/// The longest id that is looked at: a hundred serials, each of another run.
const ID_BYTES_MAX: usize = 4096;

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
}

/// FNV-1a of the names with what separates them. Not against attackers: whoever makes an id up is told what it asks for, of channels that it may read.
fn mix<'c>(channels: impl IntoIterator<Item = &'c ChannelName>) -> u64 {
    let bytes = channels.into_iter().flat_map(|channel| channel.as_str().bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Where a reader is: for each channel of its stream, in the stream's order, the run of a server and the last serial there. As text
/// `stream-serial.serial`, all in hex. A reader who is being told what is stored may be in several runs at once: `stream,stream-serial.serial/1`, where
/// the number behind a stroke says which of the streams the serial is of, if not of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(Vec<(Stream, u64)>);

impl Id {
    /// Where somebody is who has read the channels up to these positions, one for each.
    pub fn new(channels: &[ChannelName], positions: &[Position]) -> Self {
        let mix = mix(channels);
        Self(positions.iter().map(|position| (Stream(position.epoch ^ mix), position.serial)).collect())
    }

    /// Reads what [`Id`] shows; it may be percent-encoded, as some put it into a URL.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > ID_BYTES_MAX {
            return None;
        }
        let text = percent_decode_str(text).decode_utf8().ok()?;
        let (streams, serials) = text.split_once('-')?;
        let streams = streams.split(',').map(|text| number(text).map(Stream)).collect::<Option<Vec<_>>>()?;
        let place = |text: &str| {
            let (serial, stream) = text.split_once('/').unwrap_or((text, "0"));
            let stream = usize::try_from(number(stream)?).ok()?;
            Some((*streams.get(stream)?, number(serial)?))
        };
        serials.split('.').map(place).collect::<Option<_>>().map(Self)
    }

    /// Where that is on each of the channels; `None` if it is of other channels, as far as their number tells.
    #[must_use]
    pub fn positions(&self, channels: &[ChannelName]) -> Option<Vec<Position>> {
        let mix = mix(channels);
        let position = |&(stream, serial): &(Stream, u64)| Position { epoch: stream.0 ^ mix, serial };
        (self.0.len() == channels.len()).then(|| self.0.iter().map(position).collect())
    }
}

/// Hex digits and nothing else: Rust would read a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())?
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut streams: Vec<Stream> = Vec::new();
        for (stream, _) in &self.0 {
            if !streams.contains(stream) {
                write!(f, "{}{:x}", if streams.is_empty() { "" } else { "," }, stream.0)?;
                streams.push(*stream);
            }
        }
        for (at, (stream, serial)) in self.0.iter().enumerate() {
            write!(f, "{}{serial:x}", if at == 0 { '-' } else { '.' })?;
            match streams.iter().position(|named| named == stream) {
                Some(0) | None => {}
                Some(place) => write!(f, "/{place:x}")?,
            }
        }
        Ok(())
    }
}

/// The id of one block.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    /// Of a reader who is at these serials of the stream, in the order of its channels.
    Now(Stream, &'a [u64]),
    /// Any.
    Id(&'a Id),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(stream, serials) => {
                write!(f, "{:x}", stream.0)?;
                let marks = std::iter::once('-').chain(std::iter::repeat('.'));
                serials.iter().zip(marks).try_for_each(|(serial, mark)| write!(f, "{mark}{serial:x}"))
            }
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// Appends the block of an event, for a reader who is there with it.
///
/// # Errors
/// [`Unspeakable`]: nothing was appended.
pub fn encode_event(event: &Event, at: At<'_>, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    match &event.body {
        Body::Published { name, data, .. } => published(name, data, at, out),
        Body::Gap => {
            encode_gap(&event.channel, Some(at), out);
            Ok(())
        }
        Body::MemberAdded(_) | Body::MemberRemoved(_) | Body::Enrolled(_) | Body::Struck(_) | Body::SubscriptionCount(_) => {
            Err(Unspeakable)
        }
    }
}

/// Appends the block of a stored event, for a reader who is there with it.
///
/// # Errors
/// [`Unspeakable`]: nothing was appended.
pub fn encode_stored(event: &StoredEvent, at: At<'_>, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    published(&event.name, &event.data, at, out)
}

/// Appends the block that tells a reader that it may have missed events of a channel, before what follows. Where there are more to be told it stays
/// where it was: should it be cut off in between, it is told all of them again.
pub fn encode_gap(channel: &ChannelName, at: Option<At<'_>>, out: &mut Vec<u8>) {
    block(GAP, at, &serde_json::json!({ "channel": channel.as_str() }).to_string(), out);
}

fn published(name: &str, data: &[u8], at: At<'_>, out: &mut Vec<u8>) -> Result<(), Unspeakable> {
    let data = std::str::from_utf8(data).map_err(|_| Unspeakable)?;
    if name.contains(['\r', '\n', '\0']) {
        return Err(Unspeakable);
    }
    block(name, Some(at), data, out);
    Ok(())
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
    if let Some(at) = at {
        // Writing to memory does not fail.
        let _ = writeln!(out, "id: {at}");
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
        encode_event(&event, At::Now(Stream(0xabc), &[10]), &mut out).ok()?;
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
        encode_beginning(50, &[channel("a"), channel("b\"")], None, Some(At::Now(Stream(1), &[2, 3])), &mut out);
        let text = "retry: 50\nevent: tidings:subscribed\nid: 1-2.3\ndata: {\"channels\":[\"a\",\"b\\\"\"]}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }

    #[test]
    fn an_id_is_of_its_channels_alone() {
        let (ab, ba) = ([channel("a"), channel("b")], [channel("b"), channel("a")]);
        let positions = [Position { epoch: 77, serial: 1 }, Position { epoch: 77, serial: u64::MAX }];
        let id = Id::new(&ab, &positions);
        let read = Id::parse(&id.to_string()).unwrap();
        assert_eq!(read, id);
        assert_eq!(id.to_string(), At::Now(Stream::new(77, &ab), &[1, u64::MAX]).to_string());
        assert_eq!(read.positions(&ab).unwrap(), positions);
        assert_ne!(read.positions(&ba).unwrap()[0].epoch, 77);
        assert_eq!(read.positions(&ab[..1]), None);
        // "a" and "b" are not "ab".
        assert_ne!(Stream::new(77, &ab), Stream::new(77, &[channel("ab")]));
    }

    #[test]
    fn an_id_may_be_of_several_runs() {
        let channels: Vec<_> = (0..100).map(|number| channel(&format!("c{number}"))).collect();
        let runs = |run: fn(u64) -> u64| -> Vec<_> { (0..100).map(|at| Position { epoch: run(at), serial: u64::MAX - at }).collect() };
        for positions in [runs(|_| 7), runs(|at| at % 3), runs(|at| u64::MAX - at)] {
            let id = Id::new(&channels, &positions);
            let read = Id::parse(&id.to_string()).unwrap();
            assert_eq!(read.positions(&channels).unwrap(), positions);
        }
        for (text, plain) in [("a,b-1/1.2/0", "b,a-1.2/1"), ("a,a-1.2/1", "a-1.2"), ("a,b-1", "a-1")] {
            assert_eq!(Id::parse(text).unwrap().to_string(), plain);
        }
    }

    #[test]
    fn ids_of_others_are_none() {
        let bad = ["", "-", "1", "1-", "-1", "1-2-3", "1-2.", "g-1", "1-+2", "10000000000000000-1", "1-x", "é-1", "1-2\n"];
        for text in bad.into_iter().chain(["1-2/", "1-2/1", "1,-2", ",1-2", "1,2-3/2", "1-2/0/0", "1-/0", "1-2/-0"]) {
            assert_eq!(Id::parse(text), None, "{text:?}");
        }
        assert_eq!(Id::parse(&format!("1-{}", vec!["f"; 4000].join("."))), None);
        assert_eq!(Id::parse("A-b%2Ec").unwrap(), Id(vec![(Stream(10), 11), (Stream(10), 12)]));
    }
}
