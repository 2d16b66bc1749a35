//! Commands of Pushy's clients that a program answers which embeds the server (Y-9.7): a trait, what it is given, and the channels as it sees them.

use crate::node::{AppHandle, Call, Node};
use bytes::Bytes;
use hashbrown::HashMap;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidings_dialect::action::{Close, CommandFailed, Reply};
use tidings_dialect::pushy::codec;
use tidings_hub::{ChannelName, Member, Publish, SocketId, UnixTime};

/// What a command comes to, once it has run.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<(), CommandError>> + Send + 'a>>;

/// A command that clients may call beside `subscribe` and `unsubscribe`. A panic costs the caller an error 500 and nobody else anything.
pub trait Command: Send + Sync + 'static {
    /// Runs it. `data` is what came with it, as it was sent. The client's next message waits until this has ended.
    fn call<'a>(&'a self, context: CommandContext<'a>, data: &'a RawValue) -> Running<'a>;
}

/// Why a command failed, as its caller is told in `pushy:error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct CommandError {
    /// A short code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl Default for CommandError {
    fn default() -> Self {
        let CommandFailed { code, message } = CommandFailed::default();
        Self { code: code.into_owned(), message: message.into_owned() }
    }
}

/// Somebody came onto a channel or left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberNotice {
    /// The channel, in lower case.
    pub channel: ChannelName,
    /// Who.
    pub member_id: String,
    /// Why it left; `None` if it came.
    pub left: Option<&'static str>,
}

type MemberHook = Arc<dyn Fn(&MemberNotice) + Send + Sync>;

/// The commands of a program, and what else it wants to know of Pushy's channels.
#[derive(Clone, Default)]
pub struct Commands {
    named: BTreeMap<String, Arc<dyn Command>>,
    members: Vec<MemberHook>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named.keys()).finish()
    }
}

impl Commands {
    /// Adds a command. Clients may write its name in any case; one that is added twice is the last.
    #[must_use]
    pub fn command(mut self, name: &str, command: impl Command) -> Self {
        self.named.insert(name.to_lowercase(), Arc::new(command));
        self
    }

    /// Has `hook` called for each member that comes or goes, on the thread that serves it: it must not wait.
    #[must_use]
    pub fn on_member(mut self, hook: impl Fn(&MemberNotice) + Send + Sync + 'static) -> Self {
        self.members.push(Arc::new(hook));
        self
    }

    /// The names, in lower case.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.named.keys()
    }

    /// The command of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn Command>> {
        self.named.get(name).cloned()
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.members.is_empty()
    }
}

/// The channels of an app as commands see them: who is on them, and what commands noted of them. Kept only for programs that have commands.
pub(crate) struct Rooms {
    commands: Commands,
    rooms: Mutex<HashMap<ChannelName, Room>>,
}

struct Room {
    attributes: Attributes,
    /// In the order in which they came.
    members: Vec<(SocketId, String, Option<Arc<Member>>)>,
}

impl Rooms {
    pub(crate) fn new(commands: Commands) -> Self {
        Self { commands, rooms: Mutex::default() }
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<ChannelName, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection came onto a channel.
    pub(crate) fn joined(
        &self,
        channel: &ChannelName,
        socket: SocketId,
        member_id: impl FnOnce() -> String,
        member: Option<&Arc<Member>>,
        now: UnixTime,
    ) {
        if self.commands.is_empty() {
            return;
        }
        let member_id = member_id();
        let mut rooms = self.rooms();
        let room = rooms.entry(channel.clone()).or_insert_with(|| Room { attributes: Attributes::created(now), members: Vec::new() });
        room.members.push((socket, member_id.clone(), member.cloned()));
        drop(rooms);
        self.tell(MemberNotice { channel: channel.clone(), member_id, left: None });
    }

    /// A connection left one.
    pub(crate) fn left(&self, channel: &ChannelName, socket: SocketId, why: &'static str) {
        if self.commands.is_empty() {
            return;
        }
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(channel) else { return };
        let Some(at) = room.members.iter().position(|(other, ..)| *other == socket) else { return };
        let (_, member_id, _) = room.members.remove(at);
        if room.members.is_empty() {
            rooms.remove(channel);
        }
        drop(rooms);
        self.tell(MemberNotice { channel: channel.clone(), member_id, left: Some(why) });
    }

    fn tell(&self, notice: MemberNotice) {
        for hook in &self.commands.members {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(&notice))).is_err() {
                tracing::error!(channel = %notice.channel, "a hook for members failed");
            }
        }
    }
}

/// What commands noted of a channel, for as long as somebody is on it. Values are JSON.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Attributes {
    fn created(now: UnixTime) -> Self {
        let attributes = Self::default();
        attributes.set("created", &now.as_millis());
        attributes
    }

    /// Notes a value; what cannot be written as JSON is not.
    pub fn set(&self, key: &str, value: &impl Serialize) {
        if let Ok(json) = serde_json::to_vec(value) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), json.into());
        }
    }

    /// A value that was noted as something of this type. `created` is preset: milliseconds since 1970.
    #[must_use]
    pub fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        let json = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()?;
        serde_json::from_slice(&json).ok()
    }
}

