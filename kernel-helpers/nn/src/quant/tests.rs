//! The quantizers beside definitions in plain loops, and what holds for all of them.

use super::*;
use crate::checkpoint::{StateDict, load_state_dict, save_packed};
use crate::fp_layers::FpLinear;
use candle_core::{Device, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A quantizer of one's own without learned parameters.
struct Signs;

impl Quantizer for Signs {
    fn quantize(&self, weight: &Tensor, _: &[Tensor]) -> Result<Tensor> {
        straight_through(weight, &(weight.sign()? * 0.5)?)
    }
    fn description(&self) -> String {
        "signs".to_owned()
    }
}

fn all() -> Vec<Quantization> {
    let per_channel = |n_bits, symmetric| PerChannel(Ste { n_bits: Some(n_bits), symmetric });
    let mut all: Vec<Quantization> = vec![
        Ste { n_bits: Some(4), symmetric: false }.into(),
        Ste::BINARY.into(),
        PerChannel(Ste::BINARY).into(),
        Signs.into(),
    ];
    all.extend([2, 4, 8].map(|n_bits| per_channel(n_bits, true).into()));
    all.extend([2, 4, 8].map(|n_bits| per_channel(n_bits, false).into()));
    all.extend([2, 3, 8].map(|n_bits| Lsq { n_bits, per_channel: false }.into()));
    all.extend([2, 8].map(|n_bits| Lsq { n_bits, per_channel: true }.into()));
    all.extend([1, 2, 5, 16].map(|values| Codebook { values }.into()));
    all
}

/// Weights with zeros, a channel of which is much smaller than the others, and one all zero.
fn weight() -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut value = |at: usize| match at / 100 {
        0 => rng.random_range(-0.01..0.01f32),
        1 => 0.0,
        _ if rng.random_bool(0.3) => 0.0,
        _ => rng.random_range(-1.0..2.0),
    };
    Tensor::from_vec((0..1200).map(&mut value).collect(), (12, 100), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn zeros_stay_zero_and_gradients_reach_every_weight_within_the_range() {
    for quantization in all() {
        let weight = Var::from_tensor(&weight()).unwrap();
        let quantization = quantization.started_on(&weight).unwrap();
        let quantized = quantization.apply(&weight).unwrap();
        assert_eq!(quantized.shape(), weight.shape());
        let (before, after) = (values(&weight), values(&quantized));
        assert!(before.iter().zip(&after).all(|(w, q)| *w != 0.0 || *q == 0.0), "{quantization}");
        let gradients = quantized.sum_all().unwrap().backward().unwrap();
        let gradient = values(gradients.get(&weight).unwrap());
        let share = gradient.iter().filter(|gradient| **gradient == 1.0).count() as f64 / 1200.0;
        assert!(share > 0.5 && gradient.iter().all(|g| *g == 1.0 || *g == 0.0), "{quantization}: {share}");
        for (name, parameter) in quantization.parameters() {
            assert!(gradients.get(parameter).is_some(), "{quantization}: {name}");
        }
    }
}

#[test]
fn packed_weights_are_small_and_give_every_quantizer_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    for quantization in all() {
        let quantization = quantization.started_on(&weight()).unwrap();
        let state = StateDict::from([("weight".to_owned(), weight())]);
        save_packed(&state, |_| quantization.clone(), &path).unwrap();
        let loaded = load_state_dict(&path).unwrap().remove("weight").unwrap();
        let quantized = [&loaded, &weight()].map(|weight| values(&quantization.apply(weight).unwrap()));
        assert_eq!(quantized[0], quantized[1], "{quantization}");
        let zeros = |values: Vec<f32>| values.iter().map(|value| *value == 0.0).collect::<Vec<_>>();
        assert_eq!(zeros(values(&loaded)), zeros(values(&weight())), "{quantization}");
        let length = std::fs::read(&path).unwrap().len();
        // Eight learned bits have more levels than a channel of 100 weights can share.
        let most = if quantization.to_string().starts_with("8 bits with a learned step per") {
            4_800
        } else {
            2_000
        };
        assert!(length < most, "{quantization}: {length} bytes instead of 4,800");
    }
}

#[test]
fn a_packed_file_has_the_newer_version_only_where_it_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    let version = |quantization: Quantization| {
        let quantization = quantization.started_on(&weight()).unwrap();
        save_packed(&StateDict::from([("weight".to_owned(), weight())]), |_| quantization.clone(), &path)
            .unwrap();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        text[text.find(r#"\"version\":"#).unwrap() + 12..][..1].to_owned()
    };
    assert_eq!(version(Quantization::default()), "1");
    assert_eq!(version(Ste { n_bits: Some(3), symmetric: false }.into()), "1");
    assert_eq!(version(PerChannel(Ste { n_bits: Some(3), symmetric: true }).into()), "2");
    assert_eq!(version(Codebook { values: 7 }.into()), "2");
    assert_eq!(version(Lsq { n_bits: 2, per_channel: true }.into()), "3");
}

#[test]
fn every_channel_has_levels_of_its_own() {
    let ste = Ste { n_bits: Some(3), symmetric: true };
    let whole = values(&Quantization::from(PerChannel(ste)).apply(&weight()).unwrap());
    for (channel, quantized) in values(&weight()).chunks(100).zip(whole.chunks(100)) {
        assert_eq!(ste.quantize_values(channel).unwrap(), quantized);
    }
    assert!(whole[..100].iter().any(|value| *value != 0.0), "the small channel is not rounded away");
    assert_eq!(Quantization::from(PerChannel(Ste::default())).to_string(), "floating point");
}

#[test]
fn a_learned_step_has_the_papers_values_and_gradients() {
    let weight = Var::new(&[0.0f32, 0.4, -0.65, 3.0, -3.0, 0.25], &Device::Cpu).unwrap();
    let quantization = Quantization::from(Lsq { n_bits: 3, per_channel: false }).started_on(&weight).unwrap();
    let (name, step) = &quantization.parameters()[0];
    let start = 2.0 * (7.3 / 5.0) / 3f32.sqrt();
    assert!(name == "step" && (values(step)[0] - start).abs() < 1e-6);
    step.set(&Tensor::new(&[0.5f32], &Device::Cpu).unwrap()).unwrap();
    let quantized = quantization.apply(&weight).unwrap();
    // The levels are -4 to 3; -1.3 goes to -1 and 0.5 to the even 0.
    assert_eq!(values(&quantized), [0.0, 0.5, -0.5, 1.5, -2.0, 0.0]);
    let factors = Tensor::new(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &Device::Cpu).unwrap();
    let gradients = (quantized * factors).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(&weight).unwrap()), [1.0, 2.0, 3.0, 0.0, 0.0, 6.0]);
    let of_step = 2.0 * 0.2 + 3.0 * 0.3 + 4.0 * 3.0 - 5.0 * 4.0 - 6.0 * 0.5;
    let found = values(gradients.get(step).unwrap())[0];
    assert!((found - of_step / (6f32 * 3.0).sqrt()).abs() < 1e-5, "{found}");
    for n_bits in [0, 1, 17] {
        let error = Quantization::from(Lsq { n_bits, per_channel: false })
            .started_on(&weight)
            .unwrap_err()
            .to_string();
        assert_eq!(error, format!("n_bits: expected 2 to 16, found {n_bits}"));
    }
    // Each channel is a weight of its own with a step of its own.
    let weight = Var::new(&[[0.4f32, -0.65, 3.0], [-3.0, 0.0, 0.25]], &Device::Cpu).unwrap();
    let whole = Quantization::from(Lsq { n_bits: 3, per_channel: true }).started_on(&weight).unwrap();
    let quantized = whole.apply(&weight).unwrap();
    let gradients = (quantized.sqr().unwrap()).sum_all().unwrap().backward().unwrap();
    let of_steps = values(gradients.get(&whole.parameters()[0].1).unwrap());
    for (channel, of_step) in of_steps.into_iter().enumerate() {
        let part = Var::from_tensor(&weight.get(channel).unwrap()).unwrap();
        let alone = Quantization::from(Lsq { n_bits: 3, per_channel: false }).started_on(&part).unwrap();
        let level = alone.apply(&part).unwrap();
        assert_eq!(values(&level), values(&quantized.get(channel).unwrap()));
        let gradients_alone = level.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(values(gradients_alone.get(&alone.parameters()[0].1).unwrap()), [of_step]);
        let all = gradients.get(&weight).unwrap().get(channel).unwrap();
        assert_eq!(values(gradients_alone.get(&part).unwrap()), values(&all));
    }
    let unstarted =
        Quantization::from(Lsq { n_bits: 3, per_channel: false }).apply(&weight).unwrap_err().to_string();
    assert!(unstarted.contains("started_on"), "{unstarted}");
}

