//! Who may have a token, and which channel it is.

use super::{list, text, vectors};
use crate::wspush::settings::{Key, Keys, Settings};
use crate::wspush::token::{Token, carries};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use std::sync::Arc;

/// `token` as a query takes it.
fn query(token: &[u8]) -> String {
    let escaped: String = token.iter().map(|byte| format!("%{byte:02x}")).collect();
    format!("token={escaped}")
}

fn keyed(md5: bool, sha256: bool) -> Settings {
    let key = || Some(Key::parse(text(&vectors(), "hmac_key_flag")).unwrap());
    Settings { keys: Keys { md5: key().filter(|_| md5), sha256: key().filter(|_| sha256) }, ..Settings::default() }
}

/// A token that HMAC-SHA-256 signed with the key of the vectors.
fn by_sha256(payload: &[u8]) -> String {
    let mac = crate::auth::hmac_sha256(b"super secret key", &[payload]);
    BASE64_URL_SAFE_NO_PAD.encode([payload, &mac].concat())
}

fn channel(token: &[u8], settings: &Settings) -> String {
    let of_redis = Token::of_redis(token).unwrap().channel(settings);
    if let Some(of_query) = Token::of_query(&query(token), settings) {
        assert_eq!(of_query.channel(settings), of_redis, "clients and messages meet");
        assert_eq!(of_query.as_bytes(), token);
    }
    of_redis.as_str().to_owned()
}

/// W-3.2, W-3.3, W-3.4, W-3.6, W-10.8
#[test]
fn the_vectors_are_told_apart() {
    let vectors = vectors();
    for vector in list(&vectors, "tokens") {
        let (name, token) = (text(vector, "name"), text(vector, "token"));
        let signed = vector["hmac_required"].as_bool().unwrap();
        let accepted = Token::of_query(&query(token.as_bytes()), &keyed(signed, false)).is_some();
        assert_eq!(accepted, vector["tidings_status"] == "accept", "{name}");
        if let Some(payload) = vector["payload"].as_str().filter(|_| accepted) {
            assert_eq!(channel(token.as_bytes(), &keyed(true, false)), format!("private-{payload}"), "{name}");
        }
    }
    assert_eq!(text(&vectors, "hmac_key_ascii").as_bytes(), Key::parse(text(&vectors, "hmac_key_flag")).unwrap().as_bytes());
}

/// W-2.2, W-2.3
#[test]
fn what_follows_the_prefix_is_a_token() {
    for vector in list(&vectors(), "routing") {
        let rest = text(vector, "redis_channel").strip_prefix(text(vector, "prefix")).unwrap();
        assert_eq!(rest, text(vector, "token"));
        let token = Token::of_redis(rest.as_bytes());
        assert_eq!(token.as_ref().map(Token::as_bytes), Some(rest.as_bytes()).filter(|rest| !rest.is_empty()));
        assert_eq!(token, Token::of_query(&query(rest.as_bytes()), &Settings::default()));
    }
    assert!(Token::of_redis(&[b'a'; 128]).is_some() && Token::of_redis(&[b'a'; 129]).is_none());
}

/// W-3.1
#[test]
fn the_first_token_of_a_query_counts() {
    for (query, expected) in [
        ("token=Foo", Some(&b"Foo"[..])),
        ("a=b&token=Foo&token=Bar", Some(b"Foo")),
        ("&&token=Foo&", Some(b"Foo")),
        ("tok%65n=F%6fo", Some(b"Foo")),
        ("token=a+b%2Bc", Some(b"a b+c")),
        ("token=a=b", Some(b"a=b")),
        ("token=%ff%00", Some(b"\xff\0")),
        ("token=\u{e9}", Some("é".as_bytes())),
        // Passed over, as if it were not there.
        ("token=%zz&token=Foo", Some(b"Foo")),
        ("token=%4&token=Foo", Some(b"Foo")),
        ("token=%&token=Foo", Some(b"Foo")),
        ("token=a;b&token=Foo", Some(b"Foo")),
        ("token=a%3Bb", Some(b"a;b")),
        ("%zz=1&token=Foo", Some(b"Foo")),
        ("token=Foo;x=1", None),
        // The first one is empty, whatever follows.
        ("token=&token=Foo", None),
        ("token&token=Foo", None),
        ("", None),
        ("Token=Foo", None),
        ("tokens=Foo", None),
        ("token%20=Foo", None),
    ] {
        let token = Token::of_query(query, &Settings::default());
        assert_eq!(token.as_ref().map(Token::as_bytes), expected, "{query}");
    }
}

