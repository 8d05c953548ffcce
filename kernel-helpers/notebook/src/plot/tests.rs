//! Every kind of figure, in the situations that break figures.

use super::*;
use base::Result;

fn decaying(rate: f64) -> Vec<f64> {
    (0..=200).map(|step| 27.0 * rate.powi(step)).collect()
}

/// Draws the figure and checks what holds for all: a PNG of the full width, small enough for a notebook.
fn check(figure: Result<Figure>) -> Figure {
    let figure = figure.expect("draws");
    let decoder = png::Decoder::new(std::io::Cursor::new(figure.png()));
    let reader = decoder.read_info().expect("is a PNG");
    assert_eq!((reader.info().width, reader.info().height), figure.size());
    assert_eq!(figure.size().0, 1600);
    assert!(figure.png().len() < 60_000, "{} bytes: {}", figure.png().len(), figure.alt());
    figure
}

#[test]
fn common_figures_are_drawn() {
    check(plot_loss(&decaying(0.7)).draw());
    check(Grid::new(2).panel(plot_loss(&decaying(0.7))).panel(loss_axes()).draw());
    let points = [(6.0, 0.91), (4.0, 0.89), (2.0, 0.09)];
    check(plot_accuracy("bits", &[("asymmetric", points)], Some(0.9151)).draw());
}

#[test]
fn values_that_cannot_be_drawn_are_told_of() {
    for values in
        [vec![], vec![f64::NAN; 3], vec![f64::INFINITY, 1.0], vec![0.0; 4], vec![1e308, -1e308], vec![5.0]]
    {
        check(plot_loss(&values).draw());
        check(LinePlot::new().series("", &values).reference("none", f64::NAN).draw());
        check(plot_histogram(&[("values", &values)], 10).draw());
        let bars = [values.first().copied().unwrap_or(f64::NAN); 4];
        check(BarPlot::new(["a"; 4]).series("s", &bars).draw());
    }
    check(Grid::new(2).draw());
}

#[test]
fn a_histogram_counts_zeros_apart() {
    let figure = check(plot_histogram(&[("after", [0.0_f32, 0.0, 0.0, 0.5])], 10).draw());
    assert!(figure.alt().contains("after (and 75.0 % zeros)"), "{}", figure.alt());
}

#[test]
fn a_guide_takes_no_color_and_no_words() {
    let line = |plot: LinePlot| plot.points("path", &[(0.0, 0.0), (1.0, 2.0)]);
    let corners = [(0.0, 1.8), (0.2, 1.8), (0.4, 1.6)];
    let (before, after) = (line(LinePlot::new().guide(&corners)), line(LinePlot::new()).guide(&corners));
    let plain = line(LinePlot::new());
    assert_eq!(check(before.draw()).alt(), check(plain.draw()).alt());
    assert!(before.draw().unwrap().png() == after.draw().unwrap().png(), "the order must not matter");
    assert_ne!(before.draw().unwrap().png(), plain.draw().unwrap().png());
}

#[test]
fn the_same_plot_gives_the_same_bytes() {
    let draw = || plot_loss(&decaying(0.7)).note("quick scale").draw().unwrap();
    assert_eq!(draw().png(), draw().png());
}

#[test]
fn figures_are_drawn_on_several_threads_at_once() {
    let draw = || plot_loss(&decaying(0.7)).draw().unwrap();
    let expected = draw();
    let threads: Vec<_> =
        (0..4).map(|_| std::thread::spawn(move || plot_loss(&decaying(0.7)).draw().unwrap())).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
}
