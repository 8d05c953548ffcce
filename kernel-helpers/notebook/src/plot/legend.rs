//! The legend, placed where it hides nothing.

use super::canvas::{Area, Point, Rect, marker, rectangle, stroke};
use super::style::{INK, PAPER, Style, TICK_SIZE, pt};
use super::text::{Text, fit};
use base::Result;
use plotters::style::Color;

/// What stands beside a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sample {
    /// A piece of line with its marker.
    Line,
    /// A marker alone.
    Point,
    /// A patch of color.
    Patch,
}

/// The names of the series, each with a sample of its style.
pub(super) struct Legend {
    entries: Vec<(Text, Style)>,
    sample: Sample,
}

const SAMPLE_WIDTH: f64 = 24.0;
const PATCH_WIDTH: f64 = 9.0;
const PADDING: f64 = 4.0;

impl Legend {
    /// A legend for an area that is `width` device pixels wide.
    pub fn new(entries: impl IntoIterator<Item = (String, Style)>, sample: Sample, width: f64) -> Self {
        let text_width = 0.9 * width - pt(SAMPLE_WIDTH + 4.0 * PADDING);
        let entries = entries.into_iter().filter(|(name, _)| !name.is_empty());
        let entries = entries.map(|(name, style)| (fit(&name, TICK_SIZE, text_width), style)).collect();
        Legend { entries, sample }
    }

    /// A legend of nothing.
    pub fn none() -> Self {
        Legend { entries: Vec::new(), sample: Sample::Line }
    }

    /// The height in device pixels of the legend as rows on a strip of this width.
    pub fn strip_height(&self, width: f64) -> f64 {
        self.rows(width).len() as f64 * self.row_height()
    }

    /// A place inside `inner` where the legend as a block covers none of `points`.
    pub fn free_place(&self, inner: Rect, points: &[Point]) -> Option<Rect> {
        let margin = pt(5.0);
        let (width, height) = self.block_size();
        let (right, bottom) = (inner.right - margin - width, inner.bottom - margin - height);
        let (left, top) = (inner.left + margin, inner.top + margin);
        let (center, middle) = ((left + right) / 2.0, (top + bottom) / 2.0);
        if self.entries.is_empty()
            || right < left
            || bottom < top
            || width * height > 0.35 * inner.width() * inner.height()
        {
            return None;
        }
        let places = [
            (right, top),
            (left, top),
            (right, bottom),
            (left, bottom),
            (right, middle),
            (center, top),
            (center, bottom),
            (left, middle),
            (center, middle),
        ];
        let clearance = pt(4.0);
        places
            .into_iter()
            .map(|(left, top)| Rect { left, top, right: left + width, bottom: top + height })
            .find(|rect| {
                let around = rect.grown(clearance);
                !points.iter().any(|&point| around.contains(point))
            })
    }

    /// Draws the legend as a block.
    pub fn draw_block(&self, area: &Area, rect: Rect) -> Result<()> {
        rectangle(area, rect, &PAPER.mix(0.85))?;
        for (row, entry) in self.entries.iter().enumerate() {
            let y = rect.top + pt(PADDING) + (row as f64 + 0.5) * self.row_height();
            self.draw_entry(area, (rect.left + pt(PADDING), y), entry)?;
        }
        Ok(())
    }

    /// Draws the legend as rows, centered on the strip.
    pub fn draw_strip(&self, area: &Area, strip: Rect) -> Result<()> {
        for (row, entries) in self.rows(strip.width()).iter().enumerate() {
            let width: f64 = entries.iter().map(|entry| self.entry_width(entry)).sum();
            let mut x = strip.left + 0.5 * (strip.width() - width).max(0.0);
            for entry in entries {
                self.draw_entry(area, (x, strip.top + (row as f64 + 0.5) * self.row_height()), entry)?;
                x += self.entry_width(entry);
            }
        }
        Ok(())
    }

    fn draw_entry(&self, area: &Area, (x, y): Point, (name, style): &(Text, Style)) -> Result<()> {
        let end = x + self.sample_width();
        match self.sample {
            Sample::Line | Sample::Point => {
                stroke(area, &[(x, y), (end, y)], style)?;
                if let Some(shape) = style.marker {
                    marker(area, ((x + end) / 2.0, y), shape, &style.color)?;
                }
            }
            Sample::Patch => {
                let half = pt(PATCH_WIDTH / 2.0);
                rectangle(area, Rect { left: x, top: y - half, right: end, bottom: y + half }, &style.color)?;
            }
        }
        name.draw(area, (end + pt(PADDING), y), (0.0, 0.5), INK)
    }

    fn rows(&self, width: f64) -> Vec<Vec<&(Text, Style)>> {
        let mut rows: Vec<Vec<_>> = Vec::new();
        let mut used = f64::INFINITY;
        for entry in &self.entries {
            let needed = self.entry_width(entry);
            if used + needed > width {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += needed;
            rows.last_mut().expect("the first entry starts a row").push(entry);
        }
        rows
    }

    fn sample_width(&self) -> f64 {
        pt(match self.sample {
            Sample::Line => SAMPLE_WIDTH,
            Sample::Point | Sample::Patch => PATCH_WIDTH,
        })
    }

    fn entry_width(&self, (name, _): &(Text, Style)) -> f64 {
        self.sample_width() + name.width() + pt(4.0 * PADDING)
    }

    fn row_height(&self) -> f64 {
        1.1 * Text::new("", TICK_SIZE).line_height()
    }

    fn block_size(&self) -> (f64, f64) {
        let widest = self.entries.iter().map(|(name, _)| name.width()).fold(0.0, f64::max);
        let height = self.entries.len() as f64 * self.row_height() + 2.0 * pt(PADDING);
        (self.sample_width() + widest + 3.0 * pt(PADDING), height)
    }
}
