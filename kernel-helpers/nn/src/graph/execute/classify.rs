//! A linear layer with few outputs: too narrow to be worth a packed weight, and its sums are taken in the order of a plain loop.

use cpu_kernels::LANES_MAX;

/// The weight, one row of outputs for each input.
pub struct Classifier {
    rows: Vec<[f32; LANES_MAX]>,
    bias: [f32; LANES_MAX],
}

impl Classifier {
    /// Of `weight [O, I]`, at most 16 outputs.
    pub fn new(weight: &[f32], bias: Option<&[f32]>, inputs: usize) -> Self {
        let mut rows = vec![[0.0; LANES_MAX]; inputs];
        for (output, weight) in weight.chunks_exact(inputs).enumerate() {
            rows.iter_mut().zip(weight).for_each(|(row, value)| row[output] = *value);
        }
        let mut padded = [0.0; LANES_MAX];
        padded.iter_mut().zip(bias.unwrap_or_default()).for_each(|(to, bias)| *to = *bias);
        Self { rows, bias: padded }
    }

    /// The outputs of images with so many values each, padding included.
    pub fn run(&self, x: &[f32], values: usize, z: &mut [f32]) {
        for (x, z) in x.chunks_exact(values).zip(z.chunks_exact_mut(LANES_MAX)) {
            // Rounded twice, not once: as a plain loop does.
            let mut sums = [-0.0f32; LANES_MAX];
            for (x, row) in x.iter().zip(&self.rows) {
                for (sum, weight) in sums.iter_mut().zip(row) {
                    *sum += x * weight;
                }
            }
            for ((z, bias), sum) in z.iter_mut().zip(&self.bias).zip(sums) {
                *z = bias + sum;
            }
        }
    }
}

/// The gradients of a linear layer, image after image.
pub struct ClassifierGradient<'a> {
    pub inputs: usize,
    pub outputs: usize,
    pub weight: &'a [f32],
}

impl ClassifierGradient<'_> {
    /// Adds an image's gradients by weight and bias, given its input and the gradient `dz` at its output; writes that by the input.
    pub fn add(
        &self,
        x: &[f32],
        dz: &[f32],
        weight_gradient: &mut [f32],
        bias_gradient: Option<&mut [f32]>,
        dx: &mut [f32],
    ) {
        let dz = &dz[..self.outputs];
        if let Some(bias) = bias_gradient {
            bias.iter_mut().zip(dz).for_each(|(bias, dz)| *bias += dz);
        }
        dx.fill(0.0);
        let rows = self.weight.chunks_exact(self.inputs).zip(weight_gradient.chunks_exact_mut(self.inputs));
        for ((weight, gradient), dz) in rows.zip(dz) {
            gradient.iter_mut().zip(x).for_each(|(gradient, x)| *gradient += dz * x);
            dx.iter_mut().zip(weight).for_each(|(dx, weight)| *dx += dz * weight);
        }
    }
}
