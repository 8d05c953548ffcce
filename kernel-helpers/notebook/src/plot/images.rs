//! Images side by side, enlarged so that their pixels can be seen.

use super::canvas::{Area, Point, Rect, raster};
use super::figure::{Colors, Figure, drawn};
use super::grid::{FIGURE_WIDTH, Plot, alone};
use super::header::{Header, Words, title_and_notes};
use super::style::{INK, NOTE_SIZE, OVERSAMPLING, pt};
use super::text::{Text, fit, wrap};
use base::{Error, Result};
use candle_core::{DType, Device, Tensor};
use display::{ImageSource, MimeBundle, Show, shows_itself};
use plotters::style::RGBColor;
use std::fmt::Display;

/// Images in rows, enlarged without smoothing, each with a title below if it has one.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use kernel_helpers::plot::ImagePlot;
///
/// let digits = Tensor::rand(0f32, 1f32, (3, 1, 28, 28), &Device::Cpu)?; // [N, C, H, W]
/// let figure = ImagePlot::new(&digits)?.titles(["7 (1)", "2 (2)", "8 (3)"]).draw()?;
/// assert!(figure.alt().starts_with("3 images of 28 x 28 pixels: 7 (1), 2 (2), 8 (3)"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePlot {
    words: Words,
    images: Vec<Image>,
    /// Height and width of each.
    size: (usize, usize),
    titles: Vec<String>,
    columns: Option<usize>,
}

/// The colors of an image's pixels, row by row.
type Image = Vec<[u8; 3]>;

/// So many images are shown where it is not said which.
const FIRST: usize = 60;
/// A figure of more images is too high.
const MOST: usize = 400;
/// So many stand side by side, if their titles are not too long.
const COLUMNS: usize = 10;
/// The largest width of an image, in pixels.
const MOST_WIDTH: f64 = 400.0;
/// Between images, in points.
const GAP: f64 = 5.0;

impl ImagePlot {
    /// The first sixty of images with values from 0 to 1 (f32) or 0 to 255 (u8).
    ///
    /// # Errors
    /// If there are no images, or their values are others.
    pub fn new(images: &impl ImageSource) -> Result<Self> {
        Self::first(images, from_zero_to_one)
    }

    /// The images at these places, such as those that are predicted wrong; values as for [`ImagePlot::new`].
    ///
    /// # Errors
    /// If no image is chosen, more than 400 are, one that isn't there, or if values are others.
    pub fn choose(images: &impl ImageSource, indices: impl IntoIterator<Item = usize>) -> Result<Self> {
        Self::chosen(images, &indices.into_iter().collect::<Vec<_>>(), from_zero_to_one)
    }

    /// The first sixty of images of any values, such as normalized ones or the filters of a first layer: the least
    /// value of all becomes black, the greatest white.
    ///
    /// # Errors
    /// If there are no images, or values that are not finite.
    pub fn stretched(images: &impl ImageSource) -> Result<Self> {
        let mut range = (0.0, 1.0);
        let plot = Self::first(images, |low, high| {
            range = (low, if high > low { high } else { low + 1.0 });
            Ok(range)
        })?;
        Ok(plot.note(format!("black is {:.3}, white is {:.3}", range.0, range.1)))
    }

    fn first(images: &dyn ImageSource, range: impl FnOnce(f32, f32) -> Result<(f32, f32)>) -> Result<Self> {
        let count = images.count()?;
        let shown = count.min(FIRST);
        let plot = Self::chosen(images, &(0..shown).collect::<Vec<_>>(), range)?;
        Ok(if shown < count { plot.note(format!("the first {shown} of {count} images")) } else { plot })
    }

    fn chosen(
        images: &dyn ImageSource,
        indices: &[usize],
        range: impl FnOnce(f32, f32) -> Result<(f32, f32)>,
    ) -> Result<Self> {
        let count = images.count()?;
        if indices.is_empty() || indices.len() > MOST {
            let expected = format!("1 to {MOST} of them in a figure");
            return Err(Error::argument("the images", expected, indices.len()));
        }
        if let Some(index) = indices.iter().find(|index| **index >= count) {
            return Err(Error::argument("the place of an image", format!("less than {count}"), index));
        }
        let titles: Option<Vec<_>> = indices.iter().map(|&index| images.title(index)).collect();
        Self::of(&images.select(indices)?, titles.unwrap_or_default(), range)
    }

