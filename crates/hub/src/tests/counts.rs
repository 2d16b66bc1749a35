//! Telling the number of subscribers (P-14).

use super::*;

fn counting(count_immediate: u32) -> App {
    App { subscription_count_events: true, limits: Limits { count_immediate, ..Limits::default() }, ..app() }
}

/// P-14.1, P-14.2, P-5.6: all subscribers hear it, the new one too; the one who leaves does not. Not on presence channels.
#[test]
fn each_change_is_told() {
    check(
        counting(100),
        &[
            ("a joins x", "@0 | a: x#1:count 1 | facts: x@0:occupied, x@1:count 1"),
            ("b joins x", "@1 | a: x#2:count 2 | b: x#2:count 2 | facts: x@2:count 2"),
            ("a leaves x", "b: x#3:count 1 | facts: x@3:count 1"),
            ("b leaves x", "facts: x@4:count 0, x@4:vacated"),
            ("a joins presence-x as u", "@5 [u] | facts: presence-x@4:occupied, presence-x@5:+u"),
            ("b joins cache-x", "@4 miss | b: cache-x#5:count 1 | facts: cache-x@4:occupied, cache-x@4:miss, cache-x@5:count 1"),
        ],
    );
}

/// P-14.3: above the limit changes are collected for five seconds, and told only if there were any.
#[test]
fn many_subscribers_hear_of_changes_now_and_then() {
    check(
        counting(2),
        &[
            ("a joins x", "@0 | a: x#1:count 1 | facts: x@0:occupied, x@1:count 1"),
            ("b joins x", "@1 | a: x#2:count 2 | b: x#2:count 2 | facts: x@2:count 2"),
            ("wait 1000", ""),
            ("c joins x", "@2"),
            ("d joins x", "@2"),
            ("wait 3999", ""),
            ("wait 1", "a: x#3:count 4 | b: x#3:count 4 | c: x#3:count 4 | d: x#3:count 4 | facts: x@3:count 4"),
            ("wait 60000", ""),
            ("e joins x", "@3 | a: x#4:count 5 | b: x#4:count 5 | c: x#4:count 5 | d: x#4:count 5 | e: x#4:count 5 | facts: x@4:count 5"),
            ("e leaves x", ""),
            ("publish x hi", "a: x#5:hi | b: x#5:hi | c: x#5:hi | d: x#5:hi"),
            ("wait 5000", "a: x#6:count 4 | b: x#6:count 4 | c: x#6:count 4 | d: x#6:count 4 | facts: x@6:count 4"),
        ],
    );
}

/// P-14.3: a number that fell under the limit and was told at once begins a new interval when it rises again.
#[test]
fn an_interval_begins_when_the_number_was_told_last() {
    check(
        counting(1),
        &[
            ("a joins x", "@0 | a: x#1:count 1 | facts: x@0:occupied, x@1:count 1"),
            ("wait 1000", ""),
            ("b joins x", "@1"),
            ("wait 1000", ""),
            ("b leaves x", "a: x#2:count 1 | facts: x@2:count 1"),
            ("wait 1000", ""),
            ("b joins x", "@2"),
            ("wait 2000", ""),
            ("wait 1999", ""),
            ("wait 1", "a: x#3:count 2 | b: x#3:count 2 | facts: x@3:count 2"),
        ],
    );
}

/// A channel that nobody is on any more is not waited for.
#[test]
fn a_number_that_waits_goes_with_its_channel() {
    check(
        counting(0),
        &[
            ("a joins x", "@0 | a: x#1:count 1 | facts: x@0:occupied, x@1:count 1"),
            ("b joins x", "@1"),
            ("a leaves x", ""),
            ("b leaves x", "facts: x@2:count 0, x@2:vacated"),
            ("channels", "0 channels"),
            ("wait 5000", ""),
        ],
    );
}

/// The switch holds for what waits, too.
#[test]
fn switched_off_nothing_more_is_told() {
    let mut world = World::new(counting(0));
    world.play(&[("a joins x", "@0 | a: x#1:count 1 | facts: x@0:occupied, x@1:count 1"), ("b joins x", "@1")]);
    world.app.subscription_count_events = false;
    world.hub.app(&Arc::new(world.app.clone()));
    world.play(&[("wait 5000", ""), ("b leaves x", "")]);
    world.end();
}
