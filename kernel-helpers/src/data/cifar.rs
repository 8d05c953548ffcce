//! CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official binary files.
//!
//! A file is a sequence of records: the label (a byte; in CIFAR-100 the superclass and the class), then 1,024 red, 1,024
//! green and 1,024 blue pixels, each color row by row from the top left.

use super::{Data, Images, RandomCrop, RandomHorizontalFlip};
use crate::{Error, Result, Scale, paths};
use std::io::Read;
use std::path::Path;

/// Height and width of an image, in pixels.
pub const SIDE: usize = 32;
/// Bytes of an image: three colors of 32 x 32 pixels.
const IMAGE_BYTES: usize = 3 * SIDE * SIDE;
/// Bytes of a record of CIFAR-10: the label and the image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Records in each of the six files of CIFAR-10.
pub const RECORDS_PER_FILE: usize = 10_000;
/// The five files of CIFAR-10's training images, in order.
pub const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file of CIFAR-10's test images.
pub const TEST_FILE: &str = "test_batch.bin";
/// A file of this name beside the others says that they are the generated stand-in, not CIFAR-10.
pub const GENERATED_MARKER: &str = "GENERATED";
/// The names of CIFAR-10's classes, by label.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Mean of each color over CIFAR-10's training images, as the course has it.
const MEAN: [f64; 3] = [0.4914, 0.4822, 0.4465];
/// Standard deviation of each color, as the course has it.
const DEVIATION: [f64; 3] = [0.2023, 0.1994, 0.2010];

/// CIFAR-10: 50,000 training and 10,000 test images `[3, 32, 32]` of ten classes.
pub struct Cifar10;

impl Cifar10 {
    /// The images of the project's data folder, as many as the scale asks for.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn load(scale: Scale) -> Result<Data> {
        Self::open(paths::data_dir()?, scale)
    }

    /// The images of any folder with the six official files, as many as the scale asks for, from the start of each
    /// split. Trained on, they are cropped after padding by 4 pixels, and mirrored half of the time.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn open(folder: impl AsRef<Path>, scale: Scale) -> Result<Data> {
        let folder = folder.as_ref();
        let read = |files: &[&str], wanted: usize| {
            let layout = Layout { labels: 1, records: RECORDS_PER_FILE, classes: 10, help: FETCH };
            let (pixels, labels) = layout.read(folder, files, wanted)?;
            Images::new(pixels, labels, [3, SIDE, SIDE], CIFAR10_CLASSES)?.normalized(&MEAN, &DEVIATION)
        };
        let train = read(&TRAIN_FILES, scale.train_images())?;
        let test = read(&[TEST_FILE], scale.test_images())?;
        let (train_count, test_count) = (scale.train_images(), scale.test_images());
        let mut data = with_usual_augmentation(Data::new(train, test)?)?;
        if folder.join(GENERATED_MARKER).exists() {
            data = data.noted("generated stand-in, not CIFAR-10");
        }
        if scale != Scale::Full {
            data = data.noted(format!("{scale} scale: {train_count} training and {test_count} test images"));
        }
        Ok(data)
    }
}

/// CIFAR-100: 50,000 training and 10,000 test images `[3, 32, 32]` of a hundred classes.
pub struct Cifar100;

impl Cifar100 {
    /// The images of a folder with the official binary version's `train.bin` and `test.bin`. The classes have the names of
    /// `fine_label_names.txt`, or their numbers if that is not there. Normalized and augmented as CIFAR-10.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-100's binary layout.
    pub fn open(folder: impl AsRef<Path>) -> Result<Data> {
        let folder = folder.as_ref();
        let names = std::fs::read_to_string(folder.join("fine_label_names.txt")).unwrap_or_default();
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let classes =
            if names.len() == 100 { names } else { (0..100).map(|class| class.to_string()).collect() };
        let read = |file: &str, records: usize| {
            let help = "Unpack CIFAR-100's binary version there.";
            let layout = Layout { labels: 2, records, classes: 100, help };
            let (pixels, labels) = layout.read(folder, &[file], records)?;
            Images::new(pixels, labels, [3, SIDE, SIDE], classes.clone())?.normalized(&MEAN, &DEVIATION)
        };
        with_usual_augmentation(Data::new(read("train.bin", 50_000)?, read("test.bin", 10_000)?)?)
    }
}

fn with_usual_augmentation(data: Data) -> Result<Data> {
    data.augmented(RandomCrop { padding: 4 })?.augmented(RandomHorizontalFlip)
}

const FETCH: &str = "Fetch CIFAR-10 with `cargo lab data`.";

/// How the records of a file lie.
struct Layout {
    /// The bytes of labels before the image; the last of them counts.
    labels: usize,
    /// The records of a file.
    records: usize,
    classes: usize,
    /// What to do about a file that is not like that.
    help: &'static str,
}