/// W-3.7
#[test]
fn sha256_signs_too() {
    let (md5, sha256) = ("dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0".to_owned(), by_sha256(b"user:42"));
    let longest = by_sha256(&[b'p'; 64]);
    assert_eq!((sha256.len(), longest.len()), (52, 128));
    let fits = |token: &str, settings: &Settings| Token::of_query(&query(token.as_bytes()), settings).is_some();
    for (settings, expected) in [
        (keyed(true, false), [true, false, false, false, false]),
        (keyed(false, true), [false, true, true, false, false]),
        (keyed(true, true), [true, true, true, false, false]),
        (keyed(false, false), [true, true, false, false, true]),
    ] {
        let found = [&md5, &sha256, &longest, &by_sha256(&[b'p'; 65]), &by_sha256(b"")].map(|token| fits(token, &settings));
        assert_eq!(found, expected, "{:?}", settings.keys);
    }
    assert!(!fits(&format!("{}A", &sha256[..51]), &keyed(false, true)) && !fits(&format!("{sha256}="), &keyed(false, true)));
    assert_eq!(channel(sha256.as_bytes(), &keyed(true, true)), "private-user:42");
}

/// What other dialects cannot name, or guard otherwise, is the relay's own.
#[test]
fn a_token_is_a_channel_of_all_or_of_its_relay() {
    let named = |relay: &str, settings: Settings| Settings { relay: Arc::from(relay), ..settings };
    for (token, settings, expected) in [
        (&b"Foo"[..], Settings::default(), "Foo"),
        ("Zoë ✓".as_bytes(), Settings::default(), "Zoë ✓"),
        (b"cache-x", Settings::default(), "cache-x"),
        (b"private-x", Settings::default(), "#wspush--private-x"),
        (b"presence-x", named("news", Settings::default()), "#wspush-news-presence-x"),
        (b"personal-x", Settings::default(), "#wspush--personal-x"),
        (b"peer-a:b&c", Settings::default(), "#wspush--peer-a%3Ab%26c"),
        (b"#server-to-user-1", Settings::default(), "#wspush--%23server-to-user-1"),
        (b"a\nb", Settings::default(), "#wspush--a%0Ab"),
        (b"\xff", Settings::default(), "#wspush--%FF"),
        (&[b'a'; 65], Settings::default(), &format!("#wspush--{}", "a".repeat(65))),
        (b"Foo", Settings { apart: true, ..Settings::default() }, "#wspush--Foo"),
        // The relay's name ends at the first dash, so that no two relays have a channel in common.
        (b"b-c", named("a", Settings { apart: true, ..Settings::default() }), "#wspush-a-b-c"),
        (b"c", named("a-b", Settings { apart: true, ..Settings::default() }), "#wspush-a%2Db-c"),
        // Not signed, so nobody can have it.
        (b"Foo", keyed(true, true), "#wspush--Foo"),
        (b"dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0", keyed(true, false), "private-user:42"),
        (b"dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0", keyed(false, true), "#wspush--dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0"),
        (b"dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0", Settings { apart: true, ..keyed(true, false) }, "#wspush--dXNlcjo0MvsQhXKCWRavYZ8zXiVMhZ0"),
    ] {
        assert_eq!(channel(token, &settings), expected, "{}", token.escape_ascii());
    }
    let control = by_sha256(b"a\0");
    assert_eq!(channel(control.as_bytes(), &keyed(false, true)), format!("#wspush--{control}"));
    let longest = named(&"é".repeat(50), Settings::default());
    assert!(channel(&[0xff; 128], &longest).len() < tidings_hub::CHANNEL_NAME_BYTES_MAX);
}

