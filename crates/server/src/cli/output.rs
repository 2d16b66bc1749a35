//! What `tidings subscribe` prints: lines for people, or JSON for scripts.

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use tidings_client::{Event, Notice, PresenceMember, ServerUrl, SubscriptionError};
use tidings_hub::UnixTime;

/// Columns for the name of an event, until a longer one comes.
const EVENT_WIDTH_MIN: usize = 12;
/// How many members of a channel are shown to people.
const MEMBERS_SHOWN_MAX: usize = 20;
/// How many characters of a message that cannot be read are shown to people.
const UNREADABLE_SHOWN_MAX: usize = 200;

const DIM: Style = Style::new().dimmed();
const CHANNEL: Style = AnsiColor::Cyan.on_default();
const EVENT: Style = Style::new().bold();

/// Whom the output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An aligned line per event; states go to the second stream.
    People,
    /// A JSON object per line and event.
    Json {
        /// Whether states are lines as well.
        states: bool,
    },
}

/// Writes events to `out`, and to `notes` what only people want to know. Both get colours, so they must strip them where
/// there is no terminal.
pub(super) struct Output<O, N> {
    format: Format,
    url: ServerUrl,
    out: O,
    notes: N,
    channel_width: usize,
    event_width: usize,
}

impl<O: Write, N: Write> Output<O, N> {
    /// An output about the server at `url`, aligned to `channel_width` columns for the channel.
    pub(super) fn new(format: Format, url: ServerUrl, out: O, notes: N, channel_width: usize) -> Self {
        Self { format, url, out, notes, channel_width, event_width: EVENT_WIDTH_MIN }
    }

    /// Writes an event.
    ///
    /// # Errors
    /// If `out` takes no more.
    pub(super) fn event(&mut self, event: &Event, now: UnixTime) -> io::Result<()> {
        match self.format {
            Format::Json { .. } => {
                self.json(&EventLine { channel: &event.channel, event: &event.name, data: &event.data, user_id: event.user_id.as_deref() })
            }
            Format::People => {
                let (channel, name, data) = (printable(&event.channel), printable(&event.name), printable(&event.data));
                self.event_width = self.event_width.max(name.chars().count());
                let sender = event.user_id.as_deref().map(|user| format!("(from {}) ", printable(user))).unwrap_or_default();
                let (clock, channel_width, event_width) = (Clock(now), self.channel_width, self.event_width);
                writeln!(
                    self.out,
                    "{DIM}{clock}{DIM:#}  {CHANNEL}{channel:<channel_width$}{CHANNEL:#}  {EVENT}{name:<event_width$}{EVENT:#}  {sender}{data}"
                )?;
                self.out.flush()
            }
        }
    }

    /// Writes what happened to the connection, if the format asks for it.
    ///
    /// # Errors
    /// If `out` takes no more.
    pub(super) fn state(&mut self, notice: &Notice, now: UnixTime) -> io::Result<()> {
        match self.format {
            Format::Json { states: true } => match State::of(notice) {
                Some(state) => self.json(&state),
                None => Ok(()),
            },
            Format::Json { states: false } => Ok(()),
            Format::People => {
                if let Some(text) = self.told(notice) {
                    self.note(&format!("{}  {text}", Clock(now)));
                }
                Ok(())
            }
        }
    }

    /// Writes a remark for people, whatever the format. Nobody depends on it, so that it cannot be written is no error.
    pub(super) fn note(&mut self, text: &str) {
        let _ = writeln!(self.notes, "{DIM}{}{DIM:#}", printable(text));
        let _ = self.notes.flush();
    }

    fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }

    /// A state in words.
    fn told(&self, notice: &Notice) -> Option<String> {
        Some(match notice {
            Notice::Connecting => format!("connecting to {}", self.url),
            Notice::Connected { socket_id, .. } => format!("connected as {socket_id}"),
            Notice::Subscribed { channel, members: None, .. } => format!("subscribed to {channel}"),
            Notice::Subscribed { channel, members: Some(members), .. } => format!("subscribed to {channel}, with {}", listed(members)),
            Notice::MemberAdded { channel, member } => format!("{} came into {channel}", member.user_id),
            Notice::MemberRemoved { channel, user_id } => format!("{user_id} left {channel}"),
            Notice::SubscriptionCount { channel, count } => format!("{channel} has {count} subscribers"),
            Notice::CacheMiss { channel } => format!("{channel} has no event to start with"),
            Notice::Error { code: Some(code), message } => format!("error {code}: {message}"),
            Notice::Error { code: None, message } => format!("error: {message}"),
            Notice::Refused { channel, why: SubscriptionError::Server { message, .. } } => {
                format!("refused to subscribe to {channel}: {message}")
            }
            Notice::Refused { channel, why } => format!("not subscribed to {channel}: {why}"),
            Notice::Undecryptable { channel, name, why } => format!("event {name} on {channel} is lost, it cannot be decrypted: {why}"),
            Notice::Unavailable => "still no connection".to_owned(),
            Notice::Lost { why, retry_in } if retry_in.is_zero() => format!("{why} (connecting again at once)"),
            Notice::Lost { why, retry_in } => format!("{why} (connecting again in {:.1} s)", retry_in.as_secs_f64()),
            Notice::Unreadable { text } => {
                let shown: String = text.chars().take(UNREADABLE_SHOWN_MAX).collect();
                format!("the server sent what cannot be read: {shown}")
            }
            _ => return None,
        })
    }
}

/// One event for a script. The shape is promised by `--help`.
#[derive(Serialize)]
struct EventLine<'a> {
    channel: &'a str,
    event: &'a str,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

/// One state for a script.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State<'a> {
    Connecting,
    Connected {
        socket_id: &'a str,
    },
    Subscribed {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        members: Option<Vec<MemberLine<'a>>>,
    },
    Refused {
        channel: &'a str,
        status: Option<u16>,
        message: Cow<'a, str>,
    },
    Undecryptable {
        channel: &'a str,
        event: &'a str,
        reason: String,
    },
    Unavailable,
    MemberAdded {
        channel: &'a str,
        #[serde(flatten)]
        member: MemberLine<'a>,
    },
    MemberRemoved {
        channel: &'a str,
        user_id: &'a str,
    },
    SubscriptionCount {
        channel: &'a str,
        count: u32,
    },
    CacheMiss {
        channel: &'a str,
    },
    Error {
        code: Option<u16>,
        message: &'a str,
    },
    Unreadable {
        text: &'a str,
    },
    Lost {
        reason: String,
        retry_in_ms: u128,
    },
}

#[derive(Serialize)]
struct MemberLine<'a> {
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info: Option<&'a Value>,
}

impl<'a> State<'a> {
    fn of(notice: &'a Notice) -> Option<Self> {
        Some(match notice {
            Notice::Connecting => Self::Connecting,
            Notice::Connected { socket_id, .. } => Self::Connected { socket_id },
            Notice::Subscribed { channel, members, .. } => {
                Self::Subscribed { channel, members: members.as_ref().map(|members| members.iter().map(MemberLine::of).collect()) }
            }
            Notice::Refused { channel, why: SubscriptionError::Server { status, message, .. } } => {
                Self::Refused { channel, status: *status, message: message.into() }
            }
            Notice::Refused { channel, why } => Self::Refused { channel, status: None, message: why.to_string().into() },
            Notice::Undecryptable { channel, name, why } => Self::Undecryptable { channel, event: name, reason: why.to_string() },
            Notice::Unavailable => Self::Unavailable,
            Notice::MemberAdded { channel, member } => Self::MemberAdded { channel, member: MemberLine::of(member) },
            Notice::MemberRemoved { channel, user_id } => Self::MemberRemoved { channel, user_id },
            Notice::SubscriptionCount { channel, count } => Self::SubscriptionCount { channel, count: *count },
            Notice::CacheMiss { channel } => Self::CacheMiss { channel },
            Notice::Error { code, message } => Self::Error { code: *code, message },
            Notice::Unreadable { text } => Self::Unreadable { text },
            Notice::Lost { why, retry_in } => Self::Lost { reason: why.to_string(), retry_in_ms: retry_in.as_millis() },
            _ => return None,
        })
    }
}

