//! What a device did to RAM by itself, for those who watch.

use crate::types::Gpa;

/// A stretch of RAM that a device read or wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaAccess {
    /// The first byte.
    pub gpa: Gpa,
    /// The number of bytes, at least 1.
    pub len: u64,
    /// It wrote.
    pub write: bool,
}
