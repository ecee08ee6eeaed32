//! SSE data movement and integer operations (SDM vol. 1, chapters 10 to 12), one file per kind.
//! Operations that MMX has too are defined here for both.

pub mod arith;
pub mod compare;
mod insert_extract;
pub mod mov;
pub mod pack;
pub mod shift;
pub mod shuffle;
mod string;

use crate::cpu::insn::Handler;
use iced_x86::Instruction;

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    mov::select(i)
        .or_else(|| arith::select(i))
        .or_else(|| compare::select(i))
        .or_else(|| shuffle::select(i))
        .or_else(|| shift::select(i))
        .or_else(|| pack::select(i))
        .or_else(|| insert_extract::select(i))
        .or_else(|| string::select(i))
}
