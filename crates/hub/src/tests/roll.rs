//! Rolls: connections that are listed one by one.

use super::*;
use crate::{Enrolment, Opens};

fn enrolled(id: &str, opens: Opens) -> Option<Member> {
    Some(Member { enrolment: Some(Enrolment { opens, spelling: None }), ..Member::new(id) })
}

/// Who sees whom on joining; `None` where the roll is not shown.
fn join(world: &mut World, letter: char, id: &str, opens: Opens) -> Option<String> {
    world.join(letter, "private-x", enrolled(id, opens)).unwrap().members.map(|list| shown(&list.members))
}

fn seen(world: &mut World) -> String {
    let lines: Vec<_> = world.seen().into_iter().map(|(letter, lines)| format!("{letter}: {}", lines.join(", "))).collect();
    lines.join(" | ")
}

/// Y-8.1, Y-8.5, Y-8.6, Y-8.7: the list is in the order of coming, others hear of each connection, and no webhook does.
#[test]
fn an_open_roll_lists_connections_in_their_order() {
    let mut world = World::new(app());
    assert_eq!(join(&mut world, 'a', "z", Opens::IfFirst).as_deref(), Some("[z]"));
    assert_eq!(join(&mut world, 'b', "y", Opens::Never).as_deref(), Some("[z y]"));
    assert_eq!(join(&mut world, 'c', "z", Opens::IfFirst).as_deref(), Some("[z y z]"), "one id twice is two connections");
    assert_eq!(seen(&mut world), "a: private-x#2:enrolled y, private-x#3:enrolled z | b: private-x#3:enrolled z");
    world.leave('b', "private-x");
    assert_eq!(seen(&mut world), "a: private-x#4:struck y | c: private-x#4:struck y");
    assert_eq!(world.act("members private-x"), "[]", "nobody else sees it");
    assert_eq!(world.act("occupancy private-x"), "2 subscriptions, 0 members");
    let facts: Vec<_> = world.hub.facts().take().iter().map(fact_text).collect();
    assert_eq!(facts, ["private-x@0:occupied"]);
    world.end();
}

/// Y-8.1, Y-8.2, Y-5.7: the first decides until the last has left, unless somebody insists.
#[test]
fn a_roll_is_open_or_not_from_its_beginning() {
    let mut world = World::new(app());
    assert_eq!(join(&mut world, 'a', "a", Opens::Never), None);
    assert_eq!(join(&mut world, 'b', "b", Opens::IfFirst), None);
    assert_eq!(seen(&mut world), "");
    assert_eq!(join(&mut world, 'c', "c", Opens::Always).as_deref(), Some("[a b c]"));
    assert_eq!(seen(&mut world), "a: private-x#1:enrolled c | b: private-x#1:enrolled c");
    for letter in ['c', 'b', 'a'] {
        world.leave(letter, "private-x");
    }
    assert_eq!(join(&mut world, 'b', "b", Opens::IfFirst).as_deref(), Some("[b]"));
    // Others keep the channel alive, and the roll is none of theirs.
    assert_eq!(world.join('d', "private-x", None).unwrap().members.map(|list| list.members.len()), None);
    world.leave('b', "private-x");
    assert_eq!(join(&mut world, 'b', "b", Opens::Never), None);
    world.end();
}

/// The app's limit of members holds for a roll that is shown, and for no other.
#[test]
fn an_open_roll_is_bounded() {
    let limits = Limits { presence_members: 2, ..Limits::default() };
    let mut world = World::new(App { limits, ..app() });
    for (letter, opens) in [('a', Opens::Never), ('b', Opens::IfFirst), ('c', Opens::Never)] {
        assert_eq!(join(&mut world, letter, "x", opens), None);
    }
    let refused = world.join('d', "private-x", enrolled("x", Opens::Always)).map(|_| ());
    assert_eq!(refused, Err(Refused::MembersFull { max: 2 }));
    for letter in ['a', 'b', 'c'] {
        world.leave(letter, "private-x");
    }
    assert!(join(&mut world, 'a', "x", Opens::IfFirst).is_some() && join(&mut world, 'b', "x", Opens::Never).is_some());
    let refused = world.join('c', "private-x", enrolled("x", Opens::Never)).map(|_| ());
    assert_eq!(refused, Err(Refused::MembersFull { max: 2 }));
    world.end();
}

/// Y-5.4: the first one's way of writing the name is kept until the last has left.
#[test]
fn the_first_spelling_is_kept() {
    let mut world = World::new(app());
    let spelt = |spelling: &str| {
        Some(Member { enrolment: Some(Enrolment { opens: Opens::Never, spelling: Some(user(spelling)) }), ..Member::new("id") })
    };
    assert_eq!(world.channels.spelling("hello"), None);
    world.join('a', "hello", spelt("Hello")).unwrap();
    world.join('b', "hello", spelt("HELLO")).unwrap();
    world.leave('a', "hello");
    assert_eq!(world.channels.spelling("hello").as_deref(), Some("Hello"));
    world.leave('b', "hello");
    assert_eq!(world.channels.spelling("hello"), None);
    world.end();
}
