//! Packed weights: tensors with zeros or of few bits in little space, inside an ordinary safetensors file.
//!
//! The header tells under [`KEY`] which tensors are packed. Of such a tensor `NAME` the file holds, as tensors of their own:
//!
//! | name | type | content |
//! |---|---|---|
//! | `NAME#mask` | u8 | if there are zeros: a bit for each element, lowest first, 1 where it is not zero |
//! | `NAME#values` | f32 | of a float tensor: the elements that are not zero |
//! | `NAME#codes` | u8 | of a tensor of b bits: the level of each element that is not zero, b bits each, lowest first |
//! | `NAME#range` | f32 | of a tensor of b bits: the lowest and the highest level |

use super::StateDict;
use super::element::Element;
use super::malformed::{DAMAGED, Malformed, Result};
use crate::fp_layers::{Ste, mean_magnitude};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header's key.
pub(super) const KEY: &str = "kernel_helpers_packed";
const VERSION: u32 = 1;
/// What the parts of a tensor add to the header, in bytes, about: packing has to save more.
const HEADER: usize = 256;

/// What the header tells.
#[derive(Debug, Serialize, Deserialize)]
struct Packing {
    version: u32,
    tensors: BTreeMap<String, Form>,
}

/// How one tensor is packed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Form {
    shape: Vec<usize>,
    /// Whether there is a mask.
    zeros: bool,
    /// None for float values.
    levels: Option<Levels>,
}

/// The levels of quantized weights, evenly spaced from the lowest to the highest. Both ends load exactly as the weights
/// have them, so that quantizing the loaded weights finds the same levels.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Levels {
    n_bits: u32,
    symmetric: bool,
}

impl Levels {
    fn of(ste: Ste) -> Option<Self> {
        let n_bits = ste.n_bits.filter(|n_bits| (1..=16).contains(n_bits))?;
        Some(Self { n_bits, symmetric: ste.symmetric })
    }

    /// One symmetric bit: the levels are the ends alone, and the sign tells which.
    fn binary(self) -> bool {
        self.symmetric && self.n_bits == 1
    }

    /// One less than the number of levels.
    fn steps(self) -> u32 {
        (1 << self.n_bits) - if self.symmetric && !self.binary() { 2 } else { 1 }
    }

    fn range(self, values: &[f32]) -> [f32; 2] {
        let low = values.iter().copied().reduce(f32::min).unwrap_or(0.0);
        let high = values.iter().copied().reduce(f32::max).unwrap_or(0.0);
        let largest = if self.binary() { mean_magnitude(values) } else { high.max(-low) };
        if self.symmetric { [-largest, largest] } else { [low, high] }
    }

    /// The number of a value's level, from 0; the quantizer's own arithmetic.
    fn code(self, value: f32, [low, high]: [f32; 2]) -> u16 {
        let steps = self.steps() as f32;
        let code = match self.symmetric {
            true if self.binary() => f32::from(value > 0.0),
            true => (value / high * (steps / 2.0)).round_ties_even() + steps / 2.0,
            false => ((value - low) / (high - low) * steps).round_ties_even(),
        };
        code.clamp(0.0, steps) as u16 // 0 where all values are the same
    }

    /// The level of this number, or where that is zero, a value beside it that is quantized to it: a weight that is not
    /// zero must not become one, for zeros are what pruning leaves.
    fn value(self, code: u16, [low, high]: [f32; 2]) -> f32 {
        let (code, steps) = (f32::from(code), self.steps() as f32);
        let level = match self.symmetric {
            true => (code - steps / 2.0) / (steps / 2.0) * high,
            false if code == steps => high,
            false => code / steps * (high - low) + low,
        };
        if level == 0.0 { (high - low) / (4.0 * steps) } else { level }
    }
}

