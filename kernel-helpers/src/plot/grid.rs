//! Several plots in one figure.

use super::bars::BarPlot;
use super::canvas::{Area, Pixels, failure};
use super::figure::{Figure, drawn};
use super::lines::LinePlot;
use super::style::{INK, NOTE_SIZE, OVERSAMPLING, TITLE_SIZE, pt};
use super::text::{Text, wrap};
use crate::Result;
use crate::display::{MimeBundle, Show, shows_itself};
use std::fmt::Display;

/// Pixels from the left to the right of a figure.
pub(super) const FIGURE_WIDTH: u32 = 1600;

/// A plot that can be part of a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Panel {
    /// Lines.
    Lines(LinePlot),
    /// Bars.
    Bars(BarPlot),
}

impl From<LinePlot> for Panel {
    fn from(plot: LinePlot) -> Self {
        Panel::Lines(plot)
    }
}

impl From<BarPlot> for Panel {
    fn from(plot: BarPlot) -> Self {
        Panel::Bars(plot)
    }
}

impl Panel {
    /// The whole figure with nothing but this plot.
    pub(super) fn draw(&self) -> Result<Figure> {
        let pixels = Pixels::paint(FIGURE_WIDTH, self.height(1), |area| self.paint(area))?;
        Figure::new(&pixels, self.alt())
    }

    fn paint(&self, area: &Area) -> Result<()> {
        match self {
            Panel::Lines(plot) => plot.paint(area),
            Panel::Bars(plot) => plot.paint(area),
        }
    }

    fn alt(&self) -> String {
        match self {
            Panel::Lines(plot) => plot.alt(),
            Panel::Bars(plot) => plot.alt(),
        }
    }

    /// The height in pixels when it is one of `columns` side by side.
    fn height(&self, columns: usize) -> u32 {
        match self {
            Panel::Lines(_) => [800, 620, 500][columns.clamp(1, 3) - 1],
            Panel::Bars(plot) => plot.height(),
        }
    }
}

/// Several plots in one figure, row by row. Each is drawn for its place, so that text keeps its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    columns: usize,
    panels: Vec<Panel>,
    title: String,
    notes: Vec<String>,
}

impl Grid {
    /// An empty grid of this many columns, best one or two.
    pub fn new(columns: usize) -> Self {
        Grid { columns: columns.max(1), panels: Vec::new(), title: String::new(), notes: Vec::new() }
    }

    /// Adds a plot.
    pub fn panel(mut self, panel: impl Into<Panel>) -> Self {
        self.panels.push(panel.into());
        self
    }

    /// Adds several plots.
    pub fn panels(self, panels: impl IntoIterator<Item = impl Into<Panel>>) -> Self {
        panels.into_iter().fold(self, Grid::panel)
    }

    /// A title above all plots. By default there is none: text beside the figure says what it shows.
    pub fn title(mut self, title: impl Display) -> Self {
        self.title = title.to_string();
        self
    }

    /// A remark in small print at the top, such as the scale of the run.
    pub fn note(mut self, note: impl Display) -> Self {
        self.notes.push(note.to_string());
        self
    }

    /// Adds several remarks; takes [`Data::note`](crate::data::Data::note) as it is.
    pub fn notes(self, notes: impl IntoIterator<Item = impl Display>) -> Self {
        notes.into_iter().fold(self, Self::note)
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If a plot's data does not fit together.
    pub fn draw(&self) -> Result<Figure> {
        let (device_width, scale) = (f64::from(FIGURE_WIDTH * OVERSAMPLING), f64::from(OVERSAMPLING));
        let mut header = wrap(&self.title, TITLE_SIZE, device_width - pt(8.0));
        header.extend(self.notes.iter().flat_map(|note| wrap(note, NOTE_SIZE, device_width - pt(8.0))));
        let header_gap = if header.is_empty() { 0.0 } else { pt(6.0) };
        let header_height =
            ((header.iter().map(Text::line_height).sum::<f64>() + header_gap) / scale).ceil() as u32;
        let columns = self.columns.min(self.panels.len().max(1));
        let rows: Vec<_> = self.panels.chunks(columns).collect();
        let heights: Vec<u32> =
            rows.iter().map(|row| row.iter().map(|panel| panel.height(columns)).max().unwrap_or(0)).collect();
        let height = header_height + heights.iter().sum::<u32>();

        let pixels = Pixels::paint(FIGURE_WIDTH, height.max(1), |area| {
            let (top, mut rest) = area.split_vertically((header_height * OVERSAMPLING) as i32);
            draw_lines(&top, &header)?;
            for (row, height) in rows.iter().zip(&heights) {
                let (place, below) = rest.split_vertically((height * OVERSAMPLING) as i32);
                let places = place.split_evenly((1, columns));
                row.iter().zip(&places).try_for_each(|(panel, place)| panel.paint(place))?;
                rest = below;
            }
            area.present().map_err(failure)
        })?;
        Figure::new(&pixels, self.alt())
    }

    fn alt(&self) -> String {
        let panels = self.panels.iter().map(Panel::alt);
        let all: Vec<_> =
            [self.title.clone()].into_iter().chain(panels).filter(|text| !text.is_empty()).collect();
        all.join("\n")
    }
}

impl Show for Grid {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(Grid);

fn draw_lines(area: &Area, lines: &[Text]) -> Result<()> {
    let center = f64::from(area.dim_in_pixel().0) / 2.0;
    let mut top = pt(2.0);
    for line in lines {
        line.draw(area, (center, top + 0.5 * line.line_height()), (0.5, 0.5), INK)?;
        top += line.line_height();
    }
    Ok(())
}
