//! The one API to a run: everything in this crate talks to a machine through [`Control`] only.
//!
//! Who implements it owns the session and calls the monitor between two slices of the run, so
//! that nothing here needs a lock and what is read belongs to one position. One file per part of
//! it; a new ability goes into the part that it belongs to.

mod debugging;
mod door;
mod error;
mod event;
mod execution;
#[cfg(test)]
pub(crate) mod fake;
pub mod inspect;
mod marks;
pub mod page_table;
mod timeline;

pub use debugging::{Debugging, Motion, StopCause, Stopped};
pub use dejavm_core::cpu::quiet_walk;
pub use door::Door;
pub use error::ControlError;
pub use event::{Arrival, RunEvent};
pub use execution::{Execution, RunState};
pub use inspect::Inspect;
pub use marks::{Mark, Marks, date_text, is_mark_name, marks_text, read_marks};
pub use timeline::{Mode, Timeline};

/// A run under control.
pub trait Control: Inspect + Execution + Timeline + Debugging + Door {}

impl<T: Inspect + Execution + Timeline + Debugging + Door> Control for T {}
