//! Several plots in one figure.

use super::bars::BarPlot;
use super::canvas::{Area, Pixels, Rect, failure};
use super::confusion::ConfusionMatrix;
use super::figure::{Colors, Figure, drawn};
use super::header::{Header, Words, title_and_notes};
use super::heat_map::HeatMap;
use super::images::ImagePlot;
use super::legend::Legend;
use super::lines::LinePlot;
use super::style::OVERSAMPLING;
use base::Result;
use display::{MimeBundle, Show, shows_itself};

/// Pixels from the left to the right of a figure.
pub(super) const FIGURE_WIDTH: u32 = 1600;

/// What a plot has to do to be a figure or a part of one.
pub(super) trait Plot {
    /// Draws the plot over the whole area.
    fn paint(&self, area: &Area) -> Result<()>;

    /// What the figure shows, in words.
    fn alt(&self) -> String;

    /// The height in pixels when it is one of `columns` side by side.
    fn height(&self, columns: usize) -> u32;

    /// Which colors it needs.
    fn colors(&self) -> Colors {
        Colors::Few
    }
}

/// A plot that can be part of a figure.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let panels: [Panel; 2] = [
///     LinePlot::new().series("loss", &[2.3, 1.1, 0.9]).into(),
///     HeatMap::new(&[[1.0, 0.5], [0.5, 1.0]])?.into(),
/// ];
/// assert_eq!(Grid::new(2).panels(panels).draw()?.size().0, 1600);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Panel {
    /// Lines and scattered points.
    Lines(LinePlot),
    /// Bars.
    Bars(BarPlot),
    /// A matrix in colors.
    HeatMap(HeatMap),
    /// True against predicted classes.
    Confusion(ConfusionMatrix),
    /// Images.
    Images(ImagePlot),
}

macro_rules! panel_of {
    ($($variant:ident($plot:ty)),+) => {
        $(impl From<$plot> for Panel {
            fn from(plot: $plot) -> Self {
                Panel::$variant(plot)
            }
        })+

        impl Panel {
            fn plot(&self) -> &dyn Plot {
                match self {
                    $(Panel::$variant(plot) => plot,)+
                }
            }
        }
    };
}

impl Panel {
    fn lines(&self) -> Option<&LinePlot> {
        match self {
            Panel::Lines(plot) => Some(plot),
            _ => None,
        }
    }
}

panel_of!(Lines(LinePlot), Bars(BarPlot), HeatMap(HeatMap), Confusion(ConfusionMatrix), Images(ImagePlot));

/// The whole figure with nothing but this plot.
pub(super) fn alone(plot: &dyn Plot) -> Result<Figure> {
    let pixels = Pixels::paint(FIGURE_WIDTH, plot.height(1), |area| plot.paint(area))?;
    Figure::new(&pixels, plot.colors(), plot.alt())
}

/// Several plots in one figure, row by row. Each is drawn for its place, so that text keeps its size.
///
/// ```
/// use kernel_helpers::prelude::*;
///
/// let loss = LinePlot::new().series("training", &[2.3, 1.1]).x_label("epoch").y_label("loss");
/// let layers = BarPlot::new(["conv", "fc"]).series("pruned", &[80.0, 40.0]).x_label("zeros (%)");
/// let figure = Grid::new(2).panel(loss).panel(layers).title("A small network").draw()?;
/// assert!(figure.alt().starts_with("A small network\nloss against epoch."), "{}", figure.alt());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    columns: usize,
    /// The panels, each with how many columns it takes.
    panels: Vec<(Panel, usize)>,
    words: Words,
    shares_legend: bool,
}

title_and_notes!(Grid, words);

impl Grid {
    /// An empty grid of this many columns, best one or two.
    pub fn new(columns: usize) -> Self {
        Grid { columns: columns.max(1), panels: Vec::new(), words: Words::default(), shares_legend: false }
    }

    /// Adds a plot.
    pub fn panel(self, panel: impl Into<Panel>) -> Self {
        self.wide_panel(1, panel)
    }

