//! Upper bounds on everything that is read from a journal (FORMAT.md, "Limits").
//!
//! A reader must refuse what exceeds them before it allocates; a writer must never exceed them.

use super::frame::ChunkKind;
use crate::checkpoint::MAX_PIECE_BYTES;

/// The longest raw header body.
pub const MAX_HEADER_BYTES: u32 = 1 << 20;
/// The longest piece of an image in one chunk.
pub const MAX_IMAGE_PART_BYTES: u32 = 4 << 20;
/// The longest raw body of a chunk of a start state.
pub const MAX_START_BYTES: u32 = 4 << 20;
/// The longest raw body of an events chunk.
pub const MAX_EVENTS_BYTES: u32 = 1 << 20;
/// The longest raw end record.
pub const MAX_END_BYTES: u32 = 1 << 16;
/// The longest raw index; a writer leaves a longer one out.
pub const MAX_INDEX_BYTES: u32 = 16 << 20;

/// The longest command line.
pub const MAX_COMMAND_LINE_BYTES: usize = 1 << 16;
/// The largest RAM.
pub const MAX_RAM_BYTES: u64 = 1 << 40;
/// The largest image.
pub const MAX_IMAGE_BYTES: u64 = 2 << 30;
/// The most images.
pub const MAX_IMAGES: usize = 8;
/// The most parts that a state hash names.
pub const MAX_PARTS: usize = 1024;
/// The longest name (of a part, a CPU model, an image) and version.
pub const MAX_NAME_BYTES: usize = 255;
/// The most bytes that one inbound event carries.
pub const MAX_EVENT_BYTES: usize = 1 << 16;

/// From this much unwritten event data on, a chunk is due whatever the position.
pub const FULL_CHUNK_BYTES: usize = 1 << 18;

const _: () =
    assert!(MAX_PIECE_BYTES <= MAX_START_BYTES as usize, "a piece of a checkpoint fits into a chunk");

/// The longest raw body of a chunk of `kind`.
pub const fn max_raw_bytes(kind: ChunkKind) -> u32 {
    match kind {
        ChunkKind::Header => MAX_HEADER_BYTES,
        ChunkKind::Image => MAX_IMAGE_PART_BYTES,
        ChunkKind::Start => MAX_START_BYTES,
        ChunkKind::Events => MAX_EVENTS_BYTES,
        ChunkKind::End => MAX_END_BYTES,
        ChunkKind::Index => MAX_INDEX_BYTES,
    }
}

/// The longest stored (compressed) body of a chunk of `kind`: zstd may grow what it cannot shrink.
pub const fn max_stored_bytes(kind: ChunkKind) -> u32 {
    max_raw_bytes(kind) + max_raw_bytes(kind) / 128 + 512
}