/// Packs what becomes smaller by it. Returns the tensors of the file and the text for its header, `None` if nothing is
/// packed. A tensor is stored as the levels of `quantizer` only if that finds the same weights in it again, bit for bit.
pub(super) fn pack(
    state_dict: &StateDict,
    quantizer: impl Fn(&str) -> Ste,
) -> crate::Result<(StateDict, Option<String>)> {
    let (mut file, mut tensors) = (StateDict::new(), BTreeMap::new());
    for (name, tensor) in state_dict {
        let packed = match tensor.dtype() {
            DType::F32 => {
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                Parts::of(&values, quantizer(name))?.filter(|p| p.bytes() + HEADER < 4 * values.len())
            }
            _ => None,
        };
        match packed {
            Some(parts) => {
                let form = parts.insert_into(&mut file, name)?;
                tensors.insert(name.clone(), Form { shape: tensor.dims().to_vec(), ..form });
            }
            None => {
                file.insert(name.clone(), tensor.clone());
            }
        }
    }
    let packing = Packing { version: VERSION, tensors };
    let text = serde_json::to_string(&packing).expect("a packing is plain data");
    Ok((file, (!packing.tensors.is_empty()).then_some(text)))
}

/// Puts whole tensors in the place of their parts.
pub(super) fn unpack(mut file: StateDict, text: &str) -> Result<StateDict> {
    let packing: Packing = serde_json::from_str(text).map_err(|e| damaged("packed weights", e))?;
    if packing.version != VERSION {
        let help = "Update this project to read the file.";
        return Err(Malformed::new(format!("packed weights of version {VERSION}"), packing.version, help));
    }
    for (name, form) in packing.tensors {
        let tensor = Parts::remove_from(&mut file, &name, &form)?.unpack(&name, &form)?;
        if file.insert(name.clone(), tensor).is_some() {
            return Err(damaged(format!("`{name}` once"), "it packed and not packed"));
        }
    }
    Ok(file)
}

