//! What many runs have come to that differ in a few values.

use crate::{RunRecord, mean_and_deviation};
use base::files;
use base::{Error, Result};
use display::table::Table;
use display::{MimeBundle, Show, shows_itself};
use notebook::plot::{BarPlot, Grid, LinePlot, Panel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// The axis whose values are taken together.
const SEED: &str = "seed";

/// One finished run of a sweep.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let weights = folder.path().join("net.safetensors");
/// let config = TrainConfig { epochs: 1, seed: 3, save_to: Some(weights.clone()), ..Default::default() };
/// let history = train(&net, &data, &config)?;
/// let record = RunRecord::load(RunFiles::of(&weights).record())?;
/// let run = SweepRun::new(vec!["3".to_owned()], "my-training --seed 3", &record);
/// assert_eq!(run.last_accuracy, history.last_accuracy());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRun {
    /// Its value on each axis.
    pub values: Vec<String>,
    /// The command that makes it.
    pub command: String,
    /// The test accuracy of the epoch that was chosen as [`History::best`](crate::History::best) says, from 0 to 1.
    pub best_accuracy: f64,
    /// The test accuracy after the last epoch, from 0 to 1.
    pub last_accuracy: f64,
    /// The share of zeros among the prunable weights after the last epoch, from 0 to 1.
    pub sparsity: f64,
    /// How long it took, in minutes.
    pub minutes: f64,
    /// The SHA-256 sum of its best weights' file.
    pub weights_sha256: String,
    /// What has to be said of its numbers, such as that they come from a subset.
    pub note: Option<String>,
}

impl SweepRun {
    /// The run that left this record.
    pub fn new(values: Vec<String>, command: impl fmt::Display, record: &RunRecord) -> Self {
        let history = &record.history;
        SweepRun {
            values,
            command: command.to_string(),
            best_accuracy: history.best_accuracy(),
            last_accuracy: history.last_accuracy(),
            sparsity: history.last().map_or(0.0, |epoch| epoch.sparsity),
            minutes: record.minutes,
            weights_sha256: record.weights.sha256.clone(),
            note: history.note.clone(),
        }
    }
}

/// The runs of a sweep, `cargo lab sweep`: a table, and a plot of the accuracy against the first axis of numbers, for each
/// combination of the others. An axis `seed` is in neither: runs that differ in it alone are one row, with the mean and the
/// sample standard deviation of their accuracies.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let run = |bits: u32, seed: u32, accuracy: f64| SweepRun {
///     values: vec![bits.to_string(), seed.to_string()],
///     command: format!("cargo lab compress bits={bits} --seed {seed}"),
///     best_accuracy: accuracy,
///     last_accuracy: accuracy,
///     sparsity: 0.0,
///     minutes: 20.0,
///     weights_sha256: String::new(),
///     note: None,
/// };
/// let runs = vec![run(4, 0, 0.9190), run(4, 1, 0.9200), run(2, 0, 0.9160)];
/// let results = SweepResults::new(["bits", "seed"], runs, 4);
/// let table = results.to_string();
/// assert!(table.contains("91.95 ± 0.07") && table.contains("3 of 4 runs are finished"), "{table}");
/// assert!(results.plot().draw()?.alt().contains("test accuracy (%) against bits"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepResults {
    /// The names of what varies.
    pub axes: Vec<String>,
    /// The runs that are finished, in the order of their values.
    pub runs: Vec<SweepRun>,
    /// How many runs the sweep has, finished or not.
    pub planned: usize,
}

/// Runs that differ in their seed alone.
struct Group<'a> {
    /// The values on all other axes.
    values: Vec<&'a str>,
    runs: Vec<&'a SweepRun>,
}

impl SweepResults {
    /// The finished ones of `planned` runs, each with a value on every axis.
    pub fn new<A: fmt::Display>(
        axes: impl IntoIterator<Item = A>,
        runs: Vec<SweepRun>,
        planned: usize,
    ) -> Self {
        SweepResults { axes: axes.into_iter().map(|axis| axis.to_string()).collect(), runs, planned }
    }

