//! The hub as a whole, told in short lines: who does what, and what everybody then sees. Two shards that never fall behind, and made-up time.

mod caches;
mod channels;
mod commit;
mod counts;
mod faults;
mod model;
mod pairs;
mod presence;
mod recent;
mod roll;
mod threads;
mod users;

use crate::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

const SHARDS: usize = 2;

/// A hub with one app, and sockets called by single letters that take turns on two shards.
struct World {
    hub: Hub,
    app: App,
    channels: Arc<Channels>,
    now: Time,
    journal: Kept,
    /// By socket and channel.
    subscriptions: BTreeMap<(char, String), Subscription>,
    /// By socket: the user and whom it watches.
    signed_in: BTreeMap<char, (Arc<str>, Vec<Arc<str>>)>,
}

struct Subscription {
    channel: Arc<Channel>,
    joined: u64,
    member: Option<Arc<Member>>,
    reads: bool,
}

/// A store that commits when it is told to.
#[derive(Default)]
struct Kept(RefCell<VecDeque<Pending>>);

impl Journal for Kept {
    fn append(&self, pending: Pending) {
        self.0.borrow_mut().push_back(pending);
    }
}

/// An app of which all facts are wanted.
fn app() -> App {
    let everything = Webhook { url: String::new(), events: None, channel_prefix: None, channel_suffix: None, headers: Vec::new() };
    App { webhooks: vec![everything], ..App::new("1", "key", "secret") }
}

fn hub(shards: usize, facts_max: usize) -> Hub {
    let inboxes = (0..shards).map(|_| Arc::new(Inbox::new(usize::MAX, || {}))).collect();
    Hub::new(Options { epoch: 7, hash_seed: 11, inboxes, facts_max, budget: Arc::new(Budget::new(usize::MAX)), recent_bytes_max: 2048 })
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).unwrap()
}

fn socket(letter: char) -> SocketId {
    let place = letter as usize - 'a' as usize;
    SocketId::new(place % SHARDS, place, [place as u8; 16])
}

fn letter(socket: SocketId) -> char {
    (b'a' + socket.place() as u8) as char
}

fn user(text: &str) -> Arc<str> {
    Arc::from(text)
}

/// `u` or `u=info`, with a star if it wants pairs.
fn member(text: &str) -> Member {
    let (text, peer) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
    let (id, info) = text.split_once('=').map_or((text, None), |(id, info)| (id, Some(info)));
    Member { user_info: info.map(|info| info.to_owned().into()), peer, ..Member::new(id) }
}

fn publish(channels: &str, data: &str, origin: Option<SocketId>, source: Source) -> Publish {
    let channels = channels.split(',').map(name).collect();
    Publish { channels, name: Arc::from("e"), data: data.to_owned().into(), origin, source, stamps: None, extras: None, once: false }
}

fn shown(members: &[Arc<Member>]) -> String {
    let one = |member: &Arc<Member>| match &member.user_info {
        Some(info) => format!("{}={}", member.user_id, String::from_utf8_lossy(info)),
        None => member.user_id.to_string(),
    };
    format!("[{}]", members.iter().map(one).collect::<Vec<_>>().join(" "))
}

/// `serial:what`.
fn event_text(event: &Event) -> String {
    let what = match &event.body {
        Body::Published { data, .. } => String::from_utf8_lossy(data).into_owned(),
        Body::MemberAdded(member) => format!("+{}", shown(std::slice::from_ref(member)).trim_matches(['[', ']'])),
        Body::MemberRemoved(member) => format!("-{}", member.user_id),
        Body::Enrolled(member) => format!("enrolled {}", member.user_id),
        Body::Struck(member) => format!("struck {}", member.user_id),
        Body::SubscriptionCount(count) => format!("count {count}"),
        Body::Gap => "gap".to_owned(),
    };
    format!("{}:{what}", event.serial)
}

fn fact_text(fact: &Fact) -> String {
    let what = match &fact.kind {
        FactKind::Occupied => "occupied".to_owned(),
        FactKind::Vacated => "vacated".to_owned(),
        FactKind::MemberAdded { user_id } => format!("+{user_id}"),
        FactKind::MemberRemoved { user_id } => format!("-{user_id}"),
        FactKind::ClientEvent { data, socket_id, user_id, .. } => {
            let by = user_id.as_ref().map(|id| format!(" as {id}")).unwrap_or_default();
            format!("{} by {}{by}", String::from_utf8_lossy(data), socket_id.map_or('?', letter))
        }
        FactKind::CacheMiss => "miss".to_owned(),
        FactKind::SubscriptionCount(count) => format!("count {count}"),
    };
    format!("{}@{}:{what}", fact.channel, fact.serial)
}

