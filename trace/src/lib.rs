//! Watch a run without changing it: named trace events, which of them are on, and where they go.
//!
//! Nothing here touches the machine: whoever drives it sets the probes that the registry asks
//! for, and hands over what they saw.

pub mod analysis;
pub mod binary;
pub mod event;
pub mod export;
pub mod filter;
pub mod history;
pub mod linux;
pub mod sink;
