//! Lab 1: sparse solutions of a linear regression.
//!
//! Minimizes `L(W) = Σ_i (X_i W - y_i)²` by full-batch gradient descent, `∇L = 2 Σ_i X_iᵀ (X_i W - y_i)`, and its
//! sparsity-inducing variants. Every method returns the whole [`Trajectory`].

use base::{Error, Result};
use display::table::Table;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// A linear regression problem: rows `X_i [1, d]` and targets `y_i`.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let problem = LinearProblem::homework();
/// assert_eq!(problem.loss(&[0.0; 5]), 27.0);
/// assert_eq!(problem.gradient(&[0.0, 2.0, 0.0, 0.0, -1.0]), [0.0; 5], "a sparse optimum");
/// let line = LinearProblem::new(vec![vec![1.0], vec![2.0]], vec![3.0, 6.0])?;
/// assert_eq!(line.loss(&[3.0]), 0.0);
/// # Ok::<(), kernel_helpers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProblem {
    rows: Vec<Vec<f64>>,
    targets: Vec<f64>,
}

/// How long and how fast to descend.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let shorter = Descent { steps: 20, ..Default::default() };
/// assert_eq!(shorter.learning_rate, 0.02);
/// assert_eq!(gradient_descent(&LinearProblem::homework(), shorter).losses.len(), 21);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// The learning rate μ.
    pub learning_rate: f64,
    /// The number of steps.
    pub steps: usize,
}

impl Default for Descent {
    /// The homework's: μ = 0.02, 200 steps.
    fn default() -> Self {
        Self { learning_rate: 0.02, steps: 200 }
    }
}

/// What a method did: the state before the first step and after every step.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = gradient_descent(&LinearProblem::homework(), Descent::default());
/// assert_eq!((run.losses[0], run.weights[0].len(), run.nonzeros()), (27.0, 5, 5));
/// let steps = run.steps_below(1e-6).unwrap();
/// assert!(run.losses[steps - 1] >= 1e-6 && run.losses[steps] < 1e-6);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trajectory {
    /// L after each step, without any regularizer; `steps + 1` values.
    pub losses: Vec<f64>,
    /// W after each step; `steps + 1` rows of d values.
    pub weights: Vec<Vec<f64>>,
}

/// Where a method arrived.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = trimmed_l1_descent(&LinearProblem::homework(), Descent::default(), 0.04, 3);
/// let Solution { weights, loss, nonzeros } = run.solution();
/// assert!(nonzeros == 2 && loss < 1e-9 && (weights[1] - 2.0).abs() < 1e-5);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// The final W.
    pub weights: Vec<f64>,
    /// L at the final W.
    pub loss: f64,
    /// How many elements of the final W are not exactly zero: `||W||₀`.
    pub nonzeros: usize,
}

impl LinearProblem {
    /// A problem of one's own: all rows of one length, one target a row.
    ///
    /// # Errors
    /// If the lengths do not agree.
    pub fn new(rows: Vec<Vec<f64>>, targets: Vec<f64>) -> Result<Self> {
        if rows.is_empty() || rows.len() != targets.len() {
            let found = format!("{} rows and {} targets", rows.len(), targets.len());
            return Err(Error::argument("rows and targets", "one target a row", found));
        }
        if let Some(row) = rows.iter().find(|row| row.len() != rows[0].len() || row.is_empty()) {
            return Err(Error::argument("rows", format!("rows of {} values", rows[0].len()), row.len()));
        }
        Ok(Self { rows, targets })
    }

    /// The homework's three data points in five dimensions.
    pub fn homework() -> Self {
        Self {
            rows: vec![
                vec![-2.0, 2.0, 1.0, -1.0, -1.0],
                vec![-2.0, 1.0, -2.0, 0.0, 1.0],
                vec![1.0, 0.0, -2.0, 2.0, -1.0],
            ],
            targets: vec![5.0, 1.0, 1.0],
        }
    }

    /// `L(W) = Σ_i (X_i W - y_i)²`. `weights` has the length of a row.
    pub fn loss(&self, weights: &[f64]) -> f64 {
        self.residuals(weights).map(|r| r * r).sum()
    }

    /// `∇L(W) = 2 Σ_i X_iᵀ (X_i W - y_i)`. `weights` has the length of a row, so has the result.
    pub fn gradient(&self, weights: &[f64]) -> Vec<f64> {
        let mut gradient = vec![0.0; weights.len()];
        for (residual, row) in self.residuals(weights).zip(&self.rows) {
            for (g, x) in gradient.iter_mut().zip(row) {
                *g += 2.0 * residual * x;
            }
        }
        gradient
    }

