//! Streams, step by step: what a session is told, and what it wants done. Ids are shown as `run@serial` of each channel.

use super::tests::Nothing;
use super::*;
use crate::action::{Answer, Page, StoredEvent, Unanswered};
use std::collections::HashMap;
use tidings_hub::{Body, Budget, Cached, Joined, Member, Source};

/// The run in which all this happens.
const EPOCH: u64 = 9;

struct World {
    session: Session,
    names: Vec<ChannelName>,
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

/// `run@serial`.
fn position(text: &str) -> Position {
    let (epoch, serial) = text.split_once('@').unwrap();
    Position { epoch: epoch.parse().unwrap(), serial: serial.parse().unwrap() }
}

fn shown(position: Position) -> String {
    format!("{}@{}", position.epoch, position.serial)
}

/// An event of this run: `serial:data`.
fn event(channel: &ChannelName, text: &str) -> Event {
    let (serial, data) = text.split_once(':').unwrap();
    let body = match data {
        "gap" => Body::Gap,
        "unspeakable" => Body::MemberAdded(Arc::new(Member::new("u"))),
        data => Body::Published { name: "e".into(), data: data.to_owned().into(), source: Source::Server, attached: None },
    };
    Event::new(channel.clone(), 1, serial.parse().unwrap(), None, body, &Arc::new(Budget::new(usize::MAX)))
}

/// A stored one: `run@serial:data`.
fn stored(text: &str) -> StoredEvent {
    let (at, data) = text.split_once(':').unwrap();
    let data = if data == "unspeakable" { Bytes::from_static(b"\xff") } else { data.to_owned().into() };
    StoredEvent { position: position(at), name: "e".to_owned(), data }
}

impl World {
    /// A reader of some channels who was at these positions; `new` if it comes for the first time, `lost` if nobody knows where it was.
    fn new(channels: &str, was: &str) -> Self {
        let names: Vec<ChannelName> = channels.split(' ').map(name).collect();
        let resume = match was {
            "new" => Resume::No,
            "lost" => Resume::Unknown,
            was => Resume::From(Id::new(&names, &was.split(' ').map(position).collect::<Vec<_>>())),
        };
        let wanted = Wanted { key: "k".to_owned(), channels: names.clone(), resume };
        let socket_id = SocketId::from_halves(1, 2).unwrap();
        let session = Session::new(wanted, socket_id, EPOCH, Arc::default(), Time::ZERO);
        Self { session, names }
    }

    fn feed(&mut self, input: Input<'_>) -> Vec<String> {
        let mut actions = Actions::new();
        self.session.receive(input, &Nothing, Time::ZERO, &mut actions);
        actions.into_iter().flat_map(|action| self.told(action)).collect()
    }

    /// One input: `opened`, `joined 5 [gap] [stored] [serial:data …]`, `traced 3 none …`, `page [run@serial:data …] [next 7]`, `gone`, `away`,
    /// `live channel serial:data`.
    fn act(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let told = match words[..] {
            ["opened"] => self.feed(Input::Opened),
            ["joined", serial, ref rest @ ..] => {
                let channel = self.names[self.session.known()].clone();
                let gap = rest.contains(&"gap");
                let events = rest.iter().filter(|word| word.contains(':')).map(|text| Arc::new(event(&channel, text))).collect();
                let missed = Missed { gap, stored: rest.contains(&"stored"), events };
                let joined = Joined { serial: serial.parse().unwrap(), members: None, cache: Cached::Off, missed };
                self.feed(Input::Subscribed { channel: &channel, answer: Ok(joined) })
            }
            ["traced", ref places @ ..] => {
                let places = places.iter().map(|place| place.parse().ok().map(StorePlace)).collect();
                self.feed(Input::Answered(Ok(Answer::Traced(places))))
            }
            ["page", ref rest @ ..] => {
                let (events, next) = match rest {
                    [events @ .., "next", place] => (events, Some(StorePlace(place.parse().unwrap()))),
                    events => (events, None),
                };
                let page = Page { events: events.iter().map(|text| stored(text)).collect(), next };
                self.feed(Input::Answered(Ok(Answer::Behind(Some(page)))))
            }
            ["taken"] => self.feed(Input::Taken),
            ["gone"] => self.feed(Input::Answered(Ok(Answer::Behind(None)))),
            ["away"] => self.feed(Input::Answered(Err(Unanswered::Unavailable("it is away".to_owned())))),
            ["live", channel, text] => {
                let block = self.session.block(&event(&name(channel), text));
                block.map_or_else(|| vec!["nothing".to_owned()], |block| self.blocks(&block))
            }
            _ => panic!("{line} says nothing"),
        };
        told.join(", ")
    }

