//! A publisher and a server that runs: what is published arrives, what is asked is answered, what is signed is believed.

use crate::tidings::{Peer, Tidings};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tidings_client::{
    Attribute, BadCall, BatchEvent, ChannelState, Counts, Key, MasterKey, PresenceMember, Publication, PublishError, Publisher,
    PublisherOptions, SharedSecret, User, Webhook, WebhookError, WebhookEvent,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn counts(user_count: Option<u64>, subscription_count: Option<u64>) -> Counts {
    Counts { user_count, subscription_count }
}

/// The status and the words of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, PublishError>) -> (u16, String) {
    match answer {
        Err(PublishError::Refused { status, text }) => (status.as_u16(), text),
        other => panic!("{other:?} instead of a refusal"),
    }
}

async fn join(peer: &mut Peer, publisher: &Publisher, channel: &str, member: Option<&PresenceMember>) {
    let answer = publisher.authorize_channel(&peer.socket_id, channel, member).unwrap();
    peer.subscribe(channel, serde_json::to_value(answer).unwrap()).await;
}

async fn sign_in(peer: &mut Peer, publisher: &Publisher, user: &User) {
    let answer = publisher.authenticate_user(&peer.socket_id, user).unwrap();
    peer.say("pusher:signin", serde_json::to_value(answer).unwrap()).await;
    peer.next("pusher:signin_success").await;
}

/// P-11.1 to P-11.4
#[tokio::test]
async fn an_event_reaches_its_channels_and_not_who_caused_it() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let (mut ann, mut bob) = (tidings.peer().await, tidings.peer().await);
    for peer in [&mut ann, &mut bob] {
        peer.subscribe("news", json!({})).await;
        join(peer, &publisher, "presence-room", Some(&PresenceMember::new("u1"))).await;
    }
    let mut publication = Publication::json(["news", "presence-room"], "App\\Told", &json!({ "title": "Zoë ✓" })).unwrap();
    publication.socket_id = Some(ann.socket_id.clone());
    publication.info = Some(Attribute::list(&[Attribute::UserCount, Attribute::SubscriptionCount]));
    let answer = publisher.publish(&publication).await.unwrap();
    let expected = [("news", counts(None, Some(2))), ("presence-room", counts(Some(1), Some(2)))];
    assert_eq!(answer.channels(), expected.map(|(name, counts)| (name.to_owned(), counts)).into());
    for channel in ["news", "presence-room"] {
        let message = bob.next("App\\Told").await;
        assert_eq!((&message["channel"], &message["data"]), (&json!(channel), &json!(r#"{"title":"Zoë ✓"}"#)));
    }
    // Text that is no JSON is as good. It is the first that the other one hears.
    let answer = publisher.publish(&Publication::new(["news"], "plain", "not json")).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.channels()), ("{}", BTreeMap::new()));
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.next("plain").await["data"], "not json");
    }
}

/// P-11.9 to P-11.11
#[tokio::test]
async fn a_batch_is_published_in_order_or_not_at_all() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let mut peer = tidings.peer().await;
    peer.subscribe("news", json!({})).await;
    let mut events: Vec<_> = (0..10).map(|at| BatchEvent::json("news", "tick", &at).unwrap()).collect();
    events[9].info = Some(Attribute::list(&[Attribute::SubscriptionCount]));
    let answer = publisher.publish_batch(&events).await.unwrap();
    let mut told = vec![Counts::default(); 9];
    told.push(counts(None, Some(1)));
    assert_eq!(answer.batch(), told);
    for at in 0..10 {
        assert_eq!(peer.next("tick").await["data"], at.to_string());
    }
    let too_long = [BatchEvent::new("news", "lost", "1"), BatchEvent::new("news", "lost", "x".repeat(10_241))];
    assert_eq!(refusal(publisher.publish_batch(&too_long).await).0, 413);
    assert_eq!(publisher.publish_batch(&events[..1]).await.unwrap().batch(), []);
    assert_eq!(peer.next("tick").await["data"], "0");
}

