//! The shapes of a residual network and where its parameters lie in one packed tensor.

use crate::kernels::LANES_MAX;
use crate::kernels::conv::Convolution;
use std::ops::Range;

/// A convolution with its batch norm.
#[derive(Clone, Debug)]
pub struct Unit {
    pub convolution: Convolution,
    /// Rows and columns.
    pub input: [usize; 2],
    pub output: [usize; 2],
    /// Where `[O, I, K, K]` lies among the packed parameters.
    pub weight: Range<usize>,
    /// γ.
    pub scale: Range<usize>,
    /// β.
    pub shift: Range<usize>,
}

/// A residual block, by the places of its units in [`Plan::units`].
#[derive(Clone, Copy, Debug)]
pub struct BlockPlan {
    pub first: usize,
    pub second: usize,
    pub mapping: Option<usize>,
}

/// What a network consists of: `units[0]` is the head.
#[derive(Clone, Debug)]
pub struct Plan {
    pub units: Vec<Unit>,
    pub blocks: Vec<BlockPlan>,
    pub classes: usize,
    /// The classifier's `[classes, features]` and `[classes]`.
    pub fc_weight: Range<usize>,
    pub fc_bias: Range<usize>,
    pub parameters: usize,
}

impl Unit {
    pub fn channels(&self) -> usize {
        self.convolution.outputs
    }

    /// Pixels of an output image.
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Values of an output image.
    pub fn values(&self) -> usize {
        self.pixels() * self.channels()
    }
}

/// Builds a [`Plan`] front to back.
#[derive(Default)]
pub struct PlanBuilder {
    units: Vec<Unit>,
    blocks: Vec<BlockPlan>,
    parameters: usize,
}

impl PlanBuilder {
    fn take(&mut self, count: usize) -> Range<usize> {
        self.parameters += count;
        self.parameters - count..self.parameters
    }

    /// Adds a unit and returns its place; none if the kernels do not compute it.
    pub fn unit(&mut self, convolution: Convolution, input: [usize; 2]) -> Option<usize> {
        let output = convolution.output_size(input)?;
        if !convolution.is_supported()
            || !convolution.outputs.is_multiple_of(LANES_MAX)
            || output.contains(&0)
        {
            return None;
        }
        let weight = self.take(convolution.outputs * convolution.inputs * convolution.kernel.pow(2));
        let (scale, shift) = (self.take(convolution.outputs), self.take(convolution.outputs));
        self.units.push(Unit { convolution, input, output, weight, scale, shift });
        Some(self.units.len() - 1)
    }

    /// Adds a block; none if the shapes of its units do not fit together.
    pub fn block(
        &mut self,
        first: Convolution,
        second: Convolution,
        mapping: Option<Convolution>,
        input: [usize; 2],
    ) -> Option<()> {
        let first = self.unit(first, input)?;
        let middle = &self.units[first];
        let (inputs, middle_channels, middle_size) =
            (middle.convolution.inputs, middle.channels(), middle.output);
        let second = self.unit(second, middle_size)?;
        let mapping = match mapping {
            Some(mapping) => Some(self.unit(mapping, input)?),
            None => None,
        };
        let result = &self.units[second];
        let skip = match mapping {
            Some(mapping) => (self.units[mapping].channels(), self.units[mapping].output),
            None => (inputs, input),
        };
        let fits = result.convolution.inputs == middle_channels
            && skip == (result.channels(), result.output)
            && mapping.is_none_or(|mapping| self.units[mapping].convolution.inputs == inputs);
        self.blocks.push(BlockPlan { first, second, mapping });
        fits.then_some(())
    }

    /// Rows, columns and channels so far.
    pub fn output(&self) -> ([usize; 2], usize) {
        let last = match self.blocks.last() {
            Some(block) => &self.units[block.second],
            None => &self.units[0],
        };
        (last.output, last.channels())
    }

    /// Adds the classifier.
    pub fn classifier(mut self, classes: usize) -> Plan {
        let fc_weight = self.take(classes * self.output().1);
        let fc_bias = self.take(classes);
        Plan {
            units: self.units,
            blocks: self.blocks,
            classes,
            fc_weight,
            fc_bias,
            parameters: self.parameters,
        }
    }
}

impl Plan {
    /// The unit whose normalized output, with the skip, ends in the input of block `block`; after the last block, in
    /// the features. Also the skip's unit.
    pub fn source(&self, block: usize) -> (usize, Option<usize>) {
        match block.checked_sub(1) {
            Some(before) => (self.blocks[before].second, self.blocks[before].mapping),
            None => (0, None),
        }
    }

    /// The unit that has the shape of the features before pooling.
    pub fn last(&self) -> &Unit {
        &self.units[self.source(self.blocks.len()).0]
    }
}
