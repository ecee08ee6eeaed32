//! CLI and STI at privilege level 0, while no interrupt waits. The rest of the family is interpreted.

use super::{Emitted, Emitter};
use crate::codemem::{field, rights};
use crate::cpu::flags::IF;
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use iced_x86::{Code, Instruction};

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let (op, operand, needs) = match i.code() {
        Code::Cli => (Alu::And, !IF, rights::SUPERVISOR),
        // The shadow of STI covers the next instruction, which must be of the same block: nobody may
        // look in between. Instrumented code may be left there.
        Code::Sti if e.followed && !e.hooks.steps => (Alu::Or, IF, rights::SUPERVISOR | rights::CALM),
        _ => return Emitted::No,
    };
    e.spoil_flags();
    e.need_rights(needs);
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::SYSTEM_FLAGS)));
    e.asm.alu_imm(op, Width::D, Rm::M(Mem::at(host::RCX, 0)), operand & 0xFFFF_FFFF);
    Emitted::Done
}
