//! What holds for every weight: of the quantizer, of pruning, of packed files and of the convolutions that skip zeros.
//!
//! `BOLERO_RANDOM_TEST_TIME_MS` sets how long each test searches. What one finds it names with the `BOLERO_RANDOM_SEED`
//! that repeats it.

use crate::checkpoint::{StateDict, load_state_dict, save_packed};
use crate::fp_layers::{FpConv, Ste};
use crate::prune::{percentile, prune_by_percentage};
use crate::sparse::{BlockSparseConv, SparseConv};
use bolero::{ValueGenerator, check, one_of, one_value_of, produce};
use candle_core::{Device, Module, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How long each test searches, unless the environment says otherwise.
const TIME: Duration = Duration::from_secs(1);

/// Weights of every magnitude, pruned ones among them, and many that are equal.
fn weights() -> impl ValueGenerator<Output = Vec<f32>> {
    let magnitude = one_value_of([1e-38f32, 1e-6, 1.0, 1e30]);
    (magnitude, produce::<Vec<i16>>().with().len(1..=200usize), 0..=20u16).map_gen(
        |(magnitude, values, threshold)| {
            let prune = |value: i16| if value.unsigned_abs() < threshold * 1000 { 0 } else { value };
            values.into_iter().map(|value| f32::from(prune(value)) / 32768.0 * magnitude).collect()
        },
    )
}

fn widths() -> impl ValueGenerator<Output = Ste> {
    (1..=16u32, produce::<bool>()).map_gen(|(n_bits, symmetric)| Ste { n_bits: Some(n_bits), symmetric })
}

fn distinct(values: &[f32]) -> usize {
    let mut bits: Vec<u32> = values.iter().map(|value| (value + 0.0).to_bits()).collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len()
}

#[test]
fn quantized_weights_have_as_many_levels_as_their_bits_give_and_keep_their_zeros() {
    check!().with_generator((weights(), widths())).with_test_time(TIME).for_each(|(weight, ste)| {
        let quantized = ste.quantize_values(weight).unwrap();
        let largest = weight.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        // Asymmetric levels can include a zero that no pruned weight is on, and pruned weights are on none.
        assert!(distinct(&quantized) <= (1 << ste.n_bits.unwrap()) + 1);
        for (quantized, weight) in quantized.iter().zip(weight) {
            assert!(*weight != 0.0 || *quantized == 0.0, "a pruned weight came back as {quantized}");
            assert!(quantized.abs() <= largest * (1.0 + 1e-6), "{quantized} beyond {largest}");
        }
        // Levels stay where they are, but for the rounding of the range that they are taken from.
        for (once, twice) in quantized.iter().zip(ste.quantize_values(&quantized).unwrap()) {
            assert!((once - twice).abs() <= 2e-6 * largest + 1e-43, "{once} became {twice}");
        }
    });
}

#[test]
fn pruned_are_the_smallest_weights_that_sorting_finds() {
    let shares =
        one_of((one_value_of([0.0f64, 0.5, 0.8, 1.0]), (0..=1000u32).map_gen(|q| f64::from(q) / 1000.0)));
    check!().with_generator((weights(), shares)).with_test_time(TIME).for_each(|(weight, q)| {
        let variable = Var::new(weight.as_slice(), &Device::Cpu).unwrap();
        let share = prune_by_percentage(&variable, *q).unwrap();
        let pruned: Vec<f32> = variable.to_vec1().unwrap();
        let mut sorted: Vec<f64> = weight.iter().map(|value| f64::from(value.abs())).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = q * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
        let threshold = low + (high - low) * rank.fract();
        let kept = |weight: f32| weight.abs() >= threshold as f32;
        let magnitudes: Vec<f32> = weight.iter().map(|value| value.abs()).collect();
        assert_eq!(percentile(&magnitudes, *q).unwrap(), threshold);
        for (pruned, weight) in pruned.iter().zip(weight) {
            assert_eq!(*pruned, if kept(*weight) { *weight } else { 0.0 }, "threshold {threshold}");
        }
        let zeros = pruned.iter().filter(|value| **value == 0.0).count();
        assert_eq!(share, zeros as f64 / weight.len() as f64);
        // Where all magnitudes differ, the share is what was asked for, to one weight.
        let different = sorted.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(!different || (zeros as f64 - rank.ceil()).abs() <= 1.0, "{zeros} zeros at rank {rank}");
    });
}

#[test]
fn packed_weights_come_back_as_what_they_were_quantized_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    check!().with_generator((weights(), widths())).with_test_time(TIME).for_each(|(weight, ste)| {
        let state =
            StateDict::from([("w".to_owned(), Tensor::new(weight.as_slice(), &Device::Cpu).unwrap())]);
        save_packed(&state, |_| *ste, &path).unwrap();
        let loaded: Vec<f32> = load_state_dict(&path).unwrap()["w"].to_vec1().unwrap();
        assert_eq!(ste.quantize_values(&loaded).unwrap(), ste.quantize_values(weight).unwrap());
        assert!(loaded.iter().zip(weight).all(|(loaded, weight)| (*loaded == 0.0) == (*weight == 0.0)));
        save_packed(&state, |_| Ste::default(), &path).unwrap();
        let floats: Vec<f32> = load_state_dict(&path).unwrap()["w"].to_vec1().unwrap();
        assert_eq!(floats, *weight);
    });
}

#[test]
fn skipping_zeros_gives_what_the_dense_convolution_gives() {
    check!()
        .with_generator((
            (1..=3usize, 1..=20usize, 1..=20usize),
            (1..=20usize, 1..=20usize),
            (1..=5usize, 1..=3usize, 0..=3usize),
            0..=10u32,
        ))
        .with_test_time(TIME)
        .for_each(|&((batch, inputs, outputs), (rows, columns), (kernel, stride, padding), pruned)| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut conv =
                FpConv::new((inputs, outputs), kernel, stride, Ste::default(), &mut rng, &Device::Cpu)
                    .unwrap();
            conv.padding = padding;
            prune_by_percentage(&conv.weight, f64::from(pruned) / 10.0).unwrap();
            let count = batch * inputs * rows * columns;
            let images: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
            let images = Tensor::from_vec(images, (batch, inputs, rows, columns), &Device::Cpu).unwrap();
            let layers: [Box<dyn Module>; 2] =
                [Box::new(SparseConv::of(&conv).unwrap()), Box::new(BlockSparseConv::of(&conv).unwrap())];
            let results = layers.map(|layer| layer.forward(&images));
            if rows.min(columns) + 2 * padding < kernel {
                assert!(results.iter().all(Result::is_err));
                return;
            }
            let dense = conv.forward(&images).unwrap();
            for skipping in results.map(Result::unwrap) {
                assert_eq!(dense.dims(), skipping.dims());
                let difference = (&dense - skipping).unwrap().abs().unwrap().flatten_all().unwrap();
                assert!(difference.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-5);
            }
        });
}
