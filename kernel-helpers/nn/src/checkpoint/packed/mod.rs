//! Packed weights: tensors with zeros or of few bits in little space, inside an ordinary safetensors file.
//!
//! The header tells under [`KEY`] which tensors are packed. Of such a tensor `NAME` the file holds, as tensors of their
//! own:
//!
//! | name | type | content |
//! |---|---|---|
//! | `NAME#mask` | u8 | if there are zeros: a bit for each element, lowest first, 1 where it is not zero |
//! | `NAME#values` | f32 | of a float tensor: the elements that are not zero |
//! | `NAME#codes` | u8 | of a tensor of b bits: b bits for the level of each element that is not zero, lowest first |
//! | `NAME#range` | f32 | of evenly spaced levels: the lowest and the highest, of the tensor or of each output channel |
//! | `NAME#levels` | f32 | of other levels: their list, of the tensor or of each output channel |
//!
//! A file with lists by the channel is of version 3, one with a list or with a range by the channel of version 2, and all
//! others are of version 1.

pub(super) mod codes;
mod content;
mod levels;

use super::StateDict;
use super::element::element_count;
use super::malformed::{DAMAGED, Malformed, Result};
use super::safetensors::SafetensorsFile;
use super::safetensors_header::short_shape;
use crate::quant::{Levels, Quantization};
use candle_core::{DType, Device, Tensor};
use content::{Content, LevelTable, Places, group_length, list_width};
use levels::WIDTHS;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header's key.
pub(super) const KEY: &str = "kernel_helpers_packed";
/// The version of files that need no newer form, and the newest.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=3;
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
    /// None for float values and for a list.
    levels: Option<Levels>,
    /// The length of the list of levels, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list: Option<usize>,
    /// Whether each output channel has a list of this length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    list_per_channel: bool,
}

impl Form {
    fn version(&self) -> u32 {
        match (self.list, self.levels) {
            (Some(_), _) if self.list_per_channel => 3,
            (Some(_), _) => 2,
            (None, Some(levels)) if levels.per_channel => 2,
            _ => 1,
        }
    }
}

