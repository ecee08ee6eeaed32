//! IMUL with two and three operands, and the sign extensions of the accumulator.

use super::{Emitted, Emitter, Host};
use crate::cpu::exec::form::{Shape, shape, width};
use crate::cpu::insn::NO_REG;
use crate::cpu::state::{RAX, RDX};
use crate::jit::asm::{Rm, Width, host};
use iced_x86::{Code, Instruction, Mnemonic};

/// The flags but CF and OF stay.
fn imul(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let imm = e.insn.imm;
    let three = i.op_count() == 3;
    if i.op_count() == 1 || !matches!(shape(i), Some(Shape::RegReg | Shape::RegMem)) {
        return Emitted::No;
    }
    let (from, scratch) = if r1 == NO_REG {
        let Some(m) = e.memory(w.bytes(), false) else { return Emitted::No };
        (Rm::M(m), host::RDX)
    } else {
        (Rm::R(e.read(r1, host::RDX)), host::RCX)
    };
    let to = e.target(w, r0, scratch);
    e.need_flags(Host::NoOf);
    if three {
        e.asm.wide(w, &[0x69], to, from);
        e.asm.imm(w, imm);
    } else {
        e.asm.wide(w, &[0x0F, 0xAF], to, from);
    }
    e.flags_written();
    e.commit(w, r0, to);
    Emitted::Done
}

/// CBW, CWDE, CDQE.
fn extend_accumulator(e: &mut Emitter<'_>, to: Width, from: Width) -> Emitted {
    let rax = e.read(RAX as u8, host::RCX);
    e.asm.movsx(to, rax, from, Rm::R(rax));
    Emitted::Done
}

/// CDQ, CQO.
fn sign_to_dx(e: &mut Emitter<'_>, w: Width) -> Emitted {
    let rax = e.read(RAX as u8, host::RDX);
    let rdx = e.target(w, RDX as u8, host::RDX);
    e.asm.mov_imm(host::RCX, 8 * w.bytes() as u64 - 1);
    e.asm.sarx(w, rdx, rax, host::RCX);
    e.commit(w, RDX as u8, rdx);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.code() {
        Code::Cbw => extend_accumulator(e, Width::W, Width::B),
        Code::Cwde => extend_accumulator(e, Width::D, Width::W),
        Code::Cdqe => extend_accumulator(e, Width::Q, Width::D),
        Code::Cdq => sign_to_dx(e, Width::D),
        Code::Cqo => sign_to_dx(e, Width::Q),
        _ if i.mnemonic() == Mnemonic::Imul => imul(e, i),
        _ => Emitted::No,
    }
}
