//! Deliveries from fact to receiver, in a world in memory with a virtual clock; the last ones over real sockets.

mod world;

use super::*;
use std::io::Write;
use std::sync::Mutex;
use tidings_dialect::auth;
use tidings_hub::{ChannelName, FactQueue};
use tidings_hub::{FactKind, SocketId};
use world::{Answer, BEGINNING, Bench, Receiver, SECRET, World, app, key, settings, webhook};

const URL: &str = "http://hooks.example/in?token=hidden";

/// A world with one receiver behind [`URL`].
fn one(script: impl IntoIterator<Item = Answer>) -> (Arc<World>, Receiver) {
    let receiver = Receiver::new(script);
    (Arc::new(World::default().name("hooks.example", &["1.1.1.1"]).at("1.1.1.1:80", &receiver)), receiver)
}

fn member(user_id: &str, added: bool) -> FactKind {
    let user_id = Arc::from(user_id);
    if added { FactKind::MemberAdded { user_id } } else { FactKind::MemberRemoved { user_id } }
}

fn count(number: u32) -> FactKind {
    FactKind::SubscriptionCount(number)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// P-12.1, P-12.2, P-12.3, P-12.4, P-13.4, P-14.2: every kind of event, in one signed request.
#[tokio::test(start_paused = true)]
async fn all_events_arrive_signed() {
    let (world, receiver) = one([]);
    let mut app = app(&[URL]);
    app.keys.push(key("younger", "other"));
    app.webhooks[0].headers = vec![("Authorization".to_owned(), "Bearer t".to_owned()), ("X-Pusher-Key".to_owned(), "mine".to_owned())];
    let bench = Bench::new(&world, [app]);
    bench.tell("presence-cache-x", FactKind::Occupied);
    bench.tell("presence-cache-x", member("u", true));
    bench.tell("presence-cache-x", FactKind::CacheMiss);
    let data = bytes::Bytes::from_static(b"{\"a\":1}");
    let (socket_id, user_id) = (SocketId::from_halves(12, 34), Some(Arc::from("u")));
    bench.tell("presence-cache-x", FactKind::ClientEvent { event: Arc::from("client-e"), data, socket_id, user_id });
    bench.tell("news", FactKind::Occupied);
    bench.tell("news", count(1));
    bench.tell("news", count(0));
    bench.tell("news", FactKind::Vacated);
    bench.tell("presence-cache-x", member("u", false));

    let seen = receiver.seen(2).await;
    assert_eq!(seen[0].request_line, "POST /in?token=hidden");
    assert_eq!(
        seen[0].events(),
        [
            "channel_occupied presence-cache-x",
            "member_added presence-cache-x u",
            "cache_miss presence-cache-x",
            "client_event presence-cache-x u client-e {\"a\":1} 12.34",
            "channel_occupied news",
            "subscription_count news 1",
            "subscription_count news 0",
        ]
    );
    assert_eq!(seen[1].events(), ["channel_vacated news", "member_removed presence-cache-x u"]);
    for seen in &seen {
        let header = |name: &str| seen.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(header("content-type"), ["application/json"]);
        assert_eq!(header("x-pusher-key"), ["tidings-key"]);
        assert_eq!(header("x-pusher-signature"), [auth::sign(SECRET, &[&seen.body]).to_string()]);
        assert_eq!(header("authorization"), ["Bearer t"]);
        assert_eq!(header("host"), ["hooks.example"]);
    }
    assert_eq!(seen[0].json()["time_ms"], BEGINNING);
    bench.pass(secs(1)).await;
    assert_eq!(bench.counts(), Counts { delivered: 9, ..Counts::default() });
}

/// P-12.5: up to a second or 50 events, in order; off, one event per request.
#[tokio::test(start_paused = true)]
async fn events_are_batched() {
    let (world, receiver) = one([]);
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", count(1));
    bench.pass(Duration::from_millis(600)).await;
    bench.tell("c", count(2));
    let seen = receiver.seen(1).await;
    assert_eq!((seen[0].secs(), seen[0].events().len()), (1, 2));
    for number in 0..120 {
        bench.tell("c", count(number));
    }
    let seen = receiver.seen(4).await;
    assert_eq!(seen.iter().map(|seen| seen.events().len()).collect::<Vec<_>>(), [2, 50, 50, 20]);
    let events: Vec<String> = seen[1..].iter().flat_map(world::Seen::events).collect();
    assert_eq!(events, (0..120).map(|number| format!("subscription_count c {number}")).collect::<Vec<_>>());
    // What makes a full batch does not wait.
    assert!(seen[2].at < Duration::from_millis(1100), "{:?}", seen[2].at);

    let mut single = app(&[URL]);
    single.webhook_batching = false;
    bench.set(single);
    bench.tell("c", count(7));
    bench.tell("c", count(8));
    let seen = receiver.seen(6).await;
    assert_eq!(seen[4].events(), ["subscription_count c 7"]);
    assert_eq!(seen[5].events(), ["subscription_count c 8"]);
}

/// P-12.2, P-12.6, P-18.14: everything but 2xx is repeated with the same body and signature, with growing pauses, for five minutes.
#[tokio::test(start_paused = true)]
async fn a_failing_endpoint_is_tried_for_five_minutes() {
    let failures = [500, 404, 301, 400, 503].map(Answer::Status).into_iter().chain([Answer::Hangup]).cycle().take(11);
    let (world, receiver) = one(failures);
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", count(1));
    let seen = receiver.seen(11).await;
    assert_eq!(seen.iter().map(world::Seen::secs).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 124, 184, 244, 300]);
    assert!(seen.iter().all(|one| one.body == seen[0].body && one.headers == seen[0].headers));
    bench.pass(secs(600)).await;
    assert_eq!(receiver.seen_so_far().len(), 11);
    assert_eq!(bench.counts(), Counts { failed_attempts: 11, dropped: 1, ..Counts::default() });

    bench.tell("c", count(2));
    assert_eq!(receiver.seen(12).await[11].events(), ["subscription_count c 2"]);
}

