//! kdump-compressed files (makedumpfile, `diskdump_mod.h`): header, sub-header with the notes,
//! two bitmaps of pages, a descriptor per page, and the pages, each compressed by itself.
//!
//! Every page of RAM is in it; those that are zero share one.

mod compress;
mod flattened;
mod header;
mod lzo;

use super::file::Output;
use super::notes::{self, Architecture};
use super::source::Source;
use super::vmcoreinfo::Vmcoreinfo;
use super::{Compression, DumpError, Progress, total};
use compress::Compressor;
use dejavm_core::types::PAGE_SIZE;
use flattened::Flattened;
use header::{BLOCK_BYTES, Header, SubHeader};
use std::io;
use std::ops::Range;

/// The size of a page descriptor.
const DESCRIPTOR_BYTES: u64 = 24;
/// So many descriptors are written at once.
const DESCRIPTORS: usize = 4096;

/// Where the parts of the file go, in any order.
trait WriteAt {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Nothing follows: the file is this long.
    fn end_at(&mut self, offset: u64) -> io::Result<()>;
}

impl WriteAt for Output {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        Self::write_at(self, offset, bytes)
    }
    fn end_at(&mut self, offset: u64) -> io::Result<()> {
        Self::end_at(self, offset)
    }
}

/// Writes all RAM.
pub fn write(
    source: &dyn Source,
    compression: Compression,
    raw: bool,
    file: &mut Output,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    let compressor = Compressor::new(compression);
    if raw {
        return write_parts(source, compressor, file, progress);
    }
    let mut flattened = Flattened::new(file)?;
    write_parts(source, compressor, &mut flattened, progress)
}

fn write_parts(
    source: &dyn Source,
    compressor: Compressor,
    file: &mut dyn WriteAt,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    let info = Vmcoreinfo::of(source);
    let architecture = Architecture::of(source.vcpus());
    let (notes, text) = notes::build(source.vcpus(), architecture, info.as_ref());
    let sub_header = SubHeader {
        phys_base: info.as_ref().and_then(Vmcoreinfo::phys_base).unwrap_or(0),
        frames: frames(source.ram()),
        notes_bytes: notes.len() as u64,
        vmcoreinfo: text,
    };
    let header = Header {
        architecture,
        uts: info.as_ref().and_then(|info| info.uts(source)).unwrap_or_default(),
        unix_time_s: source.unix_time_s(),
        flag: compressor.flag(),
        sub_header_blocks: sub_header.bytes(architecture).next_multiple_of(BLOCK_BYTES) / BLOCK_BYTES,
        bitmap_blocks: 2 * bitmap_bytes(source.ram()) / BLOCK_BYTES,
        frames: sub_header.frames,
        vcpus: source.vcpus().len() as u32,
    };
    file.write_at(0, &header.to_bytes())?;
    file.write_at(BLOCK_BYTES, &sub_header.to_bytes(architecture))?;
    file.write_at(BLOCK_BYTES + SubHeader::head_bytes(architecture), &notes)?;
    let bitmap = bitmap(source.ram());
    let bitmaps = (1 + header.sub_header_blocks) * BLOCK_BYTES;
    file.write_at(bitmaps, &bitmap)?;
    file.write_at(bitmaps + bitmap.len() as u64, &bitmap)?;
    let descriptors = bitmaps + 2 * bitmap.len() as u64;
    Pages::new(compressor, descriptors, total(source.ram()) / PAGE_SIZE).write(source, file, progress)
}

/// The page frames from 0 to the end of RAM.
fn frames(ram: &[Range<u64>]) -> u64 {
    ram.iter().map(|r| r.end.div_ceil(PAGE_SIZE)).max().unwrap_or(0)
}

fn bitmap_bytes(ram: &[Range<u64>]) -> u64 {
    frames(ram).div_ceil(8).next_multiple_of(BLOCK_BYTES)
}

/// Bit n: page frame n is RAM.
fn bitmap(ram: &[Range<u64>]) -> Vec<u8> {
    let mut bitmap = vec![0; bitmap_bytes(ram) as usize];
    for frame in ram.iter().flat_map(|r| r.start / PAGE_SIZE..r.end / PAGE_SIZE) {
        bitmap[frame as usize / 8] |= 1 << (frame % 8);
    }
    bitmap
}

/// Pages and their descriptors.
struct Pages {
    compressor: Compressor,
    /// Descriptors that are not written yet, and where they go.
    descriptors: Vec<u8>,
    descriptors_at: u64,
    /// Where the next page's data goes.
    data_at: u64,
    zero: Option<[u8; DESCRIPTOR_BYTES as usize]>,
}

impl Pages {
    fn new(compressor: Compressor, descriptors_at: u64, pages: u64) -> Self {
        let data_at = descriptors_at + pages * DESCRIPTOR_BYTES;
        Self { compressor, descriptors: Vec::new(), descriptors_at, data_at, zero: None }
    }

    fn write(
        mut self,
        source: &dyn Source,
        file: &mut dyn WriteAt,
        progress: Progress<'_>,
    ) -> Result<(), DumpError> {
        let (mut done, total) = (0, total(source.ram()));
        for gpa in source.ram().iter().flat_map(|r| r.clone().step_by(PAGE_SIZE as usize)) {
            let descriptor = match (source.page(gpa), self.zero) {
                (None, Some(zero)) => zero,
                (None, None) => {
                    let zero = self.data(&[0; PAGE_SIZE as usize], file)?;
                    *self.zero.insert(zero)
                }
                (Some(page), _) => self.data(page, file)?,
            };
            self.descriptors.extend_from_slice(&descriptor);
            if self.descriptors.len() == DESCRIPTORS * DESCRIPTOR_BYTES as usize {
                self.flush(file)?;
            }
            done += PAGE_SIZE;
            progress(done, total);
        }
        self.flush(file)?;
        file.end_at(self.data_at)?;
        Ok(())
    }

    /// Writes a page's data; gives its descriptor.
    fn data(&mut self, page: &[u8], file: &mut dyn WriteAt) -> io::Result<[u8; DESCRIPTOR_BYTES as usize]> {
        let (data, flag) = self.compressor.compress(page);
        file.write_at(self.data_at, data)?;
        let mut descriptor = [0; DESCRIPTOR_BYTES as usize];
        descriptor[0..8].copy_from_slice(&self.data_at.to_le_bytes());
        descriptor[8..12].copy_from_slice(&(data.len() as u32).to_le_bytes());
        descriptor[12..16].copy_from_slice(&flag.to_le_bytes());
        self.data_at += data.len() as u64;
        Ok(descriptor)
    }

    fn flush(&mut self, file: &mut dyn WriteAt) -> io::Result<()> {
        file.write_at(self.descriptors_at, &self.descriptors)?;
        self.descriptors_at += self.descriptors.len() as u64;
        self.descriptors.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
