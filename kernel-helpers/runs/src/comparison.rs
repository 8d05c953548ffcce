//! Networks side by side, in the forms in which they are used.

use crate::machine::Machine;
use crate::progress::TestWatch;
use crate::{TestResult, test_watched};
use base::units::{bytes, grouped};
use base::{Error, Result};
use candle_core::{Device, Tensor};
use display::table::{Table, percent};
use display::{MimeBundle, Show, shows_itself};
use nn::Predictor;
use nn::data::{Data, DataLoader};
use notebook::plot::{Grid, LinePlot};
use notebook::stop;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// A network that is to be compared.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let contender = Contender::new("dense", &net).file("lenet.safetensors");
/// assert_eq!(contender.name(), "dense");
/// # Ok::<(), Error>(())
/// ```
pub struct Contender<'a> {
    name: String,
    network: &'a dyn Predictor,
    file: Option<PathBuf>,
}

impl<'a> Contender<'a> {
    /// A network under the name that it has in the comparison.
    pub fn new(name: impl fmt::Display, network: &'a dyn Predictor) -> Self {
        Contender { name: name.to_string(), network, file: None }
    }

    /// With the file in which it is kept, whose size counts.
    pub fn file(self, path: impl AsRef<Path>) -> Self {
        Contender { file: Some(path.as_ref().to_owned()), ..self }
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How networks are timed.
///
/// ```
/// use kernel_helpers::prelude::*;
/// assert_eq!(Timing::default().batch_size, 256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// How many images go through a network together where many are waiting.
    pub batch_size: usize,
    /// How often each network has its turn; medians count.
    pub turns: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { batch_size: 256, turns: 9 }
    }
}

/// How often one image goes through a network in a turn.
const SINGLE: usize = 20;

/// What was found out about a network.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("lenet.safetensors");
/// net.save_weights(&path)?;
/// # let digits = Tensor::ones((8, 1, 28, 28), DType::F32, &Device::Cpu)?;
/// # let digits = || TensorDataset::new(&digits, &Tensor::zeros(8, DType::U32, &Device::Cpu)?);
/// # let data = Data::new(digits()?, digits()?)?;
/// let timing = Timing { batch_size: 4, turns: 3 };
/// let found = compare(&[Contender::new("LeNet", &net).file(&path)], &data, timing)?;
/// let Compared { bytes, multiplications, .. } = &found.networks[0];
/// assert_eq!((bytes.unwrap() / 1_000, *multiplications), (247, Some(416_520)));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// What it makes of the test images.
    pub test: TestResult,
    /// The size of its file, if it has one.
    pub bytes: Option<u64>,
    /// Its multiplications by weights that are not zero, for one image, if it knows them.
    pub multiplications: Option<usize>,
    /// The seconds that one image takes, alone.
    pub seconds_per_image: f64,
    /// The images a second in a batch.
    pub images_per_second: f64,
}

/// Networks side by side, the first of which the others are measured by.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let prepared = net.prepared()?;
/// let integers = IntegerNetwork::quantize(&net, &data, Calibration::default())?;
/// let contenders = [Contender::new("floating point", &prepared), Contender::new("8 bits", &integers)];
/// let found: Comparison = compare(&contenders, &data, Timing { turns: 3, ..Default::default() })?;
/// assert!(found.to_string().contains("floating point"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What was compared.
    pub networks: Vec<Compared>,
    /// How it was timed.
    pub timing: Timing,
    /// On what.
    pub machine: Machine,
}

