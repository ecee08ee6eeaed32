//! Checkpoints: the machine at some positions of a run, so that any other is a short replay away.
//! They change the speed of things and never what comes out: all of them may be dropped.
//!
//! A checkpoint is the small rest of the machine's state ([`SaveMachine::save_state`]) and RAM page
//! by page. [`FullCheckpoint`] stands alone.

mod error;
mod full;
mod machine;

pub use error::{CheckpointError, StateError};
pub use full::{FullCheckpoint, MAX_PIECE_BYTES};
pub use machine::{PAGE_BYTES, SaveMachine};
