//! What a cell shows and hears: plots, source code, the table of variables; the stop button, panics, and the kernel's
//! own calls.

pub mod cell;
pub mod panic;
pub mod plot;
pub mod source;
pub mod stop;
pub mod variables;