/// W-9.2
#[test]
fn a_token_does_not_show() {
    assert_eq!(format!("{:?}", Token::of_redis(b"Foo")), "Some(Token(…))");
}

proptest! {
    /// W-3.3, W-3.5: of what a key did not sign, nothing passes; of what it signed, nothing else does.
    #[test]
    fn a_signature_cannot_be_bent(payload in prop::collection::vec(any::<u8>(), 1..64), at in 0usize..200, to in any::<u8>()) {
        let mut token = by_sha256(&payload).into_bytes();
        let whole = Token::of_query(&query(&token), &keyed(false, true));
        prop_assert_eq!(whole.as_ref().map(Token::as_bytes), Some(&token[..]));
        let at = at % token.len();
        prop_assume!(token[at] != to);
        token[at] = to;
        prop_assert_eq!(Token::of_query(&query(&token), &keyed(true, true)), None);
    }

    /// Whatever stands in Redis is a channel, and two tokens are never the same one.
    #[test]
    fn tokens_keep_apart(one in prop::collection::vec(any::<u8>(), 1..129), other in prop::collection::vec(any::<u8>(), 1..129)) {
        for settings in [Settings::default(), Settings { apart: true, ..Settings::default() }, keyed(true, false)] {
            prop_assert_eq!(channel(&one, &settings) == channel(&other, &settings), one == other);
        }
    }

    /// W-3.1: no query is a fault.
    #[test]
    fn whatever_is_asked_for(query in "[token=%&;+a-f0-9é\u{0}]{0,60}") {
        let token = Token::of_query(&query, &Settings::default());
        prop_assert!(token.is_none_or(|token| (1..=64).contains(&token.as_bytes().len())));
    }
}

/// Whatever a token's channel is, the relay carries it; of others it carries what a token could be.
#[test]
fn a_relay_knows_its_channels() {
    let named = |relay: &str, settings: Settings| Settings { relay: Arc::from(relay), ..settings };
    let apart = |settings: Settings| Settings { apart: true, ..settings };
    let (plain, signed) = (Settings::default, || keyed(true, true));
    for settings in [plain(), signed(), apart(plain()), apart(signed()), named("a-b %", plain()), named("a-b %", apart(signed()))] {
        for token in [&b"Foo"[..], b"private-x", b"#x", b"a b\xff-", by_sha256(b"user:42").as_bytes(), by_sha256(b"\0").as_bytes()] {
            let channel = Token::of_redis(token).unwrap().channel(&settings);
            assert!(carries(&channel, &settings), "{channel} {settings:?}");
        }
    }
    for (channel, settings, expected) in [
        ("Foo", plain(), true),
        ("cache-Foo", plain(), true),
        ("Foo", signed(), false),
        ("Foo", apart(plain()), false),
        ("private-Foo", plain(), false),
        ("private-Foo", signed(), true),
        ("private-Foo", apart(signed()), false),
        ("presence-Foo", signed(), false),
        ("personal-Foo", signed(), false),
        ("#server-to-user-1", signed(), false),
        ("#wspush--Foo", plain(), true),
        ("#wspush--Foo", named("a", plain()), false),
        ("#wspush-a-Foo", named("a", plain()), true),
        ("#wspush-a%2Db-Foo", named("a", plain()), false),
        ("#wspush-a%2Db-Foo", named("a-b", plain()), true),
    ] {
        let channel = tidings_hub::ChannelName::parse(channel).unwrap();
        assert_eq!(carries(&channel, &settings), expected, "{channel} {settings:?}");
    }
}
