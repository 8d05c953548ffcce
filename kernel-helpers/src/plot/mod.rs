//! Figures for a cell and for the printed page, drawn with plotters into a PNG.
//!
//! A plot is described step by step and drawn once: `plot_loss(&losses).title("λ = 0.2").draw()?`. The functions named
//! `plot_…` and [`compare_losses`] make the homework's figures; [`LinePlot`] and [`BarPlot`] make others; [`Grid`] puts
//! several into one figure.
//!
//! Sizes follow the printed page: a figure is 16 cm wide at 100 pixels per centimeter, with text of 8 to 10 points.

mod axis;
mod bars;
mod canvas;
mod figure;
mod frame;
mod grid;
mod homework;
mod legend;
mod lines;
mod style;
#[cfg(test)]
mod tests;
mod text;

pub use bars::BarPlot;
pub use figure::Figure;
pub use grid::{Grid, Panel};
pub use homework::{
    compare_losses, plot_accuracy, plot_histogram, plot_history, plot_loss, plot_sparsity,
    plot_test_accuracy, plot_trajectory, plot_weights,
};
pub use lines::LinePlot;