    fn told(&self, action: Action) -> Vec<String> {
        match action {
            Action::Send(text) => self.blocks(&text),
            Action::Subscribe(Join { channel, since, .. }) => match since.unwrap() {
                Since::Now => vec![format!("join {channel}")],
                Since::Position(position) => vec![format!("join {channel} since {}", shown(position))],
            },
            Action::Ask(Question::Trace { positions }) => {
                let positions = positions.into_iter().map(|(channel, position)| format!("{channel} {}", shown(position)));
                vec![format!("trace {}", positions.collect::<Vec<_>>().join(" "))]
            }
            Action::AskThen(Question::Behind { channel, place, until }) => {
                vec![format!("behind {channel} {} until {}", place.0, shown(until))]
            }
            Action::Await => vec!["await".to_owned()],
            Action::Hold => vec!["hold".to_owned()],
            Action::Release => vec!["release".to_owned()],
            action => panic!("{action:?}"),
        }
    }

    /// Each block as `name data id`.
    fn blocks(&self, text: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(text).unwrap();
        let blocks = text.split_terminator("\n\n").map(|block| {
            let fields: HashMap<&str, &str> = block.lines().filter_map(|line| line.split_once(": ")).collect();
            let id = fields.get("id").map(|id| Id::parse(id).unwrap().positions(&self.names).unwrap());
            let id = id.map(|id| id.into_iter().map(shown).collect::<Vec<_>>().join(" ")).unwrap_or_default();
            match fields["event"] {
                "tidings:subscribed" => {
                    let data: serde_json::Value = serde_json::from_str(fields["data"]).unwrap();
                    let resumed = data.get("resumed").map_or("new", |resumed| if resumed == true { "resumed" } else { "with gaps" });
                    format!("{resumed} [{id}]")
                }
                "tidings:gap" => format!("gap {} [{id}]", fields["data"]),
                name => format!("{name} {} [{id}]", fields["data"]),
            }
        });
        blocks.collect()
    }
}

impl Session {
    /// How many channels have answered.
    fn known(&self) -> usize {
        if let Stage::Joining(beginning) = &self.stage { beginning.joined.len() } else { 0 }
    }
}

fn check(channels: &str, was: &str, steps: &[(&str, &str)]) {
    let mut world = World::new(channels, was);
    for (line, expected) in steps {
        assert_eq!(world.act(line), *expected, "{line}");
    }
}

#[test]
fn a_new_reader_is_where_the_channels_are() {
    check(
        "a b",
        "new",
        &[
            ("opened", "join a, join b"),
            ("joined 5", ""),
            ("joined 7", "new [9@5 9@7]"),
            ("live b 8:x", "e x [9@5 9@8]"),
            ("live a 9:unspeakable", "nothing"),
            ("live a 10:gap", r#"gap {"channel":"a"} [9@10 9@8]"#),
        ],
    );
}

#[test]
fn who_comes_back_is_told_what_is_kept() {
    check(
        "a b",
        "9@3 9@7",
        &[
            ("opened", "join a since 9@3, join b since 9@7"),
            ("joined 5 4:x 5:y", ""),
            ("joined 7", "resumed [9@3 9@7], e x [9@4 9@7], e y [9@5 9@7]"),
            ("live a 6:z", "e z [9@6 9@7]"),
        ],
    );
    check(
        "a b",
        "8@3 8@7",
        &[
            ("opened", "join a since 8@3, join b since 8@7"),
            ("joined 5 gap 4:x", ""),
            ("joined 7 gap", r#"with gaps [], gap {"channel":"a"} [], gap {"channel":"b"} [9@3 9@7], e x [9@4 9@7]"#),
        ],
    );
    check("a", "lost", &[("opened", "join a"), ("joined 5", r#"with gaps [], gap {"channel":"a"} [9@5]"#)]);
}

/// What is here is told in portions too: the reader owes nothing for what it has not been told yet.
#[test]
fn what_is_kept_is_told_as_it_is_taken() {
    let large = "x".repeat(PORTION);
    let told = |at: &str| format!("e {large} [{at}]");
    check(
        "a b",
        "9@3 9@7",
        &[
            ("opened", "join a since 9@3, join b since 9@7"),
            (&format!("joined 6 4:{large} 5:{large} 6:y"), ""),
            ("joined 8 8:z", &format!("resumed [9@3 9@7], {}, hold, await", told("9@4 9@7"))),
            ("live a 7:held", "e held [9@7 9@8]"),
            ("taken", &format!("{}, await", told("9@5 9@7"))),
            ("taken", "e y [9@6 9@7], e z [9@6 9@8], release"),
            ("taken", ""),
            ("live b 9:w", "e w [9@7 9@9]"),
        ],
    );
    // A portion that is all there is: nothing more is waited for.
    check(
        "a",
        "9@3",
        &[
            ("opened", "join a since 9@3"),
            (&format!("joined 4 4:{large}"), &format!("resumed [9@3], {}, hold, await", told("9@4"))),
            ("taken", "release"),
        ],
    );
}

/// After a restart: what was missed comes from the store, of all runs, and what happens meanwhile comes after it.
#[test]
fn who_was_away_for_longer_is_told_what_is_stored() {
    check(
        "a",
        "7@3",
        &[
            ("opened", "join a since 7@3"),
            ("joined 5 gap stored 4:kept 5:too", "hold, trace a 7@3"),
            ("traced 17", "resumed [7@3], behind a 17 until 9@5"),
            ("live a 6:held", "e held [9@6]"),
            ("page 7@4:x 8@2:y next 30", "e x [7@4], e y [8@2], behind a 30 until 9@5"),
            ("page 8@3:unspeakable 9@4:kept 9@5:too", "e kept [9@4], e too [9@5], release"),
            ("live a 7:z", "e z [9@7]"),
        ],
    );
    check(
        "a",
        "7@3",
        &[
            ("opened", "join a since 7@3"),
            ("joined 5 gap stored", "hold, trace a 7@3"),
            ("traced 17", "resumed [7@3], behind a 17 until 9@5"),
            ("page", "release"),
            ("live a 6:z", "e z [9@6]"),
        ],
    );
}

/// Each block's id says where the reader is on every channel, in whatever run: whoever is cut off there goes on from there.
#[test]
fn channels_are_told_one_after_the_other() {
    check(
        "a b c",
        "7@3 7@4 7@5",
        &[
            ("opened", "join a since 7@3, join b since 7@4, join c since 7@5"),
            ("joined 1 gap stored", ""),
            ("joined 2 gap stored", ""),
            ("joined 3 gap stored", "hold, trace a 7@3 b 7@4 c 7@5"),
            ("traced 1 2 3", "resumed [7@3 7@4 7@5], behind a 1 until 9@1"),
            ("live b 6:held", "e held [9@1 9@6 9@3]"),
            ("page 7@9:x 8@1:y", "e x [7@9 7@4 7@5], e y [8@1 7@4 7@5], behind b 2 until 9@2"),
            ("live a 7:held", "e held [9@7 9@6 9@3]"),
            ("page 8@2:z", "e z [9@1 8@2 7@5], behind c 3 until 9@3"),
            ("page", "release"),
            ("live c 8:w", "e w [9@7 9@6 9@8]"),
        ],
    );
}

/// Of a channel that has all it needs in memory nothing is asked; one that the store cannot follow is a gap.
#[test]
fn the_store_is_asked_for_what_it_may_have() {
    check(
        "a b c d",
        "9@3 7@4 9@5 9@6",
        &[
            ("opened", "join a since 9@3, join b since 7@4, join c since 9@5, join d since 9@6"),
            ("joined 4 4:x", ""),
            ("joined 2 gap stored 2:y", ""),
            ("joined 8 gap stored", ""),
            ("joined 9 gap 9:z", "hold, trace b 7@4 c 9@5"),
            (
                "traced none 30",
                r#"with gaps [], gap {"channel":"b"} [], gap {"channel":"d"} [9@3 9@1 9@5 9@8], e x [9@4 9@1 9@5 9@8], e y [9@4 9@2 9@5 9@8], e z [9@4 9@2 9@5 9@9], behind c 30 until 9@8"#,
            ),
            ("page 9@7:v", "e v [9@4 9@2 9@7 9@9], release"),
        ],
    );
}

#[test]
fn a_store_that_is_away_is_a_gap() {
    check(
        "a",
        "7@3",
        &[
            ("opened", "join a since 7@3"),
            ("joined 5 gap stored 5:kept", "hold, trace a 7@3"),
            ("away", r#"with gaps [], gap {"channel":"a"} [9@4], e kept [9@5], release"#),
        ],
    );
    for end in ["away", "gone"] {
        check(
            "a b",
            "7@3 7@4",
            &[
                ("opened", "join a since 7@3, join b since 7@4"),
                ("joined 5 gap stored", ""),
                ("joined 6 gap stored", "hold, trace a 7@3 b 7@4"),
                ("traced 1 2", "resumed [7@3 7@4], behind a 1 until 9@5"),
                ("page 7@4:x next 9", "e x [7@4 7@4], behind a 9 until 9@5"),
                (end, r#"gap {"channel":"a"} [9@5 7@4], behind b 2 until 9@6"#),
                ("page 8@1:y", "e y [9@5 8@1], release"),
            ],
        );
    }
}

/// Answers that nobody waits for say nothing.
#[test]
fn a_live_stream_has_asked_for_nothing() {
    check("a", "new", &[("opened", "join a"), ("joined 5", "new [9@5]"), ("page 7@1:x", ""), ("away", ""), ("live a 6:y", "e y [9@6]")]);
}
