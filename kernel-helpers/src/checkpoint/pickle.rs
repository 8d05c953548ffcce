//! A reader for Python's pickle format that executes nothing: calls become inert records, and only names that the caller
//! knows may be mentioned at all.
//!
//! Objects live in one list and refer to each other by index, so neither deep nesting nor cycles cost any recursion.
//! Instructions: protocols 2 to 5, as in CPython's `Lib/pickletools.py`.

use super::malformed::{CUT_SHORT, DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use std::collections::HashMap;

/// Longest pickle that is read, in bytes. A state dict takes about 150 bytes for each tensor.
const LONGEST: usize = 4 << 20;

/// A value on the pickle machine's stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float,
    Object(usize),
}

/// What a [`Value::Object`] refers to.
#[derive(Debug)]
pub(super) enum Object {
    Text(String),
    Bytes,
    Set,
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A class or function, as `module.name`.
    Global(String),
    /// A call that was not made, and the items that were set on its result.
    Call {
        callable: Value,
        arguments: Value,
        items: Vec<(Value, Value)>,
    },
    /// A reference to something outside the pickle.
    Persistent(Value),
}

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) objects: Vec<Object>,
    pub(super) root: Value,
    /// Bytes from the pickle's start to the one after its last.
    pub(super) length: usize,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`; `known` says which `module.name` it may mention.
    pub(super) fn read(bytes: &[u8], known: fn(&str) -> bool) -> Result<Self> {
        let mut machine = Machine {
            bytes: &bytes[..bytes.len().min(LONGEST)],
            position: 0,
            known,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        let root = loop {
            let start = machine.position;
            let instruction = machine.byte()?;
            if instruction == b'.' {
                break machine.pop()?;
            }
            machine.step(instruction, start)?;
        };
        Ok(Self { objects: machine.objects, root, length: machine.position })
    }

    pub(super) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
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

    pub(super) fn global(&self, value: Value) -> Option<&str> {
        match self.object(value)? {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    known: fn(&str) -> bool,
    objects: Vec<Object>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<usize, Value>,
}

impl Machine<'_> {
    fn step(&mut self, instruction: u8, start: usize) -> Result<()> {
        match instruction {
            0x80 => self.protocol()?,
            0x95 => _ = self.take(8)?, // FRAME: a hint for readers from a stream
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => self.stack.push(self.top()?),

            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let value = self.size(4)? as u32 as i32;
                self.stack.push(Value::Int(value.into()));
            }
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                self.take(8)?;
                self.stack.push(Value::Float);
            }

            b'X' => self.string(4)?,
            0x8c => self.string(1)?,
            0x8d => self.string(8)?,
            b'T' => self.string(4)?, // Python 2's str, which state dicts use for ASCII names
            b'U' => self.string(1)?,
            b'B' => self.byte_string(4)?,
            b'C' => self.byte_string(1)?,
            0x8e | 0x96 => self.byte_string(8)?,

            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => {
                let mut values = Vec::new();
                for _ in 0..instruction - 0x84 {
                    values.insert(0, self.pop()?);
                }
                self.push(Object::Tuple(values));
            }
            b't' => {
                let values = self.pop_to_mark()?;
                self.push(Object::Tuple(values));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.append(values)?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![key, value])?;
            }
            b'u' => {
                let values = self.pop_to_mark()?;
                self.set_items(values)?;
            }
            0x8f => self.push(Object::Set),
            0x90 => _ = self.pop_to_mark()?,
            0x91 => {
                self.pop_to_mark()?;
                self.push(Object::Set);
            }

            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.global(name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(format!("{module}.{name}"))?;
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            0x92 => {
                let (_keywords, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            // BUILD: attributes of an object, such as a state dict's `_metadata`. Weights are never among them.
            b'b' => _ = self.pop()?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }

            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => {
                let value = self.top()?;
                self.memo.insert(self.memo.len(), value);
            }
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            other => {
                return Err(self.damaged(format!("the unknown instruction 0x{other:02x} at byte {start}")));
            }
        }
        Ok(())
    }

    fn protocol(&mut self) -> Result<()> {
        match self.byte()? {
            2..=5 => Ok(()),
            other => Err(Malformed::new(
                "a pickle of protocol 2 to 5",
                format!("protocol {other}"),
                SAVE_STATE_DICT,
            )),
        }
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    /// The lowest stack index that values may be popped from.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn top(&self) -> Result<Value> {
        let top = self.stack[self.floor()..].last().copied();
        top.ok_or_else(|| {
            self.damaged(format!("an instruction without its operand before byte {}", self.position))
        })
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let values = self.marks.pop().map(|mark| self.stack.split_off(mark));
        values.ok_or_else(|| self.damaged(format!("a list without its start before byte {}", self.position)))
    }

    fn pop_text(&mut self) -> Result<String> {
        if let Value::Object(index) = self.pop()?
            && let Object::Text(text) = &self.objects[index]
        {
            return Ok(text.clone());
        }
        Err(self.damaged("a reference whose name is no text"))
    }

    fn append(&mut self, mut values: Vec<Value>) -> Result<()> {
        match self.top_object()? {
            Object::List(list) => list.append(&mut values),
            _ => return Err(self.damaged("elements for something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, values: Vec<Value>) -> Result<()> {
        if !values.len().is_multiple_of(2) {
            return Err(self.damaged("a dictionary key without a value"));
        }
        let pairs = values.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match self.top_object()? {
            Object::Dict(items) | Object::Call { items, .. } => items.extend(pairs),
            _ => return Err(self.damaged("dictionary entries for something that is no dictionary")),
        }
        Ok(())
    }

    fn top_object(&mut self) -> Result<&mut Object> {
        match self.top()? {
            Value::Object(index) => Ok(&mut self.objects[index]),
            _ => Err(self.damaged("elements for a plain number")),
        }
    }

    fn global(&mut self, name: String) -> Result<()> {
        if !(self.known)(&name) {
            return Err(Malformed::new(
                "a state dict: names and tensors, nothing else",
                format!("a reference to `{}`", name.escape_default()),
                format!("Nothing in the file was executed. {SAVE_STATE_DICT}"),
            ));
        }
        self.push(Object::Global(name));
        Ok(())
    }

    fn call(&mut self, callable: Value, arguments: Value) -> Result<()> {
        let named =
            matches!(callable, Value::Object(index) if matches!(self.objects[index], Object::Global(_)));
        if !named {
            return Err(self.damaged("a call of something that has no name"));
        }
        self.push(Object::Call { callable, arguments, items: Vec::new() });
        Ok(())
    }

    fn put(&mut self, width: usize) -> Result<()> {
        let (index, value) = (self.size(width)?, self.top()?);
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, width: usize) -> Result<()> {
        let index = self.size(width)?;
        let value = self.memo.get(&index).copied();
        let value = value.ok_or_else(|| self.damaged(format!("a use of the undefined memo {index}")))?;
        self.stack.push(value);
        Ok(())
    }

    fn unsigned(&mut self, width: usize) -> Result<()> {
        let value = self.size(width)?;
        self.stack.push(Value::Int(value as i128));
        Ok(())
    }

    /// A two's complement integer of any length; none of more than 16 bytes occurs in a state dict.
    fn long(&mut self, width: usize) -> Result<()> {
        let length = self.size(width)?;
        let bytes = self.take(length)?;
        if bytes.len() > 16 {
            return Err(self.damaged(format!("an integer of {length} bytes")));
        }
        let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut extended = [sign; 16];
        extended[..bytes.len()].copy_from_slice(bytes);
        self.stack.push(Value::Int(i128::from_le_bytes(extended)));
        Ok(())
    }

    fn string(&mut self, width: usize) -> Result<()> {
        let length = self.size(width)?;
        let text = std::str::from_utf8(self.take(length)?).map(str::to_owned);
        let text = text.map_err(|_| self.damaged("a text that is not UTF-8"))?;
        self.push(Object::Text(text));
        Ok(())
    }

    fn byte_string(&mut self, width: usize) -> Result<()> {
        let length = self.size(width)?;
        self.take(length)?;
        self.push(Object::Bytes);
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.byte()?;
        Ok(line)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian unsigned integer of `width` bytes, 8 at most.
    fn size(&mut self, width: usize) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let rest = &self.bytes[self.position..];
        if length > rest.len() && self.bytes.len() == LONGEST {
            let found = format!("a pickle of more than {} MiB", LONGEST >> 20);
            return Err(Malformed::new("a state dict", found, SAVE_STATE_DICT));
        }
        let taken = rest.get(..length).ok_or_else(|| {
            let found = format!("its end {} bytes too early", length - rest.len());
            Malformed::new("a complete pickle", found, CUT_SHORT)
        })?;
        self.position += length;
        Ok(taken)
    }

    fn damaged(&self, found: impl std::fmt::Display) -> Malformed {
        Malformed::new("a well-formed pickle", found, DAMAGED)
    }
}
