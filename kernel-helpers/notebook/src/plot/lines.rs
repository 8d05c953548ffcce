//! Lines through points, and scattered points.

use super::axis::{Axis, is_finite};
use super::canvas::{Area, Rect, stroke};
use super::figure::{Figure, drawn};
use super::frame::{Frame, Labels};
use super::grid::{Plot, alone};
use super::header::title_and_notes;
use super::legend::{Legend, Sample};
use super::point_names::{Obstacles, PointNames};
use super::series::{Series, reference_line, sampled};
use super::style::Style;
use base::Result;
use display::{MimeBundle, Show, shows_itself};
use std::fmt::Display;

/// Lines and scattered points of one or more series over a common pair of axes.
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
///
/// Size against accuracy, as points with names beside them:
///
/// ```
/// use kernel_helpers::plot::LinePlot;
///
/// let figure = LinePlot::new()
///     .scatter_named("quantized", &[("8 bits", 272e3, 91.5), ("4 bits", 136e3, 90.8), ("2 bits", 68e3, 87.9)])
///     .scatter("pruned", &[(109e3, 90.9), (218e3, 91.4)])
///     .reference("float", 91.51)
///     .x_label("size (bytes)")
///     .y_label("test accuracy (%)")
///     .log_x()
///     .draw()?;
/// assert!(figure.alt().contains("4 bits (136000, 90.8)"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinePlot {
    labels: Labels,
    series: Vec<Series>,
    references: Vec<(String, f64)>,
    log_x: bool,
    log_y: bool,
    y_from: Option<f64>,
    hides_legend: bool,
}

impl LinePlot {
    /// An empty plot.
    pub fn new() -> Self {
        Self::default()
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

    /// Makes the horizontal axis logarithmic. Values at or below zero have no place on it and are an error.
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// Makes the vertical axis logarithmic. Where a line reaches zero or less, as a loss may, it is drawn on the lower
    /// edge, and the figure says so; of scattered points such values are an error.
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
    pub fn points(self, name: impl Display, points: &[(f64, f64)]) -> Self {
        let style = Style::of(self.told().count());
        self.with(name.to_string(), points.to_vec(), Vec::new(), style)
    }

    /// Adds points (x, y) without a line through them.
    pub fn scatter(self, name: impl Display, points: &[(f64, f64)]) -> Self {
        let style = Style::of_scatter(self.told().count());
        self.with(name.to_string(), points.to_vec(), Vec::new(), style)
    }

    /// Adds points without a line through them, each with its own name beside it: (name, x, y). Where there is no room
    /// for all names, some are left out, and the figure says so.
    pub fn scatter_named<N: Display>(self, name: impl Display, points: &[(N, f64, f64)]) -> Self {
        let style = Style::of_scatter(self.told().count());
        let names = points.iter().map(|point| point.0.to_string()).collect();
        self.with(name.to_string(), points.iter().map(|point| (point.1, point.2)).collect(), names, style)
    }

    /// Adds a step outline through points (x, y), filled down to zero.
    pub(super) fn filled(mut self, name: impl Display, points: &[(f64, f64)]) -> Self {
        self.y_from = Some(0.0);
        let style = Style::of_area(self.told().count());
        self.with(name.to_string(), points.to_vec(), Vec::new(), style)
    }

    /// Adds a thin gray line through points (x, y) that is in no legend, such as a contour or a bound.
    pub fn guide(self, points: &[(f64, f64)]) -> Self {
        self.with(String::new(), points.to_vec(), Vec::new(), Style::guide())
    }

    /// The series that are told apart.
    fn told(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|series| series.style != Style::guide())
    }

