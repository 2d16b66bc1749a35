//! The channels a connection is subscribed to or wants to be: asking for them, and what the server says about them.

use super::proof;
use super::{Connection, State};
use crate::{
    AuthorizeError, ChannelProof, Event, Notice, PresenceMember, SendError, SharedSecret, SubscribeError, SubscriptionError,
    UndecryptableError,
};
use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tidings_dialect::pusher::codec::{self, ClientData, ClientMessage, Subscribe};
use tidings_dialect::pusher::name::{Kind, SERVER_TO_USER};
use tidings_hub::{Access, ChannelName};
use tokio::time::Instant;

/// How many channels are signed elsewhere at once.
const SIGNING_MAX: usize = 16;
/// How many events of an encrypted channel wait for another secret.
const HELD_MAX: usize = 1_000;
/// How long an encrypted channel's secret is taken for the last word, once another one did not help either.
const SECRET_PATIENCE: Duration = Duration::from_secs(30);
/// The longest name of a client event, in characters (P-18.2).
const EVENT_NAME_CHARS_MAX: usize = 200;

/// All subscriptions, and in which order they are to be asked for.
#[derive(Default)]
pub(super) struct Subscriptions {
    channels: HashMap<ChannelName, Subscription>,
    /// Those to give up as soon as there is room, which comes before what is to be asked for: it may be the same channel.
    leaves: VecDeque<ChannelName>,
    /// Those to ask for as soon as there is room. All that are [`Stage::Unasked`] are in it while there is a connection.
    asks: VecDeque<ChannelName>,
    /// Those to be signed elsewhere as soon as one of [`SIGNING_MAX`] is.
    unsigned: VecDeque<(u64, ChannelName)>,
    /// How many are being signed elsewhere.
    signing: usize,
    /// The last number given out, of subscriptions and of requests to sign.
    count: u64,
}

struct Subscription {
    /// Its place among all, by which it is asked for again.
    number: u64,
    stage: Stage,
    /// Who this connection is, on a presence channel.
    me: Option<String>,
    /// With what to read an encrypted channel; none if its data is told as it comes.
    secret: Option<SharedSecret>,
    /// In a box, since it is rare.
    held: Option<Box<Held>>,
    /// When another secret was fetched the last time.
    fetched: Option<Instant>,
}

/// Events that wait for another secret.
struct Held {
    /// Of the request for it.
    ticket: u64,
    events: VecDeque<Event>,
}

enum Stage {
    /// Not asked for on this connection.
    Unasked,
    /// Being signed elsewhere, under this ticket.
    Signing(u64),
    /// Waiting for the user to be signed in, who is to be the member (P-7.5).
    Awaiting(Box<ChannelProof>),
    /// The server has been asked.
    Asked,
    /// In force.
    Confirmed,
    /// Not on this connection.
    Refused,
}

impl Subscriptions {
    /// Whether something is to be said that had no room.
    pub(super) fn wait_for_room(&self) -> bool {
        !(self.leaves.is_empty() && self.asks.is_empty())
    }

    /// A new connection: all are to be asked for, in the order in which they were made.
    pub(super) fn ask_for_all(&mut self) {
        let mut all: Vec<_> = self.channels.iter().map(|(channel, subscription)| (subscription.number, channel.clone())).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        self.asks = all.into_iter().map(|(_, channel)| channel).collect();
    }

