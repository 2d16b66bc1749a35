//! What lasts: stored events, and who follows which channel. A store of lists, which answers when the dialogue wants it to.

use super::{News, World};
use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use tidings_dialect::action::{Actions, Answer, Input, Question, Unanswered};
use tidings_dialect::pushi::api::records::{Base, EventRecord, write_events};
use tidings_dialect::pushi::name::{PERSONAL, uuid};
use tidings_hub::{App, ChannelName, Publish, Stamps, Time, UnixTime};

/// When dialogues begin.
const BEGINNING: UnixTime = UnixTime::from_millis(1_700_000_000_000);
/// The ids of stored events count up from here, a UUID of version 4.
const MIDS: u128 = 0x4000_8000_0000_0000_0000;

/// How the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers at once.
    #[default]
    Prompt,
    /// It answers when it is told to.
    Slow,
    /// It answers that it is away.
    Away,
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) mood: Mood,
    events: Vec<Stored>,
    follows: Vec<Follow>,
}

struct Stored {
    at: UnixTime,
    /// The socket id of the client that sent it.
    owner: Option<String>,
    channel: ChannelName,
    name: Arc<str>,
    data: String,
}

/// A user follows a channel, or did.
struct Follow {
    user_id: String,
    channel: ChannelName,
    /// The events that there were while it did; without an end as long as it does.
    owed: Range<usize>,
}

impl Store {
    /// Stores what is published at `now`, an event for each channel.
    pub(super) fn keep(&mut self, publish: &Publish, owner: Option<String>, now: Time) -> Result<Stamps, String> {
        if self.mood == Mood::Away {
            return Err("the store is away".to_owned());
        }
        let at = UnixTime::from_micros(BEGINNING.as_micros() + now.as_micros());
        let data = String::from_utf8(publish.data.to_vec()).map_err(|error| error.to_string())?;
        let first = self.events.len();
        self.events.extend(publish.channels.iter().map(|channel| Stored {
            at,
            owner: owner.clone(),
            channel: channel.clone(),
            name: Arc::clone(&publish.name),
            data: data.clone(),
        }));
        Ok(Stamps { at, mids: (first..self.events.len()).map(mid).collect() })
    }

    /// The id of the event of this number, counted from one.
    pub(crate) fn mid(&self, number: usize) -> String {
        uuid(mid(number - 1))
    }

    /// The event of this number as clients see it.
    pub(crate) fn event(&self, number: usize, app: &App) -> Result<String, String> {
        if number == 0 || number > self.events.len() {
            return Err(format!("{} events are stored", self.events.len()));
        }
        let list = self.records([number - 1], app);
        Ok(list[1..list.len() - 1].to_owned())
    }

    fn answer(&self, question: &Question, app: &App) -> Result<Answer, Unanswered> {
        if self.mood == Mood::Away {
            return Err(Unanswered::Unavailable("the store is away".to_owned()));
        }
        let events = |places: Vec<usize>, skip: u32, count: u32| {
            let places = places.into_iter().rev().skip(skip as usize).take(count as usize);
            Ok(Answer::Events(Bytes::from(self.records(places, app))))
        };
        match question {
            Question::Follows { user_id, max } => self.follows(user_id, *max),
            Question::Latest { channel, skip, count } => events(self.places(|_, event| event.channel == *channel), *skip, *count),
            Question::Personal { user_id, skip, count } => events(self.places(|at, event| self.owes(user_id, at, event)), *skip, *count),
            // Streams of server-sent events ask these.
            Question::Trace { .. } | Question::Behind { .. } => Err(Unanswered::Unavailable("the store knows no positions".to_owned())),
        }
    }

    /// The events that are wanted, in the order in which they came.
    fn places(&self, wanted: impl Fn(usize, &Stored) -> bool) -> Vec<usize> {
        (0..self.events.len()).filter(|at| wanted(*at, &self.events[*at])).collect()
    }

    /// Whether a user followed the event's channel when it came, or the event came to the user's own channel (I-2.9 d, I-3.5).
    fn owes(&self, user_id: &str, at: usize, event: &Stored) -> bool {
        let own = event.channel.as_str().strip_prefix(PERSONAL) == Some(user_id);
        own || self.follows.iter().any(|follow| follow.user_id == user_id && follow.channel == event.channel && follow.owed.contains(&at))
    }