impl<'a> MemberLine<'a> {
    fn of(member: &'a PresenceMember) -> Self {
        Self { user_id: &member.user_id, user_info: member.user_info.as_ref() }
    }
}

/// The time of day, universal time.
struct Clock(UnixTime);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (secs, millis) = (self.0.as_secs() % 86_400, self.0.as_millis() % 1000);
        write!(f, "{:02}:{:02}:{:02}.{millis:03}Z", secs / 3600, secs / 60 % 60, secs % 60)
    }
}

/// `text` on one line, without the power to move the cursor or to recolour the terminal: it comes from anybody who may publish.
pub(super) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

fn listed(members: &[PresenceMember]) -> String {
    let shown: Vec<&str> = members.iter().take(MEMBERS_SHOWN_MAX).map(|member| &*member.user_id).collect();
    let mut text = format!("{} members: {}", members.len(), shown.join(", "));
    if members.len() > shown.len() {
        let _ = write!(text, " and {} more", members.len() - shown.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidings_client::UndecryptableError;

    const NOON: UnixTime = UnixTime::from_millis(1_700_049_600_000 + 7_005);

    fn printed(
        format: Format,
        write: impl FnOnce(&mut Output<anstream::StripStream<Vec<u8>>, anstream::StripStream<Vec<u8>>>),
    ) -> (String, String) {
        let stream = || anstream::StripStream::new(Vec::new());
        let mut output = Output::new(format, "http://localhost:6001".parse().unwrap(), stream(), stream(), 6);
        write(&mut output);
        let text = |stream: anstream::StripStream<Vec<u8>>| String::from_utf8(stream.into_inner()).unwrap();
        (text(output.out), text(output.notes))
    }

    fn event(name: &str, data: &str, user_id: Option<&str>) -> Event {
        Event { channel: "news".into(), name: name.into(), data: data.into(), user_id: user_id.map(str::to_owned) }
    }

    #[test]
    fn people_get_aligned_lines() {
        let (out, notes) = printed(Format::People, |output| {
            output.event(&event("headline", "{\"a\":1}", None), NOON).unwrap();
            output.event(&event("tick", "1", Some("ada")), NOON).unwrap();
        });
        assert_eq!(out, "12:00:07.005Z  news    headline      {\"a\":1}\n12:00:07.005Z  news    tick          (from ada) 1\n");
        assert_eq!(notes, "");
    }

    #[test]
    fn what_others_publish_cannot_steer_the_terminal() {
        let (out, _) = printed(Format::People, |output| output.event(&event("a\u{1b}[2J", "x\r\ny\u{9b}", Some("\t")), NOON).unwrap());
        assert_eq!(out, "12:00:07.005Z  news    a\\u{1b}[2J    (from \\t) x\\r\\ny\\u{9b}\n");
    }

    #[test]
    fn scripts_get_json_lines() {
        let (out, notes) = printed(Format::Json { states: false }, |output| {
            output.event(&event("headline", "{\"a\":\n1}", None), NOON).unwrap();
            output.event(&event("client-x", "1", Some("ada")), NOON).unwrap();
            output.state(&Notice::Connecting, NOON).unwrap();
        });
        assert_eq!(
            out,
            "{\"channel\":\"news\",\"event\":\"headline\",\"data\":\"{\\\"a\\\":\\n1}\"}\n\
             {\"channel\":\"news\",\"event\":\"client-x\",\"data\":\"1\",\"user_id\":\"ada\"}\n"
        );
        assert_eq!(notes, "");
    }

    #[test]
    fn every_state_has_words_and_json() {
        let channel = || "presence-a".to_owned();
        let ada = || PresenceMember { user_id: "ada".into(), user_info: Some(serde_json::json!({"x": 1})) };
        let refused = SubscriptionError::Server { kind: "AuthError".into(), status: Some(401), message: "no".into() };
        for (notice, words, json) in [
            (Notice::Connecting, "connecting to http://localhost:6001", r#"{"state":"connecting"}"#),
            (
                Notice::Connected { socket_id: "1.2".into(), activity_timeout: Duration::ZERO },
                "connected as 1.2",
                r#"{"state":"connected","socket_id":"1.2"}"#,
            ),
            (Notice::Unavailable, "still no connection", r#"{"state":"unavailable"}"#),
            (
                Notice::Subscribed { channel: "news".into(), members: None, me: None },
                "subscribed to news",
                r#"{"state":"subscribed","channel":"news"}"#,
            ),
            (
                Notice::Subscribed { channel: channel(), members: Some(vec![ada()]), me: Some("ada".into()) },
                "subscribed to presence-a, with 1 members: ada",
                r#"{"state":"subscribed","channel":"presence-a","members":[{"user_id":"ada","user_info":{"x":1}}]}"#,
            ),
            (
                Notice::Refused { channel: channel(), why: refused },
                "refused to subscribe to presence-a: no",
                r#"{"state":"refused","channel":"presence-a","status":401,"message":"no"}"#,
            ),
            (
                Notice::Refused { channel: channel(), why: SubscriptionError::NoSharedSecret },
                "not subscribed to presence-a: an encrypted channel needs shared_secret in the endpoint's answer",
                r#"{"state":"refused","channel":"presence-a","status":null,"message":"an encrypted channel needs shared_secret in the endpoint's answer"}"#,
            ),
            (
                Notice::Undecryptable { channel: "private-encrypted-a".into(), name: "x".into(), why: UndecryptableError::Lost },
                "event x on private-encrypted-a is lost, it cannot be decrypted: the connection was lost while another secret was fetched",
                r#"{"state":"undecryptable","channel":"private-encrypted-a","event":"x","reason":"the connection was lost while another secret was fetched"}"#,
            ),
            (
                Notice::MemberAdded { channel: channel(), member: ada() },
                "ada came into presence-a",
                r#"{"state":"member_added","channel":"presence-a","user_id":"ada","user_info":{"x":1}}"#,
            ),
            (
                Notice::MemberRemoved { channel: channel(), user_id: "ada".into() },
                "ada left presence-a",
                r#"{"state":"member_removed","channel":"presence-a","user_id":"ada"}"#,
            ),
            (
                Notice::SubscriptionCount { channel: channel(), count: 3 },
                "presence-a has 3 subscribers",
                r#"{"state":"subscription_count","channel":"presence-a","count":3}"#,
            ),
            (
                Notice::CacheMiss { channel: "cache-a".into() },
                "cache-a has no event to start with",
                r#"{"state":"cache_miss","channel":"cache-a"}"#,
            ),
            (Notice::Error { code: None, message: "no".into() }, "error: no", r#"{"state":"error","code":null,"message":"no"}"#),
            (Notice::Error { code: Some(4200), message: "go".into() }, "error 4200: go", r#"{"state":"error","code":4200,"message":"go"}"#),
            (Notice::Unreadable { text: "{".into() }, "the server sent what cannot be read: {", r#"{"state":"unreadable","text":"{"}"#),
            (
                Notice::Lost {
                    why: tidings_client::ConnectionError::Broken { reason: "the server hung up".into() },
                    retry_in: Duration::from_millis(750),
                },
                "the connection broke: the server hung up (connecting again in 0.8 s)",
                r#"{"state":"lost","reason":"the connection broke: the server hung up","retry_in_ms":750}"#,
            ),
        ] {
            let (out, notes) = printed(Format::People, |output| output.state(&notice, NOON).unwrap());
            assert_eq!((out.as_str(), notes), ("", format!("12:00:07.005Z  {words}\n")));
            let (out, notes) = printed(Format::Json { states: true }, |output| output.state(&notice, NOON).unwrap());
            assert_eq!((out, notes.as_str()), (format!("{json}\n"), ""));
        }
    }

    #[test]
    fn a_long_list_of_members_is_cut() {
        let members: Vec<_> = (0..25).map(|id| PresenceMember::new(&id.to_string())).collect();
        let text = listed(&members);
        assert!(text.starts_with("25 members: 0, 1, ") && text.ends_with(", 19 and 5 more"), "{text}");
    }
}
