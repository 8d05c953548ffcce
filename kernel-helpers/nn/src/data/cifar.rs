//! CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official binary files.
//!
//! A file is a sequence of records: the label (a byte; in CIFAR-100 the superclass and the class), then 1,024 red,
//! 1,024 green and 1,024 blue pixels, each color row by row from the top left.

use super::{Data, Images, RandomCrop, RandomHorizontalFlip};
use base::{Error, Result, paths};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

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
///
/// ```
/// use kernel_helpers::prelude::*;
/// let data = Cifar10::striped(64, 32); // `Cifar10::load()?` is the real one
/// assert_eq!(data.to_string(), "train [64, 3, 32, 32], test [32, 3, 32, 32]");
/// assert_eq!(data.train.classes()[data.train.label(3)], "cat");
/// assert_eq!(data.augmentations[1].description(), "random horizontal flip");
/// # Ok::<(), Error>(())
/// ```
pub struct Cifar10;

impl Cifar10 {
    /// The images of the project's data folder.
    ///
    /// ```no_run
    /// use kernel_helpers::prelude::*;
    ///
    /// let data = Cifar10::load()?;
    /// assert_eq!(data.to_string(), "train [50000, 3, 32, 32], test [10000, 3, 32, 32]");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn load() -> Result<Data> {
        Self::open(paths::data_dir()?)
    }

    /// The first images of each split of the project's data folder, this many.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn load_first(train_images: usize, test_images: usize) -> Result<Data> {
        Self::open_first(paths::data_dir()?, train_images, test_images)
    }

    /// The images of any folder with the six official files. Trained on, they are cropped after padding by 4 pixels,
    /// and mirrored half of the time.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn open(folder: impl AsRef<Path>) -> Result<Data> {
        Self::open_first(folder, TRAIN_FILES.len() * RECORDS_PER_FILE, RECORDS_PER_FILE)
    }

    /// [`Cifar10::open`], with this many images from the start of each split.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn open_first(folder: impl AsRef<Path>, train_images: usize, test_images: usize) -> Result<Data> {
        let folder = folder.as_ref();
        let read = |files: &[&str], wanted: usize| {
            CIFAR10.read(folder, (files, RECORDS_PER_FILE), wanted, CIFAR10_CLASSES)
        };
        let train = read(&TRAIN_FILES, train_images)?;
        let test = read(&[TEST_FILE], test_images)?;
        let mut data = with_usual_augmentation(Data::new(train, test)?)?;
        if folder.join(GENERATED_MARKER).exists() {
            data = data.noted("generated stand-in, not CIFAR-10");
        }
        Ok(data)
    }

    /// Made-up images of CIFAR-10's kind, each class with stripes of its own: for examples and tests, which need no
    /// files.
    pub fn striped(train: usize, test: usize) -> Data {
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

    /// The images of any number of records. An error speaks of the `records` in the place of a path.
    ///
    /// ```
    /// use kernel_helpers::prelude::*;
    /// use std::io::Cursor;
    ///
    /// let mut record = vec![128; RECORD_BYTES];
    /// record[0] = 3; // the label
    /// let images = Cifar10::from_records(Cursor::new(record))?;
    /// assert_eq!((images.len(), images.label(0)), (1, 3));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// If the records are not whole or a label is none.
    pub fn from_records(mut reader: impl Read + Seek) -> Result<Images> {
        let path = Path::new("records");
        let length = reader.seek(SeekFrom::End(0)).and_then(|length| reader.rewind().map(|()| length));
        let length = length.map_err(|e| Error::io(path, e, FETCH))?;
        if !length.is_multiple_of(RECORD_BYTES as u64) {
            let expected = format!("a multiple of {RECORD_BYTES} bytes");
            return Err(Error::file(path, expected, format!("{length} bytes"), FETCH));
        }
        let mut images = Unfinished::new(CIFAR10, length as usize / RECORD_BYTES);
        images.read(path, &mut reader, usize::MAX)?;
        images.finish(CIFAR10_CLASSES)
    }
}

/// CIFAR-100: 50,000 training and 10,000 test images `[3, 32, 32]` of a hundred classes.
///
/// ```no_run
/// use kernel_helpers::prelude::*;
/// let data = Cifar100::open("data/cifar-100-binary")?;
/// assert_eq!((data.train.len(), data.train.classes().len()), (50_000, 100));
/// # Ok::<(), Error>(())
/// ```
pub struct Cifar100;

impl Cifar100 {
    /// The images of a folder with the official binary version's `train.bin` and `test.bin`. The classes have the names
    /// of `fine_label_names.txt`, or their numbers if that is not there. Normalized and augmented as CIFAR-10.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-100's binary layout.
    pub fn open(folder: impl AsRef<Path>) -> Result<Data> {
        let folder = folder.as_ref();
        let names = std::fs::read_to_string(folder.join("fine_label_names.txt")).unwrap_or_default();
        let names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        let classes =
            if names.len() == 100 { names } else { (0..100).map(|class| class.to_string()).collect() };
        let read =
            |file: &str, records: usize| CIFAR100.read(folder, (&[file], records), records, classes.clone());
        with_usual_augmentation(Data::new(read("train.bin", 50_000)?, read("test.bin", 10_000)?)?)
    }
}

