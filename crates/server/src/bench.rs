//! The hot functions, one operation at a time: for the micro-benchmarks and for counting instructions. Nothing of it is served.

use crate::listener::{NodeGuard, Peer};
use crate::node::AppHandle;
use crate::shard::socket::Socket;
use crate::shard::{Arrival, Command, Shard, Upgraded};
use crate::transport::websocket::{Coding, Decoder, Inflater, frame};
use crate::wire::{Encoder, Format};
use crate::world::World;
use bytes::Bytes;
use std::hint::black_box;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tidings_dialect::action::{Action, Actions, Input, Subscription, Subscriptions};
use tidings_dialect::pusher::handshake::Client;
use tidings_dialect::pusher::{Session, api};
use tidings_hub::{
    App, Body, Budget, Cached, ChannelName, Channels, Event, Hub, Inbox, Item, Joined, Key, MemberList, Missed, NoJournal, Options,
    Publish, SocketId, Source, Time, UnixTime,
};

/// All operations, by name.
pub const OPERATIONS: [&str; 12] = [
    "frame_encode",
    "frame_decode",
    "event_encode",
    "event_encode_deflated",
    "session_subscribe",
    "session_client_event",
    "api_receive_publish",
    "hub_subscribe_unsubscribe",
    "hub_publish_1_shard",
    "hub_publish_4_shards",
    "turn_1_event_100_connections",
    "turn_5_events_100_connections",
];

/// Bytes of an event's data.
const DATA_BYTES: usize = 200;
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const CONFIGURATION: &str = "[limits]\nshards = 1\n[[apps]]\nid = \"1\"\nkey = \"key\"\nsecret = \"long-enough-secret\"\n";

/// What performs the operation of that name; what it needs is made here, once.
///
/// # Panics
/// If there is no such operation.
#[must_use]
pub fn operation(name: &str) -> Box<dyn FnMut()> {
    match name {
        "frame_encode" => frame_encode(),
        "frame_decode" => frame_decode(),
        "event_encode" => event_encode(Format::Text, DATA_BYTES),
        "event_encode_deflated" => event_encode(Format::Deflate15, 10 * DATA_BYTES),
        "session_subscribe" => session_subscribe(),
        "session_client_event" => session_client_event(),
        "api_receive_publish" => api_receive_publish(),
        "hub_subscribe_unsubscribe" => hub_subscribe_unsubscribe(),
        "hub_publish_1_shard" => hub_publish(1),
        "hub_publish_4_shards" => hub_publish(4),
        "turn_1_event_100_connections" => turn(1, 100),
        "turn_5_events_100_connections" => turn(5, 100),
        _ => panic!("there is no operation {name}"),
    }
}

/// Text that looks like the JSON of an application.
fn data(bytes: usize) -> String {
    let mut text = String::from("{\"items\":[");
    let mut number = 0;
    while text.len() < bytes {
        text.push_str(&format!("{{\"id\":{number},\"name\":\"item {number}\"}},"));
        number += 7;
    }
    text.truncate(bytes);
    text
}

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text).expect("it is a name")
}

fn app() -> Arc<App> {
    Arc::new(App { client_events: true, ..App::new("1", "key", "long-enough-secret") })
}

fn published(channel: &str) -> Publish {
    Publish::new(name(channel), Arc::from("my-event"), data(DATA_BYTES).into())
}

