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
use super::element::element_count;
use super::malformed::{DAMAGED, Malformed, Result};
use super::safetensors::SafetensorsFile;
use super::safetensors_header::short_shape;
use crate::fp_layers::{Ste, mean_magnitude};
use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
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
    #[serde(deserialize_with = "short_shape")]
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

/// The tensors of a file with whole ones in the place of their parts.
pub(super) fn unpack(mut file: SafetensorsFile<'_, '_>, text: &str) -> Result<StateDict> {
    let packing: Packing = serde_json::from_str(text).map_err(|e| damaged("packed weights", e))?;
    if packing.version != VERSION {
        let help = "Update this project to read the file.";
        return Err(Malformed::new(format!("packed weights of version {VERSION}"), packing.version, help));
    }
    let unpack = |(name, form): (String, Form)| {
        let tensor = Parts::take_from(&mut file, &name, &form)?.unpack(&form.shape)?;
        Ok((name, tensor))
    };
    let mut tensors = packing.tensors.into_iter().map(unpack).collect::<Result<StateDict>>()?;
    for (name, tensor) in file.rest()? {
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(damaged(format!("`{name}` once"), "it packed and not packed"));
        }
    }
    Ok(tensors)
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

    /// Reads the parts of a tensor, once they and the whole tensor are known to fit into the budget. They are as long as
    /// its shape asks for.
    fn take_from(file: &mut SafetensorsFile<'_, '_>, name: &str, form: &Form) -> Result<Self> {
        let fitting = |fits: bool| match fits {
            true => Ok(()),
            false => Err(damaged(format!("parts of `{name}` that fit {:?}", form.shape), "others")),
        };
        let [mask, values, codes, range] =
            ["mask", "values", "codes", "range"].map(|part| format!("{name}#{part}"));
        let count = element_count(&form.shape);
        fitting(count.is_some())?;
        let count = count.unwrap_or_default();
        file.budget.spend_tensor(count, size_of::<f32>(), form.shape.len())?;
        file.lend(&[&mask, &values, &codes, &range])?;

        let byte = |[byte]: [u8; 1]| byte;
        let mask = if form.zeros { Some(file.take(&mask, Dtype::U8, byte)?) } else { None };
        fitting(mask.as_ref().is_none_or(|mask| mask.len() == count.div_ceil(8)))?;
        let kept = mask
            .as_ref()
            .map_or(count, |mask| unpack_codes(mask, 1).take(count).filter(|bit| *bit == 1).count());
        let content = match form.levels {
            None => Content::Values(file.take(&values, Dtype::F32, f32::from_le_bytes)?),
            Some(levels) => {
                let range = file.take(&range, Dtype::F32, f32::from_le_bytes)?;
                let [low, high] = range[..] else { return Err(damaged("two ends of a range", range.len())) };
                if !(1..=16).contains(&levels.n_bits) || !(high - low).is_finite() {
                    return Err(damaged("1 to 16 bits and a finite range", format!("{levels:?}, {range:?}")));
                }
                Content::Codes { levels, codes: file.take(&codes, Dtype::U8, byte)?, range: [low, high] }
            }
        };
        fitting(match &content {
            Content::Values(values) => values.len() == kept,
            Content::Codes { levels, codes, .. } => {
                Some(codes.len()) == kept.checked_mul(levels.n_bits as usize).map(|bits| bits.div_ceil(8))
                    && unpack_codes(codes, levels.n_bits)
                        .take(kept)
                        .all(|code| u32::from(code) <= levels.steps())
            }
        })?;
        Ok(Parts { mask, content })
    }

    /// The whole tensor, of parts that fit its shape.
    fn unpack(self, shape: &[usize]) -> Result<Tensor> {
        let values = match self.content {
            Content::Values(values) => whole(self.mask, values.into_iter(), shape),
            Content::Codes { levels, codes, range } => {
                let values = unpack_codes(&codes, levels.n_bits).map(|code| levels.value(code, range));
                whole(self.mask, values, shape)
            }
        };
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(|e| damaged(format!("the shape {shape:?}"), e))
    }
}

/// Zeros where the mask has them, and the values elsewhere.
fn whole(mask: Option<Vec<u8>>, mut values: impl Iterator<Item = f32>, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let mut whole = Vec::with_capacity(count);
    match mask {
        None => whole.extend(values.take(count)),
        Some(mask) => whole.extend(unpack_codes(&mask, 1).take(count).map(|bit| match bit {
            1 => values.next().unwrap_or_default(),
            _ => 0.0,
        })),
    }
    whole
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
