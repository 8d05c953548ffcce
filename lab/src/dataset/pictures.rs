//! Pictures, one in a row of a PNG, as records of the official layout.

use anyhow::{Context, Result, ensure};
use kernel_helpers::data::{RECORD_BYTES, SIDE};
use png::{BitDepth, ColorType, Decoder, Limits};
use std::io::{Cursor, Write};

const PIXELS: usize = SIDE * SIDE;
/// More bytes than the decoder needs for a row and what a PNG may say of itself.
const LIMITS: Limits = Limits { bytes: 1 << 20 };

/// Writes for each row of a picture a label, then all red, all green and all blue pixels.
pub fn write_records(picture: &[u8], labels: &[u8], file: &mut impl Write) -> Result<()> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(picture), LIMITS);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Nothing is decoded of a picture that is not what it should be.
    let header = decoder.read_header_info()?;
    ensure!(
        (header.width as usize, header.height as usize) == (PIXELS, labels.len()),
        "expected {PIXELS} x {} pixels, found {} x {}",
        labels.len(),
        header.width,
        header.height
    );
    let color = header.color_type;
    ensure!(
        matches!(color, ColorType::Rgb | ColorType::Rgba)
            && header.bit_depth == BitDepth::Eight
            && !header.interlaced,
        "expected three or four bytes a pixel, row by row, found {color:?} of {:?} bits",
        header.bit_depth
    );
    let mut reader = decoder.read_info()?;
    let mut record = Vec::with_capacity(RECORD_BYTES);
    for &label in labels {
        let row = reader.next_row()?.context("it ends too early")?;
        record.clear();
        record.push(label);
        for color_index in 0..3 {
            record.extend(row.data().chunks_exact(color.samples()).map(|pixel| pixel[color_index]));
        }
        file.write_all(&record)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::read_made_up;

    fn picture(width: u32, height: u32, color: ColorType, pixels: &[u8]) -> Vec<u8> {
        let mut picture = Vec::new();
        let mut encoder = png::Encoder::new(&mut picture, width, height);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        picture
    }

    fn records(picture: &[u8], labels: &[u8]) -> Result<Vec<u8>> {
        let mut records = Vec::new();
        write_records(picture, labels, &mut records)?;
        Ok(records)
    }

    /// A picture whose pixels all differ in position and color, so that any transposition shows.
    #[test]
    fn colors_become_planes_and_rows_stay_rows() {
        let pixel =
            |image: usize, index: usize, color: usize| ((image * 101 + index * 7 + color * 59) % 251) as u8;
        for (color_type, channels) in [(ColorType::Rgb, 3), (ColorType::Rgba, 4)] {
            let pixels: Vec<u8> = (0..2 * PIXELS * channels)
                .map(|at| pixel(at / channels / PIXELS, at / channels % PIXELS, at % channels))
                .collect();
            let records = records(&picture(PIXELS as u32, 2, color_type, &pixels), &[6, 9]).unwrap();
            assert_eq!(records.len(), 2 * RECORD_BYTES);
            for (image, (record, label)) in records.chunks_exact(RECORD_BYTES).zip([6, 9]).enumerate() {
                assert_eq!(record[0], label);
                for (index, value) in record[1..].iter().enumerate() {
                    let expected = pixel(image, index % PIXELS, index / PIXELS);
                    assert_eq!(*value, expected, "image {image}, byte {index}");
                }
            }
        }
    }

    #[test]
    fn another_picture_is_refused() {
        let message = |picture: &[u8]| records(picture, &[0]).unwrap_err().to_string();
        assert!(message(&picture(4, 1, ColorType::Rgb, &[0; 12])).contains("found 4 x 1"));
        let gray = picture(PIXELS as u32, 1, ColorType::Grayscale, &[0; PIXELS]);
        assert!(message(&gray).contains("found Grayscale"));
        let mut cut = picture(PIXELS as u32, 1, ColorType::Rgb, &[0; 3 * PIXELS]);
        cut.truncate(50);
        records(&cut, &[0]).unwrap_err();
    }

    #[test]
    fn whatever_a_picture_holds_so_many_records_come_of_it() {
        let pixels: Vec<u8> = (0..2 * PIXELS * 4).map(|index| (index % 251) as u8).collect();
        let seeds = [(ColorType::Rgb, 3), (ColorType::Rgba, 4)]
            .map(|(color, channels)| picture(PIXELS as u32, 2, color, &pixels[..2 * PIXELS * channels]));
        let words = ["IDAT", "IEND", "acTL", "fcTL", "fdAT", "iCCP", "zTXt", "PLTE", "tRNS", "\0\0\0\0"];
        read_made_up!(seeds, &words, |file: &[u8]| {
            let mut written = Vec::new();
            let whole = write_records(file, &[6, 9], &mut written).is_ok();
            assert!(if whole { written.len() == 2 * RECORD_BYTES } else { written.len() < 2 * RECORD_BYTES });
        });
    }
}
