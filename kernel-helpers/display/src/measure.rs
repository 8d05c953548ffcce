//! How long and how large a value of any type is.

use crate::size;
use base::units::grouped;
use candle_core::{Tensor, Var};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// How long and how large a value is.
///
/// ```
/// use kernel_helpers::variable;
///
/// let measure = variable!("losses", "Vec<f64>", vec![0.5, 0.25]).measure().clone();
/// assert_eq!((measure.extent.as_deref(), measure.bytes), (Some("2"), 24 + 2 * 8));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The shape or the length, where there is one.
    pub extent: Option<String>,
    /// The bytes in memory, with all that the value alone leads to, as far as that is known.
    pub bytes: usize,
}

/// A value that knows what it holds.
///
/// A type of one's own that tells the table of variables how long it is:
///
/// ```
/// use kernel_helpers::display::Measurable;
/// use kernel_helpers::variable;
///
/// struct Signal(Vec<f64>);
///
/// impl Measurable for Signal {
///     fn extent(&self) -> Option<String> {
///         Some(format!("{} samples", self.0.len()))
///     }
///     fn beyond(&self) -> usize {
///         self.0.beyond()
///     }
/// }
///
/// let measure = variable!("signal", "Signal", Signal(vec![0.0; 3])).measure().clone();
/// assert_eq!((measure.extent.as_deref(), measure.bytes), (Some("3 samples"), 24 + 3 * 8));
/// ```
pub trait Measurable {
    /// Whether a value leads to nothing beyond itself, as numbers do: then nobody has to look at each of many.
    const FLAT: bool = false;

    /// The shape or the length, if there is one.
    fn extent(&self) -> Option<String> {
        None
    }

    /// The bytes to which the value leads, without its own.
    fn beyond(&self) -> usize {
        0
    }
}

/// A value in search of the way in which it is measured. There is a trait for each way, and with four references in
/// front, as in `(&&&&Probe(&value)).measure()`, Rust takes the first of these that the value's type allows.
///
/// ```
/// use kernel_helpers::display::{ByLength as _, BySize as _, ByValue as _, Probe};
///
/// struct Foreign([u8; 100]);
/// assert_eq!((&&&&Probe(&[1.5, 2.5])).measure().extent.as_deref(), Some("2"));
/// assert_eq!((&&&&Probe(&vec![Foreign([0; 100])])).measure().bytes, 24 + 100);
/// assert_eq!((&&&&Probe(&Foreign([0; 100]))).measure().extent, None);
/// ```
pub struct Probe<'a, T: ?Sized>(pub &'a T);

/// Measures what is [`Measurable`].
///
/// ```
/// use kernel_helpers::display::{ByValue as _, Probe};
///
/// assert_eq!((&&Probe("größe")).measure().bytes, 7);
/// ```
pub trait ByValue {
    /// The value's measure.
    fn measure(&self) -> Measure;
}

/// Measures collections of whatever else.
///
/// ```
/// use kernel_helpers::display::{ByLength as _, Probe};
///
/// assert_eq!((&Probe(&vec![|x: f64| 2.0 * x])).measure().extent.as_deref(), Some("1"));
/// ```
pub trait ByLength {
    /// The value's measure.
    fn measure(&self) -> Measure;
}

/// Measures values of any type: of what they lead to, nothing is known.
///
/// ```
/// use kernel_helpers::display::{BySize as _, Probe};
///
/// assert_eq!(Probe(&[Some(1u8); 3]).measure().bytes, 6);
/// ```
pub trait BySize {
    /// The value's measure.
    fn measure(&self) -> Measure;
}

impl<T: Measurable + ?Sized> ByValue for &&Probe<'_, T> {
    fn measure(&self) -> Measure {
        Measure { extent: self.0.extent(), bytes: size_of_val(self.0) + self.0.beyond() }
    }
}

/// Collections with the bytes of what they hold, without what that leads to.
macro_rules! collections {
    ($([$($generic:ident)*] $collection:ty, $item:ty, $count:ident;)+) => {$(
        impl<$($generic),*> ByLength for &Probe<'_, $collection> {
            fn measure(&self) -> Measure {
                let beyond = self.0.$count() * size_of::<$item>();
                Measure { extent: Some(grouped(self.0.len())), bytes: size_of_val(self.0) + beyond }
            }
        }
    )+};
}