fn damaged(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Malformed {
    Malformed::new(expected, found, DAMAGED)
}

/// The parts of a packed tensor.
#[derive(Debug)]
struct Parts {
    mask: Option<Vec<u8>>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Values(Vec<f32>),
    Codes { levels: Levels, codes: Vec<u8>, range: [f32; 2] },
}

impl Parts {
    /// None if the values are not finite.
    fn of(values: &[f32], ste: Ste) -> crate::Result<Option<Self>> {
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(None);
        }
        let kept: Vec<f32> = values.iter().copied().filter(|&value| value != 0.0).collect();
        let bits = values.iter().map(|&value| u16::from(value != 0.0));
        let mask = (kept.len() < values.len()).then(|| pack_codes(bits, 1));
        if let Some(levels) = Levels::of(ste) {
            let range = levels.range(&kept);
            let codes: Vec<u16> = kept.iter().map(|&value| levels.code(value, range)).collect();
            let mut loaded = values.to_vec();
            let kept = loaded.iter_mut().filter(|value| **value != 0.0);
            kept.zip(&codes).for_each(|(value, &code)| *value = levels.value(code, range));
            if ste.quantize(&loaded)? == ste.quantize(values)? {
                let codes = pack_codes(codes.into_iter(), levels.n_bits);
                return Ok(Some(Parts { mask, content: Content::Codes { levels, codes, range } }));
            }
        }
        Ok(Some(Parts { mask, content: Content::Values(kept) }))
    }

    fn bytes(&self) -> usize {
        let content = match &self.content {
            Content::Values(values) => 4 * values.len(),
            Content::Codes { codes, .. } => codes.len() + 8,
        };
        content + self.mask.as_ref().map_or(0, Vec::len)
    }

    fn insert_into(self, file: &mut StateDict, name: &str) -> crate::Result<Form> {
        let zeros = self.mask.is_some();
        let mut insert = |part: &str, tensor: Tensor| file.insert(format!("{name}#{part}"), tensor);
        if let Some(mask) = self.mask {
            insert("mask", Tensor::new(mask, &Device::Cpu)?);
        }
        let levels = match self.content {
            Content::Values(values) => {
                insert("values", Tensor::new(values, &Device::Cpu)?);
                None
            }
            Content::Codes { levels, codes, range } => {
                insert("codes", Tensor::new(codes, &Device::Cpu)?);
                insert("range", Tensor::new(&range, &Device::Cpu)?);
                Some(levels)
            }
        };
        Ok(Form { shape: Vec::new(), zeros, levels })
    }

    fn remove_from(file: &mut StateDict, name: &str, form: &Form) -> Result<Self> {
        let mut remove = |part: &str| {
            let name = format!("{name}#{part}");
            file.remove(&name).ok_or_else(|| damaged(format!("`{name}`"), "none of that name"))
        };
        let unreadable = |e: candle_core::Error| damaged(format!("the packed parts of `{name}`"), e);
        let mask = if form.zeros { Some(remove("mask")?.to_vec1().map_err(unreadable)?) } else { None };
        let content = match form.levels {
            None => Content::Values(remove("values")?.to_vec1().map_err(unreadable)?),
            Some(levels) => {
                let range: Vec<f32> = remove("range")?.to_vec1().map_err(unreadable)?;
                let [low, high] = range[..] else { return Err(damaged("two ends of a range", range.len())) };
                if !(1..=16).contains(&levels.n_bits) || !(high - low).is_finite() {
                    return Err(damaged("1 to 16 bits and a finite range", format!("{levels:?}, {range:?}")));
                }
                let codes = remove("codes")?.to_vec1().map_err(unreadable)?;
                Content::Codes { levels, codes, range: [low, high] }
            }
        };
        Ok(Parts { mask, content })
    }

    /// The whole tensor. Nothing is allocated before the parts are known to be as long as the shape asks for.
    fn unpack(self, name: &str, form: &Form) -> Result<Tensor> {
        let contradiction = || damaged(format!("parts of `{name}` that fit {:?}", form.shape), "others");
        let count = form.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let count = count.ok_or_else(contradiction)?;
        let mask = match &self.mask {
            Some(mask) if mask.len() != count.div_ceil(8) => return Err(contradiction()),
            Some(mask) => Some(unpack_codes(mask, 1).take(count)),
            None => None,
        };
        let ones = |mask: &[u8]| mask.iter().map(|byte| byte.count_ones() as usize).sum();
        let kept = self.mask.as_deref().map_or(count, ones);
        let mut values: Box<dyn Iterator<Item = f32>> = match &self.content {
            Content::Values(values) if values.len() == kept => Box::new(values.iter().copied()),
            Content::Codes { levels, codes, range }
                if kept.checked_mul(levels.n_bits as usize).map(|bits| bits.div_ceil(8))
                    == Some(codes.len()) =>
            {
                if unpack_codes(codes, levels.n_bits).take(kept).any(|code| u32::from(code) > levels.steps())
                {
                    return Err(contradiction());
                }
                Box::new(unpack_codes(codes, levels.n_bits).map(|code| levels.value(code, *range)))
            }
            _ => return Err(contradiction()),
        };
        let mut bytes = Vec::with_capacity(4 * count);
        match mask {
            None => values.take(count).for_each(|value| bytes.extend(value.to_le_bytes())),
            Some(mask) => {
                for bit in mask {
                    let value = if bit == 1 { values.next().ok_or_else(contradiction)? } else { 0.0 };
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
        Element::Same(DType::F32).tensor(&bytes, &form.shape)
    }
}

/// Codes of `n_bits` each, the lowest bits first.
fn pack_codes(codes: impl Iterator<Item = u16>, n_bits: u32) -> Vec<u8> {
    let (mut bytes, mut bits, mut filled) = (Vec::new(), 0u32, 0);
    for code in codes {
        bits |= u32::from(code) << filled;
        filled += n_bits;
        while filled >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        bytes.push(bits as u8);
    }
    bytes
}

/// The codes that [`pack_codes`] packed, and what the last byte's free bits make up for.
fn unpack_codes(bytes: &[u8], n_bits: u32) -> impl Iterator<Item = u16> {
    let (mut bytes, mut bits, mut filled) = (bytes.iter(), 0u32, 0);
    std::iter::from_fn(move || {
        while filled < n_bits {
            bits |= u32::from(*bytes.next()?) << filled;
            filled += 8;
        }
        let code = bits & ((1 << n_bits) - 1);
        bits >>= n_bits;
        filled -= n_bits;
        Some(code as u16)
    })
}
