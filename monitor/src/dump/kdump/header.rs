//! The two headers, as compilers for the guest's architecture lay them out
//! (`struct disk_dump_header`, `struct kdump_sub_header`).

use crate::dump::notes::Architecture;
use crate::dump::vmcoreinfo::Uts;
use std::ops::Range;

/// The unit of the file.
pub const BLOCK_BYTES: u64 = 4096;
const SIGNATURE: &[u8; 8] = b"KDUMP   ";
/// Version 6: the sub-header has page frame numbers of 64 bits.
const VERSION: u32 = 6;
/// Nothing is left out, pages that are zero neither.
const DUMP_LEVEL: u32 = 0;
const UTS_FIELD_BYTES: usize = 65;

/// The first block.
pub struct Header {
    /// The widths of its fields.
    pub architecture: Architecture,
    /// Readers need the fields to be there: what the guest does not tell is guessed.
    pub uts: Uts,
    /// When it was.
    pub unix_time_s: i64,
    /// How pages are compressed.
    pub flag: u32,
    /// Blocks of the sub-header with notes.
    pub sub_header_blocks: u64,
    /// Blocks of both bitmaps.
    pub bitmap_blocks: u64,
    /// Page frames from 0 to the end of RAM.
    pub frames: u64,
    /// How many there are.
    pub vcpus: u32,
}

/// What stands in a field that readers do not want empty.
fn or<'a>(text: &'a str, guess: &'a str) -> &'a str {
    if text.is_empty() { guess } else { text }
}

impl Header {
    /// The block.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut h = SIGNATURE.to_vec();
        h.extend_from_slice(&VERSION.to_le_bytes());
        let machine = if self.architecture == Architecture::X86_64 { "x86_64" } else { "i686" };
        let uts = &self.uts;
        for field in [
            or(&uts.sysname, "Linux"),
            &uts.nodename,
            or(&uts.release, "unknown"),
            or(&uts.version, "unknown"),
            or(&uts.machine, machine),
            &uts.domainname,
        ] {
            let mut bytes = field.as_bytes().to_vec();
            // Ended by a zero, as all strings of C.
            bytes.resize(UTS_FIELD_BYTES - 1, 0);
            bytes.push(0);
            h.extend_from_slice(&bytes);
        }
        // struct timeval.
        match self.architecture {
            Architecture::X86_64 => {
                h.resize(h.len().next_multiple_of(8), 0);
                h.extend_from_slice(&self.unix_time_s.to_le_bytes());
                h.extend_from_slice(&[0; 8]);
            }
            Architecture::I386 => {
                h.resize(h.len().next_multiple_of(4), 0);
                h.extend_from_slice(&(self.unix_time_s as u32).to_le_bytes());
                h.extend_from_slice(&[0; 4]);
            }
        }
        let frames = u32::try_from(self.frames).unwrap_or(u32::MAX);
        let words = [
            self.flag,
            BLOCK_BYTES as u32,
            self.sub_header_blocks as u32,
            self.bitmap_blocks as u32,
            frames,
            // Of RAM, device, written, the current vCPU: nobody reads them.
            0,
            0,
            0,
            0,
            self.vcpus,
        ];
        words.iter().for_each(|word| h.extend_from_slice(&word.to_le_bytes()));
        h.resize(BLOCK_BYTES as usize, 0);
        h
    }
}

/// The second block and, behind its head, the notes.
pub struct SubHeader {
    /// Where the kernel's image lies, less its virtual address.
    pub phys_base: i64,
    /// Page frames from 0 to the end of RAM.
    pub frames: u64,
    /// The size of the notes.
    pub notes_bytes: u64,
    /// Where in the notes the text of VMCOREINFO is.
    pub vmcoreinfo: Option<Range<usize>>,
}

impl SubHeader {
    /// The size without the notes.
    pub fn head_bytes(architecture: Architecture) -> u64 {
        if architecture == Architecture::X86_64 { 104 } else { 80 }
    }

    /// The size with the notes.
    pub fn bytes(&self, architecture: Architecture) -> u64 {
        Self::head_bytes(architecture) + self.notes_bytes
    }

    /// The block without the notes.
    pub fn to_bytes(&self, architecture: Architecture) -> Vec<u8> {
        let mut h = Vec::new();
        let wide = architecture == Architecture::X86_64;
        let long = |h: &mut Vec<u8>, value: u64| match wide {
            true => h.extend_from_slice(&value.to_le_bytes()),
            false => h.extend_from_slice(&(value as u32).to_le_bytes()),
        };
        let quad = |h: &mut Vec<u8>, value: u64| h.extend_from_slice(&value.to_le_bytes());
        let notes = BLOCK_BYTES + Self::head_bytes(architecture);
        let text = self.vmcoreinfo.clone().unwrap_or_default();
        let text_at = if self.vmcoreinfo.is_some() { notes + text.start as u64 } else { 0 };
        long(&mut h, self.phys_base as u64);
        h.extend_from_slice(&DUMP_LEVEL.to_le_bytes());
        // Not split into several files; start and end of the part.
        h.extend_from_slice(&0u32.to_le_bytes());
        long(&mut h, 0);
        long(&mut h, 0);
        quad(&mut h, text_at);
        long(&mut h, text.len() as u64);
        quad(&mut h, notes);
        long(&mut h, self.notes_bytes);
        // What was erased: nothing.
        quad(&mut h, 0);
        long(&mut h, 0);
        // Start and end of the part, once more with 64 bits, and the number of page frames.
        quad(&mut h, 0);
        quad(&mut h, 0);
        quad(&mut h, self.frames);
        assert_eq!(h.len() as u64, Self::head_bytes(architecture));
        h
    }
}
