//! Matrices in colors.

use super::axis::{Axis, is_finite};
use super::canvas::{Area, Rect, raster, segment};
use super::color_scale::ColorScale;
use super::figure::{Colors, Figure, drawn};
use super::frame::{Frame, Labels};
use super::grid::{FIGURE_WIDTH, Plot, alone};
use super::header::{Header, title_and_notes};
use super::style::{LABEL_SIZE, OVERSAMPLING, PAPER, pt};
use super::text::{Text, significant};
use base::{Error, Result};
use candle_core::{DType, Tensor};
use display::table::Table;
use display::{MimeBundle, Show, shows_itself};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// What a [`HeatMap`] is made of: a tensor `[rows, columns]`, or an array or vector of rows.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let weight = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// assert_eq!(weight.values()?, [[1.0, 2.0], [3.0, 4.0]].values()?);
/// assert!(weight.i(0)?.values().is_err(), "a row is no matrix");
/// # Ok::<(), Error>(())
/// ```
pub trait Matrix {
    /// The values, row by row.
    ///
    /// # Errors
    /// If it is no matrix.
    fn values(&self) -> Result<Vec<Vec<f64>>>;
}

impl Matrix for Tensor {
    fn values(&self) -> Result<Vec<Vec<f64>>> {
        if self.rank() != 2 {
            return Err(Error::argument(
                "the matrix",
                "a shape [rows, columns]",
                format!("{:?}", self.dims()),
            ));
        }
        Ok(self.to_dtype(DType::F64)?.to_vec2()?)
    }
}

impl<R: AsRef<[f64]>> Matrix for [R] {
    fn values(&self) -> Result<Vec<Vec<f64>>> {
        Ok(self.iter().map(|row| row.as_ref().to_vec()).collect())
    }
}

impl<R: AsRef<[f64]>> Matrix for Vec<R> {
    fn values(&self) -> Result<Vec<Vec<f64>>> {
        self.as_slice().values()
    }
}

impl<R: AsRef<[f64]>, const N: usize> Matrix for [R; N] {
    fn values(&self) -> Result<Vec<Vec<f64>>> {
        self.as_slice().values()
    }
}

/// A matrix in colors, more being darker, with its values in the cells where they fit.
///
/// ```
/// use kernel_helpers::plot::HeatMap;
///
/// let accuracy = [[91.4, 90.9, 87.2], [91.1, 90.2, 80.5]];
/// let figure = HeatMap::new(&accuracy)?
///     .row_names(["8 bits", "4 bits"])
///     .column_names(["q = 0.5", "q = 0.8", "q = 0.95"])
///     .value_label("test accuracy (%)")
///     .draw()?;
/// assert!(figure.alt().contains("from 80.5 (4 bits, q = 0.95) to 91.4 (8 bits, q = 0.5)"));
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    labels: Labels,
    value_label: String,
    row_names: Option<Vec<String>>,
    column_names: Option<Vec<String>>,
    values: Vec<Vec<f64>>,
    range: Option<(f64, f64)>,
    cells: Vec<Vec<CellText>>,
}

/// What stands in a cell: lines, and then shorter ones for where there is less room.
pub(super) type CellText = Vec<Vec<String>>;

/// The sizes of text in cells, in points: the largest that fits is taken.
const CELL_SIZES: [f64; 3] = [9.0, 8.0, 7.0];

/// The height of a row with one line of text, in pixels, and of each further line.
const ROW_HEIGHT: f64 = 48.0;
const LINE_HEIGHT: f64 = 38.0;
/// A matrix of few rows is at least this high, so that the scale beside it has room.
const LEAST_HEIGHT: f64 = 300.0;
/// Many rows become lower for the matrix not to be higher than this.
const MOST_HEIGHT: f64 = 1200.0;