    /// What a user follows, and those that its personal channels lead to; each user once (I-2.9).
    fn follows(&self, user_id: &Arc<str>, max: u32) -> Result<Answer, Unanswered> {
        let mut found: Vec<(Arc<str>, Vec<ChannelName>)> = Vec::new();
        let mut open = VecDeque::from([Arc::clone(user_id)]);
        while let Some(user_id) = open.pop_front() {
            if found.iter().any(|(other, _)| *other == user_id) {
                continue;
            }
            let current = self.follows.iter().filter(|follow| follow.owed.end == usize::MAX && *follow.user_id == *user_id);
            let channels: Vec<ChannelName> = current.map(|follow| follow.channel.clone()).collect();
            open.extend(channels.iter().filter_map(|channel| channel.as_str().strip_prefix(PERSONAL)).map(Arc::from));
            found.push((user_id, channels));
        }
        let total: usize = found.iter().map(|(_, channels)| channels.len()).sum();
        if total > max as usize { Err(Unanswered::TooMany { max }) } else { Ok(Answer::Follows(found)) }
    }

    fn records(&self, places: impl IntoIterator<Item = usize>, app: &App) -> String {
        let records = places.into_iter().map(|place| {
            let event = &self.events[place];
            EventRecord {
                base: Base { id: place as u64 + 1, created: event.at, modified: event.at, instance: app.id.as_str() },
                mid: mid(place),
                channel: event.channel.as_str(),
                owner_id: event.owner.as_deref(),
                timestamp: event.at,
                name: &event.name,
                data: &event.data,
                extras: None,
            }
        });
        let mut list = Vec::new();
        write_events(records, &mut list);
        String::from_utf8(list).unwrap()
    }
}

fn mid(place: usize) -> u128 {
    MIDS + place as u128 + 1
}

impl World {
    /// Stores a client's event before anybody gets it. The session hears of it only if that fails.
    pub(super) fn store_and_publish(&mut self, at: usize, mut publish: Publish, actions: &mut Actions) {
        let owner = self.socket_id(at);
        match self.store.keep(&publish, Some(owner), self.now) {
            Ok(stamps) => {
                publish.stamps = Some(stamps);
                self.publish(&publish);
            }
            Err(why) => {
                let (channel, event) = (&publish.channels[0], &*publish.name);
                self.tell(at, Input::NotStored { channel, event, why: &why }, actions);
            }
        }
    }

    pub(super) fn ask(&mut self, at: usize, question: Question, actions: &mut Actions) {
        if self.store.mood == Mood::Slow {
            self.connection(at).unread.get_or_insert_default();
            self.questions.push_back((at, question));
        } else {
            let answer = self.store.answer(&question, &self.app);
            self.tell(at, Input::Answered(answer), actions);
        }
    }

    /// Answers the question that has waited longest. Whoever asked then reads on.
    pub(crate) fn answer_one(&mut self) -> Result<(), String> {
        let (at, question) = self.questions.pop_front().ok_or("nobody has asked")?;
        let answer = self.store.answer(&question, &self.app);
        let mut unread = self.connection(at).unread.take().unwrap_or_default();
        self.feed(at, Input::Answered(answer));
        while let Some(said) = unread.pop_front() {
            // It may ask again: then the rest waits with what comes.
            self.say(at, said);
        }
        Ok(())
    }

    /// A user follows a channel from now on, or no more.
    pub(crate) fn follow(&mut self, user_id: &str, channel: &str, added: bool) {
        let (personal, channel) =
            [format!("{PERSONAL}{user_id}"), channel.to_owned()].map(|name| ChannelName::parse(&name).unwrap()).into();
        let events = self.store.events.len();
        if added {
            let follow = Follow { user_id: user_id.to_owned(), channel: channel.clone(), owed: events..usize::MAX };
            self.store.follows.push(follow);
        } else {
            let current = self
                .store
                .follows
                .iter_mut()
                .find(|follow| follow.owed.end == usize::MAX && follow.user_id == user_id && follow.channel == channel);
            current.expect("the user follows it").owed.end = events;
        }
        self.inbox.push_back(News::Follow(personal, channel, added));
        self.spread();
    }
}
