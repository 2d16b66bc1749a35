//! The decoder itself: the examples of RFC 6455, lengths, limits, memory, round trips.

use proptest::prelude::*;

use super::*;
use crate::transport::websocket::frame;

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 24, "{}", size_of::<Decoder>());
}

#[test]
fn examples_of_the_rfc() {
    // RFC 6455 section 5.7.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check("a single-frame masked text message", Coding::Plain, MAX, &hello, &[text("Hello")]);
    let pong_frame = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check("a masked pong", Coding::Plain, MAX, &pong_frame, &[pong(b"Hello")]);
    let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    check("an unmasked text message", Coding::Plain, MAX, &unmasked, &[Heard::Fault(Fault::Unmasked)]);
    check_plain("a fragmented text message", &[super::frame(0x01, b"Hel"), super::frame(0x80, b"lo")], &[text("Hello")]);
    check_plain("256 bytes", &[super::frame(0x82, &[7; 256])], &[Heard::Binary(vec![7; 256])]);
    check_plain("64 KiB", &[super::frame(0x82, &[7; 65536])], &[Heard::Binary(vec![7; 65536])]);
}

#[test]
fn any_mask_will_do() {
    for mask in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 0x80]] {
        let stream = masked(0x81, b"the quick brown fox jumps", mask);
        check(&format!("mask {mask:?}"), Coding::Plain, MAX, &stream, &[text("the quick brown fox jumps")]);
    }
}

#[test]
fn complete_frames_are_borrowed_from_the_input() {
    let mut stream = [super::frame(0x81, b"one"), super::frame(0x82, b"two"), super::frame(0x89, b"three")].concat();
    let range = stream.as_ptr_range();
    let (mut decoder, mut inflater) = (Decoder::default(), Inflater::default());
    let mut messages = decoder.feed(&mut stream, MAX, &mut inflater);
    for _ in 0..3 {
        let payload = match messages.next_message().unwrap().unwrap() {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(payload) | Message::Ping(payload) => payload,
            other => panic!("{other:?}"),
        };
        assert!(range.contains(&payload.as_ptr()));
    }
    assert_eq!(messages.next_message(), Ok(None));
}

#[test]
fn lengths_must_be_shortest() {
    // RFC 6455 section 5.2.
    let mask = [0; 4];
    for (len, fault) in [
        (&[0xfe, 0, 0][..], Fault::BadLength),
        (&[0xfe, 0, 125], Fault::BadLength),
        (&[0xff, 0, 0, 0, 0, 0, 0, 0, 0], Fault::BadLength),
        (&[0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Fault::BadLength),
        (&[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], Fault::BadLength),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Fault::BadLength),
        (&[0xff, 0x40, 0, 0, 0, 0, 0, 0, 0], Fault::TooBig { max: MAX }),
        (&[0xff, 0, 0, 0, 0, 0, 1, 0, 1], Fault::TooBig { max: MAX }),
    ] {
        let stream = [&[0x82], len, &mask].concat();
        check(&format!("{len:x?}"), Coding::Plain, MAX, &stream, &[Heard::Fault(fault)]);
    }
}

#[test]
fn a_message_too_big_is_refused_by_its_header() {
    // P-2.8: 1009, fragments added up. Not one byte of the payload beyond the limit is sent.
    let header = |first, len: usize| super::frame(first, &vec![0; len])[..frame_len(len) - len + 4].to_vec();
    let fault = [Heard::Fault(Fault::TooBig { max: 1000 })];
    assert_eq!(Fault::TooBig { max: 1000 }.code(), 1009);
    check("one frame", Coding::Plain, 1000, &header(0x82, 1001), &fault);
    check("the first fragment", Coding::Plain, 1000, &header(0x02, 1001), &fault);
    let two = [super::frame(0x02, &[1; 600]), header(0x80, 401)].concat();
    check("two fragments", Coding::Plain, 1000, &two, &fault);
    let many = [super::frame(0x02, &[1; 500]), super::frame(0x00, &[1; 500]), super::frame(0x00, b""), header(0x00, 1)].concat();
    check("many fragments", Coding::Plain, 1000, &many, &fault);

    let most = [super::frame(0x02, &[1; 600]), super::frame(0x80, &[1; 400])].concat();
    check("exactly the limit", Coding::Plain, 1000, &most, &[Heard::Binary(vec![1; 1000])]);
    // Control frames do not count.
    let with_ping = [super::frame(0x02, &[1; 1000]), super::frame(0x89, &[2; 125]), super::frame(0x80, b"")].concat();
    check("a ping inside", Coding::Plain, 1000, &with_ping, &[ping(&[2; 125]), Heard::Binary(vec![1; 1000])]);
    check("a ping above a small limit", Coding::Plain, 10, &super::frame(0x89, &[2; 125]), &[ping(&[2; 125])]);
}

