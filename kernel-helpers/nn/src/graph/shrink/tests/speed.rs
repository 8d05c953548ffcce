//! What smaller networks are worth: `cargo test -p nn --lib -- --ignored --nocapture faster`.

use super::*;
use std::time::Instant;

/// Images a second in evaluation on one thread.
fn speed(net: &Model) -> f64 {
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let images = images(net, 8);
    let time = |_| {
        let start = Instant::now();
        net.forward_t(&images, false).unwrap();
        start.elapsed().as_secs_f64()
    };
    8.0 / one_thread.install(|| (0..200).map(time).fold(f64::INFINITY, f64::min))
}

#[test]
#[ignore = "a measurement"]
fn faster() {
    for graph in [resnet_cifar(ResNetConfig::default()).unwrap(), vgg(10).unwrap(), mobilenet(10).unwrap()] {
        let before = graph.clone().build(0, &Device::Cpu).unwrap();
        println!("{}: {:.0} images/s", graph.title(), speed(&before));
        for (share, multiple) in [0.5, 0.75, 0.9].into_iter().flat_map(|share| [1, 8, 16].map(|m| (share, m)))
        {
            let net = graph.clone().build(0, &Device::Cpu).unwrap();
            let scope = PruneScope::Layer;
            let to = ChannelPruning { scope, multiple, ..pruning(ChannelShare::Multiplications(share)) };
            if let Err(error) = to.prune(&net) {
                println!("  {share}, multiples of {multiple}: {error}");
                continue;
            }
            let small = net.shrunk().unwrap();
            let part = |count: fn(&Graph) -> usize| count(small.graph()) as f64 / count(&graph) as f64;
            println!(
                "  {share}, multiples of {multiple}: {:.2} of multiplications, {:.2} of parameters, {:.0} images/s",
                part(Graph::multiplications),
                part(Graph::parameters),
                speed(&small)
            );
        }
    }
}
