//! The course's own checkpoint, which is in PyTorch's legacy form.

use homework_tests::{course_checkpoint, skip};
use kernel_helpers::candle_core::{DType, Tensor};
use kernel_helpers::checkpoint::{StateDict, load_state_dict, save_state_dict};

fn sum_of_magnitudes(tensor: &Tensor) -> f64 {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.abs().unwrap().sum_all().unwrap().to_scalar().unwrap()
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let values = tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    values.to_vec1::<f64>().unwrap().into_iter().flat_map(f64::to_le_bytes).collect()
}

#[test]
fn the_course_checkpoint_loads_and_survives_saving() {
    let Some(path) = course_checkpoint() else {
        return skip(
            "the_course_checkpoint_loads_and_survives_saving",
            "needs the course's pretrained_model.pt",
        );
    };
    let state_dict: StateDict = load_state_dict(path).unwrap();
    assert_eq!(state_dict.len(), 128);
    assert_eq!(state_dict["head_conv.0.conv.weight"].dims(), [16, 3, 3, 3]);
    assert_eq!(state_dict["body_op.3.id_mapping.0.conv.weight"].dims(), [32, 16, 1, 1]);
    assert_eq!(state_dict["final_fc.linear.weight"].dims(), [10, 64]);
    assert_eq!(state_dict["head_conv.1.num_batches_tracked"].to_scalar::<i64>().unwrap(), 34_017);
    // PyTorch: `tensor.double().abs().sum()`.
    for (name, expected) in [
        ("head_conv.0.conv.weight", 139.73921535736008),
        ("body_op.8.conv2.0.conv.weight", 1459.285641576555),
        ("final_fc.linear.bias", 2.6154587916098535),
    ] {
        let sum = sum_of_magnitudes(&state_dict[name]);
        assert!((sum - expected).abs() < 1e-9 * expected, "{name}: {sum}");
    }

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    save_state_dict(&state_dict, &copy).unwrap();
    let copy = load_state_dict(copy).unwrap();
    assert_eq!(copy.keys().collect::<Vec<_>>(), state_dict.keys().collect::<Vec<_>>());
    for (name, tensor) in &state_dict {
        assert_eq!((copy[name].dims(), copy[name].dtype()), (tensor.dims(), tensor.dtype()), "{name}");
        assert_eq!(bytes(&copy[name]), bytes(tensor), "{name}");
    }
}
