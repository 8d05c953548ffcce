//! Colors, dashes and markers that stay apart for color-blind readers and in grayscale print.

use plotters::style::RGBColor;

/// Device pixels for each pixel of the figure, in both directions: drawn large and averaged, edges come out smooth.
pub(super) const OVERSAMPLING: u32 = 2;

/// Pixels of a figure per centimeter on paper.
pub(super) const PIXELS_PER_CM: u32 = 100;

/// A length in points (1/72 inch on paper) as device pixels.
pub(super) fn pt(points: f64) -> f64 {
    points / 72.0 * 2.54 * f64::from(PIXELS_PER_CM * OVERSAMPLING)
}

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const AXIS: RGBColor = RGBColor(0x55, 0x55, 0x55);
pub(super) const GUIDE: RGBColor = RGBColor(0x88, 0x88, 0x88);
pub(super) const GRID: RGBColor = RGBColor(0xe0, 0xe0, 0xe0);
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

pub(super) const TITLE_SIZE: f64 = 10.5;
pub(super) const LABEL_SIZE: f64 = 10.0;
pub(super) const TICK_SIZE: f64 = 9.0;
pub(super) const NOTE_SIZE: f64 = 8.0;

/// The palette of Okabe and Ito (2008) without yellow, which is too faint on white, darkest contrasts first.
const COLORS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x22, 0x22, 0x22),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
];

/// Lengths of dash, gap, dash, gap, … in points; a solid line has none.
const DASHES: [&[f64]; 5] =
    [&[], &[6.0, 2.5], &[7.0, 2.0, 1.5, 2.0], &[3.5, 2.0], &[9.0, 2.0, 1.5, 2.0, 1.5, 2.0]];

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Marker {
    Circle,
    Square,
    TriangleUp,
    Diamond,
    TriangleDown,
}

const MARKERS: [Marker; 5] =
    [Marker::Circle, Marker::Square, Marker::TriangleUp, Marker::Diamond, Marker::TriangleDown];

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    pub color: RGBColor,
    /// The line's, in points.
    pub width: f64,
    pub dashes: &'static [f64],
    pub marker: Option<Marker>,
    pub filled: bool,
}

/// Colors of areas, which have no dashes or markers: as far apart in lightness as can be.
const AREA_COLORS: [RGBColor; 4] = [COLORS[0], COLORS[5], COLORS[4], COLORS[2]];

impl Style {
    /// The look of the series number `index`.
    pub fn of(index: usize) -> Self {
        Style {
            color: COLORS[index % COLORS.len()],
            width: 1.6,
            dashes: DASHES[index % DASHES.len()],
            marker: Some(MARKERS[index % MARKERS.len()]),
            filled: false,
        }
    }

    /// The look of the scattered points of the series number `index`: there is no line between them.
    pub fn of_scatter(index: usize) -> Self {
        Style { width: 0.0, dashes: &[], ..Style::of(index) }
    }

    /// The look of what only guides the eye.
    pub fn guide() -> Self {
        Style { color: GUIDE, width: 0.8, dashes: &[], marker: None, filled: false }
    }

    /// The look of the bars or the filled outline number `index`.
    pub fn of_area(index: usize) -> Self {
        let color = AREA_COLORS[index % AREA_COLORS.len()];
        Style {
            color,
            // Where outlines coincide, the first one shows on both sides of the others.
            width: if index == 0 { 2.2 } else { 1.0 },
            dashes: &[],
            marker: None,
            filled: true,
        }
    }

    /// The look of reference lines.
    pub fn reference() -> Self {
        Style { color: AXIS, width: 1.2, dashes: &[2.0, 2.0], marker: None, filled: false }
    }
}
