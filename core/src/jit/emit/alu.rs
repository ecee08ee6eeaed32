//! ADD, ADC, SUB, SBB, CMP, AND, OR, XOR, TEST, INC, DEC, NEG, NOT: the host's own.

use super::lazy::{By, How, Redo};
use super::{Emitted, Emitter, Host};
use crate::cpu::exec::form::{Shape, shape, width};
use crate::jit::asm::{Alu, Rm, Width, host};
use crate::jit::regs::{pinned, slot};
use iced_x86::{Instruction, Mnemonic};

/// An operation on two operands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binary {
    Alu(Alu),
    Test,
}

impl Binary {
    fn writes(self) -> bool {
        !matches!(self, Self::Test | Self::Alu(Alu::Cmp))
    }

    /// Leaves its result in `to`, or in the flags alone.
    fn with(self, e: &mut Emitter<'_>, w: Width, to: Rm, from: u8) {
        match self {
            Self::Alu(op) => e.asm.alu_to(op, w, to, from),
            Self::Test => e.asm.sized(w, 0x84, from, to),
        }
    }

    fn with_imm(self, e: &mut Emitter<'_>, w: Width, to: Rm, imm: u64) {
        match self {
            Self::Alu(op) => e.asm.alu_imm(op, w, to, imm),
            Self::Test => {
                e.asm.sized_ext(w, 0xF6, 0, to);
                e.asm.imm(w, imm);
            }
        }
    }

    /// How the flags are made again, behind the instruction.
    fn redo(self, w: Width, r: u8, by: By) -> Option<Redo> {
        let (how, by) = match self {
            Self::Test => (How::Test, by),
            Self::Alu(Alu::Cmp) => (How::Cmp, by),
            Self::Alu(Alu::Add) => (How::Add, by),
            Self::Alu(Alu::Sub) => (How::Sub, by),
            Self::Alu(Alu::And | Alu::Or | Alu::Xor) => (How::Test, By::Register(r)),
            Self::Alu(Alu::Adc | Alu::Sbb) => return None,
        };
        Redo::new(how, w, r, by)
    }

    fn prepare(self, e: &mut Emitter<'_>) {
        if matches!(self, Self::Alu(Alu::Adc | Alu::Sbb)) {
            e.need_flags(Host::NoOf);
        }
    }
}

fn binary(e: &mut Emitter<'_>, i: &Instruction, op: Binary) -> Emitted {
    let Some(shape) = shape(i) else { return Emitted::No };
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let imm = e.insn.imm;
    match shape {
        Shape::RegReg if in_place(op, w, r0) => {
            let from = e.read_sized(w, r1, host::RDX);
            op.prepare(e);
            op.with(e, w, Rm::M(slot(r0)), from);
            e.flags_written();
        }
        Shape::RegImm if in_place(op, w, r0) => {
            op.prepare(e);
            op.with_imm(e, w, Rm::M(slot(r0)), imm);
            e.flags_written();
        }
        Shape::RegReg => {
            let from = e.read_sized(w, r1, host::RDX);
            let to = e.target(w, r0, host::RCX);
            op.prepare(e);
            op.with(e, w, Rm::R(to), from);
            finish(e, op, w, r0, to);
            e.flags.redo = op.redo(w, r0, By::Register(r1));
        }
        Shape::RegImm => {
            let to = e.target(w, r0, host::RCX);
            op.prepare(e);
            op.with_imm(e, w, Rm::R(to), imm);
            finish(e, op, w, r0, to);
            e.flags.redo = op.redo(w, r0, By::Immediate(imm));
        }
        Shape::RegMem => {
            let Some(m) = e.operand(w.bytes(), false) else { return Emitted::No };
            let to = e.target(w, r0, host::RDX);
            op.prepare(e);
            match op {
                Binary::Alu(op) => e.asm.alu(op, w, to, Rm::M(m)),
                Binary::Test => op.with(e, w, Rm::M(m), to),
            }
            finish(e, op, w, r0, to);
        }
        Shape::MemReg => {
            let Some(m) = e.operand(w.bytes(), op.writes()) else { return Emitted::No };
            let from = e.read_sized(w, r1, host::RDX);
            op.prepare(e);
            op.with(e, w, Rm::M(m), from);
            e.flags_written();
        }
        Shape::MemImm => {
            let Some(m) = e.operand(w.bytes(), op.writes()) else { return Emitted::No };
            op.prepare(e);
            op.with_imm(e, w, Rm::M(m), imm);
            e.flags_written();
        }
        Shape::Reg | Shape::Mem => return Emitted::No,
    }
    Emitted::Done
}

/// Whether a register in the frame can be the host's memory operand: 32 bits clear the upper half.
fn in_place(op: Binary, w: Width, r: u8) -> bool {
    r < 16 && pinned(r).is_none() && (w != Width::D || !op.writes())
}

fn finish(e: &mut Emitter<'_>, op: Binary, w: Width, r: u8, to: u8) {
    e.flags_written();
    if op.writes() {
        e.commit(w, r, to);
    }
}

/// The opcode's extension in the groups of F6 and FE.
fn unary(e: &mut Emitter<'_>, i: &Instruction, opcode: u8, ext: u8) -> Emitted {
    let w = Width::of(width(i));
    let r = e.insn.r[0];
    let (to, register) = match shape(i) {
        Some(Shape::Reg) => {
            let h = e.target(w, r, host::RCX);
            (Rm::R(h), Some(h))
        }
        Some(Shape::Mem) => match e.operand(w.bytes(), true) {
            Some(m) => (Rm::M(m), None),
            None => return Emitted::No,
        },
        _ => return Emitted::No,
    };
    let (not, neg) = (opcode == 0xF6 && ext == 2, opcode == 0xF6 && ext == 3);
    if !not && !neg {
        // INC and DEC leave CF.
        e.need_flags(Host::NoOf);
    }
    e.asm.sized_ext(w, opcode, ext, to);
    if !not {
        e.flags_written();
    }
    if let Some(h) = register {
        e.commit(w, r, h);
    }
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let op = match i.mnemonic() {
        Mnemonic::Add => Binary::Alu(Alu::Add),
        Mnemonic::Adc => Binary::Alu(Alu::Adc),
        Mnemonic::Sub => Binary::Alu(Alu::Sub),
        Mnemonic::Sbb => Binary::Alu(Alu::Sbb),
        Mnemonic::Cmp => Binary::Alu(Alu::Cmp),
        Mnemonic::And => Binary::Alu(Alu::And),
        Mnemonic::Or => Binary::Alu(Alu::Or),
        Mnemonic::Xor => Binary::Alu(Alu::Xor),
        Mnemonic::Test => Binary::Test,
        Mnemonic::Inc => return unary(e, i, 0xFE, 0),
        Mnemonic::Dec => return unary(e, i, 0xFE, 1),
        Mnemonic::Not => return unary(e, i, 0xF6, 2),
        Mnemonic::Neg => return unary(e, i, 0xF6, 3),
        _ => return Emitted::No,
    };
    binary(e, i, op)
}
