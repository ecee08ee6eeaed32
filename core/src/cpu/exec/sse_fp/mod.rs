//! SSE floating point.

use crate::cpu::insn::Handler;
use iced_x86::Instruction;

/// The handler of a form of this family.
pub fn select(_: &Instruction) -> Option<Handler> {
    None
}
