//! From pixels to normalized floats, with or without augmentation.

use super::{IMAGE_BYTES, SIDE};
use rand::Rng;

/// Mean of each color over the training images, as the course has it.
const MEAN: [f64; 3] = [0.4914, 0.4822, 0.4465];
/// Standard deviation of each color, as the course has it.
const STD: [f64; 3] = [0.2023, 0.1994, 0.2010];
/// Zero pixels that a random crop sees around the image.
const PADDING: usize = 4;

/// `(value / 255 - mean) / std` for every color and byte value.
pub(super) struct Normalization([[f32; 256]; 3]);

impl Normalization {
    pub(super) fn new() -> Self {
        let of =
            |color: usize| std::array::from_fn(|v| ((v as f64 / 255.0 - MEAN[color]) / STD[color]) as f32);
        Self(std::array::from_fn(of))
    }
}

/// Where an image is cut and whether it is mirrored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Augmentation {
    top: usize,
    left: usize,
    flip: bool,
}

impl Augmentation {
    /// The image as it is.
    pub(super) const NONE: Self = Self { top: PADDING, left: PADDING, flip: false };

    /// A random 32 x 32 crop of the image with a border of 4 zero pixels, mirrored left to right half of the time;
    /// torchvision's `RandomCrop(32, padding=4)` and `RandomHorizontalFlip()`.
    pub(super) fn random(rng: &mut impl Rng) -> Self {
        let top = rng.random_range(0..=2 * PADDING);
        let left = rng.random_range(0..=2 * PADDING);
        Self { top, left, flip: rng.random() }
    }

    /// Writes the normalized image `[3, 32, 32]`.
    pub(super) fn apply(self, pixels: &[u8], normalization: &Normalization, out: &mut [f32]) {
        assert_eq!((pixels.len(), out.len()), (IMAGE_BYTES, IMAGE_BYTES));
        let planes = pixels.chunks_exact(SIDE * SIDE).zip(out.chunks_exact_mut(SIDE * SIDE));
        for ((plane, out), values) in planes.zip(&normalization.0) {
            for (y, row) in out.chunks_exact_mut(SIDE).enumerate() {
                self.apply_row(plane, y, values, row);
            }
        }
    }

    /// Writes row `y` of one color of the result.
    fn apply_row(self, plane: &[u8], y: usize, values: &[f32; 256], row: &mut [f32]) {
        row.fill(values[0]);
        let Some(source_y) = (y + self.top).checked_sub(PADDING).filter(|&y| y < SIDE) else {
            return;
        };
        let source = &plane[source_y * SIDE..][..SIDE];
        // Columns of the crop that lie on the image, and the image's column under the first of them.
        let first = PADDING.saturating_sub(self.left);
        let source_first = self.left.saturating_sub(PADDING);
        let count = SIDE - first.max(source_first);
        for (out, &value) in row[first..first + count].iter_mut().zip(&source[source_first..]) {
            *out = values[value as usize];
        }
        if self.flip {
            row.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Vec<u8> {
        (0..IMAGE_BYTES).map(|i| (1 + (i * 7) % 255) as u8).collect()
    }

    /// The same by definition: look up every pixel of the padded image.
    fn reference(pixels: &[u8], a: Augmentation) -> Vec<f32> {
        let mut out = Vec::new();
        for color in 0..3 {
            for y in 0..SIDE {
                for x in 0..SIDE {
                    let x = if a.flip { SIDE - 1 - x } else { x };
                    let (py, px) = ((y + a.top) as isize - 4, (x + a.left) as isize - 4);
                    let inside = (0..32).contains(&py) && (0..32).contains(&px);
                    let value =
                        if inside { pixels[color * 1024 + py as usize * 32 + px as usize] } else { 0 };
                    out.push(((value as f64 / 255.0 - MEAN[color]) / STD[color]) as f32);
                }
            }
        }
        out
    }

    #[test]
    fn every_crop_and_flip_matches_the_definition() {
        let pixels = picture();
        let normalization = Normalization::new();
        let mut out = vec![0.0; IMAGE_BYTES];
        for top in 0..=8 {
            for left in 0..=8 {
                for flip in [false, true] {
                    let augmentation = Augmentation { top, left, flip };
                    augmentation.apply(&pixels, &normalization, &mut out);
                    assert_eq!(out, reference(&pixels, augmentation), "{augmentation:?}");
                }
            }
        }
    }
}
