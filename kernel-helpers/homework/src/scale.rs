//! How much of the homework to run, and with which seed.

use base::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// How much of the data and how many epochs the notebooks use. One switch for all labs: the environment variable
/// `LAB_SCALE`, which `cargo lab run --quick` sets, or a literal in the notebook's first cell.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let scale: Scale = "quick".parse()?;
/// assert_eq!((scale.train_images(), scale.test_images(), scale.epochs(20)), (2_560, 1_000, 4));
/// assert!("slow".parse::<Scale>().unwrap_err().to_string().contains("full, quick or tiny"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    /// All 50,000 and 10,000 images, the assignment's epochs.
    Full,
    /// 2,560 training images, 1,000 test images, a fifth of the epochs: minutes on a laptop.
    Quick,
    /// 256 training images, 100 test images, two epochs: only for testing that everything runs.
    Tiny,
}

impl Scale {
    /// The scale that `LAB_SCALE` names (`full`, `quick` or `tiny`); full where it is not set.
    ///
    /// # Errors
    /// If the variable holds another word.
    pub fn from_env() -> Result<Self> {
        match std::env::var("LAB_SCALE") {
            Ok(word) => word.parse(),
            Err(_) => Ok(Scale::Full),
        }
    }

    /// How many of the 50,000 training images are used.
    pub fn train_images(self) -> usize {
        match self {
            Scale::Full => 50_000,
            Scale::Quick => 2_560,
            Scale::Tiny => 256,
        }
    }

    /// How many of the 10,000 test images are used.
    pub fn test_images(self) -> usize {
        match self {
            Scale::Full => 10_000,
            Scale::Quick => 1_000,
            Scale::Tiny => 100,
        }
    }

    /// How many epochs stand in for `full` epochs of the assignment.
    pub fn epochs(self, full: usize) -> usize {
        match self {
            Scale::Full => full,
            Scale::Quick => full.div_ceil(5).max(2),
            Scale::Tiny => full.min(2),
        }
    }
}

/// The seed of the runs that `LAB_SEED` names; 0 where it is not set. `cargo lab run --seed 1` sets it.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// // Without LAB_SEED.
/// assert_eq!(seed_from_env()?, 0);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
///
/// # Errors
/// If the variable holds anything but a number.
pub fn seed_from_env() -> Result<u64> {
    match std::env::var("LAB_SEED") {
        Ok(word) => word
            .parse()
            .map_err(|_| Error::argument("the seed (LAB_SEED)", "a number from 0 on", format!("`{word}`"))),
        Err(_) => Ok(0),
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "full" => Ok(Scale::Full),
            "quick" => Ok(Scale::Quick),
            "tiny" => Ok(Scale::Tiny),
            other => {
                Err(Error::argument("the scale (LAB_SCALE)", "full, quick or tiny", format!("`{other}`")))
            }
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scale::Full => "full",
            Scale::Quick => "quick",
            Scale::Tiny => "tiny",
        })
    }
}
