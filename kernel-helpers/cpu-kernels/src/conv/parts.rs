//! How the groups of a convolution's channels are split between the kernels.

use super::Convolution;
use crate::LANES_MAX;

/// What the kernels see of a convolution's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each of so many channels alone.
    Depthwise(usize),
    /// Parts that see nothing of each other.
    Parts {
        /// How many.
        count: usize,
        /// Input channels of a part.
        inputs: usize,
        /// Output channels of a part.
        outputs: usize,
    },
}

impl Split {
    /// The same from outputs to inputs.
    pub fn reversed(self) -> Self {
        match self {
            Split::Depthwise(channels) => Split::Depthwise(channels),
            Split::Parts { count, inputs, outputs } => {
                Split::Parts { count, inputs: outputs, outputs: inputs }
            }
        }
    }
}

impl Convolution {
    /// Neighboring groups are taken together until their channels fill vectors. If they never do, all are one part, whose
    /// weight is zero between groups.
    pub(super) fn split(&self) -> Split {
        let Convolution { inputs, outputs, groups, .. } = *self;
        if groups > 1 && groups == inputs && groups == outputs {
            return Split::Depthwise(groups);
        }
        let count = (1..=groups).rev().find(|&count| {
            groups.is_multiple_of(count)
                && (count == 1 || [inputs, outputs].iter().all(|all| (all / count).is_multiple_of(LANES_MAX)))
        });
        let count = count.unwrap_or(1);
        Split::Parts { count, inputs: inputs / count, outputs: outputs / count }
    }

    /// Where `[O, I / groups, K, K]` has the weight between two channels; nowhere if they are in different groups.
    pub(super) fn weight_place(&self, output: usize, input: usize, ky: usize, kx: usize) -> Option<usize> {
        let seen = self.inputs / self.groups;
        let input = match self.groups {
            1 => Some(input),
            groups => input.checked_sub(output / (self.outputs / groups) * seen).filter(|at| *at < seen),
        };
        Some(((output * seen + input?) * self.kernel + ky) * self.kernel + kx)
    }
}