    /// The connection is gone. What waited for another secret cannot be read any more.
    pub(super) fn disconnected(&mut self) -> Vec<Notice> {
        self.leaves.clear();
        self.asks.clear();
        self.unsigned.clear();
        self.signing = 0;
        self.channels.retain(|channel, _| !channel.as_str().starts_with(SERVER_TO_USER));
        let mut lost = Vec::new();
        for subscription in self.channels.values_mut() {
            subscription.stage = Stage::Unasked;
            subscription.fetched = None;
            let held = subscription.held.take().map(|held| held.events).unwrap_or_default();
            lost.extend(held.into_iter().map(|event| undecryptable(event, UndecryptableError::Lost)));
        }
        lost
    }

    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Connection {
    /// Keeps up a subscription to `channel` from now on, with or without a connection; [`Notice::Subscribed`] or [`Notice::Refused`] tells
    /// how it went. Asking for one that is there already changes nothing; one that was refused is asked for anew.
    ///
    /// # Errors
    /// [`SubscribeError`] if it cannot be had: nothing is changed.
    pub fn subscribe(&mut self, channel: &str) -> Result<(), SubscribeError> {
        let name = check(channel, self.signer.signs_channels())?;
        self.want(name);
        Ok(())
    }

    /// Gives a subscription up. Whether there was one. Events that are on their way are told all the same.
    pub fn unsubscribe(&mut self, channel: &str) -> bool {
        let Some((channel, subscription)) = self.subscriptions.channels.remove_entry(channel) else {
            return false;
        };
        if matches!(subscription.stage, Stage::Asked | Stage::Confirmed) {
            self.subscriptions.leaves.push_back(channel);
            self.ask_on();
        }
        true
    }

    /// Whether a subscription to `channel` is in force.
    #[must_use]
    pub fn is_subscribed(&self, channel: &str) -> bool {
        self.subscriptions.channels.get(channel).is_some_and(|subscription| matches!(subscription.stage, Stage::Confirmed))
    }

    /// Sends a client event to the other subscribers of `channel` (P-8.1), while [`Connection::next`] is awaited. What servers allow is in
    /// [`Channel::send_event`](crate::Channel::send_event).
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent. That nothing is said does not mean that the server passes it on; if it refuses, a
    /// [`Notice::Error`] follows.
    pub fn send_event(&mut self, channel: &str, name: &str, data: ClientData<'_>) -> Result<(), SendError> {
        if !name.starts_with("client-") || name.chars().count() > EVENT_NAME_CHARS_MAX {
            return Err(SendError::Name { name: name.to_owned() });
        }
        if !matches!(Kind::of(channel), Kind::Private | Kind::Presence) {
            return Err(SendError::NotThere { channel: channel.to_owned() });
        }
        if self.socket_id().is_none() {
            return Err(SendError::NotConnected);
        }
        if !self.is_subscribed(channel) {
            return Err(SendError::NotSubscribed { channel: channel.to_owned() });
        }
        let mut text = Vec::new();
        let event = ClientMessage::Event { name: Cow::Borrowed(name), channel: Cow::Borrowed(channel), data };
        codec::encode_client(&event, &mut text);
        self.send_text(String::from_utf8(text).expect("what is encoded from texts is text"))
    }

    /// The user's own channel, for as long as the connection is signed in (P-15.6).
    pub(super) fn subscribe_own(&mut self, user_id: &str) {
        // An id that makes no channel can sign in all the same (P-15.7).
        if let Ok(channel) = ChannelName::parse(&format!("{SERVER_TO_USER}{user_id}")) {
            self.want(channel);
        }
    }

    fn want(&mut self, channel: ChannelName) {
        let number = self.subscriptions.next_number();
        let new = || Subscription { number, stage: Stage::Unasked, me: None, secret: None, held: None, fetched: None };
        let is_to_be_asked = match self.subscriptions.channels.entry(channel.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(new());
                true
            }
            Entry::Occupied(mut occupied) => {
                let stage = &mut occupied.get_mut().stage;
                let was_refused = matches!(stage, Stage::Refused);
                if was_refused {
                    *stage = Stage::Unasked;
                }
                was_refused
            }
        };
        if is_to_be_asked && matches!(self.state, State::Open(..)) {
            self.subscriptions.asks.push_back(channel);
            self.ask_on();
        }
    }

    /// Gives up what is not wanted and asks for what is, as long as there is room.
    pub(super) fn ask_on(&mut self) {
        while let State::Open(link, _) = &self.state
            && link.has_room()
            && self.broken.is_none()
        {
            if let Some(channel) = self.subscriptions.leaves.pop_front() {
                self.say(&ClientMessage::Unsubscribe { channel: Cow::Borrowed(channel.as_str()) });
            } else if let Some(channel) = self.subscriptions.asks.pop_front() {
                self.ask(channel);
            } else {
                break;
            }
        }
    }

