//! Figures that are often wanted.

use super::LinePlot;
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

/// The axes of [`plot_loss`], with nothing on them yet.
///
/// ```
/// use kernel_helpers::plot::loss_axes;
///
/// let figure = loss_axes().series("λ = 0.2", &[27.0, 2.7, 0.3]).series("λ = 2", &[27.0, 9.0, 4.0]).draw()?;
/// assert!(figure.alt().starts_with("L (log scale) against step. λ = 0.2"), "{}", figure.alt());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn loss_axes() -> LinePlot {
    LinePlot::new().x_label("step").y_label("L (log scale)").log_y()
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

/// Histograms of weights, one over the other, such as before and after pruning: names and values. Zeros are left out,
/// for a pruned layer has little else; the legend gives their share.
///
/// ```
/// use kernel_helpers::plot::plot_histogram;
///
/// let weights = [("before", [-0.2, -0.1, 0.1, 0.3]), ("after", [-0.2, 0.0, 0.0, 0.3])];
/// let figure = plot_histogram(&weights, 10).draw()?;
/// assert!(figure.alt().contains("after (and 50.0 % zeros)"), "{}", figure.alt());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
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
