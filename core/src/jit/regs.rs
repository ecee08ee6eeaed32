//! Where the guest's general registers are while generated code runs.
//!
//! RSP of the host is the frame; RAX holds the guest's flags between blocks, RCX and RDX are
//! scratch. The other twelve hold guest registers; four guest registers live in the frame.

use super::asm::{Mem, host};
use crate::codemem::{Frame, field};
use crate::cpu::flags::{ARITHMETIC, CF, OF};

/// Not in a host register.
const COLD: u8 = 0xFF;

/// The host register of each guest register, in encoding order.
const HOST_OF: [u8; 16] = [
    host::RBX,
    host::R11,
    host::R9,
    host::R10,
    host::R15,
    host::RBP,
    host::RSI,
    host::RDI,
    host::R8,
    COLD,
    COLD,
    COLD,
    host::R12,
    host::R13,
    host::R14,
    COLD,
];

/// Which slot of the frame each guest register has: the cold ones first, where a short
/// displacement reaches them.
const SLOT_OF: [u8; 16] = [4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 1, 2, 13, 14, 15, 3];

/// The host register that holds guest register `g`, if one does.
pub fn pinned(g: u8) -> Option<u8> {
    let h = HOST_OF[usize::from(g)];
    (h != COLD).then_some(h)
}

/// The slot of guest register `g` in the frame, `above` bytes from the stack pointer.
pub fn slot_at(g: u8, above: i32) -> Mem {
    Mem::at(host::RSP, field::SLOTS + above + 8 * i32::from(SLOT_OF[usize::from(g)]))
}

/// The slot of guest register `g` in the frame.
pub fn slot(g: u8) -> Mem {
    slot_at(g, 0)
}

/// The guest registers in the frame, in encoding order.
pub fn to_slots(frame: &mut Frame, regs: &[u64; 18]) {
    for (g, s) in SLOT_OF.iter().enumerate() {
        frame.slots[usize::from(*s)] = regs[g];
    }
}

/// The other way round.
pub fn from_slots(frame: &Frame, regs: &mut [u64; 18]) {
    for (g, s) in SLOT_OF.iter().enumerate() {
        regs[g] = frame.slots[usize::from(*s)];
    }
}

/// SF, ZF, AF, PF and CF are where LAHF puts them; OF comes below.
const IN_AH: u64 = ARITHMETIC & 0xFF;

/// AX as `LAHF; SETO AL` leaves it.
pub fn flags_to_ax(arithmetic: u64) -> u64 {
    (arithmetic & IN_AH) << 8 | u64::from(arithmetic & OF != 0)
}

/// The arithmetic flags from AX.
pub fn flags_from_ax(ax: u64) -> u64 {
    const { assert!(CF == 1) };
    (ax >> 8 & IN_AH) | if ax & 1 != 0 { OF } else { 0 }
}
