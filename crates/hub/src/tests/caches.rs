//! Cache channels (P-13).

use super::*;

fn caching(caches: usize) -> App {
    App { limits: Limits { caches, cache_ttl: Duration::from_secs(10), ..Limits::default() }, ..app() }
}

/// P-13.1, P-13.3, P-13.4, P-8.5: the last event of a server, for each who joins, the one it was not meant for included.
#[test]
fn the_last_event_of_a_server_is_remembered() {
    check(
        caching(100),
        &[
            ("a joins private-cache-x", "@0 miss | facts: private-cache-x@0:occupied, private-cache-x@0:miss"),
            ("publish private-cache-x 1", "a: private-cache-x#1:1"),
            ("b joins private-cache-x", "@1 hit 1:1"),
            ("publish private-cache-x 2 except a", "b: private-cache-x#2:2"),
            ("b sends private-cache-x 3", "a: private-cache-x#3:3 | facts: private-cache-x@3:3 by b"),
            ("a leaves private-cache-x", ""),
            ("a joins private-cache-x", "@3 hit 2:2"),
            ("cached private-cache-x", "2:2 for 10000 ms"),
            (
                "c joins presence-cache-y as u",
                "@1 [u] miss | facts: presence-cache-y@0:occupied, presence-cache-y@1:+u, presence-cache-y@1:miss",
            ),
            (
                "d joins presence-cache-y as v",
                "@2 [u v] miss | c: presence-cache-y#2:+v | facts: presence-cache-y@2:+v, presence-cache-y@2:miss",
            ),
            ("cached presence-cache-y", "nothing"),
            ("publish my-cache-x 1", ""),
            ("a joins my-cache-x", "@0 | facts: my-cache-x@0:occupied"),
        ],
    );
}

/// P-13.2: a cache needs no subscriber and outlives them; its life counts from the last publish.
#[test]
fn a_cache_lives_for_its_time() {
    check(
        caching(100),
        &[
            ("publish cache-x 1", ""),
            ("cached cache-x", "1:1 for 10000 ms"),
            ("wait 6000", ""),
            ("a joins cache-x", "@1 hit 1:1 | facts: cache-x@1:occupied"),
            ("publish cache-x 2", "a: cache-x#2:2"),
            ("a leaves cache-x", "facts: cache-x@2:vacated"),
            ("wait 9999", ""),
            ("cached cache-x", "2:2 for 1 ms"),
            ("channels", "1 channels"),
            ("wait 1", ""),
            ("cached cache-x", "nothing"),
            ("channels", "0 channels"),
            ("a joins cache-x", "@2 miss | facts: cache-x@2:occupied, cache-x@2:miss"),
            ("publish cache-x 3", "a: cache-x#3:3"),
            ("wait 10000", ""),
            ("b joins cache-x", "@3 miss | facts: cache-x@3:miss"),
        ],
    );
}

/// P-13.2: what is over is over, whether or not a timer has looked yet.
#[test]
fn an_overdue_cache_is_empty_before_the_timer_looks() {
    let mut world = World::new(caching(100));
    world.act("publish cache-x 1");
    world.now = world.now + Duration::from_secs(10);
    world.play(&[("cached cache-x", "nothing"), ("a joins cache-x", "@1 miss | facts: cache-x@1:occupied, cache-x@1:miss")]);
    world.end();
}

/// Beyond the app's limit the oldest goes; a cache that was filled again is as young as its last event.
#[test]
fn caches_are_bounded_and_the_oldest_goes_first() {
    check(
        caching(2),
        &[
            ("batch cache-1:a cache-2:a", ""),
            ("publish cache-1 b", ""),
            ("publish cache-3 a", ""),
            ("cached cache-2", "nothing"),
            ("cached cache-1", "2:b for 10000 ms"),
            ("channels", "2 channels"),
            ("a joins cache-2", "@1 miss | facts: cache-2@1:occupied, cache-2@1:miss"),
            ("batch cache-2:b cache-4:a cache-5:a", "a: cache-2#2:b"),
            ("cached cache-2", "nothing"),
            ("occupied", "cache-2:1"),
            ("channels", "3 channels"),
            ("wait 10000", ""),
            ("channels", "1 channels"),
        ],
    );
}

/// Evicted and filled again before its first timer came: the new event has its whole life.
#[test]
fn a_cache_that_was_evicted_begins_anew() {
    check(
        caching(1),
        &[
            ("a joins cache-1", "@0 miss | facts: cache-1@0:occupied, cache-1@0:miss"),
            ("publish cache-1 a", "a: cache-1#1:a"),
            ("wait 4000", ""),
            ("publish cache-2 a", ""),
            ("cached cache-1", "nothing"),
            ("wait 4000", ""),
            ("publish cache-1 b", "a: cache-1#2:b"),
            ("cached cache-2", "nothing"),
            ("wait 9999", ""),
            ("cached cache-1", "2:b for 1 ms"),
            ("wait 1", ""),
            ("cached cache-1", "nothing"),
        ],
    );
}

/// The timers of caches that were evicted long ago do not pile up until they are due.
#[test]
fn timers_are_bounded_by_the_channels_there_are() {
    let mut world = World::new(caching(10));
    for number in 0..20_000 {
        world.publish(&[publish(&format!("cache-{number}"), "x", None, Source::Server)]);
    }
    assert_eq!(world.hub.channels(), 10);
    assert!(world.hub.timers_len() <= 1024, "{}", world.hub.timers_len());
    world.wait(Duration::from_secs(10));
    assert_eq!((world.hub.channels(), world.hub.timers_len(), world.hub.budget().used()), (0, 0, 0));
}