/// P-12.6: the app says how long.
#[tokio::test(start_paused = true)]
async fn the_retry_window_is_a_setting() {
    let (world, receiver) = one(std::iter::repeat_n(Answer::Status(500), 20));
    let mut app = app(&[URL]);
    app.webhook_retry = secs(10);
    let bench = Bench::new(&world, [app]);
    bench.tell("c", count(1));
    bench.pass(secs(600)).await;
    assert_eq!(receiver.seen_so_far().iter().map(world::Seen::secs).collect::<Vec<_>>(), [1, 2, 4, 8, 10]);
}

/// P-12.6: any 2xx will do, whatever comes with it.
#[tokio::test(start_paused = true)]
async fn any_2xx_is_success() {
    let (world, receiver) = one([Answer::Status(204), Answer::Status(299), Answer::Endless]);
    let mut app = app(&[URL]);
    app.webhook_batching = false;
    let bench = Bench::new(&world, [app]);
    for number in 0..4 {
        bench.tell("c", count(number));
    }
    receiver.seen(4).await;
    bench.pass(secs(1)).await;
    assert_eq!(bench.counts(), Counts { delivered: 4, ..Counts::default() });
}

/// P-12.6: no answer for ten seconds is a failure.
#[tokio::test(start_paused = true)]
async fn an_attempt_has_ten_seconds() {
    let (world, receiver) = one([Answer::Never]);
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", count(1));
    let seen = receiver.seen(2).await;
    assert_eq!(seen.iter().map(world::Seen::secs).collect::<Vec<_>>(), [1, 1 + 10 + 1]);
    assert_eq!(bench.counts().failed_attempts, 1);
}

