//! A script per rule, and whatever chance thinks of: a receiver always ends where the facts end.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const GRACE: Duration = Duration::from_secs(3);

fn fact(channel: &str, kind: FactKind) -> Fact {
    Fact { app: AppId::new("a"), channel: ChannelName::parse(channel).unwrap(), serial: 0, kind }
}

/// Words of the scripts: `+` occupied, `-` vacated, `+u` and `-u` a member, `#3` a count, `!u` a client event of u, `?` a cache miss.
fn kind(word: &str) -> FactKind {
    let (sign, rest) = word.split_at(1);
    let user_id: Arc<str> = Arc::from(rest);
    match (sign, rest) {
        ("+", "") => FactKind::Occupied,
        ("-", "") => FactKind::Vacated,
        ("+", _) => FactKind::MemberAdded { user_id },
        ("-", _) => FactKind::MemberRemoved { user_id },
        ("#", count) => FactKind::SubscriptionCount(count.parse().unwrap()),
        ("!", _) => FactKind::ClientEvent { event: "client-x".into(), data: bytes::Bytes::new(), socket_id: None, user_id: Some(user_id) },
        ("?", _) => FactKind::CacheMiss,
        _ => panic!("no such word: {word}"),
    }
}

fn word(fact: &Fact) -> String {
    match &fact.kind {
        FactKind::Occupied => "+".to_owned(),
        FactKind::Vacated => "-".to_owned(),
        FactKind::MemberAdded { user_id } => format!("+{user_id}"),
        FactKind::MemberRemoved { user_id } => format!("-{user_id}"),
        FactKind::SubscriptionCount(count) => format!("#{count}"),
        FactKind::ClientEvent { user_id, .. } => format!("!{}", user_id.as_deref().unwrap_or_default()),
        FactKind::CacheMiss => "?".to_owned(),
    }
}

/// Plays a script of words of one channel; `~900` lets that many milliseconds pass. Returns what came out, moment by moment.
fn play(script: &str, grace: Duration) -> String {
    let mut holds = Grace::new(HELD_MAX, MISSES_MAX);
    let (mut now, mut told) = (Time::ZERO, Vec::new());
    for step in script.split(' ') {
        let mut out = Vec::new();
        if let Some(millis) = step.strip_prefix('~') {
            now = now + Duration::from_millis(millis.parse().unwrap());
            holds.tick(now, &mut out);
            told.push(step.to_owned());
        } else {
            holds.push(fact("c", kind(step)), grace, now, &mut out);
        }
        told.extend(out.iter().map(word));
    }
    let mut rest = Vec::new();
    holds.flush(&mut rest);
    assert_eq!((holds.len(), holds.next_deadline()), (0, None));
    if !rest.is_empty() {
        told.push("…".to_owned());
        told.extend(rest.iter().map(word));
    }
    told.join(" ")
}

/// P-12.7, and what it means for the order within a channel (P-12.5).
#[test]
fn what_may_be_taken_back_is_held() {
    for (rule, script, told) in [
        ("held for the grace time", "+ - ~2999 ~1", "+ ~2999 ~1 -"),
        ("back in time: neither is told", "+ - ~2999 + ~9000", "+ ~2999 ~9000"),
        ("back too late: both are told", "+ - ~3000 + ~9000", "+ ~3000 - + ~9000"),
        ("every leaving has its own time", "+ - ~2000 + ~1 - ~2999 ~1", "+ ~2000 ~1 ~2999 ~1 -"),
        ("a member is held", "+ +u +v -u ~3000", "+ +u +v ~3000 -u"),
        ("a member is back", "+ +u +v -u ~2000 +u ~9000", "+ +u +v ~2000 ~9000"),
        ("another user is another matter", "+ +u -u ~1000 +v ~2000", "+ +u ~1000 +v ~2000 -u"),
        ("the last one leaves", "+ +u -u - ~3000", "+ +u ~3000 -u -"),
        ("the last one is back", "+ +u -u - ~1000 + +u ~9000", "+ +u ~1000 ~9000"),
        ("somebody else comes", "+ +u -u - ~1000 + +v ~2000", "+ +u ~1000 +v ~2000 -u"),
        ("members go before their channel", "+ +u +v -v ~1000 - -u ~3000", "+ +u +v ~1000 ~3000 -v -u -"),
        ("events of others pass a held member", "+ +u +v -u !v ~3000", "+ +u +v !v ~3000 -u"),
        ("a count passes before vacated", "+ #1 #0 - ~3000", "+ #1 #0 ~3000 -"),
        ("a count waits behind vacated", "+ #1 - #0 ~3000", "+ #1 ~3000 - #0"),
        ("what waited goes on", "+ #1 - #0 ~1 + #1 ~9000", "+ #1 ~1 #0 #1 ~9000"),
        ("what waits overtakes nothing", "+ - ? #1 ~1 + #2", "+ ~1 ? #1 #2"),
        ("the return was lost", "+ - ~1000 #1 ~1000 - ~2999 ~1", "+ ~1000 ~1000 #1 ~2999 ~1 -"),
        ("a member's return was lost", "+ +u -u ~2000 -u ~2999 ~1", "+ +u ~2000 ~2999 ~1 -u"),
        ("the server stops", "+ +u -u -", "+ +u … -u -"),
    ] {
        assert_eq!(play(script, GRACE), told, "{rule}: {script}");
    }
}