impl HeatMap {
    /// A heat map of a tensor `[rows, columns]` or of rows of numbers, the first row at the top.
    ///
    /// # Errors
    /// If the matrix has no values, rows of different lengths, or values that are not finite.
    pub fn new<M: Matrix + ?Sized>(matrix: &M) -> Result<Self> {
        Self::of(matrix.values()?)
    }

    fn of(values: Vec<Vec<f64>>) -> Result<Self> {
        let columns = values.first().map_or(0, Vec::len);
        if columns == 0 {
            return Err(Error::argument("the matrix", "at least one row and one column", "none"));
        }
        for (at, row) in values.iter().enumerate() {
            if row.len() != columns {
                let expected = format!("{columns} values, as in row 0");
                return Err(Error::argument(format!("row {at} of the matrix"), expected, row.len()));
            }
            if let Some(column) = row.iter().position(|value| !is_finite(*value)) {
                let what = format!("row {at}, column {column} of the matrix");
                return Err(Error::argument(what, "a finite number", row[column]));
            }
        }
        let cells = cell_texts(&values);
        let (labels, value_label) = (Labels::default(), String::new());
        Ok(HeatMap { labels, value_label, row_names: None, column_names: None, values, range: None, cells })
    }

    /// A name for each row, from the top. By default rows are numbered from 0.
    pub fn row_names<N: Display>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.row_names = Some(names.into_iter().map(|name| name.to_string()).collect());
        self
    }

    /// A name for each column, from the left. By default columns are numbered from 0.
    pub fn column_names<N: Display>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.column_names = Some(names.into_iter().map(|name| name.to_string()).collect());
        self
    }

    /// What the columns are.
    pub fn x_label(mut self, label: impl Display) -> Self {
        self.labels.x = label.to_string();
        self
    }

    /// What the rows are.
    pub fn y_label(mut self, label: impl Display) -> Self {
        self.labels.y = label.to_string();
        self
    }

    /// What the values are, with their unit; it stands beside the scale of colors.
    pub fn value_label(mut self, label: impl Display) -> Self {
        self.value_label = label.to_string();
        self
    }

    /// The numbers at the ends of the scale of colors, so that several figures can have the same. By default those are
    /// the least and the greatest value.
    pub fn range(mut self, range: RangeInclusive<f64>) -> Self {
        self.range = Some(range.into_inner());
        self
    }

    /// Other text in the cells than the values.
    pub(super) fn cells(mut self, cells: Vec<Vec<CellText>>) -> Self {
        self.cells = cells;
        self
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If there are more or fewer names than rows or columns, or the range is empty.
    pub fn draw(&self) -> Result<Figure> {
        alone(self)
    }

    fn check(&self) -> Result<()> {
        let (rows, columns) = self.shape();
        for (what, names, count) in [("row", &self.row_names, rows), ("column", &self.column_names, columns)]
        {
            if let Some(names) = names.as_ref().filter(|names| names.len() != count) {
                let expected = format!("{count}, one for each {what}");
                return Err(Error::argument(format!("the {what} names"), expected, names.len()));
            }
        }
        match self.range {
            Some((low, high)) if !(is_finite(low) && is_finite(high) && low < high) => Err(Error::argument(
                "range",
                "two finite numbers, the lower first",
                format!("{low} to {high}"),
            )),
            _ => Ok(()),
        }
    }

    fn shape(&self) -> (usize, usize) {
        (self.values.len(), self.values[0].len())
    }

    fn scale(&self) -> ColorScale {
        let least = self.values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = self.range.unwrap_or((least, greatest));
        ColorScale::new(low..=high)
    }

    fn names(&self) -> (Vec<String>, Vec<String>) {
        let (rows, columns) = self.shape();
        let numbered = |count: usize| (0..count).map(|at| at.to_string()).collect();
        (
            self.row_names.clone().unwrap_or_else(|| numbered(rows)),
            self.column_names.clone().unwrap_or_else(|| numbered(columns)),
        )
    }

    fn paint_cells(&self, area: &Area, inner: Rect, scale: ColorScale) -> Result<()> {
        let (rows, columns) = self.shape();
        raster(area, inner, (columns, rows), |column, row| scale.color(self.values[row][column]))?;
        let (width, height) = (inner.width() / columns as f64, inner.height() / rows as f64);
        if width.min(height) >= 16.0 * f64::from(OVERSAMPLING) {
            for column in 1..columns {
                let x = (inner.left + column as f64 * width).round();
                segment(area, (x, inner.top), (x, inner.bottom), 0.5, PAPER)?;
            }
            for row in 1..rows {
                let y = (inner.top + row as f64 * height).round();
                segment(area, (inner.left, y), (inner.right, y), 0.5, PAPER)?;
            }
        }
        let Some((choice, size)) = self.text_that_fits(width, height) else {
            return Ok(());
        };
        for (row, texts) in self.cells.iter().enumerate() {
            for (column, text) in texts.iter().enumerate() {
                let (left, top) = (inner.left + column as f64 * width, inner.top + row as f64 * height);
                let cell = Rect { left, top, right: left + width, bottom: top + height };
                let ink = scale.ink(self.values[row][column]);
                let lines = chosen(text, choice);
                for (at, line) in lines.iter().enumerate() {
                    let line = Text::new(line, size);
                    let down = (at as f64 - 0.5 * (lines.len() - 1) as f64) * line.line_height();
                    line.draw(area, (cell.center().0, cell.center().1 + down), (0.5, 0.5), ink)?;
                }
            }
        }
        Ok(())
    }

    /// The longest choice of text that fits into every cell, and its size, if one does.
    fn text_that_fits(&self, width: f64, height: f64) -> Option<(usize, f64)> {
        let most = self.cells.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let choices = (0..most).flat_map(|choice| CELL_SIZES.map(|size| (choice, size)));
        choices.into_iter().find(|&(choice, size)| {
            let line_height = Text::new("", size).line_height();
            self.cells.iter().flatten().map(|text| chosen(text, choice)).all(|lines| {
                lines.len() as f64 * line_height <= height
                    && lines.iter().all(|line| Text::new(line, size).width() + pt(4.0) <= width)
            })
        })
    }

    /// The height of the matrix in device pixels.
    fn matrix_height(&self) -> f64 {
        let lines = self.cells.iter().flatten().map(|text| chosen(text, 0).len()).max().unwrap_or(1).max(1);
        let row = ROW_HEIGHT + (lines as f64 - 1.0) * LINE_HEIGHT;
        f64::from(OVERSAMPLING) * (self.shape().0 as f64 * row).clamp(LEAST_HEIGHT, MOST_HEIGHT)
    }

    /// On an area that is `width` device pixels wide, the width of what is left of the scale, and the height of all.
    fn arrange(&self, width: f64) -> (f64, f64) {
        let matrix = self.matrix_height();
        let data_width = width - self.scale().width(&self.value_label, matrix);
        let header = Header::lay_out(&self.labels.words, data_width).bottom();
        let (_, names) = Frame::x_tick_labels(&Axis::names(self.names().1), data_width);
        let label = if self.labels.x.is_empty() { 0.0 } else { Text::new("", LABEL_SIZE).line_height() };
        (data_width, header + matrix + names + label + pt(16.0))
    }
}

