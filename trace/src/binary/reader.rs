//! Reads a trace, by chunks or by a window of icounts. Nothing in the file is believed before it was
//! checked.

use super::chunk::{ChunkHeader, ChunkPlace, HEADER_BYTES, Kind, decode_index};
use super::schema::FileEvent;
use super::{MAGIC, PREAMBLE_BYTES, TRAILER_BYTES, TRAILER_MAGIC, TraceFileError, VERSION, records, schema};
use dejavm_core::boundary::ProbeRecord;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

/// Whether a file begins like a trace.
pub fn is_trace(beginning: &[u8]) -> bool {
    beginning.starts_with(&MAGIC)
}

/// Reads a trace.
pub struct Reader<R> {
    input: R,
    events: Vec<FileEvent>,
    chunks: Vec<ChunkPlace>,
    whole: bool,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a trace: reads its schema, and where its chunks are.
    ///
    /// # Errors
    /// If it is none, of another version, damaged, or cannot be read.
    pub fn open(mut input: R) -> Result<Self, TraceFileError> {
        let len = input.seek(SeekFrom::End(0))?;
        input.seek(SeekFrom::Start(0))?;
        preamble(&mut input)?;
        let offset = PREAMBLE_BYTES as u64;
        let (header, body) = chunk(&mut input, offset, len)?;
        if header.kind != Kind::Schema {
            return Err(TraceFileError::Malformed("the schema is missing").at(offset));
        }
        let events = schema::decode(&body).map_err(|e| e.at(offset))?;
        let first = offset + HEADER_BYTES as u64 + u64::from(header.stored);
        let index = index(&mut input, len)?;
        let whole = index.is_some();
        let chunks = match index {
            Some(chunks) => chunks,
            None => scan(&mut input, first, len)?,
        };
        Ok(Self { input, events, chunks, whole })
    }

    /// Whether it was written to its end. If not, what was written is here.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Its chunks, in the order of the run.
    pub fn chunks(&self) -> &[ChunkPlace] {
        &self.chunks
    }

    /// How many records it has.
    pub fn record_count(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.records)).sum()
    }

    /// The records of a chunk, by its place in [`Self::chunks`].
    ///
    /// # Errors
    /// If it is damaged, cannot be read, or has events that this program does not know.
    pub fn read(&mut self, index: usize) -> Result<Vec<ProbeRecord>, TraceFileError> {
        let Some(&place) = self.chunks.get(index) else { return Ok(Vec::new()) };
        let len = self.input.seek(SeekFrom::End(0))?;
        let (header, body) = chunk(&mut self.input, place.offset, len)?;
        let same = header.kind == Kind::Records
            && (header.records, header.first_icount, header.last_icount)
                == (place.records, place.first_icount, place.last_icount);
        if !same {
            return Err(TraceFileError::Malformed("not the chunk that the index says").at(place.offset));
        }
        let read = records::decode(&body, place.first_icount, place.records as usize, &self.events)
            .map_err(|e| e.at(place.offset))?;
        match read.last().map(|record| record.position.icount) == Some(place.last_icount) {
            true => Ok(read),
            false => Err(TraceFileError::Malformed("it ends at another icount").at(place.offset)),
        }
    }

    /// Hands the records with icounts from `from` to below `to` to `take`, a chunk at a time; only
    /// chunks that have some are read. `take` says whether to go on.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn window(
        &mut self,
        from: u64,
        to: u64,
        mut take: impl FnMut(&[ProbeRecord]) -> bool,
    ) -> Result<(), TraceFileError> {
        let first = self.chunks.partition_point(|chunk| chunk.last_icount < from);
        let end = self.chunks.partition_point(|chunk| chunk.first_icount < to);
        for index in first..end {
            let records = self.read(index)?;
            let start = records.partition_point(|record| record.position.icount < from);
            let stop = records.partition_point(|record| record.position.icount < to);
            if start < stop && !take(&records[start..stop]) {
                break;
            }
        }
        Ok(())
    }
}

fn preamble(input: &mut impl Read) -> Result<(), TraceFileError> {
    let mut bytes = [0; PREAMBLE_BYTES];
    input.read_exact(&mut bytes).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => TraceFileError::NotATrace,
        _ => e.into(),
    })?;
    if bytes[..8] != MAGIC {
        return Err(TraceFileError::NotATrace);
    }
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if crc32fast::hash(&bytes[..12]) != word(12) {
        return Err(TraceFileError::Malformed("wrong checksum of the preamble").at(0));
    }
    match word(8) {
        VERSION => Ok(()),
        found => Err(TraceFileError::Version { found }),
    }
}

/// The header at `offset`, if the file is so long.
fn header(input: &mut (impl Read + Seek), offset: u64, len: u64) -> Result<ChunkHeader, TraceFileError> {
    if offset.checked_add(HEADER_BYTES as u64).is_none_or(|end| end > len) {
        return Err(TraceFileError::Malformed("the file ends within a chunk").at(offset));
    }
    input.seek(SeekFrom::Start(offset))?;
    let mut bytes = [0; HEADER_BYTES];
    input.read_exact(&mut bytes)?;
    let header = ChunkHeader::from_bytes(&bytes).map_err(|e| e.at(offset))?;
    if offset + HEADER_BYTES as u64 + u64::from(header.stored) > len {
        return Err(TraceFileError::Malformed("the file ends within a chunk").at(offset));
    }
    Ok(header)
}

fn chunk(
    input: &mut (impl Read + Seek),
    offset: u64,
    len: u64,
) -> Result<(ChunkHeader, Vec<u8>), TraceFileError> {
    let header = header(input, offset, len)?;
    let mut stored = vec![0; header.stored as usize];
    input.read_exact(&mut stored)?;
    let body = header.open(&stored).map_err(|e| e.at(offset))?;
    Ok((header, body))
}

/// The index, if the trace was written to its end.
fn index(input: &mut (impl Read + Seek), len: u64) -> Result<Option<Vec<ChunkPlace>>, TraceFileError> {
    let Some(at) = len.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    input.seek(SeekFrom::Start(at))?;
    let mut bytes = [0; TRAILER_BYTES];
    input.read_exact(&mut bytes)?;
    let crc = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    if bytes[8..12] != TRAILER_MAGIC || crc32fast::hash(&bytes[..12]) != crc {
        return Ok(None);
    }
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    let offset = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let (header, body) = chunk(input, offset, len)?;
    if header.kind != Kind::Index {
        return Err(TraceFileError::Malformed("the index is missing").at(offset));
    }
    decode_index(&body).map(Some).map_err(|e| e.at(offset))
}

/// The chunks of a trace that was cut off, up to the last complete one.
fn scan(input: &mut (impl Read + Seek), first: u64, len: u64) -> Result<Vec<ChunkPlace>, TraceFileError> {
    let mut chunks: Vec<ChunkPlace> = Vec::new();
    let mut offset = first;
    while let Ok(ChunkHeader { kind: Kind::Records, stored, records, first_icount, last_icount, .. }) =
        header(input, offset, len)
    {
        if chunks.last().is_some_and(|before| before.last_icount > first_icount) {
            return Err(TraceFileError::Malformed("a chunk of an earlier stretch").at(offset));
        }
        chunks.push(ChunkPlace { offset, records, first_icount, last_icount });
        offset += HEADER_BYTES as u64 + u64::from(stored);
    }
    Ok(chunks)
}
