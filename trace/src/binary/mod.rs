//! dejavm's own format of traces (`*.djt`): `FORMAT.md` beside this file. Chunks of records that can
//! be found by icount, each with its checksum; a full instruction trace takes well under a byte per
//! instruction.

mod chunk;
mod column;
mod reader;
mod records;
mod schema;
pub(crate) mod varint;

pub use chunk::ChunkPlace;
pub use reader::{Reader, is_trace};

use chunk::{ChunkHeader, Compressor, HEADER_BYTES, Kind};
use dejavm_core::boundary::ProbeRecord;
use records::{Body, MOST_RECORDS};

/// The version of the format.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"\x89DJT\r\n\x1a\n";
const PREAMBLE_BYTES: usize = 16;
const TRAILER_MAGIC: [u8; 4] = *b"DJtZ";
const TRAILER_BYTES: usize = 16;
/// zstd's level: more takes longer than the replay, and gains little.
const LEVEL: i32 = 1;
/// Records of so many bytes or more are mostly addresses and values: more than this takes a third of the
/// time of a trace, and makes it a fifth smaller.
const DENSE_BYTES: usize = 4;
const DENSE_LEVEL: i32 = -3;

/// What is wrong with a trace file.
#[derive(Debug, thiserror::Error)]
pub enum TraceFileError {
    /// The host cannot read it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is something else.
    #[error("this is no trace of dejavm")]
    NotATrace,
    /// It is of another version.
    #[error("this trace has version {found} of the format; this dejavm reads version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// A chunk is not what was written.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the chunk begins.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A body that breaks the rules of the format.
    #[error("{0}")]
    Malformed(&'static str),
    /// An event that this program has not.
    #[error("it holds the event {0:?}, which this dejavm does not know")]
    UnknownEvent(String),
}

impl TraceFileError {
    /// The same, of the chunk at `offset`.
    fn at(self, offset: u64) -> Self {
        match self {
            Self::Malformed(what) => Self::Damaged { offset, what: what.to_owned() },
            other => other,
        }
    }
}

/// What opens a trace: the preamble and the schema.
pub fn begin() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    chunk::put(&mut out, &mut Compressor::default(), ChunkHeader::of(Kind::Schema), &schema::encode());
    out
}

/// Makes chunks of records.
#[derive(Default)]
pub struct Encoder {
    body: Body,
    compressor: Compressor,
    chunks: Vec<(ChunkPlace, Vec<u8>)>,
}

impl Encoder {
    /// More records.
    pub fn add(&mut self, mut records: &[ProbeRecord]) {
        while !records.is_empty() {
            let room = MOST_RECORDS - self.body.count();
            let (now, later) = records.split_at(records.len().min(room));
            self.body.add(now);
            if self.body.count() == MOST_RECORDS {
                self.end_chunk();
            }
            records = later;
        }
    }

    fn end_chunk(&mut self) {
        let records = self.body.count() as u32;
        if records == 0 {
            return;
        }
        let (first_icount, last_icount) = self.body.icounts();
        let header = ChunkHeader { records, first_icount, last_icount, ..ChunkHeader::of(Kind::Records) };
        let mut out = Vec::new();
        chunk::put(&mut out, &mut self.compressor, header, &self.body.finish());
        self.chunks.push((ChunkPlace { offset: 0, records, first_icount, last_icount }, out));
    }

    /// The chunks of all records since the last call.
    pub fn finish(&mut self) -> Vec<(ChunkPlace, Vec<u8>)> {
        self.end_chunk();
        std::mem::take(&mut self.chunks)
    }
}

/// Records, in chunks; each with how many bytes it has.
pub fn encode(records: &[ProbeRecord]) -> Vec<(ChunkPlace, Vec<u8>)> {
    let mut encoder = Encoder::default();
    encoder.add(records);
    encoder.finish()
}

/// Tells whether chunks that were encoded elsewhere have the events that are here.
pub(crate) fn schema_crc() -> u32 {
    crc32fast::hash(&schema::encode())
}

/// The last record before an icount that is `wanted`, of chunks that this dejavm has [encoded](encode), one
/// after the other; those behind it are not decoded.
///
/// # Errors
/// If they are not what was written.
pub(crate) fn last_of_chunks(
    bytes: &[u8],
    before: u64,
    wanted: impl Fn(&ProbeRecord) -> bool,
) -> Result<Option<ProbeRecord>, TraceFileError> {
    for (header, stored) in split_chunks(bytes)?.into_iter().rev() {
        if header.first_icount >= before {
            continue;
        }
        let body = header.open(stored)?;
        let records = records::decode(&body, header.first_icount, header.records as usize, schema::own())?;
        let found = records.into_iter().rev().find(|r| r.position.icount < before && wanted(r));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Chunks that follow one another.
fn split_chunks(mut bytes: &[u8]) -> Result<Vec<(ChunkHeader, &[u8])>, TraceFileError> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let short = TraceFileError::Malformed("it ends within a chunk");
        let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Err(short) };
        let header = ChunkHeader::from_bytes(head)?;
        let Some((stored, rest)) = rest.split_at_checked(header.stored as usize) else { return Err(short) };
        chunks.push((header, stored));
        bytes = rest;
    }
    Ok(chunks)
}

/// What closes a trace of so many bytes with these chunks: the index and the trailer.
pub fn end(offset: u64, chunks: &[ChunkPlace]) -> Vec<u8> {
    let mut out = Vec::new();
    let index = chunk::encode_index(chunks);
    chunk::put(&mut out, &mut Compressor::default(), ChunkHeader::of(Kind::Index), &index);
    let mut trailer = offset.to_le_bytes().to_vec();
    trailer.extend_from_slice(&TRAILER_MAGIC);
    let crc = crc32fast::hash(&trailer);
    trailer.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&trailer);
    out
}