/// The lines that stand in a cell.
fn chosen(text: &CellText, choice: usize) -> &[String] {
    text.get(choice).or(text.last()).map_or(&[], Vec::as_slice)
}

/// The values as text with up to four digits that count, all with as many decimals, and shorter ones.
fn cell_texts(values: &[Vec<f64>]) -> Vec<Vec<CellText>> {
    let all = || values.iter().flatten().copied();
    let needed =
        all().map(|v| significant(v).split_once('.').map_or(0, |(_, decimals)| decimals.len())).max();
    let largest = all().map(f64::abs).fold(0.0, f64::max);
    let decimals = needed.unwrap_or(0).min((3.0 - largest.max(1e-9).log10().floor()).max(0.0) as usize);
    let least = all().map(f64::abs).filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    // Of numbers of very different sizes, the small ones would become zero.
    let alike = least >= 10_f64.powi(-(decimals as i32)) && largest < 1e7;
    let text = |value: f64| match alike {
        true => (decimals.saturating_sub(2)..=decimals)
            .rev()
            .filter(|decimals| least >= 10_f64.powi(-(*decimals as i32)))
            .map(|decimals| vec![format!("{value:.decimals$}")])
            .collect(),
        false => vec![vec![significant(value)]],
    };
    values.iter().map(|row| row.iter().map(|value| text(*value)).collect()).collect()
}

