//! What is stored of the elements that are not zero: their values, or the numbers of their levels.

use super::codes::{pack_codes, unpack_codes};
use super::levels::WIDTHS;
use crate::quant::{Levels, Quantization};
use base::Result;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// The elements that are not zero.
#[derive(Debug)]
pub(super) enum Content {
    /// Their values.
    Values(Vec<f32>),
    /// The numbers of their levels, each of `n_bits`.
    Codes { codes: Vec<u8>, n_bits: u32, table: LevelTable },
}

/// Which value a code stands for.
#[derive(Debug)]
pub(super) enum LevelTable {
    /// Evenly spaced levels between the two ends of each group: the whole tensor, or an output channel.
    Even { levels: Levels, ranges: Vec<[f32; 2]>, group: usize },
    /// Lists of levels of the same length, one after the other: of each group of so many elements, or one for all.
    Lists { values: Vec<f32>, length: usize, group: Option<usize> },
}

impl LevelTable {
    /// The value that a code stands for at this place of the tensor.
    fn value(&self, code: u16, place: usize) -> f32 {
        match self {
            LevelTable::Even { levels, ranges, group } => levels.value(code, ranges[place / group]),
            LevelTable::Lists { values, length, group } => {
                values[group.map_or(0, |group| place / group) * length + usize::from(code)]
            }
        }
    }

    /// The highest code.
    fn highest(&self) -> usize {
        match self {
            LevelTable::Even { levels, .. } => levels.steps() as usize,
            LevelTable::Lists { length, .. } => length.saturating_sub(1),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            LevelTable::Even { ranges, .. } => 8 * ranges.len(),
            LevelTable::Lists { values, .. } => 4 * values.len(),
        }
    }
}

impl Content {
    /// What takes the least space and gives the same weights to `quantization`, bit for bit.
    pub(super) fn of(values: &[f32], shape: &[usize], quantization: &Quantization) -> Result<Self> {
        if let Some(quantizer) = quantization.quantizer() {
            let tensor = |values: &[f32]| Tensor::from_slice(values, shape, &Device::Cpu);
            let quantize = |values: &[f32]| -> Result<Vec<f32>> {
                Ok(quantization.apply(&tensor(values)?)?.flatten_all()?.to_vec1()?)
            };
            let quantized = quantize(values)?;
            let coded = match quantizer.levels() {
                Some(levels) => Self::even(values, shape, levels),
                None => Self::lists(values, &quantized, shape),
            };
            if let Some(coded) = coded
                && quantize(&coded.whole(&Places::of(values), values.len()))? == quantized
            {
                return Ok(coded);
            }
        }
        Ok(Content::Values(values.iter().copied().filter(|&value| value != 0.0).collect()))
    }

    /// Evenly spaced levels.
    fn even(values: &[f32], shape: &[usize], levels: Levels) -> Option<Self> {
        let group = if levels.per_channel { group_length(shape)? } else { values.len().max(1) };
        if !WIDTHS.contains(&levels.n_bits) {
            return None;
        }
        let kept = |group: &[f32]| group.iter().copied().filter(|&value| value != 0.0).collect::<Vec<_>>();
        let ranges: Vec<_> = values.chunks(group).map(|group| levels.range(&kept(group))).collect();
        let places = values.iter().enumerate().filter(|(_, value)| **value != 0.0);
        let codes = places.map(|(place, &value)| levels.code(value, ranges[place / group]));
        let codes = pack_codes(codes, levels.n_bits);
        Some(Content::Codes {
            codes,
            n_bits: levels.n_bits,
            table: LevelTable::Even { levels, ranges, group },
        })
    }

    /// The levels that occur, in one list or in one for each output channel, whichever takes less space.
    fn lists(values: &[f32], quantized: &[f32], shape: &[usize]) -> Option<Self> {
        let forms = [None, group_length(shape)].map(|group| Self::lists_of(values, quantized, group));
        forms.into_iter().flatten().min_by_key(Self::bytes)
    }

