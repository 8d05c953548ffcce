//! Strokes and shapes in device pixels.

use super::style::{Marker, OVERSAMPLING, PAPER, Style, pt};
use base::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

/// A part of the picture that is drawn on.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// A place in device pixels from the top left.
pub(super) type Point = (f64, f64);

pub(super) fn failure(error: impl Display) -> Error {
    Error::Plot(error.to_string())
}

/// A rectangle in device pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn center(&self) -> Point {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// The rectangle with `margin` device pixels more on each side.
    pub fn grown(&self, margin: f64) -> Rect {
        Rect {
            left: self.left - margin,
            top: self.top - margin,
            right: self.right + margin,
            bottom: self.bottom + margin,
        }
    }

    pub fn overlaps(&self, other: &Rect) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    pub fn contains(&self, (x, y): Point) -> bool {
        self.left <= x && x <= self.right && self.top <= y && y <= self.bottom
    }
}

/// The pixels of a figure: RGB, row by row.
pub(super) struct Pixels {
    pub width: u32,
    pub height: u32,
    pub rgb: Vec<u8>,
}

impl Pixels {
    /// The pixels of what `paint` draws on white paper of `width` by `height` pixels.
    pub fn paint(width: u32, height: u32, paint: impl FnOnce(&Area) -> Result<()>) -> Result<Self> {
        let device = (width * OVERSAMPLING, height * OVERSAMPLING);
        let mut buffer = vec![255; device.0 as usize * device.1 as usize * 3];
        {
            let area = BitMapBackend::with_buffer(&mut buffer, device).into_drawing_area();
            area.fill(&PAPER).map_err(failure)?;
            paint(&area)?;
            area.present().map_err(failure)?;
        }
        Ok(Pixels { width, height, rgb: averaged(&buffer, width as usize) })
    }
}

/// Means over squares of device pixels, `width` squares a row.
fn averaged(buffer: &[u8], width: usize) -> Vec<u8> {
    let side = OVERSAMPLING as usize;
    let row_bytes = width * side * 3;
    let mut rgb = Vec::with_capacity(buffer.len() / (side * side));
    for rows in buffer.chunks_exact(row_bytes * side) {
        for x in 0..width {
            for channel in 0..3 {
                let offsets =
                    (0..side * side).map(|i| (i / side) * row_bytes + (x * side + i % side) * 3 + channel);
                let sum: usize = offsets.map(|offset| usize::from(rows[offset])).sum();
                rgb.push(((sum + side * side / 2) / (side * side)) as u8);
            }
        }
    }
    rgb
}

