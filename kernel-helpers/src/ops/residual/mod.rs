//! A whole residual network as one operation.
//!
//! Layer by layer, every activation makes several trips to memory, and candle's autograd adds more: for each edge of the
//! graph it fills a tensor with zeros and adds the gradient to it. As one node of the graph the network keeps its
//! activations to itself, channels last, and joins what touches the same values. A step goes over the batch twice per
//! convolution, forward and back; `ARCHITECTURE.md` counts the bytes.

mod backward;
mod eval;
mod forward;
mod layered;
mod norm;
mod pass;
mod plan;
mod workspace;

pub use workspace::Workspace;

use super::BatchStatistics;
use super::cpu::{Values, is_cpu_f32};
use crate::Result;
use crate::kernels::Isa;
use crate::kernels::conv::Convolution;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, Var};
use forward::{Forward, Step};
use norm::Norm;
use plan::{Plan, PlanBuilder};
use std::sync::Mutex;
use workspace::Loan;

/// A convolution without bias and its batch norm.
#[derive(Clone, Debug)]
pub struct NormalizedConv {
    /// `[O, I, K, K]`.
    pub weight: Tensor,
    /// Step between neighboring outputs, in pixels.
    pub stride: usize,
    /// Zeros around the input, in pixels.
    pub padding: usize,
    /// γ, `[O]`.
    pub norm_weight: Tensor,
    /// β, `[O]`.
    pub norm_bias: Tensor,
    /// The mean used in evaluation, `[O]`.
    pub running_mean: Tensor,
    /// The variance used in evaluation, `[O]`.
    pub running_var: Tensor,
}

/// `relu(second(relu(first(x))) + mapping(x))`, without `mapping` the identity in its place.
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    /// The first convolution, which may have a stride.
    pub first: NormalizedConv,
    /// The second convolution.
    pub second: NormalizedConv,
    /// The skip's convolution.
    pub mapping: Option<NormalizedConv>,
}

/// The head with its ReLU, the blocks, global average pooling and a linear classifier.
#[derive(Clone, Debug)]
pub struct ResidualNetwork {
    /// The convolution of the images.
    pub head: NormalizedConv,
    /// The residual blocks.
    pub blocks: Vec<ResidualBlock>,
    /// The classifier's weight, `[classes, C]`.
    pub fc_weight: Tensor,
    /// The classifier's bias, `[classes]`.
    pub fc_bias: Tensor,
    /// Added to each variance before the square root.
    pub eps: f64,
}

impl ResidualNetwork {
    /// The logits `[N, classes]` of `images [N, C, H, W]` with each batch's own statistics, which come back in the order
    /// head, then first, second, mapping of each block. None where the kernels do not apply: they want f32 on the CPU,
    /// 1x1 or 3x3 convolutions with stride 1 or 2, and channel counts that are multiples of 16.
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn forward_train(
        &self,
        images: &Tensor,
        workspace: &Workspace,
    ) -> Result<Option<(Tensor, Vec<BatchStatistics>)>> {
        self.forward_train_on(Isa::current()?, images, workspace)
    }

    /// The logits with the running statistics; otherwise as [`ResidualNetwork::forward_train`].
    ///
    /// # Errors
    /// If the shapes do not fit together.
    pub fn forward_eval(&self, images: &Tensor) -> Result<Option<Tensor>> {
        self.forward_eval_on(Isa::current()?, images)
    }

