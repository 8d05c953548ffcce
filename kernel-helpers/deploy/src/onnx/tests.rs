//! Another engine computes from a file what we do.

use super::proto::{DataType, GraphProto, TensorProto};
use super::{OnnxModel, OnnxOptions};
use crate::tests::{all, graphs, seasoned, values};
use crate::{Calibration, IntegerNetwork};
use kernel_helpers::prelude::*;
use rten::{Model as Engine, Value};

/// The logits that the other engine computes for images.
fn elsewhere(onnx: &OnnxModel, images: &Tensor) -> Vec<f32> {
    let engine = Engine::load(onnx.to_bytes()).unwrap();
    let input = Value::from_shape(images.dims(), values(images)).unwrap();
    let (shape, logits) = engine.run_one(input.into(), None).unwrap().into_shape_vec::<f32, 2>().unwrap();
    assert_eq!(shape, [images.dim(0).unwrap(), 10]);
    logits
}

/// The largest difference, as a share of the largest logit.
fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    let largest = ours.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / largest
}

fn predictions(logits: &[f32]) -> Vec<usize> {
    let best = |logits: &[f32]| (0..10).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
    logits.chunks(10).map(best).collect()
}

fn graph_of(onnx: &OnnxModel) -> &GraphProto {
    onnx.0.graph.as_ref().unwrap()
}

fn constant<'a>(onnx: &'a OnnxModel, name: &str) -> &'a TensorProto {
    graph_of(onnx).initializer.iter().find(|constant| constant.name == name).unwrap()
}

