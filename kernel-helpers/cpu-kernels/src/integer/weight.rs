//! The layout in which the convolution reads a weight.

use super::{Bytes, CHANNELS_TOGETHER};
use crate::LANES_MAX;

/// A weight in panels of 16 or 32 output channels: `[panel][ky][kx][four input channels][output channel][input channel of the
/// four]`, so that a tile of outputs reads it front to back, and a row of taps as it reads neighboring pixels. Channels beyond
/// the weight's own are zero.
#[derive(Clone, Debug)]
pub struct IntegerWeight {
    pub(super) data: Bytes,
    pub(super) taps: [usize; 2],
    /// Groups of four input channels.
    pub(super) groups: usize,
    /// Padded to whole panels.
    pub(super) outputs: usize,
    pub(super) panel: usize,
}

impl IntegerWeight {
    /// Packs `taps[0] x taps[1]` taps from `inputs` to `outputs` channels, where `at(output, input, ky, kx)` is the weight.
    pub fn new(
        outputs: usize,
        inputs: usize,
        taps: [usize; 2],
        at: impl Fn(usize, usize, usize, usize) -> i8,
    ) -> Self {
        let padded = outputs.next_multiple_of(LANES_MAX);
        let panel = if padded.is_multiple_of(2 * LANES_MAX) { 2 * LANES_MAX } else { LANES_MAX };
        let groups = inputs.div_ceil(CHANNELS_TOGETHER);
        let mut data = Bytes::filled(padded * groups * CHANNELS_TOGETHER * taps[0] * taps[1], 0);
        for output in 0..outputs {
            let (first, lane) = (output / panel, output % panel);
            for input in 0..inputs {
                let (group, place) = (input / CHANNELS_TOGETHER, input % CHANNELS_TOGETHER);
                for (ky, kx) in (0..taps[0]).flat_map(|ky| (0..taps[1]).map(move |kx| (ky, kx))) {
                    let line = ((first * taps[0] + ky) * taps[1] + kx) * groups + group;
                    let value = at(output, input, ky, kx);
                    data[(line * panel + lane) * CHANNELS_TOGETHER + place] = value.cast_unsigned();
                }
            }
        }
        IntegerWeight { data, taps, groups, outputs: padded, panel }
    }

    /// Output channels, padded to a multiple of 16.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }
}
