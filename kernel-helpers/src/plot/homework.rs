//! The homework's figures.

use super::bars::BarPlot;
use super::grid::Grid;
use super::lines::LinePlot;
use crate::lab1::{Trajectory, element_name};
use crate::prune::{LayerSparsity, Sparsity};
use crate::train_util::{EpochRecord, History, recorded_note};
use std::borrow::Borrow;
use std::fmt::Display;

/// log(L) against steps: `losses[k]` is the loss after step `k`.
///
/// ```
/// use kernel_helpers::plot::plot_loss;
///
/// let losses: Vec<f64> = (0..=200).map(|k| 27.0 * 0.8_f64.powi(k)).collect();
/// plot_loss(&losses).draw()?;
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn plot_loss(losses: &[f64]) -> LinePlot {
    loss_axes().series("", losses)
}

/// log(L) against steps for several runs with their names, such as `λ = 0.2`.
pub fn compare_losses<N: Display, T: Borrow<Trajectory>>(runs: &[(N, T)]) -> LinePlot {
    runs.iter().fold(loss_axes(), |plot, (name, run)| plot.series(name, &run.borrow().losses))
}

fn loss_axes() -> LinePlot {
    LinePlot::new().x_label("step").y_label("L (log scale)").log_y()
}

/// Each element of W against steps: `weights[k]` holds the elements after step `k`.
pub fn plot_weights<W: AsRef<[f64]>>(weights: &[W]) -> LinePlot {
    let elements = weights.iter().map(|w| w.as_ref().len()).max().unwrap_or(0);
    let plot = LinePlot::new().x_label("step").y_label("element of W");
    (0..elements).fold(plot, |plot, element| {
        let values = weights.iter().map(|w| w.as_ref().get(element).copied().unwrap_or(f64::NAN));
        plot.series(element_name(element), &values.collect::<Vec<_>>())
    })
}

/// log(L) and each element of W against steps, side by side.
pub fn plot_trajectory(trajectory: &Trajectory) -> Grid {
    Grid::new(2).panel(plot_loss(&trajectory.losses)).panel(plot_weights(&trajectory.weights))
}

/// Accuracy against what `x_label` says, such as bits or sparsity: for each series its name and points (x, accuracy
/// from 0 to 1), shown in percent. `float` is the accuracy of the float model, drawn as a line for comparison.
///
/// ```
/// use kernel_helpers::plot::plot_accuracy;
///
/// let asymmetric = vec![(6.0, 0.9145), (4.0, 0.8970), (2.0, 0.0896)];
/// plot_accuracy("bits", &[("asymmetric", asymmetric)], Some(0.9151)).draw()?;
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn plot_accuracy<N: Display, P: AsRef<[(f64, f64)]>>(
    x_label: &str,
    series: &[(N, P)],
    float: Option<f64>,
) -> LinePlot {
    let plot = LinePlot::new().x_label(x_label).y_label("test accuracy (%)");
    let plot = series.iter().fold(plot, |plot, (name, points)| {
        let points: Vec<_> = points.as_ref().iter().map(|&(x, accuracy)| (x, 100.0 * accuracy)).collect();
        plot.points(name, &points)
    });
    match float {
        Some(accuracy) => plot.reference(format!("float: {:.2} %", 100.0 * accuracy), 100.0 * accuracy),
        None => plot,
    }
}

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

/// Histograms of weights, one over the other, such as before and after pruning: names and values. Zeros are left out,
/// for a pruned layer has little else; the legend gives their share.
pub fn plot_histogram<N: Display, T: Copy + Into<f64>, V: AsRef<[T]>>(
    series: &[(N, V)],
    bins: usize,
) -> LinePlot {
    let (bins, series): (_, Vec<(&N, Vec<f64>)>) = (
        bins.max(1),
        series
            .iter()
            .map(|(name, values)| (name, values.as_ref().iter().map(|v| (*v).into()).collect()))
            .collect(),
    );
    let shown = series.iter().flat_map(|(_, values)| values).filter(|v| v.is_finite() && **v != 0.0);
    let largest = shown.map(|v| v.abs()).fold(0.0, f64::max);
    let reach = if largest > 0.0 { largest } else { 1.0 };
    let plot = LinePlot::new().x_label("weight").y_label("weights per bin");
    series.iter().fold(plot, |plot, (name, values)| {
        let zeros = values.iter().filter(|v| **v == 0.0).count();
        let label = match zeros {
            0 => name.to_string(),
            _ => format!("{name} (and {:.1} % zeros)", 100.0 * zeros as f64 / values.len() as f64),
        };
        plot.filled(label, &outline(values, reach, bins))
    })
}

/// The outline of a histogram from `-reach` to `reach`, zeros left out.
fn outline(values: &[f64], reach: f64, bins: usize) -> Vec<(f64, f64)> {
    let mut counts = vec![0_u32; bins];
    for value in values.iter().filter(|v| v.is_finite() && **v != 0.0) {
        let bin = (value + reach) / (2.0 * reach) * bins as f64;
        counts[(bin as usize).min(bins - 1)] += 1;
    }
    let edge = |bin: usize| reach * (2.0 * bin as f64 / bins as f64 - 1.0);
    let steps = counts.iter().enumerate().flat_map(|(bin, &count)| {
        let count = f64::from(count);
        [(edge(bin), count), (edge(bin + 1), count)]
    });
    [(edge(0), 0.0)].into_iter().chain(steps).chain([(edge(bins), 0.0)]).collect()
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
