//! Compressed messages: the examples of RFC 7692, round trips, bombs, windows.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;

use super::*;
use crate::transport::websocket::deflate::DEFLATE_BYTES_MIN;
use crate::transport::websocket::{Deflater, Window};

fn check_deflated(what: &str, frames: &[Vec<u8>], expected: &[Heard]) {
    check(what, Coding::Deflated, MAX, &frames.concat(), expected);
}

/// What a zlib peer makes of `payload`.
fn deflate(payload: &[u8], level: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + payload.len() / 8 + 64);
    Compress::new(Compression::new(level), false).compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.len() < out.capacity());
    out.truncate(out.len() - 4);
    out
}

/// Inflates in small steps, so that only the window of the receiver is there to refer to.
fn inflate_with_window(compressed: &[u8], window_bits: u8) -> Vec<u8> {
    let mut state = Decompress::new_with_window_bits(false, window_bits);
    let (mut out, mut step, input) = (Vec::new(), [0; 64], [compressed, &[0, 0, 0xff, 0xff]].concat());
    loop {
        let (read, written) = (state.total_in() as usize, state.total_out() as usize);
        state.decompress(&input[read..], &mut step, FlushDecompress::None).unwrap();
        out.extend(&step[..state.total_out() as usize - written]);
        if state.total_in() as usize == input.len() && state.total_out() as usize - written < step.len() {
            return out;
        }
    }
}

/// Bytes that no compressor makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(len).collect()
}

#[test]
fn examples_of_the_rfc() {
    // RFC 7692 section 7.2.3.
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    let last_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    for (what, frames, expected) in [
        ("7.2.3.1 one block", vec![frame(0xc1, &hello)], vec![text("Hello")]),
        ("7.2.3.1 in fragments", vec![frame(0x41, &hello[..3]), frame(0x80, &hello[3..])], vec![text("Hello")]),
        (
            "7.2.3.1 with a ping between",
            vec![frame(0x41, &hello[..3]), frame(0x89, b"p"), frame(0x80, &hello[3..])],
            vec![ping(b"p"), text("Hello")],
        ),
        ("7.2.3.2 each message afresh", vec![frame(0xc1, &hello), frame(0xc1, &hello)], vec![text("Hello"), text("Hello")]),
        (
            "7.2.3.2 a window that was not agreed on",
            vec![frame(0xc1, &hello), frame(0xc1, &[0xf2, 0x00, 0x11, 0x00, 0x00])],
            vec![text("Hello"), Heard::Fault(Fault::BadDeflate)],
        ),
        ("7.2.3.3 not compressed", vec![frame(0xc1, &stored)], vec![text("Hello")]),
        ("7.2.3.4 a final block", vec![frame(0xc1, &last_block)], vec![text("Hello")]),
        ("7.2.3.4 without the byte behind it", vec![frame(0xc1, &last_block[..7])], vec![text("Hello")]),
        ("7.2.1 two final blocks", vec![frame(0xc1, &[&last_block[..7], &last_block].concat())], vec![text("HelloHello")]),
        ("7.2.3.5 two blocks", vec![frame(0xc1, &two_blocks)], vec![text("Hello")]),
        ("7.2.3.6 empty", vec![frame(0xc1, &[0x00])], vec![text("")]),
        ("7.2.3.6 in fragments", vec![frame(0x41, &hello), frame(0x80, b"")], vec![text("Hello")]),
        ("nothing at all", vec![frame(0xc2, b"")], vec![Heard::Binary(vec![])]),
        (
            "plain and compressed in turn",
            vec![frame(0x81, b"a"), frame(0xc1, &hello), frame(0x81, b"b")],
            vec![text("a"), text("Hello"), text("b")],
        ),
    ] {
        check_deflated(what, &frames, &expected);
    }
}

#[test]
fn the_bit_of_compression() {
    // RFC 7692 section 6: on the first frame of a data message only, and only if it was negotiated.
    let fault = [Heard::Fault(Fault::ReservedBit)];
    check("not negotiated", Coding::Plain, MAX, &frame(0xc1, &[0]), &fault);
    for first in [0xc8, 0xc9, 0xca, 0x91, 0xa1, 0xd1, 0xe1, 0xf2] {
        check_deflated(&format!("{first:x}"), &[frame(first, b"")], &fault);
    }
    check_deflated("on a continuation", &[frame(0x41, &[0]), frame(0xc0, b"")], &fault);
    check_deflated("on a continuation of a plain message", &[frame(0x01, b"a"), frame(0xc0, &[0])], &fault);
}

