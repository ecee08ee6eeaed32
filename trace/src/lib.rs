//! Watch a run without changing it: named trace events, which of them are on, and where they go.
//!
//! Nothing here touches the machine; whoever drives it reports what crossed the door.

pub mod event;
pub mod filter;
pub mod probe;
pub mod sink;
