//! Two-dimensional convolution.

use super::cpu::{Values, is_cpu_f32, values};
use crate::device::instruction_set;
use base::{Error, Result};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use cpu_kernels::conv::{BorderedImages, Convolution, ImagesAndGradients, InputGradient, Pixels};
use cpu_kernels::layout::{from_channels_last, to_channels_last};
use cpu_kernels::{Isa, LANES_MAX, images_per_group};
use rayon::prelude::*;

/// `x [N, C, H, W]` convolved with `weight [O, C, K, K]`, without bias; PyTorch's `F.conv2d`.
/// The result is `[N, O, (H + 2 padding - K) / stride + 1, …]`.
///
/// Our kernels compute it for f32 on the CPU with a square kernel and padding below K; candle's operator computes the
/// rest.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let y = ops::conv2d(&x, &weight, 2, 1)?; // stride 2, a border of zeros: the corners
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [4.0; 4]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If the shapes do not fit together, the stride is 0, or the kernel is larger than an image with its padding.
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> Result<Tensor> {
    grouped_conv2d(x, weight, stride, padding, 1)
}

/// [`conv2d`] with the channels of `x` and of the result split into so many groups, each output seeing the inputs of
/// its own group: `weight [O, C / groups, K, K]`. As many groups as channels make a depthwise convolution.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let x = Tensor::ones((1, 2, 3, 3), DType::F32, &Device::Cpu)?;
/// let depthwise = Tensor::ones((2, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let y = ops::grouped_conv2d(&x, &depthwise, 1, 0, 2)?; // each channel by itself
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [9.0, 9.0]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As for [`conv2d`], and if the groups do not divide both numbers of channels.
pub fn grouped_conv2d(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Result<Tensor> {
    conv2d_on(instruction_set()?, x, weight, [stride, padding, groups])
}

pub(super) fn conv2d_on(
    isa: Isa,
    x: &Tensor,
    weight: &Tensor,
    [stride, padding, groups]: [usize; 3],
) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let (outputs, seen, kernel, kernel_width) = weight.dims4()?;
    // Candle calculates with these without looking: it would divide by zero, or wrap around.
    if stride == 0 {
        return Err(Error::argument("stride", "at least 1", stride));
    }
    let inputs = x.dim(1)?;
    if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
        let expected = format!("a number that divides the channels, {inputs} and {outputs}");
        return Err(Error::argument("groups", expected, groups));
    }
    if seen * groups != inputs {
        let (expected, found) = (format!("a weight of {} inputs", inputs / groups), seen);
        return Err(Error::argument("weight", expected, found));
    }
    let fits = |taps: usize, extent: usize| {
        let padded = padding.checked_mul(2).and_then(|both| both.checked_add(extent));
        padded.is_some_and(|padded| (1..=padded).contains(&taps))
    };
    if !fits(kernel, height) || !fits(kernel_width, width) {
        let found = format!("{kernel} x {kernel_width} for {height} x {width} with a padding of {padding}");
        return Err(Error::argument("weight", "a kernel that fits into the image with its padding", found));
    }
    let op = Conv2d { convolution: Convolution { inputs, outputs, kernel, stride, padding, groups }, isa };
    if is_cpu_f32(&[x, weight]) && op.computes(x.dims(), weight.dims()) {
        return Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, op)?);
    }
    by_candle(x, weight, stride, padding, groups)
}

/// Candle's operator. Its gradient takes what the stride leaves over of the columns to be what it leaves over of the
/// rows, so nothing is left over here.
fn by_candle(x: &Tensor, weight: &Tensor, stride: usize, padding: usize, groups: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.conv2d(weight, padding, stride, 1, groups)?);
    }
    let mut x = x.clone();
    for axis in [2, 3] {
        x = x.pad_with_zeros(axis, padding, padding)?;
        let taps = weight.dim(axis)?;
        x = x.narrow(axis, 0, (x.dim(axis)? - taps) / stride * stride + taps)?;
    }
    Ok(x.conv2d(weight, 0, stride, 1, groups)?)
}

struct Conv2d {
    convolution: Convolution,
    isa: Isa,
}

