//! The one order of a channel, who gets what of it, and the facts about it.

use super::*;

/// P-5.4: a subscription is in force from one serial on; what came before is not seen.
#[test]
fn a_subscriber_sees_what_comes_after_its_join() {
    check(
        app(),
        &[
            ("publish news lost", ""),
            ("a joins news", "@0 | facts: news@0:occupied"),
            ("publish news x", "a: news#1:x"),
            ("b joins news", "@1"),
            ("publish news y", "a: news#2:y | b: news#2:y"),
            ("c joins news", "@2"),
            ("publish news z except c", "a: news#3:z | b: news#3:z"),
            ("publish news w except z", "a: news#4:w | b: news#4:w | c: news#4:w"),
            ("a leaves news", ""),
            ("publish news v", "b: news#5:v | c: news#5:v"),
            ("publish other v", ""),
        ],
    );
}

/// P-3.8: what waited in an inbox when somebody joined is older than the join, and not for them.
#[test]
fn an_event_that_waits_is_not_for_those_who_join_meanwhile() {
    let mut world = World::new(app());
    world.play(&[("a joins news", "@0 | facts: news@0:occupied")]);
    world.act("publish news before");
    assert_eq!(world.act("c joins news"), "@1");
    world.act("publish news after");
    assert_eq!(world.outcome(String::new()), "a: news#1:before, news#2:after | c: news#2:after");
    world.end();
}

/// P-1.3: an emptied channel is gone; when it comes back its serials go on above all that it ever gave.
#[test]
fn a_channel_that_comes_back_begins_above_what_it_reached() {
    check(
        app(),
        &[
            ("a joins news", "@0 | facts: news@0:occupied"),
            ("b joins other", "@0 | facts: other@0:occupied"),
            ("batch news:1 news:2 news:3", "a: news#1:1, news#2:2, news#3:3"),
            ("a leaves news", "facts: news@3:vacated"),
            ("channels", "1 channels"),
            ("publish other x", "b: other#1:x"),
            ("a joins news", "@3 | facts: news@3:occupied"),
            ("publish news 4", "a: news#4:4"),
            ("c joins third", "@3 | facts: third@3:occupied"),
        ],
    );
}

#[test]
fn a_channel_that_comes_back_has_another_number() {
    let mut world = World::new(app());
    world.act("a joins news");
    let first = world.channels.find("news").unwrap().id;
    world.act("a leaves news");
    world.act("b joins news");
    assert_ne!(world.channels.find("news").unwrap().id, first);
    world.end();
}

/// P-1.1: apps know nothing of each other, and one that comes back after it was forgotten repeats no serial.
#[test]
fn apps_are_apart() {
    let mut world = World::new(app());
    let other = Arc::new(App { id: AppId::new("2"), ..app() });
    let others = world.hub.app(&other);
    let (channel, joined) = others.subscribe(&other, &name("news"), socket('c'), None, None, world.now).unwrap();
    world.play(&[("a joins news", "@0 | facts: news@0:occupied, news@0:occupied"), ("publish news x", "a: news#1:x")]);
    assert_eq!((joined.serial, world.hub.channels(), others.len()), (0, 2, 1));
    world.hub.forget(&other.id);
    assert_eq!(world.hub.channels(), 1);
    let again = world.hub.app(&other);
    let (_, joined) = again.subscribe(&other, &name("news"), socket('c'), None, None, world.now).unwrap();
    others.publish(&other, &[publish("news", "late", None, Source::Server)], world.now, &NoJournal);
    assert_eq!(channel.occupancy().subscriptions, 1);
    assert!(joined.serial > 1_000_000, "{}", joined.serial);
    again.unsubscribe(&other, &again.find("news").unwrap(), socket('c'), None, false, world.now);
    others.unsubscribe(&other, &channel, socket('c'), None, false, world.now);
    let _ = world.hub.facts().take();
    drop((others, again));
    world.end();
}

/// A reload keeps the channels and their subscribers.
#[test]
fn an_app_that_is_read_again_keeps_its_channels() {
    let mut world = World::new(app());
    world.act("a joins news");
    let again = world.hub.app(&Arc::new(App { subscription_count_events: true, ..world.app.clone() }));
    assert!(Arc::ptr_eq(&again, &world.channels));
    assert_eq!(world.hub.epoch(), 7);
    world.end();
}

/// P-11.1, P-11.10: events of a request are taken together and in order.
#[test]
fn a_batch_is_published_in_its_order() {
    check(
        app(),
        &[
            ("a joins x", "@0 | facts: x@0:occupied"),
            ("b joins x", "@0"),
            ("b joins y", "@0 | facts: y@0:occupied"),
            ("publish y,x,nobody both", "a: x#1:both | b: y#1:both, x#1:both"),
            ("batch x:1 y:2 x:3 nobody:4 y:5", "a: x#2:1, x#3:3 | b: x#2:1, y#2:2, x#3:3, y#3:5"),
            ("batch", ""),
        ],
    );
}

