//! What surrounds the data: title, note, axes with their ticks and labels.

use super::axis::{Axis, Tick};
use super::canvas::{Area, Point, Rect, segment};
use super::header::{Header, Words};
use super::style::{AXIS, GRID, INK, LABEL_SIZE, TICK_SIZE, pt};
use super::text::{Text, fit, wrap};
use base::Result;

/// The words around a plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Labels {
    pub words: Words,
    pub x: String,
    pub y: String,
}

/// A frame laid out for an area of a given size.
pub(super) struct Frame {
    /// Where the data is drawn.
    pub inner: Rect,
    /// An empty strip above it, as high as was asked for.
    pub strip: Rect,
    x: Axis,
    y: Axis,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// How far down the horizontal axis' tick labels reach, in device pixels.
    x_tick_height: f64,
    /// Whether these are read from bottom to top.
    x_turned: bool,
    header: Header,
    x_label: Vec<Text>,
    y_label: Vec<Text>,
}

const PADDING: f64 = 4.0;
const TICK_LENGTH: f64 = 3.0;
const GAP: f64 = 3.0;

/// Names in rows, or side by side when turned, are all labelled if they are at least this part of a line's height
/// apart.
const NAME_PITCH: f64 = 0.75;
/// Turned names longer than this are cut.
const TURNED: f64 = 95.0;
/// Turned names are at most this many.
const MOST_NAMES: usize = 100;

impl Frame {
    /// Lays out axes and labels on `size` device pixels, with an empty strip of `strip` device pixels above the data.
    pub fn lay_out(size: (u32, u32), labels: &Labels, x: Axis, y: Axis, strip: f64) -> Frame {
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let text_width = width - 2.0 * pt(PADDING);
        let header = Header::lay_out(&labels.words, width);
        let x_label = wrap(&labels.x, LABEL_SIZE, text_width);
        let tick_height = Text::new("0", TICK_SIZE).line_height();

        let strip_top = header.bottom();
        let top = strip_top + strip + 0.6 * tick_height;
        let (x_turned, x_tick_height) = Self::x_tick_labels(&x, width);
        let below = pt(TICK_LENGTH + GAP + PADDING) + x_tick_height + height_of(&x_label);
        let bottom = (height - below).max(top + tick_height);
        let y_label = wrap(&labels.y, LABEL_SIZE, bottom - top);

        // Decades and names are all to be labelled, so they may stand closer.
        let pitch = if y.has_names() { NAME_PITCH } else { [1.45, 0.95][usize::from(y.is_log())] };
        let pitch = pitch * tick_height;
        let y_ticks = y.ticks(((bottom - top) / pitch) as usize);
        let y_ticks = shortened(y_ticks, 0.4 * width);
        let left = pt(PADDING + GAP + TICK_LENGTH + GAP) + height_of(&y_label) + widest(&y_ticks);
        let right = (width - pt(PADDING + 2.0)).max(left + tick_height);
        let (x_ticks, overhang) = match x_turned {
            true => (
                shortened(x.ticks(((right - left) / (NAME_PITCH * tick_height)) as usize), x_tick_height),
                0.0,
            ),
            false => x_ticks(&x, right - left),
        };
        let inner = Rect { left, top, right: right - overhang, bottom };
        let strip = Rect { left, top: strip_top, right, bottom: strip_top + strip };
        Frame { inner, strip, x, y, x_ticks, y_ticks, x_tick_height, x_turned, header, x_label, y_label }
    }

    /// Whether the horizontal axis' labels are turned on an area that is `width` device pixels wide, and their height.
    pub fn x_tick_labels(x: &Axis, width: f64) -> (bool, f64) {
        match x.needs_turning(0.75 * width) {
            true => (true, widest(&x.ticks(MOST_NAMES)).min(pt(TURNED))),
            false => (false, Text::new("0", TICK_SIZE).line_height()),
        }
    }

