//! How a batch is split, so that sums do not depend on the number of threads.

use cpu_kernels::images_per_group;

/// The most values that the sums of a weight's gradient take, all groups together: 32 MB.
const SUMS_MAX: usize = 8 << 20;
/// The fewest groups that large weights leave.
const GROUPS_MIN: usize = 4;

/// How a batch is split into groups of images.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub images: usize,
    pub count: usize,
}

impl Groups {
    /// At most 32 groups, fewer if each keeps a sum of many values.
    pub fn of(batch: usize, sum: usize) -> Self {
        let most = (SUMS_MAX / sum.max(1)).max(GROUPS_MIN);
        let images = images_per_group(batch).max(batch.div_ceil(most));
        Groups { images, count: batch.div_ceil(images) }
    }

    /// At most 8 groups: rows that are multiplied with a large weight, which is read for each group.
    pub fn of_rows(batch: usize) -> Self {
        let images = batch.div_ceil(8).max(1);
        Groups { images, count: batch.div_ceil(images) }
    }

    /// The same for rows of which no sums are kept by group, so that the number of groups may depend on that of the threads.
    pub fn of_free_rows(batch: usize) -> Self {
        let images = batch.div_ceil((2 * rayon::current_num_threads()).min(8)).max(1);
        Groups { images, count: batch.div_ceil(images) }
    }

    /// The groups' parts of a buffer with `image` values an image; empty parts of an empty buffer.
    pub fn split<'a>(&self, buffer: &'a mut [f32], image: usize) -> Vec<&'a mut [f32]> {
        let mut parts: Vec<_> = buffer.chunks_mut(self.images * image.max(1)).collect();
        parts.resize_with(self.count, Default::default);
        parts
    }

    /// How many images a group has, the last one of a batch maybe fewer.
    pub fn images_of(&self, group: usize, batch: usize) -> usize {
        self.images.min(batch - group * self.images)
    }
}

/// The part of a buffer that image `at` takes.
pub fn image(buffer: &[f32], at: usize, values: usize) -> &[f32] {
    &buffer[at * values..][..values]
}