/// P-12.6: a redirect is a failure and nobody goes where it points.
#[tokio::test(start_paused = true)]
async fn redirects_are_not_followed() {
    let (first, other) = (Receiver::new([Answer::Redirect("http://other.example/")]), Receiver::new([]));
    let world = World::default().name("hooks.example", &["1.1.1.1"]).name("other.example", &["8.8.8.8"]);
    let world = Arc::new(world.at("1.1.1.1:80", &first).at("8.8.8.8:80", &other));
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", count(1));
    assert_eq!(first.seen(2).await[1].secs(), 2);
    bench.pass(secs(60)).await;
    assert!(other.seen_so_far().is_empty() && world.dialled().iter().all(|address| address == "1.1.1.1:80"));
    assert_eq!(bench.counts(), Counts { delivered: 1, failed_attempts: 1, ..Counts::default() });
}

/// P-12.5: the order of a channel survives failures; what comes later waits.
#[tokio::test(start_paused = true)]
async fn retries_keep_the_order() {
    let script = [Answer::Status(500), Answer::Hangup, Answer::Never, Answer::Status(200), Answer::Status(500)];
    let (world, receiver) = one(script);
    let mut app = app(&[URL]);
    app.webhook_batching = false;
    let bench = Bench::new(&world, [app]);
    for number in 0..20 {
        bench.tell("c", count(number));
        bench.pass(Duration::from_millis(700)).await;
    }
    let seen = receiver.seen(24).await;
    let mut events: Vec<String> = seen.iter().flat_map(world::Seen::events).collect();
    assert_eq!(events[..4], vec!["subscription_count c 0"; 4]);
    events.dedup();
    assert_eq!(events, (0..20).map(|number| format!("subscription_count c {number}")).collect::<Vec<_>>());
    bench.pass(secs(1)).await;
    assert_eq!(bench.counts(), Counts { delivered: 20, failed_attempts: 4, ..Counts::default() });
}

/// P-12.10: a slow endpoint delays nobody but itself, its queue is bounded, and the oldest events go.
#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_is_alone_with_it() {
    let (slow, quick) = (Receiver::new(std::iter::repeat_n(Answer::Never, 3)), Receiver::new([]));
    let world = World::default().name("slow.example", &["1.1.1.1"]).name("quick.example", &["8.8.8.8"]);
    let world = Arc::new(world.at("1.1.1.1:80", &slow).at("8.8.8.8:80", &quick));
    let bench = Bench::new(&world, [app(&["http://slow.example/", "http://quick.example/"])]);
    for number in 0..50 {
        bench.tell("c", count(number));
    }
    slow.seen(1).await;
    for number in 50..10_070 {
        bench.tell("c", count(number));
    }
    let events: Vec<String> = quick.seen(201).await.iter().flat_map(world::Seen::events).collect();
    // The quick one had as many at once as fit, and no attempt of the slow one has ended by then.
    assert_eq!(slow.seen_so_far().len(), 1);
    assert_eq!(events.len(), 10_050);
    assert_eq!(bench.counts().dropped, 40);
    // 50 tried in vain, 20 dropped, and the rest in order.
    let seen = slow.seen(5).await;
    assert_eq!(seen[3].events()[0], "subscription_count c 0");
    assert_eq!(seen[4].events()[0], "subscription_count c 70");
}

/// The node's settings hold: attempts at once, time of an attempt, size and time of a batch, events an endpoint is owed.
#[tokio::test(start_paused = true)]
async fn the_node_sets_bounds() {
    let receivers = [1, 2, 3].map(|_| Receiver::new([Answer::Never]));
    let world = World::default().at("1.1.1.1:80", &receivers[0]).at("1.1.1.2:80", &receivers[1]).at("1.1.1.3:80", &receivers[2]);
    let settings =
        Webhooks { concurrency: 2, timeout: secs(4), batch_events: 3, batch_wait: secs(2), endpoint_deliveries: 5, ..settings() };
    let app = app(&["http://1.1.1.1/", "http://1.1.1.2/", "http://1.1.1.3/"]);
    let bench = Bench::with(&Arc::new(world), [app], &webhook::public_tls(), settings);
    bench.tell("c", count(0));
    receivers[1].seen(1).await;
    for number in 1..8 {
        bench.tell("c", count(number));
    }
    // The first two have one event under way and room for five more. The third waits for one of them to end, and has room for five in all.
    let (two, third) = (vec![(2, 1), (7, 1), (7, 3), (7, 2)], vec![(6, 3), (11, 3), (11, 2)]);
    for (receiver, told) in receivers.iter().zip([&two, &two, &third]) {
        let seen = receiver.seen(told.len()).await;
        assert_eq!(seen.iter().map(|seen| (seen.secs(), seen.events().len())).collect::<Vec<_>>(), *told);
    }
    bench.pass(secs(60)).await;
    assert_eq!(bench.counts().dropped, 2 + 2 + 3);
}

