//! Which classes are taken for which.

use super::canvas::Area;
use super::figure::{Colors, Figure, drawn};
use super::grid::{Plot, alone};
use super::header::{Words, title_and_notes};
use super::heat_map::HeatMap;
use base::{Error, Result};
use candle_core::{DType, Tensor};
use display::table::{Table, percent};
use display::{MimeBundle, Show, shows_itself};
use std::fmt::{self, Display};

/// Class numbers, one for each image: a tensor `[N]` of whole numbers, or an array, slice or vector of them.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let logits = Tensor::new(&[[0.1f32, 2.0], [3.0, 0.2]], &Device::Cpu)?;
/// assert_eq!(logits.argmax(1)?.class_numbers()?, [1, 0]);
/// assert!([0, -1].class_numbers().is_err());
/// # Ok::<(), Error>(())
/// ```
pub trait ClassNumbers {
    /// The numbers; a negative one is an error.
    ///
    /// # Errors
    /// If they are no class numbers.
    fn class_numbers(&self) -> Result<Vec<usize>>;
}

impl ClassNumbers for Tensor {
    fn class_numbers(&self) -> Result<Vec<usize>> {
        if self.rank() != 1 || !self.dtype().is_int() {
            let found = format!("{:?} of {}", self.dims(), self.dtype().as_str());
            let expected = "a shape [N] of whole numbers, as `argmax(1)` of logits [N, classes] has";
            return Err(Error::argument("the class numbers", expected, found));
        }
        self.to_dtype(DType::I64)?.to_vec1::<i64>()?.class_numbers()
    }
}

impl<T: Copy + Display + TryInto<usize>> ClassNumbers for [T] {
    fn class_numbers(&self) -> Result<Vec<usize>> {
        let number = |number: &T| {
            let refused = |_| Error::argument("a class number", "0 or more", *number);
            (*number).try_into().map_err(refused)
        };
        self.iter().map(number).collect()
    }
}

impl<T: Copy + Display + TryInto<usize>> ClassNumbers for Vec<T> {
    fn class_numbers(&self) -> Result<Vec<usize>> {
        self.as_slice().class_numbers()
    }
}

impl<T: Copy + Display + TryInto<usize>, const N: usize> ClassNumbers for [T; N] {
    fn class_numbers(&self) -> Result<Vec<usize>> {
        self.as_slice().class_numbers()
    }
}

/// A confusion matrix: for each true class, a row, how many of its images are taken for which class.
///
/// As a figure it shows each count with its share of the row; printed, the accuracy of each class.
///
/// ```
/// use kernel_helpers::plot::ConfusionMatrix;
///
/// let labels = [0, 0, 0, 1, 1, 2];
/// let predictions = [0, 0, 1, 1, 1, 0];
/// let matrix = ConfusionMatrix::new(&labels, &predictions, &["cat", "dog", "frog"])?;
/// assert_eq!(matrix.count(0, 1), 1);
/// assert_eq!(matrix.accuracy_of(1), Some(1.0));
/// println!("{matrix}");
/// matrix.draw()?;
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    words: Words,
    classes: Vec<String>,
    /// Rows of true classes, columns of predicted ones.
    counts: Vec<Vec<usize>>,
}

impl ConfusionMatrix {
    /// Counts, image by image, the true class `labels[i]` taken for the class `predictions[i]`: tensors `[N]` or slices
    /// of class numbers, the names of the classes by number.
    ///
    /// # Errors
    /// If there are no images, more or fewer labels than predictions, or a number that has no class.
    pub fn new<L: ClassNumbers + ?Sized, P: ClassNumbers + ?Sized, N: Display>(
        labels: &L,
        predictions: &P,
        classes: &[N],
    ) -> Result<Self> {
        let classes = classes.iter().map(N::to_string).collect();
        Self::counted(&labels.class_numbers()?, &predictions.class_numbers()?, classes)
    }

    fn counted(labels: &[usize], predictions: &[usize], classes: Vec<String>) -> Result<Self> {
        if labels.is_empty() {
            return Err(Error::argument("labels", "at least one", "none"));
        }
        if labels.len() != predictions.len() {
            let expected = format!("{}, one for each label", labels.len());
            return Err(Error::argument("predictions", expected, predictions.len()));
        }
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (image, (&label, &prediction)) in labels.iter().zip(predictions).enumerate() {
            for (what, number) in [("labels", label), ("predictions", prediction)] {
                if number >= classes.len() {
                    let expected = format!("less than {}, the number of classes", classes.len());
                    return Err(Error::argument(format!("{what}[{image}]"), expected, number));
                }
            }
            counts[label][prediction] += 1;
        }
        Ok(ConfusionMatrix { words: Words::default(), classes, counts })
    }

