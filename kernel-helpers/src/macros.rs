//! What the kernel wraps around the code of a cell.

/// Shows the value at the end of a cell; the kernel wraps it around the last expression.
#[cfg(not(rust_analyzer))]
#[macro_export]
macro_rules! cell_result {
    ($value:expr) => {
        match &$value {
            value => {
                #[allow(unused_imports)] // of these, Rust takes the first that the type allows
                use $crate::{
                    display::{DisplayPlain as _, DisplayTypeName as _},
                    nn::DisplayNetwork as _,
                };
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

#[cfg(test)]
mod tests {
    use crate::data::{Cifar10, Data, Dataset};
    use crate::models::{ResNetConfig, resnet_cifar};
    use candle_core::{DType, Device, Tensor, Var};
    use display::Measure;
    use std::collections::HashMap;
    use std::sync::Arc;

    /// Shape or length and bytes.
    macro_rules! measured {
        ($value:expr) => {{
            let Measure { extent, bytes } = variable!("", "", $value).measure().clone();
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
        let images = size_of_val(&*data.train);
        assert_eq!(
            measured!(data.train),
            expected("[3, 3, 32, 32]", size_of::<Arc<dyn Dataset>>() + images + 3 * 3073)
        );
        let both = size_of::<Data>() + 2 * images + 5 * 3073;
        assert_eq!(measured!(data), expected("[3, 3, 32, 32], [2, 3, 32, 32]", both));
    }
}