    /// Adds a plot that is as wide as some of the columns.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let plot = LinePlot::new().series("loss", &[2.3, 1.1]);
    /// let figure = Grid::new(3).wide_panel(2, plot.clone()).panel(plot).draw()?;
    /// assert_eq!(figure.size(), (1600, 500), "one row");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn wide_panel(mut self, columns: usize, panel: impl Into<Panel>) -> Self {
        self.panels.push((panel.into(), columns.clamp(1, self.columns)));
        self
    }

    /// Adds several plots.
    pub fn panels(self, panels: impl IntoIterator<Item = impl Into<Panel>>) -> Self {
        panels.into_iter().fold(self, Grid::panel)
    }

    /// One legend above all panels in place of one in each, for those panels with lines that have the same names: of
    /// several such groups the largest.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    ///
    /// let run = |end: f64| LinePlot::new().series("W₁", &[0.0, end]).series("W₂", &[0.0, -end]);
    /// let figure = Grid::new(2).panel(run(1.0)).panel(run(2.0)).shared_legend().draw()?;
    /// assert_eq!(figure.size().0, 1600);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn shared_legend(mut self) -> Self {
        self.shares_legend = true;
        self
    }

    /// The legend for several panels, and the panels without it.
    fn take_legend(&self, width: f64) -> (Legend, Vec<(Panel, usize)>) {
        let named: Vec<_> = self.panels.iter().filter_map(|(panel, _)| panel.lines()).collect();
        let alike = |plot: &LinePlot| {
            named.iter().filter(|other| other.legend_names() == plot.legend_names()).count()
        };
        let several = named.iter().filter(|plot| self.shares_legend && plot.legend_names().len() > 1);
        let Some(first) = several.max_by_key(|plot| alike(plot)) else {
            return (Legend::none(), self.panels.clone());
        };
        let panels = self.panels.iter().map(|(panel, span)| match panel.lines() {
            Some(plot) if plot.legend_names() == first.legend_names() => {
                (Panel::Lines(plot.clone().without_legend()), *span)
            }
            _ => (panel.clone(), *span),
        });
        (first.legend(width), panels.collect())
    }

    /// Draws the figure.
    ///
    /// # Errors
    /// If a plot's data does not fit together.
    pub fn draw(&self) -> Result<Figure> {
        let width = f64::from(FIGURE_WIDTH * OVERSAMPLING);
        let header = Header::lay_out(&self.words, width);
        let words_height = if header.is_empty() { 0.0 } else { header.bottom() };
        let (legend, panels) = self.take_legend(width);
        let header_height =
            ((words_height + legend.strip_height(width)) / f64::from(OVERSAMPLING)).ceil() as u32;
        let columns = self.columns.min(panels.iter().map(|(_, span)| span).sum::<usize>().max(1));
        let rows = in_rows(&panels, columns);
        let heights: Vec<u32> = rows
            .iter()
            .map(|row| row.iter().map(|(plot, _)| plot.height(columns)).max().unwrap_or(0))
            .collect();
        let height = header_height + heights.iter().sum::<u32>();

        let pixels = Pixels::paint(FIGURE_WIDTH, height.max(1), |area| {
            let (top, mut rest) = area.split_vertically((header_height * OVERSAMPLING) as i32);
            header.draw(&top)?;
            let strip = Rect { left: 0.0, top: words_height, right: width, bottom: words_height };
            legend.draw_strip(&top, strip)?;
            for (row, height) in rows.iter().zip(&heights) {
                let (place, below) = rest.split_vertically((height * OVERSAMPLING) as i32);
                let places = place.split_evenly((1, columns));
                let mut column = 0;
                for (plot, span) in row {
                    plot.paint(&across(&place, &places[column..column + span]))?;
                    column += span;
                }
                rest = below;
            }
            area.present().map_err(failure)
        })?;
        let colors = panels.iter().map(|(panel, _)| panel.plot().colors()).max().unwrap_or(Colors::Few);
        Figure::new(&pixels, colors, self.alt())
    }

    fn alt(&self) -> String {
        let panels = self.panels.iter().map(|(panel, _)| panel.plot().alt());
        let all: Vec<_> =
            [self.words.title.clone()].into_iter().chain(panels).filter(|text| !text.is_empty()).collect();
        all.join("\n")
    }
}

/// The plots row by row, each with the number of its columns.
fn in_rows(panels: &[(Panel, usize)], columns: usize) -> Vec<Vec<(&dyn Plot, usize)>> {
    let mut rows: Vec<Vec<_>> = Vec::new();
    let mut free = 0;
    for (panel, span) in panels {
        if *span > free {
            rows.push(Vec::new());
            free = columns;
        }
        free -= span;
        rows.last_mut().expect("the first plot starts a row").push((panel.plot(), *span));
    }
    rows
}

/// The part of a row that these of its places take together.
fn across<'a>(row: &Area<'a>, places: &[Area<'a>]) -> Area<'a> {
    let (whole, _) = row.get_pixel_range();
    let [start, end] = [&places[0], &places[places.len() - 1]].map(|place| place.get_pixel_range().0);
    row.margin(0, 0, start.start - whole.start, whole.end - end.end)
}

impl Show for Grid {
    /// The drawn figure.
    fn forms(&self) -> MimeBundle {
        drawn(self.draw())
    }
}

shows_itself!(Grid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_group_of_panels_shares_a_legend() {
        let plot = |names: [&str; 2]| {
            names.iter().fold(LinePlot::new(), |plot, name| plot.series(name, &[1.0, 2.0]))
        };
        let (losses, weights) = (plot(["λ = 1", "λ = 2"]), plot(["W₁", "W₂"]));
        let grid = Grid::new(3).panels([losses.clone(), weights.clone(), weights.clone()]);
        let width = f64::from(FIGURE_WIDTH * OVERSAMPLING);
        assert_eq!(grid.take_legend(width).0.strip_height(width), 0.0);
        let (legend, panels) = grid.shared_legend().take_legend(width);
        assert!(legend.strip_height(width) > 0.0);
        let bare = (Panel::Lines(weights.without_legend()), 1);
        assert_eq!(panels, [(Panel::Lines(losses), 1), bare.clone(), bare]);
    }
}
