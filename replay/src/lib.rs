//! Make a run happen again: the journal that a recording writes, and the sessions that run a
//! machine live, record it and replay it.
//!
//! Nothing here reads host time or decides by it; who calls says when a flush is due and does
//! the waiting.

pub mod checkpoint;
pub mod journal;
pub mod session;
