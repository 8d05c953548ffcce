//! Between candle's `[N, C, H, W]` and channels last.

use super::conv::Pixels;

/// Writes an image of `channels` planes, `columns` to a row, to channels-last `pixels`. What lies between is left alone.
pub fn to_channels_last(planes: &[f32], channels: usize, columns: usize, image: &mut [f32], pixels: Pixels) {
    let plane = planes.len() / channels;
    if plane == 1 {
        return image[pixels.start..][..channels].copy_from_slice(planes);
    }
    for y in 0..plane / columns {
        for channel in 0..channels {
            let row = &planes[channel * plane + y * columns..][..columns];
            let to = &mut image[pixels.start + y * pixels.row + channel..];
            for (to, from) in to.iter_mut().step_by(pixels.pixel).zip(row) {
                *to = *from;
            }
        }
    }
}

/// The reverse of [`to_channels_last`].
pub fn from_channels_last(
    image: &[f32],
    pixels: Pixels,
    planes: &mut [f32],
    channels: usize,
    columns: usize,
) {
    let plane = planes.len() / channels;
    if plane == 1 {
        return planes.copy_from_slice(&image[pixels.start..][..channels]);
    }
    for y in 0..plane / columns {
        for channel in 0..channels {
            let row = &mut planes[channel * plane + y * columns..][..columns];
            let from = &image[pixels.start + y * pixels.row + channel..];
            for (to, from) in row.iter_mut().zip(from.iter().step_by(pixels.pixel)) {
                *to = *from;
            }
        }
    }
}
