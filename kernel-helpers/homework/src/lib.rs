//! What belongs to the homework alone: the problem of Lab 1, and of the other labs the scale at which they run, the
//! data, results, scans, figures and checks of what a cell has written.

mod check;
mod data;
pub mod lab1;
mod paths;
mod plot;
pub mod prelude;
pub mod results;
mod scale;
pub mod scan;
mod source;

pub use check::{Numbers, expect_numbers, same_numbers};
pub use data::{cifar10, cifar10_in};
pub use paths::{output_dir, pretrained_model};
pub use plot::{compare_losses, plot_trajectory, plot_weights};
pub use scale::{Scale, seed_from_env};
pub use source::show_notebook_source;
