//! The categories of the Autobahn test suite, as tables.

use super::*;

fn fault(fault: Fault) -> Heard {
    Heard::Fault(fault)
}

#[test]
fn framing() {
    // Category 1: RFC 6455 sections 5.2 and 5.6.
    for len in [0, 1, 125, 126, 127, 128, 65535, 65536] {
        let payload = vec![b'*'; len];
        check_plain("1.1 text", &[frame(0x81, &payload)], &[Heard::Text("*".repeat(len))]);
        check_plain("1.2 binary", &[frame(0x82, &payload)], &[Heard::Binary(payload)]);
    }
}

#[test]
fn pings_and_pongs() {
    // Category 2: sections 5.5, 5.5.2 and 5.5.3.
    let binary: Vec<u8> = vec![0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    for (what, frames, expected) in [
        ("2.1 empty", vec![frame(0x89, b"")], vec![ping(b"")]),
        ("2.2 text", vec![frame(0x89, b"Hello, world!")], vec![ping(b"Hello, world!")]),
        ("2.3 not UTF-8", vec![frame(0x89, &binary)], vec![ping(&binary)]),
        ("2.4 the longest", vec![frame(0x89, &[0xfe; 125])], vec![ping(&[0xfe; 125])]),
        ("2.5 too long", vec![frame(0x89, &[0xfe; 126])], vec![fault(Fault::ControlTooLong)]),
        ("2.5 too long by far", vec![frame(0x8a, &[0; 65536])], vec![fault(Fault::ControlTooLong)]),
        ("2.7 a pong nobody asked for", vec![frame(0x8a, b"")], vec![pong(b"")]),
        ("2.8 with payload", vec![frame(0x8a, b"unasked")], vec![pong(b"unasked")]),
        ("2.9 then a ping", vec![frame(0x8a, b"unasked"), frame(0x89, b"ping")], vec![pong(b"unasked"), ping(b"ping")]),
    ] {
        check_plain(what, &frames, &expected);
    }
    let ten: Vec<_> = (0..10).map(|n| frame(0x89, &[n])).collect();
    let heard: Vec<_> = (0..10).map(|n| ping(&[n])).collect();
    check_plain("2.10 ten pings", &ten, &heard);
}

#[test]
fn reserved_bits() {
    // Category 3: section 5.2.
    for rsv in 1..8u8 {
        for opcode in [0x1, 0x2, 0x8, 0x9, 0xa] {
            let frames = [frame(0x81, b"Hello"), frame(0x80 | rsv << 4 | opcode, b""), frame(0x89, b"")];
            check_plain(&format!("3 rsv {rsv} opcode {opcode}"), &frames, &[text("Hello"), fault(Fault::ReservedBit)]);
        }
    }
}

#[test]
fn reserved_opcodes() {
    // Category 4: section 5.2.
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for fin in [0x00, 0x80] {
            let frames = [frame(0x81, b"Hello"), frame(fin | opcode, b"x"), frame(0x89, b"")];
            check_plain(&format!("4 opcode {opcode}"), &frames, &[text("Hello"), fault(Fault::ReservedOpcode(opcode))]);
        }
    }
}

