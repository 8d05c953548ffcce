//! Augmentations: random changes of an example that leave its class as it is.

use base::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// An example as an augmentation changes it.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let (mut values, mut rng) = ([1.0, 2.0, 3.0, 4.0], ChaCha8Rng::seed_from_u64(0));
/// let mut example = Example { values: &mut values, shape: &[1, 2, 2], blank: &[0.0] };
/// RandomErasing { side: 4 }.apply(&mut example, &mut rng);
/// assert_eq!(values, [0.0; 4]);
/// ```
#[derive(Debug)]
pub struct Example<'a> {
    /// The values row by row.
    pub values: &'a mut [f32],
    /// The shape, such as `[3, 32, 32]`.
    pub shape: &'a [usize],
    /// The value of an empty place in each channel.
    pub blank: &'a [f32],
}

/// A random change of an example. What it draws comes from `rng` alone, so that a run can be repeated and continued.
///
/// ```
/// use kernel_helpers::data::{Augmentation, Example};
/// use kernel_helpers::prelude::{ChaCha8Rng, Rng};
///
/// struct Noise(f32);
///
/// impl Augmentation for Noise {
///     fn description(&self) -> String {
///         format!("noise of up to {}", self.0)
///     }
///     fn apply(&self, example: &mut Example, rng: &mut ChaCha8Rng) {
///         example.values.iter_mut().for_each(|value| *value += self.0 * rng.random_range(-1.0..1.0));
///     }
/// }
/// ```
pub trait Augmentation: Send + Sync + 'static {
    /// What it does, with all its settings, in words. It is a part of a run's identity.
    fn description(&self) -> String;

    /// Changes an example.
    fn apply(&self, example: &mut Example, rng: &mut ChaCha8Rng);

    /// Passes if it is for examples of this shape.
    ///
    /// # Errors
    /// If it is not.
    fn check(&self, _shape: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// Passes for images `[C, H, W]`.
fn check_image(what: &str, shape: &[usize]) -> Result<()> {
    match shape.len() {
        3 => Ok(()),
        _ => Err(Error::argument(what, "images [C, H, W]", format!("examples of shape {shape:?}"))),
    }
}

/// A random part of the image with a border of empty pixels, as large as the image; torchvision's
/// `RandomCrop(size, padding)`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let image: Vec<f32> = (1..10).map(|value| value as f32).collect();
/// let (mut values, mut rng) = (image.clone(), ChaCha8Rng::seed_from_u64(1));
/// let mut example = Example { values: &mut values, shape: &[1, 3, 3], blank: &[0.0] };
/// RandomCrop { padding: 1 }.apply(&mut example, &mut rng);
/// assert!(values.contains(&5.0), "the center is never cut off");
/// assert!(values.iter().all(|value| *value == 0.0 || image.contains(value)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomCrop {
    /// The border's width, in pixels.
    pub padding: usize,
}

impl Augmentation for RandomCrop {
    fn description(&self) -> String {
        format!("random crop, padding {}", self.padding)
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        check_image("RandomCrop", shape)
    }

    fn apply(&self, example: &mut Example, rng: &mut ChaCha8Rng) {
        let top = rng.random_range(0..=2 * self.padding);
        let left = rng.random_range(0..=2 * self.padding);
        let [_, height, width] = *example.shape else { return };
        for (plane, &blank) in example.values.chunks_exact_mut(height * width).zip(example.blank) {
            let down = top as isize - self.padding as isize;
            let shift = left as isize - self.padding as isize;
            // In the order in which no row is read after it has been written.
            let row = |step: usize| if down >= 0 { step } else { height - 1 - step };
            for y in (0..height).map(row) {
                match y.checked_add_signed(down).filter(|&from| from < height) {
                    Some(from) => shift_row(plane, width, (from, y), shift, blank),
                    None => plane[y * width..][..width].fill(blank),
                }
            }
        }
    }
}

/// Copies row `from` to row `to`, shifted to the left by `shift`.
fn shift_row(plane: &mut [f32], width: usize, (from, to): (usize, usize), shift: isize, blank: f32) {
    let first = shift.unsigned_abs().min(width);
    let kept = width - first;
    let (source, target) = if shift >= 0 { (first, 0) } else { (0, first) };
    plane.copy_within(from * width + source..from * width + source + kept, to * width + target);
    let row = &mut plane[to * width..][..width];
    if shift >= 0 { row[kept..].fill(blank) } else { row[..first].fill(blank) }
}

/// Mirrors the image left to right half of the time; torchvision's `RandomHorizontalFlip()`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let mut flipped = || {
///     let mut values = [1.0, 2.0];
///     let mut example = Example { values: &mut values, shape: &[1, 1, 2], blank: &[0.0] };
///     RandomHorizontalFlip.apply(&mut example, &mut rng);
///     values == [2.0, 1.0]
/// };
/// let count = (0..1000).filter(|_| flipped()).count();
/// assert!((450..550).contains(&count));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RandomHorizontalFlip;