    fn residuals(&self, weights: &[f64]) -> impl Iterator<Item = f64> {
        let dot = move |row: &[f64]| row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>();
        self.rows.iter().zip(&self.targets).map(move |(row, y)| dot(row) - y)
    }

    /// Descends from W = 0; `step` turns W and ∇L into the next W.
    fn descend(&self, descent: Descent, step: impl Fn(&mut Vec<f64>, &[f64])) -> Trajectory {
        let mut weights = vec![0.0; self.rows[0].len()];
        let mut trajectory = Trajectory { losses: vec![self.loss(&weights)], weights: vec![weights.clone()] };
        for _ in 0..descent.steps {
            let gradient = self.gradient(&weights);
            step(&mut weights, &gradient);
            trajectory.losses.push(self.loss(&weights));
            trajectory.weights.push(weights.clone());
        }
        trajectory
    }
}

/// (b) Plain gradient descent: `W ← W - μ ∇L(W)`.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = gradient_descent(&LinearProblem::homework(), Descent::default());
/// assert!(run.final_loss() < 1e-28);
/// assert_eq!(run.nonzeros(), 5, "an optimum, but none that is sparse");
/// ```
pub fn gradient_descent(problem: &LinearProblem, descent: Descent) -> Trajectory {
    problem.descend(descent, |w, g| subtract_scaled(w, descent.learning_rate, g))
}

/// (c) Projected gradient descent onto `||W||₀ ≤ nonzeros`: after every step all but the `nonzeros` elements of
/// largest magnitude are set to zero.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = projected_gradient_descent(&LinearProblem::homework(), Descent::default(), 2);
/// assert!(run.nonzeros() <= 2);
/// ```
pub fn projected_gradient_descent(problem: &LinearProblem, descent: Descent, nonzeros: usize) -> Trajectory {
    problem.descend(descent, |w, g| {
        subtract_scaled(w, descent.learning_rate, g);
        for index in by_magnitude(w).into_iter().rev().skip(nonzeros) {
            w[index] = 0.0;
        }
    })
}

/// (d) Subgradient descent on `L + λ||W||₁`: `W ← W - μ (∇L(W) + λ sign(W))`, with sign(0) = 0.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = l1_subgradient_descent(&LinearProblem::homework(), Descent::default(), 1.0);
/// assert!((run.final_loss() - 0.1168).abs() < 5e-5);
/// assert_eq!(run.nonzeros(), 5, "small, but never exactly zero");
/// ```
pub fn l1_subgradient_descent(problem: &LinearProblem, descent: Descent, lambda: f64) -> Trajectory {
    problem.descend(descent, |w, g| {
        let sign = |w: f64| if w == 0.0 { 0.0 } else { w.signum() };
        let subgradient: Vec<f64> = g.iter().zip(w.iter()).map(|(g, &w)| g + lambda * sign(w)).collect();
        subtract_scaled(w, descent.learning_rate, &subgradient);
    })
}

/// (e) Proximal gradient descent on `L + λ||W||₁` with `threshold = μλ`: a gradient step on L, then the proximal
/// operator of the l1 norm, [`soft_threshold`], on every element.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = proximal_gradient_descent(&LinearProblem::homework(), Descent::default(), 0.04);
/// assert_eq!(run.nonzeros(), 2);
/// assert!((run.final_weights()[1] - 1.857).abs() < 1e-3, "sparse, but short of the optimum 2");
/// ```
pub fn proximal_gradient_descent(problem: &LinearProblem, descent: Descent, threshold: f64) -> Trajectory {
    problem.descend(descent, |w, g| {
        subtract_scaled(w, descent.learning_rate, g);
        w.iter_mut().for_each(|w| *w = soft_threshold(*w, threshold));
    })
}

/// (f) Proximal gradient descent with the trimmed l1 regularizer, `threshold = μλ`: a gradient step on L, then
/// [`soft_threshold`] on the `penalized` elements of smallest magnitude; the others are free.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let run = trimmed_l1_descent(&LinearProblem::homework(), Descent::default(), 0.04, 3);
/// assert_eq!(run.nonzeros(), 2);
/// assert!((run.final_weights()[1] - 2.0).abs() < 1e-5, "sparse, and the optimum");
/// ```
pub fn trimmed_l1_descent(
    problem: &LinearProblem,
    descent: Descent,
    threshold: f64,
    penalized: usize,
) -> Trajectory {
    problem.descend(descent, |w, g| {
        subtract_scaled(w, descent.learning_rate, g);
        for index in by_magnitude(w).into_iter().take(penalized) {
            w[index] = soft_threshold(w[index], threshold);
        }
    })
}

