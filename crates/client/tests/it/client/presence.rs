//! Who is on presence channels.

use crate::hearing::{hears, next, soon};
use crate::tidings::Tidings;
use serde_json::{Value, json};
use tidings_client::{Client, Members, Options, PresenceMember};

fn client(tidings: &Tidings, user_id: &str, name: &str) -> Client {
    let data = json!({ "user_id": user_id, "user_info": { "name": name } });
    Client::new(Options { channel_data: Some(data.to_string()), ..tidings.options() }).unwrap()
}

fn ids(members: &Members) -> Vec<&str> {
    members.iter().map(|member| member.user_id.as_str()).collect()
}

/// P-7.3, P-7.4: the members, who of them we are, who comes and who goes; a second connection of a user is not told.
#[tokio::test]
async fn members_come_and_go() {
    let tidings = Tidings::start("");
    let ann = client(&tidings, "ann", "Ann");
    let room = ann.subscribe("presence-room").unwrap();
    let mut events = room.events();
    assert_eq!(*room.members(), Members::default());
    let shown =
        json!({ "count": 1, "me": { "id": "ann", "info": { "name": "Ann" } }, "members": [{ "id": "ann", "info": { "name": "Ann" } }] });
    let first = next(&mut events).await;
    assert_eq!((first.name.as_str(), first.json::<Value>().unwrap()), ("pusher:subscription_succeeded", shown));
    assert_eq!((ids(&room.members()), room.members().count()), (vec!["ann"], 1));

    let bob = client(&tidings, "bob", "Bob");
    let there = bob.subscribe("presence-room").unwrap();
    soon(there.subscribed()).await.unwrap();
    let members = there.members();
    assert_eq!((ids(&members), members.count()), (vec!["ann", "bob"], 2));
    assert_eq!(members.me(), Some(&PresenceMember { user_id: "bob".into(), user_info: Some(json!({ "name": "Bob" })) }));
    assert_eq!(members.get("ann").unwrap().json::<Value>().unwrap()["name"], "Ann");
    assert_eq!(members.get("zoe"), None);
    hears(&mut events, &[("pusher:member_added", r#"{"id":"bob","info":{"name":"Bob"}}"#)]).await;
    assert_eq!(ids(&room.members()), ["ann", "bob"]);

    // The same user again: nobody is told, neither that it comes nor that it goes.
    let again = client(&tidings, "bob", "Robert");
    let second = again.subscribe("presence-room").unwrap();
    soon(second.subscribed()).await.unwrap();
    assert_eq!((second.members().count(), second.members().me().unwrap().user_info.clone()), (2, Some(json!({ "name": "Robert" }))));
    again.close().await;
    tidings.publish("presence-room", "between", "1").await;
    hears(&mut events, &[("between", "1")]).await;
    assert_eq!(room.members().count(), 2);

    there.unsubscribe();
    hears(&mut events, &[("pusher:member_removed", r#"{"id":"bob","info":{"name":"Bob"}}"#)]).await;
    assert_eq!((ids(&room.members()), there.members().count()), (vec!["ann"], 2));
    // What was taken before does not change.
    assert_eq!(ids(&members), ["ann", "bob"]);
}

/// P-7.1: a user of whom nothing is known.
#[tokio::test]
async fn a_member_without_info_has_none() {
    let tidings = Tidings::start("");
    let nameless = Client::new(Options { channel_data: Some(r#"{"user_id":7}"#.into()), ..tidings.options() }).unwrap();
    let room = nameless.subscribe("presence-room").unwrap();
    soon(room.subscribed()).await.unwrap();
    assert_eq!(room.members().me(), Some(&PresenceMember::new("7")));
    assert_eq!(room.members().me().unwrap().json::<Option<Value>>().unwrap(), None);
}

/// While there is no connection nobody is known to be there, and channels that are not presence channels have no members.
#[tokio::test]
async fn nobody_is_known_without_a_connection() {
    let tidings = Tidings::start("");
    let ann = client(&tidings, "ann", "Ann");
    let (room, other) = (ann.subscribe("presence-room").unwrap(), ann.subscribe("private-room").unwrap());
    for channel in [&room, &other] {
        soon(channel.subscribed()).await.unwrap();
    }
    assert_eq!((room.members().count(), other.members().count()), (1, 0));
    let mut states = ann.states();
    ann.disconnect();
    crate::hearing::until(&mut states, tidings_client::State::Disconnected).await;
    assert_eq!(room.members().count(), 0);
    ann.connect();
    soon(room.subscribed()).await.unwrap();
    assert_eq!((room.members().count(), room.members().me().unwrap().user_id.as_str()), (1, "ann"));
}

/// P-7.6: a channel that is full says so, and its subscription is refused with the server's words.
#[tokio::test]
async fn a_full_channel_refuses() {
    let tidings = Tidings::start("limits = { presence_members = 1 }\n");
    let (ann, bob) = (client(&tidings, "ann", "Ann"), client(&tidings, "bob", "Bob"));
    soon(ann.subscribe("presence-room").unwrap().subscribed()).await.unwrap();
    let refused = soon(bob.subscribe("presence-room").unwrap().subscribed()).await.unwrap_err();
    let tidings_client::SubscriptionError::Server { kind, status, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((kind.as_str(), *status), ("LimitReached", Some(4100)));
}
