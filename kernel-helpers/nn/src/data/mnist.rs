//! Images in MNIST's format (LeCun, Cortes and Burges), which Fashion-MNIST, KMNIST and others have too.
//!
//! A file of images is the number 2051, the count, the rows and the columns as big-endian integers of 32 bits, then a
//! byte for each pixel; one of labels is 2049, the count, then a byte for each label.

use super::{Data, Images};
use base::{Error, Result};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes unpacked; MNIST's longest has 47 MB.
const LONGEST: u64 = 1 << 30;
const HELP: &str = "Put the four files of the dataset there, unpacked or as `.gz`.";

/// MNIST and what has its format: images `[1, H, W]`.
///
/// ```no_run
/// use kernel_helpers::prelude::*;
/// let data = Mnist::open("data/fashion-mnist")?;
/// assert_eq!(data.to_string(), "train [60000, 1, 28, 28], test [10000, 1, 28, 28]");
/// let net = lenet(data.train.classes().len())?.build(0, &Device::Cpu)?;
/// # Ok::<(), Error>(())
/// ```
pub struct Mnist;

impl Mnist {
    /// The images of a folder with the files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    /// `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, unpacked or with `.gz` behind their names. They are
    /// normalized by MNIST's mean 0.1307 and deviation 0.3081, and not augmented. Classes are called by their numbers.
    ///
    /// # Errors
    /// If a file is missing or not in this format.
    pub fn open(folder: impl AsRef<Path>) -> Result<Data> {
        let folder = folder.as_ref();
        let (train, test) = (images(folder, "train")?, images(folder, "t10k")?);
        let classes = train.2.iter().chain(&test.2).max().map_or(0, |largest| usize::from(*largest) + 1);
        let normalized = |(pixels, shape, labels)| {
            let names = (0..classes).map(|class| class.to_string());
            Images::new(pixels, labels, shape, names)?.normalized(&[0.1307], &[0.3081])
        };
        Data::new(normalized(train)?, normalized(test)?)
    }
}

/// The pixels, the shape and the labels of a split.
fn images(folder: &Path, split: &str) -> Result<(Vec<u8>, [usize; 3], Vec<u8>)> {
    let (path, [count, rows, columns], pixels) = read(folder, &format!("{split}-images-idx3-ubyte"), 2051)?;
    let (labels_path, [labels], values) = read(folder, &format!("{split}-labels-idx1-ubyte"), 2049)?;
    if labels != count {
        let expected = format!("the labels of the {count} images in {}", path.display());
        return Err(Error::file(labels_path, expected, format!("{labels} labels"), HELP));
    }
    Ok((pixels, [1, rows, columns], values))
}

/// The path, the dimensions and the elements of a file.
fn read<const RANK: usize>(
    folder: &Path,
    name: &str,
    magic: u32,
) -> Result<(PathBuf, [usize; RANK], Vec<u8>)> {
    let path = [name.to_owned(), format!("{name}.gz")].map(|name| folder.join(name));
    let path = path.iter().find(|path| path.is_file()).unwrap_or(&path[0]).clone();
    let refused = |e: std::io::Error| Error::io(&path, e, HELP);
    let file = File::open(&path).map_err(refused)?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let mut reader: Box<dyn Read> = if is_packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut number = || {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map(|()| u32::from_be_bytes(bytes))
    };
    let found = number().map_err(refused)?;
    if found != magic {
        return Err(Error::file(&path, format!("the number {magic} at the start"), found, HELP));
    }
    let mut dimensions = [0; RANK];
    for dimension in &mut dimensions {
        *dimension = number().map_err(refused)? as usize;
    }
    let count = dimensions.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64));
    let count = count.filter(|&count| count <= LONGEST).ok_or_else(|| {
        Error::file(&path, format!("at most {LONGEST} elements"), format!("the shape {dimensions:?}"), HELP)
    })?;
    // One byte more tells that there are more.
    let mut elements = Vec::new();
    reader.take(count + 1).read_to_end(&mut elements).map_err(refused)?;
    if elements.len() as u64 != count {
        let found =
            if elements.len() as u64 > count { "more".to_owned() } else { elements.len().to_string() };
        return Err(Error::file(&path, format!("{count} elements"), found, HELP));
    }
    Ok((path, dimensions, elements))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn file(magic: u32, dimensions: &[u32], elements: &[u8]) -> Vec<u8> {
        let numbers = [magic].into_iter().chain(dimensions.iter().copied());
        numbers.flat_map(u32::to_be_bytes).chain(elements.iter().copied()).collect()
    }

    fn write(folder: &Path, pixels: &[u8]) {
        for split in ["train", "t10k"] {
            std::fs::write(folder.join(format!("{split}-images-idx3-ubyte")), file(2051, &[2, 1, 2], pixels))
                .unwrap();
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&file(2049, &[2], &[3, 1])).unwrap();
            std::fs::write(folder.join(format!("{split}-labels-idx1-ubyte.gz")), packed.finish().unwrap())
                .unwrap();
        }
    }

    #[test]
    fn both_forms_of_a_file_are_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[0, 255, 10, 20]);
        let data = Mnist::open(folder.path()).unwrap();
        assert_eq!(data.to_string(), "train [2, 1, 1, 2], test [2, 1, 1, 2]");
        assert_eq!((data.train.label(0), data.test.label(1), data.train.classes().len()), (3, 1, 4));
        let mut values = [0.0; 2];
        data.test.write(0, &mut values);
        assert_eq!(values, [(-0.1307 / 0.3081) as f32, ((1.0 - 0.1307) / 0.3081) as f32]);
    }

    #[test]
    fn what_is_something_else_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let message = || Mnist::open(folder.path()).unwrap_err().to_string();
        assert!(message().contains("train-images-idx3-ubyte"), "{}", message());
        write(folder.path(), &[0; 3]);
        assert!(message().contains("expected 4 elements, found 3"), "{}", message());
        write(folder.path(), &[0; 9]);
        assert!(message().contains("expected 4 elements, found more"), "{}", message());
        let path = folder.path().join("train-images-idx3-ubyte");
        std::fs::write(&path, file(2051, &[u32::MAX; 3], &[])).unwrap();
        assert!(message().contains("at most"), "{}", message());
        std::fs::write(&path, file(7, &[], &[])).unwrap();
        assert!(message().contains("the number 2051 at the start, found 7"), "{}", message());
    }
}
