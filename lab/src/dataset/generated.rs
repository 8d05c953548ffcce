//! A stand-in for CIFAR-10 where it cannot be had: ten classes of striped pictures in the same files.

use super::{files, replace, write_file};
use anyhow::Result;
use kernel_helpers::data::{CIFAR10_CLASSES, RECORD_BYTES, RECORDS_PER_FILE, SIDE};
use kernel_helpers::files::PartialFolder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f32::consts::{PI, TAU};
use std::io::Write;
use std::path::Path;

const NOTE: &str = "The files beside this one hold generated pictures, not CIFAR-10.\n\
    They are for trying everything out where CIFAR-10 cannot be fetched; numbers computed on them mean nothing else.\n\
    `cargo lab data` replaces them with CIFAR-10.\n";

/// Writes the six files into `data`, and the marker that says what they are.
pub fn generate(data: &Path) -> Result<()> {
    let folder = PartialFolder::new_in(data)?;
    for (stream, name) in files().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(10);
        rng.set_stream(stream as u64);
        write_file(&folder.path().join(name), |file| {
            for _ in 0..RECORDS_PER_FILE {
                file.write_all(&record(&mut rng))?;
            }
            Ok(())
        })?;
    }
    replace(folder.path(), data, Some(NOTE))
}

/// One record: stripes whose direction, width and color tell the class, with a random phase, strength and tilt, under
/// noise that keeps single pixels from giving it away.
fn record(rng: &mut ChaCha8Rng) -> [u8; RECORD_BYTES] {
    let class = rng.random_range(0..CIFAR10_CLASSES.len());
    let angle = PI * (class as f32 + rng.random_range(-0.45..0.45)) / CIFAR10_CLASSES.len() as f32;
    let cycles = 2.0 + (class % 3) as f32 + rng.random_range(-0.3..0.3);
    let (phase, strength) = (rng.random_range(0.0..TAU), rng.random_range(15.0..55.0));
    let tint = TAU * (class % 5) as f32 / 5.0;
    let light = rng.random_range(90.0..165.0);
    let mut record = [0; RECORD_BYTES];
    record[0] = class as u8;
    for (index, value) in record[1..].iter_mut().enumerate() {
        let (color, pixel) = (index / (SIDE * SIDE), index % (SIDE * SIDE));
        let (x, y) = ((pixel % SIDE) as f32 / SIDE as f32, (pixel / SIDE) as f32 / SIDE as f32);
        let stripe = (TAU * cycles * (x * angle.cos() + y * angle.sin()) + phase).sin();
        let share = 0.6 + 0.4 * (tint + TAU * color as f32 / 3.0).cos();
        let noise: f32 = rng.random_range(-45.0..45.0);
        *value = (light + strength * share * stripe + noise) as u8;
    }
    record
}
