//! Blocks of weights that are not zero.

use super::misfit;
use crate::device::instruction_set;
use crate::fp_layers::FpConv;
use base::{Error, Result};
use candle_core::{Device, Module, Tensor};
use cpu_kernels::conv::{BlockSparse, BlockSparseWeight, BorderedImages, Convolution, Pixels};
use cpu_kernels::images_per_group;
use cpu_kernels::layout::{from_channels_last, to_channels_last};
use rayon::prelude::*;

/// Images that go through a layer together, while its weight is in the cache.
const TOGETHER: usize = 4;

/// A convolution whose weight is kept as a list of its blocks of 16 output channels, one input channel and one tap, without
/// those that are zero throughout: `Block { rows: 16, columns: 1 }` prunes such. A block is a vector, so that nothing is lost
/// but the zeros.
///
/// The images are convolved directly, channels last, and shared among the threads. It has no gradient.
///
/// A dense 3x3 convolution needs fewer multiplications than its definition has (Winograd), so that skipping begins to pay
/// where a good half of the blocks is zero.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = vgg(10)?.build(0, &Device::Cpu)?;
/// Pruning::new(0.9, 1).granularity(Block { rows: 16, columns: 1 }).prune(&net, 1, None)?;
/// let conv = net.conv("conv2")?; // 64 to 64 channels
/// let sparse = BlockSparseConv::of(&conv)?;
/// assert_eq!(sparse.blocks(), 231); // of 4 · 64 · 9
/// assert!(sparse.bytes() < 4 * conv.weight.elem_count() / 8);
/// let images = Tensor::ones((2, 64, 8, 8), DType::F32, &Device::Cpu)?;
/// let difference = (sparse.forward(&images)? - conv.forward(&images)?)?.abs()?;
/// assert!(difference.max_all()?.to_scalar::<f32>()? < 1e-5);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BlockSparseConv {
    convolution: Convolution,
    weight: BlockSparseWeight,
}

impl BlockSparseConv {
    /// The convolution with its weight as the forward pass uses it, without the blocks of zeros.
    ///
    /// # Errors
    /// If the weight is not `[O, I, K, K]` or cannot be copied, or the stride is 0.
    pub fn of(conv: &FpConv) -> Result<Self> {
        let FpConv { stride, padding, .. } = *conv;
        if stride == 0 {
            return Err(Error::argument("stride", "at least 1", stride));
        }
        let weight = conv.quantized_weight()?;
        let (outputs, inputs, kernel, width) = weight.dims4()?;
        if kernel != width || kernel == 0 {
            return Err(Error::argument("weight", "a square kernel", format!("{:?}", weight.dims())));
        }
        let convolution = Convolution { inputs, outputs, kernel, stride, padding, groups: 1 };
        let values: Vec<f32> = weight.flatten_all()?.to_vec1()?;
        Ok(Self { convolution, weight: BlockSparseWeight::new(&convolution, &values) })
    }

    /// How many blocks are not zero.
    pub fn blocks(&self) -> usize {
        self.weight.blocks()
    }

    /// What the weight takes in memory: 64 bytes for each block and 12 for its place.
    pub fn bytes(&self) -> usize {
        self.weight.bytes()
    }
}

impl Module for BlockSparseConv {
    /// `[N, in, H, W]` to `[N, out, …]` in f32 on the CPU.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let (count, channels, height, width) = images.dims4()?;
        let Convolution { inputs, outputs, padding, .. } = self.convolution;
        let Some(size) = self.convolution.output_size([height, width]).filter(|_| channels == inputs) else {
            return Ok(misfit(inputs, images)?);
        };
        let isa = instruction_set()?;
        let planes: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let (from, to) = ((inputs * height * width).max(1), (outputs * size[0] * size[1]).max(1));
        let mut result = vec![0.0; count * outputs * size[0] * size[1]];
        let group = images_per_group(count);
        result.par_chunks_mut(group * to).zip(planes.par_chunks(group * from)).for_each(
            |(result, planes)| {
                let padded = self.convolution.padded_size([height, width]);
                let mut input = BorderedImages::new(TOGETHER.min(group), padded, inputs, padding);
                let (inner, input_pixels) = (input.inner(), input.with_border(padding));
                let output_pixels = Pixels::dense(size, self.weight.outputs());
                let mut output = vec![0.0; TOGETHER.min(group) * output_pixels.image];
                for (result, planes) in result.chunks_mut(TOGETHER * to).zip(planes.chunks(TOGETHER * from)) {
                    for (at, planes) in planes.chunks_exact(from).enumerate() {
                        to_channels_last(planes, inputs, width, &mut input.values, inner.of_image(at));
                    }
                    isa.run(BlockSparse {
                        images: planes.len() / from,
                        input: &input.values,
                        input_pixels,
                        weight: &self.weight,
                        output: &mut output,
                        output_pixels,
                        size,
                    });
                    for (at, result) in result.chunks_exact_mut(to).enumerate() {
                        from_channels_last(&output, output_pixels.of_image(at), result, outputs, size[1]);
                    }
                }
            },
        );
        Tensor::from_vec(result, (count, outputs, size[0], size[1]), &Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fp_layers::Ste;
    use crate::prune::{AtOnce, Block, Pruning};
    use crate::sparse::SparseConv;
    use crate::{Network, Part, Visitor};
    use candle_nn::ModuleT;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use std::time::Instant;

    /// A network of one convolution, as pruning takes it.
    struct Single(FpConv);

    impl ModuleT for Single {
        fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
            self.0.forward(x)
        }
    }

