//! The names that come of a visit.

use super::*;
use crate::fp_layers::{BatchNorm, FpConv, FpLinear};
use crate::quant::{Lsq, Ste};
use candle_core::{DType, Module};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Layers in a tuple, in vectors and in an option, a network in a network, and a tensor of its own.
struct Nested {
    body: Vec<(FpConv, BatchNorm)>,
    skip: Option<FpConv>,
    head: Head,
    scale: Var,
}

struct Head(FpLinear);

impl ModuleT for Head {
    fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        self.0.forward(x)
    }
}

impl Network for Head {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("fc", &self.0);
    }
    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

impl ModuleT for Nested {
    fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(x.clone())
    }
}

impl Network for Nested {
    fn visit(&self, visitor: &mut Visitor) {
        visitor.part("body", &self.body);
        visitor.unpruned_part("skip", &self.skip);
        visitor.part("head", &self.head);
        visitor.parameter("scale", &self.scale);
    }
    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

fn nested(skip: bool) -> Nested {
    let (mut rng, device) = (ChaCha8Rng::seed_from_u64(1), Device::Cpu);
    let mut conv =
        |quantization: Quantization| FpConv::new((2, 2), 3, 1, quantization, &mut rng, &device).unwrap();
    let body =
        [Lsq { n_bits: 4, per_channel: false }.into(), Ste { n_bits: Some(2), symmetric: true }.into()];
    let body = body.map(|quantization| (conv(quantization), BatchNorm::new(2, &device).unwrap())).into();
    let skip = skip.then(|| conv(Quantization::default()));
    let head = Head(FpLinear::new(2, 3, None, &mut rng, &device).unwrap());
    Nested { body, skip, head, scale: Var::ones((2, 2), DType::F32, &device).unwrap() }
}

fn names<T>(named: Vec<(String, T)>) -> Vec<String> {
    named.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_visit_gives_all_names_in_its_order() {
    let net = nested(true);
    assert_eq!(
        names(net.named_parameters()),
        [
            "body.0.0.weight",
            "body.0.0.weight_step",
            "body.0.1.weight",
            "body.0.1.bias",
            "body.1.0.weight",
            "body.1.1.weight",
            "body.1.1.bias",
            "skip.weight",
            "head.fc.weight",
            "head.fc.bias",
            "scale"
        ]
    );
    let buffers = names(net.named_buffers());
    assert_eq!(buffers[..2], ["body.0.1.running_mean", "body.0.1.running_var"]);
    assert_eq!(names(net.prunable_layers()), ["body.0.0", "body.1.0", "head.fc", "scale"]);
    let quantizers =
        net.quantizers().into_iter().map(|(name, quantization)| format!("{name}: {quantization}"));
    let expected = ["body.0.0.weight: 4 bits with a learned step", "body.1.0.weight: 2 bits, symmetric"];
    assert_eq!(quantizers.collect::<Vec<_>>(), expected);
    assert!(!names(nested(false).named_parameters()).contains(&"skip.weight".to_owned()));
    let as_object: &dyn Network = &net.head;
    assert_eq!(names(as_object.named_parameters()), ["fc.weight", "fc.bias"]);
}

#[test]
fn a_name_that_is_used_twice_is_refused() {
    struct Twice(Head);
    impl ModuleT for Twice {
        fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
            self.0.forward_t(x, train)
        }
    }
    impl Network for Twice {
        fn visit(&self, visitor: &mut Visitor) {
            visitor.part("head", &self.0);
            visitor.part("head", &self.0);
        }
        fn device(&self) -> &Device {
            &Device::Cpu
        }
    }
    let error = state_dict(&Twice(nested(false).head)).unwrap_err().to_string();
    assert!(error.contains("`head.fc.weight` twice"), "{error}");
}

#[test]
fn learned_parameters_are_loaded_and_start_anew_where_a_checkpoint_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let (own, float) = (folder.path().join("own.safetensors"), folder.path().join("float.safetensors"));
    let net = nested(true);
    let step = |net: &Nested| net.body[0].0.quantization.parameters()[0].1.to_vec1::<f32>().unwrap()[0];
    let start = step(&net);
    net.body[0].0.quantization.parameters()[0].1.set(&Tensor::new(&[0.7f32], &Device::Cpu).unwrap()).unwrap();
    net.save_packed(&own).unwrap();
    let weight = &net.body[0].0.weight;
    weight.set(&(weight.as_tensor() * 3.0).unwrap()).unwrap();
    let mut state = state_dict(&net).unwrap();
    state.remove("body.0.0.weight_step");
    checkpoint::save_state_dict(&state, &float).unwrap();

    let loaded = nested(true);
    loaded.load_weights(&own).unwrap();
    assert_eq!(step(&loaded), 0.7);
    loaded.load_weights(&float).unwrap();
    assert!((step(&loaded) - 3.0 * start).abs() < 1e-6, "{} is not three times {start}", step(&loaded));
}