    fn forward_train_on(
        &self,
        isa: Isa,
        images: &Tensor,
        workspace: &Workspace,
    ) -> Result<Option<(Tensor, Vec<BatchStatistics>)>> {
        let Some(plan) = self.plan(images)? else { return Ok(None) };
        let (images, parameters) = (images.contiguous()?, self.packed_parameters()?);
        let batch = images.dim(0)?;
        let mut loan = workspace.borrow(&plan, batch);
        let step = Step {
            plan: &plan,
            isa,
            batch,
            images: &Values::of(&images)?,
            parameters: &Values::of(&parameters)?,
            eps: self.eps,
        };
        let forward = step.forward(&mut loan.buffers);
        let statistics = plan.units.iter().zip(&forward.norms).map(|(unit, norm)| {
            Ok(BatchStatistics {
                mean: Tensor::new(norm.mean.as_slice(), images.device())?,
                variance: Tensor::new(norm.variance.as_slice(), images.device())?,
                count: batch * unit.pixels(),
            })
        });
        let statistics = statistics.collect::<Result<_>>()?;
        let op = TrainingStep { plan: plan.clone(), isa, eps: self.eps, forward, loan: Mutex::new(loan) };
        Ok(Some((images.apply_op2(&parameters, op)?, statistics)))
    }

    fn forward_eval_on(&self, isa: Isa, images: &Tensor) -> Result<Option<Tensor>> {
        let Some(plan) = self.plan(images)? else { return Ok(None) };
        let (images, parameters) = (images.contiguous()?, self.packed_parameters()?);
        let norms = self.running_norms(&plan, &Values::of(&parameters)?)?;
        let batch = images.dim(0)?;
        let logits =
            eval::evaluate(&plan, isa, &Values::of(&images)?, batch, &Values::of(&parameters)?, &norms);
        let op = Evaluation { plan, norms, eps: self.eps, logits };
        Ok(Some(images.apply_op2(&parameters, op)?))
    }

    fn convolutions(&self) -> impl Iterator<Item = &NormalizedConv> {
        let blocks = self.blocks.iter();
        let blocks =
            blocks.flat_map(|block| [Some(&block.first), Some(&block.second), block.mapping.as_ref()]);
        std::iter::once(&self.head).chain(blocks.flatten())
    }

    fn parameters(&self) -> Vec<&Tensor> {
        let units = self.convolutions().flat_map(|conv| [&conv.weight, &conv.norm_weight, &conv.norm_bias]);
        units.chain([&self.fc_weight, &self.fc_bias]).collect()
    }

    /// All parameters in one dimension, in the order of the plan.
    fn packed_parameters(&self) -> Result<Tensor> {
        let flat: Vec<_> =
            self.parameters().into_iter().map(Tensor::flatten_all).collect::<candle_core::Result<_>>()?;
        Ok(Tensor::cat(&flat, 0)?)
    }

    /// None where the kernels do not apply.
    fn plan(&self, images: &Tensor) -> Result<Option<Plan>> {
        let mut tensors = self.parameters();
        tensors.push(images);
        if !is_cpu_f32(&tensors) || images.rank() != 4 || images.elem_count() == 0 {
            return Ok(None);
        }
        let (_, channels, height, width) = images.dims4()?;
        Ok(self.plan_for(channels, [height, width]).filter(|plan| self.has_shapes_of(plan)))
    }

    fn plan_for(&self, channels: usize, size: [usize; 2]) -> Option<Plan> {
        let mut builder = PlanBuilder::default();
        let head = self.head.convolution()?;
        if head.inputs != channels {
            return None;
        }
        builder.unit(head, size)?;
        for block in &self.blocks {
            let (size, channels) = builder.output();
            let first = block.first.convolution()?;
            if first.inputs != channels {
                return None;
            }
            let mapping = match &block.mapping {
                Some(mapping) => Some(mapping.convolution()?),
                None => None,
            };
            builder.block(first, block.second.convolution()?, mapping, size)?;
        }
        Some(builder.classifier(self.fc_bias.elem_count()))
    }

    /// Whether the norms' and the classifier's parameters are as large as the plan says.
    fn has_shapes_of(&self, plan: &Plan) -> bool {
        let norms = self.convolutions().zip(&plan.units).all(|(conv, unit)| {
            let shape = [unit.channels()];
            [&conv.norm_weight, &conv.norm_bias, &conv.running_mean, &conv.running_var]
                .iter()
                .all(|tensor| tensor.dims() == shape)
        });
        norms
            && self.fc_weight.dims() == [plan.classes, plan.last().channels()]
            && self.fc_bias.dims() == [plan.classes]
    }

