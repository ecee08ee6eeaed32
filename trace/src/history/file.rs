//! The file of a history: which spans it has, and what is found in them.

use super::layout::{HEADER_BYTES, LINES_BYTES, Layout, NUMBER_BYTES, PAGE_BYTES, PIECE_BYTES};
use super::table::{PageRecord, Pieces, decode_pieces, lines_within, numbers, page_of};
use super::{PIECE_ICOUNT, SPAN_ICOUNT, Span};
use crate::analysis::history::Place;
use crate::binary::{TraceFileError, last_of_chunks};
use dejavm_core::boundary::ProbeRecord;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: [u8; 8] = *b"\x89DJM\r\n\x1a\n";
const VERSION: u32 = 2;
const PREAMBLE_BYTES: usize = 32;

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

/// A history that is open.
pub struct History {
    file: File,
    writable: bool,
    len: u64,
    /// Where each span begins.
    spans: BTreeMap<u64, (u64, Layout)>,
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
            let Some(layout) = Layout::from_bytes(&bytes) else { break };
            let end = offset + layout.len();
            if end > self.len {
                break;
            }
            self.spans.insert(layout.number, (offset, layout));
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
        let (mut layout, table) = span.table.encode(span.number);
        layout.chunks = span.chunks.len() as u64;
        self.file.set_len(self.len)?;
        let mut at = self.len;
        for bytes in [&layout.to_bytes()[..], &table, &span.chunks] {
            if let Err(error) = self.file.write_all_at(bytes, at) {
                // What is there of it would be taken for a torn end anyway.
                let _ = self.file.set_len(self.len);
                return Err(error.into());
            }
            at += bytes.len() as u64;
        }
        self.spans.insert(span.number, (self.len, layout));
        self.len = at;
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
        let Some(&(start, layout)) = self.spans.get(&number) else { return Ok(None) };
        let wanted = self.pieces_of(start, &layout, place)?;
        if wanted.iter().all(|word| *word == 0) {
            return Ok(None);
        }
        let pieces = self.read(start + HEADER_BYTES as u64, layout.pieces as usize * PIECE_BYTES)?;
        checked(&pieces, layout.pieces_crc)?;
        let mut places = Vec::new();
        let mut offset = layout.chunks();
        for (piece, bytes) in decode_pieces(&pieces)? {
            places.push((piece, offset, bytes));
            offset =
                offset.checked_add(bytes).ok_or(TraceFileError::Malformed("a piece that is too long"))?;
        }
        for (piece, offset, bytes) in places.into_iter().rev() {
            let first = number * SPAN_ICOUNT + u64::from(piece) * PIECE_ICOUNT;
            let is_wanted = wanted[usize::from(piece) / 64] >> (piece % 64) & 1 != 0;
            if first >= before || !is_wanted {
                continue;
            }
            if offset + bytes > layout.len() {
                return Err(TraceFileError::Malformed("a piece beyond its span").into());
            }
            let chunks = self.read(start + offset, bytes as usize)?;
            let found = last_of_chunks(&chunks, before, |record| place.is_touched_by(record))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The pieces in which something was stored to the lines of a place, of the span that begins at
    /// `start`.
    fn pieces_of(&self, start: u64, layout: &Layout, place: &Place) -> Result<Pieces, HistoryError> {
        let kind = usize::from(!place.physical);
        let count = layout.pages[kind] as usize;
        let bytes = self.read(start + layout.numbers(kind), count * NUMBER_BYTES)?;
        checked(&bytes, layout.numbers_crc[kind])?;
        let pages = numbers(&bytes);
        let (first, last) = (place.address, place.last());
        let mut found = Pieces::default();
        let of_place = pages.partition_point(|page| *page < page_of(first))
            ..pages.partition_point(|page| *page <= page_of(last));
        for index in of_place {
            let record = PageRecord::from_bytes(&self.read(start + layout.page(kind, index), PAGE_BYTES)?)?;
            if record.first.saturating_add(record.count() as u64) > layout.lines {
                return Err(TraceFileError::Malformed("lines beyond their span").into());
            }
            let sets = self.read(start + layout.lines(record.first), record.count() * LINES_BYTES)?;
            checked(&sets, record.crc)?;
            let with = record.pieces_with(lines_within(pages[index], first, last), &numbers(&sets));
            found.iter_mut().zip(with).for_each(|(sum, word)| *sum |= word);
        }
        Ok(found)
    }

    fn read(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.file.read_exact_at(&mut read, offset)?;
        Ok(read)
    }
}

/// Whether bytes are those that were written.
fn checked(bytes: &[u8], crc: u32) -> Result<(), TraceFileError> {
    match crc32fast::hash(bytes) == crc {
        true => Ok(()),
        false => Err(TraceFileError::Malformed("wrong checksum of a table")),
    }
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