    /// The levels that occur, in a list for each group.
    fn lists_of(values: &[f32], quantized: &[f32], group: Option<usize>) -> Option<Self> {
        let size = group.unwrap_or(values.len()).max(1);
        let groups = || values.chunks(size).zip(quantized.chunks(size));
        let levels: Vec<_> = groups().map(|(values, quantized)| occurring(values, quantized)).collect();
        let length = levels.iter().map(BTreeMap::len).max().unwrap_or(0);
        if length > 1 << WIDTHS.end() {
            return None;
        }
        let mut codes = Vec::new();
        for ((values, quantized), levels) in groups().zip(&levels) {
            let numbers: BTreeMap<u32, u16> =
                levels.keys().zip(0u16..=u16::MAX).map(|(key, n)| (*key, n)).collect();
            let kept = values.iter().zip(quantized).filter(|(value, _)| **value != 0.0);
            codes.extend(kept.map(|(_, level)| numbers[&key(*level)]));
        }
        let n_bits = list_width(length);
        let of_group =
            |levels: BTreeMap<u32, f32>| levels.into_values().chain(std::iter::repeat(0.0)).take(length);
        let table =
            LevelTable::Lists { values: levels.into_iter().flat_map(of_group).collect(), length, group };
        Some(Content::Codes { codes: pack_codes(codes.into_iter(), n_bits), n_bits, table })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Content::Values(values) => 4 * values.len(),
            Content::Codes { codes, table, .. } => codes.len() + table.bytes(),
        }
    }

    /// Whether this is what `kept` elements have.
    pub(super) fn fits(&self, kept: usize) -> bool {
        match self {
            Content::Values(values) => values.len() == kept,
            Content::Codes { codes, n_bits, table } => {
                Some(codes.len()) == kept.checked_mul(*n_bits as usize).map(|bits| bits.div_ceil(8))
                    && unpack_codes(codes, *n_bits)
                        .take(kept)
                        .all(|code| usize::from(code) <= table.highest())
            }
        }
    }

    /// All elements: zeros where there is no place, and these values, which fit, elsewhere.
    pub(super) fn whole(&self, places: &Places, count: usize) -> Vec<f32> {
        match self {
            Content::Values(values) => {
                let mut values = values.iter();
                places.fill(count, |_| values.next().copied().unwrap_or_default())
            }
            Content::Codes { codes, n_bits, table } => {
                let mut codes = unpack_codes(codes, *n_bits);
                places.fill(count, |place| codes.next().map_or(0.0, |code| table.value(code, place)))
            }
        }
    }
}

/// The levels of the elements that are not zero, by their bits; in the place of the level zero the smallest weight that is
/// quantized to it: a weight that is not zero must not become one.
fn occurring(values: &[f32], quantized: &[f32]) -> BTreeMap<u32, f32> {
    let mut levels: BTreeMap<u32, f32> = BTreeMap::new();
    for (&value, &level) in values.iter().zip(quantized).filter(|(value, _)| **value != 0.0) {
        let smallest = levels.entry(key(level)).or_insert(if level == 0.0 { value } else { level });
        if level == 0.0 && value.abs() < smallest.abs() {
            *smallest = value;
        }
    }
    levels
}

/// The bits of a level; those of zero, whatever its sign.
fn key(level: f32) -> u32 {
    (level + 0.0).to_bits()
}

/// The bits of a code of a list of so many levels.
pub(super) fn list_width(levels: usize) -> u32 {
    levels.saturating_sub(1).checked_ilog2().map_or(1, |log| log + 1)
}

/// How many elements an output channel has; `None` if there are none.
pub(super) fn group_length(shape: &[usize]) -> Option<usize> {
    let length = shape.get(1..)?.iter().product();
    (length > 0 && shape[0] > 0).then_some(length)
}

/// Where the elements are that are not zero: a mask of a bit each, or everywhere.
#[derive(Debug)]
pub(super) struct Places(pub Option<Vec<u8>>);

impl Places {
    pub(super) fn of(values: &[f32]) -> Self {
        let zeros = values.contains(&0.0);
        Self(zeros.then(|| pack_codes(values.iter().map(|&value| u16::from(value != 0.0)), 1)))
    }

    /// How many of `count` elements are not zero.
    pub(super) fn kept(&self, count: usize) -> usize {
        let Some(mask) = &self.0 else { return count };
        unpack_codes(mask, 1).take(count).filter(|bit| *bit == 1).count()
    }

    fn fill(&self, count: usize, mut value: impl FnMut(usize) -> f32) -> Vec<f32> {
        let mut whole = Vec::with_capacity(count);
        match &self.0 {
            None => whole.extend((0..count).map(value)),
            Some(mask) => {
                let bits = unpack_codes(mask, 1).take(count).enumerate();
                whole.extend(bits.map(|(place, bit)| if bit == 1 { value(place) } else { 0.0 }));
            }
        }
        whole
    }
}