impl World {
    fn new(app: App) -> Self {
        let hub = hub(SHARDS, 10_000);
        let channels = hub.app(&Arc::new(app.clone()));
        let now = Time::from_micros(1_000_000);
        Self { hub, app, channels, now, journal: Kept::default(), subscriptions: BTreeMap::new(), signed_in: BTreeMap::new() }
    }

    fn join(&mut self, letter: char, channel: &str, member: Option<Member>) -> Result<Joined, Refused> {
        self.join_since(letter, channel, member, None)
    }

    fn join_since(&mut self, letter: char, channel: &str, member: Option<Member>, since: Option<Since>) -> Result<Joined, Refused> {
        let member = member.map(Arc::new);
        let (found, joined) = self.channels.subscribe(&self.app, &name(channel), socket(letter), member.clone(), since, self.now)?;
        let subscription = Subscription { channel: found, joined: joined.serial, member, reads: since.is_some() };
        assert!(self.subscriptions.insert((letter, channel.to_owned()), subscription).is_none(), "{letter} is on {channel} already");
        Ok(joined)
    }

    fn leave(&mut self, letter: char, channel: &str) {
        let subscription = self.subscriptions.remove(&(letter, channel.to_owned())).expect("it is on that channel");
        self.channels.unsubscribe(
            &self.app,
            &subscription.channel,
            socket(letter),
            subscription.member.as_ref(),
            subscription.reads,
            self.now,
        );
    }

    fn publish(&self, batch: &[Publish]) {
        self.channels.publish(&self.app, batch, self.now, &self.journal);
    }

    fn sign_in(&mut self, letter: char, user_id: &str, watchlist: &[Arc<str>]) -> Watched {
        let before = self.signed_in.insert(letter, (user(user_id), watchlist.to_vec()));
        let before = before.map(|(_, watchlist)| watchlist).unwrap_or_default();
        self.channels.sign_in(socket(letter), &user(user_id), watchlist, &before)
    }

    fn sign_out(&mut self, letter: char) {
        let (user_id, watchlist) = self.signed_in.remove(&letter).expect("it is signed in");
        self.channels.sign_out(socket(letter), &user_id, &watchlist);
    }