/// `sign(w) max(|w| - threshold, 0)`, the proximal operator of `threshold · |w|`.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// assert_eq!([-0.75, 0.125, 0.5].map(|w| soft_threshold(w, 0.25)), [-0.5, 0.0, 0.25]);
/// ```
pub fn soft_threshold(w: f64, threshold: f64) -> f64 {
    if w.abs() <= threshold { 0.0 } else { w - threshold * w.signum() }
}

/// `w ← w - scale · direction`.
fn subtract_scaled(w: &mut [f64], scale: f64, direction: &[f64]) {
    w.iter_mut().zip(direction).for_each(|(w, d)| *w -= scale * d);
}

/// The indices of `w` from the smallest magnitude to the largest; equal ones in their order.
fn by_magnitude(w: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..w.len()).collect();
    order.sort_by(|&a, &b| w[a].abs().total_cmp(&w[b].abs()));
    order
}

impl Trajectory {
    /// L after the last step.
    pub fn final_loss(&self) -> f64 {
        self.losses.last().copied().unwrap_or(f64::NAN)
    }

    /// W after the last step.
    pub fn final_weights(&self) -> Vec<f64> {
        self.weights.last().cloned().unwrap_or_default()
    }

    /// How many elements of the final W are not exactly zero: `||W||₀`.
    pub fn nonzeros(&self) -> usize {
        self.final_weights().iter().filter(|&&w| w != 0.0).count()
    }

    /// W after the last step, with its loss and its number of non-zero elements.
    pub fn solution(&self) -> Solution {
        Solution { weights: self.final_weights(), loss: self.final_loss(), nonzeros: self.nonzeros() }
    }

    /// The start and the first `steps` steps.
    pub fn first(&self, steps: usize) -> Trajectory {
        let states = (steps + 1).min(self.losses.len());
        Trajectory { losses: self.losses[..states].to_vec(), weights: self.weights[..states].to_vec() }
    }

    /// The first step after which L stays below `bound`, if there is one.
    pub fn steps_below(&self, bound: f64) -> Option<usize> {
        let first =
            self.losses.iter().rposition(|&loss| loss >= bound).map_or(0, |last_above| last_above + 1);
        (first < self.losses.len()).then_some(first)
    }
}

/// What the element of W at an index from 0 is called: W₁ for 0.
pub(crate) fn element_name(index: usize) -> String {
    let subscript = |digit: char| char::from_u32('₀' as u32 + digit as u32 - '0' as u32).unwrap_or(digit);
    format!("W{}", (index + 1).to_string().chars().map(subscript).collect::<String>())
}

