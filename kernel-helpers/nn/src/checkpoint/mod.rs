//! Checkpoints: files of named weights.
//!
//! Written as safetensors; read from safetensors and from both of PyTorch's file forms, told apart by their content. A
//! PyTorch file is a program for Python's pickle machine; the reader here only looks at it and executes nothing, as
//! `torch.load(…, weights_only=True)` promises too.

mod budget;
mod detect;
mod element;
mod fit;
mod input;
mod known;
mod malformed;
mod packed;
mod pickle;
mod pickle_bytes;
mod pickle_machine;
mod recorded;
mod safetensors;
mod safetensors_header;
mod sum;
mod torch_legacy;
mod torch_objects;
mod torch_storages;
mod torch_zip;
mod view;
mod zip_end;

#[cfg(test)]
mod file_writer;
#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod tests;

pub(crate) use fit::check_fits;
pub use packed::codes::{pack_codes, unpack_codes};
pub use recorded::{LONGEST_RECORD, Weights, beside, check_recorded, file_name, record_of};
pub use sum::sha256_of_state;

use crate::quant::Quantization;
use base::files::write_whole;
use base::{Error, Result};
use budget::Budget;
use candle_core::{Device, Tensor};
use detect::Form;
use input::{Input, ReadSeek};
use malformed::Malformed;
use safetensors::SafetensorsFile;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek};
use std::path::Path;

/// A network's weights by name, on the CPU; PyTorch's `state_dict()`.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::{checkpoint::StateDict, state_dict};
///
/// let state: StateDict = state_dict(&lenet(10)?.build(0, &Device::Cpu)?)?;
/// assert_eq!(state.keys().next().map(String::as_str), Some("conv1.bias"));
/// # Ok::<(), Error>(())
/// ```
pub type StateDict = BTreeMap<String, Tensor>;

/// Reads a state dict from a safetensors file, a PyTorch file or the legacy form of one, like PyTorch's
/// `torch.load(path, map_location="cpu")`.
///
/// What [`save_packed`] packed is unpacked. Element types stay as they are in the file, except that `bool` becomes `U8`
/// and `int8` becomes `I16`, which candle has instead. Views and tensors with shared storage become tensors of their
/// own. A state dict may also lie inside a dictionary, as in `{"state_dict": …, "epoch": …}`, if it is the only one
/// there.
///
/// Whatever the file says, reading it takes at most twice its length and 64 MB of memory. A file that needs more, such
/// as a packed one of a large and sparse network, is read by [`load_state_dict_of_size`].
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::state_dict;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("lenet.safetensors");
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// net.save_weights(&file)?;
/// assert_eq!(load_state_dict(&file)?["conv1.weight"].dims(), [6, 1, 5, 5]);
/// assert!(load_state_dict("lenet.pt").unwrap_err().to_string().contains("no such file"));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// An [`Error::File`] if the file is missing, not a checkpoint, cut short or damaged, if it mentions any Python
/// function or class that a state dict does not need, or if it needs more memory; [`Error::Io`] if the system refuses
/// to read it.
pub fn load_state_dict(path: impl AsRef<Path>) -> Result<StateDict> {
    load_state_dict_of_size(path, 0)
}

/// [`load_state_dict`] for a file whose tensors are known to take about `bytes` in memory, which it then may.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::{load_state_dict_of_size, size_in_bytes};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("sparse.safetensors");
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// prune_layers(&net, 0.9)?;
/// net.save_packed(&file)?;
/// let state = load_state_dict_of_size(&file, 4 * net.graph().parameters())?;
/// assert_eq!(size_in_bytes(state.values()), 4 * 61_706);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`load_state_dict`].
pub fn load_state_dict_of_size(path: impl AsRef<Path>, bytes: usize) -> Result<StateDict> {
    let path = path.as_ref();
    read(&mut open(path)?, bytes).map_err(|malformed| malformed.at(path))
}

/// [`load_state_dict`] from a file that is open already, or from bytes in memory, which a [`std::io::Cursor`] reads. An
/// error speaks of the `checkpoint` in the place of a path.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::read_state_dict;
/// use std::io::Cursor;
///
/// let bytes = lenet(10)?.build(0, &Device::Cpu)?.packed_weights()?;
/// assert_eq!(read_state_dict(Cursor::new(bytes))?.len(), 10);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`load_state_dict`].
pub fn read_state_dict(mut reader: impl Read + Seek) -> Result<StateDict> {
    read(&mut reader, 0).map_err(|malformed| malformed.at(Path::new("checkpoint")))
}

/// Writes a state dict as safetensors, making the folder if it is not there. The file appears whole or not at all.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::StateDict;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("made/when/needed.safetensors");
/// let mean = Tensor::new(&[0.4914f32, 0.4822, 0.4465], &Device::Cpu)?;
/// save_state_dict(&StateDict::from([("mean".to_owned(), mean.clone())]), &file)?;
/// assert_eq!(load_state_dict(&file)?["mean"].to_vec1::<f32>()?, mean.to_vec1::<f32>()?);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Tensor`] if a tensor cannot be brought to the CPU.
pub fn save_state_dict(state_dict: &StateDict, path: impl AsRef<Path>) -> Result<()> {
    save(state_dict, None, path.as_ref())
}

