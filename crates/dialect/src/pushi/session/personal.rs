//! Personal channels (I-2.9): a connection that is on `personal-<user>` is on all channels that the user follows.

use super::latest::{COUNT, unanswered};
use super::subscribe::code_of;
use super::{Refusal, Session, Waiting};
use crate::action::{Action, Actions, Answer, Join, Question, Subscriptions, Unanswered};
use crate::pushi::codec::{Told, record};
use crate::pushi::name::{Kind, PERSONAL};
use std::collections::HashSet;
use std::sync::Arc;
use tidings_hub::{ChannelName, Joined, Member, Refused};

/// What a connection follows: nothing, as a rule.
#[derive(Debug, Default)]
pub(super) struct Personal(Option<Box<Follows>>);

#[derive(Debug, Default)]
struct Follows {
    /// The personal channels, those that lead to others among them.
    channels: Vec<Followed>,
    /// Channels that the client subscribed to by itself, of those that are followed too.
    claimed: HashSet<ChannelName>,
    /// What changed while the session waited for the store.
    meanwhile: Vec<(ChannelName, ChannelName, bool)>,
}

#[derive(Debug)]
struct Followed {
    channel: ChannelName,
    /// The client subscribed to it; it is not just followed by another.
    entered: bool,
    /// In the order in which that began.
    follows: Vec<ChannelName>,
    /// Who comes into presence channels that are followed.
    member: Option<Arc<Member>>,
}

/// How far a session is with a personal channel.
#[derive(Debug)]
pub(super) enum Step {
    /// It waits to be on the personal channel itself.
    Entering { channel: ChannelName, member: Option<Arc<Member>> },
    /// It is, and waits to know what is followed.
    Following { channel: ChannelName, member: Option<Arc<Member>> },
    /// It is on all that, and waits for stored events; or it was before, and asks again.
    Telling { channel: ChannelName, again: bool },
    /// It waits for stored events to tell as it leaves.
    Leaving { channel: ChannelName },
    /// A followed personal channel has come: what does it follow?
    Reaching { member: Option<Arc<Member>> },
}

impl Personal {
    fn get(&self, channel: &ChannelName) -> Option<&Followed> {
        self.0.as_ref()?.channels.iter().find(|followed| followed.channel == *channel)
    }

    fn get_mut(&mut self, channel: &ChannelName) -> Option<&mut Followed> {
        self.0.as_mut()?.channels.iter_mut().find(|followed| followed.channel == *channel)
    }

    /// Whether the client subscribed to this personal channel.
    pub(super) fn is_entered(&self, channel: &ChannelName) -> bool {
        self.get(channel).is_some_and(|followed| followed.entered)
    }

    /// What a personal channel follows, by name.
    pub(super) fn follows(&self, channel: &ChannelName) -> Vec<&str> {
        self.get(channel).map(|followed| followed.follows.iter().map(ChannelName::as_str).collect()).unwrap_or_default()
    }

    /// Whether a personal channel leads there.
    fn leads_to(&self, channel: &ChannelName) -> bool {
        self.0.as_ref().is_some_and(|follows| follows.channels.iter().any(|followed| followed.follows.contains(channel)))
    }

    /// The client subscribes by itself to a channel that it is on: it stays there when it is not followed any more.
    pub(super) fn claim(&mut self, channel: &ChannelName) {
        if self.leads_to(channel)
            && let Some(follows) = &mut self.0
        {
            follows.claimed.insert(channel.clone());
        }
    }

    /// The client unsubscribes by itself. Returns whether it stays on the channel: it had subscribed by itself, and a personal channel leads
    /// there too.
    pub(super) fn disclaim(&mut self, channel: &ChannelName) -> bool {
        self.0.as_mut().is_some_and(|follows| follows.claimed.remove(channel)) && self.leads_to(channel)
    }

    /// All channels that follow from what the client entered.
    fn reached(&self) -> HashSet<ChannelName> {
        let Some(follows) = &self.0 else { return HashSet::new() };
        let mut reached: HashSet<ChannelName> = HashSet::new();
        let mut open: Vec<&Followed> = follows.channels.iter().filter(|followed| followed.entered).collect();
        let mut seen: HashSet<&ChannelName> = open.iter().map(|followed| &followed.channel).collect();
        while let Some(followed) = open.pop() {
            reached.extend(followed.follows.iter().cloned());
            let further = followed.follows.iter().filter_map(|channel| self.get(channel));
            open.extend(further.filter(|further| seen.insert(&further.channel)));
        }
        reached
    }
}

