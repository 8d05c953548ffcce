//! The curves of a run: loss and accuracy.

use crate::History;
use crate::plot::{loss_and_accuracy, plot_history};
use notebook::plot::{Figure, Grid};

/// This many points can be told apart on a curve.
const MOST_POINTS: usize = 400;
/// Points of an epoch, to begin with.
const POINTS_OF_AN_EPOCH: usize = 10;

/// The loss and the accuracy of the training batches, in means over as many that the curves stay readable.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    /// The steps of an epoch.
    steps: usize,
    /// How many steps make a point.
    window: usize,
    /// Epochs, loss, accuracy.
    points: Vec<[f64; 3]>,
    /// Sums of the next point's steps, and how many there are.
    sums: ([f64; 2], usize),
}

impl Batches {
    pub(super) fn new(steps: usize) -> Self {
        let window = (steps / POINTS_OF_AN_EPOCH).max(1);
        Self { steps: steps.max(1), window, points: Vec::new(), sums: ([0.0; 2], 0) }
    }

    /// Adds a step of an epoch, both counted from 1.
    pub(super) fn add(&mut self, epoch: usize, step: usize, loss: f64, accuracy: f64) {
        let ([losses, accuracies], count) = self.sums;
        self.sums = ([losses + loss, accuracies + accuracy], count + 1);
        if self.sums.1 < self.window {
            return;
        }
        let (sums, count) = std::mem::take(&mut self.sums);
        let epochs = (epoch - 1) as f64 + step as f64 / self.steps as f64;
        self.points.push([epochs, sums[0] / count as f64, sums[1] / count as f64]);
        if self.points.len() > MOST_POINTS {
            let mean = |pair: &[[f64; 3]]| match pair {
                [a, b] => [b[0], (a[1] + b[1]) / 2.0, (a[2] + b[2]) / 2.0],
                rest => rest[0],
            };
            self.points = self.points.chunks(2).map(mean).collect();
            self.window *= 2;
        }
    }

    fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn line(&self, value: usize, scale: f64) -> Vec<(f64, f64)> {
        self.points.iter().map(|point| (point[0], scale * point[value])).collect()
    }
}

/// The curves of a run that goes on: its epochs, and its batches between them.
pub(super) fn growing(history: &History, batches: &Batches) -> Option<Figure> {
    if batches.is_empty() {
        return of(history);
    }
    let lines = [batches.line(1, 1.0), batches.line(2, 100.0)];
    let panels = loss_and_accuracy(history).into_iter().zip(lines);
    let grid = Grid::new(2).notes(&history.note);
    panels.fold(grid, |grid, (panel, line)| grid.panel(panel.points("batches", &line))).draw().ok()
}

/// The curves of a run that is over: of its epochs alone, which is what a record holds.
pub(super) fn of(history: &History) -> Option<Figure> {
    let history = History { recorded_on: None, ..history.clone() };
    if history.epochs.is_empty() { None } else { plot_history(&history).draw().ok() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::EpochRecord;

    /// A history of this many epochs.
    pub(in crate::progress) fn history(epochs: usize) -> History {
        let record = |epoch: usize| EpochRecord {
            epoch,
            learning_rate: 0.1,
            train_loss: 1.0 / epoch as f64,
            train_accuracy: 1.0 - 1.0 / (1 + epoch) as f64,
            validation_loss: None,
            validation_accuracy: None,
            test_loss: 1.0 / epoch as f64,
            test_accuracy: 1.0 - 1.0 / (1 + epoch) as f64,
            sparsity: 0.0,
            candidate: true,
        };
        History { epochs: (1..=epochs).map(record).collect(), ..Default::default() }
    }

    #[test]
    fn points_are_means_and_stay_few() {
        let mut batches = Batches::new(100);
        (1..=20).for_each(|step| batches.add(1, step, step as f64, 0.5));
        assert_eq!(batches.points, [[0.1, 5.5, 0.5], [0.2, 15.5, 0.5]]);
        for epoch in 2..=200 {
            (1..=100).for_each(|step| batches.add(epoch, step, 1.0, 0.25));
        }
        assert!(batches.points.len() <= MOST_POINTS && batches.points.len() > MOST_POINTS / 4);
        let ends = batches.line(2, 100.0);
        assert!(ends.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!((ends.last().unwrap().0 - 200.0).abs() < 2.0);
        assert_eq!(ends.last().unwrap().1, 25.0);
    }

    #[test]
    fn the_final_curves_do_not_tell_when_they_were_made() {
        assert!(of(&history(0)).is_none());
        let recorded = History { recorded_on: Some("2026-11-23".to_owned()), ..history(3) };
        assert_eq!(of(&recorded).unwrap().png(), of(&history(3)).unwrap().png());
    }
}