/// The sizes of the images on their way through [`Conv2d`].
struct Sizes {
    input: [usize; 2],
    output: [usize; 2],
    /// Channels of the output, padded.
    outputs: usize,
    /// How many of the batch's images make a group.
    group: usize,
    /// How many of them the kernels take together.
    together: usize,
}

impl Conv2d {
    /// Whether our kernels compute this convolution of `x` with a weight of this shape.
    fn computes(&self, x: &[usize], weight: &[usize]) -> bool {
        let Convolution { inputs, outputs, kernel, groups, .. } = self.convolution;
        let &[batch, channels, height, width] = x else { return false };
        self.convolution.is_supported()
            && weight == [outputs, inputs / groups, kernel, kernel]
            && channels == inputs
            && batch * inputs * outputs > 0
            && self.convolution.output_size([height, width]).is_some()
    }

    fn sizes(&self, batch: usize, input: [usize; 2]) -> candle_core::Result<Sizes> {
        let Some(output) = self.convolution.output_size(input) else {
            candle_core::bail!("an image of {input:?} is smaller than the kernel")
        };
        // As many images in a group as are best taken together, if that leaves eight groups.
        let together = self.convolution.images_together(input).min(batch.div_ceil(8)).max(1);
        let group = images_per_group(batch).max(together);
        let outputs = self.convolution.outputs.next_multiple_of(LANES_MAX);
        Ok(Sizes { input, output, outputs, group, together })
    }

    /// Room for the images that are taken together, with their borders.
    fn input_room(&self, sizes: &Sizes) -> BorderedImages {
        let Convolution { padding, .. } = self.convolution;
        let size = self.convolution.padded_size(sizes.input);
        BorderedImages::new(sizes.together, size, self.convolution.pixel_channels(), padding)
    }
}

/// Lays images of `channels` planes out, `columns` to a row.
fn lay_out(planes: &[f32], image: usize, channels: usize, columns: usize, to: &mut [f32], pixels: Pixels) {
    for (at, planes) in planes.chunks_exact(image).enumerate() {
        to_channels_last(planes, channels, columns, to, pixels.of_image(at));
    }
}