impl Layout {
    /// The pixels and labels of the first records of these files.
    fn read(&self, folder: &Path, files: &[&str], wanted: usize) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut pixels = Vec::with_capacity(wanted * IMAGE_BYTES);
        let mut labels = Vec::with_capacity(wanted);
        for name in files {
            let missing = wanted - labels.len();
            if missing > 0 {
                self.read_file(&folder.join(name), missing, &mut pixels, &mut labels)?;
            }
        }
        Ok((pixels, labels))
    }

    /// Appends at most `wanted` records of one file, after checking the whole file's length.
    fn read_file(
        &self,
        path: &Path,
        wanted: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<u8>,
    ) -> Result<()> {
        let Self { labels: label_bytes, records: count, classes, help } = *self;
        let record_bytes = label_bytes + IMAGE_BYTES;
        let mut file = std::fs::File::open(path).map_err(|e| Error::io(path, e, help))?;
        let length = file.metadata().map_err(|e| Error::io(path, e, help))?.len();
        let expected = (count * record_bytes) as u64;
        if length != expected {
            return Err(Error::file(path, format!("{expected} bytes"), format!("{length} bytes"), help));
        }
        let mut records = vec![0; wanted.min(count) * record_bytes];
        file.read_exact(&mut records).map_err(|e| Error::io(path, e, help))?;
        for (index, record) in records.chunks_exact(record_bytes).enumerate() {
            let label = record[label_bytes - 1];
            if usize::from(label) >= classes {
                let found = format!("label {label} in record {index}");
                return Err(Error::file(path, format!("labels from 0 to {}", classes - 1), found, help));
            }
            labels.push(label);
            pixels.extend_from_slice(&record[label_bytes..]);
        }
        Ok(())
    }
}

#[cfg(test)]
impl Cifar10 {
    /// Images of which each class has its own stripes, for tests that need no files.
    pub(crate) fn striped(train: usize, test: usize) -> Data {
        let images = |offset: usize, count: usize| {
            let label = |index: usize| (index + offset) % CIFAR10_CLASSES.len();
            let pixel =
                |index: usize, at: usize| (at % (label(index) + 2) * 40 + (index * 31 + at) % 37) as u8;
            let pixels = (0..count).flat_map(|index| (0..IMAGE_BYTES).map(move |at| pixel(index, at)));
            let labels: Vec<u8> = (0..count).map(|index| label(index) as u8).collect();
            let images =
                Images::new(pixels.collect::<Vec<u8>>(), labels, [3, SIDE, SIDE], CIFAR10_CLASSES).unwrap();
            images.normalized(&MEAN, &DEVIATION).unwrap()
        };
        with_usual_augmentation(Data::new(images(0, train), images(3, test)).unwrap()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six files in which the label of record i is i mod 10 and the pixels of a record are one recognizable pattern.
    fn write_files(folder: &Path, pattern: impl Fn(usize, usize, usize, usize) -> u8) {
        let mut bytes = Vec::with_capacity(RECORDS_PER_FILE * RECORD_BYTES);
        for record in 0..RECORDS_PER_FILE {
            bytes.push((record % 10) as u8);
            for color in 0..3 {
                for y in 0..SIDE {
                    bytes.extend((0..SIDE).map(|x| pattern(record, color, y, x)));
                }
            }
        }
        for name in TRAIN_FILES.iter().chain([&TEST_FILE]) {
            std::fs::write(folder.join(name), &bytes).unwrap();
        }
    }

    fn normalized(byte: usize, color: usize) -> f32 {
        ((byte as f64 / 255.0 - MEAN[color]) / DEVIATION[color]) as f32
    }

    #[test]
    fn images_keep_their_orientation() {
        let folder = tempfile::tempdir().unwrap();
        // Brightness grows to the right, more slowly downwards: transposed or mirrored it would be another picture.
        write_files(folder.path(), |_, color, y, x| (x * 6 + y + color) as u8);
        let data = Cifar10::open(folder.path(), Scale::Tiny).unwrap();
        let mut image = vec![0.0; IMAGE_BYTES];
        data.train.write(3, &mut image);
        assert_eq!(image[5], normalized(30, 0), "red, top row, sixth column");
        assert_eq!(image[5 * SIDE], normalized(5, 0), "red, sixth row, first column");
        let blue = normalized(6 + 1 + 2, 2);
        assert_eq!(image[2 * SIDE * SIDE + SIDE + 1], blue, "blue, second row, second column");
        assert_eq!(data.train.label(3), 3);
        assert_eq!((data.train.len(), data.test.len()), (256, 100));
        assert!(data.note().unwrap().contains("tiny scale"));
    }

    #[test]
    fn a_short_file_is_named_with_both_lengths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TRAIN_FILES[0]), [0; 100]).unwrap();
        let message = Cifar10::open(folder.path(), Scale::Tiny).unwrap_err().to_string();
        for part in ["data_batch_1.bin", "30730000 bytes", "100 bytes", "cargo lab data"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn a_label_out_of_range_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; RECORDS_PER_FILE * RECORD_BYTES];
        bytes[7 * RECORD_BYTES] = 11;
        std::fs::write(folder.path().join(TRAIN_FILES[0]), bytes).unwrap();
        let message = Cifar10::open(folder.path(), Scale::Tiny).unwrap_err().to_string();
        assert!(message.contains("label 11 in record 7"), "{message}");
    }

    #[test]
    fn the_second_label_of_cifar_100_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (name, records) in [("train.bin", 50_000), ("test.bin", 10_000)] {
            let mut bytes = vec![7; records * (2 + IMAGE_BYTES)];
            (bytes[2 + IMAGE_BYTES], bytes[3 + IMAGE_BYTES]) = (19, 99);
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let data = Cifar100::open(folder.path()).unwrap();
        assert_eq!((data.train.label(0), data.test.label(1)), (7, 99));
        assert_eq!(data.to_string(), "train [50000, 3, 32, 32], test [10000, 3, 32, 32]");
        assert_eq!(data.train.classes()[99], "99");
        std::fs::write(folder.path().join("fine_label_names.txt"), "name\n".repeat(100)).unwrap();
        assert_eq!(Cifar100::open(folder.path()).unwrap().train.classes()[99], "name");
    }
}
