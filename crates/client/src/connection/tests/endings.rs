//! How connections end, and whether and when another one follows.

use super::*;

/// P-17.3: what follows a close, and after how long. What is asked for again is signed for the new socket id.
#[tokio::test(start_paused = true)]
async fn the_close_code_decides_what_follows() {
    const NEVER: Option<RangeInclusive<u64>> = None;
    let jittered = || Some(500..=1000);
    for (code, millis) in [
        (Some(4000), NEVER),
        (Some(4001), NEVER),
        (Some(4099), NEVER),
        (Some(4100), Some(1000..=1500)),
        (Some(4199), Some(1000..=1500)),
        (Some(4200), Some(0..=0)),
        (Some(4299), Some(0..=0)),
        (Some(4300), jittered()),
        (Some(1000), jittered()),
        (Some(1001), jittered()),
        (Some(3999), jittered()),
        (None, jittered()),
    ] {
        let mut server = Server::of(options(), &["private-a"]);
        let mut peer = server.confirm("1.1").await;
        let first = peer.hear().await;
        match code {
            Some(code) => peer.close(code).await,
            None => drop(peer),
        }
        let closed = Instant::now();
        let Some(millis) = millis else {
            let error = server.notices.recv().await.unwrap().unwrap_err();
            assert!(matches!(&error, ConnectionError::Closed { code: theirs, reason } if Some(*theirs) == code && reason == "because"));
            assert!(server.dialled.recv().await.is_none(), "{code:?} must not be tried again");
            continue;
        };
        let lost = server.notice().await;
        assert!(matches!(&lost, Notice::Lost { retry_in, .. } if millis.contains(&(retry_in.as_millis() as u64))), "{code:?}: {lost:?}");
        let mut peer = server.confirm("2.2").await;
        let waited = closed.elapsed().as_millis() as u64;
        // The timer counts whole milliseconds, and rounds up.
        assert!((*millis.start()..=millis.end() + 1).contains(&waited), "{code:?}: {waited} ms");
        let second = peer.hear().await;
        assert_eq!(first["data"]["channel"], second["data"]["channel"]);
        assert_ne!(first["data"]["auth"], second["data"]["auth"]);
    }
}

