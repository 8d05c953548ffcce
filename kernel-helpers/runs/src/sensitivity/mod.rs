//! How much a network suffers where it is cut: each layer alone, pruned or quantized.

mod mix;

pub use mix::{Budget, LayerCut, Mix};

use crate::progress::TestWatch;
use crate::{TestResult, test_watched};
use base::units::grouped;
use base::{Error, Result};
use candle_core::Tensor;
use display::table::{Table, percent};
use display::{MimeBundle, Show, shows_itself};
use nn::Network;
use nn::data::{Data, Dataset, Subset};
use nn::graph::Model;
use nn::prune::prune_by_percentage;
use nn::quant::{PerChannel, Quantizer, Ste};
use notebook::plot::{BarPlot, Grid, HeatMap};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What is done to the weights of a layer.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!([Cut::Zeros(0.8), Cut::Bits(4)].map(|cut| cut.to_string()), ["80 % zeros", "4 bits"]);
/// assert_eq!([Cut::Zeros(0.75), Cut::Bits(4)].map(|cut| cut.bytes(1_000)), [1_125, 500]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// This share of them, the smallest, becomes zero.
    Zeros(f64),
    /// They are quantized to so many bits, symmetrically and for each output channel by itself.
    Bits(u32),
}

impl Cut {
    /// The bytes of so many weights in a packed file: their bits, or a bit for each and the values that are not zero.
    pub fn bytes(self, weights: usize) -> usize {
        match self {
            Cut::Zeros(share) => weights.div_ceil(8) + 4 * (weights as f64 * (1.0 - share)).round() as usize,
            Cut::Bits(bits) => (weights * bits as usize).div_ceil(8),
        }
    }

    /// The quantizer of a number of bits.
    fn quantizer(bits: u32) -> PerChannel {
        PerChannel(Ste { n_bits: Some(bits), symmetric: true })
    }

    /// Refuses what is no cut.
    fn check(self) -> Result<()> {
        match self {
            Cut::Zeros(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::argument("the share of zeros", "0 to 1", share))
            }
            Cut::Bits(bits) if !(1..=16).contains(&bits) => Err(Error::argument("the bits", "1 to 16", bits)),
            _ => Ok(()),
        }
    }

    fn apply(self, weight: &candle_core::Var) -> Result<()> {
        match self {
            Cut::Zeros(share) => prune_by_percentage(weight, share).map(|_| ()),
            Cut::Bits(bits) => {
                let quantized = Cut::quantizer(bits).quantize(weight, &[])?.detach();
                Ok(weight.set(&quantized)?)
            }
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Zeros(share) => write!(f, "{} % zeros", (10_000.0 * share).round() / 100.0),
            Cut::Bits(1) => f.write_str("1 bit"),
            Cut::Bits(bits) => write!(f, "{bits} bits"),
        }
    }
}

/// A layer, and what becomes of the network if it alone is cut.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let scan = sensitivity_scan(&net, &data, &[Cut::Zeros(0.5)], 50)?;
/// let LayerSensitivity { name, weights, .. } = &scan.layers[0];
/// assert_eq!((name.as_str(), *weights), ("conv1", 8 * 3 * 9));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerSensitivity {
    /// Its name in [`Network::prunable_layers`].
    pub name: String,
    /// How many weights it has.
    pub weights: usize,
    /// Its multiplications for an image.
    pub multiplications: usize,
    /// The network's loss by cut.
    pub losses: Vec<f64>,
    /// The network's accuracy by cut, from 0 to 1.
    pub accuracies: Vec<f64>,
}

/// What [`sensitivity_scan`] finds: a table to show, to plot, and to choose by.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let scan: SensitivityScan = sensitivity_scan(&net, &data, &[Cut::Bits(4), Cut::Bits(8)], 50)?;
/// assert!(scan.to_string().contains("8 bits"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensitivityScan {
    /// What was done to each layer.
    pub cuts: Vec<Cut>,
    /// The layers, in the order of the network.
    pub layers: Vec<LayerSensitivity>,
    /// The network without a cut, on the same images.
    pub whole: TestResult,
}

