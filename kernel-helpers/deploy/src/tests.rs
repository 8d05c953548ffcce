//! Integers compute what the float network does, nearly; and on every instruction set the same, exactly.

use crate::{Calibration, IntegerNetwork, RangeMethod};
use candle_core::{Device, Tensor};
use cpu_kernels::integer::IntegerIsa;
use kernel_helpers::prelude::*;

/// All images of a dataset, and their labels.
pub(crate) fn all(dataset: &std::sync::Arc<dyn Dataset>) -> (Tensor, Tensor) {
    let batch = DataLoader::new(dataset, dataset.len()).unwrap().epoch(0).next().unwrap().unwrap();
    (batch.images, batch.labels)
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A network whose layers are all of some kind that is special.
fn odd() -> Graph {
    Graph::new("odd", [3, 32, 32], |x| {
        let x = x.conv(12, 3).with_bias().batch_norm().average_pool(3).stride(2).padding(1);
        let skipped = x.dropout(0.5);
        let y = x.conv(12, 3).groups(3).batch_norm().relu6();
        let y = (&y + &skipped).batch_norm();
        let z = y.conv(20, 3).padding(0).relu();
        let z = z.concat(&z.conv(5, 1)).max_pool(3).stride(2).padding(1);
        z.flatten().linear(40).relu().linear(10)
    })
    .unwrap()
}

pub(crate) fn graphs() -> Vec<Graph> {
    vec![
        resnet_cifar(ResNetConfig::default()).unwrap(),
        wide_resnet(10, 1).unwrap(),
        vgg(10).unwrap(),
        mobilenet(10).unwrap(),
        odd(),
        // Without a linear layer in the end.
        Graph::new("convolutions", [3, 32, 32], |x| x.conv(10, 3).relu().conv(10, 1).global_average_pool())
            .unwrap(),
    ]
}

/// A network whose batch norms have seen images; a few, as this runs in an emulator too.
pub(crate) fn seasoned(graph: Graph, images: &Tensor) -> Model {
    let net = graph.build(3, &Device::Cpu).unwrap();
    let few = images.narrow(0, 0, 16.min(images.dim(0).unwrap())).unwrap();
    for _ in 0..20 {
        net.forward_t(&few, true).unwrap();
    }
    net
}

/// Integers give nearly what the network does, on every instruction set the same, and image by image.
fn check(net: &Model, data: &Data, images: &Tensor) {
    let name = net.graph().description();
    let calibration = Calibration { images: 64, range: RangeMethod::MinMax };
    let integers = IntegerNetwork::quantize(net, data, calibration).unwrap();
    let logits = values(&integers.forward(images).unwrap());
    let floats = values(&net.forward_t(images, false).unwrap());
    let largest = floats.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let error = logits.iter().zip(&floats).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(error < 0.1 * largest, "{name}: {error} of {largest}");
    for isa in IntegerIsa::available() {
        let other = values(&integers.forward_by(images, isa).unwrap());
        assert!(other == logits, "{name}: {isa}");
    }
    // So does what a file holds of it.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("integers.safetensors");
    integers.save(&path).unwrap();
    assert!(values(&IntegerNetwork::load(&path).unwrap().forward(images).unwrap()) == logits, "{name}");
    // One image alone gives what it gives among others.
    let alone = integers.forward(&images.narrow(0, 5, 1).unwrap()).unwrap();
    assert_eq!(values(&alone), logits[50..60], "{name}");
}

#[test]
fn integers_are_close_to_floats_and_the_same_everywhere() {
    let data = Cifar10::striped(64, 24);
    let images = all(&data.test).0;
    for graph in graphs() {
        check(&seasoned(graph, &all(&data.train).0), &data, &images);
    }
}

#[test]
fn a_network_without_its_zero_channels_is_one_like_any_other() {
    let data = Cifar10::striped(64, 24);
    let images = all(&data.test).0;
    for graph in graphs() {
        let net = seasoned(graph, &all(&data.train).0);
        ChannelPruning::new(ChannelShare::Channels(0.4)).prune(&net).unwrap();
        check(&net.shrunk().unwrap(), &data, &images);
    }
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let data = Cifar10::striped(16, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("integers.safetensors");
    let net = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() }).unwrap();
    let net = net.build(0, &Device::Cpu).unwrap();
    IntegerNetwork::quantize(&net, &data, Calibration::default()).unwrap().save(&path).unwrap();
    let whole = load_state_dict(&path).unwrap();
    let steps = String::from_utf8(whole["steps"].to_vec1::<u8>().unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut StateDict)| {
        let mut state = whole.clone();
        change(&mut state);
        save_state_dict(&state, &path).unwrap();
        IntegerNetwork::load(&path).unwrap_err().to_string()
    };
    for (from, to, expected) in [
        (r#""version":1"#, r#""version":2"#, "version 1"),
        (r#""inputs":16"#, r#""inputs":17"#, "with an output of its input's shape"),
        (r#""kernel":3"#, r#""kernel":5"#, "with an output of its input's shape"),
        (r#""stride":2"#, r#""stride":0"#, "with an output of its input's shape"),
        (r#""input":1"#, r#""input":99"#, "steps that read what is there"),
        (r#""channels":16"#, r#""channels":160000000"#, "numbers in all"),
        (r#""linear""#, r#""linearly""#, "the steps of a network of integers"),
    ] {
        assert!(steps.contains(from), "{from}");
        let text = steps.replacen(from, to, 1).into_bytes();
        let error = refused(&|state| {
            _ = state.insert("steps".to_owned(), Tensor::new(&text[..], &Device::Cpu).unwrap())
        });
        assert!(error.contains(expected), "{to}: {error}");
    }
    for name in ["0.codes", "0.scales", "1.bias"] {
        assert!(refused(&|state| _ = state.remove(name)).contains(name), "{name}");
        let short = whole[name].narrow(0, 0, 3).unwrap();
        assert!(
            refused(&|state| _ = state.insert(name.to_owned(), short.clone())).contains(&name[..1]),
            "{name}"
        );
    }
}

#[test]
fn what_integers_cannot_compute_is_named() {
    let data = Cifar10::striped(8, 8);
    let net = lenet(10).unwrap().build(0, &Device::Cpu).unwrap();
    let error = IntegerNetwork::quantize(&net, &data, Calibration::default()).unwrap_err().to_string();
    assert!(error.contains("[N, 1, 28, 28]"), "{error}");
}

/// How accurate and how fast the trained network is: `cargo test -p deploy -- --ignored --nocapture trained`.
#[test]
#[ignore = "a measurement"]
fn trained() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let net = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
    net.load_weights(root.join("checkpoints/resnet20.safetensors")).unwrap();
    let data = Cifar10::open(root.join("data")).unwrap();
    let (images, labels) = all(&data.test);
    let accuracy = |logits: &Tensor| {
        let hits = logits.argmax(1).unwrap().eq(&labels).unwrap();
        hits.to_dtype(DType::F32).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    println!("float {}", test(&net, &data).unwrap());
    let ready = net.prepared().unwrap();
    for (what, forward) in [
        ("float", &(|x: &Tensor| net.forward_t(x, false)) as &dyn Fn(&Tensor) -> candle_core::Result<Tensor>),
        ("float, prepared", &|x| ready.forward(x)),
    ] {
        for batch in [256, 1] {
            let (images, mut best) = (images.narrow(0, 0, batch).unwrap(), f64::INFINITY);
            for _ in 0..if batch == 1 { 400 } else { 10 } {
                let start = std::time::Instant::now();
                forward(&images).unwrap();
                best = best.min(start.elapsed().as_secs_f64());
            }
            println!("{what}, batch {batch}: {:.0} images/s", batch as f64 / best);
        }
    }
    for range in [RangeMethod::MinMax, RangeMethod::Percentile(99.99), RangeMethod::SquaredError] {
        let integers =
            IntegerNetwork::quantize(&net, &data, Calibration { range, ..Default::default() }).unwrap();
        println!("{range:?}: {}", accuracy(&integers.forward(&images).unwrap()));
        if range != RangeMethod::SquaredError {
            continue;
        }
        for batch in [256, 1] {
            let batch = images.narrow(0, 0, batch).unwrap();
            for isa in IntegerIsa::available() {
                let mut best = f64::INFINITY;
                for _ in 0..40 {
                    let start = std::time::Instant::now();
                    integers.forward_by(&batch, isa).unwrap();
                    best = best.min(start.elapsed().as_secs_f64());
                }
                println!(
                    "{isa}, batch {}: {:.0} images/s",
                    batch.dim(0).unwrap(),
                    batch.dim(0).unwrap() as f64 / best
                );
            }
        }
    }
}
