//! The range of an axis and its ticks.

use super::style::{TICK_SIZE, pt};
use super::text::Text;
use std::ops::RangeInclusive;

/// Values beyond this are treated as not finite: their differences would be.
const LARGEST: f64 = 1e300;

/// Whether an axis can show the value.
pub(super) fn is_finite(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// How values lie along an axis.
#[derive(Clone, Debug, PartialEq)]
enum Scale {
    Linear,
    /// Base 10; the range holds exponents.
    Log,
    /// Named places 0, 1, 2, …
    Names(Vec<String>),
}

/// One axis: a range and how values lie in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Whether labels may stand between whole numbers.
    whole: bool,
}

/// A tick: where it is on the axis, from 0 to 1, and its label, if it is to have one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: Option<String>,
}

impl Axis {
    /// A linear axis around the finite ones of `values`, wider at either end by `margin` of the range.
    pub fn linear(values: impl Iterator<Item = f64> + Clone, margin: f64) -> Self {
        let whole = values.clone().filter(|v| is_finite(*v)).all(|v| v.fract() == 0.0);
        let (low, high) = span(values).unwrap_or((0.0, 1.0));
        let (low, high) = match high - low {
            0.0 => {
                let room = if low == 0.0 { 1.0 } else { 0.5 * low.abs() };
                (low - room, high + room)
            }
            width => (low - margin * width, high + margin * width),
        };
        Axis { scale: Scale::Linear, low, high, whole }
    }

    /// A linear axis over exactly this range.
    pub fn range(range: RangeInclusive<f64>) -> Self {
        Axis { scale: Scale::Linear, low: *range.start(), high: *range.end(), whole: false }
    }

    /// A logarithmic axis around the positive ones of `values`, wider at either end by `margin` of the range.
    pub fn log_around(values: impl Iterator<Item = f64>, margin: f64) -> Self {
        let exponents = values.filter(|v| *v > 0.0 && is_finite(*v)).map(f64::log10);
        let (low, high) = span(exponents).unwrap_or((-1.0, 1.0));
        let room = if high > low { margin * (high - low) } else { 0.5 };
        Axis { scale: Scale::Log, low: low - room, high: high + room, whole: false }
    }

    /// A logarithmic axis over the whole decades around the positive ones of `values`.
    pub fn log(values: impl Iterator<Item = f64>) -> Self {
        let exponents = values.filter(|v| *v > 0.0 && is_finite(*v)).map(f64::log10);
        let (low, high) = span(exponents).unwrap_or((-1.0, 1.0));
        // A rounding error in log10 should not cost a decade.
        let (low, high) = ((low + 1e-9).floor(), (high - 1e-9).ceil());
        Axis { scale: Scale::Log, low, high: high.max(low + 1.0), whole: false }
    }

    /// An axis with named places, the first at the top or left.
    pub fn names(names: Vec<String>) -> Self {
        let high = names.len().max(1) as f64 - 0.5;
        Axis { scale: Scale::Names(names), low: -0.5, high, whole: true }
    }

    /// Where a value lies, from 0 to 1 for values within the range; values at or below zero are put on the lower end of
    /// a logarithmic axis. None for what is not finite.
    pub fn place(&self, value: f64) -> Option<f64> {
        if !is_finite(value) {
            return None;
        }
        let value = match self.scale {
            Scale::Log if value <= 0.0 => self.low,
            Scale::Log => value.log10(),
            _ => value,
        };
        Some((value - self.low) / (self.high - self.low))
    }

    /// Whether the axis has names instead of numbers.
    pub fn has_names(&self) -> bool {
        matches!(self.scale, Scale::Names(_))
    }

    /// Whether the axis has names that don't fit side by side on `width` device pixels. Numbers are thinned instead.
    pub fn needs_turning(&self, width: f64) -> bool {
        let Scale::Names(names) = &self.scale else {
            return false;
        };
        let widest = names.iter().map(|name| Text::new(name, TICK_SIZE).width()).fold(0.0, f64::max);
        let numbers = names.iter().all(|name| name.parse::<f64>().is_ok());
        !numbers && (widest + pt(TICK_SIZE)) * names.len() as f64 > width
    }

    /// Whether the axis is logarithmic.
    pub fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Whether `place` moves the value to the axis's end.
    pub fn clips(&self, value: f64) -> bool {
        self.is_log() && is_finite(value) && value <= 0.0
    }

