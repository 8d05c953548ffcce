//! Horizontal bars: one name a row, long names welcome.

use super::axis::{Axis, is_finite};
use super::canvas::{Area, Rect, rectangle};
use super::figure::{Figure, drawn};
use super::frame::{Frame, Labels};
use super::grid::{Plot, alone};
use super::header::title_and_notes;
use super::legend::{Legend, Sample};
use super::style::{INK, Style, pt};
use super::text::{Text, short};
use base::{Error, Result};
use display::{MimeBundle, Show, shows_itself};
use std::fmt::Display;

/// Bars of one or more series, side by side for each name.
///
/// ```
/// use kernel_helpers::plot::BarPlot;
///
/// let figure = BarPlot::new(["conv1", "layer1.0.conv1"])
///     .series("per layer", &[80.0, 80.0])
///     .series("global", &[21.5, 64.0])
///     .x_label("zeros (%)")
///     .draw()?;
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BarPlot {
    labels: Labels,
    names: Vec<String>,
    series: Vec<(String, Vec<f64>)>,
    limit: Option<f64>,
}

/// The size of the values that stand at the end of the bars, in points.
const VALUE_SIZE: f64 = 7.0;
/// Room for them behind the longest bar, as a share of what the axis shows, where that is wide enough.
const ROOM: f64 = 0.09;

impl BarPlot {
    /// A plot with a row for each of these names, from the top.
    pub fn new<N: Display>(names: impl IntoIterator<Item = N>) -> Self {
        BarPlot {
            labels: Labels::default(),
            names: names.into_iter().map(|name| name.to_string()).collect(),
            series: Vec::new(),
            limit: None,
        }
    }

    /// Adds a series with a value for each name.
    pub fn series(mut self, name: impl Display, values: &[f64]) -> Self {
        self.series.push((name.to_string(), values.to_vec()));
        self
    }

    /// What the bars' lengths show, with its unit.
    pub fn x_label(mut self, label: impl Display) -> Self {
        self.labels.x = label.to_string();
        self
    }

    /// The value at which the axis ends, such as 100 %. By default the longest bar decides.
    pub fn limit(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If a series has more or fewer values than there are names.
    pub fn draw(&self) -> Result<Figure> {
        alone(self)
    }

    fn paint_row(&self, area: &Area, frame: &Frame, row: usize) -> Result<()> {
        let count = self.series.len() as f64;
        for (index, (_, values)) in self.series.iter().enumerate() {
            let from = -0.5 + 0.1 + 0.8 * index as f64 / count;
            let corners = frame
                .point(0.0, row as f64 + from)
                .zip(frame.point(values[row], row as f64 + from + 0.8 / count));
            let Some(((zero, top), (end, bottom))) = corners else {
                continue;
            };
            let bar = Rect { left: zero.min(end), top, right: zero.max(end), bottom };
            rectangle(area, bar, &Style::of_area(index).color)?;
            let label = Text::new(short(values[row]), VALUE_SIZE);
            let middle = (top + bottom) / 2.0;
            label.draw(area, (bar.right + pt(3.0), middle), (0.0, 0.5), INK)?;
        }
        Ok(())
    }

    /// The share of the axis that the numbers need where it is `width` pixels long.
    fn room(&self, width: f64) -> f64 {
        let widths = self.values().map(|value| Text::new(short(value), VALUE_SIZE).width());
        let widest = widths.fold(0.0, f64::max) + pt(5.0);
        (widest / (width - widest).max(widest)).max(ROOM)
    }

    fn axis(&self, room: f64) -> Axis {
        let values = || self.values().filter(|value| is_finite(*value));
        let high = self.limit.unwrap_or_else(|| values().fold(0.0, f64::max));
        let low = values().fold(0.0, f64::min);
        let high = if high > low { high } else { low + 1.0 };
        Axis::range(1.08 * low..=high + room * (high - low))
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.series.iter().flat_map(|(_, values)| values.iter().copied())
    }
}

title_and_notes!(BarPlot, labels.words);

impl Plot for BarPlot {
    /// The height that leaves every row legible.
    fn height(&self, _columns: usize) -> u32 {
        let row = 12 + 27 * self.series.len().max(1) as u32;
        220 + row.max(44) * self.names.len().max(2) as u32
    }

    fn paint(&self, area: &Area) -> Result<()> {
        for (name, values) in &self.series {
            if values.len() != self.names.len() {
                let expected = format!("{} values, one for each name", self.names.len());
                return Err(Error::argument(format!("the series `{name}`"), expected, values.len()));
            }
        }
        let size = area.dim_in_pixel();
        let mut labels = self.labels.clone();
        let missing = self.values().filter(|value| !is_finite(*value)).count();
        if missing > 0 {
            labels.words.notes.push(format!("{missing} values are not finite and left out"));
        }
        let styles = (0..self.series.len()).map(Style::of_area);
        let entries = self.series.iter().map(|(name, _)| name.clone()).zip(styles);
        let legend = Legend::new(entries, Sample::Patch, f64::from(size.0));
        let strip = legend.strip_height(f64::from(size.0) * 0.6);
        let lay_out =
            |room| Frame::lay_out(size, &labels, self.axis(room), Axis::names(self.names.clone()), strip);
        let inner = lay_out(ROOM).inner;
        let frame = lay_out(self.room(inner.right - inner.left));
        frame.draw_background(area)?;
        for (row, _) in self.names.iter().enumerate() {
            self.paint_row(area, &frame, row)?;
        }
        frame.draw_axes(area)?;
        legend.draw_strip(area, frame.strip)
    }

    fn alt(&self) -> String {
        let title = self.labels.words.sentence();
        let series = self.series.iter().map(|(series, values)| {
            let bars = self.names.iter().zip(values).map(|(name, value)| format!("{name} {}", short(*value)));
            format!("{series}: {}", bars.collect::<Vec<_>>().join(", "))
        });
        format!("{title}{}. {}", self.labels.x, series.collect::<Vec<_>>().join("; "))
    }
}

impl Show for BarPlot {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(BarPlot);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_panel_leaves_more_room_for_the_numbers() {
        let plot = BarPlot::new(["a"]).series("s", &[147.5]);
        let needed = Text::new("147.5", VALUE_SIZE).width();
        assert_eq!(plot.room(30.0 * needed), ROOM);
        let room = plot.room(3.0 * needed);
        assert!(3.0 * needed * room / (1.0 + room) >= needed, "{room}");
    }
}
