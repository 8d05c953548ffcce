//! Small files of every form, from which fuzzing starts. They lie in `tests/fuzz/corpus`, for tools that want files.

use crate::file_writer::{PickleWriter, Storage, legacy, zip};
use homework_tests::project_root;
use kernel_helpers::candle_core::{DType, Device, Tensor};
use kernel_helpers::checkpoint::{StateDict, save_packed, save_state_dict};
use kernel_helpers::data::RECORD_BYTES;
use kernel_helpers::fp_layers::Ste;
use std::path::{Path, PathBuf};

/// The environment variable by which the test below writes the files anew.
const WRITE: &str = "WRITE_CORPUS";

/// A PyTorch file before it is wrapped up in one of its forms.
#[derive(Clone)]
pub struct Torch {
    pub name: &'static str,
    pub pickle: Vec<u8>,
    pub storages: Vec<Storage>,
}

impl Torch {
    pub fn zip(&self) -> Vec<u8> {
        zip(&self.pickle, &self.storages, "little")
    }

    /// With the storages that the pickle mentions, as this form has no others, and in the references to them a field
    /// more, which says that they are whole.
    pub fn legacy(&self) -> Vec<u8> {
        let mentioned = |class: &str| self.pickle.windows(class.len()).any(|text| text == class.as_bytes());
        let storages = self.storages.iter().filter(|storage| mentioned(storage.class)).cloned();
        let mut pickle = Vec::new();
        for &byte in &self.pickle {
            match (pickle.last(), byte) {
                (Some(b't'), b'Q') => pickle.splice(pickle.len() - 1.., *b"NtQ").for_each(drop),
                _ => pickle.push(byte),
            }
        }
        legacy(&pickle, &storages.collect::<Vec<_>>(), true)
    }
}

/// The storages that tensors of the corpus refer to.
pub fn storages() -> Vec<Storage> {
    let bytes: Vec<u8> = (0..64u8).map(|byte| byte.wrapping_mul(37)).collect();
    let storage = |key, class, size: i64| Storage { key, class, count: 64 / size, bytes: bytes.clone() };
    let floats: Vec<f32> = (0..16).map(|value| value as f32 - 4.5).collect();
    vec![
        Storage::float("0", &floats),
        storage("1", "LongStorage", 8),
        storage("2", "CharStorage", 1),
        storage("3", "BFloat16Storage", 2),
        storage("4", "BoolStorage", 1),
    ]
}

/// State dicts as PyTorch pickles them.
pub fn torch() -> Vec<Torch> {
    let storages = storages();
    let (floats, longs, chars) = (&storages[0], &storages[1], &storages[2]);
    let plain = PickleWriter::new().open_dict().text("weight").tensor(floats, 0, &[2, 2, 4], &[8, 4, 1]);
    let plain =
        plain.text("view").tensor(floats, 1, &[3, 2], &[2, 5]).text("steps").tensor(longs, 3, &[], &[]);
    let plain =
        plain.text("bytes").tensor(chars, 0, &[64], &[1]).text("none").tensor(floats, 9, &[0, 4], &[4, 1]);
    let plain = plain.text("half").tensor(&storages[3], 0, &[4, 8], &[8, 1]);
    let plain = plain.text("mask").tensor(&storages[4], 32, &[32], &[1]);
    let plain = plain.raw(b"u}(").text("_metadata").open_dict().raw(b"uub").end();

    let nested = PickleWriter::new().raw(b"}q\0(").text("epoch").int(7).text("lr").raw(b"G").raw(&[0; 8]);
    let nested =
        nested.text("state_dict").raw(b"}q\x01(").text("a").tensor(floats, 0, &[16], &[1]).raw(b"q\x02");
    let nested = nested.text("tied").raw(b"h\x02u").text("copy").raw(b"h\x01").text("best").raw(b"Nu").end();

    let parameter = PickleWriter::new().raw(b"}").text("p").global("torch._utils", "_rebuild_parameter");
    let parameter =
        parameter.raw(b"(").tensor(floats, 4, &[2, 3], &[3, 1]).raw(b"\x88").open_dict().raw(b"utRs");

    let pairs = PickleWriter::new().global("collections", "OrderedDict").raw(b"](]").text("a").raw(b"a");
    let pairs = pairs.tensor(longs, 0, &[2, 2, 2], &[1, 2, 4]).raw(b"ae\x85R");

    let newest =
        PickleWriter::new().raw(b"\x80\x04\x95\0\0\0\0\0\0\0\0}\x94(\x8c\x01a\x94\x8c\x0ctorch._utils\x94");
    let newest =
        newest.raw(b"\x8c\x12_rebuild_tensor_v3\x94\x93\x94((\x8c\x07storage\x94\x8c\x0dtorch.storage\x94");
    let newest = newest
        .raw(b"\x8c\x0eUntypedStorage\x94\x93\x94\x8c\x014\x8c\x03cpuK\x40tQK\x00K\x04\x85K\x01\x85\x89N");
    let newest = newest.raw(b"\x8c\x05torch\x8c\x06uint32\x93N\x94tR\x8c\x01bh\x01u");

    let file = |name, pickle| Torch { name, pickle, storages: storages.clone() };
    let mut newest = file("newest", newest.end());
    newest.storages[4].class = "UntypedStorage";
    vec![
        file("plain", plain),
        file("nested", nested),
        file("parameter", parameter.end()),
        file("pairs", pairs.end()),
        newest,
    ]
}

