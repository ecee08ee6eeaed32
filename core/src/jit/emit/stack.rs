//! PUSH, POP, LEAVE of 64 bits.

use super::{Emitted, Emitter};
use crate::codemem::field;
use crate::cpu::exec::form::{Shape, shape};
use crate::cpu::state::{RBP, RSP};
use crate::jit::asm::{Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

fn host_of(g: usize) -> u8 {
    pinned(g as u8).expect("the stack registers have host registers")
}

fn push(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if i.stack_pointer_increment() != -8 {
        return Emitted::No;
    }
    let sp = host_of(RSP);
    let r = e.insn.r[0];
    let imm = e.insn.imm;
    match shape(i) {
        Some(Shape::Reg) if i.op0_register().is_gpr() => {
            let m = e.stack_operand(-8, true);
            let from = e.read(r, host::RDX);
            e.asm.store(Width::Q, Rm::M(m), from);
        }
        Some(Shape::Mem) => {
            let Some(m) = e.memory(8, false) else { return Emitted::No };
            let temp = Rm::M(Mem::at(host::RSP, field::TEMP));
            e.asm.load(Width::Q, host::RDX, Rm::M(m));
            e.asm.store(Width::Q, temp, host::RDX);
            let m = e.stack_operand(-8, true);
            e.asm.load(Width::Q, host::RDX, temp);
            e.asm.store(Width::Q, Rm::M(m), host::RDX);
        }
        None if i.op0_kind() != OpKind::Register && i32::try_from(imm as i64).is_ok() => {
            let m = e.stack_operand(-8, true);
            e.asm.store_imm(Width::Q, Rm::M(m), imm);
        }
        _ => return Emitted::No,
    }
    e.asm.lea(Width::Q, sp, Mem::at(sp, -8));
    Emitted::Done
}

fn pop(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let register = i.op0_kind() == OpKind::Register && i.op0_register().is_gpr64();
    if !register {
        return Emitted::No;
    }
    let sp = host_of(RSP);
    let r = e.insn.r[0];
    let m = e.stack_operand(0, false);
    e.asm.load(Width::Q, host::RDX, Rm::M(m));
    e.asm.lea(Width::Q, sp, Mem::at(sp, 8));
    e.write(Width::Q, r, host::RDX);
    Emitted::Done
}

fn leave(e: &mut Emitter<'_>) -> Emitted {
    let (sp, bp) = (host_of(RSP), host_of(RBP));
    let m = e.translate_at(bp, 0, 8, false);
    e.asm.load(Width::Q, host::RDX, Rm::M(m));
    e.asm.lea(Width::Q, sp, Mem::at(bp, 8));
    e.asm.mov(bp, host::RDX);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Push => push(e, i),
        Mnemonic::Pop => pop(e, i),
        _ if i.code() == Code::Leaveq => leave(e),
        _ => Emitted::No,
    }
}
