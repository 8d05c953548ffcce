//! Element types, and tensors from elements as files store them.

use super::malformed::{DAMAGED, Malformed, Result};
use super::view::View;
use candle_core::{Device, Tensor, WithDType};
use half::{bf16, f16};
use std::io::{self, Read};

/// How many bytes of elements are read at a time: a multiple of each element's size.
const CHUNK: usize = 1 << 16;

/// How a file stores a tensor's elements; always little-endian. candle has the same types, except that `I8` becomes
/// `I16` in memory and `Bool` becomes `U8`, 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U32,
    U8,
    Bool,
}

/// Where elements come from, in the tensor's order.
pub(super) enum Elements<'a> {
    /// One after the other.
    Stream(&'a mut dyn Read),
    /// From anywhere in a storage, which is known to hold the view.
    View(&'a [u8], &'a View),
}

impl Element {
    /// From PyTorch's `torch.dtype`, by its name without `torch.`.
    pub(super) fn of_dtype(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::F64,
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::BF16,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint32" => Self::U32,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of one element in a file.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Bytes of one element in memory.
    pub(super) fn size_in_memory(self) -> usize {
        if self == Self::I8 { 2 } else { self.size() }
    }

    /// A tensor on the CPU from its elements; the caller has asked the budget.
    pub(super) fn tensor(self, elements: Elements<'_>, shape: &[usize]) -> Result<Tensor> {
        match self {
            Self::F64 => tensor(elements, shape, f64::from_le_bytes),
            Self::F32 => tensor(elements, shape, f32::from_le_bytes),
            Self::F16 => tensor(elements, shape, f16::from_le_bytes),
            Self::BF16 => tensor(elements, shape, bf16::from_le_bytes),
            Self::I64 => tensor(elements, shape, i64::from_le_bytes),
            Self::I32 => tensor(elements, shape, i32::from_le_bytes),
            Self::I16 => tensor(elements, shape, i16::from_le_bytes),
            Self::I8 => tensor(elements, shape, |[byte]| i16::from(byte as i8)),
            Self::U32 => tensor(elements, shape, u32::from_le_bytes),
            Self::U8 => tensor(elements, shape, |[byte]| byte),
            Self::Bool => tensor(elements, shape, |[byte]| u8::from(byte != 0)),
        }
    }
}

/// The product of the sizes, or `None` if candle cannot compute strides from them, which it does whether there are
/// elements or not.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size.max(1)))?;
    Some(shape.iter().product())
}

/// `count` elements, one after the other.
pub(super) fn values<const SIZE: usize, T>(
    reader: &mut (impl Read + ?Sized),
    count: usize,
    decode: impl Fn([u8; SIZE]) -> T,
) -> io::Result<Vec<T>> {
    let mut values = Vec::with_capacity(count);
    let mut chunk = vec![0; CHUNK.min(count * SIZE)];
    while values.len() < count {
        let length = chunk.len().min((count - values.len()) * SIZE);
        reader.read_exact(&mut chunk[..length])?;
        values.extend(chunk[..length].as_chunks().0.iter().map(|bytes| decode(*bytes)));
    }
    Ok(values)
}

fn tensor<const SIZE: usize, T: WithDType>(
    elements: Elements<'_>,
    shape: &[usize],
    decode: impl Fn([u8; SIZE]) -> T,
) -> Result<Tensor> {
    let wrong = |found: &dyn std::fmt::Display| {
        Malformed::new(format!("a tensor of shape {shape:?}"), found, DAMAGED)
    };
    let count = element_count(shape).ok_or_else(|| wrong(&"a shape that no memory holds"))?;
    let values = match elements {
        Elements::Stream(reader) => values(reader, count, decode).map_err(|error| wrong(&error))?,
        Elements::View(storage, view) => {
            let mut values = Vec::with_capacity(count);
            let element = |at: usize| decode(std::array::from_fn(|byte| storage[at * SIZE + byte]));
            view.for_each_run(|start, length, stride| {
                values.extend((0..length).map(|index| element(start + index * stride)))
            });
            values
        }
    };
    Tensor::from_vec(values, shape, &Device::Cpu).map_err(|error| wrong(&error))
}
