//! The fixed parts of the file (FORMAT.md, "Preamble", "Chunks", "Trailer"): sizes, magics,
//! checksums. What is inside a chunk is not known here.

use super::error::{Damage, JournalError, Place};
use super::limits::{max_raw_bytes, max_stored_bytes};
use super::{FORMAT_VERSION, FORMAT_VERSION_STATE};
use dejavm_core::boundary::Position;

/// The size of the preamble.
pub const PREAMBLE_LEN: usize = 16;
/// The size of a chunk header.
pub const CHUNK_HEADER_LEN: usize = 56;
/// The size of the trailer.
pub const TRAILER_LEN: usize = 24;

const FILE_MAGIC: [u8; 8] = *b"\x89DJV\r\n\x1a\n";
const CHUNK_MAGIC: [u8; 3] = *b"DJc";
const TRAILER_MAGIC: [u8; 8] = *b"DJVtrail";

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkKind {
    /// What the machine is; always chunk 0.
    Header = b'H',
    /// A piece of an image.
    Image = b'I',
    /// A piece of the state that the run begins with, if that is not power-on.
    Start = b'S',
    /// Inbound events and the state hash at the end of their stretch.
    Events = b'E',
    /// How the run ended.
    End = b'Z',
    /// Where the chunks are.
    Index = b'X',
}

impl ChunkKind {
    /// The kind with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Header, Self::Image, Self::Start, Self::Events, Self::End, Self::Index]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }

    /// For messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Image => "image",
            Self::Start => "start state",
            Self::Events => "events",
            Self::End => "end",
            Self::Index => "index",
        }
    }
}

/// The preamble of a journal of a version.
pub fn preamble(version: u32) -> [u8; PREAMBLE_LEN] {
    let mut bytes = [0; PREAMBLE_LEN];
    bytes[..8].copy_from_slice(&FILE_MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// The version of the journal that `bytes` begin, if this module can read it.
pub fn check_preamble(bytes: &[u8; PREAMBLE_LEN]) -> Result<u32, JournalError> {
    if bytes[..8] != FILE_MAGIC {
        return Err(JournalError::NotAJournal);
    }
    if !is_sealed(bytes) {
        return Err(Damage::PreambleChecksum.at(Place { chunk: 0, offset: 0 }));
    }
    match le32(&bytes[8..]) {
        version @ (FORMAT_VERSION | FORMAT_VERSION_STATE) => Ok(version),
        found => Err(JournalError::Version { found, supported: FORMAT_VERSION_STATE }),
    }
}

/// What stands before the stored bytes of each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What it holds.
    pub kind: ChunkKind,
    /// Its number in the file, from 0.
    pub sequence: u32,
    /// The length of the body as stored.
    pub stored_len: u32,
    /// The length of the body decompressed.
    pub raw_len: u32,
    /// CRC-32 of the stored bytes.
    pub stored_crc: u32,
    /// Where its stretch of the run begins.
    pub first: Position,
    /// Where its stretch ends.
    pub last: Position,
}

impl ChunkHeader {
    /// The header as bytes.
    pub fn to_bytes(&self) -> [u8; CHUNK_HEADER_LEN] {
        let mut bytes = [0; CHUNK_HEADER_LEN];
        bytes[..3].copy_from_slice(&CHUNK_MAGIC);
        bytes[3] = self.kind as u8;
        let words = [self.sequence, self.stored_len, self.raw_len, self.stored_crc];
        for (k, word) in words.into_iter().enumerate() {
            bytes[4 + 4 * k..][..4].copy_from_slice(&word.to_le_bytes());
        }
        let counts = [self.first.icount, self.first.now_ns, self.last.icount, self.last.now_ns];
        for (k, count) in counts.into_iter().enumerate() {
            bytes[20 + 8 * k..][..8].copy_from_slice(&count.to_le_bytes());
        }
        seal(&mut bytes);
        bytes
    }

    /// The header in `bytes`, whose lengths are within the limits.
    pub fn from_bytes(bytes: &[u8; CHUNK_HEADER_LEN]) -> Result<Self, Damage> {
        if bytes[..3] != CHUNK_MAGIC {
            return Err(Damage::NoMagic);
        }
        if !is_sealed(bytes) {
            return Err(Damage::HeaderChecksum);
        }
        let position = |at: usize| Position { icount: le64(&bytes[at..]), now_ns: le64(&bytes[at + 8..]) };
        let header = Self {
            kind: ChunkKind::from_code(bytes[3]).ok_or(Damage::UnknownKind(bytes[3]))?,
            sequence: le32(&bytes[4..]),
            stored_len: le32(&bytes[8..]),
            raw_len: le32(&bytes[12..]),
            stored_crc: le32(&bytes[16..]),
            first: position(20),
            last: position(36),
        };
        header.check_limits()?;
        Ok(header)
    }

    fn check_limits(&self) -> Result<(), Damage> {
        within("stored length", self.stored_len, max_stored_bytes(self.kind))?;
        within("raw length", self.raw_len, max_raw_bytes(self.kind))?;
        if !in_order(self.first, self.last) {
            return Err(Damage::Order(self.last));
        }
        Ok(())
    }
}

/// The last bytes of a journal that has an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The file offset of the index chunk.
    pub index_offset: u64,
    /// The sequence number of the index chunk.
    pub index_sequence: u32,
}

impl Trailer {
    /// The trailer as bytes.
    pub fn to_bytes(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        bytes[..8].copy_from_slice(&TRAILER_MAGIC);
        bytes[8..16].copy_from_slice(&self.index_offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.index_sequence.to_le_bytes());
        seal(&mut bytes);
        bytes
    }

    /// The trailer in `bytes`.
    pub fn from_bytes(bytes: &[u8; TRAILER_LEN]) -> Result<Self, Damage> {
        if bytes[..8] != TRAILER_MAGIC || !is_sealed(bytes) {
            return Err(Damage::Trailer);
        }
        Ok(Self { index_offset: le64(&bytes[8..]), index_sequence: le32(&bytes[16..]) })
    }
}

/// Whether `b` may follow `a`: neither count runs backwards.
pub fn in_order(a: Position, b: Position) -> bool {
    a.icount <= b.icount && a.now_ns <= b.now_ns
}

/// An error if `found` exceeds `limit`.
pub(super) fn within(what: &'static str, found: u32, limit: u32) -> Result<(), Damage> {
    if found > limit {
        return Err(Damage::TooLong { what, found: found.into(), limit: limit.into() });
    }
    Ok(())
}

/// Puts the CRC-32 of all before it into the last four bytes.
fn seal(bytes: &mut [u8]) {
    let (covered, crc) = bytes.split_at_mut(bytes.len() - 4);
    crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
}

fn is_sealed(bytes: &[u8]) -> bool {
    let (covered, crc) = bytes.split_at(bytes.len() - 4);
    crc32fast::hash(covered) == le32(crc)
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le64(bytes: &[u8]) -> u64 {
    u64::from(le32(bytes)) | u64::from(le32(&bytes[4..])) << 32
}
