//! RDTSC: the counter follows from the budget. The rest of the family is interpreted.

use super::{Emitted, Emitter};
use crate::codemem::{field, rights};
use crate::cpu::state::{RAX, RDX};
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use iced_x86::{Code, Instruction};

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if i.code() != Code::Rdtsc {
        return Emitted::No;
    }
    e.spoil_flags();
    e.need_rights(rights::TSC);
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::TSC)));
    e.asm.alu(Alu::Sub, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::BUDGET)));
    // The instructions behind this one are paid for, but have not begun.
    let number = e.number;
    e.counted(Alu::Sub, Rm::R(host::RCX), number + 1);
    e.asm.rorx(Width::Q, host::RDX, host::RCX, 32);
    e.write(Width::D, RDX as u8, host::RDX);
    e.write(Width::D, RAX as u8, host::RCX);
    Emitted::Done
}
