//! Stored events (I-1.7, I-3.5, I-3.7), and all answers of the store.

use super::subscribe::is_eligible;
use super::{Refusal, Session, Waiting, members};
use crate::action::{Action, Actions, Answer, Question, Subscriptions, Unanswered};
use crate::pushi::close::Code;
use crate::pushi::codec::{Told, record};
use crate::pushi::name::PERSONAL;
use std::sync::Arc;

/// How many events are told where no number is given.
pub(super) const COUNT: u32 = 10;

impl Session {
    pub(super) fn latest(
        &mut self,
        channel: &str,
        skip: i64,
        count: i64,
        subscriptions: &dyn Subscriptions,
        actions: &mut Actions,
    ) -> Result<(), Refusal> {
        if subscriptions.find(channel).is_none() && !is_eligible(channel, subscriptions) {
            return Err(Refusal::new(Code::Forbidden, "this connection is not on the channel"));
        }
        let channel = self.parse(channel)?;
        let skip = u32::try_from(skip.max(0)).unwrap_or(u32::MAX);
        let count = if count > 0 { u32::try_from(count).unwrap_or(u32::MAX) } else { COUNT };
        let count = count.min(self.settings.latest_max);
        let question = match channel.as_str().strip_prefix(PERSONAL) {
            Some(user_id) => Question::Personal { user_id: Arc::from(user_id), skip, count },
            None => Question::Latest { channel: channel.clone(), skip, count },
        };
        self.waiting = Some(Box::new(Waiting::Latest(channel)));
        actions.push_back(Action::Ask(question));
        Ok(())
    }

    /// What the store says to the last question.
    pub(super) fn answered(&mut self, answer: Result<Answer, Unanswered>, subscriptions: &dyn Subscriptions, actions: &mut Actions) {
        match self.waiting.take().map(|waiting| *waiting) {
            Some(Waiting::Latest(channel)) => {
                match answer {
                    Ok(Answer::Events(events)) => {
                        let list = members(channel.as_str(), subscriptions);
                        let alias = self.personal.follows(&channel);
                        actions.push_back(Action::Send(record(Told::Latest, channel.as_str(), list.as_deref(), alias, Some(&events))));
                    }
                    answer => self.refuse(channel.as_str(), "pusher:latest", &unanswered(answer), actions),
                }
                self.catch_up(subscriptions, actions);
            }
            Some(Waiting::Personal(step)) => self.personal_answered(step, answer, subscriptions, actions),
            waiting => self.waiting = waiting.map(Box::new),
        }
    }
}

/// Why there is no answer that fits.
pub(super) fn unanswered(answer: Result<Answer, Unanswered>) -> Refusal {
    match answer {
        Err(Unanswered::TooMany { max }) => {
            let message =
                format!("this user follows more channels than a connection may be on, {max} more; raise `subscriptions` of [[pushi]]");
            Refusal::new(Code::TooLarge, message)
        }
        Err(Unanswered::Unavailable(why)) => Refusal::new(Code::Internal, why),
        Ok(_) => Refusal::new(Code::Internal, "the store answered another question"),
    }
}