title_and_notes!(HeatMap, labels.words);

impl Plot for HeatMap {
    fn height(&self, columns: usize) -> u32 {
        let (_, height) = self.arrange(f64::from(FIGURE_WIDTH * OVERSAMPLING) / columns as f64);
        (height / f64::from(OVERSAMPLING)).ceil() as u32
    }

    fn paint(&self, area: &Area) -> Result<()> {
        self.check()?;
        let scale = self.scale();
        let (width, height) = area.dim_in_pixel();
        let (data_width, own_height) = self.arrange(f64::from(width));
        // Beside a higher plot, the rows would become as high.
        let size = (data_width as u32, height.min(own_height.ceil() as u32));
        let (rows, columns) = self.names();
        let frame = Frame::lay_out(size, &self.labels, Axis::names(columns), Axis::names(rows), 0.0);
        let (data, _) = area.split_horizontally(data_width as i32);
        frame.draw_background(&data)?;
        self.paint_cells(area, frame.inner, scale)?;
        frame.draw_axes(&data)?;
        let Rect { top, bottom, .. } = frame.inner;
        let place = Rect { left: data_width + pt(2.0), top, right: f64::from(width), bottom };
        scale.draw(area, place, &self.value_label)
    }

    fn alt(&self) -> String {
        let (rows, columns) = self.names();
        let places = self.values.iter().zip(&rows).flat_map(|(values, row)| {
            let place = move |(value, column): (&f64, &String)| (*value, format!("({row}, {column})"));
            values.iter().zip(&columns).map(place)
        });
        let places: Vec<(f64, String)> = places.collect();
        let extreme = |sign: f64| {
            let place = places.iter().max_by(|a, b| (sign * a.0).total_cmp(&(sign * b.0)));
            place.map_or(String::new(), |(value, place)| format!("{} {place}", significant(*value)))
        };
        let what = if self.value_label.is_empty() { "values" } else { &self.value_label };
        let shape = format!("{} rows, {} columns", rows.len(), columns.len());
        let (least, greatest) = (extreme(-1.0), extreme(1.0));
        let sentence = format!("{}{shape}: {what} from {least} to {greatest}.", self.labels.words.sentence());
        match places.len() <= MOST_TOLD && columns.len() <= 10 {
            true => format!("{sentence}\n\n{}", self.table(rows, columns)),
            false => sentence,
        }
    }

    fn colors(&self) -> Colors {
        Colors::Scale
    }
}

/// Matrices of more values than that are not printed.
const MOST_TOLD: usize = 100;

impl HeatMap {
    fn table(&self, rows: Vec<String>, columns: Vec<String>) -> Table {
        let headings: Vec<_> = [self.labels.y.clone()].into_iter().chain(columns).collect();
        let rows = rows.into_iter().zip(&self.cells).map(|(name, cells)| {
            let cells = cells.iter().map(|text| chosen(text, 0).first().cloned().unwrap_or_default());
            [name].into_iter().chain(cells).collect::<Vec<_>>()
        });
        Table::new(headings).rows(rows)
    }
}

impl Show for HeatMap {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(HeatMap);
