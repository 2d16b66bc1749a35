//! A command on its way to its endpoint and back (Y-9.3, Y-9.4), as bytes.

use super::codec::Transport;
use super::name;
use super::settings::Settings;
use crate::action::{Broadcast, Close, Command, CommandFailed, Reply};
use crate::auth;
use crate::pusher::json::write_string;
use crate::pusher::name::is_reserved_event;
use crate::pushi::api::json::is_deep;
use crate::pushi::name::{parse_socket_id, socket_id as uuid};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidings_hub::{App, ChannelName, SocketId, UnixTime};

/// The longest answer that is read.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Who calls a command.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The connection.
    pub socket_id: SocketId,
    /// How its messages travel.
    pub transport: Transport,
    /// Where it comes from.
    pub remote_address: &'a str,
    /// Of its headers those that an application may know (S-3.9), names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The channels that it is on.
    pub channels: &'a [ChannelName],
}

/// The body of the request, and the signature for its header `X-Pushy-Signature`. `now` in seconds goes into `X-Pushy-Timestamp`; `id` tells the
/// call from all others.
#[must_use]
pub fn request(app: &App, command: &Command, caller: &Caller<'_>, id: &str, now: UnixTime) -> (Vec<u8>, String) {
    let mut body = b"{\"command\":".to_vec();
    write_string(&command.name, &mut body);
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(&command.data);
    body.extend_from_slice(format!(",\"timestamp\":{},\"id\":", now.as_secs()).as_bytes());
    write_string(id, &mut body);
    body.extend_from_slice(b",\"connection\":{\"socketId\":");
    write_string(&uuid(caller.socket_id), &mut body);
    body.extend_from_slice(b",\"protocol\":");
    write_string(caller.transport.name(), &mut body);
    body.extend_from_slice(b",\"remoteAddress\":");
    write_string(caller.remote_address, &mut body);
    body.extend_from_slice(b",\"headers\":{");
    for (place, (name, value)) in caller.headers.iter().enumerate() {
        separate(place, &mut body);
        write_string(name, &mut body);
        body.push(b':');
        write_string(value, &mut body);
    }
    body.extend_from_slice(b"},\"channels\":[");
    for (place, channel) in caller.channels.iter().enumerate() {
        separate(place, &mut body);
        body.extend_from_slice(b"{\"channel\":");
        write_string(channel.as_str(), &mut body);
        body.extend_from_slice(b",\"memberId\":");
        write_string(&name::member_id(app, caller.socket_id, channel), &mut body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}}");
    let secret = app.keys.first().map_or("", |pair| pair.secret.as_str());
    let timestamp = now.as_secs().to_string();
    let signature = format!("sha256={}", auth::sign(secret, &[timestamp.as_bytes(), b".", &body]));
    (body, signature)
}

fn separate(place: usize, out: &mut Vec<u8>) {
    if place > 0 {
        out.push(b',');
    }
}

/// Reads the answer: nothing to do, or an object of which every member may be missing (Y-9.4). Connections that this server cannot have made are
/// passed over.
///
/// # Errors
/// [`CommandFailed`] for any other status, and for an answer of which a part is wrong: then nothing of it is done.
pub fn answer(status: u16, body: &[u8], settings: &Settings) -> Result<Reply, CommandFailed> {
    match status {
        204 => Ok(Reply::default()),
        200 if body.len() <= ANSWER_BYTES_MAX => read(body, settings).ok_or_else(CommandFailed::default),
        _ => Err(CommandFailed::default()),
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    reply: Vec<Told<'a>>,
    #[serde(borrow, default)]
    broadcast: Vec<ToChannel<'a>>,
    #[serde(borrow, default)]
    send: Vec<ToSocket<'a>>,
    #[serde(default)]
    unsubscribe: Vec<String>,
    close: Option<End>,
}

#[derive(Deserialize)]
struct Told<'a> {
    event: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToChannel<'a> {
    channel: String,
    event: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    except: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToSocket<'a> {
    socket_id: String,
    event: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct End {
    #[serde(default = "normal")]
    code: u16,
    #[serde(default)]
    reason: Option<String>,
}

fn normal() -> u16 {
    1000
}

fn read(body: &[u8], settings: &Settings) -> Option<Reply> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.trim_start().starts_with('{') && !is_deep(text))?;
    let answer: Answer<'_> = serde_json::from_str(text).ok()?;
    let name = |event: String| (event.chars().count() <= settings.event_name_chars).then_some(event);
    let broadcast = |told: ToChannel<'_>| {
        let channel = name::parse(&told.channel, settings).ok()?;
        let event = name(told.event).filter(|event| !is_reserved_event(event))?;
        Some(Broadcast { channel, event, data: data(told.data), except: told.except })
    };
    let send = |told: ToSocket<'_>| match parse_socket_id(&told.socket_id) {
        Some(socket) => name(told.event).map(|event| Some((socket, event, data(told.data)))),
        None => Some(None),
    };
    let send: Option<Vec<_>> = answer.send.into_iter().map(send).collect();
    Some(Reply {
        reply: answer.reply.into_iter().map(|told| Some((name(told.event)?, data(told.data)))).collect::<Option<_>>()?,
        broadcast: answer.broadcast.into_iter().map(broadcast).collect::<Option<_>>()?,
        send: send?.into_iter().flatten().collect(),
        unsubscribe: answer.unsubscribe,
        close: match answer.close {
            Some(end) => Some(end.close()?),
            None => None,
        },
    })
}