/// P-12.7, P-18.15: what is taken back within three seconds is not told, over the whole way.
#[tokio::test(start_paused = true)]
async fn grace_holds_back() {
    let (world, receiver) = one([]);
    let mut app = app(&[URL]);
    app.webhook_batching = false;
    let bench = Bench::new(&world, [app]);
    for kind in [FactKind::Occupied, member("u", true), member("u", false), FactKind::Vacated] {
        bench.tell("presence-x", kind);
    }
    bench.pass(secs(2)).await;
    for kind in [FactKind::Occupied, member("u", true), member("u", false), FactKind::Vacated] {
        bench.tell("presence-x", kind);
    }
    let seen = receiver.seen(4).await;
    let told: Vec<_> = seen.iter().map(|seen| (seen.secs(), seen.events().concat())).collect();
    let expected = [
        (0, "channel_occupied presence-x"),
        (0, "member_added presence-x u"),
        (5, "member_removed presence-x u"),
        (5, "channel_vacated presence-x"),
    ];
    assert_eq!(told, expected.map(|(at, event)| (at, event.to_owned())));
}

/// P-12.9, P-14.3: a cache miss is told once in ten seconds; counts are told as the hub tells them, it collects them.
#[tokio::test(start_paused = true)]
async fn misses_are_told_once() {
    let (world, receiver) = one([]);
    let mut app = app(&[URL]);
    app.webhook_batching = false;
    let bench = Bench::new(&world, [app]);
    for _ in 0..30 {
        bench.tell("cache-x", FactKind::CacheMiss);
        bench.pass(Duration::from_millis(500)).await;
    }
    bench.tell("x", count(101));
    bench.tell("x", count(205));
    let seen = receiver.seen(4).await;
    let told: Vec<_> = seen.iter().map(|seen| (seen.secs(), seen.events().concat())).collect();
    let expected =
        [(0, "cache_miss cache-x"), (10, "cache_miss cache-x"), (15, "subscription_count x 101"), (15, "subscription_count x 205")];
    assert_eq!(told, expected.map(|(at, event)| (at, event.to_owned())));
}

/// P-12.3, P-12.8: what an endpoint does not want is not in its body, and the body is signed as sent.
#[tokio::test(start_paused = true)]
async fn what_is_filtered_is_not_sent() {
    let (all, some, none) = (Receiver::new([]), Receiver::new([]), Receiver::new([]));
    let world = World::default().at("1.1.1.1:80", &all).at("1.1.1.2:8080", &some).at("1.1.1.3:80", &none);
    let mut app = app(&["http://1.1.1.1/", "http://1.1.1.2:8080/", "http://1.1.1.3/"]);
    app.webhooks[1].events = Some(vec!["channel_occupied".to_owned(), "member_added".to_owned()]);
    app.webhooks[1].channel_prefix = Some("presence-".to_owned());
    app.webhooks[1].channel_suffix = Some("-de".to_owned());
    app.webhooks[2].channel_prefix = Some("other-".to_owned());
    let bench = Bench::new(&Arc::new(world), [app]);
    for channel in ["presence-a-de", "presence-a-fr", "a-de"] {
        bench.tell(channel, FactKind::Occupied);
        bench.tell(channel, FactKind::CacheMiss);
    }
    assert_eq!(all.seen(1).await[0].events().len(), 6);
    let seen = some.seen(1).await;
    assert_eq!(seen[0].events(), ["channel_occupied presence-a-de"]);
    assert_eq!(seen[0].headers["x-pusher-signature"], *auth::sign(SECRET, &[&seen[0].body]).as_str());
    bench.pass(secs(600)).await;
    assert_eq!((all.seen_so_far().len(), some.seen_so_far().len(), none.seen_so_far().len()), (1, 1, 0));
    assert_eq!(bench.counts(), Counts { delivered: 7, ..Counts::default() });
}

