//! The title and the remarks above a plot.

use super::canvas::Area;
use super::style::{INK, NOTE_SIZE, TITLE_SIZE, pt};
use super::text::{Text, wrap};
use base::Result;

/// The words above a plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    pub title: String,
    pub notes: Vec<String>,
}

impl Words {
    /// The title as the first sentence of a text.
    pub fn sentence(&self) -> String {
        if self.title.is_empty() { String::new() } else { format!("{}. ", self.title) }
    }
}

/// Gives a plot whose field `$words` holds [`Words`] the methods that set them.
macro_rules! title_and_notes {
    ($plot:ty, $($words:ident).+) => {
        impl $plot {
            /// A title. By default there is none: text beside the figure says what it shows.
            pub fn title(mut self, title: impl std::fmt::Display) -> Self {
                self.$($words).+.title = title.to_string();
                self
            }

            /// A remark in small print at the top, such as the scale of the run.
            pub fn note(mut self, note: impl std::fmt::Display) -> Self {
                self.$($words).+.notes.push(note.to_string());
                self
            }

            /// Adds several remarks; takes an `Option` of one, such as the note of a data set, as it is.
            pub fn notes(self, notes: impl IntoIterator<Item = impl std::fmt::Display>) -> Self {
                notes.into_iter().fold(self, Self::note)
            }
        }
    };
}
pub(super) use title_and_notes;

/// Device pixels, in points, above the first line.
const PADDING: f64 = 4.0;

/// The words, broken into lines.
pub(super) struct Header {
    lines: Vec<Text>,
}

impl Header {
    /// Lays the words out on an area that is `width` device pixels wide.
    pub fn lay_out(words: &Words, width: f64) -> Self {
        let width = width - 2.0 * pt(PADDING);
        let mut lines = wrap(&words.title, TITLE_SIZE, width);
        lines.extend(words.notes.iter().flat_map(|note| wrap(note, NOTE_SIZE, width)));
        Header { lines }
    }

    /// Where the lines end, in device pixels from the top.
    pub fn bottom(&self) -> f64 {
        pt(PADDING) + self.lines.iter().map(Text::line_height).sum::<f64>()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Draws the lines, centered at the top of the area.
    pub fn draw(&self, area: &Area) -> Result<()> {
        let center = f64::from(area.dim_in_pixel().0) / 2.0;
        let mut top = pt(PADDING);
        for line in &self.lines {
            line.draw(area, (center, top + 0.5 * line.line_height()), (0.5, 0.5), INK)?;
            top += line.line_height();
        }
        Ok(())
    }
}
