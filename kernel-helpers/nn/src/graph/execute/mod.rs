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
mod join;
mod linear;
mod load;
mod norm;
mod parts;
mod pass;
mod ready;
mod rows;
mod stage;
mod workspace;

pub(crate) use workspace::Workspace;

use super::Graph;
use super::layered::{self, Context, Statistics};
use super::plan::Plan;
use crate::ops::{BatchStatistics, Values, among_threads};
use base::Result;
pub(crate) use ready::Ready;

use candle::CandleLayer;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, Var};
use cpu_kernels::Isa;
use evaluate::Evaluator;
use forward::Forward;
use join::Joined;
use norm::Scaling;
use parts::Parts;
use std::sync::{Arc, Mutex};
use workspace::Loan;

/// A network that is about to compute something.
#[derive(Clone)]
pub(crate) struct Network {
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
    parameters: &'a Parts<&'a [f32]>,
}

impl Network {
    /// The output for images `[N, C, H, W]` with each batch's own statistics, which come back with the places of their layers.
    /// `parameters` are in the order of the plan.
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn train(
        &self,
        images: &Tensor,
        parameters: &[Tensor],
        workspace: &Workspace,
    ) -> Result<(Tensor, Statistics)> {
        let images = images.contiguous()?;
        let batch = images.dim(0)?;
        let mut loan = workspace.borrow();
        let (joined, chain) = Joined::new(&contiguous(parameters)?)?;
        let forward = joined.read(&self.plan, |parameters| {
            let images = Values::of(&images)?;
            let step = self.step(batch, true, &images, parameters);
            among_threads(|| step.forward(&mut loan.buffers))
        })?;
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
        let op = TrainingStep { network: self.clone(), joined, forward, loan: Mutex::new(loan) };
        Ok((images.apply_op2(&chain, op)?, statistics))
    }

    /// The output with the running statistics, a pair of mean and variance for each batch norm's layer; otherwise as
    /// [`Self::train`].
    ///
    /// # Errors
    /// If a layer that candle computes fails.
    pub fn evaluate(
        &self,
        images: &Tensor,
        parameters: &[Tensor],
        running: &[Option<[Tensor; 2]>],
    ) -> Result<Tensor> {
        let images = images.contiguous()?;
        let (joined, chain) = Joined::new(&contiguous(parameters)?)?;
        let output = joined.read(&self.plan, |parameters| {
            let scalings = self.scalings(parameters, running)?;
            let batch = images.dim(0)?;
            let images = Values::of(&images)?;
            let step = self.step(batch, false, &images, parameters);
            among_threads(|| step.evaluate(&Evaluator::new(&step, scalings)))
        })?;
        let op = Evaluation { network: self.clone(), joined, running: running.to_vec(), output };
        Ok(images.apply_op2(&chain, op)?)
    }

    fn step<'a>(
        &'a self,
        batch: usize,
        train: bool,
        images: &'a [f32],
        parameters: &'a Parts<&'a [f32]>,
    ) -> Step<'a> {
        Step { network: self, plan: &self.plan, isa: self.isa, batch, train, images, parameters }
    }

    fn scalings(&self, parameters: &Parts<&[f32]>, running: &[Option<[Tensor; 2]>]) -> Result<Vec<Scaling>> {
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
            values: self.parameters,
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

/// The same tensors without gaps.
fn contiguous(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(|tensor| Ok(tensor.contiguous()?)).collect()
}

/// The network in training as a node of the graph, with what its backward pass needs.
struct TrainingStep {
    network: Network,
    joined: Joined,
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
        _chain: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = self.network.output_shape(layout.dims()[0]);
        Ok((CpuStorage::F32(self.forward.output.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        chain: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let output_gradient = output_gradient.contiguous()?;
        let mut loan = self.loan.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let gradients = self.joined.read(&self.network.plan, |parameters| {
            let (image_values, output_gradient) = (Values::of(images)?, Values::of(&output_gradient)?);
            let step = self.network.step(images.dim(0)?, true, &image_values, parameters);
            let (buffers, images_wanted) = (&mut loan.buffers, images.track_op());
            let output_gradient = &*output_gradient;
            among_threads(|| {
                if buffers.are_spent() {
                    step.forward(buffers)?;
                }
                step.backward(&self.forward, buffers, output_gradient, images_wanted)
            })
        })?;
        let tensor =
            |(values, like): (Vec<f32>, &Tensor)| Tensor::from_vec(values, like.dims(), like.device());
        let by_parameters = gradients.parameters.into_iter().zip(&self.joined.parameters).map(tensor);
        self.joined.give(by_parameters.collect::<candle_core::Result<_>>()?);
        let by_images = gradients.images.map(|gradient| tensor((gradient, images))).transpose()?;
        Ok((by_images, self.joined.by_chain(chain)?))
    }
}

/// The network in evaluation as a node of the graph. It keeps no activations: whoever wants gradients through an
/// evaluation pays for a second one, layer by layer.
struct Evaluation {
    network: Network,
    joined: Joined,
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
        _chain: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = self.network.output_shape(layout.dims()[0]);
        Ok((CpuStorage::F32(self.output.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        chain: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let images = Var::from_tensor(images)?;
        let parameters =
            self.joined.parameters.iter().map(|parameter| Ok(Var::from_tensor(parameter)?.into_inner()));
        let parameters = parameters.collect::<candle_core::Result<Vec<Tensor>>>()?;
        let output = self.network.layered(&images, &parameters, Some(&self.running))?;
        let mut gradients = (output * output_gradient)?.sum_all()?.backward()?;
        let by_parameters = parameters
            .iter()
            .map(|parameter| gradients.remove(parameter).map_or_else(|| parameter.zeros_like(), Ok));
        self.joined.give(by_parameters.collect::<candle_core::Result<_>>()?);
        Ok((gradients.remove(&images), self.joined.by_chain(chain)?))
    }
}

impl Network {
    /// The same layer by layer, with these statistics, or in training: the reference of the tests.
    pub(super) fn layered(
        &self,
        images: &Tensor,
        parameters: &[Tensor],
        running: Option<&[Option<[Tensor; 2]>]>,
    ) -> Result<Tensor> {
        let graph = &*self.graph;
        let mut parameters = parameters.iter();
        let mut of_layer = |layer: &super::Layer| -> Result<Vec<Tensor>> {
            let shapes = graph.parameters_of(layer).into_iter().map(|parameter| parameter.shape);
            shapes.zip(&mut parameters).map(|(shape, parameter)| Ok(parameter.reshape(shape)?)).collect()
        };
        let parameters: Vec<_> = graph.layers.iter().map(&mut of_layer).collect::<Result<_>>()?;
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