/// A log that can be read again.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE).with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Private targets are refused, by literal address and by name; the log says once what to set, and no secret.
#[tokio::test(start_paused = true)]
async fn private_targets_are_refused() {
    let receiver = Receiver::new([]);
    for url in ["http://127.0.0.1/x?token=hidden", "http://[::ffff:10.0.0.1]:8080/x?token=hidden", "http://inside.example/x?token=hidden"] {
        let log = Log::default();
        let logging = log.capture();
        let world = World::default().name("inside.example", &["169.254.169.254", "fd00::1"]);
        let world = world.at("127.0.0.1:80", &receiver).at("[::ffff:10.0.0.1]:8080", &receiver).at("169.254.169.254:80", &receiver);
        let world = Arc::new(world);
        let mut app = app(&[url]);
        app.webhook_batching = false;
        let bench = Bench::new(&world, [app.clone()]);
        bench.tell("c", count(1));
        bench.tell("c", count(2));
        bench.pass(secs(1)).await;
        assert!(world.dialled().is_empty(), "{url}");
        assert_eq!(bench.counts(), Counts { refused: 2, failed_attempts: 2, ..Counts::default() }, "{url}");
        let told = log.text().lines().filter(|line| line.contains("ERROR") && line.contains("webhook_private_targets = true")).count();
        assert_eq!(told, 1, "{}", log.text());

        app.webhook_private_targets = true;
        bench.set(app);
        bench.tell("c", count(3));
        bench.pass(secs(1)).await;
        assert_eq!(bench.counts().delivered, 1, "{url}: {}", log.text());
        assert!(!log.text().contains("hidden") && !log.text().contains(SECRET), "{}", log.text());
        drop(logging);
    }
}

/// A connection that one app may have is not lent to another that may not.
#[tokio::test(start_paused = true)]
async fn a_private_connection_is_not_shared() {
    let receiver = Receiver::new([]);
    let world = Arc::new(World::default().at("10.0.0.1:80", &receiver));
    let trusted = App { webhook_private_targets: true, ..app(&["http://10.0.0.1/"]) };
    let other = App { id: AppId::new("b"), ..app(&["http://10.0.0.1/"]) };
    let bench = Bench::new(&world, [trusted, other]);
    bench.tell("c", count(1));
    receiver.seen(1).await;
    bench.tell_of("b", "c", count(1));
    bench.pass(secs(5)).await;
    assert_eq!(bench.counts(), Counts { delivered: 1, refused: 1, failed_attempts: 1, ..Counts::default() });
    assert_eq!((world.dialled().len(), receiver.seen_so_far().len()), (1, 1));
}

/// A URL that is none is counted, logged, and does no harm to the others.
#[tokio::test(start_paused = true)]
async fn an_unusable_url_is_alone_with_it() {
    let (world, receiver) = one([]);
    let bench = Bench::new(&world, [app(&["ftp://example.com/", URL])]);
    bench.tell("c", count(1));
    receiver.seen(1).await;
    bench.pass(secs(1)).await;
    assert_eq!(bench.counts(), Counts { delivered: 1, refused: 1, ..Counts::default() });
}

/// A dead address does not take the time of the next.
#[tokio::test(start_paused = true)]
async fn all_addresses_are_tried() {
    let receiver = Receiver::new([]);
    let world = World::default().name("hooks.example", &["9.9.9.9", "10.0.0.1", "1.1.1.1"]).at("1.1.1.1:80", &receiver);
    let world = Arc::new(world);
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", count(1));
    receiver.seen(1).await;
    assert_eq!(world.dialled(), ["9.9.9.9:80", "1.1.1.1:80"]);
    bench.pass(secs(1)).await;
    assert_eq!(bench.counts().delivered, 1);
}

