//! The layout in which the convolution kernels read a weight.

use crate::{AlignedVec, LANES_MAX};

/// Output channels whose weights are packed together: few enough that each one's line stays in the cache from input to
/// input.
pub const BLOCK: usize = 8;

/// The first of each such block of outputs with each input, in an order that stays on few pages of memory for a while,
/// whichever of the two lie closer together.
pub fn blocks_of_outputs(outputs: usize, inputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let pages = (0..outputs).step_by(64).flat_map(move |o| (0..inputs).step_by(8).map(move |i| (o, i)));
    pages.flat_map(move |(o, i)| {
        let inputs = move || i..inputs.min(i + 8);
        (o..outputs.min(o + 64)).step_by(BLOCK).flat_map(move |o| inputs().map(move |i| (o, i)))
    })
}

/// A weight in panels of 16 or 32 output channels: `[panel][ky][input channel][kx][output channel in the panel]`, so that
/// a tile of outputs reads it front to back. Output channels beyond the weight's own are zero.
#[derive(Clone, Debug, Default)]
pub struct PackedWeight {
    pub(super) data: AlignedVec,
    pub(super) taps: [usize; 2],
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) panel: usize,
}

impl PackedWeight {
    /// Packs `taps[0] x taps[1]` taps from `inputs` to `outputs` channels (padded to a multiple of 16), where
    /// `at(output, input, ky, kx)` is the weight.
    pub fn new(
        outputs: usize,
        inputs: usize,
        taps: [usize; 2],
        at: impl Fn(usize, usize, usize, usize) -> f32,
    ) -> Self {
        let padded = outputs.next_multiple_of(LANES_MAX);
        let panel = if padded.is_multiple_of(2 * LANES_MAX) { 2 * LANES_MAX } else { LANES_MAX };
        let mut data = AlignedVec::zeros(padded * inputs * taps[0] * taps[1]);
        let panel_size = taps[0] * inputs * taps[1] * panel;
        for (first, input) in blocks_of_outputs(outputs, inputs) {
            let start = first / panel * panel_size + first % panel;
            for ky in 0..taps[0] {
                for kx in 0..taps[1] {
                    let line = (ky * inputs + input) * taps[1] + kx;
                    let values = &mut data[start + line * panel..][..BLOCK];
                    for (output, value) in (first..outputs).zip(values) {
                        *value = at(output, input, ky, kx);
                    }
                }
            }
        }
        PackedWeight { data, taps, inputs, outputs: padded, panel }
    }
}
