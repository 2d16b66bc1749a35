//! What must hold whoever comes first: several threads at once, and assertions that no schedule can change.

use super::*;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

/// Longer than any machine takes: it passes only if a wake-up was lost.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn an_inbox_has_room_below_its_mark_and_takes_more_all_the_same() {
    let inbox = Inbox::new(2, || {});
    let mut items = Vec::new();
    for (waiting, room) in [(0, true), (1, true), (2, false), (3, false)] {
        assert_eq!((inbox.waiting(), inbox.has_room()), (waiting, room));
        inbox.push(Item::Lost { channel_id: waiting as u64 });
    }
    inbox.take(&mut items);
    let order: Vec<_> = items.iter().map(|item| if let Item::Lost { channel_id } = item { *channel_id } else { 99 }).collect();
    assert_eq!((order, inbox.waiting(), inbox.has_room()), (vec![0, 1, 2, 3], 0, true));
    items.clear();
    inbox.take(&mut items);
    assert!(items.is_empty());
}

/// A shard is woken once for each time it sleeps, and only then.
#[test]
fn only_a_sleeping_shard_is_woken() {
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let inbox = Inbox::new(10, move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let push = || inbox.push(Item::Lost { channel_id: 0 });
    push();
    assert!(!inbox.fall_asleep(), "something waits");
    push();
    assert_eq!(woken.load(Ordering::SeqCst), 0);
    inbox.take(&mut Vec::new());
    assert!(inbox.fall_asleep());
    push();
    push();
    inbox.wake();
    assert_eq!(woken.load(Ordering::SeqCst), 1);
    inbox.take(&mut Vec::new());
    assert!(inbox.fall_asleep());
    inbox.wake();
    assert_eq!(woken.load(Ordering::SeqCst), 2);
    assert!(inbox.fall_asleep());
    inbox.wake_up();
    inbox.wake();
    assert_eq!(woken.load(Ordering::SeqCst), 2);
}

/// No wake-up is lost: the shard sleeps without a time limit of its own, and yet sees everything.
#[test]
fn a_sleeping_shard_misses_nothing() {
    const PRODUCERS: u64 = 3;
    const EACH: u64 = 20_000;
    let (waker, woken) = sync_channel::<()>(1);
    // Like an eventfd: a second wake-up before the first was seen adds nothing.
    let inbox = Arc::new(Inbox::new(10, move || {
        let _ = waker.try_send(());
    }));
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (inbox, elsewhere) = (Arc::clone(&inbox), Arc::clone(&elsewhere));
            thread::spawn(move || {
                for number in 0..EACH {
                    inbox.push(Item::Lost { channel_id: producer * EACH + number });
                    if number % 64 == 0 {
                        elsewhere.fetch_add(1, Ordering::SeqCst);
                        inbox.wake();
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut next = [0; PRODUCERS as usize];
    let mut left = PRODUCERS * EACH;
    let mut taken_elsewhere = 0;
    let mut items = Vec::new();
    while left > 0 || taken_elsewhere < PRODUCERS * EACH.div_ceil(64) {
        inbox.take(&mut items);
        for item in items.drain(..) {
            let Item::Lost { channel_id } = item else { unreachable!("nothing else was pushed") };
            let (producer, number) = ((channel_id / EACH) as usize, channel_id % EACH);
            assert_eq!(next[producer], number, "each producer's items come in its order");
            next[producer] += 1;
            left -= 1;
        }
        taken_elsewhere += elsewhere.swap(0, Ordering::SeqCst) as u64;
        if inbox.fall_asleep() && elsewhere.load(Ordering::SeqCst) == 0 && (left > 0 || taken_elsewhere < PRODUCERS * EACH.div_ceil(64)) {
            woken.recv_timeout(PATIENCE).expect("somebody wakes the shard");
        }
        inbox.wake_up();
    }
    producers.into_iter().for_each(|producer| producer.join().unwrap());
}

/// A store that commits whenever it comes to it, on a thread of its own.
#[derive(Default)]
struct Shelf(Mutex<VecDeque<Pending>>);

impl Journal for Shelf {
    fn append(&self, pending: Pending) {
        self.0.lock().unwrap().push_back(pending);
    }
}

impl Shelf {
    /// As the door does it: who publishes without end would else be ever farther ahead of who commits.
    fn wait_for_room(&self) {
        while self.0.lock().unwrap().len() > 4 {
            thread::yield_now();
        }
    }

    /// Commits until nobody publishes any more and all is settled.
    fn run(&self, done: &AtomicBool) {
        loop {
            let last = done.load(Ordering::SeqCst);
            let taken = std::mem::take(&mut *self.0.lock().unwrap());
            if taken.is_empty() && last {
                return;
            }
            taken.into_iter().for_each(|pending| pending.settle(true, Time::ZERO));
            thread::yield_now();
        }
    }
}

/// P-3.8, P-11.10: publishers, and subscribers that come and go, at once: each sees the one order of its channel from its join on, without a hole.
#[test]
fn everybody_sees_the_same_order_without_holes() {
    see_the_same_order(false);
}

/// I-3.4: the same where some of what is published is stored first.
#[test]
fn everybody_sees_the_same_order_where_events_are_stored() {
    see_the_same_order(true);
}

/// What the publisher's next events are: the second of a batch follows the first at once, whatever the others do. Every third is stored.
fn next_batch(publisher: usize, number: u64, stored: bool) -> Vec<Publish> {
    let mark = format!("{publisher} {number}");
    let stamps = (stored && number.is_multiple_of(3)).then(|| Stamps { at: UnixTime::from_millis(1), mids: (0..3).collect() });
    let first = Publish { stamps, once: stored, ..publish("a,cache-c,b", &format!("{mark} first"), None, Source::Server) };
    vec![first, publish("b", &mark, None, Source::Server)]
}

fn see_the_same_order(stored: bool) {
    const ROUNDS: u32 = 300;
    let app = Arc::new(App { webhooks: Vec::new(), ..app() });
    let hub = Arc::new(hub(SHARDS, 10));
    let channels = hub.app(&app);
    let done = Arc::new(AtomicBool::new(false));
    let names = ["a", "b", "cache-c"];
    let (shelf, gone) = (Arc::new(Shelf::default()), Arc::new(AtomicBool::new(false)));
    let store = {
        let (shelf, gone) = (Arc::clone(&shelf), Arc::clone(&gone));
        thread::spawn(move || shelf.run(&gone))
    };
    let publishers: Vec<_> = (0..2)
        .map(|publisher| {
            let (channels, app, done, shelf) = (Arc::clone(&channels), Arc::clone(&app), Arc::clone(&done), Arc::clone(&shelf));
            thread::spawn(move || {
                let mut number = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    number += 1;
                    shelf.wait_for_room();
                    channels.publish(&app, &next_batch(publisher, number, stored), Time::ZERO, &*shelf);
                    let one = publish("a", &format!("{publisher} {number}"), None, Source::Server);
                    channels.publish(&app, &[one], Time::ZERO, &*shelf);
                }
            })
        })
        .collect();
    let orders: Vec<_> = (0..SHARDS)
        .map(|shard| {
            let (channels, hub, app) = (Arc::clone(&channels), Arc::clone(&hub), Arc::clone(&app));
            thread::spawn(move || shard_life(shard, ROUNDS, &names, &channels, &hub, &app))
        })
        .collect();
    let orders: Vec<_> = orders.into_iter().map(|shard| shard.join().unwrap()).collect();
    done.store(true, Ordering::Relaxed);
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    gone.store(true, Ordering::SeqCst);
    store.join().unwrap();
    let mut both = 0;
    for (position, event) in &orders[0] {
        if let Some(other) = orders[1].get(position) {
            assert_eq!(event, other, "at one place of one channel there is one event");
            both += 1;
        }
    }
    assert!(orders.iter().all(|order| !order.is_empty()), "{both} events were seen by both");
    hub.tick(Time::ZERO + app.limits.cache_ttl);
    for inbox in hub.inboxes() {
        inbox.take(&mut Vec::new());
    }
    assert_eq!((hub.channels(), hub.budget().used()), (0, 0));
}

/// The events of an item.
fn events_of(item: Item) -> Vec<Arc<Event>> {
    match item {
        Item::Event(event) => vec![event],
        Item::Once(list) => list.iter().map(|sent| Arc::clone(&sent.event)).collect(),
        _ => Vec::new(),
    }
}

/// Joins and leaves each channel in turn, and looks at what comes. Returns what it saw at which place.
fn shard_life(shard: usize, rounds: u32, names: &[&str; 3], channels: &Channels, hub: &Hub, app: &App) -> HashMap<(u64, u64), String> {
    let me = SocketId::new(shard, 0, [shard as u8; 16]);
    let inbox = &hub.inboxes()[shard];
    let mut seen = HashMap::new();
    let mut reached: HashMap<String, u64> = HashMap::new();
    let mut items = Vec::new();
    for round in 0..rounds {
        let channel_name = names[round as usize % names.len()];
        let (channel, joined) = channels.subscribe(app, &name(channel_name), me, None, None, Time::ZERO).unwrap();
        assert!(joined.serial >= reached.get(channel_name).copied().unwrap_or(0), "serials never fall back");
        let mut last = joined.serial;
        let mut first: Option<String> = None;
        while last < joined.serial + 6 {
            inbox.take(&mut items);
            for event in items.drain(..).flat_map(events_of) {
                // What is left of an earlier subscription is nobody's.
                if event.channel_id != channel.id || event.serial <= joined.serial {
                    continue;
                }
                assert_eq!(event.serial, last + 1, "no hole, no repeat");
                last = event.serial;
                let Body::Published { data, .. } = &event.body else { unreachable!("nothing else happens here") };
                let text = String::from_utf8(data.to_vec()).unwrap();
                if channel_name == "b" {
                    if let Some(first) = first.take() {
                        assert_eq!(format!("{text} first"), first, "a batch is not torn");
                    }
                    first = text.ends_with("first").then(|| text.clone());
                }
                seen.insert((event.channel_id, event.serial), text);
            }
        }
        reached.insert(channel_name.to_owned(), last);
        channels.unsubscribe(app, &channel, me, None, false, Time::ZERO);
    }
    seen
}
