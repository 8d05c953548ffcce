//! A reader for Python's pickle format that executes nothing: calls become inert records, and only names that a state
//! dict needs may be mentioned at all.
//!
//! Objects live in one list and refer to each other by index, so neither deep nesting nor cycles cost any recursion.
//! Texts stay in the pickle's bytes and nothing is copied twice, so time and memory grow with the pickle's length
//! alone.

use super::known::Known;
use super::malformed::Result;
use super::pickle_bytes::Bytes;
use super::pickle_machine::Machine;

/// A value on the pickle machine's stack: small, as a pickle can hold one for each of its bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i32),
    Float,
    Bytes,
    Set,
    /// A class or function.
    Global(Known),
    Object(u32),
}

/// What a [`Value::Object`] refers to.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Text(&'a str),
    /// An integer that a [`Value::Int`] has no room for.
    Int(i64),
    /// A longer one, in two's complement with the lowest byte first.
    Long(&'a [u8]),
    Tuple(Box<[Value]>),
    List(Vec<Value>),
    /// A `dict` or an `OrderedDict`, with the entries in the order in which they were set.
    Dict(Vec<[Value; 2]>),
    /// A call that was not made.
    Call {
        function: Known,
        arguments: Value,
    },
    /// A reference to something outside the pickle.
    Persistent(Value),
}

/// What reading a pickle takes, in bytes for each of its own: a value for each, an object and a memo for every third.
pub(super) const MEMORY: usize = 48;

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) objects: Vec<Object<'a>>,
    pub(super) root: Value,
    /// Bytes from the pickle's start to the one after its last.
    pub(super) length: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`, which the caller has `cut` if the file goes on behind them.
    pub(super) fn read(bytes: &'a [u8], cut: bool) -> Result<Self> {
        let mut machine = Machine::new(Bytes::new(bytes, cut));
        let root = machine.run()?;
        Ok(Self { root, length: machine.bytes.position(), objects: machine.objects })
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object<'a>> {
        match value {
            Value::Object(index) => self.objects.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&'a str> {
        match self.object(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.object(value)? {
            Object::Tuple(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn count(&self, value: Value) -> Option<usize> {
        match (value, self.object(value)) {
            (Value::Int(value), _) => usize::try_from(value).ok(),
            (_, Some(Object::Int(value))) => usize::try_from(*value).ok(),
            _ => None,
        }
    }
}
