use super::*;
use crate::ops::testing::*;
use candle_core::DType;

/// A network with every kind of block: identity, stride with a 1x1 skip, wider with a 1x1 skip; images of 9 x 7.
pub(super) fn network(classes: usize) -> ResidualNetwork {
    let conv = |outputs: usize, inputs: usize, kernel: usize, stride: usize, seed: u64| {
        let spread = (2.0 / (inputs * kernel * kernel) as f64).sqrt();
        let positive = |seed| (random(&[outputs], seed).abs().unwrap() + 0.5).unwrap();
        NormalizedConv {
            weight: (random(&[outputs, inputs, kernel, kernel], seed) * spread).unwrap(),
            stride,
            padding: kernel / 2,
            norm_weight: positive(seed + 1),
            norm_bias: random(&[outputs], seed + 2),
            running_mean: random(&[outputs], seed + 3),
            running_var: positive(seed + 4),
        }
    };
    let block = |inputs: usize, outputs: usize, stride: usize, seed: u64| ResidualBlock {
        first: conv(outputs, inputs, 3, stride, seed),
        second: conv(outputs, outputs, 3, 1, seed + 10),
        mapping: (inputs != outputs).then(|| conv(outputs, inputs, 1, stride, seed + 20)),
    };
    ResidualNetwork {
        head: conv(16, 3, 3, 1, 100),
        blocks: vec![
            block(16, 16, 1, 200),
            block(16, 32, 2, 300),
            block(32, 32, 1, 400),
            block(32, 48, 1, 500),
        ],
        fc_weight: random(&[classes, 48], 600),
        fc_bias: random(&[classes], 700),
        eps: 1e-5,
    }
}

/// The network with other packed parameters.
pub(super) fn with_parameters(net: &ResidualNetwork, plan: &Plan, packed: &Tensor) -> ResidualNetwork {
    let mut net = net.clone();
    let take = |range: &std::ops::Range<usize>, like: &Tensor| {
        packed.narrow(0, range.start, range.len()).unwrap().reshape(like.shape()).unwrap()
    };
    let mut convolutions = vec![&mut net.head];
    for block in &mut net.blocks {
        convolutions.extend([&mut block.first, &mut block.second]);
        convolutions.extend(&mut block.mapping);
    }
    for (conv, unit) in convolutions.into_iter().zip(&plan.units) {
        conv.weight = take(&unit.weight, &conv.weight);
        conv.norm_weight = take(&unit.scale, &conv.norm_weight);
        conv.norm_bias = take(&unit.shift, &conv.norm_bias);
    }
    net.fc_weight = take(&plan.fc_weight, &net.fc_weight);
    net.fc_bias = take(&plan.fc_bias, &net.fc_bias);
    net
}

#[test]
fn a_training_step_is_that_of_the_layers_in_f64_on_every_instruction_set() {
    let net = network(5);
    for (isa, batch) in Isa::available().into_iter().flat_map(|isa| [(isa, 2), (isa, 35)]) {
        let images = random(&[batch, 3, 9, 7], 1);
        let plan = net.plan(&images).unwrap().expect("the kernels apply");
        let workspace = Workspace::default();
        assert_same_gradients(
            &[images, net.packed_parameters().unwrap()],
            |t| {
                let net = with_parameters(&net, &plan, &t[1]);
                Ok(net.forward_train_on(isa, &t[0], &workspace)?.expect("the kernels apply").0)
            },
            |t| layered::logits(&plan, &t[0], &t[1], None, net.eps),
        );
    }
}

#[test]
fn an_evaluation_is_that_of_the_layers_in_f64_on_every_instruction_set() {
    let net = network(10);
    for isa in Isa::available() {
        let images = random(&[3, 3, 9, 7], 1);
        let plan = net.plan(&images).unwrap().expect("the kernels apply");
        let packed = net.packed_parameters().unwrap();
        let norms = net.running_norms(&plan, &Values::of(&packed).unwrap()).unwrap();
        assert_same_gradients(
            &[images, packed],
            |t| {
                Ok(with_parameters(&net, &plan, &t[1])
                    .forward_eval_on(isa, &t[0])?
                    .expect("the kernels apply"))
            },
            |t| layered::logits(&plan, &t[0], &t[1], Some(&norms), net.eps),
        );
    }
}

#[test]
fn the_statistics_are_those_of_the_batch() {
    let net = network(5);
    let images = random(&[4, 3, 9, 7], 1);
    let (_, statistics) = net.forward_train(&images, &Workspace::default()).unwrap().unwrap();
    let z = crate::ops::conv2d(&images, &net.head.weight, 1, 1).unwrap();
    let ones = Tensor::ones(16, DType::F32, z.device()).unwrap();
    let (_, expected) = crate::ops::batch_norm_train(&z, &ones, &ones, 1e-5).unwrap();
    assert_eq!(statistics.len(), 1 + 2 * 4 + 2);
    assert_close(&statistics[0].mean, &expected.mean);
    assert_close(&statistics[0].variance, &expected.variance);
    assert_eq!(statistics[0].count, expected.count);
}

#[test]
fn two_steps_at_once_and_a_second_way_back_do_not_disturb_each_other() {
    let net = network(5);
    let (images, others) = (random(&[4, 3, 9, 7], 1), random(&[2, 3, 9, 7], 2));
    let workspace = Workspace::default();
    let parameters = Var::from_tensor(&net.packed_parameters().unwrap()).unwrap();
    let plan = net.plan(&images).unwrap().unwrap();
    let net = with_parameters(&net, &plan, &parameters);
    let loss = |images: &Tensor| {
        net.forward_train(images, &workspace).unwrap().unwrap().0.sqr().unwrap().sum_all().unwrap()
    };
    let gradient = |loss: &Tensor| {
        loss.backward().unwrap().get(&parameters).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let alone = gradient(&loss(&images));
    let (first, second) = (loss(&images), loss(&others));
    gradient(&second);
    assert_eq!(gradient(&first), alone);
    assert_eq!(gradient(&first), alone);
}

#[test]
fn a_step_gives_the_same_bits_on_any_number_of_threads() {
    let net = network(5);
    let images = random(&[37, 3, 9, 7], 1);
    let plan = net.plan(&images).unwrap().unwrap();
    assert_same_bits_on_any_number_of_threads(&[images, net.packed_parameters().unwrap()], |t| {
        let net = with_parameters(&net, &plan, &t[1]);
        Ok(net.forward_train(&t[0], &Workspace::default())?.unwrap().0)
    });
}

#[test]
fn what_the_kernels_do_not_compute_is_left_to_the_layers() {
    let images = random(&[2, 3, 9, 7], 1);
    let mut net = network(5);
    assert!(net.forward_eval(&images.to_dtype(DType::F64).unwrap()).unwrap().is_none());
    assert!(net.forward_eval(&random(&[2, 4, 9, 7], 1)).unwrap().is_none());
    net.blocks[1].mapping = None;
    assert!(net.forward_eval(&images).unwrap().is_none());
}
