//! What the kernel wraps around the code of a cell.

/// Shows the value at the end of a cell; the kernel wraps it around the last expression.
#[cfg(not(rust_analyzer))]
#[macro_export]
macro_rules! cell_result {
    ($value:expr) => {
        match &$value {
            value => {
                #[allow(unused_imports)] // of these, Rust takes the first that the type allows
                use $crate::display::{DisplayPlain as _, DisplayTypeName as _};
                #[allow(unused_imports)]
                use $crate::nn::DisplayNetwork as _;
                $crate::display::begin_result();
                $crate::display::ShownValue::of(value).evcxr_display();
                $crate::display::end_result();
            }
        }
    };
}

/// The value at the end of a cell, for rust-analyzer: it only looks for the types of variables, and how a value is shown
/// takes it as long as the rest of a cell.
#[cfg(rust_analyzer)]
#[macro_export]
macro_rules! cell_result {
    ($value:expr) => {
        let _ = &$value;
    };
}

/// Measures a variable of any type: `variable!("x", "Tensor", x)` with its name, its type's name, and itself, which is
/// only looked at.
#[macro_export]
macro_rules! variable {
    ($name:expr, $type_name:expr, $value:expr) => {{
        #[allow(unused_imports)] // of these, Rust takes the first that the type allows
        use $crate::{
            display::{ByLength as _, BySize as _, ByValue as _},
            nn::ByNetwork as _,
        };
        let measure = (&&&&$crate::display::Probe(&$value)).measure();
        $crate::variables::Variable::new($name, $type_name, measure)
    }};
}
