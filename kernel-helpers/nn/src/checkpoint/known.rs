//! The classes and functions that a state dict may mention. They are compared, never called.

use super::element::Element;
use super::malformed::{Malformed, Result, SAVE_STATE_DICT};

/// A class or function of Python that has a meaning here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Known {
    OrderedDict,
    Tensor(Rebuild),
    Size,
    Device,
    /// A storage class, such as `torch.FloatStorage`.
    Storage(Element),
    /// A `torch.dtype`.
    Type(Element),
}

/// A function that makes a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rebuild {
    TensorV2,
    TensorV3,
    /// Both functions for parameters: the tensor is their first argument.
    Parameter,
}

/// Storage classes of elements that candle lacks.
const UNSUPPORTED: [&str; 7] = [
    "ComplexDoubleStorage",
    "ComplexFloatStorage",
    "QInt32Storage",
    "QInt8Storage",
    "QUInt2x4Storage",
    "QUInt4x2Storage",
    "QUInt8Storage",
];

impl Known {
    /// What `module.name` is.
    pub(super) fn find(module: &str, name: &str) -> Result<Self> {
        let known = match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::Tensor(Rebuild::TensorV2)),
            ("torch._utils", "_rebuild_tensor_v3") => Some(Self::Tensor(Rebuild::TensorV3)),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Self::Tensor(Rebuild::Parameter))
            }
            ("torch", "Size") => Some(Self::Size),
            ("torch", "device") => Some(Self::Device),
            ("torch.storage", "UntypedStorage") => Some(Self::Storage(Element::U8)),
            ("torch", _) => {
                storage(name).map(Self::Storage).or_else(|| Element::of_dtype(name).map(Self::Type))
            }
            ("torch.cuda", _) => storage(name).map(Self::Storage),
            _ => None,
        };
        known.ok_or_else(|| refused(module, name))
    }
}

/// The elements of one of PyTorch's storage classes.
fn storage(class: &str) -> Option<Element> {
    Some(match class {
        "DoubleStorage" => Element::F64,
        "FloatStorage" => Element::F32,
        "HalfStorage" => Element::F16,
        "BFloat16Storage" => Element::BF16,
        "LongStorage" => Element::I64,
        "IntStorage" => Element::I32,
        "ShortStorage" => Element::I16,
        "CharStorage" => Element::I8,
        "BoolStorage" => Element::Bool,
        "ByteStorage" | "UntypedStorage" => Element::U8,
        _ => return None,
    })
}

fn refused(module: &str, name: &str) -> Malformed {
    if matches!(module, "torch" | "torch.cuda") && UNSUPPORTED.contains(&name) {
        return Malformed::new(
            "elements of a float, integer or bool type",
            format!("`{module}.{name}`"),
            "Convert the tensors before saving, `tensor.float()`.",
        );
    }
    Malformed::new(
        "a state dict: names and tensors, nothing else",
        format!("a reference to `{module}.{name}`"),
        format!("Nothing in the file was executed. {SAVE_STATE_DICT}"),
    )
}