/// Cuts one layer after the other in every way, tests the network on so many images, and brings the layer back. The images
/// are those of the validation split, or else of training, without augmentation: the test images stay unseen.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let found = sensitivity_scan(&net, &data, &[Cut::Bits(8), Cut::Bits(2), Cut::Zeros(0.9)], 50)?;
/// assert_eq!((found.layers.len(), found.layers[0].losses.len()), (2, 3));
/// assert!(found.layers[0].losses[0] - found.whole.loss < 0.01);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If there are no such images, a cut is none, a tensor operation fails, or the notebook's stop button is pressed.
pub fn sensitivity_scan(net: &Model, data: &Data, cuts: &[Cut], images: usize) -> Result<SensitivityScan> {
    cuts.iter().try_for_each(|cut| cut.check())?;
    let source = data.validation.as_ref().unwrap_or(&data.train);
    let count = images.min(source.len());
    if count == 0 {
        return Err(Error::argument("images", "at least 1", 0));
    }
    let images: Arc<dyn Dataset> = Arc::new(Subset::new(source, 0..count)?);
    let layers = net.prunable_layers();
    let mut watch = TestWatch::new(count * (1 + layers.len() * cuts.len()));
    let mut tested = 0;
    let mut test = || -> Result<TestResult> {
        let result = test_watched(net, &images, |done| watch.done(tested + done))?;
        tested += count;
        Ok(result)
    };
    let multiplications = net.graph().layer_multiplications();
    let whole = test()?;
    let mut found = Vec::new();
    for (name, weight) in layers {
        let before: Tensor = weight.copy()?;
        let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
        for cut in cuts {
            let result = cut.apply(&weight).and_then(|()| test());
            weight.set(&before)?;
            let result = result?;
            losses.push(result.loss);
            accuracies.push(result.accuracy);
        }
        let multiplications =
            multiplications.iter().find(|(layer, _)| *layer == name).map_or(0, |(_, count)| *count);
        found.push(LayerSensitivity {
            name,
            weights: weight.elem_count(),
            multiplications,
            losses,
            accuracies,
        });
    }
    Ok(SensitivityScan { cuts: cuts.to_vec(), layers: found, whole })
}

impl SensitivityScan {
    /// The points of accuracy that each layer costs with each cut, in colors.
    ///
    /// ```
    /// # use kernel_helpers::prelude::*;
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// let figure = sensitivity_scan(&net, &data, &[Cut::Bits(2), Cut::Zeros(0.9)], 50)?.plot()?.draw()?;
    /// assert!(figure.alt().contains("accuracy lost (points)"), "{}", figure.alt());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is nothing to plot.
    pub fn plot(&self) -> Result<HeatMap> {
        let lost = |layer: &LayerSensitivity| -> Vec<f64> {
            layer.accuracies.iter().map(|accuracy| 100.0 * (self.whole.accuracy - accuracy)).collect()
        };
        let rows: Vec<Vec<f64>> = self.layers.iter().map(lost).collect();
        Ok(HeatMap::new(&rows)?
            .row_names(self.layers.iter().map(|layer| &layer.name))
            .column_names(self.cuts.iter().map(Cut::to_string))
            .value_label("accuracy lost (points)"))
    }

    /// Where the size and the time of the network are: the bytes of each layer's weights in 32 bits, and its multiplications
    /// for an image.
    ///
    /// ```
    /// # use kernel_helpers::prelude::*;
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// let figure = sensitivity_scan(&net, &data, &[Cut::Bits(2)], 50)?.plot_costs().draw()?;
    /// assert!(figure.alt().contains("multiplications (millions)"), "{}", figure.alt());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn plot_costs(&self) -> Grid {
        let bars = |label: &str, cost: fn(&LayerSensitivity) -> f64| {
            let costs: Vec<f64> = self.layers.iter().map(cost).collect();
            BarPlot::new(self.layers.iter().map(|layer| &layer.name)).series(label, &costs).x_label(label)
        };
        let sizes = bars("weights (kB)", |layer| 4.0 * layer.weights as f64 / 1e3);
        Grid::new(2)
            .panel(sizes)
            .panel(bars("multiplications (millions)", |layer| layer.multiplications as f64 / 1e6))
    }

    fn table(&self) -> Table {
        let heads = ["layer", "weights", "multiplications"].map(str::to_owned).into_iter();
        let table = Table::new(heads.chain(self.cuts.iter().map(Cut::to_string)).collect::<Vec<_>>());
        let row = |layer: &LayerSensitivity| -> Vec<String> {
            let sizes = [layer.name.clone(), grouped(layer.weights), grouped(layer.multiplications)];
            sizes.into_iter().chain(layer.accuracies.iter().map(|accuracy| percent(*accuracy))).collect()
        };
        let (accuracy, images) = (percent(self.whole.accuracy), grouped(self.whole.images));
        table
            .rows(self.layers.iter().map(row))
            .note(format!("Accuracy with one layer cut, on {images} images; without a cut it is {accuracy}."))
    }
}

impl Show for SensitivityScan {
    fn forms(&self) -> MimeBundle {
        self.table().forms()
    }
}

shows_itself!(SensitivityScan);

impl fmt::Display for SensitivityScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
