//! Who is on which channel, and what happens there.

use super::{News, World};
use std::collections::HashMap;
use std::sync::Arc;
use tidings_dialect::action::{Join, Subscription, Subscriptions};
use tidings_dialect::pusher::name::Kind;
use tidings_dialect::pushi::name::bases;
use tidings_hub::{
    Attached, Body, Cached, ChannelName, Event, Joined, Member, MemberList, Missed, Publish, Refused, SocketId, Source, Stamp,
};

#[derive(Default)]
pub(super) struct Channels(HashMap<ChannelName, Channel>);

#[derive(Default)]
struct Channel {
    /// In the order in which they came.
    subscribers: Vec<Subscriber>,
    /// Distinct users, with what each said last (P-7.7, I-2.8).
    members: Vec<Arc<Member>>,
}

struct Subscriber {
    at: usize,
    /// The events that there were before it came.
    joined: u64,
    member: Option<Arc<Member>>,
    notices: bool,
}

/// What a session may see of the channels.
pub(super) struct Own<'a> {
    channels: &'a Channels,
    at: usize,
}

impl Subscriptions for Own<'_> {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let (channel, found) = self.channels.0.get_key_value(channel)?;
        found.subscriber(self.at).map(|subscriber| Subscription { channel, member: subscriber.member.as_ref() })
    }

    fn count(&self) -> usize {
        self.channels.0.values().filter(|channel| channel.subscriber(self.at).is_some()).count()
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        self.channels.members(channel)
    }

    fn is_pair(&self, presence: &str, one: &str, other: &str) -> bool {
        self.channels.pair(presence, one, other).is_some()
    }
}

impl Channel {
    fn subscriber(&self, at: usize) -> Option<&Subscriber> {
        self.subscribers.iter().find(|subscriber| subscriber.at == at)
    }

    fn has(&self, user_id: &str) -> bool {
        self.members.iter().any(|member| *member.user_id == *user_id)
    }

    /// The subscribers that are one user, each with what it said of itself.
    fn connections(&self, user_id: &str) -> Vec<(usize, &Arc<Member>)> {
        let members = self.subscribers.iter().filter_map(|subscriber| Some((subscriber.at, subscriber.member.as_ref()?)));
        members.filter(|(_, member)| *member.user_id == *user_id).collect()
    }

    /// Takes over what a user says of itself. Returns whether it is new here.
    fn come(&mut self, member: &Arc<Member>) -> bool {
        match self.members.iter_mut().find(|other| other.user_id == member.user_id) {
            Some(known) => {
                known.clone_from(member);
                false
            }
            None => {
                self.members.push(Arc::clone(member));
                true
            }
        }
    }

    /// One connection of a user is not on the channel any more. Returns whether it was the last.
    fn go(&mut self, user_id: &str) -> bool {
        let last = self.connections(user_id).is_empty();
        self.members.retain(|member| !last || *member.user_id != *user_id);
        last
    }
}

impl Channels {
    pub(super) fn own(&self, at: usize) -> Own<'_> {
        Own { channels: self, at }
    }

    /// The channels of a connection, the last one first.
    pub(super) fn of(&self, at: usize) -> Vec<ChannelName> {
        let mut found: Vec<_> = self.0.iter().filter_map(|(name, channel)| Some((channel.subscriber(at)?.joined, name))).collect();
        found.sort_unstable();
        found.into_iter().rev().map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn subscribers(&self, channel: &ChannelName) -> Vec<usize> {
        self.0.get(channel).map(|channel| channel.subscribers.iter().map(|subscriber| subscriber.at).collect()).unwrap_or_default()
    }

    /// Who is to see an event: subscribers that were there when it happened, and those beside them that are none.
    pub(super) fn recipients(&self, event: &Event, beside: &[usize]) -> Vec<usize> {
        let is_notice = !matches!(event.body, Body::Published { .. });
        let subscribers = self.0.get(&event.channel).map_or(&[][..], |channel| &channel.subscribers);
        let were_there = subscribers.iter().filter(|subscriber| subscriber.joined < event.serial && (subscriber.notices || !is_notice));
        let mut found: Vec<usize> = were_there.map(|subscriber| subscriber.at).collect();
        found.extend(beside.iter().filter(|at| subscribers.iter().all(|subscriber| subscriber.at != **at)));
        found
    }

    fn members(&self, channel: &str) -> Arc<MemberList> {
        Arc::new(MemberList::new(self.0.get(channel).map(|channel| channel.members.clone()).unwrap_or_default()))
    }

    /// The connections of two users of a presence channel, if one of them wants a channel for both (I-2.10).
    fn pair(&self, presence: &str, one: &str, other: &str) -> Option<Vec<usize>> {
        let channel = self.0.get(presence).filter(|_| one != other)?;
        let (one, other) = (channel.connections(one), channel.connections(other));
        let both = || one.iter().chain(&other);
        let is_active = !one.is_empty() && !other.is_empty() && both().any(|(_, member)| member.peer);
        is_active.then(|| both().map(|(at, _)| *at).collect())
    }

    /// The connections of the pair whose channel this is (I-2.11): the lower id stands first.
    fn pair_of(&self, channel: &ChannelName) -> Vec<usize> {
        let pairs = bases(channel.as_str()).flat_map(|(presence, tail)| {
            let ids = tail.match_indices('&').map(move |(at, _)| (&tail[..at], &tail[at + 1..])).filter(|(low, high)| low < high);
            ids.filter_map(move |(low, high)| self.pair(&presence, low, high)).flatten()
        });
        pairs.collect()
    }
}

