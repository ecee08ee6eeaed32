//! MOV from a segment register to a general one. The rest of the family is interpreted.

use super::{Emitted, Emitter};
use crate::codemem::field;
use crate::cpu::insn::NO_REG;
use crate::cpu::state::Segment;
use crate::jit::asm::{Mem, Rm, Width, host};
use iced_x86::{Code, Instruction};

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = match i.code() {
        Code::Mov_rm16_Sreg => Width::W,
        Code::Mov_r32m16_Sreg => Width::D,
        Code::Mov_r64m16_Sreg => Width::Q,
        _ => return Emitted::No,
    };
    let [to, from, ..] = e.insn.r;
    if to == NO_REG {
        return Emitted::No;
    }
    let selector = Mem::at(host::RDX, Segment::selector_at(from.into()) as i32);
    e.asm.load(Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::SEGMENTS)));
    e.asm.movzx(host::RDX, Width::W, Rm::M(selector));
    e.write(w, to, host::RDX);
    Emitted::Done
}