    fn ask(&mut self, channel: ChannelName) {
        let State::Open(link, _) = &self.state else { return };
        match self.subscriptions.channels.get(&channel) {
            // It may have been given up, and asked for twice, while there was no room.
            Some(Subscription { stage: Stage::Unasked, .. }) => {}
            _ => return,
        }
        if !(needs_proof(&channel) || self.signer.is_us() && channel.access() == Access::Private) {
            self.ask_server(&channel, None);
        } else if let Some(proof) = self.signer.channel(&channel, &link.socket_id) {
            self.proven(&channel, proof);
        } else {
            let ticket = self.subscriptions.next_number();
            self.stage(&channel, Stage::Signing(ticket));
            self.subscriptions.unsigned.push_back((ticket, channel));
            self.sign_on();
        }
    }

    /// Has those signed that wait for it, a few at once.
    fn sign_on(&mut self) {
        while let State::Open(link, _) = &self.state
            && self.subscriptions.signing < SIGNING_MAX
            && let Some((ticket, channel)) = self.subscriptions.unsigned.pop_front()
        {
            // What was given up meanwhile is not asked for.
            if self.subscriptions.channels.get(&channel).is_some_and(|subscription| subscription.waits_for(ticket))
                && let Some(signing) = self.signer.ask_channel(ticket, channel, &link.socket_id)
            {
                self.subscriptions.signing += 1;
                self.signing.push(signing);
            }
        }
    }

    /// The endpoint answered.
    pub(super) fn channel_signed(&mut self, ticket: u64, channel: &ChannelName, proof: Result<ChannelProof, AuthorizeError>) {
        self.subscriptions.signing -= 1;
        self.sign_on();
        let Some(subscription) = self.subscriptions.channels.get_mut(channel) else { return };
        if subscription.held.as_ref().is_some_and(|held| held.ticket == ticket) {
            return self.secret_fetched(channel, proof);
        }
        if !matches!(subscription.stage, Stage::Signing(wanted) if wanted == ticket) {
            return;
        }
        match proof {
            Ok(proof) => self.proven(channel, proof),
            Err(why) => self.refuse(channel, why.into()),
        }
    }

    /// There is a proof. If nothing else is missing, it is shown.
    fn proven(&mut self, channel: &ChannelName, proof: ChannelProof) {
        let kind = Kind::of(channel.as_str());
        if kind == Kind::PrivateEncrypted && proof.shared_secret.is_none() && !self.signer.is_us() {
            return self.refuse(channel, SubscriptionError::NoSharedSecret);
        }
        let mut me = None;
        if kind == Kind::Presence {
            me = match proof::shown(&proof) {
                Err(why) => return self.refuse(channel, why),
                Ok(Some(me)) => Some(me),
                Ok(None) if self.user.is_signing_in() => return self.stage(channel, Stage::Awaiting(Box::new(proof))),
                Ok(None) => match self.user.id() {
                    Some(id) => Some(id.to_owned()),
                    None => return self.refuse(channel, SubscriptionError::NotSignedIn),
                },
            };
        }
        if let Some(subscription) = self.subscriptions.channels.get_mut(channel) {
            subscription.me = me;
            subscription.secret = proof.shared_secret.clone().filter(|_| kind == Kind::PrivateEncrypted);
        }
        self.ask_server(channel, Some(&proof));
    }

    /// It is decided who the user is: what waited for that goes on.
    pub(super) fn release_presence(&mut self) {
        let waiting = |(channel, subscription): (&ChannelName, &Subscription)| match &subscription.stage {
            Stage::Awaiting(_) => Some((subscription.number, channel.clone())),
            _ => None,
        };
        let mut awaiting: Vec<_> = self.subscriptions.channels.iter().filter_map(waiting).collect();
        awaiting.sort_unstable_by_key(|(number, _)| *number);
        for (_, channel) in awaiting {
            let subscription = self.subscriptions.channels.get_mut(&channel);
            let stage = subscription.map(|subscription| std::mem::replace(&mut subscription.stage, Stage::Unasked));
            if let Some(Stage::Awaiting(proof)) = stage {
                self.proven(&channel, *proof);
            }
        }
    }

