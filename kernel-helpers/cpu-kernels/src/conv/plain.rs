//! The convolution and its gradients by their definition: what every kernel is tested against.

use super::Convolution;

/// What plain loops over f64 make of one image.
pub struct Plain {
    /// `[O, …]`.
    pub output: Vec<f64>,
    /// `Σ output · output_gradient` by the image, `[I, H, W]`.
    pub input_gradient: Vec<f64>,
    /// The same by the weight, `[O, I / groups, K, K]`.
    pub weight_gradient: Vec<f64>,
}

impl Convolution {
    /// All products of the definition for an image of `size`, each added where it belongs.
    pub fn plain(&self, size: [usize; 2], image: &[f64], weight: &[f64], output_gradient: &[f64]) -> Plain {
        let Convolution { inputs, outputs, kernel, stride, padding, groups } = *self;
        let ([rows, columns], [output_rows, output_columns]) = (size, self.output_size(size).unwrap());
        let zeros = |values: &[f64]| vec![0.0; values.len()];
        let (mut output, mut input_gradient) = (zeros(output_gradient), zeros(image));
        let mut weight_gradient = zeros(weight);
        let seen = inputs / groups;
        for w in 0..outputs * seen * kernel * kernel {
            let o = w / (kernel * kernel) / seen;
            let i = o / (outputs / groups) * seen + w / (kernel * kernel) % seen;
            let (ky, kx) = (w / kernel % kernel, w % kernel);
            for (y, x) in (0..output_rows).flat_map(|y| (0..output_columns).map(move |x| (y, x))) {
                let (row, column) = (stride * y + ky, stride * x + kx);
                let inside = (padding..rows + padding).contains(&row)
                    && (padding..columns + padding).contains(&column);
                if !inside {
                    continue;
                }
                let from = (i * rows + row - padding) * columns + column - padding;
                let to = (o * output_rows + y) * output_columns + x;
                output[to] += image[from] * weight[w];
                input_gradient[from] += output_gradient[to] * weight[w];
                weight_gradient[w] += output_gradient[to] * image[from];
            }
        }
        Plain { output, input_gradient, weight_gradient }
    }
}
