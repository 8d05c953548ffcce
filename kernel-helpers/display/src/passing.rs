//! What is shown while something goes on, and is gone when it is over.

use super::{DisplayHandle, MimeBundle, show_in_place};
use std::sync::{Mutex, PoisonError};

/// The running cell by its number, 0 where nobody tells of cells; and the place in it for what passes.
static CELL: Mutex<(u64, Option<DisplayHandle>)> = Mutex::new((0, None));

/// Tells that another cell begins to run, for the kernel. What passes has one place in a cell; without this call, it
/// has one each time.
///
/// ```
/// use kernel_helpers::display::{MimeBundle, Passing, cell_begins};
///
/// cell_begins();
/// Passing::here().show(&MimeBundle::plain("epoch 1 of 20"));
/// // In the same place, and not below an empty one.
/// Passing::here().show(&MimeBundle::plain("epoch 1 of 10"));
/// ```
pub fn cell_begins() {
    let mut cell = CELL.lock().unwrap_or_else(PoisonError::into_inner);
    *cell = (cell.0 + 1, None);
}

/// An output that passes. What is left of it is an output without content, as Jupyter cannot take away one of several.
///
/// ```
/// use kernel_helpers::display::{MimeBundle, Passing};
///
/// let mut progress = Passing::here();
/// for percent in [0, 50, 100] {
///     progress.show(&MimeBundle::plain(format!("{percent} %")));
/// }
/// drop(progress); // nothing is left of it
/// ```
pub struct Passing(Option<DisplayHandle>);

impl Passing {
    /// The cell's own place for what passes, if nothing else is in it.
    pub fn here() -> Self {
        Self(CELL.lock().unwrap_or_else(PoisonError::into_inner).1.take())
    }

    /// Shows this in its place.
    pub fn show(&mut self, bundle: &MimeBundle) {
        match &self.0 {
            Some(place) => place.replace(bundle),
            None => self.0 = Some(show_in_place(bundle)),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let Some(place) = self.0.take() else { return };
        // A viewer that prefers HTML, as JupyterLab does, leaves no empty line for it.
        place.replace(&MimeBundle::plain("").html(""));
        let mut cell = CELL.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.0 > 0 {
            cell.1 = Some(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_has_one_place_in_a_cell() {
        let place = || {
            let mut passing = Passing::here();
            passing.show(&MimeBundle::plain("50 %"));
            passing.0.clone().unwrap()
        };
        let untold = [place(), place()];
        assert_ne!(untold[0], untold[1], "it could be in a cell of long ago");
        cell_begins();
        let first = [place(), place()];
        cell_begins();
        let second = place();
        assert_eq!(first[0], first[1]);
        assert!(second != first[0] && first[0] != untold[1]);
    }
}
