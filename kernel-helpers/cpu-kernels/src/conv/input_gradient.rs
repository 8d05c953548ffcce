//! The gradient of a convolution by its input, as convolutions of the output's gradient.

use super::{Convolution, Filter, FilterShape, Pixels};
use crate::Isa;

/// What [`InputGradient::run`] needs of a weight. With stride 1 it is one convolution with the flipped weight; with
/// stride 2 the input's even and odd rows and columns see different taps, which makes four smaller convolutions.
#[derive(Clone, Debug)]
pub struct InputGradient {
    convolution: Convolution,
    phases: Vec<Phase>,
}

#[derive(Clone, Debug)]
struct Phase {
    /// The first input row and column of the phase; the others follow a stride apart.
    first: [usize; 2],
    /// The first row and column of the bordered output gradient that it reads.
    start: [usize; 2],
    filter: Filter,
}

/// The taps that connect input rows `first, first + stride, …` with outputs, last tap first, and the distance from the
/// row's quotient by the stride to the first output.
fn taps(convolution: &Convolution, first: usize) -> (Vec<usize>, isize) {
    let from = first + convolution.padding;
    let taps: Vec<usize> = (0..convolution.kernel)
        .rev()
        .filter(|tap| tap % convolution.stride == from % convolution.stride)
        .collect();
    let distance =
        taps.first().map_or(0, |&last| (from as isize - last as isize) / convolution.stride as isize);
    (taps, distance)
}

impl InputGradient {
    /// Prepares `weight [O, I / groups, K, K]` for inputs of `size` rows and columns.
    pub fn new(convolution: Convolution, weight: &[f32], size: [usize; 2]) -> Self {
        let stride = convolution.stride;
        let border = convolution.gradient_border() as isize;
        let rows = convolution.output_size(size).map_or(0, |[rows, _]| rows as isize);
        let mut phases = Vec::new();
        for y in 0..stride.min(size[0]) {
            for x in 0..stride.min(size[1]) {
                let ((taps_y, distance_y), (taps_x, distance_x)) =
                    (taps(&convolution, y), taps(&convolution, x));
                let empty = taps_y.is_empty() || taps_x.is_empty();
                let taps = if empty { [0, 1] } else { [taps_y.len(), taps_x.len()] };
                let shape = FilterShape { split: convolution.split().reversed(), taps, stride: 1 };
                let size = [(size[0] - y).div_ceil(stride), (size[1] - x).div_ceil(stride)];
                let filter = Filter::new(shape, size, |input, output, ky, kx| {
                    let place = convolution.weight_place(output, input, taps_y[ky], taps_x[kx]);
                    place.map_or(0.0, |place| weight[place])
                });
                let [begin, end] = [0, rows].map(|row| (row - distance_y).max(0) as usize);
                phases.push(Phase {
                    first: [y, x],
                    start: [(border + distance_y) as usize, (border + distance_x) as usize],
                    filter: filter.filled(begin..end),
                });
            }
        }
        InputGradient { convolution, phases }
    }

    /// Writes the gradients of images, their channels padded to 16. `output_gradient` has a border as
    /// [`Convolution::gradient_size`] says, `pixels` its layout from the border's corner.
    pub fn run(
        &self,
        isa: Isa,
        images: usize,
        output_gradient: &[f32],
        pixels: Pixels,
        input_gradient: &mut [f32],
        input_pixels: Pixels,
    ) {
        let stride = self.convolution.stride;
        for Phase { first: [y, x], start, filter } in &self.phases {
            let output_pixels = Pixels {
                row: stride * input_pixels.row,
                pixel: stride * input_pixels.pixel,
                ..input_pixels.shifted(*y, *x)
            };
            let input_pixels = pixels.shifted(start[0], start[1]);
            filter.run(isa, images, output_gradient, input_pixels, input_gradient, output_pixels);
        }
    }
}
