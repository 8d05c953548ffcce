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
        // So few outputs at a time that their weights' lines stay in the cache from input to input.
        for first in (0..outputs).step_by(8) {
            let panel_size = taps[0] * inputs * taps[1] * panel;
            let mut lines = data[first / panel * panel_size..].chunks_exact_mut(panel);
            for ky in 0..taps[0] {
                for input in 0..inputs {
                    for (kx, line) in (0..taps[1]).zip(&mut lines) {
                        for (output, value) in (first..outputs).zip(&mut line[first % panel..][..8]) {
                            *value = at(output, input, ky, kx);
                        }
                    }
                }
            }
        }
        PackedWeight { data, taps, inputs, outputs: padded, panel }
    }
}
