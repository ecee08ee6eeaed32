//! Chunks: a header with checksums, and a compressed body. And the index of them.

use super::records::MOST_RECORDS;
use super::varint::{self, Input};
use super::{DENSE_BYTES, DENSE_LEVEL, LEVEL, TraceFileError};
use dejavm_core::boundary::ProbeRecord;

const MAGIC: [u8; 3] = *b"DJt";
/// The length of a chunk's header.
pub const HEADER_BYTES: usize = 44;
/// The longest raw body.
const MOST_RAW_BYTES: u32 = 1 << 28;
/// The most chunks of a trace.
const MOST_CHUNKS: u64 = 1 << 28;

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The events that there are.
    Schema = b'S',
    /// Records.
    Records = b'R',
    /// Where the chunks of records are.
    Index = b'X',
}

/// The header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// What it holds.
    pub kind: Kind,
    /// The length of its body in the file.
    pub stored: u32,
    /// The length of its body decompressed.
    pub raw: u32,
    /// The checksum of the body in the file.
    pub crc: u32,
    /// How many records.
    pub records: u32,
    /// The icount of the first.
    pub first_icount: u64,
    /// That of the last.
    pub last_icount: u64,
}

impl ChunkHeader {
    /// That of a chunk without records; the lengths are not known yet.
    pub fn of(kind: Kind) -> Self {
        Self { kind, stored: 0, raw: 0, crc: 0, records: 0, first_icount: 0, last_icount: 0 }
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = self.kind as u8;
        for (at, word) in [(4, self.stored), (8, self.raw), (12, self.crc), (16, self.records)] {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[20..28].copy_from_slice(&self.first_icount.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.last_icount.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..40]);
        bytes[40..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is none, or not the one that was written, or beyond the limits.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, TraceFileError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..3] != MAGIC {
            return Err(TraceFileError::Malformed("no chunk begins here"));
        }
        if crc32fast::hash(&bytes[..40]) != word(40) {
            return Err(TraceFileError::Malformed("wrong checksum of a chunk's header"));
        }
        let kind = [Kind::Schema, Kind::Records, Kind::Index].into_iter().find(|k| *k as u8 == bytes[3]);
        let header = Self {
            kind: kind.ok_or(TraceFileError::Malformed("a chunk of no known kind"))?,
            stored: word(4),
            raw: word(8),
            crc: word(12),
            records: word(16),
            first_icount: long(20),
            last_icount: long(28),
        };
        let fits = header.raw <= MOST_RAW_BYTES
            && header.stored <= header.raw + header.raw / 128 + 1024
            && header.records as usize <= MOST_RECORDS
            && (header.records != 0) == (kind == Some(Kind::Records))
            && header.first_icount <= header.last_icount;
        fits.then_some(header).ok_or(TraceFileError::Malformed("a chunk beyond the limits of the format"))
    }

    /// The body, of what stands in the file.
    ///
    /// # Errors
    /// If it is not the one that was written.
    pub fn open(&self, stored: &[u8]) -> Result<Vec<u8>, TraceFileError> {
        if crc32fast::hash(stored) != self.crc {
            return Err(TraceFileError::Malformed("wrong checksum of a chunk"));
        }
        let raw = zstd::bulk::decompress(stored, self.raw as usize)
            .map_err(|_| TraceFileError::Malformed("a chunk that cannot be decompressed"))?;
        match raw.len() == self.raw as usize {
            true => Ok(raw),
            false => Err(TraceFileError::Malformed("a chunk that decompresses to another length")),
        }
    }
}

/// What compresses chunks, one after the other.
pub struct Compressor {
    usual: zstd::bulk::Compressor<'static>,
    dense: zstd::bulk::Compressor<'static>,
}

impl Default for Compressor {
    fn default() -> Self {
        // zstd fails only without memory.
        let new = |level| zstd::bulk::Compressor::new(level).expect("memory to compress chunks");
        Self { usual: new(LEVEL), dense: new(DENSE_LEVEL) }
    }
}

/// Appends a chunk with this body.
pub fn put(out: &mut Vec<u8>, compressor: &mut Compressor, header: ChunkHeader, body: &[u8]) {
    let dense = body.len() / DENSE_BYTES >= header.records as usize && header.records > 0;
    let compressor = if dense { &mut compressor.dense } else { &mut compressor.usual };
    let stored = compressor.compress(body).expect("memory to compress a chunk");
    let crc = crc32fast::hash(&stored);
    let header = ChunkHeader { stored: stored.len() as u32, raw: body.len() as u32, crc, ..header };
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(&stored);
}

/// Where a chunk of records is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkPlace {
    /// In the file.
    pub offset: u64,
    /// How many records it has.
    pub records: u32,
    /// The icount of the first.
    pub first_icount: u64,
    /// That of the last.
    pub last_icount: u64,
}

impl ChunkPlace {
    /// That of some records; where it will be is not known yet. `None` without any.
    pub fn of(records: &[ProbeRecord]) -> Option<Self> {
        Some(Self {
            offset: 0,
            records: records.len() as u32,
            first_icount: records.first()?.position.icount,
            last_icount: records.last()?.position.icount,
        })
    }
}

/// The body of an index.
pub fn encode_index(chunks: &[ChunkPlace]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, chunks.len() as u64);
    let mut before = ChunkPlace::default();
    for chunk in chunks {
        varint::put(&mut out, chunk.offset - before.offset);
        varint::put(&mut out, chunk.records.into());
        varint::put(&mut out, chunk.first_icount - before.last_icount);
        varint::put(&mut out, chunk.last_icount - chunk.first_icount);
        before = *chunk;
    }
    out
}

/// The chunks that an index lists.
///
/// # Errors
/// If it breaks the rules of the format.
pub fn decode_index(body: &[u8]) -> Result<Vec<ChunkPlace>, TraceFileError> {
    let mut input = Input(body);
    let count = input.at_most(MOST_CHUNKS)?;
    let mut chunks = Vec::new();
    let mut before = ChunkPlace::default();
    let beyond = TraceFileError::Malformed("an index beyond the limits of the format");
    for _ in 0..count {
        let offset = before.offset.checked_add(input.number()?);
        let records = input.at_most(MOST_RECORDS as u64)? as u32;
        let first = before.last_icount.checked_add(input.number()?);
        let (Some(offset), Some(first_icount)) = (offset, first) else { return Err(beyond) };
        let Some(last_icount) = first_icount.checked_add(input.number()?) else { return Err(beyond) };
        before = ChunkPlace { offset, records, first_icount, last_icount };
        chunks.push(before);
    }
    match input.is_empty() {
        true => Ok(chunks),
        false => Err(TraceFileError::Malformed("more than an index")),
    }
}
