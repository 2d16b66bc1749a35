//! Encrypted channels: with the master key, and with an endpoint that knows the secret (section 9).

use crate::application::{Asked, Endpoint};
use crate::hearing::{hears, next, soon};
use crate::tidings::Tidings;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tidings_client::{
    AuthorizeError, Client, MasterKey, Options, Problem, Publication, Publisher, PublisherOptions, SubscriptionError, UndecryptableError,
};
use tokio::sync::Semaphore;

const CHANNEL: &str = "private-encrypted-room";

/// A key for each number.
fn master_key(number: u8) -> MasterKey {
    use base64::Engine as _;
    MasterKey::from_base64(&base64::engine::general_purpose::STANDARD.encode([number; 32])).unwrap()
}

fn publisher(tidings: &Tidings, number: u8) -> Publisher {
    Publisher::with_options(PublisherOptions { encryption_master_key: Some(master_key(number)), ..tidings.publisher_options() })
}

async fn publish(publisher: &Publisher, channel: &str, name: &str, data: &str) {
    publisher.publish(&Publication::new([channel], name, data)).await.unwrap();
}

/// P-9.2, P-9.3
#[tokio::test]
async fn the_master_key_opens_what_is_published() {
    let tidings = Tidings::start("");
    let sealing = publisher(&tidings, 1);
    publish(&sealing, "private-encrypted-cache-room", "cached", "0").await;
    let client = Client::new(Options { encryption_master_key: Some(master_key(1)), ..tidings.options() }).unwrap();
    let mut problems = client.problems();
    let mut cached = client.subscribe("private-encrypted-cache-room").unwrap().events();
    let room = client.subscribe(CHANNEL).unwrap();
    let mut events = room.events();
    soon(room.subscribed()).await.unwrap();
    hears(&mut cached, &[("pusher:subscription_succeeded", "{}"), ("cached", "0")]).await;

    publish(&sealing, CHANNEL, "told", r#"{"é":1}"#).await;
    publish(&publisher(&tidings, 2), CHANNEL, "strange", "1").await;
    tidings.publisher().post("/events", &json!({ "name": "open", "data": "{}", "channel": CHANNEL })).await.unwrap();
    publish(&sealing, CHANNEL, "told", "").await;
    hears(&mut events, &[("pusher:subscription_succeeded", "{}"), ("told", r#"{"é":1}"#), ("told", "")]).await;
    for lost in ["strange", "open"] {
        let Problem::Undecryptable { channel, name, why: UndecryptableError::Open(_) } = next(&mut problems).await else { panic!() };
        assert_eq!((channel.as_str(), name.as_str()), (CHANNEL, lost));
    }
}

/// An endpoint whose key changes, and whose answers wait for permits.
struct Changing {
    endpoint: Endpoint,
    number: Arc<Mutex<u8>>,
    permits: Arc<Semaphore>,
}

impl Changing {
    async fn start(tidings: &Tidings) -> Self {
        let (number, permits) = (Arc::new(Mutex::new(1)), Arc::new(Semaphore::new(0)));
        let publishers: Arc<Vec<Publisher>> = Arc::new((0..3).map(|number| publisher(tidings, number)).collect());
        let (current, gate) = (Arc::clone(&number), Arc::clone(&permits));
        let endpoint = Endpoint::start(move |asked| {
            let (publishers, current, gate) = (Arc::clone(&publishers), Arc::clone(&current), Arc::clone(&gate));
            async move {
                gate.acquire().await.unwrap().forget();
                let number = *current.lock().unwrap();
                asked.signed(&publishers[usize::from(number)])
            }
        })
        .await;
        Self { endpoint, number, permits }
    }
}

/// P-9.7: what cannot be read has the endpoint asked anew, and nothing is out of order or lost. Other channels do not wait for that.
#[tokio::test]
async fn a_secret_that_changes_is_fetched_anew() {
    let tidings = Tidings::start("");
    let changing = Changing::start(&tidings).await;
    let client = Client::new(Options { auth_endpoint: Some(changing.endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    let (room, news) = (client.subscribe(CHANNEL).unwrap(), client.subscribe("news").unwrap());
    soon(news.subscribed()).await.unwrap();
    changing.permits.add_permits(1);
    soon(room.subscribed()).await.unwrap();
    let (mut events, mut of_news) = (room.events(), news.events());
    let publishers = [publisher(&tidings, 1), publisher(&tidings, 2)];
    publish(&publishers[0], CHANNEL, "x", "0").await;
    hears(&mut events, &[("x", "0")]).await;

    // Twice, since what was changed once is changed again.
    for (round, number) in [(1, 2), (2, 1)] {
        *changing.number.lock().unwrap() = number;
        let (sealing, former) = (&publishers[usize::from(number) - 1], &publishers[2 - usize::from(number)]);
        for at in 0..20 {
            // One publisher changes later than the others.
            publish(if at == 10 { former } else { sealing }, CHANNEL, "x", &at.to_string()).await;
        }
        tidings.publish("news", "x", "meanwhile").await;
        hears(&mut of_news, &[("x", "meanwhile")]).await;
        changing.permits.add_permits(1);
        for at in 0..20 {
            hears(&mut events, &[("x", &at.to_string())]).await;
        }
        assert_eq!(changing.endpoint.asked().len(), 1 + round);
    }
}

/// What an endpoint answers that knows no good secret.
fn nonsense(publisher: &Publisher, asked: &Asked, kind: &str) -> Response {
    let auth = publisher.authorize_channel(asked.socket_id(), asked.channel(), None).unwrap().auth;
    match kind {
        "none" => axum::Json(json!({ "auth": auth })).into_response(),
        "short" => axum::Json(json!({ "auth": auth, "shared_secret": "c2hvcnQ=" })).into_response(),
        "500" => (StatusCode::INTERNAL_SERVER_ERROR, "it broke").into_response(),
        "wrong" => asked.signed(publisher),
        other => panic!("{other}"),
    }
}

/// Events are lost then, and told as lost. The endpoint is not asked for each of them, and everything else goes on.
#[tokio::test]
async fn an_endpoint_without_a_good_secret_costs_only_the_events() {
    let tidings = Tidings::start("");
    for kind in ["none", "short", "500", "wrong"] {
        let publishers = Arc::new([publisher(&tidings, 1), publisher(&tidings, 2)]);
        let first = Arc::new(Mutex::new(true));
        let answering = Arc::clone(&publishers);
        let endpoint = Endpoint::start(move |asked| {
            let right = std::mem::take(&mut *first.lock().unwrap());
            let answer = if right { asked.signed(&answering[0]) } else { nonsense(&answering[0], &asked, kind) };
            std::future::ready(answer)
        })
        .await;
        let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
        let (room, mut problems) = (client.subscribe(CHANNEL).unwrap(), client.problems());
        soon(room.subscribed()).await.unwrap();
        let mut events = room.events();
        for at in 0..3 {
            publish(&publishers[1], CHANNEL, "lost", &at.to_string()).await;
            let Problem::Undecryptable { why, .. } = next(&mut problems).await else { panic!("{kind}") };
            match (kind, at, why) {
                ("none", 0, UndecryptableError::NoSharedSecret) | ("wrong", _, UndecryptableError::Open(_)) => {}
                ("short", 0, UndecryptableError::Authorize(AuthorizeError::SharedSecret { .. })) => {}
                ("500", 0, UndecryptableError::Authorize(AuthorizeError::Status { .. })) => {}
                (_, 1.., UndecryptableError::Open(_)) => {}
                (_, _, why) => panic!("{kind} {at}: {why}"),
            }
        }
        assert_eq!(endpoint.asked().len(), 2, "{kind}");
        publish(&publishers[0], CHANNEL, "kept", "1").await;
        hears(&mut events, &[("kept", "1")]).await;
    }
}

/// P-6.7: without a secret there is no subscription.
#[tokio::test]
async fn a_subscription_needs_a_secret() {
    let tidings = Tidings::start("");
    let signing = Arc::new(tidings.publisher());
    let key = publisher(&tidings, 1);
    let endpoint = Endpoint::start(move |asked| {
        let kind = asked.channel().rsplit('-').next().unwrap().to_owned();
        std::future::ready(if kind == "good" { asked.signed(&key) } else { nonsense(&key, &asked, &kind) })
    })
    .await;
    let client = Client::new(Options { auth_endpoint: Some(endpoint.url.clone()), ..tidings.unsigned_options() }).unwrap();
    let refused = async |kind: &str| {
        let channel = client.subscribe(&format!("private-encrypted-{kind}")).unwrap();
        soon(channel.subscribed()).await.unwrap_err()
    };
    assert!(matches!(refused("none").await, SubscriptionError::NoSharedSecret));
    assert!(matches!(refused("short").await, SubscriptionError::Authorize(AuthorizeError::SharedSecret { .. })));
    assert!(matches!(refused("500").await, SubscriptionError::Authorize(AuthorizeError::Status { .. })));
    soon(client.subscribe("private-encrypted-good").unwrap().subscribed()).await.unwrap();
    assert_eq!(signing.channels("", &[]).await.unwrap().into_keys().collect::<Vec<_>>(), ["private-encrypted-good"]);
}
