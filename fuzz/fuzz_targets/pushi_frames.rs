//! Messages of a Pushi client, one per line, given to the codec and to a session. Requests that need a signature are given once more with the
//! right one, so that what lies behind it is reached. Questions to the store are answered by what the number of the line says. All a session
//! answers must be JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tidings_dialect::action::{Action, Actions, Answer, Input, Question, Subscription, Subscriptions, Unanswered};
use tidings_dialect::pushi::codec::{ChannelData, ClientMessage, decode};
use tidings_dialect::pushi::session::Session;
use tidings_dialect::pushi::settings::{OnError, Settings};
use tidings_dialect::pushi::{auth, name};
use tidings_hub::{App, Cached, ChannelName, Dialects, Joined, Member, MemberList, Missed, SocketId, Time};

const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";
const SECRET: &str = "secret";

#[derive(Default)]
struct On(HashMap<ChannelName, Option<Arc<Member>>>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let (channel, member) = self.0.get_key_value(channel)?;
        Some(Subscription { channel, member: member.as_ref() })
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        Arc::new(MemberList::new(self.0.get(channel).cloned().flatten().into_iter().collect()))
    }

    fn is_pair(&self, _presence: &str, one: &str, other: &str) -> bool {
        one < other
    }
}

struct Peer {
    session: Session,
    on: On,
    now: Time,
    /// What the store answers.
    chance: usize,
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let shared = bytes.len() % 2 == 0;
    let app = App { dialects: Dialects { pushi: true, pusher: shared, ..Dialects::default() }, ..App::new("1", KEY, SECRET) };
    let on_error = if bytes.len() % 3 == 0 { OnError::Close } else { OnError::Tell };
    let settings = Settings { on_error, ..Settings::default() };
    let socket_id = SocketId::new(0, 1, [7; 16]);
    let session = Session::new(Arc::new(app), KEY, socket_id, Arc::new(settings), Time::ZERO);
    let mut peer = Peer { session, on: On::default(), now: Time::ZERO, chance: 0 };
    peer.give(Input::Opened);
    for (at, line) in text.lines().enumerate() {
        peer.now = Time::from_micros(at as u64 * 50_000);
        peer.chance = at;
        peer.give(Input::Text(line));
        if let Ok(Some(message)) = decode(line)
            && let Some(signed) = signed(&message, socket_id)
        {
            peer.give(Input::Text(&signed));
        }
    }
});

impl Peer {
    /// Gives one input and does what it asks for.
    fn give(&mut self, input: Input<'_>) {
        let mut actions = Actions::new();
        self.session.receive(input, &self.on, self.now, &mut actions);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(frame) => {
                serde_json::from_slice::<IgnoredAny>(&frame).unwrap_or_else(|error| panic!("{error}: {}", frame.escape_ascii()));
            }
            Action::Subscribe(join) => {
                assert!(self.on.0.insert(join.channel.clone(), join.member).is_none(), "twice on {}", join.channel);
                self.confirm(&join.channel);
            }
            Action::Refresh(join) => {
                assert!(self.on.0.insert(join.channel.clone(), join.member).is_some(), "not on {}", join.channel);
                self.confirm(&join.channel);
            }
            Action::Unsubscribe(channel) => {
                assert!(self.on.0.remove(&channel).is_some(), "it was on {channel}");
                self.give(Input::Unsubscribed(&channel));
            }
            Action::Publish(publish) | Action::Store(publish) => {
                assert!(std::str::from_utf8(&publish.data).is_ok() && !publish.channels.is_empty());
            }
            Action::Ask(question) => {
                let answer = self.answer(&question);
                self.give(Input::Answered(answer));
            }
            Action::Hold | Action::Release | Action::Close(_) => {}
            Action::Command(_) | Action::SendTo { .. } | Action::Spell { .. } => panic!("no text asks for {action:?}"),
            Action::Ping(_) | Action::Pong | Action::SendBinary(_) | Action::SignIn(_) | Action::Authorized | Action::AskThen(_) | Action::Await => {
                panic!("no text asks for {action:?}")
            }
        }
    }

    fn confirm(&mut self, channel: &ChannelName) {
        let members = channel.as_str().starts_with("presence-").then(|| self.on.members(channel.as_str()));
        self.give(Input::Subscribed { channel, answer: Ok(Joined { serial: 1, members, cache: Cached::Off, missed: Missed::default() }) });
    }

    fn answer(&self, question: &Question) -> Result<Answer, Unanswered> {
        if self.chance % 5 == 4 {
            return Err(Unanswered::Unavailable("it is away".to_owned()));
        }
        Ok(match question {
            Question::Follows { user_id, .. } => {
                let follows = ["news", "presence-room", "personal-other"];
                let channels = follows.iter().take(self.chance % 4).map(|name| ChannelName::parse(name).expect("a name"));
                Answer::Follows(vec![(Arc::clone(user_id), channels.collect())])
            }
            Question::Latest { .. } | Question::Personal { .. } => Answer::Events("[]".into()),
            Question::Trace { .. } | Question::Behind { .. } => panic!("no text asks for {question:?}"),
        })
    }
}

/// The same request with the right signature, if it takes one.
fn signed(message: &ClientMessage<'_>, socket_id: SocketId) -> Option<String> {
    let ClientMessage::Subscribe { channel, channel_data, .. } = message else { return None };
    let socket_id = name::socket_id(socket_id);
    let (signature, data) = match channel_data {
        Some(ChannelData::Signed(text)) => (auth::sign(SECRET, &socket_id, &format!("{channel}:{text}")), Some(json!(text))),
        Some(ChannelData::Object(object)) => (auth::sign(SECRET, &socket_id, channel), serde_json::from_str(object.get()).ok()),
        None => (auth::sign(SECRET, &socket_id, channel), None),
    };
    let data = json!({ "channel": channel, "auth": format!("{KEY}:{signature}"), "channel_data": data });
    Some(json!({ "event": "pusher:subscribe", "data": data }).to_string())
}
