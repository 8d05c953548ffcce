//! One series of points: a line, a filled outline, or scattered points.

use super::axis::is_finite;
use super::canvas::{Area, MARKER_RADIUS, Point, Rect, marker, rectangle, sized_marker, stroke};
use super::frame::Frame;
use super::style::{Marker, Style, pt};
use super::text::significant;
use base::{Error, Result};
use plotters::style::Color;

/// Points with a name and a look.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// The names of scattered points: none or one for each.
    pub point_names: Vec<String>,
    pub style: Style,
}

/// Up to this many points of a series all get a marker; of more, a few along the line do.
const ALL_MARKED: usize = 25;

/// More scattered points than this are smaller and let those behind them show through.
const FEW: usize = 200;

/// Up to this many scattered points are told one by one.
const TOLD: usize = 20;

impl Series {
    /// Whether the points are to be seen without a line through them.
    pub fn is_scattered(&self) -> bool {
        self.style.width == 0.0
    }

    /// The drawn line, broken where a value is not finite.
    pub fn paths(&self, frame: &Frame) -> Vec<Vec<Point>> {
        let places: Vec<_> = self.points.iter().map(|&(x, y)| frame.point(x, y)).collect();
        let runs = places.split(|place| place.is_none()).filter(|run| !run.is_empty());
        runs.map(|run| thinned(run.iter().copied().flatten())).collect()
    }

    /// Draws the series; of a line with many points `mark_few` says from which part of the distance between them some
    /// get a marker.
    pub fn draw(&self, area: &Area, frame: &Frame, mark_few: Option<f64>) -> Result<()> {
        if self.is_scattered() { self.scatter(area, frame) } else { self.draw_line(area, frame, mark_few) }
    }

    fn scatter(&self, area: &Area, frame: &Frame) -> Result<()> {
        let (opacity, radius) =
            if self.points.len() > FEW { (0.5, 0.5 * MARKER_RADIUS) } else { (1.0, MARKER_RADIUS) };
        let color = self.style.color.mix(opacity);
        let shape = self.style.marker.unwrap_or(Marker::Circle);
        let places = self.points.iter().filter_map(|&(x, y)| frame.point(x, y));
        places.into_iter().try_for_each(|at| sized_marker(area, at, shape, radius, &color))
    }

    /// Draws the line, and markers where the points are few; where they are many, and `mark_few` says from which part
    /// of the distance, a few markers along it.
    fn draw_line(&self, area: &Area, frame: &Frame, mark_few: Option<f64>) -> Result<()> {
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
                .try_for_each(|(at, shape)| marker(area, at, shape, &self.style.color))?;
        }
        Ok(())
    }

    pub fn fill(&self, area: &Area, frame: &Frame) -> Result<()> {
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

    /// The points that are close together along what is drawn.
    pub fn occupied(&self, frame: &Frame) -> Vec<Point> {
        if self.is_scattered() {
            return self.points.iter().filter_map(|&(x, y)| frame.point(x, y)).collect();
        }
        let mut points: Vec<_> = self.paths(frame).iter().flat_map(|path| sampled(path)).collect();
        if self.style.filled {
            let columns =
                self.points.iter().filter_map(|&(x, y)| Some([frame.point(x, y)?, frame.point(x, 0.0)?]));
            points.extend(columns.flat_map(|column| sampled(&column)));
        }
        points
    }

    /// Each named point's name and place.
    pub fn named_points<'a>(&'a self, frame: &'a Frame) -> impl Iterator<Item = (&'a str, Point)> {
        let named = self.point_names.iter().zip(&self.points);
        named.filter_map(|(name, &(x, y))| Some((name.as_str(), frame.point(x, y)?)))
    }

    /// Whether the points can be drawn on such axes. A line may have gaps, and a loss may reach zero; a scattered point
    /// is a measurement that has to be somewhere.
    pub fn check(&self, log_x: bool, log_y: bool) -> Result<()> {
        let of = if self.name.is_empty() { String::new() } else { format!(" of `{}`", self.name) };
        let scattered = self.is_scattered();
        if scattered && self.points.is_empty() {
            return Err(Error::argument(format!("the points{of}"), "at least one", "none"));
        }
        for &(x, y) in &self.points {
            if scattered && !(is_finite(x) && is_finite(y)) {
                return Err(Error::argument(
                    format!("the points{of}"),
                    "finite numbers",
                    format!("({x}, {y})"),
                ));
            }
            let refused = [("x", x, log_x), ("y", y, log_y && scattered)];
            let refused = refused.iter().find(|(_, value, log)| *log && *value <= 0.0);
            if let Some((axis, value, _)) = refused {
                let expected = "numbers above 0, for the axis is logarithmic";
                return Err(Error::argument(format!("{axis}{of}"), expected, value));
            }
        }
        Ok(())
    }

    pub fn describe(&self) -> String {
        if self.is_scattered() {
            return self.describe_scattered();
        }
        let name = if self.name.is_empty() { "line" } else { &self.name };
        match self.points.as_slice() {
            [] => format!("{name}: empty"),
            [only] => format!("{name}: {}", told(only.1)),
            [first, .., last] => {
                let (first, last) = (told(first.1), told(last.1));
                format!("{name}: {} points, from {first} to {last}", self.points.len())
            }
        }
    }

    fn describe_scattered(&self) -> String {
        let name = if self.name.is_empty() { "points" } else { &self.name };
        if self.points.len() <= TOLD {
            let names = self
                .point_names
                .iter()
                .map(|name| format!("{name} "))
                .chain(std::iter::repeat(String::new()));
            let points = names.zip(&self.points);
            let points =
                points.map(|(name, (x, y))| format!("{name}({}, {})", significant(*x), significant(*y)));
            return format!("{name}: {}", points.collect::<Vec<_>>().join(", "));
        }
        let range = |values: &mut dyn Iterator<Item = f64>| {
            let (low, high) =
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
            format!("from {} to {}", significant(low), significant(high))
        };
        let (x, y) = (
            range(&mut self.points.iter().map(|point| point.0)),
            range(&mut self.points.iter().map(|point| point.1)),
        );
        format!("{name}: {} points, x {x}, y {y}", self.points.len())
    }
}

pub(super) fn reference_line(frame: &Frame, value: f64) -> Vec<Point> {
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
pub(super) fn sampled(path: &[Point]) -> Vec<Point> {
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

/// A number as a sentence has it: with five digits, and with a power of ten where it is very large or small.
fn told(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || !value.is_finite() {
        format!("{value}")
    } else if (1e-4..1e6).contains(&size) {
        let decimals = (4.0 - size.log10().floor()).clamp(0.0, 8.0) as usize;
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.4e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_with_five_digits() {
        let told = [27.0, 1.28e-30, -0.631_43, 91.506, 0.0, 123_456.0, 2e6, 0.000_123_456].map(told);
        assert_eq!(told, ["27", "1.2800e-30", "-0.63143", "91.506", "0", "123456", "2.0000e6", "0.00012346"]);
    }
}
