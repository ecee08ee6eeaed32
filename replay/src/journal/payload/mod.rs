//! What is inside the chunks (FORMAT.md, "Bodies"): one file for each kind of chunk.
//!
//! Images have no file here: their chunks hold nothing but their bytes.

mod end;
mod events;
mod header;
mod start;
mod step;

pub(super) use end::EndBody;
pub use end::{End, EndReason};
pub use events::EventsChunk;
pub(super) use events::{EventRecord, EventsBody, payload_len};
pub use header::{CpuModel, Header, ImageRecord, ImageRole};
pub use start::Start;
pub(super) use start::StartBody;
pub(super) use step::Step;