impl World {
    pub(super) fn subscribe(&mut self, at: usize, Join { channel, member, notices, .. }: Join) -> Result<Joined, Refused> {
        let max = self.app.limits.presence_members;
        let found = self.channels.0.entry(channel.clone()).or_default();
        assert!(found.subscriber(at).is_none(), "a session asks for a channel that it is on: {channel}");
        if member.as_ref().is_some_and(|member| found.members.len() >= max as usize && !found.has(&member.user_id)) {
            return Err(Refused::MembersFull { max });
        }
        if let Some(member) = member.as_ref().filter(|member| found.come(member)) {
            self.happen(&channel, None, Body::MemberAdded(Arc::clone(member)));
        }
        let subscriber = Subscriber { at, joined: self.events, member, notices };
        self.channels.0.entry(channel.clone()).or_default().subscribers.push(subscriber);
        let joined = self.joined(&channel);
        self.count(&channel);
        Ok(joined)
    }

    /// Says something else of a subscriber, whose place stays (I-2.4). It does not hear of itself.
    pub(super) fn refresh(&mut self, at: usize, Join { channel, member, notices, .. }: Join) -> Result<Joined, Refused> {
        let origin = Some(self.connections[at].1.session.socket_id());
        let found = self.channels.0.get_mut(&channel).expect("a session refreshes where it is");
        let subscriber = found.subscribers.iter_mut().find(|subscriber| subscriber.at == at).expect("a session refreshes where it is");
        let before = std::mem::replace(&mut subscriber.member, member.clone());
        subscriber.notices = notices;
        let left = before.filter(|before| found.go(&before.user_id));
        let came = member.filter(|member| found.come(member));
        if let Some(left) = left {
            self.happen(&channel, origin, Body::MemberRemoved(left));
        }
        if let Some(came) = came {
            self.happen(&channel, origin, Body::MemberAdded(came));
        }
        Ok(self.joined(&channel))
    }

    pub(super) fn leave(&mut self, at: usize, channel: &ChannelName) {
        let found = self.channels.0.get_mut(channel).expect("a session leaves where it is");
        let place = found.subscribers.iter().position(|subscriber| subscriber.at == at).expect("a session leaves where it is");
        let left = found.subscribers.remove(place).member;
        if let Some(left) = left.filter(|left| found.go(&left.user_id)) {
            self.happen(channel, None, Body::MemberRemoved(left));
        }
        self.count(channel);
    }

    /// What a subscriber finds.
    fn joined(&self, channel: &ChannelName) -> Joined {
        let is_presence = Kind::of(channel.as_str()) == Kind::Presence;
        let members = is_presence.then(|| self.channels.members(channel.as_str()));
        Joined { serial: self.events, members, cache: self.cache(channel), missed: Missed::default() }
    }

    /// Makes the event of each channel. What a server publishes is cached, with or without subscribers.
    pub(super) fn publish(&mut self, publish: &Publish) {
        for (place, channel) in publish.channels.iter().enumerate() {
            let stamp = publish.stamps.as_ref().map(|stamps| Stamp { mid: stamps.mids[place], at: stamps.at });
            let attached = stamp.map(|stamp| Box::new(Attached { stamp: Some(stamp), extras: publish.extras.clone() }));
            let (name, data, source) = (Arc::clone(&publish.name), publish.data.clone(), publish.source.clone());
            let event = self.happen(channel, publish.origin, Body::Published { name, data, source, attached });
            if channel.caches() && publish.source == Source::Server {
                self.cached.insert(channel.clone(), (event, self.now));
            }
        }
    }

    fn happen(&mut self, channel: &ChannelName, origin: Option<SocketId>, body: Body) -> Arc<Event> {
        self.events += 1;
        let event = Arc::new(Event::new(channel.clone(), 1, self.events, origin, body, &self.budget));
        self.inbox.push_back(News::Event(Arc::clone(&event), self.channels.pair_of(channel)));
        event
    }

    fn cache(&self, channel: &ChannelName) -> Cached {
        match self.cached.get(channel) {
            _ if !channel.caches() => Cached::Off,
            Some((event, since)) if self.now.since(*since) < self.app.limits.cache_ttl => Cached::Hit(Arc::clone(event)),
            _ => Cached::Miss,
        }
    }

    fn count(&mut self, channel: &ChannelName) {
        let kind = Kind::of(channel.as_str());
        if self.app.subscription_count_events && !matches!(kind, Kind::Presence | Kind::ServerToUser) {
            let count = self.channels.subscribers(channel).len() as u32;
            self.happen(channel, None, Body::SubscriptionCount(count));
        }
    }
}