    impl Network for Single {
        fn visit(&self, visitor: &mut Visitor) {
            Part::visit(&self.0, visitor);
        }
        fn device(&self) -> &Device {
            &Device::Cpu
        }
    }

    fn pruned(channels: (usize, usize), kernel: usize, stride: usize, zeros: f64) -> FpConv {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let net =
            Single(FpConv::new(channels, kernel, stride, Ste::default(), &mut rng, &Device::Cpu).unwrap());
        let pruning = Pruning::new(zeros, 1).granularity(Block { rows: 16, columns: 1 }).schedule(AtOnce);
        pruning.prune(&net, 1, None).unwrap();
        net.0
    }

    #[test]
    fn blocks_of_zeros_are_left_out_and_the_result_is_that_of_the_dense_layer() {
        for (kernel, stride, extent, count) in [(3, 1, 8, 3), (3, 2, 9, 1), (1, 2, 8, 9), (5, 1, 20, 150)] {
            let conv = pruned((5, 39), kernel, stride, 0.8);
            let sparse = BlockSparseConv::of(&conv).unwrap();
            assert!(2 * sparse.blocks() < 3 * 5 * kernel * kernel);
            let images = Tensor::randn(0f32, 1f32, (count, 5, extent, extent), &Device::Cpu).unwrap();
            let (dense, skipping) = (conv.forward(&images).unwrap(), sparse.forward(&images).unwrap());
            assert_eq!(dense.dims(), skipping.dims());
            let difference = (dense - skipping).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "{kernel} / {stride}");
        }
    }

    #[test]
    fn other_images_and_kernels_are_refused() {
        let mut conv = pruned((5, 7), 3, 1, 0.5);
        let images = Tensor::zeros((1, 4, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error =
            Error::from(BlockSparseConv::of(&conv).unwrap().forward(&images).unwrap_err()).to_string();
        assert_eq!(
            error,
            "images: expected images of 5 channels, at least as large as the kernel, found [1, 4, 8, 8]"
        );
        conv.stride = 0;
        let refused = BlockSparseConv::of(&conv).unwrap_err().to_string();
        assert_eq!(refused, "stride: expected at least 1, found 0");
        conv = FpConv {
            weight: candle_core::Var::from_tensor(&conv.weight.narrow(3, 0, 1).unwrap()).unwrap(),
            stride: 1,
            ..conv
        };
        let refused = BlockSparseConv::of(&conv).unwrap_err().to_string();
        assert_eq!(refused, "weight: expected a square kernel, found [7, 5, 3, 1]");
    }

    /// Milliseconds that a layer takes for 32 images on one thread, from `[N, C, H, W]` and back: densely, in sparse rows and in
    /// blocks: `cargo test -p nn --lib -- --ignored --nocapture pays`.
    #[test]
    #[ignore = "a measurement"]
    fn pays() {
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for (channels, extent) in [(64, 8), (32, 16), (16, 32)] {
            let images = Tensor::randn(0f32, 1f32, (32, channels, extent, extent), &Device::Cpu).unwrap();
            for zeros in [0.5, 0.75, 0.9, 0.95] {
                let conv = pruned((channels, channels), 3, 1, zeros);
                let (rows, blocks) = (SparseConv::of(&conv).unwrap(), BlockSparseConv::of(&conv).unwrap());
                let layers: [&(dyn Module + Sync); 3] = [&conv, &rows, &blocks];
                let times = layers.map(|layer| {
                    one_thread.install(|| {
                        let time = |_| {
                            let start = Instant::now();
                            layer.forward(&images).unwrap();
                            1e3 * start.elapsed().as_secs_f64()
                        };
                        (0..50).map(time).fold(f64::INFINITY, f64::min)
                    })
                });
                let [dense, rows, blocks] = times.map(|time| format!("{time:.2}"));
                println!(
                    "{channels} -> {channels}, {extent} x {extent}, {zeros} zeros: dense {dense}, rows {rows}, blocks {blocks}"
                );
            }
        }
    }
}