/// Tests networks on the test images, and times them in turns, so that what else the machine does meets all alike: one image
/// alone, and a batch. An image is in memory before the clock starts.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let found = compare(&[Contender::new("small", &net)], &data, Timing { batch_size: 32, turns: 1 })?;
/// assert_eq!(found.networks[0].test, test(&net, &data)?);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// If a file cannot be read, there are no test images, a network fails, or the notebook's stop button is pressed.
pub fn compare(contenders: &[Contender], data: &Data, timing: Timing) -> Result<Comparison> {
    if timing.batch_size == 0 || timing.turns == 0 {
        return Err(Error::argument("timing", "at least one image and one turn", format!("{timing:?}")));
    }
    let mut watch = TestWatch::new(data.test.len() * contenders.len());
    let mut networks = Vec::new();
    for (at, contender) in contenders.iter().enumerate() {
        let before = at * data.test.len();
        let test = test_watched(contender.network, &data.test, |done| watch.done(before + done))?;
        networks.push(Compared {
            name: contender.name.clone(),
            test: TestResult { note: data.note().map(str::to_owned), ..test },
            bytes: contender.file.as_deref().map(size_of_file).transpose()?,
            multiplications: contender.network.multiplications(),
            seconds_per_image: 0.0,
            images_per_second: 0.0,
        });
    }
    let size = timing.batch_size.min(data.test.len());
    let images = DataLoader::new(&data.test, size)?.epoch(0).next().transpose()?.map(|batch| batch.images);
    let images = images.ok_or_else(|| Error::argument("test images", "at least 1", 0))?;
    let mut seconds = vec![[Vec::new(), Vec::new()]; contenders.len()];
    for turn in 0..timing.turns {
        for (contender, [single, batch]) in contenders.iter().zip(&mut seconds) {
            stop::check(|| format!("{turn} of {} turns were timed", timing.turns))?;
            let images = images.to_device(contender.network.input_device())?;
            let one = images.narrow(0, 0, 1)?.contiguous()?;
            single.extend(timed(contender.network, &one, SINGLE)?);
            batch.extend(timed(contender.network, &images, 1)?);
        }
    }
    for (found, [single, batch]) in networks.iter_mut().zip(seconds) {
        found.seconds_per_image = median(single);
        found.images_per_second = images.dim(0)? as f64 / median(batch);
    }
    Ok(Comparison {
        networks,
        timing: Timing { batch_size: size, ..timing },
        machine: Machine::here(&Device::Cpu)?,
    })
}

/// The seconds of so many calls, after one that is not counted.
fn timed(network: &dyn Predictor, images: &Tensor, times: usize) -> Result<Vec<f64>> {
    network.logits(images)?;
    (0..times).map(|_| network.seconds(images)).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn size_of_file(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)
        .map_err(|error| Error::io(path, error, "Save the network there first."))?
        .len())
}

impl Comparison {
    /// Accuracy against the time of one image and against the size of the file, a point for each network.
    ///
    /// ```
    /// # use kernel_helpers::prelude::*;
    /// # let data = Cifar10::striped(64, 32);
    /// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
    /// #     .build(0, &Device::Cpu)?;
    /// let found = compare(&[Contender::new("small", &net)], &data, Timing { turns: 1, ..Default::default() })?;
    /// let figure = found.plot().draw()?;
    /// assert!(figure.alt().contains("small ("), "{}", figure.alt());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn plot(&self) -> Grid {
        let panel = |label: &str, x: fn(&Compared) -> Option<f64>| {
            let point =
                |network: &Compared| Some((network.name.clone(), x(network)?, 100.0 * network.test.accuracy));
            let points: Vec<_> = self.networks.iter().filter_map(point).collect();
            let plot = LinePlot::new().x_label(label).y_label("test accuracy (%)").log_x();
            (!points.is_empty()).then(|| plot.scatter_named("", &points))
        };
        let time = panel("time of one image (ms)", |network| Some(1e3 * network.seconds_per_image));
        let size = panel("size of the file (kB)", |network| Some(network.bytes? as f64 / 1e3));
        time.into_iter().chain(size).fold(Grid::new(2), Grid::panel)
    }

    fn table(&self) -> Table {
        let first = &self.networks[0];
        let size = |network: &Compared| network.bytes.map(|size| bytes(size as usize)).unwrap_or_default();
        let smaller = |network: &Compared| {
            let share = first.bytes? as f64 / network.bytes? as f64;
            Some(times(share))
        };
        let row = |network: &Compared| {
            vec![
                network.name.clone(),
                percent(network.test.accuracy),
                size(network),
                smaller(network).unwrap_or_default(),
                network.multiplications.map(grouped).unwrap_or_default(),
                format!("{:.3}", 1e3 * network.seconds_per_image),
                times(first.seconds_per_image / network.seconds_per_image),
                grouped(network.images_per_second.round() as usize),
                times(network.images_per_second / first.images_per_second),
            ]
        };
        let heads = [
            "network",
            "accuracy",
            "file",
            "smaller",
            "multiplications",
            "ms an image",
            "faster",
            "images/s",
            "faster",
        ];
        let Timing { batch_size, turns } = self.timing;
        Table::new(heads)
            .rows(self.networks.iter().map(row))
            .note(format!("Multiplications are those by weights that are not zero. Times are medians of {turns} turns, images/s in batches of {batch_size}; {}.", self.machine))
            .notes(&first.test.note)
    }
}

/// `2.0x`.
fn times(ratio: f64) -> String {
    format!("{ratio:.1}x")
}

impl Show for Comparison {
    fn forms(&self) -> MimeBundle {
        self.table().forms()
    }
}

shows_itself!(Comparison);

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}
