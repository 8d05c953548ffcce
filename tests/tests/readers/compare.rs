//! Writes files that were accepted, and what they were taken for, where `compare_with_torch.py` finds them.

use kernel_helpers::candle_core::Tensor;
use kernel_helpers::checkpoint::sha256_of_state;
use kernel_helpers::checkpoint::{StateDict, load_state_dict, save_state_dict};
use kernel_helpers::digest::sha256;
use serde_json::{Map, json};
use std::path::PathBuf;

/// The environment variable that names the folder.
const ACCEPTED: &str = "FUZZ_ACCEPTED";
/// And one that says with which digits the digest of a file begins that is kept, of many a share.
const KEPT: &str = "FUZZ_KEPT";

/// Checks that what was read can be saved, and that reading it again gives the same; then keeps the file for the
/// comparison, if there is a folder for that.
pub fn accepted(file: &[u8], extension: &str, state_dict: &StateDict) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    save_state_dict(state_dict, &copy).unwrap();
    assert_eq!(sha256_of_state(&load_state_dict(&copy).unwrap()), sha256_of_state(state_dict));

    let Some(folder) = std::env::var_os(ACCEPTED).map(PathBuf::from) else { return };
    let digest = sha256(file);
    if !digest.starts_with(&std::env::var(KEPT).unwrap_or_default()) {
        return;
    }
    let path = folder.join(format!("{}.{extension}", &digest[..24]));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(path.with_extension("json"), digests(state_dict)).unwrap();
    std::fs::write(path, file).unwrap();
}

fn digests(state_dict: &StateDict) -> String {
    let digest = |tensor: &Tensor| {
        let bytes = sha256(&safetensors::View::data(tensor));
        json!({ "dtype": tensor.dtype().as_str(), "shape": tensor.dims(), "bytes": bytes })
    };
    let digests: Map<_, _> = state_dict.iter().map(|(name, tensor)| (name.clone(), digest(tensor))).collect();
    serde_json::to_string(&digests).unwrap()
}