/// The solutions of several runs: for each its name, the final W, L and the number of
/// non-zero elements.
///
/// ```
/// use kernel_helpers::homework::prelude::*;
///
/// let (problem, descent) = (LinearProblem::homework(), Descent::default());
/// let runs = [
///     ("gradient descent", gradient_descent(&problem, descent)),
///     ("trimmed l1", trimmed_l1_descent(&problem, descent, 0.04, 3)),
/// ];
/// let table = solution_table(&runs).to_string();
/// assert!(table.lines().next().unwrap().contains("W₁") && table.contains("-1.0000"), "{table}");
/// ```
pub fn solution_table<N: Display>(runs: &[(N, Trajectory)]) -> Table {
    let elements = runs.iter().map(|(_, run)| run.final_weights().len()).max().unwrap_or(0);
    let names = (0..elements).map(element_name);
    let columns = ["run".to_owned()].into_iter().chain(names).chain(["L".to_owned(), "non-zero".to_owned()]);
    let rows = runs.iter().map(|(name, run)| {
        let weights = run.final_weights().into_iter().map(|w| match w {
            0.0 => "0".to_owned(),
            // Of a run that diverges, the digits say nothing.
            w if w.abs() >= 1e6 => format!("{w:.2e}"),
            w => format!("{w:.4}"),
        });
        let measures = [format!("{:.1e}", run.final_loss()), run.nonzeros().to_string()];
        [name.to_string()].into_iter().chain(weights).chain(measures).collect::<Vec<_>>()
    });
    Table::new(columns.collect::<Vec<_>>()).rows(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 5e-6);
        assert!(found.len() == expected.len() && close, "{found:?} is not {expected:?}");
    }

    #[test]
    fn the_sparse_optimum_has_no_loss_and_no_gradient() {
        let problem = LinearProblem::homework();
        let optimum = [0.0, 2.0, 0.0, 0.0, -1.0];
        assert_eq!(problem.loss(&optimum), 0.0);
        assert_eq!(problem.gradient(&optimum), [0.0; 5]);
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let problem = LinearProblem::homework();
        let w = [0.3, -0.7, 1.1, 0.2, -0.4];
        for (i, gradient) in problem.gradient(&w).into_iter().enumerate() {
            let shifted = |h: f64| {
                problem.loss(&std::array::from_fn::<f64, 5, _>(|j| if i == j { w[j] + h } else { w[j] }))
            };
            let difference = (shifted(1e-6) - shifted(-1e-6)) / 2e-6;
            assert!((gradient - difference).abs() < 1e-6, "{gradient} and {difference}");
        }
    }

    #[test]
    fn gradient_descent_ends_where_the_reference_does() {
        let trajectory = gradient_descent(&LinearProblem::homework(), Descent::default());
        assert_close(&trajectory.final_weights(), &[-0.63143, 1.26565, 0.0904, 0.23227, -1.34771]);
        assert!(trajectory.final_loss() < 1e-28);
        assert_eq!((trajectory.losses.len(), trajectory.weights.len()), (201, 201));
        assert_eq!(trajectory.losses[0], 27.0);
    }

    #[test]
    fn the_l1_subgradient_ends_where_the_reference_does() {
        let trajectory = l1_subgradient_descent(&LinearProblem::homework(), Descent::default(), 1.0);
        assert_close(&trajectory.final_weights(), &[-0.01681, 1.87969, -0.0046, 0.00962, -0.89398]);
        assert!((trajectory.final_loss() - 0.1168).abs() < 5e-5);
        assert_eq!(trajectory.nonzeros(), 5, "never exactly sparse");
    }

    #[test]
    fn projection_keeps_two_elements_at_every_step() {
        let trajectory = projected_gradient_descent(&LinearProblem::homework(), Descent::default(), 2);
        let nonzeros = |w: &Vec<f64>| w.iter().filter(|&&w| w != 0.0).count();
        assert!(trajectory.weights.iter().all(|w| nonzeros(w) <= 2));
    }

    #[test]
    fn proximal_steps_make_exact_zeros() {
        let trajectory = proximal_gradient_descent(&LinearProblem::homework(), Descent::default(), 0.04);
        assert_close(&trajectory.final_weights(), &[0.0, 1.857142, 0.0, 0.0, -0.714287]);
        assert_eq!(trajectory.nonzeros(), 2);
        assert_eq!(soft_threshold(-0.5, 0.2), -0.3);
        assert_eq!(soft_threshold(0.1, 0.2), 0.0);
    }

    #[test]
    fn the_trimmed_regularizer_reaches_the_sparse_optimum_without_bias() {
        let trajectory = trimmed_l1_descent(&LinearProblem::homework(), Descent::default(), 0.04, 3);
        assert_close(&trajectory.final_weights(), &[0.0, 2.0, 0.0, 0.0, -1.0]);
        assert_eq!(trajectory.nonzeros(), 2);
    }

    #[test]
    fn steps_below_counts_from_the_last_time_above() {
        let trajectory = Trajectory { losses: vec![3.0, 0.1, 2.0, 0.2, 0.1], weights: vec![] };
        assert_eq!(trajectory.steps_below(1.0), Some(3));
        assert_eq!(trajectory.steps_below(0.05), None);
        assert_eq!(trajectory.steps_below(9.0), Some(0));
    }

    #[test]
    fn the_first_steps_are_those_of_a_shorter_run() {
        let run =
            |steps| gradient_descent(&LinearProblem::homework(), Descent { steps, ..Descent::default() });
        assert_eq!(run(200).first(20), run(20));
        assert_eq!(run(20).first(200), run(20));
    }

    #[test]
    fn the_table_tells_exact_zeros_from_small_numbers() {
        let run = Trajectory { losses: vec![0.125], weights: vec![vec![0.0, -0.0, 0.00001, -1.0]] };
        assert_eq!(run.solution(), Solution { weights: run.final_weights(), loss: 0.125, nonzeros: 2 });
        let row = solution_table(&[("a run", run)]).to_markdown().lines().nth(2).unwrap().replace(' ', "");
        assert_eq!(row, "|arun|0|0|0.0000|-1.0000|1.2e-1|2|");
    }

    #[test]
    fn a_problem_of_uneven_rows_is_refused() {
        assert!(LinearProblem::new(vec![vec![1.0], vec![1.0, 2.0]], vec![0.0, 0.0]).is_err());
        assert!(LinearProblem::new(vec![vec![1.0]], vec![]).is_err());
    }
}
