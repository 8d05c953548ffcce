//! The header of a safetensors file, parsed without holding more than it says: the `safetensors` crate's own types, but
//! long shapes are refused where they begin.

use super::torch_objects::MOST_DIMENSIONS;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What a header says; of equal names, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: BTreeMap<String, TensorInfo>,
    pub(super) texts: HashMap<String, String>,
}

impl Header {
    /// The header of this text, in which the tensors lie one after the other and each takes as many bytes as its shape
    /// says; the crate checks that.
    pub(super) fn parse(text: &[u8]) -> Result<Self, SafeTensorError> {
        let header: Self =
            serde_json::from_slice(text).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
        let mut in_order: Vec<_> = header.tensors.clone().into_iter().collect();
        in_order.sort_by_key(|(_, tensor)| tensor.data_offsets);
        Metadata::new(None, in_order)?;
        Ok(header)
    }
}

#[derive(Deserialize)]
struct Info {
    dtype: Dtype,
    #[serde(deserialize_with = "short_shape")]
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.texts = map.next_value::<Option<_>>()?.unwrap_or_default();
                        continue;
                    }
                    let Info { dtype, shape, data_offsets } = map.next_value()?;
                    header.tensors.insert(name, TensorInfo { dtype, shape, data_offsets });
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A shape of at most as many dimensions as tensors have.
pub(super) fn short_shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    struct Sizes;

    impl<'de> Visitor<'de> for Sizes {
        type Value = Vec<usize>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a shape of at most {MOST_DIMENSIONS} dimensions")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Vec<usize>, A::Error> {
            let mut shape = Vec::new();
            while let Some(size) = sizes.next_element()? {
                if shape.len() == MOST_DIMENSIONS {
                    return Err(A::Error::invalid_length(shape.len() + 1, &self));
                }
                shape.push(size);
            }
            Ok(shape)
        }
    }

    deserializer.deserialize_seq(Sizes)
}