    /// Where a value is drawn; none if it is not finite.
    pub fn point(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.across(self.x.place(x)?), self.up(self.y.place(y)?)))
    }

    /// How far down the value of the vertical axis is; none if it is not finite.
    pub fn height_of(&self, y: f64) -> Option<f64> {
        Some(self.up(self.y.place(y)?))
    }

    fn across(&self, at: f64) -> f64 {
        self.inner.left + at * self.inner.width()
    }

    /// Names are read from top to bottom, numbers grow upwards.
    fn up(&self, at: f64) -> f64 {
        let at = if self.y.has_names() { 1.0 - at } else { at };
        self.inner.bottom - at * self.inner.height()
    }

    /// Draws the words above the data and the grid behind it.
    pub fn draw_background(&self, area: &Area) -> Result<()> {
        self.header.draw(area)?;
        let Rect { left, top, right, bottom } = self.inner;
        for tick in labelled(&self.x_ticks).filter(|_| !self.x.has_names()) {
            let x = self.across(tick.at).round();
            segment(area, (x, top), (x, bottom), 0.5, GRID)?;
        }
        for tick in labelled(&self.y_ticks).filter(|_| !self.y.has_names()) {
            let y = self.up(tick.at).round();
            segment(area, (left, y), (right, y), 0.5, GRID)?;
        }
        Ok(())
    }

    /// Draws the axes, their ticks and their labels.
    pub fn draw_axes(&self, area: &Area) -> Result<()> {
        let Rect { left, top, right, bottom } = self.inner;
        segment(area, (left, top), (left, bottom), 0.7, AXIS)?;
        segment(area, (left, bottom), (right, bottom), 0.7, AXIS)?;
        let length = |tick: &Tick| pt(if tick.label.is_some() { TICK_LENGTH } else { 0.6 * TICK_LENGTH });
        for tick in &self.x_ticks {
            let x = self.across(tick.at).round();
            segment(area, (x, bottom), (x, bottom + length(tick)), 0.7, AXIS)?;
            if let Some(label) = &tick.label {
                let (text, top) = (Text::new(label, TICK_SIZE), bottom + pt(TICK_LENGTH + GAP));
                if self.x_turned {
                    text.draw_upwards(area, (x, top + 0.5 * text.width()), INK)?;
                } else {
                    text.draw(area, (x, top), (0.5, 0.0), INK)?;
                }
            }
        }
        for tick in &self.y_ticks {
            let y = self.up(tick.at).round();
            if !self.y.has_names() {
                segment(area, (left - length(tick), y), (left, y), 0.7, AXIS)?;
            }
            if let Some(label) = &tick.label {
                let at = (left - pt(TICK_LENGTH + GAP), y);
                Text::new(label, TICK_SIZE).draw(area, at, (1.0, 0.5), INK)?;
            }
        }
        self.draw_axis_labels(area)
    }

    fn draw_axis_labels(&self, area: &Area) -> Result<()> {
        let center = self.inner.center();
        let mut y = self.inner.bottom + pt(TICK_LENGTH + GAP) + self.x_tick_height;
        for line in &self.x_label {
            line.draw(area, (center.0, y + 0.5 * line.line_height()), (0.5, 0.5), INK)?;
            y += line.line_height();
        }
        let mut x = pt(PADDING);
        for line in &self.y_label {
            line.draw_upwards(area, (x + 0.5 * line.line_height(), center.1), INK)?;
            x += line.line_height();
        }
        Ok(())
    }
}

fn labelled(ticks: &[Tick]) -> impl Iterator<Item = &Tick> {
    ticks.iter().filter(|tick| tick.label.is_some())
}

fn height_of(lines: &[Text]) -> f64 {
    lines.iter().map(Text::line_height).sum()
}

fn widest(ticks: &[Tick]) -> f64 {
    let widths =
        ticks.iter().filter_map(|tick| tick.label.as_ref()).map(|label| Text::new(label, TICK_SIZE).width());
    widths.fold(0.0, f64::max)
}

fn shortened(mut ticks: Vec<Tick>, width: f64) -> Vec<Tick> {
    for label in ticks.iter_mut().filter_map(|tick| tick.label.as_mut()) {
        *label = fit(label, TICK_SIZE, width).content;
    }
    ticks
}

/// As many ticks as fit side by side, and how far the last label reaches beyond the axis.
fn x_ticks(axis: &Axis, width: f64) -> (Vec<Tick>, f64) {
    let overhang = |ticks: &[Tick]| {
        let last = ticks.iter().rfind(|tick| tick.label.is_some());
        last.map_or(0.0, |tick| (0.5 * widest(ticks) - (1.0 - tick.at) * width).max(0.0))
    };
    for most in (2..=14).rev() {
        let ticks = axis.ticks(most);
        let places: Vec<_> = labelled(&ticks).map(|tick| tick.at * width).collect();
        let closest = places.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        if closest > widest(&ticks) + pt(TICK_SIZE) || most == 2 {
            let overhang = overhang(&ticks);
            return (ticks, overhang);
        }
    }
    (Vec::new(), 0.0)
}
