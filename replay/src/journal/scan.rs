//! Finding the chunks of a journal by walking from header to header.

use super::error::{Damage, JournalError, Place, io};
use super::frame::{CHUNK_HEADER_LEN, ChunkHeader, ChunkKind};
use dejavm_core::boundary::Position;
use std::io::{Read, Seek, SeekFrom};

/// Where a chunk is, and what stretch of the run it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// What it holds.
    pub kind: ChunkKind,
    /// Its number.
    pub sequence: u32,
    /// The file offset of its header.
    pub offset: u64,
    /// The length of its stored body.
    pub stored_len: u32,
    /// The length of its body decompressed.
    pub raw_len: u32,
    /// Where its stretch begins.
    pub first: Position,
    /// Where its stretch ends.
    pub last: Position,
}

impl ChunkEntry {
    pub(super) fn new(header: &ChunkHeader, offset: u64) -> Self {
        let ChunkHeader { kind, sequence, stored_len, raw_len, stored_crc: _, first, last } = *header;
        Self { kind, sequence, offset, stored_len, raw_len, first, last }
    }

    /// Its place, for messages.
    pub fn place(&self) -> Place {
        Place { chunk: self.sequence, offset: self.offset }
    }

    /// The file offset after it.
    pub fn end_offset(&self) -> u64 {
        self.offset + CHUNK_HEADER_LEN as u64 + u64::from(self.stored_len)
    }
}

/// A chunk that the file ends within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    pub place: Place,
    pub missing: u64,
}

/// What is at an offset.
pub(super) enum Found {
    /// A complete chunk (its body is not checked yet).
    Chunk(ChunkHeader),
    /// The file ends exactly here.
    EndOfFile,
    /// The file ends within the chunk.
    Torn(Torn),
}

/// The chunk header at `place` in a file of `file_len` bytes.
pub(super) fn chunk_at<R: Read + Seek>(
    file: &mut R,
    file_len: u64,
    place: Place,
) -> Result<Found, JournalError> {
    let here = file_len.saturating_sub(place.offset);
    if here == 0 {
        return Ok(Found::EndOfFile);
    }
    if here < CHUNK_HEADER_LEN as u64 {
        return Ok(Found::Torn(Torn { place, missing: CHUNK_HEADER_LEN as u64 - here }));
    }
    let mut bytes = [0; CHUNK_HEADER_LEN];
    file.seek(SeekFrom::Start(place.offset)).map_err(io("seek"))?;
    file.read_exact(&mut bytes).map_err(io("read a chunk header"))?;
    let header = ChunkHeader::from_bytes(&bytes).map_err(|damage| damage.at(place))?;
    let body = here - CHUNK_HEADER_LEN as u64;
    match u64::from(header.stored_len).checked_sub(body) {
        Some(missing) if missing > 0 => Ok(Found::Torn(Torn { place, missing })),
        _ => Ok(Found::Chunk(header)),
    }
}

/// Whether `chunk` may follow `before` (None: it is the first).
pub(super) fn check_follows(chunk: &ChunkEntry, before: Option<&ChunkEntry>) -> Result<(), Damage> {
    let expected = before.map_or(0, |b| b.sequence + 1);
    if chunk.sequence != expected {
        return Err(Damage::Sequence { found: chunk.sequence, expected });
    }
    let start = before.map_or(Position::default(), |b| b.last);
    if chunk.first != start {
        return Err(Damage::Gap { found: chunk.first, expected: start });
    }
    if !may_follow(chunk.kind, before.map(|b| b.kind)) {
        return Err(Damage::Value("a chunk of this kind cannot stand here"));
    }
    // The first chunk of a start state leads over all that is not in this journal.
    let leads_on = match chunk.kind {
        ChunkKind::Events => true,
        ChunkKind::Start => before.is_some_and(|b| b.kind != ChunkKind::Start),
        ChunkKind::Header | ChunkKind::Image | ChunkKind::End | ChunkKind::Index => false,
    };
    if !leads_on && chunk.first != chunk.last {
        return Err(Damage::Order(chunk.last));
    }
    Ok(())
}

/// The order of the kinds: header, images, start state, events, end, index.
fn may_follow(kind: ChunkKind, before: Option<ChunkKind>) -> bool {
    use ChunkKind::{End, Events, Header, Image, Index, Start};
    match (kind, before) {
        (Header, None) => true,
        (Image, Some(Header | Image)) => true,
        (Start, Some(Header | Image | Start)) => true,
        (Events | End, Some(Header | Image | Start | Events)) => true,
        (Index, Some(End)) => true,
        (Header | Image | Start | Events | End | Index, _) => false,
    }
}