    /// How many images of the class `label` are taken for `prediction`.
    ///
    /// # Panics
    /// If there is no class of such a number.
    pub fn count(&self, label: usize, prediction: usize) -> usize {
        self.counts[label][prediction]
    }

    /// The share of images whose class is predicted right, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.classes.len()).map(|class| self.counts[class][class]).sum();
        right as f64 / self.counts.iter().flatten().sum::<usize>() as f64
    }

    /// The share of a class's images that are predicted right, from 0 to 1; none where the class has no images.
    ///
    /// # Panics
    /// If there is no class of that number.
    pub fn accuracy_of(&self, class: usize) -> Option<f64> {
        self.share(class, class)
    }

    fn share(&self, label: usize, prediction: usize) -> Option<f64> {
        let images: usize = self.counts[label].iter().sum();
        (images > 0).then(|| self.counts[label][prediction] as f64 / images as f64)
    }

    /// The accuracy of each class, and for what it is mostly taken when that is wrong.
    pub fn table(&self) -> Table {
        let classes = 0..self.classes.len();
        let rows = classes.clone().map(|class| {
            let wrong = classes.clone().filter(|other| *other != class && self.counts[class][*other] > 0);
            // Of equals the first.
            let mostly = wrong.rev().max_by_key(|other| self.counts[class][*other]);
            let mostly =
                mostly.map(|other| format!("{} ({})", self.classes[other], self.counts[class][other]));
            let images: usize = self.counts[class].iter().sum();
            let accuracy = self.accuracy_of(class).map_or("–".to_owned(), percent);
            let right = self.counts[class][class];
            (self.classes[class].clone(), images, right, accuracy, mostly.unwrap_or_default())
        });
        let images: usize = self.counts.iter().flatten().sum();
        let right: usize = classes.clone().map(|class| self.counts[class][class]).sum();
        let headings = ["class", "images", "right", "accuracy", "mostly taken for"];
        let all = ("all classes", images, right, percent(self.accuracy()), "");
        Table::new(headings).rows(rows).row(all).notes(&self.words.notes)
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If plotters fails, which is not expected.
    pub fn draw(&self) -> Result<Figure> {
        alone(self)
    }

    fn heat_map(&self) -> Result<HeatMap> {
        let classes = 0..self.classes.len();
        let share = |label, prediction| 100.0 * self.share(label, prediction).unwrap_or(0.0);
        let shares: Vec<Vec<f64>> =
            classes.clone().map(|label| classes.clone().map(|other| share(label, other)).collect()).collect();
        let cells = self.counts.iter().zip(&shares).map(|(counts, shares)| {
            let cell = |(count, share): (&usize, &f64)| match count {
                0 => vec![vec!["0".to_owned()]],
                _ => vec![vec![count.to_string(), format!("{share:.1} %")], vec![count.to_string()]],
            };
            counts.iter().zip(shares).map(cell).collect()
        });
        let map = HeatMap::new(&shares)?
            .cells(cells.collect())
            .row_names(&self.classes)
            .column_names(&self.classes)
            .x_label("predicted class")
            .y_label("true class")
            .value_label("share of the true class (%)")
            .range(0.0..=100.0)
            .notes(&self.words.notes);
        Ok(map.title(&self.words.title))
    }
}

title_and_notes!(ConfusionMatrix, words);

impl Display for ConfusionMatrix {
    /// The accuracy of each class as a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

impl Plot for ConfusionMatrix {
    fn paint(&self, area: &Area) -> Result<()> {
        self.heat_map()?.paint(area)
    }

    fn alt(&self) -> String {
        let title = self.words.sentence();
        format!("{title}Confusion matrix, accuracy {}.\n\n{self}", percent(self.accuracy()))
    }

    fn height(&self, columns: usize) -> u32 {
        self.heat_map().map_or(0, |map| map.height(columns))
    }

    fn colors(&self) -> Colors {
        Colors::Scale
    }
}

impl Show for ConfusionMatrix {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(ConfusionMatrix);
