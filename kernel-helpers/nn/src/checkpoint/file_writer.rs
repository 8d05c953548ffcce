//! Writes PyTorch's two file forms in memory, for tests.

use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;

/// Builds a pickle, one instruction after another.
#[derive(Clone)]
pub(super) struct PickleWriter(Vec<u8>);

impl PickleWriter {
    pub(super) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    /// As an integer of eight bytes, so that tests can claim huge counts.
    pub(super) fn int(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    pub(super) fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(super) fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.raw(b"("), |pickle, value| pickle.int(*value)).raw(b"t")
    }

    /// A tensor that `_rebuild_tensor_v2` would make.
    pub(super) fn tensor(self, storage: &Storage, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"((")
            .text("storage")
            .global("torch", storage.class)
            .text(storage.key)
            .text("cpu")
            .int(storage.count)
            .raw(b"tQ")
            .int(offset)
            .ints(shape)
            .ints(strides)
            .raw(b"\x89")
            .global("collections", "OrderedDict")
            .raw(b")RtR")
    }

    /// An empty `OrderedDict`, open for items.
    pub(super) fn open_dict(self) -> Self {
        self.global("collections", "OrderedDict").raw(b")R(")
    }

    pub(super) fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A storage and what the pickle says of it.
#[derive(Clone)]
pub(super) struct Storage {
    pub(super) key: &'static str,
    pub(super) class: &'static str,
    pub(super) count: i64,
    pub(super) bytes: Vec<u8>,
}

impl Storage {
    pub(super) fn float(key: &'static str, values: &[f32]) -> Self {
        Self {
            key,
            class: "FloatStorage",
            count: values.len() as i64,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// The legacy form of `pickle` with its storages.
pub(super) fn legacy(pickle: &[u8], storages: &[Storage], little_endian: bool) -> Vec<u8> {
    let magic = 0x1950_a86a_20f9_469c_fc6c_i128.to_le_bytes();
    let mut file = PickleWriter::new().raw(&[0x8a, 10]).raw(&magic[..10]).end();
    file.extend(PickleWriter::new().raw(b"M\xe9\x03").end());
    let order = if little_endian { b"\x88" } else { b"\x89" };
    file.extend(PickleWriter::new().raw(b"}(").text("little_endian").raw(order).raw(b"u").end());
    file.extend_from_slice(pickle);
    let keys = PickleWriter::new().raw(b"](");
    file.extend(storages.iter().fold(keys, |keys, storage| keys.text(storage.key)).raw(b"e").end());
    for storage in storages {
        file.extend(storage.count.to_le_bytes());
        file.extend(&storage.bytes);
    }
    file
}

/// The zip form of `pickle` with its storages.
pub(super) fn zip(pickle: &[u8], storages: &[Storage], byte_order: &str) -> Vec<u8> {
    let mut entries = vec![
        ("archive/data.pkl".to_owned(), pickle),
        ("archive/byteorder".to_owned(), byte_order.as_bytes()),
        ("archive/version".to_owned(), b"3\n"),
    ];
    entries
        .extend(storages.iter().map(|storage| (format!("archive/data/{}", storage.key), &storage.bytes[..])));
    zip_of(&entries)
}

/// A zip archive of these entries.
pub(super) fn zip_of(entries: &[(String, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in entries {
        archive.start_file(name.as_str(), stored).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
