//! One slice of values for each parameter.

use crate::graph::plan::Plan;
use rayon::iter::repeat_n;
use rayon::prelude::*;
use std::ops::{Deref, DerefMut, Index, IndexMut, Range};

/// Slices that lie wherever they are, found by the places that the plan gives the parameters.
#[derive(Clone, Debug)]
pub struct Parts<V> {
    places: Vec<Range<usize>>,
    parts: Vec<V>,
}

impl<V> Parts<V> {
    /// In the order of the plan.
    pub fn new(plan: &Plan, parts: impl IntoIterator<Item = V>) -> Self {
        Self {
            places: plan.parameters.iter().flatten().cloned().collect(),
            parts: parts.into_iter().collect(),
        }
    }

    /// What belongs to the parameter at this place.
    pub fn part_mut(&mut self, place: &Range<usize>) -> &mut V {
        let at = self.find(place);
        &mut self.parts[at]
    }

    pub fn into_parts(self) -> Vec<V> {
        self.parts
    }

    fn find(&self, place: &Range<usize>) -> usize {
        let ends = |place: &Range<usize>| (place.start, place.end);
        self.places.binary_search_by_key(&ends(place), ends).expect("the place of a parameter")
    }
}

impl Parts<Vec<f32>> {
    /// Zeros for each parameter.
    pub fn zeros(plan: &Plan) -> Self {
        /// How many a thread writes at a time.
        const TOGETHER: usize = 1 << 15;
        let zeros = |place: &Range<usize>| repeat_n(0.0, place.len()).with_min_len(TOGETHER).collect();
        Self::new(plan, plan.parameters.iter().flatten().map(zeros))
    }
}

impl<V: Deref<Target = [f32]>> Index<Range<usize>> for Parts<V> {
    type Output = [f32];

    fn index(&self, place: Range<usize>) -> &[f32] {
        &self.parts[self.find(&place)]
    }
}

impl<V: DerefMut<Target = [f32]>> IndexMut<Range<usize>> for Parts<V> {
    fn index_mut(&mut self, place: Range<usize>) -> &mut [f32] {
        self.part_mut(&place)
    }
}