/// A text frame as a client sends it.
fn masked(text: &str) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let plain = frame::text(text);
    let header = plain.len() - text.len();
    let mut bytes = plain[..header].to_vec();
    bytes[1] |= 0x80;
    bytes.extend(MASK);
    bytes.extend(text.bytes().zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn frame_encode() -> Box<dyn FnMut()> {
    let text = data(DATA_BYTES);
    Box::new(move || {
        black_box(frame::text(black_box(&text)));
    })
}

/// With the copy of the bytes, which are unmasked in place.
fn frame_decode() -> Box<dyn FnMut()> {
    let bytes = masked(&data(DATA_BYTES));
    let (mut input, mut decoder, mut inflater) = (bytes.clone(), Decoder::new(Coding::Plain), Inflater::default());
    Box::new(move || {
        input.copy_from_slice(black_box(&bytes));
        let mut messages = decoder.feed(&mut input, MESSAGE_BYTES_MAX, &mut inflater);
        while let Some(message) = messages.next_message().expect("the frame is right") {
            black_box(message);
        }
    })
}

/// A new event, its form, and its end.
fn event_encode(format: Format, bytes: usize) -> Box<dyn FnMut()> {
    let (budget, mut encoder) = (Arc::new(Budget::new(usize::MAX)), Encoder::default());
    let (channel, event, data) = (name("my-channel"), Arc::from("my-event"), Bytes::from(data(bytes)));
    Box::new(move || {
        let body = Body::Published { name: Arc::clone(&event), data: data.clone(), source: Source::Server, attached: None };
        let event = Event::new(channel.clone(), 1, 1, None, body, &budget);
        black_box(encoder.encode(black_box(&event), format));
    })
}

/// The channels of a session that is told what it is on.
struct On(Option<ChannelName>);

impl Subscriptions for On {
    fn find(&self, channel: &str) -> Option<Subscription<'_>> {
        let channel = self.0.as_ref().filter(|on| on.as_str() == channel)?;
        Some(Subscription { channel, member: None })
    }

    fn count(&self) -> usize {
        usize::from(self.0.is_some())
    }

    fn members(&self, _channel: &str) -> Arc<MemberList> {
        Arc::default()
    }

    fn is_pair(&self, _presence: &str, _one: &str, _other: &str) -> bool {
        false
    }
}

fn session() -> Session {
    Session::new(app(), "key", SocketId::new(0, 0, [7; 16]), 7, Client::Other, Time::ZERO)
}