/// P-17.3, P-17.2: a server over capacity confirms nothing; the waits grow until a connection stands for a while.
#[tokio::test(start_paused = true)]
async fn waits_grow_while_the_server_is_over_capacity() {
    let mut server = Server::of(options(), NONE);
    for secs in [1, 2, 4, 8] {
        let mut peer = server.accept().await;
        peer.say(r#"{"event":"pusher:error","data":{"code":4100,"message":"Over capacity"}}"#).await;
        assert!(matches!(server.notice().await, Notice::Connecting));
        let lost = server.notice().await;
        assert!(
            matches!(&lost, Notice::Lost { why: ConnectionError::Closed { code: 4100, reason }, retry_in }
            if reason == "Over capacity" && (secs * 1000..=secs * 1500).contains(&(retry_in.as_millis() as u64))),
            "{lost:?}"
        );
    }
    for (stood, secs) in [(Duration::ZERO, 16), (STABLE, 1)] {
        let mut peer = server.confirm("1.2").await;
        tokio::time::advance(stood).await;
        peer.close(4100).await;
        let lost = server.notice().await;
        assert!(
            matches!(lost, Notice::Lost { retry_in, .. } if (secs * 1000..=secs * 1500).contains(&(retry_in.as_millis() as u64))),
            "{lost:?}"
        );
    }
}

/// A server that confirms and sends away is not stormed: 4200 asks for an attempt at once, and that is granted once.
#[tokio::test(start_paused = true)]
async fn at_once_is_granted_once_in_a_row() {
    let mut server = Server::of(options(), NONE);
    for millis in [0..=0, 1000..=2000, 2000..=4000] {
        server.confirm("1.2").await.close(4200).await;
        let lost = server.notice().await;
        assert!(matches!(lost, Notice::Lost { retry_in, .. } if millis.contains(&retry_in.as_millis())), "{lost:?}");
    }
}

/// P-17.2, P-21.9
#[tokio::test(start_paused = true)]
async fn an_error_stands_for_the_code_of_a_close_without_one() {
    let error = r#"{"event":"pusher:error","data":{"code":4009,"message":"Terminated"}}"#;
    for (words, code) in [
        (vec![error], Some(4009)),
        (vec![error, r#"{"event":"x","channel":"a","data":"1"}"#], None),
        (vec![r#"{"event":"pusher:error","data":{"code":null,"message":"Refused"}}"#], None),
    ] {
        let mut server = Server::of(Options { reconnect: Reconnect::Never, ..options() }, NONE);
        let mut peer = server.confirm("1.2").await;
        for text in &words {
            peer.say(text).await;
            server.notice().await;
        }
        drop(peer);
        let failure = server.notices.recv().await.unwrap().unwrap_err();
        match code {
            Some(code) => assert!(matches!(failure, ConnectionError::Closed { code: theirs, .. } if theirs == code), "{failure:?}"),
            None => assert!(matches!(failure, ConnectionError::Broken { .. }), "{failure:?}"),
        }
    }
}

/// P-2.3: the first frame may be a refusal.
#[tokio::test(start_paused = true)]
async fn an_unknown_key_ends_it_with_advice() {
    let mut server = Server::of(options(), NONE);
    let mut peer = server.accept().await;
    peer.say(r#"{"event":"pusher:error","data":{"code":4001,"message":"App key not found"}}"#).await;
    let failure = server.failure().await.to_string();
    assert_eq!(failure, "the server closed the connection with 4001: App key not found\ncheck the app's key and the address of the server");
}

/// P-16.1, P-16.9: silence is measured from the last frame of any kind, by the shorter of both timeouts.
#[tokio::test(start_paused = true)]
async fn a_silent_server_is_pinged_and_then_left() {
    for (own, activity_timeout) in [(120, 20), (5, 5)] {
        let options = Options { activity_timeout: Duration::from_secs(own), ..options() };
        let mut server = Server::of(options, NONE);
        let mut peer = server.confirm("1.2").await;
        let mut heard = Instant::now();
        let ping = json!({"event": "pusher:ping", "data": {}});
        for answer in [Message::text(r#"{"event":"pusher:pong","data":"{}"}"#), Message::Ping("".into()), Message::Pong("".into())] {
            assert_eq!(peer.hear().await, ping);
            assert_eq!(heard.elapsed().as_secs(), activity_timeout);
            let (is_ping, is_message) = (answer.is_ping(), answer.is_text());
            peer.socket.send(answer).await.unwrap();
            heard = Instant::now();
            if is_ping {
                assert!(peer.socket.next().await.unwrap().unwrap().is_pong());
            } else if is_message {
                assert!(matches!(server.notice().await, Notice::Pong));
            }
        }
        assert_eq!(peer.hear().await, ping);
        let lost = server.notice().await;
        assert!(matches!(lost, Notice::Lost { why: ConnectionError::PongMissed { .. }, .. }), "{lost:?}");
        assert_eq!(heard.elapsed().as_secs(), activity_timeout + 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_left() {
    let mut server = Server::of(options(), NONE);
    let began = Instant::now();
    let stream = server.dialled.recv().await.unwrap();
    let failure = server.failure().await;
    assert!(matches!(failure, ConnectionError::TimedOut { .. }), "{failure:?}");
    assert_eq!(began.elapsed().as_secs(), 10);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn an_http_status_instead_of_the_upgrade_is_told() {
    let mut server = Server::of(options(), NONE);
    let mut stream = server.dialled.recv().await.unwrap();
    // The request must be taken, or the stream would end before the answer is read.
    let mut request = vec![0; 4096];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nnot here\nor ").await.unwrap();
    drop(stream);
    let failure = server.failure().await;
    assert!(
        matches!(&failure, ConnectionError::NotUpgraded { status, text, .. } if status.as_u16() == 404 && text == "not here"),
        "{failure:?}"
    );
}

/// What never was there is probably misspelt; what was there comes back.
#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_waited_for_if_it_was_there_before() {
    let mut server = Server::of(options(), NONE);
    let peer = server.confirm("1.2").await;
    server.down.store(true, Ordering::Relaxed);
    drop(peer);
    assert!(matches!(server.notice().await, Notice::Lost { why: ConnectionError::Broken { .. }, .. }));
    assert!(matches!(server.notice().await, Notice::Connecting));
    assert!(matches!(server.notice().await, Notice::Lost { why: ConnectionError::Dial(_), .. }));
    server.down.store(false, Ordering::Relaxed);
    server.confirm("3.4").await;

    let fresh = Server::of(options(), NONE);
    fresh.down.store(true, Ordering::Relaxed);
    let Server { mut notices, .. } = fresh;
    assert!(matches!(notices.recv().await, Some(Ok(Notice::Connecting))));
    let failure = notices.recv().await.unwrap().unwrap_err().to_string();
    assert_eq!(failure, "cannot reach http://push.example:6001/prefix: connection refused; is the server running there?");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_must_not_return_ends() {
    for code in [1001, 4100, 4200, 4300] {
        let mut server = Server::of(Options { reconnect: Reconnect::Never, ..options() }, NONE);
        server.confirm("1.2").await.close(code).await;
        let failure = server.notices.recv().await.unwrap();
        assert!(matches!(failure, Err(ConnectionError::Closed { code: theirs, .. }) if theirs == code), "{failure:?}");
    }
}

/// It is told once how long there has been no connection, however many attempts there were.
#[tokio::test(start_paused = true)]
async fn a_long_absence_is_told_once() {
    let mut server = Server::of(Options { unavailable_timeout: Duration::from_secs(10), ..options() }, NONE);
    let mut peer = server.confirm("1.2").await;
    for _ in 0..2 {
        server.down.store(true, Ordering::Relaxed);
        drop(peer);
        let went = Instant::now();
        let mut told = Vec::new();
        while went.elapsed() < Duration::from_secs(100) {
            if let Notice::Unavailable = server.notice().await {
                told.push(went.elapsed().as_secs());
            }
        }
        assert_eq!(told, [10]);
        server.down.store(false, Ordering::Relaxed);
        while server.dialled.is_empty() {
            server.notice().await;
        }
        peer = server.accept().await;
        peer.say(r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":20}"}"#).await;
        while !matches!(server.notice().await, Notice::Connected { .. }) {}
    }
}

/// The answer to a close may find no room. Who drops `next` meanwhile is told the code all the same.
#[tokio::test(start_paused = true)]
async fn dropping_next_does_not_lose_the_code_of_a_close() {
    let (mut connection, mut peer) = pair(options()).await;
    // More than the stream takes, and nobody reads it.
    connection.send_text("x".repeat(1 << 20)).unwrap();
    peer.socket.send(Message::Close(Some(CloseFrame { code: 4001.into(), reason: "because".into() }))).await.unwrap();
    assert!(connection.next().now_or_never().is_none());
    let failure = connection.next().await.err();
    assert!(matches!(&failure, Some(ConnectionError::Closed { code: 4001, reason }) if reason == "because"), "{failure:?}");
}
