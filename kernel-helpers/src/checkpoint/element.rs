//! Element types, and tensors from the bytes of a storage.

use super::malformed::{DAMAGED, Malformed, Result};
use candle_core::{DType, Device, Tensor};

/// How a file stores a tensor's elements; always little-endian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Element {
    /// Stored as candle keeps it.
    Same(DType),
    /// Signed bytes, which candle lacks: they become `I16`.
    SignedByte,
}

impl Element {
    /// From PyTorch's storage class, `torch.FloatStorage` and so on.
    pub(super) fn of_storage_class(name: &str) -> Option<Self> {
        let class = name.strip_prefix("torch.cuda.").or(name.strip_prefix("torch."))?;
        Some(match class {
            "DoubleStorage" => Self::Same(DType::F64),
            "FloatStorage" => Self::Same(DType::F32),
            "HalfStorage" => Self::Same(DType::F16),
            "BFloat16Storage" => Self::Same(DType::BF16),
            "LongStorage" => Self::Same(DType::I64),
            "IntStorage" => Self::Same(DType::I32),
            "ShortStorage" => Self::Same(DType::I16),
            "CharStorage" => Self::SignedByte,
            "ByteStorage" | "BoolStorage" | "UntypedStorage" | "storage.UntypedStorage" => {
                Self::Same(DType::U8)
            }
            _ => return None,
        })
    }

    /// From PyTorch's `torch.dtype`, by its name without `torch.`.
    pub(super) fn of_dtype(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::Same(DType::F64),
            "float32" => Self::Same(DType::F32),
            "float16" => Self::Same(DType::F16),
            "bfloat16" => Self::Same(DType::BF16),
            "int64" => Self::Same(DType::I64),
            "int32" => Self::Same(DType::I32),
            "int16" => Self::Same(DType::I16),
            "int8" => Self::SignedByte,
            "uint32" => Self::Same(DType::U32),
            "uint8" | "bool" => Self::Same(DType::U8),
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Same(dtype) => dtype.size_in_bytes(),
            Self::SignedByte => 1,
        }
    }

    /// A tensor on the CPU from exactly the bytes of `shape`'s elements.
    pub(super) fn tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
        // candle computes strides from the sizes, whether there are elements or not.
        if shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size.max(1))).is_none() {
            return Err(Malformed::new(
                "a tensor that fits into memory",
                format!("the shape {shape:?}"),
                DAMAGED,
            ));
        }
        let tensor = match self {
            Self::Same(dtype) => Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu),
            Self::SignedByte => {
                let values: Vec<i16> = bytes.iter().map(|&byte| i16::from(byte as i8)).collect();
                Tensor::from_vec(values, shape, &Device::Cpu)
            }
        };
        tensor.map_err(|error| Malformed::new(format!("a tensor of shape {shape:?}"), error, DAMAGED))
    }
}

/// Which elements of a storage make up a tensor; PyTorch's `as_strided`. All counts are in elements.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl View {
    /// Number of elements and the storage elements that they need, or `None` if it overflows.
    fn extent(&self) -> Option<(usize, usize)> {
        let count = self.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
        if count == 0 {
            return Some((0, 0));
        }
        let mut last = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add(stride.checked_mul(size - 1)?)?;
        }
        Some((count, last.checked_add(1)?))
    }

    fn is_contiguous(&self) -> bool {
        let mut next = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == next;
            next *= size;
            fits
        })
    }

    /// The tensor of these elements of `storage`.
    pub(super) fn tensor(
        &self,
        name: &str,
        storage: &[u8],
        element: Element,
        budget: &mut Budget,
    ) -> Result<Tensor> {
        let (size, available) = (element.size(), storage.len() / element.size());
        let (count, needed) = self.extent().unwrap_or((usize::MAX, usize::MAX));
        if needed > available {
            return Err(Malformed::new(
                format!("{needed} elements in the storage of `{name}` {:?}", self.shape),
                available,
                DAMAGED,
            ));
        }
        budget.spend(count.saturating_mul(size))?;
        if count == 0 || self.is_contiguous() {
            let start = if count == 0 { 0 } else { self.offset * size };
            return element.tensor(&storage[start..start + count * size], &self.shape);
        }
        let mut bytes = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let steps: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            let start = (self.offset + steps) * size;
            bytes.extend_from_slice(&storage[start..start + size]);
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        element.tensor(&bytes, &self.shape)
    }
}

/// How many bytes a file may grow to in memory. A few bytes can claim a tensor of any size, through strides of zero,
/// storages used many times, or compression.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// Sixteen times the file's length, and 16 MiB for small files with broadcast tensors.
    pub(super) fn for_file(length: usize) -> Self {
        Self { left: length.saturating_mul(16).saturating_add(16 << 20) }
    }

    /// Takes `bytes` off, before they are allocated.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Malformed::new(
                "tensors about as large as the file",
                format!("a claim of {bytes} bytes where {} are left", self.left),
                DAMAGED,
            )
        })?;
        Ok(())
    }
}
