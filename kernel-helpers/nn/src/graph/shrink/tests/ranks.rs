//! Which channels go.

use super::*;
use crate::prune::{Filter, Pruning};

/// A 3x3 convolution without bias, its batch norm and a function, and another convolution.
fn two_layers() -> Model {
    let graph = Graph::new("two", [2, 8, 8], |x| {
        x.conv(4, 3).batch_norm().relu().conv(5, 3).batch_norm().global_average_pool().linear(3)
    });
    seasoned(graph.unwrap())
}

fn set(net: &Model, name: &str, values: &[f32]) {
    let (_, var) = net.named_parameters().into_iter().find(|(found, _)| found == name).unwrap();
    var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.shape()).unwrap()).unwrap();
}

/// Sets the first filter to zero.
fn without_filter(net: &Model, name: &str) {
    let mut values: Vec<f32> = net.layer_weights(name).unwrap().iter().map(|value| *value as f32).collect();
    let size = values.len() / if name == "conv1" { 4 } else { 5 };
    values[..size].fill(0.0);
    set(net, &format!("{name}.weight"), &values);
}

#[test]
fn a_filter_of_zeros_goes_if_nothing_of_its_channel_is_read() {
    let channels = |net: &Model| -> Vec<usize> {
        let groups = net.shrunk().unwrap().graph().channel_groups();
        groups.into_iter().map(|group| group.channels.len()).collect()
    };
    // The batch norm adds something that reaches the next layer, and the zeros around it.
    let net = two_layers();
    without_filter(&net, "conv1");
    assert_eq!(channels(&net), [4, 5]);
    // What is below zero, the function cuts off.
    set(&net, "norm1.bias", &[-5.0, 0.5, 0.5, 0.5]);
    assert_eq!(channels(&net), [3, 5]);
    assert_same("cut off", &net.shrunk().unwrap(), &net);
    // What no layer has a weight for goes as well, and then what it alone has read.
    let net = two_layers();
    let weights = net.layer_weights("linear1").unwrap();
    let weights = weights.iter().enumerate().map(|(at, w)| if at % 5 < 4 { 0.0 } else { *w as f32 });
    set(&net, "linear1.weight", &weights.collect::<Vec<_>>());
    let readers: Vec<f32> =
        (0..5 * 4 * 9).map(|at| if at < 4 * 4 * 9 || at / 9 % 4 == 1 { 0.3 } else { 0.0 }).collect();
    set(&net, "conv2.weight", &readers);
    assert_eq!(channels(&net), [1, 1]);
    assert_same("not read", &net.shrunk().unwrap(), &net);
}

#[test]
fn filters_that_another_pruning_made_zero_go_first() {
    let net = seasoned(vgg(10).unwrap());
    Pruning::new(0.5, 1).granularity(Filter).prune(&net, 1, None).unwrap();
    let zeros = |net: &Model| -> Vec<bool> {
        net.layer_weights("conv2")
            .unwrap()
            .chunks(64 * 9)
            .map(|filter| filter.iter().all(|w| *w == 0.0))
            .collect()
    };
    let before = zeros(&net);
    ChannelPruning { scope: PruneScope::Layer, ..pruning(ChannelShare::Channels(0.5)) }.prune(&net).unwrap();
    assert_eq!(zeros(&net), before);
    assert_eq!(net.shrunk().unwrap().layer_weights("conv2").unwrap().len(), 32 * 32 * 9);
}

#[test]
fn the_scale_of_batch_norms_ranks_channels() {
    let net = two_layers();
    set(&net, "norm1.weight", &[0.5, -0.1, 0.2, 0.4]);
    set(&net, "norm2.weight", &[1.0, 1.0, -0.01, 1.0, 0.3]);
    let by_scale =
        ChannelPruning { criterion: ChannelCriterion::NormScale, ..pruning(ChannelShare::Channels(0.4)) };
    by_scale.prune(&net).unwrap();
    let scales = |name: &str| {
        let (_, var) = net.named_parameters().into_iter().find(|(found, _)| found == name).unwrap();
        var.to_vec1::<f32>().unwrap()
    };
    assert_eq!(scales("norm1.weight"), [0.5, 0.0, 0.0, 0.4]);
    assert_eq!(scales("norm2.weight"), [1.0, 1.0, 0.0, 1.0, 0.3]);
    assert_same("scales", &net.shrunk().unwrap(), &net);
}

#[test]
fn layers_that_are_not_pruned_have_no_say_but_go_along() {
    let graph = Graph::new("residual", [3, 8, 8], |x| {
        let (a, b) = (x.conv(4, 3), x.conv(4, 1).not_pruned());
        let alone = (a + b).relu().conv(6, 3).not_pruned();
        alone.flatten().linear(2)
    });
    let net = graph.unwrap().build(0, &Device::Cpu).unwrap();
    set(&net, "conv1.weight", &(0..108).map(|at| (at / 27 + 1) as f32).collect::<Vec<_>>());
    set(&net, "conv2.weight", &(0..12).map(|at| 100.0 - at as f32).collect::<Vec<_>>());
    pruning(ChannelShare::Channels(0.5)).prune(&net).unwrap();
    let small = net.shrunk().unwrap();
    let groups = small.graph().channel_groups();
    assert_eq!(groups.iter().map(|group| group.channels.len()).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(
        state_dict(&small).unwrap()["conv2.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        [94.0, 93.0, 92.0, 91.0, 90.0, 89.0]
    );
}
