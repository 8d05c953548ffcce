//! Figures of runs, and of what pruning leaves.

use crate::{EpochRecord, History, recorded_note};
use nn::prune::{LayerSparsity, Sparsity};
use notebook::plot::{BarPlot, Grid, LinePlot, plot_accuracy};
use std::borrow::Borrow;
use std::fmt::Display;

/// The share of zeros in each layer, in percent: for each series its name, such as `per layer` and `global`, and the
/// sparsity of the same network's layers.
pub fn plot_sparsity<N: Display, S: Borrow<Sparsity>>(series: &[(N, S)]) -> BarPlot {
    let layers = series.first().map_or(&[][..], |(_, sparsity)| &sparsity.borrow().layers);
    let plot = BarPlot::new(layers.iter().map(|layer| &layer.name)).x_label("zeros (%)").limit(100.0);
    series.iter().fold(plot, |plot, (name, sparsity)| {
        let percent = |layer: &LayerSparsity| 100.0 * layer.fraction();
        plot.series(name, &sparsity.borrow().layers.iter().map(percent).collect::<Vec<_>>())
    })
}

/// Loss and accuracy of the training and the test images against epochs, side by side.
pub fn plot_history(history: &History) -> Grid {
    let line = |value: fn(&EpochRecord) -> f64| -> Vec<(f64, f64)> {
        history.epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch))).collect()
    };
    let loss = LinePlot::new()
        .points("training", &line(|epoch| epoch.train_loss))
        .points("test", &line(|epoch| epoch.test_loss))
        .x_label("epoch")
        .y_label("loss");
    let accuracy = LinePlot::new()
        .points("training", &line(|epoch| 100.0 * epoch.train_accuracy))
        .points("test", &line(|epoch| 100.0 * epoch.test_accuracy))
        .x_label("epoch")
        .y_label("accuracy (%)");
    Grid::new(2).panel(loss).panel(accuracy).notes(history.remarks())
}

/// Test accuracy against epochs for several runs: names and histories. `float` is the accuracy of the float model, drawn
/// as a line for comparison.
pub fn plot_test_accuracy<N: Display, H: Borrow<History>>(runs: &[(N, H)], float: Option<f64>) -> LinePlot {
    let points = |history: &History| -> Vec<(f64, f64)> {
        history.epochs.iter().map(|epoch| (epoch.epoch as f64, epoch.test_accuracy)).collect()
    };
    let series: Vec<_> = runs.iter().map(|(name, history)| (name, points(history.borrow()))).collect();
    let note = runs.first().and_then(|(_, history)| history.borrow().note.as_ref());
    let recorded = recorded_note(runs.iter().map(|(_, history)| history.borrow()));
    plot_accuracy("epoch", &series, float).notes(note).notes(recorded)
}
