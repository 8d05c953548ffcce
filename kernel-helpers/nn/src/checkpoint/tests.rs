use super::file_writer::{PickleWriter, Storage, legacy, zip, zip_of};
use super::{StateDict, check_fits, load_state_dict, read, save_state_dict};
use base::Error;
use candle_core::{DType, Device, Tensor};
use std::io::Cursor;
use std::path::Path;

/// Loads `bytes` as the content of `model.pt`.
fn load(bytes: &[u8]) -> base::Result<StateDict> {
    read(&mut Cursor::new(bytes), 0).map_err(|malformed| malformed.at(Path::new("model.pt")))
}

/// The message for a file that must be refused; checks that it is short and made of complete sentences.
fn refusal(bytes: &[u8]) -> String {
    let message = load(bytes).expect_err("the file should be refused").to_string();
    assert!(message.ends_with('.') && !message.contains("..") && message.len() < 400, "{message}");
    message
}

fn values(state_dict: &StateDict, name: &str) -> Vec<f32> {
    state_dict[name].to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A weight, a transposed view of a part of the same storage, a scalar, an empty tensor, and metadata.
fn small_state_dict() -> (Vec<u8>, Vec<Storage>) {
    let weight = Storage::float("10", &[0., 1., 2., 3., 4., 5., 6., 7.]);
    let steps = Storage { key: "2", class: "LongStorage", count: 1, bytes: 7i64.to_le_bytes().to_vec() };
    let pickle = PickleWriter::new()
        .open_dict()
        .text("weight")
        .tensor(&weight, 0, &[2, 2, 2], &[4, 2, 1])
        .text("view")
        .tensor(&weight, 1, &[2, 3], &[1, 2])
        .text("steps")
        .tensor(&steps, 0, &[], &[])
        .text("empty")
        .tensor(&weight, 8, &[0, 4], &[4, 1])
        .raw(b"u}(")
        .text("_metadata")
        .open_dict()
        .raw(b"uub")
        .end();
    (pickle, vec![weight, steps])
}

fn check_small_state_dict(state_dict: &StateDict) {
    assert_eq!(state_dict.keys().collect::<Vec<_>>(), ["empty", "steps", "view", "weight"]);
    assert_eq!(state_dict["weight"].dims(), [2, 2, 2]);
    assert_eq!(values(state_dict, "weight"), [0., 1., 2., 3., 4., 5., 6., 7.]);
    assert_eq!(state_dict["view"].dims(), [2, 3]);
    assert_eq!(values(state_dict, "view"), [1., 3., 5., 2., 4., 6.]);
    assert_eq!(state_dict["steps"].to_scalar::<i64>().unwrap(), 7);
    assert_eq!(state_dict["empty"].dims(), [0, 4]);
}

/// One file of each form.
fn small_files() -> [Vec<u8>; 3] {
    let (pickle, storages) = small_state_dict();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let legacy = legacy(&pickle, &storages, true);
    save_state_dict(&load(&legacy).unwrap(), &path).unwrap();
    [legacy, zip(&pickle, &storages, "little"), std::fs::read(path).unwrap()]
}

#[test]
fn all_forms_give_the_same_tensors() {
    for file in small_files() {
        check_small_state_dict(&load(&file).unwrap());
    }
}

#[test]
fn every_truncation_is_refused() {
    for file in small_files() {
        for length in 0..file.len() {
            refusal(&file[..length]);
        }
    }
}

#[test]
fn flipped_bits_never_panic() {
    for mut file in small_files() {
        for position in 0..file.len() {
            for mask in [0x01, 0x10, 0x80, 0xff] {
                file[position] ^= mask;
                _ = load(&file);
                file[position] ^= mask;
            }
        }
    }
}

#[test]
fn element_types_keep_their_values() {
    let cases: [(&str, Vec<u8>, DType, f32); 10] = [
        ("DoubleStorage", (-1.5f64).to_le_bytes().to_vec(), DType::F64, -1.5),
        ("FloatStorage", (-1.5f32).to_le_bytes().to_vec(), DType::F32, -1.5),
        ("HalfStorage", vec![0x00, 0xbe], DType::F16, -1.5),
        ("BFloat16Storage", vec![0xc0, 0xbf], DType::BF16, -1.5),
        ("IntStorage", (-3i32).to_le_bytes().to_vec(), DType::I32, -3.),
        ("ShortStorage", (-3i16).to_le_bytes().to_vec(), DType::I16, -3.),
        ("CharStorage", vec![0xfd], DType::I16, -3.),
        ("ByteStorage", vec![0xfd], DType::U8, 253.),
        ("BoolStorage", vec![1], DType::U8, 1.),
        ("BoolStorage", vec![37], DType::U8, 1.),
    ];
    for (class, bytes, dtype, value) in cases {
        let storage = Storage { key: "0", class, count: 1, bytes };
        let pickle =
            PickleWriter::new().open_dict().text("a").tensor(&storage, 0, &[1], &[1]).raw(b"u").end();
        let state_dict = load(&legacy(&pickle, &[storage], true)).unwrap();
        assert_eq!(state_dict["a"].dtype(), dtype, "{class}");
        assert_eq!(values(&state_dict, "a"), [value], "{class}");
    }
}

#[test]
fn unsupported_element_type_is_named() {
    let storage = Storage { key: "0", class: "ComplexFloatStorage", count: 0, bytes: vec![] };
    let pickle = PickleWriter::new().open_dict().text("a").tensor(&storage, 0, &[0], &[1]).raw(b"u").end();
    assert!(refusal(&zip(&pickle, &[storage], "little")).contains("`torch.ComplexFloatStorage`"));
}

/// Protocol 4 with its short texts and memos, and PyTorch's call for element types without a storage class.
#[test]
fn newest_instructions_are_read() {
    let storage = Storage { key: "0", class: "UntypedStorage", count: 4, bytes: vec![0xff; 4] };
    let pickle = PickleWriter::new()
        .raw(b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94")
        .raw(b"\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_tensor_v3\x94\x93\x94((\x8c\x07storage\x94")
        .raw(b"\x8c\x0dtorch.storage\x94\x8c\x0eUntypedStorage\x94\x93\x94\x8c\x010\x8c\x03cpuK\x04tQ")
        .raw(b"K\x00K\x01\x85K\x01\x85\x89N\x8c\x05torch\x8c\x06uint32\x93N\x94tR\x8c\x01bh\x01u")
        .end();
    let state_dict = load(&zip(&pickle, &[storage], "little")).unwrap();
    assert_eq!(state_dict.len(), 1, "`b` is a text");
    assert_eq!(state_dict["a"].to_vec1::<u32>().unwrap(), [u32::MAX]);
}

#[test]
fn parameters_load_as_tensors() {
    let storage = Storage::float("0", &[2.5]);
    let pickle = PickleWriter::new()
        .raw(b"}")
        .text("a")
        .global("torch._utils", "_rebuild_parameter")
        .raw(b"(")
        .tensor(&storage, 0, &[1], &[1])
        .raw(b"\x88)tRs")
        .end();
    assert_eq!(values(&load(&zip(&pickle, &[storage], "little")).unwrap(), "a"), [2.5]);
}

#[test]
fn nested_state_dict_is_found_if_it_is_the_only_one() {
    let storage = Storage::float("0", &[2.5]);
    let wrap = |names: &[&str]| {
        let start = PickleWriter::new().raw(b"}(").text("epoch").int(3);
        let pickle = names.iter().fold(start, |pickle, name| {
            pickle.text(name).open_dict().text("a").tensor(&storage, 0, &[1], &[1]).raw(b"u")
        });
        zip(&pickle.raw(b"u").end(), std::slice::from_ref(&storage), "little")
    };
    assert_eq!(values(&load(&wrap(&["state_dict"])).unwrap(), "a"), [2.5]);
    assert!(refusal(&wrap(&["model", "ema"])).contains("2 state dicts: `model`, `ema`"));
}

#[test]
fn unknown_callable_is_named_and_not_called() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let command = format!("touch {}", trace.display());
    let (pickle, storages) = small_state_dict();
    let call = PickleWriter::new().global("os", "system").raw(b"(").text(&command).raw(b"tR0").end();
    // The call first, then an innocent state dict.
    let malicious = [&call[..call.len() - 1], &pickle[2..]].concat();
    for file in [legacy(&malicious, &storages, true), zip(&malicious, &storages, "little"), call] {
        let message = refusal(&file);
        assert!(
            message.contains("`os.system`") && message.contains("Nothing in the file was executed"),
            "{message}"
        );
    }
    let stacked = PickleWriter::new().text("posix").text("system").raw(b"\x93)R").end();
    assert!(refusal(&stacked).contains("`posix.system`"));
    assert!(!trace.exists());
}

#[test]
fn whole_model_is_refused_with_the_way_out() {
    let pickle = PickleWriter::new().global("resnet20", "ResNetCIFAR").raw(b")\x81").end();
    let message = refusal(&zip(&pickle, &[], "little"));
    assert!(message.contains("`resnet20.ResNetCIFAR`") && message.contains("net.state_dict()"), "{message}");
}

#[test]
fn claimed_sizes_allocate_nothing() {
    let storage = Storage::float("0", &[1., 2.]);
    let huge = i64::MAX;
    let views: [(i64, &[i64], &[i64]); 6] = [
        (0, &[huge], &[0]),
        (0, &[1 << 40], &[0]),
        (0, &[huge, huge, 0], &[1, 1, 1]),
        (huge, &[2], &[huge]),
        (-1, &[1], &[1]),
        (0, &[1, 1], &[1]),
    ];
    for (offset, shape, strides) in views {
        let pickle = PickleWriter::new()
            .open_dict()
            .text("a")
            .tensor(&storage, offset, shape, strides)
            .raw(b"u")
            .end();
        refusal(&legacy(&pickle, std::slice::from_ref(&storage), true));
        refusal(&zip(&pickle, std::slice::from_ref(&storage), "little"));
    }
    for count in [huge, -1, 3] {
        let storage = Storage { count, ..storage.clone() };
        let pickle =
            PickleWriter::new().open_dict().text("a").tensor(&storage, 0, &[1], &[1]).raw(b"u").end();
        refusal(&legacy(&pickle, std::slice::from_ref(&storage), true));
        refusal(&zip(&pickle, std::slice::from_ref(&storage), "little"));
    }
    for start in [&b"X\xff\xff\xff\xff"[..], b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", b"\x8b\xff\xff\xff\x7f"]
    {
        refusal(&PickleWriter::new().raw(start).end());
    }
}

#[test]
fn broadcast_tensor_loads_but_many_of_them_do_not() {
    let storage = Storage::float("0", &[3.]);
    let one = PickleWriter::new().open_dict().text("0").tensor(&storage, 0, &[4096], &[0]);
    let file = zip(&one.clone().raw(b"u").end(), std::slice::from_ref(&storage), "little");
    assert_eq!(values(&load(&file).unwrap(), "0"), [3.; 4096]);
    let many =
        (1..64).fold(one, |pickle, i| pickle.text(&i.to_string()).tensor(&storage, 0, &[1 << 20], &[0]));
    let file = zip(&many.raw(b"u").end(), &[storage], "little");
    assert!(refusal(&file).contains("tensors about as large as the file"));
}

#[test]
fn deep_and_cyclic_pickles_end() {
    let deep = PickleWriter::new().raw(b")").raw(&b"\x85".repeat(1 << 20)).end();
    refusal(&zip(&deep, &[], "little"));
    let cyclic = PickleWriter::new().raw(b"}q\x00").text("a").raw(b"h\x00s").end();
    refusal(&zip(&cyclic, &[], "little"));
}

#[test]
fn big_endian_files_are_refused() {
    let (pickle, storages) = small_state_dict();
    assert!(refusal(&legacy(&pickle, &storages, false)).contains("big-endian"));
    assert!(refusal(&zip(&pickle, &storages, "big")).contains("big-endian"));
}

#[test]
fn other_files_are_called_by_their_name() {
    let list = PickleWriter::new().raw(b"](K\x01e").end();
    let text_dict = PickleWriter::new().raw(b"}").text("lr").text("0.1").raw(b"s").end();
    let cases: [(&[u8], &str); 12] = [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "a web page"),
        (b"\xef\xbb\xbf<HTML>", "a web page"),
        (b"accuracy: 91.4\n", "a text file"),
        ("Genauigkeit: ähnlich\n".as_bytes(), "a text file"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a picture"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x00\x01\x02\x03", "bytes of an unknown form"),
        (&list, "a pickle without PyTorch's magic number"),
        (&zip(&list, &[], "little"), "a list"),
        (&zip(&text_dict, &[], "little"), "a dictionary without tensors: `lr`"),
        (&zip_of(&[("weights.npy".to_owned(), b"x")]), "`weights.npy`"),
    ];
    for (file, found) in cases {
        let message = refusal(file);
        assert!(message.contains(found), "{message}");
    }
}

#[test]
fn missing_file_and_folder_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load_state_dict(folder.path().join("missing.pt")).unwrap_err();
    assert!(
        matches!(missing, Error::File { .. }) && missing.to_string().contains("no such file"),
        "{missing}"
    );
    let folder = load_state_dict(folder.path()).unwrap_err();
    assert!(
        matches!(folder, Error::File { .. }) && folder.to_string().contains("found a folder"),
        "{folder}"
    );
}

