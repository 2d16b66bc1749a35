//! The code that `docs/client` shows, run against a server. The last test sees to it that the pages show nothing else.

use crate::tidings::Tidings;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use tidings_client::{
    AppId, Auth, BadCertificates, BadMasterKey, BadUrl, Binding, Channel, Client, Connection, ConnectionError, DataError, Event, Key,
    MasterKey, NotConnected, Notice, Options, PresenceMember, ProxyChoice, Publication, Publisher, PublisherOptions, SignInError, State,
    SubscribeError, Tls, Webhook, WebhookEvent,
};
use tidings_server::config;
use tidings_server::run::Server;
use tokio::sync::mpsc;

#[derive(Deserialize)]
struct Headline {
    title: String,
}

fn connecting() -> Options {
    Options { host: "push.example.com".into(), encrypted: true, ..Options::new("app-key") }
}

fn connecting_by_address() -> Result<Options, BadUrl> {
    Ok(Options::at(&"https://push.example.com:8443/realtime".parse()?, "app-key"))
}

fn signing_here(options: Options) -> Options {
    Options {
        secret: Some("secret-of-the-app".into()),
        channel_data: Some(json!({ "user_id": "ann", "user_info": { "name": "Ann" } }).to_string()),
        user_data: Some(json!({ "id": "ann", "watchlist": ["bob"] }).to_string()),
        ..options
    }
}

fn asking_the_application(options: Options) -> Options {
    Options {
        auth_endpoint: Some("https://app.example.com/pusher/auth".into()),
        user_auth_endpoint: Some("https://app.example.com/pusher/user-auth".into()),
        auth: Auth { headers: vec![("Authorization".into(), "Bearer of-the-session".into())], ..Auth::default() },
        ..options
    }
}

fn with_an_authority_of_ones_own(options: Options, file: &Path) -> Result<Options, BadCertificates> {
    Ok(Options { tls: Tls::with_authorities_of(file)?, proxy: ProxyChoice::Direct, ..options })
}

async fn wait_for_a_connection(client: &Client) -> Result<String, String> {
    match client.connected().await {
        Ok(socket_id) => Ok(socket_id),
        Err(NotConnected::GivenUp(why)) => Err(format!("gave up: {why}")),
        Err(NotConnected::Disconnected) => Err("disconnected".into()),
    }
}

fn call_back(client: &Client, mut show: impl FnMut(String) + Send + 'static) -> Result<(Channel, Binding), SubscribeError> {
    let channel = client.subscribe("news")?;
    let binding = channel.bind_typed("headline", move |headline: Result<Headline, DataError>| match headline {
        Ok(Headline { title }) => show(title),
        Err(error) => show(error.to_string()),
    });
    Ok((channel, binding))
}

async fn read_a_stream(client: &Client, mut show: impl FnMut(String)) -> Result<(), Box<dyn Error>> {
    let mut headlines = client.subscribe("news")?.events_named("headline").typed::<Headline>();
    while let Some(headline) = headlines.next().await {
        match headline {
            Ok(Headline { title }) => show(title),
            Err(error) => show(error.to_string()),
        }
    }
    Ok(())
}

/// Follows what `channel` is about: `reload` reads all of it, `apply` takes a change.
async fn follow(channel: &Channel, mut reload: impl AsyncFnMut(), mut apply: impl FnMut(Event)) {
    let mut events = channel.events();
    while let Some(event) = events.next().await {
        match event {
            // The first time, and after each absence.
            Ok(event) if event.name == "pusher:subscription_succeeded" => reload().await,
            Ok(event) => apply(event),
            // It came faster than it was applied.
            Err(_missed) => reload().await,
        }
    }
}

fn log_problems(client: &Client, mut log: impl FnMut(String) + Send + 'static) {
    let mut problems = client.problems();
    tokio::spawn(async move {
        while let Some(problem) = problems.next().await {
            match problem {
                Ok(problem) => log(problem.to_string()),
                Err(missed) => log(missed.to_string()),
            }
        }
    });
}

