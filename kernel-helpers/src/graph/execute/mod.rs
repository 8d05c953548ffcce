//! A whole network as one operation of candle.
//!
//! Layer by layer, every activation makes several trips to memory, and candle's autograd adds more: for each edge of the
//! graph it fills a tensor with zeros and adds the gradient to it. As one node of the graph the network keeps its
//! activations to itself, channels last, and joins what touches the same values. A step goes over the batch twice per
//! stage, forward and back; `ARCHITECTURE.md` counts the bytes.

mod backward;
mod batch;
mod candle;
mod classify;
mod evaluate;
mod forward;
mod gate;
mod linear;
mod load;
mod norm;
mod pass;
mod stage;
mod workspace;

pub use workspace::Workspace;

use super::Graph;
use super::layered::{self, Context, Statistics};
use super::plan::Plan;
use crate::Result;
use crate::kernels::Isa;
use crate::ops::{BatchStatistics, Values};
use candle::CandleLayer;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, Var};
use forward::Forward;
use norm::Scaling;
use std::sync::{Arc, Mutex};
use workspace::Loan;

/// A network that is about to compute something.
#[derive(Clone)]
pub struct Network {
    pub graph: Arc<Graph>,
    pub plan: Arc<Plan>,
    pub isa: Isa,
    /// What each layer's dropout is drawn from in this step.
    pub seeds: Vec<u64>,
}

/// The arguments of a pass.
#[derive(Clone, Copy)]
struct Step<'a> {
    network: &'a Network,
    plan: &'a Plan,
    isa: Isa,
    batch: usize,
    train: bool,
    /// `[N, C, H, W]`.
    images: &'a [f32],
    parameters: &'a [f32],
}

impl Network {
    /// The output for images `[N, C, H, W]` with each batch's own statistics, which come back with the places of their layers.
    /// `parameters` are all parameters in one dimension, in the order of the plan.
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn train(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        workspace: &Workspace,
    ) -> Result<(Tensor, Statistics)> {
        let images = images.contiguous()?;
        let batch = images.dim(0)?;
        let mut loan = workspace.borrow();
        let (images_values, parameter_values) = (Values::of(&images)?, Values::of(parameters)?);
        let forward = self.step(batch, true, &images_values, &parameter_values).forward(&mut loan.buffers)?;
        drop((images_values, parameter_values));
        let mut statistics = Vec::new();
        for stage in &self.plan.stages {
            let Some(affine) = stage.moments else { continue };
            let Some((layer, _)) = self.plan.affines[affine].norm else { continue };
            let norm = &forward.scalings[affine];
            let tensor = |values: &[f32]| Tensor::new(&values[..stage.output.channels], images.device());
            let (mean, variance) = (tensor(&norm.mean)?, tensor(&norm.variance)?);
            statistics
                .push((layer, BatchStatistics { mean, variance, count: batch * stage.output.pixels() }));
        }
        let op = TrainingStep { network: self.clone(), forward, loan: Mutex::new(loan) };
        Ok((images.apply_op2(parameters, op)?, statistics))
    }

    /// The output with the running statistics, a pair of mean and variance for each batch norm's layer; otherwise as
    /// [`Self::train`].
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn evaluate(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        running: &[Option<[Tensor; 2]>],
    ) -> Result<Tensor> {
        let images = images.contiguous()?;
        let (images_values, parameter_values) = (Values::of(&images)?, Values::of(parameters)?);
        let scalings = self.scalings(&parameter_values, running)?;
        let step = self.step(images.dim(0)?, false, &images_values, &parameter_values);
        let output = step.evaluate(&scalings)?;
        drop((images_values, parameter_values));
        let op = Evaluation { network: self.clone(), running: running.to_vec(), output };
        Ok(images.apply_op2(parameters, op)?)
    }

    fn step<'a>(&'a self, batch: usize, train: bool, images: &'a [f32], parameters: &'a [f32]) -> Step<'a> {
        Step { network: self, plan: &self.plan, isa: self.isa, batch, train, images, parameters }
    }

    fn scalings(&self, parameters: &[f32], running: &[Option<[Tensor; 2]>]) -> Result<Vec<Scaling>> {
        let scaling = |affine: &super::plan::Affine| {
            let running = affine.norm.as_ref().and_then(|(layer, _)| running[*layer].as_ref());
            let Some([mean, variance]) = running else { return Ok(Scaling::bias(affine, parameters)) };
            let (mean, variance) =
                (mean.to_vec1::<f32>()?.into_iter(), variance.to_vec1::<f32>()?.into_iter());
            Ok(Scaling::norm(affine, parameters, mean.map(f64::from).zip(variance.map(f64::from))))
        };
        self.plan.affines.iter().map(scaling).collect()
    }

    fn output_shape(&self, batch: usize) -> Shape {
        Shape::from(self.graph.layers[self.graph.output].shape.of_batch(batch))
    }
}