/// P-8.3, P-8.6, P-12.4.
#[test]
fn a_client_event_goes_to_the_others_and_becomes_a_fact() {
    check(
        app(),
        &[
            ("a joins private-x", "@0 | facts: private-x@0:occupied"),
            ("b joins private-x", "@0"),
            ("c joins private-x", "@0"),
            ("a sends private-x hi", "b: private-x#1:hi | c: private-x#1:hi | facts: private-x@1:hi by a"),
            ("a joins presence-x as u", "@1 [u] | facts: presence-x@0:occupied, presence-x@1:+u"),
            ("b joins presence-x as v", "@2 [u v] | a: presence-x#2:+v | facts: presence-x@2:+v"),
            ("b sends presence-x yo", "a: presence-x#3:yo | facts: presence-x@3:yo by b as v"),
        ],
    );
}

/// P-4.5, P-12.4: a server-to-user channel works like any other, and nobody outside hears of it.
#[test]
fn reserved_channels_cause_no_facts() {
    let app = App { subscription_count_events: true, ..app() };
    check(
        app,
        &[
            ("a joins #server-to-user-u", "@0"),
            ("publish #server-to-user-u x", "a: #server-to-user-u#1:x"),
            ("occupied", ""),
            ("cached #server-to-user-u", "nothing"),
        ],
    );
}

#[test]
fn without_webhooks_there_are_no_facts() {
    let app = App { webhooks: Vec::new(), ..app() };
    check(app, &[("a joins cache-x", "@0 miss"), ("a leaves cache-x", "")]);
}

/// P-11.5: occupied channels only, in byte order.
#[test]
fn occupied_channels_are_listed_by_prefix() {
    let mut world = World::new(app());
    for (letter, channel) in [('a', "b"), ('a', "a"), ('b', "a"), ('a', "presence-2"), ('b', "presence-10"), ('c', "B"), ('c', "#r")] {
        world.join(letter, channel, None).unwrap();
    }
    world.publish(&[publish("cache-remembered", "x", None, Source::Server)]);
    for (line, expected) in [
        ("occupied", "B:1 a:2 b:1 presence-10:1 presence-2:1"),
        ("occupied presence-", "presence-10:1 presence-2:1"),
        ("occupied presence-10", "presence-10:1"),
        ("occupied c", ""),
        ("occupancy a", "2 subscriptions, 0 members"),
        ("occupancy cache-remembered", "0 subscriptions, 0 members"),
        ("occupancy nowhere", "0 subscriptions, 0 members"),
    ] {
        assert_eq!(world.act(line), expected, "{line}");
    }
    world.end();
}

/// Only shards with subscribers are given an event.
#[test]
fn a_shard_without_subscribers_gets_nothing() {
    let mut world = World::new(app());
    let waiting = |world: &World| world.hub.inboxes().iter().map(|inbox| inbox.waiting()).collect::<Vec<_>>();
    world.act("a joins news");
    world.act("publish news x");
    assert_eq!(waiting(&world), [1, 0]);
    world.act("b joins news");
    world.act("publish news x");
    assert_eq!(waiting(&world), [2, 1]);
    world.act("a leaves news");
    world.act("publish news x");
    assert_eq!(waiting(&world), [2, 2]);
    world.end();
}

#[test]
fn facts_are_bounded_and_the_oldest_goes_first() {
    let facts = FactQueue::new(2);
    let fact = |serial| Fact { app: AppId::new("1"), channel: name("c"), serial, kind: FactKind::Occupied };
    for (pushed, left, dropped) in [(1, &[1][..], 0), (2, &[1, 2], 0), (3, &[2, 3], 1), (4, &[3, 4], 2)] {
        facts.push(fact(pushed));
        assert_eq!((facts.len(), facts.dropped(), facts.is_empty()), (left.len(), dropped, false));
        let taken = facts.take();
        assert_eq!(taken.iter().map(|fact| fact.serial).collect::<Vec<_>>(), left);
        assert!(facts.is_empty());
        taken.into_iter().for_each(|fact| facts.push(fact));
    }
}

/// An event's bytes count while anybody holds it, its encoded forms from when they are made.
#[test]
fn the_budget_counts_events_and_their_encoded_forms() {
    let budget = Arc::new(Budget::new(2000));
    let body = Body::Published { name: user("e"), data: vec![0; 1000].into(), source: Source::Server, attached: None };
    let event = Arc::new(Event::new(name("c"), 0, 1, None, body, &budget));
    let bare = budget.used();
    assert!((1000..1400).contains(&bare) && budget.events() == 1 && !budget.is_spent());
    assert_eq!(event.encoding(0), None);
    for _ in 0..2 {
        assert_eq!(event.encoded(0, || vec![1; 700].into()).len(), 700);
        assert_eq!(budget.used(), bare + 700);
    }
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| event.encoded(1, || panic!("on purpose")).len()));
    assert!(failed.is_err() && event.encoding(1).is_none());
    event.encoded(1, || vec![2; 1000].into());
    assert!(budget.is_spent());
    let other = Arc::clone(&event);
    drop(event);
    assert_eq!(budget.used(), bare + 1700);
    drop(other);
    assert_eq!((budget.used(), budget.events(), budget.is_spent()), (0, 0, false));
}
