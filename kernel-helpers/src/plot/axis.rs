//! The range of an axis and its ticks.

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
                let tick = |(at, name): (usize, &String)| self.tick(at as f64, Some(name.clone()));
                names.iter().enumerate().map(tick).collect()
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
        let (first, last) = (self.low as i32, self.high as i32);
        let decades = (last - first) as usize;
        let within = |within: &[f64], exponent: i32| {
            let values = within.iter().map(|factor| f64::from(exponent) + factor.log10());
            values.collect::<Vec<_>>()
        };
        let mut ticks = Vec::new();
        let few = decades <= 2 && most >= 3 * decades;
        // 1, 2, 3, 5, 10, 20, 30, 50, … decades from label to label.
        let steps = (0..).flat_map(|power| [1, 2, 3, 5].map(|step| step * 10_i32.pow(power)));
        let step = steps.into_iter().find(|step| decades as i32 / step < most as i32).unwrap_or(1);
        for exponent in first..=last {
            let label = (exponent % step == 0)
                .then(|| if few { decimal(1, exponent) } else { power_of_ten(exponent) });
            ticks.push(self.tick(f64::from(exponent), label));
            if exponent == last || decades > 10 {
                continue;
            }
            for (factor, at) in (2..10).zip(within(&[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], exponent)) {
                let label = (few && (factor == 2 || factor == 5)).then(|| decimal(factor, exponent));
                ticks.push(self.tick(at, label));
            }
        }
        ticks
    }
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

/// `factor` · 10^`exponent` in decimals where that is short, as a power otherwise.
fn decimal(factor: i32, exponent: i32) -> String {
    match exponent {
        -4..0 => format!("{:.*}", -exponent as usize, f64::from(factor) * 10_f64.powi(exponent)),
        0..5 => format!("{}", factor * 10_i32.pow(exponent as u32)),
        _ if factor == 1 => power_of_ten(exponent),
        _ => format!("{factor}·{}", power_of_ten(exponent)),
    }
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
