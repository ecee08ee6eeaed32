//! MUL, IMUL, DIV, IDIV, and the sign extensions of the accumulator.
//!
//! Flags that the architecture leaves undefined are computed, but for those of IMUL with two and
//! three operands, where the host leaves them. A division that would fault, or that only a
//! dividend of twice the width could need, is interpreted.

use super::{Emitted, Emitter, Host};
use crate::codemem::field;
use crate::cpu::exec::form::{Shape, shape, width};
use crate::cpu::insn::NO_REG;
use crate::cpu::state::{RAX, RDX};
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use crate::jit::regs::{pinned, slot};
use iced_x86::{Code, Instruction, Mnemonic};

/// The flags but CF and OF stay.
fn imul(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let imm = e.insn.imm;
    let three = i.op_count() == 3;
    if !matches!(shape(i), Some(Shape::RegReg | Shape::RegMem)) {
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

/// JAE, JE, JNE, JBE.
const NOT_BELOW: u8 = 3;
const NOT_EQUAL: u8 = 5;
const NOT_ABOVE: u8 = 6;

fn bits(w: Width) -> u8 {
    8 * w.bytes() as u8
}

/// The operand in RCX, extended to 64 bits, with the flags in AX. False if nothing was appended.
fn factor(e: &mut Emitter<'_>, w: Width, signed: bool) -> bool {
    let r = e.insn.r[0];
    let from = if r == NO_REG {
        let Some(m) = e.memory(w.bytes(), false) else { return false };
        Rm::M(m)
    } else {
        e.spoil_flags();
        Rm::R(e.read_sized(w, r, host::RCX))
    };
    extend(e, w, host::RCX, from, signed);
    true
}

fn extend(e: &mut Emitter<'_>, w: Width, to: u8, from: Rm, signed: bool) {
    match w {
        Width::Q => e.asm.load(Width::Q, to, from),
        _ if signed => e.asm.movsx(Width::Q, to, w, from),
        _ => e.asm.movzx(to, w, from),
    }
}

/// CF and OF from AL, 0 or 1; the other flags stay.
fn set_cf_of(e: &mut Emitter<'_>) {
    // AND AH, not CF; OR AH, AL
    e.asm.put(&[0x80, 0xE4, 0xFE, 0x08, 0xC4]);
}

/// SHR or SAR by an immediate.
fn shift(e: &mut Emitter<'_>, w: Width, ext: u8, r: u8, count: u8) {
    e.asm.wide(w, &[0xC1], ext, Rm::R(r));
    e.asm.put(&[count]);
}
const SHR: u8 = 5;
const SAR: u8 = 7;

/// The product in RDX, of less than 64 bits, to where it belongs.
fn set_product(e: &mut Emitter<'_>, w: Width) {
    if w == Width::B {
        e.write(Width::W, RAX as u8, host::RDX);
    } else {
        e.asm.mov(host::RCX, host::RDX);
        e.write(w, RAX as u8, host::RCX);
        shift(e, Width::Q, SHR, host::RDX, bits(w));
        e.write(w, RDX as u8, host::RDX);
    }
}

/// MUL: CF and OF tell whether the upper half is in use.
fn mul(e: &mut Emitter<'_>, w: Width) -> Emitted {
    if !factor(e, w, false) {
        return Emitted::No;
    }
    let a = e.read(RAX as u8, host::RDX);
    extend(e, w, host::RDX, Rm::R(a), false);
    if w == Width::Q {
        e.asm.mulx(host::RDX, host::RCX, host::RCX);
        e.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RDX), 1);
    } else {
        e.asm.wide(Width::Q, &[0x0F, 0xAF], host::RDX, Rm::R(host::RCX));
        e.asm.mov(host::RCX, host::RDX);
        shift(e, Width::Q, SHR, host::RCX, bits(w));
        e.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RCX), 1);
    }
    // SETAE AL
    e.asm.put(&[0x0F, 0x93, 0xC0]);
    if w == Width::Q {
        e.write(w, RAX as u8, host::RCX);
        e.write(w, RDX as u8, host::RDX);
    } else {
        set_product(e, w);
    }
    set_cf_of(e);
    Emitted::Done
}

/// IMUL with one operand: CF and OF tell whether the lower half is not all of it.
fn imul_wide(e: &mut Emitter<'_>, w: Width) -> Emitted {
    if !factor(e, w, true) {
        return Emitted::No;
    }
    if w == Width::Q {
        return imul_wide_64(e);
    }
    let a = e.read(RAX as u8, host::RDX);
    extend(e, w, host::RDX, Rm::R(a), true);
    e.asm.wide(Width::Q, &[0x0F, 0xAF], host::RDX, Rm::R(host::RCX));
    extend(e, w, host::RCX, Rm::R(host::RDX), true);
    e.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::R(host::RDX));
    // SETNE AL
    e.asm.put(&[0x0F, 0x95, 0xC0]);
    set_product(e, w);
    set_cf_of(e);
    Emitted::Done
}