/// P-11.5, P-11.6, P-11.8
#[tokio::test]
async fn channels_are_asked_for() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let (mut ann, mut bob) = (tidings.peer().await, tidings.peer().await);
    // Every character that a name may have, which stands in a path as it is or escaped.
    let odd = "presence-A_b-=@,.;9";
    join(&mut ann, &publisher, odd, Some(&PresenceMember::new("ann"))).await;
    join(&mut bob, &publisher, odd, Some(&PresenceMember { user_id: "Zoë \"".into(), user_info: Some(json!({ "n": 1 })) })).await;
    ann.next("pusher_internal:member_added").await;
    ann.subscribe("news", json!({})).await;

    let named = |channels: &[(&str, Counts)]| channels.iter().map(|(name, counts)| ((*name).to_owned(), *counts)).collect();
    let all: BTreeMap<_, _> = named(&[("news", Counts::default()), (odd, Counts::default())]);
    assert_eq!(publisher.channels("", &[]).await.unwrap(), all);
    let counted: BTreeMap<_, _> = named(&[(odd, counts(Some(2), Some(2)))]);
    assert_eq!(publisher.channels("presence-A", &[Attribute::UserCount, Attribute::SubscriptionCount]).await.unwrap(), counted);
    assert_eq!(publisher.channels("other", &[]).await.unwrap(), BTreeMap::new());
    assert_eq!(refusal(publisher.channels("", &[Attribute::UserCount]).await).0, 400);

    let state = publisher.channel(odd, &[Attribute::UserCount]).await.unwrap();
    assert_eq!(state, ChannelState { occupied: true, counts: counts(Some(2), None), cache: None });
    assert_eq!(publisher.channel("nobody", &[]).await.unwrap(), ChannelState::default());
    assert_eq!(refusal(publisher.channel("news", &[Attribute::Cache]).await).0, 400);

    let mut users = publisher.users(odd).await.unwrap();
    users.sort();
    assert_eq!(users, ["Zoë \"", "ann"]);
    assert_eq!(publisher.users("presence-nobody").await.unwrap(), [""; 0]);
    let error = publisher.users("news").await.unwrap_err();
    assert!(matches!(error, PublishError::Bad(BadCall::NoPresence { .. })), "{error:?}");
}

/// P-11.14, P-11.15, P-15.11
#[tokio::test]
async fn a_user_is_published_to_and_sent_away() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let (mut ann, mut bob) = (tidings.peer().await, tidings.peer().await);
    sign_in(&mut ann, &publisher, &User { user_info: Some(json!({ "name": "Ann" })), ..User::new("ann") }).await;
    sign_in(&mut bob, &publisher, &User::new("Bob /1é")).await;
    ann.subscribe("#server-to-user-ann", json!({})).await;
    // Who is signed in may be a member without saying so (P-7.5).
    join(&mut ann, &publisher, "presence-room", None).await;
    assert_eq!(publisher.users("presence-room").await.unwrap(), ["ann"]);
    publisher.publish_to_user("ann", "told", "{}").await.unwrap();
    assert_eq!(ann.next("told").await["channel"], "#server-to-user-ann");
    for (peer, user_id) in [(&mut bob, "Bob /1é"), (&mut ann, "ann")] {
        publisher.terminate_connections(user_id).await.unwrap();
        assert_eq!(peer.next("pusher:error").await["data"]["code"], 4009, "{user_id}");
        assert_eq!(peer.close_code().await, 4009, "{user_id}");
    }
    publisher.terminate_connections("nobody").await.unwrap();
}