impl Session {
    pub(super) fn subscribe_personal(
        &mut self,
        channel: &ChannelName,
        member: Option<Arc<Member>>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if self.personal.is_entered(channel) {
            self.tell_personal(channel.clone(), true, actions);
            return Ok(());
        }
        if let Some(followed) = self.personal.get_mut(channel) {
            // Another personal channel has led there: nothing changes but that it stays.
            followed.entered = true;
            self.tell_personal(channel.clone(), true, actions);
            return Ok(());
        }
        self.check_room(subscriptions)?;
        // What the channels bring comes after the answer that makes the client look for it.
        actions.push_back(Action::Hold);
        self.waiting = Some(Box::new(Waiting::Personal(Step::Entering { channel: channel.clone(), member })));
        actions.push_back(Action::Subscribe(Join { channel: channel.clone(), member: None, notices: false, since: None }));
        Ok(())
    }

    /// The hub's answer for the personal channel itself. From here on changes of what is followed arrive.
    pub(super) fn entered(
        &mut self,
        channel: ChannelName,
        member: Option<Arc<Member>>,
        answer: Result<Joined, Refused>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        if let Err(refused) = answer {
            actions.push_back(Action::Release);
            return self.refuse(channel.as_str(), "pusher:subscribe", &Refusal::new(code_of(&refused), refused.to_string()), actions);
        }
        self.ask_follows(&channel, subscriptions.count(), actions);
        self.waiting = Some(Box::new(Waiting::Personal(Step::Following { channel, member })));
    }

    fn ask_follows(&self, channel: &ChannelName, taken: usize, actions: &mut Actions) {
        let room = (self.settings.subscriptions as usize).saturating_sub(taken);
        let question = Question::Follows { user_id: user_of(channel), max: u32::try_from(room).unwrap_or(u32::MAX) };
        actions.push_back(Action::Ask(question));
    }

    fn ask_newest(&self, channel: &ChannelName) -> Action {
        let count = COUNT.min(self.settings.latest_max);
        Action::Ask(Question::Personal { user_id: user_of(channel), skip: 0, count })
    }

    fn tell_personal(&mut self, channel: ChannelName, again: bool, actions: &mut Actions) {
        actions.push_back(self.ask_newest(&channel));
        self.waiting = Some(Box::new(Waiting::Personal(Step::Telling { channel, again })));
    }

    pub(super) fn ask_before_leaving(&mut self, channel: ChannelName, actions: &mut Actions) {
        actions.push_back(self.ask_newest(&channel));
        self.waiting = Some(Box::new(Waiting::Personal(Step::Leaving { channel })));
    }

    pub(super) fn personal_answered(
        &mut self,
        step: Step,
        answer: Result<Answer, Unanswered>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        match (step, answer) {
            (Step::Following { channel, member }, Ok(Answer::Follows(found))) => {
                self.take_over(found, Some(&channel), member.as_ref(), subscriptions, actions);
                self.tell_personal(channel, false, actions);
            }
            (Step::Reaching { member }, Ok(Answer::Follows(found))) => {
                self.take_over(found, None, member.as_ref(), subscriptions, actions);
                self.catch_up(subscriptions, actions);
            }
            // Its followers find what it has when they ask; nobody waits for it.
            (Step::Reaching { .. }, _) => self.catch_up(subscriptions, actions),
            (Step::Telling { channel, again }, Ok(Answer::Events(events))) => {
                let alias = self.personal.follows(&channel);
                actions.push_back(Action::Send(record(Told::Subscribed, channel.as_str(), None, alias, Some(&events))));
                if !again {
                    actions.push_back(Action::Release);
                }
                self.catch_up(subscriptions, actions);
            }
            (Step::Leaving { channel }, Ok(Answer::Events(events))) => {
                let reply = record(Told::Unsubscribed, channel.as_str(), None, self.personal.follows(&channel), Some(&events));
                self.leave_personal(&channel, subscriptions, actions);
                actions.push_back(Action::Send(reply));
                self.catch_up(subscriptions, actions);
            }
            (Step::Following { channel, .. } | Step::Telling { channel, again: false }, answer) => {
                self.leave_personal(&channel, subscriptions, actions);
                actions.push_back(Action::Release);
                self.refuse(channel.as_str(), "pusher:subscribe", &unanswered(answer), actions);
                self.catch_up(subscriptions, actions);
            }
            (Step::Telling { channel, .. }, answer) => {
                self.refuse(channel.as_str(), "pusher:subscribe", &unanswered(answer), actions);
                self.catch_up(subscriptions, actions);
            }
            (Step::Leaving { channel }, answer) => {
                self.refuse(channel.as_str(), "pusher:unsubscribe", &unanswered(answer), actions);
                self.catch_up(subscriptions, actions);
            }
            (step @ Step::Entering { .. }, _) => self.waiting = Some(Box::new(Waiting::Personal(step))),
        }
    }

    /// Takes over what the store found: who was reached, and what they follow.
    fn take_over(
        &mut self,
        found: Vec<(Arc<str>, Vec<ChannelName>)>,
        entered: Option<&ChannelName>,
        member: Option<&Arc<Member>>,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        for (user_id, channels) in found {
            let Ok(channel) = ChannelName::parse(&format!("{PERSONAL}{user_id}")) else { continue };
            if self.personal.get(&channel).is_some() {
                continue;
            }
            let is_entered = entered == Some(&channel);
            let followed = Followed { channel: channel.clone(), entered: is_entered, follows: Vec::new(), member: member.cloned() };
            self.personal.0.get_or_insert_default().channels.push(followed);
            for alias in channels {
                self.attach(&channel, &alias, subscriptions, actions);
            }
        }
    }

