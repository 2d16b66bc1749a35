//! Recent events: what somebody who was cut off is told when it comes back (design: a suffix without holes, or a gap that is told).

use super::*;

/// Channels keep three events for ten seconds.
fn keeping() -> App {
    let window = Window { events: 3, bytes: 4096, age: Duration::from_secs(10) };
    App { webhooks: Vec::new(), recents: Recents { window, patterns: Vec::new() }, ..app() }
}

#[test]
fn who_comes_back_in_time_has_missed_nothing() {
    check(
        keeping(),
        &[
            ("publish news 0", ""),
            ("a reads news", "@0"),
            ("publish news 1", "a: news#1:1"),
            ("publish news 2", "a: news#2:2"),
            ("b reads news from 7 1", "@2 2:2"),
            ("a leaves news", ""),
            ("b leaves news", ""),
            ("publish news 3", ""),
            ("a reads news from 7 2", "@3 3:3"),
            ("b reads news from 7 3", "@3"),
            ("publish news 4 except a", "b: news#4:4"),
        ],
    );
}

#[test]
fn what_is_not_kept_any_more_is_a_gap() {
    check(
        keeping(),
        &[
            ("a reads news", "@0"),
            ("publish news 1", "a: news#1:1"),
            ("publish news 2", "a: news#2:2"),
            ("publish news 3", "a: news#3:3"),
            ("publish news 4", "a: news#4:4"),
            // The first is gone, but whoever had it misses nothing.
            ("b reads news from 7 1", "@4 2:2 3:3 4:4"),
            ("b leaves news", ""),
            ("b reads news from 7 0", "@4 gap 2:2 3:3 4:4"),
            ("b leaves news", ""),
            // Another run of the server, or a position that nobody was ever told.
            ("b reads news from 8 4", "@4 gap 2:2 3:3 4:4"),
            ("b leaves news", ""),
            ("b reads news from 7 5", "@4 gap 2:2 3:3 4:4"),
        ],
    );
}

#[test]
fn a_channel_keeps_its_events_for_a_while_after_its_last_reader() {
    check(
        keeping(),
        &[
            ("a reads news", "@0"),
            ("publish news 1", "a: news#1:1"),
            ("wait 4000", ""),
            ("a leaves news", ""),
            ("wait 5000", ""),
            ("publish news 2", ""),
            // The first event is too old by now, the channel goes on for one more second.
            ("wait 4000", ""),
            ("a reads news from 7 1", "@2 2:2"),
            ("a leaves news", ""),
            ("wait 10000", ""),
            ("channels", "0 channels"),
            ("publish news 3", ""),
            ("a reads news from 7 2", "@3 gap"),
        ],
    );
}

/// Others hold the channel: what came while nothing was kept is a gap all the same.
#[test]
fn a_channel_that_kept_nothing_meanwhile_says_so() {
    check(
        keeping(),
        &[
            ("b joins news", "@0"),
            ("a reads news", "@0"),
            ("publish news 1", "a: news#1:1 | b: news#1:1"),
            ("a leaves news", ""),
            ("wait 10000", ""),
            ("a reads news from 7 1", "@2 gap"),
            ("publish news 3", "a: news#3:3 | b: news#3:3"),
        ],
    );
}

#[test]
fn patterns_keep_events_whoever_is_there() {
    check(
        keeping(),
        &[
            ("keep news-* 2", ""),
            ("publish news-a 1", ""),
            ("publish news 1", ""),
            ("channels", "1 channels"),
            ("a reads news-a from 7 0", "@1 1:1"),
            ("a leaves news-a", ""),
            ("publish news-a 2", ""),
            ("publish news-a 3", ""),
            ("a reads news-a from 7 1", "@3 2:2 3:3"),
            ("a leaves news-a", ""),
            ("keep news-* 1", ""),
            ("wait 0", ""),
            ("a reads news-a from 7 1", "@3 gap 3:3"),
            ("a leaves news-a", ""),
            ("wait 10000", ""),
            ("channels", "0 channels"),
            ("publish news-a 4", ""),
            ("a reads news-a from 7 3", "@5 gap 5:4"),
            ("a leaves news-a", ""),
            // It waits for its reader though it keeps nothing.
            ("wait 20000", ""),
            ("a reads news-b", "@6"),
            ("a leaves news-b", ""),
            ("wait 9000", ""),
            ("a reads news-b from 7 6", "@6"),
            ("a leaves news-b", ""),
            ("wait 10000", ""),
            ("a reads news-b from 7 6", "@7 gap"),
            ("a leaves news-b", ""),
            // Nothing is kept of these: all who come back hear of a gap.
            ("keep news-* 0", ""),
            ("publish news-a 5", ""),
            ("a reads news-a from 7 5", "@8 gap"),
        ],
    );
}