#[test]
fn fragmentation() {
    // Category 5: section 5.4.
    let (first, middle, last) = (|data| frame(0x01, data), |data| frame(0x00, data), |data| frame(0x80, data));
    for (what, frames, expected) in [
        ("5.1 a ping in two", vec![frame(0x09, b"a"), last(b"b")], vec![fault(Fault::ControlFragmented)]),
        ("5.2 a pong in two", vec![frame(0x0a, b"a"), last(b"b")], vec![fault(Fault::ControlFragmented)]),
        ("5 a close in two", vec![frame(0x08, b""), last(b"")], vec![fault(Fault::ControlFragmented)]),
        ("5.3 two fragments", vec![first(b"fragment1"), last(b"fragment2")], vec![text("fragment1fragment2")]),
        (
            "5.6 a ping between",
            vec![first(b"fragment1"), frame(0x89, b"ping"), last(b"fragment2")],
            vec![ping(b"ping"), text("fragment1fragment2")],
        ),
        ("5.9 a continuation of nothing", vec![last(b"x"), frame(0x81, b"y")], vec![fault(Fault::NothingToContinue)]),
        ("5.12 one that is not final", vec![middle(b"x"), frame(0x81, b"y")], vec![fault(Fault::NothingToContinue)]),
        ("5 the same, empty", vec![last(b"")], vec![fault(Fault::NothingToContinue)]),
        ("5.15 one after a whole message", vec![first(b"a"), last(b"b"), middle(b"c")], vec![text("ab"), fault(Fault::NothingToContinue)]),
        ("5.18 a second start", vec![first(b"a"), frame(0x81, b"b")], vec![fault(Fault::MessageUnfinished)]),
        ("5.18 a second start, binary", vec![first(b"a"), frame(0x02, b"b")], vec![fault(Fault::MessageUnfinished)]),
        (
            "5.19 pings and pongs between",
            vec![first(b"1"), middle(b"2"), frame(0x89, b"p"), middle(b"3"), frame(0x8a, b"q"), middle(b"4"), last(b"5")],
            vec![ping(b"p"), pong(b"q"), text("12345")],
        ),
        ("5 a close between", vec![first(b"1"), frame(0x88, b""), last(b"2")], vec![Heard::Close(None, String::new())]),
        ("5 empty fragments", vec![first(b""), middle(b""), last(b"")], vec![text("")]),
        ("5 binary", vec![frame(0x02, &[0xff]), last(&[0xfe])], vec![Heard::Binary(vec![0xff, 0xfe])]),
        ("5 then another", vec![first(b"a"), last(b"b"), frame(0x82, b"c")], vec![text("ab"), Heard::Binary(b"c".to_vec())]),
    ] {
        check_plain(what, &frames, &expected);
    }
}

/// Texts whose encoding is at an edge of UTF-8 (RFC 3629 section 4), good and bad.
fn encodings() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        "κόσμε".into(),
        "Hello-µ@ßöäüàá-UTF-8!!".into(),
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited".to_vec(),
        // Cut short, and continued by something else.
        b"\xce".to_vec(),
        b"\xe1\xbd".to_vec(),
        b"\xf0\x90\x80".to_vec(),
        b"\xf0\x90\x80a".to_vec(),
        b"\xe1\xbda".to_vec(),
        // Bytes that start nothing.
        b"\x80".to_vec(),
        b"\xbf".to_vec(),
        b"\xfe".to_vec(),
        b"\xff".to_vec(),
        b"\xf8\x88\x80\x80\x80".to_vec(),
        b"\xfc\x84\x80\x80\x80\x80".to_vec(),
        // Longer than needed.
        b"\xc0\xaf".to_vec(),
        b"\xc1\xbf".to_vec(),
        b"\xe0\x80\xaf".to_vec(),
        b"\xe0\x9f\xbf".to_vec(),
        b"\xf0\x80\x80\xaf".to_vec(),
        b"\xf0\x8f\xbf\xbf".to_vec(),
        // Surrogates, alone and in pairs; beyond the last character.
        b"\xed\x9f\xbf".to_vec(),
        b"\xed\xa0\x80".to_vec(),
        b"\xed\xbf\xbf".to_vec(),
        b"\xed\xa0\x80\xed\xb0\x80".to_vec(),
        b"\xf4\x90\x80\x80".to_vec(),
        b"\xf5\x80\x80\x80".to_vec(),
    ];
    for last in [0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xfffe, 0xffff, 0x1_0000, 0x10_ffff] {
        all.push(char::from_u32(last).unwrap().to_string().into());
    }
    all
}