/// What a command may ask and do.
pub struct CommandContext<'a> {
    pub(crate) node: &'a Arc<Node>,
    pub(crate) rooms: &'a Arc<Rooms>,
    pub(crate) call: &'a Call,
    /// What is done once the command has ended.
    pub(crate) reply: &'a Mutex<Reply>,
}

impl fmt::Debug for CommandContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandContext").field("socket_id", &self.socket_id()).finish_non_exhaustive()
    }
}

/// Who called.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The connection.
    pub socket_id: SocketId,
    /// How its messages travel, as Pushy names it.
    pub protocol: &'static str,
    /// Where it comes from, as far as that is known.
    pub remote_address: Option<std::net::IpAddr>,
    /// Of its headers those that an application may know, names in lower case.
    pub headers: &'a [(String, String)],
}

impl<'a> CommandContext<'a> {
    /// Who called.
    #[must_use]
    pub fn connection(&self) -> Connection<'a> {
        let Call { socket, transport, address, headers, .. } = self.call;
        Connection { socket_id: *socket, protocol: transport.name(), remote_address: *address, headers }
    }

    fn socket_id(&self) -> SocketId {
        self.call.socket
    }

    /// Sends an event to the caller, of no channel.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn send(&self, event: &str, data: &impl Serialize) -> Result<(), CommandError> {
        self.send_to(&self.call.socket, event, data)
    }

    /// Sends an event to a connection of the app, of no channel; to nobody if there is no such connection.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn send_to(&self, socket_id: &SocketId, event: &str, data: &impl Serialize) -> Result<(), CommandError> {
        self.node.say_to(&self.call.app, *socket_id, codec::event(event, &json(data)?));
        Ok(())
    }

    /// Ends the caller's connection once the command has ended. The code is 1000, or 3000 to 4999.
    pub fn close(&self, code: u16, reason: &str) {
        let close = Close { code, reason: reason.to_owned().into() };
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).close = Some(close);
    }

    /// A channel that somebody is on, whatever the case of the name.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelRef> {
        let name = ChannelName::parse(name.to_lowercase().as_str()).ok()?;
        self.rooms.rooms().contains_key(&name).then(|| ChannelRef {
            node: Arc::clone(self.node),
            rooms: Arc::clone(self.rooms),
            app: Arc::clone(&self.call.app),
            name,
        })
    }
}

/// A channel that somebody was on a moment ago.
#[derive(Clone)]
pub struct ChannelRef {
    node: Arc<Node>,
    rooms: Arc<Rooms>,
    app: Arc<AppHandle>,
    name: ChannelName,
}

impl fmt::Debug for ChannelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelRef").field(&self.name).finish()
    }
}

impl ChannelRef {
    /// Publishes an event to all on the channel, of whatever dialect, but for one connection.
    ///
    /// # Errors
    /// If `data` cannot be written as JSON.
    pub fn broadcast(&self, event: &str, data: &impl Serialize, except: Option<&SocketId>) -> Result<(), CommandError> {
        let publish = Publish { origin: except.copied(), ..Publish::new(self.name.clone(), Arc::from(event), json(data)?.into()) };
        self.node.publish(&self.app, &[publish]);
        Ok(())
    }

    /// How many of Pushy's connections are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|room| room.members.len())
    }

    /// Whether nobody is on it any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a connection is on it.
    #[must_use]
    pub fn contains(&self, socket_id: &SocketId) -> bool {
        self.member_of(socket_id).is_some()
    }

    /// The id under which a connection is a member.
    #[must_use]
    pub fn member_of(&self, socket_id: &SocketId) -> Option<String> {
        self.with(|room| room.members.iter().find(|(socket, ..)| socket == socket_id).map(|(_, id, _)| id.clone()))
    }

    /// What a member of a private channel says of itself, with what the server adds: the text of a JSON object.
    #[must_use]
    pub fn member(&self, member_id: &str) -> Option<String> {
        let found = self.with(|room| room.members.iter().find(|(_, id, _)| id == member_id).and_then(|(.., member)| member.clone()));
        found.and_then(|member| Some(String::from_utf8_lossy(member.object.as_deref()?).into_owned()))
    }

    /// What commands noted of it.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        self.with(|room| room.attributes.clone())
    }

    fn with<T: Default>(&self, read: impl FnOnce(&Room) -> T) -> T {
        self.rooms.rooms().get(&self.name).map(read).unwrap_or_default()
    }
}

fn json(data: &impl Serialize) -> Result<Vec<u8>, CommandError> {
    serde_json::to_vec(data).map_err(|_| CommandError::default())
}