/// [`save_state_dict`] in less space, where there are zeros or few bits: zeros are left out, and a tensor to which
/// `quantizer` gives a quantizer is stored as the numbers of its levels. [`load_state_dict`] reads it like any other
/// file.
///
/// What is loaded gives the same network. A float tensor has the same values again (a negative zero becomes zero). A
/// tensor of few bits has the values of its levels, and only if quantizing these gives exactly what quantizing the
/// saved tensor gives; else it is stored as floats.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::{checkpoint::save_packed, state_dict};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("packed.safetensors");
/// let state = state_dict(&lenet(10)?.build(0, &Device::Cpu)?)?;
/// let four_bits = Ste { n_bits: Some(4), symmetric: false };
/// let quantizer = |name: &str| if name.ends_with("weight") { four_bits } else { Ste::default() };
/// save_packed(&state, quantizer, &file)?;
/// assert!(std::fs::metadata(&file).unwrap().len() < 4 * 61_706 / 6);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`save_state_dict`].
pub fn save_packed<Q: Into<Quantization>>(
    state_dict: &StateDict,
    quantizer: impl Fn(&str) -> Q,
    path: impl AsRef<Path>,
) -> Result<()> {
    write_whole(path, &packed_bytes(state_dict, quantizer)?)
}

/// The content of the file that [`save_packed`] writes.
pub(crate) fn packed_bytes<Q: Into<Quantization>>(
    state_dict: &StateDict,
    quantizer: impl Fn(&str) -> Q,
) -> Result<Vec<u8>> {
    let (file, text) = packed::pack(state_dict, quantizer)?;
    to_bytes(&file, text.map(|text| HashMap::from([(packed::KEY.to_owned(), text)])))
}

/// The state dict in the content of a file whose tensors take about `size` bytes in memory; `path` is for messages.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::from_bytes;
///
/// let bytes = lenet(10)?.build(0, &Device::Cpu)?.packed_weights()?;
/// assert_eq!(from_bytes(&bytes, 0, "lenet".as_ref())?["linear3.bias"].dims(), [10]);
/// let error = from_bytes(&bytes[1..], 0, "lenet".as_ref()).unwrap_err();
/// assert!(error.to_string().starts_with("lenet: expected a checkpoint"));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`load_state_dict`].
pub fn from_bytes(bytes: &[u8], size: usize, path: &Path) -> Result<StateDict> {
    read(&mut Cursor::new(bytes), size).map_err(|malformed| malformed.at(path))
}

/// How many bytes the elements of these tensors take.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::size_in_bytes;
///
/// let net = lenet(10)?.build(0, &Device::Cpu)?;
/// let weights = net.prunable_layers().into_iter().map(|(_, weight)| weight.as_tensor().clone());
/// assert_eq!(size_in_bytes(&weights.collect::<Vec<_>>()), 4 * (61_706 - 236));
/// # Ok::<(), Error>(())
/// ```
pub fn size_in_bytes<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> usize {
    tensors.into_iter().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
}

/// [`save_state_dict`] with a text in the file's header, under a key of its own.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::{load_with_text, save_with_text};
/// use kernel_helpers::state_dict;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("best.safetensors");
/// let state = state_dict(&lenet(10)?.build(0, &Device::Cpu)?)?;
/// save_with_text(&state, "epoch", "17".to_owned(), &file)?;
/// assert_eq!(load_with_text(&file, "epoch")?.1, "17");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`save_state_dict`].
pub fn save_with_text(state_dict: &StateDict, key: &str, text: String, path: &Path) -> Result<()> {
    save(state_dict, Some(HashMap::from([(key.to_owned(), text)])), path)
}

/// Reads what [`save_with_text`] wrote.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::checkpoint::load_with_text;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("plain.safetensors");
/// lenet(10)?.build(0, &Device::Cpu)?.save_weights(&file)?;
/// let error = load_with_text(&file, "epoch").unwrap_err().to_string();
/// assert!(error.contains("expected a header with `epoch`, found one without"), "{error}");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`load_state_dict`], and if the file has no such text.
pub fn load_with_text(path: &Path, key: &str) -> Result<(StateDict, String)> {
    read_with_text(&mut open(path)?, key).map_err(|malformed| malformed.at(path))
}

fn save(state_dict: &StateDict, texts: Option<HashMap<String, String>>, path: &Path) -> Result<()> {
    write_whole(path, &to_bytes(state_dict, texts)?)
}

fn to_bytes(state_dict: &StateDict, texts: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    let on_cpu = state_dict.iter().map(|(name, tensor)| Ok((name, tensor.to_device(&Device::Cpu)?)));
    let bytes = ::safetensors::serialize(on_cpu.collect::<Result<Vec<_>>>()?, texts);
    bytes.map_err(|error| candle_core::Error::from(error).into())
}

fn read(reader: &mut dyn ReadSeek, allowance: usize) -> malformed::Result<StateDict> {
    let input = &mut Input::new(reader);
    let budget = &mut Budget::new(input::length(input)?, allowance);
    match detect::form(&input::bytes_at(input, 0, detect::NEEDED)?)? {
        Form::Safetensors => SafetensorsFile::open(input, budget)?.read(),
        Form::TorchZip => torch_zip::read(input, budget),
        Form::TorchLegacy => torch_legacy::read(input, budget),
    }
}

fn read_with_text(reader: &mut dyn ReadSeek, key: &str) -> malformed::Result<(StateDict, String)> {
    let input = &mut Input::new(reader);
    let budget = &mut Budget::new(input::length(input)?, 0);
    let file = SafetensorsFile::open(input, budget)?;
    let text = file
        .text(key)
        .map(str::to_owned)
        .ok_or_else(|| Malformed::new(format!("a header with `{key}`"), "one without", malformed::DAMAGED))?;
    Ok((file.read()?, text))
}

fn open(path: &Path) -> Result<File> {
    let refused = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Malformed::new(
            "a checkpoint",
            "no such file",
            "Check the spelling, and the folder that relative paths start from.",
        )
        .at(path),
        _ => Error::io(path, error, "Check the file's permissions."),
    };
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a device" };
        return Err(Malformed::new("a checkpoint file", found, "Name the file itself.").at(path));
    }
    File::open(path).map_err(refused)
}
