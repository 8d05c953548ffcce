//! The finished picture.

use super::canvas::Pixels;
use super::color_scale::all_shades;
use super::style::PIXELS_PER_CM;
use base::files::write_whole;
use base::{Error, Result};
use display::{MimeBundle, Show, shows_itself};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// A picture: a PNG and a text that says what it shows. As the last value of a cell it shows itself.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let figure: Figure = LinePlot::new().series("loss", &[2.3, 1.1, 0.9]).x_label("epoch").draw()?;
/// assert_eq!(figure.size().0, 1600, "16 cm on paper");
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("figures/loss.png");
/// figure.save(&path)?;
/// assert_eq!(std::fs::read(&path).unwrap(), figure.png());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Figure {
    png: Vec<u8>,
    size: (u32, u32),
    alt: String,
}

impl Figure {
    pub(super) fn new(pixels: &Pixels, colors: Colors, alt: String) -> Result<Self> {
        Ok(Figure { png: encode(pixels, colors)?, size: (pixels.width, pixels.height), alt })
    }

    /// The bytes of the PNG file.
    pub fn png(&self) -> &[u8] {
        &self.png
    }

    /// Width and height in pixels. 100 pixels are a centimeter on paper.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// What the figure shows, in words.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// Writes the PNG file; a file of that name is replaced in one step, a missing folder is made.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_whole(path, &self.png)
    }
}

impl Show for Figure {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(&self.alt).png(&self.png)
    }
}

shows_itself!(Figure);

/// What a plot shows of itself: the figure, or why there is none.
pub(super) fn drawn(figure: Result<Figure>) -> MimeBundle {
    figure.map_or_else(MimeBundle::plain, |figure| figure.forms())
}

impl std::fmt::Debug for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Figure({} x {} pixels: {})", self.size.0, self.size.1, self.alt)
    }
}

/// Which colors a figure keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Colors {
    /// Those of lines, areas and text: few, and a palette makes the file several times smaller.
    Few,
    /// Those of a scale of colors too.
    Scale,
    /// All of them, for images.
    All,
}

fn encode(pixels: &Pixels, colors: Colors) -> Result<Vec<u8>> {
    let failure = |e: png::EncodingError| Error::Plot(e.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width, pixels.height);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let palette = match colors {
        Colors::Few => Some(indexed(&pixels.rgb, &[], 96)),
        Colors::Scale => Some(indexed(&pixels.rgb, &all_shades(), 256)),
        Colors::All => None,
    };
    let data = match palette {
        Some((palette, indices)) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette);
            encoder.set_filter(png::Filter::NoFilter);
            Cow::Owned(indices)
        }
        None => {
            encoder.set_color(png::ColorType::Rgb);
            // Rows of enlarged pixels are like the one above.
            encoder.set_filter(png::Filter::Up);
            Cow::Borrowed(&pixels.rgb)
        }
    };
    let per_meter = 100 * PIXELS_PER_CM;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_meter,
        yppu: per_meter,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(failure)?;
    writer.write_image_data(&data).map_err(failure)?;
    writer.finish().map_err(failure)?;
    Ok(bytes)
}

/// This many of the most frequent colors, those of lines and areas, stay exactly as they are.
const OWN_COLORS: usize = 16;

/// At most `most` colors and for each pixel the number of its color. More would only make the file larger: they are
/// shades of smooth edges. Neighboring colors become the most frequent one among them, so that lines and areas keep
/// theirs, as do all of `kept`, and only those shades move.
fn indexed(rgb: &[u8], kept: &[[u8; 3]], most: usize) -> (Vec<u8>, Vec<u8>) {
    let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
    for pixel in rgb.chunks_exact(3) {
        *counts.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
    }
    let mut colors: Vec<_> = counts.into_iter().collect();
    colors.sort_by_key(|&(color, count)| (std::cmp::Reverse(count), color));

    let mut numbers: HashMap<[u8; 3], u8> = HashMap::new();
    let mut palette = Vec::new();
    for width in [1, 32, 48, 64] {
        let mut buckets: HashMap<([u8; 3], u8), usize> = HashMap::new();
        palette.clear();
        numbers.clear();
        for (rank, &(color, _)) in colors.iter().enumerate() {
            let width = if rank < OWN_COLORS || kept.contains(&color) { 1 } else { width };
            let bucket = (color.map(|channel| channel / width), width);
            let number = *buckets.entry(bucket).or_insert_with(|| {
                palette.extend(color);
                palette.len() / 3 - 1
            });
            // More than fit are cut short here and tried again with wider buckets.
            numbers.insert(color, number.min(255) as u8);
        }
        if buckets.len() <= most {
            break;
        }
    }
    let indices = rgb.chunks_exact(3).map(|pixel| numbers[&[pixel[0], pixel[1], pixel[2]]]).collect();
    (palette, indices)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Size and pixels of a figure, from its file.
    pub fn decode(figure: &Figure) -> (png::OutputInfo, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(figure.png()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        (info, rgb)
    }

    #[test]
    fn a_png_keeps_size_and_colors() {
        let rgb: Vec<u8> = (0..4 * 2 * 3).map(|i| i * 10).collect();
        let pixels = Pixels { width: 4, height: 2, rgb: rgb.clone() };
        for colors in [Colors::Few, Colors::Scale, Colors::All] {
            let figure = Figure::new(&pixels, colors, String::new()).unwrap();
            let (info, decoded) = decode(&figure);
            assert_eq!((info.width, info.height), (4, 2));
            assert_eq!(decoded, rgb);
            assert_eq!(figure.size(), (4, 2));
        }
    }

    #[test]
    fn too_many_colors_move_only_a_little() {
        let rgb: Vec<u8> = (0..64 * 64).flat_map(|i| [(i % 64 * 4) as u8, (i / 64 * 4) as u8, 128]).collect();
        let (palette, indices) = indexed(&rgb, &[], 96);
        assert!(palette.len() <= 3 * 96);
        for (pixel, index) in rgb.chunks_exact(3).zip(indices) {
            let shown = &palette[3 * usize::from(index)..][..3];
            assert!(pixel.iter().zip(shown).all(|(a, b)| a.abs_diff(*b) < 64));
        }
    }

    #[test]
    fn a_scale_of_colors_keeps_all_of_them() {
        let shades = all_shades();
        // Each once, among many shades that are more frequent.
        let frequent = (0..=255).flat_map(|i: u8| [[i, i, i]; 3]);
        let rgb: Vec<u8> = shades.iter().copied().chain(frequent).flatten().collect();
        let (palette, indices) = indexed(&rgb, &shades, 256);
        assert!(palette.len() <= 3 * 256);
        for (shade, index) in shades.iter().zip(indices) {
            assert_eq!(palette[3 * usize::from(index)..][..3], *shade);
        }
    }

    #[test]
    fn saving_where_no_file_can_be_names_the_file() {
        let pixels = Pixels { width: 1, height: 1, rgb: vec![0; 3] };
        let figure = Figure::new(&pixels, Colors::Few, String::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures/a.png");
        figure.save(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), figure.png());
        let error = figure.save(file.join("b.png")).unwrap_err().to_string();
        assert!(error.contains("b.png"), "{error}");
    }
}