fn with_usual_augmentation(data: Data) -> Result<Data> {
    data.augmented(RandomCrop { padding: 4 })?.augmented(RandomHorizontalFlip)
}

const FETCH: &str = "Fetch CIFAR-10 with `cargo lab data`.";

/// How the records of a file lie.
#[derive(Clone, Copy)]
struct Layout {
    /// The bytes of labels before the image; the last of them counts.
    labels: usize,
    classes: usize,
    /// What to do about a file that is not like that.
    help: &'static str,
}

const CIFAR10: Layout = Layout { labels: 1, classes: 10, help: FETCH };
const CIFAR100: Layout = Layout { labels: 2, classes: 100, help: "Unpack CIFAR-100's binary version there." };

impl Layout {
    fn record_bytes(self) -> usize {
        self.labels + IMAGE_BYTES
    }

    /// The first images of files that have this many records each.
    fn read<C: Into<String>>(
        self,
        folder: &Path,
        (files, records): (&[&str], usize),
        wanted: usize,
        classes: impl IntoIterator<Item = C>,
    ) -> Result<Images> {
        let mut images = Unfinished::new(self, wanted);
        for name in &files[..wanted.div_ceil(records)] {
            let path = folder.join(name);
            let mut file = BufReader::new(self.open(&path, records)?);
            images.read(&path, &mut file, records)?;
        }
        images.finish(classes)
    }

    /// A file of this many records.
    fn open(self, path: &Path, records: usize) -> Result<File> {
        let file = File::open(path).map_err(|e| Error::io(path, e, self.help))?;
        let length = file.metadata().map_err(|e| Error::io(path, e, self.help))?.len();
        let expected = (records * self.record_bytes()) as u64;
        match length == expected {
            true => Ok(file),
            false => {
                Err(Error::file(path, format!("{expected} bytes"), format!("{length} bytes"), self.help))
            }
        }
    }
}

/// Images that are being read, where they will stay: they are not in memory twice.
struct Unfinished {
    layout: Layout,
    pixels: Arc<[u8]>,
    labels: Arc<[u8]>,
    count: usize,
}

impl Unfinished {
    fn new(layout: Layout, wanted: usize) -> Self {
        let zeros = |count| std::iter::repeat_n(0, count).collect();
        Self { layout, pixels: zeros(wanted * IMAGE_BYTES), labels: zeros(wanted), count: 0 }
    }

    /// Reads the next records, `most` of them or as many as are missing.
    fn read(&mut self, path: &Path, reader: &mut dyn Read, most: usize) -> Result<()> {
        const SHARED: &str = "nobody else has them yet";
        let Layout { labels: label_bytes, classes, help } = self.layout;
        let labels = &mut Arc::get_mut(&mut self.labels).expect(SHARED)[self.count..];
        let pixels = &mut Arc::get_mut(&mut self.pixels).expect(SHARED)[self.count * IMAGE_BYTES..];
        let records = labels.iter_mut().zip(pixels.chunks_exact_mut(IMAGE_BYTES)).take(most);
        self.count += records.len();
        let mut start = vec![0; label_bytes];
        for (index, (label, pixels)) in records.enumerate() {
            let read = reader.read_exact(&mut start).and_then(|()| reader.read_exact(pixels));
            read.map_err(|e| Error::io(path, e, help))?;
            *label = start[label_bytes - 1];
            if usize::from(*label) >= classes {
                let found = format!("label {label} in record {index}");
                return Err(Error::file(path, format!("labels from 0 to {}", classes - 1), found, help));
            }
        }
        Ok(())
    }

    fn finish<C: Into<String>>(self, classes: impl IntoIterator<Item = C>) -> Result<Images> {
        let images = Images::new(self.pixels, self.labels, [3, SIDE, SIDE], classes)?;
        images.normalized(&MEAN, &DEVIATION)
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
        let data = Cifar10::open_first(folder.path(), 256, 100).unwrap();
        let mut image = vec![0.0; IMAGE_BYTES];
        data.train.write(3, &mut image);
        assert_eq!(image[5], normalized(30, 0), "red, top row, sixth column");
        assert_eq!(image[5 * SIDE], normalized(5, 0), "red, sixth row, first column");
        let blue = normalized(6 + 1 + 2, 2);
        assert_eq!(image[2 * SIDE * SIDE + SIDE + 1], blue, "blue, second row, second column");
        assert_eq!(data.train.label(3), 3);
        assert_eq!((data.train.len(), data.test.len()), (256, 100));
    }

    #[test]
    fn a_short_file_is_named_with_both_lengths() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(TRAIN_FILES[0]), [0; 100]).unwrap();
        let message = Cifar10::open_first(folder.path(), 256, 100).unwrap_err().to_string();
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
        let message = Cifar10::open_first(folder.path(), 256, 100).unwrap_err().to_string();
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
