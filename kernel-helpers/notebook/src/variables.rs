//! What the variables of a notebook are, in a table: name, type, shape or length, and size in memory.
//!
//! ```
//! use kernel_helpers::{variable, variables::variables};
//!
//! let (losses, name) = (vec![0.5, 0.25], "a name");
//! let table = variables(&[variable!("losses", "Vec<f64>", losses), variable!("name", "&str", name)]);
//! assert!(table.to_string().contains("losses  Vec<f64>"));
//! ```

use base::units::{bytes, short_type_name};
use display::table::Table;
use display::{Measure, MimeBundle, Show, shows_itself};
use std::fmt;

/// A variable, measured.
///
/// ```
/// use kernel_helpers::variable;
///
/// let losses = vec![0.5, 0.25];
/// assert_eq!(variable!("losses", "Vec<f64>", losses).measure().extent.as_deref(), Some("2"));
/// ```
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

    /// How long and how large it is.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }
}

/// Variables, in a table that shows itself.
///
/// ```
/// use kernel_helpers::variables::variables;
///
/// assert_eq!(variables(&[]).to_string(), "no variables");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variables(Vec<Variable>);

/// A table of variables, in their order.
///
/// ```
/// use kernel_helpers::prelude::*;
/// use kernel_helpers::{variable, variables::variables};
///
/// let weight = Tensor::zeros((16, 3), DType::F32, &Device::Cpu)?;
/// let table = variables(&[variable!("weight", "candle_core::Tensor", weight)]);
/// assert!(table.to_string().contains("weight  Tensor  [16, 3] f32"), "{table}");
/// # Ok::<(), Error>(())
/// ```
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

    #[test]
    fn the_table_has_short_types_and_readable_sizes() {
        let measure = Measure { extent: Some("1,000,000".to_owned()), bytes: 4_000_024 };
        let table = variables(&[Variable::new("values", "alloc::vec::Vec<f32>", measure)]);
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