    /// Lets time pass, and runs what is due on the way.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.hub.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.hub.tick(self.now);
        }
        self.now = end;
        self.hub.tick(end);
    }

    /// What each socket sees of all that waits in the inboxes, as the shards would deliver it.
    fn seen(&mut self) -> BTreeMap<char, Vec<String>> {
        let mut seen: BTreeMap<char, Vec<String>> = BTreeMap::new();
        for (shard, inbox) in self.hub.inboxes().to_vec().iter().enumerate() {
            let mut items = Vec::new();
            inbox.take(&mut items);
            for item in items {
                match item {
                    Item::Event(event) => self.see(shard, &Sent { event, sockets: Default::default() }, &mut None, &mut seen),
                    Item::Peer(sent) => self.see(shard, &sent, &mut None, &mut seen),
                    Item::Once(list) => {
                        let mut served = Some(BTreeSet::new());
                        list.iter().for_each(|sent| self.see(shard, sent, &mut served, &mut seen));
                    }
                    Item::Follow { channel_id, alias, added } => {
                        for ((letter, _), _) in self.subscriptions.iter().filter(|(_, subscription)| subscription.channel.id == channel_id)
                        {
                            if socket(*letter).shard() == shard {
                                let line = format!("{} {alias}", if added { "follows" } else { "unfollows" });
                                seen.entry(*letter).or_default().push(line);
                            }
                        }
                    }
                    Item::Watched { socket, user_id, online } => {
                        assert_eq!(socket.shard(), shard);
                        seen.entry(letter(socket)).or_default().push(format!("{user_id} {}", if online { "online" } else { "offline" }));
                    }
                    Item::Lost { channel_id } => {
                        let lost = self.subscriptions.iter().filter(|(_, subscription)| subscription.channel.id == channel_id);
                        let lost: Vec<_> =
                            lost.map(|(key, _)| key.clone()).filter(|(letter, _)| socket(*letter).shard() == shard).collect();
                        for (letter, channel) in lost {
                            self.leave(letter, &channel);
                            seen.entry(letter).or_default().push(format!("{channel} lost"));
                        }
                    }
                }
            }
        }
        seen
    }

    /// What an event is to each socket of a shard; where it is to be had once, only to those who had none of the list before.
    fn see(&self, shard: usize, sent: &Sent, served: &mut Option<BTreeSet<char>>, seen: &mut BTreeMap<char, Vec<String>>) {
        let Sent { event, sockets } = sent;
        let here = self.subscriptions.iter().filter(|((letter, _), _)| socket(*letter).shard() == shard);
        let subscribers =
            here.filter(|(_, on)| on.channel.id == event.channel_id && event.serial > on.joined).map(|((letter, _), _)| *letter);
        let mut takers: BTreeSet<char> = subscribers.collect();
        takers.extend(sockets.iter().map(|socket| letter(*socket)));
        for taker in takers {
            if event.origin != Some(socket(taker)) && served.as_mut().is_none_or(|served| served.insert(taker)) {
                seen.entry(taker).or_default().push(format!("{}#{}", event.channel, event_text(event)));
            }
        }
    }

    /// Does what a line says, and tells the answer.
    fn act(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [who, "joins", channel] => self.joined(who, channel, None, None),
            [who, "joins", channel, "as", shown] => self.joined(who, channel, Some(member(shown)), None),
            [who, "reads", channel] => self.joined(who, channel, None, Some(Since::Now)),
            [who, "reads", channel, "from", epoch, serial] => {
                let position = Position { epoch: epoch.parse().unwrap(), serial: serial.parse().unwrap() };
                self.joined(who, channel, None, Some(Since::Position(position)))
            }
            ["gap", prefix] => {
                self.channels.gap(|name| name.as_str().starts_with(prefix), self.now);
                String::new()
            }
            ["gap", "at", channel] => {
                self.channels.gap_at(&name(channel), self.now);
                String::new()
            }
            ["keep", pattern, events, ref stored @ ..] => {
                let window = Window { events: events.parse().unwrap(), ..self.app.recents.window };
                self.app.recents.patterns =
                    vec![Keep { pattern: Pattern::parse(pattern).unwrap(), window, stored: stored.contains(&"stored") }];
                self.hub.app(&Arc::new(self.app.clone()));
                String::new()
            }
            ["stores", channel] => self.channels.stores(&name(channel)).to_string(),
            ["kept"] => format!("{} bytes", self.hub.recent_bytes()),
            [who, "leaves", channel] => {
                self.leave(who.parse().unwrap(), channel);
                String::new()
            }
            ["publish", channels, data] => {
                self.publish(&[publish(channels, data, None, Source::Server)]);
                String::new()
            }
            ["publish", channels, data, "except", who] => {
                self.publish(&[publish(channels, data, Some(socket(who.parse().unwrap())), Source::Server)]);
                String::new()
            }
            ["store", channels, data] => {
                let channels_count = channels.split(',').count();
                let stamps = Some(Stamps { at: UnixTime::from_millis(1), mids: (0..channels_count as u128).collect() });
                self.publish(&[Publish { stamps, once: true, ..publish(channels, data, None, Source::Server) }]);
                String::new()
            }
            ["once", channels, data] => {
                self.publish(&[Publish { once: true, ..publish(channels, data, None, Source::Server) }]);
                String::new()
            }
            ["commit"] | ["fail"] => {
                let pending = self.journal.0.borrow_mut().pop_front().expect("something waits");
                let stored = pending.events().iter().map(|stored| format!("{}#{}", stored.event.channel, event_text(&stored.event)));
                let stored = format!("stored [{}]", stored.collect::<Vec<_>>().join(" "));
                pending.settle(words == ["commit"], self.now);
                stored
            }
            [who, "refreshes", channel, "as", said] => {
                let key = (who.parse().unwrap(), channel.to_owned());
                let Subscription { channel, member: before, .. } = &self.subscriptions[&key];
                let member = Arc::new(member(said));
                let channel = Arc::clone(channel);
                let answer = self.channels.refresh(&self.app, &channel, socket(key.0), before.as_ref(), Some(&member), self.now);
                match answer {
                    Ok(joined) => {
                        self.subscriptions.get_mut(&key).unwrap().member = Some(member);
                        joined.members.map(|list| shown(&list.members)).unwrap_or_default()
                    }
                    Err(refused) => format!("{refused:?}"),
                }
            }
            ["follow", channel, alias] => {
                self.channels.follow(channel, &name(alias), true);
                String::new()
            }
            ["pairs", channel, id] => {
                self.channels.find(channel).map(|found| self.channels.pairs_of(&found, id).join(" ")).unwrap_or_default()
            }
            ["batch", ref events @ ..] => {
                let one = |event: &&str| event.split_once(':').map(|(channel, data)| publish(channel, data, None, Source::Server));
                let batch: Vec<_> = events.iter().filter_map(one).collect();
                self.publish(&batch);
                String::new()
            }
            [who, "sends", channel, data] => {
                let letter = who.parse().unwrap();
                let member = self.subscriptions[&(letter, channel.to_owned())].member.clone();
                let user_id = member.map(|member| Arc::clone(&member.user_id));
                self.publish(&[publish(channel, data, Some(socket(letter)), Source::Client { socket: socket(letter), user_id })]);
                String::new()
            }
            [who, "signs", "in", id, ref watched @ ..] => {
                let watchlist: Vec<_> = watched.iter().map(|id| user(id)).collect();
                let Watched { online, offline } = self.sign_in(who.parse().unwrap(), id, &watchlist);
                format!("online [{}] offline [{}]", online.join(" "), offline.join(" "))
            }
            [who, "signs", "out"] => {
                self.sign_out(who.parse().unwrap());
                String::new()
            }
            ["signed", "in", id] => {
                let letters: String = self.channels.signed_in(id).into_iter().map(letter).collect();
                format!("{letters} of {}", self.channels.users_online())
            }
            ["wait", millis] => {
                self.wait(Duration::from_millis(millis.parse().unwrap()));
                String::new()
            }
            ["occupancy", channel] => {
                let Occupancy { subscriptions, members } = self.channels.occupancy(channel);
                format!("{subscriptions} subscriptions, {members} members")
            }
            ["occupied", ref prefix @ ..] => {
                let occupied = self.channels.occupied(prefix.first().unwrap_or(&""), |name| name.access() != Access::Reserved);
                occupied.iter().map(|(name, occupancy)| format!("{name}:{}", occupancy.subscriptions)).collect::<Vec<_>>().join(" ")
            }
            ["members", channel] => shown(&self.channels.members(channel).members),
            ["cached", channel] => match self.channels.cached(channel, self.now) {
                Some((event, expires)) => format!("{} for {} ms", event_text(&event), expires.since(self.now).as_millis()),
                None => "nothing".to_owned(),
            },
            ["channels"] => format!("{} channels", self.hub.channels()),
            _ => panic!("{line} says nothing"),
        }
    }

    fn joined(&mut self, who: &str, channel: &str, member: Option<Member>, since: Option<Since>) -> String {
        let joined = match self.join_since(who.parse().unwrap(), channel, member, since) {
            Ok(joined) => joined,
            Err(refused) => return format!("{refused:?}"),
        };
        let members = joined.members.map(|list| format!(" {}", shown(&list.members))).unwrap_or_default();
        let cache = match joined.cache {
            Cached::Off => String::new(),
            Cached::Miss => " miss".to_owned(),
            Cached::Hit(event) => format!(" hit {}", event_text(&event)),
        };
        let missed = joined.missed.events.iter().map(|event| format!(" {}", event_text(event))).collect::<String>();
        let gap = match joined.missed {
            Missed { gap: false, .. } => "",
            Missed { stored: false, .. } => " gap",
            Missed { stored: true, .. } => " gap stored",
        };
        format!("@{}{members}{cache}{gap}{missed}", joined.serial)
    }

    /// Everything that came of the last line: the answer, what each socket saw, the facts.
    fn outcome(&mut self, answer: String) -> String {
        let seen = self.seen().into_iter().map(|(letter, seen)| format!("{letter}: {}", seen.join(", ")));
        let facts: Vec<_> = self.hub.facts().take().iter().map(fact_text).collect();
        let facts = (!facts.is_empty()).then(|| format!("facts: {}", facts.join(", ")));
        let answer = Some(answer).filter(|answer| !answer.is_empty());
        answer.into_iter().chain(seen).chain(facts).collect::<Vec<_>>().join(" | ")
    }

    fn play(&mut self, lines: &[(&str, &str)]) {
        for (place, (line, expected)) in lines.iter().enumerate() {
            let answer = self.act(line);
            assert_eq!(self.outcome(answer), *expected, "line {place}: {line}");
        }
    }

    /// Everybody leaves and time passes: nothing is left.
    fn end(mut self) {
        for (letter, channel) in self.subscriptions.keys().cloned().collect::<Vec<_>>() {
            self.leave(letter, &channel);
        }
        for letter in self.signed_in.keys().copied().collect::<Vec<_>>() {
            self.sign_out(letter);
        }
        self.seen();
        self.wait(self.app.limits.cache_ttl.max(self.app.limits.count_interval).max(self.app.recents.window.age));
        self.seen();
        let counts = (self.hub.channels(), self.channels.users_online(), self.hub.budget().used(), self.hub.budget().events());
        assert_eq!(counts, (0, 0, 0, 0), "channels, users, bytes, events");
        assert_eq!(self.hub.next_deadline(), None);
    }
}

/// Plays the lines, each with what comes of it, and looks that nothing is left afterwards.
fn check(app: App, lines: &[(&str, &str)]) {
    let mut world = World::new(app);
    world.play(lines);
    world.end();
}
