//! Signed-in users and those who watch them (P-15).

use super::*;

/// P-15.5, P-15.9: a user comes with its first connection and goes with its last; only watchers hear of it.
#[test]
fn watchers_hear_of_users_who_come_and_go() {
    check(
        app(),
        &[
            ("a signs in u v w", "online [] offline [v w]"),
            ("b signs in v u w", "online [u] offline [w] | a: v online"),
            ("c signs in v", "online [] offline []"),
            ("signed in v", "bc of 2"),
            ("b signs out", ""),
            ("c signs out", "a: v offline"),
            ("signed in v", " of 1"),
            ("c signs in v", "online [] offline [] | a: v online"),
            ("a signs out", ""),
            ("c signs out", ""),
        ],
    );
}

/// P-15.2: a repeated sign-in replaces the watchlist and tells nobody.
#[test]
fn another_watchlist_takes_the_place_of_the_first() {
    check(
        app(),
        &[
            ("b signs in watcher u", "online [] offline [u]"),
            ("a signs in u x", "online [] offline [x] | b: u online"),
            ("a signs in u y u", "online [u] offline [y]"),
            ("c signs in x", "online [] offline []"),
            ("c signs out", ""),
            ("c signs in y", "online [] offline [] | a: y online"),
            ("a signs in u", "online [] offline []"),
            ("c signs out", ""),
            ("a signs out", "b: u offline"),
        ],
    );
}

/// P-15.9: who watches itself finds itself online, and hears nothing of its own coming and going.
#[test]
fn a_user_may_watch_itself() {
    check(
        app(),
        &[
            ("a signs in u u", "online [u] offline []"),
            ("b signs in u u", "online [u] offline []"),
            ("a signs out", ""),
            ("b signs out", ""),
            ("b signs in u u", "online [u] offline []"),
        ],
    );
}

/// P-11.14: those to terminate are the connections signed in as the user, on all shards.
#[test]
fn the_connections_of_a_user_are_known() {
    let mut world = World::new(app());
    for letter in ['a', 'b', 'c'] {
        world.sign_in(letter, "u", &[]);
    }
    world.sign_in('d', "v", &[]);
    for (line, expected) in [("signed in u", "abc of 2"), ("signed in v", "d of 2"), ("signed in w", " of 2")] {
        assert_eq!(world.act(line), expected, "{line}");
    }
    world.end();
}
