//! RDTSC: the counter follows from the budget. The rest of the family is interpreted.

use super::{Emitted, Emitter};
use crate::codemem::{BUDGET_SHIFT, field, rights};
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
    // What is left of the budget; the instructions behind this one are paid for, but have not begun.
    e.asm.mov(host::RDX, host::RAX);
    let number = e.number;
    e.counted_in(host::RDX, Alu::Add, number + 1);
    // SHR
    e.asm.wide(Width::Q, &[0xC1], 5, Rm::R(host::RDX));
    e.asm.put(&[BUDGET_SHIFT]);
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::TSC)));
    e.asm.alu(Alu::Sub, Width::Q, host::RCX, Rm::R(host::RDX));
    e.asm.rorx(Width::Q, host::RDX, host::RCX, 32);
    e.write(Width::D, RDX as u8, host::RDX);
    e.write(Width::D, RAX as u8, host::RCX);
    Emitted::Done
}
