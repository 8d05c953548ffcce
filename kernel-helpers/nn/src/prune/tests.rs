//! The course's pruning, and every other.

use super::*;
use crate::models::{ResNetConfig, resnet_cifar};
use candle_core::Device;

#[test]
fn percentiles_are_numpys() {
    // np.percentile([3, 1, 2, 10], [0, 20, 50, 80, 100])
    let values = [3.0, 1.0, 2.0, 10.0];
    for (q, expected) in [(0.0, 1.0), (0.2, 1.6), (0.5, 2.5), (0.8, 5.8), (1.0, 10.0)] {
        assert!((percentile(&values, q).unwrap() - expected).abs() < 1e-12, "q = {q}");
    }
    assert!(percentile(&[], 0.5).is_err());
    assert!(percentile(&[1.0], 80.0).is_err(), "a percentage is not a fraction");
}

#[test]
fn a_layer_keeps_its_largest_weights() {
    let weight = Var::new(&[0.1f32, -0.5, 0.3, -0.2, 0.4], &Device::Cpu).unwrap();
    assert_eq!(prune_by_percentage(&weight, 0.4).unwrap(), 0.4);
    assert_eq!(weight.to_vec1::<f32>().unwrap(), [0.0, -0.5, 0.3, 0.0, 0.4]);
}

#[test]
fn local_pruning_levels_the_layers_and_global_pruning_does_not() {
    let net = || resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
    let local = prune_layers(&net(), 0.8).unwrap();
    assert!(local.layers.iter().all(|layer| (layer.fraction() - 0.8).abs() < 0.01));
    let global = global_prune_by_percentage(&net(), 0.8).unwrap();
    assert!((global.total() - 0.8).abs() < 1e-4);
    let fractions: Vec<f64> = global.layers.iter().map(LayerSparsity::fraction).collect();
    let spread = fractions.iter().fold(0.0f64, |max, &f| max.max(f))
        - fractions.iter().fold(1.0f64, |min, &f| min.min(f));
    assert!(spread > 0.1, "{fractions:?}");
    assert!(global.layers.iter().all(|layer| !layer.name.contains("id_mapping")));
}

#[test]
fn masks_bring_the_zeros_back() {
    let net = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
    prune_layers(&net, 0.5).unwrap();
    let masks = Masks::of(&net).unwrap();
    for (_, weight) in net.prunable_layers() {
        weight.set(&(weight.as_tensor() + 1.0).unwrap()).unwrap();
    }
    assert_eq!(sparsity(&net).unwrap().total(), 0.0);
    masks.apply().unwrap();
    assert!((sparsity(&net).unwrap().total() - 0.5).abs() < 0.01);
}

#[test]
fn the_schedule_is_eight_percent_an_epoch() {
    let steps: Vec<f64> = (1..=12).map(|epoch| linear_schedule(epoch, 10, 0.8)).collect();
    assert!((steps[0] - 0.08).abs() < 1e-12 && (steps[4] - 0.4).abs() < 1e-12);
    assert_eq!(&steps[9..], [0.8, 0.8, 0.8]);
}

fn weights_of(net: &crate::graph::Model) -> Vec<Vec<f32>> {
    let values = |(_, weight): (String, Var)| weight.flatten_all().unwrap().to_vec1().unwrap();
    net.prunable_layers().into_iter().map(values).collect()
}

fn small_resnet() -> crate::graph::Model {
    resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() })
        .unwrap()
        .build(0, &Device::Cpu)
        .unwrap()
}

#[test]
fn the_courses_functions_are_magnitude_pruning_of_single_weights() {
    for scope in [PruneScope::Layer, PruneScope::Global] {
        let nets = [small_resnet(), small_resnet()];
        // The second step meets the zeros of the first, and the last those that are too many.
        for q in [0.3, 0.8, 0.801, 0.5] {
            let course = scope.prune(&nets[0], q).unwrap();
            assert_eq!(Pruning::new(q, 1).scope(scope).prune(&nets[1], 1, None).unwrap(), course);
            assert_eq!(weights_of(&nets[0]), weights_of(&nets[1]), "{scope}, q = {q}");
        }
    }
}