impl Augmentation for RandomHorizontalFlip {
    fn description(&self) -> String {
        "random horizontal flip".to_owned()
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        check_image("RandomHorizontalFlip", shape)
    }

    fn apply(&self, example: &mut Example, rng: &mut ChaCha8Rng) {
        if rng.random() {
            let width = example.shape[example.shape.len() - 1].max(1);
            example.values.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
    }
}

/// Empties a random square of the image; Cutout (DeVries and Taylor, 2017). Its center is anywhere in the image, so
/// that a part of the square can lie outside.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let data = Cifar10::striped(64, 32).augmented(RandomErasing { side: 8 })?;
/// assert_eq!(data.augmentations[2].description(), "random erasing of 8 x 8 pixels");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomErasing {
    /// The square's side, in pixels.
    pub side: usize,
}

impl Augmentation for RandomErasing {
    fn description(&self) -> String {
        format!("random erasing of {0} x {0} pixels", self.side)
    }

    fn check(&self, shape: &[usize]) -> Result<()> {
        check_image("RandomErasing", shape)
    }

    fn apply(&self, example: &mut Example, rng: &mut ChaCha8Rng) {
        let [_, height, width] = *example.shape else { return };
        if height * width == 0 {
            return;
        }
        let mut range = |size: usize| {
            let start = rng.random_range(0..size) as isize - self.side as isize / 2;
            let end = start + self.side as isize;
            start.clamp(0, size as isize) as usize..end.clamp(0, size as isize) as usize
        };
        let (rows, columns) = (range(height), range(width));
        for (plane, &blank) in example.values.chunks_exact_mut(height * width).zip(example.blank) {
            for y in rows.clone() {
                plane[y * width..][columns.clone()].fill(blank);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const SHAPE: [usize; 3] = [2, 5, 4];

    fn picture() -> Vec<f32> {
        (0..40).map(|value| value as f32).collect()
    }

    /// The image with a border, cut at a place.
    fn cropped(values: &[f32], padding: usize, top: usize, left: usize, blank: &[f32]) -> Vec<f32> {
        let [channels, height, width] = SHAPE;
        let mut out = Vec::new();
        for c in 0..channels {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let (y, x) = ((y + top).checked_sub(padding), (x + left).checked_sub(padding));
                out.push(match (y.filter(|&y| y < height), x.filter(|&x| x < width)) {
                    (Some(y), Some(x)) => values[(c * height + y) * width + x],
                    _ => blank[c],
                });
            }
        }
        out
    }

    #[test]
    fn a_crop_is_a_part_of_the_image_with_its_border() {
        let blank = [-1.0, -2.0];
        for padding in [0, 1, 3, 7] {
            for seed in 0..200 {
                let mut values = picture();
                let mut example = Example { values: &mut values, shape: &SHAPE, blank: &blank };
                RandomCrop { padding }.apply(&mut example, &mut ChaCha8Rng::seed_from_u64(seed));
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let (top, left) = (rng.random_range(0..=2 * padding), rng.random_range(0..=2 * padding));
                assert_eq!(values, cropped(&picture(), padding, top, left, &blank), "{padding} {top} {left}");
            }
        }
    }

    #[test]
    fn a_flip_mirrors_each_row_half_of_the_time() {
        let (mut rng, mut flipped) = (ChaCha8Rng::seed_from_u64(0), 0);
        for _ in 0..100 {
            let mut values = picture();
            let mut example = Example { values: &mut values, shape: &SHAPE, blank: &[0.0; 2] };
            RandomHorizontalFlip.apply(&mut example, &mut rng);
            let expected = if values[0] == 0.0 { [0.0, 1.0, 2.0, 3.0] } else { [3.0, 2.0, 1.0, 0.0] };
            assert_eq!(values[..4], expected);
            assert_eq!(values[36], 36.0 + expected[0]);
            flipped += usize::from(values[0] != 0.0);
        }
        assert!((30..70).contains(&flipped), "{flipped}");
    }

    #[test]
    fn erasing_empties_a_square_and_nothing_else() {
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..100 {
            let mut values = picture();
            let mut example = Example { values: &mut values, shape: &SHAPE, blank: &[-1.0, -2.0] };
            RandomErasing { side: 2 }.apply(&mut example, &mut ChaCha8Rng::seed_from_u64(seed));
            let changed = values.iter().zip(picture()).filter(|(new, old)| *new != old).count();
            sizes.insert(changed);
            assert!(values.iter().zip(picture()).all(|(new, old)| *new == old || *new < 0.0));
        }
        assert_eq!(sizes.last(), Some(&8), "four pixels in both channels");
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let error = RandomCrop { padding: 4 }.check(&[784]).unwrap_err().to_string();
        assert_eq!(error, "RandomCrop: expected images [C, H, W], found examples of shape [784]");
    }
}