#[test]
fn only_what_is_in_progress_is_remembered() {
    let whole = super::frame(0x81, b"Hello");
    for cut in 1..whole.len() {
        assert!(!hear(Coding::Plain, MAX, [&whole[..cut]]).1, "cut at {cut}");
        assert!(hear(Coding::Plain, MAX, [&whole[..cut], &whole[cut..]]).1, "cut at {cut} and completed");
    }
    assert!(hear(Coding::Plain, MAX, [&whole[..]]).1);
    assert!(hear(Coding::Plain, MAX, [&[][..]]).1);
    let open = [super::frame(0x01, b"Hel"), super::frame(0x89, b"")].concat();
    assert!(!hear(Coding::Plain, MAX, [&open[..]]).1, "an unfinished message");
    let refused = [super::frame(0x01, b"Hel"), super::frame(0x81, b"")].concat();
    assert!(hear(Coding::Plain, MAX, [&refused[..]]).1, "a decoder that is over");
}

#[test]
fn nothing_is_heard_after_a_fault_or_a_close() {
    // RFC 6455 sections 5.5.1 and 7.1.7.
    for (what, last, heard) in
        [("close", super::frame(0x88, b""), Heard::Close(None, String::new())), ("fault", vec![0x81, 0], Heard::Fault(Fault::Unmasked))]
    {
        let stream = [super::frame(0x81, b"a"), last, super::frame(0x81, b"b"), super::frame(0x88, b"\x03\xe8")].concat();
        check(what, Coding::Plain, MAX, &stream, &[text("a"), heard]);
    }
}

fn payload_len() -> impl Strategy<Value = usize> {
    prop_oneof![0..4usize, 120..130usize, 65530..65540usize, 0..3000usize]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_server_writes_a_client_could_have_written(
        len in payload_len(), opcode in prop_oneof![Just(Opcode::Text), Just(Opcode::Binary)], mask: [u8; 4], seed: u64,
    ) {
        let payload: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
        let frame = frame::encode(opcode, Coding::Plain, &payload);
        let (header, unmasked) = frame.split_at(frame.len() - len);
        prop_assert_eq!(unmasked, &payload);
        let mut stream = header.to_vec();
        stream[1] |= 0x80;
        stream.extend(mask);
        stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        let expected = match opcode {
            Opcode::Text => Heard::Text(String::from_utf8(payload).unwrap()),
            _ => Heard::Binary(payload),
        };
        prop_assert_eq!(hear(Coding::Plain, 1 << 20, [&stream[..]]), (vec![expected.clone()], true));
        prop_assert_eq!(hear(Coding::Plain, 1 << 20, pieces(&stream, seed)), (vec![expected], true));
    }

    #[test]
    fn fragments_of_any_size_add_up(words in prop::collection::vec("\\PC{0,40}", 1..12), cuts: u64, seed: u64) {
        let whole = words.concat();
        let parts = pieces(whole.as_bytes(), cuts);
        let last = parts.len().saturating_sub(1);
        let mut stream = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let opcode = if at == 0 { 0x01 } else { 0x00 };
            stream.extend(super::frame(if at == last { 0x80 | opcode } else { opcode }, part));
        }
        let expected: Vec<Heard> = if parts.is_empty() { vec![] } else { vec![Heard::Text(whole.clone())] };
        prop_assert_eq!(hear(Coding::Plain, MAX, [&stream[..]]), (expected.clone(), true));
        prop_assert_eq!(hear(Coding::Plain, MAX, pieces(&stream, seed)), (expected, true));
    }

    #[test]
    fn any_bytes_are_heard_alike_however_cut(stream in prop::collection::vec(any::<u8>(), 0..200), deflate: bool, seed: u64) {
        let accepted = if deflate { Coding::Deflated } else { Coding::Plain };
        prop_assert_eq!(hear(accepted, 100, [&stream[..]]), hear(accepted, 100, pieces(&stream, seed)));
    }
}
