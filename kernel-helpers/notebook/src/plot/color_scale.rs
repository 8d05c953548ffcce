//! Numbers as colors, and the scale that tells which is which.

use super::axis::Axis;
use super::canvas::{Area, Rect, raster, segment};
use super::style::{AXIS, INK, LABEL_SIZE, PAPER, TICK_SIZE, pt};
use super::text::{Text, wrap};
use base::Result;
use plotters::style::RGBColor;
use std::ops::RangeInclusive;

/// So many colors there are, each as good as the same as the next, and few enough for the palette of a small file.
const STEPS: usize = 128;

/// A range of numbers in colors from a pale yellow over greens and blues to a dark purple, computed in Oklab (Ottosson,
/// 2020). Lightness falls evenly along it, so that it reads the same in grayscale and to color-blind readers; more is
/// darker, as on paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ColorScale {
    low: f64,
    high: f64,
}

impl ColorScale {
    /// A scale over the range; over one around it where that is a single number.
    pub fn new(range: RangeInclusive<f64>) -> Self {
        let (low, high) = range.into_inner();
        let room = if high > low { 0.0 } else { 0.5 * low.abs().max(1.0) };
        ColorScale { low: low - room, high: high + room }
    }

    /// The color of a number; numbers beyond the range have that of its end.
    pub fn color(&self, value: f64) -> RGBColor {
        shade(self.part(value))
    }

    /// The color of text that is legible on that of a number.
    pub fn ink(&self, value: f64) -> RGBColor {
        if self.part(value) < 0.55 { INK } else { PAPER }
    }

    fn part(&self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        (part * (STEPS - 1) as f64).round() / (STEPS - 1) as f64
    }

    /// Device pixels that the drawn scale takes at the right of a plot if it is `height` high.
    pub fn width(&self, label: &str, height: f64) -> f64 {
        let widest = self.ticks(height).into_iter().map(|(_, label)| label.width()).fold(0.0, f64::max);
        let label: f64 = wrap(label, LABEL_SIZE, height).iter().map(Text::line_height).sum();
        pt(BAR_WIDTH + TICK_LENGTH + 3.0 * GAP) + widest + label
    }

    /// Draws the scale into `place`: a bar of all its colors, ticks at its right, and what the numbers are.
    pub fn draw(&self, area: &Area, place: Rect, label: &str) -> Result<()> {
        let bar = Rect { right: place.left + pt(BAR_WIDTH), ..place };
        raster(area, bar, (1, STEPS), |_, row| shade((STEPS - 1 - row) as f64 / (STEPS - 1) as f64))?;
        let mut right = bar.right;
        for (at, text) in self.ticks(place.height()) {
            let y = (bar.bottom - at * bar.height()).round();
            segment(area, (bar.right, y), (bar.right + pt(TICK_LENGTH), y), 0.7, AXIS)?;
            let left = bar.right + pt(TICK_LENGTH + GAP);
            text.draw(area, (left, y), (0.0, 0.5), INK)?;
            right = f64::max(right, left + text.width());
        }
        right += pt(GAP);
        for line in wrap(label, LABEL_SIZE, place.height()) {
            line.draw_upwards(area, (right + 0.5 * line.line_height(), place.center().1), INK)?;
            right += line.line_height();
        }
        Ok(())
    }

    fn ticks(&self, height: f64) -> Vec<(f64, Text)> {
        let most = (height / (1.45 * Text::new("0", TICK_SIZE).line_height())) as usize;
        let ticks = Axis::range(self.low..=self.high).ticks(most.min(10));
        ticks.into_iter().filter_map(|tick| Some((tick.at, Text::new(tick.label?, TICK_SIZE)))).collect()
    }
}

const BAR_WIDTH: f64 = 10.0;
const TICK_LENGTH: f64 = 3.0;
const GAP: f64 = 4.0;

/// The colors of all scales.
pub(super) fn all_shades() -> Vec<[u8; 3]> {
    let shades = (0..STEPS).map(|step| shade(step as f64 / (STEPS - 1) as f64));
    shades.map(|RGBColor(r, g, b)| [r, g, b]).collect()
}

/// The color of a part of the range.
fn shade(part: f64) -> RGBColor {
    let [r, g, b] = linear_shade(part).map(|channel| (255.0 * gamma(channel)).round() as u8);
    RGBColor(r, g, b)
}

fn linear_shade(part: f64) -> [f64; 3] {
    let lightness = 0.97 - 0.69 * part;
    // From yellow over green and blue to purple, in degrees.
    let hue = (108.0 + 192.0 * part).to_radians();
    // As strong as a screen can show the weakest of these.
    let chroma = 0.10 - 0.03 * (1.0 - part).powi(2);
    oklab_to_linear(lightness, chroma * hue.cos(), chroma * hue.sin())
}

/// Oklab to linear sRGB.
fn oklab_to_linear(lightness: f64, a: f64, b: f64) -> [f64; 3] {
    let l = (lightness + 0.3963377774 * a + 0.2158037573 * b).powi(3);
    let m = (lightness - 0.1055613458 * a - 0.0638541728 * b).powi(3);
    let s = (lightness - 0.0894841775 * a - 1.2914855480 * b).powi(3);
    [
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    ]
}

/// The transfer function of sRGB.
fn gamma(linear: f64) -> f64 {
    if linear <= 0.0031308 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, from 0 to 1.
    fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
        let linear = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    #[test]
    fn more_is_always_darker() {
        let scale = ColorScale::new(-1.0..=1.0);
        let lightness: Vec<_> = (0..=50).map(|i| luminance(scale.color(f64::from(i) / 25.0 - 1.0))).collect();
        assert!(lightness.windows(2).all(|pair| pair[1] < pair[0]), "{lightness:?}");
        assert!(lightness[0] > 0.85 && lightness[50] < 0.05, "{lightness:?}");
    }

    #[test]
    fn a_screen_has_all_of_the_colors() {
        let shades = (0..=1000).map(|i| linear_shade(f64::from(i) / 1000.0));
        assert!(shades.flatten().all(|channel| (0.0..=1.0).contains(&channel)));
    }

    #[test]
    fn text_has_enough_contrast_everywhere() {
        let scale = ColorScale::new(0.0..=1.0);
        for value in (0..=100).map(|i| f64::from(i) / 100.0) {
            let (a, b) = (luminance(scale.color(value)), luminance(scale.ink(value)));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            // WCAG 2 asks for 4.5 of small text and 3 of large.
            assert!(contrast >= 3.8, "{contrast} at {value}");
        }
    }

    #[test]
    fn a_single_number_and_numbers_beyond_the_range_have_colors() {
        let scale = ColorScale::new(3.0..=3.0);
        assert_eq!(scale.color(3.0), shade(64.0 / 127.0));
        assert_eq!(ColorScale::new(0.0..=1.0).color(7.0), shade(1.0));
        assert_eq!(ColorScale::new(0.0..=1.0).color(-7.0), shade(0.0));
    }
}