#[test]
fn saving_makes_the_folder_and_replaces_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quick/model.safetensors");
    let weight = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
    for tensor in [weight.clone(), weight.t().unwrap()] {
        let state_dict = StateDict::from([("weight".to_owned(), tensor)]);
        save_state_dict(&state_dict, &path).unwrap();
        let loaded = load_state_dict(&path).unwrap();
        assert_eq!(loaded["weight"].dims(), state_dict["weight"].dims());
        assert_eq!(values(&loaded, "weight"), values(&state_dict, "weight"));
    }
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn fit_is_reported_in_one_short_message() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let named = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let state_dict = StateDict::from([
        ("fc.weight".to_owned(), zeros(&[10, 64])),
        ("fc.bias".to_owned(), zeros(&[10])),
        ("bn.num_batches_tracked".to_owned(), zeros(&[])),
    ]);
    let mut expected = vec![named("fc.weight", &[10, 64]), named("fc.bias", &[10])];
    check_fits("model.pt", &state_dict, &expected).unwrap();

    expected[0].1 = vec![100, 64];
    expected[1].0 = "fc.offset".to_owned();
    expected.extend(["a", "b", "c"].map(|name| named(name, &[1])));
    let message = check_fits("model.pt", &state_dict, &expected).unwrap_err().to_string();
    assert_eq!(
        message,
        "model.pt: expected the 5 tensors of this network, found a checkpoint without `a`, `b`, `c` and 1 more; \
         with the unexpected `fc.bias`; with the wrong shape: `fc.weight` with [10, 64] instead of [100, 64]. \
         Load a checkpoint that was saved from the same network."
    );
}

