//! How the last value of a cell, which may be of any type, finds the way in which it is shown.

use super::plain::bounded_debug;
use super::{MimeBundle, Show, output, show};
use base::units::short_type_name;
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

/// The last value of a cell. `ShownValue::of(&value).evcxr_display()` shows it in the first of these ways that its type
/// has, by the order in which Rust looks for a method:
///
/// 1. through [`Show`], the value's own or that of what it refers to;
/// 2. by a method `evcxr_display` of the type itself, which other crates' types may have;
/// 3. in its `Debug` form, cut where it is long, and nothing of `()`;
/// 4. by its type's name.
///
/// The last two take [`DisplayPlain`] and [`DisplayTypeName`] in scope.
///
/// ```
/// use kernel_helpers::display::{DisplayPlain as _, DisplayTypeName as _, ShownValue};
///
/// struct Silent;
/// ShownValue::of(&kernel_helpers::markdown("**rich**")).evcxr_display();
/// ShownValue::of(&[1, 2, 3]).evcxr_display();
/// ShownValue::of(&Silent).evcxr_display();
/// ```
pub struct ShownValue<'a, T: ?Sized>(ShownReference<'a, T>);

/// The second look at a value: whether it is a reference to one that implements [`Show`].
///
/// ```
/// use kernel_helpers::display::ShownValue;
///
/// let shown = ShownValue::of("text");
/// assert_eq!(shown.value().len(), 4);
/// ```
pub struct ShownReference<'a, T: ?Sized>(&'a T);

impl<'a, T: ?Sized> ShownValue<'a, T> {
    /// Shows this value.
    pub fn of(value: &'a T) -> Self {
        Self(ShownReference(value))
    }
}

impl<T: Show + ?Sized> ShownValue<'_, T> {
    /// Shows the value as the cell's output.
    pub fn evcxr_display(&self) {
        show(self.0.0);
    }
}

impl<'a, T: ?Sized> ShownReference<'a, T> {
    /// What is shown.
    pub fn value(&self) -> &'a T {
        self.0
    }
}

impl<T: Show + ?Sized> ShownReference<'_, &T> {
    /// Shows the value as the cell's output.
    pub fn evcxr_display(&self) {
        show(*self.0);
    }
}

impl<'a, T: ?Sized> Deref for ShownValue<'a, T> {
    type Target = ShownReference<'a, T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'a, T: ?Sized> Deref for ShownReference<'a, T> {
    type Target = &'a T;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for ShownValue<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T: ?Sized> DerefMut for ShownReference<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Shows a value that stands at the end of a cell and has no method of this name itself, as evcxr would: but evcxr
/// tries the method first and compiles a second time where there is none, and shows values of any length. Shows nothing
/// of `()`.
///
/// ```
/// use kernel_helpers::display::{DisplayPlain as _, ShownValue};
///
/// // Shows `Some([1, 2])`.
/// ShownValue::of(&Some([1, 2])).evcxr_display();
/// ```
pub trait DisplayPlain {
    /// Shows the value's `Debug` form as the cell's output.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> DisplayPlain for T {
    fn evcxr_display(&self) {
        show_debug(std::any::type_name::<T>(), &self);
    }
}

/// What loops and formats is compiled here and not in the cell.
fn show_debug(type_name: &str, value: &dyn Debug) {
    if type_name != "()" {
        show(&Plain(bounded_debug(value)));
    }
}

/// Shows the name of the type of a value of which there is nothing else to show.
///
/// ```
/// use kernel_helpers::display::{DisplayTypeName as _, ShownValue};
///
/// struct Silent;
/// // Shows `a value of type Silent`.
/// ShownValue::of(&Silent).evcxr_display();
/// ```
pub trait DisplayTypeName {
    /// Shows the type's name as the cell's output. It takes a mutable reference because Rust looks for those last.
    fn evcxr_display(&mut self);
}

impl<T: ?Sized> DisplayTypeName for &T {
    fn evcxr_display(&mut self) {
        show_type_name(std::any::type_name::<T>());
    }
}

fn show_type_name(name: &str) {
    show(&Plain(format!("a value of type {}", short_type_name(name))));
}

/// Text as it is.
struct Plain(String);

impl Show for Plain {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(&self.0)
    }
}

/// What is shown from here on is the result of the cell.
///
/// ```
/// use kernel_helpers::display::{begin_result, display, end_result, markdown};
///
/// begin_result();
/// display(&markdown("the value at the end of a cell"));
/// end_result();
/// ```
pub fn begin_result() {
    output::stdout().begin_result();
}

/// The result has been shown.
///
/// ```
/// use kernel_helpers::display::{begin_result, end_result};
///
/// begin_result();
/// end_result();
/// ```
pub fn end_result() {
    output::stdout().end_result();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static WAY: Cell<&'static str> = const { Cell::new("") };
    }

    /// What of these tests leaves a trace of the way that was taken.
    fn taken(way: &'static str) -> MimeBundle {
        WAY.set(way);
        MimeBundle::plain(way)
    }

    #[derive(Debug)]
    struct Rich;

    impl Show for Rich {
        fn forms(&self) -> MimeBundle {
            taken("show")
        }
    }

    #[derive(Debug)]
    struct Foreign;

    impl Foreign {
        fn evcxr_display(&self) {
            taken("method");
        }
    }

    struct DebugOnly;

    impl Debug for DebugOnly {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(taken("debug").get("text/plain").unwrap())
        }
    }

    struct Silent;

    macro_rules! way {
        ($value:expr) => {{
            WAY.set("type name");
            ShownValue::of(&$value).evcxr_display();
            WAY.get()
        }};
    }

    #[test]
    fn each_value_is_shown_in_the_best_way_that_it_has() {
        assert_eq!((way!(Rich), way!(&Rich)), ("show", "show"));
        assert_eq!(way!(Foreign), "method");
        assert_eq!((way!(DebugOnly), way!(&DebugOnly), way!(vec![DebugOnly])), ("debug", "debug", "debug"));
        assert_eq!((way!(Silent), way!(&Silent), way!(|| 1)), ("type name", "type name", "type name"));
        let rich: &dyn Show = &Rich;
        assert_eq!((way!(*rich), way!(rich)), ("show", "show"));
        // Types that are not settled yet, and values without a size.
        assert_eq!(
            (way!(1 + 2), way!("text"), way!(*"text"), way!(())),
            ("type name", "type name", "type name", "type name")
        );
    }

    #[test]
    fn plain_evcxr_finds_a_method_or_the_debug_form() {
        WAY.set("");
        (Foreign).evcxr_display();
        assert_eq!(WAY.get(), "method");
        (DebugOnly).evcxr_display();
        assert_eq!(WAY.get(), "debug");
        (crate::markdown("inherent, as the type has Debug too")).evcxr_display();
    }
}