    /// Reads what `cargo lab sweep` has left, such as `checkpoints/sweeps/NAME.json`.
    ///
    /// ```no_run
    /// use kernel_helpers::prelude::*;
    ///
    /// let results = SweepResults::load(checkpoints_dir()?.join("sweeps/bits-and-zeros.json"))?;
    /// display(&results);
    /// display(&results.plot());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        const EXPECTED: &str = "the results of a sweep";
        const HELP: &str = "`cargo lab sweep` writes such files to `checkpoints/sweeps/`.";
        let path = path.as_ref();
        let wrong = |found: String| Error::file(path, EXPECTED, found, HELP);
        let results: Self =
            serde_json::from_slice(&files::read(path)?).map_err(|error| wrong(error.to_string()))?;
        match results.runs.iter().find(|run| run.values.len() != results.axes.len()) {
            Some(run) => Err(wrong(format!("{} axes and values {:?}", results.axes.len(), run.values))),
            None => Ok(results),
        }
    }

    /// The accuracy after the last epoch, in percent, against the first axis that has several numbers: a line for each combination of the
    /// others through the means over seeds, and a gray line from the lowest to the highest seed's. Where no axis has several numbers, bars:
    /// how many points the mean of each combination is behind the best, so that small differences are seen.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let run = |name: &str, accuracy: f64| SweepRun {
    ///     values: vec![name.to_owned()],
    ///     command: format!("cargo lab compress {name}"),
    ///     best_accuracy: accuracy,
    ///     last_accuracy: accuracy,
    ///     sparsity: 0.0,
    ///     minutes: 20.0,
    ///     weights_sha256: String::new(),
    ///     note: None,
    /// };
    /// let results = SweepResults::new(["run"], vec![run("bits=2", 0.917), run("bits=2/given-steps", 0.912)], 2);
    /// let told = results.plot().draw()?.alt().to_owned();
    /// assert!(told.contains("bits=2 0.0, bits=2/given-steps 0.50"), "{told}");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn plot(&self) -> Grid {
        let groups = self.groups();
        let panel: Panel = match self.axis_of_numbers() {
            Some(axis) => self.lines(axis, &groups).into(),
            None => behind_the_best(&groups).into(),
        };
        Grid::new(1).panel(panel).notes(self.notes())
    }

    fn lines(&self, axis: usize, groups: &[Group]) -> LinePlot {
        let axes: Vec<&str> = self.shown_axes().collect();
        let plot = LinePlot::new().x_label(axes[axis]).y_label("test accuracy (%)");
        let others = |group: &Group| {
            let named = axes.iter().zip(&group.values).enumerate().filter(|(place, _)| *place != axis);
            named.map(|(_, (axis, value))| format!("{axis} {value}")).collect::<Vec<_>>().join(", ")
        };
        let mut names: Vec<String> = Vec::new();
        for name in groups.iter().map(others) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.iter().fold(plot, |plot, name| {
            let of_name = groups.iter().filter(|group| others(group) == *name);
            let place = |group: &Group| group.values[axis].parse::<f64>().unwrap_or(f64::NAN);
            let mut groups: Vec<&Group> = of_name.collect();
            groups.sort_by(|a, b| place(a).total_cmp(&place(b)));
            let means: Vec<_> = groups.iter().map(|group| (place(group), 100.0 * group.mean())).collect();
            groups.iter().filter(|group| group.runs.len() > 1).fold(
                plot.points(name, &means),
                |plot, group| {
                    let range = group.runs.iter().map(|run| 100.0 * run.last_accuracy);
                    let (low, high) =
                        (range.clone().fold(f64::MAX, f64::min), range.fold(f64::MIN, f64::max));
                    plot.guide(&[(place(group), low), (place(group), high)])
                },
            )
        })
    }

    /// The place of the first shown axis whose values are numbers, and more than one.
    fn axis_of_numbers(&self) -> Option<usize> {
        let groups = self.groups();
        (0..self.shown_axes().count()).find(|&axis| {
            let values: BTreeSet<&str> = groups.iter().map(|group| group.values[axis]).collect();
            values.len() > 1 && values.iter().all(|value| value.parse::<f64>().is_ok())
        })
    }

    fn shown_axes(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(String::as_str).filter(|axis| *axis != SEED)
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group> = Vec::new();
        for run in &self.runs {
            let values = self.axes.iter().zip(&run.values).filter(|(axis, _)| *axis != SEED);
            let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            match groups.iter_mut().find(|group| group.values == values) {
                Some(group) => group.runs.push(run),
                None => groups.push(Group { values, runs: vec![run] }),
            }
        }
        groups
    }

    fn notes(&self) -> Vec<String> {
        let unfinished = self.runs.len() < self.planned;
        let unfinished =
            unfinished.then(|| format!("{} of {} runs are finished", self.runs.len(), self.planned));
        let notes: BTreeSet<&String> = self.runs.iter().filter_map(|run| run.note.as_ref()).collect();
        unfinished.into_iter().chain(notes.into_iter().cloned()).collect()
    }

    fn table(&self) -> Table {
        let columns = ["runs", "chosen epoch (%)", "last epoch (%)", "zeros (%)", "minutes"];
        let columns: Vec<&str> = self.shown_axes().chain(columns).collect();
        let groups = self.groups();
        let rows = groups.iter().map(|group| {
            let zeros = group.runs.iter().map(|run| run.sparsity).sum::<f64>() / group.runs.len() as f64;
            let minutes = group.runs.iter().map(|run| run.minutes).sum::<f64>();
            let cells = [
                group.runs.len().to_string(),
                with_deviation(group.runs.iter().map(|run| run.best_accuracy)),
                with_deviation(group.runs.iter().map(|run| run.last_accuracy)),
                format!("{:.1}", 100.0 * zeros),
                format!("{minutes:.1}"),
            ];
            group.values.iter().map(|value| (*value).to_owned()).chain(cells).collect::<Vec<String>>()
        });
        Table::new(columns).rows(rows).notes(self.notes())
    }
}

impl Group<'_> {
    fn mean(&self) -> f64 {
        mean_and_deviation(&self.runs.iter().map(|run| run.last_accuracy).collect::<Vec<_>>()).0
    }
}

fn behind_the_best(groups: &[Group]) -> BarPlot {
    let best = groups.iter().map(Group::mean).fold(f64::MIN, f64::max);
    let points: Vec<f64> = groups.iter().map(|group| 100.0 * (best - group.mean())).collect();
    let names = groups.iter().map(|group| group.values.join(", "));
    BarPlot::new(names).series("behind the best", &points).x_label("test accuracy behind the best (points)")
}

/// The mean in percent, with the deviation where there are several values.
fn with_deviation(values: impl Iterator<Item = f64>) -> String {
    let percents: Vec<f64> = values.map(|value| 100.0 * value).collect();
    match mean_and_deviation(&percents) {
        (mean, Some(deviation)) => format!("{mean:.2} ± {deviation:.2}"),
        (mean, None) => format!("{mean:.2}"),
    }
}

impl fmt::Display for SweepResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

impl Show for SweepResults {
    fn forms(&self) -> MimeBundle {
        self.table().forms()
    }
}

shows_itself!(SweepResults);
