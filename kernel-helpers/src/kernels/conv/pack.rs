//! The layout in which the convolution kernels read a weight.

use crate::kernels::{AlignedVec, LANES_MAX};

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
        let mut panels = data.chunks_exact_mut(panel);
        for first in (0..padded).step_by(panel) {
            for ky in 0..taps[0] {
                for input in 0..inputs {
                    for kx in 0..taps[1] {
                        for (output, value) in
                            (first..outputs).zip(panels.by_ref().next().into_iter().flatten())
                        {
                            *value = at(output, input, ky, kx);
                        }
                    }
                }
            }
        }
        PackedWeight { data, taps, inputs, outputs: padded, panel }
    }
}
