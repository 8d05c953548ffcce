use super::{StateDict, load_state_dict, read, save_packed, save_state_dict};
use crate::checkpoint::sha256_of_state;
use crate::fp_layers::Ste;
use crate::models::{ResNetConfig, resnet_cifar};
use crate::prune::{global_prune_by_percentage, prune_layers};
use crate::{Network, state_dict};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::io::Cursor;
use std::path::Path;

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn random(count: usize, zeros: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let mut value = || if rng.random_bool(zeros) { 0.0 } else { rng.random_range(-0.5..2.0f32) };
    (0..count).map(|_| value()).collect()
}

fn one(values: &[f32]) -> StateDict {
    StateDict::from([("weight".to_owned(), Tensor::new(values, &Device::Cpu).unwrap())])
}

/// What is loaded after packing, and the file's length.
fn through_the_disk(state_dict: &StateDict, ste: Ste) -> (StateDict, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    save_packed(state_dict, |_| ste, &path).unwrap();
    (load_state_dict(&path).unwrap(), std::fs::read(&path).unwrap().len())
}

#[test]
fn floats_come_back_bit_for_bit() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for zeros in [0.0, 0.1, 0.8, 1.0] {
        for count in [1, 9, 1000, 1001] {
            let state = one(&random(count, zeros, &mut rng));
            let (loaded, _) = through_the_disk(&state, Ste::default());
            assert_eq!(sha256_of_state(&loaded), sha256_of_state(&state), "{count} values, {zeros} zeros");
        }
    }
}

#[test]
fn quantizing_the_loaded_weights_gives_the_same_bits() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for n_bits in 1..=16 {
        for symmetric in [false, true] {
            let ste = Ste { n_bits: Some(n_bits), symmetric };
            for zeros in [0.0, 0.001, 0.8, 1.0] {
                for scale in [1.0, 1e-3, 1e-30] {
                    let weight = random(3000, zeros, &mut rng).iter().map(|v| v * scale).collect::<Vec<_>>();
                    let (loaded, length) = through_the_disk(&one(&weight), ste);
                    let loaded = values(&loaded["weight"]);
                    assert_eq!(
                        ste.quantize_values(&loaded).unwrap(),
                        ste.quantize_values(&weight).unwrap(),
                        "{ste}, {zeros} zeros"
                    );
                    let zeros_stay = loaded.iter().zip(&weight).all(|(l, w)| (*l == 0.0) == (*w == 0.0));
                    assert!(zeros_stay, "{ste}, {zeros} zeros");
                    let kept = weight.iter().filter(|v| **v != 0.0).count();
                    let mask = if kept < 3000 { 375 } else { 0 };
                    assert!(length <= kept * n_bits as usize / 8 + mask + 700, "{ste}, {zeros}: {length}");
                }
            }
        }
    }
}

#[test]
fn weights_that_the_levels_cannot_give_back_stay_floats() {
    // So close together that the levels in between fall on the same floats.
    let weight: Vec<f32> = (0..1000).map(|i| f32::from_bits(1e4f32.to_bits() + i % 7)).collect();
    let ste = Ste { n_bits: Some(8), symmetric: false };
    let (loaded, _) = through_the_disk(&one(&weight), ste);
    assert_eq!(
        ste.quantize_values(&values(&loaded["weight"])).unwrap(),
        ste.quantize_values(&weight).unwrap()
    );
    for odd in [vec![f32::NAN; 1000], vec![f32::INFINITY; 1000], vec![0.25; 1000], vec![0.0; 1000]] {
        let loaded = values(&through_the_disk(&one(&odd), ste).0["weight"]);
        assert!(loaded.iter().zip(&odd).all(|(found, expected)| found.to_bits() == expected.to_bits()));
    }
}

/// ResNet-20, pruned with `q` and quantized; its outputs before and after packing, and the file's length.
fn resnet(n_bits: Option<u32>, q: f64, name: &str, folder: &Path) -> usize {
    let config = ResNetConfig { n_bits, ..Default::default() };
    let net = resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap();
    if q > 0.0 {
        prune_layers(&net, q).unwrap();
    }
    let path = folder.join(name);
    net.save_packed(&path).unwrap();
    let loaded = resnet_cifar(ResNetConfig { ..config }).unwrap().build(1, &Device::Cpu).unwrap();
    loaded.load_weights(&path).unwrap();
    let images = Tensor::randn(0f32, 1.0, (4, 3, 32, 32), &Device::Cpu).unwrap();
    let logits = [&net, &loaded].map(|net| values(&net.forward_t(&images, false).unwrap()));
    assert_eq!(logits[0], logits[1], "{name}");
    std::fs::metadata(&path).unwrap().len() as usize
}