    fn running_norms(&self, plan: &Plan, parameters: &[f32]) -> Result<Vec<Norm>> {
        let norm = |(conv, unit): (&NormalizedConv, &plan::Unit)| {
            let mean = conv.running_mean.to_vec1::<f32>()?.into_iter().map(f64::from);
            let variance = conv.running_var.to_vec1::<f32>()?.into_iter().map(f64::from);
            Ok(Norm::new(unit, parameters, mean.zip(variance), self.eps))
        };
        self.convolutions().zip(&plan.units).map(norm).collect()
    }
}

impl NormalizedConv {
    fn convolution(&self) -> Option<Convolution> {
        let (outputs, inputs, kernel, width) = self.weight.dims4().ok()?;
        let convolution =
            Convolution { inputs, outputs, kernel, stride: self.stride, padding: self.padding, groups: 1 };
        (kernel == width).then_some(convolution)
    }
}

/// The network in training as a node of the graph, with what its backward pass needs.
struct TrainingStep {
    plan: Plan,
    isa: Isa,
    eps: f64,
    forward: Forward,
    loan: Mutex<Loan>,
}

impl CustomOp2 for TrainingStep {
    fn name(&self) -> &'static str {
        "residual network"
    }

    fn cpu_fwd(
        &self,
        _images: &CpuStorage,
        layout: &Layout,
        _parameters: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = Shape::from((layout.dims()[0], self.plan.classes));
        Ok((CpuStorage::F32(self.forward.logits.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _logits: &Tensor,
        logits_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let logits_gradient = logits_gradient.contiguous()?;
        let step = Step {
            plan: &self.plan,
            isa: self.isa,
            batch: images.dim(0)?,
            images: &Values::of(images)?,
            parameters: &Values::of(parameters)?,
            eps: self.eps,
        };
        let mut loan = self.loan.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let logits_gradient = Values::of(&logits_gradient)?;
        let gradients = step.backward(&self.forward, &mut loan.buffers, &logits_gradient, images.track_op());
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
    plan: Plan,
    norms: Vec<Norm>,
    eps: f64,
    logits: Vec<f32>,
}

impl CustomOp2 for Evaluation {
    fn name(&self) -> &'static str {
        "residual network in evaluation"
    }

    fn cpu_fwd(
        &self,
        _images: &CpuStorage,
        layout: &Layout,
        _parameters: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let shape = Shape::from((layout.dims()[0], self.plan.classes));
        Ok((CpuStorage::F32(self.logits.clone()), shape))
    }

    fn bwd(
        &self,
        images: &Tensor,
        parameters: &Tensor,
        _logits: &Tensor,
        logits_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (images, parameters) = (Var::from_tensor(images)?, Var::from_tensor(parameters)?);
        let logits = layered::logits(&self.plan, &images, &parameters, Some(&self.norms), self.eps)?;
        let mut gradients = (logits * logits_gradient)?.sum_all()?.backward()?;
        Ok((gradients.remove(&images), gradients.remove(&parameters)))
    }
}

#[cfg(test)]
mod numerics;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    pub fn train(images: &Tensor, packed: &Tensor) -> (Tensor, Tensor) {
        let net = tests::network(5);
        let plan = net.plan(images).unwrap().unwrap();
        let var = Var::from_tensor(packed).unwrap();
        let net = tests::with_parameters(&net, &plan, &var);
        let value = net.forward_train(images, &Workspace::default()).unwrap().unwrap().0;
        let gradient = value.sqr().unwrap().sum_all().unwrap().backward().unwrap().get(&var).unwrap().clone();
        (value, gradient)
    }
}
