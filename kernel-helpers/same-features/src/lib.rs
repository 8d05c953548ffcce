//! Nothing: this crate is about the features of others.
