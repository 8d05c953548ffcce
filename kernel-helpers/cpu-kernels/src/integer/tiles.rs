//! Convolutions by AMX: matrix products of tiles of 16 rows of 64 bytes, 16,384 products in an instruction.
//!
//! A row of taps reads neighboring pixels, which lie one after the other: for an output pixel, the inputs of a whole row of taps
//! are one run of bytes. So the inputs of 16 neighboring output pixels are a matrix with 16 rows, each `step` bytes after the one
//! before, and are read as a tile from where they are.

use super::instructions::IntegerKernel;
use super::simd::IntegerSimd;
use super::{CHANNELS_TOGETHER, IntegerConvolution};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Rows of a tile, and output channels of one.
const ROWS: usize = 16;
/// Bytes of a row.
const ROW: usize = 64;

/// Proof that the processor has AMX for 8-bit integers, and that the operating system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub struct Tiles(());

impl Tiles {
    /// Asks for the tiles, once.
    pub fn new() -> Option<Self> {
        static ALLOWED: OnceLock<bool> = OnceLock::new();
        ALLOWED.get_or_init(|| has_instructions() && ask_for_registers()).then_some(Tiles(()))
    }
}

/// Whether the processor has them: tiles and their products of 8-bit integers.
fn has_instructions() -> bool {
    const LEAF: u32 = 7;
    const BITS: u32 = 1 << 24 | 1 << 25;
    __cpuid_count(0, 0).eax >= LEAF && __cpuid_count(LEAF, 0).edx & BITS == BITS
}

/// Whether the operating system grants the tiles' registers to this process: it keeps 8 KB more for each thread then.
fn ask_for_registers() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: the call takes two numbers and touches no memory of this process.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// What the shapes of the tiles are, as the processor reads it.
#[repr(C, align(64))]
struct Configuration([u8; 64]);

impl Configuration {
    /// Four tiles of sums, two of inputs, two of weights.
    fn new(rows: usize, chunk: usize) -> Self {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let shapes = [[rows, ROW]; 4]
            .into_iter()
            .chain([[rows, chunk]; 2])
            .chain([[chunk / CHANNELS_TOGETHER, ROW]; 2]);
        for (tile, [rows, width]) in shapes.enumerate() {
            bytes[16 + 2 * tile] = width as u8;
            bytes[48 + tile] = rows as u8;
        }
        Configuration(bytes)
    }
}

/// How a convolution is cut into tiles.
#[derive(Clone, Copy)]
pub struct Cut {
    /// Output pixels of a tile.
    rows: usize,
    /// Bytes of a row of taps that are taken together, and how many such there are.
    chunk: usize,
    chunks: usize,
}

impl Cut {
    /// `None` where tiles are no good: pixels with gaps, runs of bytes that no width divides.
    pub fn of(job: &IntegerConvolution) -> Option<Self> {
        let [taps_y, taps_x] = job.weight.taps;
        let channels = job.weight.groups * CHANNELS_TOGETHER;
        let run = taps_x * channels;
        if run == 0 || taps_y == 0 || (taps_x > 1 && job.input_pixels.pixel != channels) {
            return None;
        }
        let chunks = (run.div_ceil(ROW)..=run / CHANNELS_TOGETHER)
            .find(|chunks| run.is_multiple_of(chunks * CHANNELS_TOGETHER))?;
        let chunk = run / chunks;
        (chunk >= run.min(ROW / 2)).then_some(Cut { rows: job.size[1].min(ROWS), chunk, chunks })
    }
}

/// Sums of a tile.
#[repr(C, align(64))]
struct Sums([i32; ROWS * ROWS]);

/// A convolution by tiles, whose sums become outputs by the vector instructions of `S`.
pub struct TiledConvolution<'a> {
    job: IntegerConvolution<'a>,
    cut: Cut,
    _proof: Tiles,
}

impl<'a> TiledConvolution<'a> {
    /// The convolution, cut as [`Cut::of`] says.
    pub fn new(proof: Tiles, job: IntegerConvolution<'a>, cut: Cut) -> Self {
        TiledConvolution { job, cut, _proof: proof }
    }
}

impl IntegerKernel for TiledConvolution<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: IntegerSimd>(mut self, simd: S) {
        self.job.check();
        if self.job.images == 0 || self.job.size.contains(&0) {
            return;
        }
        let configuration = Configuration::new(self.cut.rows, self.cut.chunk);
        // SAFETY: the processor has tiles, and the configuration is one of its form.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &configuration, options(nostack, readonly)) };
        // SAFETY: just checked, and the tiles have the shapes of the cut.
        unsafe { self.all(simd) };
        // SAFETY: gives the registers back.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl TiledConvolution<'_> {
    /// All tiles, two by two where there are as many.
    ///
    /// # Safety
    /// As for [`IntegerConvolution::check`]; the tiles are configured for the cut.
    #[inline(always)]
    unsafe fn all<S: IntegerSimd>(&mut self, simd: S) {
        let [rows, columns] = self.job.size;
        let of_tile = self.cut.rows;
        let in_a_row = columns.div_ceil(of_tile);
        let place = |tile: usize| {
            // The last tile of a row lies over the one before, whose outputs it computes again.
            [tile / in_a_row, (tile % in_a_row * of_tile).min(columns - of_tile)]
        };
        let tiles = rows * in_a_row;
        for first in (0..self.job.weight.outputs).step_by(2 * ROWS) {
            let wide = first + ROWS < self.job.weight.outputs;
            for image in 0..self.job.images {
                for tile in (0..tiles).step_by(2) {
                    let places = [place(tile), place((tile + 1).min(tiles - 1))];
                    // SAFETY: the caller's promise.
                    unsafe {
                        match (tile + 1 < tiles, wide) {
                            (true, true) => self.four::<S, true, true>(simd, image, places, first),
                            (true, false) => self.four::<S, true, false>(simd, image, places, first),
                            (false, true) => self.four::<S, false, true>(simd, image, places, first),
                            (false, false) => self.four::<S, false, false>(simd, image, places, first),
                        }
                    }
                }
            }
        }
    }

