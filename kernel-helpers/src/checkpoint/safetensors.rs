//! The safetensors form: a JSON header with names, types and shapes, then the elements.

use super::element::Element;
use super::malformed::{DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::{StateDict, malformed, packed};
use candle_core::DType;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

/// Longest header that the format allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Whether a file begins like this form: the header's length, then the header's brace.
pub(super) fn matches(file: &[u8]) -> bool {
    match file.split_first_chunk::<8>() {
        Some((length, rest)) => u64::from_le_bytes(*length) <= LONGEST_HEADER && rest.first() == Some(&b'{'),
        None => false,
    }
}

/// Reads a whole file.
pub(super) fn read(file: &[u8]) -> Result<StateDict> {
    let tensors = SafeTensors::deserialize(file).map_err(unreadable)?;
    if tensors.is_empty() {
        return Err(Malformed::new(
            "a state dict with tensors",
            "a safetensors file without any",
            SAVE_STATE_DICT,
        ));
    }
    let mut state_dict = StateDict::new();
    for (name, view) in tensors.iter() {
        let element = element(view.dtype()).ok_or_else(|| {
            let found = format!("{} in `{name}`", view.dtype());
            let help = "Convert the tensors before saving, `tensor.float()`.";
            Malformed::new("elements of a float, integer or bool type", found, help)
        })?;
        state_dict.insert(name.to_owned(), element.tensor(view.data(), view.shape())?);
    }
    match text(file, packed::KEY)? {
        Some(text) => packed::unpack(state_dict, &text),
        None => Ok(state_dict),
    }
}

/// The text that the header holds under a key.
pub(super) fn text(file: &[u8], key: &str) -> Result<Option<String>> {
    let (_, header) = SafeTensors::read_metadata(file).map_err(unreadable)?;
    Ok(header.metadata().as_ref().and_then(|texts| texts.get(key)).cloned())
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::Same(DType::F64),
        Dtype::F32 => Element::Same(DType::F32),
        Dtype::F16 => Element::Same(DType::F16),
        Dtype::BF16 => Element::Same(DType::BF16),
        Dtype::I64 => Element::Same(DType::I64),
        Dtype::I32 => Element::Same(DType::I32),
        Dtype::I16 => Element::Same(DType::I16),
        Dtype::I8 => Element::SignedByte,
        Dtype::U32 => Element::Same(DType::U32),
        Dtype::U8 | Dtype::BOOL => Element::Same(DType::U8),
        _ => return None,
    })
}

fn unreadable(error: SafeTensorError) -> Malformed {
    let help = match error {
        SafeTensorError::InvalidHeaderLength | SafeTensorError::MetadataIncompleteBuffer => {
            malformed::CUT_SHORT
        }
        _ => DAMAGED,
    };
    Malformed::new("a complete safetensors file", format!("one that cannot be read ({error})"), help)
}