/// P-9.2, P-9.3, P-13.5: what the server keeps and delivers opens with the secret that an auth endpoint gives, and with no other.
#[tokio::test]
async fn what_is_published_on_an_encrypted_channel_is_sealed() {
    let tidings = Tidings::start("");
    let master_key = MasterKey::from_base64(MASTER_KEY).unwrap();
    let publisher =
        Publisher::with_options(PublisherOptions { encryption_master_key: Some(master_key.clone()), ..tidings.publisher_options() });
    let (one, other) = ("private-encrypted-cache-a", "private-encrypted-cache-b");
    let mut peer = tidings.peer().await;
    let answer = serde_json::to_value(publisher.authorize_channel(&peer.socket_id, one, None).unwrap()).unwrap();
    let secret = SharedSecret::from_base64(answer["shared_secret"].as_str().unwrap()).unwrap();
    peer.subscribe(one, answer).await;
    peer.next("pusher:cache_miss").await;

    publisher.publish(&Publication::new([one], "told", "{\"n\":1}")).await.unwrap();
    let delivered = peer.next("told").await["data"].as_str().unwrap().to_owned();
    assert_eq!(secret.open(&delivered).unwrap(), "{\"n\":1}");
    let cached = publisher.channel(one, &[Attribute::Cache]).await.unwrap().cache.unwrap();
    assert_eq!(cached.data, delivered);
    assert!((1..=1800).contains(&cached.time_to_live.as_secs()), "{cached:?}");

    let batch = [BatchEvent::new(one, "told", "same"), BatchEvent::new(other, "told", "same"), BatchEvent::new("cache-c", "told", "same")];
    publisher.publish_batch(&batch).await.unwrap();
    let cached = async |channel| publisher.channel(channel, &[Attribute::Cache]).await.unwrap().cache.unwrap().data;
    let (first, second) = (cached(one).await, cached(other).await);
    assert_eq!((master_key.shared_secret(one).open(&first).unwrap(), cached("cache-c").await), ("same".to_owned(), "same".to_owned()));
    assert_eq!(master_key.shared_secret(other).open(&second).unwrap(), "same");
    assert!(secret.open(&second).is_err());

    // Without the key nothing is sent, and what was sealed elsewhere can be sent all the same.
    let keyless = tidings.publisher();
    for refused in [keyless.publish(&Publication::new([one], "told", "1")).await, keyless.publish_batch(&batch).await] {
        assert!(matches!(&refused, Err(PublishError::Bad(BadCall::MasterKeyNeeded { channel })) if channel == one), "{refused:?}");
    }
    keyless.post("/events", &Publication::new([one], "told", first.as_str())).await.unwrap();
    assert_eq!(cached(one).await, first);
}

/// P-10.7, P-10.11: what only the server can know, it says.
#[tokio::test]
async fn refusals_are_the_servers() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let event = |data: String| Publication::new(["news"], "a", data);
    publisher.publish(&event("x".repeat(10_240))).await.unwrap();
    assert_eq!(refusal(publisher.publish(&event("x".repeat(10_241))).await).0, 413);
    assert_eq!(refusal(publisher.publish(&Publication { info: Some("moon".into()), ..event(String::new()) }).await).0, 400);
    let key = Key { secret: "another".into(), ..tidings.key.clone() };
    let stranger = Publisher::with_options(PublisherOptions { key, ..tidings.publisher_options() });
    let (status, text) = refusal(stranger.channels("", &[]).await);
    assert!(status == 401 && text.starts_with("auth_signature is wrong"), "{status} {text}");
}