fn show_states(client: &Client, mut show: impl FnMut(State) + Send + 'static) {
    let mut states = client.states();
    tokio::spawn(async move {
        while let Some(change) = states.next().await {
            if let Ok(change) = change {
                show(change.current);
            }
        }
    });
}

async fn enter_a_room(client: &Client) -> Result<Vec<String>, Box<dyn Error>> {
    let room = client.subscribe("presence-room")?;
    room.subscribed().await?;
    let here = room.members().iter().map(|member| member.user_id.clone()).collect();
    room.send_event("client-typing", &json!({ "in": "the box" })).await?;
    Ok(here)
}

async fn sign_in(client: &Client) -> Result<String, SignInError> {
    client.sign_in()?;
    client.signed_in().await
}

fn two_sides_of_encryption(options: Options, app: PublisherOptions, base64: &str) -> Result<(Options, Publisher), BadMasterKey> {
    let master_key = MasterKey::from_base64(base64)?;
    let publisher = Publisher::with_options(PublisherOptions { encryption_master_key: Some(master_key.clone()), ..app });
    let options = Options { encryption_master_key: Some(master_key), ..options };
    Ok((options, publisher))
}

async fn relay(mut connection: Connection, mut pass_on: impl AsyncFnMut(Event)) -> Result<(), ConnectionError> {
    loop {
        // While an event is passed on, nothing more is read.
        if let Notice::Event(event) = connection.next().await? {
            pass_on(event).await;
        }
    }
}

async fn webhooks(Shared(keys): Shared<Arc<Vec<Key>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    match Webhook::verify(&headers, &body, &keys) {
        Ok(webhook) => {
            let occupied = webhook.events.iter().filter(|event| matches!(event, WebhookEvent::ChannelOccupied { .. })).count();
            (StatusCode::OK, format!("{occupied} channels are occupied now"))
        }
        Err(error) => (StatusCode::UNAUTHORIZED, error.to_string()),
    }
}

/// Starts a server with one app on a free port.
fn start_server(folder: &Path) -> Server {
    let file = folder.join("tidings.toml");
    let app = "[[apps]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"secret-of-the-app\"\nclient_events = true\n";
    fs::write(&file, format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n{app}")).unwrap();
    let config = config::load(Some(&file)).unwrap();
    // It has a runtime of its own, which cannot be started within another.
    thread::spawn(move || Server::start(config).unwrap()).join().unwrap()
}

#[tokio::test]
async fn an_event_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_server(folder.path());
    let url = format!("http://{}", server.addresses()[0]).parse().unwrap();
    let key = Key { key: "app-key".into(), secret: "secret-of-the-app".into() };

    let client = Client::new(Options::at(&url, &key.key)).unwrap();
    let news = client.subscribe("news").unwrap();
    let mut headlines = news.events_named("headline");
    news.subscribed().await.unwrap();
    let publisher = Publisher::with_options(PublisherOptions::new(url, AppId::new("1"), key));
    publisher.publish(&Publication::new(["news"], "headline", "Hello")).await.unwrap();
    assert_eq!(headlines.next().await.unwrap().unwrap().data, "Hello");

    client.close().await;
    thread::spawn(move || server.stop()).join().unwrap();
}

/// Options that lead to `tidings`, whatever proxies there are.
fn options(tidings: &Tidings) -> Options {
    Options { proxy: ProxyChoice::Direct, ..Options::at(&tidings.url, &tidings.key.key) }
}

/// A function for what is shown, and where it can be seen.
fn shown<T: Send + 'static>() -> (impl FnMut(T) + Send + 'static, mpsc::UnboundedReceiver<T>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    // Who does not look any more need not know.
    (move |value| drop(sender.send(value)), receiver)
}

