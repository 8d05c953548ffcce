//! The numbers of PyTorch on the course's checkpoint: accuracy to two of the 10,000 images, loss to 0.0005.

use homework_tests::{cifar10, course_checkpoint, skip};
use kernel_helpers::homework::prelude::*;
use kernel_helpers::prelude::*;

struct Reference {
    case: String,
    accuracy: f64,
    loss: f64,
}

/// The network with the course's weights, and the data; `None` where one of them is not there.
fn course_network(test: &str, n_bits: Option<u32>) -> Option<(Model, Data)> {
    let (Some(checkpoint), Some(folder)) = (course_checkpoint(), cifar10()) else {
        skip(test, "needs CIFAR-10 in data/ and the course's pretrained_model.pt");
        return None;
    };
    let config = ResNetConfig { n_bits, ..Default::default() };
    let net = resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap();
    net.load_weights(checkpoint).unwrap();
    Some((net, cifar10_in(folder, Scale::Full).unwrap()))
}

fn assert_matches(result: &TestResult, reference: &Reference) {
    let Reference { case, accuracy, loss } = reference;
    assert_eq!(result.images, 10_000);
    assert!(
        (result.accuracy - accuracy).abs() < 0.00025,
        "{case}: accuracy {} is not {accuracy}",
        result.accuracy
    );
    assert!((result.loss - loss).abs() < 0.0005, "{case}: loss {} is not {loss}", result.loss);
}

#[test]
fn the_float_network_matches() {
    let Some((net, data)) = course_network("the_float_network_matches", None) else { return };
    let reference = Reference { case: "float".into(), accuracy: 0.9151, loss: 0.3231 };
    assert_matches(&test(&net, &data).unwrap(), &reference);
}

#[test]
fn pruned_networks_match() {
    for (q, accuracy, loss) in [(0.2, 0.9087, 0.3449), (0.4, 0.8874, 0.4307), (0.7, 0.4204, 2.4417)] {
        let Some((net, data)) = course_network("pruned_networks_match", None) else { return };
        let sparsity = prune_layers(&net, q).unwrap();
        let reference = Reference { case: format!("pruned at {q}"), accuracy, loss };
        assert_matches(&test(&net, &data).unwrap(), &reference);
        if q == 0.7 {
            let fraction = |name: &str| {
                let layer = sparsity.layers.iter().find(|layer| layer.name == name).unwrap();
                (layer.fraction() * 1e4).round() / 1e4
            };
            let layers = ["head_conv.0", "body_op.0.conv1.0", "final_fc"];
            assert_eq!(layers.map(fraction), [0.6991, 0.7001, 0.7]);
        }
    }
}

#[test]
fn quantized_networks_match() {
    for (n_bits, accuracy, loss) in [(6, 0.9145, 0.3364), (4, 0.8972, 0.3861), (2, 0.0899, 9.5441)] {
        let Some((net, data)) = course_network("quantized_networks_match", Some(n_bits)) else { return };
        let reference = Reference { case: format!("{n_bits} bits"), accuracy, loss };
        assert_matches(&test(&net, &data).unwrap(), &reference);
    }
}
