//! A layer that the executor has no node for, computed by candle at the place where it stands.

use super::load::{Kept, Reader, Target};
use super::parts::Parts;
use crate::graph::Layer;
use crate::graph::layered::{self, Context};
use crate::graph::plan::{Extent, Stage};
use base::Result;
use candle_core::{Device, Tensor, Var};
use cpu_kernels::AlignedVec;
use cpu_kernels::conv::Pixels;
use cpu_kernels::layout::{from_channels_last, to_channels_last};
use std::ops::Range;

/// The layer of a stage.
pub struct CandleLayer<'a> {
    pub stage: &'a Stage,
    pub layer: &'a Layer,
    /// The shapes of its parameters, and their places.
    pub parameters: Vec<(Vec<usize>, Range<usize>)>,
    pub values: &'a Parts<&'a [f32]>,
    pub train: bool,
    pub seed: u64,
    /// The shapes of its inputs.
    pub inputs: Vec<crate::graph::Shape>,
}

impl CandleLayer<'_> {
    /// The output for `count` images from `first` on.
    pub fn forward(
        &self,
        reader: &Reader,
        first: usize,
        count: usize,
        kept: Option<&mut [f32]>,
        z: &mut [f32],
    ) -> Result<()> {
        let inputs = self.inputs(reader, first, count, kept)?;
        let output = self.apply(&inputs, &self.tensors()?)?;
        write(&output, &self.stage.output, z)
    }

    fn apply(&self, inputs: &[Tensor], parameters: &[Tensor]) -> Result<Tensor> {
        let context = Context { train: self.train, parameters, running: None, seed: self.seed };
        Ok(layered::apply(self.layer, inputs, context)?.0)
    }

    fn tensors(&self) -> Result<Vec<Tensor>> {
        let tensor = |(shape, range): &(Vec<usize>, Range<usize>)| {
            Ok(Tensor::from_slice(&self.values[range.clone()], shape.clone(), &Device::Cpu)?)
        };
        self.parameters.iter().map(tensor).collect()
    }

    /// The inputs as candle's tensors.
    fn inputs(
        &self,
        reader: &Reader,
        first: usize,
        count: usize,
        mut kept: Option<&mut [f32]>,
    ) -> Result<Vec<Tensor>> {
        let read = self.stage.inputs.iter().zip(&self.inputs).enumerate();
        let tensor = |(index, (&activation, shape)): (usize, (&usize, &crate::graph::Shape))| {
            let extent = reader.plan.activations[activation].extent;
            let mut values = vec![0.0; count * extent.elements()];
            let mut room = AlignedVec::zeros(extent.values());
            let pixels = Pixels::dense(extent.size, extent.lanes());
            for (at, planes) in values.chunks_exact_mut(extent.elements()).enumerate() {
                let kept = kept.as_deref_mut().filter(|_| index == 0);
                let kept = kept.map(|kept| &mut kept[at * extent.values()..][..extent.values()]);
                reader.load(
                    activation,
                    first + at,
                    Target { kept: kept.map_or(Kept::Before, Kept::Here), values: &mut room, pixels },
                );
                from_channels_last(&room, pixels, planes, extent.channels, extent.size[1]);
            }
            Ok(Tensor::from_vec(values, shape.of_batch(count), &Device::Cpu)?)
        };
        read.map(tensor).collect()
    }

    /// The gradients by the inputs, each as [`Extent`] says, and by the parameters, added to `gradient`.
    pub fn backward(
        &self,
        reader: &Reader,
        count: usize,
        dz: &[f32],
        gradient: &mut Parts<Vec<f32>>,
    ) -> Result<Vec<Option<AlignedVec>>> {
        let vars = |tensors: Vec<Tensor>| {
            tensors.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()
        };
        let (inputs, parameters) = (vars(self.inputs(reader, 0, count, None)?)?, vars(self.tensors()?)?);
        let tensors = |vars: &[Var]| vars.iter().map(|var| var.as_tensor().clone()).collect::<Vec<_>>();
        let output = self.apply(&tensors(&inputs), &tensors(&parameters))?;
        let dz = read(dz, &self.stage.output, output.dims())?;
        let mut gradients = crate::ops::backward(&(output * dz)?.sum_all()?)?;
        for (var, (_, range)) in parameters.iter().zip(&self.parameters) {
            let Some(by_parameter) = gradients.remove(var) else { continue };
            let by_parameter = by_parameter.flatten_all()?.to_vec1::<f32>()?;
            gradient[range.clone()].iter_mut().zip(by_parameter).for_each(|(to, from)| *to += from);
        }
        let extents = self.stage.inputs.iter().map(|&activation| reader.plan.activations[activation].extent);
        let by_input = inputs.iter().zip(extents).map(|(var, extent)| {
            let Some(gradient) = gradients.remove(var) else { return Ok(None) };
            let mut values = AlignedVec::zeros(count * extent.values());
            write(&gradient, &extent, &mut values)?;
            Ok(Some(values))
        });
        by_input.collect()
    }
}

/// Writes a tensor's images channels last, padding zero.
fn write(tensor: &Tensor, extent: &Extent, to: &mut [f32]) -> Result<()> {
    let values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let pixels = Pixels::dense(extent.size, extent.lanes());
    to.fill(0.0);
    for (planes, to) in values.chunks_exact(extent.elements()).zip(to.chunks_exact_mut(extent.values())) {
        to_channels_last(planes, extent.channels, extent.size[1], to, pixels);
    }
    Ok(())
}

/// A tensor of these dimensions from images channels last.
fn read(from: &[f32], extent: &Extent, dims: &[usize]) -> Result<Tensor> {
    let pixels = Pixels::dense(extent.size, extent.lanes());
    let mut values = vec![0.0; from.len() / extent.values() * extent.elements()];
    for (planes, from) in values.chunks_exact_mut(extent.elements()).zip(from.chunks_exact(extent.values())) {
        from_channels_last(from, pixels, planes, extent.channels, extent.size[1]);
    }
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
}
