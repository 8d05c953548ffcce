//! The homework's figures.

use crate::lab1::{Trajectory, element_name};
use notebook::plot::{Grid, LinePlot, loss_axes, plot_loss};
use std::borrow::Borrow;
use std::fmt::Display;

/// log(L) against steps for several runs with their names, such as `λ = 0.2`.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = |steps| gradient_descent(&LinearProblem::homework(), Descent { steps, ..Default::default() });
/// let figure = compare_losses(&[("20 steps", run(20)), ("200 steps", run(200))]).draw()?;
/// assert!(figure.alt().starts_with("L (log scale) against step. 20 steps"), "{}", figure.alt());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn compare_losses<N: Display, T: Borrow<Trajectory>>(runs: &[(N, T)]) -> LinePlot {
    runs.iter().fold(loss_axes(), |plot, (name, run)| plot.series(name, &run.borrow().losses))
}

/// Each element of W against steps: `weights[k]` holds the elements after step `k`.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let figure = plot_weights(&[[0.0, 0.0], [0.5, -0.25], [0.75, -0.375]]).draw()?;
/// assert!(figure.alt().contains("W₁") && figure.alt().contains("W₂"), "{}", figure.alt());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn plot_weights<W: AsRef<[f64]>>(weights: &[W]) -> LinePlot {
    let elements = weights.iter().map(|w| w.as_ref().len()).max().unwrap_or(0);
    let plot = LinePlot::new().x_label("step").y_label("element of W");
    (0..elements).fold(plot, |plot, element| {
        let values = weights.iter().map(|w| w.as_ref().get(element).copied().unwrap_or(f64::NAN));
        plot.series(element_name(element), &values.collect::<Vec<_>>())
    })
}

/// log(L) and each element of W against steps, side by side.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = gradient_descent(&LinearProblem::homework(), Descent::default());
/// let figure = plot_trajectory(&run).title("gradient descent").draw()?;
/// assert!(figure.alt().starts_with("gradient descent"), "{}", figure.alt());
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
pub fn plot_trajectory(trajectory: &Trajectory) -> Grid {
    Grid::new(2).panel(plot_loss(&trajectory.losses)).panel(plot_weights(&trajectory.weights))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab1::{Descent, LinearProblem, gradient_descent};

    #[test]
    fn the_figures_of_lab_1_are_drawn() {
        let run = gradient_descent(&LinearProblem::homework(), Descent::default());
        for figure in [
            compare_losses(&[("all steps", &run), ("the first 20", &run.first(20))]).draw(),
            plot_weights(&run.weights).draw(),
            plot_weights::<[f64; 5]>(&[]).draw(),
            plot_trajectory(&run).draw(),
        ] {
            assert_eq!(figure.unwrap().size().0, 1600);
        }
    }
}