#[test]
fn options_lead_where_they_should() {
    assert_eq!(connecting().server().unwrap().to_string(), "https://push.example.com:443");
    assert_eq!(connecting_by_address().unwrap().server().unwrap().to_string(), "https://push.example.com:8443/realtime");
    let asking = Connection::new(asking_the_application(connecting())).unwrap();
    drop(asking);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    assert!(matches!(with_an_authority_of_ones_own(connecting(), &file), Err(BadCertificates::Unreadable { .. })));
    fs::write(&file, rcgen::generate_simple_self_signed(["push.example.com".to_owned()]).unwrap().cert.pem()).unwrap();
    assert_eq!(with_an_authority_of_ones_own(connecting(), &file).unwrap().proxy, ProxyChoice::Direct);
}

#[tokio::test]
async fn headlines_are_shown_by_callbacks_and_by_a_stream() {
    let tidings = Tidings::start("");
    let client = Client::new(options(&tidings)).unwrap();
    let (show, mut called) = shown();
    let (channel, binding) = call_back(&client, show).unwrap();
    let (show, mut read) = shown();
    let reading = tokio::spawn({
        let client = client.clone();
        async move { read_a_stream(&client, show).await.map_err(|error| error.to_string()) }
    });
    assert_eq!(wait_for_a_connection(&client).await, Ok(client.socket_id().unwrap()));
    channel.subscribed().await.unwrap();
    let publisher = tidings.publisher();
    for data in ["{\"title\":\"First\"}", "no JSON", "{\"title\":\"Third\"}"] {
        publisher.publish(&Publication::new(["news"], "headline", data)).await.unwrap();
    }
    for seen in [&mut called, &mut read] {
        assert_eq!(seen.recv().await.unwrap(), "First");
        assert!(seen.recv().await.unwrap().starts_with("the data of event \"headline\" on news cannot be read as asked: "));
        assert_eq!(seen.recv().await.unwrap(), "Third");
    }
    assert!(channel.unbind(binding) && !channel.unbind(binding));
    client.close().await;
    assert_eq!(reading.await.unwrap(), Ok(()));
    assert_eq!(called.recv().await, None);
}

#[tokio::test]
async fn who_follows_reloads_after_each_absence() {
    let tidings = Tidings::start("");
    let client = Client::new(options(&tidings)).unwrap();
    let channel = client.subscribe("news").unwrap();
    let (note, mut noted) = mpsc::unbounded_channel();
    let (seen, mut states) = shown();
    show_states(&client, seen);
    let following = follow(&channel, async || note.send("reload".to_owned()).unwrap(), |event| note.send(event.data).unwrap());
    let publishing = async {
        let publisher = tidings.publisher();
        let publication = Publication::new(["news"], "headline", "Hello");
        for _ in 0..2 {
            assert_eq!(noted.recv().await.as_deref(), Some("reload"));
            publisher.publish(&publication).await.unwrap();
            assert_eq!(noted.recv().await.as_deref(), Some("Hello"));
            client.disconnect();
            client.connect();
        }
        for state in [State::Connecting, State::Connected, State::Disconnected, State::Connecting, State::Connected] {
            assert_eq!(states.recv().await, Some(state));
        }
        client.clone().close().await;
    };
    tokio::join!(following, publishing);
}

#[tokio::test]
async fn problems_are_logged() {
    let tidings = Tidings::start("");
    let client = Client::new(Options { key: "another-key".into(), ..options(&tidings) }).unwrap();
    let (log, mut logged) = shown();
    log_problems(&client, log);
    let gave_up = wait_for_a_connection(&client).await.unwrap_err();
    let line = logged.recv().await.unwrap();
    assert!(line.starts_with("the server closed the connection with 4001: "), "{line}");
    assert_eq!(gave_up, format!("gave up: {line}"));
}

