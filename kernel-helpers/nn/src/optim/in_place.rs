//! Access to the values of tensors where they are, so that an optimizer's step is one pass over them.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, Var};
use std::cell::Cell;

/// How many values a thread takes at a time.
pub(super) const CHUNK: usize = 1 << 15;

/// Whether the values of a parameter can be changed where they are: in f32 on the CPU.
pub(super) fn is_in_place(var: &Var) -> bool {
    var.dtype() == DType::F32 && var.device().is_cpu() && var.is_contiguous()
}

/// A gradient whose values [`read`] gives while those of `var` are being changed: it must have storage of its own.
pub(super) fn readable(gradient: &Tensor, var: &Var) -> Result<Tensor> {
    let storage = |tensor: &Tensor| std::ptr::from_ref(&*tensor.storage_and_layout().0);
    match storage(gradient) == storage(var) {
        true => gradient.copy(),
        false => gradient.contiguous(),
    }
}

/// Gives a contiguous tensor's values to be read.
pub(super) fn read<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => work(&storage.as_slice::<f32>()?[start..end]),
        _ => candle_core::bail!("expected contiguous values on the CPU, found {layout:?}"),
    }
}

/// Gives a contiguous tensor's values to be changed.
pub(super) fn change(tensor: &Tensor, work: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Change(Cell::new(Some(work))))
}

/// Work that is done once.
struct Change<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32]) -> Result<()>> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change in place"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            candle_core::bail!("expected contiguous values of type f32, found {layout:?}");
        };
        let work = self.0.take().expect("an operation is applied once");
        work(&mut values[start..end])
    }
}
