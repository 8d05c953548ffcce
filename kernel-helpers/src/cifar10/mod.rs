//! CIFAR-10 (Krizhevsky, 2009) from its official binary files.
//!
//! A file is a sequence of records of 3,073 bytes: the label (0 to 9), then 1,024 red, 1,024 green and 1,024 blue
//! pixels, each color row by row from the top left.

mod augment;
mod batches;

pub use batches::{Batch, Batches, DataLoader};

use crate::display::{MimeBundle, Show, shows_itself};
use crate::{Error, Result, Scale, digest, paths};
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Height and width of an image, in pixels.
pub const SIDE: usize = 32;
/// Bytes of an image: three colors of 32 x 32 pixels.
pub const IMAGE_BYTES: usize = 3 * SIDE * SIDE;
/// Bytes of a record: the label and the image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Records in each of the six files.
pub const RECORDS_PER_FILE: usize = 10_000;
/// The five files of training images, in order.
pub const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file of test images.
pub const TEST_FILE: &str = "test_batch.bin";
/// A file of this name beside the others says that they are the generated stand-in, not CIFAR-10.
pub const GENERATED_MARKER: &str = "GENERATED";
/// The names of the ten classes, by label.
pub const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Training and test images, and what has to be said of every number computed on them.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    /// The images to train on.
    pub train: Split,
    /// The images to test on.
    pub test: Split,
    note: Option<String>,
}

/// Labelled images; a cheap handle, the pixels are shared.
#[derive(Clone)]
pub struct Split {
    pixels: Arc<[u8]>,
    labels: Arc<[u8]>,
    sha256: Arc<OnceLock<String>>,
}

impl Cifar10 {
    /// The images of the project's data folder, as many as the scale asks for.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn load(scale: Scale) -> Result<Self> {
        Self::open(paths::data_dir()?, scale)
    }

    /// The images of any folder with the six official files, as many as the scale asks for, from the start of each
    /// split.
    ///
    /// # Errors
    /// If a file is missing or not in CIFAR-10's binary layout.
    pub fn open(folder: impl AsRef<Path>, scale: Scale) -> Result<Self> {
        let folder = folder.as_ref();
        let train = Split::read(folder, &TRAIN_FILES, scale.train_images())?;
        let test = Split::read(folder, &[TEST_FILE], scale.test_images())?;
        let mut notes = Vec::new();
        if folder.join(GENERATED_MARKER).exists() {
            notes.push("generated stand-in, not CIFAR-10".to_owned());
        }
        if scale != Scale::Full {
            notes.push(format!("{scale} scale: {} training and {} test images", train.len(), test.len()));
        }
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(Self { train, test, note })
    }

    /// What every figure and number computed on these images has to say of itself: that they are a subset, or the
    /// generated stand-in. `None` for all of CIFAR-10.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

impl fmt::Display for Cifar10 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "train {}, test {}", self.train, self.test)?;
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, 3, {SIDE}, {SIDE}]", self.len())
    }
}

impl fmt::Debug for Split {
    /// Of the pixels, how many there are: all of them would be hundreds of megabytes of text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Split({self})")
    }
}

impl Show for Cifar10 {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

impl Show for Split {
    fn forms(&self) -> MimeBundle {
        MimeBundle::plain(self)
    }
}

shows_itself!(Cifar10, Split);

impl Split {
    /// How many images there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The class of an image, 0 to 9.
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// The pixels of an image, `[3, 32, 32]` row by row from the top left.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * IMAGE_BYTES..(index + 1) * IMAGE_BYTES]
    }

    /// The SHA-256 sum of the pixels' and the labels' sums, which tells these images from all others; computed when it is
    /// first asked for.
    pub fn sha256(&self) -> &str {
        let sums = || digest::sha256(&self.pixels) + &digest::sha256(&self.labels);
        self.sha256.get_or_init(|| digest::sha256(sums().as_bytes()))
    }

    /// The images of any number of records. An error speaks of the `records` in the place of a path.
    ///
    /// # Errors
    /// If the records are not whole or a label is none.
    pub fn from_records(mut reader: impl Read + Seek) -> Result<Self> {
        let path = Path::new("records");
        let length = reader.seek(SeekFrom::End(0)).and_then(|length| reader.rewind().map(|()| length));
        let length = length.map_err(|e| Error::io(path, e, FETCH))?;
        if !length.is_multiple_of(RECORD_BYTES as u64) {
            let expected = format!("a multiple of {RECORD_BYTES} bytes");
            return Err(Error::file(path, expected, format!("{length} bytes"), FETCH));
        }
        let mut split = Unfinished::new(length as usize / RECORD_BYTES);
        split.read(path, &mut reader, usize::MAX)?;
        Ok(split.finish())
    }