    /// Ticks with at most `most` labels, which are evenly spaced.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        let most = most.max(2);
        match &self.scale {
            Scale::Linear => self.linear_ticks(most),
            Scale::Log => self.log_ticks(most),
            Scale::Names(names) => {
                let step = label_step(names.len(), most);
                let tick = |at: usize| self.tick(at as f64, Some(names[at].clone()));
                (0..names.len()).step_by(step).map(tick).collect()
            }
        }
    }

    fn tick(&self, value: f64, label: Option<String>) -> Tick {
        Tick { at: (value - self.low) / (self.high - self.low), label }
    }

    fn linear_ticks(&self, most: usize) -> Vec<Tick> {
        let step = nice_step((self.high - self.low) / most as f64, self.whole);
        let first = (self.low / step - 1e-9).ceil();
        let last = (self.high / step + 1e-9).floor();
        let count = (last - first) as usize + 1;
        let multiples = (0..count.min(most + 2)).map(|i| first + i as f64);
        multiples.map(|multiple| self.tick(multiple * step, Some(number(multiple * step, step)))).collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<Tick> {
        let exponents = (self.low - 1e-9).ceil() as i32..=(self.high + 1e-9).floor() as i32;
        // Within two decades, there is room for more than their ends.
        let few = self.high - self.low <= 2.0 + 1e-9 && most as f64 >= 3.0 * (self.high - self.low);
        let step = label_step(exponents.clone().count(), most) as i32;
        // Decimals where all of them are short, powers otherwise.
        let short = few && *exponents.start() > -4 && *exponents.end() < 5;
        let label = |factor, exponent| match short {
            true => decimal(factor, exponent),
            false if factor == 1 => power_of_ten(exponent),
            false => format!("{factor}·{}", power_of_ten(exponent)),
        };
        let minor = self.high - self.low <= 10.0;
        let mut ticks = Vec::new();
        for exponent in exponents.start() - 1..=*exponents.end() {
            for factor in (1..10).filter(|factor| *factor == 1 || minor) {
                let labelled = match factor {
                    1 => few || exponent % step == 0,
                    2 | 5 => few,
                    _ => false,
                };
                let at = f64::from(exponent) + f64::from(factor).log10();
                ticks.push(self.tick(at, labelled.then(|| label(factor, exponent))));
            }
        }
        ticks.retain(|tick| (-1e-9..=1.0 + 1e-9).contains(&tick.at));
        match ticks.iter().filter(|tick| tick.label.is_some()).count() {
            0 | 1 => self.ticks_within_a_decade(most),
            _ => ticks,
        }
    }

    /// Where not even 1, 2 and 5 times a power of ten lie twice on a logarithmic axis: round numbers at equal steps.
    fn ticks_within_a_decade(&self, most: usize) -> Vec<Tick> {
        let (low, high) = (10_f64.powf(self.low), 10_f64.powf(self.high));
        let mut ticks = Axis::range(low..=high).linear_ticks(most);
        for tick in &mut ticks {
            let value = low + tick.at * (high - low);
            tick.at = (value.log10() - self.low) / (self.high - self.low);
        }
        ticks
    }
}

/// The least of 1, 2, 3, 5, 10, 20, 30, 50, … that leaves at most `most` labels of `count`.
fn label_step(count: usize, most: usize) -> usize {
    let steps = (0..).flat_map(|power| [1, 2, 3, 5].map(|step| step * 10_usize.pow(power)));
    steps.into_iter().find(|step| count.div_ceil(*step) <= most).unwrap_or(1)
}

/// The least and greatest finite value.
fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| is_finite(*v)).fold(None, |span, v| match span {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// The least of 1, 2, 5 times a power of ten that is not below `least`.
fn nice_step(least: f64, whole: bool) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= least * (1.0 - 1e-9));
    let step = step.unwrap_or(10.0 * power);
    if whole { step.max(1.0) } else { step }
}

/// A tick's value with as many decimals as the step between ticks needs.
fn number(value: f64, step: f64) -> String {
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0);
    let text = if value.abs() >= 1e6 || decimals > 6.0 {
        format!("{value:.2e}")
    } else {
        format!("{value:.*}", decimals as usize)
    };
    text.replace('-', "−")
}

/// `factor` · 10^`exponent` in decimals.
fn decimal(factor: i32, exponent: i32) -> String {
    format!("{:.*}", (-exponent).max(0) as usize, f64::from(factor) * 10_f64.powi(exponent))
}