#[test]
fn utf8() {
    // Category 6: section 8.1, closed with 1007.
    assert_eq!(Fault::NotUtf8.code(), 1007);
    for bytes in encodings() {
        let expected = match str::from_utf8(&bytes) {
            Ok(valid) => text(valid),
            Err(_) => fault(Fault::NotUtf8),
        };
        check_plain(&format!("6 {bytes:x?}"), &[frame(0x81, &bytes)], std::slice::from_ref(&expected));
        for cut in 0..=bytes.len() {
            let frames = [frame(0x01, &bytes[..cut]), frame(0x80, &bytes[cut..])];
            check_plain(&format!("6.2 {bytes:x?} cut at {cut}"), &frames, std::slice::from_ref(&expected));
        }
        let octets: Vec<_> = bytes.iter().enumerate().map(|(at, byte)| frame(u8::from(at == 0), &[*byte])).collect();
        check_plain(&format!("6.2 {bytes:x?} in octets"), &[octets, vec![frame(0x80, b"")]].concat(), &[expected]);
    }
}

#[test]
fn utf8_fails_fast() {
    // Category 6.4: the message is never finished, but nothing could make it valid any more.
    let bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90";
    check_plain("6.4.1 in fragments", &[frame(0x01, &bad[..11]), frame(0x00, &bad[11..])], &[fault(Fault::NotUtf8)]);
    let long = [&bad[..], &[b'a'; 100]].concat();
    check("6.4.3 in one frame", Coding::Plain, MAX, &frame(0x81, &long)[..6 + bad.len()], &[fault(Fault::NotUtf8)]);
    check_plain("a character that may still become one", &[frame(0x01, &bad[..12])], &[]);
}

#[test]
fn closing() {
    // Category 7: sections 5.5.1 and 7.4.
    let close = |code: Option<u16>, reason: &str| Heard::Close(code, reason.to_owned());
    let long = "*".repeat(123);
    for (what, payload, expected) in [
        ("7.3.1 empty", &b""[..], close(None, "")),
        ("7.3.2 one byte", b"a", fault(Fault::CloseCut)),
        ("7.3.3 a code", b"\x03\xe8", close(Some(1000), "")),
        ("7.3.4 and a reason", b"\x03\xe8Hello World!", close(Some(1000), "Hello World!")),
        ("7.3.5 of 123 bytes", &[b"\x03\xe8", long.as_bytes()].concat(), close(Some(1000), &long)),
        ("7.3.6 of 124 bytes", &[b"\x03\xe8*", long.as_bytes()].concat(), fault(Fault::ControlTooLong)),
        ("7.5.1 not UTF-8", b"\x03\xe8\xce\xba\xed\xa0\x80", fault(Fault::NotUtf8)),
    ] {
        check_plain(what, &[frame(0x88, payload)], &[expected]);
    }
    // After the peer's close nothing counts: 7.1.2 to 7.1.6.
    check_plain("7.1.3 a ping after close", &[frame(0x88, b""), frame(0x89, b"")], &[close(None, "")]);
}

#[test]
fn close_codes() {
    // Categories 7.7 and 7.9: section 7.4.1, and the codes registered since.
    for code in 0..=u16::MAX {
        let may_travel = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = if may_travel { Heard::Close(Some(code), String::new()) } else { fault(Fault::CloseCode(code)) };
        assert_eq!(hear(Coding::Plain, MAX, [&frame(0x88, &code.to_be_bytes())[..]]).0, [expected]);
    }
    assert_eq!(Fault::CloseCode(1005).code(), 1002);
}

#[test]
fn limits_and_many_fragments() {
    // Categories 9 and 10: large messages, whole and in fragments of any size.
    let data: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    let whole = frame(0x82, &data);
    for piece in [997, 4096, 65536, 1 << 21] {
        assert_eq!(hear(Coding::Plain, 1 << 20, whole.chunks(piece)), (vec![Heard::Binary(data.clone())], true), "9.2 read by {piece}");
    }
    for size in [64, 256, 1300, 4096, 65536, 1 << 19] {
        let mut stream = frame(0x02, b"");
        data.chunks(size).for_each(|part| stream.extend(frame(0x00, part)));
        stream.extend(frame(0x80, b""));
        let heard = hear(Coding::Plain, 1 << 20, stream.chunks(16384));
        assert_eq!(heard, (vec![Heard::Binary(data.clone())], true), "9.4 and 10.1 in fragments of {size}");
    }
}
