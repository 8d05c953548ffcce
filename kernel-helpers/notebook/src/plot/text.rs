//! Text, set with the font that the `dejavu` crate carries, so that no system font is needed.
//!
//! plotters can set text itself, but drops the space that belongs before each glyph.

use super::canvas::{Area, Point, failure};
use super::style::pt;
use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use base::Result;
use plotters::style::{Color, RGBColor};
use std::sync::LazyLock;

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(dejavu::sans::regular()).expect("the font is part of this program")
});

/// Where the given point lies on the text, from 0 (left, top) to 1 (right, bottom).
pub(super) type Anchor = (f64, f64);

/// One line of text in one size.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub content: String,
    /// Points per em.
    pub size: f64,
}

impl Text {
    pub fn new(content: impl Into<String>, size: f64) -> Self {
        Text { content: content.into(), size }
    }

    /// Device pixels from the first glyph's origin to the last one's end.
    pub fn width(&self) -> f64 {
        let font = FONT.as_scaled(self.scale());
        let advance = |c: char| f64::from(font.h_advance(font.glyph_id(c)));
        self.content.chars().map(advance).sum()
    }

    /// Device pixels from one line to the next.
    pub fn line_height(&self) -> f64 {
        1.3 * pt(self.size)
    }

    /// Draws the text with its `anchor` at `at`; the box that anchors reach from is as high as a capital letter.
    pub fn draw(&self, area: &Area, at: Point, anchor: Anchor, color: RGBColor) -> Result<()> {
        let left = at.0 - anchor.0 * self.width();
        let baseline = at.1 + (1.0 - anchor.1) * self.capital_height();
        self.glyphs(&mut |x, y, coverage| {
            let place = ((left + x).round() as i32, (baseline + y).round() as i32);
            area.draw_pixel(place, &color.mix(coverage)).map_err(failure)
        })
    }

    /// Draws the text turned to read from bottom to top, centered at `at`.
    pub fn draw_upwards(&self, area: &Area, at: Point, color: RGBColor) -> Result<()> {
        let bottom = at.1 + 0.5 * self.width();
        let baseline = at.0 + 0.5 * self.capital_height();
        self.glyphs(&mut |x, y, coverage| {
            let place = ((baseline + y).round() as i32, (bottom - x).round() as i32);
            area.draw_pixel(place, &color.mix(coverage)).map_err(failure)
        })
    }

    fn capital_height(&self) -> f64 {
        0.73 * pt(self.size)
    }

    /// ab_glyph measures a scale from ascender to descender, type sizes are those of the em square.
    fn scale(&self) -> PxScale {
        let per_em = FONT.height_unscaled() / FONT.units_per_em().unwrap_or(2048.0);
        PxScale::from(pt(self.size) as f32 * per_em)
    }

    /// Calls `pixel(x, y, coverage)` for every pixel of the text, from the baseline's left end.
    fn glyphs(&self, pixel: &mut dyn FnMut(f64, f64, f64) -> Result<()>) -> Result<()> {
        let font = FONT.as_scaled(self.scale());
        let mut x = 0.0;
        for c in self.content.chars() {
            let id = font.glyph_id(c);
            let glyph = id.with_scale_and_position(self.scale(), point(x, 0.0));
            x += font.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let origin = outline.px_bounds().min;
            let mut pixels = Vec::new();
            outline.draw(|x, y, coverage| pixels.push((x, y, coverage)));
            for (x, y, coverage) in pixels.into_iter().filter(|pixel| pixel.2 > 0.0) {
                let place = (f64::from(origin.x) + f64::from(x), f64::from(origin.y) + f64::from(y));
                pixel(place.0, place.1, f64::from(coverage).min(1.0))?;
            }
        }
        Ok(())
    }
}

/// Breaks `content` between words into lines no wider than `width` device pixels. A word that is too wide by itself is
/// cut, with an ellipsis.
pub(super) fn wrap(content: &str, size: f64, width: f64) -> Vec<Text> {
    let mut lines: Vec<Text> = Vec::new();
    for word in content.split_whitespace() {
        let word = fit(word, size, width);
        let longer = lines.last().map(|line| Text::new(format!("{} {}", line.content, word.content), size));
        match (longer, lines.last_mut()) {
            (Some(longer), Some(line)) if longer.width() <= width => *line = longer,
            _ => lines.push(word),
        }
    }
    lines
}

/// One line of text, cut with an ellipsis where it is wider than `width` device pixels.
pub(super) fn fit(content: &str, size: f64, width: f64) -> Text {
    let mut text = Text::new(content, size);
    let mut kept: Vec<char> = content.chars().collect();
    while text.width() > width && kept.pop().is_some() {
        text.content = kept.iter().chain(&['…']).collect();
    }
    text
}

/// A number with up to four digits that count, for text.
pub(super) fn significant(value: f64) -> String {
    let exponent = value.abs().log10().floor();
    if value == 0.0 || !(-4.0..7.0).contains(&exponent) {
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.3e}") };
    }
    let text = format!("{value:.*}", (3.0 - exponent).max(0.0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A number in four digits at most.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 || size == 0.0 => format!("{value:.1}"),
        size if size >= 0.01 => format!("{value:.2}"),
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_keep_every_word() {
        let title = "Sparsity of each layer after global pruning to 80 %";
        let width = Text::new("Sparsity of each layer", 10.0).width() + 1.0;
        let lines = wrap(title, 10.0, width);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.width() <= width));
        let words: Vec<_> = lines.iter().map(|line| line.content.as_str()).collect();
        assert_eq!(words.join(" "), title);
    }

    #[test]
    fn long_words_are_cut() {
        let width = Text::new("layer1", 9.0).width();
        let cut = fit("layer1.0.conv1", 9.0, width);
        assert!(cut.width() <= width && cut.content.ends_with('…'), "{cut:?}");
    }

    #[test]
    fn numbers_have_up_to_four_digits_that_count() {
        let texts = [0.0, 91.464, 272_474.0, 0.000_5, 0.25, 1e-9, 999.96, -3.0].map(significant);
        assert_eq!(texts, ["0", "91.46", "272474", "0.0005", "0.25", "1.000e-9", "1000", "-3"]);
    }

    #[test]
    fn the_font_has_what_labels_need() {
        for c in "λμΔ×±≤≥≈−⁻⁰¹²³⁴⁵⁶⁷⁸⁹·…%‖".chars() {
            assert_ne!(FONT.glyph_id(c).0, 0, "{c}");
        }
    }
}