/// 10⁻³⁰.
fn power_of_ten(exponent: i32) -> String {
    let raised = exponent.to_string();
    let raised = raised.chars().map(|c| match c {
        '-' => '⁻',
        digit => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize - '0' as usize],
    });
    "10".chars().chain(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    #[test]
    fn every_decade_has_a_label_where_there_is_room() {
        let axis = Axis::log([3e-5, 20.0].into_iter());
        let ticks = axis.ticks(12);
        assert_eq!(labels(&ticks), ["10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹", "10²"]);
        assert_eq!(ticks[0].at, 0.0);
        assert_eq!(ticks.last().unwrap().at, 1.0);
    }

    #[test]
    fn many_decades_are_thinned_evenly_and_each_keeps_its_tick() {
        let axis = Axis::log([1e-30, 1e2].into_iter());
        let ticks = axis.ticks(17);
        assert_eq!(ticks.len(), 33);
        let expected: Vec<_> = (-15..=1).map(|i| power_of_ten(2 * i)).collect();
        assert_eq!(labels(&ticks), expected);
    }

    #[test]
    fn one_decade_is_labelled_within() {
        let axis = Axis::log([0.2, 0.7].into_iter());
        assert_eq!(labels(&axis.ticks(10)), ["0.1", "0.2", "0.5", "1"]);
    }

    #[test]
    fn a_log_axis_around_values_labels_what_lies_within() {
        let axis = |values: [f64; 2]| Axis::log_around(values.into_iter(), 0.05);
        assert_eq!(
            labels(&axis([24e3, 1.09e6]).ticks(12)),
            ["2·10⁴", "5·10⁴", "10⁵", "2·10⁵", "5·10⁵", "10⁶"]
        );
        assert_eq!(labels(&axis([3.0, 2e6]).ticks(12)), ["10¹", "10²", "10³", "10⁴", "10⁵", "10⁶"]);
        assert_eq!(labels(&axis([0.91, 0.918]).ticks(5)), ["0.910", "0.912", "0.914", "0.916", "0.918"]);
        let ticks = axis([0.91, 0.918]).ticks(5);
        assert!((ticks[0].at - 0.05 / 1.1).abs() < 1e-9, "{ticks:?}");
    }

    #[test]
    fn many_names_are_thinned_evenly() {
        let axis = Axis::names((0..100).map(|i| i.to_string()).collect());
        assert_eq!(labels(&axis.ticks(12)), ["0", "10", "20", "30", "40", "50", "60", "70", "80", "90"]);
        assert!(!axis.needs_turning(100.0));
        let axis = Axis::names(vec!["automobile".into(); 10]);
        assert!(axis.needs_turning(3000.0) && !axis.needs_turning(5000.0));
    }

    #[test]
    fn what_a_log_axis_cannot_show_is_told() {
        let axis = Axis::log([1e-3, 1.0, 0.0, f64::NAN, -1.0].into_iter());
        assert_eq!(axis.place(0.0), Some(0.0));
        assert!(axis.clips(0.0) && axis.clips(-1.0) && !axis.clips(1e-3) && !axis.clips(f64::NAN));
        assert_eq!(axis.place(f64::NAN), None);
        assert_eq!(axis.place(f64::INFINITY), None);
        assert!((axis.place(1e-3).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn linear_ticks_are_round_numbers() {
        let axis = Axis::range(0.0..=200.0);
        assert_eq!(labels(&axis.ticks(5)), ["0", "50", "100", "150", "200"]);
        let axis = Axis::linear([2.0, 3.0, 4.0, 5.0, 6.0].into_iter(), 0.05);
        assert_eq!(labels(&axis.ticks(12)), ["2", "3", "4", "5", "6"]);
        let axis = Axis::linear([-0.31, 0.29].into_iter(), 0.0);
        assert_eq!(labels(&axis.ticks(8)), ["−0.3", "−0.2", "−0.1", "0.0", "0.1", "0.2"]);
    }

    #[test]
    fn no_data_and_constant_data_have_a_range() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![5.0, 5.0], vec![-3.0], vec![1e300, -1e300]] {
            for axis in [Axis::linear(values.iter().copied(), 0.05), Axis::log(values.iter().copied())] {
                let ticks = axis.ticks(8);
                assert!(labels(&ticks).len() >= 2, "{values:?}: {axis:?} {ticks:?}");
                assert!(
                    ticks.iter().all(|tick| (-1e-6..=1.0 + 1e-6).contains(&tick.at)),
                    "{values:?}: {ticks:?}"
                );
            }
        }
    }
}
