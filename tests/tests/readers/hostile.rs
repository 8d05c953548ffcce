//! Small files that ask for much. Each exhausts memory or time in a reader that believes it.

use crate::file_writer::{PickleWriter, Storage, legacy, zip};
use crate::promise::{alone, checkpoint, kept, kept_with};
use kernel_helpers::checkpoint::{StateDict, load_state_dict, load_state_dict_of_size};
use std::io::{Cursor, Write};
use zip::CompressionMethod::{Deflated, Stored};
use zip::write::SimpleFileOptions;

/// The error for a file that must be refused.
fn refusal(file: &[u8]) -> String {
    checkpoint(file).expect_err("the file should be refused")
}

fn floats() -> Storage {
    Storage::float("0", &[1.0, 2.0])
}

/// A state dict of one storage, in both of PyTorch's forms.
fn both_forms(pickle: &[u8], storage: &Storage) -> [Vec<u8>; 2] {
    let storages = std::slice::from_ref(storage);
    [legacy(pickle, storages, true), zip(pickle, storages, "little")]
}

/// A zip archive of compressed entries.
fn deflated(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        archive.start_file(*name, SimpleFileOptions::default().compression_method(Deflated)).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// A safetensors file with this header.
fn safetensors(header: &str, elements: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), elements].concat()
}

fn one(state_dict: Result<StateDict, String>) -> Vec<usize> {
    let state_dict = state_dict.unwrap();
    assert_eq!(state_dict.len(), 1);
    state_dict.into_values().next().unwrap().dims().to_vec()
}

#[test]
fn a_dictionary_that_is_mentioned_many_times_is_read_once() {
    let _alone = alone();
    let tensor = PickleWriter::new().tensor(&floats(), 0, &[2], &[1]).raw(b"q\x010").text("a").raw(b"q\x020");
    let inner = tensor.raw(b"}(").raw(&b"h\x02h\x01".repeat(5_000)).raw(b"uq\x030");
    let outer = inner.raw(b"}(").raw(&b"h\x02h\x03".repeat(5_000)).raw(b"u").end();
    for file in both_forms(&outer, &floats()) {
        assert!(file.len() < 50_000);
        assert_eq!(one(checkpoint(&file)), [2]);
    }
    let compressed = deflated(&[("a/data.pkl", &outer), ("a/data/0", &floats().bytes)]);
    assert!(compressed.len() < 1_000, "{}", compressed.len());
    assert_eq!(one(checkpoint(&compressed)), [2]);
}

#[test]
fn the_last_of_equal_names_is_the_tensor() {
    let _alone = alone();
    let pickle = PickleWriter::new().raw(b"}(").text("a").tensor(&floats(), 0, &[1 << 40], &[1]);
    let pickle = pickle.text("a").tensor(&floats(), 0, &[1], &[1]).raw(b"u").end();
    for file in both_forms(&pickle, &floats()) {
        assert_eq!(one(checkpoint(&file)), [1]);
    }
}

#[test]
fn a_long_name_that_is_mentioned_many_times_is_not_copied() {
    let _alone = alone();
    let name = format!("{}Storage", "A".repeat(300_000));
    let start = PickleWriter::new().text("torch").raw(b"q\x010").text(&name).raw(b"q\x020");
    let pickle = start.raw(&b"h\x01h\x02\x930".repeat(100_000)).raw(b"}").end();
    for file in both_forms(&pickle, &floats()) {
        assert!(refusal(&file).contains("a reference to `torch.AAAA"));
    }
}

#[test]
fn storage_classes_are_pytorchs_own() {
    let _alone = alone();
    for (module, name) in [("torch", "MyStorage"), ("torch.cuda", "Storage"), ("torch", "cuda.FloatStorage")]
    {
        let pickle = PickleWriter::new().global(module, name).end();
        assert!(refusal(&zip(&pickle, &[], "little")).contains(&format!("a reference to `{module}.{name}`")));
    }
}

#[test]
fn a_list_that_many_dictionaries_are_made_from_is_refused() {
    let _alone = alone();
    let list =
        PickleWriter::new().text("a").raw(b"N\x86q\x010](").raw(&b"h\x01".repeat(20_000)).raw(b"e\x85q\x020");
    let list = list.global("collections", "OrderedDict").raw(b"q\x030");
    let pickle = list.raw(b"}(").raw(&b"Nh\x03h\x02R".repeat(20_000)).raw(b"u").end();
    for file in both_forms(&pickle, &floats()) {
        assert!(refusal(&file).contains("more entries than bytes"));
    }
}

