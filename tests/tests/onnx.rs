//! Exported networks, computed by the engines of others on all of CIFAR-10's test images.

use homework_tests::{cifar10, project_root, python_with, scratch_folder, skip};
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;
use serde_json::Value;
use std::path::Path;

const NAME: &str = "engines_predict_what_we_do";
const PACKAGES: [&str; 4] = ["numpy", "onnx", "onnxruntime", "openvino"];

/// ResNet-20 with recorded weights.
fn recorded(file: &str, n_bits: Option<u32>) -> Model {
    let net = resnet_cifar(ResNetConfig { n_bits, ..Default::default() }).unwrap();
    let net = net.build(0, &Device::Cpu).unwrap();
    net.load_weights(project_root().join("checkpoints").join(file)).unwrap();
    net
}

/// Our logits for all test images.
fn logits(data: &Data, forward: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Tensor {
    let batches = DataLoader::new(&data.test, 500).unwrap().epoch(0);
    let logits: Vec<Tensor> = batches.map(|batch| forward(&batch.unwrap().images).unwrap()).collect();
    Tensor::cat(&logits, 0).unwrap()
}

/// Checks that every engine predicts the same for at least so many of 10,000 images.
fn check(what: &str, onnx: &OnnxModel, ours: Tensor, least: i64, data: &Path) {
    let folder = scratch_folder("onnx");
    let [model, ours_file] = ["network.onnx", "ours.safetensors"].map(|name| folder.join(name));
    onnx.save(&model).unwrap();
    save_state_dict(&StateDict::from([("logits".to_owned(), ours)]), &ours_file).unwrap();
    let mut script = python_with(&PACKAGES).expect("they were there");
    script.args(["lab/python/onnx_check.py", "--json"]).args([&model, data, &ours_file]);
    let output = script.output().unwrap();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    println!("{what}, {} bytes\n{lines}", onnx.to_bytes().len());
    assert_eq!(lines.lines().count(), 2, "{lines}");
    for result in lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        assert_eq!(result["images"], 10_000, "{what}: {result}");
        assert!(result["equal_predictions"].as_i64().unwrap() >= least, "{what}: {result}");
    }
}

#[test]
fn engines_predict_what_we_do() {
    let Some(folder) = cifar10() else { return skip(NAME, "needs CIFAR-10 in data/") };
    if python_with(&PACKAGES).is_none() {
        return skip(NAME, "needs a Python with lab/python/onnx-requirements.txt, see tests/RELIABILITY.md");
    }
    let data = cifar10_in(&folder, Scale::Full).unwrap();
    let floats = recorded("resnet20.safetensors", None);
    let four_bits = floats.quantized(|_| PerChannel(Ste { n_bits: Some(4), symmetric: true })).unwrap();
    for (name, net) in [
        ("trained", floats),
        ("pruned", recorded("resnet20/net_after_iterative_prune.safetensors", None)),
        ("4 bits", recorded("resnet20/quantized_net_after_finetune_4bit.safetensors", Some(4))),
        ("4 bits, symmetric by channel", four_bits),
    ] {
        let ours = logits(&data, |images| net.forward_t(images, false));
        check(&format!("{name}, in floats"), &OnnxModel::of(&net).unwrap(), ours, 10_000, &folder);
        let integers = IntegerNetwork::quantize(&net, &data, Calibration::default()).unwrap();
        let ours = logits(&data, |images| Ok(integers.forward(images)?));
        let options = OnnxOptions { four_bits: name.contains("symmetric") };
        let onnx = OnnxModel::of_integers(&integers, options);
        check(&format!("{name}, in integers"), &onnx, ours, 9_990, &folder);
    }
}
