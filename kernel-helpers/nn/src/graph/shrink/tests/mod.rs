//! A network without channels that are zero computes what it did with them.

mod groups;
mod ranks;
mod speed;

use super::*;
use crate::checkpoint::load_state_dict;
use crate::graph::{CustomLayer, Graph, Model};
use crate::models::*;
use crate::ops;
use crate::prune::PruneScope;
use crate::quant::{Codebook, Lsq, PerChannel, Quantization, Ste};
use crate::{Network, state_dict};
use base::Result;
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug)]
struct Swish;

impl CustomLayer for Swish {
    fn kind(&self) -> &str {
        "swish"
    }
    fn is_channelwise(&self) -> bool {
        true
    }
    fn forward(&self, x: &Tensor, _parameters: &[Tensor], _train: bool) -> Result<Tensor> {
        Ok(candle_nn::ops::silu(x)?)
    }
}

/// Layers of one's own that mix channels.
#[derive(Debug)]
struct Centered;

impl CustomLayer for Centered {
    fn kind(&self) -> &str {
        "centered"
    }
    fn forward(&self, x: &Tensor, _parameters: &[Tensor], _train: bool) -> Result<Tensor> {
        Ok(x.broadcast_sub(&x.mean_keepdim(1)?)?)
    }
}

/// A network with every kind of layer between channels.
fn odd() -> Graph {
    Graph::new("odd", [3, 16, 16], |x| {
        let x = x.conv(12, 3).with_bias().batch_norm().average_pool(3).stride(2).padding(1);
        let skipped = x.dropout(0.5).layer(Swish);
        let y = x.conv(12, 3).groups(4).batch_norm().relu6();
        let y = (&y + &skipped).batch_norm();
        let z = y.conv(20, 3).padding(0).relu();
        let z = z.concat(&z.conv(5, 1)).max_pool(3).stride(2).padding(1);
        let z = z.conv(9, 1).layer(Centered);
        z.flatten().linear(40).batch_norm().relu().linear(30).without_bias().relu().linear(10)
    })
    .unwrap()
}

fn graphs() -> Vec<Graph> {
    vec![
        resnet_cifar(ResNetConfig::default()).unwrap(),
        wide_resnet(10, 1).unwrap(),
        vgg(10).unwrap(),
        mobilenet(10).unwrap(),
        lenet(10).unwrap(),
        mlp(10).unwrap(),
        odd(),
    ]
}

/// A network whose batch norms are all different and have seen images, its biases included.
fn seasoned(graph: Graph) -> Model {
    let net = graph.build(3, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (_, var) in net.named_parameters().iter().filter(|(_, var)| var.rank() == 1) {
        let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(0.2..1.0)).collect();
        var.set(&Tensor::new(values, &Device::Cpu).unwrap()).unwrap();
    }
    for _ in 0..3 {
        net.forward_t(&images(&net, 16), true).unwrap();
    }
    net
}

fn images(net: &Model, count: usize) -> Tensor {
    let shape = net.graph().input_shape();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let values = (0..count * shape.values()).map(|_| rng.random_range(-1.0..1.0));
    Tensor::from_vec(values.collect::<Vec<f32>>(), shape.of_batch(count), &Device::Cpu).unwrap()
}

fn evaluated(net: &Model) -> Vec<f32> {
    net.forward_t(&images(net, 4), false).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_same(what: &str, small: &Model, large: &Model) {
    let (small, large) = (evaluated(small), evaluated(large));
    let largest = large.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let error = small.iter().zip(&large).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(small.len() == large.len() && error <= 1e-5 * largest, "{what}: {error} of {largest}");
}

fn pruning(share: ChannelShare) -> ChannelPruning {
    ChannelPruning::new(share)
}

#[test]
fn every_network_computes_without_its_zero_channels_what_it_did_with_them() {
    for graph in graphs() {
        for (scope, multiple) in [(PruneScope::Global, 1), (PruneScope::Layer, 4)] {
            let net = seasoned(graph.clone());
            let what = format!("{} {scope}", graph.title());
            let share = ChannelShare::Multiplications(0.3);
            ChannelPruning { scope, multiple, ..pruning(share) }.prune(&net).unwrap();
            let small = net.shrunk().unwrap();
            let (before, after) = (graph.multiplications(), small.graph().multiplications());
            assert!(after as f64 <= 0.7 * before as f64, "{what}: {after} of {before}");
            assert!(small.graph().parameters() < graph.parameters());
            assert_ne!(small.graph().description(), graph.description());
            assert_same(&what, &small, &net);
            let outputs = evaluated(&net);
            assert!(outputs.iter().any(|output| (output - outputs[0]).abs() > 1e-3), "{what}: {outputs:?}");
            assert_eq!(small.shrunk().unwrap().graph().parameters(), small.graph().parameters(), "{what}");
        }
    }
}

#[test]
fn a_smaller_network_is_fitted_to_its_checkpoint_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.safetensors");
    for graph in graphs() {
        let net = seasoned(graph.clone());
        pruning(ChannelShare::Channels(0.6)).prune(&net).unwrap();
        let small = net.shrunk().unwrap();
        for packed in [false, true] {
            match packed {
                true => small.save_packed(&file).unwrap(),
                false => small.save_weights(&file).unwrap(),
            }
            let fitted = graph.fitted_to(&load_state_dict(&file).unwrap()).unwrap();
            assert_eq!(fitted.description(), small.graph().description());
            let loaded = fitted.build(1, &Device::Cpu).unwrap();
            loaded.load_weights(&file).unwrap();
            assert_eq!(evaluated(&loaded), evaluated(&small), "{}", graph.title());
        }
    }
}

