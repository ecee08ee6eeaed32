//! Checkpoints: the machine at some positions of a run, so that any other is a short replay away.
//! They change the speed of things and never what comes out: all of them may be dropped.
//!
//! A checkpoint is the small rest of the machine's state ([`SaveMachine::save_state`]) and RAM page
//! by page. A [`Store`] has those of one run, each page once, in memory or in a side file; a [`Tracker`]
//! follows one machine, takes checkpoints of it and puts it back. [`FullCheckpoint`] stands alone.

mod entry;
mod error;
mod footprint;
mod full;
mod keeper;
mod machine;
mod open;
mod pace;
mod pages;
mod side_file;
mod spacing;
mod store;
mod tracker;

pub use entry::{Head, Key};
pub use error::{CheckpointError, StateError};
pub use footprint::Interest;
pub use full::{FullCheckpoint, MAX_PIECE_BYTES};
pub use machine::{PAGE_BYTES, SaveMachine};
pub use open::{SideSummary, inspect, noted_budget, side_path};
pub use pace::Pace;
pub use spacing::Spacing;
pub use store::{Store, StoreError, Summary, Target};
pub use tracker::Tracker;

/// What the checkpoints of a run may take, compressed, if nobody says otherwise.
pub const DEFAULT_BUDGET_BYTES: u64 = 512 << 20;
