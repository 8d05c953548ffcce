//! What a cell shows besides text: figures, tables, Markdown, and whatever says how it is shown.
//!
//! A value shows itself through [`Show`], as a bundle of forms of which a viewer takes the richest that it can. It is
//! shown as the last value of a cell, or anywhere in a cell, as often as wanted, by [`display`]; the handle that this
//! returns replaces it in place.
//!
//! ```
//! use kernel_helpers::display::{MimeBundle, Show, display};
//!
//! struct Temperature(f64);
//!
//! impl Show for Temperature {
//!     fn forms(&self) -> MimeBundle {
//!         MimeBundle::plain(format!("{} °C", self.0)).html(format!("<b>{} °C</b>", self.0))
//!     }
//! }
//!
//! let shown = display(&Temperature(20.0));
//! shown.update(&Temperature(20.5));
//! ```
//!
//! The blocks that carry this are described in `output`.

mod bundle;
mod image_source;
mod measure;
mod output;
mod passing;
mod plain;
pub mod table;
mod tensors;
mod value;

pub use bundle::MimeBundle;
pub use image_source::ImageSource;
pub use measure::{ByLength, BySize, ByValue, Measurable, Measure, Probe};
pub use output::{Channel, print_line};
pub use passing::{Passing, cell_begins};
pub use tensors::size;
pub use value::{DisplayPlain, DisplayTypeName, ShownReference, ShownValue, begin_result, end_result};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that a cell shows in one or more forms. Implement it for a type of your own, and [`display`] takes it and
/// the end of a cell shows it.
///
/// Plain evcxr, which looks for a method `evcxr_display` alone, shows a type's `Debug` form unless the type has a
/// method of this name itself: `pub fn evcxr_display(&self) { display(self); }`.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// struct Accuracy(f64);
///
/// impl Show for Accuracy {
///     fn forms(&self) -> MimeBundle {
///         MimeBundle::plain(percent(self.0)).markdown(format!("**{}**", percent(self.0)))
///     }
/// }
///
/// assert_eq!(Accuracy(0.9151).forms().get("text/plain"), Some("91.51 %"));
/// ```
pub trait Show {
    /// The value in all forms in which it can be shown.
    fn forms(&self) -> MimeBundle;
}

/// Gives types that implement [`Show`] the method that evcxr calls on the last value of a cell. A method of the type's
/// own, as the one of [`DisplayPlain`] would otherwise be as good as one of a trait.
#[macro_export]
macro_rules! shows_itself {
    ($($type:ty),+) => {$(
        impl $type {
            /// Shows the value as the cell's output.
            pub fn evcxr_display(&self) {
                $crate::show(self);
            }
        }
    )+};
}

impl<T: Show + ?Sized> Show for Arc<T> {
    fn forms(&self) -> MimeBundle {
        (**self).forms()
    }
}

/// Shows a value as an output of the current cell, at this place between the cell's other outputs.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// for (bits, accuracy) in [(4, 0.9146), (2, 0.9105)] {
///     display(&markdown(format!("**{bits} bits**")));
///     display(&Table::new(["bits", "accuracy"]).row((bits, percent(accuracy))));
/// }
/// ```
pub fn display<T: Show + ?Sized>(value: &T) -> DisplayHandle {
    show_in_place(&value.forms())
}

/// Cells compile generic functions anew, so these do no more than ask for the forms.
fn show_in_place(forms: &MimeBundle) -> DisplayHandle {
    let handle = DisplayHandle::new();
    output::stdout().display(forms, Some(&handle.id));
    handle
}

/// Shows a value that is not going to be replaced.
///
/// ```
/// use kernel_helpers::display::{markdown, show};
///
/// show(&markdown("Only the *weights* are quantized."));
/// ```
pub fn show<T: Show + ?Sized>(value: &T) {
    show_forms(&value.forms());
}

fn show_forms(forms: &MimeBundle) {
    output::stdout().display(forms, None);
}

/// Takes away what the current cell has shown so far; with `wait`, only when the next output is there, so that nothing
/// flickers. Plain evcxr has no such thing: there it does nothing.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// for epoch in 1..=3 {
///     clear_output(true);
///     display(&markdown(format!("epoch {epoch}")));
/// }
/// ```
pub fn clear_output(wait: bool) {
    output::stdout().clear(wait);
}

/// A displayed value's place, in which another can be shown.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let status: DisplayHandle = display(&markdown("trains …"));
/// status.update(&markdown("is trained"));
/// assert_ne!(status, display(&markdown("trains …")), "another place");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayHandle {
    id: String,
}

impl DisplayHandle {
    /// A place of its own among those of all processes and machines that a notebook has seen.
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let started = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { id: format!("{}-{started}-{number}", std::process::id()) }
    }

    /// Shows another value in this place, wherever it is shown. Plain evcxr has no such places, but keeps of each form
    /// of a cell's outputs the last.
    pub fn update<T: Show + ?Sized>(&self, value: &T) {
        self.replace(&value.forms());
    }

    /// Nothing is shown of the handle where [`display`] stands at the end of a cell.
    pub fn evcxr_display(&self) {}

    fn replace(&self, forms: &MimeBundle) {
        output::stdout().update(forms, &self.id);
    }
}

/// Text that a cell renders as Markdown, such as a sentence with computed numbers.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let sentence = markdown("4 bits cost **0.05** points.");
/// assert_eq!(sentence.forms().get("text/markdown"), Some("4 bits cost **0.05** points."));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Markdown(String);

/// Makes Markdown of a text. As the last value of a cell it shows itself.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let sentence = markdown(format!("The best accuracy is **{}**.", percent(0.9151)));
/// assert_eq!(sentence.forms().get("text/markdown"), Some("The best accuracy is **91.51\u{a0}%**."));
/// ```
pub fn markdown(text: impl fmt::Display) -> Markdown {
    // Between a number and its percent sign no line ends.
    Markdown(text.to_string().replace(" %", "\u{a0}%"))
}

impl Show for Markdown {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(&self.0).markdown(&self.0)
    }
}

shows_itself!(Markdown);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_displays_share_a_place() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| DisplayHandle::new().id).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn markdown_has_its_source_as_text_and_keeps_percent_signs_at_their_numbers() {
        let expected = MimeBundle::plain("**5\u{a0}%**").markdown("**5\u{a0}%**");
        assert_eq!(markdown("**5 %**").forms(), expected);
    }
}
