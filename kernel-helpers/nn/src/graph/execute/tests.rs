use super::*;
use crate::Network as _;
use crate::graph::{CustomLayer, Node};
use crate::ops::backward;
use crate::ops::testing::*;
use crate::quant::Ste;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device};
use candle_nn::ModuleT;

/// `tanh(x) · scale`, with a scale for each channel.
#[derive(Debug)]
struct ScaledTanh(usize);

impl CustomLayer for ScaledTanh {
    fn kind(&self) -> &str {
        "scaled_tanh"
    }

    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("scale".to_owned(), Tensor::ones(self.0, DType::F32, &Device::Cpu).unwrap())]
    }

    fn forward(&self, x: &Tensor, parameters: &[Tensor], _train: bool) -> Result<Tensor> {
        Ok(x.tanh()?.broadcast_mul(&parameters[0].reshape((1, self.0, 1, 1))?)?)
    }
}

fn unit(x: &Node, outputs: usize, kernel: usize, stride: usize) -> Node {
    x.conv(outputs, kernel).stride(stride).batch_norm()
}

fn block(x: &Node, outputs: usize, stride: usize) -> Node {
    let inner = unit(&unit(x, outputs, 3, stride).relu(), outputs, 3, 1);
    let skip = if x.channels() == outputs { x.clone() } else { unit(x, outputs, 1, stride) };
    (inner + skip).relu()
}

pub(super) fn residual(x: Node) -> Node {
    let x = unit(&x, 16, 3, 1).relu();
    let x = [(16, 1), (32, 2), (32, 1), (48, 1)]
        .iter()
        .fold(x, |x, &(outputs, stride)| block(&x, outputs, stride));
    x.global_average_pool().linear(5)
}

fn pre_activated(x: Node) -> Node {
    let mut x = x.conv(16, 3);
    for _ in 0..2 {
        let inner = x.batch_norm().relu().conv(16, 3).batch_norm().relu().conv(16, 3);
        x = x + inner;
    }
    x.batch_norm().relu().global_average_pool().linear(4)
}

fn biased(x: Node) -> Node {
    let x =
        x.conv(6, 5).padding(2).with_bias().relu().max_pool(2).conv(20, 3).with_bias().batch_norm().relu();
    x.flatten().linear(40).batch_norm().relu().linear(24).relu6().linear(7)
}

fn separable(x: Node) -> Node {
    let x = unit(&x, 32, 3, 1).relu6();
    let x = x.depthwise_conv(3).stride(2).batch_norm().relu6().conv(48, 1).batch_norm().relu6();
    x.conv(32, 3).groups(2).batch_norm().average_pool(3).stride(2).padding(1).global_average_pool().linear(18)
}

/// Values that are read more than once, in every way.
fn shared(x: Node) -> Node {
    let branch = x.conv(3, 1);
    let x = (&x + &branch).relu();
    let doubled = &x + &x;
    let (left, right) = (doubled.conv(20, 3), doubled.conv(20, 3).with_bias().relu());
    let sum = &left + &right;
    let more = &sum + &left.relu();
    let all = (&more + &(&sum + &right)).relu();
    all.concat(&left).conv(16, 1).max_pool(3).stride(1).padding(1).layer(ScaledTanh(16)).relu()
}

fn dropped(x: Node) -> Node {
    x.flatten().dropout(0.3).linear(32).relu().dropout(0.5).linear(32).linear(3)
}

type Describe = fn(Node) -> Node;

const ZOO: [(&str, Describe); 6] = [
    ("residual", residual),
    ("pre-activated", pre_activated),
    ("biased", biased),
    ("separable", separable),
    ("shared", shared),
    ("dropped", dropped),
];

fn network(describe: Describe, isa: Isa) -> Network {
    let graph = Graph::new("test", [3, 9, 7], describe).unwrap();
    let plan = Plan::of(&graph);
    Network {
        seeds: (0..graph.layers.len() as u64).collect(),
        plan: Arc::new(plan),
        graph: Arc::new(graph),
        isa,
    }
}

/// Parameters at which the activations of every layer are of the order of 1.
fn parameters(network: &Network) -> Tensor {
    let of_layer = |(at, layer): (usize, &crate::graph::Layer)| {
        let parameters = network.graph.parameters_of(layer).into_iter().enumerate();
        let drawn = parameters.map(|(index, parameter)| {
            let values = random(&parameter.shape, (10 * at + index) as u64);
            let fan = parameter.count() / parameter.shape[0];
            match (parameter.shape.len(), index) {
                (1, 0) => (values.abs().unwrap() + 0.5).unwrap(),
                (1, _) => values,
                _ => (values * (3.0 / fan as f64).sqrt()).unwrap().flatten_all().unwrap(),
            }
        });
        drawn.collect::<Vec<_>>()
    };
    let all: Vec<Tensor> = network.graph.layers.iter().enumerate().flat_map(of_layer).collect();
    Tensor::cat(&all, 0).unwrap()
}

/// The parameters that are parts of one tensor.
pub(super) fn parts(network: &Network, parameters: &Tensor) -> Vec<Tensor> {
    let places = network.plan.parameters.iter().flatten();
    places.map(|place| parameters.narrow(0, place.start, place.len()).unwrap()).collect()
}