/// Clients take missing data for an empty object (Y-6.14).
fn data(data: Option<&RawValue>) -> Bytes {
    Bytes::from(data.map_or("{}", RawValue::get).to_owned())
}

impl End {
    /// What an application may close with (S-7.8).
    fn close(self) -> Option<Close> {
        let reason = self.reason.unwrap_or_else(|| if self.code == 1000 { "Normal closure".to_owned() } else { String::new() });
        let fits = matches!(self.code, 1000 | 3000..=4999) && reason.len() <= 123;
        fits.then(|| Close { code: self.code, reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "c0ffee00-0000-4000-8000-000000000001";

    fn read(body: &str) -> Result<Reply, CommandFailed> {
        answer(200, body.as_bytes(), &Settings::default())
    }

    /// Y-9.3
    #[test]
    fn the_endpoint_is_told_who_calls_and_what() {
        let app = App::new("1", "k", "secret");
        let command = Command { name: "chat".to_owned(), data: Bytes::from_static(br#"{"a": 1}"#) };
        let channels = [ChannelName::parse("private-room").unwrap(), ChannelName::parse("news").unwrap()];
        let socket_id = parse_socket_id(SOCKET).unwrap();
        let headers = [("host", "example.org"), ("user-agent", "a \"b\"")];
        let caller =
            Caller { socket_id, transport: Transport::XhrPolling, remote_address: "192.0.2.1", headers: &headers, channels: &channels };
        let (body, signature) = request(&app, &command, &caller, "call-1", UnixTime::from_millis(1_363_800_000_999));
        let ids = [0, 1].map(|at| name::member_id(&app, socket_id, &channels[at]));
        let expected = format!(
            r#"{{"command":"chat","data":{{"a": 1}},"timestamp":1363800000,"id":"call-1","connection":{{"socketId":"{SOCKET}","protocol":"xhr-polling","remoteAddress":"192.0.2.1","headers":{{"host":"example.org","user-agent":"a \"b\""}},"channels":[{{"channel":"private-room","memberId":"{}"}},{{"channel":"news","memberId":"{}"}}]}}}}"#,
            ids[0], ids[1]
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(signature, format!("sha256={}", auth::sign("secret", &[b"1363800000.", expected.as_bytes()])));
    }

    /// Y-9.4
    #[test]
    fn an_answer_says_what_to_do() {
        assert_eq!(answer(204, b"anything", &Settings::default()), Ok(Reply::default()));
        assert_eq!(read("{}"), Ok(Reply::default()));
        let reply = read(&format!(
            r#" {{"reply":[{{"event":"a","data":[1, 2]}},{{"event":"b"}}],"broadcast":[{{"channel":"Room","event":"c","data":"x","except":true}}],
            "send":[{{"socketId":"{SOCKET}","event":"d","data":null}},{{"socketId":"gone","event":"d"}}],"unsubscribe":["Room"],
            "close":{{"code":4000,"reason":"r"}},"more":1}}"#
        ))
        .unwrap();
        assert_eq!(reply.reply, [("a".to_owned(), Bytes::from_static(b"[1, 2]")), ("b".to_owned(), Bytes::from_static(b"{}"))]);
        let channel = ChannelName::parse("room").unwrap();
        assert_eq!(reply.broadcast, [Broadcast { channel, event: "c".to_owned(), data: Bytes::from_static(b"\"x\""), except: true }]);
        assert_eq!(reply.send, [(parse_socket_id(SOCKET).unwrap(), "d".to_owned(), Bytes::from_static(b"{}"))]);
        assert_eq!(reply.unsubscribe, ["Room"]);
        assert_eq!(reply.close, Some(Close { code: 4000, reason: "r".into() }));
        assert_eq!(read(r#"{"close":{}}"#).unwrap().close, Some(Close { code: 1000, reason: "Normal closure".into() }));
    }

    /// Y-9.5, Y-9.6: nothing of what was answered reaches the caller.
    #[test]
    fn a_bad_answer_does_nothing() {
        for body in [
            "",
            "[]",
            "null",
            "{",
            r#"{"reply":{}}"#,
            r#"{"reply":[{"data":1}]}"#,
            r#"{"broadcast":[{"channel":"","event":"a"}]}"#,
            r##"{"broadcast":[{"channel":"#x","event":"a"}]}"##,
            r#"{"broadcast":[{"channel":"a","event":"pushy:presence-add"}]}"#,
            r#"{"broadcast":[{"channel":"a","event":"pusher:x"}]}"#,
            r#"{"send":[{"event":"a"}]}"#,
            r#"{"unsubscribe":[5]}"#,
            r#"{"close":{"code":1001}}"#,
            r#"{"close":{"code":5000}}"#,
            &format!(r#"{{"close":{{"reason":"{}"}}}}"#, "r".repeat(124)),
            &format!(r#"{{"reply":[{{"event":"{}"}}]}}"#, "e".repeat(201)),
            &format!(r#"{{"x":{}}}"#, "[".repeat(1000)),
            &format!(r#"{{"x":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX)),
        ] {
            assert_eq!(read(body), Err(CommandFailed::default()), "{body:.60}");
        }
        for status in [100, 201, 301, 400, 500] {
            assert_eq!(answer(status, b"{}", &Settings::default()), Err(CommandFailed::default()));
        }
        assert_eq!(CommandFailed::default().to_string(), "500: Command failed");
    }
}
