//! The index: where the chunks are, so that one can be found without reading all before it.
//!
//! Only an accelerator: everything in it stands in the chunk headers too, and the two must
//! agree.

use super::codec;
use super::error::Damage;
use super::frame::{ChunkKind, PREAMBLE_LEN, within};
use super::limits::max_stored_bytes;
use super::payload::Step;
use super::scan::{ChunkEntry, check_follows};
use dejavm_core::boundary::Position;
use serde::{Deserialize, Serialize};

/// One chunk, counted from the end of the one before.
#[derive(Serialize, Deserialize)]
struct IndexRecord {
    kind: u8,
    stored_len: u32,
    raw_len: u32,
    step: Step,
}

/// The body of the index over `chunks`, which are all chunks before it.
pub(super) fn encode(chunks: &[ChunkEntry]) -> Vec<u8> {
    let mut at = Position::default();
    let mut records = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let step = Step::between(at, chunk.last);
        let ChunkEntry { kind, stored_len, raw_len, .. } = *chunk;
        records.push(IndexRecord { kind: kind as u8, stored_len, raw_len, step });
        at = chunk.last;
    }
    codec::encode(&records)
}

/// The chunks that the body of an index tells of.
pub(super) fn decode(body: &[u8]) -> Result<Vec<ChunkEntry>, Damage> {
    let records: Vec<IndexRecord> = codec::decode(body)?;
    let mut chunks = Vec::with_capacity(records.len());
    let (mut offset, mut first) = (PREAMBLE_LEN as u64, Position::default());
    for (record, sequence) in records.into_iter().zip(0..) {
        let kind = ChunkKind::from_code(record.kind).ok_or(Damage::UnknownKind(record.kind))?;
        within("stored length", record.stored_len, max_stored_bytes(kind))?;
        let last = record.step.after(first)?;
        let IndexRecord { stored_len, raw_len, .. } = record;
        let chunk = ChunkEntry { kind, sequence, offset, stored_len, raw_len, first, last };
        check_follows(&chunk, chunks.last())?;
        offset = chunk.end_offset();
        chunks.push(chunk);
        first = last;
    }
    Ok(chunks)
}
