//! A bound on what comes out of something compressed.

use std::io::{self, Read, Take};

/// A reader that fails where more comes than may.
pub struct AtMost<R> {
    inner: Take<R>,
    most: u64,
}

impl<R: Read> AtMost<R> {
    /// Of at most so many bytes.
    pub fn new(inner: R, most: u64) -> Self {
        // With one byte more it is known that there are more.
        AtMost { inner: inner.take(most.saturating_add(1)), most }
    }
}

impl<R: Read> Read for AtMost<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if self.inner.limit() == 0 {
            let problem = format!("it holds more than {} bytes, which it should not", self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_passes_and_no_more() {
        let read = |most| io::copy(&mut AtMost::new(&[7; 100_000][..], most), &mut io::sink());
        assert_eq!(read(100_000).unwrap(), 100_000);
        assert!(read(99_999).unwrap_err().to_string().contains("more than 99999 bytes"));
    }
}
