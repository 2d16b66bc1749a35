//! The mask of client frames (RFC 6455 section 5.3).

/// Removes `mask` from `payload` in place; masking is the same. `payload` starts where the mask starts.
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::unmask;

    #[test]
    fn every_byte_meets_its_own_key() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..70 {
            let plain: Vec<u8> = (0..len).map(|at| at * 3).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
            let mut masked = plain.clone();
            unmask(&mut masked, mask);
            assert_eq!(masked, expected, "length {len}");
            unmask(&mut masked, mask);
            assert_eq!(masked, plain, "length {len}, twice");
        }
    }
}