    /// Up to four tiles of outputs: at two places, of 32 channels.
    ///
    /// # Safety
    /// As for [`Self::all`].
    #[inline(always)]
    unsafe fn four<S: IntegerSimd, const BOTH: bool, const WIDE: bool>(
        &mut self,
        simd: S,
        image: usize,
        places: [[usize; 2]; 2],
        first: usize,
    ) {
        let (weight, Cut { rows, chunk, chunks }) = (self.job.weight, self.cut);
        let line = weight.panel * CHANNELS_TOGETHER;
        let panel = weight.taps[0] * weight.taps[1] * weight.groups * line;
        let start = |output: usize| output / weight.panel * panel + output % weight.panel * CHANNELS_TOGETHER;
        let step = self.job.stride * self.job.input_pixels.pixel;
        let pixels = self.job.input_pixels.of_image(image);
        let mut sums = [const { Sums([0; ROWS * ROWS]) }; 4];
        // SAFETY: every address that is read or written lies in its slice by the caller's promise.
        unsafe {
            let [mut left, mut right] = places.map(|[y, x]| {
                self.job.input.as_ptr().add(pixels.shifted(self.job.stride * y, self.job.stride * x).start)
            });
            let mut weights = weight.data.as_ptr().add(start(first));
            // Where there are only 16 channels, the others' weights are not read.
            let further = if WIDE { start(first + ROWS) - start(first) } else { 0 };
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
            for _ in 0..weight.taps[0] {
                for at in 0..chunks {
                    let [a, b] = [left.add(at * chunk), right.add(at * chunk)];
                    asm!("tileloadd tmm4, [{a} + {step} * 1]", "tileloadd tmm6, [{w} + {line} * 1]", "tdpbusd tmm0, tmm4, tmm6",
                        a = in(reg) a, step = in(reg) step, w = in(reg) weights, line = in(reg) line, options(nostack, readonly));
                    if BOTH {
                        asm!("tileloadd tmm5, [{b} + {step} * 1]", "tdpbusd tmm2, tmm5, tmm6",
                            b = in(reg) b, step = in(reg) step, options(nostack, readonly));
                    }
                    if WIDE {
                        asm!("tileloadd tmm7, [{w} + {line} * 1]", "tdpbusd tmm1, tmm4, tmm7",
                            w = in(reg) weights.add(further), line = in(reg) line, options(nostack, readonly));
                    }
                    if BOTH && WIDE {
                        asm!("tdpbusd tmm3, tmm5, tmm7", options(nostack, nomem));
                    }
                    weights = weights.wrapping_add(chunk / CHANNELS_TOGETHER * line);
                }
                left = left.wrapping_add(self.job.input_pixels.row);
                right = right.wrapping_add(self.job.input_pixels.row);
            }
            let [s0, s1, s2, s3] = sums.each_mut().map(|sums| sums.0.as_mut_ptr());
            asm!("tilestored [{s0} + {row} * 1], tmm0", s0 = in(reg) s0, row = in(reg) ROW, options(nostack));
            if WIDE {
                asm!("tilestored [{s1} + {row} * 1], tmm1", s1 = in(reg) s1, row = in(reg) ROW, options(nostack));
            }
            if BOTH {
                asm!("tilestored [{s2} + {row} * 1], tmm2", s2 = in(reg) s2, row = in(reg) ROW, options(nostack));
            }
            if BOTH && WIDE {
                asm!("tilestored [{s3} + {row} * 1], tmm3", s3 = in(reg) s3, row = in(reg) ROW, options(nostack));
            }
            for (at, sums) in sums.iter().enumerate() {
                if (at >= 2 && !BOTH) || (at % 2 == 1 && !WIDE) {
                    continue;
                }
                self.finish(simd, sums, rows, image, places[at / 2], first + at % 2 * ROWS);
            }
        }
    }

    /// Writes the outputs of a tile.
    ///
    /// # Safety
    /// As for [`Self::all`].
    #[inline(always)]
    unsafe fn finish<S: IntegerSimd>(
        &mut self,
        simd: S,
        sums: &Sums,
        rows: usize,
        image: usize,
        [y, x]: [usize; 2],
        channel: usize,
    ) {
        let output = self.job.output_pixels.of_image(image).shifted(y, x);
        // SAFETY: the caller's promise.
        unsafe {
            let to = self.job.output.as_mut_ptr().add(output.start + channel);
            let residual = self.job.residual.map(|residual| {
                let pixels = residual.pixels.of_image(image).shifted(y, x);
                (residual.images.as_ptr().add(pixels.start + channel), pixels.pixel)
            });
            for row in 0..rows {
                for lane in (0..ROWS).step_by(S::LANES) {
                    let sums = simd.sums(sums.0.as_ptr().add(row * ROWS + lane));
                    let residual = residual.map(|(residual, pixel)| residual.add(row * pixel + lane));
                    simd.finish(
                        sums,
                        self.job.rule,
                        channel + lane,
                        residual,
                        to.add(row * output.pixel + lane),
                    );
                }
            }
        }
    }
}