/// Where events are stored, who was away for longer is told so; and publishers are, whatever they were told before.
#[test]
fn patterns_may_ask_for_a_store() {
    check(
        keeping(),
        &[
            ("stores news-a", "false"),
            ("keep news-* 1 stored", ""),
            ("stores news-a", "true"),
            ("stores news", "false"),
            ("store news-a 1", ""),
            ("commit", "stored [news-a#1:1]"),
            ("store news-a 2", ""),
            ("a reads news-a from 7 0", "@1 1:1"),
            ("commit", "stored [news-a#2:2] | a: news-a#2:2"),
            ("b reads news-a from 7 1", "@2 2:2"),
            ("b leaves news-a", ""),
            ("b reads news-a from 7 0", "@2 gap stored 2:2"),
            ("b leaves news-a", ""),
            ("b reads news-a from 8 2", "@2 gap stored 2:2"),
            ("b leaves news-a", ""),
            ("keep news-* 1", ""),
            ("stores news-a", "false"),
            ("b reads news-a from 7 0", "@2 gap 2:2"),
        ],
    );
}

/// An event behind a commit is not there yet, and is not missed when it comes.
#[test]
fn what_waits_for_a_commit_is_kept_when_it_is_out() {
    check(
        keeping(),
        &[
            ("a reads news", "@0"),
            ("publish news 1", "a: news#1:1"),
            ("store news 2", ""),
            ("publish news 3", ""),
            ("b reads news from 7 0", "@1 1:1"),
            ("commit", "stored [news#2:2] | a: news#2:2, news#3:3 | b: news#2:2, news#3:3"),
            ("c reads news from 7 1", "@3 2:2 3:3"),
            ("store news 4", ""),
            ("fail", "stored [news#4:4]"),
            ("d reads news from 7 3", "@4"),
        ],
    );
}

#[test]
fn a_gap_is_told_to_all_at_its_place() {
    check(
        keeping(),
        &[
            ("a reads news", "@0"),
            ("b joins old", "@0"),
            ("publish news 1", "a: news#1:1"),
            ("gap ne", "a: news#2:gap"),
            ("publish news 3", "a: news#3:3"),
            ("c reads news from 7 1", "@3 gap 3:3"),
            ("d reads news from 7 2", "@3 3:3"),
            ("gap at ne", ""),
            ("gap at old", "b: old#1:gap"),
            ("store news 4", ""),
            ("gap news", ""),
            ("commit", "stored [news#4:4] | a: news#4:4, news#5:gap | c: news#4:4, news#5:gap | d: news#4:4, news#5:gap"),
        ],
    );
}

/// A node's channels together keep no more than they may; the budget here is 2,048 bytes.
#[test]
fn bytes_are_bounded_by_channel_and_by_node() {
    let cost = 6 + 1 + size_of::<Event>();
    let data = "x".repeat(5);
    let fits = 2048 / cost;
    let mut world = World::new(App {
        recents: Recents { window: Window { events: 1000, bytes: 1600, ..Window::default() }, patterns: Vec::new() },
        ..keeping()
    });
    world.act("a reads one");
    world.act("b reads two");
    for _ in 0..100 {
        world.act(&format!("publish one {data}"));
    }
    assert_eq!(world.hub.recent_bytes(), 1600 / (cost - 1) * (cost - 1), "the channel's own bound");
    for _ in 0..100 {
        world.act(&format!("publish two {data}"));
        assert!(world.hub.recent_bytes() <= 2048, "the node's");
    }
    assert!(world.hub.recent_bytes() / (cost - 1) >= fits - 1, "and what there is room for is used");
    world.act(&format!("publish two {}", "y".repeat(2000)));
    world.seen();
    let told = world.act("c reads two from 7 101");
    assert_eq!(told, "@101", "what is larger than all room is a gap for those before it");
    assert!(world.act("d reads two from 7 100").contains("gap"));
    world.end();
}

#[test]
fn patterns_are_names_or_beginnings() {
    for (pattern, channel, fits) in [
        ("news", "news", true),
        ("news", "newsroom", false),
        ("news-*", "news-", true),
        ("news-*", "news-sport", true),
        ("news-*", "news", false),
        ("*", "anything", true),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().fits(channel), fits, "{pattern} {channel}");
    }
    for bad in ["", "a*b", "**", "*a"] {
        assert_eq!(Pattern::parse(bad), None, "{bad}");
    }
}
