//! The domain of Tidings: apps, channels, subscribers, presence, and the one order of a channel's events.
//! No sockets, no clock, no chance, no JSON, no dialect: time and ids come in as arguments.
#![warn(missing_docs)]

mod answer;
mod app;
mod channel;
mod channels;
mod commit;
mod event;
mod fact;
mod hub;
mod inbox;
mod name;
mod peer;
mod presence;
mod recent;
mod roll;
mod shared;
mod subscriber;
#[cfg(test)]
mod tests;
mod time;
mod user;

pub use answer::{Cached, Joined, MEMBER_LISTS, MemberList, Occupancy, Refused, Watched};
pub use app::{App, AppId, Dialects, Key, Limits, Webhook};
pub use channel::Channel;
pub use channels::Channels;
pub use commit::{Journal, NoJournal, Pending, PendingEvent};
pub use event::{Attached, Body, Budget, ENCODINGS, Enrolment, Event, Member, Opens, Publish, Source, Stamp, Stamps};
pub use fact::{Fact, FactKind, FactQueue};
pub use hub::{Hub, Options};
pub use inbox::{Inbox, Item, Sent};
pub use name::{Access, BadName, CHANNEL_NAME_BYTES_MAX, ChannelName};
pub use recent::{Keep, Missed, Pattern, Position, Recents, Since, Window};
pub use subscriber::{PLACES_MAX, SHARDS_MAX, SocketId};
pub use time::{Time, UnixTime};