/// P-12.7: "up to 3 s" may be nothing.
#[test]
fn without_grace_all_passes() {
    assert_eq!(play("+ +u #1 -u #0 - + -", Duration::ZERO), "+ +u #1 -u #0 - + -");
}

/// A reload that shortens the time lets no vacated overtake a member that left before.
#[test]
fn a_shorter_grace_keeps_the_order() {
    let mut holds = Grace::new(HELD_MAX, MISSES_MAX);
    let mut out = Vec::new();
    holds.push(fact("c", kind("-u")), GRACE, Time::ZERO, &mut out);
    holds.push(fact("c", kind("-")), Duration::from_secs(1), Time::ZERO, &mut out);
    holds.tick(Time::ZERO + Duration::from_secs(1), &mut out);
    assert_eq!(out.iter().map(word).collect::<Vec<_>>(), ["-u", "-"]);
}

/// P-12.9: one in ten seconds, channel by channel and app by app.
#[test]
fn a_cache_miss_is_not_repeated() {
    for (script, told) in [
        ("+ ? ? ~9999 ?", "+ ? ~9999"),
        ("+ ? ~10000 ? ?", "+ ? ~10000 ?"),
        ("+ ? ~6000 ? ~6000 ? ~6000 ?", "+ ? ~6000 ~6000 ? ~6000"),
        ("+ ? - ~3000 + ?", "+ ? ~3000 - +"),
    ] {
        assert_eq!(play(script, GRACE), told, "{script}");
    }
    let mut holds = Grace::new(HELD_MAX, MISSES_MAX);
    let mut out = Vec::new();
    let other = Fact { app: AppId::new("b"), ..fact("c", kind("?")) };
    for fact in [fact("c", kind("?")), fact("d", kind("?")), other, fact("d", kind("?"))] {
        holds.push(fact, GRACE, Time::ZERO, &mut out);
    }
    assert_eq!(out.len(), 3);
}

/// Both bounds: the oldest hold ends early, the oldest miss is forgotten.
#[test]
fn what_is_kept_is_bounded() {
    let mut holds = Grace::new(3, 2);
    let mut out = Vec::new();
    for (channel, word) in [("c", "-u"), ("c", "-"), ("d", "-"), ("e", "-")] {
        holds.push(fact(channel, kind(word)), GRACE, Time::ZERO, &mut out);
    }
    assert_eq!((out.len(), holds.len()), (1, 3));
    holds.push(fact("d", kind("#1")), GRACE, Time::ZERO, &mut out);
    assert_eq!((word(&out[1]), out.len(), holds.len()), ("-".to_owned(), 2, 3));

    out.clear();
    for channel in ["m1", "m2", "m3", "m1", "m3"] {
        holds.push(fact(channel, kind("?")), GRACE, Time::ZERO, &mut out);
    }
    assert_eq!(out.iter().map(|fact| fact.channel.as_str()).collect::<Vec<_>>(), ["m1", "m2", "m3", "m1"]);
}

/// What a receiver believes of one channel. It accepts nothing that contradicts what it was told before.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Believed {
    occupied: bool,
    members: BTreeSet<String>,
    count: u32,
}

impl Believed {
    fn hear(&mut self, fact: &Fact) {
        match &fact.kind {
            FactKind::Occupied => assert!(!std::mem::replace(&mut self.occupied, true), "occupied twice"),
            FactKind::Vacated => {
                assert!(std::mem::replace(&mut self.occupied, false), "vacated twice");
                assert!(self.members.is_empty(), "vacated with {:?}", self.members);
            }
            FactKind::MemberAdded { user_id } => {
                assert!(self.occupied && self.members.insert(user_id.to_string()), "{user_id} added to {self:?}");
            }
            FactKind::MemberRemoved { user_id } => {
                assert!(self.occupied && self.members.remove(&**user_id), "{user_id} removed from {self:?}");
            }
            FactKind::ClientEvent { user_id, .. } => {
                assert!(self.occupied && user_id.as_ref().is_none_or(|user| self.members.contains(&**user)), "event in {self:?}");
            }
            FactKind::CacheMiss => assert!(self.occupied),
            FactKind::SubscriptionCount(count) => {
                assert!(self.occupied || *count == 0, "{count} subscribers of a vacated channel");
                self.count = *count;
            }
        }
    }
}

