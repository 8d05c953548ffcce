//! Figures of runs, and of what pruning leaves.

use crate::{EpochRecord, History, recorded_note};
use nn::prune::{LayerSparsity, Sparsity};
use notebook::plot::{BarPlot, Grid, LinePlot, plot_accuracy};
use std::borrow::Borrow;
use std::fmt::Display;

/// The share of zeros in each layer, in percent: for each series its name, such as `per layer` and `global`, and the
/// sparsity of the same network's layers.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let figure = plot_sparsity(&[("per layer", prune_layers(&net, 0.75)?)]).draw()?;
/// assert!(figure.alt().starts_with("zeros (%). per layer: "), "{}", figure.alt());
/// # Ok::<(), Error>(())
/// ```
pub fn plot_sparsity<N: Display, S: Borrow<Sparsity>>(series: &[(N, S)]) -> BarPlot {
    let layers = series.first().map_or(&[][..], |(_, sparsity)| &sparsity.borrow().layers);
    let plot = BarPlot::new(layers.iter().map(|layer| &layer.name)).x_label("zeros (%)").limit(100.0);
    series.iter().fold(plot, |plot, (name, sparsity)| {
        let percent = |layer: &LayerSparsity| 100.0 * layer.fraction();
        plot.series(name, &sparsity.borrow().layers.iter().map(percent).collect::<Vec<_>>())
    })
}

/// Loss and accuracy of the training, the validation (if there are such) and the test images against epochs, side by
/// side.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let history = finetune(&net, &data, &TrainConfig { epochs: 3, ..Default::default() })?;
/// let figure = plot_history(&history).draw()?;
/// assert!(figure.alt().contains("accuracy (%) against epoch"), "{}", figure.alt());
/// # Ok::<(), Error>(())
/// ```
pub fn plot_history(history: &History) -> Grid {
    let grid = Grid::new(2).notes(history.remarks());
    loss_and_accuracy(history).into_iter().fold(grid, Grid::panel)
}

/// The two panels of [`plot_history`].
pub(crate) fn loss_and_accuracy(history: &History) -> [LinePlot; 2] {
    type Value = fn(&EpochRecord) -> Option<f64>;
    let panel = |label: &str, scale: f64, values: [(&str, Value); 3]| {
        let plot = LinePlot::new().x_label("epoch").y_label(label);
        values.into_iter().fold(plot, |plot, (name, value)| {
            let point = |epoch: &EpochRecord| Some((epoch.epoch as f64, scale * value(epoch)?));
            let points: Vec<(f64, f64)> = history.epochs.iter().filter_map(point).collect();
            if name == "validation" && points.is_empty() { plot } else { plot.points(name, &points) }
        })
    };
    let loss: [(&str, Value); 3] = [
        ("training", |epoch| Some(epoch.train_loss)),
        ("test", |epoch| Some(epoch.test_loss)),
        ("validation", |epoch| epoch.validation_loss),
    ];
    let accuracy: [(&str, Value); 3] = [
        ("training", |epoch| Some(epoch.train_accuracy)),
        ("test", |epoch| Some(epoch.test_accuracy)),
        ("validation", |epoch| epoch.validation_accuracy),
    ];
    [panel("loss", 1.0, loss), panel("accuracy (%)", 100.0, accuracy)]
}

/// Test accuracy against epochs for several runs: names and histories. `float` is the accuracy of the float model,
/// drawn as a line for comparison.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// # let data = Cifar10::striped(64, 32);
/// # let net = Graph::new("small", [3, 32, 32], |x| x.conv(8, 3).relu().global_average_pool().linear(10))?
/// #     .build(0, &Device::Cpu)?;
/// let history = finetune(&net, &data, &TrainConfig { epochs: 3, ..Default::default() })?;
/// let figure = plot_test_accuracy(&[("4 bits", &history)], Some(0.9151)).draw()?;
/// assert!(figure.alt().contains("4 bits") && figure.alt().contains("float: 91.51 %"), "{}", figure.alt());
/// # Ok::<(), Error>(())
/// ```
pub fn plot_test_accuracy<N: Display, H: Borrow<History>>(runs: &[(N, H)], float: Option<f64>) -> LinePlot {
    let points = |history: &History| -> Vec<(f64, f64)> {
        history.epochs.iter().map(|epoch| (epoch.epoch as f64, epoch.test_accuracy)).collect()
    };
    let series: Vec<_> = runs.iter().map(|(name, history)| (name, points(history.borrow()))).collect();
    let note = runs.first().and_then(|(_, history)| history.borrow().note.as_ref());
    let recorded = recorded_note(runs.iter().map(|(_, history)| history.borrow()));
    plot_accuracy("epoch", &series, float).notes(note).notes(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparsity(layers: usize, zeros: usize) -> Sparsity {
        let layer = |i: usize| LayerSparsity { name: format!("body_op.{i}.conv1.0"), zeros, weights: 100 };
        Sparsity { layers: (0..layers).map(layer).collect() }
    }

    fn history(epochs: usize) -> History {
        let record = |epoch| EpochRecord {
            epoch,
            learning_rate: 0.002,
            train_loss: 1.0 / epoch as f64,
            train_accuracy: 0.5,
            validation_loss: None,
            validation_accuracy: None,
            test_loss: 1.1 / epoch as f64,
            test_accuracy: 0.4,
            sparsity: 0.8,
            candidate: true,
        };
        History {
            epochs: (1..=epochs).map(record).collect(),
            note: Some("quick scale".into()),
            recorded_on: None,
        }
    }

    #[test]
    fn figures_of_runs_are_drawn() {
        let (long, short) = (history(20), history(4));
        let layers = [("per layer", sparsity(20, 80)), ("global", sparsity(20, 30))];
        for figure in [
            plot_sparsity(&layers).notes(Some("quick")).draw(),
            plot_history(&long).draw(),
            plot_history(&History::default()).draw(),
            plot_test_accuracy(&[("one-shot", &long), ("iterative", &short)], Some(0.9)).draw(),
        ] {
            assert_eq!(figure.unwrap().size().0, 1600);
        }
    }

    #[test]
    fn a_series_of_the_wrong_length_is_an_error() {
        let runs = [("per layer", sparsity(2, 80)), ("global", sparsity(1, 80))];
        let error = plot_sparsity(&runs).draw().unwrap_err().to_string();
        assert!(error.contains("global") && error.contains('2'), "{error}");
    }
}
