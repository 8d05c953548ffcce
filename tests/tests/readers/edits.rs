//! Changes to a file, as bolero makes them up.

use bolero::{TypeGenerator, produce};

/// No file grows longer than this by edits.
const LONGEST: usize = 1 << 20;
/// Numbers at which something ends.
const EDGES: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    1 << 24,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// A file to be read.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Case {
    /// One of the corpus, changed; its content before it is wrapped up (a zip archive's entries, a header's length) or
    /// the whole.
    Edited {
        seed: u8,
        inside: bool,
        #[generator(produce::<Vec<Edit>>().with().len(0usize..6))]
        edits: Vec<Edit>,
    },
    /// Bytes behind the beginning that the reader knows its files by.
    Raw(Vec<u8>),
}

/// One change. Places are taken modulo the file's length.
#[derive(Clone, Debug, TypeGenerator)]
pub enum Edit {
    Flip {
        at: u32,
        bit: u8,
    },
    Set {
        at: u32,
        to: u8,
    },
    Number {
        at: u32,
        width: u8,
        edge: u8,
    },
    /// Puts another number in the place of one in decimal digits.
    Digits {
        which: u8,
        edge: u8,
    },
    Insert {
        at: u32,
        bytes: Vec<u8>,
    },
    Remove {
        at: u32,
        length: u8,
    },
    Repeat {
        at: u32,
        length: u8,
        times: u16,
    },
    Copy {
        from: u32,
        to: u32,
        length: u8,
    },
    Cut {
        at: u32,
    },
}

/// Makes these changes one after the other.
pub fn edit(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        edit.apply(bytes);
        bytes.truncate(LONGEST);
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let end = bytes.len();
        let place = |at: &u32| *at as usize % end.max(1);
        let range = |at: &u32, length: &u8| place(at)..(place(at) + usize::from(*length)).min(end);
        match self {
            _ if end == 0 => {}
            Self::Flip { at, bit } => bytes[place(at)] ^= 1 << (bit % 8),
            Self::Set { at, to } => bytes[place(at)] = *to,
            Self::Number { at, width, edge } => {
                let number = EDGES[usize::from(*edge) % EDGES.len()].to_le_bytes();
                let range = range(at, &[1, 2, 4, 8][usize::from(*width) % 4]);
                bytes[range.clone()].copy_from_slice(&number[..range.len()]);
            }
            Self::Digits { which, edge } => {
                let runs: Vec<_> = bytes.chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit()).collect();
                let numbers: Vec<_> = (0..runs.len()).filter(|run| runs[*run][0].is_ascii_digit()).collect();
                let Some(&run) = numbers.get(usize::from(*which) % numbers.len().max(1)) else { return };
                let start = runs[..run].iter().map(|run| run.len()).sum::<usize>();
                let (range, number) =
                    (start..start + runs[run].len(), EDGES[usize::from(*edge) % EDGES.len()]);
                bytes.splice(range, number.to_string().into_bytes());
            }
            Self::Insert { at, bytes: inserted } => _ = bytes.splice(place(at)..place(at), inserted.clone()),
            Self::Remove { at, length } => _ = bytes.drain(range(at, length)),
            Self::Repeat { at, length, times } => {
                let part = bytes[range(at, length)].to_vec();
                // Mostly a few times, as long files take long.
                let times = if times % 16 == 0 { times / 16 } else { times % 16 };
                let times = usize::from(times).min(LONGEST / part.len().max(1));
                let repeated = part.repeat(times);
                bytes.splice(place(at)..place(at), repeated);
            }
            Self::Copy { from, to, length } => {
                let part = bytes[range(from, length)].to_vec();
                let target = range(to, length);
                bytes.splice(target, part);
            }
            Self::Cut { at } => bytes.truncate(place(at)),
        }
    }
}
