//! Subscriptions over streams in memory: what is read, when, and how much. A real Redis is in `tests/it/redis.rs`.

use super::*;
use crate::config::{RedisLogin, RedisProtocol, RedisServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What the stream itself holds.
const PIPE: usize = 1024;
/// What is read ahead at most: one piece from the kernel, and what the parser has of the one before.
const AHEAD: usize = 20 * 1024;

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

fn resp2(channel: &[u8], data: &[u8]) -> Vec<u8> {
    [&b"*4\r\n"[..], &bulk(b"pmessage"), &bulk(b"*"), &bulk(channel), &bulk(data)].concat()
}

fn resp3(channel: &[u8], data: &[u8]) -> Vec<u8> {
    [&b">4\r\n"[..], &bulk(b"pmessage"), &bulk(b"*"), &bulk(channel), &bulk(data)].concat()
}

fn linked() -> (Link<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(PIPE);
    (Link::new(ours, 8 * 1024 * 1024), theirs)
}

/// W-2.6: what is published under another prefix does not come, whatever the prefix looks like.
#[test]
fn patterns_mean_the_prefix_itself() {
    for (prefix, expected) in [("", "*"), ("news.", "news.*"), ("a*b?c[d]e\\", "a\\*b\\?c\\[d\\]e\\\\*"), ("grüße^-", "grüße^-*")] {
        assert_eq!(pattern(prefix.as_bytes()), expected.as_bytes(), "{prefix}");
    }
}

/// W-2.4, W-2.7: what a subscribed connection is told, in both protocols.
#[test]
fn what_is_said_is_read() {
    let read_all = |bytes: &[u8]| read(redis::parse_redis_value(bytes).unwrap());
    let message = |channel: &'static [u8], data: &'static [u8]| Said::Message(Bytes::from(channel), Bytes::from(data));
    for (bytes, expected) in [
        (resp2(b"news.Foo", b"hello"), message(b"news.Foo", b"hello")),
        (resp3(b"news.Foo", b"hello"), message(b"news.Foo", b"hello")),
        (resp2(b"\xff\0", b"\r\n\0\xff"), message(b"\xff\0", b"\r\n\0\xff")),
        (resp2(b"", b""), message(b"", b"")),
        ([&b"*3\r\n"[..], &bulk(b"psubscribe"), &bulk(b"*"), b":1\r\n"].concat(), Said::Else),
        ([&b">3\r\n"[..], &bulk(b"psubscribe"), &bulk(b"*"), b":1\r\n"].concat(), Said::Else),
        ([&b"*4\r\n"[..], &bulk(b"smessage"), &bulk(b"*"), &bulk(b"a"), &bulk(b"b")].concat(), Said::Else),
        ([&b"*2\r\n"[..], &bulk(b"pong"), &bulk(b"")].concat(), Said::Else),
        (b"+PONG\r\n".to_vec(), Said::Else),
    ] {
        assert_eq!(read_all(&bytes).unwrap(), expected, "{}", bytes.escape_ascii());
    }
    for bytes in [
        &b"-ERR something\r\n"[..],
        b"+OK\r\n",
        b":1\r\n",
        b"$-1\r\n",
        b"*0\r\n",
        b"*2\r\n$4\r\nping\r\n$0\r\n\r\n",
        b"*5\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
        b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n:1\r\n",
        b">3\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n",
        b"%1\r\n+a\r\n+b\r\n",
    ] {
        assert!(read_all(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

/// W-2.7: in order and whole, however the bytes arrive, in either protocol.
#[tokio::test]
async fn messages_come_in_pieces() {
    let expected: Vec<(Vec<u8>, Vec<u8>)> =
        (0..50_usize).map(|number| (format!("c{number}").into_bytes(), vec![number as u8; number * 7])).collect();
    for form in [resp2, resp3] {
        let bytes: Vec<u8> = expected.iter().flat_map(|(channel, data)| form(channel, data)).collect();
        for piece in [1, 2, 3, 64, bytes.len()] {
            let (mut link, mut theirs) = linked();
            let bytes = bytes.clone();
            let feed = tokio::spawn(async move {
                for piece in bytes.chunks(piece) {
                    theirs.write_all(piece).await.unwrap();
                }
                theirs
            });
            for (channel, data) in &expected {
                assert_eq!(message(&mut link).await.unwrap(), (Bytes::from(channel.clone()), Bytes::from(data.clone())));
            }
            drop(feed.await.unwrap());
            assert!(matches!(message(&mut link).await, Err(Fault::Closed)));
        }
    }
}

/// W-7.4: nothing is read that nobody takes, but for the piece in which the last value ended.
#[tokio::test]
async fn what_is_not_taken_is_not_read() {
    let (mut link, mut theirs) = linked();
    let (tell, told) = tokio::sync::watch::channel(0_usize);
    let piece = resp2(b"channel", &[b'x'; 100]);
    let length = piece.len();
    let feed = tokio::spawn(async move {
        for _ in 0..10_000 {
            theirs.write_all(&piece).await.unwrap();
            tell.send_modify(|fed| *fed += piece.len());
        }
        theirs
    });
    // On this thread the feeder runs until it cannot write.
    tokio::task::yield_now().await;
    assert!(*told.borrow() <= PIPE, "{} bytes were read before anybody asked", *told.borrow());
    for taken in 1..=10_000 {
        assert_eq!(message(&mut link).await.unwrap().1.len(), 100);
        tokio::task::yield_now().await;
        let fed = *told.borrow();
        assert!(fed <= taken * length + PIPE + AHEAD, "{fed} bytes for {taken} messages");
    }
    drop(feed.await.unwrap());
}

/// A message far larger than any buffer passes, and so does what was read together with its end.
#[tokio::test]
async fn large_messages_pass() {
    let (mut link, mut theirs) = linked();
    let large: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|number| number as u8).collect();
    let sent = large.clone();
    let feed = tokio::spawn(async move {
        for round in 0..3_u8 {
            let small = resp2(b"small", &[round]);
            theirs.write_all(&[resp2(b"large", &sent), small.clone(), small].concat()).await.unwrap();
        }
        theirs
    });
    for round in 0..3_u8 {
        assert_eq!(message(&mut link).await.unwrap().1, large);
        for _ in 0..2 {
            assert_eq!(message(&mut link).await.unwrap().1[..], [round]);
        }
    }
    drop(feed.await.unwrap());
}

/// What never ends, or is no value at all, costs the connection and no memory to speak of.
#[tokio::test]
async fn broken_peers_cost_no_more_than_the_connection() {
    for start in [&b"$900000000\r\n"[..], b"*900000000000\r\n", b">900000000000\r\n", b"%4000000000000000000\r\n", b"+"] {
        let (ours, mut theirs) = duplex(PIPE);
        let mut link = Link::new(ours, 100_000);
        let feed = tokio::spawn(async move {
            let _ = theirs.write_all(start).await;
            let junk = if start == b"+" || start[0] == b'$' { &b"xxxxxxxxxxxxxxxx"[..] } else { &b":1\r\n:1\r\n:1\r\n:1\r\n"[..] };
            while theirs.write_all(junk).await.is_ok() {}
        });
        let fault = link.value().await.expect_err("there is no end");
        assert!(matches!(fault, Fault::TooLarge(100_000)), "{}: {fault}", start.escape_ascii());
        drop(link);
        feed.await.unwrap();
    }
    for junk in [&b"HTTP/1.1 400 geheim\r\n"[..], b"$x\r\n", b"*4\r\n?geheim"] {
        let (mut link, mut theirs) = linked();
        theirs.write_all(junk).await.unwrap();
        let fault = link.value().await.expect_err("this is no value");
        assert!(matches!(fault, Fault::NotRedis), "{fault}");
    }
}

/// W-2.5: after half a minute of silence the server is asked, and given up if it does not answer.
#[tokio::test(start_paused = true)]
async fn silence_is_asked_about() {
    let (mut link, mut theirs) = linked();
    let begun = Instant::now();
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in [&b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"[..], b"+PONG\r\n", &resp2(b"c", b"instead of an answer")] {
            let mut ping = [0; 14];
            theirs.read_exact(&mut ping).await.unwrap();
            assert_eq!(ping, *b"*1\r\n$4\r\nPING\r\n");
            asked.push(begun.elapsed().as_secs());
            theirs.write_all(answer).await.unwrap();
        }
        (theirs, asked)
    });
    assert_eq!(message(&mut link).await.unwrap().1, "instead of an answer");
    let (mut theirs, asked) = server.await.unwrap();
    assert_eq!(asked, [30, 60, 90]);
    // The late answer is none to the next question.
    theirs.write_all(b"+PONG\r\n").await.unwrap();
    let asked = begun.elapsed();
    assert!(matches!(message(&mut link).await, Err(Fault::Silent)));
    assert_eq!((begun.elapsed() - asked).as_secs(), 40);
}

/// A message that takes longer than a minute is no silence.
#[tokio::test(start_paused = true)]
async fn a_slow_message_is_waited_for() {
    let (mut link, mut theirs) = linked();
    let server = tokio::spawn(async move {
        for byte in resp2(b"channel", b"slow") {
            tokio::time::sleep(Duration::from_secs(20)).await;
            theirs.write_all(&[byte]).await.unwrap();
        }
        theirs
    });
    assert_eq!(message(&mut link).await.unwrap().1, "slow");
    // Nobody was asked anything.
    let mut theirs = server.await.unwrap();
    drop(link);
    assert_eq!(theirs.read(&mut [0; 14]).await.unwrap(), 0);
}

/// An older Redis repeats what it did not understand: nobody is shown that.
#[tokio::test]
async fn no_password_is_told_on() {
    for (protocol, answer) in [
        (RedisProtocol::Resp3, "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `anna`, `geheim`, \r\n"),
        (RedisProtocol::Resp2, "-ERR wrong number of arguments for 'auth' geheim\r\n"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let login = Some(RedisLogin { user: Some("anna".to_owned()), password: "geheim".to_owned() });
        let server = RedisServer { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port(), tls: false, login };
        let peer = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            let mut said = Vec::new();
            let _ = socket.read_to_end(&mut said).await;
            said
        });
        let redis = Redis { server, protocol, ..Redis::at("localhost:1").unwrap() };
        let Occurrence::Unreachable(fault) = Subscription::new(&redis, b"", 1024).next().await else { panic!("nobody subscribed") };
        assert!(fault.to_string().contains("ERR") && !format!("{fault} {fault:?}").contains("geheim"), "{fault}");
        assert!(peer.await.unwrap().windows(6).any(|part| part == b"geheim"), "it was said to Redis");
    }
}

/// W-2.5, W-10.6: at once, then after a tenth of a second, and so on, for ever.
#[tokio::test(start_paused = true)]
async fn attempts_go_on() {
    // Taken, and nobody listens.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let mut subscription = Subscription::new(&Redis::at(&address).unwrap(), b"", 1024);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        assert!(matches!(subscription.next().await, Occurrence::Unreachable(Fault::Io(_))));
        waits.push(begun.elapsed());
    }
    for (wait, most) in waits.iter().zip([0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]) {
        let most = Duration::from_millis(most);
        assert!((most / 2..=most + Duration::from_millis(2)).contains(wait), "{waits:?}");
    }
}