#[test]
fn a_long_text_that_names_many_tensors_or_storages_is_refused() {
    let _alone = alone();
    let start = PickleWriter::new().text(&"a".repeat(500_000)).raw(b"q\x010");
    let names = start.clone().raw(b"}(").raw(&b"h\x01N".repeat(100_000)).raw(b"u").end();
    let start = start.text("storage").raw(b"q\x020").global("torch", "FloatStorage").raw(b"q\x030");
    let keys = start.raw(&b"(h\x02h\x03h\x01NK\x01tQ0".repeat(30_000)).raw(b"}").end();
    for pickle in [names, keys] {
        for file in both_forms(&pickle, &floats()) {
            refusal(&file);
        }
    }
}

#[test]
fn a_pickle_of_many_small_objects_takes_little_memory() {
    let _alone = alone();
    for part in
        [&b")"[..], b"]", b"}", b"(", b"N", b")\x94", b"K\x01\x85", b"2", b"(NNNNNNNNt", b"}(NNu", b"\x8c\0"]
    {
        let pickle = PickleWriter::new().raw(b"N").raw(&part.repeat((1 << 20) / part.len())).end();
        for file in both_forms(&pickle, &floats()) {
            refusal(&file);
        }
        refusal(&deflated(&[("a/data.pkl", &pickle)]));
    }
    let list = PickleWriter::new().raw(b"](").raw(&b"N".repeat(1_000_000)).raw(b"e").end();
    assert!(refusal(&deflated(&[("a/data.pkl", &list)])).contains("found a list"));
    let long = PickleWriter::new().raw(&b"N0".repeat(1 << 20)).raw(b"}").end();
    assert!(refusal(&deflated(&[("a/data.pkl", &long)])).contains("bytes"));
}

#[test]
fn many_tensors_of_one_element_are_refused() {
    let _alone = alone();
    let tensor = PickleWriter::new().tensor(&floats(), 0, &[1; 64], &[1; 64]).raw(b"q\x010");
    let entry = |index| [b"\x8c\x06", format!("{index:06}").as_bytes(), b"h\x01"].concat();
    let bytes: Vec<u8> = (0..100_000).flat_map(entry).collect();
    let pickle = tensor.raw(b"}(").raw(&bytes).raw(b"u").end();
    for file in both_forms(&pickle, &floats()) {
        assert!(refusal(&file).contains("tensors about as large as the file"));
    }
}

#[test]
fn a_storage_that_is_listed_many_times_is_read_quickly() {
    let _alone = alone();
    let storage = Storage { count: 0, ..Storage::float("0", &[]) };
    let pickle = PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &[0], &[1]).raw(b"u").end();
    let keys = PickleWriter::new().text("0").raw(b"q\x010](").raw(&b"h\x01".repeat(400_000)).raw(b"e").end();
    let mut file = legacy(&pickle, &[], true);
    file.truncate(file.len() - PickleWriter::new().raw(b"](e").end().len());
    file.extend([keys, vec![0; 400_000 * 8]].concat());
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&path, &file).unwrap();
    assert_eq!(one(kept(&file, |_| load_state_dict(&path))), [0]);
}

#[test]
fn strides_of_64_dimensions_are_followed_quickly() {
    let _alone = alone();
    let storage = Storage { key: "0", class: "ByteStorage", count: 1 << 24, bytes: vec![7; 1 << 24] };
    let shape = |index: i64| if index < 24 { 2 } else { 1 };
    let stride = |index: i64| if index < 24 { 1 << index } else { 1 };
    let (shape, strides): (Vec<_>, Vec<_>) = (0..64).map(|index| (shape(index), stride(index))).unzip();
    let pickle =
        PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &shape, &strides).raw(b"u").end();
    for file in both_forms(&pickle, &storage) {
        assert_eq!(one(checkpoint(&file)).len(), 64);
    }
}

#[test]
fn a_large_storage_is_transposed_in_time() {
    let _alone = alone();
    let storage = Storage { key: "0", class: "CharStorage", count: 1 << 26, bytes: vec![7; 1 << 26] };
    let (shape, strides) = ([1 << 13, 1 << 13], [1, 1 << 13]);
    let pickle =
        PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &shape, &strides).raw(b"u").end();
    // int8 takes twice its size in memory, and the storage has to be there meanwhile.
    assert!(
        refusal(&zip(&pickle, std::slice::from_ref(&storage), "little")).contains("load_state_dict_of_size")
    );
    let storage = Storage { class: "ByteStorage", ..storage };
    let pickle =
        PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &shape, &strides).raw(b"u").end();
    for file in both_forms(&pickle, &storage) {
        assert_eq!(one(checkpoint(&file)), [1 << 13, 1 << 13]);
    }
}

