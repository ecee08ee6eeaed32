//! MOV from a segment register to a general one, SWAPGS at privilege level 0. The rest of the family is
//! interpreted.

use super::{Emitted, Emitter};
use crate::codemem::{field, rights};
use crate::cpu::insn::NO_REG;
use crate::cpu::state::{Segment, seg};
use crate::jit::asm::{Mem, Rm, Width, host};
use iced_x86::{Code, Instruction};

fn swapgs(e: &mut Emitter<'_>) -> Emitted {
    e.spoil_flags();
    e.need_rights(rights::SUPERVISOR);
    let frame = |at| Rm::M(Mem::at(host::RSP, at));
    e.asm.load(Width::Q, host::RCX, frame(field::KERNEL_GS_BASE));
    let other = Rm::M(Mem::at(host::RCX, 0));
    e.asm.load(Width::Q, host::RDX, other);
    e.asm.store(Width::Q, frame(field::TEMP), host::RDX);
    e.asm.load(Width::Q, host::RDX, frame(field::GS_BASE));
    e.asm.store(Width::Q, other, host::RDX);
    e.asm.load(Width::Q, host::RDX, frame(field::TEMP));
    e.asm.store(Width::Q, frame(field::GS_BASE), host::RDX);
    e.asm.load(Width::Q, host::RCX, frame(field::SEGMENTS));
    e.asm.store(Width::Q, Rm::M(Mem::at(host::RCX, Segment::base_at(seg::GS) as i32)), host::RDX);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if i.code() == Code::Swapgs {
        return swapgs(e);
    }
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