    fn read(folder: &Path, files: &[&str], wanted: usize) -> Result<Self> {
        let needed = files[..wanted.div_ceil(RECORDS_PER_FILE)].iter().map(|name| folder.join(name));
        let files = needed.map(|path| Ok((open(&path)?, path))).collect::<Result<Vec<_>>>()?;
        let mut split = Unfinished::new(wanted);
        for (file, path) in files {
            split.read(&path, &mut BufReader::new(file), RECORDS_PER_FILE)?;
        }
        Ok(split.finish())
    }
}

const FETCH: &str = "Fetch CIFAR-10 with `cargo lab data`.";

/// One of the six files, of which the length is right.
fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::io(path, e, FETCH))?;
    let length = file.metadata().map_err(|e| Error::io(path, e, FETCH))?.len();
    let expected = (RECORDS_PER_FILE * RECORD_BYTES) as u64;
    match length == expected {
        true => Ok(file),
        false => Err(Error::file(path, format!("{expected} bytes"), format!("{length} bytes"), FETCH)),
    }
}

/// A split whose images are being read, where they will stay: they are not in memory twice.
struct Unfinished {
    pixels: Arc<[u8]>,
    labels: Arc<[u8]>,
    count: usize,
}

impl Unfinished {
    fn new(wanted: usize) -> Self {
        let zeros = |count| std::iter::repeat_n(0, count).collect();
        Self { pixels: zeros(wanted * IMAGE_BYTES), labels: zeros(wanted), count: 0 }
    }

    /// Reads the next records, `most` of them or as many as are missing.
    fn read(&mut self, path: &Path, reader: &mut dyn Read, most: usize) -> Result<()> {
        let shared = "nobody else has them yet";
        let labels = &mut Arc::get_mut(&mut self.labels).expect(shared)[self.count..];
        let pixels = &mut Arc::get_mut(&mut self.pixels).expect(shared)[self.count * IMAGE_BYTES..];
        let records = labels.iter_mut().zip(pixels.chunks_exact_mut(IMAGE_BYTES)).take(most);
        self.count += records.len();
        for (index, (label, pixels)) in records.enumerate() {
            let read =
                reader.read_exact(std::slice::from_mut(label)).and_then(|()| reader.read_exact(pixels));
            read.map_err(|e| Error::io(path, e, FETCH))?;
            if usize::from(*label) >= CLASSES.len() {
                let found = format!("label {label} in record {index}");
                return Err(Error::file(path, "labels from 0 to 9", found, FETCH));
            }
        }
        Ok(())
    }

    fn finish(self) -> Split {
        Split { pixels: self.pixels, labels: self.labels, sha256: Arc::default() }
    }
}

#[cfg(test)]
impl Cifar10 {
    /// Images of which each class has its own stripes, for tests that need no files.
    pub(crate) fn striped(train: usize, test: usize) -> Self {
        let split = |offset: usize, count: usize| {
            let label = |index: usize| (index + offset) % CLASSES.len();
            let pixel =
                |index: usize, at: usize| (at % (label(index) + 2) * 40 + (index * 31 + at) % 37) as u8;
            let pixels = (0..count).flat_map(|index| (0..IMAGE_BYTES).map(move |at| pixel(index, at)));
            let labels = (0..count).map(|index| label(index) as u8);
            Split { pixels: pixels.collect(), labels: labels.collect(), sha256: Arc::default() }
        };
        Self { train: split(0, train), test: split(3, test), note: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six files in which the label of record i is i mod 10 and the pixels of a record are one recognizable pattern.
    pub(super) fn write_files(folder: &Path, pattern: impl Fn(usize, usize, usize, usize) -> u8) {
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

    #[test]
    fn images_keep_their_orientation() {
        let folder = tempfile::tempdir().unwrap();
        // Brightness grows to the right, more slowly downwards: transposed or mirrored it would be another picture.
        write_files(folder.path(), |_, color, y, x| (x * 6 + y + color) as u8);
        let data = Cifar10::open(folder.path(), Scale::Tiny).unwrap();
        let image = data.train.image(3);
        assert_eq!(image[5], 30, "red, top row, sixth column");
        assert_eq!(image[5 * SIDE], 5, "red, sixth row, first column");
        assert_eq!(image[2 * SIDE * SIDE + SIDE + 1], 6 + 1 + 2, "blue, second row, second column");
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
}
