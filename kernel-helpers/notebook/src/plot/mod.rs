//! Figures for a cell and for the printed page, drawn with plotters into a PNG.
//!
//! A plot is described step by step and drawn once: `LinePlot::new().series("loss", &losses).log_y().draw()?`. There
//! are
//!
//! - [`LinePlot`] of lines, and of scattered points with or without names, on linear and logarithmic axes,
//! - [`BarPlot`] of bars,
//! - [`HeatMap`] of a matrix,
//! - [`ConfusionMatrix`] of the classes and what they are taken for,
//! - [`ImagePlot`] of images.
//!
//! [`Grid`] puts several into one figure.
//!
//! Sizes follow the printed page: a figure is 16 cm wide at 100 pixels per centimeter, with text of 8 to 10 points.

mod axis;
mod bars;
mod canvas;
mod color_scale;
mod common;
mod confusion;
mod figure;
mod frame;
mod grid;
mod header;
mod heat_map;
mod images;
mod legend;
mod lines;
#[cfg(test)]
mod picture_tests;
mod point_names;
mod series;
mod style;
#[cfg(test)]
mod tests;
mod text;

pub use bars::BarPlot;
pub use common::{loss_axes, plot_accuracy, plot_histogram, plot_loss};
pub use confusion::{ClassNumbers, ConfusionMatrix};
pub use display::ImageSource;
pub use figure::Figure;
pub use grid::{Grid, Panel};
pub use heat_map::{HeatMap, Matrix};
pub use images::ImagePlot;
pub use lines::LinePlot;