/// A reload: an endpoint that goes takes its queue with it, one that stays keeps it, one that comes gets what follows.
#[tokio::test(start_paused = true)]
async fn a_reload_changes_endpoints() {
    let (stays, goes, comes) = (Receiver::new([Answer::Status(500)]), Receiver::new([Answer::Never]), Receiver::new([]));
    let world = Arc::new(World::default().at("1.1.1.1:80", &stays).at("1.1.1.2:80", &goes).at("1.1.1.3:80", &comes));
    let bench = Bench::new(&world, [app(&["http://1.1.1.1/", "http://1.1.1.2/"])]);
    bench.tell("c", count(1));
    stays.seen(1).await;
    goes.seen(1).await;
    bench.tell("c", count(2));
    bench.pass(Duration::from_millis(100)).await;
    let mut changed = app(&["http://1.1.1.3/", "http://1.1.1.1/"]);
    changed.keys[0] = key("new-key", "new-secret");
    bench.set(changed);
    bench.pass(Duration::from_millis(100)).await;
    assert_eq!(bench.counts().dropped, 2);
    bench.tell("c", count(3));
    let seen = stays.seen(3).await;
    assert_eq!(seen[1].events(), ["subscription_count c 1"]);
    assert_eq!(seen[1].headers["x-pusher-signature"], *auth::sign("new-secret", &[&seen[1].body]).as_str());
    assert_eq!(seen[2].events(), ["subscription_count c 2", "subscription_count c 3"]);
    assert_eq!(comes.seen(1).await[0].events(), ["subscription_count c 3"]);
    bench.pass(secs(600)).await;
    assert_eq!(goes.seen_so_far().len(), 1);
    assert_eq!(bench.counts(), Counts { delivered: 4, failed_attempts: 1, dropped: 2, refused: 0 });
}

/// An app that is gone: its facts are dropped and counted, those held back too.
#[tokio::test(start_paused = true)]
async fn an_app_that_is_gone_loses_its_facts() {
    let (world, receiver) = one([]);
    let bench = Bench::new(&world, [app(&[URL])]);
    bench.tell("c", FactKind::Occupied);
    receiver.seen(1).await;
    bench.tell("c", FactKind::Vacated);
    bench.pass(Duration::from_millis(100)).await;
    bench.remove("a");
    bench.tell("c", FactKind::Occupied);
    bench.tell_of("never", "c", FactKind::Occupied);
    bench.pass(secs(60)).await;
    assert_eq!(bench.counts(), Counts { delivered: 1, dropped: 3, ..Counts::default() });
    assert_eq!(receiver.seen_so_far().len(), 1);
}

/// An app without webhooks costs nothing and counts nothing.
#[tokio::test(start_paused = true)]
async fn without_webhooks_nothing_happens() {
    let (world, _) = one([]);
    let bench = Bench::new(&world, [app(&[])]);
    bench.tell("c", FactKind::Occupied);
    bench.tell("c", FactKind::Vacated);
    bench.pass(secs(60)).await;
    assert_eq!((bench.counts(), world.dialled().len()), (Counts::default(), 0));
    assert_eq!(bench.deliver.shutdown(secs(5)).await, Left { undelivered: 0 });
}

/// A stopping server sends what it collects and holds back, at once.
#[tokio::test(start_paused = true)]
async fn shutdown_sends_what_is_owed() {
    let (world, receiver) = one([Answer::Status(500)]);
    let bench = Bench::new(&world, [app(&[URL])]);
    let started = Instant::now();
    for kind in [FactKind::Occupied, member("u", true), member("u", false), FactKind::Vacated] {
        bench.tell("presence-x", kind);
    }
    let counters = Arc::clone(bench.deliver.counters());
    assert_eq!(bench.deliver.shutdown(secs(5)).await, Left { undelivered: 0 });
    assert_eq!(started.elapsed().as_secs(), 1, "one retry, no collecting, no grace");
    let told = ["channel_occupied presence-x", "member_added presence-x u", "member_removed presence-x u", "channel_vacated presence-x"];
    assert_eq!(receiver.seen_so_far()[1].events(), told);
    assert_eq!(counters.read(), Counts { delivered: 4, failed_attempts: 1, ..Counts::default() });
}

