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

/// How many of so many output channels make a panel.
fn panel(outputs: usize) -> usize {
    if outputs.is_multiple_of(2 * LANES_MAX) { 2 * LANES_MAX } else { LANES_MAX }
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
        let panel = panel(padded);
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

    /// Packs a matrix `[I, O]`.
    pub fn of_columns(matrix: &[f32], outputs: usize) -> Self {
        let inputs = matrix.len() / outputs;
        let mut packed = Self::of_matrix(outputs, inputs);
        let panel = packed.panel;
        for (at, packed) in packed.data.chunks_exact_mut(panel * inputs).enumerate() {
            let width = panel.min(outputs - at * panel);
            for (packed, row) in packed.chunks_exact_mut(panel).zip(matrix.chunks_exact(outputs)) {
                packed[..width].copy_from_slice(&row[at * panel..][..width]);
            }
        }
        packed
    }

    /// Zeros for a matrix.
    pub fn of_matrix(outputs: usize, inputs: usize) -> Self {
        let padded = outputs.next_multiple_of(LANES_MAX);
        let panel = panel(padded);
        PackedWeight {
            data: AlignedVec::zeros(padded * inputs),
            taps: [1; 2],
            inputs,
            outputs: padded,
            panel,
        }
    }
}
