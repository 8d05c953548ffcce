//! The bits that a training gives, as sums of this version of the numerics.
//!
//! They rest on IEEE arithmetic, on the order of the kernels' sums, on what candle does value by value, and on the random
//! numbers of `rand`: on no function of the system's math library, no number of threads and no operating system.

use super::tests::{network, with_parameters};
use super::{ResidualNetwork, Workspace};
use crate::digest::sha256;
use crate::fp_layers::Ste;
use crate::kernels::Isa;
use crate::machine::NUMERICS;
use crate::ops::testing::random;
use crate::optim::{Optimizer, Sgd, SgdConfig};
use candle_core::{Tensor, Var};

/// The version that the sums are of.
const VERSION: u32 = 1;
/// The sum of the bits on each instruction set.
const SUMS: [(&str, &str); 3] = [
    ("avx512", "d0dae523af4c733e1d390659c90e34763f8096470bbd6f99e727b858c06c0fc3"),
    ("avx2", "d0dae523af4c733e1d390659c90e34763f8096470bbd6f99e727b858c06c0fc3"),
    ("portable", "65c44318f50704d96235b1c814df22d9647fc1ce815fd5deb0d59c43e8b92bb1"),
];

/// Small images with pixels to spare at stride 2, and images whose convolutions all are Winograd's.
const SIZES: [[usize; 2]; 2] = [[9, 7], [8, 8]];

/// The network with the weights of its blocks quantized.
fn quantized(mut net: ResidualNetwork) -> ResidualNetwork {
    let ste = Ste { n_bits: Some(4), symmetric: false };
    for block in &mut net.blocks {
        for conv in
            [Some(&mut block.first), Some(&mut block.second), block.mapping.as_mut()].into_iter().flatten()
        {
            conv.weight = ste.apply(&conv.weight).unwrap();
        }
    }
    net
}

/// Three steps of a small network on images of this size; the bytes of its parameters, of the last batch's statistics, and
/// of its logits in evaluation.
fn trained(isa: Isa, [rows, columns]: [usize; 2]) -> Vec<u8> {
    let (start, workspace) = (network(5), Workspace::default());
    let images = random(&[35, 3, rows, columns], 1);
    let plan = start.plan(&images).unwrap().expect("the kernels apply");
    let parameters = Var::from_tensor(&start.packed_parameters().unwrap()).unwrap();
    let net = || quantized(with_parameters(&start, &plan, &parameters));
    let config = SgdConfig { learning_rate: 0.001, ..Default::default() };
    let mut optimizer = Sgd::new(vec![("parameters".to_owned(), parameters.clone())], config);
    let mut results = Vec::new();
    for _ in 0..3 {
        let (logits, statistics) = net().forward_train_on(isa, &images, &workspace).unwrap().unwrap();
        // No exponential, whose bits are the math library's. The gradient does not depend on the sum's order.
        let loss = (logits - 1.0).unwrap().sqr().unwrap().mean_all().unwrap();
        optimizer.backward_step(&loss).unwrap();
        results =
            statistics.into_iter().flat_map(|statistics| [statistics.mean, statistics.variance]).collect();
    }
    results.push(net().forward_eval_on(isa, &images).unwrap().unwrap());
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
         machine.rs, and `VERSION` and the sums here to {found:#?}"
    );
}