/// What cannot be sent in time is told and counted.
#[tokio::test(start_paused = true)]
async fn shutdown_tells_what_is_lost() {
    let log = Log::default();
    let logging = log.capture();
    let (world, _) = one(std::iter::repeat_n(Answer::Never, 9));
    let bench = Bench::new(&world, [app(&[URL])]);
    let started = Instant::now();
    for number in 0..60 {
        bench.tell("c", count(number));
    }
    let counters = Arc::clone(bench.deliver.counters());
    assert_eq!(bench.deliver.shutdown(secs(5)).await, Left { undelivered: 60 });
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!(counters.read(), Counts { dropped: 60, ..Counts::default() });
    assert!(log.text().contains("webhook events lost") && log.text().contains("events=60"), "{}", log.text());
    drop(logging);
}

/// P-12.1: https, with a certificate that is trusted; one that is not is a failure like any other.
#[tokio::test(start_paused = true)]
async fn https_is_checked() {
    let certified = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], private).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let trusting = trusting.with_root_certificates(roots).with_no_client_auth();
    for (tls, arrives) in [(trusting, true), (webhook::public_tls(), false)] {
        let receiver = Receiver::new([]);
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server.clone()));
        let world = World::default().name("hooks.example", &["1.1.1.1"]).at_tls("1.1.1.1:443", &receiver, acceptor);
        let bench = Bench::with(&Arc::new(world), [app(&["https://hooks.example/"])], &tls, settings());
        bench.tell("c", count(1));
        bench.pass(secs(600)).await;
        let counts = bench.counts();
        assert_eq!((counts.delivered == 1, counts.failed_attempts == 0, counts.dropped == 0), (arrives, arrives, arrives), "{counts:?}");
        assert_eq!(receiver.seen_so_far().len(), usize::from(arrives));
    }
}

/// A real socket on loopback: refused by every way of writing the address, reached when the app allows it.
#[tokio::test]
async fn over_real_sockets_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let receiver = Receiver::new([]);
    let accepted = Arc::new(AtomicU64::new(0));
    let (serving, count_of) = (receiver.clone(), Arc::clone(&accepted));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count_of.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serving.clone().serve(stream));
        }
    });
    let urls = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"].map(|host| format!("http://{host}:{port}/"));
    let apps = |private_targets| {
        let mut app = app(&[]);
        app.webhooks = urls.iter().map(|url| webhook(url)).collect();
        app.webhook_private_targets = private_targets;
        app.webhook_batching = false;
        Arc::new(app)
    };
    for private_targets in [false, true] {
        let (facts, app) = (Arc::new(FactQueue::new(10)), apps(private_targets));
        let deliver = Deliver::start(&Handle::current(), Arc::clone(&facts), move |_| Some(Arc::clone(&app)), settings());
        facts.push(Fact { app: AppId::new("a"), channel: ChannelName::parse("c").unwrap(), serial: 1, kind: count(1) });
        let counters = Arc::clone(deliver.counters());
        assert_eq!(deliver.shutdown(secs(60)).await, Left { undelivered: 0 });
        let counts = counters.read();
        if private_targets {
            assert_eq!(counts, Counts { delivered: 5, ..Counts::default() });
        } else {
            assert_eq!(counts, Counts { refused: 5, failed_attempts: 5, ..Counts::default() });
            assert_eq!(accepted.load(Ordering::SeqCst), 0);
        }
    }
    assert_eq!(receiver.seen(5).await.len(), 5);
    server.abort();
}
