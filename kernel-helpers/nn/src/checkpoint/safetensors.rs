//! The safetensors form: a JSON header with names, types and shapes, then the elements.

use super::budget::{Budget, longest_description};
use super::element::{Element, Elements, element_count, values};
use super::input::{Input, bytes_at, length};
use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::safetensors_header::Header;
use super::{StateDict, packed};
use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use std::collections::{BTreeMap, HashMap};
use std::io::{Seek, SeekFrom};

/// Longest header that the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;
/// What a header takes in memory, in bytes for each of its own, about.
const MEMORY: usize = 10;

/// Whether a file begins like this form: the header's length, then the header's brace.
pub(super) fn matches(file: &[u8]) -> bool {
    match file.split_first_chunk::<8>() {
        Some((length, rest)) => u64::from_le_bytes(*length) <= LONGEST_HEADER && rest.first() == Some(&b'{'),
        None => false,
    }
}

/// A file whose header has been read.
pub(super) struct SafetensorsFile<'a, 'b> {
    input: &'a mut Input<'b>,
    /// Where the elements begin.
    start: u64,
    /// What has not been read yet.
    tensors: BTreeMap<String, TensorInfo>,
    texts: HashMap<String, String>,
    pub(super) budget: &'a mut Budget,
}

impl<'a, 'b> SafetensorsFile<'a, 'b> {
    /// Reads the header.
    pub(super) fn open(input: &'a mut Input<'b>, budget: &'a mut Budget) -> Result<Self> {
        let file_length = length(input)?;
        let header_length = bytes_at(input, 0, 8)?;
        let header_length = header_length.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let longest = longest_description(file_length);
        if header_length > longest as u64 {
            let expected = format!("a header of at most {longest} bytes in a file of {file_length}");
            return Err(Malformed::new(expected, format!("one of {header_length}"), DAMAGED));
        }
        let text = bytes_at(input, 8, header_length as usize)?;
        if (text.len() as u64) < header_length {
            return Err(unreadable("its header is cut short", CUT_SHORT));
        }
        budget.spend(MEMORY * text.len())?;
        let Header { tensors, texts } = Header::parse(&text).map_err(|error| unreadable(error, DAMAGED))?;
        let start = 8 + header_length;
        let end = tensors.values().map(|tensor| tensor.data_offsets.1 as u64).max().unwrap_or(0);
        if end != file_length - start {
            let found = format!("{} bytes of elements where it claims {end}", file_length - start);
            return Err(unreadable(found, if end > file_length - start { CUT_SHORT } else { DAMAGED }));
        }
        Ok(Self { input, start, tensors, texts, budget })
    }

    /// The text that the header holds under a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// All tensors.
    pub(super) fn read(mut self) -> Result<StateDict> {
        if self.tensors.is_empty() {
            return Err(Malformed::new(
                "a state dict with tensors",
                "a safetensors file without any",
                SAVE_STATE_DICT,
            ));
        }
        match self.texts.remove(packed::KEY) {
            Some(text) => packed::unpack(self, &text),
            None => self.rest(),
        }
    }

    /// The tensors that have not been taken.
    pub(super) fn rest(mut self) -> Result<StateDict> {
        let tensors = std::mem::take(&mut self.tensors);
        tensors.into_iter().map(|(name, info)| Ok((name.clone(), self.tensor(&name, &info)?))).collect()
    }

    /// Takes these tensors off the budget, which are freed before others are lent.
    pub(super) fn lend(&mut self, names: &[&str]) -> Result<()> {
        let infos = names.iter().filter_map(|name| self.tensors.get(*name));
        self.budget.lend(infos.map(|info| info.data_offsets.1 - info.data_offsets.0).sum())
    }

    /// The elements of a one-dimensional tensor, which the caller has lent.
    pub(super) fn take<const SIZE: usize, T>(
        &mut self,
        name: &str,
        dtype: Dtype,
        decode: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Vec<T>> {
        let damaged = |found: String| Malformed::new(format!("`{name}`, a list of {dtype}"), found, DAMAGED);
        let info = self.tensors.remove(name).ok_or_else(|| damaged("none of that name".to_owned()))?;
        let &[count] = &info.shape[..] else { return Err(damaged(format!("the shape {:?}", info.shape))) };
        if info.dtype != dtype {
            return Err(damaged(format!("elements of {}", info.dtype)));
        }
        self.seek(&info)?;
        Ok(values(self.input, count, decode)?)
    }

    fn tensor(&mut self, name: &str, info: &TensorInfo) -> Result<Tensor> {
        let element = element(info.dtype).ok_or_else(|| {
            let found = format!("{} in `{name}`", info.dtype);
            let help = "Convert the tensors before saving, `tensor.float()`.";
            Malformed::new("elements of a float, integer or bool type", found, help)
        })?;
        let count = element_count(&info.shape).unwrap_or(usize::MAX);
        self.budget.spend_tensor(count, element.size_in_memory(), info.shape.len())?;
        self.seek(info)?;
        element.tensor(Elements::Stream(self.input), &info.shape)
    }

    fn seek(&mut self, info: &TensorInfo) -> Result<()> {
        self.input.seek(SeekFrom::Start(self.start + info.data_offsets.0 as u64))?;
        Ok(())
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U32 => Element::U32,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

fn unreadable(problem: impl std::fmt::Display, help: &str) -> Malformed {
    Malformed::new("a complete safetensors file", format!("one that cannot be read ({problem})"), help)
}
