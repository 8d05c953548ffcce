//! All that the homework's notebooks use beside the helpers' prelude, in one `use`.

pub use crate::lab1::*;
pub use crate::plot::*;
pub use crate::results::Results;
pub use crate::scan::{Case, Mode, Scan};
pub use crate::{
    Numbers, Scale, cifar10, cifar10_in, expect_numbers, output_dir, pretrained_model, same_numbers,
    seed_from_env, show_notebook_source,
};
