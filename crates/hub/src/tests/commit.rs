//! Events that wait for a commit, and what waits behind them.

use super::*;

/// I-3.4: nobody gets an event before it is stored; what comes after it waits, in the channel's order.
#[test]
fn a_channel_waits_for_its_commit() {
    check(
        app(),
        &[
            ("a joins news", "@0 | facts: news@0:occupied"),
            ("store news one", ""),
            ("publish news two", ""),
            ("store news three", ""),
            ("publish news four", ""),
            ("b joins news", "@4"),
            ("publish news five", ""),
            ("commit", "stored [news#1:one] | a: news#1:one, news#2:two"),
            ("commit", "stored [news#3:three] | a: news#3:three, news#4:four, news#5:five | b: news#5:five"),
            ("publish news six", "a: news#6:six | b: news#6:six"),
        ],
    );
}

/// A failed commit delivers nothing of its own, and its serial is never used again.
#[test]
fn a_failed_commit_burns_its_serial() {
    check(
        app(),
        &[
            ("a joins news", "@0 | facts: news@0:occupied"),
            ("store news one", ""),
            ("publish news two", ""),
            ("fail", "stored [news#1:one] | a: news#2:two"),
            ("publish news three", "a: news#3:three"),
        ],
    );
}

/// I-2.14: one publish on several channels is one item; a channel named again is stored again and no more.
#[test]
fn several_channels_are_settled_as_one() {
    check(
        app(),
        &[
            ("a joins x", "@0 | facts: x@0:occupied"),
            ("a joins y", "@0 | facts: y@0:occupied"),
            ("b joins y", "@0"),
            ("store y,x,y m", ""),
            ("commit", "stored [y#1:m x#1:m y#2:m] | a: y#1:m | b: y#1:m"),
            ("once x,y n", "a: x#2:n | b: y#3:n"),
            ("once z,x,x o", "a: x#3:o"),
        ],
    );
}

/// What is not stored but must be had once keeps its place behind commits on any of its channels.
#[test]
fn a_barrier_stores_nothing() {
    check(
        app(),
        &[
            ("a joins x", "@0 | facts: x@0:occupied"),
            ("a joins y", "@0 | facts: y@0:occupied"),
            ("store x one", ""),
            ("once x,y two", ""),
            ("publish y three", ""),
            ("commit", "stored [x#1:one] | a: x#1:one"),
            ("commit", "stored [] | a: x#2:two, y#2:three"),
        ],
    );
}

/// Channels that nobody is on are stored too, and leave nothing behind.
#[test]
fn nobody_needs_to_be_there() {
    check(
        app(),
        &[
            ("store news one", ""),
            ("channels", "1 channels"),
            ("commit", "stored [news#1:one]"),
            ("channels", "0 channels"),
            ("store news,peer-a:x&y two", ""),
            ("fail", "stored [news#2:two peer-a:x&y#2:two]"),
            ("channels", "0 channels"),
        ],
    );
}

/// Facts keep their place as well, and a cache channel remembers when the commit is through: who joins meanwhile misses nothing.
#[test]
fn facts_and_caches_wait_too() {
    check(
        app(),
        &[
            ("a joins presence-x as u", "@1 [u] | facts: presence-x@0:occupied, presence-x@1:+u"),
            ("store presence-x one", ""),
            ("b joins presence-x as v", "@3 [u v]"),
            ("commit", "stored [presence-x#2:one] | a: presence-x#2:one, presence-x#3:+v | facts: presence-x@3:+v"),
            ("a joins cache-c", "@0 miss | facts: cache-c@0:occupied, cache-c@0:miss"),
            ("store cache-c one", ""),
            ("b joins cache-c", "@0 miss"),
            ("commit", "stored [cache-c#1:one] | a: cache-c#1:one | b: cache-c#1:one | facts: cache-c@1:miss"),
            ("c joins cache-c", "@1 hit 1:one"),
        ],
    );
}