collections! {
    [T] Vec<T>, T, capacity;
    [T] VecDeque<T>, T, capacity;
    [K V S] HashMap<K, V, S>, (K, V), capacity;
    [T S] HashSet<T, S>, T, capacity;
    [K V] BTreeMap<K, V>, (K, V), len;
    [T] BTreeSet<T>, T, len;
}

impl<T: ?Sized> BySize for Probe<'_, T> {
    fn measure(&self) -> Measure {
        Measure { extent: None, bytes: size_of_val(self.0) }
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl Measurable for $number {
            const FLAT: bool = true;
        }
    )+};
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char);

impl Measurable for Tensor {
    fn extent(&self) -> Option<String> {
        Some(format!("{:?} {}", self.dims(), self.dtype().as_str()))
    }

    fn beyond(&self) -> usize {
        size(self)
    }
}

impl Measurable for Var {
    fn extent(&self) -> Option<String> {
        self.as_tensor().extent()
    }

    fn beyond(&self) -> usize {
        size(self)
    }
}

impl Measurable for str {
    fn extent(&self) -> Option<String> {
        Some(grouped(self.chars().count()))
    }
}

impl Measurable for String {
    fn extent(&self) -> Option<String> {
        self.as_str().extent()
    }

    fn beyond(&self) -> usize {
        self.capacity()
    }
}

/// What leads to one value that may be of any size.
macro_rules! pointers {
    ($($pointer:ty)+) => {$(
        impl<T: Measurable + ?Sized> Measurable for $pointer {
            fn extent(&self) -> Option<String> {
                (**self).extent()
            }

            fn beyond(&self) -> usize {
                size_of_val(&**self) + (**self).beyond()
            }
        }
    )+};
}

pointers!(&T Box<T> Rc<T> Arc<T>);

impl<T: Measurable> Measurable for Option<T> {
    const FLAT: bool = T::FLAT;

    fn extent(&self) -> Option<String> {
        self.as_ref().and_then(T::extent)
    }

    fn beyond(&self) -> usize {
        self.as_ref().map_or(0, T::beyond)
    }
}

impl<T: Measurable> Measurable for [T] {
    fn extent(&self) -> Option<String> {
        Some(grouped(self.len()))
    }

    fn beyond(&self) -> usize {
        beyond_all(self)
    }
}

impl<T: Measurable, const N: usize> Measurable for [T; N] {
    const FLAT: bool = T::FLAT;

    fn extent(&self) -> Option<String> {
        Some(grouped(N))
    }

    fn beyond(&self) -> usize {
        beyond_all(self)
    }
}

impl<T: Measurable> Measurable for Vec<T> {
    fn extent(&self) -> Option<String> {
        self.as_slice().extent()
    }

    fn beyond(&self) -> usize {
        self.capacity() * size_of::<T>() + beyond_all(self)
    }
}

impl<K: Measurable, V: Measurable, S> Measurable for HashMap<K, V, S> {
    fn extent(&self) -> Option<String> {
        Some(grouped(self.len()))
    }

    fn beyond(&self) -> usize {
        self.capacity() * size_of::<(K, V)>() + beyond_all(self.keys()) + beyond_all(self.values())
    }
}

impl<K: Measurable, V: Measurable> Measurable for BTreeMap<K, V> {
    fn extent(&self) -> Option<String> {
        Some(grouped(self.len()))
    }

    fn beyond(&self) -> usize {
        self.len() * size_of::<(K, V)>() + beyond_all(self.keys()) + beyond_all(self.values())
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Measurable),+> Measurable for ($($name,)+) {
            const FLAT: bool = $($name::FLAT)&&+;

            #[allow(non_snake_case)] // the types' names serve as the values'
            fn beyond(&self) -> usize {
                let ($($name,)+) = self;
                0 $(+ $name.beyond())+
            }
        }
    )+};
}

tuples!((A) (A B) (A B C) (A B C D));

/// The bytes to which many values lead.
fn beyond_all<'a, T: Measurable + 'a>(values: impl IntoIterator<Item = &'a T>) -> usize {
    if T::FLAT { 0 } else { values.into_iter().map(T::beyond).sum() }
}