    /// From now on the personal channel leads there.
    fn attach(&mut self, channel: &ChannelName, alias: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let led_there = self.personal.leads_to(alias);
        let entered = self.personal.is_entered(alias);
        let Some(followed) = self.personal.get_mut(channel).filter(|followed| !followed.follows.contains(alias)) else { return };
        followed.follows.push(alias.clone());
        let member = followed.member.clone();
        if subscriptions.find(alias.as_str()).is_some() {
            if !led_there && !entered {
                self.personal.claim(alias);
            }
        } else if !led_there {
            let member = member.filter(|_| Kind::of(alias.as_str()) == Kind::Presence);
            actions.push_back(Action::Subscribe(Join { channel: alias.clone(), notices: member.is_some(), member, since: None }));
        }
    }

    /// The store has a new subscription of the user, or one less (I-2.9 c).
    pub(super) fn follow(
        &mut self,
        channel: &ChannelName,
        alias: &ChannelName,
        added: bool,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) {
        if matches!(self.waiting.as_deref(), Some(Waiting::Personal(_) | Waiting::Latest(_))) {
            self.personal.0.get_or_insert_default().meanwhile.push((channel.clone(), alias.clone(), added));
        } else if added {
            self.follow_one(channel, alias, subscriptions, actions);
        } else {
            self.unfollow_one(channel, alias, subscriptions, actions);
        }
    }

    fn follow_one(&mut self, channel: &ChannelName, alias: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let Some(followed) = self.personal.get(channel).filter(|followed| !followed.follows.contains(alias)) else { return };
        let member = followed.member.clone();
        if subscriptions.find(alias.as_str()).is_none() && self.check_room(subscriptions).is_err() {
            // The connection is full. It will be told when it asks the next time.
            return;
        }
        let is_new = alias.as_str().starts_with(PERSONAL) && self.personal.get(alias).is_none();
        self.attach(channel, alias, subscriptions, actions);
        if is_new {
            // With the alias itself, which it is about to join.
            self.ask_follows(alias, subscriptions.count() + 1, actions);
            self.waiting = Some(Box::new(Waiting::Personal(Step::Reaching { member })));
        }
    }

    fn unfollow_one(&mut self, channel: &ChannelName, alias: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let before = self.personal.reached();
        let Some(followed) = self.personal.get_mut(channel) else { return };
        followed.follows.retain(|other| other != alias);
        self.sweep(&before, subscriptions, actions);
    }

    fn leave_personal(&mut self, channel: &ChannelName, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let mut before = self.personal.reached();
        before.insert(channel.clone());
        if let Some(followed) = self.personal.get_mut(channel) {
            followed.entered = false;
        }
        self.sweep(&before, subscriptions, actions);
    }

    /// Leaves what nothing leads to any more, of what was reached before, and forgets personal channels that nobody is on.
    fn sweep(&mut self, before: &HashSet<ChannelName>, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        let reached = self.personal.reached();
        let Some(follows) = &mut self.personal.0 else {
            let left = before.iter().filter(|channel| subscriptions.find(channel.as_str()).is_some());
            return actions.extend(left.cloned().map(Action::Unsubscribe));
        };
        let entered = |channel: &ChannelName| follows.channels.iter().any(|followed| followed.entered && followed.channel == *channel);
        let mut left: Vec<ChannelName> = before
            .iter()
            .filter(|channel| !reached.contains(*channel) && !entered(channel) && !follows.claimed.contains(*channel))
            .cloned()
            .collect();
        left.retain(|channel| subscriptions.find(channel.as_str()).is_some());
        left.sort_unstable();
        actions.extend(left.into_iter().map(Action::Unsubscribe));
        follows.claimed.retain(|channel| reached.contains(channel));
        follows.channels.retain(|followed| followed.entered || reached.contains(&followed.channel));
        if follows.channels.is_empty() && follows.meanwhile.is_empty() {
            self.personal.0 = None;
        }
    }

    /// Does what was put off while the session waited, up to the next question.
    pub(super) fn catch_up(&mut self, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        while self.waiting.is_none() {
            let Some(follows) = &mut self.personal.0 else { return };
            if follows.meanwhile.is_empty() {
                if follows.channels.is_empty() {
                    self.personal.0 = None;
                }
                return;
            }
            let (channel, alias, added) = follows.meanwhile.remove(0);
            self.follow(&channel, &alias, added, subscriptions, actions);
        }
    }
}

fn user_of(channel: &ChannelName) -> Arc<str> {
    Arc::from(channel.as_str().strip_prefix(PERSONAL).unwrap_or_default())
}
