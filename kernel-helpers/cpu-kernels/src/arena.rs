//! Memory for buffers that come and go, in one piece: what one gives back, others of any size can have.

use super::aligned::Line;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

/// A piece of memory of which buffers have parts. A clone is the same piece, which lasts as long as any of them. The system provides
/// the memory when a buffer first writes to it, and buffers lie as far to the front as they can.
#[derive(Clone, Debug)]
pub struct Arena(Arc<Region>);

struct Region {
    /// Of the allocation; the first line is the first aligned place in it.
    start: NonNull<u8>,
    count: usize,
    /// The gaps between the parts in use: their starts and ends. No two of them touch.
    gaps: Mutex<BTreeMap<usize, usize>>,
}

/// Lines of an arena that nobody else has, until it is dropped.
pub struct Part {
    region: Arc<Region>,
    range: Range<usize>,
}

// SAFETY: the lines are plain numbers, and each is reached by way of the one `Part` that has it.
unsafe impl Send for Region {}
// SAFETY: as above; the gaps are behind a lock.
unsafe impl Sync for Region {}

impl Arena {
    /// An arena of so many lines, or an empty one if there is no such memory.
    pub(super) fn of_lines(count: usize) -> Self {
        let layout = allocation(count).filter(|_| count > 0);
        // SAFETY: the layout is not empty.
        let start = layout.and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        let count = if start.is_some() { count } else { 0 };
        let gaps = Mutex::new((count > 0).then_some((0, count)).into_iter().collect());
        Arena(Arc::new(Region { start: start.unwrap_or(NonNull::dangling()), count, gaps }))
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> usize {
        self.0.count
    }

    /// The first so many lines that are free side by side; what they hold is arbitrary. None if there are none.
    pub(super) fn part(&self, lines: usize) -> Option<Part> {
        let mut gaps = self.0.gaps();
        let (start, end) =
            gaps.iter().map(|(start, end)| (*start, *end)).find(|(start, end)| end - start >= lines)?;
        gaps.remove(&start);
        if start + lines < end {
            gaps.insert(start + lines, end);
        }
        Some(Part { region: self.0.clone(), range: start..start + lines })
    }
}

/// Room for so many lines, aligned so little that the allocator asks the system for zeros instead of writing them.
fn allocation(lines: usize) -> Option<Layout> {
    let size = lines.checked_add(1)?.checked_mul(size_of::<Line>())?;
    Layout::from_size_align(size, align_of::<f32>()).ok()
}

impl Region {
    /// The line at this place.
    fn line(&self, at: usize) -> *mut Line {
        let start = self.start.as_ptr();
        // SAFETY: to be aligned, the lines begin less than one later, and the allocation has room for one more.
        unsafe { start.add(start.align_offset(align_of::<Line>())).cast::<Line>().add(at) }
    }

    fn gaps(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.gaps.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.count > 0 {
            let layout = allocation(self.count).expect("the layout that was allocated");
            // SAFETY: allocated with this layout; every part holds the region, so none is left.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

impl Part {
    pub fn lines(&self) -> &[Line] {
        // SAFETY: the range lies within the region, whose lines are initialized, and belongs to this part alone.
        unsafe { std::slice::from_raw_parts(self.region.line(self.range.start), self.range.len()) }
    }

    pub fn lines_mut(&mut self) -> &mut [Line] {
        // SAFETY: as for `lines`, and this part is borrowed for it.
        unsafe { std::slice::from_raw_parts_mut(self.region.line(self.range.start), self.range.len()) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut gaps = self.region.gaps();
        let Range { mut start, mut end } = self.range;
        if let Some((&before, _)) = gaps.range(..start).next_back().filter(|(_, until)| **until == start) {
            gaps.remove(&before);
            start = before;
        }
        if let Some(until) = gaps.remove(&end) {
            end = until;
        }
        gaps.insert(start, end);
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} lines)", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(parts: &[Part]) -> Vec<Range<usize>> {
        parts.iter().map(|part| part.range.clone()).collect()
    }

    #[test]
    fn what_neighbors_give_back_is_one_gap() {
        let arena = Arena::of_lines(10);
        let mut parts: Vec<Part> = [2, 3, 4].map(|lines| arena.part(lines).unwrap()).into();
        assert_eq!(ranges(&parts), [0..2, 2..5, 5..9]);
        assert!(arena.part(2).is_none());
        drop(parts.remove(1));
        drop(parts.remove(0));
        let larger = arena.part(5).unwrap();
        assert_eq!(larger.range, 0..5);
        drop((parts, larger));
        assert_eq!(arena.part(10).unwrap().range, 0..10);
    }

    #[test]
    fn parts_keep_their_values_beside_each_other_and_outlive_the_arena() {
        let arena = Arena::of_lines(3);
        let [mut first, mut second] = [1, 2].map(|lines| arena.part(lines).unwrap());
        drop(arena);
        first.lines_mut().fill(Line::of(1.0));
        second.lines_mut().fill(Line::of(2.0));
        assert!(first.lines().iter().all(|line| *line == Line::of(1.0)));
        assert!(second.lines().iter().all(|line| *line == Line::of(2.0)));
    }

    #[test]
    fn an_arena_of_nothing_or_too_much_has_no_parts() {
        assert!(Arena::of_lines(0).part(1).is_none());
        assert!(Arena::of_lines(usize::MAX).part(1).is_none());
        assert!(Arena::of_lines(1 << 54).part(1).is_none());
    }
}
