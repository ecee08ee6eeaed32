//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD. Counts of zero leave the flags, rotations all but CF and
//! OF, so what was there before must be in the host's flags.

use super::{Emitted, Emitter, Host};
use crate::cpu::exec::form::{Shape, shape, width};
use crate::cpu::insn::NO_REG;
use crate::cpu::state::RCX;
use crate::jit::asm::{Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The opcode's extension in the shift groups.
fn extension(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Rol => 0,
        Mnemonic::Ror => 1,
        Mnemonic::Rcl => 2,
        Mnemonic::Rcr => 3,
        Mnemonic::Shl | Mnemonic::Sal => 4,
        Mnemonic::Shr => 5,
        Mnemonic::Sar => 7,
        _ => return None,
    })
}

fn by_immediate(e: &mut Emitter<'_>, i: &Instruction, ext: u8, w: Width, in_register: bool) -> Emitted {
    let count = e.insn.imm as u8 & if w == Width::Q { 63 } else { 31 };
    if count == 0 {
        return Emitted::No;
    }
    let r = e.insn.r[0];
    let to = if in_register {
        Rm::R(e.target(w, r, host::RCX))
    } else {
        match e.memory(width(i), true) {
            Some(m) => Rm::M(m),
            None => return Emitted::No,
        }
    };
    if ext < 4 {
        e.need_flags(Host::NoOf);
    }
    e.asm.sized_ext(w, 0xC0, ext, to);
    e.asm.put(&[count]);
    e.flags_written();
    if let Rm::R(h) = to {
        e.commit(w, r, h);
    }
    Emitted::Done
}

fn by_cl(e: &mut Emitter<'_>, i: &Instruction, ext: u8, w: Width, in_register: bool) -> Emitted {
    let r = e.insn.r[0];
    let to = if in_register {
        Rm::R(e.target(w, r, host::RDX))
    } else {
        let Some(m) = e.memory(width(i), true) else { return Emitted::No };
        e.asm.mov(host::RDX, m.base);
        Rm::M(Mem::at(host::RDX, 0))
    };
    let count = e.read(RCX as u8, host::RCX);
    e.asm.load(Width::D, host::RCX, Rm::R(count));
    e.need_flags(Host::All);
    e.asm.sized_ext(w, 0xD2, ext, to);
    e.flags_written();
    if let Rm::R(h) = to {
        // With a count of zero the host, too, clears the upper half of a 32-bit register.
        e.commit(w, r, h);
    }
    Emitted::Done
}

/// SHLD (opcode A4) and SHRD (AC); by CL with the next opcode.
fn double(e: &mut Emitter<'_>, i: &Instruction, opcode: u8) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    if i.op2_kind() == OpKind::Register {
        return double_by_cl(e, w, opcode + 1);
    }
    let count = e.insn.imm as u8 & if w == Width::Q { 63 } else { 31 };
    if count == 0 {
        return Emitted::No;
    }
    let to = if r0 == NO_REG {
        let Some(m) = e.memory(w.bytes(), true) else { return Emitted::No };
        Rm::M(m)
    } else {
        Rm::R(e.target(w, r0, host::RCX))
    };
    let from = e.read(r1, host::RDX);
    e.asm.wide(w, &[0x0F, opcode], from, to);
    e.asm.put(&[count]);
    e.flags_written();
    if let Rm::R(h) = to {
        e.commit(w, r0, h);
    }
    Emitted::Done
}

/// RCX holds the count and RDX the destination, so the source must be elsewhere.
fn double_by_cl(e: &mut Emitter<'_>, w: Width, opcode: u8) -> Emitted {
    let [r0, r1, ..] = e.insn.r;
    let Some(from) = pinned(r1) else { return Emitted::No };
    let to = if r0 == NO_REG {
        let Some(m) = e.memory(w.bytes(), true) else { return Emitted::No };
        e.asm.mov(host::RDX, m.base);
        Rm::M(Mem::at(host::RDX, 0))
    } else {
        Rm::R(e.target(w, r0, host::RDX))
    };
    let count = e.read(RCX as u8, host::RCX);
    e.asm.load(Width::D, host::RCX, Rm::R(count));
    e.need_flags(Host::All);
    e.asm.wide(w, &[0x0F, opcode], from, to);
    e.flags_written();
    if let Rm::R(h) = to {
        e.commit(w, r0, h);
    }
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Shld => return double(e, i, 0xA4),
        Mnemonic::Shrd => return double(e, i, 0xAC),
        _ => {}
    }
    let Some(ext) = extension(i.mnemonic()) else { return Emitted::No };
    let w = Width::of(width(i));
    let Some(shape) = shape(i) else { return Emitted::No };
    let in_register = matches!(shape, Shape::RegReg | Shape::RegImm);
    if i.op1_kind() == OpKind::Register {
        by_cl(e, i, ext, w, in_register)
    } else {
        by_immediate(e, i, ext, w, in_register)
    }
}
