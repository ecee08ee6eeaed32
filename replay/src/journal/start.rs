//! Reading the state that a journal begins with.

use super::error::{Damage, JournalError};
use super::frame::ChunkKind;
use super::payload::StartBody;
use super::reader::{Chunks, cut_short, read_body};
use super::scan::ChunkEntry;
use super::{FORMAT_VERSION_STATE, Header, Start, codec};
use crate::checkpoint::{CheckpointError, FullCheckpoint};
use dejavm_core::types::PAGE_SIZE;
use std::cmp::Ordering;
use std::io::{Read, Seek};

/// Whether the start state is all there, if the journal is of a version that has one.
pub(super) fn check<R: Read + Seek>(file: &mut R, version: u32, chunks: &Chunks) -> Result<(), JournalError> {
    let mut parts = chunks.list.iter().filter(|chunk| chunk.kind == ChunkKind::Start);
    let first = parts.next();
    let expected = match (version, first) {
        (FORMAT_VERSION_STATE, Some(first)) => read_start_body(file, first)?.pieces(),
        (FORMAT_VERSION_STATE, None) => 1,
        (_, None) => return Ok(()),
        (_, Some(first)) => {
            return Err(Damage::Value("a start state in a journal of version 1").at(first.place()));
        }
    };
    let begun = chunks.list.iter().any(|c| matches!(c.kind, ChunkKind::Events | ChunkKind::End));
    match parts.count().cmp(&expected) {
        Ordering::Equal if first.is_some() => Ok(()),
        Ordering::Less if !begun => Err(cut_short(chunks)),
        _ => Err(Damage::Value("a start state with another number of pieces than it says")
            .at(first.unwrap_or(&chunks.list[0]).place())),
    }
}

fn read_start_body<R: Read + Seek>(file: &mut R, chunk: &ChunkEntry) -> Result<StartBody, JournalError> {
    let body = read_body(file, chunk, ChunkKind::Start)?;
    let body: StartBody = codec::decode(&body).map_err(|damage| damage.at(chunk.place()))?;
    body.check_version().map_err(|damage| damage.at(chunk.place()))?;
    Ok(body)
}

/// The state in the chunks `first` and `rest`.
pub(super) fn read<R: Read + Seek>(
    file: &mut R,
    header: &Header,
    first: &ChunkEntry,
    rest: &[ChunkEntry],
) -> Result<Start, JournalError> {
    let body = read_start_body(file, first)?;
    let pieces = rest.iter().map(|chunk| Ok::<_, Wrong>(read_body(file, chunk, ChunkKind::Start)?));
    let ram_bytes = header.config.ram_bytes.next_multiple_of(PAGE_SIZE);
    let checkpoint = FullCheckpoint::from_pieces(pieces, ram_bytes).map_err(|wrong| match wrong {
        Wrong::Journal(error) => error,
        Wrong::Checkpoint(error) => Damage::Start(error.to_string()).at(first.place()),
    })?;
    body.resolve(first.last, checkpoint, &header.part_names).map_err(|damage| damage.at(first.place()))
}

/// What may be wrong with a piece.
enum Wrong {
    Journal(JournalError),
    Checkpoint(CheckpointError),
}

impl From<JournalError> for Wrong {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<CheckpointError> for Wrong {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}