    fn ask_server(&mut self, channel: &ChannelName, proof: Option<&ChannelProof>) {
        self.stage(channel, Stage::Asked);
        self.say(&ClientMessage::Subscribe(Subscribe {
            channel: Cow::Borrowed(channel.as_str()),
            auth: proof.map(|proof| Cow::Borrowed(proof.auth.as_str())),
            channel_data: proof.and_then(|proof| proof.channel_data.as_deref()).map(Cow::Borrowed),
        }));
    }

    fn refuse(&mut self, channel: &ChannelName, why: SubscriptionError) {
        self.stage(channel, Stage::Refused);
        self.told.push_back(Notice::Refused { channel: channel.as_str().to_owned(), why });
    }

    fn stage(&mut self, channel: &ChannelName, stage: Stage) {
        if let Some(subscription) = self.subscriptions.channels.get_mut(channel) {
            subscription.stage = stage;
        }
    }

    /// The server confirmed (P-5.5).
    pub(super) fn subscribed(&mut self, channel: &str, members: Option<Vec<codec::PresenceMember<'_>>>) {
        let mut me = None;
        if let Some(subscription) = self.subscriptions.channels.get_mut(channel) {
            if subscription.is_to_be_asked_for() {
                return;
            }
            subscription.stage = Stage::Confirmed;
            me = subscription.me.clone();
        }
        let members = members.map(|members| members.into_iter().map(member).collect());
        self.told.push_back(Notice::Subscribed { channel: channel.to_owned(), members, me });
    }

    /// The server refused (P-5.9).
    pub(super) fn refused(&mut self, channel: &str, kind: &str, message: &str, status: u16) {
        if let Some(subscription) = self.subscriptions.channels.get_mut(channel) {
            if subscription.is_to_be_asked_for() {
                return;
            }
            subscription.stage = Stage::Refused;
        }
        let status = Some(status).filter(|status| *status > 0);
        let why = SubscriptionError::Server { kind: kind.to_owned(), status, message: message.to_owned() };
        self.told.push_back(Notice::Refused { channel: channel.to_owned(), why });
    }

    /// An event came. One of an encrypted channel is decrypted, or waits for another secret, and then all that follow wait behind it.
    pub(super) fn event(&mut self, channel: Cow<'_, str>, name: Cow<'_, str>, data: Cow<'_, str>, user_id: Option<Cow<'_, str>>) {
        let mut event = Event {
            channel: channel.into_owned(),
            name: name.into_owned(),
            data: data.into_owned(),
            user_id: user_id.map(Cow::into_owned),
        };
        // What the server itself says is never encrypted.
        let secret = Kind::of(&event.channel) == Kind::PrivateEncrypted && !event.name.starts_with("pusher:");
        if !secret {
            return self.told.push_back(Notice::Event(event));
        }
        let may_fetch = !self.signer.is_us();
        let Some((channel, subscription)) = self.subscriptions.entry(&event.channel) else {
            // It was on its way when the channel was given up, and with it the secret.
            return;
        };
        if let Some(held) = &mut subscription.held {
            if held.events.len() < HELD_MAX {
                held.events.push_back(event);
            } else {
                self.told.push_back(undecryptable(event, UndecryptableError::TooMany { max: HELD_MAX }));
            }
            return;
        }
        let Some(opened) = subscription.secret.as_ref().map(|secret| secret.open(&event.data)) else {
            return self.told.push_back(Notice::Event(event));
        };
        match opened {
            Ok(data) => {
                event.data = data;
                self.told.push_back(Notice::Event(event));
            }
            Err(_) if may_fetch && subscription.fetched.is_none_or(|at| at.elapsed() >= SECRET_PATIENCE) => {
                self.fetch_secret(channel, event);
            }
            Err(why) => self.told.push_back(undecryptable(event, UndecryptableError::Open(why))),
        }
    }

