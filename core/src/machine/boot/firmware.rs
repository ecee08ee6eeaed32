//! What firmware does to every processor before it hands over: memory types (SDM vol. 3,
//! section 12.11), the same on all of them, as an operating system expects.

use crate::cpu::state::Msrs;
use crate::mem::{HIGH_RAM_BASE, LOW_RAM_LIMIT, PHYSICAL_ADDRESS_BITS};

const WRITE_PROTECTED: u64 = 5;
const WRITE_BACK: u64 = 6;
/// MTRRs enabled, fixed ones too.
const ENABLED: u64 = 1 << 11 | 1 << 10;
/// A variable MTRR's mask is valid.
const VALID: u64 = 1 << 11;

/// One type in all eight fields of a fixed MTRR.
const fn all(memory_type: u64) -> u64 {
    memory_type * 0x0101_0101_0101_0101
}

/// Everything is write-back, but for the video window (uncacheable), the BIOS area
/// (write-protected) and the hole below 4 GiB (uncacheable).
pub fn set_up(msrs: &mut Msrs) {
    msrs.mtrr_def_type = ENABLED | WRITE_BACK;
    // 512 KiB, 128 KiB, the video window, then eight for C0000h to FFFFFh.
    msrs.mtrr_fixed = [all(WRITE_PROTECTED); 11];
    msrs.mtrr_fixed[..3].copy_from_slice(&[all(WRITE_BACK), all(WRITE_BACK), 0]);
    let hole_bytes = HIGH_RAM_BASE - LOW_RAM_LIMIT;
    msrs.mtrr_variable[0] = [LOW_RAM_LIMIT, (1 << PHYSICAL_ADDRESS_BITS) - hole_bytes | VALID];
}
