//! Single weights that are not zero, in compressed sparse rows.

use super::misfit;
use crate::device::instruction_set;
use crate::fp_layers::FpConv;
use base::{Error, Result};
use candle_core::{Module, Tensor};
use cpu_kernels::SparseProduct;
use rayon::prelude::*;

/// A convolution whose weight is kept in *compressed sparse rows* (CSR): of every output channel the weights that are
/// not zero, each with its position. For each image, the pixels under the kernel are written out as a matrix `[in · K ·
/// K, H · W]` (im2col), and each non-zero weight is multiplied with its row of that.
///
/// The product is vectorized with the instructions that the dense kernels use and the images are shared among the
/// threads, but it is plain otherwise. It has no gradient.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let conv = FpConv::new((16, 16), 3, 1, Ste::default(), &mut rng, &Device::Cpu)?;
/// prune_by_percentage(&conv.weight, 0.9)?;
/// let sparse = SparseConv::of(&conv)?;
/// assert!(sparse.bytes() < 4 * conv.weight.elem_count() / 4);
/// let images = randn(0f32, 1.0, (2, 16, 8, 8), &mut rng, &Device::Cpu)?;
/// let difference = (sparse.forward(&images)? - conv.forward(&images)?)?.abs()?;
/// assert!(difference.max_all()?.to_scalar::<f32>()? < 1e-5);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseConv {
    shape: [usize; 4],
    stride: usize,
    padding: usize,
    starts: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl SparseConv {
    /// The convolution with its weight as the forward pass uses it, without the zeros.
    ///
    /// # Errors
    /// If the weight is not of rank 4 or cannot be copied, or the stride is 0.
    pub fn of(conv: &FpConv) -> Result<Self> {
        if conv.stride == 0 {
            return Err(Error::argument("stride", "at least 1", conv.stride));
        }
        let weight = conv.quantized_weight()?;
        let (outputs, inputs, rows, columns) = weight.dims4()?;
        let mut sparse = SparseConv {
            shape: [outputs, inputs, rows, columns],
            stride: conv.stride,
            padding: conv.padding,
            starts: vec![0],
            columns: Vec::new(),
            values: Vec::new(),
        };
        for row in weight.flatten_from(1)?.to_vec2::<f32>()? {
            for (column, value) in (0u32..).zip(row).filter(|(_, value)| *value != 0.0) {
                sparse.columns.push(column);
                sparse.values.push(value);
            }
            sparse.starts.push(sparse.values.len() as u32);
        }
        Ok(sparse)
    }

    /// What the weight takes in memory: 4 bytes for each value, each position and each row.
    pub fn bytes(&self) -> usize {
        4 * (self.starts.len() + self.columns.len() + self.values.len())
    }

    /// The pixels of an image `[in, height, width]` under each weight of the kernel, `[in · K · K, out_height ·
    /// out_width]`.
    fn image_columns(&self, image: &[f32], [height, width]: [usize; 2], out: [usize; 2]) -> Vec<f32> {
        let [_, inputs, kernel_rows, kernel_columns] = self.shape;
        let mut matrix = vec![0.0; inputs * kernel_rows * kernel_columns * out[0] * out[1]];
        for (index, row) in matrix.chunks_exact_mut(out[0] * out[1]).enumerate() {
            let (channel, at) =
                (index / (kernel_rows * kernel_columns), index % (kernel_rows * kernel_columns));
            let (down, across) = (at / kernel_columns, at % kernel_columns);
            let image = &image[channel * height * width..][..height * width];
            for (y, row) in row.chunks_exact_mut(out[1]).enumerate() {
                let Some(from) = inside(y * self.stride + down, self.padding, height) else { continue };
                let pixels = &image[from * width..][..width];
                for (x, value) in row.iter_mut().enumerate() {
                    if let Some(from) = inside(x * self.stride + across, self.padding, width) {
                        *value = pixels[from];
                    }
                }
            }
        }
        matrix
    }
}

/// A place in an image with padding as a place in the image; none in the padding.
fn inside(padded: usize, padding: usize, extent: usize) -> Option<usize> {
    padded.checked_sub(padding).filter(|place| *place < extent)
}

impl Module for SparseConv {
    /// `[N, in, H, W]` to `[N, out, …]` in f32 on the CPU.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let (count, channels, height, width) = images.dims4()?;
        let [outputs, inputs, rows, columns] = self.shape;
        let extent = |size: usize, kernel: usize| (size + 2 * self.padding).checked_sub(kernel);
        let (Some(last_row), Some(last_column), true) =
            (extent(height, rows), extent(width, columns), channels == inputs)
        else {
            return Ok(misfit(inputs, images)?);
        };
        let out = [last_row / self.stride + 1, last_column / self.stride + 1];
        let isa = instruction_set()?;
        let pixels: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let mut result = vec![0.0; count * outputs * out[0] * out[1]];
        let images = pixels.par_chunks_exact((channels * height * width).max(1));
        result.par_chunks_exact_mut((outputs * out[0] * out[1]).max(1)).zip(images).for_each(
            |(product, image)| {
                let right = self.image_columns(image, [height, width], out);
                isa.run(SparseProduct {
                    starts: &self.starts,
                    columns: &self.columns,
                    values: &self.values,
                    right: &right,
                    width: out[0] * out[1],
                    product,
                });
            },
        );
        Tensor::from_vec(result, (count, outputs, out[0], out[1]), &candle_core::Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fp_layers::Ste;
    use crate::prune::prune_by_percentage;
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn zeros_are_left_out_and_the_result_is_that_of_the_dense_layer() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (kernel, stride, extent) in [(3, 1, 8), (3, 2, 9), (1, 2, 8), (3, 1, 20)] {
            let conv = FpConv::new((5, 7), kernel, stride, Ste::default(), &mut rng, &Device::Cpu).unwrap();
            prune_by_percentage(&conv.weight, 0.8).unwrap();
            let sparse = SparseConv::of(&conv).unwrap();
            assert!(sparse.values.len() <= 7 * 5 * kernel * kernel / 5 + 1);
            assert_eq!(sparse.bytes(), 4 * (8 + 2 * sparse.values.len()));
            let images = Tensor::randn(0f32, 1f32, (3, 5, extent, extent), &Device::Cpu).unwrap();
            let (dense, skipping) = (conv.forward(&images).unwrap(), sparse.forward(&images).unwrap());
            assert_eq!(dense.dims(), skipping.dims());
            let difference = (dense - skipping).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(difference.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-5, "{kernel} / {stride}");
        }
    }

    #[test]
    fn images_of_other_channels_and_a_stride_of_nothing_are_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut conv = FpConv::new((5, 7), 3, 1, Ste::default(), &mut rng, &Device::Cpu).unwrap();
        let images = Tensor::zeros((1, 4, 8, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(SparseConv::of(&conv).unwrap().forward(&images).is_err());
        conv.stride = 0;
        let refused =
            [SparseConv::of(&conv).map(|_| ()), conv.forward(&images).map(|_| ()).map_err(Error::from)];
        for error in refused.map(|result| result.unwrap_err().to_string()) {
            assert_eq!(error, "stride: expected at least 1, found 0");
        }
    }
}