    fn with(mut self, name: String, points: Vec<(f64, f64)>, point_names: Vec<String>, style: Style) -> Self {
        self.series.push(Series { name, points, point_names, style });
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
    /// If there is no scattered point in a series or one that is not finite, or a value at or below zero has no place
    /// on a logarithmic axis.
    pub fn draw(&self) -> Result<Figure> {
        alone(self)
    }

    /// The frame, the names of points in it, and the legend's place in it, if it has one there.
    fn arrange(&self, size: (u32, u32), legend: &Legend) -> (Frame, PointNames, Option<Rect>) {
        let (x, y) = self.axes();
        let mut labels = self.labels.clone();
        labels.words.notes.extend(self.remarks(&x, &y));
        let (mut strip, mut names_missing) = (0.0, false);
        loop {
            let frame = Frame::lay_out(size, &labels, x.clone(), y.clone(), strip);
            let obstacles = self.obstacles(&frame);
            let named = self.series.iter().flat_map(|series| series.named_points(&frame));
            let names = PointNames::place(named, frame.inner, &obstacles);
            let Obstacles { series, references } = obstacles;
            let occupied = [series, references, names.occupied()].concat();
            let place = legend.free_place(frame.inner, &occupied).filter(|_| strip == 0.0);
            let legend_height = legend.strip_height(frame.strip.width());
            if names.left_out && !names_missing {
                names_missing = true;
                labels.words.notes.push("names of points are left out where there is no room".to_owned());
            } else if place.is_none() && strip == 0.0 && legend_height > 0.0 {
                strip = legend_height;
            } else {
                return (frame, names, place);
            }
        }
    }

    fn axes(&self) -> (Axis, Axis) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let references = self.references.iter().map(|(_, value)| *value);
        let ys = points().map(|point| point.1).chain(references).chain(self.y_from);
        let scattered = self.series.iter().any(Series::is_scattered);
        let margin = if scattered { 0.05 } else { 0.02 };
        let xs = points().map(|point| point.0);
        let x = if self.log_x { Axis::log_around(xs, margin) } else { Axis::linear(xs, margin) };
        let y = match (self.log_y, self.y_from) {
            (true, _) if scattered => Axis::log_around(ys, 0.06),
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

    /// The same without a legend, for a figure that has one for several plots.
    pub(super) fn without_legend(self) -> Self {
        Self { hides_legend: true, ..self }
    }

    /// What the legend has entries for; none of a single series without a name.
    pub(super) fn legend_names(&self) -> Vec<&str> {
        let references = self.references.iter().map(|(name, _)| name.as_str());
        let names = self.series.iter().map(|series| series.name.as_str()).chain(references);
        names.filter(|name| !name.is_empty()).collect()
    }

    pub(super) fn legend(&self, width: f64) -> Legend {
        let series = self.series.iter().map(|series| (series.name.clone(), series.style));
        let references = self.references.iter().map(|(name, _)| (name.clone(), Style::reference()));
        let all = |is: fn(&Series) -> bool| !self.series.is_empty() && self.series.iter().all(is);
        let sample = match () {
            () if all(|series| series.style.filled) => Sample::Patch,
            () if all(Series::is_scattered) && self.references.is_empty() => Sample::Point,
            () => Sample::Line,
        };
        Legend::new(series.chain(references), sample, width)
    }

    fn obstacles(&self, frame: &Frame) -> Obstacles {
        let references = self.references.iter().map(|(_, value)| reference_line(frame, *value));
        Obstacles {
            series: self.series.iter().flat_map(|series| series.occupied(frame)).collect(),
            references: references.flat_map(|path| sampled(&path)).collect(),
        }
    }
}

title_and_notes!(LinePlot, labels.words);

impl Plot for LinePlot {
    fn height(&self, columns: usize) -> u32 {
        [800, 620, 500][columns.clamp(1, 3) - 1]
    }

    fn paint(&self, area: &Area) -> Result<()> {
        self.series.iter().try_for_each(|series| series.check(self.log_x, self.log_y))?;
        let size = area.dim_in_pixel();
        let legend = match self.hides_legend {
            true => Legend::none(),
            false => self.legend(f64::from(size.0)),
        };
        let (frame, names, place) = self.arrange(size, &legend);

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
        names.draw(area)?;
        frame.draw_axes(area)?;
        match place {
            Some(rect) => legend.draw_block(area, rect),
            None => legend.draw_strip(area, frame.strip),
        }
    }

    fn alt(&self) -> String {
        let Labels { words, x, y } = &self.labels;
        let series = self.told().map(Series::describe);
        let references = self.references.iter().map(|(name, value)| format!("{name}: {value:.4}"));
        let all = series.chain(references).collect::<Vec<_>>().join("; ");
        format!("{}{y} against {x}. {all}", words.sentence())
    }
}

impl Show for LinePlot {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(LinePlot);