/// The reverse of [`lay_out`].
fn take_up(
    images: &[f32],
    pixels: Pixels,
    planes: &mut [f32],
    image: usize,
    channels: usize,
    columns: usize,
) {
    for (at, planes) in planes.chunks_exact_mut(image).enumerate() {
        from_channels_last(images, pixels.of_image(at), planes, channels, columns);
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, inputs, height, width) = x_layout.shape().dims4()?;
        if !self.computes(x_layout.dims(), weight_layout.dims()) {
            let (x, weight) = (x_layout.dims(), weight_layout.dims());
            candle_core::bail!("{:?} of {x:?} with {weight:?} is no case for the kernels", self.convolution)
        }
        let Convolution { outputs, padding, .. } = self.convolution;
        let sizes = self.sizes(batch, [height, width])?;
        let filter = self.convolution.filter(values(weight, weight_layout)?, [height, width]);
        let (x_image, y_image) = (inputs * height * width, outputs * sizes.output[0] * sizes.output[1]);
        let (group, together) = (sizes.group, sizes.together);
        let mut y = vec![0.0; batch * y_image];
        y.par_chunks_mut(group * y_image).zip(values(x, x_layout)?.par_chunks(group * x_image)).for_each(
            |(y, x)| {
                let mut input = self.input_room(&sizes);
                let (inner, pixels) = (input.inner(), input.with_border(padding));
                let output_pixels = Pixels::dense(sizes.output, sizes.outputs);
                let mut output = vec![0.0; together * output_pixels.image];
                for (y, x) in y.chunks_mut(together * y_image).zip(x.chunks(together * x_image)) {
                    lay_out(x, x_image, inputs, width, &mut input.values, inner);
                    let count = x.len() / x_image;
                    filter.run(self.isa, count, &input.values, pixels, &mut output, output_pixels);
                    take_up(&output, output_pixels, y, y_image, outputs, sizes.output[1]);
                }
            },
        );
        Ok((CpuStorage::F32(y), Shape::from((batch, outputs, sizes.output[0], sizes.output[1]))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        y_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let y_gradient = y_gradient.contiguous()?;
        let (batch, _, height, width) = x.dims4()?;
        let sizes = self.sizes(batch, [height, width])?;
        let (x_gradient, weight_gradient) = self.gradients(
            &Values::of(x)?,
            &Values::of(weight)?,
            &Values::of(&y_gradient)?,
            &sizes,
            batch,
            x.track_op(),
        );
        let x_gradient =
            x_gradient.map(|gradient| Tensor::from_vec(gradient, x.dims(), x.device())).transpose()?;
        Ok((x_gradient, Some(Tensor::from_vec(weight_gradient, weight.dims(), weight.device())?)))
    }
}

impl Conv2d {
    /// The gradients by `x`, if wanted, and by `weight`.
    fn gradients(
        &self,
        x: &[f32],
        weight: &[f32],
        y_gradient: &[f32],
        sizes: &Sizes,
        batch: usize,
        x_wanted: bool,
    ) -> (Option<Vec<f32>>, Vec<f32>) {
        let Convolution { inputs, outputs, padding, .. } = self.convolution;
        let (x_image, y_image) = (x.len() / batch, y_gradient.len() / batch);
        let (group, together) = (sizes.group, sizes.together);
        let input_gradient = x_wanted.then(|| InputGradient::new(self.convolution, weight, sizes.input));
        let mut x_gradient = vec![0.0; if x_wanted { x.len() } else { 0 }];
        let mut x_gradient_groups: Vec<_> = x_gradient.chunks_mut(group * x_image).collect();
        x_gradient_groups.resize_with(batch.div_ceil(group), Default::default);
        let dx_pixels = Pixels::dense(sizes.input, inputs.next_multiple_of(LANES_MAX));

        let partial_sums: Vec<Vec<f32>> = x_gradient_groups
            .into_par_iter()
            .zip(x.par_chunks(group * x_image))
            .zip(y_gradient.par_chunks(group * y_image))
            .map(|((dx, x), dy)| {
                let mut sum = vec![0.0; self.convolution.weight_sum_size(sizes.output)];
                let mut images = self.input_room(sizes);
                let border = self.convolution.gradient_border();
                let bordered = self.convolution.gradient_size(sizes.input);
                let mut gradients = BorderedImages::new(together, bordered, sizes.outputs, border);
                let mut dx_images = vec![0.0; if x_wanted { together * dx_pixels.image } else { 0 }];
                let mut dx = dx.chunks_mut(together * x_image);
                for (x, dy) in x.chunks(together * x_image).zip(dy.chunks(together * y_image)) {
                    let (inner, dense) = (images.inner(), gradients.inner());
                    lay_out(x, x_image, inputs, sizes.input[1], &mut images.values, inner);
                    lay_out(dy, y_image, outputs, sizes.output[1], &mut gradients.values, dense);
                    let count = x.len() / x_image;
                    let pairs = ImagesAndGradients {
                        count,
                        input: &images.values,
                        input_pixels: images.with_border(padding),
                        gradient: &gradients.values,
                        gradient_pixels: dense,
                    };
                    self.convolution.add_weight_gradient(self.isa, pairs, sizes.output, &mut sum);
                    if let (Some(input_gradient), Some(dx)) = (&input_gradient, dx.next()) {
                        let pixels = gradients.with_border(border);
                        let dy = &gradients.values;
                        input_gradient.run(self.isa, count, dy, pixels, &mut dx_images, dx_pixels);
                        take_up(&dx_images, dx_pixels, dx, x_image, inputs, sizes.input[1]);
                    }
                }
                sum
            })
            .collect();

        let mut weight_gradient = vec![0.0; weight.len()];
        for sum in &partial_sums {
            self.convolution.finish_weight_sum(sum, sizes.output, &mut weight_gradient);
        }
        (x_wanted.then_some(x_gradient), weight_gradient)
    }
}

#[cfg(test)]
mod tests;