fn rounded((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

/// A straight line; `width` in points.
pub(super) fn segment(area: &Area, a: Point, b: Point, width: f64, color: RGBColor) -> Result<()> {
    let length = (b.0 - a.0).hypot(b.1 - a.1);
    if length == 0.0 {
        return Ok(());
    }
    let half = 0.5 * pt(width) / length;
    let (nx, ny) = (-(b.1 - a.1) * half, (b.0 - a.0) * half);
    polygon(
        area,
        &[(a.0 + nx, a.1 + ny), (b.0 + nx, b.1 + ny), (b.0 - nx, b.1 - ny), (a.0 - nx, a.1 - ny)],
        &color,
    )
}

pub(super) fn polygon(area: &Area, corners: &[Point], color: &impl Color) -> Result<()> {
    let corners: Vec<_> = corners.iter().map(|&corner| rounded(corner)).collect();
    area.draw(&Polygon::new(corners, color.filled())).map_err(failure)
}

pub(super) fn rectangle(area: &Area, rect: Rect, color: &impl Color) -> Result<()> {
    let corners = [rounded((rect.left, rect.top)), rounded((rect.right, rect.bottom))];
    area.draw(&Rectangle::new(corners, color.filled())).map_err(failure)
}

/// Squares of color, `columns` by `rows` of them, that fill `rect`, which is moved to whole pixels of the figure so
/// that there are no shades between them.
pub(super) fn raster(
    area: &Area,
    rect: Rect,
    (columns, rows): (usize, usize),
    color: impl Fn(usize, usize) -> RGBColor,
) -> Result<()> {
    let side = OVERSAMPLING as usize;
    let pixel = |place: f64| (place / side as f64).round().max(0.0) as usize;
    let (left, top) = (pixel(rect.left), pixel(rect.top));
    let (width, height) = (pixel(rect.right).saturating_sub(left), pixel(rect.bottom).saturating_sub(top));
    let mut rgb = Vec::with_capacity(width * height * side * side * 3);
    for y in 0..height {
        let row = y * rows / height;
        let pixels = (0..width).map(|x| color(x * columns / width, row));
        let line: Vec<u8> = pixels.flat_map(|RGBColor(r, g, b)| [r, g, b].repeat(side)).collect();
        rgb.extend(line.repeat(side));
    }
    let size = ((width * side) as u32, (height * side) as u32);
    let at = ((left * side) as i32, (top * side) as i32);
    let element = BitMapElement::with_owned_buffer(at, size, rgb);
    area.draw(&element.expect("three bytes for each pixel")).map_err(failure)
}

fn disc(area: &Area, center: Point, radius: f64, color: &impl Color) -> Result<()> {
    area.draw(&Circle::new(rounded(center), radius.round() as i32, color.filled())).map_err(failure)
}

/// A line through `path` with round joints, solid or dashed; none where the style has no width.
pub(super) fn stroke(area: &Area, path: &[Point], style: &Style) -> Result<()> {
    if style.width == 0.0 {
        return Ok(());
    }
    for piece in dashes(path, style.dashes) {
        for pair in piece.windows(2) {
            segment(area, pair[0], pair[1], style.width, style.color)?;
        }
        let joints = piece.get(1..piece.len() - 1).unwrap_or_default();
        for &joint in joints {
            disc(area, joint, 0.5 * pt(style.width), &style.color)?;
        }
    }
    Ok(())
}

/// The pieces of `path` that a dash pattern, in points, leaves visible.
fn dashes(path: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    let Some(&first) = path.first() else {
        return Vec::new();
    };
    if pattern.is_empty() {
        return vec![path.to_vec()];
    }
    let mut pieces = vec![vec![first]];
    let (mut part, mut left) = (0, pt(pattern[0]));
    for pair in path.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        let mut length = (to.0 - from.0).hypot(to.1 - from.1);
        while length > left {
            let t = left / length;
            from = (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1));
            length -= left;
            part = (part + 1) % pattern.len();
            left = pt(pattern[part]);
            match part % 2 {
                0 => pieces.push(vec![from]),
                _ => pieces.last_mut().expect("starts with one piece").push(from),
            }
        }
        left -= length;
        if part % 2 == 0 {
            pieces.last_mut().expect("starts with one piece").push(to);
        }
    }
    pieces
}

/// About half the width of a marker, in points.
pub(super) const MARKER_RADIUS: f64 = 2.4;

/// A marker of about 5 points across.
pub(super) fn marker(area: &Area, at: Point, shape: Marker, color: &impl Color) -> Result<()> {
    sized_marker(area, at, shape, MARKER_RADIUS, color)
}

/// A marker of about this half width, in points.
pub(super) fn sized_marker(
    area: &Area,
    at: Point,
    marker: Marker,
    radius: f64,
    color: &impl Color,
) -> Result<()> {
    let r = pt(radius);
    let shape = |corners: &[Point]| {
        let corners: Vec<_> = corners.iter().map(|(x, y)| (at.0 + r * x, at.1 + r * y)).collect();
        polygon(area, &corners, color)
    };
    match marker {
        Marker::Circle => disc(area, at, r, color),
        Marker::Square => shape(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        Marker::TriangleUp => shape(&[(0.0, -1.3), (1.15, 0.8), (-1.15, 0.8)]),
        Marker::Diamond => shape(&[(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)]),
        Marker::TriangleDown => shape(&[(0.0, 1.3), (1.15, -0.8), (-1.15, -0.8)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_bent_path() {
        let path = [(0.0, 0.0), (1000.0, 0.0), (1000.0, 1000.0)];
        let pieces = dashes(&path, &[4.0, 2.0]);
        let length = |piece: &Vec<Point>| -> f64 {
            piece.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum()
        };
        let total: f64 = pieces.iter().map(length).sum();
        assert!((total / 2000.0 - 4.0 / 6.0).abs() < 0.02, "{total}");
        assert!(pieces.iter().all(|piece| length(piece) <= pt(4.0) + 1e-6));
    }

    #[test]
    fn a_picture_has_the_size_and_color_asked_for() {
        let pixels = Pixels::paint(30, 20, |area| {
            let rect = Rect { left: 0.0, top: 0.0, right: 30.0, bottom: 40.0 };
            rectangle(area, rect, &RGBColor(10, 20, 30))
        });
        let pixels = pixels.unwrap();
        assert_eq!(pixels.rgb.len(), 30 * 20 * 3);
        assert_eq!(pixels.rgb[..3], [10, 20, 30]);
        assert_eq!(pixels.rgb[29 * 3..30 * 3], [255, 255, 255]);
    }
}
