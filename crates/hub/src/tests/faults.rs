//! What a panic under a channel's lock costs: that channel and its subscribers, and nobody else.

use super::*;

/// Whoever touches the channel first finds out; all subscribers are told once, and a new one begins far above.
#[test]
fn a_lost_channel_is_dropped_and_its_subscribers_are_told() {
    for (line, answer) in [
        ("publish cache-x 2", ""),
        ("d joins cache-x", "Lost"),
        ("c leaves cache-x", ""),
        ("publish a,cache-x,z 2", ""),
        ("batch a:1 cache-x:2 cache-x:3", ""),
    ] {
        let mut world = World::new(app());
        world.act("a joins cache-x");
        world.act("b joins cache-x");
        world.act("c joins cache-x");
        world.act("publish cache-x 1");
        world.seen();
        world.channels.find("cache-x").unwrap().poison();
        assert_eq!(world.act("occupancy cache-x"), "0 subscriptions, 0 members");
        assert_eq!(world.act("members cache-x"), "[]");
        assert_eq!(world.act("cached cache-x"), "nothing");
        assert_eq!(world.act(line), answer, "{line}");
        assert_eq!(world.act("publish cache-x 4"), "", "{line}: a new channel takes its place");
        let mut seen = world.seen();
        seen.remove(&'c');
        let lost = [('a', vec!["cache-x lost".to_owned()]), ('b', vec!["cache-x lost".to_owned()])];
        assert_eq!(seen, BTreeMap::from(lost), "{line}");
        let joined = world.join('e', "cache-x", None).unwrap();
        assert!(joined.serial > 1_000_000, "{line}: {}", joined.serial);
        assert!(matches!(joined.cache, Cached::Hit(event) if event_text(&event).ends_with(":4")), "{line}");
        world.subscriptions.remove(&('c', "cache-x".to_owned()));
        world.end();
    }
}

/// P-11.10: of a batch only what was meant for the lost channel is missing.
#[test]
fn the_other_channels_of_a_batch_get_theirs() {
    let mut world = World::new(app());
    world.act("a joins x");
    world.act("b joins y");
    let _ = world.hub.facts().take();
    world.channels.find("x").unwrap().poison();
    world.play(&[("batch y:1 x:2 y:3", "a: x lost | b: y#1:1, y#2:3")]);
    world.end();
}

/// Timers and the bound on caches pass a lost channel by.
#[test]
fn timers_pass_a_lost_channel_by() {
    let mut app = app();
    app.limits.caches = 1;
    let mut world = World::new(app);
    world.act("publish cache-x 1");
    let channel = world.channels.find("cache-x").unwrap();
    channel.poison();
    world.act("publish cache-y 1");
    assert_eq!(world.act("channels"), "2 channels");
    world.wait(Duration::from_secs(1800));
    assert_eq!(world.act("channels"), "1 channels");
    world.act("publish cache-x 2");
    assert_eq!(world.act("cached cache-x"), format!("{}:2 for 1800000 ms", (1_u64 << 32) + 2));
    drop(channel);
    world.end();
}

/// What waits for a commit on a channel that is lost lets nothing go on the one that took its place, which waits for a commit of its own.
#[test]
fn a_commit_on_a_lost_channel_is_no_other_ones() {
    let mut world = World::new(app());
    world.play(&[
        ("a joins presence-x as u*", "@1 [u] | facts: presence-x@0:occupied, presence-x@1:+u"),
        ("b joins presence-x as v", "@2 [u v] | a: presence-x#2:+v | facts: presence-x@2:+v"),
        ("store presence-x,peer-x:u&v one", ""),
    ]);
    world.channels.find("presence-x").unwrap().poison();
    world.play(&[("c joins presence-x as w", "Lost | a: presence-x lost | b: presence-x lost")]);
    world.join('d', "presence-x", Some(member("u"))).unwrap();
    world.seen();
    world.act("store presence-x two");
    world.act("publish presence-x three");
    world.act("commit");
    assert_eq!(world.seen(), BTreeMap::new(), "neither the lost one's event nor what waits for another commit");
    world.act("commit");
    let seen: Vec<_> = world.seen()[&'d'].iter().map(|line| line.rsplit(':').next().unwrap().to_owned()).collect();
    assert_eq!(seen, ["two", "three"]);
    world.end();
}
