//! Reading an activation: its formula is computed for one image, to where a stage wants it.

use super::batch::image;
use super::norm::Scaling;
use super::workspace::Values;
use crate::graph::plan::{Origin, Plan, Term};
use cpu_kernels::Isa;
use cpu_kernels::channels::{Activate, Skip};
use cpu_kernels::conv::{BorderedImages, Pixels};
use cpu_kernels::layout::to_channels_last;
use std::ops::Range;

/// What activations are computed from.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub plan: &'a Plan,
    pub isa: Isa,
    /// `[N, C, H, W]`.
    pub images: &'a [f32],
    pub scalings: &'a [Scaling],
    /// The identity, for the most channels.
    pub unit: &'a Scaling,
    pub values: &'a Values,
}

/// Where an activation's image goes.
pub struct Target<'a> {
    /// The kept values of these rows.
    pub kept: Kept<'a>,
    pub values: &'a mut [f32],
    pub pixels: Pixels,
}

/// What becomes of an activation's values that are kept, if any are.
pub enum Kept<'a> {
    /// They have been written before, and are read.
    Before,
    /// They are to be written here.
    Here(&'a mut [f32]),
    /// Another part of the image writes them meanwhile, so that they have to be computed once more.
    Elsewhere,
}

impl<'a> Reader<'a> {
    /// The values of a term for image `at`.
    pub fn values_of(&self, origin: Origin, at: usize) -> &'a [f32] {
        let (values, extent) = match origin {
            Origin::Images => (self.images, self.plan.images.elements()),
            Origin::Stage(stage) => (&*self.values.stages[stage], self.plan.stages[stage].output.values()),
            Origin::Kept(activation) => {
                (self.written(activation), self.plan.activations[activation].extent.values())
            }
        };
        image(values, at, extent)
    }

    /// The values of an activation over the whole batch, where they are written down.
    pub fn written(&self, activation: usize) -> &'a [f32] {
        match self.plan.activations[activation].plain() {
            Some(stage) => &self.values.stages[stage],
            None => &self.values.kept[activation],
        }
    }

    pub fn scaling(&self, term: &Term) -> Option<&'a Scaling> {
        term.affine.map(|affine| &self.scalings[affine])
    }

    /// Computes the activation for image `at`, or reads it where it is written already.
    pub fn load(&self, activation: usize, at: usize, target: Target) {
        let extent = self.plan.activations[activation].extent;
        if self.reads_images(activation) {
            let planes = self.values_of(Origin::Images, at);
            let Target { values, pixels, .. } = target;
            return to_channels_last(planes, extent.channels, extent.size[1], values, pixels);
        }
        self.load_rows(activation, at, 0..extent.size[0], target);
    }

    /// Whether an activation is the network's images.
    pub fn reads_images(&self, activation: usize) -> bool {
        self.plan.activations[activation].terms[0].origin == Origin::Images
    }

    /// The same for some rows of an activation that is not the network's images: the target is that of the first of them.
    pub fn load_rows(&self, activation: usize, at: usize, rows: Range<usize>, target: Target) {
        let read = &self.plan.activations[activation];
        let (extent, lanes) = (read.extent, read.extent.lanes());
        let Target { kept, values, pixels } = target;
        let row = extent.size[1] * lanes;
        if rows.is_empty() {
            return;
        }
        let rows_of = |origin| &self.values_of(origin, at)[rows.start * row..rows.end * row];
        let written = match read.plain() {
            Some(stage) => Some(Origin::Stage(stage)),
            None => (read.kept && matches!(kept, Kept::Before)).then_some(Origin::Kept(activation)),
        };
        if let Some(origin) = written {
            for (y, from) in rows_of(origin).chunks_exact(row).enumerate() {
                values[pixels.start + y * pixels.row..][..row].copy_from_slice(from);
            }
            return;
        }
        let unit = self.unit.affine();
        let narrow = |scaling: Option<&'a Scaling>| match scaling {
            Some(scaling) => scaling.affine(),
            None => {
                cpu_kernels::channels::Affine { scale: &unit.scale[..lanes], shift: &unit.shift[..lanes] }
            }
        };
        let skip = read.terms.get(1).map_or(Skip::None, |term| match self.scaling(term) {
            Some(scaling) => Skip::Mapped(rows_of(term.origin), scaling.affine()),
            None => Skip::Identity(rows_of(term.origin)),
        });
        self.isa.run(Activate {
            z: rows_of(read.terms[0].origin),
            norm: narrow(self.scaling(&read.terms[0])),
            skip,
            function: read.function,
            columns: extent.size[1],
            dense: if let Kept::Here(kept) = kept { Some(kept) } else { None },
            padded: Some((values, pixels)),
        });
    }
}

/// Where image `at` of several bordered ones goes.
pub fn between_borders<'a>(
    images: &'a mut BorderedImages,
    at: usize,
    kept: Option<&'a mut [f32]>,
) -> Target<'a> {
    let pixels = images.inner().of_image(at);
    let kept = kept.map_or(Kept::Before, Kept::Here);
    Target { kept, values: &mut images.values, pixels }
}
