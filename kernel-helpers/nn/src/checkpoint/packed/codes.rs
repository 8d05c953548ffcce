//! Numbers of few bits, one after the other.

/// Codes of `n_bits` each, the lowest bits first.
pub(super) fn pack_codes(codes: impl Iterator<Item = u16>, n_bits: u32) -> Vec<u8> {
    let (mut bytes, mut bits, mut filled) = (Vec::new(), 0u32, 0);
    for code in codes {
        bits |= u32::from(code) << filled;
        filled += n_bits;
        while filled >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        bytes.push(bits as u8);
    }
    bytes
}

/// The codes that [`pack_codes`] packed, and what the last byte's free bits make up for.
pub(super) fn unpack_codes(bytes: &[u8], n_bits: u32) -> impl Iterator<Item = u16> {
    let (mut bytes, mut bits, mut filled) = (bytes.iter(), 0u32, 0);
    std::iter::from_fn(move || {
        while filled < n_bits {
            bits |= u32::from(*bytes.next()?) << filled;
            filled += 8;
        }
        let code = bits & ((1 << n_bits) - 1);
        bits >>= n_bits;
        filled -= n_bits;
        Some(code as u16)
    })
}