#[test]
fn a_large_file_of_any_form_is_read_in_passing() {
    let _alone = alone();
    let bytes = vec![7; 200_000_000];
    let storage = Storage { key: "0", class: "CharStorage", count: bytes.len() as i64, bytes };
    let shape = [storage.count];
    let pickle = PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &shape, &[1]).raw(b"u").end();
    for file in both_forms(&pickle, &storage) {
        assert_eq!(one(checkpoint(&file)), [storage.bytes.len()]);
    }
    let header = r#"{"a":{"dtype":"I8","shape":[200000000],"data_offsets":[0,200000000]}}"#;
    assert_eq!(one(checkpoint(&safetensors(header, &storage.bytes))), [storage.bytes.len()]);
}

#[test]
fn what_compression_hides_is_refused_before_it_is_unpacked() {
    let _alone = alone();
    let storage = Storage { key: "0", class: "ByteStorage", count: 1 << 28, bytes: vec![0; 1 << 28] };
    let pickle = PickleWriter::new().raw(b"}(").text("a").tensor(&storage, 0, &[1], &[1]).raw(b"u").end();
    let file = deflated(&[("a/data.pkl", &pickle), ("a/data/0", &storage.bytes)]);
    assert!(file.len() < 1 << 20);
    assert!(refusal(&file).contains("tensors about as large as the file"));
    let pickle = vec![b'N'; 4 << 20];
    assert!(refusal(&deflated(&[("a/data.pkl", &pickle)])).contains("`data.pkl` of at most"));
}

#[test]
fn a_zip_directory_of_many_entries_is_refused() {
    let _alone = alone();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..30_000 {
        archive
            .start_file(format!("{index}"), SimpleFileOptions::default().compression_method(Stored))
            .unwrap();
    }
    let mut file = archive.finish().unwrap().into_inner();
    assert!(refusal(&file).contains("30000 entries"));
    // The number of entries in the archive's last 22 bytes, which then point to a record that is not there.
    let end = file.len() - 22;
    file[end + 10..end + 12].copy_from_slice(&[0xff; 2]);
    refusal(&file);
}

#[test]
fn a_packed_mask_is_unpacked_if_its_size_was_expected() {
    let _alone = alone();
    let count = 32_000_000;
    let header = format!(
        r#"{{"__metadata__":{{"kernel_helpers_packed":"{{\"version\":1,\"tensors\":{{\"a\":{{\"shape\":[{count}],\"zeros\":true,\"levels\":null}}}}}}"}},"a#mask":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}},"a#values":{{"dtype":"F32","shape":[0],"data_offsets":[{bytes},{bytes}]}}}}"#,
        bytes = count / 8
    );
    let file = safetensors(&header, &vec![0; count / 8]);
    assert!(refusal(&file).contains("load_weights"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    std::fs::write(&path, &file).unwrap();
    let read = |_: &[u8]| load_state_dict_of_size(&path, 4 * count);
    assert_eq!(one(kept_with(&file, 4 * count, read)), [count]);
}

#[test]
fn long_shapes_and_headers_of_safetensors_are_refused() {
    let _alone = alone();
    let shape = |length: usize| format!("{}0", "0,".repeat(length));
    for length in [64, 500_000, 40_000_000] {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,0]}}}}"#, shape(length));
        refusal(&safetensors(&header, &[]));
    }
    let nested = format!(r#"{{"a":{}"#, "[".repeat(1 << 20));
    refusal(&safetensors(&nested, &[]));
    let tensors: Vec<_> = (0..15_000)
        .map(|index| format!(r#""{index}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    assert_eq!(checkpoint(&safetensors(&format!("{{{}}}", tensors.join(",")), &[])).unwrap().len(), 15_000);
}

#[test]
fn no_error_is_long_or_writes_to_the_terminal() {
    let _alone = alone();
    let name = format!("\u{1b}[31m\u{202e}{}", "é".repeat(200_000));
    let errors = [
        zip(&PickleWriter::new().global("os", &name).end(), &[], "little"),
        zip(&PickleWriter::new().raw(b"}").text(&name[..900]).raw(b"Ns").end(), &[], "little"),
        zip(
            &PickleWriter::new()
                .raw(b"}")
                .text("a\u{1b}[31m")
                .tensor(&floats(), 9, &[1], &[1])
                .raw(b"s")
                .end(),
            &[],
            "little",
        ),
        deflated(&[("\u{1b}[31m", b"")]),
        safetensors(
            &format!(r#"{{"a":{{"dtype":"{name}"}}}}"#, name = name.replace('\u{1b}', "\\u001b")),
            &[],
        ),
        safetensors(
            &format!(
                r#"{{"{}":{{"dtype":"C64","shape":[0],"data_offsets":[0,0]}}}}"#,
                name.replace('\u{1b}', "\\u001b")
            ),
            &[],
        ),
    ];
    for file in errors {
        let error = refusal(&file);
        assert!(!error.contains('\u{1b}') && error.lines().count() == 1, "{error:?}");
    }
}
