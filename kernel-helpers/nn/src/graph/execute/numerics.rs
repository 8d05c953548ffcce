//! The bits that a training gives, as sums of this version of the numerics.
//!
//! They rest on IEEE arithmetic, on the order of the kernels' sums, on what candle does value by value, and on the random
//! numbers of `rand`: on no function of the system's math library, no number of threads and no operating system.

use super::tests::{parts, residual, running_pairs};
use super::{Network, Workspace};
use crate::graph::NUMERICS;
use crate::graph::{Graph, plan::Plan};
use crate::ops::testing::random;
use crate::optim::{Optimizer, Sgd, SgdConfig};
use crate::quant::{Quantizer, Ste};
use base::digest::sha256;
use candle_core::{Tensor, Var};
use cpu_kernels::Isa;
use std::sync::Arc;

/// The version that the sums are of.
const VERSION: u32 = 1;
/// The sum of the bits on each instruction set.
const SUMS: [(&str, &str); 4] = [
    ("avx512", "d0dae523af4c733e1d390659c90e34763f8096470bbd6f99e727b858c06c0fc3"),
    ("avx2", "d0dae523af4c733e1d390659c90e34763f8096470bbd6f99e727b858c06c0fc3"),
    ("neon", "d0dae523af4c733e1d390659c90e34763f8096470bbd6f99e727b858c06c0fc3"),
    ("portable", "65c44318f50704d96235b1c814df22d9647fc1ce815fd5deb0d59c43e8b92bb1"),
];

/// Small images with pixels to spare at stride 2, and images whose convolutions all are Winograd's.
const SIZES: [[usize; 2]; 2] = [[9, 7], [8, 8]];

/// The seeds of the convolutions' parameters, in the order of the layers.
const SEEDS: [u64; 11] = [100, 200, 210, 300, 310, 320, 400, 410, 500, 510, 520];

fn positive(channels: usize, seed: u64) -> Tensor {
    (random(&[channels], seed).abs().unwrap() + 0.5).unwrap()
}

/// The parameters at the start, and the running statistics of each norm, in the order of the layers.
fn start(network: &Network) -> (Tensor, Vec<[Tensor; 2]>) {
    let (mut parameters, mut statistics, mut seeds) = (Vec::new(), Vec::new(), SEEDS.into_iter());
    let mut seed = 0;
    for layer in &network.graph.layers {
        let shapes: Vec<_> =
            network.graph.parameters_of(layer).into_iter().map(|parameter| parameter.shape).collect();
        match shapes.as_slice() {
            [weight] => {
                seed = seeds.next().expect("a seed for each convolution");
                let spread = (2.0 / (weight[1] * weight[2] * weight[3]) as f64).sqrt();
                parameters.push((random(weight, seed) * spread).unwrap());
            }
            [scale, shift] if scale == shift => {
                parameters.extend([positive(scale[0], seed + 1), random(shift, seed + 2)]);
                statistics.push([random(scale, seed + 3), positive(scale[0], seed + 4)]);
            }
            [weight, bias] => parameters.extend([random(weight, 600), random(bias, 700)]),
            _ => {}
        }
    }
    let flat: Vec<Tensor> = parameters.iter().map(|parameter| parameter.flatten_all().unwrap()).collect();
    (Tensor::cat(&flat, 0).unwrap(), statistics)
}

/// The parameters with the weights of the blocks quantized.
fn quantized(network: &Network, parameters: &Tensor) -> Vec<Tensor> {
    let ste = Ste { n_bits: Some(4), symmetric: false };
    let mut parts = parts(network, parameters).into_iter();
    let mut quantized = Vec::new();
    for (at, places) in network.plan.parameters.iter().enumerate() {
        let in_block = places.len() == 1 && at > 1;
        let parts = parts.by_ref().take(places.len());
        quantized.extend(parts.map(|part| if in_block { ste.quantize(&part, &[]).unwrap() } else { part }));
    }
    quantized
}

/// Three steps of a small network on images of this size; the bytes of its parameters, of the last batch's statistics, and
/// of its logits in evaluation.
fn trained(isa: Isa, [rows, columns]: [usize; 2]) -> Vec<u8> {
    let graph = Arc::new(Graph::new("numerics", [3, rows, columns], residual).unwrap());
    let plan = Arc::new(Plan::of(&graph));
    let network = Network { seeds: vec![0; graph.layers.len()], graph, plan, isa };
    let (start, statistics) = start(&network);
    let (parameters, workspace) = (Var::from_tensor(&start).unwrap(), Workspace::default());
    let images = random(&[35, 3, rows, columns], 1);
    let config = SgdConfig { learning_rate: 0.001, ..Default::default() };
    let mut optimizer = Sgd::new(vec![("parameters".to_owned(), parameters.clone())], config);
    let mut results = Vec::new();
    for _ in 0..3 {
        let step = network.train(&images, &quantized(&network, &parameters), &workspace).unwrap();
        // No exponential, whose bits are the math library's. The gradient does not depend on the sum's order.
        let loss = (step.0 - 1.0).unwrap().sqr().unwrap().mean_all().unwrap();
        optimizer.backward_step(&loss).unwrap();
        results = step.1.into_iter().flat_map(|(_, batch)| [batch.mean, batch.variance]).collect();
    }
    let running = running_pairs(&network, statistics);
    results.push(network.evaluate(&images, &quantized(&network, &parameters), &running).unwrap());
    results.push(parameters.as_tensor().clone());
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    results.iter().flat_map(values).flat_map(f32::to_le_bytes).collect()
}

#[test]
fn a_training_gives_the_bits_of_this_version_of_the_numerics() {
    let found = Isa::available().into_iter().map(|isa| {
        let bytes: Vec<u8> = SIZES.into_iter().flat_map(|size| trained(isa, size)).collect();
        assert!(
            bytes.chunks_exact(4).all(|b| f32::from_le_bytes(b.try_into().unwrap()).is_finite()),
            "{isa}"
        );
        (isa.name(), sha256(&bytes))
    });
    let found: Vec<(&str, String)> = found.collect();
    let same = |(name, sum): &(&str, String)| SUMS.contains(&(name, sum));
    assert!(
        NUMERICS == VERSION && found.iter().all(same),
        "a training gives other bits than recorded runs were made with: unless that is a mistake, raise `NUMERICS` in \
         graph/mod.rs, and `VERSION` and the sums here to {found:#?}"
    );
}
