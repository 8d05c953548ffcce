//! Numbers of few bits, one after the other.

/// Codes of `n_bits` each, at most 16, one after the other, the lowest bits first.
///
/// ```
/// use kernel_helpers::checkpoint::{pack_codes, unpack_codes};
/// let bytes = pack_codes([5, 2, 7].into_iter(), 3);
/// assert_eq!(bytes, [0b1101_0101, 0b1]);
/// assert_eq!(unpack_codes(&bytes, 3).take(3).collect::<Vec<_>>(), [5, 2, 7]);
/// ```
pub fn pack_codes(codes: impl Iterator<Item = u16>, n_bits: u32) -> Vec<u8> {
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
///
/// ```
/// use kernel_helpers::checkpoint::unpack_codes;
/// assert_eq!(unpack_codes(&[0b10_01], 2).collect::<Vec<_>>(), [1, 2, 0, 0]);
/// ```
pub fn unpack_codes(bytes: &[u8], n_bits: u32) -> impl Iterator<Item = u16> {
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