#[test]
fn a_smaller_network_learns() {
    let net = seasoned(resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() }).unwrap());
    pruning(ChannelShare::Channels(0.5)).prune(&net).unwrap();
    let small = net.shrunk().unwrap();
    let before = evaluated(&net);
    let (images, labels) = (images(&small, 16), Tensor::new(&[0u32, 1, 2, 3], &Device::Cpu).unwrap());
    let labels = labels.repeat(4).unwrap();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let loss = ops::cross_entropy(&small.forward_t(&images, true).unwrap(), &labels).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
        let gradients = loss.backward().unwrap();
        for (_, var) in small.named_parameters() {
            let step = (gradients.get(&var).unwrap() * 0.1).unwrap();
            var.set(&(var.as_tensor() - step).unwrap()).unwrap();
        }
    }
    assert!(losses[29] < losses[0] / 2.0, "{losses:?}");
    assert_eq!(evaluated(&net), before, "the larger network has its own parameters");
}

#[test]
fn quantized_networks_keep_their_levels() {
    let quantizations: [Quantization; 6] = [
        Ste { n_bits: Some(3), symmetric: false }.into(),
        Ste::BINARY.into(),
        PerChannel(Ste { n_bits: Some(4), symmetric: true }).into(),
        Lsq { n_bits: 4, per_channel: true }.into(),
        Lsq { n_bits: 4, per_channel: false }.into(),
        Codebook { values: 16 }.into(),
    ];
    for quantization in quantizations {
        for graph in [odd(), mobilenet(10).unwrap()] {
            let net = seasoned(graph.clone()).quantized(|_| quantization.clone()).unwrap();
            let what = format!("{}, {quantization}", graph.title());
            let untouched = net.shrunk().unwrap();
            assert_eq!(untouched.graph().parameters(), graph.parameters(), "{what}");
            pruning(ChannelShare::Channels(0.5)).prune(&net).unwrap();
            let small = net.shrunk().unwrap();
            assert!(small.graph().parameters() < graph.parameters() * 3 / 4, "{what}");
            assert_same(&what, &small, &net);
            assert_eq!(small.quantizers().len(), net.quantizers().len());
        }
    }
}

#[test]
fn parameters_of_a_smaller_network_are_those_that_are_left() {
    let net = seasoned(lenet(10).unwrap());
    let small = net.without([("conv2".to_owned(), 0), ("linear2".to_owned(), 83)]).unwrap();
    let (before, after) = (state_dict(&net).unwrap(), state_dict(&small).unwrap());
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let rest = |name: &str, dimension: usize, start: usize, length: usize| {
        values(&before[name].narrow(dimension, start, length).unwrap())
    };
    assert_eq!(values(&after["conv2.weight"]), rest("conv2.weight", 0, 1, 15));
    assert_eq!(values(&after["conv2.bias"]), rest("conv2.bias", 0, 1, 15));
    assert_eq!(values(&after["linear1.weight"]), rest("linear1.weight", 1, 25, 375));
    assert_eq!(values(&after["linear2.weight"]), rest("linear2.weight", 0, 0, 83));
    assert_eq!(values(&after["linear3.weight"]), rest("linear3.weight", 1, 0, 83));
    assert_eq!(values(&after["conv1.weight"]), values(&before["conv1.weight"]));
}