#[test]
fn filters_and_blocks_go_as_a_whole() {
    let net = small_resnet();
    let pruned = Pruning::new(0.5, 1).granularity(Filter).prune_to(&net, 0.5, None).unwrap();
    for ((_, weight), layer) in net.prunable_layers().iter().zip(&pruned.layers) {
        let filters = weight.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let zeros = |filter: &&Vec<f32>| filter.iter().all(|w| *w == 0.0);
        let gone = filters.iter().filter(zeros).count();
        assert!(filters.iter().all(|filter| zeros(&filter) || filter.iter().all(|w| *w != 0.0)));
        assert_eq!(gone, filters.len() / 2, "{}", layer.name);
    }
    let weight = Tensor::new(&[[1f32, 1.0, 9.0], [3.0, 2.0, 1.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
    let blocks = Block { rows: 2, columns: 2 }.scores(flat_values(&weight), weight.dims()).unwrap();
    assert_eq!(blocks, [1.75, 1.75, 5.0, 1.75, 1.75, 5.0, 4.5, 4.5, 6.0]);
    assert!(Block { rows: 0, columns: 2 }.scores(vec![], &[0, 0]).is_err());
}

fn flat_values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn two_of_four_input_channels_are_left_at_every_place_of_the_kernel() {
    for scope in [PruneScope::Layer, PruneScope::Global] {
        let net = small_resnet();
        let method = Pruning::new(0.5, 1).granularity(NOfM { m: 4 }).scope(scope);
        method.prune_to(&net, 0.25, None).unwrap();
        method.prune_to(&net, 0.5, None).unwrap();
        for (name, weight) in net.prunable_layers() {
            let (inputs, kernel) = (weight.dims()[1], weight.dims().get(2).map_or(1, |rows| rows * rows));
            let values = flat_values(&weight);
            for (filter, tap) in
                values.chunks(inputs * kernel).flat_map(|f| (0..kernel).map(move |tap| (f, tap)))
            {
                let inputs: Vec<f32> = filter.iter().skip(tap).step_by(kernel).copied().collect();
                for group in inputs.chunks(4) {
                    let left = group.iter().filter(|w| **w != 0.0).count();
                    assert!(left <= 2 && (group.len() < 4 || left == 2), "{name}: {group:?}");
                }
            }
        }
    }
    // Of each four the larger two.
    let scores = NOfM { m: 4 }.scores(vec![0.4, 0.1, 0.3, 0.2, 9.0, 8.0, 7.0, 6.0], &[1, 8]).unwrap();
    let places: Vec<f32> = scores.iter().map(|score| score.floor()).collect();
    assert_eq!(places, [3.0, 0.0, 2.0, 1.0, 3.0, 2.0, 1.0, 0.0]);
}

#[test]
fn what_is_zero_stays_so_and_counts_whatever_the_criterion_says() {
    let net = small_resnet();
    let random = |seed| Pruning::new(0.5, 1).criterion(Random { seed });
    let zeros = |net| weights_of(net).concat().iter().map(|w| *w == 0.0).collect::<Vec<_>>();
    random(1).prune_to(&net, 0.4, None).unwrap();
    let first = zeros(&net);
    let more = random(2).prune_to(&net, 0.7, None).unwrap();
    assert!(first.iter().zip(zeros(&net)).all(|(before, after)| !before || after));
    assert!((more.total() - 0.7).abs() < 0.01, "{}", more.total());
    let again = small_resnet();
    random(1).prune_to(&again, 0.4, None).unwrap();
    assert_eq!(zeros(&again), first, "a seed gives the same zeros");
}

#[test]
fn sensitivity_needs_gradients_and_goes_by_their_product_with_the_weight() {
    let net = small_resnet();
    let method = Pruning::new(0.5, 1).criterion(Sensitivity);
    let error = method.prune_to(&net, 0.5, None).unwrap_err().to_string();
    assert!(error.contains("gradients of head_conv.0") && error.contains("Trainer::gradients"), "{error}");
    let weight = Tensor::new(&[1f32, -2.0, 0.5], &Device::Cpu).unwrap();
    let gradient = Tensor::new(&[0.5f32, 0.1, -4.0], &Device::Cpu).unwrap();
    let layer = LayerToPrune { name: "fc", weight: &weight, gradient: Some(&gradient) };
    assert_eq!(flat_values(&Sensitivity.scores(&layer).unwrap()), [0.5, 0.2, 2.0]);
}

#[test]
fn schedules_begin_differently_and_end_at_the_target() {
    let schedules: [(&dyn SparsitySchedule, f64); 3] =
        [(&LinearRamp, 0.2), (&CubicRamp, 0.8 * (1.0 - 0.421875)), (&AtOnce, 0.8)];
    for (schedule, first) in schedules {
        assert!((schedule.sparsity(1, 4, 0.8) - first).abs() < 1e-12, "{}", schedule.description());
        assert_eq!([4, 5].map(|epoch| schedule.sparsity(epoch, 4, 0.8)), [0.8, 0.8]);
    }
}
