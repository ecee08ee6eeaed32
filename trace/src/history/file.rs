//! The file of a history: which spans it has, and what is found in them.

use super::table::{MOST_PIECES, Pieces, Table};
use super::{PAGE_SHIFT, PIECE_ICOUNT, SPAN_ICOUNT, Span};
use crate::analysis::history::Place;
use crate::binary::{TraceFileError, decode_chunks};
use dejavm_core::boundary::ProbeRecord;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: [u8; 8] = *b"\x89DJM\r\n\x1a\n";
const VERSION: u32 = 1;
const PREAMBLE_BYTES: usize = 32;
const SPAN_MAGIC: [u8; 4] = *b"DJmS";
const HEADER_BYTES: usize = 36;
const MOST_TABLE_BYTES: u32 = 1 << 28;
/// More than 2^18 instructions can store in 2^8 pieces.
const MOST_CHUNK_BYTES: u64 = 1 << 36;
const LEVEL: i32 = 1;
/// No access has more bytes.
const LONGEST_ACCESS: u64 = 64;

/// What went wrong with a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The host cannot read or write it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Damaged(#[from] TraceFileError),
}

#[derive(Clone, Copy, Debug)]
struct SpanPlace {
    offset: u64,
    stored: u32,
    raw: u32,
    crc: u32,
    chunks: u64,
}

/// A history that is open.
pub struct History {
    file: File,
    writable: bool,
    len: u64,
    spans: BTreeMap<u64, SpanPlace>,
}

