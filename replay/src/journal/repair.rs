//! Cutting a damaged journal back to its last good chunk, so that what came before the damage
//! can be replayed.

use super::Reader;
use super::error::{JournalError, Place, io};
use super::frame::{ChunkKind, PREAMBLE_LEN};
use super::reader::read_body;
use super::scan::{ChunkEntry, Found, check_follows, chunk_at};
use std::fs::OpenOptions;
use std::io::{Read, Seek};
use std::path::Path;

/// What a repair did.
#[derive(Debug)]
pub struct Repair {
    /// The length of the file now.
    pub kept_bytes: u64,
    /// How many bytes were cut off.
    pub dropped_bytes: u64,
    /// What was wrong; a torn end alone is not.
    pub damage: Option<JournalError>,
}

/// Cuts the journal at `path` after its last good chunk before any damage.
///
/// A journal without damage is left as it is. One whose header or images are damaged cannot be
/// repaired, and is left as it is too.
pub fn repair(path: &Path) -> Result<Repair, JournalError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open"))?;
    let len = file.metadata().map_err(io("read the size of the file"))?.len();
    let intact = Reader::new(&mut file).and_then(|mut reader| reader.check_all());
    let Err(damage) = intact else {
        return Ok(Repair { kept_bytes: len, dropped_bytes: 0, damage: None });
    };
    let kept_bytes = good_prefix(&mut file, len);
    Reader::with_len(&mut file, kept_bytes)?.check_all()?;
    file.set_len(kept_bytes).map_err(io("cut the file"))?;
    Ok(Repair { kept_bytes, dropped_bytes: len - kept_bytes, damage: Some(damage) })
}

/// Where the last good chunk of the run ends.
fn good_prefix<R: Read + Seek>(file: &mut R, file_len: u64) -> u64 {
    let mut last: Option<ChunkEntry> = None;
    while let Some(next) = good_chunk(file, file_len, last.as_ref()) {
        last = Some(next);
    }
    last.map_or(PREAMBLE_LEN as u64, |chunk| chunk.end_offset())
}

/// The chunk after `before`, if it is whole and good, and not the index.
fn good_chunk<R: Read + Seek>(
    file: &mut R,
    file_len: u64,
    before: Option<&ChunkEntry>,
) -> Option<ChunkEntry> {
    let offset = before.map_or(PREAMBLE_LEN as u64, ChunkEntry::end_offset);
    let place = Place { chunk: before.map_or(0, |b| b.sequence + 1), offset };
    let Ok(Found::Chunk(header)) = chunk_at(file, file_len, place) else { return None };
    let entry = ChunkEntry::new(&header, offset);
    check_follows(&entry, before).ok()?;
    read_body(file, &entry, entry.kind).ok()?;
    (entry.kind != ChunkKind::Index).then_some(entry)
}