fn imul_wide_64(e: &mut Emitter<'_>) -> Emitted {
    take_rax(e);
    let a = e.read(RAX as u8, host::RAX);
    e.asm.mov(host::RAX, a);
    // IMUL RCX; SETO CL
    e.asm.wide(Width::Q, &[0xF7], 5, Rm::R(host::RCX));
    e.asm.put(&[0x0F, 0x90, 0xC1]);
    e.write(Width::Q, RAX as u8, host::RAX);
    e.write(Width::Q, RDX as u8, host::RDX);
    give_back_rax(e);
    // MOV AL, CL
    e.asm.put(&[0x88, 0xC8]);
    set_cf_of(e);
    Emitted::Done
}

fn temp() -> Rm {
    Rm::M(Mem::at(host::RSP, field::TEMP))
}

/// Lays the flags aside, so that RAX is free.
fn take_rax(e: &mut Emitter<'_>) {
    e.asm.store(Width::Q, temp(), host::RAX);
}

fn give_back_rax(e: &mut Emitter<'_>) {
    e.asm.load(Width::Q, host::RAX, temp());
}

/// A dividend that begins in D:A, or in AX; what would fault is interpreted.
fn div(e: &mut Emitter<'_>, w: Width) -> Emitted {
    if !factor(e, w, false) {
        return Emitted::No;
    }
    let slow = e.slow_label();
    let a = e.read(RAX as u8, host::RDX);
    if w == Width::B {
        e.asm.movzx(host::RDX, Width::W, Rm::R(a));
        shift(e, Width::D, SHR, host::RDX, 8);
    } else {
        let d = e.read(RDX as u8, host::RDX);
        e.asm.mov(host::RDX, d);
    }
    // The quotient fits if and only if the upper half is below the divisor (0 never is).
    e.asm.alu(Alu::Cmp, w, host::RDX, Rm::R(host::RCX));
    e.asm.jcc(NOT_BELOW, slow);
    divide(e, w, 6);
    Emitted::Done
}

/// Only where the upper half is the sign of the lower, and the divisor neither 0 nor -1, so that
/// nothing overflows.
fn idiv(e: &mut Emitter<'_>, w: Width) -> Emitted {
    if !factor(e, w, true) {
        return Emitted::No;
    }
    let slow = e.slow_label();
    let a = e.read(RAX as u8, host::RDX);
    if w == Width::B {
        e.asm.movsx(Width::Q, host::RDX, Width::B, Rm::R(a));
        e.asm.alu(Alu::Cmp, Width::W, host::RDX, Rm::R(a));
    } else {
        extend(e, w, host::RDX, Rm::R(a), true);
        shift(e, Width::Q, SAR, host::RDX, 63);
        e.asm.alu(Alu::Cmp, w, host::RDX, register_or_slot(RDX as u8));
    }
    e.asm.jcc(NOT_EQUAL, slow);
    // LEA RDX, [RCX + 1]
    e.asm.lea(Width::Q, host::RDX, Mem::at(host::RCX, 1));
    e.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RDX), 1);
    e.asm.jcc(NOT_ABOVE, slow);
    divide(e, w, 7);
    Emitted::Done
}

fn register_or_slot(g: u8) -> Rm {
    pinned(g).map_or_else(|| Rm::M(slot(g)), Rm::R)
}

/// DIV (6) or IDIV (7) by RCX of what is known to be divisible; OF and CF stay.
fn divide(e: &mut Emitter<'_>, w: Width, ext: u8) {
    take_rax(e);
    e.asm.load(Width::Q, host::RAX, register_or_slot(RAX as u8));
    if w != Width::B {
        e.asm.load(Width::Q, host::RDX, register_or_slot(RDX as u8));
    }
    e.asm.sized_ext(w, 0xF6, ext, Rm::R(host::RCX));
    if w == Width::B {
        e.write(Width::W, RAX as u8, host::RAX);
    } else {
        e.asm.mov(host::RCX, host::RDX);
        e.asm.mov(host::RDX, host::RAX);
        e.write(w, RAX as u8, host::RDX);
        e.write(w, RDX as u8, host::RCX);
    }
    give_back_rax(e);
    // AND AH, CF; OR AH, AF
    e.asm.put(&[0x80, 0xE4, 0x01, 0x80, 0xCC, 0x10]);
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.code() {
        Code::Cbw => extend_accumulator(e, Width::W, Width::B),
        Code::Cwde => extend_accumulator(e, Width::D, Width::W),
        Code::Cdqe => extend_accumulator(e, Width::Q, Width::D),
        Code::Cdq => sign_to_dx(e, Width::D),
        Code::Cqo => sign_to_dx(e, Width::Q),
        _ if matches!(i.mnemonic(), Mnemonic::Mul | Mnemonic::Div | Mnemonic::Idiv) => {
            let w = Width::of(width(i));
            match (shape(i), i.mnemonic()) {
                (Some(Shape::Reg | Shape::Mem), Mnemonic::Mul) => mul(e, w),
                (Some(Shape::Reg | Shape::Mem), Mnemonic::Div) => div(e, w),
                (Some(Shape::Reg | Shape::Mem), _) => idiv(e, w),
                _ => Emitted::No,
            }
        }
        _ if i.mnemonic() == Mnemonic::Imul && i.op_count() == 1 => imul_wide(e, Width::of(width(i))),
        _ if i.mnemonic() == Mnemonic::Imul => imul(e, i),
        _ => Emitted::No,
    }
}
