//! Members of presence channels.

use super::*;

/// P-7.4: others hear of a user's first connection and of its last, the one who causes it does not.
#[test]
fn members_come_and_go_by_users() {
    check(
        app(),
        &[
            ("a joins presence-x as u=1", "@1 [u=1] | facts: presence-x@0:occupied, presence-x@1:+u"),
            ("b joins presence-x as v=2", "@2 [u=1 v=2] | a: presence-x#2:+v=2 | facts: presence-x@2:+v"),
            ("c joins presence-x as v=2", "@2 [u=1 v=2]"),
            ("occupancy presence-x", "3 subscriptions, 2 members"),
            ("b leaves presence-x", ""),
            ("members presence-x", "[u=1 v=2]"),
            ("c leaves presence-x", "a: presence-x#3:-v | facts: presence-x@3:-v"),
            ("members presence-x", "[u=1]"),
            ("a leaves presence-x", "facts: presence-x@4:-u, presence-x@4:vacated"),
            ("members presence-x", "[]"),
            ("a joins presence-x as u", "@5 [u] | facts: presence-x@4:occupied, presence-x@5:+u"),
        ],
    );
}

/// P-7.3: the list is sorted, whatever the map's order is.
#[test]
fn the_list_is_sorted_and_holds_the_new_member() {
    let mut world = World::new(app());
    for (place, id) in ["m", "10", "9", "é", "a", "Z"].iter().enumerate() {
        world.join((b'a' + place as u8) as char, "presence-x", Some(member(id))).unwrap();
    }
    assert_eq!(world.act("members presence-x"), "[10 9 Z a m é]");
    world.end();
}

/// P-7.3: one list, and one encoded form of it, for all who ask until somebody comes, goes, or says something else of itself.
#[test]
fn the_list_is_shared_until_it_changes() {
    let mut world = World::new(app());
    let list = |world: &mut World, letter, shown| world.join(letter, "presence-x", Some(member(shown))).unwrap().members.unwrap();
    let first = list(&mut world, 'a', "u=1");
    assert_eq!(first.encoded(0, |members| shown(members).into()), "[u=1]");
    let same = list(&mut world, 'b', "u=1");
    assert!(Arc::ptr_eq(&first, &same) && Arc::ptr_eq(&first, &world.channels.members("presence-x")));
    assert_eq!(same.encoded(0, |_| unreachable!("it is made already")), "[u=1]");
    world.act("b leaves presence-x");
    assert!(Arc::ptr_eq(&first, &world.channels.members("presence-x")));
    let replaced = list(&mut world, 'b', "u=2");
    assert_eq!(shown(&replaced.members), "[u=2]");
    let grown = list(&mut world, 'c', "v");
    assert_eq!(shown(&grown.members), "[u=2 v]");
    world.act("c leaves presence-x");
    assert_eq!(world.act("members presence-x"), "[u=2]");
    assert_eq!(shown(&grown.members), "[u=2 v]", "a snapshot does not change");
    world.end();
}

/// P-7.7: what the last connection says of its user holds for later joiners; nobody is told.
#[test]
fn another_connection_replaces_what_is_said_of_a_user() {
    check(
        app(),
        &[
            ("a joins presence-x as u=1", "@1 [u=1] | facts: presence-x@0:occupied, presence-x@1:+u"),
            ("b joins presence-x as u=2", "@1 [u=2]"),
            ("c joins presence-x as u", "@1 [u]"),
            ("c leaves presence-x", ""),
            ("members presence-x", "[u]"),
        ],
    );
}

/// P-7.6: the limit is on users, and a refused one leaves no trace.
#[test]
fn members_are_bounded() {
    let app = App { limits: Limits { presence_members: 2, ..Limits::default() }, ..app() };
    check(
        app,
        &[
            ("a joins presence-x as u", "@1 [u] | facts: presence-x@0:occupied, presence-x@1:+u"),
            ("b joins presence-x as v", "@2 [u v] | a: presence-x#2:+v | facts: presence-x@2:+v"),
            ("c joins presence-x as w", "MembersFull { max: 2 }"),
            ("occupancy presence-x", "2 subscriptions, 2 members"),
            ("c joins presence-x as v", "@2 [u v]"),
            ("d joins presence-x", "@2 [u v]"),
            ("b leaves presence-x", ""),
            ("e joins presence-x as w", "MembersFull { max: 2 }"),
            ("c leaves presence-x", "a: presence-x#3:-v | d: presence-x#3:-v | facts: presence-x@3:-v"),
            ("e joins presence-x as w", "@4 [u w] | a: presence-x#4:+w | d: presence-x#4:+w | facts: presence-x@4:+w"),
        ],
    );
}

#[test]
fn a_channel_made_for_one_who_is_refused_is_gone() {
    let app = App { limits: Limits { presence_members: 0, ..Limits::default() }, ..app() };
    check(app, &[("a joins presence-x as u", "MembersFull { max: 0 }"), ("channels", "0 channels")]);
}
