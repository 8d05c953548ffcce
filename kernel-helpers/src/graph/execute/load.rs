//! Reading an activation: its formula is computed for one image, to where a stage wants it.

use super::batch::image;
use super::norm::Scaling;
use super::workspace::Values;
use crate::graph::plan::{Plan, Source, Term};
use crate::kernels::Isa;
use crate::kernels::channels::{Activate, Skip};
use crate::kernels::conv::{BorderedImages, Pixels};
use crate::kernels::layout::to_channels_last;

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
    /// The image of the kept values, if they are to be written.
    pub kept: Option<&'a mut [f32]>,
    pub values: &'a mut [f32],
    pub pixels: Pixels,
}

impl<'a> Reader<'a> {
    /// The values of a term for image `at`.
    pub fn source(&self, source: Source, at: usize) -> &'a [f32] {
        let kept = |activation: usize| match self.plan.activations[activation].plain() {
            Some(stage) => &self.values.stages[stage],
            None => &self.values.kept[activation],
        };
        let (values, extent) = match source {
            Source::Images => (self.images, self.plan.images.elements()),
            Source::Stage(stage) => (&*self.values.stages[stage], self.plan.stages[stage].output.values()),
            Source::Kept(activation) => {
                (&**kept(activation), self.plan.activations[activation].extent.values())
            }
        };
        image(values, at, extent)
    }

    pub fn scaling(&self, term: &Term) -> Option<&'a Scaling> {
        term.affine.map(|affine| &self.scalings[affine])
    }

    /// Computes the activation for image `at`, or reads it where it is written already.
    pub fn load(&self, activation: usize, at: usize, target: Target) {
        let read = &self.plan.activations[activation];
        let (extent, lanes) = (read.extent, read.extent.lanes());
        let Target { kept, values, pixels } = target;
        if read.terms[0].source == Source::Images {
            let planes = self.source(Source::Images, at);
            return to_channels_last(planes, extent.channels, extent.size[1], values, pixels);
        }
        let written = match read.plain() {
            Some(stage) => Some(Source::Stage(stage)),
            None => (read.kept && kept.is_none()).then_some(Source::Kept(activation)),
        };
        if let Some(source) = written {
            let row = extent.size[1] * lanes;
            for (y, from) in self.source(source, at).chunks_exact(row).enumerate() {
                values[pixels.start + y * pixels.row..][..row].copy_from_slice(from);
            }
            return;
        }
        let unit = self.unit.affine();
        let narrow = |scaling: Option<&'a Scaling>| match scaling {
            Some(scaling) => scaling.affine(),
            None => {
                crate::kernels::channels::Affine { scale: &unit.scale[..lanes], shift: &unit.shift[..lanes] }
            }
        };
        let skip = read.terms.get(1).map_or(Skip::None, |term| match self.scaling(term) {
            Some(scaling) => Skip::Mapped(self.source(term.source, at), scaling.affine()),
            None => Skip::Identity(self.source(term.source, at)),
        });
        self.isa.run(Activate {
            z: self.source(read.terms[0].source, at),
            norm: narrow(self.scaling(&read.terms[0])),
            skip,
            function: read.function,
            columns: extent.size[1],
            dense: kept,
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
    Target { kept, values: &mut images.values, pixels }
}