    /// The plot of all images of the tensor; `range` makes of the least and greatest value those of black and white.
    fn of(
        tensor: &Tensor,
        titles: Vec<String>,
        range: impl FnOnce(f32, f32) -> Result<(f32, f32)>,
    ) -> Result<Self> {
        let (count, channels, height, width) = tensor.dims4()?;
        let largest = if tensor.dtype() == DType::U8 { 255.0 } else { 1.0 };
        let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let values: Vec<f32> = values.into_iter().map(|value| value / largest).collect();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::argument("the images", "finite values", value));
        }
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (black, white) = range(low, high)?;
        let byte = |value: f32| (255.0 * (value - black) / (white - black)).round() as u8;
        let area = height * width;
        let pixel = |image: usize, at: usize| {
            // Gray is the same in all three.
            [0, 1, 2].map(|color| byte(values[(image * channels + color % channels) * area + at]))
        };
        let images = (0..count).map(|image| (0..area).map(|at| pixel(image, at)).collect());
        let (images, words) = (images.collect(), Words::default());
        Ok(ImagePlot { words, images, size: (height, width), titles, columns: None })
    }

    /// A title below each image shown, such as its label and what it is taken for.
    pub fn titles<T: Display>(mut self, titles: impl IntoIterator<Item = T>) -> Self {
        self.titles = titles.into_iter().map(|title| title.to_string()).collect();
        self
    }

    /// How many images stand side by side.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = Some(columns.max(1));
        self
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If there are more or fewer titles than images shown.
    pub fn draw(&self) -> Result<Figure> {
        alone(self)
    }

    /// How the images lie on an area that is `width` device pixels wide.
    fn arrange(&self, width: f64) -> Arrangement {
        let room = width - 2.0 * pt(GAP);
        let widest = self.titles.iter().map(|title| Text::new(title, NOTE_SIZE).width()).fold(0.0, f64::max);
        let fitting = (room / (widest.min(MOST_WIDTH) + pt(GAP))) as usize;
        let columns = self.columns.unwrap_or(COLUMNS.min(fitting.max(1))).min(self.images.len());
        let most = f64::from(OVERSAMPLING) * MOST_WIDTH;
        let pitch = (room / columns as f64).min(most + pt(GAP));
        let available = (pitch - pt(GAP)).max(1.0);
        let (image_height, image_width) = (self.size.0 as f64, self.size.1 as f64);
        // Pixels of the image become squares of whole pixels of the figure, so that all are alike.
        let whole = (available / image_width / f64::from(OVERSAMPLING)).floor() * f64::from(OVERSAMPLING);
        let enlarged = if whole >= 1.0 { whole } else { available / image_width };
        let lines = self.titles.iter().map(|title| wrap(title, NOTE_SIZE, available).len()).max();
        let lines = lines.unwrap_or(0).min(2);
        let line_height = Text::new("", NOTE_SIZE).line_height();
        let title_height = if lines == 0 { 0.0 } else { lines as f64 * line_height + pt(2.0) };
        let image = (enlarged * image_width, enlarged * image_height);
        let left = 0.5 * (width - columns as f64 * pitch + pitch - image.0);
        let row_height = image.1 + title_height + pt(GAP);
        Arrangement { columns, pitch, image, left, row_height, text_width: available, lines }
    }

    fn paint_image(&self, area: &Area, index: usize, at: Point, place: &Arrangement) -> Result<()> {
        let rect = Rect { left: at.0, top: at.1, right: at.0 + place.image.0, bottom: at.1 + place.image.1 };
        let (height, width) = self.size;
        let pixels = &self.images[index];
        raster(area, rect, (width, height), |x, y| {
            let [r, g, b] = pixels[y * width + x];
            RGBColor(r, g, b)
        })?;
        let Some(title) = self.titles.get(index) else {
            return Ok(());
        };
        let mut lines = wrap(title, NOTE_SIZE, place.text_width);
        if lines.len() > place.lines {
            let rest: Vec<_> = lines[place.lines - 1..].iter().map(|line| line.content.as_str()).collect();
            lines[place.lines - 1] = fit(&rest.join(" "), NOTE_SIZE, place.text_width);
            lines.truncate(place.lines);
        }
        let mut top = rect.bottom + pt(1.0);
        for line in lines {
            line.draw(area, (rect.center().0, top + 0.5 * line.line_height()), (0.5, 0.5), INK)?;
            top += line.line_height();
        }
        Ok(())
    }
}

/// Where images and titles lie, in device pixels.
struct Arrangement {
    columns: usize,
    /// From one image to the next.
    pitch: f64,
    /// Width and height of an image.
    image: Point,
    /// The left edge of the first.
    left: f64,
    row_height: f64,
    text_width: f64,
    /// How many lines the titles have.
    lines: usize,
}

/// The values of black and white for images that have values from 0 to 1.
fn from_zero_to_one(low: f32, high: f32) -> Result<(f32, f32)> {
    if low < 0.0 || high > 1.0 {
        let expected = "values from 0 to 1, or `ImagePlot::stretched`";
        return Err(Error::argument("the images", expected, format!("{low:.3} to {high:.3}")));
    }
    Ok((0.0, 1.0))
}

title_and_notes!(ImagePlot, words);

impl Plot for ImagePlot {
    fn height(&self, columns: usize) -> u32 {
        let width = f64::from(FIGURE_WIDTH * OVERSAMPLING) / columns as f64;
        let place = self.arrange(width);
        let rows = self.images.len().div_ceil(place.columns);
        let height = Header::lay_out(&self.words, width).bottom() + rows as f64 * place.row_height + pt(2.0);
        (height / f64::from(OVERSAMPLING)).ceil() as u32
    }

    fn paint(&self, area: &Area) -> Result<()> {
        if !self.titles.is_empty() && self.titles.len() != self.images.len() {
            let expected = format!("{}, one for each image shown", self.images.len());
            return Err(Error::argument("the titles", expected, self.titles.len()));
        }
        let width = f64::from(area.dim_in_pixel().0);
        let header = Header::lay_out(&self.words, width);
        header.draw(area)?;
        let place = self.arrange(width);
        for index in 0..self.images.len() {
            let (row, column) = (index / place.columns, index % place.columns);
            let left = place.left + column as f64 * place.pitch;
            let top = header.bottom() + pt(2.0) + row as f64 * place.row_height;
            self.paint_image(area, index, (left, top), &place)?;
        }
        Ok(())
    }

    fn alt(&self) -> String {
        let (height, width) = self.size;
        let count = self.images.len();
        let images = if count == 1 { "1 image".to_owned() } else { format!("{count} images") };
        let titles =
            if self.titles.is_empty() { String::new() } else { format!(": {}", self.titles.join(", ")) };
        let notes: String = self.words.notes.iter().map(|note| format!(" ({note})")).collect();
        format!("{}{images} of {width} x {height} pixels{notes}{titles}", self.words.sentence())
    }

    fn colors(&self) -> Colors {
        Colors::All
    }
}

impl Show for ImagePlot {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(ImagePlot);
