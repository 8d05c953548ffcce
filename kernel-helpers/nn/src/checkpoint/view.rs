//! Which elements of a storage make up a tensor; PyTorch's `as_strided`.

use std::ops::Range;

/// A part of a storage. All counts are in elements.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl View {
    /// The storage's elements from the first to the last that is used; empty without elements, `None` if it overflows.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        if self.shape.contains(&0) {
            return Some(0..0);
        }
        let mut last = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            last = last.checked_add(stride.checked_mul(size - 1)?)?;
        }
        Some(self.offset..last.checked_add(1)?)
    }

    /// Whether the elements follow each other in the storage.
    pub(super) fn is_contiguous(&self) -> bool {
        self.shape.contains(&0) || matches!(self.dimensions()[..], [] | [(_, 1)])
    }

    /// Calls `visit` with the start, the length and the stride of runs that, one after the other, are the view's
    /// elements.
    pub(super) fn for_each_run(&self, mut visit: impl FnMut(usize, usize, usize)) {
        if self.shape.contains(&0) {
            return;
        }
        let mut outer = self.dimensions();
        let (length, stride) = outer.pop().unwrap_or((1, 1));
        let (mut start, mut index) = (self.offset, vec![0; outer.len()]);
        loop {
            visit(start, length, stride);
            // The next index, as an odometer counts: `start` follows it in steps.
            let turning = outer.iter().zip(&mut index).rev().find_map(|(&(size, stride), index)| {
                *index += 1;
                start += stride;
                if *index < size {
                    return Some(());
                }
                start -= stride * size;
                *index = 0;
                None
            });
            if turning.is_none() {
                return;
            }
        }
    }

    /// Sizes and strides of the fewest dimensions that say the same.
    fn dimensions(&self) -> Vec<(usize, usize)> {
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides).filter(|(size, _)| **size != 1) {
            match merged.last_mut() {
                Some(last) if Some(last.1) == stride.checked_mul(size) => {
                    *last = (last.0.saturating_mul(size), stride)
                }
                _ => merged.push((size, stride)),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(offset: usize, shape: &[usize], strides: &[usize]) -> (Vec<usize>, bool) {
        let view = View { offset, shape: shape.to_vec(), strides: strides.to_vec() };
        let mut elements = Vec::new();
        view.for_each_run(|start, length, stride| elements.extend((0..length).map(|i| start + i * stride)));
        (elements, view.is_contiguous())
    }

    #[test]
    fn runs_are_the_elements_in_order() {
        assert_eq!(elements(3, &[], &[]), (vec![3], true));
        assert_eq!(elements(1, &[2, 1, 3], &[3, 77, 1]), (vec![1, 2, 3, 4, 5, 6], true));
        assert_eq!(elements(0, &[3, 2], &[1, 3]), (vec![0, 3, 1, 4, 2, 5], false));
        assert_eq!(elements(0, &[2, 2, 2], &[4, 1, 2]), (vec![0, 2, 1, 3, 4, 6, 5, 7], false));
        assert_eq!(elements(5, &[2, 2], &[0, 0]), (vec![5; 4], false));
        assert_eq!(elements(5, &[2, 0], &[1, 1]), (vec![], true));
    }
}
