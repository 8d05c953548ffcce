//! PyTorch loads weights as `kernel-helpers/deploy/PYTORCH.md` says, and computes what we do.

use homework_tests::{python_with, scratch_folder, skip};
use kernel_helpers::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// How the body's weights are quantized; head and classifier are not.
fn quantized(net: &Model, quantizer: impl Into<Quantization> + Clone) -> Model {
    let of_layer = |name: &str| match name.starts_with("body_op") {
        true => quantizer.clone().into(),
        false => Ste::default().into(),
    };
    net.quantized(of_layer).unwrap()
}

/// What PyTorch should find: some images, their logits, and the weights in use.
fn expected(net: &Model, path: &Path) {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let images = rand(-2f32, 2.0, (20, 3, 32, 32), &mut rng, &Device::Cpu).unwrap();
    let logits = net.forward_t(&images, false).unwrap();
    let weight = |layer: kernel_helpers::graph::EvaluatedLayer| {
        Some((format!("{}.weight", layer.name), layer.weight?))
    };
    let mut tensors: StateDict = net.evaluated_layers().unwrap().into_iter().filter_map(weight).collect();
    tensors.extend([("images".to_owned(), images), ("logits".to_owned(), logits)]);
    save_state_dict(&tensors, path).unwrap();
}

#[test]
fn torch_computes_what_we_do_with_our_weights() {
    let Some(mut script) = python_with(&["numpy", "safetensors", "torch"]) else {
        let reason = "needs a Python with numpy, safetensors and torch, see tests/RELIABILITY.md";
        return skip("torch_computes_what_we_do_with_our_weights", reason);
    };
    let folder = scratch_folder("torch");
    let net = resnet_cifar(ResNetConfig::default()).unwrap().build(1, &Device::Cpu).unwrap();
    // Running statistics of a batch norm that are none of those at the start.
    let images = Cifar10::striped(32, 8).train;
    let images = DataLoader::new(&images, 32).unwrap().epoch(0).next().unwrap().unwrap().images;
    (0..20).for_each(|_| drop(net.forward_t(&images, true).unwrap()));
    let case = |name: &str, net: &Model, pack: bool, quantizer: Value| {
        let path = |end: &str| folder.join(format!("{name}.{end}"));
        match pack {
            true => net.save_packed(path("safetensors")).unwrap(),
            false => net.save_weights(path("safetensors")).unwrap(),
        }
        expected(net, &path("expected.safetensors"));
        std::fs::write(path("json"), quantizer.to_string()).unwrap();
    };
    let symmetric = |bits| Ste { n_bits: Some(bits), symmetric: true };
    let asymmetric = |bits| Ste { n_bits: Some(bits), symmetric: false };
    let all = |net: &Model, when: &str| {
        case(&format!("3_bits{when}"), &quantized(net, asymmetric(3)), true, Value::Null);
        case(&format!("4_bits_symmetric{when}"), &quantized(net, symmetric(4)), true, Value::Null);
        case(&format!("binary{when}"), &quantized(net, Ste::BINARY), true, Value::Null);
        case(&format!("by_channel{when}"), &quantized(net, PerChannel(asymmetric(4))), true, Value::Null);
        let by_channel = PerChannel(symmetric(3));
        case(&format!("by_channel_symmetric{when}"), &quantized(net, by_channel), true, Value::Null);
        case(&format!("codebook{when}"), &quantized(net, Codebook { values: 11 }), true, Value::Null);
        for (name, ste) in [("4", asymmetric(4)), ("4_symmetric", symmetric(4)), ("1", Ste::BINARY)] {
            let quantizer = json!({ "bits": ste.n_bits, "symmetric": ste.symmetric });
            case(&format!("trained_{name}{when}"), &quantized(net, ste), false, quantizer);
        }
    };
    case("float", &net, false, Value::Null);
    all(&net, "");
    prune_layers(&net, 0.7).unwrap();
    case("pruned", &net, true, Value::Null);
    all(&net, "_pruned");
    let output = script.arg("tests/torch/load_weights.py").arg(&folder).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    println!("{printed}");
    assert_eq!(printed.lines().filter(|line| line.contains("weights are the same")).count(), 20);
}
