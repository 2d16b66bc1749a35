//! What servers and programs do at the wrong moment.

use super::*;
use crate::ProxyChoice;
use crate::peer;

/// More than a stream takes, so that nothing else leaves before the server has read it.
fn much() -> String {
    format!("\"{}\"", "x".repeat(1 << 20))
}

/// For ever is a time, too, whoever names it.
#[tokio::test(start_paused = true)]
async fn times_may_be_as_long_as_they_can() {
    let options = Options {
        activity_timeout: Duration::MAX,
        pong_timeout: Duration::MAX,
        unavailable_timeout: Duration::MAX,
        connect_timeout: Duration::MAX,
        auth_timeout: Duration::MAX,
        ..options()
    };
    let (mut connection, mut peer) = pair(options).await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    peer.say(r#"{"event":"pusher:pong","data":"{}"}"#).await;
    assert!(matches!(connection.next().await, Ok(Notice::Pong)));
    peer.close(1001).await;
    assert!(matches!(connection.next().await, Ok(Notice::Lost { .. })));
    assert!(matches!(connection.next().await, Ok(Notice::Connecting)));
}

/// P-16.9: who was away for long asks the server before giving it up, and gives it the time to answer.
#[tokio::test(start_paused = true)]
async fn a_server_is_asked_before_it_is_left() {
    let (mut connection, mut peer) = pair(options()).await;
    tokio::time::advance(Duration::from_secs(1000)).await;
    assert_eq!(peer.hear_from(&mut connection).await["event"], "pusher:ping");
    peer.say(r#"{"event":"pusher:pong","data":"{}"}"#).await;
    assert!(matches!(connection.next().await, Ok(Notice::Pong)));
}

/// What the server says to a subscription that was given up is not taken for what it says to the next one, which waits for room.
#[tokio::test(start_paused = true)]
async fn a_late_confirmation_is_not_taken_for_one_that_is_to_come() {
    let (mut connection, mut peer) = pair(options()).await;
    connection.subscribe("a").unwrap();
    peer.hear_from(&mut connection).await;
    connection.send_text(much()).unwrap();
    assert!(connection.unsubscribe("a"));
    connection.subscribe("a").unwrap();
    peer.confirm("a").await;
    assert!(connection.next().now_or_never().is_none() && !connection.is_subscribed("a"));
    peer.hear_from(&mut connection).await;
    assert_eq!(peer.hear_from(&mut connection).await["event"], "pusher:unsubscribe");
    assert_eq!(peer.hear_from(&mut connection).await["event"], "pusher:subscribe");
    peer.confirm("a").await;
    assert!(matches!(connection.next().await, Ok(Notice::Subscribed { .. })));
}

/// The same while the next one is being signed.
#[tokio::test]
async fn a_late_answer_does_not_stop_what_is_being_signed() {
    let signed = |auth: &str| {
        let body = json!({ "auth": auth }).to_string();
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    for late in [
        r#"{"event":"pusher_internal:subscription_succeeded","channel":"private-a","data":"{}"}"#,
        r#"{"event":"pusher:subscription_error","channel":"private-a","data":{"type":"AuthError","error":"wrong","status":401}}"#,
    ] {
        let endpoint = peer::Peer::plain().await;
        let (auth_endpoint, proxy) = (Some(format!("{}/auth", endpoint.url)), ProxyChoice::Direct);
        let (mut connection, mut peer) = pair(Options { secret: None, auth_endpoint, proxy, ..options() }).await;
        connection.subscribe("private-a").unwrap();
        let (_, asked) = tokio::join!(endpoint.serve(signed("key:1")), peer.hear_from(&mut connection));
        assert_eq!(asked["data"]["auth"], "key:1");
        assert!(connection.unsubscribe("private-a"));
        connection.subscribe("private-a").unwrap();
        peer.say(late).await;
        let heard = async { (peer.hear_from(&mut connection).await, peer.hear_from(&mut connection).await) };
        let (_, (left, asked)) = tokio::join!(endpoint.serve(signed("key:2")), heard);
        assert_eq!((&left["event"], &asked["data"]["auth"]), (&json!("pusher:unsubscribe"), &json!("key:2")));
    }
}

/// A server that hangs up while much is sent to it has said why before.
#[tokio::test(start_paused = true)]
async fn the_code_is_read_when_nothing_can_be_written_any_more() {
    let channels: Vec<String> = (0..5000).map(|number| format!("{number}-{}", "x".repeat(150))).collect();
    let mut server = Server::of(options(), &channels);
    let mut peer = server.confirm("1.2").await;
    peer.close(4009).await;
    drop(peer);
    let failure = server.notices.recv().await.unwrap().unwrap_err();
    assert!(matches!(failure, ConnectionError::Closed { code: 4009, .. }), "{failure:?}");
}

/// The same with what the program sends itself.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_does_not_hide_the_code() {
    let (mut connection, mut peer) = pair(options()).await;
    peer.close(4009).await;
    drop(peer);
    for _ in 0..2 {
        // Whether it is taken or not is no matter.
        let _ = connection.send_text(much());
        let _ = connection.subscribe("a");
    }
    let failure = connection.next().await.err();
    assert!(matches!(failure, Some(ConnectionError::Closed { code: 4009, .. })), "{failure:?}");
}

/// Any number of subscriptions can be given up at once: the server is told as it reads.
#[tokio::test(start_paused = true)]
async fn many_farewells_wait_for_room() {
    const MANY: usize = 20_000;
    let (mut connection, mut peer) = pair(options()).await;
    let channels: Vec<String> = (0..MANY).map(|number| format!("{number}-{}", "x".repeat(190))).collect();
    for channel in &channels {
        connection.subscribe(channel).unwrap();
    }
    for channel in &channels {
        assert_eq!(peer.hear_from(&mut connection).await["data"]["channel"], *channel);
    }
    for channel in &channels {
        assert!(connection.unsubscribe(channel));
    }
    connection.subscribe(&channels[0]).unwrap();
    for channel in &channels {
        let heard = peer.hear_from(&mut connection).await;
        assert_eq!((&heard["event"], &heard["data"]["channel"]), (&json!("pusher:unsubscribe"), &json!(channel)));
    }
    assert_eq!(peer.hear_from(&mut connection).await["event"], "pusher:subscribe");
}

/// P-15.2: a server refuses a sign-in by an error that names nothing. What waits for the user does not wait for ever, the program may ask
/// again, and a confirmation that comes late counts.
#[tokio::test]
async fn a_sign_in_that_is_never_confirmed_ends() {
    let endpoint = peer::Peer::plain().await;
    let url = || Some(format!("{}/auth", endpoint.url));
    let options = Options { secret: None, auth_endpoint: url(), user_auth_endpoint: url(), proxy: ProxyChoice::Direct, ..options() };
    let (mut connection, mut peer) = pair(options).await;
    let body = json!({"auth": "key:1", "user_data": r#"{"id":"ada"}"#}).to_string();
    let signed = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    connection.sign_in().unwrap();
    let (_, asked) = tokio::join!(endpoint.serve(&signed), peer.hear_from(&mut connection));
    assert_eq!(asked["event"], "pusher:signin");
    // Its proof names no member, so it waits for the user.
    connection.subscribe("presence-a").unwrap();
    tokio::select! {
        _ = endpoint.serve(&signed) => {}
        notice = connection.next() => panic!("{notice:?}"),
    }
    peer.say(r#"{"event":"pusher:error","data":{"code":null,"message":"Wrong signature"}}"#).await;
    assert!(matches!(connection.next().await, Ok(Notice::Error { .. })));
    tokio::time::pause();
    let began = Instant::now();
    let notice = connection.next().await.unwrap();
    assert!(matches!(&notice, Notice::SignInFailed { why: SignInError::Unconfirmed }), "{notice:?}");
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
    let notice = connection.next().await.unwrap();
    assert!(matches!(&notice, Notice::Refused { why: crate::SubscriptionError::NotSignedIn, .. }), "{notice:?}");
    let confirmation = json!({"event": "pusher:signin_success", "data": json!({"user_data": r#"{"id":"ada"}"#}).to_string()}).to_string();
    peer.say(&confirmation).await;
    assert!(matches!(connection.next().await, Ok(Notice::SignedIn { .. })));
    assert_eq!(peer.hear_from(&mut connection).await["data"]["channel"], "#server-to-user-ada");
    // What was confirmed is not taken back.
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(connection.next().now_or_never().is_none());
    assert_eq!(connection.user_id(), Some("ada"));
}

/// That it was given up is no news any more for who had it connect again.
#[tokio::test(start_paused = true)]
async fn a_connection_that_was_told_to_come_back_does() {
    let (mut connection, _peer) = pair(Options { reconnect: Reconnect::Never, ..options() }).await;
    connection.told.push_back(Notice::Pong);
    connection.lost(ConnectionError::Broken { reason: "because".into() });
    assert!(matches!(connection.next().await, Ok(Notice::Pong)));
    connection.connect();
    let notice = connection.next().await;
    assert!(matches!(notice, Ok(Notice::Lost { retry_in: Duration::ZERO, .. })), "{notice:?}");
    assert!(matches!(connection.next().await, Ok(Notice::Connecting)));
}

/// The address of an endpoint may hold a token.
#[test]
fn no_log_line_shows_what_an_address_hides() {
    let url = |name: &str| Some(format!("https://ada:t0k3n@{name}.example/auth?t=t0k3n#t0k3n"));
    let options = Options { auth_endpoint: url("channels"), user_auth_endpoint: url("users"), ..options() };
    let shown = format!("{options:?}");
    assert!(!shown.contains("t0k3n"), "{shown}");
    assert!(shown.contains("channels.example/auth") && shown.contains("users.example/auth"), "{shown}");
}
