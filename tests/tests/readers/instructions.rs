//! Pickles as bolero makes them up from instructions: most of them are state dicts, and the others nearly.

use crate::corpus::{Torch, storages};
use crate::file_writer::{PickleWriter, Storage};
use bolero::{TypeGenerator, produce};

/// Instructions without operands; `0x93` and others take them from the stack.
const PLAIN: &[u8] = b"(012N\x88\x89)]}\x8f\x85\x86\x87taeus\x90\x91\x93R\x81\x92bQ\x94.";

const NAMES: [&str; 6] = ["a", "b", "state_dict", "weight", "", "ä\u{1b}"];
const GLOBALS: [(&str, &str); 9] = [
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "Size"),
    ("torch", "FloatStorage"),
    ("torch.cuda", "HalfStorage"),
    ("torch", "int8"),
    ("os", "system"),
];

/// A part of a pickle.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Part {
    /// A name and its tensor.
    Tensor {
        name: u8,
        storage: u8,
        offset: u8,
        shape: Vec<u8>,
        strides: Option<Vec<u8>>,
    },
    /// A name and a dictionary, into which the next parts go.
    Open {
        name: u8,
        ordered: bool,
    },
    Close,
    /// A name, and an object that was remembered.
    Remembered {
        name: u8,
        memo: u8,
    },
    Remember(u8),
    Number {
        name: u8,
        value: i64,
    },
    Odd(Odd),
}

/// A part that seldom fits.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Odd {
    Name(u8),
    Global(u8),
    Plain(u8),
    Many { plain: u8, times: u16 },
}

/// A pickle, and in which of PyTorch's forms it comes.
#[derive(Clone, Debug, TypeGenerator)]
pub struct Program {
    #[generator(produce::<Vec<Part>>().with().len(0usize..10))]
    parts: Vec<Part>,
    zip: bool,
}

impl Program {
    /// The file that holds it.
    pub fn file(&self) -> Vec<u8> {
        let storages = storages();
        let mut open = 1;
        let start = PickleWriter::new().raw(b"}(");
        let pickle = self.parts.iter().fold(start, |pickle, part| part.write(pickle, &storages, &mut open));
        let pickle = pickle.raw(&b"u".repeat(open)).end();
        let file = Torch { name: "made up", pickle, storages };
        if self.zip { file.zip() } else { file.legacy() }
    }
}

impl Part {
    fn write(&self, pickle: PickleWriter, storages: &[Storage], open: &mut usize) -> PickleWriter {
        match self {
            Self::Tensor { name, storage, offset, shape, strides } => {
                let shape: Vec<i64> = shape.iter().take(4).map(|size| i64::from(*size % 4)).collect();
                let strides: Vec<i64> = match strides {
                    Some(strides) => (0..shape.len())
                        .map(|i| strides.get(i).map_or(1, |stride| i64::from(*stride % 9)))
                        .collect(),
                    None => (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect(),
                };
                let storage = &storages[usize::from(*storage) % storages.len()];
                named(pickle, name).tensor(storage, i64::from(*offset % 12), &shape, &strides)
            }
            Self::Open { name, ordered } => {
                *open += 1;
                let pickle = named(pickle, name);
                if *ordered { pickle.open_dict() } else { pickle.raw(b"}(") }
            }
            Self::Close => {
                let closed = usize::from(*open > 1);
                *open -= closed;
                pickle.raw(&b"u"[..closed])
            }
            Self::Remembered { name, memo } => named(pickle, name).raw(&[b'h', memo % 8]),
            Self::Remember(memo) => pickle.raw(&[b'q', memo % 8]),
            Self::Number { name, value } => named(pickle, name).int(*value),
            Self::Odd(odd) => odd.write(pickle),
        }
    }
}

impl Odd {
    fn write(&self, pickle: PickleWriter) -> PickleWriter {
        let plain = |plain: &u8| PLAIN[usize::from(*plain) % PLAIN.len()];
        match self {
            Self::Name(name) => named(pickle, name),
            Self::Global(global) => {
                let (module, name) = GLOBALS[usize::from(*global) % GLOBALS.len()];
                pickle.global(module, name)
            }
            Self::Plain(instruction) => pickle.raw(&[plain(instruction)]),
            Self::Many { plain: instruction, times } => {
                pickle.raw(&[plain(instruction)].repeat((*times).into()))
            }
        }
    }
}

fn named(pickle: PickleWriter, name: &u8) -> PickleWriter {
    pickle.text(NAMES[usize::from(*name) % NAMES.len()])
}