impl History {
    /// Opens that of the run with this binding, or begins one. While another process writes it, or
    /// where it cannot be written, it is read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path, mut binding: [u8; 16]) -> Result<Self, HistoryError> {
        let events = crate::binary::schema_crc().to_le_bytes();
        binding.iter_mut().zip(events).for_each(|(byte, other)| *byte ^= other);
        let writable = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let (file, writable) = match writable {
            Ok(file) => {
                let locked = file.try_lock().is_ok();
                (file, locked)
            }
            Err(_) => (File::open(path)?, false),
        };
        let len = file.metadata()?.len();
        let mut history = Self { file, writable, len, spans: BTreeMap::new() };
        if history.has_preamble(binding)? {
            history.scan()?;
        } else if history.writable {
            history.begin(binding)?;
        }
        Ok(history)
    }

    fn has_preamble(&self, binding: [u8; 16]) -> io::Result<bool> {
        let mut bytes = [0; PREAMBLE_BYTES];
        Ok(self.len >= PREAMBLE_BYTES as u64
            && self.file.read_exact_at(&mut bytes, 0).map(|()| bytes == preamble(binding))?)
    }

    fn begin(&mut self, binding: [u8; 16]) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(&preamble(binding), 0)?;
        self.len = PREAMBLE_BYTES as u64;
        Ok(())
    }

    fn scan(&mut self) -> io::Result<()> {
        let mut offset = PREAMBLE_BYTES as u64;
        let mut bytes = [0; HEADER_BYTES];
        while offset + HEADER_BYTES as u64 <= self.len {
            self.file.read_exact_at(&mut bytes, offset)?;
            let Some((number, place)) = header_of(&bytes, offset) else { break };
            let end = place.end();
            if end > self.len {
                break;
            }
            self.spans.insert(number, place);
            offset = end;
        }
        self.len = offset;
        Ok(())
    }

    /// Whether a span is in it.
    pub fn has(&self, number: u64) -> bool {
        self.spans.contains_key(&number)
    }

    /// Whether spans can be added.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Adds a span.
    ///
    /// # Errors
    /// If the host refuses; the file is as before then.
    pub fn add(&mut self, span: &Span) -> Result<(), HistoryError> {
        let raw = span.table.encode();
        let stored = zstd::bulk::compress(&raw, LEVEL)?;
        let place = SpanPlace {
            offset: self.len,
            stored: stored.len() as u32,
            raw: raw.len() as u32,
            crc: crc32fast::hash(&stored),
            chunks: span.chunks.len() as u64,
        };
        self.file.set_len(self.len)?;
        let mut at = self.len;
        for bytes in [&header(span.number, place)[..], &stored, &span.chunks] {
            if let Err(error) = self.file.write_all_at(bytes, at) {
                // What is there of it would be taken for a torn end anyway.
                let _ = self.file.set_len(self.len);
                return Err(error.into());
            }
            at += bytes.len() as u64;
        }
        self.len = at;
        self.spans.insert(span.number, place);
        Ok(())
    }

    /// The last store to a place before an icount, in one span.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn last_store(
        &self,
        number: u64,
        place: &Place,
        before: u64,
    ) -> Result<Option<ProbeRecord>, HistoryError> {
        let Some(span) = self.spans.get(&number) else { return Ok(None) };
        let table = self.table(span)?;
        let wanted = pieces_of(&table, place);
        let mut offsets = Vec::new();
        let mut offset = span.offset + HEADER_BYTES as u64 + u64::from(span.stored);
        for &(piece, bytes) in &table.pieces {
            offsets.push((piece, offset, bytes));
            offset =
                offset.checked_add(bytes).ok_or(TraceFileError::Malformed("a piece that is too long"))?;
        }
        for (piece, offset, bytes) in offsets.into_iter().rev() {
            let first = number * SPAN_ICOUNT + u64::from(piece) * PIECE_ICOUNT;
            let is_wanted = wanted[usize::from(piece) / 64] >> (piece % 64) & 1 != 0;
            if first >= before || !is_wanted {
                continue;
            }
            if offset + bytes > span.end() {
                return Err(TraceFileError::Malformed("a piece beyond its span").into());
            }
            let mut chunks = vec![0; bytes as usize];
            self.file.read_exact_at(&mut chunks, offset)?;
            let records = decode_chunks(&chunks)?;
            let found = records
                .into_iter()
                .rev()
                .find(|record| record.position.icount < before && place.is_touched_by(record));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn table(&self, span: &SpanPlace) -> Result<Table, HistoryError> {
        let mut stored = vec![0; span.stored as usize];
        self.file.read_exact_at(&mut stored, span.offset + HEADER_BYTES as u64)?;
        if crc32fast::hash(&stored) != span.crc {
            return Err(TraceFileError::Malformed("wrong checksum of a table").into());
        }
        let raw = zstd::bulk::decompress(&stored, span.raw as usize)?;
        Ok(Table::decode(&raw)?)
    }
}

impl SpanPlace {
    fn end(&self) -> u64 {
        self.offset + HEADER_BYTES as u64 + u64::from(self.stored) + self.chunks
    }
}

/// The pieces in which something was stored to the pages of a place, or so near before that it may
/// reach in.
fn pieces_of(table: &Table, place: &Place) -> Pieces {
    let pages = if place.physical { &table.physical } else { &table.linear };
    let first = place.address.saturating_sub(LONGEST_ACCESS) >> PAGE_SHIFT;
    let last = place.last() >> PAGE_SHIFT;
    let mut pieces = [0; MOST_PIECES / 64];
    for (_, marked) in pages.range(first..=last) {
        pieces.iter_mut().zip(marked).for_each(|(sum, word)| *sum |= word);
    }
    pieces
}

fn preamble(binding: [u8; 16]) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..28].copy_from_slice(&binding);
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn header(number: u64, place: SpanPlace) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&SPAN_MAGIC);
    for (at, word) in [(4, place.stored), (8, place.raw), (12, place.crc)] {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..32].copy_from_slice(&place.chunks.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn header_of(bytes: &[u8; HEADER_BYTES], offset: u64) -> Option<(u64, SpanPlace)> {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if bytes[..4] != SPAN_MAGIC || crc32fast::hash(&bytes[..32]) != word(32) {
        return None;
    }
    let place = SpanPlace { offset, stored: word(4), raw: word(8), crc: word(12), chunks: long(24) };
    let fits = place.raw <= MOST_TABLE_BYTES
        && place.stored <= MOST_TABLE_BYTES
        && place.chunks <= MOST_CHUNK_BYTES
        && long(16) <= u64::MAX / SPAN_ICOUNT;
    fits.then_some((long(16), place))
}
