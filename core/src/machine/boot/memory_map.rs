//! The memory map for the guest (ACPI 6.5, chapter 15: E820).

use super::layout::{HIGH_START, LOW_END};
use crate::machine::board_pc::acpi_tables::ACPI_BASE;
use crate::machine::board_pc::layout::{ECAM_BASE, ECAM_BYTES};
use crate::mem::Memory;

/// Address range type: usable.
pub const RAM: u32 = 1;
/// Address range type: not to be used.
pub const RESERVED: u32 = 2;

/// A range of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The size.
    pub bytes: u64,
    /// [`RAM`] or [`RESERVED`].
    pub kind: u32,
}

/// The map, in ascending order.
pub fn build(mem: &Memory) -> Vec<Range> {
    let range = |start, end, kind| Range { start, bytes: end - start, kind };
    let mut map = vec![
        range(0, LOW_END, RAM),
        range(LOW_END, 0xA_0000, RESERVED),
        range(ACPI_BASE, HIGH_START, RESERVED),
        range(HIGH_START, mem.low_bytes().max(HIGH_START), RAM),
        range(ECAM_BASE, ECAM_BASE + ECAM_BYTES, RESERVED),
        range(1 << 32, (1 << 32) + mem.high_bytes(), RAM),
    ];
    map.retain(|r| r.bytes != 0);
    map
}