/// One step of chance: a connection of a user comes, goes or speaks, on one of two channels; or time passes.
#[derive(Clone, Debug)]
enum Step {
    Join(usize, usize),
    Leave(usize, usize),
    Speak(usize, usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || (0..2usize, 0..3usize);
    let step = prop_oneof![
        4 => who().prop_map(|(channel, user)| Step::Join(channel, user)),
        4 => who().prop_map(|(channel, user)| Step::Leave(channel, user)),
        1 => who().prop_map(|(channel, user)| Step::Speak(channel, user)),
        3 => (0..2500u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// The facts of a step, in the hub's order or in another that it might have: vacated before the rest.
fn facts(connections: &mut [u32; 3], step: &Step, vacated_first: bool) -> Vec<FactKind> {
    let total: u32 = connections.iter().sum();
    let name = |user: usize| format!("u{user}");
    match *step {
        Step::Join(_, user) => {
            connections[user] += 1;
            let mut facts = Vec::new();
            facts.extend((total == 0).then(|| kind("+")));
            facts.extend((connections[user] == 1).then(|| kind(&format!("+{}", name(user)))));
            facts.push(kind("?"));
            facts.push(FactKind::SubscriptionCount(total + 1));
            facts
        }
        Step::Leave(_, user) if connections[user] > 0 => {
            connections[user] -= 1;
            let mut facts = Vec::new();
            facts.extend((connections[user] == 0).then(|| kind(&format!("-{}", name(user)))));
            facts.push(FactKind::SubscriptionCount(total - 1));
            let vacated = (total == 1).then(|| kind("-"));
            if vacated_first {
                facts.splice(0..0, vacated);
            } else {
                facts.extend(vacated);
            }
            facts
        }
        Step::Speak(_, user) if connections[user] > 0 => vec![kind(&format!("!{}", name(user)))],
        Step::Leave(..) | Step::Speak(..) | Step::Wait(_) => Vec::new(),
    }
}

proptest! {
    /// P-12.5, P-12.7: whatever happens and however little may be held, a receiver never hears a contradiction,
    /// is right about a channel that was quiet for the grace time, and ends where the facts end.
    #[test]
    fn a_receiver_ends_where_the_facts_end(
        steps in steps(),
        // Only what is held can be put in order: with little room the hub's own order must do.
        (vacated_first, held_max) in prop_oneof![any::<bool>().prop_map(|first| (first, HELD_MAX)), (0..4usize).prop_map(|max| (false, max))],
    ) {
        let mut holds = Grace::new(held_max, MISSES_MAX);
        let mut connections = [[0; 3]; 2];
        let mut truth = [Believed::default(), Believed::default()];
        let mut believed = truth.clone();
        let mut changed = [Time::ZERO; 2];
        let mut now = Time::ZERO;
        for step in &steps {
            let mut out = Vec::new();
            if let Step::Join(channel, _) | Step::Leave(channel, _) | Step::Speak(channel, _) = *step {
                for kind in facts(&mut connections[channel], step, vacated_first) {
                    changed[channel] = now;
                    holds.push(fact(["c", "d"][channel], kind), GRACE, now, &mut out);
                }
                let present = connections[channel].iter().enumerate().filter(|&(_, &count)| count > 0);
                truth[channel] = Believed {
                    occupied: connections[channel].iter().any(|&count| count > 0),
                    members: present.map(|(user, _)| format!("u{user}")).collect(),
                    count: connections[channel].iter().sum(),
                };
            }
            if let Step::Wait(millis) = step {
                now = now + Duration::from_millis(*millis);
                holds.tick(now, &mut out);
            }
            for fact in &out {
                believed[usize::from(fact.channel.as_str() == "d")].hear(fact);
            }
            prop_assert!(holds.len() <= held_max);
            for channel in 0..2 {
                if now.since(changed[channel]) >= GRACE {
                    prop_assert_eq!(&believed[channel], &truth[channel]);
                }
            }
        }
        let mut out = Vec::new();
        holds.flush(&mut out);
        for fact in &out {
            believed[usize::from(fact.channel.as_str() == "d")].hear(fact);
        }
        prop_assert_eq!(believed, truth);
        prop_assert_eq!(holds.len(), 0);
    }

    /// Facts that were lost on the way leave streams that make no sense; the counts still agree and nothing stays behind.
    #[test]
    fn streams_with_holes_do_no_harm(
        words in prop::collection::vec((0..2usize, prop::sample::select(vec!["+", "-", "+u", "-u", "+v", "-v", "!u", "#1", "?"]), 0..2000u64), 0..60),
        held_max in 0..6usize,
    ) {
        let mut holds = Grace::new(held_max, MISSES_MAX);
        let (mut now, mut out) = (Time::ZERO, Vec::new());
        for (channel, word, millis) in &words {
            holds.push(fact(["c", "d"][*channel], kind(word)), GRACE, now, &mut out);
            now = now + Duration::from_millis(*millis);
            holds.tick(now, &mut out);
            prop_assert!(holds.len() <= held_max && holds.next_deadline().is_none_or(|due| due > now));
            prop_assert_eq!(holds.len(), holds.holds.values().map(|hold| 1 + hold.behind.len()).sum::<usize>());
        }
        holds.flush(&mut out);
        prop_assert_eq!((holds.len(), holds.holds.len(), holds.next_deadline()), (0, 0, None));
        prop_assert!(out.len() <= words.len());
    }
}