#[test]
fn damaged_messages() {
    // RFC 7692 section 7.2.2; the code is that of data that cannot be read.
    assert_eq!(Fault::BadDeflate.code(), 1007);
    let whole = deflate(&b"abcdefghij".repeat(30), 6);
    for cut in 1..whole.len() - 1 {
        check_deflated(&format!("cut at {cut}"), &[frame(0xc2, &whole[..cut])], &[Heard::Fault(Fault::BadDeflate)]);
    }
    for payload in [&[0x07][..], &[0xff; 20], &[0x00, 0x05, 0x00, 0xfa], b"Hello"] {
        check_deflated(&format!("{payload:x?}"), &[frame(0xc2, payload)], &[Heard::Fault(Fault::BadDeflate)]);
    }
    check_deflated("not UTF-8", &[frame(0xc1, &deflate(b"abc\xff", 6))], &[Heard::Fault(Fault::NotUtf8)]);
}

#[test]
fn inflating_stops_at_the_limit() {
    let fault = [Heard::Fault(Fault::TooBig { max: 1000 })];
    for (len, level) in [(1001, 6), (1001, 0), (1_000_000, 9)] {
        let bomb = deflate(&vec![b'0'; len], level);
        check(&format!("{len} at level {level}"), Coding::Deflated, 1000, &frame(0xc1, &bomb), &fault);
    }
    let most = Heard::Text("0".repeat(1000));
    for level in [0, 1, 6, 9] {
        check("the limit", Coding::Deflated, 1000, &frame(0xc1, &deflate(&[b'0'; 1000], level)), std::slice::from_ref(&most));
    }
    check("an empty limit", Coding::Deflated, 0, &frame(0xc1, &[0]), &[text("")]);
    check("above an empty limit", Coding::Deflated, 0, &frame(0xc1, &deflate(b"0", 6)), &[Heard::Fault(Fault::TooBig { max: 0 })]);
}

#[test]
fn what_does_not_compress_may_still_reach_the_limit() {
    let payload = noise(MAX);
    for level in [0, 1, 6] {
        let compressed = deflate(&payload, level);
        assert!(compressed.len() > MAX);
        assert_eq!(hear(Coding::Deflated, MAX, [&frame(0xc2, &compressed)[..]]).0, [Heard::Binary(payload.clone())]);
    }
    let header = &frame(0xc2, &vec![0; MAX + MAX / 4])[..14];
    check("far too big", Coding::Deflated, MAX, header, &[Heard::Fault(Fault::TooBig { max: MAX })]);
}

#[test]
fn small_and_dense_messages_stay_plain() {
    let mut deflater = Deflater::default();
    for window in [Window::Large, Window::Small] {
        assert_eq!(deflater.compress(&[b'a'; DEFLATE_BYTES_MIN - 1], window), None);
        assert!(deflater.compress(&[b'a'; DEFLATE_BYTES_MIN], window).is_some_and(|compressed| compressed.len() < 20));
        assert_eq!(deflater.compress(&noise(5000), window), None);
        // The compressor is none the worse for having given up.
        let compressed = deflater.compress(&[b'b'; 5000], window).unwrap();
        assert_eq!(inflate_with_window(compressed, window.bits()), [b'b'; 5000]);
    }
}

/// Data with repetitions near and far.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"{\"event\":\"news\",\"data\":\"".to_vec()),
        Just(b"\"}".to_vec()),
        prop::collection::vec(b'a'..b'e', 1..60),
        prop::collection::vec(any::<u8>(), 1..300),
    ];
    (prop::collection::vec(word, 1..40), 1..4usize).prop_map(|(words, times)| words.concat().repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_compressed_inflates(payloads in prop::collection::vec(payload(), 1..4)) {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        for payload in payloads {
            for window in [Window::Large, Window::Small] {
                if let Some(compressed) = deflater.compress(&payload, window) {
                    prop_assert!(compressed.len() < payload.len());
                    prop_assert_eq!(inflater.inflate(compressed, payload.len()), Ok(&payload[..]));
                    prop_assert_eq!(inflate_with_window(compressed, window.bits()), &payload[..]);
                    prop_assert_eq!(inflater.inflate(compressed, payload.len() - 1), Err(Fault::TooBig { max: payload.len() - 1 }));
                }
            }
        }
    }

    #[test]
    fn what_clients_compress_inflates(payload in payload(), level in 0..10u32, seed: u64) {
        let compressed = deflate(&payload, level);
        let stream = frame(0xc2, &compressed);
        prop_assert_eq!(hear(Coding::Deflated, 1 << 20, pieces(&stream, seed)), (vec![Heard::Binary(payload)], true));
    }
}
