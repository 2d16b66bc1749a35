//! Random lives against a naive model: lists and nothing else. After each step everybody has seen what the model says, no more and no less.

use super::*;
use proptest::prelude::*;

const LETTERS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];
const CHANNELS: [&str; 5] = ["news", "private-x", "presence-x", "presence-cache-y", "cache-z"];
const USERS: [&str; 3] = ["u", "v", "w"];
const MEMBERS_MAX: usize = 2;
const CACHES_MAX: usize = 1;

#[derive(Clone, Debug)]
enum Step {
    Join { who: usize, channel: usize, user: usize, info: u8 },
    Leave { who: usize, channel: usize },
    Publish { channels: Vec<usize>, except: Option<usize> },
    Send { who: usize, channel: usize },
    SignIn { who: usize, user: usize, watched: Vec<usize> },
    SignOut { who: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, channel, user) = (0..LETTERS.len(), 0..CHANNELS.len(), 0..USERS.len());
    let several = |max: usize| proptest::sample::subsequence((0..max).collect::<Vec<_>>(), 0..=max);
    prop_oneof![
        6 => (who.clone(), channel.clone(), user.clone(), 0..2_u8).prop_map(|(who, channel, user, info)| Step::Join { who, channel, user, info }),
        5 => (who.clone(), channel.clone()).prop_map(|(who, channel)| Step::Leave { who, channel }),
        4 => (several(CHANNELS.len()), proptest::option::of(who.clone())).prop_map(|(channels, except)| Step::Publish { channels, except }),
        2 => (who.clone(), channel).prop_map(|(who, channel)| Step::Send { who, channel }),
        3 => (who.clone(), user, several(USERS.len())).prop_map(|(who, user, watched)| Step::SignIn { who, user, watched }),
        1 => who.prop_map(|who| Step::SignOut { who }),
        1 => (0..30_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// One channel as the model has it.
#[derive(Default)]
struct ModelChannel {
    serial: u64,
    /// In the order in which they came, with their member.
    subscribers: Vec<(char, Option<Member>)>,
    /// The last of each user that came says what is said of it.
    infos: BTreeMap<String, Member>,
    /// The text, and when its life is over.
    cache: Option<(String, Time)>,
    /// When it was cached, to find the oldest.
    cached_as: u64,
}

#[derive(Default)]
struct Model {
    channels: BTreeMap<&'static str, ModelChannel>,
    /// How far channels that are gone came.
    retired: u64,
    published: u64,
    signed_in: BTreeMap<char, (String, Vec<String>)>,
    seen: BTreeMap<char, Vec<String>>,
}

impl Model {
    fn channel(&mut self, name: &'static str) -> &mut ModelChannel {
        let serial = self.retired;
        self.channels.entry(name).or_insert_with(|| ModelChannel { serial, ..ModelChannel::default() })
    }

    fn is_on(&self, letter: char, name: &str) -> bool {
        self.channels.get(name).is_some_and(|channel| channel.subscribers.iter().any(|(other, _)| *other == letter))
    }

    fn emit(&mut self, name: &'static str, what: &str, except: Option<char>) -> String {
        let channel = self.channel(name);
        channel.serial += 1;
        let text = format!("{}:{what}", channel.serial);
        let subscribers: Vec<_> = channel.subscribers.iter().map(|(letter, _)| *letter).filter(|letter| Some(*letter) != except).collect();
        for letter in subscribers {
            self.seen.entry(letter).or_default().push(format!("{name}#{text}"));
        }
        text
    }

    fn tell_count(&mut self, name: &'static str) {
        let count = self.channel(name).subscribers.len();
        if !name.starts_with("presence-") {
            self.emit(name, &format!("count {count}"), None);
        }
    }

    fn sweep(&mut self) {
        let idle = |channel: &ModelChannel| channel.subscribers.is_empty() && channel.cache.is_none();
        self.retired = self.channels.values().filter(|channel| idle(channel)).map(|channel| channel.serial).fold(self.retired, u64::max);
        self.channels.retain(|_, channel| !idle(channel));
    }

    /// The answer as [`World::joined`] words it.
    fn join(&mut self, letter: char, name: &'static str, member: Option<Member>, now: Time) -> String {
        let channel = self.channel(name);
        if let Some(member) = &member {
            if channel.infos.len() >= MEMBERS_MAX && !channel.infos.contains_key(&*member.user_id) {
                self.sweep();
                return format!("{:?}", Refused::MembersFull { max: MEMBERS_MAX as u32 });
            }
            if channel.infos.insert(member.user_id.to_string(), member.clone()).is_none() {
                let shown = shown(&[Arc::new(member.clone())]);
                self.emit(name, &format!("+{}", shown.trim_matches(['[', ']'])), Some(letter));
            }
        }
        let channel = self.channel(name);
        channel.subscribers.push((letter, member));
        let members: Vec<_> = channel.infos.values().cloned().map(Arc::new).collect();
        let members = if members.is_empty() { String::new() } else { format!(" {}", shown(&members)) };
        let cache = match &channel.cache {
            _ if !name.contains("cache-") => String::new(),
            Some((text, expires)) if *expires > now => format!(" hit {text}"),
            _ => " miss".to_owned(),
        };
        let answer = format!("@{}{members}{cache}", channel.serial);
        self.tell_count(name);
        answer
    }

    fn leave(&mut self, letter: char, name: &'static str) {
        let channel = self.channel(name);
        let place = channel.subscribers.iter().position(|(other, _)| *other == letter).unwrap();
        let (_, member) = channel.subscribers.remove(place);
        if let Some(Member { user_id, .. }) = member
            && !channel.subscribers.iter().any(|(_, other)| other.as_ref().is_some_and(|other| other.user_id == user_id))
        {
            channel.infos.remove(&*user_id);
            self.emit(name, &format!("-{user_id}"), None);
        }
        self.tell_count(name);
        self.sweep();
    }

    fn publish(&mut self, names: &[&'static str], data: &str, except: Option<char>, server: bool, expires: Time) {
        for &name in names {
            let caches = server && name.contains("cache-");
            if !caches && !self.channels.contains_key(name) {
                continue;
            }
            let text = self.emit(name, data, except);
            if caches {
                self.published += 1;
                let order = self.published;
                let channel = self.channel(name);
                (channel.cache, channel.cached_as) = (Some((text, expires)), order);
            }
        }
        while self.channels.values().filter(|channel| channel.cache.is_some()).count() > CACHES_MAX {
            let oldest = self.channels.values_mut().filter(|channel| channel.cache.is_some()).min_by_key(|channel| channel.cached_as);
            oldest.unwrap().cache = None;
            self.sweep();
        }
    }

    fn wait(&mut self, now: Time) {
        for channel in self.channels.values_mut() {
            channel.cache.take_if(|(_, expires)| *expires <= now);
        }
        self.sweep();
    }

    fn is_online(&self, user: &str) -> bool {
        self.signed_in.values().any(|(id, _)| id == user)
    }

    fn tell_watchers(&mut self, user: &str, state: &str) {
        for (letter, (_, watched)) in &self.signed_in {
            if watched.iter().any(|id| id == user) {
                self.seen.entry(*letter).or_default().push(format!("{user} {state}"));
            }
        }
    }

    fn sign_in(&mut self, letter: char, user: &str, watched: Vec<String>) {
        let came = !self.is_online(user);
        self.signed_in.remove(&letter);
        if came {
            self.tell_watchers(user, "online");
        }
        self.signed_in.insert(letter, (user.to_owned(), watched));
    }

    fn sign_out(&mut self, letter: char) {
        let (user, _) = self.signed_in.remove(&letter).unwrap();
        if !self.is_online(&user) {
            self.tell_watchers(&user, "offline");
        }
    }
}

fn take_step(step: &Step, number: usize, world: &mut World, model: &mut Model) {
    let expires = world.now + world.app.limits.cache_ttl;
    match step {
        Step::Join { who, channel, user, info } => {
            let (letter, name) = (LETTERS[*who], CHANNELS[*channel]);
            if model.is_on(letter, name) {
                return;
            }
            let member = name.starts_with("presence-").then(|| member(&format!("{}={info}", USERS[*user])));
            let answer = world.joined(&letter.to_string(), name, member.clone(), None);
            assert_eq!(answer, model.join(letter, name, member, world.now), "step {number}");
        }
        Step::Leave { who, channel } => {
            let (letter, name) = (LETTERS[*who], CHANNELS[*channel]);
            if model.is_on(letter, name) {
                world.leave(letter, name);
                model.leave(letter, name);
            }
        }
        Step::Publish { channels, except } => {
            let names: Vec<_> = channels.iter().map(|&channel| CHANNELS[channel]).collect();
            let except = except.map(|who| LETTERS[who]);
            if !names.is_empty() {
                world.publish(&[publish(&names.join(","), &format!("p{number}"), except.map(socket), Source::Server)]);
                model.publish(&names, &format!("p{number}"), except, true, expires);
            }
        }
        Step::Send { who, channel } => {
            let (letter, name) = (LETTERS[*who], CHANNELS[*channel]);
            if model.is_on(letter, name) {
                world.publish(&[publish(
                    name,
                    &format!("s{number}"),
                    Some(socket(letter)),
                    Source::Client { socket: socket(letter), user_id: None },
                )]);
                model.publish(&[name], &format!("s{number}"), Some(letter), false, expires);
            }
        }
        Step::SignIn { who, user: place, watched } => {
            let letter = LETTERS[*who];
            // A connection stays who it is (P-15.1).
            let id = model.signed_in.get(&letter).map_or(USERS[*place].to_owned(), |(id, _)| id.clone());
            let watched: Vec<String> = watched.iter().map(|&place| USERS[place].to_owned()).collect();
            let answer = world.sign_in(letter, &id, &watched.iter().map(|id| user(id)).collect::<Vec<_>>());
            model.sign_in(letter, &id, watched.clone());
            let (online, offline) = watched.into_iter().map(|id| user(&id)).partition(|id| model.is_online(id));
            assert_eq!(answer, Watched { online, offline }, "step {number}");
        }
        Step::SignOut { who } => {
            if model.signed_in.contains_key(&LETTERS[*who]) {
                world.sign_out(LETTERS[*who]);
                model.sign_out(LETTERS[*who]);
            }
        }
        Step::Wait { seconds } => {
            world.wait(Duration::from_secs(*seconds));
            model.wait(world.now);
        }
    }
}

fn compare(number: usize, world: &mut World, model: &mut Model) {
    // Between channels no order is promised, within one there is exactly one.
    let by_channel = |mut seen: BTreeMap<char, Vec<String>>| {
        seen.values_mut().for_each(|seen| seen.sort_by_key(|line| line.split_once('#').map(|(channel, _)| channel.to_owned())));
        seen
    };
    assert_eq!(by_channel(world.seen()), by_channel(std::mem::take(&mut model.seen)), "what is seen after step {number}");
    for name in CHANNELS {
        let (subscriptions, members) = model
            .channels
            .get(name)
            .map_or((0, vec![]), |channel| (channel.subscribers.len(), channel.infos.values().cloned().map(Arc::new).collect()));
        let expected = Occupancy { subscriptions: subscriptions as u32, members: members.len() as u32 };
        assert_eq!(world.channels.occupancy(name), expected, "{name} after step {number}");
        assert_eq!(shown(&world.channels.members(name).members), shown(&members), "{name} after step {number}");
        let cached = world.channels.cached(name, world.now).map(|(event, expires)| (event_text(&event), expires));
        let expected = model.channels.get(name).and_then(|channel| channel.cache.clone());
        assert_eq!(cached, expected, "{name} after step {number}");
    }
    assert_eq!(world.hub.channels(), model.channels.len(), "after step {number}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// P-3.8, P-5.4, P-7.8, P-13.2, P-14.2, P-15.9.
    #[test]
    fn any_life_goes_as_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        let limits = Limits { presence_members: MEMBERS_MAX as u32, caches: CACHES_MAX, cache_ttl: Duration::from_secs(60), ..Limits::default() };
        let mut world = World::new(App { subscription_count_events: true, limits, ..app() });
        let mut model = Model::default();
        for (number, step) in steps.iter().enumerate() {
            take_step(step, number, &mut world, &mut model);
            compare(number, &mut world, &mut model);
        }
        world.end();
    }
}