    /// Asks for another secret, since `event` cannot be read with the present one (P-9.7).
    fn fetch_secret(&mut self, channel: ChannelName, event: Event) {
        let ticket = self.subscriptions.next_number();
        if let Some(subscription) = self.subscriptions.channels.get_mut(&channel) {
            subscription.held = Some(Box::new(Held { ticket, events: VecDeque::from([event]) }));
            subscription.fetched = Some(Instant::now());
        }
        self.subscriptions.unsigned.push_back((ticket, channel));
        self.sign_on();
    }

    /// Reads what waited for another secret.
    fn secret_fetched(&mut self, channel: &ChannelName, proof: Result<ChannelProof, AuthorizeError>) {
        let Some(subscription) = self.subscriptions.channels.get_mut(channel) else { return };
        let held = subscription.held.take().map(|held| held.events).unwrap_or_default();
        match proof {
            Ok(ChannelProof { shared_secret: Some(secret), .. }) => {
                let mut useful = false;
                let former = subscription.secret.replace(secret.clone());
                for mut event in held {
                    // Publishers do not all change at the same moment.
                    let opened = secret.open(&event.data).inspect(|_| useful = true);
                    let opened = opened.or_else(|why| former.as_ref().and_then(|former| former.open(&event.data).ok()).ok_or(why));
                    match opened {
                        Ok(data) => {
                            event.data = data;
                            self.told.push_back(Notice::Event(event));
                        }
                        Err(why) => self.told.push_back(undecryptable(event, UndecryptableError::Open(why))),
                    }
                }
                if useful {
                    // It was the secret that had changed. It may change again.
                    subscription.fetched = None;
                }
            }
            Ok(_) => {
                self.told.extend(held.into_iter().map(|event| undecryptable(event, UndecryptableError::NoSharedSecret)));
            }
            Err(why) => {
                self.told.extend(held.into_iter().map(|event| undecryptable(event, UndecryptableError::Authorize(why.clone()))));
            }
        }
    }
}

impl Subscriptions {
    fn entry(&mut self, channel: &str) -> Option<(ChannelName, &mut Subscription)> {
        let name = self.channels.get_key_value(channel)?.0.clone();
        Some((name, self.channels.get_mut(channel)?))
    }
}

impl Subscription {
    /// Whether the server has not been asked yet. What it says of the channel answers an earlier subscription, which was given up.
    fn is_to_be_asked_for(&self) -> bool {
        matches!(self.stage, Stage::Unasked | Stage::Signing(_) | Stage::Awaiting(_))
    }

    /// Whether the request to sign with this ticket is still of use.
    fn waits_for(&self, ticket: u64) -> bool {
        matches!(self.stage, Stage::Signing(wanted) if wanted == ticket) || self.held.as_ref().is_some_and(|held| held.ticket == ticket)
    }
}

/// Whether a subscription to `channel` can be asked for, if there is somebody who `signs`.
pub(crate) fn check(channel: &str, signs: bool) -> Result<ChannelName, SubscribeError> {
    let name = ChannelName::parse(channel).map_err(|reason| SubscribeError::Name { channel: channel.to_owned(), reason })?;
    if name.access() == Access::Reserved {
        Err(SubscribeError::Reserved { channel: channel.to_owned() })
    } else if needs_proof(&name) && !signs {
        Err(SubscribeError::NobodySigns { channel: channel.to_owned() })
    } else {
        Ok(name)
    }
}

/// Whether every server asks for a proof of `channel`. `personal-` and `peer-` channels are private where the server says so, and public
/// elsewhere.
fn needs_proof(channel: &ChannelName) -> bool {
    matches!(Kind::of(channel.as_str()), Kind::Private | Kind::PrivateEncrypted | Kind::Presence)
}

fn undecryptable(event: Event, why: UndecryptableError) -> Notice {
    Notice::Undecryptable { channel: event.channel, name: event.name, why }
}

pub(super) fn member(member: codec::PresenceMember<'_>) -> PresenceMember {
    PresenceMember { user_id: member.user_id.into_owned(), user_info: member.user_info.and_then(|info| serde_json::from_str(&info).ok()) }
}