/// Calls that have no method: any path of the app, signed with its parameters (P-10.4).
#[tokio::test]
async fn other_calls_are_made_by_path() {
    let tidings = Tidings::start("");
    let publisher = tidings.publisher();
    let mut peer = tidings.peer().await;
    peer.subscribe("news", json!({})).await;
    let answer = publisher.get("/channels", &[("filter_by_prefix", "ne"), ("info", "subscription_count")]).await.unwrap();
    assert_eq!(answer.text, r#"{"channels":{"news":{"subscription_count":1}}}"#);
    assert_eq!(publisher.get("/channels/news", &[("ignored", "a b&c=d+é/[]")]).await.unwrap().text, r#"{"occupied":true}"#);
    publisher.post("/events", &json!({ "name": "told", "data": { "n": 1 }, "channel": "news" })).await.unwrap();
    assert_eq!(peer.next("told").await["data"], "{\"n\":1}");
    assert_eq!(refusal(publisher.get("/moon", &[]).await).0, 404);
    assert_eq!(refusal(publisher.post("/channels", &json!({})).await).0, 405);
    for path in ["", "channels", "/channels?info=cache", "/a b", "/é", "/a#b"] {
        let error = publisher.get(path, &[]).await.unwrap_err();
        assert!(matches!(&error, PublishError::Bad(BadCall::Path { path: told }) if told == path), "{error:?}");
    }
    for name in ["auth_key", "Body_MD5"] {
        let error = publisher.get("/channels", &[(name, "1")]).await.unwrap_err();
        assert!(matches!(&error, PublishError::Bad(BadCall::Parameter { name: told }) if told == name), "{error:?}");
    }
    let long = "x".repeat(1 << 17);
    let error = publisher.channels(&long, &[]).await.unwrap_err();
    assert!(matches!(error, PublishError::Bad(BadCall::Path { .. })), "{error:?}");
}

/// Where webhooks go: takes every request, and hands on what it was.
struct Receiver {
    url: String,
    requests: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (put, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let stream = TokioIo::new(listener.accept().await.unwrap().0);
                let put = put.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let put = put.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        // Nobody reads what comes at the end of a test.
                        let _ = put.send((head.headers, body.collect().await?.to_bytes()));
                        Ok::<_, hyper::Error>(Response::builder().status(StatusCode::NO_CONTENT).body(Empty::<Bytes>::new()).unwrap())
                    }
                });
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
            }
        });
        Self { url, requests, task }
    }

    /// The next `count` events, each from a webhook that is genuine and not the same in other hands.
    async fn events(&mut self, count: usize, keys: &[Key]) -> Vec<WebhookEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            let (headers, body) = self.requests.recv().await.unwrap();
            let webhook = Webhook::verify(&headers, &body, keys).unwrap();
            events.extend(webhook.check_age(SystemTime::now(), Duration::from_secs(300)).unwrap().events);
            let changed = [&body[..], b" "].concat();
            assert_eq!(Webhook::verify(&headers, &changed, keys), Err(WebhookError::WrongSignature));
        }
        events
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// P-12.1 to P-12.4: all that is told, in order within a channel, and by any of the keys that the receiver knows.
#[tokio::test]
async fn webhooks_are_genuine_and_say_what_happened() {
    let mut receiver = Receiver::start().await;
    let tidings = Tidings::start(&format!(
        "subscription_count_events = true\nwebhook_grace = \"0 s\"\nwebhook_batching = false\n[[apps.webhooks]]\nurl = \"{}\"\n",
        receiver.url
    ));
    let publisher = tidings.publisher();
    let keys = [Key { key: "newer".into(), secret: "not yet in force".into() }, tidings.key.clone()];
    let channel = || "cache-c".to_owned();
    let room = || "presence-room".to_owned();
    let count = |subscription_count| WebhookEvent::SubscriptionCount { channel: channel(), subscription_count };

    let mut peer = tidings.peer().await;
    peer.subscribe("cache-c", json!({})).await;
    let mut events = receiver.events(3, &keys).await;
    events.sort_by_key(|event| matches!(event, WebhookEvent::CacheMiss { .. }));
    assert_eq!(events, [WebhookEvent::ChannelOccupied { channel: channel() }, count(1), WebhookEvent::CacheMiss { channel: channel() }]);
    peer.say("pusher:unsubscribe", json!({ "channel": "cache-c" })).await;
    assert_eq!(receiver.events(2, &keys).await, [count(0), WebhookEvent::ChannelVacated { channel: channel() }]);

    let mut peer = tidings.peer().await;
    join(&mut peer, &publisher, "presence-room", Some(&PresenceMember::new("ann"))).await;
    peer.say_on("presence-room", "client-wave", json!({ "to": "all" })).await;
    peer.say("pusher:unsubscribe", json!({ "channel": "presence-room" })).await;
    let user_id = || "ann".to_owned();
    let wave = WebhookEvent::ClientEvent {
        channel: room(),
        event: "client-wave".into(),
        data: r#"{"to":"all"}"#.into(),
        socket_id: peer.socket_id.clone(),
        user_id: Some(user_id()),
    };
    let expected = [
        WebhookEvent::ChannelOccupied { channel: room() },
        WebhookEvent::MemberAdded { channel: room(), user_id: user_id() },
        wave,
        WebhookEvent::MemberRemoved { channel: room(), user_id: user_id() },
        WebhookEvent::ChannelVacated { channel: room() },
    ];
    assert_eq!(receiver.events(5, &keys).await, expected);
}