#[test]
fn floats_are_the_same_elsewhere() {
    let data = Cifar10::striped(64, 24);
    let (images, seen) = (all(&data.test).0, all(&data.train).0);
    for graph in graphs() {
        let name = graph.title().to_owned();
        let net = seasoned(graph, &seen);
        let ours = values(&net.forward_t(&images, false).unwrap());
        let theirs = elsewhere(&OnnxModel::of(&net).unwrap(), &images);
        assert!(difference(&ours, &theirs) < 1e-5, "{name}: {}", difference(&ours, &theirs));
        assert_eq!(predictions(&ours), predictions(&theirs), "{name}");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let digits = rand(0f32, 1.0, (5, 1, 28, 28), &mut rng, &Device::Cpu).unwrap();
    for graph in [lenet(10).unwrap(), mlp(10).unwrap()] {
        let net = graph.build(1, &Device::Cpu).unwrap();
        let ours = values(&net.forward_t(&digits, false).unwrap());
        assert!(difference(&ours, &elsewhere(&OnnxModel::of(&net).unwrap(), &digits)) < 1e-5);
    }
}

#[test]
fn integers_are_nearly_the_same_elsewhere() {
    let data = Cifar10::striped(64, 24);
    let (images, seen) = (all(&data.test).0, all(&data.train).0);
    for graph in graphs() {
        let name = graph.title().to_owned();
        let net = IntegerNetwork::quantize(&seasoned(graph, &seen), &data, Calibration::default()).unwrap();
        let ours = values(&net.forward(&images).unwrap());
        let theirs = elsewhere(&OnnxModel::of_integers(&net, OnnxOptions::default()), &images);
        assert!(difference(&ours, &theirs) < 0.02, "{name}: {}", difference(&ours, &theirs));
    }
}

#[test]
fn weights_are_those_in_use_under_the_names_of_a_checkpoint() {
    let config = ResNetConfig { n_bits: Some(4), ..Default::default() };
    let net = resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap();
    prune_layers(&net, 0.5).unwrap();
    let onnx = OnnxModel::of(&net).unwrap();
    let saved = kernel_helpers::state_dict(&net).unwrap();
    let names: Vec<&String> = graph_of(&onnx).initializer.iter().map(|constant| &constant.name).collect();
    assert_eq!(names.len(), saved.keys().filter(|name| !name.ends_with("num_batches_tracked")).count());
    assert!(names.iter().all(|name| saved.contains_key(*name)), "{names:?}");

    let weight = constant(&onnx, "body_op.0.conv1.0.conv.weight");
    assert_eq!(weight.dims, [16, 16, 3, 3]);
    let values: Vec<f32> =
        weight.raw_data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let zeros = values.iter().filter(|value| **value == 0.0).count();
    assert_eq!(zeros, values.len() / 2);
    let mut levels: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
    levels.sort_unstable();
    levels.dedup();
    assert!(levels.len() <= 17, "16 levels and zero, not {}", levels.len());
}

#[test]
fn few_bits_take_half_a_byte() {
    let data = Cifar10::striped(32, 8);
    let graph = Graph::new("small", [3, 32, 32], |x| {
        let symmetric = Ste { n_bits: Some(4), symmetric: true };
        x.conv(5, 3).quantized(symmetric).relu().global_average_pool().linear(10)
    });
    let net = graph.unwrap().build(0, &Device::Cpu).unwrap();
    let integers = IntegerNetwork::quantize(&net, &data, Calibration::default()).unwrap();
    let [eight, four] =
        [false, true].map(|four_bits| OnnxModel::of_integers(&integers, OnnxOptions { four_bits }));
    assert_eq!([&eight, &four].map(|onnx| onnx.0.opset_import[0].version), [17, 21]);
    let of_type = |onnx: &OnnxModel, layer: &str| constant(onnx, &format!("{layer}.weight")).data_type;
    assert_eq!(of_type(&eight, "conv1"), DataType::Int8 as i32);
    assert_eq!(of_type(&four, "conv1"), DataType::Int4 as i32);
    assert_eq!(of_type(&four, "linear1"), DataType::Int8 as i32);
    let [bytes, halves] = [&eight, &four].map(|onnx| &constant(onnx, "conv1.weight").raw_data);
    assert_eq!((bytes.len(), halves.len()), (5 * 27, (5 * 27usize).div_ceil(2)));
    let half = |at: usize| (halves[at / 2] << if at.is_multiple_of(2) { 4 } else { 0 }).cast_signed() >> 4;
    assert!(bytes.iter().enumerate().all(|(at, byte)| byte.cast_signed() == half(at)));
}

#[test]
fn every_name_is_given_once() {
    let graph = Graph::new("twins", [1, 4, 4], |x| {
        let left = x.relu().named("images");
        let right = x.relu6().named("images");
        (left + right).named("logits").flatten().dropout(0.5)
    });
    let onnx = OnnxModel::of(&graph.unwrap().build(0, &Device::Cpu).unwrap()).unwrap();
    let nodes = &graph_of(&onnx).node;
    let outputs: Vec<&str> = nodes.iter().map(|node| &*node.output[0]).collect();
    assert_eq!(outputs, ["images_2", "images_3", "logits_2", "logits"]);
    assert_eq!(nodes[2].input, ["images_2", "images_3"]);
    let only_images = Graph::new("nothing", [1, 4, 4], |x| x).unwrap().build(0, &Device::Cpu).unwrap();
    let onnx = OnnxModel::of(&only_images).unwrap();
    assert_eq!((&*graph_of(&onnx).node[0].op_type, &*graph_of(&onnx).output[0].name), ("Identity", "logits"));
}

/// A layer of one's own.
#[derive(Debug)]
struct Halved;

impl CustomLayer for Halved {
    fn kind(&self) -> &str {
        "halved"
    }

    fn forward(&self, x: &Tensor, _: &[Tensor], _: bool) -> Result<Tensor> {
        Ok((x * 0.5)?)
    }
}

#[test]
fn a_layer_of_one_s_own_is_named() {
    let graph = Graph::new("own", [1, 4, 4], |x| x.layer(Halved).named("half").flatten().linear(10));
    let net = graph.unwrap().build(0, &Device::Cpu).unwrap();
    let error = OnnxModel::of(&net).unwrap_err().to_string();
    assert!(error.starts_with("half: expected layers that ONNX has: convolutions"), "{error}");
    assert!(error.ends_with("found halved"), "{error}");
}
