//! The machine that pickles are programs for: a stack, marks on it, and a memo. Instructions: protocols 2 to 5, as in
//! CPython's `Lib/pickletools.py`.

use super::known::Known;
use super::malformed::{DAMAGED, Malformed, Result, SAVE_STATE_DICT};
use super::pickle::{Object, Value};
use super::pickle_bytes::Bytes;
use std::collections::HashMap;

/// The most objects or memos of short pickles; of longer ones, one for every third byte.
const FEW: usize = 1024;

pub(super) struct Machine<'a> {
    pub(super) bytes: Bytes<'a>,
    pub(super) objects: Vec<Object<'a>>,
    stack: Vec<Value>,
    marks: Vec<u32>,
    memo: HashMap<u32, Value>,
    /// Entries copied from lists into dictionaries so far.
    copied: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: Bytes<'a>) -> Self {
        Self {
            bytes,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copied: 0,
        }
    }

    /// Follows the instructions to the pickle's end. Returns its result.
    pub(super) fn run(&mut self) -> Result<Value> {
        loop {
            match self.bytes.byte()? {
                b'.' => return self.pop(),
                instruction => self.step(instruction)?,
            }
        }
    }

    fn step(&mut self, instruction: u8) -> Result<()> {
        match instruction {
            0x80 => self.protocol()?,
            0x95 => _ = self.bytes.take(8)?, // FRAME: a hint for readers from a stream
            b'(' => self.marks.push(self.stack.len() as u32),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => self.stack.push(self.top()?),

            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' => {
                let value = self.bytes.size(4)? as u32 as i32;
                self.stack.push(Value::Int(value));
            }
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'G' => {
                self.bytes.take(8)?;
                self.stack.push(Value::Float);
            }

            b'X' | b'T' => self.string(4)?, // `T` and `U`: Python 2's str, which state dicts use for ASCII names
            0x8c | b'U' => self.string(1)?,
            0x8d => self.string(8)?,
            b'B' => self.byte_string(4)?,
            b'C' => self.byte_string(1)?,
            0x8e | 0x96 => self.byte_string(8)?,

            b')' => self.push(Object::Tuple(Box::default()))?,
            0x85..=0x87 => self.short_tuple(usize::from(instruction - 0x84))?,
            b't' => {
                let values = self.pop_to_mark()?;
                self.push(Object::Tuple(values.into()))?;
            }
            b']' => self.push(Object::List(Vec::new()))?,
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.append(values)?;
            }
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let values = self.pop_to_mark()?;
                self.set_items(&values)?;
            }
            0x8f => self.stack.push(Value::Set),
            0x90 => _ = self.pop_to_mark()?,
            0x91 => {
                self.pop_to_mark()?;
                self.stack.push(Value::Set);
            }

            b'c' => {
                let known = Known::find(&self.bytes.line()?, &self.bytes.line()?)?;
                self.stack.push(Value::Global(known));
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.stack.push(Value::Global(Known::find(module, name)?));
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            0x92 => {
                let (_keywords, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            b'b' => self.build()?,
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id))?;
            }

            b'q' => self.put(1)?,
            b'r' => self.put(4)?,
            0x94 => {
                let value = self.top()?;
                self.memoize(self.memo.len() as u32, value)?;
            }
            b'h' => self.get(1)?,
            b'j' => self.get(4)?,
            other => {
                let start = self.bytes.position() - 1;
                return Err(damaged(format!("the unknown instruction 0x{other:02x} at byte {start}")));
            }
        }
        Ok(())
    }

    fn protocol(&mut self) -> Result<()> {
        match self.bytes.byte()? {
            2..=5 => Ok(()),
            other => Err(Malformed::new(
                "a pickle of protocol 2 to 5",
                format!("protocol {other}"),
                SAVE_STATE_DICT,
            )),
        }
    }

    fn push(&mut self, object: Object<'a>) -> Result<()> {
        self.bound(self.objects.len(), "objects")?;
        self.stack.push(Value::Object(self.objects.len() as u32));
        self.objects.push(object);
        Ok(())
    }

    /// Refuses what no state dict has and would take much memory.
    fn bound(&self, count: usize, what: &str) -> Result<()> {
        if count < FEW + self.bytes.position() / 3 {
            return Ok(());
        }
        Err(damaged(format!("{count} {what} in {} bytes", self.bytes.position())))
    }

    /// The lowest stack index that values may be popped from.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    fn pop(&mut self) -> Result<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn top(&self) -> Result<Value> {
        let top = self.stack[self.floor()..].last().copied();
        top.ok_or_else(|| {
            damaged(format!("an instruction without its operand before byte {}", self.bytes.position()))
        })
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let values = self.marks.pop().map(|mark| self.stack.split_off(mark as usize));
        values
            .ok_or_else(|| damaged(format!("a list without its start before byte {}", self.bytes.position())))
    }

    fn pop_text(&mut self) -> Result<&'a str> {
        if let Value::Object(index) = self.pop()?
            && let Object::Text(text) = self.objects[index as usize]
        {
            return Ok(text);
        }
        Err(damaged("a reference whose name is no text"))
    }

    fn short_tuple(&mut self, length: usize) -> Result<()> {
        let start = self.stack.len().checked_sub(length).filter(|start| *start >= self.floor());
        let start = start.ok_or_else(|| damaged("a tuple without its elements"))?;
        let values = self.stack.split_off(start);
        self.push(Object::Tuple(values.into()))
    }

    fn append(&mut self, mut values: Vec<Value>) -> Result<()> {
        match self.top_object()? {
            Object::List(list) if list.is_empty() => *list = values,
            Object::List(list) => list.append(&mut values),
            _ => return Err(damaged("elements for something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, values: &[Value]) -> Result<()> {
        let (pairs, rest) = values.as_chunks();
        if !rest.is_empty() {
            return Err(damaged("a dictionary key without a value"));
        }
        match self.top_object()? {
            Object::Dict(items) => items.extend_from_slice(pairs),
            _ => return Err(damaged("dictionary entries for something that is no dictionary")),
        }
        Ok(())
    }

    /// BUILD: attributes of an object, such as a state dict's `_metadata`. Weights are never among them; but of a
    /// tensor they are all that it has, in Python's eyes.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.top_object()? {
            Object::Dict(_) => Ok(()),
            _ => Err(damaged("attributes for something that is no dictionary")),
        }
    }

    fn top_object(&mut self) -> Result<&mut Object<'a>> {
        match self.top()? {
            Value::Object(index) => Ok(&mut self.objects[index as usize]),
            _ => Err(damaged("elements for a plain value")),
        }
    }

    fn call(&mut self, callable: Value, arguments: Value) -> Result<()> {
        match callable {
            Value::Global(Known::OrderedDict) => {
                let items = self.pairs(arguments)?;
                self.push(Object::Dict(items))
            }
            Value::Global(function) => self.push(Object::Call { function, arguments }),
            _ => Err(damaged("a call of something that has no name")),
        }
    }

    /// The entries that an `OrderedDict` is made from: none, or the pairs of a list, as old Pythons wrote them. Many
    /// dictionaries can be made from one list, and so be longer than the pickle: not in a state dict.
    fn pairs(&mut self, arguments: Value) -> Result<Vec<[Value; 2]>> {
        let object = |value| match value {
            Value::Object(index) => Some(&self.objects[index as usize]),
            _ => None,
        };
        let pairs = match object(arguments) {
            Some(Object::Tuple(arguments)) => match arguments[..] {
                [] => return Ok(Vec::new()),
                [list] => match object(list) {
                    Some(Object::List(pairs)) => pairs,
                    _ => return Err(damaged("a dictionary made from no list")),
                },
                _ => return Err(damaged("a dictionary made from many things")),
            },
            _ => return Err(damaged("a call without arguments")),
        };
        let copied = self.copied + pairs.len();
        if copied > self.bytes.len() {
            return Err(damaged("dictionaries with more entries than bytes"));
        }
        let items = pairs.iter().map(|pair| match object(*pair) {
            Some(Object::List(pair)) => pair[..].try_into().ok(),
            Some(Object::Tuple(pair)) => pair[..].try_into().ok(),
            _ => None,
        });
        let items = items.collect::<Option<_>>();
        let items = items.ok_or_else(|| damaged("a dictionary made from something else than pairs"))?;
        self.copied = copied;
        Ok(items)
    }

    fn put(&mut self, width: usize) -> Result<()> {
        let (index, value) = (self.bytes.size(width)?, self.top()?);
        self.memoize(index as u32, value)
    }

    fn memoize(&mut self, index: u32, value: Value) -> Result<()> {
        self.bound(self.memo.len(), "memos")?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, width: usize) -> Result<()> {
        let index = self.bytes.size(width)? as u32;
        let value = self.memo.get(&index).copied();
        self.stack.push(value.ok_or_else(|| damaged(format!("a use of the undefined memo {index}")))?);
        Ok(())
    }

    fn unsigned(&mut self, width: usize) -> Result<()> {
        let value = self.bytes.size(width)? as i32;
        self.stack.push(Value::Int(value));
        Ok(())
    }

    /// A two's complement integer of any length.
    fn long(&mut self, width: usize) -> Result<()> {
        let length = self.bytes.size(width)?;
        let bytes = self.bytes.take(length)?;
        if bytes.len() > 8 {
            return self.push(Object::Long(bytes));
        }
        let sign = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut extended = [sign; 8];
        extended[..bytes.len()].copy_from_slice(bytes);
        let value = i64::from_le_bytes(extended);
        match i32::try_from(value) {
            Ok(value) => self.stack.push(Value::Int(value)),
            Err(_) => self.push(Object::Int(value))?,
        }
        Ok(())
    }

    fn string(&mut self, width: usize) -> Result<()> {
        let length = self.bytes.size(width)?;
        let text = std::str::from_utf8(self.bytes.take(length)?);
        self.push(Object::Text(text.map_err(|_| damaged("a text that is not UTF-8"))?))
    }

    fn byte_string(&mut self, width: usize) -> Result<()> {
        let length = self.bytes.size(width)?;
        self.bytes.take(length)?;
        self.stack.push(Value::Bytes);
        Ok(())
    }
}

fn damaged(found: impl std::fmt::Display) -> Malformed {
    Malformed::new("a well-formed pickle", found, DAMAGED)
}
