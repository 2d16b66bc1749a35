//! Channels between two members of a presence channel, and members that change.

use super::*;

/// I-2.10: both are there and one of them wants it; nobody else gets what is said.
#[test]
fn a_pair_is_active_while_one_wants_it() {
    check(
        App { webhooks: Vec::new(), ..app() },
        &[
            ("a joins presence-r as u", "@1 [u]"),
            ("b joins presence-r as v", "@2 [u v] | a: presence-r#2:+v"),
            ("publish peer-r:u&v none", ""),
            ("c joins presence-r as v*", "@2 [u v]"),
            ("publish peer-r:u&v hi", "a: peer-r:u&v#2:hi | b: peer-r:u&v#2:hi | c: peer-r:u&v#2:hi"),
            ("publish peer-r:v&u hi", ""),
            ("d joins presence-r as w", "@3 [u v w] | a: presence-r#3:+w | b: presence-r#3:+w | c: presence-r#3:+w"),
            ("pairs presence-r u", "peer-r:u&v"),
            ("pairs presence-r v", "peer-r:u&v peer-r:v&w"),
            ("c leaves presence-r", ""),
            ("pairs presence-r v", ""),
            ("publish peer-r:u&v none", ""),
        ],
    );
}

/// Explicit subscribers get it beside the pair, each once; a stored one reaches who is there when it is committed.
#[test]
fn explicit_subscribers_hear_a_pair_too() {
    check(
        App { webhooks: Vec::new(), ..app() },
        &[
            ("a joins presence-r as u*", "@1 [u]"),
            ("b joins presence-r as v", "@2 [u v] | a: presence-r#2:+v"),
            ("a joins peer-r:u&v", "@0"),
            ("c joins peer-r:u&v", "@0"),
            ("publish peer-r:u&v hi except b", "a: peer-r:u&v#1:hi | c: peer-r:u&v#1:hi"),
            ("store peer-r:u&v two", ""),
            ("b leaves presence-r", "a: presence-r#3:-v"),
            ("commit", "stored [peer-r:u&v#2:two] | a: peer-r:u&v#2:two | c: peer-r:u&v#2:two"),
            ("once presence-r,peer-r:u&v x", "a: presence-r#4:x | c: peer-r:u&v#3:x"),
        ],
    );
}

/// I-2.4: the same user is silently told anew; another one comes as the first goes, and the connection hears of neither.
#[test]
fn a_member_can_change() {
    let limits = Limits { presence_members: 2, ..Limits::default() };
    check(
        App { webhooks: Vec::new(), limits, ..app() },
        &[
            ("a joins presence-r as u=1", "@1 [u=1]"),
            ("b joins presence-r as v", "@2 [u=1 v] | a: presence-r#2:+v"),
            ("a refreshes presence-r as u=2", "[u=2 v]"),
            ("a refreshes presence-r as w", "[v w] | b: presence-r#3:-u, presence-r#4:+w"),
            ("c joins presence-r as v", "@4 [v w]"),
            ("c refreshes presence-r as x", "MembersFull { max: 2 }"),
            ("members presence-r", "[v w]"),
            ("a refreshes presence-r as w*", "[v w]"),
            ("pairs presence-r w", "peer-r:v&w"),
        ],
    );
}

/// I-2.9 (c): who is on a channel that follows others is told, whatever its shard.
#[test]
fn followers_are_told() {
    check(
        App { webhooks: Vec::new(), ..app() },
        &[
            ("follow personal-u news", ""),
            ("a joins personal-u", "@0"),
            ("b joins personal-u", "@0"),
            ("follow personal-u news", "a: follows news | b: follows news"),
        ],
    );
}
