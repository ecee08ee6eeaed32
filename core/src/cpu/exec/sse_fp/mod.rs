//! SSE floating point (SDM vol. 1, chapters 10 to 12). The arithmetic itself is in
//! `softfloat::ieee`; here are the forms, the lanes, MXCSR and #XM.

mod approx;
mod arith;
mod compare;
mod convert;
mod convert_general;
mod round;
mod shape;
mod shuffle;

use crate::cpu::insn::Handler;
use iced_x86::Instruction;

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    arith::select(i)
        .or_else(|| compare::select(i))
        .or_else(|| convert::select(i))
        .or_else(|| convert_general::select(i))
        .or_else(|| shuffle::select(i))
        .or_else(|| round::select(i))
        .or_else(|| approx::select(i))
}