/// P-7.3, P-8.1, P-15.1
#[tokio::test]
async fn users_enter_rooms_and_sign_in() {
    let tidings = Tidings::start("");
    let mut bob = tidings.peer().await;
    let proof = tidings.publisher().authorize_channel(&bob.socket_id, "presence-room", Some(&PresenceMember::new("bob"))).unwrap();
    bob.subscribe("presence-room", serde_json::to_value(proof).unwrap()).await;
    let ann = Client::new(signing_here(options(&tidings))).unwrap();
    assert_eq!(enter_a_room(&ann).await.unwrap(), ["ann", "bob"]);
    bob.next("pusher_internal:member_added").await;
    assert_eq!(bob.next("client-typing").await["user_id"], "ann");
    assert_eq!(sign_in(&ann).await.unwrap(), "ann");
    ann.close().await;
}

/// P-9.1
#[tokio::test]
async fn encrypted_data_arrives_in_clear() {
    let tidings = Tidings::start("");
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let (options, publisher) = two_sides_of_encryption(signing_here(options(&tidings)), tidings.publisher_options(), base64).unwrap();
    let client = Client::new(options).unwrap();
    let channel = client.subscribe("private-encrypted-news").unwrap();
    let mut events = channel.events_named("headline");
    channel.subscribed().await.unwrap();
    publisher.publish(&Publication::new(["private-encrypted-news"], "headline", "Hello")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().data, "Hello");
    client.close().await;
}

#[tokio::test]
async fn a_relay_passes_everything_on_until_it_is_of_no_use() {
    let tidings = Tidings::start("");
    let mut connection = Connection::new(options(&tidings)).unwrap();
    connection.subscribe("news").unwrap();
    while !matches!(connection.next().await.unwrap(), Notice::Subscribed { .. }) {}
    let (mut note, mut noted) = shown();
    let relaying = tokio::spawn(relay(connection, async move |event: Event| note(event.data)));
    let publisher = tidings.publisher();
    for data in ["1", "2", "3"] {
        publisher.publish(&Publication::new(["news"], "headline", data)).await.unwrap();
    }
    for data in ["1", "2", "3"] {
        assert_eq!(noted.recv().await.as_deref(), Some(data));
    }
    relaying.abort();
}

/// P-12.3
#[tokio::test]
async fn webhooks_are_answered() {
    let keys = Arc::new(vec![Key { key: "k".into(), secret: "s".into() }]);
    let body = r#"{"time_ms":1,"events":[{"name":"channel_occupied","channel":"news"}]}"#;
    let signature = tidings_dialect::auth::sign("s", &[body.as_bytes()]).to_string();
    for (signature, answer) in [
        (signature.as_str(), (StatusCode::OK, "1 channels are occupied now")),
        (
            "0",
            (
                StatusCode::UNAUTHORIZED,
                "the webhook's signature is wrong: its body was changed, or it was signed with another secret; check the body as it came in",
            ),
        ),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in [("content-type", "application/json"), ("x-pusher-key", "k"), ("x-pusher-signature", signature)] {
            headers.insert(name, value.parse().unwrap());
        }
        let (status, text) = webhooks(Shared(Arc::clone(&keys)), headers, body.into()).await;
        assert_eq!((status, text.as_str()), answer);
    }
}

/// The lines of a text that say something, without what is around them.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.trim().trim_start_matches("//!").trim()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn pages_show_what_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["tests/it/guide.rs", "examples/auth_endpoint.rs", "examples/chat.rs", "examples/stock_ticker.rs", "src/lib.rs"];
    let sources = sources.map(|source| fs::read_to_string(root.join(source)).unwrap());
    let mut seen = 0;
    for page in fs::read_dir(root.join("../../docs/client")).unwrap() {
        let path = page.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        for block in page.split("\n```rust\n").skip(1).map(|block| block.split("\n```").next().unwrap_or_default()) {
            let shown = lines(block);
            let runs = sources.iter().any(|source| lines(source).windows(shown.len()).any(|lines| lines == shown));
            assert!(runs, "{} shows what no test runs:\n{block}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} blocks were found");
}