#[test]
fn counters_of_batches_may_be_missing_but_not_misshapen() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::I64, &Device::Cpu).unwrap();
    let named = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    let expected = [named("bn.weight", &[4]), named("bn.num_batches_tracked", &[])];
    let weight = ("bn.weight".to_owned(), zeros(&[4]));
    let counter = |name: &str, shape: &[usize]| (format!("{name}.num_batches_tracked"), zeros(shape));
    for others in [vec![], vec![counter("bn", &[])], vec![counter("bn", &[]), counter("other", &[3])]] {
        let state_dict = others.into_iter().chain([weight.clone()]).collect();
        check_fits("model.pt", &state_dict, &expected).unwrap();
    }
    let state_dict = StateDict::from([weight, counter("bn", &[2])]);
    let message = check_fits("model.pt", &state_dict, &expected).unwrap_err().to_string();
    assert!(message.contains("wrong shape: `bn.num_batches_tracked` with [2] instead of []"), "{message}");
}

/// Readers choose one of them each.
#[test]
fn archives_that_mean_different_things_to_others_are_refused() {
    let (pickle, storages) = small_state_dict();
    let mut entries: Vec<(String, &[u8])> = vec![("archive/data.pkl".to_owned(), &pickle)];
    entries
        .extend(storages.iter().map(|storage| (format!("archive/data/{}", storage.key), &storage.bytes[..])));
    check_small_state_dict(&load(&zip_of(&entries)).unwrap());
    entries.push(("ARCHIVE/data/2".to_owned(), &[0; 8]));
    let file = zip_of(&entries);
    assert!(refusal(&file).contains("entries of the same name"));
    // The last entry's name is the last thing before the end of 22 bytes.
    let name = file.len() - 22 - "ARCHIVE/data/2".len();
    let mut twice = file.clone();
    twice[name..name + 7].copy_from_slice(b"archive");
    assert!(refusal(&twice).contains("entries of the same name"));
    let mut folder = file.clone();
    folder[name..name + 7].copy_from_slice(b"another");
    check_small_state_dict(&load(&folder).unwrap());
    // The attributes of the entry before, in its 46 bytes.
    folder[name - 46 - "archive/data/2".len() - 46 + 38] |= 0x10;
    assert!(refusal(&folder).contains("a folder"));
    let mut size = file.clone();
    size[file.len() - 10] ^= 1;
    assert!(refusal(&size).contains("contradicts itself"));
}

/// PyTorch sets the tensor anew with them.
#[test]
fn attributes_of_a_tensor_are_refused() {
    let storage = Storage::float("0", &[2.5]);
    let pickle = PickleWriter::new().raw(b"}").text("a").tensor(&storage, 0, &[1], &[1]);
    let file = zip(&pickle.raw(b")bs").end(), &[storage], "little");
    assert!(refusal(&file).contains("attributes for something that is no dictionary"));
}
