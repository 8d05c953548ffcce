//! Weights that share the values of a codebook.

use super::Quantizer;
use super::straight_through::{on_cuda, values_of};
use base::{Error, Result};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor};

/// Shared weights (Deep Compression, Han et al., 2016): every weight is used as the nearest of a few values, the
/// codebook, which is trained with the weights. The codebook starts as the centers that k-means finds among the
/// weights.
///
/// A weight's value is chosen anew on every forward pass, by the weight as it is then. Going back, the gradient passes
/// to the weight as it is, and a value of the codebook gets the sum of the gradients of the weights that use it.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let layer = FpLinear::new(64, 32, Codebook { values: 16 }, &mut rng, &Device::Cpu)?;
/// let mut values: Vec<f32> = layer.quantized_weight()?.flatten_all()?.to_vec1()?;
/// values.sort_by(f32::total_cmp);
/// values.dedup();
/// assert!(values.len() <= 16);
/// assert_eq!(layer.quantization.parameters()[0].0, "codebook");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codebook {
    /// How many values there are, from 1 to 65,536.
    pub values: usize,
}

/// More rounds of k-means hardly move the centers.
const ROUNDS: usize = 50;

impl Quantizer for Codebook {
    fn quantize(&self, weight: &Tensor, parameters: &[Tensor]) -> Result<Tensor> {
        let [codebook] = parameters else {
            let expected = "a codebook, which Quantization::started_on gives";
            return Err(Error::argument("parameters", expected, parameters.len()));
        };
        Ok(weight.contiguous()?.apply_op2(&codebook.contiguous()?, Nearest)?)
    }

    fn parameters(&self, weight: &Tensor) -> Result<Vec<(String, Tensor)>> {
        if !(1..=1 << 16).contains(&self.values) {
            return Err(Error::argument("values", "1 to 65,536", self.values));
        }
        let mut weights = values_of(weight)?;
        weights.retain(|w| *w != 0.0);
        weights.sort_unstable_by(f32::total_cmp);
        Ok(vec![("codebook".to_owned(), Tensor::new(k_means(&weights, self.values), weight.device())?)])
    }

    fn description(&self) -> String {
        format!("codebook of {} values", self.values)
    }
}

/// The centers of `count` clusters of sorted values, by Lloyd's algorithm from centers that are evenly spaced over the
/// range, which Han et al. found to keep the few large weights best.
fn k_means(sorted: &[f32], count: usize) -> Vec<f32> {
    let (low, high) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
    let at = |index: usize| low + (high - low) * index as f32 / (count - 1).max(1) as f32;
    let mut centers: Vec<f32> = (0..count).map(at).collect();
    for _ in 0..ROUNDS {
        let before = centers.clone();
        let mut start = 0;
        for index in 0..count {
            let end = match before.get(index + 1) {
                Some(next) => sorted.partition_point(|w| *w <= middle(before[index], *next)),
                None => sorted.len(),
            };
            let cluster = &sorted[start..end.max(start)];
            if !cluster.is_empty() {
                let sum: f64 = cluster.iter().map(|w| f64::from(*w)).sum();
                centers[index] = (sum / cluster.len() as f64) as f32;
            }
            start = end.max(start);
        }
        if centers == before {
            break;
        }
    }
    centers
}

fn middle(low: f32, high: f32) -> f32 {
    low + (high - low) / 2.0
}

struct Nearest;

impl Nearest {
    /// For each weight that is not zero, which value of the codebook is nearest, and the lower of two equally near.
    fn choices(weights: &[f32], codebook: &[f32]) -> Vec<Option<usize>> {
        let mut order: Vec<usize> = (0..codebook.len()).collect();
        order.sort_by(|a, b| codebook[*a].total_cmp(&codebook[*b]));
        let middles: Vec<f32> =
            order.windows(2).map(|pair| middle(codebook[pair[0]], codebook[pair[1]])).collect();
        let choice = |w: &f32| order[middles.partition_point(|middle| middle < w)];
        weights.iter().map(|w| (*w != 0.0).then(|| choice(w))).collect()
    }
}

impl CustomOp2 for Nearest {
    fn name(&self) -> &'static str {
        "codebook quantizer"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        layout: &Layout,
        codebook: &CpuStorage,
        codebook_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (Some((start, end)), Some((first, last))) =
            (layout.contiguous_offsets(), codebook_layout.contiguous_offsets())
        else {
            candle_core::bail!("the quantizer expects a contiguous weight, found {layout:?}");
        };
        let codebook = &codebook.as_slice::<f32>()?[first..last];
        let choices = Self::choices(&weight.as_slice::<f32>()?[start..end], codebook);
        let quantized = choices.into_iter().map(|choice| choice.map_or(0.0, |choice| codebook[choice]));
        Ok((CpuStorage::F32(quantized.collect()), layout.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        weight: &CudaStorage,
        layout: &Layout,
        codebook: &CudaStorage,
        codebook_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (quantized, shape) =
            self.cpu_fwd(&weight.to_cpu_storage()?, layout, &codebook.to_cpu_storage()?, codebook_layout)?;
        on_cuda(quantized, &shape, weight)
    }

    fn bwd(
        &self,
        weight: &Tensor,
        codebook: &Tensor,
        _quantized: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let choices = Self::choices(&values_of(weight)?, &values_of(codebook)?);
        let mut sums = vec![0f64; codebook.elem_count()];
        for (choice, grad) in choices.into_iter().zip(values_of(grad)?) {
            if let Some(choice) = choice {
                sums[choice] += f64::from(grad);
            }
        }
        let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
        Ok((Some(grad.clone()), Some(Tensor::from_vec(sums, codebook.shape(), codebook.device())?)))
    }
}