/// What [`save_state_dict`] writes, of every element type.
pub fn safetensors() -> Vec<Vec<u8>> {
    let numbers = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap();
    let types = [
        DType::F64,
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::I64,
        DType::I32,
        DType::I16,
        DType::U32,
        DType::U8,
    ];
    let typed = |dtype: DType| (format!("of {}", dtype.as_str()), numbers.to_dtype(dtype).unwrap());
    let mut all: StateDict = types.into_iter().map(typed).collect();
    all.insert("none".to_owned(), numbers.narrow(0, 0, 0).unwrap());
    all.insert("one".to_owned(), numbers.get(3).unwrap());
    let one = StateDict::from([("weight".to_owned(), numbers.reshape((3, 4)).unwrap())]);
    [all, one].iter().map(|state_dict| saved(|path| save_state_dict(state_dict, path))).collect()
}

/// What [`save_packed`] writes: values, codes of several widths, with and without a mask.
pub fn packed() -> Vec<Vec<u8>> {
    let weights =
        |zeros: usize| (0..600).map(move |i| if i % 5 < zeros { 0.0 } else { (i * i % 97) as f32 - 40.0 });
    let tensor =
        |zeros: usize| Tensor::from_iter(weights(zeros), &Device::Cpu).unwrap().reshape((20, 30)).unwrap();
    let state_dict = StateDict::from([0, 3, 4].map(|zeros| (format!("layer {zeros}"), tensor(zeros))));
    let ste = |n_bits, symmetric| Ste { n_bits, symmetric };
    let packed = |ste| saved(|path| save_packed(&state_dict, |_| ste, path));
    vec![
        packed(ste(None, false)),
        packed(ste(Some(3), true)),
        packed(ste(Some(8), false)),
        packed(ste(Some(1), true)),
    ]
}

/// Records as those of CIFAR-10, none and two.
pub fn cifar10() -> Vec<Vec<u8>> {
    vec![Vec::new(), (0..2 * RECORD_BYTES).map(|at| (at % RECORD_BYTES % 251 * 9 % 256) as u8).collect()]
}

fn saved(save: impl Fn(&Path) -> kernel_helpers::Result<()>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    save(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// All files of the corpus.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let numbered = |folder: &str, extension: &str, files: Vec<Vec<u8>>| -> Vec<_> {
        let name = |index: usize| PathBuf::from(folder).join(format!("{index}.{extension}"));
        files.into_iter().enumerate().map(|(index, file)| (name(index), file)).collect()
    };
    let torch = torch();
    let zip = torch.iter().map(|file| (format!("torch_zip/{}.pt", file.name).into(), file.zip()));
    let legacy = torch.iter().map(|file| (format!("torch_legacy/{}.pt", file.name).into(), file.legacy()));
    let mut files: Vec<(PathBuf, Vec<u8>)> = zip.chain(legacy).collect();
    files.extend(numbered("safetensors", "safetensors", safetensors()));
    files.extend(numbered("packed", "safetensors", packed()));
    files.extend(numbered("cifar10", "bin", cifar10()));
    files
}

#[test]
fn the_corpus_in_the_repository_is_what_the_tests_write() {
    let folder = project_root().join("tests/fuzz/corpus");
    for (name, content) in files() {
        let path = folder.join(name);
        if std::env::var_os(WRITE).is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &content).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_default();
        assert!(found == content, "{} is stale: run this test with {WRITE}=1", path.display());
    }
}

#[test]
fn the_corpus_is_accepted() {
    let _alone = crate::promise::alone();
    for (name, content) in files() {
        if !name.starts_with("cifar10") {
            let read = crate::promise::checkpoint(&content);
            assert!(
                read.as_ref().is_ok_and(|state_dict| !state_dict.is_empty()),
                "{}: {read:?}",
                name.display()
            );
        }
    }
}