#[test]
fn a_packed_resnet_computes_the_same_and_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let size = |n_bits, q, name| resnet(n_bits, q, name, folder.path());
    let sizes = [
        size(None, 0.0, "dense"),
        size(None, 0.8, "80 % sparse"),
        size(Some(4), 0.0, "4 bits"),
        size(Some(2), 0.0, "2 bits"),
        size(Some(4), 0.8, "80 % sparse, 4 bits"),
        size(Some(2), 0.8, "80 % sparse, 2 bits"),
    ];
    println!("bytes on disk: {sizes:?}");
    let bounds = [1_110_000, 290_000, 180_000, 110_000, 100_000, 85_000];
    assert!(sizes.iter().zip(bounds).all(|(size, bound)| *size < bound), "{sizes:?}");
}

#[test]
fn a_dense_float_network_is_saved_as_any_safetensors_file() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["packed", "plain"].map(|name| folder.path().join(name));
    let state = one(&[1.0; 1000]);
    save_packed(&state, |_| Ste::default(), &paths[0]).unwrap();
    save_state_dict(&state, &paths[1]).unwrap();
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
}

#[test]
fn damaged_files_are_refused_or_load_but_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    let config = ResNetConfig { num_layers: 8, n_bits: Some(3), ..Default::default() };
    let net = resnet_cifar(config).unwrap().build(0, &Device::Cpu).unwrap();
    global_prune_by_percentage(&net, 0.7).unwrap();
    net.save_packed(&path).unwrap();
    let file = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..400 {
        let cut = rng.random_range(0..file.len());
        assert!(read(&mut Cursor::new(&file[..cut]), 0).is_err(), "cut to {cut} bytes");
    }
    let shapes =
        |state: &StateDict| state.iter().map(|(n, t)| (n.clone(), t.dims().to_vec())).collect::<Vec<_>>();
    let expected = shapes(&state_dict(&net).unwrap());
    let mut refused = 0;
    for _ in 0..3000 {
        let mut damaged = file.clone();
        for _ in 0..rng.random_range(1..4) {
            // Half of them in the header, where the shapes and lengths are.
            let end = if rng.random_bool(0.5) { header } else { file.len() };
            damaged[rng.random_range(0..end)] = rng.random();
        }
        match read(&mut Cursor::new(&damaged), 0) {
            Ok(state) if shapes(&state) == expected => {}
            Ok(_) => refused += 1, // another name or shape: the network refuses it
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1000, "{refused} of 3000");
}

#[test]
fn contradictions_between_header_and_parts_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    let mut weight = vec![0.0; 1000];
    weight[..40].copy_from_slice(&[1.5; 40]);
    let ste = Ste { n_bits: Some(3), symmetric: true };
    save_packed(&one(&weight), |_| ste, &path).unwrap();
    let file = std::fs::read(&path).unwrap();
    let with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = file.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let damaged = [&file[..at], to.as_bytes(), &file[at + from.len()..]].concat();
        read(&mut Cursor::new(&damaged), 0).unwrap_err().at(Path::new("net.safetensors")).to_string()
    };
    assert!(with(r#"[1000]"#, r#"[1009]"#).contains("parts of `weight` that fit [1009]"));
    assert!(with(r#"[1000]"#, r#"[9e99]"#).contains("expected packed weights"));
    assert!(with("weight#codes", "weight#Codes").contains("expected `weight#codes`"));
    assert!(with(r#"\"version\":1"#, r#"\"version\":4"#).contains("found 4. Update"));
    assert!(with(r#"\"n_bits\":3"#, r#"\"n_bits\":4"#).contains("parts of `weight`"));
    assert!(with(r#"\"n_bits\":3"#, r#"\"n_bits\":0"#).contains("1 to 16 bits"));
}