#[test]
fn a_codebook_is_the_centers_of_the_clusters_and_gathers_their_gradients() {
    let weight = Var::new(&[1.0f32, 0.0, 1.2, -2.0, -2.2, -2.1, 0.0, 9.0], &Device::Cpu).unwrap();
    let quantization = Quantization::from(Codebook { values: 3 }).started_on(&weight).unwrap();
    let (_, codebook) = &quantization.parameters()[0];
    let centers = values(codebook);
    assert!(centers.iter().zip([-2.1, 1.1, 9.0]).all(|(found, center)| (found - center).abs() < 1e-6));
    let quantized = quantization.apply(&weight).unwrap();
    let expected = [1, 1, 1, 0, 0, 0, 1, 2].map(|at| centers[at]);
    for (at, (found, expected)) in values(&quantized).iter().zip(expected).enumerate() {
        assert_eq!(*found, if at == 1 || at == 6 { 0.0 } else { expected });
    }
    let factors = Tensor::new(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &Device::Cpu).unwrap();
    let gradients = (quantized * factors).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(codebook).unwrap()), [15.0, 4.0, 8.0], "pruned weights use no value");
    assert!(Quantization::from(Codebook { values: 0 }).started_on(&weight).is_err());
}

#[test]
fn straight_through_has_the_values_of_one_and_the_gradient_of_the_other() {
    let weight = Var::new(&[0.1f32, 0.0, -7.3], &Device::Cpu).unwrap();
    let quantized = Tensor::new(&[0.3f32, 0.4, -0.1], &Device::Cpu).unwrap();
    let through = straight_through(&weight, &quantized).unwrap();
    assert_eq!(values(&through), [0.3, 0.0, -0.1], "not a bit of the weight is left");
    let gradients = (through * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradients.get(&weight).unwrap()), [3.0; 3]);
    assert!(
        straight_through(&weight, &Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap()).is_err()
    );
}

#[test]
fn a_layer_takes_any_quantizer_and_none() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut layer = FpLinear::new(4, 2, Signs, &mut rng, &Device::Cpu).unwrap();
    assert!(values(&layer.quantized_weight().unwrap()).iter().all(|value| value.abs() == 0.5));
    assert_eq!(format!("{:?}", layer.quantization), "Quantization(signs)");
    layer.quantize_with(Ste::default()).unwrap();
    assert!(layer.quantization.quantizer().is_none(), "floating point is no quantizer");
    assert_eq!(values(&layer.quantized_weight().unwrap()), values(&layer.weight));
    layer.quantize_with(Lsq { n_bits: 4, per_channel: false }).unwrap();
    assert_eq!(layer.quantization.parameters().len(), 1);
    layer.quantize_with(None).unwrap();
    assert!(layer.quantization.parameters().is_empty());
}