/// A request for a public channel, the hub's answer, the confirmation.
fn session_subscribe() -> Box<dyn FnMut()> {
    let (mut session, mut actions) = (session(), Actions::new());
    Box::new(move || {
        let text = black_box(r#"{"event":"pusher:subscribe","data":{"auth":"","channel":"my-channel"}}"#);
        session.receive(Input::Text(text), &On(None), Time::ZERO, &mut actions);
        while let Some(action) = actions.pop_front() {
            if let Action::Subscribe(join) = &action {
                let answer = Ok(Joined { serial: 1, members: None, cache: Cached::Off, missed: Missed::default() });
                session.receive(Input::Subscribed { channel: &join.channel, answer }, &On(None), Time::ZERO, &mut actions);
            }
            black_box(action);
        }
    })
}

fn session_client_event() -> Box<dyn FnMut()> {
    let (mut session, mut actions, mut now) = (session(), Actions::new(), Time::ZERO);
    let on = On(Some(name("private-my-channel")));
    let data = data(DATA_BYTES).replace('"', "\\\"");
    let text = format!(r#"{{"event":"client-typing","channel":"private-my-channel","data":"{data}"}}"#);
    Box::new(move || {
        // Within the rate of P-8.4.
        now = now + Duration::from_millis(100);
        session.receive(Input::Text(black_box(&text)), &on, now, &mut actions);
        let action = actions.pop_front();
        assert!(matches!(action, Some(Action::Publish(_))), "it is published");
        black_box(action);
    })
}

/// Route, signature, body: a publish as it comes from a server library.
fn api_receive_publish() -> Box<dyn FnMut()> {
    let (app, now) = (app(), UnixTime::from_millis(1_700_000_000_000));
    let key = Key { key: "key".to_owned(), secret: "long-enough-secret".to_owned() };
    let data = data(DATA_BYTES).replace('"', "\\\"");
    let body = format!(r#"{{"name":"my-event","channels":["my-channel"],"data":"{data}"}}"#);
    let query = api::sign("POST", "/apps/1/events", &[], body.as_bytes(), &key, now);
    Box::new(move || {
        let request = api::Request { method: "POST", path: "/apps/1/events", prefix: "", query: &query, body: body.as_bytes() };
        let (_, call) = api::receive(black_box(request), |_| Some(Arc::clone(&app)), now).expect("the request is right");
        black_box(call);
    })
}

/// A hub, its only app, and that app's channels.
fn hub(shards: usize) -> (Hub, Arc<App>, Arc<Channels>) {
    let inboxes = (0..shards).map(|_| Arc::new(Inbox::new(usize::MAX, || {}))).collect();
    let hub =
        Hub::new(Options { epoch: 0, hash_seed: 0, inboxes, facts_max: 1, budget: Arc::new(Budget::new(usize::MAX)), recent_bytes_max: 0 });
    let app = app();
    let channels = hub.app(&app);
    (hub, app, channels)
}

/// A channel comes and goes with its only subscriber.
fn hub_subscribe_unsubscribe() -> Box<dyn FnMut()> {
    let (_, app, channels) = hub(1);
    let (channel, socket) = (name("my-channel"), SocketId::new(0, 0, [7; 16]));
    Box::new(move || {
        let (found, joined) = channels.subscribe(&app, &channel, socket, None, None, Time::ZERO).expect("anybody may");
        black_box(joined);
        channels.unsubscribe(&app, &found, socket, None, false, Time::ZERO);
    })
}

/// One event into the inboxes of so many shards, and out of them.
fn hub_publish(shards: usize) -> Box<dyn FnMut()> {
    let (hub, app, channels) = hub(shards);
    for shard in 0..shards {
        let socket = SocketId::new(shard, 0, [7; 16]);
        channels.subscribe(&app, &name("my-channel"), socket, None, None, Time::ZERO).expect("anybody may");
    }
    let batch = [published("my-channel")];
    let mut items: Vec<Item> = Vec::new();
    Box::new(move || {
        channels.publish(&app, black_box(&batch), Time::ZERO, &NoJournal);
        for inbox in hub.inboxes() {
            inbox.take(&mut items);
            black_box(items.drain(..).count());
        }
    })
}

/// A shard whose connections all are on one channel, with the far ends of their sockets.
struct Crowd {
    world: World,
    app: Arc<AppHandle>,
    shard: Shard,
    peers: Vec<UnixStream>,
    buffer: Vec<u8>,
}

impl Crowd {
    fn new(connections: usize) -> Self {
        let mut world = World::new(CONFIGURATION);
        let mut shard = world.seeds.remove(0).build(Arc::clone(&world.node), 0, None);
        let peers = (0..connections).map(|_| connect(&world)).collect();
        let app = Arc::clone(world.node.apps().by_key("key").expect("it is configured"));
        shard.turn();
        let mut crowd = Self { world, app, shard, peers, buffer: vec![0; MESSAGE_BYTES_MAX] };
        crowd.listen();
        assert_eq!(crowd.app.channels.occupancy("my-channel").subscriptions as usize, connections);
        crowd
    }

    /// Reads what each peer was sent.
    fn listen(&mut self) -> usize {
        let Self { peers, buffer, .. } = self;
        peers.iter_mut().map(|peer| peer.read(buffer).expect("something was sent")).sum()
    }
}

/// Gives the shard a connection that subscribes at once. Its far end does not wait.
fn connect(world: &World) -> UnixStream {
    let (near, far) = UnixStream::pair().expect("there are descriptors");
    for end in [&near, &far] {
        end.set_nonblocking(true).expect("a socket can be set so");
    }
    let upgraded =
        Upgraded { path: "/app/key".to_owned(), query: "protocol=7".to_owned(), origin: None, forwarded_proto: None, deflate: None };
    let arrival = Arrival {
        socket: Socket::Unix(mio::net::UnixStream::from_std(near)),
        peer: Peer::default(),
        listener: Arc::clone(&world.listener),
        guard: NodeGuard::new(&world.node),
        read: masked(r#"{"event":"pusher:subscribe","data":{"channel":"my-channel"}}"#),
        upgraded: Some(upgraded),
        begun: true,
    };
    world.node.shards[0].command(Command::Open(Box::new(arrival)));
    far
}

/// So many events to so many connections: published, marked, encoded once, written in one turn, and read by the peers.
fn turn(events: usize, connections: usize) -> Box<dyn FnMut()> {
    let mut crowd = Crowd::new(connections);
    let batch = [published("my-channel")];
    Box::new(move || {
        for _ in 0..events {
            crowd.world.node.publish(&crowd.app, black_box(&batch));
        }
        crowd.shard.turn();
        assert!(crowd.listen() > events * connections * DATA_BYTES, "everybody got everything");
    })
}
