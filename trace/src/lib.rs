//! Watch a run without changing it: named trace events, which of them are on, and where they go.
//!
//! Nothing here touches the machine: whoever drives it sets the probes that the registry asks
//! for, and hands over what they saw.

pub mod event;
pub mod export;
pub mod filter;
pub mod linux;
pub mod sink;