fn is_norm(layer: &crate::graph::Layer) -> bool {
    matches!(layer.operation, crate::graph::operation::Operation::BatchNorm)
}

/// These statistics, one pair for each batch norm, at the places of the norms.
pub(super) fn running_pairs(network: &Network, pairs: Vec<[Tensor; 2]>) -> Vec<Option<[Tensor; 2]>> {
    let mut pairs = pairs.into_iter();
    network.graph.layers.iter().map(|layer| is_norm(layer).then(|| pairs.next()).flatten()).collect()
}

/// Running statistics of every batch norm.
fn running(network: &Network) -> Vec<Option<[Tensor; 2]>> {
    let norms = network.graph.layers.iter().filter(|layer| is_norm(layer)).enumerate();
    let pair = |(at, layer): (usize, &crate::graph::Layer)| {
        let channels = [layer.shape.channels];
        let variance = (random(&channels, at as u64 + 1).abs().unwrap() + 0.5).unwrap();
        [random(&channels, at as u64), variance]
    };
    running_pairs(network, norms.map(pair).collect())
}

#[test]
fn a_training_step_is_that_of_the_layers_in_f64_on_every_instruction_set() {
    for (name, describe) in ZOO {
        for (isa, batch) in Isa::available().into_iter().flat_map(|isa| [(isa, 3), (isa, 35)]) {
            println!("{name}, {isa}, {batch} images");
            let network = network(describe, isa);
            let workspace = Workspace::default();
            assert_same_gradients(
                &[random(&[batch, 3, 9, 7], 1), parameters(&network)],
                |t| Ok(network.train(&t[0], &parts(&network, &t[1]), &workspace)?.0),
                |t| network.layered(&t[0], &parts(&network, &t[1]), None),
            );
        }
    }
}

#[test]
fn an_evaluation_is_that_of_the_layers_in_f64_on_every_instruction_set() {
    for (name, describe) in ZOO.into_iter().filter(|(name, _)| *name != "dropped") {
        for (isa, batch) in Isa::available().into_iter().flat_map(|isa| [(isa, 3), (isa, 35)]) {
            println!("{name}, {isa}, {batch} images");
            let network = network(describe, isa);
            let running = running(&network);
            if running.iter().all(Option::is_none) {
                continue;
            }
            assert_same_gradients(
                &[random(&[batch, 3, 9, 7], 1), parameters(&network)],
                |t| network.evaluate(&t[0], &parts(&network, &t[1]), &running),
                |t| network.layered(&t[0], &parts(&network, &t[1]), Some(&running)),
            );
        }
    }
}

#[test]
fn a_step_gives_the_same_bits_on_any_number_of_threads() {
    for (_, describe) in ZOO {
        let network = network(describe, Isa::current().unwrap());
        let images = random(&[37, 3, 9, 7], 1);
        assert_same_bits_on_any_number_of_threads(&[images, parameters(&network)], |t| {
            Ok(network.train(&t[0], &parts(&network, &t[1]), &Workspace::default())?.0)
        });
    }
}

#[test]
fn two_steps_at_once_and_a_second_way_back_do_not_disturb_each_other() {
    for (_, describe) in ZOO {
        let network = network(describe, Isa::current().unwrap());
        let (images, others) = (random(&[4, 3, 9, 7], 1), random(&[2, 3, 9, 7], 2));
        let workspace = Workspace::default();
        let parameters = Var::from_tensor(&parameters(&network)).unwrap();
        let loss = |images: &Tensor| {
            network
                .train(images, &parts(&network, &parameters), &workspace)
                .unwrap()
                .0
                .sqr()
                .unwrap()
                .sum_all()
                .unwrap()
        };
        let gradient = |loss: &Tensor| {
            loss.backward()
                .unwrap()
                .get(&parameters)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        };
        let alone = gradient(&loss(&images));
        let (first, second) = (loss(&images), loss(&others));
        gradient(&second);
        assert_eq!(gradient(&first), alone);
        assert_eq!(gradient(&first), alone);
    }
}

#[test]
fn gradients_that_are_handed_over_are_those_that_candle_gives() {
    let graph = Graph::new("test", [3, 9, 7], biased).unwrap();
    let quantized =
        |name: &str| if name == "conv2" { Ste { n_bits: Some(4), symmetric: false } } else { Ste::default() };
    let net = graph.build(0, &Device::Cpu).unwrap().quantized(quantized).unwrap();
    let images = random(&[5, 3, 9, 7], 1);
    let parameters = net.named_parameters();
    // The parameters are in the loss more than once: in two passes, and by themselves.
    let once = || net.forward_t(&images, true).unwrap().sqr().unwrap().sum_all().unwrap();
    let penalty = parameters[0].1.sqr().unwrap().sum_all().unwrap();
    let loss = ((once() + once()).unwrap() + penalty).unwrap();
    let expected = loss.backward().unwrap();
    for found in [backward(&loss).unwrap(), backward(&loss).unwrap(), loss.backward().unwrap()] {
        for (name, var) in &parameters {
            let values =
                |store: &GradStore| store.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in values(&found).into_iter().zip(values(&expected)) {
                assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{name}: {found}, not {expected}");
            }
        }
    }
}
