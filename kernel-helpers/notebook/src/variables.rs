//! What the variables of a notebook are, in a table: name, type, shape or length, and size in memory.
//!
//! ```
//! use kernel_helpers::{variable, variables::variables};
//!
//! let (losses, name) = (vec![0.5, 0.25], "a name");
//! let table = variables(&[variable!("losses", "Vec<f64>", losses), variable!("name", "&str", name)]);
//! assert!(table.to_string().contains("losses  Vec<f64>"));
//! ```

use display::{Measure, MimeBundle, Show, shows_itself};
use display::table::Table;
use base::units::{bytes, short_type_name};
use std::fmt;

/// A variable, measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    name: String,
    type_name: String,
    measure: Measure,
}

impl Variable {
    /// The variable of a name, of a type under its name in Rust.
    pub fn new(name: &str, type_name: &str, measure: Measure) -> Self {
        Self { name: name.to_owned(), type_name: short_type_name(type_name), measure }
    }
}

/// Variables, in a table that shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables(Vec<Variable>);

/// A table of variables, in their order.
pub fn variables(variables: &[Variable]) -> Variables {
    Variables(variables.to_vec())
}

impl Variables {
    fn table(&self) -> Table {
        let rows = self.0.iter().map(|Variable { name, type_name, measure }| {
            (name, type_name, measure.extent.as_deref().unwrap_or_default(), bytes(measure.bytes))
        });
        Table::new(["name", "type", "shape or length", "in memory"]).rows(rows)
    }
}

impl fmt::Display for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("no variables") } else { self.table().fmt(f) }
    }
}

impl Show for Variables {
    fn forms(&self) -> MimeBundle {
        match self.0.is_empty() {
            true => MimeBundle::plain(self),
            false => self.table().forms(),
        }
    }
}

shows_itself!(Variables);

#[cfg(test)]
mod tests {
    use super::*;
    use nn::data::{Cifar10, Data, Dataset};
    use nn::models::{ResNetConfig, resnet_cifar};
    use candle_core::{DType, Device, Tensor, Var};
    use std::collections::HashMap;
    use std::sync::Arc;

    /// Shape or length and bytes.
    macro_rules! measured {
        ($value:expr) => {{
            let Measure { extent, bytes } = variable!("", "", $value).measure;
            (extent.unwrap_or_default(), bytes)
        }};
    }

    fn expected(extent: &str, bytes: usize) -> (String, usize) {
        (extent.to_owned(), bytes)
    }

    #[test]
    fn tensors_have_their_shape_and_type_and_the_bytes_of_their_values() {
        let tensor = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let (pointer, vector) = (size_of::<Tensor>(), size_of::<Vec<Tensor>>());
        assert_eq!(measured!(tensor), expected("[2, 3] f32", pointer + 24));
        assert_eq!(measured!(Var::from_tensor(&tensor).unwrap()), expected("[2, 3] f32", pointer + 24));
        let tensors = vec![tensor.clone(), tensor.clone()];
        assert_eq!(measured!(tensors), expected("2", vector + 2 * (pointer + 24)));
        assert_eq!(measured!(Some(tensor)), expected("[2, 3] f32", pointer + 24));
    }

    #[test]
    fn collections_have_their_length() {
        assert_eq!(measured!(vec![1f64, 2.0, 3.0]), expected("3", 24 + 24));
        assert_eq!(measured!("größe"), expected("5", 16 + 7));
        assert_eq!(measured!("größe".to_owned()), expected("5", 24 + 7));
        assert_eq!(measured!([[0u8; 4]; 2]), expected("2", 8));
        let map = HashMap::from([("a".to_owned(), 1.0)]);
        let (extent, bytes) = measured!(map);
        assert!(extent == "1" && bytes > size_of::<HashMap<String, f64>>() + 24 + 8, "{bytes}");
        assert_eq!(measured!(None::<String>), expected("", size_of::<Option<String>>()));
    }

    #[test]
    fn any_other_type_has_its_own_size() {
        struct Foreign(#[expect(dead_code)] [u8; 100]);
        assert_eq!(measured!(Foreign([0; 100])), expected("", 100));
        assert_eq!(measured!(vec![Foreign([0; 100])]), expected("1", 24 + 100));
        assert_eq!(measured!(Some(Foreign([0; 100]))), expected("", 101));
        let closure = |x: u8| x;
        assert_eq!(measured!(closure), expected("", 0));
        assert_eq!(measured!(7u16), expected("", 2));
        assert_eq!(measured!((1u8, Foreign([0; 100]))), expected("", 101));
    }

    #[test]
    fn networks_have_their_parameters_and_data_its_images() {
        let net = resnet_cifar(ResNetConfig::default()).unwrap().build(0, &Device::Cpu).unwrap();
        let (extent, bytes) = measured!(net);
        assert_eq!(extent, "272,474 parameters");
        assert!((4 * 272_474..1_200_000).contains(&bytes), "{bytes}");
        let data = Cifar10::striped(3, 2);
        assert_eq!(
            measured!(data.train),
            expected("[3, 3, 32, 32]", size_of::<Arc<dyn Dataset>>() + 3 * 3073)
        );
        assert_eq!(measured!(data), expected("[3, 3, 32, 32], [2, 3, 32, 32]", size_of::<Data>() + 5 * 3073));
    }

    #[test]
    fn the_table_has_short_types_and_readable_sizes() {
        let values = vec![0f32; 1_000_000];
        let table = variables(&[variable!("values", "alloc::vec::Vec<f32>", values)]);
        let text = table.to_string();
        let row = text.lines().last().unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["values", "Vec<f32>", "1,000,000", "4.0", "MB"]
        );
        assert!(table.forms().get("text/markdown").unwrap().contains("Vec\\<f32"), "{:?}", table.forms());
        assert_eq!(variables(&[]).to_string(), "no variables");
    }
}