impl<'a> Step<'a> {
    /// The layer of a stage, if candle computes it.
    fn candle_layer(&self, stage: usize) -> Option<CandleLayer<'a>> {
        let stage = &self.plan.stages[stage];
        if !matches!(stage.work, super::plan::Work::Candle) {
            return None;
        }
        let graph: &Graph = &self.network.graph;
        let layer = &graph.layers[stage.layer];
        let shapes = graph.parameters_of(layer).into_iter().map(|parameter| parameter.shape);
        let parameters = shapes.zip(self.plan.parameters[stage.layer].iter().cloned()).collect();
        let inputs = layer.inputs.iter().map(|&input| graph.layers[input].shape).collect();
        let seed = self.network.seeds[stage.layer];
        Some(CandleLayer {
            stage,
            layer,
            parameters,
            packed: self.parameters,
            train: self.train,
            seed,
            inputs,
        })
    }

    /// The most channels that anything has.
    fn most_lanes(&self) -> usize {
        self.plan.activations.iter().map(|activation| activation.extent.lanes()).max().unwrap_or(0)
    }
}

/// The network in training as a node of the graph, with what its backward pass needs.
struct TrainingStep {
    network: Network,
    forward: Forward,
    loan: Mutex<Loan>,
}

impl CustomOp2 for TrainingStep {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        _images: &CpuStorage,
        layout: &Layout,
        _parameters: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = self.network.output_shape(layout.dims()[0]);
        Ok((CpuStorage::F32(self.forward.output.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let output_gradient = output_gradient.contiguous()?;
        let (image_values, values) = (Values::of(images)?, Values::of(parameters)?);
        let step = self.network.step(images.dim(0)?, true, &image_values, &values);
        let mut loan = self.loan.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let output_gradient = Values::of(&output_gradient)?;
        if loan.buffers.are_spent() {
            step.forward(&mut loan.buffers)?;
        }
        let gradients =
            step.backward(&self.forward, &mut loan.buffers, &output_gradient, images.track_op())?;
        let images_gradient =
            gradients.images.map(|gradient| Tensor::from_vec(gradient, images.dims(), images.device()));
        let parameters_gradient =
            Tensor::from_vec(gradients.parameters, parameters.dims(), parameters.device())?;
        Ok((images_gradient.transpose()?, Some(parameters_gradient)))
    }
}

/// The network in evaluation as a node of the graph. It keeps no activations: whoever wants gradients through an
/// evaluation pays for a second one, layer by layer.
struct Evaluation {
    network: Network,
    running: Vec<Option<[Tensor; 2]>>,
    output: Vec<f32>,
}

impl CustomOp2 for Evaluation {
    fn name(&self) -> &'static str {
        "network in evaluation"
    }

    fn cpu_fwd(
        &self,
        _images: &CpuStorage,
        layout: &Layout,
        _parameters: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = self.network.output_shape(layout.dims()[0]);
        Ok((CpuStorage::F32(self.output.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (images, parameters) = (Var::from_tensor(images)?, Var::from_tensor(parameters)?);
        let output = self.network.layered(&images, &parameters, Some(&self.running))?;
        let mut gradients = (output * output_gradient)?.sum_all()?.backward()?;
        Ok((gradients.remove(&images), gradients.remove(&parameters)))
    }
}

impl Network {
    /// The same layer by layer, with these statistics, or in training: the reference of the tests.
    pub(super) fn layered(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        running: Option<&[Option<[Tensor; 2]>]>,
    ) -> Result<Tensor> {
        let graph = &*self.graph;
        let of_layer =
            |(layer, ranges): (&super::Layer, &Vec<std::ops::Range<usize>>)| -> Result<Vec<Tensor>> {
                let shapes = graph.parameters_of(layer).into_iter().map(|parameter| parameter.shape);
                let take = |(shape, range): (Vec<usize>, &std::ops::Range<usize>)| {
                    Ok(parameters.narrow(0, range.start, range.len())?.reshape(shape)?)
                };
                shapes.zip(ranges).map(take).collect()
            };
        let parameters: Vec<_> =
            graph.layers.iter().zip(&self.plan.parameters).map(of_layer).collect::<Result<_>>()?;
        let cast = |pair: &[Tensor; 2]| -> Result<[Tensor; 2]> {
            Ok([pair[0].to_dtype(images.dtype())?, pair[1].to_dtype(images.dtype())?])
        };
        let running: Vec<Option<[Tensor; 2]>> = match running {
            Some(running) => {
                running.iter().map(|pair| pair.as_ref().map(cast).transpose()).collect::<Result<_>>()?
            }
            None => vec![None; graph.layers.len()],
        };
        let train = running.iter().all(Option::is_none);
        let context = |at: usize| Context {
            train,
            parameters: &parameters[at],
            running: running[at].as_ref().map(|[mean, variance]| [mean, variance]),
            seed: self.seeds[at],
        };
        Ok(layered::forward(graph, images, context)?.0)
    }
}

#[cfg(test)]
mod numerics;
#[cfg(test)]
mod tests;
