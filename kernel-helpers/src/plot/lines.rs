//! Lines through points.

use super::axis::{Axis, is_finite};
use super::canvas::{Area, Point, Rect, marker, rectangle, stroke};
use super::figure::{Figure, drawn};
use super::frame::{Frame, Labels};
use super::grid::Panel;
use super::legend::{Legend, Sample};
use super::style::{Style, pt};
use crate::Result;
use crate::display::{MimeBundle, Show, shows_itself};
use plotters::style::Color;
use std::fmt::Display;

/// Lines of one or more series over a common pair of axes.
///
/// ```
/// use kernel_helpers::plot::LinePlot;
///
/// let figure = LinePlot::new()
///     .series("0.02", &[9.0, 0.5, 0.01])
///     .x_label("step")
///     .y_label("L")
///     .log_y()
///     .draw()?;
/// assert_eq!(figure.size().0, 1600);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinePlot {
    labels: Labels,
    series: Vec<Series>,
    references: Vec<(String, f64)>,
    log_y: bool,
    y_from: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    style: Style,
}

/// Up to this many points of a series all get a marker; of more, a few along the line do.
const ALL_MARKED: usize = 25;

impl LinePlot {
    /// An empty plot.
    pub fn new() -> Self {
        Self::default()
    }

    /// A title. By default there is none: text beside the figure says what it shows.
    pub fn title(mut self, title: impl Display) -> Self {
        self.labels.title = title.to_string();
        self
    }

    /// A remark in small print at the top, such as the scale of the run.
    pub fn note(mut self, note: impl Display) -> Self {
        self.labels.notes.push(note.to_string());
        self
    }

    /// Adds several remarks; takes [`Data::note`](crate::data::Data::note) as it is.
    pub fn notes(self, notes: impl IntoIterator<Item = impl Display>) -> Self {
        notes.into_iter().fold(self, Self::note)
    }

    /// What the horizontal axis shows, with its unit.
    pub fn x_label(mut self, label: impl Display) -> Self {
        self.labels.x = label.to_string();
        self
    }

    /// What the vertical axis shows, with its unit.
    pub fn y_label(mut self, label: impl Display) -> Self {
        self.labels.y = label.to_string();
        self
    }

    /// Makes the vertical axis logarithmic. Values at or below zero are drawn on its lower edge, and the figure says so.
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Adds a line through `values` at 0, 1, 2, … . Values that are not finite leave a gap, and the figure says so. A
    /// series with an empty name is not in the legend.
    pub fn series(self, name: impl Display, values: &[f64]) -> Self {
        let points: Vec<_> = values.iter().enumerate().map(|(step, value)| (step as f64, *value)).collect();
        self.points(name, &points)
    }

    /// Adds a line through points (x, y), in their order.
    pub fn points(mut self, name: impl Display, points: &[(f64, f64)]) -> Self {
        let style = Style::of(self.series.len());
        self.series.push(Series { name: name.to_string(), points: points.to_vec(), style });
        self
    }

    /// Adds a step outline through points (x, y), filled down to zero.
    pub(super) fn filled(mut self, name: impl Display, points: &[(f64, f64)]) -> Self {
        let style = Style::of_area(self.series.len());
        self.series.push(Series { name: name.to_string(), points: points.to_vec(), style });
        self.y_from = Some(0.0);
        self
    }

