//! Images in memory, a byte for each color of a pixel.

use super::Dataset;
use base::{Error, Result, digest};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// Labelled images `[C, H, W]` of bytes, normalized when they are used. A cheap handle: the pixels are shared.
///
/// ```
/// use kernel_helpers::prelude::*;
/// let images = Images::new([0, 255, 51, 102], [1, 0], [1, 1, 2], ["cat", "dog"])?; // two images of two pixels
/// let images = images.normalized(&[0.5], &[0.5])?;
/// let mut values = [0.0; 2];
/// images.write(0, &mut values);
/// assert_eq!((values, images.label(0)), ([-1.0, 1.0], 1));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Images {
    pixels: Arc<[u8]>,
    labels: Arc<[u8]>,
    shape: [usize; 3],
    classes: Arc<[String]>,
    normalization: Arc<Normalization>,
    sha256: Arc<OnceLock<String>>,
}

/// `(value / 255 - mean) / deviation` for every channel and byte value.
struct Normalization {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    values: Vec<[f32; 256]>,
}

impl Normalization {
    fn new(mean: &[f64], deviation: &[f64]) -> Self {
        let of = |(mean, deviation): (&f64, &f64)| {
            std::array::from_fn(|value| ((value as f64 / 255.0 - mean) / deviation) as f32)
        };
        let values = mean.iter().zip(deviation).map(of).collect();
        Self { mean: mean.to_vec(), deviation: deviation.to_vec(), values }
    }
}

impl Images {
    /// Images whose values go from 0 to 1: `pixels` image by image, in each the channels one after the other, row by
    /// row from the top left.
    ///
    /// # Errors
    /// If there are not as many pixels as the labels and the shape ask for, or a label is not one of the classes.
    pub fn new(
        pixels: impl Into<Arc<[u8]>>,
        labels: impl Into<Arc<[u8]>>,
        shape: [usize; 3],
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let (pixels, labels) = (pixels.into(), labels.into());
        let classes: Arc<[String]> = classes.into_iter().map(Into::into).collect();
        let expected = shape.iter().try_fold(labels.len(), |count, &size| count.checked_mul(size));
        if expected != Some(pixels.len()) {
            let expected = format!("{} images of shape {shape:?}", labels.len());
            return Err(Error::argument("pixels", expected, format!("{} bytes", pixels.len())));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            let expected = format!("less than the {} classes", classes.len());
            return Err(Error::argument("labels", expected, format!("{} of image {index}", labels[index])));
        }
        let normalization = Arc::new(Normalization::new(&vec![0.0; shape[0]], &vec![1.0; shape[0]]));
        Ok(Self { pixels, labels, shape, classes, normalization, sha256: Arc::default() })
    }

    /// The same images with `(value / 255 - mean) / deviation` for the values of each channel; torchvision's
    /// `Normalize`.
    ///
    /// # Errors
    /// If there is not one mean and one deviation over 0 for each channel.
    pub fn normalized(self, mean: &[f64], deviation: &[f64]) -> Result<Self> {
        let channels = self.shape[0];
        let valid = mean.iter().all(|mean| mean.is_finite())
            && deviation.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0);
        if mean.len() != channels || deviation.len() != channels || !valid {
            let expected = format!("a mean and a deviation over 0 for each of {channels} channels");
            return Err(Error::argument("normalization", expected, format!("{mean:?} and {deviation:?}")));
        }
        Ok(Self { normalization: Arc::new(Normalization::new(mean, deviation)), ..self })
    }

    /// The first images; all if there are fewer.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let images = Images::new([0, 50, 100, 150], [0, 0, 1, 1], [1, 1, 1], ["dark", "bright"])?;
    /// assert_eq!((images.first(3).len(), images.first(9).len()), (3, 4));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.labels.len());
        let size: usize = self.shape.iter().product();
        Self {
            pixels: self.pixels[..count * size].into(),
            labels: self.labels[..count].into(),
            sha256: Arc::default(),
            ..self.clone()
        }
    }

    /// The pixels of an image, channel by channel, row by row from the top left.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.to_vec()
    }

    fn classes(&self) -> Vec<String> {
        self.classes.to_vec()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }

    fn write(&self, index: usize, values: &mut [f32]) {
        let plane = self.shape[1] * self.shape[2];
        let planes = self.pixels(index).chunks_exact(plane).zip(values.chunks_exact_mut(plane));
        for ((pixels, values), normalized) in planes.zip(&self.normalization.values) {
            pixels.iter().zip(values).for_each(|(&pixel, value)| *value = normalized[usize::from(pixel)]);
        }
    }

    fn write_picture(&self, index: usize, values: &mut [f32]) {
        self.pixels(index).iter().zip(values).for_each(|(&pixel, value)| *value = f32::from(pixel) / 255.0);
    }

    fn blank(&self) -> Vec<f32> {
        self.normalization.values.iter().map(|values| values[0]).collect()
    }

    fn preparation(&self) -> Option<String> {
        let Normalization { mean, deviation, .. } = &*self.normalization;
        Some(format!("normalized by mean {mean:?} and deviation {deviation:?}"))
    }

    /// Of the pixels' and the labels' sums; computed when it is first asked for.
    fn sha256(&self) -> String {
        let sums = || digest::sha256(&self.pixels) + &digest::sha256(&self.labels);
        self.sha256.get_or_init(|| digest::sha256(sums().as_bytes())).clone()
    }

    fn size_in_bytes(&self) -> usize {
        self.pixels.len() + self.labels.len()
    }
}

/// The sum of all labels and values, in their order.
pub(super) fn sha256_of_examples<D: Dataset + ?Sized>(dataset: &D) -> String {
    let mut sum = Sha256::new();
    let mut values = vec![0.0; dataset.shape().iter().product()];
    sum.update(format!("{:?}\0{:?}\0", dataset.shape(), dataset.classes()));
    for index in 0..dataset.len() {
        dataset.write(index, &mut values);
        sum.update((dataset.label(index) as u64).to_le_bytes());
        values.iter().for_each(|value| sum.update(value.to_le_bytes()));
    }
    digest::hex(sum.finalize().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_normalized_values() {
        let images = Images::new([0, 51, 255, 102], [1], [2, 1, 2], ["a", "b"]).unwrap();
        let mut values = [0.0; 4];
        images.write(0, &mut values);
        assert_eq!(values, [0.0, 0.2, 1.0, 0.4]);
        let images = images.normalized(&[0.5, 0.0], &[0.5, 2.0]).unwrap();
        images.write(0, &mut values);
        assert_eq!(values, [-1.0, -0.6, 0.5, 0.2]);
        assert_eq!((images.blank(), images.label(0)), (vec![-1.0, 0.0], 1));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let message = |pixels: &[u8], labels: &[u8]| {
            Images::new(pixels, labels, [1, 1, 2], ["a"]).err().unwrap().to_string()
        };
        assert_eq!(message(&[1], &[0]), "pixels: expected 1 images of shape [1, 1, 2], found 1 bytes");
        assert_eq!(message(&[1, 2], &[1]), "labels: expected less than the 1 classes, found 1 of image 0");
        let images = Images::new([1, 2], [0], [1, 1, 2], ["a"]).unwrap();
        assert!(images.clone().normalized(&[0.0], &[0.0]).is_err());
        assert!(images.normalized(&[0.0; 2], &[1.0; 2]).is_err());
    }
}
