//! Which channels hang together, and what is refused.

use super::*;
use crate::checkpoint::StateDict;

#[test]
fn channels_that_are_added_go_together_and_those_that_are_concatenated_stay_apart() {
    let producers = |graph: Graph| -> Vec<(Vec<String>, usize)> {
        graph.channel_groups().into_iter().map(|group| (group.producers, group.channels.len())).collect()
    };
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let concatenated = Graph::new("concatenated", [3, 8, 8], |x| {
        let (a, b, c) = (x.conv(4, 3), x.conv(6, 3), x.conv(10, 3));
        (a.concat(&b) + c).relu().flatten().linear(2)
    });
    assert_eq!(
        producers(concatenated.unwrap()),
        [(names(&["conv1", "conv3"]), 4), (names(&["conv2", "conv3"]), 6)]
    );
    let grouped = Graph::new("grouped", [3, 8, 8], |x| {
        let x = x.conv(12, 3).conv(24, 3).groups(4).batch_norm().depthwise_conv(3);
        x.global_average_pool().linear(2)
    });
    let grouped = grouped.unwrap().channel_groups();
    assert_eq!((grouped.len(), grouped[0].channels.len()), (1, 4));
    // Three inputs of a group, its six outputs, and as many channels behind.
    assert_eq!(grouped[0].channels[1].len(), 3 + 6 + 6);
    assert_eq!(grouped[0].channels[1][3], ("conv2".to_owned(), 6));
    assert_eq!(grouped[0].readers, ["linear1"]);
    // The images are added to what comes out of the convolution, and a layer of one's own sees the other.
    let fixed =
        Graph::new("fixed", [3, 8, 8], |x| (x.conv(3, 3) + x).conv(8, 1).layer(Centered).flatten().linear(2));
    assert_eq!(fixed.unwrap().channel_groups(), []);
}

#[test]
fn one_channel_of_each_group_stays() {
    for scope in [PruneScope::Global, PruneScope::Layer] {
        for graph in graphs() {
            let net = seasoned(graph.clone());
            ChannelPruning { scope, ..pruning(ChannelShare::Channels(0.999)) }.prune(&net).unwrap();
            let groups = net.shrunk().unwrap().graph().channel_groups();
            // Where a single group is left, a convolution is like others, and its three channels are apart.
            assert!(groups.len() >= graph.channel_groups().len());
            let most = if graph.title() == "odd" { 3 } else { 1 };
            assert!(groups.iter().all(|group| group.channels.len() <= most), "{}", graph.title());
        }
    }
    // Also if all are zero.
    let net = lenet(10).unwrap().build(0, &Device::Cpu).unwrap();
    for (_, var) in net.named_parameters() {
        var.set(&var.zeros_like().unwrap()).unwrap();
    }
    assert_eq!(net.shrunk().unwrap().layer_weights("conv2").unwrap().len(), 25);
    let groups = net.graph().channel_groups();
    let error = net.without(groups[0].channels.concat()).unwrap_err().to_string();
    assert_eq!(error, "filters: expected a channel of each group to stay, found all of conv1");
}

#[test]
fn what_is_not_possible_is_named() {
    let net = lenet(10).unwrap().build(0, &Device::Cpu).unwrap();
    let message = |pruning: ChannelPruning| pruning.prune(&net).unwrap_err().to_string();
    assert_eq!(message(pruning(ChannelShare::Channels(1.0))), "share: expected from 0 to below 1, found 1");
    let all_but_all = ChannelShare::Multiplications(0.9999);
    assert!(message(pruning(all_but_all)).contains("at most 0.9"), "{}", message(pruning(all_but_all)));
    let no_multiple = ChannelPruning { multiple: 0, ..pruning(ChannelShare::Channels(0.5)) };
    assert_eq!(message(no_multiple), "multiple: expected at least 1, found 0");

    let refused = |graph: Graph, state: &StateDict| graph.fitted_to(state).unwrap_err().to_string();
    let state = state_dict(&net).unwrap();
    assert_eq!(
        refused(mlp(10).unwrap(), &state),
        "linear1.weight: expected a weight of shape [O, 784], found [120, 400]"
    );
    assert_eq!(refused(lenet(12).unwrap(), &state), "the network's output: expected [12], found [10]");
    assert!(
        refused(vgg(10).unwrap(), &state).contains("conv1.weight: expected a weight of shape [O, 3, 3, 3]")
    );
    let residual = resnet_cifar(ResNetConfig { num_layers: 8, ..Default::default() }).unwrap();
    let mut state = state_dict(&residual.clone().build(0, &Device::Cpu).unwrap()).unwrap();
    let narrowed = state["body_op.0.conv2.0.conv.weight"].narrow(0, 0, 9).unwrap();
    state.insert("body_op.0.conv2.0.conv.weight".to_owned(), narrowed);
    let error = refused(residual, &state);
    assert!(error.contains("two of the same shape, not [9, 32, 32] and [16, 32, 32]"), "{error}");
}