    /// Adds a horizontal line for comparison, such as the accuracy of the float model.
    pub fn reference(mut self, name: impl Display, value: f64) -> Self {
        self.references.push((name.to_string(), value));
        self
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If plotters fails, which is not expected.
    pub fn draw(&self) -> Result<Figure> {
        Panel::from(self.clone()).draw()
    }

    pub(super) fn paint(&self, area: &Area) -> Result<()> {
        let size = area.dim_in_pixel();
        let (x, y) = self.axes();
        let mut labels = self.labels.clone();
        labels.notes.extend(self.remarks(&x, &y));
        let legend = self.legend(f64::from(size.0));

        let lay_out = |strip| Frame::lay_out(size, &labels, x.clone(), y.clone(), strip);
        let mut frame = lay_out(0.0);
        let place = legend.free_place(frame.inner, &self.occupied(&frame));
        if place.is_none() {
            frame = lay_out(legend.strip_height(frame.strip.width()));
        }

        frame.draw_background(area)?;
        for (_, value) in &self.references {
            stroke(area, &reference_line(&frame, *value), &Style::reference())?;
        }
        for series in self.series.iter().filter(|series| series.style.filled) {
            series.fill(area, &frame)?;
        }
        let several = self.series.len() > 1;
        for (index, series) in self.series.iter().enumerate() {
            series.draw(area, &frame, several.then(|| index as f64 / self.series.len() as f64))?;
        }
        frame.draw_axes(area)?;
        match place {
            Some(rect) => legend.draw_block(area, rect),
            None => legend.draw_strip(area, frame.strip),
        }
    }

    /// What the figure shows, in words.
    pub(super) fn alt(&self) -> String {
        let Labels { title, x, y, .. } = &self.labels;
        let series = self.series.iter().map(Series::describe);
        let references = self.references.iter().map(|(name, value)| format!("{name}: {value:.4}"));
        let title = if title.is_empty() { String::new() } else { format!("{title}. ") };
        format!("{title}{y} against {x}. {}", series.chain(references).collect::<Vec<_>>().join("; "))
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let references = self.references.iter().map(|(_, value)| *value);
        let ys = points().map(|point| point.1).chain(references).chain(self.y_from);
        let x = Axis::linear(points().map(|point| point.0), 0.02);
        let y = match (self.log_y, self.y_from) {
            (true, _) => Axis::log(ys),
            (false, Some(from)) => {
                let top = ys.filter(|y| is_finite(*y)).fold(from, f64::max);
                Axis::range(from..=if top > from { from + 1.06 * (top - from) } else { from + 1.0 })
            }
            (false, None) => Axis::linear(ys, 0.06),
        };
        (x, y)
    }

    /// What is to be said of values that could not be drawn as they are.
    fn remarks(&self, x: &Axis, y: &Axis) -> Vec<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let missing =
            points().filter(|point| x.place(point.0).is_none() || y.place(point.1).is_none()).count();
        let clipped = points().filter(|point| y.clips(point.1)).count();
        let empty = points().count() == missing;
        let values = |count| {
            if count == 1 { "1 value is".to_owned() } else { format!("{count} values are") }
        };
        [
            empty.then(|| "no values to show".to_owned()),
            (missing > 0).then(|| format!("{} not finite and left out", values(missing))),
            (clipped > 0).then(|| format!("{} zero or below and drawn on the lower edge", values(clipped))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn legend(&self, width: f64) -> Legend {
        let series = self.series.iter().map(|series| (series.name.clone(), series.style));
        let references = self.references.iter().map(|(name, _)| (name.clone(), Style::reference()));
        let all_filled = !self.series.is_empty() && self.series.iter().all(|series| series.style.filled);
        Legend::new(series.chain(references), if all_filled { Sample::Patch } else { Sample::Line }, width)
    }

    /// Points close together along everything that is drawn.
    fn occupied(&self, frame: &Frame) -> Vec<Point> {
        let lines = self.series.iter().flat_map(|series| series.paths(frame));
        let references = self.references.iter().map(|(_, value)| reference_line(frame, *value));
        let mut points: Vec<_> = lines.chain(references).flat_map(|path| sampled(&path)).collect();
        for series in self.series.iter().filter(|series| series.style.filled) {
            let columns =
                series.points.iter().filter_map(|&(x, y)| Some([frame.point(x, y)?, frame.point(x, 0.0)?]));
            points.extend(columns.flat_map(|column| sampled(&column)));
        }
        points
    }
}

impl Show for LinePlot {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(LinePlot);

impl Series {
    /// The drawn line, broken where a value is not finite.
    fn paths(&self, frame: &Frame) -> Vec<Vec<Point>> {
        let places: Vec<_> = self.points.iter().map(|&(x, y)| frame.point(x, y)).collect();
        let runs = places.split(|place| place.is_none()).filter(|run| !run.is_empty());
        runs.map(|run| thinned(run.iter().copied().flatten())).collect()
    }

    /// Draws the line, and markers where the points are few; where they are many, and `mark_few` says from which part of
    /// the distance, a few markers along it.
    fn draw(&self, area: &Area, frame: &Frame, mark_few: Option<f64>) -> Result<()> {
        for path in self.paths(frame) {
            // A line that goes up and down at every step would become a band.
            let rough = !self.style.filled && length(&path) > 3.0 * frame.inner.width();
            let width = if rough { 0.9 } else { self.style.width };
            stroke(area, &path, &Style { width, ..self.style })?;
            let marked = match mark_few {
                _ if self.points.len() <= ALL_MARKED || path.len() == 1 => path,
                Some(phase) => spread(&path, frame.inner.width() / 8.0, phase),
                None => Vec::new(),
            };
            let shape = self.style.marker.into_iter();
            shape
                .flat_map(|shape| marked.iter().map(move |at| (*at, shape)))
                .try_for_each(|(at, shape)| marker(area, at, shape, self.style.color))?;
        }
        Ok(())
    }

    fn fill(&self, area: &Area, frame: &Frame) -> Result<()> {
        for pair in self.points.windows(2).filter(|pair| pair[0].0 < pair[1].0) {
            let corners = frame.point(pair[0].0, pair[0].1).zip(frame.point(pair[1].0, 0.0));
            let Some(((left, top), (right, bottom))) = corners else {
                continue;
            };
            if top.round() < bottom.round() && left.round() < right.round() {
                rectangle(area, Rect { left, top, right, bottom }, &self.style.color.mix(0.3))?;
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let name = if self.name.is_empty() { "line" } else { &self.name };
        match self.points.as_slice() {
            [] => format!("{name}: empty"),
            [only] => format!("{name}: {:.4e}", only.1),
            [first, .., last] => {
                format!("{name}: {} points, from {:.4e} to {:.4e}", self.points.len(), first.1, last.1)
            }
        }
    }
}

fn reference_line(frame: &Frame, value: f64) -> Vec<Point> {
    let ends = frame.height_of(value).map(|y| vec![(frame.inner.left, y), (frame.inner.right, y)]);
    ends.unwrap_or_default()
}

fn length(path: &[Point]) -> f64 {
    path.windows(2).map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1)).sum()
}

/// The path without points that lie on top of the one before.
fn thinned(path: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for point in path {
        if kept.last().is_none_or(|last| (point.0 - last.0).hypot(point.1 - last.1) >= pt(0.2)) {
            kept.push(point);
        }
    }
    kept
}

/// Places on the path at every `distance` across, starting at the part `phase` of it.
fn spread(path: &[Point], distance: f64, phase: f64) -> Vec<Point> {
    let Some(first) = path.first() else {
        return Vec::new();
    };
    let mut next = first.0 + distance * (0.25 + phase);
    let mut places = Vec::new();
    for &point in path.iter().filter(|point| point.0 >= first.0) {
        if point.0 >= next {
            places.push(point);
            next += distance;
        }
    }
    places
}

/// Points at most 3 points of type apart along the path.
fn sampled(path: &[Point]) -> Vec<Point> {
    let between = path.windows(2).flat_map(|pair| {
        let (a, b) = (pair[0], pair[1]);
        let count = ((b.0 - a.0).hypot(b.1 - a.1) / pt(3.0)).ceil().max(1.0);
        (0..count as usize).map(move |i| {
            let t = i as f64 / count;
            (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1))
        })
    });
    between.chain(path.last().copied()).collect()
}
