//! The journal: one `*.dj` file that holds all that a replay needs.
//!
//! The format is described byte by byte in `FORMAT.md` beside this file; [`frame`] holds the
//! fixed parts, [`payload`] what is inside the chunks, [`codec`] and [`compress`] the two
//! encodings. [`Writer`] and [`Reader`] are the way in; [`repair`] cuts a damaged file back to
//! its last good chunk, [`rewrite_images`] takes images in or out.

mod codec;
mod compress;
mod digest;
mod error;
pub mod frame;
mod image_hash;
mod index;
pub mod limits;
pub mod payload;
mod reader;
mod repair;
mod rewrite;
mod scan;
mod start;
mod writer;

pub use digest::{ChunkHash, StateDigest};
pub use error::{Damage, JournalError, Place};
pub use image_hash::ImageHash;
pub use payload::{CpuModel, End, EndReason, EventsChunk, Header, ImageRecord, ImageRole, Start};
pub use reader::{Ending, Reader};
pub use repair::{Repair, repair};
pub use rewrite::rewrite_images;
pub use scan::ChunkEntry;
pub use writer::Writer;

/// The version of the format of a journal that begins at power-on.
pub const FORMAT_VERSION: u32 = 1;
/// The version of a journal that begins with a state: the same, and that state.
pub const FORMAT_VERSION_STATE: u32 = 2;

/// How many instructions lie between two chunk ends, when nothing else is asked for.
pub const DEFAULT_INTERVAL_ICOUNT: u64 = 1 << 26;