/// Packs what becomes smaller by it. Returns the tensors of the file and the text for its header, `None` if nothing is
/// packed. A tensor is stored as levels only if its quantizer finds the same weights in it again, bit for bit.
pub(super) fn pack<Q: Into<Quantization>>(
    state_dict: &StateDict,
    quantizer: impl Fn(&str) -> Q,
) -> base::Result<(StateDict, Option<String>)> {
    let (mut file, mut tensors) = (StateDict::new(), BTreeMap::new());
    for (name, tensor) in state_dict {
        let packed = match tensor.dtype() {
            DType::F32 => {
                let values = tensor.flatten_all()?.to_vec1::<f32>()?;
                let quantization = quantizer(name).into();
                Parts::of(&values, tensor.dims(), &quantization)?
                    .filter(|p| p.bytes() + HEADER < 4 * values.len())
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
    let version = tensors.values().map(Form::version).max().unwrap_or(*VERSIONS.start());
    let packing = Packing { version, tensors };
    let text = serde_json::to_string(&packing).expect("a packing is plain data");
    Ok((file, (!packing.tensors.is_empty()).then_some(text)))
}

/// The tensors of a file with whole ones in the place of their parts.
pub(super) fn unpack(mut file: SafetensorsFile<'_, '_>, text: &str) -> Result<StateDict> {
    let packing: Packing = serde_json::from_str(text).map_err(|e| damaged("packed weights", e))?;
    if !VERSIONS.contains(&packing.version) {
        let help = "Update this project to read the file.";
        let expected = format!("packed weights of version {} or older", VERSIONS.end());
        return Err(Malformed::new(expected, packing.version, help));
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
    places: Places,
    content: Content,
}

impl Parts {
    /// None if the values are not finite.
    fn of(values: &[f32], shape: &[usize], quantization: &Quantization) -> base::Result<Option<Self>> {
        if !values.iter().all(|value| value.is_finite()) {
            return Ok(None);
        }
        let content = Content::of(values, shape, quantization)?;
        Ok(Some(Parts { places: Places::of(values), content }))
    }

    fn bytes(&self) -> usize {
        self.content.bytes() + self.places.0.as_ref().map_or(0, Vec::len)
    }

    fn insert_into(self, file: &mut StateDict, name: &str) -> base::Result<Form> {
        let zeros = self.places.0.is_some();
        let mut form = Form { shape: Vec::new(), zeros, levels: None, list: None, list_per_channel: false };
        let mut insert = |part: &str, tensor: Tensor| file.insert(format!("{name}#{part}"), tensor);
        if let Some(mask) = self.places.0 {
            insert("mask", Tensor::new(mask, &Device::Cpu)?);
        }
        match self.content {
            Content::Values(values) => {
                insert("values", Tensor::new(values, &Device::Cpu)?);
            }
            Content::Codes { codes, table, .. } => {
                insert("codes", Tensor::new(codes, &Device::Cpu)?);
                match table {
                    LevelTable::Even { levels, ranges, .. } => {
                        insert("range", Tensor::new(ranges.concat(), &Device::Cpu)?);
                        form.levels = Some(levels);
                    }
                    LevelTable::Lists { values, length, group } => {
                        form.list = Some(length);
                        form.list_per_channel = group.is_some();
                        insert("levels", Tensor::new(values, &Device::Cpu)?);
                    }
                }
            }
        }
        Ok(form)
    }

    /// Reads the parts of a tensor, once they and the whole tensor are known to fit into the budget. They are as long
    /// as its shape asks for.
    fn take_from(file: &mut SafetensorsFile<'_, '_>, name: &str, form: &Form) -> Result<Self> {
        let fitting = |fits: bool| match fits {
            true => Ok(()),
            false => Err(damaged(format!("parts of `{name}` that fit {:?}", form.shape), "others")),
        };
        let [mask, values, codes, range, list] =
            ["mask", "values", "codes", "range", "levels"].map(|part| format!("{name}#{part}"));
        let count = element_count(&form.shape);
        fitting(count.is_some())?;
        let count = count.unwrap_or_default();
        file.budget.spend_tensor(count, size_of::<f32>(), form.shape.len())?;
        file.lend(&[&mask, &values, &codes, &range, &list])?;

        let byte = |[byte]: [u8; 1]| byte;
        let places = Places(if form.zeros { Some(file.take(&mask, Dtype::U8, byte)?) } else { None });
        fitting(places.0.as_ref().is_none_or(|mask| mask.len() == count.div_ceil(8)))?;
        let content = match (form.levels, form.list) {
            (None, None) => Content::Values(file.take(&values, Dtype::F32, f32::from_le_bytes)?),
            (Some(levels), None) => {
                let table =
                    even_table(file.take(&range, Dtype::F32, f32::from_le_bytes)?, levels, form, count)?;
                Content::Codes { codes: file.take(&codes, Dtype::U8, byte)?, n_bits: levels.n_bits, table }
            }
            (None, Some(length)) => {
                let values = file.take(&list, Dtype::F32, f32::from_le_bytes)?;
                let group = form.list_per_channel.then(|| group_length(&form.shape).unwrap_or(1));
                let lists = if form.list_per_channel { form.shape.first().copied().unwrap_or(1) } else { 1 };
                if Some(values.len()) != length.checked_mul(lists) || length > 1 << WIDTHS.end() {
                    return Err(damaged(format!("{lists} lists of {length} levels"), values.len()));
                }
                let (n_bits, table) = (list_width(length), LevelTable::Lists { values, length, group });
                Content::Codes { codes: file.take(&codes, Dtype::U8, byte)?, n_bits, table }
            }
            (Some(_), Some(_)) => return Err(damaged("levels of one kind", format!("two of `{name}`"))),
        };
        fitting(content.fits(places.kept(count)))?;
        Ok(Parts { places, content })
    }

    /// The whole tensor, of parts that fit its shape.
    fn unpack(self, shape: &[usize]) -> Result<Tensor> {
        let values = self.content.whole(&self.places, shape.iter().product());
        Tensor::from_vec(values, shape, &Device::Cpu).map_err(|e| damaged(format!("the shape {shape:?}"), e))
    }
}

/// Evenly spaced levels with the ranges that a file holds of them.
fn even_table(ends: Vec<f32>, levels: Levels, form: &Form, count: usize) -> Result<LevelTable> {
    let groups = if levels.per_channel { form.shape.first().copied().unwrap_or(1) } else { 1 };
    let (ranges, []) = ends.as_chunks::<2>() else {
        return Err(damaged("two ends of a range", ends.len()));
    };
    if ranges.len() != groups {
        return Err(damaged(format!("{groups} ranges"), format!("{} ends", ends.len())));
    }
    let finite = ranges.iter().all(|[low, high]| (high - low).is_finite());
    if !WIDTHS.contains(&levels.n_bits) || !finite {
        return Err(damaged("1 to 16 bits and a finite range", format!("{levels:?}")));
    }
    let group = if levels.per_channel { group_length(&form.shape) } else { Some(count) };
    Ok(LevelTable::Even { levels, ranges: ranges.to_vec(), group: group.unwrap_or(1).max(1) })
}
