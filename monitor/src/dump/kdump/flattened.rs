//! The flattened form (makedumpfile, `print_info.h` and `makedumpfile(8)`, option -F): each piece with
//! its offset before it, so that a file that is written in any order can go through a pipe. All
//! numbers are big-endian.

use super::WriteAt;
use crate::dump::file::Output;
use std::io;

const SIGNATURE: &[u8; 12] = b"makedumpfile";
const TYPE: u64 = 1;
const VERSION: u64 = 1;
const HEADER_BYTES: usize = 4096;
/// The offset and the size behind the last piece.
const END: u64 = u64::MAX;

/// A file in its flattened form.
pub struct Flattened<'a> {
    output: &'a mut Output,
    at: u64,
}

impl<'a> Flattened<'a> {
    /// Writes the header.
    ///
    /// # Errors
    /// The host's.
    pub fn new(output: &'a mut Output) -> io::Result<Self> {
        let mut header = SIGNATURE.to_vec();
        header.resize(16, 0);
        header.extend_from_slice(&TYPE.to_be_bytes());
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.resize(HEADER_BYTES, 0);
        output.write_at(0, &header)?;
        Ok(Self { output, at: HEADER_BYTES as u64 })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_at(self.at, bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl WriteAt for Flattened<'_> {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // Readers take an empty piece for a broken end.
        if bytes.is_empty() {
            return Ok(());
        }
        let mut piece = offset.to_be_bytes().to_vec();
        piece.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        piece.extend_from_slice(bytes);
        self.append(&piece)
    }

    fn end_at(&mut self, _offset: u64) -> io::Result<()> {
        self.append(&[END.to_be_bytes(), END.to_be_bytes()].concat())?;
        self.output.end_at(self.at)
    }
}
